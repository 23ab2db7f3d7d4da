"""Statistics of a face by hand-worked numbers."""

import numpy as np
import pytest
from made_tables import made_rows, write_table

from aucli.report.statistics import co_occurrence, face_statistics
from aucli.report.study import read_faces

nan = np.nan


def one(folder, *arguments, **groups):
    (face,) = read_faces(write_table(folder / "a.parquet", *arguments, **groups))
    return face


def test_equal_frames_give_the_usual_numbers(tmp_path):
    values = [0, 0.5, 1, 2, 3, 4, nan, nan]
    found = face_statistics(one(tmp_path, made_rows({"AU12": values})))
    own = found.aus["AU12"]
    known = np.array(values[:6])
    assert (found.frames, found.face_frames, found.face_share) == (8, 6, 0.75)
    assert (found.seconds, found.face_seconds) == pytest.approx((0.8, 0.6))
    assert own.mean == pytest.approx(known.mean()) and own.sd == pytest.approx(known.std(ddof=1))
    assert (own.median, own.p95) == (1, 4)
    assert own.shares == pytest.approx((4 / 6, 3 / 6, 2 / 6))
    assert own.seconds == pytest.approx((0.4, 0.3, 0.2))
    assert own.events is not None and len(own.events) == 1
    assert own.event_seconds == pytest.approx(0.4)
    assert np.isnan([own.left, own.right, own.asymmetry]).all()


def test_a_frame_counts_as_long_as_it_lasts(tmp_path):
    rows = made_rows({"AU12": [0, 4, 0]}, times=[0, 0.1, 0.9])
    own = face_statistics(one(tmp_path, rows)).aus["AU12"]
    # .1 s of 0, .8 s of 4, and .8 s of 0 for the last frame
    assert own.mean == pytest.approx(4 * 0.8 / 1.7)
    assert own.shares[1] == pytest.approx(0.8 / 1.7) and own.seconds[1] == pytest.approx(0.8)


def test_left_against_right(tmp_path):
    rows = made_rows({"AU12": [0, 2, 4]}, sides=[[0, 1], [2, 1], [4, 2]])
    own = face_statistics(one(tmp_path, rows, sides=True)).aus["AU12"]
    assert (own.left, own.right) == pytest.approx((2, 4 / 3))
    assert own.asymmetry == pytest.approx(1.5)  # while the AU is there: 1 and 2


def test_pictures_count_one_each(tmp_path):
    rows = made_rows({"AU12": [1, 3]}, times=[nan, nan])
    found = face_statistics(one(tmp_path, rows))
    own = found.aus["AU12"]
    assert (own.mean, own.shares, own.events) == (2, (1, 0.5, 0.5), None)
    assert np.isnan([found.seconds, found.face_seconds, *own.seconds, own.event_seconds]).all()


def test_no_face_is_no_number(tmp_path):
    found = face_statistics(one(tmp_path, made_rows({"AU12": [nan, nan]})))
    own = found.aus["AU12"]
    assert found.face_share == 0 and own.events == ()
    assert np.isnan([own.mean, own.sd, own.median, own.p95, *own.shares, *own.seconds]).all()


def test_co_occurrence(tmp_path):
    levels = {"AU06": [0, 2, 2, 0, nan], "AU12": [0, 2, 0, 2, nan], "AU25": [1, 1, 1, 1, nan]}
    first, second, third = co_occurrence(
        one(tmp_path, made_rows(levels), aus=("AU06", "AU12", "AU25"))
    )
    assert (first.first, first.second) == ("AU06", "AU12")
    assert (first.first_share, first.second_share, first.both_share) == pytest.approx(
        (0.5, 0.5, 0.25)
    )
    assert first.jaccard == pytest.approx(1 / 3) and first.correlation == pytest.approx(0)
    assert (second.second_share, second.both_share) == pytest.approx((1, 0.5))
    assert np.isnan(second.correlation)
    assert (third.first, third.second) == ("AU12", "AU25")
