"""How strong, how long and how often each AU was, for one face of one video.

Every value is over the time in which the face has intensities: a frame counts as long as it lasts
(:func:`aucli.report.durations.frame_seconds`), so a rate that varies does not shift a mean.
Pictures, which have no time, count one each, and have no seconds and no events.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from aucli.report.durations import frame_seconds
from aucli.report.events import Event, Rule, find_events
from aucli.report.study import FaceSeries

THRESHOLDS = (1.0, 2.0, 3.0)  # intensities at or above which shares and seconds are counted


@dataclass(frozen=True, slots=True)
class AuStatistics:
    """One AU of one face; intensities 0-5, NaN where nothing was measured.

    sd: of a sample. p95: 95th percentile; it and the median are readings that occurred. shares: of
    the time with a face at each of THRESHOLDS or more, 0-1. seconds: the same in seconds, NaN
    without times. events: in order; None without times. event_seconds: mean length of the events,
    NaN without one. left, right: means of the person's own sides; asymmetry: mean of left minus
    right while the AU is at 1 or more, positive where the left is stronger; NaN without sides, or
    where it never is.
    """

    mean: float
    sd: float
    median: float
    p95: float
    shares: tuple[float, ...]
    seconds: tuple[float, ...]
    events: tuple[Event, ...] | None
    event_seconds: float
    left: float
    right: float
    asymmetry: float


@dataclass(frozen=True, slots=True)
class FaceStatistics:
    """frames: analysed of the video. face_frames: of these, with this face. seconds, face_seconds:
    how long both last, NaN without times. aus: AU -> its statistics."""

    frames: int
    face_frames: int
    seconds: float
    face_seconds: float
    aus: Mapping[str, AuStatistics]

    @property
    def face_share(self) -> float:
        """Share of the frames with this face, 0-1; NaN without frames."""
        return self.face_frames / self.frames if self.frames else np.nan


def face_statistics(face: FaceSeries, rule: Rule | None = None) -> FaceStatistics:
    """The statistics of one face. rule: of the events, Rule() where it is None."""
    lasting = frame_seconds(face.seconds)
    weights = frame_weights(face)
    there = face.face_ids >= 0  # also without a baseline, and so without intensities
    return FaceStatistics(
        frames=len(face),
        face_frames=int(there.sum()),
        seconds=float(lasting.sum()) if face.timed else np.nan,
        face_seconds=float(lasting[there].sum()) if face.timed else np.nan,
        aus={
            au: _au_statistics(
                face,
                face.intensities[:, number].astype(np.float64),
                None if face.sides is None else face.sides[:, number].astype(np.float64),
                weights,
                rule,
            )
            for number, au in enumerate(face.aus)
        },
    )


def frame_weights(face: FaceSeries) -> np.ndarray:
    """(N,) how much each frame counts: its seconds, or 1 where there are no times."""
    return frame_seconds(face.seconds) if face.timed else np.ones(len(face))


@dataclass(frozen=True, slots=True)
class CoOccurrence:
    """Two AUs of one face at a threshold or more.

    shares: of the time with a face, 0-1. both: of the first, of the second, of both at once.
    jaccard: time of both over time of either, NaN where neither occurs. correlation: Pearson's of
    the two intensities over time, NaN where one is constant.
    """

    first: str
    second: str
    first_share: float
    second_share: float
    both_share: float
    jaccard: float
    correlation: float


def co_occurrence(face: FaceSeries, threshold: float = 1.0) -> list[CoOccurrence]:
    """How often each pair of AUs occurs at the same time; empty without a frame with a face."""
    known = np.isfinite(face.intensities).all(1)
    values = face.intensities[known].astype(np.float64)
    weights = frame_weights(face)[known]
    if not weights.sum() > 0:
        return []
    weights = weights / weights.sum()
    on = (values >= threshold).astype(np.float64)
    both = on.T @ (on * weights[:, None])  # (A, A): shares
    centred = values - weights @ values
    cov = centred.T @ (centred * weights[:, None])
    spread = np.sqrt(np.diag(cov))
    pairs = []
    for i, j in combinations(range(len(face.aus)), 2):
        either = both[i, i] + both[j, j] - both[i, j]
        scale = spread[i] * spread[j]
        pairs.append(
            CoOccurrence(
                face.aus[i],
                face.aus[j],
                float(both[i, i]),
                float(both[j, j]),
                float(both[i, j]),
                float(both[i, j] / either) if either > 0 else np.nan,
                float(cov[i, j] / scale) if scale > 1e-12 else np.nan,
            )
        )
    return pairs


def _au_statistics(
    face: FaceSeries,
    values: np.ndarray,
    sides: np.ndarray | None,
    weights: np.ndarray,
    rule: Rule | None,
) -> AuStatistics:
    """values: (N,). sides: (N, 2). weights: (N,)."""
    events = tuple(find_events(face.seconds, values, rule)) if face.timed else None
    known = np.isfinite(values) & (weights > 0)
    x, w = values[known], weights[known]
    nothing = (np.nan,) * len(THRESHOLDS)
    if not len(x):
        return AuStatistics(
            np.nan, np.nan, np.nan, np.nan, nothing, nothing, events, np.nan, np.nan, np.nan, np.nan
        )
    total = float(w.sum())
    mean = float(w @ x / total)
    # Equal weights give the usual n - 1.
    free = total - float(w @ w) / total
    sd = float(np.sqrt(w @ (x - mean) ** 2 / free)) if len(x) > 1 else np.nan
    median, p95 = np.quantile(x, (0.5, 0.95), weights=w, method="inverted_cdf").tolist()
    above = tuple(float(w[x >= threshold].sum()) for threshold in THRESHOLDS)
    left, right, asymmetry = _sides(sides, values, weights)
    lengths = [event.duration_seconds for event in events or ()]
    return AuStatistics(
        mean=mean,
        sd=sd,
        median=median,
        p95=p95,
        shares=tuple(time / total for time in above),
        seconds=above if face.timed else nothing,
        events=events,
        event_seconds=float(np.mean(lengths)) if lengths else np.nan,
        left=left,
        right=right,
        asymmetry=asymmetry,
    )


def _sides(
    sides: np.ndarray | None, values: np.ndarray, weights: np.ndarray
) -> tuple[float, float, float]:
    """Mean of the left, of the right, and of left minus right while the AU is present."""
    if sides is None:
        return np.nan, np.nan, np.nan
    known = np.isfinite(sides).all(1) & np.isfinite(values) & (weights > 0)
    if not known.any():
        return np.nan, np.nan, np.nan
    left, right = np.average(sides[known], axis=0, weights=weights[known]).tolist()
    present = known & (values >= THRESHOLDS[0])
    if not present.any():
        return left, right, np.nan
    difference = sides[present, 0] - sides[present, 1]
    return left, right, float(np.average(difference, weights=weights[present]))
