"""Views of a frame: turned by quarter turns, and with gray around it.

Detectors know upright faces with something around them. A face that lies sideways or fills the
picture is one of these in the right view.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aucli.align import apply_matrices, invert_matrices, quarter_turns, turn_matrix
from aucli.faces.feeding import resized, scaled_size
from aucli.faces.protocols import Boxes, Detector, Frames, Landmarker, Shapes

# Gray around a frame, on each side, in shares of its longer one. Of 151 faces of which nothing but
# the box was left, 150 are found with it, 149 with a sixth or a third, 63 with none.
MARGIN = 0.25
GRAY = 128
# A frame is made smaller before gray is put around it: no detector looks at more.
LONGEST_SIDE = 1280


@dataclass(frozen=True, slots=True)
class View:
    """turns: quarter turns, as ``numpy.rot90`` makes them. margin: gray around the frame, in shares
    of its longer side. fine: as for :class:`~aucli.faces.protocols.Detector`."""

    turns: int = 0
    margin: float = 0.0
    fine: bool = False


def turned(frame: np.ndarray, turns: int) -> np.ndarray:
    """A frame (H, W, 3) turned by quarter turns; its pixels are not copied."""
    return np.rot90(frame, turns) if turns else frame


def turned_back(landmarks: np.ndarray, turns: int, frame: np.ndarray) -> np.ndarray:
    """Landmarks (n, 68, 2) px of a turned frame in px of the frame (H, W, 3)."""
    if not turns:
        return landmarks
    back = invert_matrices(turn_matrix(turns, frame.shape[:2])[None])
    return apply_matrices(landmarks, back)


def candidates(detector: Detector, frames: Frames, view: View) -> list[Boxes]:
    """What the detector finds in a view of each frame, in px of the frame when it is turned."""
    if view == View(fine=view.fine):
        return detector.detect(frames, fine=view.fine)
    images, scales, borders = [], [], []
    for frame in frames:
        image = turned(frame, view.turns)
        longest = max(image.shape[:2])
        size = scaled_size(image, min(1.0, LONGEST_SIDE / longest))
        small = resized(image, size)
        border = round(view.margin * max(size))
        images.append(
            np.pad(small, ((border, border), (border, border), (0, 0)), constant_values=GRAY)
        )
        scales.append(np.array([image.shape[1] / size[1], image.shape[0] / size[0]] * 2))
        borders.append(border)
    # (x + 0.5) scales, because pixel centres are at integers.
    return [
        (((boxes - border + 0.5) * scale - 0.5).astype(np.float32), scores)
        for (boxes, scores), scale, border in zip(
            detector.detect(images, fine=view.fine), scales, borders, strict=True
        )
    ]


def locate(
    landmarker: Landmarker, frames: Frames, boxes: Sequence[np.ndarray], turns: int = 0
) -> list[Shapes]:
    """:meth:`Landmarker.locate` for boxes in px of turned frames; landmarks in those of the
    frames."""
    found = landmarker.locate([turned(f, turns) for f in frames] if turns else frames, boxes)
    return [
        (turned_back(landmarks, turns, frame), confidence)
        for frame, (landmarks, confidence) in zip(frames, found, strict=True)
    ]


def follow(landmarker: Landmarker, frames: Frames, landmarks: Sequence[np.ndarray]) -> list[Shapes]:
    """:meth:`Landmarker.follow`, with every face upright to the nearest quarter turn."""
    lying = [quarter_turns(shapes) for shapes in landmarks]
    if not any(turns.any() for turns in lying):
        return landmarker.follow(frames, landmarks)
    parts = [(i, n) for i, turns in enumerate(lying) for n in np.unique(turns).tolist()]
    looks = landmarker.follow(
        [turned(frames[i], n) for i, n in parts],
        [
            apply_matrices(landmarks[i][lying[i] == n], turn_matrix(n, frames[i].shape[:2])[None])
            for i, n in parts
        ],
    )
    found = [(shapes.copy(), np.zeros(len(shapes), np.float32)) for shapes in landmarks]
    for (i, n), (shapes, confidence) in zip(parts, looks, strict=True):
        own = lying[i] == n
        found[i][0][own] = turned_back(shapes, n, frames[i])
        found[i][1][own] = confidence
    return found
