"""Detection with verification: a candidate is a face when its landmarks say so.

The detector alone takes lettering and fur for faces now and then. The landmark network, looking
at a crop centred on what it found, tells them apart far better, so the detector may be generous.
Where nothing is found, other views of the frame may show more, see :mod:`aucli.faces.views`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aucli.align import face_boxes
from aucli.faces import views
from aucli.faces.boxes import suppress
from aucli.faces.overlap import overlaps
from aucli.faces.protocols import Detector, Frames, Landmarker, Shapes
from aucli.faces.views import MARGIN, View

# Even odds: it lets no false face pass in 535 pictures without people.
MIN_CONFIDENCE = 0.5
# Of a face that lies sideways or upside down: in turned pictures more things look like faces, with
# up to .87 in these pictures; of real faces 1 in 100 is below it.
TURNED_CONFIDENCE = 0.9
# Bound the time spent on a frame full of texture; a crowd is counted at the thorough detections.
MAX_CANDIDATES = 32
QUICK_CANDIDATES = 6
KNOWN_OVERLAP = 0.4

PLAIN, FINE, WIDE = View(), View(fine=True), View(margin=MARGIN)
TURNED = tuple(View(turns, MARGIN) for turns in (1, 3, 2))
TURNED_FINE = tuple(View(turns, fine=True) for turns in (1, 3, 2))


@dataclass(frozen=True, slots=True)
class Search:
    """Networks that find faces together.

    min_confidence: of a face. turned_confidence: of a face that lies sideways or upside down; None
    looks for none, where the landmark network does not tell faces from other things.
    """

    detector: Detector
    landmarker: Landmarker
    min_confidence: float = MIN_CONFIDENCE
    turned_confidence: float | None = TURNED_CONFIDENCE

    def detect(
        self,
        frames: Frames,
        thorough: bool = True,
        known: Sequence[np.ndarray] | None = None,
    ) -> list[Shapes]:
        """Upright faces of each frame: candidates, landmarks on re-centred crops, verification,
        merging.

        frames: see :data:`~aucli.faces.protocols.Frames`. thorough: verify up to 32 candidates a
        frame instead of the 6 best, and search once more for smaller faces in the frames where
        nothing was found. known: (n, 4) boxes px for each frame that need no second look;
        candidates on them are skipped. Returns for each frame ((n, 68, 2) float32 landmarks px,
        (n,) float32 confidences of at least ``min_confidence``), best first.
        """
        limit = MAX_CANDIDATES if thorough else QUICK_CANDIDATES
        found = self._verified(frames, PLAIN, known, limit)
        if thorough:
            nothing = [
                i
                for i, (landmarks, _) in enumerate(found)
                if not len(landmarks) and (known is None or not len(known[i]))
            ]
            self._add(found, frames, FINE, nothing)
        return found

    def detect_hidden(self, frames: Frames) -> list[Shapes]:
        """Faces of frames in which :meth:`detect` found none: those that fill the picture, and
        where there are none either, those that lie sideways or upside down. Returns the same."""
        found = self._verified(frames, WIDE)
        if self.turned_confidence is not None:
            nothing = [i for i, (landmarks, _) in enumerate(found) if not len(landmarks)]
            for view in TURNED:
                self._add(found, frames, view, nothing)
        return found

    def detect_all(self, frames: Frames) -> list[Shapes]:
        """Faces of unrelated pictures, large and small; where none is beyond doubt, also those that
        lie sideways or upside down. Returns the same as :meth:`detect`."""
        everywhere = list(range(len(frames)))
        found = self._verified(frames, PLAIN)
        self._add(found, frames, WIDE, everywhere)
        self._add(found, frames, FINE, everywhere)
        if self.turned_confidence is not None:
            doubtful = [
                i
                for i, (_, confidence) in enumerate(found)
                if confidence.max(initial=0) < self.turned_confidence
            ]
            for view in TURNED + TURNED_FINE:
                self._add(found, frames, view, doubtful)
        return found

    def _add(self, found: list[Shapes], frames: Frames, view: View, where: list[int]) -> None:
        """Faces that a view of some frames shows, beside those found there before."""
        if not where:
            return
        known = None if view.turns else [face_boxes(found[i][0]) for i in where]
        more = self._verified([frames[i] for i in where], view, known)
        for i, shapes in zip(where, more, strict=True):
            if len(shapes[0]):
                both = zip(found[i], shapes, strict=True)
                found[i] = merge_shapes(*map(np.concatenate, both))

    def _verified(
        self,
        frames: Frames,
        view: View,
        known: Sequence[np.ndarray] | None = None,
        limit: int = MAX_CANDIDATES,
    ) -> list[Shapes]:
        least = self.min_confidence
        if view.turns:
            assert self.turned_confidence is not None
            least = max(least, self.turned_confidence)
        candidates = []
        for i, (boxes, _) in enumerate(views.candidates(self.detector, frames, view)):
            if known is not None and len(boxes) and len(known[i]):
                boxes = boxes[overlaps(boxes, known[i])[0].max(1) < KNOWN_OVERLAP]
            candidates.append(boxes[:limit])
        found = []
        for landmarks, confidence in views.locate(self.landmarker, frames, candidates, view.turns):
            sure = confidence >= least
            found.append(merge_shapes(landmarks[sure], confidence[sure]))
        return found


def merge_shapes(landmarks: np.ndarray, confidence: np.ndarray) -> Shapes:
    """Keep one shape where several lie on the same face.

    landmarks: (n, 68, 2) px, confidence: (n,). Returns the kept ones, best first.
    """
    kept = suppress(face_boxes(landmarks), confidence)
    return landmarks[kept], confidence[kept]
