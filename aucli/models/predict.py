"""Crops to intensities: the one function behind analyze, eval and training's validation.

A network runs in torch, or from an exported file in ONNX Runtime; nothing here needs torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from aucli.aus import MAX_INTENSITY, MIRROR_68, SIDES
from aucli.models.device import Precision
from aucli.models.onnx import OnnxNetwork

if TYPE_CHECKING:
    import torch

Normalisation = Literal["mean-std", "min-max"]

# What is read off an AU network's maps, see ``reading.read_aus``; and what one that follows adds.
AU_OUTPUTS = ("readings", "places", "heatmaps")
LOOK_OUTPUTS = ("landmarks", "spread", "face_logit", "gaze")


def map_names(aus: Sequence[str], sides: bool) -> tuple[str, ...]:
    """One map an AU, ``AU06``, or with ``sides`` two: ``AU06_L``, ``AU06_R``."""
    return tuple(f"{au}_{side}" for au in aus for side in SIDES) if sides else tuple(aus)


@dataclass(frozen=True, slots=True, eq=False)
class MapLayout:
    """Which of K maps belong to which of A AUs, as arrays.

    au_of_map: (K,). share: (K, A) float32, a map's part in its AU's intensity; side_share: (K, 2A)
    the same for [L, R]. told: (A, 2) bool, whether a map lies on that side. own: (A, 2, M) maps
    that may hold the AU's place on a side, -1 beyond the last. across: (K,) the map that shows the
    same on the other side; where there is none, as on the midline, the map itself.
    """

    au_of_map: np.ndarray
    share: np.ndarray
    side_share: np.ndarray
    told: np.ndarray
    own: np.ndarray
    across: np.ndarray

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
        counted = [(*part, parts[:k].count(part)) for k, part in enumerate(parts)]  # names repeat
        turned = ((au, SIDES[1 - SIDES.index(side)] if side else "", n) for au, side, n in counted)
        at = {name: k for k, name in enumerate(counted)}
        across = np.array([at.get(name, k) for k, name in enumerate(turned)], np.int64)
        return cls(au_of_map, share, side_share, told, own, across)


@dataclass(frozen=True, slots=True, eq=False)
class AUModel:
    """A network in eval mode with all that is needed to feed and read it.

    net: float crops (N, 3, S, S) -> heatmaps (N, K, h, w), in torch; or an ``OnnxNetwork`` that
    holds ``reading.read_aus``, too. aus: names such as ``AU06``, one per column.
    maps: K names; ``AU06_L`` shows the person's left side, ``AU06`` both or the midline. An AU's
    intensity is the mean of its maps; names may repeat, and every AU has at least one.
    crop_size S in px. template: of ``align.TEMPLATES``. mean, std: RGB, a pixel 0-255 enters as
    (pixel - mean) / std. normalisation: ``min-max`` instead stretches each crop to 0-1.
    scale, offset: (A,) float32; a map's intensity = scale * reading + offset.
    heatmap_scale: map value of intensity 1. match_sigma: cells; above 0, maps are read through
    ``heatmaps.match_gaussian``. windows: (K, h, w) bool tensor, where in its map an AU may lie;
    None lets it lie anywhere. knows_gaze: whether :func:`look_at_crops` tells where the eyes look.
    rest: (A,) what 95 % of faces at rest read at most, 0-5; None where it was not measured.
    confidence: coefficients of ``faces.builtin.Confidence``. precision: of the numbers in the
    network's layers; how pixels enter and how maps are read is always float32. name, sha256: of the
    weights, for provenance.
    """

    net: Any
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
    windows: Any = None
    knows_gaze: bool = False
    rest: np.ndarray | None = None
    confidence: Mapping[str, float] = field(default_factory=dict)
    precision: Precision = "fp32"
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
    def device(self) -> "torch.device | str":
        """Where the network lies; CPU for one without parameters."""
        if isinstance(self.net, OnnxNetwork):
            return "cpu"
        return next((p.device for p in self.net.parameters()), "cpu")

    def to(self, device: "torch.device | str") -> "AUModel":
        """The same model on another device; an exported one stays on the CPU."""
        if isinstance(self.net, OnnxNetwork):
            return self
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


def predict_crops(
    model: AUModel, crops: np.ndarray, *, with_heatmaps: bool = False, twice: bool = False
) -> Prediction:
    """AU intensities and places of aligned crops, in one call of the network.

    crops: (N, S, S, 3) uint8 RGB, made by ``align.align_face`` with the model's template and size.
    twice: a network that follows faces is called once more, for the mirror images; the answer is
    the mean of both, before it is cut to 0-5. Raises ValueError for other shapes, or a network with
    the wrong maps or left in training mode.
    """
    _check_crops(model, crops)
    if len(crops) == 0:  # not every layer takes an empty batch
        n, a = 0, len(model.aus)
        shapes = ((n, a), (n, a, 2), (n, a, 2, 2))
        return Prediction(*(np.zeros(shape, np.float32) for shape in shapes))
    names = AU_OUTPUTS if with_heatmaps else AU_OUTPUTS[:2]
    told = _told(model, crops, names, twice)
    kept = told["heatmaps"] if with_heatmaps else None
    return replace(_read(model, told["readings"], told["places"]), heatmaps=kept)


def look_at_crops(model: AUModel, crops: np.ndarray, *, twice: bool = False) -> Look:
    """AUs, landmarks, whether there is a face, and gaze, in one call of a network that follows.

    crops: as for :func:`predict_crops`, at least one; twice: also as there. Raises ValueError as
    that does, and for another network.
    """
    if not model.follows:
        raise ValueError(f"{model.name or 'this network'} does not follow faces")
    _check_crops(model, crops)
    names = AU_OUTPUTS[:2] + LOOK_OUTPUTS
    told = _told(model, crops, names, twice)
    read = _read(model, told["readings"], told["places"])
    return Look(read, *(told[name] for name in LOOK_OUTPUTS))


def _told_once(model: AUModel, crops: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """What the network and its reading say of crops, by names of :data:`AU_OUTPUTS` and
    :data:`LOOK_OUTPUTS`."""
    if isinstance(model.net, OnnxNetwork):
        return model.net(crops, names)
    from aucli.models.reading import told_by_torch  # takes seconds, which exported networks save

    return told_by_torch(model, crops, names)


def _told(
    model: AUModel, crops: np.ndarray, names: tuple[str, ...], twice: bool
) -> dict[str, np.ndarray]:
    """As :func:`_told_once`; twice: of a network that follows the mean with what it says of the
    mirror images."""
    told = _told_once(model, crops, names)
    if not twice or not model.follows:
        return told
    other = _told_once(model, np.ascontiguousarray(crops[:, :, ::-1]), names)
    across, last = model.layout.across, model.crop_size - 1
    turned = {
        "readings": lambda x: x[:, across],
        "places": lambda x: x[:, across] * [-1, 1] + [last, 0],
        "heatmaps": lambda x: x[:, across, :, ::-1],
        "landmarks": lambda x: x[:, MIRROR_68] * [-1, 1] + [last, 0],
        "spread": lambda x: x[:, MIRROR_68],
        "face_logit": lambda x: x,
        "gaze": lambda x: x[:, ::-1] * [-1, 1, 1],
    }
    mean = {name: ((x + turned[name](other[name])) / 2).astype(x.dtype) for name, x in told.items()}
    if "gaze" in mean:
        mean["gaze"] /= np.linalg.norm(mean["gaze"], axis=2, keepdims=True).clip(1e-6)
    return mean


def _check_crops(model: AUModel, crops: np.ndarray) -> None:
    size = model.crop_size
    if crops.ndim != 4 or tuple(crops.shape[1:]) != (size, size, 3):
        raise ValueError(f"crops must be (N, {size}, {size}, 3), got {tuple(crops.shape)}")
    if crops.dtype != np.uint8:
        raise ValueError(f"crops must be uint8, got {crops.dtype}")
    if not isinstance(model.net, OnnxNetwork) and model.net.training:
        raise ValueError("the network is in training mode; call net.eval() first")


def _read(model: AUModel, readings: np.ndarray, found: np.ndarray) -> Prediction:
    """Intensities and places from readings (N, K) and places (N, K, 2) of maps."""
    n, a = len(readings), len(model.aus)
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
