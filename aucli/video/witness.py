"""Whether frames are lost: a hole in the times counts where the file gave an error, too.

Recordings of screens and calls have holes and are whole. Files with a harmless error are whole as
well. Only both together, at the same place, are a loss.
"""

import threading
from collections.abc import Sequence

import numpy as np
from av import logging as av_logging

# Frames between an error and the hole that it leaves: a decoder holds up to 16 frames back, and
# each of its threads one more.
REACH_FRAMES = 48
# Times of the same rate differ by a rounding; a frame that is missing doubles the step.
HOLE_STEPS = 1.6

_lock = threading.Lock()
_readers = 0
_level_before: int | None = None


class LoggedErrors:
    """Counts the errors that FFmpeg logs and does not raise. A context manager.

    The count is that of the process: a file that is read at the same time adds to it.
    """

    def __enter__(self) -> "LoggedErrors":
        global _readers, _level_before
        with _lock:
            if not _readers:
                _level_before = av_logging.get_level()
                if _level_before is None:  # nothing is counted then; PANIC counts and shows nothing
                    av_logging.set_level(av_logging.PANIC)
            _readers += 1
        self._before = self._total()
        return self

    def __exit__(self, *_: object) -> None:
        global _readers
        with _lock:
            _readers -= 1
            if not _readers:
                av_logging.set_level(_level_before)

    @staticmethod
    def _total() -> int:
        return av_logging.get_last_error()[0]

    @property
    def count(self) -> int:
        """Errors since the start."""
        return self._total() - self._before


def missing_frames(ticks: Sequence[int], errors: Sequence[int], start: int, end: int | None) -> int:
    """About how many frames are lost, from the holes that lie at an error.

    ticks: (N,) times of the frames, rising. errors: how many frames had come out at each error.
    start, end: when the file says that its first frame begins and its last one ends, in ticks; an
    end of None where it does not say.
    """
    if not errors or not ticks:
        return 0
    times = np.asarray(ticks, np.int64)
    if len(times) == 1:  # nobody knows how long one frame lasts
        return int((end is not None and end > times[0]) or start < times[0])
    usual = float(np.median(np.diff(times)))
    # A first frame at the start and a next one at the end would leave no hole.
    around = np.concatenate([[start - usual], times, [times[-1] + usual if end is None else end]])
    steps = np.diff(around)
    lost = 0
    for after in np.flatnonzero(steps > HOLE_STEPS * usual).tolist():
        if any(-1 <= after - error <= REACH_FRAMES for error in errors):
            lost += round(steps[after] / usual) - 1
    return lost
