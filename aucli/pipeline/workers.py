"""Other processes that do the jobs of a batch, each one job at a time.

A decoder may crash or never come back, on one damaged file in thousands. Here it costs that file
alone: the process is started again, with its networks, for the next one. The batch itself
(:func:`aucli.pipeline.batch.run_batch`), its tables and its messages stay with us.

Between the two run pickled messages over the standard streams: ('rows', job), ('cut', job),
('part', job) or ('draw', job) there, and back ('ready', columns, recipe), then per job ('frames',
done, declared), ('alive',), ('rows', batch), and at last ('done', (outcome, provenance)),
('done', cut), ('done', end) of a part, ('done', files) of an overlay, or ('error', exception). The
other side is ``aucli/worker.py``.
"""

import contextlib
import pickle
import queue
import signal
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from aucli.errors import AucliError, InputError, MemoryLackError
from aucli.files import sweep_parts
from aucli.pipeline.batch import Job, RowStream, WorkerKilled, WorkerLost
from aucli.pipeline.cores import usable_cores
from aucli.pipeline.film import PartEnd, drain
from aucli.pipeline.segments import Cut
from aucli.pipeline.summary import OnFrames
from aucli.pipeline.urls import remove_copies
from aucli.table.schema import Columns, Rows

if TYPE_CHECKING:
    from aucli.pipeline.options import OptionWords  # loads torch, which this side does without

STALL_SECONDS = 60.0
MODULE = "aucli.worker"  # its main() is the other process
CORES_PER_JOB = 2  # finding faces and reading AUs run at the same time
MOST_WORKERS = 1024  # that are looked for work for, where inputs are cut
KILLED = "was killed, perhaps for lack of memory"
_GONE = ("gone",)


class NotStarted(AucliError):
    """A worker cannot start, which another one may."""


class RemoteWorker(ABC):
    """An :class:`aucli.Analyzer` elsewhere, of which messages come back.

    ``columns`` and ``recipe`` are its, once it is :meth:`ready`. tries: how often a job is begun
    whose worker is lost.
    """

    tries = 1
    columns: Columns
    recipe: dict[str, Any]

    @abstractmethod
    def ready(self) -> None:
        """Wait until it can do a job; it is started where it does not run.

        Raises what ``Analyzer(**options)`` raises, and AucliError where it cannot be started.
        """

    @abstractmethod
    def close(self) -> None:
        """End it at once and for good, also while another thread waits for it."""

    @abstractmethod
    def _messages(self, what: str, job: Job) -> Iterator[tuple[Any, ...]]:
        """What comes back of a job. Raises InputError where nothing does."""

    @abstractmethod
    def _drop(self) -> None:
        """End what runs; the next job starts it again."""

    def rows(self, job: Job, on_frames: OnFrames | None = None) -> RowStream:
        """The rows of a job; see :class:`aucli.pipeline.batch.Rows`.

        Raises InputError where the process dies over the job or stalls.
        """
        return self._asked("rows", job, on_frames)

    def cut(self, job: Job) -> Cut | None:
        """Where to cut the video of a job; see :meth:`aucli.Analyzer.cut`.

        Raises as :meth:`rows`.
        """
        return drain(self._asked("cut", job, None), _nothing)

    def part(self, job: Job, on_frames: OnFrames | None = None) -> Generator[Rows, None, PartEnd]:
        """The rows of a part; see :meth:`aucli.Analyzer.part`. Raises as :meth:`rows`."""
        return self._asked("part", job, on_frames)

    def draw(self, job: Job, on_frames: OnFrames | None = None) -> tuple[Path, ...]:
        """Draw the overlay of a job whose table is there; returns its files.

        Raises what :func:`aucli.report.overlay.overlay_of_table` raises, and InputError as
        :meth:`rows`.
        """
        return drain(self._asked("draw", job, on_frames), _nothing)

    def _asked(self, what: str, job: Job, on_frames: OnFrames | None) -> Generator[Any, None, Any]:
        """The rows that come of a job, and at the end its result."""
        self.ready()
        finished = False
        try:
            for message in self._messages(what, job):
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
                self._drop()
                for stem in filter(None, (job.overlay, job.pictures)):  # the process wrote these
                    sweep_parts(stem.parent, stem.name)
        raise AssertionError("a job ends with a message")


W = TypeVar("W", bound=RemoteWorker)


class Worker(RemoteWorker):
    """An Analyzer in another process of this computer, which is started at once.

    stall_seconds: a job without a sign of life for so long is given up; 0 waits for ever. cores:
    its share of the CPU's; 0 takes all. A context manager: leaving it ends the process.
    """

    def __init__(
        self, options: "OptionWords", stall_seconds: float = STALL_SECONDS, cores: int = 0
    ) -> None:
        self._options = options
        self._stall_seconds = stall_seconds
        self._cores = cores
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self._closed = False
        self._lock = threading.Lock()  # of the process's start and end
        self._received: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._start()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ready(self) -> None:
        if self._process is None:
            self._start()
        if self._is_ready:
            return
        try:
            message = self._received.get()
            if message[0] == "error":
                raise message[1]
            if message == _GONE:
                end = self._end()
                if end == KILLED:
                    raise NotStarted(
                        f"The worker process {end}, before its first file; give the command again, "
                        "with fewer jobs."
                    )
                raise NotStarted(f"The worker process {end} before its first file.")
        except BaseException:
            self._drop()
            raise
        _, self.columns, self.recipe = message
        self._is_ready = True

    def close(self) -> None:
        self._closed = True
        self._drop()

    def _drop(self) -> None:
        with self._lock:
            process, self._process, self._is_ready = self._process, None, False
        if process is None:
            return
        process.kill()
        process.wait()
        remove_copies(process.pid)
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                cast(BinaryIO, pipe).close()

    def _start(self) -> None:
        received: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        # With our own search path: the current folder may hold files named as our modules.
        code = f"import sys; sys.path[:] = {sys.path!r}; import {MODULE} as worker; worker.main()"
        with self._lock:
            if self._closed:
                raise AucliError("The worker process was ended.")
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            self._process, self._received = process, received
        threading.Thread(target=_receive, args=(process.stdout, received), daemon=True).start()
        self._send((self._options, self._cores))

    def _send(self, item: Any) -> None:
        process = self._process
        if process is None:  # closed by another thread; what was received tells it
            return
        with contextlib.suppress(BrokenPipeError, ValueError):  # its end is told by the other pipe
            pickle.dump(item, cast(BinaryIO, process.stdin))
            cast(BinaryIO, process.stdin).flush()

    def _messages(self, what: str, job: Job) -> Iterator[tuple[Any, ...]]:
        name = job.input.path
        self._send((what, job))
        while True:
            try:
                message = self._received.get(timeout=self._stall_seconds or None)
            except queue.Empty:
                raise InputError(
                    f"{name}: nothing came of it for {self._stall_seconds:g} s, so it was given "
                    "up; convert it again."
                ) from None
            if message == _GONE:
                end = self._end()
                if end == KILLED:
                    raise WorkerKilled(
                        f"{name}: the process that read it {end}; try it again, with fewer jobs."
                    )
                raise WorkerLost(f"{name}: the process that read it {end}; convert it again.")
            yield message

    def _end(self) -> str:
        process = self._process
        if process is None:
            return "was ended"
        code = process.wait()
        if code >= 0:
            return f"ended with {code}"
        if -code == signal.SIGKILL:
            return KILLED
        return f"crashed ({signal.Signals(-code).name})"


class Workers(list[Worker]):
    """Several workers that share the CPU's cores; all start at the same time.

    jobs: how many, 1 or more. Raises what ``Analyzer(**options)`` raises. A context manager:
    leaving it ends the processes.
    """

    def __init__(
        self, options: "OptionWords", jobs: int, stall_seconds: float = STALL_SECONDS
    ) -> None:
        super().__init__()
        cores = max(1, usable_cores() // jobs) if jobs > 1 else 0
        try:
            for _ in range(jobs):
                self.append(Worker(options, stall_seconds, cores))
            put_able_first(self)
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self:
            worker.close()


def put_able_first(workers: list[W]) -> None:
    """Wait for the first worker that can do a job, and put those that cannot behind it; these are
    started again when their turn comes. Raises as :meth:`RemoteWorker.ready`, where none can."""
    for left in reversed(range(len(workers))):
        try:
            workers[0].ready()
        except (NotStarted, MemoryLackError):
            if not left:
                raise
            workers.append(workers.pop(0))
        else:
            return


def count_jobs(asked: int, inputs: int) -> int:
    """How many inputs to analyse at the same time, 1 or more and no more than there are.

    asked: by the user; 0 takes one for each :data:`CORES_PER_JOB` cores.
    """
    return max(1, min(asked or usable_cores() // CORES_PER_JOB, inputs))


def _nothing(block: Any) -> None:
    raise AssertionError(f"rows that nobody asked for: {block!r}")


def _receive(pipe: BinaryIO, messages: "queue.SimpleQueue[tuple[Any, ...]]") -> None:
    try:
        while True:
            messages.put(pickle.load(pipe))
    except Exception:  # cut in the middle, or closed by us
        messages.put(_GONE)
