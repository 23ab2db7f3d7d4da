"""What a face detector and a landmark network must offer; the built-in ones are one choice."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

# Frames: (N, H, W, 3) uint8 RGB, or a sequence of (H, W, 3) arrays that may differ in size.
Frames = np.ndarray | Sequence[np.ndarray]

Boxes = tuple[np.ndarray, np.ndarray]  # (n, 4) float32 xyxy px, (n,) float32 scores 0-1
Shapes = tuple[np.ndarray, np.ndarray]  # (n, 68, 2) float32 px, (n,) float32 confidences 0-1
# The same of followed faces, and (n,) objects: what was read on the way, a Reading or None.
Followed = tuple[np.ndarray, np.ndarray, np.ndarray]


class Detector(Protocol):
    """Finds candidate faces."""

    def detect(self, frames: Frames, fine: bool = False) -> list[Boxes]:
        """Candidates of each frame in frame px, best first, like :func:`aucli.align.face_boxes`.

        fine: look for smaller faces too, at a higher price. A detector with one scale ignores it.
        """
        ...


class Landmarker(Protocol):
    """Places the 68 iBUG landmarks and says how sure it is that they lie on a face."""

    def locate(self, frames: Frames, boxes: Sequence[np.ndarray]) -> list[Shapes]:
        """Landmarks of candidate boxes ((n, 4) xyxy px for each frame), in frame px.

        The confidence must come from crops centred on the face found; the candidate's own counts
        only where it is one.
        """
        ...

    def follow(self, frames: Frames, landmarks: Sequence[np.ndarray]) -> list[Shapes]:
        """Landmarks of faces that were at `landmarks` ((n, 68, 2) px a frame) shortly before."""
        ...


class Watcher(Protocol):
    """Follows faces in place of a :class:`Landmarker`, and may read them at the same time."""

    def follow(self, frames: Frames, landmarks: Sequence[np.ndarray]) -> list[Followed]:
        """As :meth:`Landmarker.follow`, with what was read."""
        ...
