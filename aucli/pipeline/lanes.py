"""Several engines that do the jobs of a batch at the same time, each one after the other."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from aucli.pipeline.summary import OnFrames

END_SECONDS = 10.0  # that a thread has to come back after a stop
# Of results that are wanted in order: how far ahead of the first that is missing.
JOBS_AHEAD = 128

J = TypeVar("J", contravariant=True)
T = TypeVar("T")

# Runs a function soon, in the thread of whoever reads the results.
Call = Callable[..., None]


class Engine(Protocol):
    """What does jobs, one at a time. tries: how often a job is begun whose worker is lost."""

    @property
    def tries(self) -> int: ...

    def rows(self, job: Any, on_frames: OnFrames | None = None) -> Any:
        """See :class:`aucli.pipeline.batch.Rows`."""
        ...

    def draw(self, job: Any, on_frames: OnFrames | None = None) -> tuple[Path, ...]:
        """Draw the overlay of a job whose table is there; returns its files."""
        ...

    def cut(self, job: Any) -> Any:
        """Where to cut the video of a job, :class:`aucli.pipeline.segments.Cut`; None where it
        stays whole."""
        ...

    def part(self, job: Any, on_frames: OnFrames | None = None) -> Any:
        """The rows of a part of a video; see :meth:`aucli.Analyzer.part`."""
        ...

    def ready(self) -> None:
        """Wait until it can do a job; raises where it cannot."""
        ...

    def close(self) -> None:
        """End at once, also while another thread waits for it."""
        ...


@dataclass(frozen=True, slots=True)
class Pieces:
    """A job in pieces, for several engines. Each is called with an engine and a way to call
    functions in the reader's thread; the one that is done last returns what came of the job, the
    others None."""

    pieces: Sequence[Callable[[Engine, Call], Any]]


class Stopped(BaseException):
    """The reader of the results has left."""


def side_by_side(
    engines: Sequence[Engine],
    jobs: Sequence[J],
    work: Callable[[Engine, J, Call], T | Pieces],
    in_order: bool = False,
    on_lost: Callable[[Exception], None] = lambda error: None,
) -> Iterator[T]:
    """What came of each job, as they are done; with in_order in the order of the jobs.

    work: does one, with an engine and a way to call functions in our thread, or returns the pieces
    that it is to be done in, which come before other jobs. Each engine has a
    thread, but for a single one, which works in ours. on_lost: called for an engine that does not
    start; the others do its jobs. What ``work`` raises is raised here.
    When the loop is left early the engines are closed and their threads joined.
    """
    if len(engines) == 1:
        for job in jobs:
            result: Any = work(engines[0], job, _at_once)
            if isinstance(result, Pieces):
                result = [piece(engines[0], _at_once) for piece in result.pieces][-1]
            yield result
        return
    lanes = _Lanes(engines, jobs, work, in_order)
    done: dict[int, T] = {}
    try:
        lanes.start()
        for turn in range(len(jobs)):
            while turn not in done:
                match lanes.events.get():
                    case "call", (function, arguments):
                        function(*arguments)
                    case "lost", error:
                        on_lost(error)
                    case "raised", error:
                        raise error
                    case "done", (number, result):
                        done[number if in_order else turn] = result
            yield done.pop(turn)
            lanes.move_on()
    finally:
        lanes.end()


def _at_once(function: Callable[..., Any], *arguments: Any) -> None:
    function(*arguments)


class _Lanes:
    """The threads, and what they tell."""

    def __init__(
        self,
        engines: Sequence[Engine],
        jobs: Sequence[Any],
        work: Callable[[Engine, Any, Call], Any],
        in_order: bool,
    ) -> None:
        self.events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._engines = engines
        self._jobs = jobs
        self._work = work
        self._ahead = JOBS_AHEAD if in_order else len(jobs)
        self._change = threading.Condition()
        self._begun = 0
        self._undecided = 0  # jobs in work that may come in pieces
        self._pieces: deque[tuple[int, Callable[[Engine, Call], Any]]] = deque()
        self._taken = 0  # by our reader
        self._running = len(engines)
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._lane, args=(engine,), daemon=True) for engine in engines
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def move_on(self) -> None:
        """A result was taken, so another job may begin."""
        with self._change:
            self._taken += 1
            self._change.notify_all()

    def end(self) -> None:
        """Stop, also in the middle of the jobs."""
        with self._change:
            self._stopped = True
            self._change.notify_all()
        for engine, thread in zip(self._engines, self._threads, strict=True):
            if thread.is_alive():
                engine.close()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(END_SECONDS)

    def _lane(self, engine: Engine) -> None:
        try:
            while self._is_able(engine):
                task = self._next()
                if task is None:
                    return
                number, piece = task
                if piece is not None:
                    result = piece(engine, self._call)
                else:
                    result = self._work(engine, self._jobs[number], self._call)
                    self._decide(number, result)
                if result is not None and not isinstance(result, Pieces):
                    self.events.put(("done", (number, result)))
        except BaseException as error:
            # Whatever it is, it belongs to the reader: a dead thread would leave it waiting.
            self.events.put(("raised", error))

    def _decide(self, number: int, result: Any) -> None:
        with self._change:
            self._undecided -= 1
            if isinstance(result, Pieces):
                self._pieces.extend((number, piece) for piece in result.pieces)
            self._change.notify_all()

    def _call(self, function: Callable[..., Any], *arguments: Any) -> None:
        if self._stopped:
            raise Stopped
        self.events.put(("call", (function, arguments)))

    def _is_able(self, engine: Engine) -> bool:
        """Whether to give it another job. The last one gets them all, whatever it says, so that
        each job is told what is wrong."""
        try:
            engine.ready()
        except Exception as error:
            with self._change:
                if self._stopped:
                    return False
                if self._running > 1:
                    self._running -= 1
                    self.events.put(("lost", error))
                    return False
        return True

    def _next(self) -> tuple[int, Callable[[Engine, Call], Any] | None] | None:
        """The number of the next job, once it may begin, or of a piece and the piece; None where
        there is none."""
        with self._change:
            self._change.wait_for(
                lambda: (
                    self._stopped
                    or self._pieces
                    or self._may_begin()
                    or (self._begun == len(self._jobs) and not self._undecided)
                )
            )
            if self._stopped or not (self._pieces or self._may_begin()):
                self._running -= 1
                return None
            if self._pieces:
                return self._pieces.popleft()
            self._begun += 1
            self._undecided += 1
            return self._begun - 1, None

    def _may_begin(self) -> bool:
        return self._begun < min(len(self._jobs), self._taken + self._ahead)
