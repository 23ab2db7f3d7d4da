"""AU places and intensities to heatmaps and back; no other file knows their geometry and scale.

A heatmap cell covers 4 x 4 crop pixels. With pixel centres at integer coordinates, the centre of
cell j lies at crop px 4 * j + 1.5.
"""

import math
from functools import lru_cache
from typing import Literal, overload

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from aucli.aus import MAX_INTENSITY

STRIDE = 4
SIGMA_CELLS = 2.0  # Fan et al. 2020: 2 px on the 64 px grid
MIN_SIGMA_CELLS = 0.5  # below, a Gaussian is a single cell and has no sub-pixel place
Convention = Literal["fixed", "growing"]


@overload
def cells_to_px(cells: Tensor) -> Tensor: ...
@overload
def cells_to_px(cells: np.ndarray) -> np.ndarray: ...
@overload
def cells_to_px(cells: float) -> float: ...
def cells_to_px(cells):
    """Heatmap cell coordinates to crop px; any shape, fractions allowed."""
    return cells * STRIDE + (STRIDE - 1) / 2


@overload
def px_to_cells(px: Tensor) -> Tensor: ...
@overload
def px_to_cells(px: np.ndarray) -> np.ndarray: ...
@overload
def px_to_cells(px: float) -> float: ...
def px_to_cells(px):
    """Crop px to heatmap cell coordinates; the inverse of :func:`cells_to_px`."""
    return (px - (STRIDE - 1) / 2) / STRIDE


def render_heatmaps(
    points: Tensor,
    intensities: Tensor,
    size: int,
    sigma: float = SIGMA_CELLS,
    convention: Convention = "fixed",
    scale: float = 1.0,
) -> Tensor:
    """Target heatmaps: a Gaussian at each AU place whose peak is the intensity.

    points: (N, K, 2) crop px (x, y); one outside the crop is drawn at the nearest border.
    intensities: (N, K) float, 0-5. size: side of the maps in cells. sigma: in cells.
    convention: ``fixed`` (Fan et al. 2020) changes the height only; ``growing`` (Sanchez-Lozano et
    al. 2018) also the width, which is ``sigma`` at intensity 5, in proportion below.
    scale: map value of intensity 1. Returns (N, K, size, size) float32, on the device of points.

    The highest cell holds exactly scale * intensity wherever the place falls between cells, so that
    :func:`read_intensities` gives the intensity back unchanged.
    """
    if convention not in ("fixed", "growing"):
        raise ValueError(f"convention must be 'fixed' or 'growing', got {convention!r}")
    centre = px_to_cells(points.float()).clamp(0, size - 1)  # (N, K, 2)
    width = torch.full_like(intensities, sigma, dtype=torch.float32)
    if convention == "growing":
        width = (width * intensities / MAX_INTENSITY).clamp_min(MIN_SIGMA_CELLS)
    falloff = (-0.5 / width.square()).unsqueeze(2)  # (N, K, 1)
    cells = torch.arange(size, device=points.device, dtype=torch.float32)
    # A Gaussian is a product of its two axes: 2 * size exponentials instead of size * size.
    nearest = (centre - centre.round()).square()  # squared distance to the nearest cell, per axis
    ex, ey = (
        torch.exp(falloff * ((cells - centre[..., axis, None]).square() - nearest[..., axis, None]))
        for axis in (0, 1)
    )  # (N, K, size) each
    height = (scale * intensities.float())[..., None, None]
    return height * ey.unsqueeze(3) * ex.unsqueeze(2)


def read_intensities(heatmaps: Tensor, scale: float = 1.0) -> Tensor:
    """Peak of every map, unclamped: (N, K, h, w) -> (N, K) float32, in intensity units."""
    return heatmaps.float().amax((2, 3)) / scale


def match_gaussian(heatmaps: Tensor, sigma: float) -> Tensor:
    """Least-squares height of a Gaussian around every cell: a matched filter.

    heatmaps: (N, K, h, w). sigma: in cells, that of the training targets. Returns the same shape,
    float32. A Gaussian map keeps its height (within 6 % where its centre lies between cells), while
    the noise of an empty map, whose highest cell is always above 0, averages out.
    """
    # Small dense matrices: a convolution of single channels takes ten times as long.
    along_y, along_x = (_gaussian_band(side, sigma, heatmaps.device) for side in heatmaps.shape[2:])
    return along_y @ heatmaps.float() @ along_x.T


@lru_cache
def _gaussian_band(side: int, sigma: float, device: torch.device) -> Tensor:
    """(side, side): row i is a Gaussian around cell i, cut off at 3 sigma, over its own energy."""
    cells = torch.arange(side, device=device, dtype=torch.float32)
    offset = cells[:, None] - cells
    height = torch.exp(-0.5 * (offset / sigma).square()) * (offset.abs() <= math.ceil(3 * sigma))
    # At the border only the part of the Gaussian that lies inside counts.
    return height / height.square().sum(1, keepdim=True)


def place_windows(places: Tensor, radius_px: float, size: int) -> Tensor:
    """Where an AU may lie: within a radius of its usual place, and not nearer to its other side's.

    places: (A, S, 2) crop px (x, y), S sides. Returns (A * S, size, size) bool, one a map. The map
    of one side of an AU near the midline answers for the other side too; without the second
    condition its highest cell is often on the midline between them.
    """
    cells = cells_to_px(torch.arange(size, device=places.device, dtype=torch.float32))
    dx, dy = (cells - places[..., axis, None] for axis in (0, 1))  # (A, S, size) each
    distance = dx.square()[..., None, :] + dy.square()[..., :, None]  # (A, S, size, size), squared
    own = distance <= distance.amin(1, keepdim=True)
    return (own & (distance <= radius_px**2)).flatten(0, 1)


def mean_places(heatmaps: Tensor, windows: Tensor) -> Tensor:
    """Centre of mass of every map's square inside its window: where an unsure network's AU lies.

    heatmaps: (N, K, h, w). windows: (K, h, w) bool. Returns (N, K, 2) crop px (x, y); the middle of
    its window for a map that is nowhere positive there. A sure network's map is a narrow Gaussian,
    and its centre of mass is its peak; an unsure one's is broad and has several tops, and their
    mean is nearer to the truth than the highest of them.
    """
    h, w = heatmaps.shape[2:]
    cell = torch.arange(h * w, device=heatmaps.device)
    moments = torch.stack([torch.ones_like(cell), cell % w, cell // w], 1).float()  # (h * w, 3)
    found = (heatmaps.float().clamp_min(0).square() * windows).flatten(2) @ moments  # (N, K, 3)
    empty = windows.float().flatten(1) @ moments
    found = torch.where(found[..., :1] <= 1e-6, empty, found)
    return cells_to_px(found[..., 1:] / found[..., :1])


def read_places(heatmaps: Tensor) -> Tensor:
    """Place of every map's peak, between cells. heatmaps: (N, K, h, w) -> (N, K, 2) crop px (x, y).

    A parabola through the logarithms of the peak and its neighbours finds a Gaussian's centre
    exactly; a map without a positive peak gives the centre of its highest cell.
    """
    n, k, h, w = heatmaps.shape
    maps = heatmaps.float()
    value, index = maps.flatten(2).max(2)  # (N, K)
    cell = torch.stack([index % w, index // w], 2)  # (N, K, 2)
    # A floor keeps the logarithm finite where the network undershoots beside a peak.
    floor = 1e-3 * value.clamp_min(1e-6)
    flat = maps.flatten(2)
    place = cell.float()
    for axis, (side, step) in enumerate(((w, 1), (h, w))):
        inside = (cell[..., axis] > 0) & (cell[..., axis] < side - 1) & (value > 0)
        offsets = torch.where(inside, step, 0)
        before, after = (
            flat.gather(2, (index + sign * offsets).unsqueeze(2))[..., 0].maximum(floor).log()
            for sign in (-1, 1)
        )
        curvature = 2 * value.maximum(floor).log() - before - after
        shift = 0.5 * (after - before) / curvature.clamp_min(1e-6)
        place[..., axis] += torch.where(inside, shift.clamp(-0.5, 0.5), 0.0)
    return cells_to_px(place).view(n, k, 2)


def sample_heatmaps(heatmaps: Tensor, points: Tensor) -> Tensor:
    """Values of maps between their cells, by cubic interpolation; 0 beyond their borders.

    heatmaps: (K, h, w). points: (H, W, 2) crop px (x, y). Returns (K, H, W) float32.
    """
    _, h, w = heatmaps.shape
    # grid_sample's -1 ... 1 spans the map's outer edges: cell u lies at (2 * u + 1) / side - 1.
    grid = (2 * px_to_cells(points.float()) + 1) / torch.tensor([w, h], device=points.device) - 1
    return F.grid_sample(heatmaps.float()[None], grid[None], mode="bicubic", align_corners=False)[0]


def decode_landmarks(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Landmarks as the expected place under each map's softmax (soft-argmax), differentiable.

    logits: (N, P, h, w), any float type. Returns points (N, P, 2) float32 crop px (x, y) and spread
    (N, P) float32: the map's entropy over its maximum, 0 (one cell) to 1 (no idea).
    """
    _, _, h, w = logits.shape
    z = logits.float().flatten(2)  # (N, P, h * w)
    z = z - z.amax(2, keepdim=True)
    mass = z.exp()
    total = mass.sum(2)  # (N, P)
    cells = torch.arange(h * w, device=z.device)
    x_y = torch.stack([cells % w, cells // w], 1).float()  # (h * w, 2)
    expected = (mass @ x_y) / total[..., None]
    entropy = total.log() - (mass * z).sum(2) / total
    return cells_to_px(expected), entropy / math.log(h * w)
