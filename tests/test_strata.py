"""Scores by stratum: who is in which, and what is said of a stratum."""

import numpy as np
import pytest
from synthetic_faces import mean_face

from aucli.align import face_boxes
from aucli.aus import SYNTHETIC_AUS
from aucli.evaluation.rendered import HeldOut, landmark_errors, shrunk
from aucli.evaluation.strata import SMALL_PX, Measured, strata, stratum_scores

AUS = ("AU06", "AU12")


def held_out(**known: np.ndarray) -> HeldOut:
    """Four faces, turned by 0, 20, 40 and 60 degrees to either side."""
    landmarks = np.tile(mean_face(), (4, 1, 1))
    return HeldOut(
        frames=np.random.default_rng(0).integers(0, 256, (4, 192, 192, 3), np.uint8),
        landmarks=landmarks,
        boxes=face_boxes(landmarks),
        intensities=np.zeros((4, len(SYNTHETIC_AUS), 2)),
        yaw_radians=np.radians([0, -20, 40, -60]),
        identity=np.arange(4),
        **known,
    )


def members(held_out: HeldOut) -> dict[str, list[int]]:
    return {name: np.flatnonzero(chosen).tolist() for name, chosen in strata(held_out)}


def test_strata_are_those_that_a_set_tells() -> None:
    yaw = {
        "yaw up to 30": [0, 1], "yaw 0-17": [0], "yaw 17-34": [1], "yaw 34-54": [2],
        "yaw 54-90": [3],
    }  # fmt: skip
    assert members(held_out()) == yaw
    worn = np.array([[1, 0], [0, 0], [np.nan, np.nan], [0, 1]])
    family = np.array(["ict", "makehuman", "", "ict"])
    age = np.array(["adult", "baby", "", "old"])
    assert members(held_out(family=family, age=age, worn=worn)) == {
        "family ict": [0, 3], "family makehuman": [1],
        "babies": [1], "children": [], "adults": [0], "old people": [3],
        "with beard": [0], "without beard": [1, 3], "with glasses": [3], "without glasses": [0, 1],
    } | yaw  # fmt: skip


def measured() -> Measured:
    true = np.array([[0, 4], [1, 3], [2, 2], [3, 0]], float)
    return Measured(
        AUS, true + np.array([[0], [0], [1], [1]]), true,
        landmarks=np.array([0.1, 0.2, 0.3, 0.4]),
        followed=np.full(4, np.nan),
        gaze=np.array([5, 7, np.nan, np.nan]),
    )  # fmt: skip


def test_a_stratum_has_the_means_of_its_faces() -> None:
    rows = stratum_scores(held_out(age=np.array(["child"] * 2 + ["old"] * 2)), measured(),
                          measured())  # fmt: skip
    assert list(rows) == [
        "all", "children", "old people", "yaw up to 30", "yaw 0-17", "yaw 17-34", "yaw 34-54",
        "yaw 54-90", "small",
    ]  # fmt: skip
    children, old = rows["children"], rows["old people"]
    assert (children["faces"], children["mae"], children["icc31"]) == (2, 0, 1)
    assert (old["faces"], old["mae"]) == (2, 1)
    assert children["nme"] == pytest.approx(0.15) and old["nme"] == pytest.approx(0.35)
    assert rows["all"]["gaze"] == 6 and np.isnan(old["gaze"])
    assert np.isnan(children["nme_followed"])


def test_small_faces_are_the_same_faces_in_smaller_frames() -> None:
    faces = held_out()
    small = shrunk(faces, SMALL_PX)
    for n, frame in enumerate(small.frames):
        side = np.ptp(face_boxes(small.landmarks[n : n + 1]).reshape(2, 2), axis=0).max()
        assert SMALL_PX[0] <= side <= SMALL_PX[1]
        scale = side / np.ptp(faces.boxes[n].reshape(2, 2), axis=0).max()
        assert frame.shape[0] == frame.shape[1] == np.ceil(192 * scale)
        # The frame's corners stay corners: (-.5, -.5) is the outer corner of the first pixel.
        assert small.landmarks[n] + 0.5 == pytest.approx((faces.landmarks[n] + 0.5) * scale)
        assert small.boxes[n] + 0.5 == pytest.approx((faces.boxes[n] + 0.5) * scale)
        assert abs(frame.mean() - faces.frames[n].mean()) < 3
    moved = small.landmarks + np.array([0.0, 1.0])
    eyes = np.linalg.norm(small.landmarks[:, 36] - small.landmarks[:, 45], axis=1)
    assert landmark_errors(moved, small)[:, 0] == pytest.approx(1 / eyes, rel=1e-3)
