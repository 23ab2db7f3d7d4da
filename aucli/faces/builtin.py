"""The project's own face detector and landmark network behind the two protocols."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Union

import numpy as np

from aucli.align import (
    LANDMARK_CROP_SCALE,
    apply_matrices,
    face_boxes,
    invert_matrices,
    square_matrices,
    warp_crops,
)
from aucli.aus import MIRROR_68
from aucli.faces.boxes import decode_boxes
from aucli.faces.confirm import MAX_HIDDEN, hidden_shares
from aucli.faces.feeding import flatten, join, resized, runs_of_one_size, scaled_size, split
from aucli.faces.protocols import Boxes, Frames, Shapes
from aucli.models.catalogue import NETWORKS
from aucli.models.onnx import OnnxNetwork
from aucli.models.pixels import PixelScale
from aucli.pose import fit_pose

if TYPE_CHECKING:
    from aucli.models.detector import FaceDetectorNet
    from aucli.models.landmark import LandmarkNet
    from aucli.models.reading import TorchNetwork

LONG_SIDE = 320
FINE_LONG_SIDE = 640
# Generous, because the landmark network verifies every candidate.
SCORE_THRESHOLD = 0.15
DETECTOR_BATCH = 16
LANDMARK_BATCH = 64

# A crop of less than this shows nothing, and a box without extent has no crop at all.
MIN_BOX_PX = 4.0
# Where a face lies off the middle of its crop by more than this share of it, the look does not
# count; below it, the crop is within the shifts seen in training.
RECENTRE_SHIFT = 0.10

# Below it a followed face may be something else: a name on a video call's tile reaches .95. Of the
# faces of seven clips a quarter lie below it where a hand hides half of the face, under 1 %
# elsewhere.
SURE_CONFIDENCE = 0.97

LANDMARK_CROP = NETWORKS["landmarks"].crop_size


def _in_torch(
    net: "FaceDetectorNet | LandmarkNet", pixels: PixelScale, device: str, reads: str
) -> "TorchNetwork":
    from aucli.models import reading  # takes seconds, which exported networks save
    from aucli.models.blocks import ready

    return reading.TorchNetwork(ready(net, device), pixels, device, getattr(reading, reads))


class BuiltinDetector:
    """``FaceDetectorNet`` on frames scaled to a long side of 320 px (640 for a fine search).

    net: trained weights loaded, or exported ones. device: a torch device name. threshold: least
    score of a candidate. sha256: of the weights, for provenance. pixels: as the weights were
    trained with; exported ones know it. Frames of one size are batched.
    """

    def __init__(
        self,
        net: Union["FaceDetectorNet", OnnxNetwork],
        device: str = "cpu",
        threshold: float = SCORE_THRESHOLD,
        sha256: str = "",
        pixels: PixelScale = NETWORKS["detector"].pixels,
    ) -> None:
        exported = isinstance(net, OnnxNetwork)
        self.net = net if exported else _in_torch(net, pixels, device, "read_detector")
        self.sha256, self.threshold = sha256, threshold

    def detect(self, frames: Frames, fine: bool = False) -> list[Boxes]:
        """See :class:`aucli.faces.protocols.Detector`; scores are the centre's probability."""
        long_side = FINE_LONG_SIDE if fine else LONG_SIDE
        return [
            found
            for run in runs_of_one_size(frames, DETECTOR_BATCH)
            for found in self._detect_same_size(run, long_side)
        ]

    def _detect_same_size(self, frames: Sequence[np.ndarray], long_side: int) -> list[Boxes]:
        height, width = frames[0].shape[:2]
        size = scaled_size(frames[0], long_side / max(height, width))
        output = self.net(np.stack([resized(frame, size) for frame in frames]))["boxes"]
        # (x + 0.5) scales, because pixel centres are at integers.
        ratio = np.array([width / size[1], height / size[0]] * 2)
        return [
            (((boxes + 0.5) * ratio - 0.5).astype(np.float32), scores)
            for boxes, scores in decode_boxes(output, self.threshold)
        ]


@dataclass(frozen=True, slots=True)
class Confidence:
    """Logistic combination of what the landmark network knows about a crop.

    probability = sigmoid(bias + face_logit * f + spread * log(s) + shape * log(r)), with f the
    net's face logit, s the mean spread of the 68 heatmaps and r the residual of the mean shape's
    pose fit. The default is the face logit alone.
    """

    bias: float = 0.0
    face_logit: float = 1.0
    spread: float = 0.0
    shape: float = 0.0

    @classmethod
    def from_card(cls, card: Mapping) -> "Confidence":
        """Read the coefficients under the weights card's key "confidence", if it has one."""
        values = card.get("confidence") or {}
        return cls(**{f.name: float(values[f.name]) for f in fields(cls) if f.name in values})

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(n, 3) of :func:`confidence_features` -> (n,) float32 0-1; 0 for NaN."""
        logit = self.bias + features @ np.array([self.face_logit, self.spread, self.shape])
        probability = 1 / (1 + np.exp(-np.clip(logit, -30, 30)))
        return np.nan_to_num(probability, nan=0.0).astype(np.float32)


def confidence_features(
    face_logit: np.ndarray, spread: np.ndarray, landmarks: np.ndarray
) -> np.ndarray:
    """What :class:`Confidence` combines.

    face_logit: (n,). spread: (n, 68) of ``heatmaps.decode_landmarks``. landmarks: (n, 68, 2) px.
    Returns (n, 3) float64: face logit, log mean spread, log residual of the pose fit.
    """
    residual = fit_pose(landmarks).residual
    columns = [face_logit, np.log(spread.mean(1) + 1e-3), np.log(residual + 1e-3)]
    return np.stack(columns, 1).astype(np.float64)


class BuiltinLandmarker:
    """``LandmarkNet`` on square crops of 128 px.

    net: trained weights loaded, or exported ones. confidence: how its outputs become a probability;
    see :class:`Confidence`. pixels: as the weights were trained with; exported ones know it.
    """

    def __init__(
        self,
        net: Union["LandmarkNet", OnnxNetwork],
        device: str = "cpu",
        confidence: Confidence | None = None,
        sha256: str = "",
        pixels: PixelScale = NETWORKS["landmarks"].pixels,
    ) -> None:
        exported = isinstance(net, OnnxNetwork)
        self.net = net if exported else _in_torch(net, pixels, device, "read_landmarks")
        self.sha256, self.confidence = sha256, confidence or Confidence()

    def locate(self, frames: Frames, boxes: Sequence[np.ndarray]) -> list[Shapes]:
        """Two looks, at the candidate's box and then mirrored and centred on the landmarks found.

        A mirrored look errs in other ways, so that the mean of both is better than either: it lies
        nearer to the truth and takes fewer things for faces.
        """
        faces, counts = flatten(frames, boxes)
        crops = join(boxes, (4,))
        first, clues = self._look(faces, crops)
        again = face_boxes(first)
        found, features = self._look(faces, again, mirrored=True)
        centred = ~_moved(crops, again)
        found[centred] = (first[centred] + found[centred]) / 2
        features[centred] = (clues[centred] + features[centred]) / 2
        return split(found, self.confidence(features), counts)

    def follow(self, frames: Frames, landmarks: Sequence[np.ndarray]) -> list[Shapes]:
        """One look at the old landmarks' crop, a second one for the faces that moved much."""
        faces, counts = flatten(frames, landmarks)
        crops = face_boxes(join(landmarks, (68, 2)))
        found, features = self._look(faces, crops)
        again = face_boxes(found)
        moved = _moved(crops, again)
        if moved.any():
            where = np.flatnonzero(moved)
            found[where], features[where] = self._look([faces[i] for i in where], again[where])
        return split(found, self.confidence(features), counts)

    def _look(
        self, faces: list[np.ndarray], boxes: np.ndarray, mirrored: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """A frame and a crop box (n, 4) px for each face -> landmarks (n, 68, 2) px and features
        (n, 3) of :func:`confidence_features`, NaN for a crop that shows nothing."""
        landmarks = np.zeros((len(faces), 68, 2), np.float32)
        features = np.zeros((len(faces), 3))
        for start in range(0, len(faces), LANDMARK_BATCH):
            part = slice(start, start + LANDMARK_BATCH)
            matrices = square_matrices(_at_least(boxes[part]), LANDMARK_CROP, LANDMARK_CROP_SCALE)
            crops = warp_crops(faces[part], matrices, LANDMARK_CROP)  # (n, 128, 128, 3)
            told = self.net(crops[:, :, ::-1] if mirrored else crops)
            points = told["landmarks"]
            if mirrored:
                points = points[:, MIRROR_68] * [-1, 1] + [LANDMARK_CROP - 1, 0]
            features[part] = confidence_features(told["face_logit"], told["spread"], points)
            features[part][hidden_shares(crops, points) > MAX_HIDDEN] = np.nan
            landmarks[part] = apply_matrices(points, invert_matrices(matrices))
        return landmarks, features


def _moved(crops: np.ndarray, again: np.ndarray) -> np.ndarray:
    """(n,) bool: whether the landmarks' boxes (n, 4) px lie elsewhere than their crops were cut."""
    side = (crops[:, 2:] - crops[:, :2]).max(1)
    return np.abs(again - crops).max(1) > RECENTRE_SHIFT * side


def _at_least(boxes: np.ndarray) -> np.ndarray:
    """(n, 4) boxes, the smallest ones widened to MIN_BOX_PX about their centres."""
    short = np.clip(MIN_BOX_PX - (boxes[:, 2:] - boxes[:, :2]), 0, None) / 2
    return boxes + np.concatenate([-short, short], 1)
