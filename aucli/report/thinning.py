"""As many values as a screen shows, with every minimum and maximum kept.

Time is cut into equal steps. Of each step, the smallest and the largest value of a series stay, in
the order in which they came. So a curve through them fills the same pixels as the whole series, and
no peak is lost, however short. All series of a face share one list of times.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Which frames fall into each step, and what the kept values are called.

    starts: (B + 1,) the first frame of each step, and the number of frames. frames: (K,) the frame
    whose time stands for each kept value; one or two a step.
    """

    starts: np.ndarray
    frames: np.ndarray


def cut(where: np.ndarray, steps: int) -> Steps:
    """Cut frames into at most ``steps`` equal steps; as they are, where they are few.

    where: (N,) float64, seconds or frame numbers, not falling.
    """
    count = len(where)
    if count <= 2 * steps:
        return Steps(np.arange(count + 1), np.arange(count))
    span = max(float(where[-1] - where[0]), 1e-9)
    step = np.minimum(((where - where[0]) / span * steps).astype(np.int64), steps - 1)
    starts = np.append(np.flatnonzero(np.diff(step, prepend=-1)), count)
    middles = (starts[:-1] + starts[1:]) // 2
    frames = np.unique(np.concatenate([starts[:-1], middles]))
    return Steps(starts, frames)


def thin(values: np.ndarray, steps: Steps) -> np.ndarray:
    """The kept values of S series. values: (N, S), NaN where there is none. Returns (K, S)."""
    if len(steps.frames) == len(values):
        return values
    out = []
    for begin, end in zip(steps.starts[:-1].tolist(), steps.starts[1:].tolist(), strict=True):
        inside = values[begin:end]  # (n, S)
        if end - begin == 1:
            out.append(inside)
            continue
        low = np.where(np.isnan(inside), np.inf, inside).argmin(0)  # (S,)
        high = np.where(np.isnan(inside), -np.inf, inside).argmax(0)
        pair = np.sort(np.stack([low, high]), 0)  # (2, S): in the order of time
        out.append(np.take_along_axis(inside, pair, 0))
    return np.concatenate(out)
