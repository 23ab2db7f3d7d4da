"""Boxes: non-maximum suppression and the detector's score map read into boxes.

A box is (x0, y0, x1, y1) px; pixel centres are at integer coordinates.
"""

import numpy as np

from aucli.faces.overlap import overlaps
from aucli.models.pixels import DETECTOR_STRIDE, SIZE_UNIT_PX

NMS_IOU = 0.45
# A small box inside a large one has a low IoU and is still the same face, seen as one of its parts.
NMS_INSIDE = 0.8


def suppress(
    boxes: np.ndarray, scores: np.ndarray, iou: float = NMS_IOU, inside: float = NMS_INSIDE
) -> np.ndarray:
    """Greedy non-maximum suppression.

    boxes: (n, 4) px, scores: (n,). Returns the kept indices, best score first; equal scores keep
    their order, so the result does not depend on the platform's sort.
    """
    if len(boxes) < 2:
        return np.arange(len(boxes))
    union, covered = overlaps(boxes, boxes)
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if all(union[i, k] <= iou and covered[i, k] <= inside for k in kept):
            kept.append(int(i))
    return np.array(kept, np.int64)


# How far detectors' edges (left, top, right, bottom) lie from those of ``align.face_boxes``, in
# widths and heights of their boxes: medians over 550 faces of three clips. Networks trained on
# WIDER FACE box a face from the hairline; dlib's HOG detector from the brows, in a square.
WIDER_EDGES = (0.0, 0.09, 0.0, -0.01)
DLIB_EDGES = (0.06, -0.11, -0.05, 0.04)


def move_edges(boxes: np.ndarray, shares: tuple[float, float, float, float]) -> np.ndarray:
    """Boxes (n, 4) px with each edge moved right or down by a share of the width or height."""
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return (boxes + size * np.array(shares)).astype(np.float32)


def highest_around(maps: np.ndarray) -> np.ndarray:
    """The maximum of the 3x3 neighbourhood of every cell of maps (N, h, w)."""
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    rows = np.maximum(np.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    return np.maximum(np.maximum(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:])


def decode_boxes(
    output: np.ndarray, threshold: float, limit: int = 64
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Read the detector's maps.

    output: (N, 5, h, w) float32: score logit, centre offset x y in cells, log width and log height
    over 32 px. Returns for each image ((n, 4) float32 xyxy px of the network's input, (n,) float32
    scores 0-1), best first, at most `limit`. A face is a cell that is the maximum of its 3x3
    neighbourhood and scores at least `threshold`; then NMS.
    """
    with np.errstate(over="ignore"):
        score = 1 / (1 + np.exp(-output[:, 0]))  # (N, h, w)
    images, row, column = np.nonzero((highest_around(score) == score) & (score >= threshold))
    values = output[images, :, row, column].astype(np.float64)  # (n, 5)
    scores = score[images, row, column]
    cells = np.stack([column, row], 1)
    centre = DETECTOR_STRIDE * (cells + values[:, 1:3]) + (DETECTOR_STRIDE - 1) / 2
    # exp of a wild value would overflow; no face is wider than 32 px * e^5.
    size = SIZE_UNIT_PX * np.exp(np.clip(values[:, 3:5], -5, 5))
    boxes = np.concatenate([centre - size / 2, centre + size / 2], 1).astype(np.float32)
    found = []
    for n in range(len(output)):
        own = np.flatnonzero(images == n)
        own = own[np.argsort(-scores[own], kind="stable")][:limit]
        own = own[suppress(boxes[own], scores[own])]
        found.append((boxes[own].reshape(-1, 4), scores[own].astype(np.float32)))
    return found
