"""RetinaFace behind the detector protocol: published weights, batched over frames."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from aucli.faces.boxes import WIDER_EDGES, move_edges, suppress
from aucli.faces.feeding import resized, runs_of_one_size, scaled_size
from aucli.faces.protocols import Boxes, Frames
from aucli.models.blocks import ready
from aucli.models.pixels import PixelScale
from aucli.models.retinaface import RetinaFace, decode_boxes, decode_points, priors

# Larger frames are shrunk, smaller ones left as they are: the network was trained on faces of 16 px
# and more.
LONG_SIDE = 640
FINE_LONG_SIDE = 1280
BATCH = 8

SCORE_THRESHOLD = 0.5
NMS_IOU = 0.4
# Overlapping priors of all faces together, before the suppression; a crowd of hundred has 2000.
MAX_PRIORS = 4000

Detection = tuple[np.ndarray, np.ndarray, np.ndarray]


class RetinaFaceDetector:
    """:class:`RetinaFace` on frames with a long side of at most 640 px (1280 for a fine search).

    net: trained weights loaded. card: of the weights; ``mean`` and ``std`` (RGB, pixel 0-255) and
    ``channel_order`` say how pixels enter, ``threshold``, if it is there, the least score of a
    candidate. Frames of one size are batched.
    """

    def __init__(
        self,
        net: RetinaFace,
        card: Mapping[str, Any],
        device: str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.net = ready(net, self.device)
        self.threshold = float(card.get("threshold", SCORE_THRESHOLD))
        self.pixels = PixelScale.of_card(card)
        self._bgr = card.get("channel_order", "rgb") == "bgr"

    def detect(self, frames: Frames, fine: bool = False) -> list[Boxes]:
        """See :class:`aucli.faces.protocols.Detector`; scores are the network's."""
        return [
            (move_edges(boxes, WIDER_EDGES), scores)
            for boxes, scores, _ in self.detect_points(frames, fine)
        ]

    @torch.inference_mode()
    def detect_points(self, frames: Frames, fine: bool = False) -> list[Detection]:
        """The network's own boxes (n, 4) px, scores (n,) and points (n, 5, 2) px of each frame.

        float32, best first. A box reaches from the hairline to the chin; the points are the right
        eye, the left eye, the tip of the nose, the right and the left corner of the mouth.
        """
        long_side = FINE_LONG_SIDE if fine else LONG_SIDE
        return [
            found
            for run in runs_of_one_size(frames, BATCH)
            for found in self._detect_same_size(run, long_side)
        ]

    def _detect_same_size(self, frames: Sequence[np.ndarray], long_side: int) -> list[Detection]:
        size = scaled_size(frames[0], min(1.0, long_side / max(frames[0].shape[:2])))
        small = np.stack([resized(frame, size) for frame in frames])  # (n, h, w, 3)
        images = torch.from_numpy(small).to(self.device).permute(0, 3, 1, 2)
        images = self.pixels.normalise(images)
        if self._bgr:
            images = images.flip(1)
        logits, boxes, points = self.net(images.contiguous(memory_format=torch.channels_last))
        found = decode_faces(logits, boxes, points, size, self.threshold)
        ratio = np.array([frames[0].shape[1] / size[1], frames[0].shape[0] / size[0]])
        return [
            # From px counted at the edges of the scaled image to the centres of frame px.
            (
                (boxes * np.tile(ratio, 2) - 0.5).astype(np.float32),
                scores,
                (points * ratio - 0.5).astype(np.float32),
            )
            for boxes, scores, points in found
        ]


def decode_faces(
    logits: torch.Tensor,
    boxes: torch.Tensor,
    points: torch.Tensor,
    size: tuple[int, int],
    threshold: float = SCORE_THRESHOLD,
) -> list[Detection]:
    """Read the outputs of :class:`RetinaFace` for images of ``size`` (height, width) px.

    Returns for each image (n, 4) xyxy px, (n,) scores 0-1 and (n, 5, 2) px, best first, px counted
    from the image's top left edge; float32. Priors that score at least ``threshold``, then NMS.
    """
    score = (logits[..., 1] - logits[..., 0]).sigmoid()  # the softmax of two, (N, P)
    image, prior = torch.nonzero(score >= threshold, as_tuple=True)
    at = priors(*size, logits.device)[prior]
    found = [
        x.float().cpu().numpy()
        for x in (
            decode_boxes(boxes[image, prior], at),
            score[image, prior],
            decode_points(points[image, prior], at),
        )
    ]
    images = image.cpu().numpy()
    detections = []
    for n in range(len(logits)):
        own = np.flatnonzero(images == n)
        own = own[np.argsort(-found[1][own], kind="stable")][:MAX_PRIORS]
        own = own[suppress(found[0][own], found[1][own], NMS_IOU, inside=1.0)]
        detections.append((found[0][own], found[1][own], found[2][own]))
    return detections
