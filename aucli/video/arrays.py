"""Frames that are in memory already."""

from collections.abc import Generator
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from aucli.errors import InputError
from aucli.records import FrameBatch, VideoInfo
from aucli.video.source import FrameSource


class ArraySource(FrameSource):
    """An array of frames as one film, or as unrelated pictures where it has no times.

    frames: (N, H, W, 3) uint8 RGB. pts_seconds: (N,) rising, or None. Raises InputError for
    anything else.
    """

    def __init__(
        self, frames: np.ndarray, pts_seconds: ArrayLike | None, label: str, batch_size: int
    ) -> None:
        check_frames(frames)
        count, height, width = frames.shape[:3]
        self.unrelated = pts_seconds is None
        if pts_seconds is None:
            self._pts_seconds = np.full(count, np.nan)
        else:
            self._pts_seconds = check_times(pts_seconds, count)
        info = VideoInfo(Path(label), "array", "array", width, height, 0.0, count, 0.0)
        super().__init__(info, batch_size)
        self._frames = frames

    def _batches(self) -> Generator[FrameBatch, None, None]:
        index = np.arange(len(self._frames), dtype=np.int64)
        for start in range(0, len(index), self.batch_size):
            part = slice(start, start + self.batch_size)
            yield FrameBatch(self._frames[part], index[part], self._pts_seconds[part])


def check_frames(frames: np.ndarray) -> None:
    """Raise InputError for what is not (N, H, W, 3) uint8 with at least one pixel a frame."""
    shape, dtype = getattr(frames, "shape", None), getattr(frames, "dtype", None)
    if not isinstance(frames, np.ndarray) or frames.ndim != 4 or dtype != np.uint8:
        got = f"{shape} {dtype}" if shape is not None else type(frames).__name__
        raise InputError(f"frames must be a numpy array (N, H, W, 3) of uint8 RGB, got {got}.")
    if frames.shape[3] != 3 or not frames.shape[1] or not frames.shape[2]:
        raise InputError(f"frames must be (N, H, W, 3), with pixels, got {shape}.")


def check_times(pts_seconds: ArrayLike, count: int, after: float = -np.inf) -> np.ndarray:
    """(N,) float64 that rises, all later than ``after``. Raises InputError."""
    try:
        times = np.asarray(pts_seconds, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"pts_seconds must be {count} numbers of seconds.") from error
    if times.shape != (count,) or not np.isfinite(times).all():
        raise InputError(
            f"pts_seconds must be {count} finite numbers, one for each frame, got {times.shape}."
        )
    falls = np.flatnonzero(np.diff(times, prepend=after) <= 0)
    if len(falls):
        before = times[falls[0] - 1] if falls[0] else after
        raise InputError(
            f"pts_seconds must rise from frame to frame: {times[falls[0]]:g} follows {before:g}."
        )
    return times
