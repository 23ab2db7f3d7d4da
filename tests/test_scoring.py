"""Frames are matched and counted; reports against scores worked out another way."""

import math

import numpy as np
import pandas as pd
import pytest

from aucli.aus import DISFA_AUS
from aucli.errors import DataError
from aucli.evaluation.matching import Counts, Pairs, match, match_videos
from aucli.evaluation.published import PUBLISHED, published_rows
from aucli.evaluation.scores import MEAN, ScoreOptions, score, validation_scores
from aucli.evaluation.tables import Predictions
from aucli.evaluation.tools import Unit
from aucli.evaluation.writing import Origin, cells, number, sentences, to_plain
from aucli.metrics import METRICS, f1, icc31, mae, mean_of_defined, pcc

NAN = float("nan")


def labels_of(*videos: str, frames: int = 4) -> pd.DataFrame:
    rows = [(f"S{v}", v, i, i / 25, float(i % 3), NAN) for v in videos for i in range(frames)]
    columns = ["subject", "video", "frame_index", "pts_seconds", "AU12", "AU20"]
    return pd.DataFrame(rows, columns=columns)


def predictions_of(*rows: tuple[str, int, float, bool, float]) -> Predictions:
    """Rows of video, frame, seconds, success, AU12."""
    columns = ["video", "frame_index", "pts_seconds", "success", "AU12"]
    return Predictions(pd.DataFrame(rows, columns=columns), "openface", "intensity", 3)


def test_frames_without_prediction_are_counted() -> None:
    predictions = predictions_of(
        ("a", 0, 0.0, True, 0.5), ("a", 1, 0.04, False, NAN), ("a", 3, 0.12, True, 2.0)
    )
    pairs = match(labels_of("a", "b"), predictions)
    assert pairs.aus == ("AU12",)
    assert pairs.counts == Counts(
        videos=1, labelled=4, no_row=1, no_face=1, several_faces=3,
        videos_without=("b",), not_predicted=("AU20",),
    )  # fmt: skip
    assert pairs.counts.missing == 2
    np.testing.assert_array_equal(pairs.predicted[:, 0], [0.5, NAN, NAN, 2])
    np.testing.assert_array_equal(pairs.labelled[:, 0], [0, 1, 2, 0])
    assert set(pairs.subjects) == {"Sa"}

    zeros = match(labels_of("a", "b"), predictions, missing="zero")
    np.testing.assert_array_equal(zeros.predicted[:, 0], [0.5, 0, 0, 2])
    assert zeros.filled
    assert zeros.counts == pairs.counts


def test_faces_without_a_value_are_counted() -> None:
    rows = [("a", i, i / 25, True, NAN if i == 2 else 1.0) for i in range(4)]
    pairs = match(labels_of("a"), predictions_of(*rows))
    assert (pairs.counts.missing, pairs.counts.unread) == (0, {"AU12": 1})
    text = "\n".join(sentences(score(pairs), Origin("p", "tool", "l", "all", "every")))
    assert "Frames with a face but without a prediction, left out: AU12 in 1." in text


def test_by_time_the_nearest_within_half_a_step() -> None:
    # Labels are .04 s apart. The second prediction is .019 s off, the third .021 s.
    predictions = predictions_of(
        ("a", 0, 0.01, True, 1), ("a", 1, 0.059, True, 2), ("a", 7, 0.141, True, 4)
    )
    pairs = match(labels_of("a"), predictions, by="time")
    np.testing.assert_array_equal(pairs.predicted[:, 0], [1, 2, NAN, NAN])
    assert pairs.counts.no_row == 2

    timed = labels_of("a").assign(frame_index=-1)
    np.testing.assert_array_equal(match(timed, predictions).predicted, pairs.predicted)
    with pytest.raises(
        DataError, match=r"^The labels have no frame numbers; match them by time\.$"
    ):
        match(timed, predictions, by="frame")
    with pytest.raises(DataError, match=r"^Not every label has a time; match them by frame\.$"):
        match(labels_of("a").drop(columns="pts_seconds"), predictions, by="time")
    untimed = predictions_of(("a", 0, NAN, True, 1))
    with pytest.raises(DataError, match=r"^The predictions have no times; match them by frame\.$"):
        match(labels_of("a"), untimed, by="time")


def test_videos_are_matched_by_name() -> None:
    assert match_videos(["truth"], ["clip"]) == {"truth": "clip"}
    assert match_videos(["SN001", "SN0011"], ["LeftVideoSN001_comp", "sn0011"]) == {
        "SN001": "LeftVideoSN001_comp",
        "SN0011": "sn0011",
    }
    assert match_videos(["F001/T1", "F001/T10"], ["F001_T10", "x"]) == {"F001/T10": "F001_T10"}
    both_cameras = ["LeftVideoSN001_comp", "RightVideoSN001_comp"]
    with pytest.raises(DataError, match=r"^The predictions LeftVideo.* all fit the labelled video"):
        match_videos(["SN001", "SN002"], both_cameras)
    with pytest.raises(DataError, match=r"^No labelled video \(a, b\) is among the predicted ones"):
        match_videos(["a", "b"], ["c"])


def test_nothing_in_common() -> None:
    predictions = predictions_of(("a", 0, 0.0, True, 0.5))
    with pytest.raises(DataError, match=r"^The labels code AU20 and the predictions AU12, so"):
        match(labels_of("a").drop(columns="AU12"), predictions)
    with pytest.raises(DataError, match=r"^No frame of the predicted videos has a label;"):
        match(labels_of("a").assign(AU12=NAN), predictions)


def pairs_of(
    labelled: np.ndarray, predicted: np.ndarray, subjects: np.ndarray, unit: Unit = "intensity"
) -> Pairs:
    aus = tuple(f"AU{a + 1:02d}" for a in range(labelled.shape[1]))
    counts = Counts(1, len(labelled), 0, 0, 0, (), ())
    return Pairs(aus, subjects, labelled, predicted, unit, False, counts)


def people(seed: int = 1) -> Pairs:
    """Six subjects, three AUs; AU03 is never shown, S5 never shows AU02."""
    rng = np.random.default_rng(seed)
    subjects = np.repeat([f"S{s}" for s in range(6)], 50)
    labelled = rng.integers(0, 6, (300, 3)).astype(float)
    labelled[:, 2] = 0
    labelled[subjects == "S5", 1] = 0
    predicted = 0.7 * labelled + rng.normal(0.3, 0.8, (300, 3))
    predicted[::31] = NAN
    return pairs_of(labelled, predicted, subjects)


def test_report_against_direct_scores() -> None:
    pairs = people()
    folds = {"A": ("S0", "S1", "S2"), "B": ("S3", "S4", "S5")}
    report = score(pairs, ScoreOptions(resamples=200), folds)
    assert report.aus == ("AU01", "AU02", "AU03")
    assert report.subjects == 6
    assert report.frames == dict.fromkeys(report.aus, 290)
    kept = ~np.isnan(pairs.predicted[:, 0])
    assert report.positives["AU01"] == (pairs.labelled[kept, 0] >= 2).mean()
    assert report.positives["AU03"] == 0
    for a, au in enumerate(report.aus):
        p, y = pairs.predicted[:, a], pairs.labelled[:, a]
        for name, metric in (("icc31", icc31), ("pcc", pcc), ("mae", mae), ("f1", f1)):
            expected = {"pooled": metric(p, y)}
            for view, groups in (
                ("within", [(f"S{s}",) for s in range(6)]),
                ("folds", folds.values()),
            ):
                each = [metric(p[m], y[m]) for m in (np.isin(pairs.subjects, g) for g in groups)]
                each = [value for value in each if not math.isnan(value)]
                expected[view] = float(np.mean(each)) if each else NAN
            for view, value in expected.items():
                found = report.scores[view][au][name]
                assert found.value == pytest.approx(value, abs=1e-9, nan_ok=True), (view, au, name)
                if not math.isnan(value):
                    assert found.low < found.value < found.high
    # AU03 has no positive: n/a, and not part of the mean; its error is.
    mean = report.scores["pooled"][MEAN]
    rows = report.scores["pooled"]
    assert math.isnan(rows["AU03"]["icc31"].value)
    assert mean["icc31"].value == pytest.approx(
        (rows["AU01"]["icc31"].value + rows["AU02"]["icc31"].value) / 2
    )
    assert mean["mae"].value == pytest.approx(np.mean([rows[au]["mae"].value for au in report.aus]))


def test_perfect_is_one_and_constant_is_na() -> None:
    pairs = people()
    perfect = pairs_of(pairs.labelled, pairs.labelled, pairs.subjects)
    for view in ("pooled", "within"):
        row = score(perfect).scores[view]["AU01"]
        for metric in ("icc31", "pcc", "ccc", "f1"):
            assert row[metric].value == pytest.approx(1, abs=1e-9)
            assert row[metric].low == pytest.approx(1, abs=1e-9)
        assert row["mae"].value == row["mse"].value == 0
    constant = pairs_of(pairs.labelled, np.full_like(pairs.labelled, 0.1), pairs.subjects)
    report = score(constant)
    assert report.flat == ("AU01", "AU02")
    for au in ("AU01", "AU02"):
        row = report.scores["pooled"][au]
        assert math.isnan(row["pcc"].value)
        # By their formulas: no agreement beyond the constant.
        assert row["icc31"].value == row["ccc"].value == 0
    assert report.scores["pooled"]["AU01"]["mae"].value == pytest.approx(
        np.abs(pairs.labelled[:, 0] - 0.1).mean()
    )


def test_one_mean_for_one_perfect_and_one_constant_au() -> None:
    """In the report and in training's validation alike: undefined scores are named and left out."""
    labelled = np.tile(np.arange(6.0), 4)[:, None].repeat(2, 1)
    predicted = np.stack([labelled[:, 0], np.full(24, 0.5)], 1)
    pairs = pairs_of(labelled, predicted, np.repeat(["a", "b"], 12))
    report = score(pairs)
    pooled = report.scores["pooled"]
    validation = validation_scores(predicted, labelled, report.aus)
    for metric, value in (("pcc", 1.0), ("icc31", 0.5), ("mae", (0 + 2.1666666666666665) / 2)):
        assert pooled[MEAN][metric].value == pytest.approx(value)
        assert validation[metric] == pytest.approx(value)
    assert math.isnan(pooled["AU02"]["pcc"].value) and math.isnan(validation["pcc.AU02"])
    assert pooled["AU02"]["icc31"].value == validation["icc31.AU02"] == 0
    assert report.mean_over["pooled"]["pcc"] == ("AU01",)
    assert report.mean_over["pooled"]["icc31"] == ("AU01", "AU02")
    assert report.flat == ("AU02",)
    origin = Origin("p", "tool", "l", "all", "every")
    text = "\n".join(sentences(report, origin))
    assert "Predicted as a constant: AU02." in text
    assert "Undefined, so n/a and left out of the mean: PCC of AU02. A number in " in text
    assert "says over how many of the 2 AUs a mean is." in text
    row = cells(report, "pooled", interval=False)[-1]
    assert row[:5] == ["mean", "", "", ".50", "1.00 (1)"]
    assert to_plain(report, origin)["mean_over"]["pooled"]["pcc"] == ("AU01",)


def test_every_undefined_score_is_named() -> None:
    """Also one that no AU has, and one that only a view lacks."""
    origin = Origin("p", "tool", "l", "all", "every")
    subjects = np.repeat(["a", "b"], 12)
    labelled = np.tile(np.arange(6.0), 4)[:, None].repeat(2, 1)
    of_subject = np.stack([labelled[:, 0], np.where(subjects == "a", 0.0, 1.0)], 1)
    text = "\n".join(sentences(score(pairs_of(labelled, of_subject, subjects)), origin))
    assert "left out of the mean: PCC of AU02 (within). A number" in text
    never = score(pairs_of(0 * labelled, labelled, subjects))
    text = "\n".join(sentences(never, origin))
    assert "left out of the mean: ICC(3,1), PCC, CCC, F1 ≥2 of AU01, AU02. A number" in text


def test_the_mean_of_nothing_is_na() -> None:
    mean, count = mean_of_defined(np.array([[1.0, NAN, 3.0], [NAN, NAN, NAN]]))
    np.testing.assert_array_equal(mean, [2.0, NAN])
    assert count.tolist() == [2, 0]


def test_intervals_cover_what_they_should() -> None:
    """The standard error of a mean over subjects is known: sd / sqrt(subjects)."""
    rng = np.random.default_rng(0)
    count = 60
    offsets = rng.normal(0, 1, count)
    labelled = np.tile([[0.0], [3.0]], (count, 1))
    predicted = labelled + 5 + np.repeat(offsets, 2)[:, None]
    pairs = pairs_of(labelled, predicted, np.repeat(np.arange(count).astype(str), 2))
    error = score(pairs, ScoreOptions(resamples=4000)).scores["pooled"]["AU01"]["mae"]
    half_width = 1.96 * offsets.std() / math.sqrt(count)
    assert error.high - error.low == pytest.approx(2 * half_width, rel=0.05)
    assert error.low < 5 + offsets.mean() < error.high


def test_one_subject_has_no_interval() -> None:
    pairs = people()
    one = pairs_of(pairs.labelled, pairs.predicted, np.full(300, "S"))
    found = score(one).scores
    assert math.isnan(found["pooled"]["AU01"]["icc31"].low)
    assert found["pooled"]["AU01"]["icc31"].value == found["within"]["AU01"]["icc31"].value


def test_probabilities_are_scored_by_correlation_and_threshold_only() -> None:
    pairs = people()
    probabilities = 1 / (1 + np.exp(-pairs.predicted))
    report = score(pairs_of(pairs.labelled, probabilities, pairs.subjects, "probability"))
    row = report.scores["pooled"]["AU01"]
    for metric in METRICS:
        assert math.isnan(row[metric].value) == (metric not in ("pcc", "f1"))
    assert row["f1"].value == pytest.approx(
        f1(probabilities[:, 0], pairs.labelled[:, 0], predicted_positive=0.5)
    )


def test_published_rows_are_within_range_and_agree_with_their_mean() -> None:
    for row in PUBLISHED:
        values = [v for v in (row.icc31, row.pcc, row.mae, *row.icc31_per_au.values()) if v]
        assert values and all(0 < value < 1 for value in values)
        assert row.source and row.protocol
        if len(row.icc31_per_au) == len(DISFA_AUS):
            mean = sum(row.icc31_per_au.values()) / len(DISFA_AUS)
            assert row.icc31 == pytest.approx(mean, abs=0.006)
    assert {row.dataset for row in PUBLISHED} == {"disfa", "bp4d"}
    assert published_rows("unbc") == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.84, ".84"), (-0.05, "-.05"), (1.2, "1.20"), (0.999, "1.00"), (-0.001, ".00"), (NAN, "n/a")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text
