"""Boxes: non-maximum suppression and the detector's score map read into boxes.

A box is (x0, y0, x1, y1) px; pixel centres are at integer coordinates.
"""

import numpy as np
import torch
import torch.nn.functional as F

from aucli.faces.overlap import overlaps
from aucli.models.detector import DETECTOR_STRIDE, SIZE_UNIT_PX

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


def decode_boxes(
    output: torch.Tensor, threshold: float, limit: int = 64
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Read the detector's maps.

    output: (N, 5, h, w): score logit, centre offset x y in cells, log width and log height over
    32 px. Returns for each image ((n, 4) float32 xyxy px of the network's input, (n,) float32
    scores 0-1), best first, at most `limit`. A face is a cell that is the maximum of its 3x3
    neighbourhood and scores at least `threshold`; then NMS.
    """
    output = output.float()
    score = torch.sigmoid(output[:, 0])  # (N, h, w)
    peak = F.max_pool2d(score[:, None], 3, stride=1, padding=1)[:, 0] == score
    image, row, column = torch.nonzero(peak & (score >= threshold), as_tuple=True)
    values = output[image, :, row, column].cpu().double().numpy()  # (n, 5)
    scores = score[image, row, column].cpu().numpy()
    cells = torch.stack([column, row], 1).cpu().numpy()
    images = image.cpu().numpy()
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
