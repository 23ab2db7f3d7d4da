"""The rows of one video out of a table, as arrays to draw from, and which of them hold when."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aucli.align import face_boxes
from aucli.aus import SIDES
from aucli.errors import DataError
from aucli.files import shown
from aucli.table.schema import LANDMARKS

if TYPE_CHECKING:
    import pandas as pd

_BOX = ("face_x", "face_y", "face_w", "face_h")
# A row stands for the frames up to the next one, but in a gap for so many usual steps at most.
MOST_STEPS = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """N rows of one video, in the order of its frames; NaN where there is nothing to say.

    frame_index: (N,) int64, 0-based. pts_seconds: (N,), NaN for pictures. face_id: (N,) int64, -1
    without a face. boxes_xyxy_px: (N, 4). intensities: (N, A), 0-5. levels: (N, A, 2) and
    places_px: (N, A, 2, 2), what is drawn where: of the person's left and right, or of one place
    alone. sides: (N, A, 2) [L, R]. landmarks_px: (N, 68, 2). The last four are None where the table
    has no such columns. quality: (N,) words.
    """

    aus: tuple[str, ...]
    frame_index: np.ndarray
    pts_seconds: np.ndarray
    face_id: np.ndarray
    boxes_xyxy_px: np.ndarray
    intensities: np.ndarray
    levels: np.ndarray | None
    places_px: np.ndarray | None
    sides: np.ndarray | None
    landmarks_px: np.ndarray | None
    quality: np.ndarray

    def __len__(self) -> int:
        return len(self.frame_index)

    @property
    def found(self) -> np.ndarray:
        """(N,) bool: the rows with a face box."""
        return np.asarray(np.isfinite(self.boxes_xyxy_px).all(axis=1))


def to_readings(table: "pd.DataFrame") -> Readings:
    """The rows of a table of one video, see :func:`aucli.table.reading.read_table`.

    A table without boxes gets them from its landmarks. Raises DataError where the table is empty
    or its frame numbers are none.
    """
    if not len(table):
        raise DataError("The table has no rows; nothing can be drawn.")
    frames = _numbers(table, ["frame"])[:, 0]
    if not (np.isfinite(frames).all() and (frames >= 1).all()):
        raise DataError("The table has frame numbers below 1, or rows without; check the file.")
    table = table.iloc[np.argsort(frames, kind="stable")]
    names = set(table.columns)
    aus = tuple(name[:4] for name in table.columns if name[4:] == "_r" and name[:2] == "AU")
    intensities = _numbers(table, [f"{au}_r" for au in aus])
    sides = None
    both = [f"{au}_{side}" for au in aus for side in SIDES]
    if names.issuperset(both):
        sides = _numbers(table, both).reshape(len(table), len(aus), 2)
    landmarks = None
    if names.issuperset(LANDMARKS):
        landmarks = _numbers(table, LANDMARKS).reshape(len(table), 2, 68).transpose(0, 2, 1)
    boxes = _boxes(table, landmarks)
    levels, places = _places(table, aus, intensities, sides)
    ids = _numbers(table, ["face_id"])[:, 0]
    ids = np.where(table["success"].to_numpy(bool) | np.isfinite(boxes).all(1), ids, np.nan)
    quality = table["quality"].fillna("").to_numpy(str) if "quality" in names else None
    return Readings(
        aus=aus,
        frame_index=_numbers(table, ["frame"])[:, 0].astype(np.int64) - 1,
        pts_seconds=_numbers(table, ["timestamp"])[:, 0],
        face_id=np.nan_to_num(ids, nan=-1).astype(np.int64),
        boxes_xyxy_px=boxes,
        intensities=intensities.clip(0, 5),
        levels=levels,
        places_px=places,
        sides=sides,
        landmarks_px=landmarks,
        quality=np.full(len(table), "") if quality is None else quality,
    )


def _numbers(table: "pd.DataFrame", names: "list[str] | tuple[str, ...]") -> np.ndarray:
    """(N, columns) float64; float32 would round times."""
    kind = np.float64 if len(names) == 1 else np.float32
    columns = [table[name].to_numpy(kind, na_value=np.nan) for name in names]
    return np.stack(columns, 1) if columns else np.empty((len(table), 0), kind)


def _boxes(table: "pd.DataFrame", landmarks: np.ndarray | None) -> np.ndarray:
    boxes = np.full((len(table), 4), np.nan, np.float32)
    if set(_BOX) <= set(table.columns):
        boxes = _numbers(table, _BOX)
        boxes[:, 2:] += boxes[:, :2]
    if landmarks is not None and not np.isfinite(boxes).any():
        boxes = face_boxes(landmarks)
    return boxes


def _places(
    table: "pd.DataFrame",
    aus: tuple[str, ...],
    intensities: np.ndarray,
    sides: np.ndarray | None,
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Levels (N, A, 2) and places (N, A, 2, 2) of the dots."""
    names = set(table.columns)
    one = [f"{au}_{axis}" for au in aus for axis in "xy"]
    if not names.issuperset(one):
        return None, None
    count = len(table)
    levels = np.full((count, len(aus), 2), np.nan, np.float32)
    places = np.full((count, len(aus), 2, 2), np.nan, np.float32)
    single = _numbers(table, one).reshape(count, -1, 2)
    each = [f"{au}_{side}_{axis}" for au in aus for side in SIDES for axis in "xy"]
    if sides is not None and names.issuperset(each):
        places = _numbers(table, each).reshape(count, -1, 2, 2)
        levels = sides.copy()
    alone = ~np.isfinite(places[..., 0]).any(axis=2)  # (N, A): the model tells no sides of this AU
    places[:, :, 0][alone] = single[alone]
    levels[:, :, 0][alone] = intensities[alone]
    levels[:, :, 1][alone] = np.nan
    return levels, places


class Moments:
    """The analysed frames of :class:`Readings`, and which of them holds at a frame of the film.

    frame_index, pts_seconds: (M,), of each analysed frame. by_time: find them by their times, in
    another copy of the video, not by the frames' numbers. Raises DataError where there are no
    times to find them by.
    """

    def __init__(self, readings: Readings, by_time: bool = False) -> None:
        self.readings = readings
        starts = np.flatnonzero(np.diff(readings.frame_index, prepend=-1))
        self._starts = np.append(starts, len(readings))
        self.frame_index = readings.frame_index[starts]
        self.pts_seconds = readings.pts_seconds[starts]
        timed = bool(np.isfinite(self.pts_seconds).all())
        if by_time and not (timed and (np.diff(self.pts_seconds) > 0).all()):
            raise DataError("The table has no rising times by which its rows could be found.")
        self._by_time = by_time
        steps = np.diff(self.frame_index)
        self.step_frames = int(np.median(steps)) if len(steps) else 1
        gaps = np.diff(self.pts_seconds) if timed and len(steps) else np.zeros(0)
        self.step_seconds = float(np.median(gaps)) if len(gaps) else 0.0
        self._tolerance = min(self.step_seconds / 2, 0.02)  # of the times of another copy

    def __len__(self) -> int:
        return len(self.frame_index)

    def rows(self, moment: int) -> np.ndarray:
        """The rows of an analysed frame that have a face."""
        own = np.arange(self._starts[moment], self._starts[moment + 1])
        return own[self.readings.found[own] | (self.readings.face_id[own] >= 0)]

    def at(self, frame_index: int, pts_seconds: float) -> int | None:
        """Which analysed frame holds: this one, the last one within its step, or None."""
        if self._by_time:
            now = pts_seconds + self._tolerance
            moment = int(np.searchsorted(self.pts_seconds, now, "right")) - 1
        else:
            moment = int(np.searchsorted(self.frame_index, frame_index, "right")) - 1
        if moment < 0:
            return None
        if self.frame_index[moment] == frame_index and not self._by_time:
            return moment
        most = MOST_STEPS if moment + 1 < len(self) else 1 - 1e-6  # of a last row, one step
        since = pts_seconds - float(self.pts_seconds[moment])
        if self.step_frames == 1 and not self._by_time:
            return None  # every frame has its row; rows were taken out of the table here
        if math.isfinite(since):
            return moment if since < most * self.step_seconds else None
        behind = frame_index - int(self.frame_index[moment])
        return moment if behind < most * self.step_frames else None

    def is_before(self, frame_index: int, pts_seconds: float) -> bool:
        """Whether a frame of the video comes before all that the table has."""
        if self._by_time:
            return pts_seconds < self.pts_seconds[0] - self._tolerance
        return frame_index < self.frame_index[0]

    def is_behind(self, frame_index: int, pts_seconds: float) -> bool:
        """Whether a frame of the video comes after all that the table has."""
        last = self.pts_seconds[-1] if self._by_time else self.frame_index[-1]
        now = pts_seconds if self._by_time else frame_index
        return bool(now > last) and self.at(frame_index, pts_seconds) is None

    def check(self, frame_index: int, pts_seconds: float, name: object) -> None:
        """Raise DataError where the table has another time for this frame: that of another video.

        Texts keep three decimals or more.
        """
        if self._by_time:
            return
        moment = int(np.searchsorted(self.frame_index, frame_index))
        if moment == len(self) or self.frame_index[moment] != frame_index:
            return
        said = float(self.pts_seconds[moment])
        if abs(said - pts_seconds) > 0.002:  # False for the NaN of pictures
            raise DataError(
                f"The table has frame {frame_index + 1} at {said:.3f} s, {shown(name)} has it at "
                f"{pts_seconds:.3f} s: it was made of another video."
            )
