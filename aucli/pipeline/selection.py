"""Which frames of a video are analysed: a part of it, each Nth, so many a second."""

import math
import sys

import numpy as np

from aucli.pipeline.options import AnalyzeOptions

# Times are exact to a tick of the file's clock; a frame this little before its time is on time.
TOLERANCE_SECONDS = 1e-6


class Selection:
    """Frames chosen by ``start``, ``end``, ``every`` and ``fps``, while they pass in order."""

    def __init__(self, options: AnalyzeOptions) -> None:
        # Frames in memory may have times before 0.
        self._start = -math.inf if options.start is None else options.start
        self._end = math.inf if options.end is None else options.end
        self._every = options.every
        self._fps = options.fps
        self._slot = -sys.maxsize  # of the last frame that was taken, where so many a second are

    def keep(self, frame_index: np.ndarray, pts_seconds: np.ndarray) -> np.ndarray:
        """(N,) bool: which of the next frames to analyse.

        frame_index: (N,) 0-based. pts_seconds: (N,), NaN for pictures, which have no time and are
        chosen by their number alone.
        """
        keep = frame_index % self._every == 0
        keep &= ~(pts_seconds < self._start - TOLERANCE_SECONDS)
        keep &= ~(pts_seconds >= self._end)
        if self._fps is not None:
            for i in np.flatnonzero(keep):
                since = pts_seconds[i] - max(self._start, 0.0) + TOLERANCE_SECONDS
                slot = math.floor(since * self._fps) if math.isfinite(since) else self._slot + 1
                keep[i] = slot > self._slot
                self._slot = max(self._slot, slot)
        return keep

    def usual_step_seconds(self, frames_per_second: float) -> float:
        """Between two analysed frames of a video of so many frames a second (0: unknown)."""
        if self._fps is None:
            return self._every / frames_per_second if frames_per_second else 0.0
        return max(1 / self._fps, 1 / frames_per_second if frames_per_second else 0.0)

    def is_over(self, pts_seconds: np.ndarray) -> bool:
        """Whether no frame after these can be chosen."""
        return bool(len(pts_seconds) and pts_seconds[-1] >= self._end)
