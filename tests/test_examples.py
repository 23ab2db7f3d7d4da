"""The examples run on tables of the command, the studies on drawn faces."""

import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_faces import mean_face, write_shards
from test_table import make_rows

from aucli.datasets import synthetic
from aucli.evaluation import rendered
from aucli.synth.backgrounds import BackgroundPool
from aucli.table.schema import Columns, Rows, to_record_batch
from aucli.table.writer import FORMATS, TableWriter

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run_script(monkeypatch: pytest.MonkeyPatch, path: str, *words: object) -> int:
    """A script of examples/ as a user runs it; its exit code. A sentence that ends it is on
    stderr, as Python puts it there."""
    monkeypatch.setattr("sys.argv", [Path(path).name, *map(str, words)])
    try:
        runpy.run_path(str(EXAMPLES / path), run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return int(end.code or 0)
    return 0


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same rows in every format: frames with 1, 0, 2 and 1 faces; face 1 is in the third."""
    folder = tmp_path_factory.mktemp("table")
    whole = make_rows(9)
    chosen = [0, 1, 2, 4, 6]  # of these, row 1 has no face
    rows = replace(
        whole,
        **{
            name: values[chosen]
            for name in Rows.__slots__
            if (values := getattr(whole, name)) is not None
        },
    )
    rows = replace(
        rows,
        frame_index=np.array([0, 1, 2, 2, 3]),
        pts_seconds=np.array([0, 0.04, 0.08, 0.08, 0.12]),
        face_id=np.array([0, -1, 0, 1, 0], np.int32),
    )
    columns = Columns(("AU06", "AU12"), presence=True, landmarks=True)
    found = {}
    for name, kind in (("clip.parquet", "parquet"), ("clip.csv", "csv"), ("clip.jsonl", "jsonl"),
                       ("open.csv", "openface")):  # fmt: skip
        found[kind] = folder / name
        with TableWriter(found[kind], columns.schema(), kind) as writer:
            writer.write(to_record_batch(columns, "clip.mp4", rows))
            writer.provenance = {"model": {"name": "tiny"}}
    return found


def pictures_table(folder: Path) -> Path:
    """The table of a folder of pictures: frames without a time."""
    rows = replace(make_rows(3), pts_seconds=np.full(3, np.nan))
    columns = Columns(("AU06", "AU12"))
    with TableWriter(folder / "pictures.csv", columns.schema(), "csv") as writer:
        writer.write(to_record_batch(columns, "pictures", rows))
    return folder / "pictures.csv"


@pytest.mark.parametrize("kind", FORMATS)
def test_read_table(tables, kind, monkeypatch, capsys):
    assert run_script(monkeypatch, "read_table.py", tables[kind], "au06", "12") == 0
    lines = capsys.readouterr().out.splitlines()
    told = ", tiny" if kind == "parquet" else ""
    assert lines[:2] == [f"{tables[kind].name}: 4 frames{told}", "75% of the frames have a face"]
    video = "open" if kind == "openface" else "clip.mp4"
    assert lines[3] == f"{video}, face 0: 3 frames" and lines[8] == f"{video}, face 1: 1 frame"
    assert [line.split()[0] for line in lines[5:7]] == ["AU06", "AU12"]
    assert re.fullmatch(r"AU12 +\d\.\d\d +\d\.\d\d  frame 3, 0\.08 s", lines[11])


def test_read_table_of_pictures(tmp_path, monkeypatch, capsys):
    assert run_script(monkeypatch, "read_table.py", pictures_table(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines() == [
        "pictures.csv: 3 frames", "67% of the frames have a face", "",
        "pictures, face 0: 2 frames", "        mean  peak  where",
        "AU06    0.25  0.50  frame 3", "AU12    0.38  0.62  frame 3",
    ]  # fmt: skip


def test_what_is_wrong_is_one_sentence(tables, tmp_path, monkeypatch, capsys):
    script, name = "read_table.py", "read_table"
    other = tmp_path / "a.csv"
    other.write_text("a,b\n1,2\n")
    for words, sentence in (
        ((other,), f"{other} is no table of aucli: it has no column frame, timestamp, face_id, "
                   "success, AU.._r; give a file that aucli analyze wrote."),
        ((tmp_path / "b.csv",), f"{tmp_path / 'b.csv'} is not there; check the name."),
        ((tables["csv"], "AU99"), f"{tables['csv']} has no AU99; its AUs are AU06, AU12."),
    ):  # fmt: skip
        assert run_script(monkeypatch, script, *words) == 1
        assert capsys.readouterr().err == f"{name}: {sentence}\n"
    assert run_script(monkeypatch, script) == 2  # usage


def test_heads_compared(tmp_path, monkeypatch, capsys):
    """The ablation, again without training anew, and its runs under misalignment."""
    pytest.importorskip("matplotlib").use("Agg")
    pool = BackgroundPool(6, seed=1)
    monkeypatch.setattr(synthetic, "BackgroundPool", lambda **_: pool)
    monkeypatch.setattr(rendered, "held_out_pool", lambda: pool)
    shards, out = write_shards(tmp_path / "shards", shards=1), tmp_path / "out"

    def run(name, *words):
        monkeypatch.setattr("sys.argv", [name, "--shards", str(shards), *map(str, words)])
        runpy.run_path(str(EXAMPLES / "studies" / name), run_name="__main__")
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


def test_openings_by_the_side_and_what_they_add():
    study = runpy.run_path(str(EXAMPLES / "studies" / "openings.py"))
    still = np.stack([mean_face(), mean_face()])
    still[1, [43, 44], 1] -= 2  # the upper lid of the person's left eye, and the upper lip
    still[1, [61, 62, 63], 1] -= 3
    eyes, lips = (study["opening"](still, au) for au in ("AU45", "AU25"))
    np.testing.assert_allclose(eyes[1] - eyes[0], [2, 0], atol=1e-4)
    np.testing.assert_allclose(lips[1] - lips[0], [3, 3], atol=1e-4)

    rng = np.random.default_rng(1)
    read, gaps = rng.random((2, 400, 2)) * [[[2.0]], [[8.0]]]
    true = read + (8 - gaps) / 4  # 0-4; neither alone tells it
    half = slice(200), slice(200, 400)
    off = []
    for values in ([read], [read, gaps]):
        parts = [[v[part] for v in values] for part in half]
        off.append(np.abs(study["fit"](parts[0], true[half[0]], parts[1], False) - true[half[1]]))
    assert off[0].mean() > 0.3 and off[1].max() < 0.2


def test_frames_of_a_followed_face_one_by_one():
    """The study hands its number to whatever follows faces."""
    script = EXAMPLES / "studies" / "frames_at_once.py"
    tell = f"""if True:
        import runpy, sys
        sys.argv = ["frames_at_once.py", "1", "--version"]
        try:
            runpy.run_path({str(script)!r}, run_name="__main__")
        except SystemExit as end:
            from aucli.faces.finder import FinderConfig
            print(end.code, FinderConfig().group_frames)
    """
    run = [sys.executable, "-c", tell]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "0 1", done.stderr
    done = subprocess.run([sys.executable, script, "0", "info"], capture_output=True, text=True)
    assert done.returncode == 2 and "NUMBER is 1 or more" in done.stderr
