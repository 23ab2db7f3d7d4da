"""``aucli analyze --jobs N``: several inputs at the same time, and what a fault or a stop costs."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from bright_faces import NONE, ONE, TWO, hear_signals, tiny_analyzer, tiny_networks, write_clip
from typer.testing import CliRunner, Result

from aucli import analyzer
from aucli.cli import app
from aucli.errors import AucliError, MemoryLackError, OptionError
from aucli.pipeline import cores, lanes, workers
from aucli.pipeline.batch import InProcess
from aucli.pipeline.journal import JOURNAL, Journal
from aucli.pipeline.lanes import side_by_side
from aucli.pipeline.workers import put_able_first
from aucli.table.reading import read_table

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of five clips, of which the second takes a second more; here, tiny networks."""
    folder = tmp_path / "study"
    folder.mkdir()
    write_clip(folder / "a.mp4", [ONE] * 4)
    write_clip(folder / "slow.mp4", [TWO] * 20)  # in the middle of the order
    write_clip(folder / "t.mp4", [NONE] * 3)
    write_clip(folder / "u.mp4", [ONE, TWO, NONE])
    write_clip(folder / "v.mp4", [TWO] * 5)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(analyzer, "load_networks", lambda options: tiny_networks())
    monkeypatch.setattr(workers, "MODULE", "bright_worker")
    return folder


def analyze(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["analyze", "--threads", "1", *map(str, arguments)])


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file but the journal, which tells times."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != JOURNAL
    }


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_the_tables_are_those_of_one_job(study, form):
    arguments = [study, "--faces", "all", "--sides", "--format", form]
    assert analyze(*arguments, "-o", "one").exit_code == 0
    for jobs in (2, 3):
        result = analyze(*arguments, "-o", f"many{jobs}", "--jobs", jobs)
        assert result.exit_code == 0, result.stderr
        assert "5 of 5 inputs done." in result.stderr
        assert bytes_of(Path(f"many{jobs}")) == bytes_of(Path("one"))
    assert {entry.state for entry in Journal(Path("many2")).entries()} == {"done"}
    assert len(Journal(Path("many2")).entries()) == 5


@pytest.mark.parametrize("out", ["all.csv", "all.parquet", "-"])
def test_one_table_has_the_inputs_in_their_order(study, out):
    (study / "b.mp4").write_text("no video")
    told = []
    for jobs in (1, 3):
        result = analyze(study, "-o", out, "--overwrite", "--jobs", jobs)
        assert result.exit_code == 1
        told.append(result.stdout.encode() if out == "-" else Path(out).read_bytes())
        assert "5 of 6 inputs done." in result.stderr
    assert told[0] == told[1]
    if out != "-":
        videos = read_table(Path(out))["video"].unique().tolist()
        assert videos == ["a.mp4", "slow.mp4", "t.mp4", "u.mp4", "v.mp4"]


@pytest.mark.parametrize("name", ["crash.mp4", "stall.mp4"])
def test_a_crash_or_a_stall_costs_that_input_alone(study, name):
    shutil.copy(study / "a.mp4", study / name)
    result = analyze(study, "-o", "out", "--jobs", 2, "--stall-timeout", 3)
    assert result.exit_code == 1
    assert f"study/{name}: " in result.stderr and "5 of 6 inputs done." in result.stderr
    states = {Path(e.input).name: e.state for e in Journal(Path("out")).entries()}
    assert states.pop(name) == "failed"
    assert set(states.values()) == {"done"} and len(states) == 5


def test_overlays_are_drawn_by_each_worker(study):
    result = analyze(study, "-o", "out", "--jobs", 2, "--overlay")
    assert result.exit_code == 0, result.stderr
    assert len(list(Path("out").glob("*.overlay.mp4"))) == 5


def test_an_analyzer_writes_tables_with_several_workers(study):
    own = tiny_analyzer(faces="all")
    told = []
    outcomes = own.tables(study, "many/", jobs=2, on_outcome=told.append)
    assert [outcome.ok for outcome in outcomes] == [True] * 5 and told == outcomes
    own.tables(study, "one/")
    assert bytes_of(Path("many")) == bytes_of(Path("one"))
    wrong: Any
    for wrong in (-1, 1.5, True):
        with pytest.raises(OptionError, match=r"jobs: .* is not a whole number of 0 or more"):
            own.tables(study, "many/", jobs=wrong)


def test_the_number_of_jobs_and_their_share_of_the_cores(monkeypatch):
    monkeypatch.setattr(workers, "usable_cores", lambda: 8)
    counts = [workers.count_jobs(asked, inputs) for asked, inputs in
              [(1, 9), (3, 9), (20, 9), (0, 9), (0, 2), (4, 0)]]  # fmt: skip
    assert counts == [1, 3, 9, 4, 2, 1]
    monkeypatch.setattr(cores, "_share", 3)
    assert cores.usable_cores() == 3
    cores.take_share(0)
    assert 1 <= cores.usable_cores() <= (os.cpu_count() or 1)
    assert analyze("a.mp4", "--jobs", -1).exit_code == 2


# A kill and a stop.


def start(*arguments: object) -> subprocess.Popen:
    command = [sys.executable, str(Path(__file__).with_name("bright_faces.py")), "analyze"]
    return subprocess.Popen(
        [*command, *map(str, arguments), "--threads", "1", "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        preexec_fn=hear_signals,
    )


def wait_for(what: Callable[[], object], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)


def children(process: subprocess.Popen) -> list[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not listed.exists():
        pytest.skip("the system does not list children")
    return [int(pid) for pid in listed.read_text().split()]


def test_a_worker_that_is_killed_costs_its_file_alone(study):
    for i in range(4):
        write_clip(study / f"slow{i}.mp4", [ONE] * 20)
    with start(study, "-o", "out") as process:
        wait_for(lambda: len(list(Path("out").glob("*.parquet"))) >= 2, process)
        wait_for(lambda: len(list(Path("out").glob(".slow*.part"))) == 2, process)
        os.kill(children(process)[0], signal.SIGKILL)
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 1
    assert b"was killed, perhaps for lack of memory; try it again, with fewer jobs.\n" in stderr
    assert "8 of 9 inputs done." in stderr.decode()
    assert not list(Path("out").glob(".*"))
    assert len(list(Path("out").glob("*.parquet"))) == 8
    states = [entry.state for entry in Journal(Path("out")).entries()]
    assert sorted(states) == ["done"] * 8 + ["stopped"]  # the file is not at fault
    assert analyze(study, "-o", "out", "--resume", "--jobs", 2).exit_code == 0
    assert analyze(study, "-o", "whole").exit_code == 0
    assert bytes_of(Path("out")) == bytes_of(Path("whole"))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_worker_that_is_killed_before_its_first_file(study, tmp_path, monkeypatch, jobs):
    """The others do its jobs; where there is none, a sentence says so."""
    (tmp_path / "dying_worker.py").write_text(
        "import os\n"
        "import bright_worker\n"
        "try:\n"
        "    os.mkdir('killed')\n"
        "    main = lambda: os.kill(os.getpid(), 9)\n"
        "except FileExistsError:\n"
        "    main = bright_worker.main\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(workers, "MODULE", "dying_worker")
    result = analyze(study, "-o", "out", "--jobs", jobs)
    if jobs == 1:
        assert (result.exit_code, result.stderr) == (
            1,
            "aucli: The worker process was killed, perhaps for lack of memory, before its first "
            "file; give the command again, with fewer jobs.\n",
        )
    else:
        assert result.exit_code == 0 and "5 of 5 inputs done." in result.stderr


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_batch_goes_on_to_the_same_tables(study, stop):
    for i in range(4):
        write_clip(study / f"slow{i}.mp4", [ONE] * 20)
    with start(study, "-o", "out") as process:
        wait_for(lambda: len(list(Path("out").glob("*.parquet"))) >= 2, process)
        running = children(process)
        process.send_signal(stop)
        _, stderr = process.communicate(timeout=60)
    if stop is not signal.SIGKILL:
        assert process.returncode == 130
        assert stderr.decode().splitlines()[-1] == "aucli: interrupted"
        assert not list(Path("out").glob(".*"))
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}/cmdline").exists() for pid in running):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert analyze(study, "-o", "out", "--resume", "--jobs", 2).exit_code == 0
    assert analyze(study, "-o", "whole").exit_code == 0
    assert bytes_of(Path("out")) == bytes_of(Path("whole"))


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_nothing_of_an_overlay(study, stop):
    write_clip(study / "film.mp4", [ONE] * 3)
    with start(study, "-o", "out", "--overlay") as process:
        wait_for(lambda: list(Path("out").glob(".film.overlay.mp4.part")), process)
        process.send_signal(stop)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr.decode()
    assert not list(Path("out").glob(".*"))


def test_a_reader_that_leaves_ends_the_workers(study):
    command = f"{sys.executable} {Path(__file__).with_name('bright_faces.py')} analyze"
    result = subprocess.run(
        ["sh", "-c", f"{command} {study} --threads 1 --jobs 2 -q -o - | head -2"],
        capture_output=True, text=True, env=ENVIRONMENT, timeout=120,
    )  # fmt: skip
    assert len(result.stdout.splitlines()) == 2 and "Traceback" not in result.stderr


# Several engines in general.


class Engine(InProcess):
    """Does nothing; may refuse to start."""

    error: Exception = AucliError("no room")

    def __init__(self, able: bool = True) -> None:
        super().__init__(lambda job, on_frames=None: iter(()))  # pyright: ignore
        self.able = able
        self.did: list[int] = []
        self.closed = threading.Event()

    def ready(self) -> None:
        if not self.able:
            raise self.error

    def close(self) -> None:
        self.closed.set()


def test_the_jobs_of_an_engine_that_does_not_start_are_done_by_the_others():
    engines = [Engine(False), Engine(), Engine(False)]
    lost: list[Exception] = []

    def work(engine, job, call):
        time.sleep(0.01)
        engine.did.append(job)
        return 10 * job

    found = side_by_side(engines, range(20), work, in_order=True, on_lost=lost.append)
    assert list(found) == [10 * job for job in range(20)]
    assert [engine.did for engine in engines] == [[], list(range(20)), []]
    assert list(map(str, lost)) == ["no room"] * 2
    # Where none starts, the last one is asked for every job, and tells what is wrong.
    found = side_by_side([Engine(False), Engine(False)], range(3), lambda e, job, call: job)
    assert sorted(found) == [0, 1, 2]


def test_those_that_can_start_come_first():
    unable, able, other = engines = [Engine(False), Engine(), Engine(False)]
    found: Any = [*engines]
    unable.error = other.error = MemoryLackError("no memory")
    put_able_first(found)
    assert found == [able, other, unable]
    for error, many in ((MemoryLackError("no memory"), 2), (OptionError("wrong"), 3)):
        unable.error, found = error, [unable, other, able][:many]
        with pytest.raises(type(error)):  # nobody can, or nobody ever could
            put_able_first(found)


def test_what_is_ahead_of_its_turn_is_bounded(monkeypatch):
    monkeypatch.setattr(lanes, "JOBS_AHEAD", 3)
    begun: list[int] = []
    first = threading.Event()

    def work(engine, job, call):
        begun.append(job)
        if job == 0:
            first.wait(10)
        return job

    found = side_by_side([Engine(), Engine()], range(9), work, in_order=True)
    threading.Timer(0.3, lambda: (most.append(len(begun)), first.set())).start()
    most: list[int] = []
    assert list(found) == list(range(9)) and most == [3]


def test_calls_come_in_the_thread_of_the_reader_and_faults_reach_it():
    threads: list[threading.Thread] = []

    def work(engine, job, call):
        call(lambda: threads.append(threading.current_thread()))
        if job == 5:
            raise ZeroDivisionError("bug")
        return job

    engines = [Engine(), Engine()]
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(engines, range(9), work))
    assert set(threads) == {threading.current_thread()}


def test_a_loop_that_is_left_closes_the_engines_at_work():
    def work(engine, job, call):
        if job:
            engine.closed.wait(30)
        return job

    engines = [Engine(), Engine()]
    found = side_by_side(engines, range(9), work)
    assert next(found) == 0
    start = time.monotonic()
    found.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert all(engine.closed.is_set() for engine in engines)
    assert time.monotonic() - start < 10


def test_the_provenance_is_that_of_this_process(study):
    """The provenance names the options that were given, not the share of the cores."""
    assert analyze(study, "-o", "many", "--jobs", 2, "--every", 2).exit_code == 0
    tiny_analyzer(every=2).tables(study, "one/")
    assert bytes_of(Path("many")) == bytes_of(Path("one"))
    assert len(set(pd.read_parquet("many/slow.parquet")["frame"])) == 10
