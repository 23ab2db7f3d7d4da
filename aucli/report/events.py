"""Events: when an AU begins, is strongest and ends.

The rule, for one AU of one face:

1. An event begins with the first frame at ``enter`` or more, and lasts while the intensity is at
   ``leave`` or more. Two thresholds keep a value that trembles around one from making many events.
2. A stretch without a value (no face, or a gap in time) that is shorter than ``close_gap_seconds``
   is passed over. A longer one ends the event with the last frame before it.
3. Two events with less than ``close_gap_seconds`` between them become one.
4. Then events shorter than ``min_seconds`` are dropped.

A frame lasts as :func:`aucli.report.durations.frame_seconds` says, so rates may vary, and a table
of every tenth frame has the events that its frames show. Onset is the time of the first frame,
offset the end of the last one.
"""

import math
from dataclasses import dataclass

import numpy as np

from aucli.errors import OptionError
from aucli.report.durations import frame_seconds

LEVELS = {"A": "trace", "B": "slight", "C": "marked", "D": "severe", "E": "maximum"}  # of FACS
_TINY = 1e-6  # seconds; timestamps in a text have six decimals


@dataclass(frozen=True, slots=True)
class Rule:
    """What counts as an event; see the module. Intensities are 0-5.

    Raises OptionError for values that make no rule.
    """

    enter: float = 1.0
    leave: float = 0.5
    min_seconds: float = 0.2
    close_gap_seconds: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.leave <= self.enter <= 5:
            raise OptionError(
                f"enter {self.enter:g}, leave {self.leave:g}: an event begins at 5 or less and "
                "ends at the same intensity or a lower one above 0."
            )
        for name in ("min_seconds", "close_gap_seconds"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise OptionError(f"{name} {value:g} is no duration; give 0 or more seconds.")


@dataclass(frozen=True, slots=True)
class Event:
    """One event of an AU; times are seconds of the table's clock.

    onset_seconds, apex_seconds, offset_seconds: begin of the first frame, begin of the first of the
    strongest frames, end of the last frame. peak, mean: intensity 0-5; the mean is over time.
    complete: whether onset and offset were both seen, as neither the video nor the face begins or
    ends there. first, apex, last: rows of the arrays that the event was found in.
    """

    onset_seconds: float
    apex_seconds: float
    offset_seconds: float
    peak: float
    mean: float
    complete: bool
    first: int
    apex: int
    last: int

    @property
    def duration_seconds(self) -> float:
        """From onset to offset."""
        return self.offset_seconds - self.onset_seconds

    @property
    def level(self) -> str:
        """The level of FACS nearest to the peak, A to E; '' below A."""
        return level(self.peak)


def level(intensity: float) -> str:
    """The level of FACS nearest to an intensity: A is 1, E is 5; '' where 0 is nearer."""
    number = math.floor(intensity + 0.5) if math.isfinite(intensity) else 0
    return ("", *LEVELS)[min(max(number, 0), len(LEVELS))]


def find_events(
    timestamps_seconds: np.ndarray, intensities: np.ndarray, rule: Rule | None = None
) -> list[Event]:
    """The events of one AU of one face, in order.

    timestamps_seconds: (N,) float64, not falling; all NaN (pictures, which have no time) give no
    event. intensities: (N,), 0-5, NaN where there is none. rule: Rule() where it is None.
    """
    rule = rule or Rule()
    values = np.asarray(intensities, np.float64)
    times = np.asarray(timestamps_seconds, np.float64)
    rows = np.flatnonzero(np.isfinite(values) & np.isfinite(times))
    if not len(rows):
        return []
    lasting = frame_seconds(times)[rows]
    begins, known = times[rows], values[rows]
    ends = begins + lasting
    # Time without a value before each frame; before the first it never ends.
    gaps = np.append(np.inf, begins[1:] - ends[:-1])
    far = max(rule.close_gap_seconds, _TINY * 2) - _TINY
    first, last = _spans(known, gaps >= far, rule)
    if len(first) > 1:
        apart = begins[first[1:]] - ends[last[:-1]] >= far
        first, last = first[np.append(True, apart)], last[np.append(apart, True)]
    long = ends[last] - begins[first] >= rule.min_seconds - _TINY
    events = []
    for one, end in zip(first[long].tolist(), last[long].tolist(), strict=True):
        inside = slice(one, end + 1)
        weights = lasting[inside]
        apex = one + int(known[inside].argmax())
        events.append(
            Event(
                onset_seconds=float(begins[one]),
                apex_seconds=float(begins[apex]),
                offset_seconds=float(ends[end]),
                peak=float(known[apex]),
                mean=float(np.average(known[inside], weights=weights if weights.any() else None)),
                complete=bool(gaps[one] < far and end + 1 < len(rows) and gaps[end + 1] < far),
                first=int(rows[one]),
                apex=int(rows[apex]),
                last=int(rows[end]),
            )
        )
    return events


def _spans(values: np.ndarray, broken: np.ndarray, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """First and last frame of each stretch above the thresholds; none goes over a ``broken`` one.

    values: (N,). broken: (N,) bool, a long gap before the frame.
    """
    told = np.where(values >= rule.enter, 1, np.where(values < rule.leave, 0, -1))
    told[broken & (told < 0)] = 0  # between the thresholds, and nothing before it
    decided = np.maximum.accumulate(np.where(told >= 0, np.arange(len(told)), 0))
    inside = told[decided] == 1  # (N,): what was decided last holds on
    before = np.append(False, inside[:-1]) & ~broken
    after = np.append(inside[1:] & ~broken[1:], False)
    return np.flatnonzero(inside & ~before), np.flatnonzero(inside & ~after)
