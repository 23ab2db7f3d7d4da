"""Networks in torch from pixels to what is read off their maps; what is exported is this, whole."""

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aucli.heatmaps import (
    decode_landmarks,
    match_gaussian,
    mean_places,
    read_intensities,
    read_places,
)
from aucli.models.detector import COARSEST_STRIDE
from aucli.models.network import Sight
from aucli.models.pixels import PixelScale
from aucli.models.predict import LOOK_OUTPUTS, AUModel

LANDMARK_OUTPUTS = ("landmarks", "spread", "face_logit")


def normalise(crops: Tensor, model: AUModel) -> Tensor:
    """Crops (N, S, S, 3) uint8 RGB to the network's (N, 3, S, S) float32."""
    # The permuted view has channels-last strides, which is the quick layout for convolutions.
    x = crops.permute(0, 3, 1, 2).float()
    if model.normalisation == "min-max":
        # The authors of FANAU stretch a whole batch; that would make a row depend on its
        # neighbours, so every crop is stretched by itself. A flat crop becomes 0.
        low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
        return (x - low) / (high - low).clamp_min(1.0)
    return PixelScale(model.mean, model.std).normalise(x)


def read_aus(model: AUModel, crops: Tensor, look: bool) -> dict[str, Tensor]:
    """All that an AU network says of crops (N, S, S, 3) uint8 RGB.

    readings: (N, K) peaks in units of intensity, before scale and offset. places: (N, K, 2) crop px
    (x, y). heatmaps: (N, K, h, w) in map units. With ``look`` also landmarks (N, 68, 2) crop px,
    spread (N, 68), face_logit (N,) and gaze (N, 2, 3), see ``predict.Look``. Raises ValueError
    where the network has other maps than the model says.
    """
    assert isinstance(model.net, nn.Module)
    x = normalise(crops, model)
    told: dict[str, Tensor] = {}
    half = torch.autocast(x.device.type, torch.bfloat16) if model.precision == "bf16" else None
    with half or nullcontext():
        seen = model.net.look(x) if look else model.net(x)  # type: ignore[operator]
    if look:
        sight: Sight = seen
        heatmaps = sight.heatmaps
        told["landmarks"], told["spread"] = decode_landmarks(sight.landmarks)
        told |= {"face_logit": sight.face_logit, "gaze": sight.gaze}
    else:
        heatmaps = seen
    if heatmaps.shape[1] != len(model.maps):
        raise ValueError(
            f"{len(model.aus)} AUs need {len(model.maps)} heatmaps, the network gave "
            f"{heatmaps.shape[1]}"
        )
    maps = match_gaussian(heatmaps, model.match_sigma) if model.match_sigma else heatmaps
    if model.windows is None:
        told["places"] = read_places(maps)
    else:
        told["places"] = mean_places(heatmaps, model.windows)
        maps = maps.masked_fill(~model.windows, -torch.inf)
    told["readings"] = read_intensities(maps, model.heatmap_scale)
    return told | {"heatmaps": heatmaps}


def read_landmarks(net: nn.Module, pixels: PixelScale, crops: Tensor) -> dict[str, Tensor]:
    """What a landmark network says of crops (N, S, S, 3) uint8 RGB, by :data:`LANDMARK_OUTPUTS`:
    (N, 68, 2) crop px, (N, 68) and (N,), see ``heatmaps.decode_landmarks``."""
    logits, face_logit = net(pixels.normalise(crops.permute(0, 3, 1, 2)))
    return dict(zip(LANDMARK_OUTPUTS, (*decode_landmarks(logits), face_logit), strict=True))


def read_detector(net: nn.Module, pixels: PixelScale, images: Tensor) -> dict[str, Tensor]:
    """The detector's maps (N, 5, h, w) of images (N, H, W, 3) uint8 RGB, by the name ``boxes``; see
    ``faces.boxes.decode_boxes``."""
    x = pixels.normalise(images.permute(0, 3, 1, 2))
    # Zeros after normalisation continue what the convolutions see beyond the border.
    padding = (0, -x.shape[3] % COARSEST_STRIDE, 0, -x.shape[2] % COARSEST_STRIDE)
    return {"boxes": net(F.pad(x, padding))}


@torch.inference_mode()
def told_by_torch(
    model: AUModel, crops: np.ndarray, names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """:func:`read_aus` on the model's device; arrays by those of its names that are asked for."""
    look = any(name in names for name in LOOK_OUTPUTS)
    told = read_aus(model, _tensor(crops, model.device), look)
    return {name: told[name].float().cpu().numpy() for name in names if name in told}


Reads = Callable[[nn.Module, PixelScale, Tensor], dict[str, Tensor]]


class TorchNetwork:
    """A landmark network or a detector in torch, called as :class:`~aucli.models.onnx.OnnxNetwork`
    is.

    reads: :func:`read_landmarks` or :func:`read_detector`.
    """

    def __init__(self, net: nn.Module, pixels: PixelScale, device: str, reads: Reads) -> None:
        self.net, self.pixels, self.reads = net, pixels, reads
        self.device = torch.device(device)

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        told = self.reads(self.net, self.pixels, _tensor(pixels, self.device))
        return {name: x.float().cpu().numpy() for name, x in told.items()}


def _tensor(pixels: np.ndarray, device: torch.device | str) -> Tensor:
    return torch.from_numpy(np.require(pixels, requirements=["C", "W"])).to(device)
