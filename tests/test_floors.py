"""The layout is kept: imports point down, and the command line starts without heavy modules."""

import ast
import resource
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import aucli

ROOT = Path(aucli.__file__).parent
FLOORS = {
    "__init__": 0, "aus": 0, "records": 0, "errors": 0,
    "arrow": 1, "align": 1, "heatmaps": 1, "models": 1, "metrics": 1, "augment": 1, "losses": 1,
    "video": 2, "images": 2, "demux": 2, "faces": 2, "table": 2, "predictions": 2, "views": 2,
    "weights": 2, "datasets": 2, "synth": 2,
    "pipeline": 3, "prepare": 3, "train": 3, "heldout": 3, "scoring": 3,
    "bench": 3, "cluster": 3, "report": 3,
    "cli": 4, "__main__": 5,
}  # fmt: skip
FILES = sorted(ROOT.rglob("*.py"))


def room(path: Path) -> str:
    """First name below the package: ``faces/track.py`` -> ``faces``, ``video.py`` -> ``video``."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            if node.module == "aucli":
                names = [f"aucli.{alias.name}" for alias in node.names]
            else:
                names = [node.module or ""]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "aucli":
                # A name that is no module, like __version__, is defined in __init__.
                rooms.add(parts[1] if len(parts) > 1 and parts[1] in FLOORS else "__init__")
    return rooms


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    assert room(path) in FLOORS, f"{path} has no floor"
    upward = {name for name in imported_rooms(path) if FLOORS[name] > FLOORS[room(path)]}
    assert upward == set()


def test_rooms_have_no_cycle() -> None:
    graph: dict[str, set[str]] = {}
    for path in FILES:
        graph.setdefault(room(path), set()).update(imported_rooms(path) - {room(path)})
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_nothing_imports_opencv() -> None:
    assert [path for path in FILES if "import cv2" in path.read_text("utf-8")] == []


def test_command_line_loads_nothing_heavy() -> None:
    code = (
        "import sys, aucli.cli\n"
        "heavy = {'torch', 'pandas', 'pyarrow', 'av', 'decord', 'PIL', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout.strip(), run.stderr) == (0, "[]", "")


def test_help_is_quick() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "aucli", "--help"]
    run = subprocess.run(command, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run.returncode == 0, run.stderr
    assert "info" in run.stdout
    # Processor time, which other work on the computer hardly changes; importing torch takes 1.4 s.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.6
