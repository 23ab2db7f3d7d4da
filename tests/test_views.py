"""Faces that lie sideways or fill the picture: views of a frame, when they are tried, following."""

import numpy as np
import pytest

from aucli.align import apply_matrices, face_boxes, quarter_turns, turn_matrix
from aucli.faces import views
from aucli.faces.confirm import are_seen
from aucli.faces.detect import FINE, MAX_CANDIDATES, PLAIN, TURNED, TURNED_FINE, WIDE, Search
from aucli.faces.finder import FaceFinder, FinderConfig
from aucli.faces.views import View, candidates, turned, turned_back
from aucli.mean_shape import MEAN_SHAPE

EYES, CHIN = (0, 0, 255), (255, 0, 0)
SIDE = 200  # px of the scenes' frames


def shape_between(eyes: np.ndarray, chin: np.ndarray) -> np.ndarray:
    """(68, 2) px: an upright mean face from its brows at one point to its chin at the other."""
    flat = MEAN_SHAPE[:, :2] * (1, -1) / np.ptp(MEAN_SHAPE[:, 1])
    size = chin[1] - eyes[1]
    return (flat * size + (eyes + chin) / 2).astype(np.float32)


class Upright:
    """Networks that know a face by a blue pixel over a red one.

    The detector needs .15 of a face's height of picture above it. least_px: smaller ones are seen
    in a fine look only. confidence: of every face. looks: the height of each picture that the
    detector saw, and whether the look was fine.
    """

    def __init__(self, least_px: float = 0.0, confidence: float = 0.99) -> None:
        self.least_px, self.confidence = least_px, confidence
        self.looks: list[tuple[int, bool]] = []

    def shapes(self, frame: np.ndarray) -> np.ndarray:
        difference = frame[..., 2].astype(int) - frame[..., 0]
        eyes, chins = (np.argwhere(difference * sign > 200)[:, ::-1] for sign in (1, -1))
        pairs = [(e, c) for e in eyes for c in chins if e[0] == c[0] and e[1] < c[1]]
        return np.array([shape_between(e, c) for e, c in pairs], np.float32).reshape(-1, 68, 2)

    def detect(self, frames, fine=False):
        self.looks += [(frame.shape[0], fine) for frame in frames]
        found = []
        for frame in frames:
            boxes = face_boxes(self.shapes(frame))
            height = boxes[:, 3] - boxes[:, 1]
            seen = (boxes[:, 1] >= 0.15 * height) & (fine | (height >= self.least_px))
            found.append((boxes[seen], np.full(seen.sum(), 0.9, np.float32)))
        return found

    def locate(self, frames, boxes):
        return [self._nearest(frame, own) for frame, own in zip(frames, boxes, strict=True)]

    def follow(self, frames, landmarks):
        return self.locate(frames, [face_boxes(shapes) for shapes in landmarks])

    def _nearest(self, frame, boxes):
        shapes = self.shapes(frame)
        found = np.zeros((len(boxes), 68, 2), np.float32)
        confidence = np.zeros(len(boxes), np.float32)
        for i, box in enumerate(boxes):
            far = np.abs(face_boxes(shapes) - box).max(1, initial=0)
            if len(far) and far.min() < 5:
                found[i], confidence[i] = shapes[far.argmin()], self.confidence
            else:
                found[i] = shape_between(np.array([2.0, 2]), np.array([2.0, 6]))
        return found, confidence


def frame_with(*places: tuple[int, int, int], turns: int = 0) -> np.ndarray:
    """(200, 200, 3): faces (x, y of the brows, height), then turned clockwise by quarters."""
    frame = np.zeros((SIDE, SIDE, 3), np.uint8)
    for x, y, height in places:
        frame[y, x], frame[y + height, x] = EYES, CHIN
    return np.ascontiguousarray(np.rot90(frame, -turns))


def film(scene: Upright, frames: list[np.ndarray], fps: float = 25, batch: int = 7, **config):
    finder = FaceFinder(scene, scene, FinderConfig(**config))
    times = np.arange(len(frames)) / fps
    starts = range(0, len(frames), batch)
    return [f for i in starts for f in finder.push(frames[i : i + batch], times[i : i + batch])]


OPEN, FULL = (90, 100, 40), (90, 20, 160)


@pytest.mark.parametrize("independent", [False, True])
@pytest.mark.parametrize("every_seconds", [0.25, 0.0])
@pytest.mark.parametrize("place", [OPEN, FULL])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_face_is_found_and_followed_however_it_lies(turns, place, every_seconds, independent):
    x, y, height = place
    frames = [frame_with((x + i, y, height), turns=turns) for i in range(8)]
    scene = Upright()
    found = film(scene, frames, detect_every_seconds=every_seconds, independent=independent)
    assert [[face.face_id for face in faces] for faces in found] == [[0]] * 8
    for i, (face,) in enumerate(found):
        upright = shape_between(np.array([x + i, y]), np.array([x + i, y + height]))
        lying = apply_matrices(upright[None], turn_matrix(-turns, (SIDE, SIDE))[None])[0]
        np.testing.assert_allclose(face.landmarks, lying, atol=1e-4)
        # Clockwise in the picture is towards the person's left shoulder.
        away = (face.pose_radians[2] + turns * np.pi / 2 + np.pi) % (2 * np.pi) - np.pi
        assert away == pytest.approx(0, abs=1e-3)


def views_tried(scene: Upright) -> int:
    """How often a picture with gray around it was looked at."""
    return sum(side > SIDE for side, _ in scene.looks)


@pytest.mark.parametrize("every_seconds", [0.25, 0.0])
def test_an_empty_film_is_looked_at_in_other_views_once_a_second(every_seconds):
    empty = [frame_with()] * 100
    scene = Upright()
    assert film(scene, empty, detect_every_seconds=every_seconds) == [[]] * 100
    assert views_tried(scene) == 4 * len((WIDE, *TURNED))
    tried = [scene.looks]
    for batch in (1, 100):
        scene = Upright()
        film(scene, empty, batch=batch, detect_every_seconds=every_seconds)
        tried.append(scene.looks)
    if every_seconds:
        assert tried[0] == tried[1] == tried[2]
    else:  # detections run ahead of the rest
        assert {tuple(sorted(looks)) for looks in tried} == {tuple(sorted(tried[0]))}


def test_a_newcomer_who_lies_is_found_within_a_second():
    frames = [frame_with()] * 30 + [frame_with(OPEN, turns=1)] * 45
    found = [len(faces) for faces in film(Upright(), frames)]
    assert found == [0] * 50 + [1] * 25


def test_a_face_that_lies_and_was_lost_is_found_within_a_quarter_of_a_second_and_keeps_its_id():
    here, gone = frame_with(OPEN, turns=3), frame_with()
    found = film(Upright(), [here] * 30 + [gone] * 5 + [here] * 15)
    assert [len(faces) for faces in found[:35]] == [1] * 30 + [0] * 5
    back = next(i for i, faces in enumerate(found[35:]) if faces)
    assert back <= 6
    assert {face.face_id for faces in found for face in faces} == {0}
    assert all(found[35 + back :])


def test_a_film_with_a_face_is_not_looked_at_in_other_views():
    scene = Upright()
    film(scene, [frame_with(OPEN)] * 60)
    assert views_tried(scene) == 0


def test_a_face_that_lies_needs_more_confidence():
    for confidence, turns, count in ((0.8, 0, 1), (0.8, 1, 0), (0.95, 1, 1)):
        scene = Upright(confidence=confidence)
        for independent in (False, True):
            found = film(scene, [frame_with(OPEN, turns=turns)], independent=independent)
            assert len(found[0]) == count
    never = film(Upright(), [frame_with(OPEN, turns=1)], turned_confidence=None)
    assert never == [[]]


def test_in_a_still_small_faces_are_found_beside_large_ones():
    scene = Upright(least_px=32)
    frame = frame_with((60, 80, 60), (150, 100, 16))
    (faces,) = film(scene, [frame], faces=None, independent=True)
    assert [round(float(np.ptp(face.landmarks[:, 1]))) for face in faces] == [60, 16]
    assert scene.looks == [(SIDE, False), (SIDE * 1.5, False), (SIDE, True)]
    # Where none is beyond doubt, it may lie.
    scene = Upright(least_px=32)
    (faces,) = film(scene, [frame_with((150, 100, 16), turns=2)], independent=True)
    assert len(faces) == 1
    assert len(scene.looks) == len((PLAIN, WIDE, FINE, *TURNED, *TURNED_FINE))


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("place", [OPEN, FULL])
def test_a_face_in_doubt_is_seen_however_it_lies(turns, place):
    x, y, height = place
    shape = shape_between(np.array([x, y]), np.array([x, y + height]))[None]
    lying = apply_matrices(shape, turn_matrix(-turns, (SIDE, SIDE))[None])
    frame = frame_with(place, turns=turns)
    assert are_seen(Upright(), frame, lying).tolist() == [True]
    assert are_seen(Upright(), frame_with(), lying).tolist() == [False]


def test_candidates_are_in_pixels_of_the_turned_frame():
    # Made smaller by 2 before the gray is put around it: 1280 px and 320 on each side.
    frame = np.zeros((1000, 2560, 3), np.uint8)

    class Corner:
        def detect(self, frames, fine=False):
            assert [f.shape for f in frames] == [(1920, 1140, 3)]
            assert (frames[0][0, 0] == views.GRAY).all() and not frames[0][320, 320].any()
            return [(np.array([[320, 320, 819, 1599]], np.float32), np.ones(1, np.float32))]

    ((boxes, _),) = candidates(Corner(), [frame], View(turns=1, margin=0.25))
    # From the middle of the first small pixel to that of the last one.
    np.testing.assert_allclose(boxes, [[0.5, 0.5, 998.5, 2558.5]])


def test_turns_and_back():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 255, (7, 11, 3), np.uint8)
    landmarks = rng.integers(0, 7, (3, 68, 2)).astype(np.float32)
    for turns in range(4):
        seen = apply_matrices(landmarks, turn_matrix(turns, frame.shape[:2])[None])
        x, y = seen.astype(int).transpose(2, 0, 1)
        own_x, own_y = landmarks.astype(int).transpose(2, 0, 1)
        assert (turned(frame, turns)[y, x] == frame[own_y, own_x]).all()
        np.testing.assert_array_equal(turned_back(seen, turns, frame), landmarks)


def test_quarter_turns_are_the_nearest():
    upright = shape_between(np.array([100.0, 50]), np.array([100.0, 150]))
    for degrees, turns in ((-44, 0), (44, 0), (46, 1), (134, 1), (180, 2), (-90, 3), (-46, 3)):
        angle = np.radians(degrees)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        assert quarter_turns((upright @ turn.T)[None]).tolist() == [turns]


def test_faces_of_all_directions_in_one_frame_are_followed_at_once():
    frame = frame_with((40, 40, 30)) + frame_with((50, 60, 30), turns=2)
    frame += frame_with((40, 60, 30), turns=1)
    shapes = []
    for turns, (x, y, height) in ((0, (40, 40, 30)), (2, (50, 60, 30)), (1, (40, 60, 30))):
        upright = shape_between(np.array([x, y]), np.array([x, y + height]))[None]
        shapes.append(apply_matrices(upright, turn_matrix(-turns, (SIDE, SIDE))[None])[0])
    before = np.array(shapes, np.float32)

    ((found, confidence),) = views.follow(Upright(), [frame], [before + 1])
    np.testing.assert_allclose(found, before, atol=1e-4)
    assert confidence.tolist() == [pytest.approx(0.99)] * 3


def test_many_candidates_are_bounded_in_every_view():
    counts = []

    class Many(Upright):
        def detect(self, frames, fine=False):
            boxes = np.tile(np.array([[10, 10, 30, 30]], np.float32), (64, 1))
            return [(boxes, np.ones(64, np.float32)) for _ in frames]

        def locate(self, frames, boxes):
            counts.extend(map(len, boxes))
            return super().locate(frames, boxes)

    many = Many()
    assert Search(many, many).detect_all([frame_with()])[0][0].shape == (0, 68, 2)
    assert set(counts) == {MAX_CANDIDATES}
