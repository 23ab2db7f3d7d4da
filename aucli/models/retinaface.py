"""RetinaFace (Deng et al., CVPR 2020): faces and five points from three levels of a pyramid.

State-dict names are those of the widely published checkpoints, without ``module.``: MobileNet-0.25
of biubug6/Pytorch_Retinaface, ResNet-50 of ternaus/retinaface.
"""

from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aucli.models.network import Network
from aucli.models.resnet import ResNet

Backbone = Literal["mobilenet-0.25", "resnet50"]

STEPS = (8, 16, 32)  # px between the cells of each level
PRIOR_SIDES = ((16, 32), (64, 128), (256, 512))  # px, two squares at every cell
PRIORS = 2
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2  # units of the offsets that the network gives
POINTS = 5  # the person's right eye, left eye, nose tip, right and left corner of the mouth

# Channels of the three maps that a backbone hands on, and of the pyramid above them.
BACKBONES: dict[str, tuple[tuple[int, int, int], int]] = {
    "mobilenet-0.25": ((64, 128, 256), 64),
    "resnet50": ((512, 1024, 2048), 256),
}


def _conv_norm(
    i: int, o: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> tuple[nn.Module, nn.Module]:
    """A convolution that keeps the size (over its stride), and its batch norm."""
    conv = nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False)
    return conv, nn.BatchNorm2d(o)


def _rectified(layers: tuple[nn.Module, ...], slope: float) -> nn.Sequential:
    return nn.Sequential(*layers, nn.LeakyReLU(slope, inplace=True))


def _separable(i: int, o: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution of each channel, then a 1x1 convolution over the channels."""
    spatial = _rectified(_conv_norm(i, i, 3, stride, groups=i), 0.1)
    return nn.Sequential(*spatial, *_rectified(_conv_norm(i, o, 1), 0.1))


class MobileNet(nn.Module):
    """MobileNet v1 with a quarter of the channels (Howard et al., 2017), without classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            _rectified(_conv_norm(3, 8, stride=2), 0.1),
            _separable(8, 16),
            _separable(16, 32, 2),
            _separable(32, 32),
            _separable(32, 64, 2),
            _separable(64, 64),
        )
        self.stage2 = nn.Sequential(
            _separable(64, 128, 2), *(_separable(128, 128) for _ in range(5))
        )
        self.stage3 = nn.Sequential(_separable(128, 256, 2), _separable(256, 256))


class Pyramid(nn.Module):
    """Three maps brought to one width, each coarser one added to the finer one below it."""

    def __init__(self, channels: tuple[int, int, int], width: int, slope: float) -> None:
        super().__init__()
        self.output1, self.output2, self.output3 = (
            _rectified(_conv_norm(i, width, 1), slope) for i in channels
        )
        self.merge1, self.merge2 = (_rectified(_conv_norm(width, width), slope) for _ in range(2))

    def forward(self, at8: Tensor, at16: Tensor, at32: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        low, middle, high = self.output1(at8), self.output2(at16), self.output3(at32)
        middle = self.merge2(middle + F.interpolate(high, middle.shape[2:]))
        return self.merge1(low + F.interpolate(middle, low.shape[2:])), middle, high


class Context(nn.Module):
    """Views of 3x3, 5x5 and 7x7 side by side, from chained 3x3 convolutions (SSH, ICCV 2017)."""

    def __init__(self, width: int, slope: float) -> None:
        super().__init__()
        quarter = width // 4
        self.conv3X3 = nn.Sequential(*_conv_norm(width, width // 2))
        self.conv5X5_1 = _rectified(_conv_norm(width, quarter), slope)
        self.conv5X5_2 = nn.Sequential(*_conv_norm(quarter, quarter))
        self.conv7X7_2 = _rectified(_conv_norm(quarter, quarter), slope)
        self.conv7x7_3 = nn.Sequential(*_conv_norm(quarter, quarter))

    def forward(self, x: Tensor) -> Tensor:
        wider = self.conv5X5_1(x)
        widest = self.conv7x7_3(self.conv7X7_2(wider))
        return F.relu(torch.cat([self.conv3X3(x), self.conv5X5_2(wider), widest], 1))


class Head(nn.Module):
    """So many values for each prior of a level; (N, width, h, w) -> (N, h * w * PRIORS, values)."""

    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(width, PRIORS * values, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1x1(x).permute(0, 2, 3, 1).reshape(len(x), -1, self.values)


class RetinaFace(Network):
    """Score, box and five points at every prior of :func:`priors`.

    forward: x (N, 3, H, W) float, normalised as its weights' card says, any H and W. Returns logits
    (N, P, 2), no face then face; boxes (N, P, 4) and points (N, P, 10), for :func:`decode_boxes`
    and :func:`decode_points`. Raises ValueError for an unknown backbone.
    """

    def __init__(self, backbone: Backbone = "mobilenet-0.25") -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise ValueError(f"backbone must be one of {', '.join(BACKBONES)}, got {backbone!r}")
        self.config = {"backbone": backbone}
        channels, width = BACKBONES[backbone]
        # The published networks: leaky only where they are narrow.
        slope = 0.1 if width <= 64 else 0.0
        self.body = ResNet("resnet50") if backbone == "resnet50" else MobileNet()
        self.fpn = Pyramid(channels, width, slope)
        self.ssh1, self.ssh2, self.ssh3 = (Context(width, slope) for _ in STEPS)
        self.ClassHead = nn.ModuleList(Head(width, 2) for _ in STEPS)
        self.BboxHead = nn.ModuleList(Head(width, 4) for _ in STEPS)
        self.LandmarkHead = nn.ModuleList(Head(width, 2 * POINTS) for _ in STEPS)

    def _levels(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The backbone's maps at strides 8, 16 and 32."""
        body = self.body
        if isinstance(body, ResNet):
            x = body.maxpool(body.relu(body.bn1(body.conv1(x))))
            at8 = body.layer2(body.layer1(x))
            at16 = body.layer3(at8)
            return at8, at16, body.layer4(at16)
        at8 = body.stage1(x)
        at16 = body.stage2(at8)
        return at8, at16, body.stage3(at16)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        contexts = (self.ssh1, self.ssh2, self.ssh3)
        levels = [
            context(level)
            for context, level in zip(contexts, self.fpn(*self._levels(x)), strict=True)
        ]
        logits, boxes, points = (
            torch.cat([head(level) for head, level in zip(heads, levels, strict=True)], 1)
            for heads in (self.ClassHead, self.BboxHead, self.LandmarkHead)
        )
        return logits, boxes, points


@lru_cache(maxsize=16)
def priors(height: int, width: int, device: torch.device) -> Tensor:
    """Squares that the network's offsets refer to, in the order of its outputs.

    height, width: of the network's input, px. Returns (P, 4) float32 centre x, y, width, height in
    px from the image's top left edge. Kept for the sizes used last; do not write to it.
    """
    levels = []
    for step, sides in zip(STEPS, PRIOR_SIDES, strict=True):
        ys = (torch.arange(-(-height // step)) + 0.5) * step
        xs = (torch.arange(-(-width // step)) + 0.5) * step
        y, x, side = torch.meshgrid(ys, xs, torch.tensor(sides, dtype=ys.dtype), indexing="ij")
        levels.append(torch.stack([x, y, side, side], 3).reshape(-1, 4))
    return torch.cat(levels).to(device)


def decode_boxes(offsets: Tensor, priors: Tensor) -> Tensor:
    """Offsets (..., 4) at priors (..., 4) to boxes (..., 4) xyxy px from the top left edge."""
    centre = priors[..., :2] + CENTRE_VARIANCE * offsets[..., :2] * priors[..., 2:]
    half = priors[..., 2:] * torch.exp(SIZE_VARIANCE * offsets[..., 2:]) / 2
    return torch.cat([centre - half, centre + half], -1)


def decode_points(offsets: Tensor, priors: Tensor) -> Tensor:
    """Offsets (..., 10) at priors (..., 4) to points (..., 5, 2) px from the top left edge."""
    offsets = offsets.unflatten(-1, (POINTS, 2))
    return priors[..., None, :2] + CENTRE_VARIANCE * offsets * priors[..., None, 2:]
