"""The worker process of a batch, with the tiny networks of ``bright_faces``.

The name of an input chooses a fault: ``bug``, ``crash``, ``stall``, ``slow``, ``film``, whose
overlay is never done, or ``once``, which stalls the first time. Of a video in parts ``kill`` kills
the process that reads the second part, once. What happens once leaves a file beside the input.
"""

import os
import signal
import time

from bright_faces import tiny_networks

from aucli import analyzer, worker
from aucli.files import write_whole

original = analyzer.Analyzer.rows


def first(job, mark):
    """Whether this is the first time, which leaves a file ``mark`` beside the input."""
    beside = job.input.path.with_name(mark)
    if beside.exists():
        return False
    beside.touch()
    return True


def rows(self, job, on_frames=None, on_batch=lambda: None):
    name = job.input.path.name
    if name.startswith("bug"):
        raise ZeroDivisionError("bug")
    found = original(self, job, on_frames, on_batch)
    yield next(found)
    if name.startswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if name.startswith("stall"):
        time.sleep(1000)
    if name.startswith("once") and first(job, "stalled"):
        time.sleep(1000)
    if name.startswith("slow"):
        time.sleep(1)
    return (yield from found)


original_part = analyzer.Analyzer.part


def part(self, job, on_frames=None, on_batch=lambda: None):
    name = job.input.path.name
    found = original_part(self, job, on_frames, on_batch)
    yield next(found)
    if name.startswith("kill") and job.part.number == 1 and first(job, "killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("slow"):
        time.sleep(1)
    return (yield from found)


original_draw = worker.draw


def draw(job, *on):
    if job.input.path.name.startswith("film"):
        with write_whole(job.overlay.with_name(f"{job.overlay.name}.overlay.mp4")):
            time.sleep(1000)
    return original_draw(job, *on)


worker.draw = draw
analyzer.Analyzer.rows = rows
analyzer.Analyzer.part = part
analyzer.load_networks = lambda options: tiny_networks()
main = worker.main


class Served(worker.Served):
    """Loaded by its name in a Ray worker, which so gets the tiny networks, too."""
