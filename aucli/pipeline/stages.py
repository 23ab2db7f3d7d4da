"""Bounded channels between threads: the plumbing under the pipeline.

A stage is an iterator that runs in a thread of its own. The reader sees its items in order and, at
the place where it failed, its own error. Closing a channel from either end stops the other.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from aucli.pipeline.cores import usable_cores

T = TypeVar("T")

# Stages that run networks at the same time. More threads than cores make each wait for the others
# at the end of every layer, many times slower on a busy machine.
NETWORK_STAGES = 2


def threads_of_stage(threads: int) -> int:
    """CPU threads of torch in each stage that runs networks. threads: of all; 0 is one a core."""
    return max(1, (threads or usable_cores()) // NETWORK_STAGES)


def threads_of_exported(threads: int) -> int:
    """CPU threads of an exported network, at most one a core. threads: of all; 0 is one a core.

    It may have all: its threads sleep while they wait, and one stage does most of the work.
    """
    cores = usable_cores()
    return min(threads or cores, cores)


class _Closed(Exception):
    """The other end of a channel is gone."""


class Stage(Generic[T]):
    """Runs ``work`` in a thread, at most ``ahead`` items before its reader. A context manager.

    ``seconds`` is the time that ``work`` spent on its items, without waiting for its reader; time
    that it spends waiting for another stage is subtracted through ``source``. ``cpu_seconds`` is
    the CPU time of its thread, known once that has ended; libraries may have threads of their own.
    """

    def __init__(
        self, name: str, work: Iterator[T], ahead: int, source: "Stage | None" = None
    ) -> None:
        self.name = name
        self._work = work
        self._ahead = ahead
        self._source = source
        self._busy = 0.0
        self.waited = 0.0
        self.cpu_seconds = 0.0
        self._items: deque[T] = deque()
        self._change = threading.Condition()
        self._ended = False
        self._closed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"aucli-{name}", daemon=True)

    @property
    def seconds(self) -> float:
        """Time at work so far."""
        return max(0.0, self._busy - (self._source.waited if self._source else 0.0))

    def __enter__(self) -> "Stage[T]":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the thread and wait for it; it ends at its next item at the latest."""
        with self._change:
            self._closed = True
            self._items.clear()
            self._change.notify_all()
        if self._source is not None:
            self._source._interrupt()  # this thread may be waiting there
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        """Items in order; raises the error of ``work`` after the items that came before it."""
        while True:
            start = time.perf_counter()
            with self._change:
                self._change.wait_for(lambda: self._items or self._ended or self._closed)
                self.waited += time.perf_counter() - start
                if self._closed:
                    raise _Closed
                if not self._items:
                    break
                item = self._items.popleft()
                self._change.notify_all()
            yield item
        if self._error is not None:
            raise self._error

    def _interrupt(self) -> None:
        with self._change:
            self._closed = True
            self._items.clear()
            self._change.notify_all()

    def _run(self) -> None:
        try:
            self._loop()
        except _Closed:
            pass
        except BaseException as error:
            # Whatever it is, it belongs to the reader: a dead thread would leave it waiting.
            self._error = error
        finally:
            self.cpu_seconds = time.thread_time()
            with self._change:
                self._ended = True
                self._change.notify_all()

    def _loop(self) -> None:
        try:
            while True:
                start = time.perf_counter()
                try:
                    item = next(self._work)
                except StopIteration:
                    return
                finally:
                    self._busy += time.perf_counter() - start
                with self._change:
                    self._change.wait_for(lambda: len(self._items) < self._ahead or self._closed)
                    if self._closed:
                        return
                    self._items.append(item)
                    self._change.notify_all()
                del item  # a frame batch kept here would outlive its use by one turn
        finally:
            close = getattr(self._work, "close", None)
            if close is not None:
                close()
