"""Two tools' rows of the same videos side by side: videos, moments, faces.

Videos belong together where their names are equal, or else the last parts of their names. Moments
belong together by the number of the frame, or by time where numbers mean different times. Faces
belong together by their boxes; where a tool tells none, one person is taken of each.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from aucli.comparison.sides import Side, Track
from aucli.errors import DataError
from aucli.evaluation.tools import Unit
from aucli.faces.overlap import overlaps
from aucli.files import shown

By = Literal["frame", "time"]

SAME_UNION = 0.2  # overlap from which two boxes are of one face: tools frame faces differently
SAME_COVERED = 0.6  # or so much of the smaller one
STRANGE = 0.01  # boxes of fewer moments overlap: they are in other pixels, or of other people
NAMED = 3  # names in a sentence


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """N moments of one video with what tools a and b read, one row for each face.

    aus: the A that both have. by: how moments were matched. faces: how faces were matched, in
    words. frame_index: (N,) int64. pts_seconds: (N,), NaN where unknown. place: (N,) int64, number
    of the step of time, -1 between two. step_seconds: NaN where unknown. face: (N,) int64, which of
    several faces of a's, else -1. boxes: (N, 4) xyxy px of either tool. a, b: (N, A), NaN where the
    tool has no face there. a_unit, b_unit: of the values.
    """

    video: str
    track_a: Track
    track_b: Track
    aus: tuple[str, ...]
    a_unit: Unit
    b_unit: Unit
    by: By
    faces: str
    frame_index: np.ndarray
    pts_seconds: np.ndarray
    place: np.ndarray
    step_seconds: float
    face: np.ndarray
    boxes: np.ndarray
    a: np.ndarray
    b: np.ndarray

    def __len__(self) -> int:
        return len(self.frame_index)

    @property
    def both(self) -> np.ndarray:
        """(N, A) bool: both have a value."""
        return ~(np.isnan(self.a) | np.isnan(self.b))


def match_names(ours: Sequence[str], theirs: Sequence[str]) -> dict[str, str]:
    """Video of one tool -> video of the other; those without a partner are left out.

    A single video on each side is a pair whatever the names.
    """
    if len(ours) == len(theirs) == 1:
        return {ours[0]: theirs[0]}
    pairs: dict[str, str] = {}
    for plain in (_full, _whole, _last):
        left_a = [name for name in ours if name not in pairs]
        left_b = [name for name in theirs if name not in pairs.values()]
        words_a, words_b = [plain(name) for name in left_a], [plain(name) for name in left_b]
        for name, words in zip(left_a, words_a, strict=True):
            if words_a.count(words) == 1 == words_b.count(words):
                pairs[name] = left_b[words_b.index(words)]
    return {name: pairs[name] for name in ours if name in pairs}


def _full(name: str) -> str:
    return name.strip().replace("\\", "/").casefold()


def _whole(name: str) -> str:
    """``a/x.mp4`` -> ``a/x``."""
    return re.sub(r"\.[a-z][a-z0-9]{1,3}$", "", _full(name))


def _last(name: str) -> str:
    return _whole(name).rsplit("/", 1)[-1]


def unmatched(a: Side, b: Side, pairs: Mapping[str, str]) -> str:
    """A sentence on the videos that only one tool has; '' where there are none."""
    taken = set(pairs.values())
    only = {
        a.name: [video for video in a.tracks if video not in pairs],
        b.name: [video for video in b.tracks if video not in taken],
    }
    parts = [f"{name} has {_some(videos)}" for name, videos in only.items() if videos]
    return f"Without a partner, left out: {'; '.join(parts)}." if parts else ""


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(shown, names[:NAMED])) + more


def match_rows(
    a: Track,
    b: Track,
    units: tuple[Unit, Unit],
    by: By | None = None,
    person: str | int | None = None,
    among: Sequence[str] = (),
) -> Pair:
    """The rows of one video side by side. by: None decides; see the module.

    person: ``longest`` (seen in most frames), ``largest`` (median of the box) or a face id of a;
    None takes every face whose boxes overlap. among: only these AUs; all where there are none.
    Raises DataError where no AU is in both, no face has the id, or times are asked for that one of
    them lacks.
    """
    aus = tuple(au for au in a.aus if au in b.aus and (not among or au in among))
    if not aus:
        raise DataError(
            f"{shown(a.table)} has {', '.join(a.aus)} and {shown(b.table)} has "
            f"{', '.join(b.aus)}; no AU is in both."
        )
    how = by or _decide(a, b)
    at_a, at_b = _Moments(a), _Moments(b)
    if how == "time":
        for track, moments in ((a, at_a), (b, at_b)):
            if not moments.timed:
                raise DataError(
                    f"{shown(track.table)} has no rising times for {shown(track.video)}; match "
                    "it by frame."
                )
    pairs = _by_time(at_a, at_b) if how == "time" else _by_frame(at_a, at_b)  # (M, 2)
    a, b, rows, faces = _match_faces(a, b, at_a, at_b, pairs, person)
    first, second = rows[:, 1], rows[:, 2]
    several = len(np.unique(rows[:, 0])) < len(rows)
    leading = [pairs[rows[:, 0], side] for side in (0, 1)]
    steps = _steps(at_a, at_b, pairs, how)
    return Pair(
        video=a.video,
        track_a=a,
        track_b=b,
        aus=aus,
        a_unit=units[0],
        b_unit=units[1],
        by=how,
        faces=faces,
        frame_index=_either(at_a.frames, at_b.frames, *leading),
        pts_seconds=_either(at_a.seconds, at_b.seconds, *leading),
        place=steps[0][rows[:, 0]],
        step_seconds=steps[1],
        face=np.where((first >= 0) & several, a.face_id[first], -1),
        boxes=_taken(a.boxes, first, _taken(b.boxes, second, np.nan)),
        a=_taken(a.of(aus), first, np.nan),
        b=_taken(b.of(aus), second, np.nan),
    )


class _Moments:
    """The frames of a track. frames: (M,) rising. seconds: (M,). starts: (M + 1,) rows of each."""

    def __init__(self, track: Track) -> None:
        starts = np.flatnonzero(np.diff(track.frame_index, prepend=-1))
        self.frames = track.frame_index[starts]
        self.seconds = track.pts_seconds[starts]
        self.starts = np.append(starts, len(track.frame_index))
        known = bool(np.isfinite(self.seconds).all())
        self.timed = known and len(starts) > 1 and bool((np.diff(self.seconds) > 0).all())

    def step(self) -> float:
        """Usual seconds between two of them."""
        return float(np.median(np.diff(self.seconds)))

    def faces(self, moment: int, found: np.ndarray) -> np.ndarray:
        """Rows with a face."""
        if moment < 0:
            return np.zeros(0, np.int64)
        own = np.arange(self.starts[moment], self.starts[moment + 1])
        return own[found[own]]


def _decide(a: Track, b: Track) -> By:
    """By frame, unless equal numbers mean different times and the last numbers differ, too."""
    at_a, at_b = _Moments(a), _Moments(b)
    if not (at_a.timed and at_b.timed) or abs(int(at_a.frames[-1]) - int(at_b.frames[-1])) <= 1:
        return "frame"
    _, in_a, in_b = np.intersect1d(at_a.frames, at_b.frames, True, return_indices=True)
    if not len(in_a):
        return "time"
    apart = np.median(np.abs(at_a.seconds[in_a] - at_b.seconds[in_b]))
    return "time" if apart > min(at_a.step(), at_b.step()) / 2 else "frame"


def _by_frame(a: _Moments, b: _Moments) -> np.ndarray:
    """(M, 2) moments of a and b, -1 where one has none; every frame of either."""
    frames = np.union1d(a.frames, b.frames)
    out = np.full((len(frames), 2), -1)
    for side, own in enumerate((a, b)):
        out[np.searchsorted(frames, own.frames), side] = np.arange(len(own.frames))
    return out


def _by_time(a: _Moments, b: _Moments) -> np.ndarray:
    """(M, 2) as of :func:`_by_frame`, at the lower rate: to each moment of the tool that has fewer
    a second, the nearest of the other within half a step; and those of the other beyond."""
    turned = a.step() < b.step()
    few, many = (b, a) if turned else (a, b)
    step = few.step()
    right = np.searchsorted(many.seconds, few.seconds).clip(1, len(many.seconds) - 1)
    nearer = few.seconds - many.seconds[right - 1] < many.seconds[right] - few.seconds
    nearest = np.where(nearer, right - 1, right)
    apart = np.abs(many.seconds[nearest] - few.seconds)
    partner = np.where(apart <= step / 2 + 1e-9, nearest, -1)
    pairs = np.stack([np.arange(len(few.seconds)), partner], 1)
    gap = np.abs(many.seconds[:, None] - _around(many.seconds, few.seconds)).min(1)
    alone = np.flatnonzero(gap > step + 1e-9)  # a frame stands for what follows, up to the next
    _, once = np.unique(np.round(many.seconds[alone] / step), return_index=True)
    rest = np.stack([np.full(len(once), -1), alone[once]], 1)
    pairs = np.concatenate([pairs, rest])
    times = np.where(pairs[:, 0] >= 0, few.seconds[pairs[:, 0]], many.seconds[pairs[:, 1]])
    pairs = pairs[np.argsort(times, kind="stable")]
    return pairs[:, ::-1] if turned else pairs


def _around(at: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(n, 2): the last of ``times`` before, and the first behind; the ends again beyond them."""
    right = np.searchsorted(times, at)
    last = len(times) - 1
    return np.stack([times[(right - 1).clip(0, last)], times[right.clip(0, last)]], 1)


def _steps(a: _Moments, b: _Moments, pairs: np.ndarray, by: By) -> tuple[np.ndarray, float]:
    """(M,) number of the step of each moment, and the seconds of a step.

    A step is the usual distance of the moments that both have, so that lags also have a meaning
    where one tool read every fifth frame.
    """
    both = pairs[(pairs >= 0).all(1)]
    frames = _either(a.frames, b.frames, *pairs.T)
    seconds = _either(a.seconds, b.seconds, *pairs.T)
    timed = next((m for m in (a, b) if m.timed), None)
    if by == "time":
        step = max(a.step(), b.step())
        return np.round((seconds - seconds.min()) / step).astype(np.int64), step
    common = a.frames[both[:, 0]]
    step = int(np.median(np.diff(common))) if len(common) > 1 else 1
    away = frames - (common[0] if len(common) else frames[0])
    places = np.where(away % step == 0, away // step - away.min() // step, -1)
    rate = np.nan
    if timed is not None:
        rate = float(np.median(np.diff(timed.seconds) / np.diff(timed.frames)))
    return places, step * rate


def _either(
    first: np.ndarray, second: np.ndarray, at_first: np.ndarray, at_second: np.ndarray
) -> np.ndarray:
    """Of the first where it has the moment and it is known, else of the second."""
    one, other = first[at_first], second[at_second]
    known = at_first >= 0
    if one.dtype.kind == "f":
        known = known & (np.isfinite(one) | (at_second < 0))
    return np.where(known, one, other)


def _taken(values: np.ndarray, rows: np.ndarray, empty: np.ndarray | float) -> np.ndarray:
    """values[rows], and ``empty`` where a row is -1 or its value is NaN."""
    out = values[rows]
    out[rows < 0] = np.nan
    return np.where(np.isnan(out), empty, out)


def _match_faces(
    a: Track, b: Track, at_a: _Moments, at_b: _Moments, pairs: np.ndarray,
    person: str | int | None,
) -> tuple[Track, Track, np.ndarray, str]:  # fmt: skip
    """The tracks without the faces of others, (N, 3) moment, row of a, row of b, and how."""
    boxed = bool(np.isfinite(a.boxes).any() and np.isfinite(b.boxes).any())
    if person is not None:
        a = a.keep(_rows_of(a, person))
    if boxed:
        rows = np.array([*_by_boxes(a, b, at_a, at_b, pairs)], np.int64).reshape(-1, 3)
        met = (pairs >= 0).all(1)
        seen = [_any_face(track, m)[pairs[:, side]] for side, (track, m) in
                enumerate(((a, at_a), (b, at_b)))]  # fmt: skip
        shared = met & seen[0] & seen[1]
        matched = len(np.unique(rows[(rows[:, 1:] >= 0).all(1), 0]))
        if matched > STRANGE * shared.sum():
            if person is not None:  # who else is in b's rows is not the question
                rows = rows[(rows[:, 1] >= 0) | (rows[:, 2] < 0)]
                rows = _with_empty(rows, len(pairs))
            return a, b, rows, "faces by their boxes"
    several = [_most(track) > 1 for track in (a, b)]
    kept = []
    for track, many in zip((a, b), several, strict=True):
        kept.append(track.keep(_rows_of(track, _where_ids_differ(person))) if many else track)
    a, b = kept
    rows = [
        (moment, *(own[0] if len(own) else -1 for own in (at_a.faces(i, a.found),
                                                          at_b.faces(j, b.found))))
        for moment, (i, j) in enumerate(pairs.tolist())
    ]  # fmt: skip
    how = "one face a frame"
    if any(several) or person is not None:
        how = f"the {person if isinstance(person, str) else 'longest'} face of each"
    if boxed and any(_any_face(b, at_b)):
        how += ", as their boxes do not overlap (other pixels, or other people)"
    return a, b, np.array(rows, np.int64).reshape(-1, 3), how


def _where_ids_differ(person: str | int | None) -> str:
    return person if isinstance(person, str) else "longest"


def _any_face(track: Track, moments: _Moments) -> np.ndarray:
    """(M,) bool: whether a moment has a face."""
    return np.add.reduceat(track.found.astype(int), moments.starts[:-1]) > 0


def _most(track: Track) -> int:
    """Faces in the fullest frame."""
    frames = track.frame_index[track.found]
    return int(np.unique(frames, return_counts=True)[1].max()) if len(frames) else 0


def _by_boxes(
    a: Track, b: Track, at_a: _Moments, at_b: _Moments, pairs: np.ndarray
) -> Iterator[tuple[int, int, int]]:
    """Moment, row of a, row of b, -1 for none; the best overlaps first."""
    for moment, (i, j) in enumerate(pairs.tolist()):
        ours, theirs = at_a.faces(i, a.found), at_b.faces(j, b.found)
        if not len(ours) and not len(theirs):
            yield moment, -1, -1
            continue
        union, covered = overlaps(a.boxes[ours], b.boxes[theirs])
        fits = np.where((union >= SAME_UNION) | (covered >= SAME_COVERED), union, -1.0)
        free_a, free_b = set(range(len(ours))), set(range(len(theirs)))
        for best in np.argsort(-fits, axis=None):
            n, m = divmod(int(best), len(theirs))
            if fits[n, m] >= 0 and n in free_a and m in free_b:
                free_a.discard(n)
                free_b.discard(m)
                yield moment, int(ours[n]), int(theirs[m])
        yield from ((moment, int(ours[n]), -1) for n in sorted(free_a))
        yield from ((moment, -1, int(theirs[m])) for m in sorted(free_b))


def _with_empty(rows: np.ndarray, moments: int) -> np.ndarray:
    """Rows with one for each moment that has none."""
    lacking = np.setdiff1d(np.arange(moments), rows[:, 0])
    empty = np.stack([lacking, np.full(len(lacking), -1), np.full(len(lacking), -1)], 1)
    rows = np.concatenate([rows, empty])
    return rows[np.argsort(rows[:, 0], kind="stable")]


def _rows_of(track: Track, person: str | int) -> np.ndarray:
    """(R,) bool: the rows of one person. Raises DataError where an id is nobody's."""
    if isinstance(person, int):
        chosen = track.face_id == person
        if not (chosen & track.found).any():
            raise DataError(f"{shown(track.table)} has no face {person} in {shown(track.video)}.")
        return chosen
    sizes = np.max(track.boxes[:, 2:] - track.boxes[:, :2], axis=1)  # (R,)
    ids = np.unique(track.face_id[track.found & (track.face_id >= 0)])
    if _most(track) < 2:
        return np.ones(len(track.found), bool)
    if len(ids):

        def measure(number: int) -> float:
            own = track.found & (track.face_id == number)
            if person == "longest":
                return float(own.sum())
            known = sizes[own & np.isfinite(sizes)]
            return float(np.median(known)) if len(known) else 0.0

        return track.face_id == max(ids.tolist(), key=measure)
    # Nobody tells who is who: the surest, or the largest, of each frame.
    rank = np.nan_to_num(track.score if person == "longest" else sizes, nan=-1.0)
    order = np.lexsort([-rank, ~track.found, track.frame_index])
    first = np.unique(track.frame_index[order], return_index=True)[1]
    chosen = np.zeros(len(track.found), bool)
    chosen[order[first]] = True
    return chosen
