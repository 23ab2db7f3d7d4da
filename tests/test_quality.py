"""What is wrong with a face's picture, word for word."""

from itertools import compress

import numpy as np
import pytest

from aucli.pipeline.quality import MAX_TURN_RADIANS, MIN_WIDTH_PX, judge
from aucli.records import Face
from aucli.table.schema import QUALITY

FRAME = (360, 640, 3)


def words(box=(100, 100, 220, 240), pose=(0.0, 0.0, 0.0), crop=None) -> list[str]:
    if crop is None:
        crop = drawn()
    shape = np.zeros((68, 2), np.float32)
    face = Face(np.array(box, np.float32), 0.99, shape, 0, np.array(pose, np.float32))
    return list(compress(QUALITY, judge(face, crop, FRAME)))


def drawn(contrast=40.0, mean=120.0, cell=4) -> np.ndarray:
    """(128, 128, 3) uint8 with squares of `cell` px."""
    squares = np.indices((128 // cell, 128 // cell)).sum(0) % 2 * 2 - 1
    gray = mean + contrast * np.kron(squares, np.ones((cell, cell)))
    return np.repeat(gray.clip(0, 255).astype(np.uint8)[..., None], 3, 2)


def test_a_good_picture_has_no_word():
    assert words() == []


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("small", {"box": (100, 100, 100 + MIN_WIDTH_PX - 1, 150)}),
        ("turned", {"pose": (0.0, -MAX_TURN_RADIANS - 0.01, 0.0)}),
        ("turned", {"pose": (MAX_TURN_RADIANS + 0.01, 0.0, 0.0)}),
        ("cut", {"box": (-30, 100, 90, 240)}),
        ("cut", {"box": (500, 250, 620, 390)}),
    ],
)
def test_each_word_of_place_and_pose(word, change):
    assert words(**change) == [word]


def test_a_tilted_head_is_not_turned():
    assert words(pose=(0.0, 0.0, 1.0)) == []


def test_words_of_the_pixels():
    assert words(crop=drawn(contrast=6, mean=8)) == ["dark", "flat"]
    assert words(crop=drawn(contrast=3)) == ["flat"]
    ramp = np.tile(np.linspace(40, 220, 128).astype(np.uint8)[:, None], (128, 1, 3))
    ramp = ramp.reshape(128, 128, 3)
    assert words(crop=ramp) == ["blurred"]
    assert words(crop=np.zeros_like(ramp), box=(0, 0, 20, 20)) == ["small", "dark", "flat"]


def test_what_shows_nothing_is_cut_off():
    shape = np.zeros((68, 2), np.float32)
    face = Face(np.array([100, 100, 220, 240], np.float32), 0.99, shape, 0)
    found = [list(compress(QUALITY, judge(face, drawn(), FRAME, share))) for share in (0.1, 0.11)]
    assert found == [[], ["cut"]]
