"""One network for a followed face: what it looks at, how it follows, and where the eyes look."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from bright_faces import tiny_au_model, tiny_networks, write_clip
from PIL import Image
from safetensors.torch import save_file
from synthetic_faces import write_shards

from aucli import analyzer
from aucli.align import align_matrices, invert_matrices, turn_directions
from aucli.analyzer import Analyzer
from aucli.aus import MIRROR_68
from aucli.datasets.joint import JointBatches
from aucli.datasets.synthetic import FaceStore
from aucli.errors import OptionError
from aucli.faces.watcher import JointWatcher
from aucli.mean_shape import MEAN_SHAPE
from aucli.models.predict import AUModel, Look, look_at_crops, map_names, predict_crops
from aucli.models.scc import SCC
from aucli.models.scc_heatmap import SCCHeatmapConfig, SCCHeatmapNet
from aucli.pipeline import rows
from aucli.pipeline.loading import Networks
from aucli.pipeline.maps import SeenFace, face_maps, read_maps
from aucli.table.schema import GAZE, gaze_angles
from aucli.train.config import TrainConfig
from aucli.train.tasks import JointTask, RenderedAUTask
from aucli.train.trainer import train
from aucli.weights.cards import load_au_model

AUS = ("AU06", "AU12", "AU25")


def joint_model(knows_gaze: bool = True) -> AUModel:
    """A network that follows, far too small, with random weights."""
    torch.manual_seed(0)
    config = SCCHeatmapConfig(
        maps=2 * len(AUS), scc_sizes=(16,), k=3, widths=(4, 4, 4, 4), follows=True, scc_rank=8
    )
    net = SCCHeatmapNet(config).eval()
    plain = tiny_au_model()
    return AUModel(
        net, AUS, map_names(AUS, sides=True), 128, "eyes-nose", plain.mean, plain.std,
        plain.scale, plain.offset, knows_gaze=knows_gaze, name="joint",
    )  # fmt: skip


def test_angles_have_the_signs_of_openface() -> None:
    to_camera, right, down = [0, 0, -1], [0.6, 0, -0.8], [0, 0.6, -0.8]
    gaze = np.array([[to_camera] * 2, [right] * 2, [down] * 2, [right, to_camera]], float)
    angle = np.arctan2(0.6, 0.8)
    assert gaze_angles(gaze) == pytest.approx(
        np.array([[0, 0], [angle, 0], [0, angle], [np.arctan2(0.3, 0.9), 0]])
    )


def test_directions_turn_with_the_picture() -> None:
    quarter = np.array([[[0, -2.0, 5], [2.0, 0, 7]]])  # x to y, twice as large
    turned = turn_directions(np.array([[[0.6, 0, -0.8], [0, 0.6, -0.8]]]), quarter)
    assert turned == pytest.approx(np.array([[[0, 0.6, -0.8], [-0.6, 0, -0.8]]]))


@pytest.mark.parametrize("known", [True, False])
def test_gaze_has_columns_where_the_network_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    networks = Networks(joint_model(), tiny_networks().faces, {"model": {"name": "joint"}})
    monkeypatch.setattr(analyzer, "load_networks", lambda options: networks)
    clip = write_clip(tmp_path / "a.mp4", [100, 20, 200])
    table: Any = Analyzer(gaze=known, threads=1).frame(clip)
    assert [name for name in table if name in GAZE] == (list(GAZE) if known else [])
    if not known:
        return
    faces = table[table.success]
    eyes = faces[list(GAZE[:6])].to_numpy(float).reshape(-1, 2, 3)
    assert len(eyes) == 3 and np.linalg.norm(eyes, axis=2) == pytest.approx(np.ones((3, 2)))
    assert faces[list(GAZE[6:])].to_numpy(float) == pytest.approx(gaze_angles(eyes), abs=1e-5)
    assert table[~table.success][list(GAZE)].isna().to_numpy().all()


def test_a_look_at_faces_on_their_way_is_that_at_their_crops() -> None:
    model = joint_model()
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (200, 300, 3), np.uint8) for _ in range(3)]
    shape = tiny_shape()
    told = JointWatcher(model).follow(
        frames, [shape[None], np.stack([shape, shape + 60]), np.empty((0, 68, 2), np.float32)]
    )
    assert [len(landmarks) for landmarks, _, _ in told] == [1, 2, 0]
    landmarks, confidence, readings = told[1]
    assert landmarks.shape == (2, 68, 2) and ((confidence >= 0) & (confidence <= 1)).all()
    reading = readings[0]
    assert reading.crop.shape == (128, 128, 3) and reading.intensities.shape == (3,)
    turned = turn_directions(reading.gaze[None], reading.matrix[None])
    assert np.linalg.norm(turned, axis=2) == pytest.approx(np.ones((1, 2)), abs=1e-5)
    # Alone or among others, a face is read the same.
    alone = JointWatcher(model).follow(frames[1:2], [shape[None]])[0]
    assert alone[0] == pytest.approx(landmarks[:1], abs=1e-3)
    assert alone[2][0].intensities == pytest.approx(reading.intensities, abs=1e-4)


def tiny_shape() -> np.ndarray:
    """(68, 2) px of a face in the left of a picture of 300 x 200."""
    return (MEAN_SHAPE[:, :2] * [5, -5] + [90, 90]).astype(np.float32)


def test_shapes_without_a_size_are_no_crop() -> None:
    frame = np.zeros((60, 60, 3), np.uint8)
    point = np.full((1, 68, 2), 30, np.float32)
    landmarks, confidence, readings = JointWatcher(joint_model()).follow([frame], [point])[0]
    assert (landmarks == point).all() and confidence.tolist() == [0] and readings[0] is None


def test_crops_without_a_face_have_any_size(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(JointBatches, "negatives", 1.0)
    store = FaceStore(write_shards(tmp_path / "faces", 1, 12), "train")
    batches = JointBatches(store, 4, 3, 0, 0, 1, 64)
    monkeypatch.setattr(JointBatches, "shares", (1.0,))
    for kind in JointBatches.kinds:
        monkeypatch.setattr(batches, "kinds", (kind,))
        batch: Any = batches.batch(0)
        assert batch.images.shape == (4, 3, 64, 64) and (batch.is_face == 0).all(), kind


def test_the_second_half_of_a_batch_is_the_first_in_a_mirror(tmp_path: Path) -> None:
    store = FaceStore(write_shards(tmp_path / "faces", 1, 12), "train")
    batch: Any = JointBatches(store, 16, 3, 0, 0, 1, 128).batch(0)
    one, other = (slice(0, 8), slice(8, 16))
    assert torch.equal(batch.images[other], batch.images[one].flip(3))
    mirrored = batch.landmarks[one][:, torch.from_numpy(MIRROR_68)] * torch.tensor([-1.0, 1.0])
    assert torch.allclose(batch.landmarks[other], mirrored + torch.tensor([127.0, 0.0]))
    left, right = batch.intensities.unflatten(1, (-1, 2)).unbind(2)
    assert torch.equal(left[other], right[one]) and torch.equal(right[other], left[one])
    assert (batch.gaze_weights == 0).all()  # these faces were rendered before eyes had a gaze
    assert batch.is_face[one].equal(batch.is_face[other]) and 0 < batch.is_face.mean() <= 1
    no_face = batch.is_face == 0
    assert (batch.weights[no_face] == 0).all() and (batch.landmark_weights[no_face] == 0).all()


def test_a_layer_of_low_rank_starts_near_the_one_of_full_rank(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "faces", 1, 6)
    words: dict[str, Any] = {
        "root": root,
        "out": tmp_path / "out",
        "steps": 1,
        "widths": (4, 8, 8, 8),
    }
    given = RenderedAUTask(TrainConfig("scc-small", **words)).net()
    save_file(given.state_dict(), tmp_path / "a.safetensors")
    net = JointTask(TrainConfig("scc-joint", init=tmp_path / "a.safetensors", **words)).net()
    full, low = given.get_submodule("sccs.16"), net.get_submodule("sccs.16")
    assert isinstance(full, SCC) and isinstance(low, SCC) and low.rank == 64
    x = torch.nn.functional.interpolate(torch.randn(4, 8, 4, 4), size=16, mode="bicubic")
    ours, theirs = (x.flatten(2) @ layer.stacked().T for layer in (low, full))
    assert (ours - theirs).norm() < 0.1 * theirs.norm()


def test_a_layer_of_full_rank_starts_as_the_one_of_low_rank(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "faces", 1, 6)
    words: dict[str, Any] = {"root": root, "out": tmp_path / "out", "steps": 1}
    given = JointTask(TrainConfig("scc-joint", widths=(4, 8, 8, 8), **words)).net()
    save_file(given.state_dict(), tmp_path / "a.safetensors")
    start = TrainConfig("scc-small", init=tmp_path / "a.safetensors", widths=(4, 8, 8, 8), **words)
    net = RenderedAUTask(start).net()
    x = torch.rand(2, 8, 16, 16)
    ours, theirs = (n.eval().get_submodule("sccs.16")(x) for n in (net, given))
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_training_makes_a_network_that_follows(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "faces", 2, 24)
    config = TrainConfig(
        "scc-joint", root=root, out=tmp_path / "out", steps=2, batch_size=4,
        widths=(4, 8, 8, 8), evaluations=1, evaluation_faces=4,
    )  # fmt: skip
    scores = train(config)
    assert {"icc31", "nme_followed", "nme_again", "mirrored"} <= scores.keys()
    model = load_au_model(tmp_path / "out" / "weights.safetensors")
    assert model.follows and not model.knows_gaze
    with pytest.raises(OptionError, match="gaze: the network weights"):
        Analyzer(model=str(tmp_path / "out" / "weights.safetensors"), gaze=True)
    clip = write_clip(tmp_path / "a.mp4", [100] * 3)
    table = Analyzer(model=str(tmp_path / "out" / "weights.safetensors"), threads=1).frame(clip)
    assert isinstance(table, pd.DataFrame) and len(table) == 3


def test_the_network_exports_and_its_outputs_stay(tmp_path: Path) -> None:
    class Whole(torch.nn.Module):
        def __init__(self, net: torch.nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(self.net.look(x))  # type: ignore[operator]

    joint = joint_model().net
    assert isinstance(joint, torch.nn.Module)
    net = Whole(joint)
    crops = torch.randn(2, 3, 128, 128)
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(net, (crops,), dynamic_shapes={"x": {0: batch}}).module()
    crops = torch.randn(5, 3, 128, 128)
    with torch.no_grad():
        for ours, theirs in zip(exported(crops), net(crops), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-6)


def test_alignment_of_a_followed_crop_comes_back() -> None:
    shape = tiny_shape()[None]
    matrix = align_matrices(shape, "eyes-nose", 128)
    back = invert_matrices(matrix)
    eye = np.array([[[0.0, 0.6, -0.8]]])
    assert turn_directions(turn_directions(eye, matrix), back) == pytest.approx(eye, abs=1e-6)


def test_a_picture_is_looked_at_twice_and_reads_as_its_mirror_image_does() -> None:
    level = np.full(len(AUS), 2.5, np.float32)
    model = replace(joint_model(), scale=level, offset=level)  # nothing reaches 0 or 5
    crops = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)
    told, other = (look_at_crops(model, x, twice=True) for x in (crops, crops[:, :, ::-1].copy()))
    once = look_at_crops(model, crops)
    one, mirrored = told.prediction, other.prediction
    assert one.intensities == pytest.approx(mirrored.intensities, abs=1e-4)
    assert one.sides == pytest.approx(mirrored.sides[:, :, ::-1], abs=1e-4)
    assert one.places == pytest.approx(_across(mirrored.places)[:, :, ::-1], abs=1e-2)
    assert told.landmarks == pytest.approx(_across(other.landmarks)[:, MIRROR_68], abs=1e-2)
    assert told.spread == pytest.approx(other.spread[:, MIRROR_68], abs=1e-4)
    assert told.face_logit == pytest.approx(other.face_logit, abs=1e-4)
    assert told.gaze == pytest.approx(other.gaze[:, ::-1] * [-1, 1, 1], abs=1e-4)
    assert np.linalg.norm(told.gaze, axis=2) == pytest.approx(np.ones((3, 2)), abs=1e-5)
    # The mean of two looks that differ.
    assert np.abs(one.sides - once.prediction.sides).max() > 0.1
    alone = look_at_crops(model, crops[:, :, ::-1].copy()).prediction.sides[:, :, ::-1]
    assert one.sides == pytest.approx((once.prediction.sides + alone) / 2, abs=1e-4)
    maps = predict_crops(model, crops, with_heatmaps=True, twice=True).heatmaps
    turned = predict_crops(model, crops[:, :, ::-1].copy(), with_heatmaps=True, twice=True).heatmaps
    assert maps is not None and turned is not None
    sides = [1, 0, 3, 2, 5, 4]
    assert maps == pytest.approx(turned[:, sides, :, ::-1], abs=1e-4)


def _across(points: np.ndarray) -> np.ndarray:
    """Points (..., 2) px of crops of 128 px, mirrored."""
    return points * [-1, 1] + [127, 0]


def test_only_pictures_are_looked_at_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    model = joint_model()
    networks = Networks(model, tiny_networks().faces, {"model": {"name": "joint"}})
    monkeypatch.setattr(analyzer, "load_networks", lambda options: networks)
    calls: list[bool] = []

    def noted(model: AUModel, crops: np.ndarray, *, twice: bool = False) -> Look:
        calls.append(twice)
        return look_at_crops(model, crops, twice=twice)

    monkeypatch.setattr(rows, "look_at_crops", noted)
    pixels = np.full((2, 60, 80, 3), 100, np.uint8)
    tables = [Analyzer(threads=1).frames(pixels, times) for times in (None, np.array([0.0, 0.1]))]
    assert calls == [True, False]
    assert [table.attrs["provenance"]["input"]["looks"] for table in tables] == [2, 1]


def test_a_network_that_does_not_follow_looks_once() -> None:
    model = tiny_au_model()
    crops = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), np.uint8)
    once, twice = (predict_crops(model, crops, twice=twice) for twice in (False, True))
    assert not model.follows and np.array_equal(once.intensities, twice.intensities)


@pytest.mark.parametrize("known", [True, False])
def test_maps_of_a_picture_are_those_of_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    level = np.full(len(AUS), 2.5, np.float32)
    model = replace(joint_model(known), scale=level, offset=level)
    networks = Networks(model, tiny_networks().faces, {"model": {"name": "joint"}})
    monkeypatch.setattr(analyzer, "load_networks", lambda options: networks)
    pixels = np.random.default_rng(0).integers(60, 160, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    row: Any = Analyzer(threads=1, landmarks_xy=True).frame(tmp_path / "a.png").iloc[0]
    points = [[row[f"{axis}_{i}"] for axis in "xy"] for i in range(68)]
    face = SeenFace(0, 0.0, 0, np.array(points, np.float32), 1.0)
    ((_, maps),) = face_maps(tmp_path / "a.png", model, [face])
    told = [row[f"{au}_r"] for au in AUS]
    assert maps.intensities == pytest.approx(told, abs=2e-3)
    once = read_maps(pixels, face.landmarks, model).intensities
    assert np.abs(once - told).max() > 0.01
