"""What came of one video, in numbers and words; and how far it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from aucli.aus import MAX_INTENSITY
from aucli.pipeline.rows import Totals
from aucli.video.source import DecodeReport

OnFrames = Callable[[int, int], None]  # frames of the video done, frames declared (0: unknown)

STRONG = 2.0  # level B of FACS: slight, and plain to see
# A frame stands for the time until the next one, but not for more than this of a gap; where frames
# are seconds apart, for so many usual steps.
LONGEST_STEP_SECONDS = 1.0
LONGEST_STEPS = 1.5
BINS = 100  # of the histograms, for each intensity level


@dataclass(frozen=True, slots=True)
class Level:
    """How strong an AU was over the faces of a video. median, p95 (95th percentile): 0-5.
    strong_seconds: at :data:`STRONG` or more; None for pictures, which have no time."""

    median: float
    p95: float
    strong_seconds: float | None


def longest_step_seconds(usual_step_seconds: float) -> float:
    """The longest time for which a frame stands where frames are usually so far apart."""
    return max(LONGEST_STEP_SECONDS, LONGEST_STEPS * usual_step_seconds)


class Levels:
    """Gathers the :class:`Level` of each AU while the rows pass, in memory that does not grow.

    usual_step_seconds: from one frame to the next; 0 where it is not known.
    """

    def __init__(self, aus: tuple[str, ...], usual_step_seconds: float = 0.0) -> None:
        self.aus = aus
        self._longest_step = longest_step_seconds(usual_step_seconds)
        self._counts = np.zeros((len(aus), round(MAX_INTENSITY * BINS) + 1), np.int64)
        self._strong_seconds = np.zeros(len(aus))
        self._strong = np.zeros(len(aus))  # faces of the last frame at STRONG or more
        self._frame = -1
        self._pts = np.nan
        self._step = 0.0

    def add(
        self, frame_index: np.ndarray, pts_seconds: np.ndarray, intensities: np.ndarray
    ) -> None:
        """Take in the next rows; those of one frame follow each other.

        frame_index, pts_seconds: (N,). intensities: (N, A), 0-5, NaN without a face.
        """
        known = np.isfinite(intensities).all(1)
        bins = np.rint(intensities[known] * BINS).astype(np.int64)  # (F, A)
        for counts, own in zip(self._counts, bins.T, strict=True):
            counts += np.bincount(own, minlength=len(counts))
        strong = (intensities >= STRONG).astype(np.float64)
        begins = np.flatnonzero(np.diff(frame_index, prepend=self._frame))
        if not len(begins):  # more faces of the last frame
            self._strong += strong.sum(0)
            return
        self._strong += strong[: begins[0]].sum(0)
        frames = np.vstack([self._strong, np.add.reduceat(strong, begins)])  # (1 + F, A)
        pts = np.append(self._pts, pts_seconds[begins])
        steps = np.diff(pts).clip(0, self._longest_step)
        self._strong_seconds += (frames[:-1] * np.nan_to_num(steps)[:, None]).sum(0)
        if np.isfinite(steps[-1]):
            self._step = float(steps[-1])
        self._frame, self._pts, self._strong = int(frame_index[-1]), float(pts[-1]), frames[-1]

    def of_each_au(self) -> dict[str, Level] | None:
        """The level of each AU; None where no row had a face."""
        total = int(self._counts[0].sum()) if len(self.aus) else 0
        if not total:
            return None
        seconds = self._strong_seconds + self._strong * self._step
        timed = bool(np.isfinite(self._pts))
        levels = {}
        for au, counts, strong_seconds in zip(self.aus, self._counts, seconds, strict=True):
            reached = np.cumsum(counts)
            median, p95 = (int(np.searchsorted(reached, q * total)) / BINS for q in (0.5, 0.95))
            levels[au] = Level(median, p95, float(strong_seconds) if timed else None)
        return levels


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of one video.

    frames: analysed. face_frames: of these, with a face. face_rows: rows with a face. fps: frames
    analysed per second of work. levels: of each AU over the rows with a face; None without any.
    quality: share of the rows with a face, 0-1, for each word that the column of this name has.
    stage_seconds: time at work of each stage; they overlap, so their sum may exceed ``seconds``.
    stage_cpu_seconds: CPU time of each stage's thread, without those of libraries.
    """

    frames: int
    face_frames: int
    face_rows: int
    seconds: float
    fps: float
    levels: dict[str, Level] | None
    quality: dict[str, float]
    stage_seconds: dict[str, float]
    stage_cpu_seconds: dict[str, float]
    report: DecodeReport

    @property
    def damage(self) -> str:
        """What is missing of the file in a few words; empty where nothing is."""
        return self.report.damage

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of a file that is sound, a sentence each."""
        clock = (self.report.clock,) if self.report.clock else ()
        return (*clock, *self.report.notes)


def counted(totals: Totals, levels: Levels, seconds: float) -> dict[str, Any]:
    """The fields of a :class:`Summary` that say what the rows held. seconds: of the work."""
    return {
        "frames": totals.frames,
        "face_frames": totals.face_frames,
        "face_rows": totals.face_rows,
        "seconds": seconds,
        "fps": totals.frames / seconds,
        "levels": levels.of_each_au(),
        "quality": totals.quality(),
    }
