"""Metrics against hand-worked tables."""

import math

import numpy as np
import pytest

from aucli.metrics import ccc, icc31, mae, mse, pcc, roc_auc

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
    for metric in (icc31, pcc, ccc, mae, mse, roc_auc):
        assert math.isnan(metric([], []))


def test_nan_pairs_are_left_out() -> None:
    nan = math.nan
    for metric in (icc31, pcc, ccc, mae, mse, roc_auc):
        assert metric([1.0, 3, 9, 3, 5, nan], [0.0, 1, nan, 2, 3, 1]) == metric(P, Y)


def test_unequal_lengths() -> None:
    with pytest.raises(ValueError, match=r"^expected two \(n,\) arrays .* got \(2,\) and \(3,\)$"):
        mae([1.0, 2], [1.0, 2, 3])


def test_roc_auc() -> None:
    assert roc_auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]) == pytest.approx(0.75)
    assert roc_auc([1, 2, 3], [0, 0, 2.5]) == 1.0
    assert roc_auc([3, 2, 1], [0, 0, 1]) == 0.0
    assert roc_auc([1, 1, 1, 2], [0, 1, 0, 1]) == pytest.approx((0.5 + 0.5 + 1 + 1) / 4)
    assert math.isnan(roc_auc([1, 2], [1, 1]))
