"""Cuts in a film, and whether the face after one is that of the person before.

At a cut another person's face may be where one was before, with nothing in its place or size to
tell. So the frame itself says where a cut is, and after one a face keeps its id only if it looks
the same.
"""

import numpy as np

from aucli.align import align_matrices, warp_crops

# A frame is seen as so many points across and down.
GRID = 24
# Levels of each colour in the histograms.
LEVELS = 4
# Two frames are of different scenes where their histograms share less than this, and their points
# correlate less than that: motion leaves the colours, a change of light leaves the picture. In five
# clips of one scene each, any two frames up to two seconds apart share .82 or more; frames of two
# clips share .75 and correlate .74 at most, even with one face exactly over the other.
SAME_COLOURS = 0.78
SAME_PICTURE = 0.8

# Correlation of two aligned faces, in gray. Of two people in these clips it is .77 at most; of one,
# four frames apart, more than .73 in 95 of 100.
SAME_FACE = 0.8
LOOK_PX = 32


class Scenes:
    """Tells where a film cuts, from frame to frame; :meth:`reset` before another film."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the film so far."""
        self._before: tuple[np.ndarray, np.ndarray] | None = None  # thumbnail, histogram

    def is_cut(self, frame: np.ndarray) -> bool:
        """Whether this frame, (H, W, 3) uint8, shows another scene than the one before."""
        points = thumbnail(frame)
        before, self._before = self._before, (points, _histogram(points))
        if before is None:
            return False
        shared = np.minimum(before[1], self._before[1]).sum() / GRID**2
        return shared < SAME_COLOURS and correlation(before[0], points) < SAME_PICTURE


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """(24, 24, 3) uint8: points of a frame (H, W, 3), evenly spread."""
    height, width = frame.shape[:2]
    rows, columns = ((np.arange(GRID) * 2 + 1) * side // (2 * GRID) for side in (height, width))
    return frame[rows[:, None], columns]


def _histogram(points: np.ndarray) -> np.ndarray:
    """(24, 24, 3) -> (64,) counts."""
    red, green, blue = np.moveaxis(points // (256 // LEVELS), 2, 0)
    return np.bincount(((red * LEVELS + green) * LEVELS + blue).ravel(), minlength=LEVELS**3)


def looks(frame: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(n, 32, 32) float32: faces of a frame, aligned, in gray. landmarks: (n, 68, 2) px."""
    matrices = align_matrices(landmarks, "eyes-nose", LOOK_PX)
    return warp_crops(frame, matrices, LOOK_PX).mean(3, dtype=np.float32)


def are_alike(look: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether faces may be that of one look (32, 32). others: (n, 32, 32). Returns (n,) bool."""
    return np.array([correlation(look, other) >= SAME_FACE for other in others], bool)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's, over all values; 0 where one of them is flat."""
    a, b = a - a.mean(dtype=np.float32), b - b.mean(dtype=np.float32)
    norm = np.sqrt(np.square(a).sum() * np.square(b).sum())
    return float((a * b).sum() / norm) if norm > 0 else 0.0
