"""Crops: matrices against hand-worked numbers, warps against plain numpy."""

import numpy as np
import pytest

from aucli.align import (
    GRID_PX,
    TEMPLATES,
    align_face,
    align_matrices,
    align_on_grid,
    apply_matrices,
    face_boxes,
    invert_matrices,
    square_matrices,
    turn_matrix,
    warp_crops,
)
from aucli.mean_shape import MEAN_SHAPE

RNG = np.random.default_rng(5)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth coloured noise, (H, W, 3) uint8: a warp may round differently, not more."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    planes = [
        127 + 60 * np.sin(x / a + b) + 60 * np.cos(y / b + a) for a, b in rng.uniform(6, 14, (3, 2))
    ]
    return np.stack(planes, 2).astype(np.uint8)


def plain_warp(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Bilinear sampling as in a textbook, border repeated. (H, W, C) -> (size, size, C) float."""
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    y, x = np.mgrid[:size, :size]
    u, v = back @ np.stack([x.ravel(), y.ravel(), np.ones(size * size)])
    u, v = u.clip(0, image.shape[1] - 1), v.clip(0, image.shape[0] - 1)
    x0, y0 = np.floor(u).astype(int), np.floor(v).astype(int)
    x1, y1 = np.minimum(x0 + 1, image.shape[1] - 1), np.minimum(y0 + 1, image.shape[0] - 1)
    fx, fy = (u - x0)[:, None], (v - y0)[:, None]
    top = image[y0, x0] * (1 - fx) + image[y0, x1] * fx
    bottom = image[y1, x0] * (1 - fx) + image[y1, x1] * fx
    return (top * (1 - fy) + bottom * fy).reshape(size, size, -1)


def template_face(targets: dict[tuple[int, ...], tuple[float, float]]) -> np.ndarray:
    """(1, 68, 2) landmarks whose groups lie exactly on the given points."""
    landmarks = RNG.uniform(0, 128, (1, 68, 2))
    for group, point in targets.items():
        landmarks[0, list(group)] = point
    return landmarks


EYES_NOSE = {
    tuple(range(36, 42)): (41.0, 36.0),
    tuple(range(42, 48)): (87.0, 36.0),
    tuple(range(31, 36)): (64.0, 70.0),
}


def test_template_position_gives_the_identity() -> None:
    matrix = align_matrices(template_face(EYES_NOSE), "eyes-nose", 128)
    np.testing.assert_allclose(matrix, [[[1, 0, 0], [0, 1, 0]]], atol=1e-12)
    # At twice the size, pixel centres: 2 * (x + 0.5) - 0.5.
    matrix = align_matrices(template_face(EYES_NOSE), "eyes-nose", 256)
    np.testing.assert_allclose(matrix, [[[2, 0, 0.5], [0, 2, 0.5]]], atol=1e-12)


def test_quarter_turn_is_undone() -> None:
    # A face turned clockwise by 90 degrees: (x, y) -> (100 - y, x).
    upright = template_face(EYES_NOSE)
    turned = np.stack([100 - upright[..., 1], upright[..., 0]], 2)
    matrix = align_matrices(turned, "eyes-nose", 128)
    np.testing.assert_allclose(matrix, [[[0, 1, 0], [-1, 0, 100]]], atol=1e-12)


def test_bmvc2018_anchors_are_met_exactly() -> None:
    landmarks = RNG.uniform(50, 300, (3, 68, 2)).astype(np.float32)
    matrix = align_matrices(landmarks, "bmvc2018", 256)
    assert matrix.shape == (3, 2, 3)
    anchors = apply_matrices(landmarks.astype(np.float64), matrix)[:, [8, 36, 45]]
    expected = [[127.6475, 227.8161], [79.1608, 87.0376], [176.8392, 87.0376]]
    np.testing.assert_allclose(anchors, [expected] * 3, atol=1e-6)


def test_similarity_is_the_least_squares_one() -> None:
    landmarks = RNG.uniform(0, 200, (1, 68, 2))
    groups = [landmarks[0, list(group)].mean(0) for group in EYES_NOSE]
    rows, right = [], []
    for (x, y), (u, v) in zip(groups, EYES_NOSE.values(), strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        right += [u, v]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
    matrix = align_matrices(landmarks, "eyes-nose", 128)[0]
    np.testing.assert_allclose(matrix, [[a, -b, tx], [b, a, ty]], atol=1e-9)


def test_fan_square_is_the_published_one() -> None:
    # FAN maps the centre of its box, moved up by 0.12 of the height, to the crop's middle and
    # 200 * (w + h) / 195 px to the crop's side; the face's roll stays.
    landmarks = RNG.uniform(0, 1, (2, 68, 2)) * [[[97.0, 65.0]], [[195.0, 390.0]]] + 40
    landmarks[:, 48:68, 1] += 400  # the mouth lies below the eyes
    matrices = align_matrices(landmarks.astype(np.float32), "fan", 256)
    for matrix, points in zip(matrices, landmarks, strict=True):
        (x0, y0), (x1, y1) = points.min(0), points.max(0)
        zoom = 256 / (200 * ((x1 - x0) + (y1 - y0)) / 195)
        centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2 - 0.12 * (y1 - y0)])
        np.testing.assert_allclose(matrix[:, :2], [[zoom, 0], [0, zoom]], rtol=1e-6)
        np.testing.assert_allclose(matrix[:, :2] @ centre + matrix[:, 2], [127.5] * 2, rtol=1e-6)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_every_template_shows_a_face_that_lies_as_it_shows_an_upright_one(turns: int) -> None:
    upright = template_face(EYES_NOSE)
    upright[:, 48:68] += [60, 90]
    lying = apply_matrices(upright, turn_matrix(turns, (150, 240))[None])
    for template in TEMPLATES:
        shown = [
            apply_matrices(shapes, align_matrices(shapes, template, 64))
            for shapes in (upright, lying)
        ]
        np.testing.assert_allclose(shown[0], shown[1], atol=1e-4)


def test_eyes_mouth_puts_the_published_au_points_on_the_face() -> None:
    mean = (MEAN_SHAPE[None, :, :2] * [40, -40] + 100).astype(np.float32)  # (1, 68, 2), upright
    face = apply_matrices(mean, align_matrices(mean, "eyes-mouth", 256))[0]
    # AU06 (cheeks, libreface's rule), AU12 (mouth corners), AU17 (chin) of the example crop.
    places = face[[1, 41, 31]].mean(0), face[[15, 46, 35]].mean(0), face[48], face[54], face[57]
    example = (55, 105.5), (198.5, 104.5), (84, 164), (174, 164), (131, 191)
    assert np.abs(np.array(places) - example).max() < 12
    assert face.min() > 0 and face.max() < 255


def test_unknown_template() -> None:
    with pytest.raises(
        ValueError, match=r"^unknown template 'x'; there are eyes-nose, bmvc2018, fan, "
    ):
        align_matrices(np.zeros((1, 68, 2)), "x", 128)


def test_square_matrices() -> None:
    # Longer side 80, square side 160, so half a crop px a frame px; centre (60, 50) -> 63.5.
    box = np.array([[20.0, 20, 100, 80]])
    np.testing.assert_allclose(
        square_matrices(box, 80, 2.0), [[[0.5, 0, 9.5], [0, 0.5, 14.5]]], atol=1e-12
    )
    # The point right of the centre of a face turned clockwise lies below the centre in the frame.
    matrix = square_matrices(box, 80, 2.0, np.pi / 2)
    mapped = apply_matrices(np.array([[[60.0, 70.0]]]), matrix)
    np.testing.assert_allclose(mapped, [[[49.5, 39.5]]], atol=1e-12)


def test_inverse() -> None:
    matrices = align_matrices(RNG.uniform(0, 300, (5, 68, 2)), "eyes-nose", 128)
    points = RNG.uniform(0, 300, (5, 7, 2))
    there_and_back = apply_matrices(apply_matrices(points, matrices), invert_matrices(matrices))
    np.testing.assert_allclose(there_and_back, points, atol=1e-8)


def test_face_boxes_include_the_forehead() -> None:
    landmarks = np.full((1, 68, 2), 50.0)
    landmarks[0, 0], landmarks[0, 16] = (10, 50), (90, 55)
    landmarks[0, 8] = (50, 120)
    landmarks[0, 27] = (50, 40)
    landmarks[0, 19:25] = (50, 30)
    # 30 + 0.28 * (40 - 120)
    np.testing.assert_allclose(face_boxes(landmarks), [[10, 7.6, 90, 120]])


@pytest.mark.parametrize("angle", [0.0, 0.4, 2.5])
@pytest.mark.parametrize("box", [(60, 40, 150, 150), (-40, -30, 60, 70), (200, 120, 290, 220)])
def test_warp_equals_plain_bilinear(angle, box) -> None:
    image = picture(180, 240)
    matrix = square_matrices(np.array([box], float), 96, 1.2, angle)
    crop = warp_crops(image, matrix, 96)
    assert crop.shape == (1, 96, 96, 3) and crop.dtype == np.uint8
    assert np.abs(crop[0] - plain_warp(image, matrix[0], 96)).max() < 0.51


def test_far_outside_repeats_the_border() -> None:
    image = picture(40, 50)
    crop = warp_crops(image, np.array([[[1.0, 0, -500], [0, 1, -500]]]), 8)
    assert (crop == image[-1, -1]).all()


def test_shrinking_averages() -> None:
    # One-pixel stripes: bilinear samples alone would show whatever stripe they hit.
    image = np.zeros((256, 256, 3), np.uint8)
    image[:, ::2] = 200
    for shrink in (2, 4):
        matrix = np.array([[[1 / shrink, 0, 0], [0, 1 / shrink, 0]]])
        crop = warp_crops(image, matrix, 32)[0, 2:, 2:]
        assert crop.min() == crop.max() == 100
    smooth = picture(512, 512)
    matrix = square_matrices(np.array([[60.0, 60, 450, 450]]), 128, 1.0, 0.3)  # 3 to 1
    back = invert_matrices(matrix)[0]
    samples = np.stack([dx * back[:, 0] + dy * back[:, 1]
                        for dx in (-1 / 3, 0, 1 / 3) for dy in (-1 / 3, 0, 1 / 3)])  # fmt: skip
    expected = np.mean(
        [
            plain_warp(smooth, matrix[0] - np.c_[np.zeros((2, 2)), matrix[0, :, :2] @ s], 128)
            for s in samples
        ],
        0,
    )
    assert np.abs(warp_crops(smooth, matrix, 128)[0] - expected).mean() < 1.5


def test_pooling_keeps_the_place() -> None:
    # A bright square's centre stays put, to a tenth of a crop px, at every pooling factor.
    image = np.zeros((400, 500, 3), np.uint8)
    image[150:231, 230:291] = 255
    centre = np.array([[[260.0, 190.0]]])
    for shrink in (1.0, 1.7, 2.6, 3.4, 4.9):
        matrix = square_matrices(np.array([[160.0, 90, 340, 290]]), round(200 / shrink), 1.0, 0.2)
        crop = warp_crops(image, matrix, round(200 / shrink))[0, :, :, 0].astype(float)
        y, x = np.mgrid[: len(crop), : len(crop)]
        found = np.array([(x * crop).sum(), (y * crop).sum()]) / crop.sum()
        np.testing.assert_allclose(found, apply_matrices(centre, matrix)[0, 0], atol=0.1)


def test_list_array_and_batch_agree() -> None:
    images = np.stack([picture(192, 192, s) for s in range(4)])
    boxes = np.array([[40, 40, 140, 150], [10, 0, 190, 190], [60, 60, 100, 110], [0, 0, 90, 90.0]])
    matrices = square_matrices(boxes, 64, 1.2, np.array([0.0, 0.2, -0.3, 1.0]))
    single = np.concatenate(
        [warp_crops(i, m[None], 64) for i, m in zip(images, matrices, strict=True)]
    )
    assert np.array_equal(warp_crops(list(images), matrices, 64), single)
    assert np.array_equal(warp_crops(images, matrices, 64), single)


def test_frames_of_different_sizes_and_read_only() -> None:
    frames = [picture(100, 140), picture(90, 60, 1)]
    frames[0].flags.writeable = False
    matrices = square_matrices(np.array([[20, 20, 80, 80], [0, 0, 50, 50.0]]), 32, 1.0)
    crops = warp_crops(frames, matrices, 32)
    for frame, matrix, crop in zip(frames, matrices, crops, strict=True):
        assert np.array_equal(crop, warp_crops(frame, matrix[None], 32)[0])
    with pytest.raises(ValueError, match=r"^as many frames as matrices are needed, not 2 and 1$"):
        warp_crops(frames, matrices[:1], 32)
    assert warp_crops(frames[0], matrices[:0], 32).shape == (0, 32, 32, 3)


def test_align_face_lands_on_the_template() -> None:
    image = picture(200, 200)
    landmarks = template_face(EYES_NOSE) * 1.3 + 10
    crops, matrices = align_face(image, landmarks, "eyes-nose", 128)
    assert crops.shape == (1, 128, 128, 3)
    mapped = apply_matrices(landmarks, matrices)[0]
    np.testing.assert_allclose(mapped[36:42].mean(0), (41, 36), atol=1e-9)


def test_crops_on_a_grid_forget_small_differences():
    """Faces less than the grid apart get the same crop, near the exact one."""
    rng = np.random.default_rng(1)
    faces = MEAN_SHAPE[:, :2] * [60, -60] + rng.uniform(200, 400, (200, 1, 2))  # (200, 68, 2)
    faces = faces * rng.uniform(0.5, 2, (200, 1, 1))
    exact, found = (cut(faces, "eyes-nose", 128) for cut in (align_matrices, align_on_grid))
    corners = np.array([[[0, 0], [127, 0], [0, 127], [127, 127]]], float)
    places = apply_matrices(corners, invert_matrices(exact))  # (200, 4, 2) frame px
    apart = np.abs(apply_matrices(places, found) - corners).max((1, 2))
    assert GRID_PX / 2 < apart.max() <= 3 * GRID_PX / 2
    zoom = np.hypot(exact[:, 0, 0], exact[:, 1, 0])[:, None, None]
    moved = align_on_grid(faces + 0.02 * GRID_PX / zoom, "eyes-nose", 128)
    same = (moved == found).all((1, 2))
    assert same.mean() > 0.9
    assert not (align_matrices(faces + 0.02, "eyes-nose", 128) == exact).all((1, 2)).any()
    # Three anchors make a map that is no grid's.
    anchored = align_on_grid(faces, "bmvc2018", 256)
    assert np.array_equal(anchored, align_matrices(faces, "bmvc2018", 256))
