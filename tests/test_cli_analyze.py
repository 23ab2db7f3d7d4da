"""``aucli analyze``: exit codes, messages, where the tables go, and Ctrl-C."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from bright_faces import NONE, ONE, hear_signals, tiny_networks, write_clip
from typer.testing import CliRunner, Result

from aucli import analyzer
from aucli.cli import app
from aucli.errors import OutputError, WeightsError
from aucli.pipeline import rows, workers
from aucli.pipeline.inputs import Input, find_inputs, plan_targets, table_format
from aucli.pipeline.journal import JOURNAL
from aucli.table.writer import FORMATS, read_provenance

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``face.mp4``, ``none.mp4`` (no face), ``broken.mp4``, ``cut.avi``, ``sub/face.mp4``."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "sub").mkdir()
    write_clip(folder / "face.mp4", [ONE] * 4)
    write_clip(folder / "none.mp4", [NONE] * 3)
    write_clip(folder / "sub" / "face.mp4", [ONE] * 2)
    whole = write_clip(folder / "whole.avi", [ONE] * 30)
    cut = whole.read_bytes()[: whole.stat().st_size // 2]
    whole.unlink()
    (folder / "cut.avi").write_bytes(cut)
    (folder / "broken.mp4").write_bytes(b"not a video")
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and tiny networks for the trained ones."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    models = tiny_networks()
    monkeypatch.setattr(analyzer, "load_networks", lambda options: models)
    monkeypatch.setattr(workers, "MODULE", "bright_worker")
    return folder


def analyze(*arguments: object, stdin: str = "") -> Result:
    command = ["analyze", "--threads", "1", *map(str, arguments)]
    return CliRunner().invoke(app, command, input=stdin)


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def tables(folder: Path) -> list[str]:
    """Without what tells how they were made."""
    beside = (".csv.json", ".jsonl.json", ".txt.json", JOURNAL)
    return [name for name in files(folder) if not name.endswith(beside)]


def test_one_clip_becomes_a_table_in_the_current_folder(clips, here):
    result = analyze(clips / "face.mp4")
    assert (result.exit_code, result.stdout) == (0, "")
    assert tables(here) == ["face.parquet"]
    frame = pd.read_parquet("face.parquet")
    assert frame["success"].tolist() == [True] * 4
    assert frame["video"].tolist() == ["face.mp4"] * 4
    told = read_provenance("face.parquet")
    assert told["options"]["threads"] == 1
    assert told["frames"] == 4
    assert "face.mp4: 4 frames, 4 with a face," in result.stderr
    assert "AU12" in result.stderr
    assert "work: decode" in result.stderr


def test_quiet_says_nothing(clips):
    result = analyze(clips / "face.mp4", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_a_video_without_faces_is_no_failure(clips):
    result = analyze(clips / "none.mp4", "-o", "t.csv")
    assert result.exit_code == 0
    frame = pd.read_csv("t.csv")
    assert frame["success"].tolist() == [0, 0, 0]
    assert frame["AU12_r"].dropna().tolist() == []


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["-o", "out/t.csv"], "out/t.csv"),
        (["-o", "out/"], "out/face.parquet"),
        (["-o", "results", "--format", "jsonl"], "results/face.jsonl"),
        (["-o", "t.txt", "--format", "csv"], "t.txt"),
        (["--format", "csv"], "face.csv"),
        (["--format", "openface"], "face.csv"),
        (["-o", "t.csv", "--format", "openface"], "t.csv"),
    ],
)
def test_where_one_table_goes(clips, here, arguments, name):
    result = analyze(clips / "face.mp4", *arguments)
    assert result.exit_code == 0, result.stderr
    assert tables(here) == [name]


def test_column_groups(clips):
    flags = ["--sides", "--places", "--presence", "--landmarks-xy"]
    assert analyze(clips / "face.mp4", *flags).exit_code == 0
    names = pq.read_schema("face.parquet").names
    assert {"AU12_L", "AU12_R", "AU12_x", "AU12_R_y", "AU12_c", "x_0", "y_67"} <= set(names)


def test_standard_output_is_csv_and_nothing_else(clips, here):
    result = analyze(clips / "face.mp4", clips / "none.mp4", "-o", "-")
    assert result.exit_code == 0
    frame = pd.read_csv(io.StringIO(result.stdout))
    assert frame["video"].tolist() == ["face.mp4"] * 4 + ["none.mp4"] * 3
    assert files(here) == []


def test_parquet_on_standard_output(clips):
    result = analyze(clips / "face.mp4", "-o", "-", "--format", "parquet", "-q")
    table = pq.read_table(io.BytesIO(result.stdout_bytes))
    assert table.num_rows == 4


def test_an_existing_table_needs_overwrite(clips, here, monkeypatch):
    Path("face.parquet").write_text("mine")

    def no_load(options):
        raise AssertionError("a refusal should not wait for the networks")

    with monkeypatch.context() as patch:
        patch.setattr(analyzer, "load_networks", no_load)
        result = analyze(clips / "face.mp4")
    assert result.exit_code == 1
    assert result.stderr == (
        "aucli: face.parquet exists already; --resume skips it where it is done, --overwrite "
        "replaces it.\n"
    )
    assert Path("face.parquet").read_text() == "mine"
    assert analyze(clips / "face.mp4", "--overwrite").exit_code == 0
    assert len(pd.read_parquet("face.parquet")) == 4


def test_a_batch_goes_on_after_a_failure(clips, here):
    result = analyze(clips / "broken.mp4", clips / "gone.mp4", clips / "face.mp4", "-o", "out")
    assert result.exit_code == 1
    assert tables(here) == ["out/face.parquet"]
    assert f"aucli: {clips / 'gone.mp4'} does not exist; check the name.\n" in result.stderr
    assert str(clips / "broken.mp4") in result.stderr
    assert "1 of 3 inputs done." in result.stderr
    assert "Traceback" not in result.stderr


def test_a_cut_file_keeps_its_rows_and_counts_as_failed(clips):
    result = analyze(clips / "cut.avi")
    assert result.exit_code == 1
    assert "warning: cut.avi: truncated after " in result.stderr
    assert "the rows that could be decoded are in cut.parquet." in result.stderr
    assert 5 < len(pd.read_parquet("cut.parquet")) < 30
    assert read_provenance("cut.parquet")["input"]["truncated"] is True


def test_a_folder_is_searched_and_equal_names_are_told_apart(clips, here):
    result = analyze(clips, "-o", "out")
    assert result.exit_code == 1  # broken.mp4, cut.avi
    assert tables(here / "out") == [
        "cut.parquet", "face.parquet", "none.parquet", "sub/face.parquet",
    ]  # fmt: skip
    frame = pd.read_parquet("out/sub/face.parquet")
    assert frame["video"].tolist() == ["sub/face.mp4"] * 2


def test_a_list_on_stdin_and_a_pattern(clips, here):
    result = analyze("-", stdin=f"{clips / 'face.mp4'}\n\n{clips / 'none.mp4'}\n")
    assert result.exit_code == 0, result.stderr
    assert tables(here) == ["face.parquet", "none.parquet"]
    result = analyze(clips / "*e.mp4", "-o", "out")
    assert result.exit_code == 0, result.stderr
    assert tables(here / "out") == ["face.parquet", "none.parquet"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-"], "the list on stdin is empty."),
        (
            ["a.mp4", "b.mp4", "-o", "t.csv", "--resume"],
            "--resume: t.csv is one table of 2 inputs; name a folder.",
        ),
        (
            ["a.mp4", "b.mp4", "-o", "t.csv", "--report"],
            "--report: t.csv is one table of 2 inputs; name a folder.",
        ),
        (
            ["a.mp4", "b.mp4", "-o", "t.csv", "--overlay"],
            "--overlay: t.csv is one table of 2 inputs; name a folder.",
        ),
        (
            ["a.mp4", "b.mp4", "-o", "t.csv", "--format", "openface"],
            "an OpenFace table has no column for the 2 inputs; name a folder.",
        ),
        (
            ["a.mp4", "b.mp4", "-o", "-", "--format", "openface"],
            "an OpenFace table has no column for the 2 inputs; name a folder.",
        ),
        (["a.mp4", "--faces", "many"], "'many' is not"),
        (["a.mp4", "--device", "abacus"], "device: 'abacus' is not there"),
        (["a.mp4", "--every", "0"], "Invalid value for '--every'"),
        (["a.mp4", "--format", "xlsx"], "give one of parquet, csv, openface, jsonl, dataset."),
        ([], "INPUT"),
    ],
)
def test_wrong_usage_is_2(arguments, message):
    result = analyze(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["*.mkv", "empty"])
def test_nothing_found_is_one_sentence(here, name):
    (here / "empty").mkdir()
    result = analyze(name)
    sentence = {
        "*.mkv": "*.mkv matches no file; check the pattern.",
        "empty": "empty holds no video and no picture; check the folder.",
    }[name]
    assert (result.exit_code, result.stderr) == (1, f"aucli: {sentence}\n")


def test_missing_weights_are_one_sentence(clips, monkeypatch):
    def fail(options):
        raise WeightsError("no weights are named 'x'.")

    monkeypatch.setattr(analyzer, "load_networks", fail)
    result = analyze(clips / "face.mp4")
    assert (result.exit_code, result.stderr) == (1, "aucli: no weights are named 'x'.\n")


def test_a_bug_keeps_its_traceback_and_a_batch_goes_on(clips, here, monkeypatch):
    bug = write_clip(here.parent / "bug.mp4", [ONE])
    result = analyze(bug, clips / "none.mp4")
    assert result.exit_code == 1
    assert "ZeroDivisionError: bug" in result.stderr
    assert "bug.mp4: failed by a bug in aucli, see above." in result.stderr
    assert tables(here) == ["none.parquet"]

    def fail(*_, **_words):
        raise ZeroDivisionError("bug")

    monkeypatch.setattr(rows, "predict_crops", fail)
    result = analyze(clips / "face.mp4")
    assert isinstance(result.exception, ZeroDivisionError)


def run_script(*arguments: object) -> subprocess.Popen:
    command = [sys.executable, str(Path(__file__).with_name("bright_faces.py")), "analyze"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        preexec_fn=hear_signals,
    )


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_nothing_and_ends_with_130(tmp_path, stop):
    clip = write_clip(tmp_path / "long.mp4", [ONE] * 1000)
    out = tmp_path / "out"
    with run_script(clip, "-o", out / "t.parquet", "--threads", "1") as process:
        deadline = time.monotonic() + 180
        while not (out.is_dir() and tables(out)):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        time.sleep(0.5)
        process.send_signal(stop)
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert stderr == b"aucli: interrupted\n"
    assert tables(out) == []


def test_a_reader_that_leaves_ends_the_run_without_a_traceback(tmp_path):
    clip = write_clip(tmp_path / "long.mp4", [ONE] * 200)
    with run_script(clip, "-o", "-", "--batch-size", "4", "--threads", "1") as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith(b"video,frame,")
        process.stdout.close()
        assert process.wait(timeout=180) == 1
        assert b"Traceback" not in process.stderr.read()


def test_an_input_named_twice_is_analysed_once(clips):
    path = clips / "face.mp4"
    found = find_inputs([str(path), str(clips / "sub" / ".." / "face.mp4")], [])
    assert found == ([Input(path, "face.mp4")], {}, {})


def test_a_folder_of_pictures_is_one_input(tmp_path):
    (tmp_path / "shots").mkdir()
    for name in ("shots/1.png", "shots/2.png", "clip.mp4", ".hidden.mp4", "notes.txt"):
        (tmp_path / name).touch()
    found, _, passed_over = find_inputs([str(tmp_path)], [])
    assert passed_over == {".txt": 1}
    assert [item.label for item in found] == ["clip.mp4", "shots"]


def test_formats_and_targets():
    assert table_format(None, None) == "parquet"
    assert table_format(None, "-") == "csv"
    assert table_format(None, "x/y.JSONL") == "jsonl"
    assert table_format("csv", "y.parquet") == "csv"
    item = Input(Path("a.mp4"), "a.mp4")
    assert plan_targets([item, item], "-", None) == [None, None]
    assert plan_targets([item], None, "csv") == [Path("a.csv")]
    assert plan_targets([item, item], "t.csv", None) == [Path("t.csv")] * 2


@pytest.mark.parametrize("kind", FORMATS)
def test_tables_are_written_without_pandas(tmp_path, kind):
    # Importing it takes longer than analysing a short clip.
    clip = write_clip(tmp_path / "face.mp4", [ONE] * 2)
    script = str(Path(__file__).with_name("bright_faces.py"))
    command = [sys.executable, "-X", "importtime", script, "analyze", str(clip)]
    command += ["--format", kind, "-o", "t.parquet" if kind == "parquet" else "-"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    imported = {line.split("|")[-1].strip() for line in run.stderr.splitlines()}
    assert "pyarrow" in imported and "pandas" not in imported


def test_overlays_are_drawn_beside_the_tables(clips, here):
    result = analyze(clips, "-o", "out", "--overlay")
    assert result.exit_code == 1
    assert tables(here / "out") == [
        "cut.overlay.mp4", "cut.parquet", "face.overlay.mp4", "face.parquet", "none.overlay.mp4",
        "none.parquet", "sub/face.overlay.mp4", "sub/face.parquet",
    ]  # fmt: skip
    assert "face.mp4: overlay -> out/face.overlay.mp4\n" in result.stderr
    frame = pd.read_parquet(here / "out" / "face.parquet")
    assert {"AU12_L", "AU12_x"} <= set(frame.columns)
    # They are no inputs of a search, and are not drawn again where they are done.
    found, _, passed_over = find_inputs([str(here / "out")])
    assert found == [] and passed_over == {".mp4": 4}
    before = (here / "out" / "none.overlay.mp4").stat().st_mtime_ns
    (here / "out" / "face.overlay.mp4").unlink()
    again = analyze(clips, "-o", "out", "--overlay", "--resume")
    assert "face.mp4: overlay -> out/face.overlay.mp4\n" in again.stderr
    assert "none.mp4: overlay" not in again.stderr
    assert (here / "out" / "none.overlay.mp4").stat().st_mtime_ns == before
    for parquet in (here / "out").glob("*.parquet"):
        parquet.unlink()
    refused = analyze(clips / "face.mp4", "-o", "out/", "--overlay")
    assert "aucli: out/face.overlay.mp4 exists already; --overwrite" in refused.stderr
    assert analyze(clips / "face.mp4", "-o", "out/", "--overlay", "--overwrite").exit_code == 0


def test_an_overlay_of_one_input_and_what_it_never_replaces(clips, here):
    result = analyze(clips / "face.mp4", "-o", "t.csv", "--overlay")
    assert result.exit_code == 0
    assert tables(here) == ["t.csv", "t.overlay.mp4"]
    film = (clips / "face.mp4").read_bytes()
    for name in ("x.mp4", "x.overlay.mp4"):
        (here / name).write_bytes(film)
    result = analyze("x.mp4", "x.overlay.mp4", "-o", ".", "--overlay", "--overwrite")
    assert result.exit_code == 2
    assert "x.overlay.mp4 is an input; a film never takes its place" in result.stderr
    assert (here / "x.overlay.mp4").read_bytes() == film
    result = analyze(clips / "face.mp4", "-o", "-", "--overlay")
    assert result.exit_code == 2 and "it is drawn from a table; name a file." in result.stderr


def test_an_overlay_that_fails_keeps_its_table(clips, here, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise OutputError("Cannot write x; choose another place.")

    monkeypatch.setattr("aucli.report.overlay.write_overlay", fail)
    result = analyze(clips / "face.mp4", "-o", "t.parquet", "--overlay")
    assert result.exit_code == 1
    assert result.stderr.count("aucli: Cannot write x; choose another place.\n") == 1
    assert tables(here) == ["t.parquet"]
