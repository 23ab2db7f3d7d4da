"""From pairs of labels and predictions to a report: every AU and their mean, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aucli.aus import MAX_INTENSITY
from aucli.errors import OptionError
from aucli.evaluation.matching import Counts, Pairs
from aucli.evaluation.tools import Unit
from aucli.metrics import (
    METRICS,
    POSITIVE,
    agreement,
    bootstrap_weights,
    mean_of_defined,
    pair_sums,
)

MEAN = "mean"  # the row after the AUs
VIEWS = {
    "pooled": "all frames of all subjects together",
    "within": "computed within each subject, then averaged over the subjects",
    "folds": "computed within each fold's test subjects, then averaged over the folds",
}
LEVEL = 95  # per cent, of the intervals
# Of a probability only what needs no common unit can be said.
PROBABILITY_METRICS = ("pcc", "f1")
VALIDATION_METRICS = ("icc31", "pcc", "mae")


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """positive: intensity from which a label, and a predicted intensity, is positive for F1.
    positive_probability: the same for a predicted probability. resamples: bootstrap samples of the
    subjects; 0 for none. Raises OptionError for intensities and probabilities that there are not.
    """

    positive: float = POSITIVE
    positive_probability: float = 0.5
    resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for name, largest in (("positive", MAX_INTENSITY), ("positive_probability", 1)):
            value = getattr(self, name)
            if not 0 <= value <= largest:  # nan is in no range
                raise OptionError(f"{name} must be from 0 to {largest}, got {value}")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score and its interval; NaN is n/a."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True, slots=True)
class Extra:
    """A further table of a report. name: its key in JSON. title: a sentence on what it shows.
    values: row -> value; NaN is n/a."""

    name: str
    title: str
    values: dict[str, float]


COUNT = "faces"  # a column of a Breakdown that counts


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A further table with a column for each score. name, title: as of :class:`Extra`. rows: row ->
    column -> value, the same columns in all."""

    name: str
    title: str
    rows: dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Report:
    """Scores of A AUs.

    scores: view of VIEWS -> AU or MEAN -> metric of METRICS -> estimate; an undefined one is NaN.
    mean_over: view -> metric -> the AUs whose score is defined, over which the mean is. frames: AU
    -> frames that were scored. positives: AU -> share of these whose label is positive. flat: AUs
    that the predictions leave constant though the labels vary. extras: tables besides.
    """

    aus: tuple[str, ...]
    unit: Unit
    scores: dict[str, dict[str, dict[str, Estimate]]]
    mean_over: dict[str, dict[str, tuple[str, ...]]]
    frames: dict[str, int]
    positives: dict[str, float]
    flat: tuple[str, ...]
    subjects: int
    filled: bool
    counts: Counts
    options: ScoreOptions
    extras: tuple[Extra | Breakdown, ...] = ()


def metrics_of(unit: Unit) -> tuple[str, ...]:
    """Those of METRICS that predictions of a unit allow."""
    return PROBABILITY_METRICS if unit == "probability" else METRICS


def score(
    pairs: Pairs,
    options: ScoreOptions = ScoreOptions(),
    folds: Mapping[str, tuple[str, ...]] | None = None,
    extras: tuple[Extra | Breakdown, ...] = (),
) -> Report:
    """Score every AU. folds: name -> test subjects; adds the view ``folds``.

    Intervals are the middle 95 % of the scores of bootstrap samples of the subjects, over those
    samples in which the score is defined; n/a for a single subject.
    """
    subjects, group = np.unique(pairs.subjects, return_inverse=True)
    on = options.positive_probability if pairs.unit == "probability" else options.positive
    sums = np.stack(
        [
            pair_sums(p, y, group, len(subjects), options.positive, on)
            for p, y in zip(pairs.predicted.T, pairs.labelled.T, strict=True)
        ]
    )  # (A, S, 10)
    weights = bootstrap_weights(len(subjects), options.resamples, options.seed)  # (R, S)
    total = agreement(sums.sum(1))
    flat = np.isnan(total["pcc"]) & ~np.isnan(total["icc31"])  # (A,)
    views = {
        "pooled": (total, agreement(weights @ sums)),
        "within": _within(sums, weights),
    }
    if folds:
        members = np.array([np.isin(subjects, fold) for fold in folds.values()], float)  # (F, S)
        once = {name: v[:, 0] for name, v in _mean_of_folds(members[None], sums).items()}
        views["folds"] = (once, _mean_of_folds(members * weights[:, None], sums))
    usable = metrics_of(pairs.unit)
    scored = ~np.isnan(pairs.labelled + pairs.predicted)
    positive = scored & (pairs.labelled >= options.positive)
    frames = scored.sum(0)
    return Report(
        aus=pairs.aus,
        unit=pairs.unit,
        scores={
            view: _estimates(pairs.aus, values, resampled, usable, len(subjects) > 1)
            for view, (values, resampled) in views.items()
        },
        mean_over={
            view: {
                metric: tuple(
                    au
                    for au, value in zip(pairs.aus, values[metric], strict=True)
                    if metric in usable and not np.isnan(value)
                )
                for metric in METRICS
            }
            for view, (values, _) in views.items()
        },
        frames=dict(zip(pairs.aus, frames.tolist(), strict=True)),
        positives={
            au: int(positive[:, a].sum()) / int(frames[a]) if frames[a] else float("nan")
            for a, au in enumerate(pairs.aus)
        },
        flat=tuple(au for au, is_flat in zip(pairs.aus, flat, strict=True) if is_flat),
        subjects=len(subjects),
        filled=pairs.filled,
        counts=pairs.counts,
        options=options,
        extras=extras,
    )


def validation_scores(
    predicted: np.ndarray, labelled: np.ndarray, aus: Sequence[str]
) -> dict[str, float]:
    """``icc31.AU12`` ... and their means ``icc31``, ``pcc``, ``mae``, as training logs them.

    predicted, labelled: (N, A), 0-5, NaN where there is none. The same scores and the same mean as
    in a report; NaN is undefined.
    """
    found = agreement(
        np.stack([pair_sums(p, y)[0] for p, y in zip(predicted.T, labelled.T, strict=True)])
    )  # metric -> (A,)
    scores: dict[str, float] = {}
    for name in VALIDATION_METRICS:
        each = zip(aus, found[name].tolist(), strict=True)
        scores |= {f"{name}.{au}": value for au, value in each}
        scores[name] = float(mean_of_defined(found[name])[0])
    return scores


def _within(sums: np.ndarray, weights: np.ndarray) -> tuple[dict, dict]:
    """Mean over the subjects in which a score is defined: (A,), and (A, R) of the samples."""
    values, resampled = {}, {}
    for name, scores in agreement(sums).items():  # (A, S)
        values[name] = mean_of_defined(scores)[0]
        known = ~np.isnan(scores)
        total, count = np.where(known, scores, 0) @ weights.T, known @ weights.T  # (A, R)
        resampled[name] = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return values, resampled


def _mean_of_folds(members: np.ndarray, sums: np.ndarray) -> dict[str, np.ndarray]:
    """members: (R, F, S), how often each subject counts in each fold. Returns (A, R)."""
    scores = agreement(np.einsum("rfs,ask->arfk", members, sums))
    return {name: mean_of_defined(values)[0] for name, values in scores.items()}


def _estimates(
    aus: tuple[str, ...],
    values: dict[str, np.ndarray],
    resampled: dict[str, np.ndarray],
    usable: tuple[str, ...],
    intervals: bool,
) -> dict[str, dict[str, Estimate]]:
    """values: metric -> (A,). resampled: metric -> (A, R)."""
    rows: dict[str, dict[str, Estimate]] = {name: {} for name in (*aus, MEAN)}
    for metric in METRICS:
        mean, means = (mean_of_defined(v)[0] for v in (values[metric], resampled[metric].T))
        column = np.append(values[metric], mean)  # (A + 1,)
        samples = np.vstack([resampled[metric], means])  # (A + 1, R)
        for a, name in enumerate(rows):
            known = samples[a][~np.isnan(samples[a])]
            if metric not in usable or np.isnan(column[a]):
                rows[name][metric] = Estimate(float("nan"))
            elif intervals and known.size:
                margin = (100 - LEVEL) / 2
                low, high = np.percentile(known, [margin, 100 - margin])
                rows[name][metric] = Estimate(float(column[a]), float(low), float(high))
            else:
                rows[name][metric] = Estimate(float(column[a]))
    return rows
