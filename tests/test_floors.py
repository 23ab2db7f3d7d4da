"""The layout is kept: imports point down, and the command line starts without heavy modules."""

import ast
import resource
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import aucli

ROOT = Path(aucli.__file__).parent
# A room stands one floor above the highest one that it imports.
FLOORS = (
    {"align", "aus", "errors", "mean_shape", "metrics", "records", "words"},
    {"__init__", "augment", "colours", "files", "heatmaps", "pose"},
    {"models", "synth", "table", "version", "video"},
    {"weights"},
    {"faces"},
    {"datasets", "pipeline"},
    {"analyzer", "cluster", "report"},
    {"bench", "estimate", "evaluation", "worker"},
    {"comparison", "train"},
    {"cli"},
    {"__main__"},
)
ROOMS = set().union(*FLOORS)
FILES = sorted(ROOT.rglob("*.py"))


def room(path: Path) -> str:
    """First name below the package: ``faces/track.py`` -> ``faces``, ``video.py`` -> ``video``."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    tree = ast.parse(path.read_text("utf-8"))
    # What the package itself offers is imported when it is asked for.
    for node in tree.body if path == ROOT / "__init__.py" else ast.walk(tree):
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
                rooms.add(parts[1] if len(parts) > 1 and parts[1] in ROOMS else "__init__")
    return rooms


def test_rooms_stand_on_the_floors_that_are_stated() -> None:
    graph: dict[str, set[str]] = {}
    for path in FILES:
        graph.setdefault(room(path), set()).update(imported_rooms(path) - {room(path)})
    floor: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():  # raises CycleError
        floor[name] = 1 + max((floor[below] for below in graph[name]), default=-1)
    assert floor == {name: number for number, own in enumerate(FLOORS) for name in own}


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
