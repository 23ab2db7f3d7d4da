"""What stands behind one row of a report: curves, moments, events and origins, ready for the page.

Numbers are whole ones, so that they are short: intensities in fiftieths, angles in tenths of a
degree, times in thousandths of a second (frame numbers where there is no time); -1 for an
intensity and null for an angle where there is nothing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from aucli.files import shown
from aucli.report.events import Event
from aucli.report.flags import Flag, has_baseline, quality_masks, spans
from aucli.report.moments import as_sprite, in_square, square_of
from aucli.report.origins import origin_words
from aucli.report.people import Person
from aucli.report.statistics import FaceStatistics, frame_weights
from aucli.report.study import FaceSeries
from aucli.report.thinning import cut, thin

STEPS_A_LEVEL = 50
TENTHS = 10
MILLISECONDS = 1000
NOTHING = -1


def detail(
    person: Person,
    statistics: FaceStatistics,
    flags: Sequence[Flag],
    moments: Sequence[int],
    pictures: Sequence[Image.Image | None],
    steps: int,
) -> dict[str, Any]:
    """What the page draws of one person in one video.

    moments: rows of the face. pictures: of each moment; None where the video gave none. steps: in
    which time is cut.
    """
    face = person.face
    where = clock(face)
    kept = cut(where, steps)
    told: dict[str, Any] = {
        "timed": face.timed,
        "aus": face.aus,
        "t": whole(where[kept.frames], 1),
        "frames": face.frames[kept.frames].tolist(),
        "levels": series(thin(face.intensities, kept)),
        "pose": [whole(curve, TENTHS) for curve in np.degrees(thin(face.pose, kept)).T],
        "gaps": _stretches(face, where, face.face_ids < 0),
        "quality": {
            word: _stretches(face, where, mask) for word, mask in quality_masks(face).items()
        },
        "events": _events(face, statistics),
        "flags": [[flag.weight, flag.text] for flag in flags],
        "origins": origin_words(face.provenance, has_baseline(face, person.ids)),
        "p95": [level(statistics.aus[au].p95) for au in face.aus],
        "placed": face.places is not None,
        "moments": [_moment(face, row, where) for row in moments],
    }
    if face.pictures is not None:
        told["names"] = [shown(name) for name in face.pictures[kept.frames].tolist()]
    if face.sides is not None:
        for number, side in enumerate(("left", "right")):
            told[side] = series(thin(face.sides[:, :, number], kept))
            told[f"p95_{side}"] = [level(value) for value in _p95(face.sides[:, :, number])]
    found = [picture for picture in pictures if picture is not None]
    if found:
        told["sprite"] = as_sprite(found)
        number = -1
        for moment, picture in zip(told["moments"], pictures, strict=True):
            number += picture is not None
            moment["picture"] = number if picture is not None else None
        told["pictures"] = len(found)
    return told


def clock(face: FaceSeries) -> np.ndarray:
    """(N,) float64: thousandths of a second, or frame numbers where there is no time."""
    return face.seconds * MILLISECONDS if face.timed else face.frames.astype(np.float64)


def level(value: float) -> int:
    """An intensity in fiftieths; -1 for nothing."""
    return round(float(value) * STEPS_A_LEVEL) if np.isfinite(value) else NOTHING


def series(values: np.ndarray) -> list[list[int]]:
    """(K, A) intensities as A lists of fiftieths."""
    known = np.isfinite(values)
    scaled = np.where(known, np.nan_to_num(values) * STEPS_A_LEVEL, NOTHING)
    return scaled.round().astype(int).T.tolist()


def whole(values: np.ndarray, scale: float) -> list[int | None]:
    """Numbers times a scale, rounded; None for NaN."""
    return [round(v * scale) if np.isfinite(v) else None for v in values.tolist()]


def _p95(values: np.ndarray) -> list[float]:
    """95th percentile of each column of (N, A); NaN where there is nothing."""
    columns = [column[np.isfinite(column)] for column in values.T]
    return [float(np.percentile(own, 95)) if len(own) else np.nan for own in columns]


def _stretches(face: FaceSeries, where: np.ndarray, chosen: np.ndarray) -> list[list[int]]:
    """[begin, end] of each stretch, in the unit of the clock."""
    lasting = frame_weights(face) * (MILLISECONDS if face.timed else 1)
    return [
        [round(where[span.first]), round(where[span.last] + lasting[span.last])]
        for span in spans(chosen, lasting)
    ]


def _events(face: FaceSeries, statistics: FaceStatistics) -> list[list[Any]]:
    """AU number, onset, apex, offset (ms), peak and mean (fiftieths), whether whole; by onset."""
    found: list[tuple[int, Event]] = [
        (number, event)
        for number, au in enumerate(face.aus)
        for event in statistics.aus[au].events or ()
    ]
    found.sort(key=lambda pair: (pair[1].onset_seconds, pair[0]))
    return [
        [
            number,
            *(
                round(seconds * MILLISECONDS)
                for seconds in (event.onset_seconds, event.apex_seconds, event.offset_seconds)
            ),
            level(event.peak),
            level(event.mean),
            int(event.complete),
        ]
        for number, event in found
    ]


def _moment(face: FaceSeries, row: int, where: np.ndarray) -> dict[str, Any]:
    """One moment: when, and where each AU acts in the square of its picture."""
    square = square_of(face.boxes[row])
    told: dict[str, Any] = {"t": round(where[row]), "frame": int(face.frames[row])}
    if face.places is None:
        return told
    places = np.stack([face.places[row]] * 2, 1)  # (A, 2 sides, 2)
    levels = np.stack([face.intensities[row], np.full(len(face.aus), np.nan)], 1)  # (A, 2)
    if face.side_places is not None and face.sides is not None:
        # An AU that the network tells no sides of has one dot.
        both = np.isfinite(face.sides[row]).all(1)
        places[both], levels[both] = face.side_places[row][both], face.sides[row][both]
    told["places"] = in_square(places, square).reshape(-1).tolist()
    told["levels"] = [level(value) for value in levels.reshape(-1)]
    return told
