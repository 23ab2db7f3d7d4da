"""Is there still a face? What a followed face must pass once it may be gone.

A landmark network that follows a face puts landmarks on whatever takes its place, and on nothing:
it calls a black crop a face with a probability of .51, and a name on a video call's tile with up to
.95. So a crop without contrast is no face, and a face of which the network is not sure must be seen
by the detector now and then.
"""

from collections.abc import Sequence

import numpy as np

from aucli.align import apply_matrices, face_boxes, quarter_turns, turn_matrix
from aucli.faces.boxes import highest_around
from aucli.faces.overlap import overlaps
from aucli.faces.protocols import Detector
from aucli.faces.views import MARGIN, View, candidates, turned

# Least standard deviation, in gray levels of 255, of the cells of a crop; a cell is a sixteenth of
# the crop's width, wide enough to level out a sensor's noise. Faces darkened to 1.5 % of their
# light, too dark to be seen on a screen, have .5 or more; lens caps with noise of two levels .24.
MIN_CONTRAST = 0.4
CELLS = 16

# A part of a picture shows nothing where three by three cells differ by less than this share of the
# crop's own contrast, and by less than MIN_CONTRAST: a smooth cheek differs more, however dark.
EMPTY_SHARE = 0.02
# Where more than half of a face shows nothing, there is no face: what the network puts there is
# made up, and it may be as sure as for a whole one (.99 for a mouth below a black bar).
MAX_HIDDEN = 0.5
_OUTLINE = [*range(17), *range(26, 16, -1)]  # of the 68 landmarks: jaw and brows

# Rows in doubt, one after the other, up to the look that decides.
DOUBTFUL_ROWS = 6

# The detector sees a square of this many longer sides of the face, its gray levels stretched from
# the darkest to the brightest. It scores .38 or more on faces sampled from seven clips, also half
# behind a hand and at 1.5 % of their light, and .07 at most on black, gray, noise and text.
WINDOW = 3.0
WINDOW_OVERLAP = 0.4
_DARKEST, _BRIGHTEST = 1, 99  # percentiles


def hidden_shares(crops: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """How much of each face lies where its crop shows nothing: under a black bar, or in the dark.

    crops: (n, S, S, 3) uint8, S a multiple of 16. landmarks: (n, 68, 2) crop px. Returns (n,)
    shares of the area between jaw and brows, 0-1; 1 for a crop that shows nothing at all, not even
    in bad light.
    """
    cells = _cell_means(crops)
    contrast = cells.std((1, 2), ddof=1)  # (n,)
    shares = (contrast < MIN_CONTRAST).astype(np.float64)
    spread = highest_around(cells) + highest_around(-cells)
    least = np.minimum(EMPTY_SHARE * contrast, MIN_CONTRAST)
    empty = spread <= least[:, None, None]  # the middle of nothing, (n, 16, 16)
    for i in np.flatnonzero(empty.any((1, 2)) & (shares < 1)).tolist():
        inside = _inside(landmarks[i, _OUTLINE] * (CELLS / crops.shape[1]))
        nothing = highest_around(empty[i : i + 1].astype(np.float32))[0]
        shares[i] = nothing[inside].mean() if inside.any() else 0.0
    return shares


def _cell_means(crops: np.ndarray) -> np.ndarray:
    """Mean gray level of each cell, (n, 16, 16) float32, of crops (n, S, S, 3) uint8."""
    n, side = len(crops), crops.shape[1] // CELLS
    # Rows are summed as whole numbers first, in the order in which pixels lie.
    rows = crops.reshape(n, CELLS, side, -1).sum(2, dtype=np.uint16)
    sums = rows.reshape(n, CELLS, CELLS, -1).sum(3, dtype=np.uint32)
    return sums.astype(np.float32) / np.float32(3 * side * side)


def _inside(outline: np.ndarray) -> np.ndarray:
    """(16, 16) bool: cells whose centre lies within a polygon (n, 2), in cells."""
    y, x = np.mgrid[:CELLS, :CELLS] + 0.5
    (x0, y0), (x1, y1) = outline.T[..., None, None], np.roll(outline, -1, 0).T[..., None, None]
    crosses = (y0 > y) != (y1 > y)
    at = x0 + (y - y0) * (x1 - x0) / np.where(y1 == y0, 1, y1 - y0)
    return ((crosses & (x < at)).sum(0) % 2).astype(bool)


def are_seen(detector: Detector, frame: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Whether the detector has a candidate where followed faces should be.

    frame: (H, W, 3) uint8 RGB. landmarks: (n, 68, 2) px. Returns (n,) bool.
    """
    seen = np.zeros(len(landmarks), bool)
    for i, (shape, turns) in enumerate(zip(landmarks, quarter_turns(landmarks), strict=True)):
        upright = turned(frame, turns)
        box = face_boxes(apply_matrices(shape[None], turn_matrix(turns, frame.shape[:2])[None]))[0]
        half = WINDOW / 2 * (box[2:] - box[:2]).max()
        centre = (box[:2] + box[2:]) / 2
        x0, y0 = np.maximum(np.floor(centre - half), 0).astype(int)
        x1, y1 = np.maximum(np.ceil(centre + half) + 1, 0).astype(int)
        window = upright[y0:y1, x0:x1]
        if not window.size:
            continue
        window, own = [_stretched(window)], (box - np.array((x0, y0, x0, y0)))[None]
        # A face that fills the picture is seen only with something around it.
        for view in (View(), View(margin=MARGIN)):
            ((boxes, _),) = candidates(detector, window, view)
            seen[i] |= bool((overlaps(boxes, own)[0] >= WINDOW_OVERLAP).any())
            if seen[i] or window[0].shape[:2] != upright.shape[:2]:
                break
    return seen


def _stretched(window: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 with its gray levels spread over 0-255."""
    low, high = np.percentile(window[::4, ::4], (_DARKEST, _BRIGHTEST))
    levels = (np.arange(256) - low) * (255 / max(high - low, 1.0))
    return np.rint(levels.clip(0, 255)).astype(np.uint8)[window]


class Doubts:
    """Counts the rows of followed faces in doubt; :meth:`reset` before another video.

    sure_confidence: from it on a face is beyond doubt; 0 doubts none.
    """

    def __init__(self, detector: Detector, sure_confidence: float) -> None:
        self.detector = detector
        self.sure_confidence = sure_confidence
        self.reset()

    def reset(self) -> None:
        """Forget the video so far."""
        self._rows: dict[int, int] = {}

    def confirmed(
        self,
        frame: np.ndarray,
        track_ids: Sequence[int],
        landmarks: np.ndarray,
        confidence: np.ndarray,
    ) -> np.ndarray:
        """Whether the faces followed into this frame may still be faces.

        track_ids: n of them. landmarks: (n, 68, 2) px. confidence: (n,). Returns (n,) bool: False
        where the detector had to look and saw nothing.
        """
        doubtful = confidence < self.sure_confidence
        # A face that is not followed here was detected, or is gone.
        self._rows = {
            track_id: self._rows.get(track_id, 0) + 1
            for track_id, doubt in zip(track_ids, doubtful, strict=True)
            if doubt
        }
        due = np.array([self._rows.get(i, 0) >= DOUBTFUL_ROWS for i in track_ids], bool)
        answer = np.ones(len(track_ids), bool)
        if due.any():
            answer[due] = are_seen(self.detector, frame, landmarks[due])
            for i in np.flatnonzero(due).tolist():
                del self._rows[track_ids[i]]
        return answer
