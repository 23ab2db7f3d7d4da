"""What an overlay shows: faces, where their AUs act and how strongly, and the last seconds."""

import math
from dataclasses import dataclass

import numpy as np

from aucli.aus import MAX_INTENSITY
from aucli.colours import of_intensities
from aucli.report.pen import BLACK, WHITE, Colour, Pen, text_width
from aucli.report.readings import Moments, Readings
from aucli.table.schema import PRESENCE_THRESHOLD

TRACE_SECONDS = 5.0
MOST_SECONDS = 1e6
MOST_BARS = 8  # unless the user names the AUs
# Sizes grow with the frame, a little slower than it: large frames have room to spare.
BASE_FONT, BASE_SIDE, GROWTH = 12.0, 360.0, 0.8
LEAST_FONT = 9
MOST_COVERED = 0.1  # of the faces, by bars with traces, if bars without do better
# A dot appears at the one and is solid at the other, level A of FACS.
SHOWN_FROM, SOLID_FROM = 0.5, PRESENCE_THRESHOLD
# Okabe and Ito's colours, which every kind of colour vision tells apart; white for a face alone.
FACE_COLOURS: tuple[Colour, ...] = (
    (240, 228, 66), (86, 180, 233), (230, 159, 0), (204, 121, 167), (0, 158, 115), (213, 94, 0),
)  # fmt: skip
_FAINT: Colour = (190, 190, 196)


@dataclass(frozen=True, slots=True)
class Style:
    """What is drawn. bars: numbers of the AUs whose bars are shown. face: the id whose bars they
    are; None for the one that most rows are of. landmarks: whether the 68 points are drawn."""

    bars: tuple[int, ...]
    face: int | None = None
    landmarks: bool = False


def strongest(readings: Readings, most: int = MOST_BARS) -> tuple[int, ...]:
    """The AUs with the highest 95th percentile, in the order of the table."""
    known = readings.intensities[np.isfinite(readings.intensities).all(1)]
    if not len(known):
        return tuple(range(min(most, len(readings.aus))))
    peaks = np.percentile(known, 95, axis=0)
    return tuple(sorted(np.argsort(-peaks, kind="stable")[:most].tolist()))


class Overlay:
    """Draws onto frames of one size. size_wh: px. scale: px of the frame in one px of the table."""

    def __init__(
        self, moments: Moments, style: Style, size_wh: tuple[int, int], scale: float = 1.0
    ) -> None:
        self._moments = moments
        self._readings = readings = moments.readings
        self._style = style
        self._size = width, height = size_wh
        side = min(width, height)
        self.font = max(LEAST_FONT, round(BASE_FONT * (side / BASE_SIDE) ** GROWTH))
        self._line = max(1.0, self.font / 9)
        ids, counts = np.unique(readings.face_id[readings.face_id >= 0], return_counts=True)
        self._rank = dict(zip(ids.tolist(), counts.tolist(), strict=True))
        self._several = bool(np.any(np.diff(readings.frame_index[readings.face_id >= 0]) == 0))
        self._shown = np.array([self._main(m) for m in range(len(moments))])  # (M,) row or -1
        levels = readings.intensities[:, list(style.bars)]
        self._history = np.where(self._shown[:, None] >= 0, levels[self._shown], np.nan)  # (M, B)
        self.bars = self._layout(scale, traces=True)
        if self.bars is None or self._hides_a_face(self.bars, scale):
            # Small frames: the traces are left out where that helps.
            narrow = self._layout(scale, traces=False)
            if narrow is not None and not self._hides_a_face(narrow, scale):
                self.bars = narrow
        if self.bars is not None and self.bars.timed:
            self._cell = TRACE_SECONDS / self.bars.trace_px  # seconds of a column
            self._cells, self._first = self._in_cells()

    def draw(
        self,
        rgb: np.ndarray,
        moment: int | None,
        now: float,
        words: str,
        to_frame: tuple[float, float, float] = (1.0, 0.0, 0.0),
    ) -> None:
        """Draw the readings of an analysed frame, or that there are none, into rgb (H, W, 3) uint8.

        now: seconds, up to which the traces go. words: which frame this is. to_frame: scale, x and
        y that bring pixels of the table to those of the frame.
        """
        pen = Pen(rgb)
        rows = [] if moment is None else self._moments.rows(moment).tolist()
        for row in sorted(rows, key=lambda row: -self._rank.get(self._id(row), 0)):
            self._face(pen, row, np.array(to_frame))
        if self.bars is not None:
            shown = -1 if moment is None else int(self._shown[moment])
            self._panel(pen, self.bars, moment, shown, now, words)

    def _id(self, row: int) -> int:
        return int(self._readings.face_id[row])

    def _main(self, moment: int) -> int:
        """The row whose bars are shown; -1 for none."""
        rows = self._moments.rows(moment).tolist()
        if self._style.face is not None:
            rows = [row for row in rows if self._id(row) == self._style.face]
        return max(rows, key=lambda row: self._rank.get(self._id(row), 0), default=-1)

    def _colour(self, row: int) -> Colour:
        return FACE_COLOURS[self._id(row) % len(FACE_COLOURS)] if self._several else WHITE

    # The face

    def _face(self, pen: Pen, row: int, to_frame: np.ndarray) -> None:
        readings, scale, shift = self._readings, to_frame[0], to_frame[1:]
        box = readings.boxes_xyxy_px[row] * scale + np.tile(shift, 2)
        known = bool(np.isfinite(box).all())
        if known:
            colour = self._colour(row)
            pen.frame(box, 2.2 * self._line, BLACK)
            pen.frame(box, 1.2 * self._line, colour)
            self._tag(pen, row, box, colour)
        if self._style.landmarks and readings.landmarks_px is not None:
            radius = max(0.8, 0.6 * self._line)
            for x, y in readings.landmarks_px[row] * scale + shift:
                if math.isfinite(x) and math.isfinite(y):
                    pen.disc(x, y, radius + 0.7, BLACK, 0.6)
                    pen.disc(x, y, radius, WHITE)
        if readings.places_px is not None and known:
            self._dots(pen, row, float(box[2] - box[0]), scale, shift)

    def _tag(self, pen: Pen, row: int, box: np.ndarray, colour: Colour) -> None:
        """Id and quality above the box; inside of it where there is no room."""
        size = max(LEAST_FONT, round(0.85 * self.font))
        words = f"face {self._id(row)}"
        if quality := str(self._readings.quality[row]):
            words += f": {quality.replace(' ', ', ')}"
        y = box[1] - 0.8 * size
        if y < 0.7 * size:
            y = box[1] + 0.9 * size
        x = min(max(box[0], 2), self._size[0] - text_width(words, size) - 2)
        pen.text(x, y, words, size, colour, edge=self._line)

    def _dots(self, pen: Pen, row: int, face_width: float, scale: float, shift: np.ndarray) -> None:
        readings = self._readings
        assert readings.levels is not None and readings.places_px is not None
        levels = readings.levels[row]  # (A, 2)
        places = readings.places_px[row] * scale + shift  # (A, 2, 2)
        there = (levels >= SHOWN_FROM) & np.isfinite(places).all(2)
        # The strongest first, so that none is covered by a larger one.
        marks = sorted(zip(*np.nonzero(there), strict=True), key=lambda mark: -levels[mark])
        for mark in marks:
            level = float(levels[mark])
            x, y = places[mark].tolist()
            radius = _radius(level, face_width)
            opacity = min(1.0, (level - SHOWN_FROM + 0.2) / (SOLID_FROM - SHOWN_FROM))
            ring = max(1.0, 0.25 * radius)
            pen.disc(x, y, radius + 1.6 * ring, BLACK, 0.55 * opacity)
            pen.disc(x, y, radius + ring, WHITE, opacity)
            pen.disc(x, y, radius, _shade(level), opacity)
        self._numbers(pen, row, marks, places, face_width)

    def _numbers(self, pen: Pen, row: int, marks: list, places: np.ndarray, width: float) -> None:
        """Numbers of the AUs beside their dots, where the face is large enough for them."""
        size = max(LEAST_FONT, round(0.75 * self.font))
        if width < 10 * size:
            return
        levels = self._readings.levels
        assert levels is not None
        levels = levels[row]
        taken: list[tuple[float, float]] = []
        for mark in marks:
            if levels[mark] < SOLID_FROM:
                continue
            x, y = places[mark].tolist()
            away = 1.4 * _radius(float(levels[mark]), width) + 0.9 * size
            x += -away if mark[1] else away  # outwards: the person's left is on the right
            while any(abs(x - a) < 1.4 * size and abs(y - b) < size for a, b in taken):
                y += 0.5 * size
            taken.append((x, y))
            number = self._readings.aus[mark[0]][2:].lstrip("0")
            pen.text(x, y, number, size, WHITE, "m", self._line)

    # The bars

    def _layout(self, scale: float, traces: bool) -> "_Bars | None":
        """Where the bars stand: in the corner that covers the faces least; None without room."""
        width, height = self._size
        em = self.font
        count = len(self._style.bars)
        times = self._moments.pts_seconds
        # The traces of a table with absurd times would fill the memory.
        timed = traces and len(times) > 1 and 0 < float(times[-1] - times[0]) < MOST_SECONDS
        pad, row = 0.6 * em, 1.45 * em
        columns = (3.2, 5.0, 2.2, 5.2 if timed else 0.0)  # label, bar, number, trace
        w = round(sum(columns) * em + 2 * pad)
        h = round(2 * pad + 1.5 * em + count * row + 1.1 * em)
        if not count or w > 0.96 * width:
            return None
        if h > 0.97 * height:  # closer together, as far as letters can be read
            row = (0.97 * height - 2 * pad - 2.6 * em) / count
            h = round(0.97 * height)
            if row < 0.95 * em:
                return None
        gap = round(0.6 * em)
        gap_y = min(gap, (height - h) // 2)
        corners = [(x, y) for x in (width - w - gap, gap) for y in (gap_y, height - h - gap_y)]
        boxes = self._some_boxes(scale)
        x, y = min(corners, key=lambda at: _covered(boxes, at[0], at[1], w, h))
        at = np.cumsum([x + pad, *(c * em for c in columns)]).tolist()
        return _Bars(x, y, w, h, pad, row, tuple(at), timed)

    def _some_boxes(self, scale: float) -> np.ndarray:
        boxes = self._readings.boxes_xyxy_px[self._readings.found] * scale
        return boxes[:: max(1, len(boxes) // 500)]

    def _hides_a_face(self, bars: "_Bars", scale: float) -> bool:
        """Whether bars cover more of the faces than a little."""
        boxes = self._some_boxes(scale)
        sizes = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        covered = _covered(boxes, bars.x, bars.y, bars.width, bars.height)
        return bool(len(boxes)) and covered > MOST_COVERED * float(sizes.mean())

    def _panel(
        self, pen: Pen, bars: "_Bars", moment: int | None, row: int, now: float, words: str
    ) -> None:
        em, readings = self.font, self._readings
        pen.panel(bars.x, bars.y, bars.width, bars.height, 0.6 * em, (16, 16, 20), 0.76)
        left, bar, _, trace, right = bars.columns
        top = bars.y + bars.pad + 0.6 * em
        if row >= 0:
            colour = self._colour(row)
            if self._several:
                pen.disc(left + 0.35 * em, top, 0.35 * em, colour)
            pen.text(left + (1.1 * em if self._several else 0), top, f"face {self._id(row)}", em)
        else:
            pen.text(left, top, "no face" if moment is not None else "not analysed", em, _FAINT)
        small = max(LEAST_FONT, round(0.8 * em))
        room = bars.width - 2 * bars.pad - 5.5 * em  # beside the name of the face
        if text_width(words, small) > room:
            words = words.split("  ")[-1]  # the time alone
        pen.text(bars.x + bars.width - bars.pad, top, words, small, _FAINT, "r")
        first = bars.y + bars.pad + 1.5 * em
        sides = readings.sides
        for i, a in enumerate(self._style.bars):
            middle = first + (i + 0.5) * bars.row
            level = float(readings.intensities[row, a]) if row >= 0 else math.nan
            strong = level >= SOLID_FROM
            pen.text(left, middle, readings.aus[a], em, WHITE if strong else _FAINT)
            own = [math.nan] if sides is None or row < 0 else sides[row, a].tolist()
            if not all(map(math.isfinite, own)):
                own = [level]
            self._bar(pen, bar, middle, bars, own)
            if math.isfinite(level):
                shown = f"{level:.1f}"
                pen.text(trace - 0.5 * em, middle, shown, em, WHITE if strong else _FAINT, "r")
            if bars.timed:
                self._trace(pen, bars, middle, i, moment, now)
        foot = bars.y + bars.height - bars.pad - 0.3 * em
        tiny = max(LEAST_FONT, round(0.66 * em))
        for level in (0, MAX_INTENSITY):
            x = bar + level / MAX_INTENSITY * 4.6 * em
            pen.text(x, foot, f"{level:.0f}", tiny, _FAINT, "m")
        if sides is not None:
            pen.text(bar + 2.3 * em, foot, "L / R", tiny, _FAINT, "m")
        if bars.timed:
            pen.text(right, foot, f"last {TRACE_SECONDS:g} s", tiny, _FAINT, "r")

    def _bar(self, pen: Pen, x: float, middle: float, bars: "_Bars", levels: list[float]) -> None:
        """The bar of an AU: one, or the person's left over the right."""
        em = self.font
        width, height = 4.6 * em, 0.62 * bars.row
        part = height / len(levels)
        gap = 1 if len(levels) > 1 else 0
        for i, level in enumerate(levels):
            top = middle - height / 2 + i * part
            pen.fill(x, top, x + width, top + part - gap, WHITE, 0.16)
            if math.isfinite(level) and level > 0:
                end = x + width * level / MAX_INTENSITY
                pen.fill(x, top, end, top + part - gap, _shade(level))
        for step in range(1, int(MAX_INTENSITY)):
            at = round(x + width * step / MAX_INTENSITY)
            pen.fill(at, middle - height / 2, at + 1, middle + height / 2, BLACK, 0.45)

    def _trace(
        self,
        pen: Pen,
        bars: "_Bars",
        middle: float,
        bar: int,
        moment: int | None,
        now: float,
    ) -> None:
        """An AU over the last seconds as an area; a gap where there was no face."""
        count, rows = bars.trace_px, max(4, round(0.8 * bars.row))
        left, top = round(bars.columns[3]), round(middle - rows / 2)
        pen.fill(left, top + rows - 1, left + count, top + rows, WHITE, 0.25)
        last = math.floor(now / self._cell + 1e-6) - self._first
        at = np.arange(last - count + 1, last + 1)  # (count,) of the cells
        known = (at >= 0) & (at < len(self._cells))
        levels = np.where(known, self._cells[at.clip(0, len(self._cells) - 1), bar], np.nan)
        levels[-1] = math.nan if moment is None else self._history[moment, bar]
        ups = np.nan_to_num(levels) / MAX_INTENSITY * (rows - 1) + np.isfinite(levels)  # px
        from_top = rows - 1 - np.arange(rows)[:, None]  # (rows, 1)
        mask = (ups - from_top).clip(0, 1).astype(np.float32)
        ink = np.broadcast_to(of_intensities(np.nan_to_num(levels)), (rows, count, 3))
        pen.stamp(mask, left, top, ink)
        line = mask * (1 - (ups - self._line - from_top).clip(0, 1)).astype(np.float32)
        pen.stamp(line, left, top, WHITE, 0.75)

    def _in_cells(self) -> tuple[np.ndarray, int]:
        """The bars' AUs in steps of a trace's column, (C, B), and the number of the first step.

        The highest reading of a step stands for it; a reading holds until the next one.
        """
        times = self._moments.pts_seconds
        cell = np.floor(times / self._cell + 1e-6).astype(np.int64)
        first = int(cell[0])
        cells = np.full((int(cell[-1]) - first + 1, len(self._style.bars)), -np.inf)
        np.maximum.at(cells, cell - first, np.nan_to_num(self._history, nan=-np.inf))
        reached = np.unique(cell - first)
        before = reached[np.searchsorted(reached, np.arange(len(cells)), "right") - 1]
        held = (np.arange(len(cells)) - before) * self._cell <= 1.5 * self._moments.step_seconds
        cells = np.where(held[:, None], cells[before], np.nan)
        return np.where(np.isfinite(cells), cells, np.nan), first


@dataclass(frozen=True, slots=True)
class _Bars:
    """The place of the bars, px. columns: where label, bar, number and trace begin, and the end."""

    x: int
    y: int
    width: int
    height: int
    pad: float
    row: float
    columns: tuple[float, ...]
    timed: bool

    @property
    def trace_px(self) -> int:
        """Width of a trace."""
        return round(self.columns[4] - self.columns[3])


def _covered(boxes: np.ndarray, x: int, y: int, width: int, height: int) -> float:
    """Mean area of the faces (N, 4) that a rectangle covers, px."""
    if not len(boxes):
        return 0.0
    across = np.minimum(boxes[:, 2], x + width) - np.maximum(boxes[:, 0], x)
    down = np.minimum(boxes[:, 3], y + height) - np.maximum(boxes[:, 1], y)
    return float((across.clip(0) * down.clip(0)).mean())


def _radius(level: float, face_width: float) -> float:
    """Radius of a dot, px."""
    return max(1.6, face_width * (0.009 + 0.0075 * level))


def _shade(level: float) -> Colour:
    red, green, blue = of_intensities(np.array(level)).tolist()
    return red, green, blue
