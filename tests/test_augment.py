"""Augmentation: labels follow the pixels, one seed gives one batch."""

import numpy as np
import pytest
import torch
from synthetic_faces import mean_face

from aucli import augment
from aucli.align import apply_matrices
from aucli.aus import MIRROR_68
from aucli.synth.negatives import nothing
from aucli.synth.sprites import sprite_pool


def image_with_dot(x: int, y: int, size: int = 64) -> np.ndarray:
    image = np.zeros((size, size, 4), np.uint8)
    image[y - 1 : y + 2, x - 1 : x + 2] = 255
    return image


def centroid(alpha: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[0 : alpha.shape[0], 0 : alpha.shape[1]]
    weight = alpha / alpha.sum()
    return np.array([(x * weight).sum(), (y * weight).sum()])


@pytest.mark.parametrize("scale", [0.2, 0.45, 0.8, 1.0, 2.5])
def test_warp_moves_pixels_as_the_matrix_moves_points(scale: float) -> None:
    angle = 0.4
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([turn, [40.0 - 20 * scale, 30.0 - 20 * scale]])
    image = np.zeros((192, 192, 4), np.uint8)
    image[30:41, 40:51] = 255
    warped = augment.warp_rgba(image, matrix, (160, 160))
    expected = matrix[:, :2] @ [45, 35] + matrix[:, 2]
    np.testing.assert_allclose(centroid(warped[..., 3].astype(float)), expected, atol=0.15)


def test_warp_by_identity_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 4), dtype=np.uint8)
    np.testing.assert_array_equal(augment.warp_rgba(image, np.eye(2, 3), (32, 32)), image)


def test_mirror_swaps_landmarks_sides_and_pixels() -> None:
    images = torch.arange(2 * 3 * 8 * 8).reshape(2, 3, 8, 8)
    landmarks = torch.from_numpy(np.stack([mean_face()] * 2)) / 24
    visible = torch.zeros(2, 68, dtype=torch.bool)
    visible[:, 48] = True
    sides = torch.tensor([[[5.0, 1.0]], [[5.0, 1.0]]])
    flags = np.array([True, False])
    out, points, seen, turned = augment.mirror(flags, images, landmarks, visible, sides=(sides,))
    assert torch.equal(out[0], images[0].flip(2)) and torch.equal(out[1], images[1])
    assert turned.tolist() == [[[1.0, 5.0]], [[5.0, 1.0]]]
    assert seen[0].nonzero().tolist() == [[54]] and seen[1].nonzero().tolist() == [[48]]
    assert points[0, 0, 0] == pytest.approx(7 - float(landmarks[0, MIRROR_68[0], 0]))
    assert torch.equal(points[1], landmarks[1])
    # The person's right mouth corner stays at the smaller x.
    assert points[0, 48, 0] < points[0, 54, 0]


def test_jitter_keeps_the_middle_near_and_the_shape() -> None:
    matrices = augment.jitter_matrices(np.random.default_rng(0), 500, 128)
    middle = np.full((500, 1, 2), 63.5)
    moved = apply_matrices(middle, matrices)[:, 0] - 63.5
    assert moved.std() == pytest.approx(1.5, rel=0.1)
    scale = np.sqrt(np.linalg.det(matrices[:, :, :2]))
    assert np.log(scale).std() == pytest.approx(0.05, rel=0.1)


def test_photometric_is_uint8_and_repeatable() -> None:
    images = torch.rand(16, 3, 64, 64) * 255
    one = augment.photometric(np.random.default_rng(3), images.clone())
    two = augment.photometric(np.random.default_rng(3), images.clone())
    other = augment.photometric(np.random.default_rng(4), images.clone())
    assert one.dtype == torch.uint8 and one.shape == images.shape
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_small_faces_are_as_frequent_as_large_ones() -> None:
    edges = torch.zeros(200, 3, 128, 128)
    edges[..., ::2] = 255  # what only a large picture can show
    out = augment._small_and_back(np.random.default_rng(0), edges[:40].clone())
    kept = out.diff(dim=3).abs().mean((1, 2, 3))
    assert out.shape == (40, 3, 128, 128)
    assert augment.SMALL_FACES[1] / augment.FACE_IN_CROP < 128 and (kept < 160).all()
    changed = []
    augment._some(
        np.random.default_rng(1),
        edges,
        augment.SMALL_SHARE,
        lambda rng, images: changed.append(len(images)) or images,
    )
    assert 75 < changed[0] < 125


def test_a_crop_with_nothing_in_it_may_be_black_flat_or_noisy() -> None:
    rng = np.random.default_rng(0)
    crops = np.stack([nothing(rng, 128) for _ in range(80)])
    assert crops.shape == (80, 128, 128, 3) and crops.dtype == np.uint8
    spread = crops.std((1, 2)).max(1)
    assert (spread == 0).sum() > 20 and (spread > 20).sum() > 10
    assert (crops.max((1, 2, 3)) < 13).sum() > 5


def test_occluders_hide_the_landmarks_behind_them() -> None:
    sprite = np.full((1, 128, 128, 4), 255, np.uint8)
    images = torch.zeros(8, 3, 128, 128)
    points = torch.from_numpy(np.stack([mean_face() * 0.66] * 8)).float()
    visible = torch.ones(8, 68, dtype=torch.bool)
    rng = np.random.default_rng(0)
    out, seen = augment.occlude(rng, images, points, visible, sprite, share=1.0, at_mouth=0.0)
    cells = points.round().long()
    for n in range(8):
        covered = out[n, 0, cells[n, :, 1], cells[n, :, 0]] > 100
        assert torch.equal(covered, ~seen[n])
    assert (~seen).any() and visible.all()


def test_a_hand_at_the_mouth_has_the_colour_of_the_face() -> None:
    sprite = np.zeros((1, 128, 128, 4), np.uint8)
    sprite[:, 32:96, 32:96] = (200, 100, 50, 255)
    images = torch.full((8, 3, 128, 128), 90.0)
    points = torch.from_numpy(np.stack([mean_face() * 0.66] * 8)).float()
    visible = torch.ones(8, 68, dtype=torch.bool)
    rng = np.random.default_rng(0)
    out, seen = augment.occlude(rng, images, points, visible, sprite, share=1.0, at_mouth=1.0)
    assert (~seen[:, 48:]).float().mean() > 0.6 > (~seen[:, 17:27]).float().mean()
    middle = out[0, :, *points[0, ~seen[0]].mean(0).long().flip(0)]
    assert middle.std() < 2  # the sprite's orange is gone


def test_a_face_cut_by_the_frame_repeats_the_last_row() -> None:
    rng = np.random.default_rng(2)
    images = torch.arange(64, dtype=torch.uint8)[None, None, :, None].repeat(40, 3, 1, 64)
    landmarks = torch.stack(torch.meshgrid(*[torch.linspace(10, 50, 8)] * 2, indexing="xy"), 2)
    landmarks = landmarks.reshape(1, 64, 2).repeat(40, 1, 1)
    seen = torch.ones(40, 64, dtype=torch.bool)
    out, visible = augment.cut_by_frame(rng, images, landmarks, seen, share=1.0)
    assert seen.all() and images[0, 0, -1, 0] == 63  # new tensors
    bottom = [i for i in range(40) if out[i, 0, -1, 0] < 50]
    assert bottom
    for i in bottom:
        edge = int(out[i, 0, -1, 0])
        assert (out[i, :, edge:] == edge).all() and (out[i, :, :edge] == images[i, :, :edge]).all()
        assert torch.equal(visible[i], landmarks[i, :, 1] <= edge)
    untouched, still = augment.cut_by_frame(rng, images, landmarks, seen, share=0.0)
    assert torch.equal(untouched, images) and still.all()


def test_shadows_only_darken() -> None:
    images = torch.full((20, 3, 32, 32), 200.0)
    out = augment.cast_shadows(np.random.default_rng(1), images, share=0.5)
    assert (out <= 200).all() and out.min() < 150
    assert 3 <= (out != images).flatten(1).any(1).sum() <= 17


def test_sprites_are_premultiplied() -> None:
    sprites = sprite_pool(10)
    assert sprites.shape == (10, 128, 128, 4) and sprites.dtype == np.uint8
    assert (sprites[..., :3] <= sprites[..., 3:]).all()
    assert (sprites[..., 3] > 0).any((1, 2)).all()
