"""The notebook runs from its first to its last cell, and its stored outputs are small and clean."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbclient")
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "examples" / "first_steps.ipynb"
TIMEOUT_SECONDS = 300
LARGEST_BYTES = 120_000


def run(cells: Any, folder: Path) -> Any:
    """Execute a notebook with this checkout's package. Raises CellExecutionError."""
    client = NotebookClient(
        cells, timeout=TIMEOUT_SECONDS, kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )  # fmt: skip
    return client.execute()


@pytest.fixture(autouse=True)
def this_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The kernel is a process of its own; it must import this package and no user's settings."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "jupyter"))


def outputs(cells: Any) -> list[dict[str, Any]]:
    return [output for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    folder = tmp_path / "examples"
    folder.mkdir()
    for name in ("first_steps.ipynb", "demo.mp4", "demo_truth.csv"):
        shutil.copy(ROOT / "examples" / name, folder)
    made = run(nbformat.read(folder / "first_steps.ipynb", as_version=4), folder)
    kinds = [set(output.get("data", ())) for output in outputs(made["cells"])]
    assert sum("image/png" in kind for kind in kinds) == 1
    assert [output for output in outputs(made["cells"]) if output.get("name") == "stderr"] == []


def test_a_cell_that_raises_fails(tmp_path: Path) -> None:
    broken = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        run(broken, tmp_path)


def test_the_stored_outputs_are_those_of_one_run() -> None:
    text = NOTEBOOK.read_text("utf-8")
    cells = json.loads(text)["cells"]
    counts = [cell["execution_count"] for cell in cells if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1)), "run all cells of a new kernel, then save"
    assert all(output["output_type"] != "error" for output in outputs(cells))
    assert sum("image/png" in output.get("data", ()) for output in outputs(cells)) == 1
    assert len(text.encode()) < LARGEST_BYTES
    assert not re.search(r"/(?:home|root|tmp|Users)/", text), "a path of one computer"
