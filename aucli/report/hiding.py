"""Which parts of a frame hide the people in it, and what stands there instead.

A found face is hidden with its whole head. Where a face is not found, it is assumed to be there
still: a missing box is no missing face.

- Before the first face of the film is found, the whole frame is hidden.
- Between two findings of a face that are up to :data:`LOST_SECONDS` apart, both places and all that
  lies between are hidden, the wider the longer the gap.
- After a face is lost, its last place is hidden for LOST_SECONDS, ever wider; then the whole frame,
  until it is found again there, unless it left the picture over the edge.
- Before a further face is found for the first time, its place is hidden for LOST_SECONDS.
- Where no face was found for LOST_SECONDS, the whole frame is hidden.

The place of a head becomes :data:`CELLS` x CELLS colours, smoothly joined. Nothing else of it is
left, so nothing brings it back. Plain blurring can be undone in part, and finer mosaics leave
people recognisable who are known (Harmon and Julesz 1973; McPherson et al. 2016).
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image

from aucli.report.readings import Moments

LOST_SECONDS = 1.0
CELLS = 4  # colours across a head, and across the shorter side of a frame that is hidden whole
# Of the face box, added to its left and right, above and below: hair, ears, chin.
ASIDE, ABOVE, BELOW = 0.4, 0.5, 0.3
GROWTH = 1.0  # of the box, to every side, in a second without a finding
# A face that is found so many box sizes from the last place of a lost one is that one.
REACH = 2.0
# A face that was lost with so much of its width or height beyond the edge has left the picture.
LEFT_FROM = 0.1
_SAME = 1e-3  # seconds: rounded times of a text table


Size = tuple[int, int]  # width and height, px


def fitted(own_wh: Size, film_wh: Size) -> tuple[float, Size]:
    """How frames of another size stand in a film: scaled by so much, and shifted by x and y px."""
    scale = min(film_wh[0] / own_wh[0], film_wh[1] / own_wh[1])
    inner = round(own_wh[0] * scale), round(own_wh[1] * scale)
    return scale, ((film_wh[0] - inner[0]) // 2, (film_wh[1] - inner[1]) // 2)


class Hiding:
    """The areas to hide at any time of a film, in its pixels.

    film_wh: of the film. sizes: of the frames in which the boxes lie, each from a time in seconds
    on, and the last one for all that follows; without, that of the film.
    """

    def __init__(
        self, moments: Moments, film_wh: Size, sizes: Sequence[tuple[float, Size]] = ()
    ) -> None:
        self._moments = moments
        readings = moments.readings
        found = np.flatnonzero(readings.found)
        times = readings.pts_seconds[found]
        self._first = float(times.min()) if len(found) else math.inf
        ids = readings.face_id[found]
        boxes = readings.boxes_xyxy_px[found].astype(float)
        edges = np.tile([0.0, 0, *film_wh], (len(found), 1))  # of the picture within the film
        for since, own_wh in sizes:
            scale, shift = fitted(own_wh, film_wh)
            later = times >= since - _SAME
            boxes[later] = readings.boxes_xyxy_px[found[later]] * scale + np.tile(shift, 2)
            edges[later] = [*shift, *np.multiply(own_wh, scale) + shift]
        self._tracks = [(times[ids == i], boxes[ids == i]) for i in np.unique(ids)]
        self._edges = [edges[ids == i] for i in np.unique(ids)]
        self._begins = np.array([own[0] for own, _ in self._tracks])
        self._ends = np.array([own[-1] for own, _ in self._tracks])
        self._whole = sorted(self._missing())

    def areas(self, moment: int | None, pts_seconds: float) -> list[np.ndarray] | None:
        """Boxes (4,) xyxy px to hide; None for the whole frame.

        moment: the analysed frame that holds. pts_seconds: of the frame, NaN of a picture, in which
        only what was found in it is known.
        """
        now = pts_seconds
        if math.isnan(now):
            rows = [] if moment is None else self._moments.rows(moment).tolist()
            boxes = self._moments.readings.boxes_xyxy_px[rows]
            return [widened(box) for box in boxes if np.isfinite(box).all()] or None
        if now < self._first - _SAME or any(start < now < end for start, end in self._whole):
            return None
        near = (self._begins - LOST_SECONDS <= now) & (now <= self._ends + LOST_SECONDS + _SAME)
        tracks = np.flatnonzero(near).tolist()
        # Where a face will be found tells nothing of those that were there.
        if not any(self._lately(track, now) for track in tracks):
            return None
        areas = [box for i in tracks for box in self._of_track(i, now)]
        return areas or None

    def _lately(self, track: int, now: float) -> bool:
        """Whether a face was found within the last LOST_SECONDS."""
        times = self._tracks[track][0]
        before = int(np.searchsorted(times, now + _SAME, "right")) - 1
        return before >= 0 and now - times[before] <= LOST_SECONDS + _SAME

    def _of_track(self, track: int, now: float) -> Iterator[np.ndarray]:
        times, boxes = self._tracks[track]
        after = int(np.searchsorted(times, now + _SAME, "right"))
        before = after - 1
        since = now - times[before] if before >= 0 else math.inf
        until = times[after] - now if after < len(times) else math.inf
        if since <= _SAME:
            yield widened(boxes[before])
        elif since + until <= LOST_SECONDS:
            low = np.minimum(boxes[before, :2], boxes[after, :2])
            high = np.maximum(boxes[before, 2:], boxes[after, 2:])
            yield widened(np.concatenate([low, high]), min(since, until))
        else:
            if since <= LOST_SECONDS + _SAME:
                yield widened(boxes[before], since)
            if until <= LOST_SECONDS:
                yield widened(boxes[after], until)

    def _missing(self) -> Iterator[tuple[float, float]]:
        """When a face that was seen is neither found nor known to have left."""
        for (times, boxes), edges in zip(self._tracks, self._edges, strict=True):
            ends = np.append(times[1:], math.inf)
            for i in np.flatnonzero(ends - times > LOST_SECONDS):
                low, high = boxes[i, :2], boxes[i, 2:]
                left_top, right_bottom = edges[i, :2], edges[i, 2:]
                beyond = np.maximum(left_top - low, high - right_bottom) / np.maximum(high - low, 1)
                if beyond.max() >= LEFT_FROM:
                    continue
                end = min(float(ends[i]), self._found_as_another(times[i], boxes[i]))
                yield float(times[i]) + LOST_SECONDS, end

    def _found_as_another(self, lost_at: float, box: np.ndarray) -> float:
        """When a face that was not there before is first found near the place of a lost one."""
        size = max(box[2:] - box[:2])
        for i in np.argsort(self._begins):
            times, boxes = self._tracks[i]
            other = boxes[0]
            away = np.hypot(*((other[:2] + other[2:] - box[:2] - box[2:]) / 2))
            ratio = max(other[2:] - other[:2]) / max(size, 1e-6)
            if times[0] > lost_at and away <= REACH * size and 0.5 <= ratio <= 2:
                return float(times[0])
        return math.inf


def widened(box_xyxy: np.ndarray, seconds: float = 0.0) -> np.ndarray:
    """A face box (4,) as that of the whole head, so long after or before it was found."""
    width, height = box_xyxy[2:] - box_xyxy[:2]
    more = GROWTH * seconds
    wider = [-(ASIDE + more), -(ABOVE + more), ASIDE + more, BELOW + more]
    return box_xyxy + np.array(wider) * [width, height, width, height]


def hide(rgb: np.ndarray, areas: Iterable[np.ndarray] | None) -> None:
    """Hide areas, or with None all, of a frame (H, W, 3) uint8, in place."""
    height, width = rgb.shape[:2]
    if areas is None:
        areas = [np.array([0, 0, width, height])]
        cell = min(width, height) / CELLS
    else:
        cell = math.inf
    for area in areas:
        own = max(1.0, *(area[2:] - area[:2])) / CELLS if math.isinf(cell) else cell
        x0, y0 = np.floor(area[:2]).astype(int).clip(0, (width, height)).tolist()
        x1, y1 = np.ceil(area[2:]).astype(int).clip(0, (width, height)).tolist()
        if x1 > x0 and y1 > y0:
            rgb[y0:y1, x0:x1] = _coarse(rgb[y0:y1, x0:x1], own)


def _coarse(pixels: np.ndarray, cell: float) -> np.ndarray:
    height, width = pixels.shape[:2]
    cells = max(1, round(width / cell)), max(1, round(height / cell))
    image = Image.fromarray(np.ascontiguousarray(pixels))
    few = image.resize(cells, Image.Resampling.BOX)
    return np.asarray(few.resize((width, height), Image.Resampling.BILINEAR))
