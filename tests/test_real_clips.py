"""The built-in weights on real clips whose faces were counted by eye."""

from pathlib import Path

import numpy as np
import pytest

from aucli.align import turn_matrix
from aucli.faces.detect import Search
from aucli.faces.finder import FaceFinder, FinderConfig
from aucli.faces.loading import load_faces
from aucli.video.source import open_video

pytestmark = pytest.mark.slow

WEIGHTS = Path(__file__).parents[1] / "weights"


@pytest.fixture(scope="module")
def networks():
    for name in ("builtin-detector", "builtin-landmarks"):
        if not (WEIGHTS / f"{name}.safetensors").exists():
            pytest.skip(f"no weights/{name}.safetensors")
    faces = load_faces()
    return faces.detector, faces.landmarker


@pytest.fixture(scope="module")
def clips(shared_dir):
    folder = shared_dir / "clips"
    if not folder.is_dir():
        pytest.skip("no shared/clips folder")
    return folder


def followed(networks, path, **config):
    finder = FaceFinder(*networks, config=FinderConfig(**config))
    return [faces for _, found in finder.find(open_video(path)) for faces in found]


def test_one_man_in_every_frame(networks, clips):
    found = followed(networks, clips / "smile.mp4", faces=None)
    assert [[face.face_id for face in faces] for faces in found] == [[0]] * 72
    assert min(faces[0].confidence for faces in found) > 0.5
    # He sits still: his landmarks do not jump, and he looks into the camera.
    centres = np.array([faces[0].landmarks.mean(0) for faces in found])
    assert np.abs(np.diff(centres, axis=0)).max() < 12
    pose = np.degrees([faces[0].pose_radians for faces in found])
    assert np.abs(np.median(pose[:, 1:], axis=0)).max() < 20


def test_every_frame_on_its_own_agrees_with_following(networks, clips):
    batch = next(iter(open_video(clips / "smile.mp4")))
    alone = Search(*networks).detect(batch.frames[:8])
    together = FaceFinder(*networks).push(batch.frames[:8], batch.pts_seconds[:8])
    for (landmarks, _), faces in zip(alone, together, strict=True):
        assert len(landmarks) == len(faces) == 1
        eyes = np.linalg.norm(landmarks[0, 36] - landmarks[0, 45])
        assert np.abs(landmarks[0] - faces[0].landmarks).mean() < 0.03 * eyes


@pytest.fixture(scope="module")
def upright(networks, clips):
    (batch,) = (b for i, b in enumerate(open_video(clips / "smile.mp4")) if i == 1)
    return batch.frames, FaceFinder(*networks).push(batch.frames, batch.pts_seconds)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_man_who_lies(networks, upright, turns):
    frames, sitting = upright
    turned = np.rot90(frames, -turns, (1, 2))
    found = FaceFinder(*networks).push(turned, np.arange(len(turned)) / 25)
    assert [[face.face_id for face in faces] for faces in found] == [[0]] * len(frames)
    matrix = turn_matrix(-turns, frames.shape[1:3])
    for (face,), (other,) in zip(found, sitting, strict=True):
        eyes = np.linalg.norm(other.landmarks[36] - other.landmarks[45])
        expected = other.landmarks @ matrix[:, :2].T + matrix[:, 2]
        assert np.abs(face.landmarks - expected).mean() < 0.03 * eyes
        angles = face.pose_radians - other.pose_radians + [0, 0, turns * np.pi / 2]
        away = (angles + np.pi) % (2 * np.pi) - np.pi
        assert np.abs(away).max() < 0.1
        assert face.confidence > 0.9


@pytest.mark.parametrize("independent", [False, True])
def test_a_man_who_fills_the_picture(networks, upright, independent):
    frames, sitting = upright
    x0, y0, x1, y1 = np.rint(sitting[0][0].bbox_xyxy_px).astype(int)
    assert min(x0, y0) > 0
    close = np.ascontiguousarray(frames[:, y0:y1, x0:x1])
    finder = FaceFinder(*networks, config=FinderConfig(independent=independent))
    found = finder.push(close, np.arange(len(close)) / 25)
    assert [len(faces) for faces in found] == [1] * len(frames)
    for (face,), (other,) in zip(found, sitting, strict=True):
        eyes = np.linalg.norm(other.landmarks[36] - other.landmarks[45])
        assert np.abs(face.landmarks + np.array([x0, y0]) - other.landmarks).mean() < 0.05 * eyes


def test_one_woman_in_every_frame(networks, clips):
    found = followed(networks, clips / "emotions.mp4", faces=None)
    # From 96 to 140 a hand covers half of her face.
    open_face = [faces for i, faces in enumerate(found) if not 96 <= i <= 140]
    assert sum(len(faces) == 1 for faces in open_face) >= 0.98 * len(open_face)
    assert {face.face_id for faces in found for face in faces} == {0}


def test_five_people(networks, clips):
    finder = FaceFinder(*networks, config=FinderConfig(faces=None, independent=True))
    ((_, (faces,)),) = finder.find(open_video(clips / "five_faces.jpg"))
    assert [face.face_id for face in faces] == [0, 1, 2, 3, 4]


def test_no_people(networks, clips):
    found = followed(networks, clips / "no_face.mp4", faces=None)
    assert sum(len(faces) for faces in found) == 0
    frames = [frame for batch in open_video(clips / "no_face.mp4") for frame in batch.frames[::8]]
    stills = FaceFinder(*networks, config=FinderConfig(faces=None, independent=True))
    assert stills.push(frames, np.zeros(len(frames))) == [[]] * len(frames)
