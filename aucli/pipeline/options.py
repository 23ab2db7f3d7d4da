"""What to analyse and how: every option of an analysis, checked all at once."""

import math
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

import numpy as np

from aucli.errors import OptionError
from aucli.faces.wanted import parse_faces
from aucli.models.device import PRECISIONS, Precision, precision_problem, resolve_device
from aucli.pipeline.calibration import parse_calibration
from aucli.pipeline.cores import MOST_THREADS
from aucli.table.schema import Columns
from aucli.video.demux import MAX_PIXELS
from aucli.video.source import DECODERS, Decoder

Profile = Literal["builtin", "accurate"]
Group = Literal["sides", "places", "presence", "gaze", "landmarks_xy", "openface"]
SWITCHES: tuple[Group, ...] = get_args(Group)  # each adds a group of columns
LEAST_SEGMENT = 60  # seconds; a part looks at ten more
SEGMENTS = {"auto": 600.0, "off": None}  # words for lengths in seconds; None cuts none
NAMES = ("model", "detector", "landmarks", "device", "calibrate")


class OptionWords(TypedDict, total=False):
    """The fields of :class:`AnalyzeOptions`, as keywords."""

    profile: Profile
    model: str | os.PathLike[str] | None
    detector: str | os.PathLike[str] | None
    landmarks: str | os.PathLike[str] | None
    faces: str | int
    every: int
    start: float | None
    end: float | None
    fps: float | None
    segments: float | None
    device: str
    precision: Precision
    batch_size: int
    threads: int
    decoder: Decoder
    max_pixels: int
    calibrate: str | None
    sides: bool
    places: bool
    presence: bool
    gaze: bool
    landmarks_xy: bool
    openface: bool


@dataclass(frozen=True, slots=True)
class AnalyzeOptions:
    """The options of an analysis, with the command line's names and defaults.

    profile: which networks, 'builtin' or 'accurate'; model, detector, landmarks name others than
    the profile's, see :mod:`aucli.pipeline.loading`. faces: 'largest', 'all' or a number. every:
    analyse each Nth frame, from the first. start, end: seconds of the video; frames from ``start``
    on and before ``end``, which keep their number and time. fps: analyse so many frames a second,
    the first of each step. segments: of a batch, cut longer videos into parts of about so many
    seconds, which workers analyse at the same time, see :mod:`aucli.pipeline.segments`; None cuts
    none. device: 'auto', 'cpu', 'cuda' ... precision: of the AU network and of what follows faces,
    'fp32', 'bf16' on GPUs or 'int8' on CPUs. batch_size: faces per call of the AU network. threads:
    of the networks on the CPU; 0 takes one for each core. decoder: 'auto',
    'decord' or 'pyav'. max_pixels: of a frame; larger ones are refused, as they fill the memory.
    calibrate: where a person's baseline comes from, see
    :mod:`aucli.pipeline.calibration`; it is subtracted from the intensities, and the raw ones get
    columns of their own. sides, places, presence, gaze, landmarks_xy: further columns, see
    :mod:`aucli.table.schema`. openface: the columns of the OpenFace layout, which are presence,
    landmarks_xy and, where the network knows it, gaze.
    """

    profile: Profile = "builtin"
    model: str | None = None
    detector: str | None = None
    landmarks: str | None = None
    faces: str = "largest"
    every: int = 1
    start: float | None = None
    end: float | None = None
    fps: float | None = None
    segments: float | None = None
    device: str = "auto"
    precision: Precision = "fp32"
    batch_size: int = 16
    threads: int = 0
    decoder: Decoder = "auto"
    max_pixels: int = MAX_PIXELS
    calibrate: str | None = None
    sides: bool = False
    places: bool = False
    presence: bool = False
    gaze: bool = False
    landmarks_xy: bool = False
    openface: bool = False

    @classmethod
    def of(cls, words: OptionWords) -> "AnalyzeOptions":
        """Options from keywords. Raises OptionError for a word that is none of them."""
        given: dict[str, Any] = dict(words)
        known = [field.name for field in fields(cls)]
        if strange := [word for word in given if word not in known]:
            raise OptionError(
                f"There is no option {' or '.join(strange)}; there are {', '.join(known)}."
            )
        return cls(**{name: _plain(name, value) for name, value in given.items()})

    def problems(self) -> list[str]:
        """A sentence for each option that has an impossible value; names of networks are not looked
        up."""
        found = []
        for name, least in (
            ("every", 1),
            ("batch_size", 1),
            ("threads", 0),
            ("max_pixels", 1),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                found.append(f"{name}: {value!r} is not a whole number of {least} or more.")
        if not found and self.threads > MOST_THREADS:
            found.append(f"threads: {self.threads} is more than {MOST_THREADS}.")
        for name in ("start", "end", "fps"):
            value = getattr(self, name)
            if value is not None and not _is_number(value, above_zero=name != "start"):
                least = "of 0 or more" if name == "start" else "above 0"
                found.append(f"{name}: {value!r} is not a number {least}.")
        length = self.segments
        if length is not None and not (_is_number(length, True) and length >= LEAST_SEGMENT):
            found.append(f"segments: {length!r} is not a number of {LEAST_SEGMENT} or more.")
        if not found and self.end is not None and self.end <= (self.start or 0):
            found.append(f"end: {self.end:g} s is not after the start, {self.start or 0:g} s.")
        if not found and self.fps is not None and self.every != 1:
            found.append("fps: goes not together with every; give one of the two.")
        for name, allowed in (
            ("profile", tuple(PROFILES)),
            ("precision", PRECISIONS),
            ("decoder", DECODERS),
        ):
            if getattr(self, name) not in allowed:
                found.append(f"{name}: {getattr(self, name)!r} is not one of {', '.join(allowed)}.")
        for name in NAMES:
            value = getattr(self, name)
            given = name == "device" or value is not None
            if given and not (isinstance(value, str) and value):
                found.append(f"{name}: {value!r} is not a name.")
        for name in SWITCHES:
            if not isinstance(getattr(self, name), bool):
                found.append(f"{name}: {getattr(self, name)!r} is neither True nor False.")
        faces = self.faces
        try:
            parse_faces(faces)
        except OptionError as error:
            found.append(str(error))
            faces = "largest"
        if self.calibrate and isinstance(self.calibrate, str):
            try:
                parse_calibration(self.calibrate, faces)
            except OptionError as error:
                found.append(str(error))
        if isinstance(self.device, str) and self.device:
            try:
                device = resolve_device(self.device)
            except OptionError as error:
                found.append(str(error))
            else:
                found += filter(None, [precision_problem(self.precision, device)])
        return found

    def reads(self) -> list[Path]:
        """Files that the options may name: networks, a neutral video."""
        neutral = (self.calibrate or "").removeprefix("neutral=")
        names = (self.model, self.detector, self.landmarks, neutral)
        return [Path(name) for name in names if name]

    def check(self) -> None:
        """Raise OptionError with the sentences of :meth:`problems`."""
        if found := self.problems():
            raise OptionError(" ".join(found))

    def columns(self, aus: tuple[str, ...], sides: bool, gaze: bool) -> Columns:
        """Columns of a table of these AUs. sides, gaze: whether the model knows them."""
        return Columns(
            aus=aus,
            raw=self.calibrate is not None,
            sides=self.sides and sides,
            places=self.places,
            presence=self.presence or self.openface,
            gaze=self.gaze or (self.openface and gaze),
            landmarks=self.landmarks_xy or self.openface,
        )


def _is_number(value: object, above_zero: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return value > 0 if above_zero else value >= 0


def _plain(name: str, value: Any) -> Any:
    """What users of numpy, pathlib and torch write, as plain Python."""
    if isinstance(value, np.generic):
        value = value.item()
    if name == "segments" and isinstance(value, str):
        return SEGMENTS.get(value, value)
    if isinstance(value, os.PathLike) and name != "calibrate":
        return os.fspath(value)
    if name == "faces" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    # torch.device, without importing torch
    return str(value) if name == "device" and type(value).__name__ == "device" else value


@dataclass(frozen=True, slots=True)
class NetworkNames:
    """Names or paths of the three networks of a run."""

    model: str
    detector: str
    landmarks: str


PROFILES = {
    "builtin": NetworkNames("builtin", "builtin", "builtin"),
    "accurate": NetworkNames("fanau-disfa", "retinaface-mobilenet", "fan-2d"),
}


def choose_networks(options: AnalyzeOptions) -> NetworkNames:
    """The profile's networks, except those that the options name themselves."""
    usual = PROFILES[options.profile]
    return NetworkNames(
        options.model or usual.model,
        options.detector or usual.detector,
        options.landmarks or usual.landmarks,
    )
