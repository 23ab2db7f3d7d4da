"""How well two tools agree: for each video and AU, for each AU over all videos, and when not.

Everything follows from the sums of :mod:`aucli.metrics`, which add up over videos. What cannot be
said is NaN, and ``why`` says why.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from aucli.comparison.pairing import Pair
from aucli.evaluation.tools import Unit
from aucli.metrics import agreement, kappa, mean_difference, mean_of_defined, pair_sums, roc_auc
from aucli.table.schema import PRESENCE_THRESHOLD

PRESENT: dict[Unit, float] = {"intensity": PRESENCE_THRESHOLD, "probability": 0.5}
MAX_LAG_SECONDS = 1.0
LEAST_LAG_ROWS = 10  # of a lag: the correlation of fewer says nothing
LEAST_LAG_PCC = 0.5  # the highest of many weak correlations tells of no lag
POOLED, MEAN = "all videos", "mean of the videos"  # in place of a video's name


@dataclass(frozen=True, slots=True)
class Score:
    """Agreement of tools a and b on one AU; NaN is n/a.

    video: its name, POOLED or MEAN. frames: rows in which both have a value. coverage: their share
    of all. only_a, only_b: rows in which only one has. pcc, icc31, mae, mean_difference (b less a),
    kappa (of presence), auc (how well the probability tells presence in the intensities): see
    :mod:`aucli.metrics`. lag_frames, lag_seconds: how much later b is, by the highest correlation,
    which is lag_pcc; of POOLED and MEAN the median of the videos. largest: the largest difference,
    in the unit of both or as :func:`differences` says; in largest_video at frame largest_frame
    (from 1) and largest_seconds. why: reasons for what is n/a.
    """

    video: str
    au: str
    frames: int
    coverage: float
    only_a: int
    only_b: int
    pcc: float
    icc31: float
    mae: float
    mean_difference: float
    kappa: float
    auc: float
    lag_frames: float
    lag_seconds: float
    lag_pcc: float
    largest: float
    largest_video: str
    largest_frame: int | None
    largest_seconds: float
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scores:
    """videos: of each video and AU. pooled: of each AU over all rows of all videos. means: of each
    AU, the mean of the videos in which it is defined; empty for a single video."""

    videos: tuple[Score, ...]
    pooled: tuple[Score, ...]
    means: tuple[Score, ...]


def score_pairs(pairs: Sequence[Pair], max_lag_seconds: float = MAX_LAG_SECONDS) -> Scores:
    """Score pairs of videos of the same two tools."""
    each = [score for pair in pairs for score in _of_video(pair, max_lag_seconds)]
    aus = sorted({au for pair in pairs for au in pair.aus})
    pooled = [_pooled(au, pairs, [s for s in each if s.au == au]) for au in aus]
    means = [_mean(au, [s for s in each if s.au == au]) for au in aus] if len(pairs) > 1 else []
    return Scores(tuple(each), tuple(pooled), tuple(means))


def differences(pair: Pair) -> np.ndarray:
    """(N, A) how far the tools are apart, NaN where one has no value.

    Of two intensities or two probabilities: b less a, without its sign. Of an intensity and a
    probability: an intensity of 1 counts as a probability of 0.5, and of 2 or more as 1.
    """
    if pair.a_unit == pair.b_unit:
        return np.abs(pair.b - pair.a)
    return np.abs(_as_probability(pair.b, pair.b_unit) - _as_probability(pair.a, pair.a_unit))


def _as_probability(values: np.ndarray, unit: Unit) -> np.ndarray:
    return values if unit == "probability" else (values / 2).clip(0, 1)


def _sums(pair: Pair, a: int) -> np.ndarray:
    """(10,) of :func:`aucli.metrics.pair_sums`, with b in the place of the prediction."""
    cut_a, cut_b = PRESENT[pair.a_unit], PRESENT[pair.b_unit]
    return pair_sums(pair.b[:, a], pair.a[:, a], positive=cut_a, predicted_positive=cut_b)[0]


def _of_video(pair: Pair, max_lag_seconds: float) -> Iterator[Score]:
    apart = differences(pair)
    for number, au in enumerate(pair.aus):
        a, b = pair.a[:, number], pair.b[:, number]
        lag, lag_pcc, why = _lag(pair, number, max_lag_seconds)
        largest, frame, seconds = float("nan"), None, float("nan")
        if not np.isnan(apart[:, number]).all():
            row = int(np.nanargmax(apart[:, number]))
            largest, frame = float(apart[row, number]), int(pair.frame_index[row]) + 1
            seconds = float(pair.pts_seconds[row])
        yield _score(
            pair.video, au, _sums(pair, number), (a, b), (pair.a_unit, pair.b_unit),
            (lag, lag * pair.step_seconds, lag_pcc, why), (largest, pair.video, frame, seconds),
        )  # fmt: skip


def _score(
    video: str,
    au: str,
    sums: np.ndarray,
    values: tuple[np.ndarray, np.ndarray],
    units: tuple[Unit, Unit],
    lag: tuple[float, float, float, str],
    largest: tuple[float, str, int | None, float],
) -> Score:
    a, b = values
    has_a, has_b = ~np.isnan(a), ~np.isnan(b)
    frames = int((has_a & has_b).sum())
    found = {name: float(value) for name, value in agreement(sums).items()}
    why = []
    nan = float("nan")
    if not frames:
        why.append("no frame in which both have a value")
    elif np.isnan(found["pcc"]):
        flat = [name for name, own in (("a", a), ("b", b)) if np.ptp(own[has_a & has_b]) == 0]
        why.append(f"PCC, ICC: no change in {' and '.join(flat) or 'a or b'}")
        found["icc31"] = nan
    auc = nan
    if units[0] == units[1] == "probability":
        found["icc31"] = nan
        why.append("ICC: both are probabilities")
    if units[0] != units[1]:
        found["icc31"] = found["mae"] = nan
        why.append("ICC, MAE, difference: one is a probability")
        chance, level = (a, b) if units[0] == "probability" else (b, a)
        known = has_a & has_b
        present = level[known] >= PRESENT["intensity"]
        auc = roc_auc(chance[known], present.astype(float))
        if frames and np.isnan(auc):
            why.append(f"AUC: the intensity is {'always' if present.any() else 'never'} 1 or more")
    agreed = float(kappa(sums))
    if frames and np.isnan(agreed):
        why.append("kappa: both always say the same")
    if lag[3]:
        why.append(f"lag: {lag[3]}")
    return Score(
        video=video,
        au=au,
        frames=frames,
        coverage=frames / len(a) if len(a) else nan,
        only_a=int((has_a & ~has_b).sum()),
        only_b=int((has_b & ~has_a).sum()),
        pcc=found["pcc"],
        icc31=found["icc31"],
        mae=found["mae"],
        mean_difference=float(mean_difference(sums)) if units[0] == units[1] else nan,
        kappa=agreed,
        auc=auc,
        lag_frames=lag[0],
        lag_seconds=lag[1],
        lag_pcc=lag[2],
        largest=largest[0],
        largest_video=largest[1],
        largest_frame=largest[2],
        largest_seconds=largest[3],
        why=tuple(why),
    )


def _lag(pair: Pair, number: int, max_seconds: float) -> tuple[float, float, str]:
    """By how many steps b is later than a, the correlation there, and why there is none.

    A peak inside the searched range is needed: a correlation that still rises at its end tells of
    no lag.
    """
    nan = float("nan")
    step = pair.step_seconds if np.isfinite(pair.step_seconds) else 1 / 30
    most = round(max_seconds / step)
    if most < 1:
        return nan, nan, f"a step of time is longer than {max_seconds:g} s"
    series = [_series(pair, number, face) for face in np.unique(pair.face)]
    scores = np.array([_pcc_at(series, lag) for lag in range(-most, most + 1)])  # (2 * most + 1,)
    if not (scores >= LEAST_LAG_PCC).any():
        return nan, nan, f"no shift with a correlation of {LEAST_LAG_PCC:g} or more"
    best = float(np.nanmax(scores))
    near = np.flatnonzero(scores >= best - 1e-9) - most
    lag = int(near[np.abs(near).argmin()])
    if abs(lag) == most:
        return nan, nan, f"the correlation has no peak within {max_seconds:g} s"
    return float(lag), best, ""


def _series(pair: Pair, number: int, face: int) -> np.ndarray:
    """(2, T) a and b of one face on every step of time, NaN where there is nothing."""
    rows = np.flatnonzero((pair.face == face) & (pair.place >= 0))
    line = np.full((2, int(pair.place.max(initial=0)) + 1), np.nan)
    line[0, pair.place[rows]] = pair.a[rows, number]
    line[1, pair.place[rows]] = pair.b[rows, number]
    return line


def _pcc_at(series: Iterable[np.ndarray], lag: int) -> float:
    """Correlation of a with b so many steps later; NaN over too few rows."""
    total = np.zeros(10)
    for a, b in series:
        if abs(lag) < len(a):
            early, late = (a[: len(a) - lag], b[lag:]) if lag >= 0 else (a[-lag:], b[:lag])
            total += pair_sums(late, early)[0]
    return float(agreement(total)["pcc"]) if total[0] >= LEAST_LAG_ROWS else float("nan")


def _pooled(au: str, pairs: Sequence[Pair], each: Sequence[Score]) -> Score:
    have = [(pair, pair.aus.index(au)) for pair in pairs if au in pair.aus]
    a = np.concatenate([pair.a[:, n] for pair, n in have])
    b = np.concatenate([pair.b[:, n] for pair, n in have])
    first = have[0][0]
    units = first.a_unit, first.b_unit
    cuts = PRESENT[units[0]], PRESENT[units[1]]
    sums = pair_sums(b, a, positive=cuts[0], predicted_positive=cuts[1])[0]
    lag = _median_lag(each)
    unknown = "in no video" if np.isnan(lag[0]) else ""
    worst = max(each, key=lambda score: np.nan_to_num(score.largest, nan=-1.0))
    return _score(
        POOLED, au, sums, (a, b), units, (*lag, unknown),
        (worst.largest, worst.largest_video, worst.largest_frame, worst.largest_seconds),
    )  # fmt: skip


def _median_lag(each: Sequence[Score]) -> tuple[float, float, float]:
    known = [score for score in each if not np.isnan(score.lag_frames)]
    if not known:
        return float("nan"), float("nan"), float("nan")
    values = [(score.lag_frames, score.lag_seconds, score.lag_pcc) for score in known]
    frames, seconds, pcc = np.median(np.array(values), 0).tolist()
    return frames, seconds, pcc


def _mean(au: str, each: Sequence[Score]) -> Score:
    def over(name: str) -> float:
        return float(mean_of_defined(np.array([getattr(score, name) for score in each]))[0])

    lag = _median_lag(each)
    worst = max(each, key=lambda score: np.nan_to_num(score.largest, nan=-1.0))
    return Score(
        video=MEAN,
        au=au,
        frames=sum(score.frames for score in each),
        coverage=over("coverage"),
        only_a=sum(score.only_a for score in each),
        only_b=sum(score.only_b for score in each),
        pcc=over("pcc"),
        icc31=over("icc31"),
        mae=over("mae"),
        mean_difference=over("mean_difference"),
        kappa=over("kappa"),
        auc=over("auc"),
        lag_frames=lag[0],
        lag_seconds=lag[1],
        lag_pcc=lag[2],
        largest=worst.largest,
        largest_video=worst.largest_video,
        largest_frame=worst.largest_frame,
        largest_seconds=worst.largest_seconds,
        why=(),
    )


def mean_over_aus(each: Sequence[Score]) -> Score:
    """The scores of one video as one: means over the AUs in which they are defined; frames of the
    AU that has most."""
    return replace(
        _mean(MEAN, each),
        video=each[0].video,
        frames=max(score.frames for score in each),
        only_a=max(score.only_a for score in each),
        only_b=max(score.only_b for score in each),
    )
