"""AU places: from maps through the alignment to frame pixels, and how they are scored."""

import numpy as np
import pytest
import torch
from synthetic_faces import mean_face
from test_panels import AUS, fixed_model

from aucli.align import align_matrices, apply_matrices, warp_crops
from aucli.aus import SYNTHETIC_AUS, synthetic_points
from aucli.evaluation.rendered import HeldOut, place_scores, predict_held_out
from aucli.heatmaps import place_windows, render_heatmaps
from aucli.models.predict import map_names
from aucli.pipeline.rows import Found, predict_rows
from aucli.records import Face
from aucli.table.schema import Columns, to_record_batch

FRAME = np.zeros((480, 640, 3), np.uint8)


def turned_face(degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    """(68, 2) px of a frontal face, turned clockwise in the picture."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ((mean_face() - 96) @ turn.T * scale + shift).astype(np.float32)


def found(landmarks: np.ndarray, template: str) -> Found:
    matrices = align_matrices(landmarks[None], template, 128)
    box = np.zeros(4, np.float32)
    crop = warp_crops(FRAME, matrices, 128)[0]
    return Found(0, 0.0, (640, 480), Face(box, 1.0, landmarks, 0), crop, matrices[0])


def maps_at(points_px: np.ndarray, levels: np.ndarray, matrix: np.ndarray) -> torch.Tensor:
    """Maps (K, 32, 32) whose peaks lie at points (K, 2) in frame px."""
    crop = torch.from_numpy(apply_matrices(points_px[None], matrix[None]))
    return render_heatmaps(crop, torch.from_numpy(levels)[None], 32, sigma=1.5)[0]


@pytest.mark.parametrize("template", ["eyes-nose", "bmvc2018"])
@pytest.mark.parametrize(
    "face",
    [(0, 1.0, (300, 200)), (37, 2.1, (311.3, 222.7)), (-120, 0.6, (100, 301))],
)
def test_places_come_back_in_frame_pixels(template, face):
    """A turned, scaled and shifted face; two sides with a place and an intensity of their own."""
    landmarks = turned_face(*face)
    row = found(landmarks, template)
    assert row.matrix is not None
    true = landmarks[[46, 41, 54, 48]].astype(np.float64)  # AU06 L, R; AU12 L, R
    levels = np.array([1.0, 2.0, 4.0, 3.0], np.float32)
    model = fixed_model(maps_at(true, levels, row.matrix), map_names(AUS, True), template=template)
    rows = predict_rows([row, Found(1, 0.04, (640, 480))], model)
    np.testing.assert_allclose(rows.places[0], true.reshape(2, 2, 2), atol=0.3)
    assert np.isnan(rows.places[1]).all()

    columns = Columns(AUS, sides=True, places=True)
    told, empty = to_record_batch(columns, "a.mp4", rows).to_pylist()
    assert [told["AU12_L_x"], told["AU12_L_y"]] == pytest.approx(true[2], abs=0.3)
    assert [told["AU12_R_x"], told["AU12_R_y"]] == pytest.approx(true[3], abs=0.3)
    assert [told["AU12_x"], told["AU12_y"]] == [told["AU12_L_x"], told["AU12_L_y"]]
    assert [told["AU06_x"], told["AU06_y"]] == [told["AU06_R_x"], told["AU06_R_y"]]
    assert {name for name, value in empty.items() if value is not None} == {
        "video", "frame", "timestamp", "success",
    }  # fmt: skip


def test_one_map_an_au_has_one_place():
    landmarks = turned_face(20, 1.3, (320, 240))
    row = found(landmarks, "eyes-nose")
    assert row.matrix is not None
    true = landmarks[[27, 54]].astype(np.float64)
    levels = np.array([2.0, 3.0], np.float32)
    model = fixed_model(maps_at(true, levels, row.matrix), map_names(AUS, False))
    rows = predict_rows([row], model)
    np.testing.assert_allclose(rows.places[0], np.repeat(true[:, None], 2, 1), atol=0.3)
    columns = Columns(AUS, places=True)
    told = to_record_batch(columns, "a.mp4", rows).to_pylist()[0]
    assert [told["AU12_x"], told["AU12_y"]] == pytest.approx(true[1], abs=0.3)


def held_out(turns: list[float]) -> HeldOut:
    landmarks = np.stack([turned_face(turn, 1.0, (96, 96)) for turn in turns])
    count = len(turns)
    boxes = np.concatenate([landmarks.min(1), landmarks.max(1)], 1)
    levels = np.zeros((count, len(SYNTHETIC_AUS), 2), np.float32)
    levels[:, SYNTHETIC_AUS.index("AU12")] = [3.0, 1.0]  # L alone counts
    levels[:, SYNTHETIC_AUS.index("AU01")] = 4.0
    frames = np.zeros((count, 192, 192, 3), np.uint8)
    return HeldOut(frames, landmarks, boxes, levels, np.zeros(count), np.arange(count))


def test_place_scores_are_shares_of_the_eye_distance():
    """Maps 4 px to one side of AU12's true place in the crop, and right on that of AU01."""
    faces = held_out([0.0, 0.0, 0.0])
    matrix = align_matrices(faces.landmarks[:1], "eyes-nose", 128)[0]
    true = synthetic_points(faces.landmarks[:1].astype(np.float64))  # (1, A, 2, 2) frame px
    wrong = true.copy()
    wrong[0, SYNTHETIC_AUS.index("AU12"), 0] += [3.0, 4.0]  # L: 5 px off
    wrong[0, SYNTHETIC_AUS.index("AU12"), 1] += [30.0, 0.0]  # R is too weak to count
    count = 2 * len(SYNTHETIC_AUS)
    maps = maps_at(wrong.reshape(count, 2), np.full(count, 3.0, np.float32), matrix)
    model = fixed_model(
        maps, map_names(SYNTHETIC_AUS, True), aus=SYNTHETIC_AUS,
        scale=np.ones(20, np.float32), offset=np.zeros(20, np.float32),
    )  # fmt: skip
    scores = place_scores(predict_held_out(model, faces)[1], faces, SYNTHETIC_AUS)
    eyes = float(np.linalg.norm(faces.landmarks[0, 36] - faces.landmarks[0, 45]))
    assert scores["AU12"] == pytest.approx(5 / eyes, abs=0.3 / eyes)
    assert scores["AU01"] == pytest.approx(0, abs=0.3 / eyes)
    assert scores["all"] == pytest.approx(0, abs=0.3 / eyes)  # two sides of AU01, one of AU12
    assert np.isnan(scores["AU45"])
    assert len(scores) == 1 + len(SYNTHETIC_AUS)


def test_windows_keep_the_sides_of_a_midline_au_apart():
    """A blurred map over both sides, as an unsure network gives it: each side stays on its own."""
    left, right = torch.tensor([70.0, 96.0]), torch.tensor([58.0, 96.0])
    blob = render_heatmaps(torch.tensor([[[64.0, 96.0]]]), torch.tensor([[3.0]]), 32, sigma=2.5)
    model = fixed_model(
        blob[0].expand(2, 32, 32), map_names(("AU17",), True), aus=("AU17",),
        windows=place_windows(torch.stack([left, right])[None], 14.0, 32),
        scale=np.ones(1, np.float32), offset=np.zeros(1, np.float32),
    )  # fmt: skip
    row = found(turned_face(0, 1.0, (320, 240)), "eyes-nose")
    assert row.matrix is not None
    rows = predict_rows([row], model)
    crop = apply_matrices(rows.places[:, 0], row.matrix[None])[0]
    assert crop[0, 0] > 66 > 62 > crop[1, 0]
    assert crop[:, 1] == pytest.approx([96, 96], abs=1)
