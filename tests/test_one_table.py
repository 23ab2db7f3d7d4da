"""``aucli analyze A B -o all.csv``: one table of several inputs."""

import errno
import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from bright_faces import NONE, ONE, TWO, tiny_analyzer, tiny_networks, write_clip
from typer.testing import CliRunner, Result

from aucli import analyzer
from aucli.cli import app
from aucli.pipeline import batch, held, workers
from aucli.report import methods
from aucli.report.study import read_faces
from aucli.table.reading import read_table
from aucli.table.writer import TableWriter, read_provenance


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with ``study/``: two clips of one name, one without a face, one broken."""
    monkeypatch.chdir(tmp_path)
    models = tiny_networks()
    monkeypatch.setattr(analyzer, "load_networks", lambda options: models)
    monkeypatch.setattr(workers, "MODULE", "bright_worker")
    folder = tmp_path / "study"
    (folder / "a").mkdir(parents=True)
    (folder / "b").mkdir()
    write_clip(folder / "a" / "clip.mp4", [ONE] * 3)
    write_clip(folder / "b" / "clip.mp4", [TWO] * 2)
    write_clip(folder / "none.mp4", [NONE] * 2)
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def analyze(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["analyze", "--threads", "1", *map(str, arguments)])


def seen(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_the_rows_are_those_of_the_standard_output(study, suffix):
    arguments = ["study", "--faces", "all", "--sides"]
    result = analyze(*arguments, "-o", f"all{suffix}")
    assert result.exit_code == 1  # one is broken
    beside = [] if suffix == ".parquet" else [f"all{suffix}.json"]
    assert seen(study.parent) == [f"all{suffix}", *beside, "study"]
    table = read_table(Path(f"all{suffix}"))
    counts = table.groupby("video", sort=False).size().to_dict()
    assert counts == {"none.mp4": 2, "a/clip.mp4": 3, "b/clip.mp4": 4}
    streamed = analyze(*arguments, "-o", "-", "--format", "csv")
    Path("streamed.csv").write_text(streamed.stdout)
    close = {"rtol": 0, "atol": 0.006, "check_dtype": False}  # a CSV keeps two decimals of px
    pd.testing.assert_frame_equal(table, read_table(Path("streamed.csv")), **close)


def test_a_failed_input_is_told_and_the_others_stay(study):
    result = analyze("study", "-o", "all.csv")
    assert result.exit_code == 1
    assert "aucli: study/broken.mp4 " in result.stderr
    assert "a/clip.mp4: 3 frames, 3 with a face," in result.stderr
    assert "-> all.csv\n" in result.stderr and "3 of 4 inputs done." in result.stderr


def test_an_input_that_fails_half_way_leaves_no_row(study, monkeypatch):
    clip = study / "a" / "clip.mp4"
    one = tiny_analyzer()
    rows = one.rows

    def fails(job, on_frames=None):
        found = rows(job, on_frames)
        yield next(found)
        if job.input.path.parent.name == "b":
            raise OSError(errno.EIO, "Input/output error")
        return (yield from found)

    monkeypatch.setattr(one, "rows", fails)
    outcomes = one.tables([clip, study / "b" / "clip.mp4"], "all.parquet")
    assert [outcome.state for outcome in outcomes] == ["done", "stopped"]
    assert read_table(Path("all.parquet"))["video"].unique().tolist() == ["a/clip.mp4"]


def test_no_table_where_every_input_fails(study):
    (study / "worse.mp4").write_bytes(b"")
    result = analyze(study / "broken.mp4", study / "worse.mp4", "-o", "all.csv")
    assert result.exit_code == 1
    assert seen(study.parent) == ["study"]


def test_a_table_that_cannot_be_written_ends_the_run(study, monkeypatch):
    write = TableWriter.write

    def full(self, part):
        if self.rows:
            with self._sentences():
                raise OSError(errno.ENOSPC, "No space left on device")
        write(self, part)

    monkeypatch.setattr(batch.TableWriter, "write", full)
    result = analyze("study/a", "study/b", "-o", "all.csv")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        "aucli: Cannot write all.csv: No space left on device; free some space or choose another "
        "folder."
    )
    assert seen(study.parent) == ["study"]


def test_many_rows_wait_in_a_file(study, monkeypatch):
    monkeypatch.setattr(held, "HELD_BYTES", 10)
    assert analyze("study/a", "study/b", "-o", "all.parquet").exit_code == 0
    assert len(pq.read_table("all.parquet")) == 7


def test_a_table_that_is_there_is_replaced_only_when_asked(study):
    Path("all.csv").write_text("mine")
    result = analyze("study/a", "study/b", "-o", "all.csv")
    assert result.exit_code == 1
    assert "aucli: all.csv exists already; --overwrite replaces it.\n" in result.stderr
    assert Path("all.csv").read_text() == "mine"
    assert analyze("study/a", "study/b", "-o", "all.csv", "--overwrite").exit_code == 0
    assert len(read_table("all.csv")) == 7


def test_each_video_knows_how_it_was_made(study):
    assert analyze("study", "-o", "all.csv", "--every", "2").exit_code == 1
    told = read_provenance("all.csv")
    assert [own["video"] for own in told["inputs"]] == ["none.mp4", "a/clip.mp4", "b/clip.mp4"]
    assert {own["options"]["every"] for own in told["inputs"]} == {2}
    faces = {face.video: face for face in read_faces("all.csv")}
    assert len({methods._sentences(face) for face in faces.values()}) == 1  # one paragraph for all
    single = analyze("study/a/clip.mp4", "-o", "one.csv", "--every", "2")
    assert single.exit_code == 0
    own = dict(faces["a/clip.mp4"].provenance)
    assert own.pop("video") == "a/clip.mp4" and own == read_provenance("one.csv")


def test_a_dry_run_names_the_table(study):
    result = analyze("study/a", "study/b", "-o", "all.csv", "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        "a/clip.mp4 -> all.csv: 3 frames", "b/clip.mp4 -> all.csv: 2 frames"
    ]  # fmt: skip
    assert seen(study.parent) == ["study"]


def test_one_input_alone_may_be_resumed(study):
    assert analyze("study/a", "-o", "one.csv").exit_code == 0
    assert json.loads(Path("one.csv.json").read_text())["input"]["name"] == "clip.mp4"
    assert "done by an earlier run" in analyze("study/a", "-o", "one.csv", "--resume").stderr
