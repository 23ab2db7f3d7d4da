"""Crops to intensities: the one function behind analyze, eval and training's validation."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from aucli.aus import MAX_INTENSITY
from aucli.heatmaps import match_gaussian, read_intensities, read_places


@dataclass(frozen=True, slots=True)
class AUModel:
    """A network in eval mode with all that is needed to feed and read it.

    net: float crops (N, 3, S, S) -> heatmaps (N, K, h, w). aus: names such as ``AU06``, one per
    column. sides: K = 2 A maps ordered (AU, L then R) if true, else K = A maps, both sides on one.
    crop_size S in px. template: of ``align.TEMPLATES``. mean, std: RGB, a pixel 0-255 enters as
    (pixel - mean) / std. scale, offset: (A,) float32; intensity = scale * reading + offset.
    heatmap_scale: map value of intensity 1. match_sigma: cells; above 0, maps are read through
    ``heatmaps.match_gaussian``. windows: (K, h, w) bool, where in its map an AU may lie; None lets
    it lie anywhere. name, sha256: of the weights, for provenance.
    """

    net: nn.Module
    aus: tuple[str, ...]
    sides: bool
    crop_size: int
    template: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    scale: np.ndarray
    offset: np.ndarray
    heatmap_scale: float = 1.0
    match_sigma: float = 0.0
    windows: Tensor | None = None
    name: str = ""
    sha256: str = ""

    def __post_init__(self) -> None:
        for field in ("scale", "offset"):
            shape = np.shape(getattr(self, field))
            if shape != (len(self.aus),):
                raise ValueError(f"{field} must be ({len(self.aus)},), one per AU, got {shape}")

    @property
    def maps(self) -> int:
        """Heatmaps K that the network must give."""
        return len(self.aus) * (2 if self.sides else 1)

    @property
    def device(self) -> torch.device:
        """Where the network lies; CPU for one without parameters."""
        return next((p.device for p in self.net.parameters()), torch.device("cpu"))

    def to(self, device: torch.device | str) -> "AUModel":
        """The same model on another device."""
        windows = self.windows.to(device) if self.windows is not None else None
        return replace(self, net=self.net.to(device), windows=windows)


@dataclass(frozen=True, slots=True)
class Prediction:
    """Readings of N crops for A AUs; numpy, float32.

    intensities: (N, A), 0-5, the mean of the two sides. sides: (N, A, 2) [L, R], 0-5, NaN where
    the network has one map per AU. places: (N, A, 2, 2) [L, R] crop px (x, y); the same place twice
    where there is one map. heatmaps: (N, K, h, w) in map units where asked for.
    """

    intensities: np.ndarray
    sides: np.ndarray
    places: np.ndarray
    heatmaps: np.ndarray | None = None


def normalise(crops: np.ndarray | Tensor, model: AUModel) -> Tensor:
    """Crops (N, S, S, 3) uint8 RGB to the network's (N, 3, S, S) float32, on its device."""
    if isinstance(crops, np.ndarray):
        crops = torch.from_numpy(crops if crops.flags.writeable else crops.copy())
    # The permuted view has channels-last strides, which is the quick layout for convolutions.
    x = crops.to(model.device).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (model.mean, model.std))
    return (x - mean) / std


@torch.inference_mode()
def predict_crops(
    model: AUModel, crops: np.ndarray | Tensor, *, with_heatmaps: bool = False
) -> Prediction:
    """AU intensities and places of aligned crops, in one call of the network.

    crops: (N, S, S, 3) uint8 RGB, array or tensor, made by ``align.align_face`` with the model's
    template and size. Raises ValueError for other shapes, or a network with the wrong maps or left
    in training mode.
    """
    size, n, a = model.crop_size, len(crops), len(model.aus)
    if crops.ndim != 4 or tuple(crops.shape[1:]) != (size, size, 3):
        raise ValueError(f"crops must be (N, {size}, {size}, 3), got {tuple(crops.shape)}")
    if str(crops.dtype).removeprefix("torch.") != "uint8":
        raise ValueError(f"crops must be uint8, got {crops.dtype}")
    if model.net.training:
        raise ValueError("the network is in training mode; call net.eval() first")
    if n == 0:
        # Not every layer takes an empty batch.
        shapes = ((0, a), (0, a, 2), (0, a, 2, 2))
        return Prediction(*(np.zeros(shape, np.float32) for shape in shapes))
    heatmaps = model.net(normalise(crops, model))
    if heatmaps.shape[:2] != (n, model.maps):
        raise ValueError(
            f"{a} AUs need {model.maps} heatmaps, the network gave {heatmaps.shape[1]}"
        )
    maps = match_gaussian(heatmaps, model.match_sigma) if model.match_sigma else heatmaps
    if model.windows is not None:
        maps = maps.masked_fill(~model.windows, -torch.inf)
    readings = read_intensities(maps, model.heatmap_scale).cpu().numpy().reshape(n, a, -1)
    places = read_places(maps).cpu().numpy().reshape(n, a, -1, 2)
    affine = readings * model.scale[:, None] + model.offset[:, None]  # (N, A, 2 or 1)
    sides = affine.clip(0, MAX_INTENSITY).astype(np.float32)
    intensities = sides.mean(2)
    if not model.sides:
        sides = np.full((n, a, 2), np.nan, np.float32)
        places = np.repeat(places, 2, 2)
    kept = heatmaps.float().cpu().numpy() if with_heatmaps else None
    return Prediction(intensities, sides, places.astype(np.float32, copy=False), kept)
