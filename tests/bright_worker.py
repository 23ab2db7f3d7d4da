"""The worker process of a batch, with the tiny networks of ``bright_faces``.

The name of an input chooses a fault: ``bug``, ``crash``, ``stall`` or ``slow``.
"""

import os
import signal
import time

from bright_faces import tiny_networks

from aucli import analyzer, worker

original = analyzer.Analyzer.rows


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
    if name.startswith("slow"):
        time.sleep(1)
    return (yield from found)


analyzer.Analyzer.rows = rows
analyzer.load_networks = lambda options: tiny_networks()
main = worker.main


class Served(worker.Served):
    """Loaded by its name in a Ray worker, which so gets the tiny networks, too."""
