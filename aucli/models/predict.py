"""Crops to intensities: the one function behind analyze, eval and training's validation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from aucli.aus import MAX_INTENSITY, SIDES
from aucli.heatmaps import (
    decode_landmarks,
    match_gaussian,
    mean_places,
    read_intensities,
    read_places,
)
from aucli.models.pixels import PixelScale

Normalisation = Literal["mean-std", "min-max"]


def map_names(aus: Sequence[str], sides: bool) -> tuple[str, ...]:
    """One map an AU, ``AU06``, or with ``sides`` two: ``AU06_L``, ``AU06_R``."""
    return tuple(f"{au}_{side}" for au in aus for side in SIDES) if sides else tuple(aus)


@dataclass(frozen=True, slots=True, eq=False)
class MapLayout:
    """Which of K maps belong to which of A AUs, as arrays.

    au_of_map: (K,). share: (K, A) float32, a map's part in its AU's intensity; side_share: (K, 2A)
    the same for [L, R]. told: (A, 2) bool, whether a map lies on that side. own: (A, 2, M) maps
    that may hold the AU's place on a side, -1 beyond the last.
    """

    au_of_map: np.ndarray
    share: np.ndarray
    side_share: np.ndarray
    told: np.ndarray
    own: np.ndarray

    @classmethod
    def of(cls, aus: Sequence[str], maps: Sequence[str]) -> "MapLayout":
        """maps: names as of :func:`map_names`."""
        parts = [name.partition("_")[::2] for name in maps]
        au_of_map = np.array([aus.index(au) for au, _ in parts], np.int64)
        side_of_map = np.array([SIDES.index(side) if side else -1 for _, side in parts], np.int64)
        belongs = au_of_map[:, None] == np.arange(len(aus))  # (K, A)
        on_side = belongs[:, :, None] & (side_of_map[:, None] == np.arange(2))[:, None]  # (K, A, 2)
        told = on_side.any(0)
        allowed = np.where(told, on_side, belongs[:, :, None])  # (K, A, 2)
        own = np.full((len(aus), 2, allowed.sum(0).max()), -1)
        for a, s in np.ndindex(len(aus), 2):
            mine = np.flatnonzero(allowed[:, a, s])
            own[a, s, : len(mine)] = mine
        shares = [part / np.maximum(part.sum(0), 1) for part in (belongs, on_side)]
        share, side_share = (part.reshape(len(maps), -1).astype(np.float32) for part in shares)
        return cls(au_of_map, share, side_share, told, own)


@dataclass(frozen=True, slots=True, eq=False)
class AUModel:
    """A network in eval mode with all that is needed to feed and read it.

    net: float crops (N, 3, S, S) -> heatmaps (N, K, h, w). aus: names such as ``AU06``, one per
    column. maps: K names; ``AU06_L`` shows the person's left side, ``AU06`` both or the midline. An
    AU's intensity is the mean of its maps; names may repeat, and every AU has at least one.
    crop_size S in px. template: of ``align.TEMPLATES``. mean, std: RGB, a pixel 0-255 enters as
    (pixel - mean) / std. normalisation: ``min-max`` instead stretches each crop to 0-1.
    scale, offset: (A,) float32; a map's intensity = scale * reading + offset.
    heatmap_scale: map value of intensity 1. match_sigma: cells; above 0, maps are read through
    ``heatmaps.match_gaussian``. windows: (K, h, w) bool, where in its map an AU may lie; None lets
    it lie anywhere. knows_gaze: whether :func:`look_at_crops` tells where the eyes look.
    rest: (A,) what 95 % of faces at rest read at most, 0-5; None where it was not measured.
    confidence: coefficients of ``faces.builtin.Confidence``. name, sha256: of the weights, for
    provenance.
    """

    net: nn.Module
    aus: tuple[str, ...]
    maps: tuple[str, ...]
    crop_size: int
    template: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    scale: np.ndarray
    offset: np.ndarray
    normalisation: Normalisation = "mean-std"
    heatmap_scale: float = 1.0
    match_sigma: float = 0.0
    windows: Tensor | None = None
    knows_gaze: bool = False
    rest: np.ndarray | None = None
    confidence: Mapping[str, float] = field(default_factory=dict)
    name: str = ""
    sha256: str = ""
    layout: MapLayout = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("scale", "offset", "rest"):
            if getattr(self, name) is None:
                continue
            shape = np.shape(getattr(self, name))
            if shape != (len(self.aus),):
                raise ValueError(f"{name} must be ({len(self.aus)},), one per AU, got {shape}")
        allowed = {*self.aus, *map_names(self.aus, sides=True)}
        for name in self.maps:
            if name not in allowed:
                raise ValueError(f"map {name!r} belongs to none of {', '.join(self.aus)}")
        for au in self.aus:
            if not self.maps_of(au):
                raise ValueError(f"{au} has no map among {', '.join(self.maps)}")
        if self.normalisation not in ("mean-std", "min-max"):
            raise ValueError(
                f"normalisation must be 'mean-std' or 'min-max', got {self.normalisation!r}"
            )
        object.__setattr__(self, "layout", MapLayout.of(self.aus, self.maps))

    @property
    def follows(self) -> bool:
        """Whether :func:`look_at_crops` works with it."""
        return bool(getattr(self.net, "follows", False))

    @property
    def sides(self) -> bool:
        """Whether some AU is read on the left and on the right side."""
        return any(self.maps_of(au, "L") and self.maps_of(au, "R") for au in self.aus)

    def maps_of(self, au: str, side: str = "") -> list[int]:
        """Indices of an AU's maps: all, or those that lie on side ``L`` or ``R``."""
        names = {f"{au}_{side}"} if side else {au, *map_names([au], sides=True)}
        return [k for k, name in enumerate(self.maps) if name in names]

    @property
    def device(self) -> torch.device:
        """Where the network lies; CPU for one without parameters."""
        return next((p.device for p in self.net.parameters()), torch.device("cpu"))

    def to(self, device: torch.device | str) -> "AUModel":
        """The same model on another device."""
        windows = self.windows.to(device) if self.windows is not None else None
        return replace(self, net=self.net.to(device), windows=windows)


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Readings of N crops for A AUs; numpy, float32.

    intensities: (N, A), 0-5, the mean of an AU's maps. sides: (N, A, 2) [L, R], 0-5, NaN where no
    map lies on that side. places: (N, A, 2, 2) [L, R] crop px (x, y); for a side without a map the
    place of the AU's highest one. heatmaps: (N, K, h, w) in map units where asked for.
    """

    intensities: np.ndarray
    sides: np.ndarray
    places: np.ndarray
    heatmaps: np.ndarray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """All that a network which follows faces sees in N crops; numpy, float32.

    prediction: the AUs. landmarks: (N, 68, 2) crop px. spread: (N, 68), 0 (certain) to 1 (no idea),
    see ``heatmaps.decode_landmarks``. face_logit: (N,). gaze: (N, 2, 3) unit vectors in axes of the
    crop, see ``network.Sight``.
    """

    prediction: Prediction
    landmarks: np.ndarray
    spread: np.ndarray
    face_logit: np.ndarray
    gaze: np.ndarray


def normalise(crops: np.ndarray | Tensor, model: AUModel) -> Tensor:
    """Crops (N, S, S, 3) uint8 RGB to the network's (N, 3, S, S) float32, on its device."""
    if isinstance(crops, np.ndarray):
        crops = torch.from_numpy(crops if crops.flags.writeable else crops.copy())
    # The permuted view has channels-last strides, which is the quick layout for convolutions.
    x = crops.to(model.device).permute(0, 3, 1, 2).float()
    if model.normalisation == "min-max":
        # The authors of FANAU stretch a whole batch; that would make a row depend on its
        # neighbours, so every crop is stretched by itself. A flat crop becomes 0.
        low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
        return (x - low) / (high - low).clamp_min(1.0)
    return PixelScale(model.mean, model.std).normalise(x)


@torch.inference_mode()
def predict_crops(
    model: AUModel, crops: np.ndarray | Tensor, *, with_heatmaps: bool = False
) -> Prediction:
    """AU intensities and places of aligned crops, in one call of the network.

    crops: (N, S, S, 3) uint8 RGB, array or tensor, made by ``align.align_face`` with the model's
    template and size. Raises ValueError for other shapes, or a network with the wrong maps or left
    in training mode.
    """
    _check_crops(model, crops)
    if len(crops) == 0:  # not every layer takes an empty batch
        n, a = 0, len(model.aus)
        shapes = ((n, a), (n, a, 2), (n, a, 2, 2))
        return Prediction(*(np.zeros(shape, np.float32) for shape in shapes))
    heatmaps = model.net(normalise(crops, model))
    kept = heatmaps.float().cpu().numpy() if with_heatmaps else None
    return replace(_read(model, heatmaps), heatmaps=kept)


@torch.inference_mode()
def look_at_crops(model: AUModel, crops: np.ndarray | Tensor) -> Look:
    """AUs, landmarks, whether there is a face, and gaze, in one call of a network that follows.

    crops: as for :func:`predict_crops`, at least one. Raises ValueError as that does, and for
    another network.
    """
    if not model.follows:
        raise ValueError(f"{model.name or 'this network'} does not follow faces")
    _check_crops(model, crops)
    sight = model.net.look(normalise(crops, model))  # type: ignore[operator]
    points, spread = decode_landmarks(sight.landmarks)
    told = (points, spread, sight.face_logit, sight.gaze)
    return Look(_read(model, sight.heatmaps), *(x.float().cpu().numpy() for x in told))


def _check_crops(model: AUModel, crops: np.ndarray | Tensor) -> None:
    size = model.crop_size
    if crops.ndim != 4 or tuple(crops.shape[1:]) != (size, size, 3):
        raise ValueError(f"crops must be (N, {size}, {size}, 3), got {tuple(crops.shape)}")
    if str(crops.dtype).removeprefix("torch.") != "uint8":
        raise ValueError(f"crops must be uint8, got {crops.dtype}")
    if model.net.training:
        raise ValueError("the network is in training mode; call net.eval() first")


def _read(model: AUModel, heatmaps: Tensor) -> Prediction:
    """Intensities and places of heatmaps (N, K, h, w). Raises ValueError for a wrong K."""
    n, a = len(heatmaps), len(model.aus)
    if heatmaps.shape[1] != len(model.maps):
        raise ValueError(
            f"{a} AUs need {len(model.maps)} heatmaps, the network gave {heatmaps.shape[1]}"
        )
    maps = match_gaussian(heatmaps, model.match_sigma) if model.match_sigma else heatmaps
    if model.windows is None:
        where = read_places(maps)
    else:
        where = mean_places(heatmaps, model.windows)
        maps = maps.masked_fill(~model.windows, -torch.inf)
    readings = read_intensities(maps, model.heatmap_scale).cpu().numpy()  # (N, K)
    found = where.cpu().numpy()  # (N, K, 2)
    layout = model.layout
    levels = readings * model.scale[layout.au_of_map] + model.offset[layout.au_of_map]
    levels = levels.clip(0, MAX_INTENSITY)  # (N, K)
    intensities = levels @ layout.share
    sides = (levels @ layout.side_share).reshape(n, a, 2)
    sides[:, ~layout.told] = np.nan
    # (N, A, 2, M): the readings of an AU's maps on a side
    of_side = np.where(layout.own >= 0, readings[:, layout.own], -np.inf)
    highest = np.take_along_axis(layout.own[None], of_side.argmax(3)[..., None], 3)[..., 0]
    places = found[np.arange(n)[:, None, None], highest]  # (N, A, 2, 2)
    return Prediction(intensities, sides, places)
