"""How long a frame lasts; every duration of statistics and events rests on this one rule."""

import numpy as np

from aucli.pipeline.summary import LONGEST_STEP_SECONDS

# A step this many times the usual one is a gap, where the usual one is itself a second or more.
LONGEST_STEPS = 1.5


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
    longest = max(LONGEST_STEP_SECONDS, LONGEST_STEPS * float(np.median(steps)))
    steps = steps.clip(0, longest)
    return np.append(steps, steps[-1])
