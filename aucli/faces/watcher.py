"""Following with the network that reads AUs: one look gives the landmarks and the intensities.

The crop is cut by the landmarks of shortly before, as the AU network wants it, so that a followed
face needs no landmark network. Its place is that of a grid: rows depend on the last seconds of the
video, not on all that came before.
"""

from collections.abc import Sequence

import numpy as np

from aucli.align import (
    align_matrices,
    align_on_grid,
    apply_matrices,
    face_boxes,
    invert_matrices,
    turn_directions,
    warp_crops,
)
from aucli.faces.builtin import Confidence, confidence_features
from aucli.faces.confirm import MAX_HIDDEN, hidden_shares
from aucli.faces.feeding import flatten, join
from aucli.faces.protocols import Followed, Frames
from aucli.models.predict import AUModel, look_at_crops
from aucli.records import Reading

BATCH = 64
# A face that lies further from where its crop was cut than this share of the crop is looked at
# again: training saw few crops that were further off.
LOOK_AGAIN_SHIFT = 0.07
MIN_SIZE_PX = 4.0  # of a shape that has a crop


class JointWatcher:
    """A network that ``follows``, behind the protocol :class:`~aucli.faces.protocols.Watcher`.

    reads: keep what it reads of AUs and gaze; otherwise its landmarks alone are used.
    """

    def __init__(self, model: AUModel, reads: bool = True) -> None:
        self.model, self.reads = model, reads
        self.confidence = Confidence.from_card({"confidence": model.confidence})

    def follow(self, frames: Frames, landmarks: Sequence[np.ndarray]) -> list[Followed]:
        """See :class:`~aucli.faces.protocols.Watcher`; a second look at faces that moved much."""
        faces, counts = flatten(frames, landmarks)
        before = join(landmarks, (68, 2))
        found, confidence, readings = self._look(faces, before)
        moved = self._moved(before, found)
        if moved.any():
            again = self._look([faces[i] for i in np.flatnonzero(moved)], found[moved])
            found[moved], confidence[moved], readings[moved] = again
        cuts = np.cumsum(counts)[:-1]
        parts = (np.split(values, cuts) for values in (found, confidence, readings))
        return list(zip(*parts, strict=True))

    def _moved(self, before: np.ndarray, found: np.ndarray) -> np.ndarray:
        """(n,) bool: whether landmarks (n, 68, 2) px ask for another crop than those before."""
        usable = _have_size(before) & _have_size(found)
        size, template = self.model.crop_size, self.model.template
        crops, own = (
            apply_matrices(found[usable], align_matrices(shapes[usable], template, size))
            for shapes in (before, found)
        )
        usable[usable] = np.linalg.norm(crops - own, axis=2).mean(1) > LOOK_AGAIN_SHIFT * size
        return usable

    def _look(self, faces: list[np.ndarray], before: np.ndarray) -> Followed:
        """A frame and the landmarks (68, 2) px shortly before, for each of n faces."""
        landmarks = before.copy()
        confidence = np.zeros(len(faces), np.float32)
        readings = np.full(len(faces), None, object)
        usable = np.flatnonzero(_have_size(before))
        for start in range(0, len(usable), BATCH):
            part = usable[start : start + BATCH]
            model = self.model
            matrices = align_on_grid(before[part], model.template, model.crop_size)
            crops = warp_crops([faces[i] for i in part], matrices, model.crop_size)
            look = look_at_crops(model, crops)
            features = confidence_features(look.face_logit, look.spread, look.landmarks)
            features[hidden_shares(crops, look.landmarks) > MAX_HIDDEN] = np.nan
            confidence[part] = self.confidence(features)
            back = invert_matrices(matrices)
            landmarks[part] = apply_matrices(look.landmarks, back)
            if self.reads:
                gaze, read = turn_directions(look.gaze, back), look.prediction
                for k, i in enumerate(part):
                    readings[i] = Reading(
                        crops[k], matrices[k], read.intensities[k], read.sides[k], read.places[k],
                        gaze[k],
                    )  # fmt: skip
        return landmarks, confidence, readings


def _have_size(landmarks: np.ndarray) -> np.ndarray:
    """(n,) bool: whether shapes (n, 68, 2) px are large enough to cut a crop by."""
    boxes = face_boxes(landmarks)
    eyes = np.linalg.norm(landmarks[:, 36:42].mean(1) - landmarks[:, 42:48].mean(1), axis=1)
    return ((boxes[:, 2:] - boxes[:, :2]).min(1) >= MIN_SIZE_PX) & (eyes > 0)
