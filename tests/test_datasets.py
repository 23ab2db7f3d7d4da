"""Synthetic shards: splits, batches that depend on the seed and their number alone, targets."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from synthetic_faces import write_shards
from torch.utils.data import DataLoader

from aucli.align import LANDMARK_CROP_SCALE, face_boxes
from aucli.aus import SYNTHETIC_AUS
from aucli.datasets import synthetic
from aucli.datasets.synthetic import AUBatches, FaceStore, LandmarkBatches, SceneBatches
from aucli.errors import DataError
from aucli.synth import backgrounds
from aucli.synth.scenes import scene_targets
from aucli.synth.things import thing_pool

SMILE, CHEEKS = (SYNTHETIC_AUS.index(au) for au in ("AU12", "AU06"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards"), shards=2, faces=24)


@pytest.fixture(autouse=True)
def small_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = backgrounds.BackgroundPool(6, seed=1)
    monkeypatch.setattr(synthetic, "BackgroundPool", lambda **_: pool)


def test_splits_share_no_identity(root: Path) -> None:
    train, test = FaceStore(root), FaceStore(root, "test")
    assert len(train) == 44 and len(test) == 4
    assert set(test.identity.tolist()) == {0, 20}
    assert not set(train.identity.tolist()) & set(test.identity.tolist())
    assert len(FaceStore(root, limit=5)) == 5


def test_faces_are_premultiplied_and_decoded_once(root: Path) -> None:
    store = FaceStore(root)
    face = store.face(3)
    assert face.shape == (192, 192, 4) and face[..., 3].max() == 255
    assert (face[..., :3] <= face[..., 3:]).all()
    files = sorted((root / "decoded").iterdir())
    assert [f.name for f in files] == ["shard-00000.rgba", "shard-00001.rgba"]
    before = [f.stat().st_mtime_ns for f in files]
    FaceStore(root)
    assert [f.stat().st_mtime_ns for f in files] == before


def test_missing_shards_and_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No shard"):
        FaceStore(tmp_path)
    write_shards(tmp_path, shards=1, faces=2)
    shard = tmp_path / "shard-00000.parquet"
    pq.write_table(pq.read_table(shard).drop_columns(["AU12_L"]), shard)
    with pytest.raises(DataError, match="lacks the columns AU12_L; render it again"):
        FaceStore(tmp_path)


def test_active_faces_are_drawn_more_often(root: Path) -> None:
    store = FaceStore(root)
    smiling = store.sides[:, SMILE].sum(1) > 0
    store.sides[:, CHEEKS] = store.sides[:, SMILE]
    weights = store.au_weights()
    assert weights.sum() == pytest.approx(1)
    assert weights[smiling].min() > 2 * weights[~smiling].max()


def test_broad_smiles_without_raised_cheeks_are_drawn_less_often(root: Path) -> None:
    store = FaceStore(root)
    broad = store.sides[:, SMILE].mean(1) > 2.5
    assert 0 < broad.sum() < len(broad)
    shares = []
    for cheeks in (0.49, 0.51):
        store.sides[:, CHEEKS] = cheeks
        weights = store.au_weights()
        shares.append(weights[broad].mean() / weights[~broad].mean())
    assert shares[0] == pytest.approx(synthetic.SMILE_WITHOUT_CHEEKS * shares[1], rel=0.01)


@pytest.mark.parametrize("series", [LandmarkBatches, AUBatches, SceneBatches])
def test_batch_number_decides_the_batch(root: Path, series) -> None:
    store = FaceStore(root)
    first = list(itertools.islice(series(store, 4, seed=7), 3))
    later = next(iter(series(store, 4, seed=7, start=2)))
    for a, b in zip(first[2], later, strict=True):
        assert torch.equal(a.nan_to_num(-1), b.nan_to_num(-1))
    assert not torch.equal(first[0].images, first[1].images)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As in a loader process: the order of a sum, and so its last bit, depends on the threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.filterwarnings("ignore:This DataLoader")  # of a single core
def test_two_loaders_keep_the_order(root: Path, one_thread: None) -> None:
    store = FaceStore(root)
    alone = list(itertools.islice(LandmarkBatches(store, 4, seed=1), 3))
    loader = DataLoader(LandmarkBatches(store, 4, seed=1), batch_size=None, num_workers=2)
    for a, b in zip(alone, itertools.islice(loader, 3), strict=True):
        assert torch.equal(a.images, b.images)


def test_landmark_batch(root: Path) -> None:
    class Mixed(LandmarkBatches):
        negatives = 0.25

    batch = next(iter(Mixed(FaceStore(root), 64, seed=0)))
    assert batch.images.shape == (64, 3, 128, 128) and batch.images.dtype == torch.uint8
    assert batch.landmarks.shape == (64, 68, 2) and batch.weights.shape == (64, 68)
    assert 0.6 < batch.is_face.mean() < 0.9
    extent = (batch.landmarks.amax(1) - batch.landmarks.amin(1)).amax(1)[batch.is_face > 0]
    assert extent.min() > 55 and extent.max() < 135
    # The person's right mouth corner keeps the smaller x, mirrored or not.
    face = batch.landmarks[batch.is_face > 0]
    assert (face[:, 48, 0] < face[:, 54, 0]).all()


def test_things_are_drawn_over_their_ground() -> None:
    pool = thing_pool(40, seed=3)
    assert pool.shape == (40, 128, 128, 4) and (pool[..., :3] <= pool[..., 3:]).all()
    assert np.array_equal(pool[:2], thing_pool(2, seed=3))
    # Each fills the most of its place, and all but the craters leave the corners free.
    alpha = pool[..., 3] / 255
    assert alpha.mean((1, 2)).min() > 0.3
    assert (alpha[:, 2, 2] == 0).mean() > 0.9
    ground = np.full((128, 128, 3), 77, np.uint8)
    for seed in range(5):
        drawn = synthetic.draw_things(np.random.default_rng(seed), ground, pool)
        assert drawn.shape == ground.shape and (ground == 77).all()
        changed = (drawn != 77).any(2)
        assert changed[40:88, 40:88].mean() > 0.5


def test_things_are_lit_from_a_side() -> None:
    """Opposite halves of a thing differ in brightness as flat drawings do not."""
    pool = thing_pool(60, seed=4).astype(float)
    gray, alpha = pool[..., :3].mean(3), pool[..., 3] / 255
    halves = [
        [gray[part].sum() / alpha[part].sum() for part in (np.s_[i, :64], np.s_[i, 64:])]
        for i in range(len(pool))
    ]
    top, bottom = np.array(halves).T
    assert (np.abs(top - bottom) > 0.15 * (top + bottom) / 2).mean() > 0.25


def test_a_close_cut_is_an_enlarged_part() -> None:
    pool = backgrounds.BackgroundPool(2, seed=1)
    pool.tiles = np.random.default_rng(0).integers(0, 256, pool.tiles.shape, np.uint8)
    rough = {
        cut.__name__: [
            np.abs(np.diff(cut(np.random.default_rng(seed), 128).astype(int), axis=0)).mean()
            for seed in range(20)
        ]
        for cut in (pool.cut, pool.cut_close)
    }
    assert pool.cut_close(np.random.default_rng(0), 128).shape == (128, 128, 3)
    assert min(rough["cut"]) > 80  # noise from pixel to pixel
    assert np.mean(rough["cut_close"]) < 40 and min(rough["cut_close"]) > 5


def test_a_thing_is_a_crop_without_a_face(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LandmarkBatches, "negatives", 1.0)
    monkeypatch.setattr(LandmarkBatches, "shares", (1.0,))
    images = []
    for kind in ("background", "close", "thing"):
        monkeypatch.setattr(LandmarkBatches, "kinds", (kind,))
        batches = LandmarkBatches(FaceStore(root), 8, seed=2)
        batch = batches.make(np.random.default_rng(5))
        assert (batch.is_face == 0).all()
        images.append(batch.images)
        assert ("things" in vars(batches)) == (kind == "thing")  # made where they are asked for
    assert not any(itertools.starmap(torch.equal, itertools.combinations(images, 2)))


def test_followed_faces_are_cropped_by_their_own_box(root: Path) -> None:
    class Followed(LandmarkBatches):
        negatives, followed = 0.0, 1.0

    batch = next(iter(Followed(FaceStore(root), 32, seed=0)))
    boxes = face_boxes(batch.landmarks.numpy())
    side = (boxes[:, 2:] - boxes[:, :2]).max(1)
    assert side.mean() == pytest.approx(128 / LANDMARK_CROP_SCALE, rel=0.08)
    assert side.std() < 0.12 * side.mean()
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert np.abs(middle - 63.5).mean() < 6


def test_au_batch_keeps_sides(root: Path) -> None:
    batch = next(iter(AUBatches(FaceStore(root), 32, seed=0)))
    assert batch.intensities.shape == batch.weights.shape == (32, 2 * len(SYNTHETIC_AUS))
    left, right = batch.intensities.unflatten(1, (-1, 2))[:, SMILE].unbind(1)
    smiling = (left + right) > 0
    # The drawn faces smile with the left; about half of them are mirrored.
    assert set((left / right)[smiling].tolist()) == {0.5, 2.0}
    places = batch.points.unflatten(1, (-1, 2))[:, SMILE]  # (N, 2, 2)
    assert (places[:, 0, 0] > places[:, 1, 0]).all()
    eyes = batch.landmarks[:, 36:42].mean(1)
    assert (eyes - torch.tensor([41.0, 36.0])).norm(dim=1).mean() < 6


def test_small_au_crops_show_the_same_faces(root: Path) -> None:
    store = FaceStore(root)
    small, large = (
        next(iter(AUBatches(store, 16, seed=0, crop_size=px, spoilt=False))) for px in (64, 128)
    )
    assert small.images.shape == (16, 3, 64, 64)
    both = [batch.intensities.unflatten(1, (-1, 2)).sum(2) for batch in (small, large)]
    assert torch.equal(*both)  # mirrored or not
    assert torch.equal(small.weights, torch.ones_like(small.weights))
    eyes = small.landmarks[:, 36:42].mean(1)
    assert (eyes - torch.tensor([20.25, 17.75])).norm(dim=1).mean() < 3
    # Pixel centres: the crop's edges stay where they are.
    places = store.usual_places(64)
    assert (places + 0.5) * 2 == pytest.approx(store.usual_places() + 0.5, abs=1e-3)


def test_scene_targets_say_where_and_how_large() -> None:
    targets = scene_targets(np.array([[40.0, 60, 80, 120]]), 256)
    assert targets.shape == (7, 32, 32)
    row, column = np.unravel_index(targets[0].argmax(), (32, 32))
    assert targets[0].max() == 1 and (row, column) == (11, 7)
    assert 8 * column + 3.5 + 8 * targets[2, row, column] == pytest.approx(60)
    assert 8 * row + 3.5 + 8 * targets[3, row, column] == pytest.approx(90)
    assert np.exp(targets[4:6, row, column]) * 32 == pytest.approx([40, 60])
    cut = scene_targets(np.array([[-30.0, 60, 30, 120]]), 256)
    assert cut[0].max() == 0 and cut[1].min() == 0


def test_scene_views_are_mirrored(root: Path) -> None:
    batch = next(iter(SceneBatches(FaceStore(root), 8, seed=2)))
    assert batch.images.shape == (8, 3, 256, 256) and batch.targets.shape == (8, 7, 32, 32)
    for n in range(0, 8, 2):
        one, two = batch.boxes[n], batch.boxes[n + 1]
        assert torch.allclose(255 - one[:, 0], two[:, 2], equal_nan=True)
        assert torch.equal(one[:, 1].nan_to_num(-1), two[:, 1].nan_to_num(-1))


def test_photographs_show_no_people() -> None:
    used = set(backgrounds.TRAIN_PHOTOGRAPHS) | set(backgrounds.HELD_OUT_PHOTOGRAPHS)
    assert not used & {"astronaut.png", "camera.png", "coins.png", "lfw_subset.npy"}
    assert not set(backgrounds.TRAIN_PHOTOGRAPHS) & set(backgrounds.HELD_OUT_PHOTOGRAPHS)


def test_what_newer_sets_tell_of_people(tmp_path: Path) -> None:
    shard = write_shards(tmp_path, shards=2, faces=4) / "shard-00001.parquet"
    table = pq.read_table(shard)
    for eye in (0, 1):
        for axis, value in zip("xyz", (0.6, 0.0, -0.8), strict=True):
            table = table.append_column(f"gaze_{eye}_{axis}", pa.array([value] * 4, pa.float32()))
    table = table.append_column("family", pa.array(["makehuman"] * 4))
    table = table.append_column("beard", pa.array([True, False] * 2))
    table = table.append_column("glasses", pa.array([False, False, True, True]))
    pq.write_table(table.append_column("age", pa.array(["baby"] * 4)), shard)
    store = FaceStore(tmp_path, "all")
    assert np.isnan(store.gaze[:4]).all()  # a shard rendered before
    assert store.gaze[4:] == pytest.approx(np.full((4, 2, 3), [0.6, 0, -0.8]))
    assert store.family.tolist() == [""] * 4 + ["makehuman"] * 4
    assert store.age.tolist() == [""] * 4 + ["baby"] * 4
    assert np.isnan(store.worn[:4]).all()
    assert store.worn[4:].tolist() == [[1, 0], [0, 0], [1, 1], [0, 1]]

    short = pa.array([0.1] * 4, pa.float32())
    place = table.column_names.index("gaze_0_z")
    pq.write_table(table.set_column(place, "gaze_0_z", short), shard)
    with pytest.raises(DataError, match=r"shard-00001.parquet is damaged"):
        FaceStore(tmp_path, "all")
