"""Agreement between predicted and labelled values of one AU. Undefined is NaN, never 0.

Every score follows from ten sums over (predicted, labelled) pairs, and sums add up: kept apart for
each subject, they give the pooled score, the score within each subject and thousands of bootstrap
resamples of the subjects without another look at the frames.

Pairs in which either value is NaN are left out, so that an unscorable frame can be carried as NaN.
Intensities are 0-5, but any unit works.
"""

import numpy as np
from numpy.typing import ArrayLike

METRICS = ("icc31", "pcc", "ccc", "mae", "mse", "f1")
POSITIVE = 2.0  # F1 counts an AU as there from level B on, the field's usual cut
_FLAT = 1e-12  # a variance below this share of the mean square is rounding


def _pairs(predicted: ArrayLike, labelled: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64. Raises ValueError on unequal shapes."""
    p, y = np.asarray(predicted, np.float64), np.asarray(labelled, np.float64)
    if p.shape != y.shape or p.ndim != 1:
        raise ValueError(f"expected two (n,) arrays of one length, got {p.shape} and {y.shape}")
    return p, y


def pair_sums(
    predicted: ArrayLike,
    labelled: ArrayLike,
    groups: ArrayLike | None = None,
    count: int = 1,
    positive: float = POSITIVE,
    predicted_positive: float | None = None,
) -> np.ndarray:
    """Sums over the pairs of each group, for :func:`agreement`; additive over groups.

    predicted, labelled: (n,). groups: (n,) int, 0 to count - 1, all 0 by default. A label is
    positive from ``positive`` on, a prediction from ``predicted_positive`` on (the same by default;
    another for probabilities). Returns (count, 10): n, then the sums of p, y, p^2, y^2, p y and
    |p - y| (p and y both less one constant, which no score notices), then how many are positive
    in both, in p, and in y.
    """
    p, y = _pairs(predicted, labelled)
    group = np.zeros(len(p), np.intp) if groups is None else np.asarray(groups, np.intp)
    kept = ~(np.isnan(p) | np.isnan(y))
    p, y, group = p[kept], y[kept], group[kept]
    p_on = p >= (positive if predicted_positive is None else predicted_positive)
    y_on = y >= positive
    # Squares of centred values keep their digits where the values are large and close together.
    middle = y.mean() if y.size else 0.0
    p, y = p - middle, y - middle
    columns = (np.ones(len(p)), p, y, p * p, y * y, p * y, np.abs(p - y), p_on & y_on, p_on, y_on)
    return np.stack([np.bincount(group, column, count) for column in columns], 1)


def agreement(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of each set of pairs: (..., 10) of :func:`pair_sums` -> name of METRICS -> (...).

    ``icc31``: ICC(3,1), two raters, consistency (Shrout and Fleiss 1979): (BMS - EMS) /
    (BMS + EMS), which for two raters is 2 cov / (var p + var y). A constant offset does not count,
    a wrong scale does. NaN for constant labels.
    ``pcc``: Pearson correlation. NaN where either side is constant.
    ``ccc``: concordance correlation (Lin 1989), population moments: offset and scale count. NaN for
    constant labels.
    ``mae``, ``mse``: mean absolute and squared error. NaN without pairs.
    ``f1``: of positives. NaN without a labelled positive.
    """
    n, p, y, pp, yy, py, absolute, both, p_on, y_on = np.moveaxis(np.asarray(sums, float), -1, 0)
    nan = np.full(n.shape, np.nan)

    def ratio(over: np.ndarray, under: np.ndarray, where: np.ndarray) -> np.ndarray:
        return np.divide(over, under, out=nan.copy(), where=where)

    some = n > 0
    p_mean, y_mean = (np.divide(s, n, out=np.zeros(n.shape), where=some) for s in (p, y))
    p_var, y_var = pp - p * p_mean, yy - y * y_mean  # n times the variances
    cov = py - p * y_mean
    p_moves, y_moves = (n > 1) & (p_var > _FLAT * pp), (n > 1) & (y_var > _FLAT * yy)
    cov = np.where(p_moves, cov, 0.0)
    return {
        "icc31": ratio(2 * cov, p_var + y_var, y_moves),
        "pcc": ratio(cov, np.sqrt(np.abs(p_var * y_var)), p_moves & y_moves),
        "ccc": ratio(2 * cov, p_var + y_var + n * (p_mean - y_mean) ** 2, y_moves),
        "mae": ratio(absolute, n, some),
        "mse": ratio(np.maximum(pp + yy - 2 * py, 0), n, some),
        "f1": ratio(2 * both, p_on + y_on, y_on > 0),
    }


def kappa(sums: np.ndarray) -> np.ndarray:
    """Cohen's kappa (1960) of who is positive, from (..., 10) of :func:`pair_sums` -> (...).

    NaN without pairs, and where both sides always say the same one thing.
    """
    n, both, p_on, y_on = np.moveaxis(np.asarray(sums, float)[..., [0, 7, 8, 9]], -1, 0)
    agreed = n * (n - p_on - y_on + 2 * both)  # n squared times the share
    chance = p_on * y_on + (n - p_on) * (n - y_on)
    left = n * n - chance
    return np.divide(agreed - chance, left, out=np.full(n.shape, np.nan), where=left > 0)


def mean_difference(sums: np.ndarray) -> np.ndarray:
    """Mean of predicted less labelled, from (..., 10) of :func:`pair_sums` -> (...); NaN without
    pairs."""
    n, p, y = np.moveaxis(np.asarray(sums, float)[..., :3], -1, 0)
    return np.divide(p - y, n, out=np.full(n.shape, np.nan), where=n > 0)


def _score(name: str, predicted: ArrayLike, labelled: ArrayLike) -> float:
    return float(agreement(pair_sums(predicted, labelled))[name][0])


def icc31(predicted: ArrayLike, labelled: ArrayLike) -> float:
    """ICC(3,1) of (n,) arrays, see :func:`agreement`."""
    return _score("icc31", predicted, labelled)


def pcc(predicted: ArrayLike, labelled: ArrayLike) -> float:
    """Pearson correlation of (n,) arrays, see :func:`agreement`."""
    return _score("pcc", predicted, labelled)


def ccc(predicted: ArrayLike, labelled: ArrayLike) -> float:
    """Concordance correlation of (n,) arrays, see :func:`agreement`."""
    return _score("ccc", predicted, labelled)


def mae(predicted: ArrayLike, labelled: ArrayLike) -> float:
    """Mean absolute error of (n,) arrays, in intensity units. NaN without pairs."""
    return _score("mae", predicted, labelled)


def mse(predicted: ArrayLike, labelled: ArrayLike) -> float:
    """Mean squared error of (n,) arrays, in squared intensity units. NaN without pairs."""
    return _score("mse", predicted, labelled)


def f1(
    predicted: ArrayLike,
    labelled: ArrayLike,
    positive: float = POSITIVE,
    predicted_positive: float | None = None,
) -> float:
    """F1 of values of at least ``positive``, see :func:`pair_sums`; NaN without positive labels."""
    sums = pair_sums(predicted, labelled, positive=positive, predicted_positive=predicted_positive)
    return float(agreement(sums)["f1"][0])


def mean_of_defined(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The one mean over AUs (or subjects, or folds): over the scores that are defined.

    scores: (..., A), NaN where undefined. Returns the means (...), NaN where no score is defined,
    and over how many scores each is.
    """
    known = ~np.isnan(scores)
    count = known.sum(-1)
    total = np.where(known, scores, 0).sum(-1)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0), count


def bootstrap_weights(groups: int, resamples: int, seed: int = 0) -> np.ndarray:
    """(resamples, groups): how often each group is drawn when as many are drawn with replacement.

    ``weights @ sums`` are the sums of every resample.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(groups, np.full(groups, 1 / groups), resamples).astype(np.float64)


def roc_auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties half.

    scores: (n,), any monotone unit. labels: (n,), positive where > 0. NaN where only one class is
    present.
    """
    s, y = _pairs(scores, labels)
    kept = ~(np.isnan(s) | np.isnan(y))
    s, y = s[kept], y[kept]
    positive = y > 0
    p, n = int(positive.sum()), int((~positive).sum())
    if not p or not n:
        return float("nan")
    _, inverse, counts = np.unique(s, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # tied scores share their mean rank
    return float((ranks[positive].sum() - p * (p + 1) / 2) / (p * n))
