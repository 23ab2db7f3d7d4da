"""``aucli analyze --engine ray``: the same tables from Ray actors, also when one is killed."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bright_faces import NONE, ONE, TWO, hear_signals, tiny_networks, write_clip
from test_jobs import ENVIRONMENT, analyze, bytes_of, wait_for

from aucli import analyzer, cluster
from aucli.cluster import Head, RayWorkers, _shares
from aucli.errors import AucliError, OptionError
from aucli.pipeline import cores, workers
from aucli.pipeline.journal import Journal


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of four clips, two of which take a second more; here, with tiny networks."""
    folder = tmp_path / "study"
    folder.mkdir()
    write_clip(folder / "a.mp4", [ONE] * 4)
    write_clip(folder / "slow1.mp4", [TWO] * 20)
    write_clip(folder / "slow2.mp4", [ONE] * 20)
    write_clip(folder / "t.mp4", [NONE] * 3)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(analyzer, "load_networks", lambda options: tiny_networks())
    monkeypatch.setattr(workers, "MODULE", "bright_worker")
    return folder


def start(*arguments: object) -> subprocess.Popen:
    command = [sys.executable, str(Path(__file__).with_name("bright_faces.py")), "analyze"]
    return subprocess.Popen(
        [*command, *map(str, arguments), "--threads", "1", "--engine", "ray", "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        preexec_fn=hear_signals,
    )


def below(pid: int) -> Iterator[int]:
    """Processes that a process has started, and those of these."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            yield child
            yield from below(child)


def at_work(process: subprocess.Popen) -> list[int]:
    """Actors that do a job."""
    titles = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in below(process.pid)}
    return [pid for pid, title in titles.items() if b"ray::Served.serve" in title]


def left_over() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("aucli-ray-*"))


@pytest.mark.slow
def test_a_dataset_is_that_of_a_run_without_ray(study):
    pytest.importorskip("ray")
    with start(study, "-o", "out", "--format", "dataset") as process:
        _, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr.decode()
    assert analyze(study, "-o", "whole", "--format", "dataset").exit_code == 0
    assert bytes_of(Path("out")) == bytes_of(Path("whole"))
    assert len(bytes_of(Path("out"))) == 4


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="lists processes by /proc")
def test_an_actor_that_is_killed_costs_nothing(study):
    pytest.importorskip("ray")
    before = left_over()
    with start(study, "-o", "out") as process:
        wait_for(lambda: list(Path("out").glob(".slow*.part")) and at_work(process), process)
        os.kill(at_work(process)[0], signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr.decode()
    assert stdout == b""
    assert b"the worker that read it was lost, so it is begun again." in stderr
    assert b"4 of 4 inputs done." in stderr
    assert analyze(study, "-o", "whole").exit_code == 0
    assert bytes_of(Path("out")) == bytes_of(Path("whole"))
    assert {entry.state for entry in Journal(Path("out")).entries()} == {"done"}
    assert left_over() <= before


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_batch_goes_on_with_ray_or_without(study, stop):
    pytest.importorskip("ray")
    before = left_over()
    with start(study, "-o", "out") as process:
        wait_for(lambda: list(Path("out").glob("*.parquet")), process)
        started = list(below(process.pid))
        process.send_signal(stop)
        _, stderr = process.communicate(timeout=100)
    assert (process.returncode, stderr.splitlines()[-1]) == (130, b"aucli: interrupted")
    assert not list(Path("out").glob(".*")) and left_over() <= before
    deadline = time.monotonic() + 30
    while [pid for pid in started if Path(f"/proc/{pid}/cmdline").exists()]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert analyze(study, "-o", "out", "--resume").exit_code == 0
    assert analyze(study, "-o", "whole").exit_code == 0
    assert bytes_of(Path("out")) == bytes_of(Path("whole"))


@pytest.mark.slow
def test_crashes_bugs_and_the_order_on_the_standard_output(study):
    """A file that takes each worker with it is given up; the rows of the others come in order."""
    pytest.importorskip("ray")
    write_clip(study / "bug.mp4", [ONE] * 2)
    write_clip(study / "crash.mp4", [ONE] * 2)
    (study / "words.mp4").write_text("no video")
    with start(study, "-o", "-") as process:
        stdout, stderr = process.communicate(timeout=280)
    assert process.returncode == 1
    assert (
        b"crash.mp4: the worker that read it was lost 3 times; give the workers more memory"
        in stderr
    )
    assert b"ZeroDivisionError: bug" in stderr and b"words.mp4" in stderr
    assert b"4 of 7 inputs done." in stderr
    rows = stdout.decode().splitlines()
    videos = list(dict.fromkeys(row.split(",")[0].strip('"') for row in rows[1:]))
    # Rows that came before a failure stay on the standard output.
    assert [name for name in videos if name != "crash.mp4"] == [
        "a.mp4", "slow1.mp4", "slow2.mp4", "t.mp4",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_file_whose_workers_were_lost_is_tried_again(study):
    """Ray does not tell a kill, which is no fault of the file, from a crash."""
    pytest.importorskip("ray")
    write_clip(study / "crash.mp4", [ONE] * 2)
    with start(study, "-o", "out") as process:
        _, stderr = process.communicate(timeout=280)
    assert process.returncode == 1, stderr.decode()
    states = {entry.label: entry.state for entry in Journal(Path("out")).entries()}
    assert states.pop("crash.mp4") == "stopped" and set(states.values()) == {"done"}
    assert analyze(study / "crash.mp4", "-o", "out", "--resume").exit_code == 0  # in this process
    assert Path("out/crash.parquet").exists()


def test_without_ray_there_is_a_sentence(study, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    result = analyze(study, "-o", "out", "--engine", "ray")
    assert (result.exit_code, result.stderr) == (
        1,
        "aucli: Ray is missing; run `pip install 'aucli[ray]'`, or take the local engine.\n",
    )
    assert not Path("out").exists()


def test_options_that_do_not_go_with_ray(study):
    result = analyze(study, "--ray-address", "auto")
    assert result.exit_code == 2 and "it goes with --engine ray" in result.stderr
    result = analyze(study, "--engine", "ray", "--ray-address", "ray://head:10001")
    assert result.exit_code == 2 and "HOST:PORT of the cluster itself" in result.stderr
    with pytest.raises(OptionError, match=r"Ray chooses the GPU of each worker; write cuda\."):
        RayWorkers({"device": "cuda:1"}, 1, 1)


def test_a_cluster_that_does_not_answer_is_told_at_once(study):
    pytest.importorskip("ray")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        result = analyze(study, "--engine", "ray", "--ray-address", address)
    assert (result.exit_code, result.stderr) == (
        1,
        f"aucli: Ray does not answer at {address} (Connection refused); check its address and "
        "version.\n",
    )


def test_a_head_that_is_gone_stays_gone():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        head = Head(f"127.0.0.1:{address[1]}")
        head.check()
    head.check(now=False)  # it was there just now
    sentence = r"has ended; once it runs again, give the same command again"
    with pytest.raises(AucliError, match=sentence):
        head.check()
    # Another one in its place knows nothing of our actors.
    with socket.create_server(address), pytest.raises(AucliError, match=sentence):
        head.check()


def test_a_head_that_is_busy_is_not_gone(monkeypatch):
    answers = iter([TimeoutError(), TimeoutError(), None, *[TimeoutError()] * 3])

    def knock(address: str) -> None:
        if error := next(answers):
            raise error

    monkeypatch.setattr(cluster, "_knock", knock)
    head = Head("10.0.0.1:6379")
    head.check()
    with pytest.raises(AucliError, match=r"The Ray at 10\.0\.0\.1:6379 has ended"):
        head.check()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="lists processes by /proc")
def test_a_head_that_is_killed_ends_the_batch(study):
    """Each file is told, and --resume does them."""
    pytest.importorskip("ray")
    write_clip(study / "once.mp4", [ONE] * 20)
    before = left_over()
    with start(study, "-o", "out") as process:
        wait_for(lambda: (study / "stalled").exists() and at_work(process), process)
        for pid in below(process.pid):
            if b"gcs_server" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]:
                os.kill(pid, signal.SIGKILL)
        _, stderr = process.communicate(timeout=50)  # Ray itself ends us after a minute
    assert process.returncode == 1
    assert b"has ended; once it runs again" in stderr and b"of 5 inputs done." in stderr
    assert not list(Path("out").glob(".*")) and left_over() <= before
    assert analyze(study, "-o", "out", "--resume").exit_code == 0
    assert {entry.state for entry in Journal(Path("out")).entries()} == {"done"}


class Cluster:
    """Answers for Ray: nodes of so many cores, and GPUs."""

    def __init__(self, nodes: list[int], gpus: int = 0) -> None:
        self._nodes, self._gpus = nodes, gpus

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(sum(self._nodes)), **({"GPU": self._gpus} if self._gpus else {})}

    def nodes(self) -> list[dict]:
        return [{"Resources": {"CPU": float(own)}} for own in self._nodes]


@pytest.mark.parametrize(
    ("cluster", "jobs", "expected"),
    [
        (Cluster([8, 8]), 0, (2, 0, 8)),
        (Cluster([8, 8]), 3, (2, 0, 3)),
        (Cluster([1, 1]), 0, (1, 0, 2)),
        (Cluster([64], gpus=2), 0, (2, 0.25, 8)),
        (Cluster([64], gpus=2), 3, (2, 0.5, 3)),
        (Cluster([64], gpus=4), 2, (2, 1, 2)),
    ],
)
def test_shares_of_a_cluster(cluster, jobs, expected):
    assert _shares(cluster, {}, jobs, 100, own=False) == expected
    on_cpu = _shares(cluster, {"device": "cpu"}, jobs, 100, own=False)
    assert on_cpu[1] == 0


def test_shares_of_a_ray_of_our_own(monkeypatch):
    monkeypatch.setattr(cores, "_share", 8)
    assert _shares(Cluster([8]), {}, 0, 100, own=True) == (2, 0, 4)
    assert _shares(Cluster([8]), {}, 0, 2, own=True) == (4, 0, 2)
    assert _shares(Cluster([16]), {}, 16, 100, own=True) == (1, 0, 16)


@pytest.mark.slow
def test_a_long_video_in_parts(study):
    """An actor that is killed costs its part."""
    pytest.importorskip("ray")
    write_clip(study.parent / "kill.mp4", [ONE] * 60 + [TWO] * 116, fps=1)
    before = left_over()
    with start("kill.mp4", "-o", "cut.csv", "--segments", "60") as process:
        _, stderr = process.communicate(timeout=280)
    assert process.returncode == 0, stderr.decode()
    assert b"a part of it was lost, so that part is begun again." in stderr
    assert analyze("kill.mp4", "-o", "whole.csv").exit_code == 0
    assert Path("cut.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert left_over() <= before
