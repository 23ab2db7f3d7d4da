"""How long a frame lasts; every duration of statistics and events rests on this one rule."""

import numpy as np

from aucli.pipeline.summary import longest_step_seconds


def frame_seconds(pts_seconds: np.ndarray) -> np.ndarray:
    """For how long each frame stands, from the true timestamps.

    A frame stands for the time until the next one, but for no more than a second of a gap (where
    frames are seconds apart, 1.5 times the usual step). The last frame gets the step before it, a
    single frame 0.

    pts_seconds: (N,) float64, not falling. Returns (N,) float64 seconds; NaN where there are no
    times.
    """
    if len(pts_seconds) < 2:
        return pts_seconds * 0.0
    steps = np.diff(pts_seconds)
    steps = steps.clip(0, longest_step_seconds(float(np.median(steps))))
    return np.append(steps, steps[-1])
