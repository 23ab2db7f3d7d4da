"""Metrics against hand-worked tables."""

import math

import numpy as np
import pytest

from aucli.metrics import (
    METRICS,
    agreement,
    bootstrap_weights,
    ccc,
    f1,
    icc31,
    mae,
    mse,
    pair_sums,
    pcc,
    roc_auc,
)

# Deviations of p: -2 0 0 2 (sum of squares 8), of y: -1.5 -.5 .5 1.5 (5); products sum to 6.
P = [1.0, 3, 3, 5]
Y = [0.0, 1, 2, 3]


def test_hand_worked() -> None:
    assert icc31(P, Y) == pytest.approx(2 * 6 / (8 + 5))
    assert pcc(P, Y) == pytest.approx(6 / math.sqrt(40))
    # Population moments: 2 * 1.5 / (2 + 1.25 + 1.5^2)
    assert ccc(P, Y) == pytest.approx(3 / 5.5)
    assert mae(P, Y) == pytest.approx((1 + 2 + 1 + 2) / 4)
    assert mse(P, Y) == pytest.approx((1 + 4 + 1 + 4) / 4)


def test_icc31_is_the_mean_squares_formula() -> None:
    # Two-way table, targets x 2 raters: BMS between targets, EMS residual.
    table = np.array([P, Y]).T
    n, k = table.shape
    grand = table.mean()
    bms = k * ((table.mean(1) - grand) ** 2).sum() / (n - 1)
    rows, columns = table.mean(1, keepdims=True), table.mean(0, keepdims=True)
    ems = ((table - rows - columns + grand) ** 2).sum() / ((n - 1) * (k - 1))
    assert icc31(P, Y) == pytest.approx((bms - ems) / (bms + (k - 1) * ems))


def test_offset_and_scale() -> None:
    y = np.array(Y)
    assert icc31(y + 2, y) == pytest.approx(1.0)
    assert icc31(2 * y, y) == pytest.approx(0.8)  # 2 * 2 / (4 + 1)
    assert pcc(2 * y + 1, y) == pytest.approx(1.0)
    assert ccc(y + 2, y) == pytest.approx(2 * 1.25 / (2.5 + 4))
    assert ccc(y, y) == pytest.approx(1.0)


def test_undefined_is_nan() -> None:
    for metric in (icc31, pcc, ccc):
        assert math.isnan(metric([0.0, 1, 2], [0.1, 0.1, 0.1]))  # a fold without positives
        assert math.isnan(metric([1.0], [2.0]))
    assert icc31([1.0, 1, 1], [0.0, 1, 2]) == 0.0  # a constant prediction is wrong, not undefined
    assert math.isnan(pcc([1.0, 1, 1], [0.0, 1, 2]))
    assert mae([1.0, 1], [0.0, 0]) == 1.0
    assert math.isnan(f1([3.0, 1], [1.0, 0]))  # no positive label
    assert f1([0.0, 1], [3.0, 0]) == 0.0
    for metric in (icc31, pcc, ccc, mae, mse, f1, roc_auc):
        assert math.isnan(metric([], []))


def test_nan_pairs_are_left_out() -> None:
    nan = math.nan
    for metric in (icc31, pcc, ccc, mae, mse, f1, roc_auc):
        assert metric([1.0, 3, 9, 3, 5, nan], [0.0, 1, nan, 2, 3, 1]) == metric(P, Y)


def test_unequal_lengths() -> None:
    with pytest.raises(ValueError, match=r"^expected two \(n,\) arrays .* got \(2,\) and \(3,\)$"):
        mae([1.0, 2], [1.0, 2, 3])


def test_f1() -> None:
    # At 2: predicted 3 3 5, labelled 2 3, both 3 5.
    assert f1(P, Y) == pytest.approx(2 * 2 / (3 + 2))
    assert f1(P, Y, positive=3) == pytest.approx(2 * 1 / (3 + 1))
    assert f1([0.4, 0.6, 0.7], [0.0, 1, 4], predicted_positive=0.5) == pytest.approx(2 / 3)


def labelled_people(seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions, labels 0-5 with NaN, and subjects 0-3; subject 3 has no positive."""
    rng = np.random.default_rng(seed)
    subjects = rng.integers(0, 4, 400)
    labels = np.where(subjects == 3, 0, rng.integers(0, 6, 400)).astype(float)
    predicted = labels * 0.6 + rng.normal(0.5, 1, 400)
    labels[::17], predicted[::23] = np.nan, np.nan
    return predicted, labels, subjects


def test_constants_are_found_in_spite_of_rounding() -> None:
    p, y = np.arange(7) / 3, np.full(7, 0.1)
    other = np.concatenate([y, [3.0, 4.0]])
    sums = pair_sums(np.concatenate([p, [1.0, 2.0]]), other, [0] * 7 + [1, 1], 2)
    assert math.isnan(agreement(sums)["icc31"][0])
    assert agreement(sums)["icc31"][1] == pytest.approx(1.0)
    assert icc31(y, p) == 0.0 == ccc(y, p)
    assert math.isnan(pcc(y, p))


def test_large_values_keep_their_digits() -> None:
    p, y = np.array(P), np.array(Y)
    assert icc31(p * 1e-3 + 1e4, y * 1e-3 + 1e4) == pytest.approx(12 / 13, abs=1e-9)


def test_sums_of_subjects_give_every_score() -> None:
    predicted, labels, subjects = labelled_people()
    sums = pair_sums(predicted, labels, subjects, 4)
    pooled, within = agreement(sums.sum(0)), agreement(sums)
    functions = (icc31, pcc, ccc, mae, mse, f1)
    for name, metric in zip(METRICS, functions, strict=True):
        assert pooled[name] == pytest.approx(metric(predicted, labels), abs=1e-12)
        for subject in range(4):
            its = subjects == subject
            expected = metric(predicted[its], labels[its])
            assert within[name][subject] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_resampled_sums_are_those_of_resampled_frames() -> None:
    predicted, labels, subjects = labelled_people()
    weights = bootstrap_weights(4, 50)
    assert weights.shape == (50, 4)
    assert (weights.sum(1) == 4).all()
    scores = agreement(weights @ pair_sums(predicted, labels, subjects, 4))
    for w, icc, error in zip(weights, scores["icc31"], scores["mae"], strict=True):
        times = np.repeat(range(4), w.astype(int))
        drawn = np.concatenate([np.flatnonzero(subjects == subject) for subject in times])
        assert icc == pytest.approx(icc31(predicted[drawn], labels[drawn]), abs=1e-12, nan_ok=True)
        assert error == pytest.approx(mae(predicted[drawn], labels[drawn]), abs=1e-12)
    assert (bootstrap_weights(4, 50) == weights).all()
    assert (bootstrap_weights(4, 50, seed=1) != weights).any()


@pytest.mark.slow  # the import takes seconds
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_icc31_of_an_independent_library() -> None:
    import pandas as pd
    import pingouin

    predicted, labels, _ = labelled_people()
    kept = ~np.isnan(predicted + labels)
    frames = np.arange(kept.sum())
    table = pd.DataFrame(
        {
            "frame": np.tile(frames, 2),
            "rater": np.repeat(["tool", "coder"], len(frames)),
            "value": np.concatenate([predicted[kept], labels[kept]]),
        }
    )
    found = pingouin.intraclass_corr(table, targets="frame", raters="rater", ratings="value")
    # Its ICC(C,1), consistency of single raters, is what Shrout and Fleiss call ICC(3,1).
    theirs = found.set_index("Type").loc["ICC(C,1)", "ICC"]
    assert icc31(predicted, labels) == pytest.approx(theirs, abs=1e-9)
    assert 0.5 < icc31(predicted, labels) < 0.9


def test_roc_auc() -> None:
    assert roc_auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]) == pytest.approx(0.75)
    assert roc_auc([1, 2, 3], [0, 0, 2.5]) == 1.0
    assert roc_auc([3, 2, 1], [0, 0, 1]) == 0.0
    assert roc_auc([1, 1, 1, 2], [0, 1, 0, 1]) == pytest.approx((0.5 + 0.5 + 1 + 1) / 4)
    assert math.isnan(roc_auc([1, 2], [1, 1]))
