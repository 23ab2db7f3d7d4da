"""FANAU: a landmark network adapted to AUs (Ntinou et al. 2021, arXiv 2004.06657)."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import relu6

from aucli.models.hourglass import HourglassNet, HourglassStack
from aucli.models.network import AUNetwork

LANDMARKS = 68
WIDTH = 128


class PyramidBlock(nn.Module):
    """Three convolutions in a row whose outputs are concatenated and added to the input.

    Their widths are 1/2, 1/4 and 1/4 of ``o``; each is followed by batch norm and ReLU6, the sum by
    nothing. kernel: 3 or 1. forward: (N, i, H, W) -> (N, o, H, W).
    """

    def __init__(self, i: int, o: int, kernel: int = 3) -> None:
        super().__init__()
        half, quarter = o // 2, o // 4
        self.conv1 = nn.Conv2d(i, half, kernel, padding=kernel // 2, bias=False)
        self.conv2 = nn.Conv2d(half, quarter, kernel, padding=kernel // 2, bias=False)
        self.conv3 = nn.Conv2d(quarter, quarter, kernel, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.bn2 = nn.BatchNorm2d(quarter)
        self.bn3 = nn.BatchNorm2d(quarter)
        self.downsample = None
        if i != o:
            self.downsample = nn.Sequential(
                nn.Conv2d(i, o, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU6(inplace=True)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x1 = relu6(self.bn1(self.conv1(x)))
        x2 = relu6(self.bn2(self.conv2(x1)))
        x3 = relu6(self.bn3(self.conv3(x2)))
        return torch.cat([x1, x2, x3], 1) + shortcut


def _conv1x1(i: int, o: int) -> nn.Sequential:
    """1x1 convolution with bias, batch norm, ReLU6."""
    return nn.Sequential(nn.Conv2d(i, o, 1), nn.BatchNorm2d(o), nn.ReLU6(inplace=True))


class FANAU(AUNetwork):
    """A one-stack FAN for 68 landmarks, and a second hourglass that turns what it sees into AUs.

    maps: one per AU, both sides on it; 12 in the published weights. forward: x (N, 3, H, W) float,
    RGB scaled to 0-1, 256 px in the published weights, multiples of 64. Returns
    (N, maps, H/4, W/4); a map's maximum is the intensity. State-dict names are the published ones.
    """

    def __init__(self, maps: int = 12) -> None:
        super().__init__()
        self.config = {"maps": maps}
        half = WIDTH // 2
        self.fan = HourglassNet(LANDMARKS, (half, half, WIDTH, WIDTH), PyramidBlock)
        self.conv1 = _conv1x1(LANDMARKS, WIDTH)
        self.conv2 = _conv1x1(WIDTH, WIDTH)
        self.net = HourglassStack(WIDTH, PyramidBlock, partial(PyramidBlock, kernel=1))
        self.conv_last = _conv1x1(WIDTH, WIDTH)
        self.l = nn.Conv2d(WIDTH, maps, 1)

    @property
    def head(self) -> nn.Conv2d:
        return self.l

    def forward(self, x: Tensor) -> Tensor:
        features = self.fan.stem(x)
        x = self.conv1(self.fan.tail(features)) + self.conv2(features)
        return self.l(self.conv_last(self.net(x)))
