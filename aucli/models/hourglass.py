"""One-stack hourglass networks, and the AU network of Sanchez-Lozano et al., BMVC 2018.

State-dict names are those of the published weights (``conv1 bn1 conv2 ... m0.b1_4 ... l0``).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from aucli.models.network import AUNetwork
from aucli.models.resnet import Bottleneck

DEPTH = 4

# From input and output channels to a block that keeps the resolution.
Block = Callable[[int, int], nn.Module]


class HourglassStack(nn.Module):
    """Down by half four times and up again, with a branch across at every level.

    width: channels throughout. block, across: make the blocks of the way down and up, and of the
    branches. forward: x (N, width, H, W) keeps its shape; H and W multiples of 16.
    """

    def __init__(self, width: int, block: Block, across: Block) -> None:
        super().__init__()
        for level in range(DEPTH, 0, -1):
            self.add_module(f"b1_{level}", across(width, width))
            self.add_module(f"b2_{level}", block(width, width))
            self.add_module(f"b3_{level}", block(width, width))
        self.b2_plus_1 = block(width, width)

    def forward(self, x: Tensor) -> Tensor:
        branches = []
        for level in range(DEPTH, 0, -1):
            branches.append(self.get_submodule(f"b1_{level}")(x))
            x = self.get_submodule(f"b2_{level}")(max_pool2d(x, 2))
        x = self.b2_plus_1(x)
        for level in range(1, DEPTH + 1):
            x = self.get_submodule(f"b3_{level}")(x)
            x = branches.pop() + interpolate(x, scale_factor=2.0, mode="nearest")
        return x


class HourglassNet(nn.Module):
    """Stem, three blocks, one hourglass and a linear head, at a quarter of the input's resolution.

    widths: channels after the stem and after each of its three blocks; the hourglass keeps the
    last. forward: x (N, 3, H, W) float, H and W multiples of 64 -> (N, maps, H/4, W/4).
    """

    def __init__(self, maps: int, widths: tuple[int, int, int, int], block: Block) -> None:
        super().__init__()
        w1, w2, w3, w4 = widths
        self.conv1 = nn.Conv2d(3, w1, 7, 2, 3)
        self.bn1 = nn.BatchNorm2d(w1)
        self.conv2 = block(w1, w2)
        self.conv3 = block(w2, w3)
        self.conv4 = block(w3, w4)
        self.m0 = HourglassStack(w4, block, block)
        self.top_m_0 = block(w4, w4)
        self.conv_last0 = nn.Conv2d(w4, w4, 1)
        self.bn_end0 = nn.BatchNorm2d(w4)
        self.l0 = nn.Conv2d(w4, maps, 1)

    def stem(self, x: Tensor) -> Tensor:
        """What the hourglass sees: (N, 3, H, W) -> (N, widths[3], H/4, W/4)."""
        x = self.conv2(torch.relu(self.bn1(self.conv1(x))))
        return self.conv4(self.conv3(max_pool2d(x, 2)))

    def tail(self, features: Tensor) -> Tensor:
        """(N, widths[3], H/4, W/4), from :meth:`stem`, to the maps."""
        x = self.top_m_0(self.m0(features))
        return self.l0(torch.relu(self.bn_end0(self.conv_last0(x))))

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self.stem(x))


class HalfBottleneck(Bottleneck):
    """ResNet's bottleneck, half as wide inside as outside."""

    expansion = 2


class Hourglass(HourglassNet, AUNetwork):
    """Joint localisation and intensity by one hourglass (Sanchez-Lozano et al., BMVC 2018).

    maps: one per AU, both sides on it; 5 in the published weights. forward: x (N, 3, H, W) float,
    RGB / 255, 256 px in the published weights. Returns (N, maps, H/4, W/4); a map's maximum,
    clamped to 0-5, is the intensity.
    """

    def __init__(self, maps: int = 5) -> None:
        super().__init__(maps, (64, 128, 128, 256), lambda i, o: HalfBottleneck(i, o // 2, 1))
        self.config = {"maps": maps}

    @property
    def head(self) -> nn.Conv2d:
        return self.l0
