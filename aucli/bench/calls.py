"""Calls of the networks while a video is analysed: how many, of what size, how long."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aucli.pipeline.loading import Networks

Shape = tuple[int, ...]


def clock_of(threads: int) -> Callable[[], float]:
    """By which calls of so many threads are timed: CPU time where there is one, so that other
    programs do not count. Windows tells that in steps of 16 ms, too coarse for a kernel."""
    return time.thread_time if threads == 1 and sys.platform != "win32" else time.perf_counter


@dataclass(slots=True, eq=False)
class Calls:
    """Calls of one network, counted while it is :func:`watched`.

    net: the network, or a library's detector, whose inside nobody sees. shapes: of the pixels, with
    the number of calls. seconds: from call to answer; cpu_seconds: of the calling thread.
    """

    net: Any
    shapes: Counter[Shape] = field(default_factory=Counter)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, shape: Shape, seconds: float, cpu_seconds: float) -> None:
        """One more call; from any thread."""
        with self._lock:
            self.shapes[shape] += 1
            self.seconds += seconds
            self.cpu_seconds += cpu_seconds

    @property
    def is_library(self) -> bool:
        """Whether nobody sees the inside."""
        return hasattr(self.net, "detect")

    @property
    def calls(self) -> int:
        return self.shapes.total()

    @property
    def items(self) -> int:
        """Crops or pictures in all calls."""
        return sum(shape[0] * calls for shape, calls in self.shapes.items())


def networks_of(networks: Networks) -> dict[str, Any]:
    """The networks of a run by their names, each once; a library's detector as it is."""
    faces = networks.faces
    named = {networks.au.name or "AU network": networks.au.net}
    if (watcher := getattr(faces, "watcher", None)) is not None:
        named.setdefault(watcher.model.name, watcher.model.net)
    for role, part in (("detector", "detector"), ("landmarks", "landmarker")):
        holder = getattr(faces, part, None)
        if holder is not None:
            named.setdefault(faces.provenance[role]["name"], getattr(holder, "net", holder))
    return named


@contextmanager
def watched(networks: Networks) -> Iterator[dict[str, Calls]]:
    """Count and time the calls of each network of a run, by its name, until the block ends."""
    calls = {name: Calls(net) for name, net in networks_of(networks).items()}
    before = {name: type(one.net) for name, one in calls.items()}
    for one in calls.values():
        # A class of its own: the network stays what it is for all that look at it.
        own = type(one.net)
        timed = {
            name: _timed(getattr(own, name), one)
            for name in ("__call__", "look", "detect")
            if hasattr(own, name)
        }
        one.net.__class__ = type(own.__name__, (own,), timed)
    try:
        yield calls
    finally:
        for name, one in calls.items():
            one.net.__class__ = before[name]


def _timed(method: Callable[..., Any], calls: Calls) -> Callable[..., Any]:
    def call(self: Any, pixels: Any, *arguments: Any, **words: Any) -> Any:
        start, cpu_start = time.perf_counter(), time.thread_time()
        answer = method(self, pixels, *arguments, **words)
        seconds, cpu_seconds = time.perf_counter() - start, time.thread_time() - cpu_start
        # A library's detector takes frames, which may differ in size.
        shape = tuple(pixels.shape) if hasattr(pixels, "shape") else (len(pixels),)
        calls.add(shape, seconds, cpu_seconds)
        return answer

    return call
