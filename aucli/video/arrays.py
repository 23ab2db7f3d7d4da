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

    array: (N, H, W, 3) uint8 RGB. pts_seconds: (N,) rising, or None. Raises InputError for
    anything else.
    """

    def __init__(
        self, array: ArrayLike, pts_seconds: ArrayLike | None, label: str, batch_size: int
    ) -> None:
        frames = as_frames(array)
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


def as_frames(given: ArrayLike, one: bool = False) -> np.ndarray:
    """(N, H, W, 3) uint8 with at least one pixel a frame. one: (H, W, 3) is a single frame.

    Raises InputError for anything else.
    """
    try:
        frames = np.asarray(given)
    except ValueError as error:
        raise InputError("Frames must all have the same size (H, W, 3).") from error
    frames = frames[None] if one and frames.ndim == 3 else frames
    right = frames.ndim == 4 and frames.dtype == np.uint8 and frames.shape[3] == 3
    if not right or not frames.shape[1] or not frames.shape[2]:
        raise InputError(
            "Frames must be (N, H, W, 3) uint8 RGB, with pixels, "
            f"got {frames.shape} {frames.dtype}."
        )
    return frames


def check_times(pts_seconds: ArrayLike, count: int, after: float = -np.inf) -> np.ndarray:
    """(N,) float64 that rises, all later than ``after``. Raises InputError."""
    times = np.atleast_1d(np.asarray(pts_seconds))
    if times.dtype.kind not in "iuf" and times.size:
        raise InputError(f"pts_seconds must be numbers of seconds, got {times.dtype}.")
    times = times.astype(np.float64)
    if times.shape != (count,):
        raise InputError(
            f"pts_seconds must be {count} numbers, one for each frame, got {times.shape}."
        )
    if not np.isfinite(times).all():
        raise InputError("pts_seconds must be finite; some are NaN or infinite.")
    falls = np.flatnonzero(np.diff(times, prepend=after) <= 0)
    if len(falls):
        before = times[falls[0] - 1] if falls[0] else after
        raise InputError(
            f"pts_seconds must rise from frame to frame: {times[falls[0]]:g} follows {before:g}."
        )
    return times
