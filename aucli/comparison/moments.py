"""The moments at which two tools differ most, with pictures of the face."""

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from aucli.comparison.agreement import differences
from aucli.comparison.pairing import Pair
from aucli.errors import InputError
from aucli.evaluation.tools import Unit
from aucli.files import shown
from aucli.pipeline.inputs import VIDEO_SUFFIXES
from aucli.report.moments import Square, Videos, read_pictures, square_of

NEAR_SECONDS = 0.5  # two moments of a video nearer than this show the same
NEAR_FRAMES = 15  # where there are no times
AUS = 4  # of a moment, those that differ most
# Tools that are nearer than this agree.
LEAST: dict[bool, float] = {True: 0.5, False: 0.25}  # of intensities; of probabilities
PICTURE_PX = 160


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One row of a pair. number: of the pair in the list. row: of the pair. values: AU -> a, b, of
    the AUs that differ most, the first one most."""

    number: int
    row: int
    difference: float
    values: Mapping[str, tuple[float, float]]


def choose(pairs: Sequence[Pair], count: int, aus: Sequence[str] = ()) -> list[Moment]:
    """At most ``count`` moments, the largest difference first.

    Moments of a video are apart by NEAR_SECONDS. Of several videos none takes more than a third of
    them, so that one bad video does not hide the others.
    """
    found: list[Moment] = []
    most = count if len(pairs) == 1 else max(2, -(-count // 3))
    for number, pair in enumerate(pairs):
        chosen = [n for n, au in enumerate(pair.aus) if not aus or au in aus]
        apart = np.nan_to_num(differences(pair)[:, chosen], nan=-1.0)  # (N, A)
        if not apart.size:
            continue
        largest = apart.max(1)  # (N,)
        timed = bool(np.isfinite(pair.pts_seconds).all())
        where = pair.pts_seconds if timed else pair.frame_index.astype(float)
        near = NEAR_SECONDS if timed else NEAR_FRAMES
        taken: list[int] = []
        least = LEAST[_same_scale(pair)]
        for row in np.argsort(-largest, kind="stable").tolist():
            if len(taken) == most or largest[row] < least:
                break
            if all(abs(where[row] - where[other]) >= near for other in taken):
                taken.append(row)
        for row in taken:
            order = [n for n in np.argsort(-apart[row], kind="stable")[:AUS] if apart[row, n] >= 0]
            values = {
                pair.aus[chosen[n]]: (float(pair.a[row, chosen[n]]), float(pair.b[row, chosen[n]]))
                for n in order
            }
            found.append(Moment(number, row, float(largest[row]), values))
    return sorted(found, key=lambda moment: -moment.difference)[:count]


def _same_scale(pair: Pair) -> bool:
    """Whether differences are in units of intensity."""
    return pair.a_unit == pair.b_unit == "intensity"


def scale_words(units: tuple[Unit, Unit]) -> str:
    """What a difference is measured in, and from which on it is shown, as a sentence."""
    if units[0] != units[1]:
        return (
            "To compare them, an intensity of 1 counts as a probability of 0.5, and of 2 or more "
            f"as 1. Moments with a difference below {LEAST[False]:g} are not shown."
        )
    of = "intensity" if units[0] == "intensity" else "probability"
    return f"Moments with a difference below {LEAST[of == 'intensity']:g} of {of} are not shown."


def pictures_of(
    pairs: Sequence[Pair], moments: Sequence[Moment], videos: Path | None, blur: bool
) -> tuple[list[Image.Image | None], dict[str, str]]:
    """A picture for each moment, None where there is none; and video -> why it has none.

    videos: a folder that is searched first.
    """
    finder = Videos(videos, {})
    pictures: list[Image.Image | None] = [None] * len(moments)
    without: dict[str, str] = {}
    for number, pair in enumerate(pairs):
        own = [i for i, moment in enumerate(moments) if moment.number == number]
        boxed = [i for i in own if np.isfinite(pair.boxes[moments[i].row]).all()]
        if not own:
            continue
        if not boxed:
            without[shown(pair.video)] = "its tables have no face boxes"
            continue
        try:
            video, why = _video_of(pair, finder, videos)
            if video is None:
                without[shown(pair.video)] = why
                continue
            wanted: dict[int, list[Square]] = {}
            keys = {}
            for i in boxed:
                frame = int(pair.frame_index[moments[i].row]) + 1
                squares = wanted.setdefault(frame, [])
                keys[i] = frame, len(squares)
                squares.append(square_of(_xywh(pair.boxes[moments[i].row])))
            made = read_pictures(video, wanted, PICTURE_PX, blur)
        except InputError as error:
            without[shown(pair.video)] = str(error)
            continue
        for i, key in keys.items():
            pictures[i] = made.get(key)
    return pictures, without


def _video_of(pair: Pair, finder: Videos, folder: Path | None) -> tuple[Path | None, str]:
    """The video of a pair, or None and why there is none."""
    # By time, the numbers of frames are those of a's video alone; else of a track that tells.
    tracks = [pair.track_a, pair.track_b]
    if pair.by == "time":
        tracks.pop()
    tracks.sort(key=lambda track: not track.provenance)
    found = [finder.find(track) for track in tracks]
    video = next((place for place, _ in found if place is not None), None)
    if video is not None or tracks[0].provenance.get("input"):
        return video, found[0][1]
    for track in tracks:  # other tools do not tell the name of the file
        for place in (folder, track.table.parent):
            beside = sorted(place.glob(f"{glob.escape(Path(track.video).name)}.*")) if place else []
            for file in beside:
                if file.suffix.lower() in VIDEO_SUFFIXES:
                    return file, ""
    return None, found[0][1]


def _xywh(box_xyxy: np.ndarray) -> np.ndarray:
    return np.concatenate([box_xyxy[:2], box_xyxy[2:] - box_xyxy[:2]])
