"""The examples run on a table of the command."""

import runpy
from pathlib import Path

import pytest
from bright_faces import NONE, ONE, TWO, tiny_models, write_clip

from aucli.pipeline.analysis import AnalyzeOptions, analyze_video
from aucli.table import TableWriter

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    clip = write_clip(folder / "clip.mp4", [ONE, NONE, TWO, ONE])
    target = folder / "clip.parquet"
    with (
        analyze_video(clip, tiny_models(), AnalyzeOptions(threads=1)) as analysis,
        TableWriter(target, analysis.columns.schema()) as writer,
    ):
        for batch in analysis:
            writer.write(batch)
        writer.provenance = analysis.provenance()
    return target


def test_read_table(table, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["read_table.py", str(table)])
    runpy.run_path(str(EXAMPLES / "read_table.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["clip.mp4: 4 frames, model tiny", "80% of the rows have a face"]
    assert lines[-1].startswith("AU25 peaks at ")


def test_plot_aus(table, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib").use("Agg")
    image = tmp_path / "aus.png"
    monkeypatch.setattr("sys.argv", ["plot_aus.py", str(table), str(image), "AU06", "AU12"])
    runpy.run_path(str(EXAMPLES / "plot_aus.py"), run_name="__main__")
    assert image.read_bytes().startswith(b"\x89PNG")
