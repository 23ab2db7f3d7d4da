"""The examples run on a table of the command."""

import runpy
from pathlib import Path

import pytest
from bright_faces import NONE, ONE, TWO, tiny_analyzer, write_clip
from synthetic_faces import write_shards

from aucli.datasets import synthetic
from aucli.evaluation import rendered
from aucli.synth.backgrounds import BackgroundPool
from aucli.table.writer import TableWriter

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    clip = write_clip(folder / "clip.mp4", [ONE, NONE, TWO, ONE])
    target = folder / "clip.parquet"
    with (
        tiny_analyzer().open(clip) as analysis,
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


def test_heads_compared(tmp_path, monkeypatch, capsys):
    """The ablation, again without training anew, and its runs under misalignment."""
    pytest.importorskip("matplotlib").use("Agg")
    pool = BackgroundPool(6, seed=1)
    monkeypatch.setattr(synthetic, "BackgroundPool", lambda **_: pool)
    monkeypatch.setattr(rendered, "held_out_pool", lambda: pool)
    shards, out = write_shards(tmp_path / "shards", shards=1), tmp_path / "out"

    def run(name, *words):
        monkeypatch.setattr("sys.argv", [name, "--shards", str(shards), *map(str, words)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    options = ["--out", out, "--seeds", 1, "--heads", "plain,scc3", "--test-faces", 2]
    options += ["--batch-size", 2, "--steps"]
    table = run("ablation.py", *options, 1)
    lines = (out / "ablation.md").read_text().splitlines()
    assert [line.split("|")[1:3] for line in lines[-2:]] == [
        [" plain ", " 0.68 M "],
        [" scc3 ", " 2.91 M "],
    ]
    assert lines[-1] in table and len((out / "ablation.csv").read_text().splitlines()) == 3
    made = (out / "scc3-seed0" / "weights.json").stat().st_mtime_ns
    run("ablation.py", *options, 1)
    assert (out / "scc3-seed0" / "weights.json").stat().st_mtime_ns == made
    with pytest.raises(SystemExit, match="plain-seed0 has another steps; use another --out"):
        run("ablation.py", *options, 2)

    told = run("misalignment.py", "--out", tmp_path / "off", "--faces", 2, "--repeats", 1,
               out / "plain-seed0", out / "scc3-seed0")  # fmt: skip
    assert [line.split()[0] for line in told.splitlines()] == ["plain", "plain", "scc3", "scc3"]
    for picture in (out / "ablation.png", tmp_path / "off" / "misalignment.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
