"""predict_crops on networks whose answers are known."""

import numpy as np
import pytest
import torch
from torch import nn

from aucli.heatmaps import place_windows, render_heatmaps
from aucli.models.predict import AUModel, MapLayout, map_names, predict_crops

POINTS = torch.tensor([[[20.0, 30.0], [90.0, 31.0], [60.0, 100.0], [64.0, 99.0]]])
LEVELS = torch.tensor([[1.0, 3.0, 4.0, 5.0]])


class Fixed(nn.Module):
    """Gives the same maps for every crop, times the mean normalised input + 1."""

    def __init__(self, maps: int, scale: float = 1.0) -> None:
        super().__init__()
        self.maps = render_heatmaps(POINTS[:, :maps], LEVELS[:, :maps], 32, scale=scale)

    def forward(self, x):
        return (1 + x.mean((1, 2, 3)))[:, None, None, None] * self.maps


def model(count: int = 4, **changes) -> AUModel:
    aus = ("AU06", "AU12")
    values = {
        "net": Fixed(count).eval(), "aus": aus, "maps": map_names(aus, count == 4),
        "crop_size": 128, "template": "eyes-nose", "mean": (127.5,) * 3, "std": (64.0,) * 3,
        "scale": np.ones(2, np.float32), "offset": np.zeros(2, np.float32),
    }  # fmt: skip
    return AUModel(**{**values, **changes})


def crops(*levels: float) -> np.ndarray:
    """Flat crops; alternating pixels make 127.5, which normalises to 0."""
    out = np.empty((len(levels), 128, 128, 3), np.uint8)
    out[:, ::2], out[:, 1::2] = 127, 128
    for crop, level in zip(out, levels, strict=True):
        crop[:] += np.uint8(level)
    return out


def test_two_sides() -> None:
    result = predict_crops(model(), crops(0, 0), with_heatmaps=True)
    np.testing.assert_allclose(result.sides, [[[1, 3], [4, 5]]] * 2, atol=1e-5)
    np.testing.assert_allclose(result.intensities, [[2, 4.5]] * 2, atol=1e-5)
    np.testing.assert_allclose(result.places, POINTS.numpy().reshape(1, 2, 2, 2).repeat(2, 0),
                               atol=0.02)  # fmt: skip
    assert result.intensities.dtype == result.sides.dtype == result.places.dtype == np.float32
    assert result.heatmaps is not None and result.heatmaps.shape == (2, 4, 32, 32)


def test_one_map_per_au() -> None:
    result = predict_crops(model(2), crops(0))
    np.testing.assert_allclose(result.intensities, [[1, 3]], atol=1e-5)
    assert np.isnan(result.sides).all() and result.sides.shape == (1, 2, 2)
    assert result.heatmaps is None
    np.testing.assert_array_equal(result.places[:, :, 0], result.places[:, :, 1])


def test_normalisation_affine_and_clip() -> None:
    # 32 levels above the mean over a std of 64 makes every map 1.5 times as high.
    scale, offset = np.array([0.5, 1.0], np.float32), np.array([0.25, -7.0], np.float32)
    result = predict_crops(model(scale=scale, offset=offset), crops(32))
    np.testing.assert_allclose(result.sides, [[[1.0, 2.5], [0.0, 0.5]]], atol=1e-4)
    result = predict_crops(model(), crops(32))
    np.testing.assert_allclose(result.sides, [[[1.5, 4.5], [5.0, 5.0]]], atol=1e-4)
    result = predict_crops(model(net=Fixed(4, 255.0).eval(), heatmap_scale=255.0), crops(0))
    np.testing.assert_allclose(result.sides, [[[1, 3], [4, 5]]], atol=1e-4)


def test_read_only_and_empty() -> None:
    frozen = crops(0, 20)
    frozen.flags.writeable = False
    expected = predict_crops(model(), crops(0, 20))
    np.testing.assert_array_equal(predict_crops(model(), frozen).sides, expected.sides)
    empty = predict_crops(model(), crops())
    assert empty.intensities.shape == (0, 2) and empty.places.shape == (0, 2, 2, 2)


def test_misuse() -> None:
    with pytest.raises(
        ValueError, match=r"^crops must be \(N, 128, 128, 3\), got \(1, 64, 64, 3\)$"
    ):
        predict_crops(model(), np.zeros((1, 64, 64, 3), np.uint8))
    with pytest.raises(ValueError, match=r"^crops must be uint8, got float32$"):
        predict_crops(model(), np.zeros((1, 128, 128, 3), np.float32))
    with pytest.raises(ValueError, match=r"^2 AUs need 4 heatmaps, the network gave 2$"):
        predict_crops(model(net=Fixed(2).eval()), crops(0))
    with pytest.raises(ValueError, match=r"^the network is in training mode"):
        predict_crops(model(net=Fixed(4)), crops(0))
    with pytest.raises(ValueError, match=r"^scale must be \(2,\), one per AU, got \(3,\)$"):
        model(scale=np.ones(3))


def test_windows_leave_out_peaks_elsewhere() -> None:
    windows = place_windows(POINTS[0].view(2, 2, 2), 8.0, 32)
    seen = predict_crops(model(windows=windows), crops(0))
    np.testing.assert_allclose(seen.sides, [[[1, 3], [4, 5]]], atol=1e-5)
    hidden = predict_crops(model(windows=windows.flip(2)), crops(0))
    assert hidden.intensities[0, 0] < 0.1
    matched = predict_crops(model(match_sigma=2.0, windows=windows), crops(0))
    np.testing.assert_allclose(matched.sides, [[[1, 3], [4, 5]]], rtol=0.065)
    # The last two places are 4 px apart: each side's window ends between them.
    np.testing.assert_allclose(matched.places[0, 0], POINTS[0, :2], atol=0.5)
    assert matched.places[0, 1, 0, 0] < 62.5 < matched.places[0, 1, 1, 0]


def test_maps_by_name() -> None:
    # AU06 right before left; AU12 twice on the midline.
    result = predict_crops(model(maps=("AU06_R", "AU06_L", "AU12", "AU12")), crops(0))
    np.testing.assert_allclose(result.sides, [[[3, 1], [np.nan, np.nan]]], atol=1e-5)
    np.testing.assert_allclose(result.intensities, [[2, 4.5]], atol=1e-5)
    points = POINTS[0].numpy()
    np.testing.assert_allclose(result.places, [[points[[1, 0]], points[[3, 3]]]], atol=0.02)
    assert model(maps=("AU06_R", "AU06_L", "AU12", "AU12")).sides
    assert not model(maps=("AU06_R", "AU12", "AU12", "AU12_L")).sides


def test_an_au_on_both_sides_and_the_midline() -> None:
    # The AUs' maps interleave; AU06 is the mean of three.
    result = predict_crops(model(maps=("AU06_L", "AU12", "AU06", "AU06_R")), crops(0))
    np.testing.assert_allclose(result.intensities, [[10 / 3, 3]], atol=1e-5)
    np.testing.assert_allclose(result.sides, [[[1, 5], [np.nan, np.nan]]], atol=1e-5)
    points = POINTS[0].numpy()
    np.testing.assert_allclose(result.places, [[points[[0, 3]], points[[1, 1]]]], atol=0.02)
    # Scale and offset belong to AUs, and a clip comes before the mean.
    changed = model(
        maps=("AU06_L", "AU12", "AU06", "AU06_R"),
        scale=np.array([2, 1], np.float32),
        offset=np.array([0, -5], np.float32),
    )
    result = predict_crops(changed, crops(0))
    np.testing.assert_allclose(result.intensities, [[(2 + 5 + 5) / 3, 0]], atol=1e-5)


def test_min_max_stretches_every_crop_by_itself() -> None:
    stretched = model(normalisation="min-max")
    pictures = crops(0, 0, 0)
    pictures[1, :64], pictures[1, 64:] = 40, 90  # half 0, half 1 once stretched
    pictures[2] = 77  # flat: nothing to stretch
    together = predict_crops(stretched, pictures).sides
    np.testing.assert_allclose(together[:2], [np.clip([[1.5, 4.5], [6, 7.5]], 0, 5)] * 2, atol=1e-4)
    np.testing.assert_allclose(together[2], [[1, 3], [4, 5]], atol=1e-4)
    for picture, sides in zip(pictures, together, strict=True):
        np.testing.assert_array_equal(predict_crops(stretched, picture[None]).sides[0], sides)


def test_impossible_models() -> None:
    with pytest.raises(ValueError, match=r"^map 'AU25' belongs to none of AU06, AU12$"):
        model(maps=("AU06", "AU12", "AU25"))
    with pytest.raises(ValueError, match=r"^AU12 has no map among AU06_L, AU06_R$"):
        model(maps=("AU06_L", "AU06_R"))
    with pytest.raises(ValueError, match=r"^normalisation must be .* 'min-max', got 'none'$"):
        model(normalisation="none")


def test_each_map_knows_that_of_the_other_side() -> None:
    maps = ["AU06_R", "AU06_L", "AU17", "AU17", "AU06_L", "AU06_R", "AU12_L"]
    assert MapLayout.of(["AU06", "AU12", "AU17"], maps).across.tolist() == [1, 0, 2, 3, 5, 4, 6]
