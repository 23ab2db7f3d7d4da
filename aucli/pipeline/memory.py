"""Memory that was freed goes back to the system.

Frames are large, live briefly, and are made and freed by different threads. The C library keeps the
room between what is still in use: 195 MB in use took 536 MB after 9 seconds of a film, and 726 MB
after 54.
"""

import ctypes
import functools
from collections.abc import Callable

# A film of 360 lines frees about this many frames in two seconds.
FRAMES_BETWEEN = 512


class Memory:
    """Gives freed memory back, once in :data:`FRAMES_BETWEEN` frames."""

    def __init__(self) -> None:
        self._frames = 0

    def after(self, frames: int) -> None:
        """Count so many frames that have passed."""
        self._frames += frames
        if self._frames >= FRAMES_BETWEEN:
            self._frames = 0
            give_back()


def give_back() -> bool:
    """Whether the C library had memory to give back; False where it has no way to do so."""
    trim = _trim()
    return trim is not None and bool(trim(0))


@functools.cache
def _trim() -> Callable[[int], int] | None:
    """``malloc_trim`` of the GNU C library; None on other systems."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # musl and macOS lack it, Windows the handle
        return None
