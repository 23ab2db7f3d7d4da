"""What a worker does: an Analyzer that does jobs, one at a time, and tells of them in messages.

:func:`main` is the other process of :class:`aucli.pipeline.workers.Worker`; :class:`Served` becomes
a Ray actor (:mod:`aucli.cluster`).
"""

import contextlib
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aucli.errors
from aucli.errors import AucliError, as_memory_lack
from aucli.pipeline import cores
from aucli.pipeline.batch import Bug, Job
from aucli.pipeline.original import Original
from aucli.pipeline.summary import OnFrames

if TYPE_CHECKING:
    from aucli.analyzer import Analyzer


def main() -> None:
    """Be the other process: options and cores on stdin, then jobs, until stdin ends."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # whoever started us decides
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    back = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the messages
    lock = threading.Lock()

    def send(*message: Any) -> None:
        with lock:
            back.write(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))
            back.flush()

    received: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read_stdin, args=(received,), daemon=True).start()
    options, share = received.get()
    cores.take_share(share)
    try:
        from aucli.analyzer import Analyzer  # may fail for lack of memory

        analyzer = Analyzer(**options)
    except Exception as error:
        send("error", portable(error))
        return
    send("ready", analyzer.columns, analyzer.recipe)
    while True:
        what, job = received.get()
        do(analyzer, what, job, send)


class Served:
    """An Analyzer that is asked from afar, in a process of its own.

    share: of the computer's cores. folder: in which the names of inputs begin, where it is there.
    """

    def __init__(self, options: Any, share: int, folder: str) -> None:
        self._options = options
        cores.take_share(share)
        with contextlib.suppress(OSError):
            os.chdir(folder)

    def ready(self) -> tuple[Any, ...]:
        """Load the networks: ('ready', columns, recipe), or ('error', exception)."""
        try:
            from aucli.analyzer import Analyzer

            self._analyzer = Analyzer(**self._options)
        except Exception as error:
            return "error", portable(error)
        return "ready", self._analyzer.columns, self._analyzer.recipe

    def serve(self, what: str, job: Job) -> Iterator[list[tuple[Any, ...]]]:
        """Do a job; its messages, those together that came while nobody asked."""
        said: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()

        def send(*message: Any) -> None:
            said.put(message)

        arguments = self._analyzer, what, job, send
        threading.Thread(target=do, args=arguments, daemon=True).start()
        messages: list[tuple[Any, ...]] = [("begun",)]
        while messages[-1][0] not in ("done", "error"):
            messages = [said.get()]
            while not said.empty():
                messages.append(said.get())
            yield messages


def do(analyzer: "Analyzer", what: str, job: Job, send: Callable[..., None]) -> None:
    """Do one job, 'rows', 'cut', 'part' or 'draw', and send what comes of it."""

    def on_frames(done: int, declared: int) -> None:
        send("frames", done, declared)

    def on_batch() -> None:
        send("alive")

    try:
        if what == "draw":
            send("done", draw(job, on_frames, on_batch))
            return
        if what == "cut":
            send("done", analyzer.cut(job, on_batch))
            return
        rows = getattr(analyzer, what)(job, on_frames=on_frames, on_batch=on_batch)
        while True:
            send("rows", next(rows))
    except StopIteration as end:
        send("done", end.value)
    except Exception as error:
        send("error", portable(error))


def draw(
    job: Job,
    on_frames: OnFrames = lambda done, declared: None,
    on_batch: Callable[[], None] = lambda: None,
) -> tuple[Path, ...]:
    """Draw the overlay of a job out of its table; see
    :func:`aucli.report.overlay.overlay_of_table`."""
    from aucli.report.overlay import overlay_of_table

    assert job.target is not None and job.overlay is not None
    with Original(job.input.path, on_batch) as original, original.named():
        return overlay_of_table(
            original.path,
            job.target,
            job.overlay,
            overwrite=True,  # what was not to be replaced was refused before
            on_frames=on_frames,
            on_batch=on_batch,
        )


def _read_stdin(received: "queue.SimpleQueue[Any]") -> None:
    try:
        while True:
            received.put(pickle.load(sys.stdin.buffer))
    except BaseException:
        os._exit(0)  # nobody waits for us any more, even in the middle of a job


def portable(error: Exception) -> Exception:
    """The error as one that the other side can load: the nearest class of ours, or a bug's text."""
    error = as_memory_lack(error) or error
    for kind in type(error).__mro__:
        if issubclass(kind, AucliError) and kind.__module__ == aucli.errors.__name__:
            return kind(str(error))
    return Bug("".join(traceback.format_exception(error)))


if __name__ == "__main__":
    main()
