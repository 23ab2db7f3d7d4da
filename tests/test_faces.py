"""Score maps to boxes, NMS, head pose, and the finder on a scripted detector and landmarker."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aucli.align import face_boxes
from aucli.aus import MIRROR_68
from aucli.errors import WeightsError
from aucli.faces.boxes import decode_boxes, suppress
from aucli.faces.builtin import (
    BuiltinDetector,
    BuiltinLandmarker,
    Confidence,
    confidence_features,
)
from aucli.faces.confirm import DOUBTFUL_ROWS, WINDOW, Doubts, are_seen, hidden_shares
from aucli.faces.cuts import Scenes
from aucli.faces.detect import Search
from aucli.faces.finder import FaceFinder, FinderConfig
from aucli.faces.loading import load_faces
from aucli.faces.overlap import overlaps
from aucli.mean_shape import MEAN_SHAPE
from aucli.models.detector import FaceDetectorNet
from aucli.models.landmark import LandmarkNet
from aucli.pose import angles_to_rotation, fit_pose, head_pose, rotation_to_angles
from aucli.video.source import open_video
from aucli.weights.cards import save_weights

DEMO = Path(__file__).parents[1] / "examples" / "demo.mp4"
FPS = 25


def face_shape(x: float, y: float, size: float = 80.0) -> np.ndarray:
    """(68, 2) float32 px: the mean face, `size` px high, centred on (x, y)."""
    flat = MEAN_SHAPE[:, :2] * (1, -1) / np.ptp(MEAN_SHAPE[:, 1])
    return (flat * size + (x, y)).astype(np.float32)


def test_decode_reads_boxes_from_a_hand_made_map():
    output = torch.full((2, 5, 8, 10), 0.0)
    output[:, 0] = -9.0
    output[0, :, 2, 3] = torch.tensor([3.0, 0.25, -0.5, np.log(2.0), np.log(1.5)])
    output[0, 0, 2, 4] = 2.0  # a neighbour of the peak is the same face
    output[0, :, 6, 8] = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0])
    (boxes, scores), (none, _) = decode_boxes(output.numpy(), threshold=0.3)
    # Cell (3, 2) is centred on px (27.5, 19.5); the offsets add 2 and -4 px; 64 x 48 px.
    np.testing.assert_allclose(boxes, [[-2.5, -8.5, 61.5, 39.5], [51.5, 35.5, 83.5, 67.5]])
    np.testing.assert_allclose(scores, [0.952574, 0.5], atol=1e-5)
    assert boxes.dtype == scores.dtype == np.float32
    assert none.shape == (0, 4)


def test_suppression_keeps_the_best_of_a_cluster_and_drops_a_part_of_a_face():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [22, 2, 26, 6]], float)
    assert suppress(boxes, np.array([0.5, 0.9, 0.7, 0.6])).tolist() == [1, 2]
    union, covered = overlaps(boxes[:1], boxes[1:2])
    assert union[0, 0] == pytest.approx(90 / 110)
    assert covered[0, 0] == pytest.approx(0.9)
    assert suppress(np.zeros((0, 4)), np.zeros(0)).tolist() == []


@pytest.mark.parametrize("yaw", [-50, -25, 0, 25, 50])
@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (20, -15), (-20, 30)])
def test_pose_of_the_rotated_mean_shape(yaw, pitch, roll):
    rng = np.random.default_rng(0)
    angles = np.radians([[pitch, yaw, roll]])
    turned = MEAN_SHAPE @ angles_to_rotation(angles)[0].T
    points = turned[None, :, :2] * (1, -1) * 12 + (300, 200)
    assert np.degrees(np.abs(head_pose(points) - angles)).max() < 0.01
    noisy = points + rng.normal(0, 0.01 * 12 * 15, points.shape)
    assert np.degrees(np.abs(head_pose(noisy) - angles)).max() < 4


@pytest.mark.parametrize("yaw", [-50, 0, 50])
def test_pose_under_perspective(yaw):
    """A camera eight face heights away, as at a desk, costs less than two degrees."""
    angles = np.radians([[0, yaw, 0]])
    centred = MEAN_SHAPE - MEAN_SHAPE[27:48].mean(0)
    turned = centred @ angles_to_rotation(angles)[0].T
    points = turned[:, :2] * (1, -1) / (110 - turned[:, 2:]) * 1000
    assert np.degrees(np.abs(head_pose(points[None]) - angles)).max() < 2


def test_pose_signs():
    """Chin down: the nose tip sinks. To the person's left: it moves to larger x."""

    def nose(angles):
        turned = MEAN_SHAPE @ angles_to_rotation(np.array([angles]))[0].T
        return (turned[30] - turned[27:48].mean(0))[:2] * (1, -1)

    assert nose([0.3, 0, 0])[1] > nose([0, 0, 0])[1]
    assert nose([0, 0.3, 0])[0] > 0
    tilted = MEAN_SHAPE @ angles_to_rotation(np.array([[0, 0, 0.3]]))[0].T
    assert tilted[27, 0] < tilted[8, 0]  # the bridge leans towards the person's right
    back = rotation_to_angles(angles_to_rotation(np.array([[0.2, -1.4, 0.5]])))
    np.testing.assert_allclose(back, [[0.2, -1.4, 0.5]], atol=1e-6)


def test_pose_residual_tells_faces_from_scatter():
    rng = np.random.default_rng(1)
    fit = fit_pose(np.stack([face_shape(50, 50), rng.uniform(0, 80, (68, 2))]))
    assert fit.residual[0] < 1e-6
    assert fit.residual[1] > 0.15
    assert fit_pose(np.zeros((0, 68, 2))).residual.shape == (0,)
    with pytest.raises(ValueError, match=r"landmarks must be \(n, 68, 2\), got \(68, 2\)"):
        fit_pose(np.zeros((68, 2)))


def small_nets() -> tuple[FaceDetectorNet, LandmarkNet]:
    torch.manual_seed(0)
    return FaceDetectorNet((4, 4, 4, 4, 4)).eval(), LandmarkNet((4, 4, 4, 4)).eval()


@pytest.mark.parametrize("fine", [False, True])
def test_detector_boxes_return_to_frame_pixels(fine):
    """A peak planted at the middle of the network's input lands at the middle of the frame."""

    class Planted(torch.nn.Module):
        def forward(self, x):
            assert x.shape[2] % 32 == x.shape[3] % 32 == 0
            output = torch.full((len(x), 5, x.shape[2] // 8, x.shape[3] // 8), 0.0)
            output[:, 0] = -9.0
            long_side = 640 if fine else 320
            # Rows below 9/16 of the long side are padding.
            row, column = (long_side * 9 // 16) // 16, long_side // 16
            output[:, 0, row, column] = 5.0
            output[:, 1, row, column] = -0.5  # half a cell back, onto the exact middle
            output[:, 2, row, column] = -0.5 + (long_side * 9 // 16 / 16 - row)
            return output

    detector = BuiltinDetector(small_nets()[0])
    detector.net.net = Planted()  # type: ignore[union-attr]
    frames = np.zeros((3, 720, 1280, 3), np.uint8)
    frames.flags.writeable = False  # as some decoders give them
    found = detector.detect(frames, fine=fine)
    assert len(found) == 3
    side = 32 * 1280 / (640 if fine else 320)
    middle = np.array([639.5, 359.5] * 2)
    expected = middle + np.array([-1, -1, 1, 1]) * side / 2
    np.testing.assert_allclose(found[0][0], expected[None], atol=1e-3)


def test_detector_takes_frames_of_different_sizes_and_none():
    detector = BuiltinDetector(small_nets()[0], threshold=0.0)
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, s, np.uint8) for s in ((90, 60, 3), (90, 60, 3), (33, 71, 3))]
    together = detector.detect(frames)
    assert [len(b) > 0 for b, _ in together] == [True] * 3
    alone = detector.detect(frames[2:])
    np.testing.assert_allclose(together[2][0], alone[0][0], atol=1e-3)
    assert detector.detect([]) == []


@pytest.mark.gpu
def test_gpu_and_cpu_agree():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    nets = small_nets()
    frames = np.random.default_rng(0).integers(0, 255, (2, 90, 160, 3), np.uint8)
    boxes = [np.array([[20, 20, 80, 80]], np.float32)] * 2
    located = [BuiltinLandmarker(nets[1], d).locate(frames, boxes) for d in ("cpu", "cuda")]
    np.testing.assert_allclose(located[0][1][0], located[1][1][0], atol=0.5)
    maps = [BuiltinDetector(nets[0], d, threshold=0.0).detect(frames) for d in ("cpu", "cuda")]
    assert abs(maps[0][0][1][0] - maps[1][0][1][0]) < 1e-2


def test_landmarker_batches_over_frames_and_follows():
    landmarker = BuiltinLandmarker(small_nets()[1])
    frames = np.random.default_rng(0).integers(0, 255, (3, 120, 160, 3), np.uint8)
    boxes = [np.array([[20, 20, 80, 90], [60, 30, 150, 110]], np.float32), np.zeros((0, 4)),
             np.array([[10, 10, 10, 10]], np.float32)]  # fmt: skip
    found = landmarker.locate(frames, boxes)
    assert [(s.shape, c.shape) for s, c in found] == [
        ((2, 68, 2), (2,)), ((0, 68, 2), (0,)), ((1, 68, 2), (1,))
    ]  # fmt: skip
    assert all(((c >= 0) & (c <= 1)).all() and np.isfinite(s).all() for s, c in found)
    alone = landmarker.locate(frames[:1], boxes[:1])
    np.testing.assert_allclose(found[0][0], alone[0][0], atol=1e-2)
    followed = landmarker.follow(frames[:1], [found[0][0]])
    assert followed[0][0].shape == (2, 68, 2)
    with pytest.raises(ValueError, match="faces of 3 frames are needed, not of 1"):
        landmarker.locate(frames, boxes[:1])


def test_a_mirrored_look_finds_what_a_look_at_the_mirrored_picture_finds():
    landmarker = BuiltinLandmarker(small_nets()[1])
    frame = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    box = np.array([[20, 20, 80, 90]], np.float32)
    mirrored, features = landmarker._look([frame], box, mirrored=True)
    swapped = np.array([[159 - 80, 20, 159 - 20, 90]], np.float32)
    expected, its_features = landmarker._look([frame[:, ::-1].copy()], swapped)
    expected = expected[:, MIRROR_68] * [-1, 1] + [159, 0]
    np.testing.assert_allclose(mirrored, expected, atol=1e-3)
    np.testing.assert_allclose(features, its_features, atol=1e-3)
    assert np.abs(mirrored - landmarker._look([frame], box)[0]).max() > 0.02


def test_confidence_reads_its_coefficients_from_the_card():
    features = confidence_features(
        np.array([2.0]), np.full((1, 68), 0.1), face_shape(50, 50)[None].astype(float)
    )
    np.testing.assert_allclose(features[0, :2], [2.0, np.log(0.101)])
    assert Confidence.from_card({})(features) == pytest.approx(1 / (1 + np.exp(-2)))
    card = {"confidence": {"bias": 1.0, "face_logit": 0.5, "spread": -1.0, "shape": 0.0}}
    logit = 1 + 0.5 * 2 - np.log(0.101)
    assert Confidence.from_card(card)(features) == pytest.approx(1 / (1 + np.exp(-logit)))


def test_built_in_networks_load_from_files_and_refuse_swapped_ones(tmp_path):
    detector_net, landmark_net = small_nets()
    card = {"provenance": "test", "metrics": {}}
    save_weights(tmp_path / "d", detector_net, {**card, "threshold": 0.25})
    save_weights(tmp_path / "l", landmark_net, {**card, "confidence": {"bias": 1.5}})
    first, second = str(tmp_path / "d"), str(tmp_path / "l")
    networks: Any = load_faces(first, second)
    detector, landmarker = networks.detector, networks.landmarker
    assert detector.threshold == 0.25
    assert landmarker.confidence == Confidence(bias=1.5)
    assert len(detector.sha256) == len(landmarker.sha256) == 64
    with pytest.raises(WeightsError) as caught:
        load_faces(second, second)
    assert str(caught.value) == (
        "weights 'l' are of kind 'landmarks'; name some of kind 'detector'"
    )


class Scene:
    """Scripted faces, and both protocols over them.

    places: for each frame a list of (x, y, size). doubt: for each frame the confidence of the
    followed faces. The frame's number is written into its first pixel. Other views of a frame,
    which begin with gray or with another corner, show nothing.
    """

    def __init__(self, places, doubt=None):
        self.places = places
        self.doubt = doubt or {}
        self.detected: list[int] = []
        self.followed: list[int] = []
        # Frames looked at together, and where the crop of the first face in each was cut.
        self.looks: list[tuple[list[int], list[float]]] = []

    def frames(self) -> np.ndarray:
        frames = np.full((len(self.places), 4, 4, 3), 255, np.uint8)
        frames[:, 0, 0, 0] = np.arange(len(frames))
        return frames

    def shapes(self, frame) -> np.ndarray:
        number = int(frame[0, 0, 0])
        places = self.places[number] if number < len(self.places) else []
        return np.array([face_shape(*p) for p in places], np.float32).reshape(-1, 68, 2)

    def detect(self, frames, fine=False):
        numbers = [int(frame[0, 0, 0]) for frame in frames if not fine]
        self.detected += [number for number in numbers if number < len(self.places)]
        found = [self.shapes(frame) for frame in frames]
        return [(face_boxes(s), np.full(len(s), 0.9, np.float32)) for s in found]

    def locate(self, frames, boxes):
        return [self._nearest(f, b[:, :2], 1e9, 0.99) for f, b in zip(frames, boxes, strict=True)]

    def follow(self, frames, landmarks):
        numbers = [int(frame[0, 0, 0]) for frame in frames]
        self.followed += numbers
        self.looks.append((numbers, [float(s[0, 0, 0]) for s in landmarks]))
        return [
            self._nearest(f, face_boxes(s)[:, :2], 40, self.doubt.get(int(f[0, 0, 0]), 0.95))
            for f, s in zip(frames, landmarks, strict=True)
        ]

    def _nearest(self, frame, corners, reach, confidence):
        shapes = self.shapes(frame)
        found, sure = np.zeros((len(corners), 68, 2), np.float32), np.zeros(len(corners), "f4")
        for i, corner in enumerate(corners):
            if len(shapes):
                far = np.linalg.norm(face_boxes(shapes)[:, :2] - corner, axis=1)
                if far.min() < reach:
                    found[i], sure[i] = shapes[far.argmin()], confidence
        if (sure == 0).any():
            found[sure == 0] = face_shape(2, 2, 4)
        return found, sure


def run(scene, batch=7, fps=FPS, **config):
    finder = FaceFinder(scene, scene, FinderConfig(**config))
    frames, pts = scene.frames(), np.arange(len(scene.places)) / fps
    result = []
    for start in range(0, len(frames), batch):
        result += finder.push(frames[start : start + batch], pts[start : start + batch])
    return result


def ids(result):
    return [[face.face_id for face in faces] for faces in result]


def test_detection_runs_on_a_grid_of_time_and_faces_are_followed():
    scene = Scene([[(100 + i, 100)] for i in range(25)])
    result = run(scene, faces=2)
    # 0.25 s at 25 frames a second: the first frame at or after each quarter.
    assert scene.detected == [0, 7, 13, 19]
    assert scene.followed == list(range(1, 25))
    assert ids(result) == [[0]] * 25
    face = result[10][0]
    np.testing.assert_array_equal(face.landmarks, face_shape(110, 100))
    np.testing.assert_allclose(face.bbox_xyxy_px, face_boxes(face.landmarks[None])[0])
    np.testing.assert_allclose(face.pose_radians, 0, atol=1e-3)
    assert face.confidence == pytest.approx(0.95)


def test_detection_is_rare_while_all_wanted_faces_are_followed():
    scene = Scene([[(100 + i, 100)] for i in range(60)], doubt={30: 0.4})
    assert ids(run(scene)) == [[0]] * 60
    # Once a second; frame 30 is in doubt, and frame 31 is not.
    assert scene.detected == [0, 25, 30, 50]
    everyone = Scene(scene.places)
    run(everyone, faces=None)
    assert everyone.detected == [0, 7, 13, 19, 25, 32, 38, 44, 50, 57]


def test_low_confidence_detects_again_in_the_same_frame():
    scene = Scene([[(100, 100)]] * 10, doubt={3: 0.45, 5: 0.1})
    result = run(scene)
    assert scene.detected == [0, 3, 5]
    assert ids(result) == [[0]] * 10
    assert [faces[0].confidence > 0.9 for faces in result] == [True] * 10


def test_cut_to_another_place_is_found_in_its_first_frame():
    scene = Scene([[(100, 100)]] * 4 + [[(400, 300)]] * 4)
    result = run(scene)
    assert ids(result) == [[0]] * 4 + [[1]] * 4
    assert 4 in scene.detected


def test_result_does_not_depend_on_batches_or_repetition():
    places = [[(100 + 4 * i, 100), (300 - 3 * i, 110, 70)][: 1 + (i > 3)] for i in range(40)]
    outcomes = []
    for batch in (1, 3, 40):
        result = run(Scene(places, doubt={9: 0.2}), batch, faces=None)
        outcomes.append([[(f.face_id, f.landmarks.tolist()) for f in faces] for faces in result])
    assert outcomes[0] == outcomes[1] == outcomes[2]


def numbers_looked_at(scene):
    return [numbers for numbers, _ in scene.looks]


def test_faces_are_followed_in_groups_that_end_on_a_grid():
    scene = Scene([[(100 + 0.1 * i, 100)] for i in range(14)])
    assert ids(run(scene, 14)) == [[0]] * 14
    assert numbers_looked_at(scene) == [[1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13]]
    # The crops of a group lie where the face was in the frame before it.
    first = float(face_shape(100.3, 100)[0, 0])
    assert scene.looks[1][1] == pytest.approx([first] * 4)
    cut = Scene(scene.places)
    run(cut, 6)
    assert numbers_looked_at(cut) == [[1, 2, 3], [4, 5], [6, 7], [8, 9, 10, 11], [12, 13]]
    assert cut.looks[2][1] == pytest.approx([first] * 2)


def test_a_moving_face_is_looked_for_where_its_speed_takes_it():
    # Three steps of 15 px are out of reach of a crop, so the third asks for a look of its own.
    scene = Scene([[(100 + 15 * i, 100)] for i in range(12)])
    assert ids(run(scene, 12)) == [[0]] * 12
    assert scene.detected == [0]
    assert numbers_looked_at(scene) == [[1, 2, 3], [3], [4, 5, 6, 7], [8, 9, 10, 11]]
    true = [face_shape(100 + 15 * i, 100)[0, 0] for i in (8, 9, 10, 11)]
    assert scene.looks[3][1] == pytest.approx(true, abs=12)
    # However the video is cut into batches, the same is expected.
    cut = Scene(scene.places)
    run(cut, 10)
    assert [x for _, shapes in cut.looks[3:] for x in shapes] == scene.looks[3][1]


def test_a_face_in_doubt_gets_a_look_where_it_was_just_before():
    # It rests, then goes faster than a crop reaches in three steps.
    at = [100] * 4 + [100 + 15 * i for i in range(1, 5)]
    scene = Scene([[(x, 100)] for x in at])
    assert ids(run(scene, 8)) == [[0]] * 8
    assert scene.detected == [0]
    assert numbers_looked_at(scene) == [[1, 2, 3], [4, 5, 6, 7], [6], [7]]
    before = [face_shape(at[i], 100)[0, 0] for i in (5, 6)]
    assert [scene.looks[i][1][0] for i in (2, 3)] == pytest.approx(before)


def test_groups_are_short_at_low_frame_rates():
    scene = Scene([[(100, 100)]] * 9)
    run(scene, 9, fps=5)
    assert numbers_looked_at(scene) == [[1, 2], [3], [4, 5], [6, 7], [8]]
    scene = Scene([[(100, 100)]] * 9)
    run(scene, 9, fps=2)
    assert numbers_looked_at(scene) == [[i] for i in range(1, 9)]


def test_a_newcomer_begins_a_group():
    scene = Scene([[(100, 100), (300, 100, 70)][: 1 + (i >= 4)] for i in range(9)])
    # Searched every 0.25 s, so in frame 4.
    assert ids(run(scene, 9, fps=8, faces=None)) == [[0]] * 4 + [[0, 1]] * 5
    assert numbers_looked_at(scene) == [[1, 2, 3], [4, 5, 6], [5, 6, 7], [8]]


def test_every_frame_detection_batches_all_frames():
    scene = Scene([[(100, 100)]] * 6)
    assert ids(run(scene, 6, detect_every_seconds=0)) == [[0]] * 6
    assert scene.detected == list(range(6))
    assert scene.followed == []


def test_largest_keeps_its_face_until_another_is_clearly_larger():
    sizes = [70, 75, 85, 85, 85, 85, 85, 100]
    scene = Scene([[(100, 100, 80), (400, 100, s)] for s in sizes])
    result = run(scene, detect_every_seconds=0)
    # 85 / 80 squared is 1.13: not enough; 100 / 80 squared is 1.56.
    assert [faces[0].landmarks[0, 0] < 250 for faces in result] == [True] * 7 + [False]
    assert ids(result) == [[0]] * 7 + [[1]]


def test_number_and_all_faces():
    places = [[(100, 100, 60), (300, 100, 80), (500, 100, 70)]] * 9
    largest_first = [[0, 1, 2]] * 9
    assert ids(run(Scene(places), faces=None)) == largest_first
    assert ids(run(Scene(places), faces=2)) == [[0, 1]] * 9
    result = run(Scene(places), faces=1)
    assert ids(result) == [[0]] * 9
    assert result[5][0].landmarks[:, 0].mean() == pytest.approx(300, abs=2)
    with pytest.raises(ValueError, match="faces must be at least 1 or None, got 0"):
        FinderConfig(faces=0)
    with pytest.raises(ValueError, match="relaxed_every_seconds must be above 0, got 0"):
        FinderConfig(relaxed_every_seconds=0)


def test_a_newcomer_and_a_gap():
    places = [[(100, 100)]] * 8 + [[]] * 5 + [[(104, 100)]] * 5
    scene = Scene(places)
    assert ids(run(scene)) == [[0]] * 8 + [[]] * 5 + [[0]] * 5
    # Nothing is followed: every frame is searched, so the return is seen at once.
    assert set(range(8, 14)) <= set(scene.detected)


class Gone(Scene):
    """A face that stays for 10 frames; then the landmark network sees one that is not there, as
    sure as `confidence` says, and the detector sees none."""

    def __init__(self, confidence, frames=60):
        super().__init__([[(100, 100)]] * 10 + [[]] * (frames - 10))
        self.confidence = confidence
        self.looks_at_windows = 0

    def frames(self):
        frames = np.zeros((len(self.places), 600, 600, 3), np.uint8)
        frames[:, 0, 0, 0] = np.arange(len(frames))
        return frames

    def detect(self, frames, fine=False):
        if frames[0].shape == (600, 600, 3):
            return super().detect(frames, fine)
        self.looks_at_windows += 1
        return [(np.zeros((0, 4), np.float32), np.zeros(0, np.float32)) for _ in frames]

    def follow(self, frames, landmarks):
        return [(s.copy(), np.full(len(s), self.confidence, np.float32)) for s in landmarks]


@pytest.mark.parametrize("fps", [25, 5, 1])
@pytest.mark.parametrize("every_seconds", [0.25, 0.0])
def test_a_face_that_only_the_landmarks_see_is_soon_given_up(fps, every_seconds):
    scene = Gone(0.9)
    found = run(scene, fps=fps, detect_every_seconds=every_seconds, sure_confidence=0.97)
    assert ids(found[:10]) == [[0]] * 10
    assert sum(map(bool, found[10:])) <= 8
    assert not any(found[20:])


def test_a_sure_face_needs_no_detector():
    scene = Gone(0.98)
    assert ids(run(scene, sure_confidence=0.97)) == [[0]] * 60
    assert scene.looks_at_windows == 0


def test_a_face_in_doubt_that_the_detector_sees_is_kept():
    frame = np.full((120, 160, 3), 10, np.uint8)
    frame[40:80, 60:100] = 12  # hardly to be seen
    shape = face_shape(80, 60, 40)[None]
    box = face_boxes(shape)
    low, high = box.reshape(2, 2)
    corner = np.maximum(np.floor((low + high) / 2 - WINDOW / 2 * (high - low).max()), 0)
    looks: list[np.ndarray] = []

    class Sees:
        def detect(self, frames, fine=False):
            looks.extend(frames)
            return [(box - np.tile(corner, 2), np.ones(1, np.float32)) for _ in frames]

    doubts = Doubts(Sees(), 0.97)
    for _ in range(3 * DOUBTFUL_ROWS):
        assert doubts.confirmed(frame, [7], shape, np.array([0.6])).tolist() == [True]
    assert len(looks) == 3
    assert (looks[0].min(), looks[0].max()) == (0, 255)
    # Beyond the frame there is nothing to see.
    assert are_seen(Sees(), frame, shape + 1000).tolist() == [False]


def test_nothing_is_flat_and_a_face_in_the_dark_is_not():
    rng = np.random.default_rng(0)
    crops = np.zeros((4, 128, 128, 3), np.uint8)
    crops[1] = 0x1A
    crops[2] = rng.integers(0, 5, crops[2].shape)  # a lens cap
    crops[3, 40:80, 30:90] = 2
    shapes = np.stack([face_shape(64, 70, 90)] * 4)
    assert (hidden_shares(crops, shapes) == 1).tolist() == [True] * 3 + [False]


@pytest.mark.parametrize("dark", [1.0, 0.05])
@pytest.mark.parametrize("plain", [0, 40, 255])
def test_what_lies_under_a_plain_area_is_hidden(plain, dark):
    rows, columns = np.mgrid[:128, :128]
    face = (60 + rows + 30 * np.sin(columns / 9)) * dark  # smooth, as skin is
    crops = np.repeat(face[None, ..., None], 3, 3).repeat(6, 0).astype(np.uint8)
    crops[1, :, :64] = plain
    crops[2, :72] = plain
    crops[3, 100:] = plain
    crops[4, 20:40] = plain  # a bar over the forehead
    crops[5, :, 40:] = plain
    shares = hidden_shares(crops, np.stack([face_shape(64, 70, 90)] * 6))
    assert shares[0] == shares[4] == 0
    assert shares[[1, 2, 3, 5]] == pytest.approx([0.5, 0.5, 0.1, 0.75], abs=0.06)


@pytest.mark.parametrize("gray", [0, 0x10, 0x1A, 255])
def test_the_built_in_networks_lose_a_face_on_nothing(gray):
    networks = load_faces()
    frame = np.full((360, 640, 3), gray, np.uint8)
    ((_, followed),) = networks.landmarker.follow([frame], [face_shape(320, 180, 150)[None]])
    ((_, located),) = networks.landmarker.locate([frame], [face_boxes(face_shape(320, 180)[None])])
    assert [followed.tolist(), located.tolist()] == [[0.0], [0.0]]


@pytest.mark.parametrize("step_seconds", [1 / 30, 1.0])
@pytest.mark.parametrize("kind", ["black", "gray", "cap", "fade", "left", "top", "bottom"])
def test_a_face_that_is_gone_has_no_rows(kind, step_seconds):
    """In eight of the drawn demo's frames there is a face, then it is covered."""
    shown = next(iter(open_video(DEMO))).frames[:8]
    rng = np.random.default_rng(0)
    networks = load_faces()
    (*_, (face,)) = networks.finder().push(shown, np.arange(8.0))
    x0, y0, x1, y1 = face.bbox_xyxy_px.astype(int).tolist()
    after = np.repeat(shown[-1:], 40, 0)
    if kind == "fade":
        after = (after * np.linspace(0.9, 0, 10).repeat(4)[:, None, None, None]).astype(np.uint8)
        after = np.concatenate([after, np.zeros_like(after)])
    elif kind == "left":
        after[:, :, : x0 + (x1 - x0) * 7 // 10] = 0
    elif kind == "top":
        after[:, : y0 + (y1 - y0) * 8 // 10] = 0
    elif kind == "bottom":
        after[:, y0 + (y1 - y0) * 4 // 10 :] = 255
    else:
        after[:] = 0x1A if kind == "gray" else 0
        if kind == "cap":
            after += rng.integers(0, 5, after.shape, dtype=np.uint8)
    frames = np.concatenate([shown, after])
    found = networks.finder().push(frames, np.arange(len(frames)) * step_seconds)
    assert ids(found[:8]) == [[0]] * 8
    assert sum(map(bool, found[-40:])) <= 8
    assert not any(found[-30:])


@pytest.mark.parametrize("every_seconds", [0.25, 0.0])
@pytest.mark.parametrize("together", [True, False])
def test_a_face_is_looked_for_anew_where_frames_change_their_size(every_seconds, together):
    scene = Scene([[(100, 100)]] * 6 + [[(200, 200, 160)]] * 6)
    frames = [np.zeros((4, 4, 3), np.uint8)] * 6 + [np.zeros((8, 8, 3), np.uint8)] * 6
    frames = [frame.copy() for frame in frames]
    for number, frame in enumerate(frames):
        frame[0, 0, 0] = number
    finder = FaceFinder(scene, scene, FinderConfig(detect_every_seconds=every_seconds))
    pts = np.arange(12) / FPS
    cuts = [slice(0, 12)] if together else [slice(0, 6), slice(6, 12)]
    found = [faces for cut in cuts for faces in finder.push(frames[cut], pts[cut])]
    assert ids(found) == [[0]] * 12
    np.testing.assert_array_equal(found[6][0].landmarks, face_shape(200, 200, 160))
    assert 6 in scene.detected
    assert not any({5, 6} <= set(numbers) for numbers, _ in scene.looks)


class Portraits(Scene):
    """Faces that differ in their looks: `people` says for each frame who is at (200, 200)."""

    def __init__(self, people):
        super().__init__([[(200, 200, 160)] * (who != ".") for who in people])
        self.people = people

    def frames(self):
        rng = np.random.default_rng(3)
        tiles = rng.integers(0, 100, (2, 40, 40, 3)) + np.array([20, 130]).reshape(2, 1, 1, 1)
        kinds = dict(zip("ab", np.kron(tiles, np.ones((1, 10, 10, 1))), strict=True))
        frames = np.stack([kinds.get(who, np.zeros((400, 400, 3))) for who in self.people])
        frames[:, 0, 0, 0] = np.arange(len(frames))
        return frames.astype(np.uint8)


@pytest.mark.parametrize("every_seconds", [0.25, 0.0])
def test_another_person_at_the_same_place_after_a_cut_gets_another_id(every_seconds):
    def found(people):
        return ids(run(Portraits(people), detect_every_seconds=every_seconds))

    assert found("aaaaabbbbb") == [[0]] * 5 + [[1]] * 5
    # Black for a moment, as between two parts of a film; the same person keeps the id.
    assert found("aaaa..bbbb") == [[0]] * 4 + [[]] * 2 + [[1]] * 4
    assert found("aaaa..aaaa") == [[0]] * 4 + [[]] * 2 + [[0]] * 4
    # Back within half a second.
    assert found("aabbaabb") == ([[0]] * 2 + [[1]] * 2) * 2


def test_motion_and_light_are_no_cuts():
    rng = np.random.default_rng(0)
    frame = np.kron(rng.integers(0, 200, (9, 16, 3)), np.ones((20, 20, 1))).astype(np.uint8)
    scenes = Scenes()
    moved = np.roll(frame, 60, 1)
    shown = [frame, moved, moved // 2, moved, moved + 40, 255 - moved, moved * 0, moved * 0, moved]
    assert [scenes.is_cut(f) for f in shown] == [False] * 5 + [True, True, False, True]


def test_independent_pictures_share_no_ids():
    places = [[(100, 100, 60), (300, 100, 80)], [(300, 100, 80)], []]
    result = run(Scene(places), faces=None, independent=True)
    assert ids(result) == [[0, 1], [0], []]
    assert result[0][0].landmarks[:, 0].mean() == pytest.approx(300, abs=2)


def test_verification_drops_candidates_and_merges_doubles():
    scene = Scene([[(100, 100)]])

    class Generous(Scene):
        def detect(self, frames, fine=False):
            boxes = face_boxes(face_shape(100, 100)[None])
            return [(np.concatenate([boxes, boxes + 3, boxes + 500]), np.ones(3, "f4"))]

        def locate(self, frames, boxes):
            return [self._nearest(frames[0], boxes[0][:, :2], 60, 0.9)]

    generous = Generous(scene.places)
    (landmarks, confidence) = Search(generous, generous).detect(scene.frames())[0]
    assert landmarks.shape == (1, 68, 2)
    assert confidence.tolist() == [pytest.approx(0.9)]
