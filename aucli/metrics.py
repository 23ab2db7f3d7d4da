"""Agreement between predicted and labelled values of one AU. Undefined is NaN, never 0.

All take predicted and labelled (n,) arrays; pairs in which either is NaN are left out, so that an
unscorable frame can be carried as NaN. Intensities are 0-5, but any unit works.
"""

import numpy as np
from numpy.typing import ArrayLike


def _pairs(predicted: ArrayLike, labelled: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64, without the pairs that hold a NaN. Raises ValueError on unequal shapes."""
    p, y = np.asarray(predicted, np.float64), np.asarray(labelled, np.float64)
    if p.shape != y.shape or p.ndim != 1:
        raise ValueError(f"expected two (n,) arrays of one length, got {p.shape} and {y.shape}")
    kept = ~(np.isnan(p) | np.isnan(y))
    return p[kept], y[kept]


def _constant(values: np.ndarray) -> bool:
    """Also true for fewer than two values. Equality, since a tiny variance may be rounding."""
    return values.size < 2 or bool((values == values[0]).all())


def icc31(predicted: ArrayLike, labelled: ArrayLike) -> float:
    """ICC(3,1), two raters, consistency (Shrout and Fleiss 1979).

    (BMS - EMS) / (BMS + EMS), which for two raters is 2 cov / (var p + var y): a constant offset
    does not count, a wrong scale does. NaN for constant labels.
    """
    p, y = _pairs(predicted, labelled)
    if _constant(y):
        return float("nan")
    dp, dy = p - p.mean(), y - y.mean()
    return float(2 * (dp * dy).sum() / ((dp**2).sum() + (dy**2).sum()))


def pcc(predicted: ArrayLike, labelled: ArrayLike) -> float:
    """Pearson correlation. NaN where either side is constant."""
    p, y = _pairs(predicted, labelled)
    if _constant(p) or _constant(y):
        return float("nan")
    dp, dy = p - p.mean(), y - y.mean()
    return float((dp * dy).sum() / np.sqrt((dp**2).sum() * (dy**2).sum()))


def ccc(predicted: ArrayLike, labelled: ArrayLike) -> float:
    """Concordance correlation (Lin 1989), population moments: offset and scale count.

    NaN for constant labels.
    """
    p, y = _pairs(predicted, labelled)
    if _constant(y):
        return float("nan")
    dp, dy = p - p.mean(), y - y.mean()
    offset = (p.mean() - y.mean()) ** 2
    return float(2 * (dp * dy).mean() / ((dp**2).mean() + (dy**2).mean() + offset))


def mae(predicted: ArrayLike, labelled: ArrayLike) -> float:
    """Mean absolute error, in intensity units. NaN without pairs."""
    p, y = _pairs(predicted, labelled)
    return float(np.abs(p - y).mean()) if p.size else float("nan")


def mse(predicted: ArrayLike, labelled: ArrayLike) -> float:
    """Mean squared error, in squared intensity units. NaN without pairs."""
    p, y = _pairs(predicted, labelled)
    return float(((p - y) ** 2).mean()) if p.size else float("nan")


def roc_auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties half.

    scores: (n,), any monotone unit. labels: (n,), positive where > 0. NaN where only one class is
    present.
    """
    s, y = _pairs(scores, labels)
    positive = y > 0
    p, n = int(positive.sum()), int((~positive).sum())
    if not p or not n:
        return float("nan")
    _, inverse, counts = np.unique(s, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # tied scores share their mean rank
    return float((ranks[positive].sum() - p * (p + 1) / 2) / (p * n))
