"""ResNet 18 and 50 trunks (He et al., CVPR 2016) with the usual state-dict names.

Names are those of the common ImageNet checkpoints (``conv1 bn1 layer1.0.conv1 ...
layer4.2.downsample.1``), so that such a file loads with ``strict=False`` (it also holds ``fc``).
"""

from typing import Literal

from torch import Tensor, nn

DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}
WIDTHS = (64, 128, 256, 512)


def _downsample(i: int, o: int, stride: int) -> nn.Sequential | None:
    """Projection shortcut where the shape changes."""
    if stride == 1 and i == o:
        return None
    return nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; (N, i, H, W) -> (N, width, H/stride, W/stride)."""

    expansion = 1

    def __init__(self, i: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(i, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _downsample(i, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3 (carrying the stride), 1x1; (N, i, H, W) -> (N, 4 * width, H/stride, W/stride)."""

    expansion = 4

    def __init__(self, i: int, width: int, stride: int) -> None:
        super().__init__()
        o = self.expansion * width
        self.conv1 = nn.Conv2d(i, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, o, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(o)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _downsample(i, o, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


class ResNet(nn.Module):
    """Trunk without pooling and classifier.

    forward: x (N, 3, H, W) -> (N, out_channels, H/32, W/32); out_channels is 512 or 2048.
    """

    def __init__(self, name: Literal["resnet18", "resnet50"]) -> None:
        super().__init__()
        block = BasicBlock if name == "resnet18" else Bottleneck
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        layers = []
        i = 64
        for stage, (depth, width) in enumerate(zip(DEPTHS[name], WIDTHS, strict=True)):
            blocks = []
            for b in range(depth):
                blocks.append(block(i, width, 2 if stage and not b else 1))
                i = width * block.expansion
            layers.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.out_channels = i

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))
