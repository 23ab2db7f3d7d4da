"""Calibration: what a person's face reads at rest is subtracted from the intensities.

A face at rest rarely reads 0: brows are high or low, folds look like expressions, mouth corners
hang. Calibrated intensity = raw - baseline, kept within 0-5. The baseline is the median of chosen
readings: of one frame or a segment that shows the neutral face, of another video of it, or of the
whole video. On rendered people (examples/studies/calibration_effect.py) the median of all frames
does as well as a neutral frame and better than a low percentile, but for an AU that a person shows
in most frames it is worse than no calibration: a smile that is kept becomes the baseline.

``auto`` takes the median of the quiet frames alone: those in which no AU reads more than it does on
nearly all faces at rest, as the network's card says. What is subtracted is therefore never more
than that, and a face that is never at rest keeps its readings.

Where a run keeps one face a frame, the video is taken to show one person, whatever the
``face_id``: it changes after a gap of half a second. Else every ``face_id`` has its own baseline,
and a face without one has no intensities, only raw ones.

Rows wait until the baseline is known, so after a segment at the start of the video they flow on.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aucli.aus import MAX_INTENSITY, SIDES
from aucli.errors import InputError, OptionError
from aucli.faces.wanted import parse_faces
from aucli.pipeline.held import Held
from aucli.pipeline.summary import STRONG
from aucli.table.schema import QUALITY, Rows
from aucli.words import counted

# A median over the whole video needs this many rows of a face, a second of most videos: a face that
# is seen for a moment would be called neutral whatever it does.
MEDIAN_ROWS = 25
# So many quiet rows of a face are a baseline, half a second of most videos.
QUIET_ROWS = 12
# A face of which this is said reads otherwise than the same one seen from the front.
_OTHERWISE = np.isin(QUALITY, ["turned", "cut"])

AUTO = "auto"
_NUMBER = r"\d+(?:[.,]\d+)?"  # as many languages write it, too
_FRAMES = re.compile(r"(\d+)(?:-(\d+))?")
_SECONDS = re.compile(rf"({_NUMBER})s?-({_NUMBER})s")


@dataclass(frozen=True, slots=True)
class Calibration:
    """Where the baseline comes from: ``video``, or the readings of this video from first to last.

    text: as the user wrote it. first, last: both included; frames (as in the table, from 1) or,
    with ``seconds``, timestamps; without limits for the median of the whole video. one_person: the
    run keeps one face a frame.
    """

    text: str
    one_person: bool
    first: float = -np.inf
    last: float = np.inf
    seconds: bool = False
    video: Path | None = None

    @property
    def whole(self) -> bool:
        """Whether all frames of the video may count."""
        return self.video is None and np.isinf(self.last)

    @property
    def quiet(self) -> bool:
        """Whether only frames count in which the face is at rest."""
        return self.text == AUTO

    def where(self, rows: Rows) -> np.ndarray:
        """(N,) frame numbers or seconds, in the unit of ``first`` and ``last``."""
        return rows.pts_seconds if self.seconds else rows.frame_index + 1


def parse_calibration(text: str, faces: str = "largest") -> Calibration:
    """Read ``auto``, ``median``, ``neutral=120``, ``neutral=10-40``, ``neutral=1.0-2.5s`` or
    ``neutral=FILE``.

    faces: of the run. Raises OptionError where it cannot be understood, the video is missing, or
    one person's video would be the baseline of several.
    """
    one_person = parse_faces(faces) == 1
    source = text.removeprefix("neutral=")
    if text == AUTO or source == "median":
        return Calibration(text, one_person)
    if source and source != text:
        if segment := parse_segment(source):
            return Calibration(text, one_person, *segment)
        if Path(source).exists():
            if not one_person:
                raise OptionError(
                    f"calibrate: '{text}' shows one person; keep one face (faces 'largest'), "
                    "or take auto."
                )
            return Calibration(text, one_person, video=Path(source))
    raise OptionError(
        f"calibrate: '{text}' is neither 'auto', 'median' nor 'neutral=' with a frame (120), a "
        "segment (10-40 or 1.0-2.5s) or a video that exists."
    )


def parse_segment(text: str) -> tuple[float, float, bool] | None:
    """First and last frame of ``120`` or ``10-40``, or second of ``1.0-2.5s``, and whether they are
    seconds; None where it is no segment. Raises OptionError where no frame can be in it."""
    frames, seconds = _FRAMES.fullmatch(text), _SECONDS.fullmatch(text)
    match = frames or seconds
    if match is None:
        return None
    first = float(match[1].replace(",", "."))
    last = float(match[2].replace(",", ".")) if match[2] else first
    if last < first or (frames and first < 1):
        raise OptionError(
            f"calibrate: 'neutral={text}' names no frame; frames count from 1, and a segment "
            "ends after it begins."
        )
    return first, last, frames is None


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no one truth
class Baseline:
    """What a face reads at rest. rows: of how many the median is taken.

    intensities: (A,), 0-5. sides: (A, 2) [L, R], 0-5, NaN where the model does not tell them.
    sha256: of the neutral video it was read from.
    """

    rows: int
    intensities: np.ndarray
    sides: np.ndarray
    sha256: str | None = None


class Readings:
    """Collects readings of faces for their baselines; 240 bytes each with 20 AUs."""

    def __init__(self) -> None:
        self._kept: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}

    def add(self, rows: Rows, chosen: np.ndarray | None = None) -> None:
        """Take in the rows with a face; of these only the (N,) bool chosen, if given."""
        wanted = rows.success if chosen is None else rows.success & chosen
        for face_id in np.unique(rows.face_id[wanted]).tolist():
            own = wanted & (rows.face_id == face_id)
            self._kept.setdefault(face_id, []).append((rows.intensities[own], rows.sides[own]))

    def pooled(self) -> Baseline | None:
        """The median over every face; None where there is none."""
        return _median([reading for own in self._kept.values() for reading in own])

    def each(self) -> dict[int, Baseline]:
        """The median of every ``face_id``."""
        found = {face_id: _median(own) for face_id, own in self._kept.items()}
        return {face_id: baseline for face_id, baseline in found.items() if baseline is not None}


def _median(readings: list[tuple[np.ndarray, np.ndarray]]) -> Baseline | None:
    if not readings:
        return None
    intensities, sides = (np.concatenate(parts) for parts in zip(*readings, strict=True))
    return Baseline(len(intensities), np.median(intensities, 0), np.median(sides, 0))


class Calibrator:
    """Subtracts the baselines of one video from its rows.

    label: of the video, for messages. neutral: the baseline of ``calibration.video``. rest: (A,),
    0-5, what AUs read at most on faces at rest; needed for ``auto``. uncalibrated: face_id -> rows
    of faces without a baseline; with ``auto`` they keep their readings, else they have raw ones
    alone.
    """

    def __init__(
        self,
        calibration: Calibration,
        label: str,
        neutral: Baseline | None,
        rest: np.ndarray | None = None,
    ) -> None:
        if (calibration.video is None) != (neutral is None):
            raise ValueError(f"'{calibration.text}' and the measured baseline do not fit")
        if calibration.quiet and rest is None:
            raise ValueError("'auto' needs what faces read at rest")
        self._rest = rest
        self.calibration = calibration
        self.label = label
        self.uncalibrated: dict[int, int] = {}
        self._everyone = neutral
        self._people: dict[int, Baseline] = {}
        self._readings = Readings()
        self._faces = 0  # rows with a face
        self._seen = 0  # rows of the frames that the baseline comes from
        self._end = -np.inf  # last frame or second so far

    def rows(self, measured: Iterable[Rows]) -> Iterator[Rows]:
        """The rows of the video, in order, calibrated.

        Raises InputError where the neutral frames are not there or show no face, OutputError where
        waiting rows cannot be kept.
        """
        known = self._everyone is not None
        with Held[Rows]() as held:
            for rows in measured:
                if not known:
                    self._gather(rows)
                    if self._end <= self.calibration.last:
                        held.add(rows)
                        continue
                    self._settle()
                    known = True
                    yield from map(self._subtract, held)
                yield self._subtract(rows)
            if not known:
                self._settle()
                yield from map(self._subtract, held)

    def _gather(self, rows: Rows) -> None:
        where = self.calibration.where(rows)
        chosen = (where >= self.calibration.first) & (where <= self.calibration.last)
        if self.calibration.quiet:
            assert self._rest is not None
            chosen = np.all(rows.intensities <= self._rest, axis=1)
            if rows.quality is not None:
                chosen = chosen & ~rows.quality[:, _OTHERWISE].any(1)
        self._readings.add(rows, chosen)
        self._seen += int(chosen.sum())
        self._end = float(where[-1])

    def _settle(self) -> None:
        """Turn the readings into baselines."""
        if not self.calibration.whole:
            self._refuse_nothing()
        people = self._readings.each()
        least = 1
        if self.calibration.whole:
            least = QUIET_ROWS if self.calibration.quiet else MEDIAN_ROWS
        if self.calibration.one_person:
            everyone = self._readings.pooled()
            self._everyone = everyone if everyone and everyone.rows >= least else None
        else:
            self._people = {i: own for i, own in people.items() if own.rows >= least}
        self._readings = Readings()

    def _refuse_nothing(self) -> None:
        asked = f"'{self.calibration.text}'"
        ends = f"{self._end:g} s" if self.calibration.seconds else counted(int(self._end), "frame")
        if np.isnan(self._end):
            raise InputError(f"{self.label} has no timestamps for {asked}; name frames.")
        if self._end < self.calibration.first:
            raise InputError(f"{self.label} ends after {ends}, before {asked}; name frames in it.")
        if not self._seen:
            raise InputError(f"{self.label} has no analysed frame at {asked}; name another.")
        if not self._readings.each():
            raise InputError(f"{self.label} shows no face at {asked}; name frames with a face.")

    @property
    def from_itself(self) -> bool:
        """Whether frames that were named as neutral are all that there are with a face."""
        baselines = [self._everyone] if self._everyone else [*self._people.values()]
        named = not self.calibration.whole and self.calibration.video is None
        return named and sum(baseline.rows for baseline in baselines) >= self._faces

    def _subtract(self, rows: Rows) -> Rows:
        self._faces += int(rows.success.sum())
        intensities = np.full_like(rows.intensities, np.nan)
        sides = np.full_like(rows.sides, np.nan)
        for face_id in np.unique(rows.face_id[rows.success]).tolist():
            own = rows.success & (rows.face_id == face_id)
            baseline = self._everyone or self._people.get(face_id)
            if baseline is None:
                self.uncalibrated[face_id] = self.uncalibrated.get(face_id, 0) + int(own.sum())
                if self.calibration.quiet:
                    intensities[own], sides[own] = rows.intensities[own], rows.sides[own]
                continue
            levels, both = rows.intensities[own], rows.sides[own]
            intensities[own] = (levels - baseline.intensities).clip(0, MAX_INTENSITY)
            sides[own] = (both - baseline.sides).clip(0, MAX_INTENSITY)
        return replace(
            rows,
            success=np.isfinite(intensities).all(1),
            intensities=intensities,
            sides=sides,
            raw_intensities=rows.intensities,
            raw_sides=rows.sides,
        )

    def told(self, aus: tuple[str, ...]) -> dict[str, Any]:
        """The baselines for the provenance; a ``face_id`` of None stands for every face."""
        people = {None: self._everyone} if self._everyone else self._people
        return {
            "baseline": self.calibration.text,
            "people": [_told(face_id, own, aus) for face_id, own in people.items()],
            "uncalibrated_rows": sum(self.uncalibrated.values()),
        }


def _told(face_id: int | None, baseline: Baseline, aus: tuple[str, ...]) -> dict[str, Any]:
    levels = dict(zip(aus, baseline.intensities.tolist(), strict=True))
    for au, both in zip(aus, baseline.sides.tolist(), strict=True):
        levels |= {f"{au}_{s}": value for s, value in zip(SIDES, both, strict=True)}
    known = {name: value for name, value in levels.items() if np.isfinite(value)}
    told = {"face_id": face_id, "rows": baseline.rows, "intensities": known}
    return told | ({"sha256": baseline.sha256} if baseline.sha256 else {})


def like_an_expression(
    told: Mapping[str, Any] | None, ids: Collection[int] | None = None
) -> list[tuple[str, float]]:
    """AUs whose baseline is at level B or more, which a face at rest hardly is; the strongest
    first.

    told: the provenance's ``calibration``. ids: of the faces that count; None for all.
    """
    found: dict[str, float] = {}
    for person in (told or {}).get("people") or ():
        if ids is not None and person.get("face_id") not in (None, *ids):
            continue
        for au, level in person.get("intensities", {}).items():
            if "_" not in au and level >= STRONG:
                found[au] = max(level, found.get(au, 0.0))
    return sorted(found.items(), key=lambda item: -item[1])
