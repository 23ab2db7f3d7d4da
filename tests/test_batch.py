"""Batches: what a run leaves for the next one, what a fault costs, and what a stop leaves."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bright_faces import NONE, ONE, TWO, hear_signals, tiny_analyzer, tiny_networks, write_clip
from PIL import Image
from typer.testing import CliRunner, Result

from aucli import analyzer
from aucli.cli import app
from aucli.errors import InputError, OptionError, OutputError
from aucli.pipeline import workers
from aucli.pipeline.batch import InProcess, Job, TableSettings, run_batch
from aucli.pipeline.inputs import Input
from aucli.pipeline.journal import JOURNAL, Entry, Journal
from aucli.pipeline.options import AnalyzeOptions
from aucli.pipeline.original import Original, checksum, stamp
from aucli.pipeline.resume import settings_of
from aucli.pipeline.selection import Selection
from aucli.pipeline.summary import Levels
from aucli.table.writer import read_provenance

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def study(tmp_path, monkeypatch) -> Path:
    """A folder with three clips: a face, none, and a damaged one; here, with tiny networks."""
    folder = tmp_path / "study"
    folder.mkdir()
    write_clip(folder / "face.mp4", [ONE] * 4)
    write_clip(folder / "none.mp4", [NONE] * 3)
    whole = write_clip(folder / "whole.avi", [ONE] * 30).read_bytes()
    (folder / "whole.avi").unlink()
    (folder / "cut.avi").write_bytes(whole[: len(whole) // 2])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(analyzer, "load_networks", lambda options: tiny_networks())
    monkeypatch.setattr(workers, "MODULE", "bright_worker")
    return folder


def analyze(*arguments: object, stdin: str = "") -> Result:
    command = ["analyze", "--threads", "1", *map(str, arguments)]
    return CliRunner().invoke(app, command, input=stdin)


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file but the journal, which tells times."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != JOURNAL
    }


def entries(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / JOURNAL).read_text().splitlines()]


def test_a_batch_and_what_its_journal_tells(study):
    (study / "words.mp4").write_text("no video")
    result = analyze(study, "gone.mp4", "-o", "out")
    assert result.exit_code == 1
    told = {Path(entry["input"]).name: entry for entry in entries(Path("out"))}
    assert {name: entry["state"] for name, entry in told.items()} == {
        "face.mp4": "done", "none.mp4": "done", "cut.avi": "damaged", "words.mp4": "failed",
        "gone.mp4": "failed",
    }  # fmt: skip
    face = told["face.mp4"]
    assert (face["frames"], face["face_frames"], face["table"]) == (4, 4, "face.parquet")
    assert face["size"] == (study / "face.mp4").stat().st_size
    assert face["sha256"] == checksum(study / "face.mp4")
    assert face["finished"].endswith("+00:00")
    assert told["cut.avi"]["reason"].startswith("truncated after ")
    assert "words.mp4" in told["words.mp4"]["reason"]
    for words in ("damaged", "no face at all", "2 of 5 inputs done.", "failed"):
        assert words in result.stderr


def test_resume_skips_what_is_done_and_gives_the_tables_of_one_run(study):
    assert analyze(study, "-o", "whole", "--format", "csv").exit_code == 1
    assert analyze(study / "none.mp4", "-o", "out", "--format", "csv").exit_code == 0
    first = Path("out/none.csv").stat().st_mtime_ns
    result = analyze(study, "-o", "out", "--format", "csv", "--resume")
    assert result.exit_code == 1  # cut.avi is damaged
    assert "skipped" in result.stderr
    assert Path("out/none.csv").stat().st_mtime_ns == first
    result = analyze(study, "-o", "out", "--format", "csv", "--resume")
    assert result.exit_code == 1
    assert "cut.avi: damaged in an earlier run: truncated after " in result.stderr
    assert "2 of 3 inputs done, 2 of them by an earlier run." in result.stderr
    assert bytes_of(Path("out")) == bytes_of(Path("whole"))
    # Without the journal the tables tell it, by the checksum of their inputs.
    Path("out", JOURNAL).unlink()
    for path in study.iterdir():
        os.utime(path, (1, 1))
    before = {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}
    result = analyze(study, "-o", "out", "--format", "csv", "--resume")
    assert (result.exit_code, result.stderr.count("earlier run")) == (1, 2)
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())


def test_failed_and_damaged_inputs_are_tried_again_where_asked(study):
    (study / "words.mp4").write_text("no video")
    assert analyze(study, "-o", "out").exit_code == 1
    result = analyze(study, "-o", "out", "--resume")
    assert "words.mp4: failed in an earlier run: " in result.stderr
    assert (result.exit_code, len(entries(Path("out")))) == (1, 4)
    assert analyze(study, "-o", "out", "--resume", "--retry-failed").exit_code == 1
    again = [Path(entry["input"]).name for entry in entries(Path("out"))[4:]]
    assert sorted(again) == ["cut.avi", "words.mp4"]
    # A file that is another one by now is tried in any case, and its table replaced.
    write_clip(study / "words.mp4", [ONE] * 2)
    write_clip(study / "face.mp4", [ONE] * 7)
    assert analyze(study, "-o", "out", "--resume").exit_code == 1
    assert len(pd.read_parquet("out/words.parquet")) == 2
    assert len(pd.read_parquet("out/face.parquet")) == 7
    assert analyze(study / "face.mp4", "--retry-failed").exit_code == 2
    assert analyze(study / "face.mp4", "-o", "-", "--resume").exit_code == 2


def test_an_input_that_the_system_refuses_is_tried_again(study, monkeypatch):
    def refuse(path: object, *rest: object, real: Callable = os.open, **more: object) -> int:
        if Path(str(path)).name == "face.mp4":
            raise PermissionError(13, "Permission denied")
        return real(path, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        result = analyze(study / "face.mp4", "-o", "out/")
    assert (result.exit_code, result.stderr) == (
        1, f"aucli: {study}/face.mp4 cannot be read (Permission denied); check the file.\n"
    )  # fmt: skip
    assert [entry["state"] for entry in entries(Path("out"))] == ["stopped"]
    assert analyze(study / "face.mp4", "-o", "out/", "--resume").exit_code == 0
    assert [entry["state"] for entry in entries(Path("out"))] == ["stopped", "done"]


def test_options_of_later_versions_are_at_their_default_in_earlier_tables():
    told = {"model": {"sha256": "a"}, "options": {"every": 2, "faces": "1"}}
    now = {**told, "options": {**asdict(AnalyzeOptions(every=2)), "faces": "1"}}
    assert settings_of(told) == settings_of(now)
    assert settings_of(told) != settings_of({**now, "options": {"faces": "1"}})


def test_resume_refuses_other_settings_and_foreign_tables(study):
    out = Path("out")
    assert analyze(study / "face.mp4", study / "none.mp4", "-o", out).exit_code == 0
    before = bytes_of(out)
    result = analyze(study, "-o", out, "--resume", "--every", 2)
    assert result.exit_code == 2
    told = " ".join(result.stderr.replace("│", " ").split())
    assert "2 tables were made with other settings (face.parquet: every 1, now 2)" in told
    assert bytes_of(out) == before
    assert analyze(study, "-o", out, "--resume", "--threads", 2).exit_code == 1
    (out / "face.parquet").write_text("mine")
    result = analyze(study, "-o", out, "--resume")
    assert result.exit_code == 1 and "face.parquet" in result.stderr
    assert (out / "face.parquet").read_text() == "mine"
    result = analyze(study, "-o", out, "--resume", "--every", 2, "--overwrite")
    assert result.exit_code == 1
    assert len(pd.read_parquet(out / "none.parquet")) == 2


def test_existing_tables_are_told_in_one_sentence(study):
    assert analyze(study, "-o", "out").exit_code == 1
    result = analyze(study, "-o", "out")
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("aucli:")]
    assert line == (
        "aucli: 3 tables exist already (out/cut.parquet ...); --resume skips those that are done, "
        "--overwrite replaces them."
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("crash.mp4", "crash.mp4: the process that read it crashed (SIGSEGV); convert it again."),
        ("stall.mp4", "stall.mp4: nothing came of it for 2 s, so it was given up;"),
    ],
)
def test_a_crash_or_a_stall_costs_that_input_alone(study, name, words):
    shutil.copy(study / "face.mp4", study / name)
    result = analyze(study, "-o", "out", "--stall-timeout", 2)
    assert result.exit_code == 1
    assert words in result.stderr
    assert "2 of 4 inputs done." in result.stderr  # cut.avi is the other
    left = {path.name for path in Path("out").iterdir()}
    assert left == {"cut.parquet", "face.parquet", "none.parquet", JOURNAL}


def test_a_worker_gives_the_rows_of_this_process(study):
    files = [study / "face.mp4", study / "none.mp4"]
    assert analyze(*files, "-o", "batch", "--heatmaps", "maps").exit_code == 0
    tiny_analyzer().tables(files, "here")
    assert bytes_of(Path("batch")) == bytes_of(Path("here"))
    assert [path.name[:10] for path in Path("maps").iterdir()] == ["face_frame"]
    result = analyze(*files, "-o", "-")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 8


def test_a_worker_tells_what_is_wrong_with_its_options(study, monkeypatch):
    monkeypatch.setattr(workers, "MODULE", "aucli.worker")
    with pytest.raises(OptionError, match="every: 0 is not a whole number"):
        workers.Worker({"every": 0}).ready()
    monkeypatch.setattr(workers, "MODULE", "no_module_of_this_name")
    with pytest.raises(Exception, match="The worker process ended with 1 before its first file"):
        workers.Worker({}).ready()


def test_the_worker_ends_with_whoever_started_it(study):
    engine = workers.Worker({"threads": 1})
    process = engine._process
    assert process is not None and process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=30) == 0
    engine.close()


# The bytes that were used.


def test_the_checksum_is_of_the_bytes_that_were_read(study):
    path = study / "face.mp4"
    expected = checksum(path)
    rows = tiny_analyzer()
    with rows.open(path) as analysis:
        for _ in analysis:
            pass
        path.unlink()  # the bytes are held
        assert analysis.provenance()["input"]["sha256"] == expected
    for change in (_replace, _append, _touch):
        write_clip(path, [ONE] * 4)
        with rows.open(path) as analysis:
            batches = iter(analysis)
            next(batches)
            change(path)
            with pytest.raises(InputError, match=r"face.mp4 changed while it was read"):
                for _ in batches:
                    pass
                analysis.provenance()


def _replace(path: Path) -> None:
    other = write_clip(path.with_name("other.mp4"), [TWO] * 4)
    os.replace(other, path)


def _append(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"more")


def _touch(path: Path) -> None:
    os.utime(path, (1, 1))


def test_an_input_that_changes_leaves_no_table(study, monkeypatch):
    path = study / "face.mp4"
    original = analyzer.open_video

    def late(*arguments, **options):
        source = original(*arguments, **options)
        _append(path)
        return source

    monkeypatch.setattr(analyzer, "open_video", late)
    result = analyze(path)
    assert (result.exit_code, Path("face.parquet").exists()) == (1, False)
    assert "face.mp4 changed while it was read; analyse it again" in result.stderr


def test_a_folder_of_pictures_has_a_checksum_too(tmp_path):
    from PIL import Image

    for i in range(3):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    before = checksum(tmp_path)
    assert len(before) == 64 and checksum(tmp_path) == before
    (tmp_path / "notes.txt").write_text("no picture")
    assert checksum(tmp_path) == before
    with Original(tmp_path) as original:
        (tmp_path / "1.png").rename(tmp_path / "3.png")
        with pytest.raises(InputError, match=r"cannot be read any more|changed while"):
            original.checksum()
    assert checksum(tmp_path) != before
    assert stamp(tmp_path / "nowhere") is None


# The journal.


def test_a_torn_or_foreign_line_of_the_journal_is_passed_over(tmp_path):
    journal = Journal(tmp_path)
    entry = Entry(input="/a.mp4", label="a.mp4", table="a.parquet", state="done", frames=3)
    journal.add(entry)
    with journal.path.open("ab") as stream:
        stream.write(b'[1]\n{"input": 3}\n\xff\n' + b'{"input": "/b.mp4", "lab')
    again = Journal(tmp_path)
    assert again.latest(tmp_path / "a.parquet") == entry
    again.add(Entry(input="/c.mp4", label="c.mp4", table="c.parquet", state="failed"))
    assert Journal(tmp_path).given() == {
        "/a.mp4": tmp_path / "a.parquet",
        "/c.mp4": tmp_path / "c.parquet",
    }


def test_a_journal_that_cannot_be_written_is_told_and_the_tables_are_there(study):
    Path("out", JOURNAL).mkdir(parents=True)
    result = analyze(study / "face.mp4", study / "none.mp4", "-o", "out")
    assert result.exit_code == 1
    assert f"Cannot write out/{JOURNAL}: Is a directory" in result.stderr
    assert len(pd.read_parquet("out/face.parquet")) == 4
    with pytest.raises(OutputError):
        Journal(Path("out")).add(Entry(input="", label="", table="", state="done"))


def test_a_text_table_has_its_provenance_beside_it(study):
    assert analyze(study / "face.mp4", "--format", "csv").exit_code == 0
    told = json.loads(Path("face.csv.json").read_text())
    assert told["input"]["sha256"] == checksum(study / "face.mp4")
    assert told.pop("table_sha256") == checksum(Path("face.csv"))
    assert told == read_provenance("face.csv")
    # A file of that name that is not ours stays.
    Path("none.csv.json").write_text("mine")
    result = analyze(study / "none.mp4", "--format", "csv")
    assert result.exit_code == 1
    assert "none.csv.json exists already" in result.stderr
    assert not Path("none.csv").exists()


# Parts of videos, and what is told of them.


def test_a_part_of_a_video_keeps_its_numbers_and_times(study):
    clip = write_clip(study / "long.mp4", [ONE] * 50)  # 25 fps
    result = analyze(clip, "--start", "0:00.4", "--end", "1s", "-o", "part.csv")
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv("part.csv")
    assert table["frame"].tolist() == list(range(11, 26))
    assert table["timestamp"].iloc[0] == pytest.approx(0.4)
    assert analyze(clip, "--fps", "5", "-o", "slow.csv").exit_code == 0
    assert pd.read_csv("slow.csv")["frame"].tolist() == list(range(1, 51, 5))
    result = analyze(clip, "--start", "0:10")
    assert result.exit_code == 1
    assert "long.mp4 has no frame at or after 10 s; it lasts 2.0 s." in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--start", "abc"], "'abc' is no time; write 90, 1:30 or 0:01:30.5."),
        (["--start", "nan"], "'nan' is no time"),
        (["--start", "2", "--end", "1"], "end: 1 s is not after the start, 2 s."),
        (["--end", "0"], "end: 0.0 is not a number above 0."),
        (["--fps", "nan"], "fps: nan is not a number above 0."),
        (["--fps", "5", "--every", "2"], "fps: goes not together with every"),
    ],
)
def test_impossible_parts(study, arguments, words):
    result = analyze(study / "face.mp4", *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.replace("│", " ").split())


def test_pictures_have_no_times(study):
    from PIL import Image

    Image.new("RGB", (32, 32)).save(study / "a.png")
    result = analyze(study / "a.png", "--fps", "5")
    assert result.exit_code == 1
    assert "holds pictures, which have no times" in result.stderr


def test_so_many_frames_a_second_of_uneven_times():
    chosen = Selection(AnalyzeOptions(fps=10, start=1.0))
    pts = np.array([0.95, 1.0, 1.04, 1.1, 1.35, 1.39, 1.4])
    keep = [*chosen.keep(np.arange(4), pts[:4]), *chosen.keep(np.arange(4, 7), pts[4:])]
    assert keep == [False, True, False, True, True, False, True]


def test_levels_are_those_of_the_rows():
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 5, (200, 2))
    values[50:60] = np.nan
    frames = np.repeat(np.arange(100), 2)  # two faces each
    pts = np.repeat(np.arange(100) / 25, 2)
    levels = Levels(("AU01", "AU12"))
    for part in np.array_split(np.arange(200), 7):
        levels.add(frames[part], pts[part], values[part])
    told = levels.of_each_au()
    assert told is not None
    for column, au in zip(values.T, told, strict=True):
        assert told[au].median == pytest.approx(np.nanmedian(column), abs=0.03)
        assert told[au].p95 == pytest.approx(np.nanquantile(column, 0.95), abs=0.05)
        assert told[au].strong_seconds == pytest.approx((column >= 2).sum() / 25)
    assert Levels(("AU12",)).of_each_au() is None
    stills = Levels(("AU12",))
    stills.add(np.arange(2), np.full(2, np.nan), np.ones((2, 1)))
    assert (found := stills.of_each_au()) and found["AU12"].strong_seconds is None


@pytest.mark.parametrize(
    ("options", "fps", "step"),
    [({"fps": 0.5}, 25.0, 2.0), ({"every": 75}, 25.0, 3.0), ({}, 0.2, 5.0), ({}, 0.0, 1.0)],
)
def test_frames_that_are_seconds_apart_stand_for_all_of_their_time(options, fps, step):
    usual = Selection(AnalyzeOptions(**options)).usual_step_seconds(fps)
    levels = Levels(("AU12",), usual)
    levels.add(np.arange(10), np.arange(10) * step, np.full((10, 1), 3.0))
    told = levels.of_each_au()
    assert told is not None and told["AU12"].strong_seconds == pytest.approx(10 * step)


def test_a_dry_run_writes_nothing_and_estimates(study):
    (study / "words.mp4").write_text("no video")
    result = analyze(study, "-o", "out", "--dry-run")
    assert result.exit_code == 1, result.stderr
    assert "face.mp4 -> out/face.parquet: 4 frames" in result.stdout
    assert "words.mp4" in result.stderr and "words.mp4" not in result.stdout
    assert "MB of tables." in result.stderr
    assert not Path("out").exists()
    assert analyze(study, "gone.mp4", "-o", "out", "--dry-run").exit_code == 1
    assert not Path("out").exists()


def test_a_dry_run_times_films_and_pictures_apart(study):
    (study / "album").mkdir()
    for name in "abc":
        Image.new("RGB", (96, 64), (ONE, ONE, ONE)).save(study / f"album/{name}.png")
    result = analyze("study/face.mp4", "study/none.mp4", "-o", "out", "--dry-run")
    assert re.search(r"^About \d+ s at \d+ fps, as a", result.stderr, re.M), result.stderr
    result = analyze("study/face.mp4", "study/album", "-o", "out", "--dry-run")
    assert "2 inputs, 7 frames." in result.stderr
    pattern = r"^About \d+ s at \d+ fps for films and \d+ fps for pictures, as a"
    assert re.search(pattern, result.stderr, re.M), result.stderr


def test_a_log_has_every_message_with_its_time(study):
    result = analyze(study, "gone.mp4", "-o", "out", "--log", "logs/run.log", "-q")
    lines = Path("logs/run.log").read_text().splitlines()
    assert result.exit_code == 1
    assert any("gone.mp4 does not exist" in line for line in lines)
    assert any("warning: cut.avi: truncated" in line for line in lines)
    assert all(line[:2] == "20" for line in lines)


# Stops.


def start(*arguments: object) -> subprocess.Popen:
    command = [sys.executable, str(Path(__file__).with_name("bright_faces.py")), "analyze"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        preexec_fn=hear_signals,
    )


def wait_for(what: Callable[[], bool], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_stopped_batch_goes_on_to_the_same_tables(study, stop):
    for i in range(3):
        write_clip(study / f"slow{i}.mp4", [ONE] * 20)
    with start(study, "-o", "out", "--threads", "1") as process:
        wait_for(lambda: len(list(Path("out").glob("*.parquet"))) == 4, process)
        process.send_signal(stop)
        _, stderr = process.communicate(timeout=60)
    if stop is not signal.SIGKILL:
        assert process.returncode == 130
        assert stderr.decode().splitlines()[-1] == "aucli: interrupted"
        assert not list(Path("out").glob(".*"))
    assert analyze(study, "-o", "out", "--resume").exit_code == 1
    assert analyze(study, "-o", "whole").exit_code == 1
    assert bytes_of(Path("out")) == bytes_of(Path("whole"))


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.6, 1.2])
def test_a_stop_during_the_start_is_a_stop(study, stop, seconds):
    write_clip(study / "slow.mp4", [ONE] * 200)
    command = [sys.executable, "-m", "aucli", "analyze", study, "-o", "out"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        env=environment,
        preexec_fn=hear_signals,
    ) as process:
        time.sleep(seconds)
        process.send_signal(stop)
        _, stderr = process.communicate(timeout=60)
    # Before our first line Python itself ends by the signal; and where the stop came in the middle
    # of an extension's own Python code, Python ends by SIGINT after we are done, which is 130, too.
    if b"init_import_site" in stderr or (b"Traceback" in stderr and b"in main\n" not in stderr):
        return  # Python was still reading files before our first line
    assert process.returncode in (130, -signal.SIGINT, -stop), stderr
    # A quick computer has done the first inputs by then.
    last = stderr.splitlines()[-1:]
    assert last in ([b"aucli: interrupted"], []) or process.returncode == -stop
    assert b"Traceback" not in stderr


@pytest.mark.parametrize(
    ("redirect", "code", "words"),
    [
        ("-o - >&-", 1, "aucli: The standard output is closed; name a file.\n"),
        ("-o t.csv -q >&-", 0, ""),
        ("-o t.csv 2>&-", 0, ""),
        ("- <&-", 2, "the list on stdin is empty."),
    ],
)
def test_closed_streams(study, redirect, code, words):
    script = f"{sys.executable} {Path(__file__).with_name('bright_faces.py')} analyze"
    where = "" if redirect.startswith("- ") else f"{study}/face.mp4"
    result = subprocess.run(
        ["sh", "-c", f"{script} --threads 1 {where} {redirect}"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (result.returncode, words in result.stderr) == (code, True), result.stderr


def test_an_empty_environment(study):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from aucli.__main__ import main; main()"
    command = [sys.executable, "-c", code, "analyze", str(study / "face.mp4"), "-o", "t.csv"]
    result = subprocess.run(command, env={}, capture_output=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "There is not enough memory; close other programs"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"),
            "There is",
        ),
        (RuntimeError("CUDA out of memory. Tried to"), "There is not enough memory"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "There is"),
    ],
)
def test_lack_of_memory_is_a_sentence(study, monkeypatch, error, words):
    def load(options):
        raise error

    monkeypatch.setattr(analyzer, "load_networks", load)
    result = analyze(study / "face.mp4")
    assert (result.exit_code, result.stderr[: len(f"aucli: {words}")]) == (1, f"aucli: {words}")


def test_names_once_given_stay(study):
    assert analyze(study / "face.mp4", "-o", "out/").exit_code == 0
    shutil.copy(study / "none.mp4", study / "face.avi")
    assert analyze(study / "face.avi", "-o", "out").exit_code == 0
    assert len(pd.read_parquet("out/face.parquet")) == 4
    assert len(pd.read_parquet("out/face.avi.parquet")) == 3


def test_the_batch_itself_loads_no_torch():
    code = (
        "import sys, aucli.cli.progress, aucli.pipeline.batch, aucli.pipeline.inputs, aucli.worker,"
        " aucli.pipeline.workers, aucli.pipeline.options, aucli.pipeline.resume;"
        " sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_a_folder_of_tables_that_goes_away_costs_the_table_in_work(study):
    engine = tiny_analyzer()

    def rows(job, on_frames=None):
        result = yield from engine.rows(job, on_frames)
        if job.input.label == "face.mp4":
            shutil.rmtree("out")
        return result

    jobs = [
        Job(Input(study / name, name), Path("out", name).with_suffix(".parquet"))
        for name in ("face.mp4", "none.mp4")
    ]
    face, none = run_batch(
        [InProcess(rows)], jobs, engine.columns, TableSettings(), journal=Journal(Path("out"))
    )
    assert str(face.error) == (
        "Cannot write out/face.parquet: No such file or directory; choose another place."
    )
    assert (face.state, none.state) == ("stopped", "done")
    assert [entry["state"] for entry in entries(Path("out"))] == ["stopped", "done"]


def test_a_log_never_takes_the_place_of_an_input_or_a_table(study):
    before = (study / "face.mp4").read_bytes()
    for log in (study / "face.mp4", "t.csv", "t.csv.json"):
        result = analyze(study / "face.mp4", "-o", "t.csv", "--log", log)
        assert result.exit_code == 2, result.stderr
    assert analyze(study, "-o", "out", "--log", Path("out", JOURNAL)).exit_code == 2
    Path("mine.mp4").write_text("a film")
    result = analyze(study / "face.mp4", "-o", "t.csv", "--log", "mine.mp4")
    assert result.exit_code == 2 and "mine.mp4 is there and is no log; name" in result.stderr
    assert Path("mine.mp4").read_text() == "a film"
    assert (study / "face.mp4").read_bytes() == before
    assert not Path("t.csv").exists()
    result = analyze(study / "face.mp4", "--log", "/dev/full")
    assert "/dev/full cannot be written any more" in result.stderr


def test_resume_never_replaces_the_table_of_another_input(study):
    other = study.parent / "other"
    other.mkdir()
    write_clip(other / "face.mp4", [ONE] * 6)
    assert analyze(study / "face.mp4", "-o", "out/").exit_code == 0
    before = bytes_of(Path("out"))
    assert analyze(other / "face.mp4", "-o", "out", "--resume").exit_code == 0
    after = bytes_of(Path("out"))
    assert after["face.parquet"] == before["face.parquet"]
    assert len(after) == 2


def test_a_text_table_that_was_changed_is_not_done(study):
    files = [study / "face.mp4", study / "none.mp4"]
    assert analyze(*files, "-o", "out", "--format", "csv").exit_code == 0
    whole = Path("out/face.csv").read_bytes()
    Path("out/face.csv").write_bytes(whole[: len(whole) // 2])
    result = analyze(*files, "-o", "out", "--format", "csv", "--resume")
    assert result.exit_code != 0
    assert "face.csv cannot be read (it was changed after it was written)" in result.stderr


def test_pictures_that_are_missing_are_drawn_by_a_resumed_run(study):
    files = [study / "face.mp4", study / "none.mp4"]
    assert analyze(*files, "-o", "out").exit_code == 0
    result = analyze(*files, "-o", "out", "--resume", "--heatmaps", "maps")
    assert result.exit_code == 0
    assert list(Path("maps").glob("face_frame*.png")), result.stderr
    assert "1 of them by an earlier run" in result.stderr  # none.mp4 has no face to draw


def test_a_note_of_a_stop_does_not_hide_what_is_done(study):
    engine = tiny_analyzer()
    engine.tables(study / "face.mp4", "out/", resume=True)
    (again,) = engine.tables(study / "face.mp4", "out/")
    assert again.state == "stopped"
    (again,) = engine.tables(study / "face.mp4", "out/", resume=True)
    assert again.earlier is not None and again.ok


def test_no_table_takes_the_journals_name(study):
    shutil.copy(study / "face.mp4", study / "_aucli-run.mp4")
    assert analyze(study, "-o", "out", "--format", "jsonl").exit_code == 1
    assert Path("out/_aucli-run.mp4.jsonl").exists()
    assert len(entries(Path("out"))) == 4
