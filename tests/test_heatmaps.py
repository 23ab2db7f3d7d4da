"""Rendering and reading are inverse to each other, in both target conventions."""

import math

import pytest
import torch

from aucli.heatmaps import (
    cells_to_px,
    decode_landmarks,
    match_gaussian,
    mean_places,
    place_windows,
    px_to_cells,
    read_intensities,
    read_places,
    render_heatmaps,
)


def faces(n: int = 4, k: int = 6, crop: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    """Random places, well between cells and inside the crop, with intensities 0.5-5."""
    generator = torch.Generator().manual_seed(3)
    points = 12 + (crop - 24) * torch.rand(n, k, 2, generator=generator)
    return points, 0.5 + 4.5 * torch.rand(n, k, generator=generator)


def test_cell_centres() -> None:
    assert cells_to_px(0) == 1.5
    assert cells_to_px(31) == 125.5  # as far from the crop's last pixel as the first from 0
    assert px_to_cells(cells_to_px(2.25)) == 2.25


def test_hand_worked_map() -> None:
    # Cell (x=5, y=3) exactly: 4 * 5 + 1.5, 4 * 3 + 1.5.
    maps = render_heatmaps(torch.tensor([[[21.5, 13.5]]]), torch.tensor([[3.0]]), 16, sigma=2.0)
    assert maps.shape == (1, 1, 16, 16) and maps.dtype == torch.float32
    assert maps[0, 0, 3, 5] == 3.0
    assert maps[0, 0, 3, 7].item() == pytest.approx(3 * math.exp(-4 / 8))
    assert maps[0, 0, 4, 4].item() == pytest.approx(3 * math.exp(-2 / 8))


def test_growing_maps_are_wider() -> None:
    points = torch.tensor([[[21.5, 13.5], [21.5, 13.5]]])
    maps = render_heatmaps(points, torch.tensor([[5.0, 2.5]]), 16, 2.0, "growing")
    assert maps[0, 0, 3, 7].item() == pytest.approx(5 * math.exp(-4 / 8))  # sigma 2
    assert maps[0, 1, 3, 7].item() == pytest.approx(2.5 * math.exp(-4 / 2))  # sigma 1


@pytest.mark.parametrize("convention", ["fixed", "growing"])
@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_round_trip(convention, sigma) -> None:
    points, intensities = faces()
    maps = render_heatmaps(points, intensities, 32, sigma, convention)
    torch.testing.assert_close(read_intensities(maps), intensities, rtol=1e-6, atol=0)
    # Where the growing Gaussian shrinks to half a cell, its neighbours fall under the log's floor.
    tolerance = 0.02 if convention == "fixed" else 0.3
    assert (read_places(maps) - points).abs().max() < tolerance


def test_published_scale_stays_in_one_place() -> None:
    points, intensities = faces()
    maps = render_heatmaps(points, intensities, 32, scale=255.0)
    assert maps.amax() == pytest.approx(255 * intensities.max().item())
    torch.testing.assert_close(read_intensities(maps, scale=255.0), intensities)


@pytest.mark.parametrize("convention", ["fixed", "growing"])
def test_mirrored_faces_give_mirrored_maps(convention) -> None:
    points, intensities = faces()
    mirrored = points.clone()
    mirrored[..., 0] = 127 - points[..., 0]
    maps = render_heatmaps(points, intensities, 32, convention=convention)
    flipped = render_heatmaps(mirrored, intensities, 32, convention=convention).flip(3)
    torch.testing.assert_close(flipped, maps, rtol=1e-4, atol=1e-5)
    places = read_places(maps.flip(3))
    places[..., 0] = 127 - places[..., 0]
    torch.testing.assert_close(places, read_places(maps), rtol=0, atol=1e-3)


def test_places_at_and_beyond_the_border() -> None:
    points = torch.tensor([[[-50.0, 60.0], [1.5, 125.5], [300.0, 300.0]]])
    maps = render_heatmaps(points, torch.tensor([[2.0, 3.0, 4.0]]), 32)
    assert read_intensities(maps).tolist() == [[2.0, 3.0, 4.0]]
    expected = torch.tensor([[[1.5, 60.0], [1.5, 125.5], [125.5, 125.5]]])
    assert (read_places(maps) - expected).abs().max() < 0.02


def test_absent_intensity() -> None:
    maps = render_heatmaps(torch.full((1, 1, 2), 40.0), torch.zeros(1, 1), 32)
    assert maps.abs().max() == 0 and read_intensities(maps).item() == 0
    assert read_places(maps).isfinite().all()
    assert read_places(-torch.ones(1, 1, 8, 8)).tolist() == [[[1.5, 1.5]]]


def test_unknown_convention() -> None:
    with pytest.raises(ValueError, match=r"^convention must be 'fixed' or 'growing', got 'x'$"):
        render_heatmaps(torch.zeros(1, 1, 2), torch.zeros(1, 1), 8, convention="x")  # type: ignore


def test_landmarks_decode_between_cells() -> None:
    points, _ = faces(3, 68)
    cells = px_to_cells(points)
    axis = torch.arange(32.0)
    distance = (axis - cells[..., 0, None]).square().unsqueeze(2) + (
        axis - cells[..., 1, None]
    ).square().unsqueeze(3)
    decoded, spread = decode_landmarks((-0.5 * distance).bfloat16().float())
    assert decoded.shape == (3, 68, 2) and spread.shape == (3, 68)
    assert (decoded - points).abs().max() < 0.1
    # Entropy of a unit Gaussian in the plane is 1 + log(2 pi); the most is log(32 * 32).
    expected = (1 + math.log(2 * math.pi)) / math.log(1024)
    torch.testing.assert_close(spread, torch.full_like(spread, expected), rtol=0.01, atol=0)
    _, spread = decode_landmarks(torch.zeros(1, 1, 32, 32))
    assert spread.item() == pytest.approx(1.0)


def test_matched_filter_keeps_heights_and_averages_noise_out() -> None:
    points = torch.tensor([[[61.5, 41.5], [33.5, 77.5], [1.5, 125.5]]])  # cell centres, a corner
    levels = torch.tensor([[1.0, 3.0, 5.0]])
    maps = render_heatmaps(points, levels, 32, sigma=1.5)
    found = match_gaussian(maps, 1.5)
    torch.testing.assert_close(read_intensities(found), levels, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(read_places(found)[:, :2], points[:, :2], atol=0.05, rtol=0)
    between = render_heatmaps(points + 2.0, levels, 32, sigma=1.5)
    ratio = read_intensities(match_gaussian(between, 1.5))[:, :2] / levels[:, :2]
    assert ratio.min() >= 1 and ratio.max() < 1.065
    noise = torch.randn(1, 50, 32, 32, generator=torch.Generator().manual_seed(0))
    plain, matched = read_intensities(noise), read_intensities(match_gaussian(noise, 1.5))
    assert matched.mean() < 0.5 * plain.mean()


def test_place_windows_are_discs() -> None:
    windows = place_windows(torch.tensor([[[41.5, 61.5]], [[1.5, 1.5]]]), 4.0, 32)
    assert windows.shape == (2, 32, 32) and windows.dtype == torch.bool
    rows, columns = torch.nonzero(windows[0]).T
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [
        (14, 10), (15, 9), (15, 10), (15, 11), (16, 10),
    ]  # fmt: skip
    assert windows[1].sum() == 3


def test_the_window_of_a_side_ends_at_the_other_side() -> None:
    left, right = place_windows(torch.tensor([[[69.5, 61.5], [57.5, 61.5]]]), 16.0, 32)
    columns = torch.arange(32)
    assert int(columns[left.any(0)].min()) == 16 and int(columns[right.any(0)].max()) == 15
    assert int(columns[left.any(0)].max()) == 21 and int(columns[right.any(0)].min()) == 10


def test_mean_places_of_narrow_broad_and_empty_maps() -> None:
    points = torch.tensor([[[60.0, 42.0], [33.0, 77.0], [80.0, 80.0]]])
    levels = torch.tensor([[3.0, 5.0, -1.0]])
    windows = place_windows(points[0, :, None] + torch.tensor([2.0, -1.0]), 14.0, 32)
    maps = render_heatmaps(points, levels, 32, sigma=1.5)
    found = mean_places(maps, windows)
    assert (found - points)[0, :2].abs().max() < 0.3
    assert (found - points - torch.tensor([2.0, -1.0]))[0, 2].abs().max() < 2  # mid-window
    # Two tops of equal height inside the window: between them. A third outside counts nothing.
    tops = torch.tensor([[[26.0, 77.0], [40.0, 77.0], [100.0, 20.0]]])
    both = render_heatmaps(tops, torch.tensor([[2.0, 2.0, 5.0]]), 32, sigma=1.5).amax(1)
    between = mean_places(both[:, None], place_windows(points[0, 1, None, None], 16.0, 32))
    assert (between[0, 0] - points[0, 1]).abs().max() < 0.5
