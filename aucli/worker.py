"""Another process that does the jobs of a batch, one at a time.

A decoder may crash or never come back, on one damaged file in thousands. Here it costs that file
alone: the process is started again, with its networks, for the next one. The batch itself
(:func:`aucli.pipeline.batch.run_batch`), its tables and its messages stay with us.

Between the two run pickled messages over the standard streams: ('rows', job) or ('draw', job)
there, and back ('ready', columns, recipe), then per job ('frames', done, declared), ('alive',),
('rows', batch), and at last ('done', (outcome, provenance)), of an overlay ('done', files), or
('error', exception).
"""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pyarrow as pa

import aucli.errors
from aucli.errors import AucliError, InputError, as_memory_lack
from aucli.pipeline.batch import Bug, Job, RowStream
from aucli.pipeline.summary import OnFrames

if TYPE_CHECKING:
    from aucli.pipeline.options import OptionWords  # loads torch, which this side does without

STALL_SECONDS = 60.0
MODULE = "aucli.worker"  # its main() is the other process
_GONE = ("gone",)


class Worker:
    """An :class:`aucli.Analyzer` in another process; ``rows``, ``columns`` and ``recipe`` are its.

    stall_seconds: a job without a sign of life for so long is given up; 0 waits for ever. A context
    manager: leaving it ends the process. Raises what ``Analyzer(**options)`` raises.
    """

    def __init__(self, options: "OptionWords", stall_seconds: float = STALL_SECONDS) -> None:
        self._options = options
        self._stall_seconds = stall_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._messages: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._start()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process at once."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                cast(BinaryIO, pipe).close()

    def rows(self, job: Job, on_frames: OnFrames | None = None) -> RowStream:
        """The rows of a job; see :class:`aucli.pipeline.batch.Rows`.

        Raises InputError where the process dies over the job or stalls.
        """
        asked = self._asked("rows", job, on_frames)
        try:
            while True:
                yield next(asked)
        except StopIteration as end:
            return end.value
        finally:
            asked.close()

    def draw(self, job: Job, on_frames: OnFrames | None = None) -> tuple[Path, ...]:
        """Draw the overlay of a job whose table is there; returns its files.

        Raises what :func:`aucli.report.overlay.overlay_of_table` raises, and InputError as
        :meth:`rows`.
        """
        asked = self._asked("draw", job, on_frames)
        try:
            next(asked)
        except StopIteration as end:
            return end.value
        raise AssertionError("an overlay has no rows")

    def _asked(
        self, what: str, job: Job, on_frames: OnFrames | None
    ) -> Generator[pa.RecordBatch, None, Any]:
        """The rows that come of a job, and at the end its result."""
        if self._process is None:
            self._start()
        finished = False
        try:
            self._send((what, job))
            for message in self._until_done(job):
                match message:
                    case "rows", batch:
                        yield batch
                    case "frames", done, declared if on_frames is not None:
                        on_frames(done, declared)
                    case "done", result:
                        finished = True
                        return result
                    case "error", error:
                        finished = True
                        raise error
        finally:
            if not finished:  # whatever it does now is for nobody
                self.close()
        raise AssertionError("a job ends with a message")

    def _start(self) -> None:
        self._messages = queue.SimpleQueue()
        # With our own search path: the current folder may hold files named as our modules.
        code = f"import sys; sys.path[:] = {sys.path!r}; import {MODULE} as worker; worker.main()"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        threading.Thread(
            target=_receive, args=(self._process.stdout, self._messages), daemon=True
        ).start()
        try:
            self._send(self._options)
            message = self._messages.get()
            if message[0] == "error":
                raise message[1]
            if message == _GONE:
                raise AucliError(f"The worker process {self._end()} before its first file.")
            _, self.columns, self.recipe = message
        except BaseException:
            self.close()
            raise

    def _send(self, item: Any) -> None:
        assert self._process is not None and self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its end is told by the other pipe
            pickle.dump(item, self._process.stdin)
            self._process.stdin.flush()

    def _until_done(self, job: Job) -> Iterator[tuple[Any, ...]]:
        name = job.input.path
        while True:
            try:
                message = self._messages.get(timeout=self._stall_seconds or None)
            except queue.Empty:
                raise InputError(
                    f"{name}: nothing came of it for {self._stall_seconds:g} s, so it was given "
                    "up; convert it again."
                ) from None
            if message == _GONE:
                raise InputError(
                    f"{name}: the process that read it {self._end()}; convert it again."
                )
            yield message

    def _end(self) -> str:
        assert self._process is not None
        code = self._process.wait()
        if code >= 0:
            return f"ended with {code}"
        if -code == signal.SIGKILL:
            return "was killed, perhaps for lack of memory"
        return f"crashed ({signal.Signals(-code).name})"


def _receive(pipe: BinaryIO, messages: "queue.SimpleQueue[tuple[Any, ...]]") -> None:
    try:
        while True:
            messages.put(pickle.load(pipe))
    except Exception:  # cut in the middle, or closed by us
        messages.put(_GONE)


def main() -> None:
    """Be the other process: options on stdin, then jobs, until stdin ends."""
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
    try:
        from aucli.analyzer import Analyzer

        analyzer = Analyzer(**received.get())
    except Exception as error:
        send("error", _portable(error))
        return
    send("ready", analyzer.columns, analyzer.recipe)
    while True:
        what, job = received.get()

        def on_frames(done: int, declared: int) -> None:
            send("frames", done, declared)

        def on_batch() -> None:
            send("alive")

        try:
            if what == "draw":
                send("done", draw(job, on_frames, on_batch))
                continue
            rows = analyzer.rows(job, on_frames=on_frames, on_batch=on_batch)
            while True:
                send("rows", next(rows))
        except StopIteration as end:
            send("done", end.value)
        except Exception as error:
            send("error", _portable(error))


def draw(
    job: Job, on_frames: OnFrames, on_batch: Callable[[], None] = lambda: None
) -> tuple[Path, ...]:
    """Draw the overlay of a job out of its table; see
    :func:`aucli.report.overlay.overlay_of_table`."""
    from aucli.report.overlay import overlay_of_table

    assert job.target is not None and job.overlay is not None
    return overlay_of_table(
        job.input.path,
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


def _portable(error: Exception) -> Exception:
    """The error as one that the other side can load: the nearest class of ours, or a bug's text."""
    error = as_memory_lack(error) or error
    for kind in type(error).__mro__:
        if issubclass(kind, AucliError) and kind.__module__ == aucli.errors.__name__:
            return kind(str(error))
    return Bug("".join(traceback.format_exception(error)))


if __name__ == "__main__":
    main()
