"""Detection with verification: a candidate is a face when its landmarks say so.

The detector alone takes lettering and fur for faces now and then. The landmark network, looking
at a crop centred on what it found, tells them apart far better, so the detector may be generous.
"""

from collections.abc import Sequence

import numpy as np

from aucli.align import face_boxes
from aucli.faces.boxes import suppress
from aucli.faces.overlap import overlaps
from aucli.faces.protocols import Detector, Frames, Landmarker, Shapes

# Even odds: it lets no false face pass in 535 pictures without people.
MIN_CONFIDENCE = 0.5
# Bound the time spent on a frame full of texture; a crowd is counted at the thorough detections.
MAX_CANDIDATES = 32
QUICK_CANDIDATES = 6
KNOWN_OVERLAP = 0.4


def detect_faces(
    frames: Frames,
    detector: Detector,
    landmarker: Landmarker,
    min_confidence: float = MIN_CONFIDENCE,
    thorough: bool = True,
    known: Sequence[np.ndarray] | None = None,
) -> list[Shapes]:
    """Faces of each frame: candidates, landmarks on re-centred crops, verification, merging.

    frames: see :data:`~aucli.faces.protocols.Frames`. thorough: verify up to 32 candidates a frame
    instead of the 6 best, and search once more for smaller faces in the frames where nothing was
    found. known: (n, 4) boxes px for each frame that need no second look; candidates on them are
    skipped. Returns for each frame ((n, 68, 2) float32 landmarks px, (n,) float32 confidences of
    at least `min_confidence`), best first.
    """
    limit = MAX_CANDIDATES if thorough else QUICK_CANDIDATES

    def verified(frames: Frames, fine: bool, known: Sequence[np.ndarray] | None) -> list[Shapes]:
        candidates = []
        for i, (boxes, _) in enumerate(detector.detect(frames, fine=fine)):
            if known is not None and len(boxes) and len(known[i]):
                boxes = boxes[overlaps(boxes, known[i])[0].max(1) < KNOWN_OVERLAP]
            candidates.append(boxes[:limit])
        found = []
        for landmarks, confidence in landmarker.locate(frames, candidates):
            sure = confidence >= min_confidence
            found.append(merge_shapes(landmarks[sure], confidence[sure]))
        return found

    found = verified(frames, False, known)
    if thorough:
        empty = [
            i
            for i, (landmarks, _) in enumerate(found)
            if not len(landmarks) and (known is None or not len(known[i]))
        ]
        if empty:
            again = verified([frames[i] for i in empty], True, None)
            for i, shapes in zip(empty, again, strict=True):
                found[i] = shapes
    return found


def merge_shapes(landmarks: np.ndarray, confidence: np.ndarray) -> Shapes:
    """Keep one shape where several lie on the same face.

    landmarks: (n, 68, 2) px, confidence: (n,). Returns the kept ones, best first.
    """
    kept = suppress(face_boxes(landmarks), confidence)
    return landmarks[kept], confidence[kept]
