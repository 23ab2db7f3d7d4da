"""A long video in parts that overlap, analysed at the same time and joined into the rows of one.

Where a video is cut follows from its frames and the asked length alone. A part begins a little
before its first own row, so that its faces are found and followed as they would be in the middle of
the video; what two parts both show is taken from the earlier one up to the join, and tells which
face is which.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from aucli.errors import AucliError
from aucli.faces.follow import GROUP_FRAMES
from aucli.faces.overlap import overlaps
from aucli.faces.track import assign
from aucli.pipeline.options import AnalyzeOptions
from aucli.pipeline.original import Stamp
from aucli.pipeline.selection import Selection
from aucli.pipeline.urls import Place, Url
from aucli.table.schema import Rows
from aucli.video.source import VideoSource, open_video
from aucli.video.spans import Span

# Before its first own row a part looks at so much, and at so many analysed frames at least. Of 22
# parts of three clips, begun anywhere, rows were those of the whole, to the last digit, after 4 to
# 92 frames.
WARM_UP_SECONDS = 10.0
WARM_UP_FRAMES = GROUP_FRAMES
# A video of less than this many lengths stays whole.
LEAST_LENGTHS = 1.5
# Boxes of the same face in the same frame, seen from two parts.
SAME_FACE_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Part:
    """One part. number: from 0. own: frame, 0-based, from which on its rows count."""

    number: int
    span: Span
    own: int


@dataclass(frozen=True, slots=True)
class Cut:
    """How a video is cut. decoded_frames: that one analysis of the whole would decode. stamp: of
    the file."""

    parts: tuple[Part, ...]
    decoded_frames: int
    stamp: Stamp


def count_parts(seconds: float, length_seconds: float | None) -> int:
    """In how many parts of about this length a video of so many seconds is cut, 1 or more."""
    if not length_seconds or seconds < LEAST_LENGTHS * length_seconds:
        return 1
    return round(seconds / length_seconds)


def count_all_parts(paths: Sequence[Place], options: AnalyzeOptions, most: int) -> int:
    """About how many parts these inputs make, whole ones counted as one; no more are counted than
    ``most``. Reads what the files declare."""
    total = len(paths)
    for path in paths if options.segments else ():
        if total >= most:
            break
        with suppress(AucliError):
            source = None if isinstance(path, Url) else _video(path, options)
            if source is not None:
                seconds = source.info.duration_seconds
                part = min(seconds, options.end or seconds) - (options.start or 0.0)
                total += count_parts(part, options.segments) - 1
    return total


def plan(
    path: Path,
    options: AnalyzeOptions,
    batch_size: int,
    stamp: Stamp,
    on_packets: Callable[[], None] = lambda: None,
) -> Cut | None:
    """Where to cut a video; None where it stays whole: a short one, a damaged one, one whose
    container cannot be entered in the middle, pictures.

    batch_size: frames of a decoded batch. stamp: of the file. on_packets: a sign of life. Raises
    InputError where the file cannot be opened.
    """
    source = _video(path, options, batch_size)
    if source is None or count_parts(source.info.duration_seconds, options.segments) == 1:
        return None
    index = source.index(on_packets)
    if index is None:
        return None
    seconds = source.seconds(index.ticks.tolist())
    frames = np.arange(len(seconds))
    kept = np.flatnonzero(Selection(options).keep(frames, seconds))  # the frames to analyse
    if not len(kept):
        return None
    times = seconds[kept]
    count = count_parts(float(times[-1] - times[0]), options.segments)
    # Faces are followed in groups of frames, which end at the same frames in every part.
    group = GROUP_FRAMES
    if options.every == 1 and options.fps is None:
        group = math.lcm(group, source.batch_size)
    begins, owns = [0], [0]  # positions in kept
    for number in range(1, count):
        join = times[0] + (times[-1] - times[0]) * number / count
        own = int(np.searchsorted(times, join)) // group * group
        begin = min(int(np.searchsorted(times, times[own] - WARM_UP_SECONDS)), own - WARM_UP_FRAMES)
        begin = begin // group * group
        if begin > owns[-1]:  # else there are too few frames for another part
            begins.append(begin)
            owns.append(own)
    if len(owns) == 1:
        return None
    parts = []
    firsts, own_frames = kept[begins].tolist(), kept[owns].tolist()
    stops = [*own_frames[1:], int(kept[-1]) + 1]
    for number, (first, own, stop) in enumerate(zip(firsts, own_frames, stops, strict=True)):
        # The last frame before each join, which both sides see.
        summed = {frame for frame in (own - 1, stop - 1) if first <= frame < stop}
        span = index.span(first, stop, tuple(sorted(summed)))
        if span is None:
            return None
        parts.append(Part(number, span, own))
    decoded = len(seconds)
    if options.end is not None:  # reading ends with the batch that reaches the end
        ends = int(np.searchsorted(seconds, options.end))
        decoded = min(decoded, (ends // source.batch_size + 1) * source.batch_size)
    return Cut(tuple(parts), decoded, stamp)


def _video(path: Path, options: AnalyzeOptions, batch_size: int = 1) -> VideoSource | None:
    """A video file; None for other inputs."""
    source = open_video(path, "pyav", batch_size, max_pixels=options.max_pixels)
    return source if isinstance(source, VideoSource) else None


class Joiner:
    """Puts the rows of the parts behind each other, with the same ``face_id`` for the same face.

    Ids count in the order of first appearance, as in one analysis of the whole. ``differences``: of
    each join, how far the intensities of the two parts lie apart in the second before it, at most;
    None where they have no face in common there.
    """

    def __init__(self) -> None:
        self.differences: list[float | None] = []
        self._ids = 0  # given out so far
        # Of each frame that the next part shows, too.
        self._shared: dict[int, _Seen] = {}

    def rows(self, part: Part, blocks: Iterable[Rows], next_first: int | None) -> Iterator[Rows]:
        """The own rows of a part; parts come in their order.

        blocks: all its rows. next_first: the first frame of the part after it; None for the last.
        """
        known: dict[int, int] = {}  # id in this part -> id in the whole
        earlier, self._shared = self._shared, {}
        apart: list[tuple[float, float]] = []  # seconds of a frame, difference
        for rows in blocks:
            own = rows.frame_index >= part.own
            for frame, seen in _faces(rows, ~own):
                if frame in earlier:
                    apart.append((seen.pts_seconds, _recognise(known, earlier[frame], seen)))
            if not own.any():
                continue
            if part.number == len(self.differences) + 1:
                self.differences.append(_last_second(apart))
            rows = _only(rows, own)
            for i in np.flatnonzero(rows.face_id >= 0).tolist():
                here = int(rows.face_id[i])
                if here not in known:
                    known[here] = self._ids
                    self._ids += 1
                rows.face_id[i] = known[here]
            if next_first is not None:
                self._shared |= _faces(rows, rows.frame_index >= next_first)
            yield rows


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The n faces of a frame. ids: (n,). boxes: (n, 4) px. intensities: (n, A)."""

    pts_seconds: float
    ids: np.ndarray
    boxes: np.ndarray
    intensities: np.ndarray


def _only(rows: Rows, chosen: np.ndarray) -> Rows:
    """The chosen of the rows, (N,) bool, as copies."""
    arrays = {each.name: getattr(rows, each.name) for each in fields(rows)}
    own: Any = {name: array[chosen] for name, array in arrays.items() if array is not None}
    return Rows(**own)


def _faces(rows: Rows, chosen: np.ndarray) -> Iterator[tuple[int, _Seen]]:
    """The faces of each frame that has any, among the chosen rows, with its number."""
    chosen = chosen & (rows.face_id >= 0)
    for frame in np.unique(rows.frame_index[chosen]).tolist():
        here = chosen & (rows.frame_index == frame)
        faces = rows.face_id[here], rows.bbox_xyxy_px[here], rows.intensities[here]
        yield frame, _Seen(float(rows.pts_seconds[here][0]), *faces)


def _recognise(known: dict[int, int], earlier: _Seen, seen: _Seen) -> float:
    """Note which face of a frame is which one of the earlier part; what is seen last counts.
    Returns how far their intensities lie apart, NaN where no face is the same."""
    union, _ = overlaps(seen.boxes, earlier.boxes)
    apart = [np.nan]
    for row, column in assign(-union):
        if union[row, column] >= SAME_FACE_IOU:
            whose = int(earlier.ids[column])
            for other in [here for here, there in known.items() if there == whose]:
                del known[other]
            known[int(seen.ids[row])] = whose
            apart.append(np.abs(seen.intensities[row] - earlier.intensities[column]).max())
    return float(np.fmax.reduce(apart))


def _last_second(apart: list[tuple[float, float]]) -> float | None:
    late = [each for at, each in apart if at > apart[-1][0] - 1 and np.isfinite(each)]
    return round(max(late), 4) if late else None
