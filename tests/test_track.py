"""Tracker: gaps, crossings, births and deaths; the exact assignment; the --faces option."""

from itertools import permutations

import numpy as np
import pytest

from aucli.errors import OptionError
from aucli.faces.track import Tracker, TrackerConfig, assign
from aucli.faces.wanted import parse_faces
from aucli.mean_shape import MEAN_SHAPE


def shape_at(x: float, y: float, size: float = 100.0, wide: float = 1.0) -> np.ndarray:
    """(68, 2) px: the mean face, `size` px high, stretched sideways by `wide`."""
    flat = MEAN_SHAPE[:, :2] * (wide, -1) / np.ptp(MEAN_SHAPE[:, 1])
    return flat * size + (x, y)


def shapes(*places: tuple) -> np.ndarray:
    return np.array([shape_at(*place) for place in places]).reshape(-1, 68, 2)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [(1, 1), (2, 4), (4, 2), (5, 5)])
def test_assign_equals_brute_force(size, seed):
    cost = np.random.default_rng(seed).uniform(0, 10, size)
    pairs = assign(cost)
    assert len(pairs) == min(size)
    assert len({c for _, c in pairs}) == len({r for r, _ in pairs}) == min(size)
    wide = cost if size[0] <= size[1] else cost.T
    best = min(
        sum(wide[r, c] for r, c in enumerate(p))
        for p in permutations(range(wide.shape[1]), wide.shape[0])
    )
    assert sum(cost[r, c] for r, c in pairs) == pytest.approx(best)


def test_assign_of_nothing():
    assert assign(np.zeros((0, 3))) == []
    assert assign(np.zeros((3, 0))) == []


@pytest.mark.parametrize("fps", [5, 25, 60])
def test_id_survives_half_a_second_at_any_frame_rate(fps):
    tracker = Tracker()
    assert tracker.update(0.0, shapes((200, 200))).tolist() == [0]
    missing = np.arange(1 / fps, 1 / fps + 0.5 - 1e-9, 1 / fps)
    for pts in missing:
        assert tracker.update(pts, shapes()).tolist() == []
    assert tracker.update(1 / fps + 0.5, shapes((205, 200))).tolist() == [0]


def test_id_is_not_reused_after_a_longer_gap():
    tracker = Tracker()
    tracker.update(0.0, shapes((200, 200)))
    for step in range(1, 16):
        tracker.update(step / 25, shapes())
    assert tracker.update(16 / 25, shapes((200, 200))).tolist() == [1]
    assert len(tracker.tracks) == 1


@pytest.mark.parametrize("hidden", [0, 4])
def test_crossing_faces_keep_their_ids(hidden):
    """Two equal faces pass each other; the one behind may be hidden while they overlap."""
    tracker, fps = Tracker(), 25
    for step in range(41):
        left, right = (100 + 10 * step, 200), (500 - 10 * step, 205)
        behind = abs(step - 20) <= hidden and hidden > 0
        ids = tracker.update(step / fps, shapes(left) if behind else shapes(right, left))
        assert ids.tolist() == ([0] if step == 0 and behind else [1] if behind else [0, 1])


def test_the_form_of_the_face_decides_where_places_do_not():
    """Two faces of different form stand so close that their places alone say nothing."""
    tracker = Tracker()
    narrow, broad = (200, 200, 100, 0.8), (210, 200, 100, 1.2)
    tracker.update(0.0, shapes(narrow, broad))
    swapped = shapes((205, 200, 100, 1.2), (205, 200, 100, 0.8))
    assert tracker.update(0.04, swapped).tolist() == [1, 0]


def test_births_and_deaths():
    tracker = Tracker()
    assert tracker.update(0.0, shapes((100, 100), (400, 100))).tolist() == [0, 1]
    assert tracker.update(0.1, shapes((700, 100), (401, 100), (101, 100))).tolist() == [2, 1, 0]
    assert tracker.update(0.2, shapes((700, 100))).tolist() == [2]
    assert tracker.update(0.9, shapes((100, 100), (700, 100))).tolist() == [3, 2]
    tracker.reset()
    assert tracker.update(0.0, shapes((700, 100))).tolist() == [0]


def test_a_far_or_much_larger_face_is_someone_else():
    tracker = Tracker()
    tracker.update(0.0, shapes((100, 100)))
    assert tracker.update(0.04, shapes((220, 100))).tolist() == [1]
    tracker.reset()
    tracker.update(0.0, shapes((100, 100)))
    assert tracker.update(0.04, shapes((100, 100, 180))).tolist() == [1]


def test_sparse_timestamps_are_no_gap():
    """One frame a second: a face seen in every frame was never missing."""
    tracker = Tracker(TrackerConfig(max_gap_seconds=0.5))
    ids = [tracker.update(float(t), shapes((100 + 5 * t, 100)))[0] for t in range(5)]
    assert ids == [0, 0, 0, 0, 0]


def test_parse_faces():
    assert parse_faces("largest") == 1
    assert parse_faces("all") is None
    assert parse_faces("3") == 3
    for text in ("0", "-1", "two", ""):
        with pytest.raises(OptionError) as caught:
            parse_faces(text)
        assert str(caught.value) == (
            f"faces: '{text}' is not 'largest', 'all' or a number of 1 or more."
        )
