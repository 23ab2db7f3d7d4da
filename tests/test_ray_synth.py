"""``aucli synth --engine ray``: the same shards from Ray tasks, also when one is killed.

Run as a script it renders small shards: FOLDER OUT COUNT.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bright_faces import hear_signals
from test_jobs import ENVIRONMENT, wait_for
from test_ray import below, left_over
from typer.testing import CliRunner

from aucli.cli import app
from aucli.errors import AucliError

SHARD_SIZE = 2


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in for the face model; here. Skips where nothing can be rendered."""
    pytest.importorskip("ray")
    pytest.importorskip("moderngl", reason="the extra 'synth' is not installed")
    from toy_face_model import write_toy_model

    from aucli.synth.ict import load_ict
    from aucli.synth.mesh import FaceMesh
    from aucli.synth.renderer import Renderer

    monkeypatch.chdir(tmp_path)
    Path("toy").mkdir()
    folder = write_toy_model(Path("toy"))
    try:
        Renderer(FaceMesh(load_ict(folder)))
    except AucliError as error:
        pytest.skip(str(error))
    return folder


def start(*command: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=ENVIRONMENT, preexec_fn=hear_signals,
    )  # fmt: skip


def at_work(process: subprocess.Popen) -> list[int]:
    titles = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in below(process.pid)}
    return [pid for pid, title in titles.items() if b"ray::_called" in title]


def render(folder: Path, out: str, count: int, here: bool) -> int:
    from aucli.cluster import RayTasks
    from aucli.synth.generate import SynthConfig, generate

    config = SynthConfig(count, seed=4, shard_size=SHARD_SIZE)
    if here:
        return generate({"ict": folder}, Path(out), config, processes=1)
    with RayTasks(2) as tasks:
        return generate({"ict": folder}, Path(out), config, engine=tasks)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="lists processes by /proc")
def test_the_shards_are_those_without_ray_also_where_a_task_is_killed(toy):
    before = left_over()
    with start(__file__, toy, "out", 24) as process:
        wait_for(lambda: list(Path("out").glob("*.parquet")) and at_work(process), process)
        os.kill(at_work(process)[0], signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=250)
    assert (process.returncode, stdout) == (0, b"24\n"), stderr.decode()
    assert left_over() <= before
    assert render(toy, "whole", 24, here=True) == 24
    names = sorted(path.name for path in Path("whole").iterdir())
    assert len(names) == 13 and names == sorted(path.name for path in Path("out").iterdir())
    for name in names:
        assert Path("out", name).read_bytes() == Path("whole", name).read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="lists processes by /proc")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_the_tasks(toy, stop):
    before = left_over()
    command = ["synth", "--ict", toy, "--out", "out", "--count", "9999", "--engine", "ray"]
    with start("-m", "aucli", *command, "--processes", "2") as process:
        wait_for(lambda: at_work(process), process)
        started = list(below(process.pid))
        process.send_signal(stop)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr.splitlines()[-1]) == (130, b"aucli: interrupted")
    assert [path.name for path in Path("out").iterdir()] == ["manifest.json"]
    assert left_over() <= before
    deadline = time.monotonic() + 30
    while [pid for pid in started if Path(f"/proc/{pid}/cmdline").exists()]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def synth(*arguments: object):
    command = ["synth", "--ict", "toy", "--out", "out", *map(str, arguments)]
    return CliRunner().invoke(app, command)


def test_without_ray_there_is_a_sentence(toy, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    result = synth("--engine", "ray")
    assert (result.exit_code, result.stderr) == (
        1,
        "aucli: Ray is missing; run `pip install 'aucli[ray]'`, or take the local engine.\n",
    )
    assert not Path("out").exists()


def test_addresses_that_do_not_go(toy):
    result = synth("--ray-address", "auto")
    assert result.exit_code == 2 and "it goes with --engine ray" in result.stderr
    result = synth("--engine", "ray", "--ray-address", "ray://head:10001")
    assert result.exit_code == 2 and "HOST:PORT of the cluster itself" in result.stderr
    assert not Path("out").exists()


if __name__ == "__main__":
    print(render(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), here=False))
