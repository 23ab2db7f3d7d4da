"""Building blocks of the small networks, and batch-norm folding for inference."""

import copy
import re
from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Net = TypeVar("Net", bound=nn.Module)


def conv_bn_relu(i: int, o: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU; (N, i, H, W) -> (N, o, H/stride, W/stride)."""
    return nn.Sequential(
        nn.Conv2d(i, o, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(o),
        nn.ReLU(inplace=True),
    )


def deconv_bn_relu(i: int, o: int) -> nn.Sequential:
    """4x4 transposed convolution without bias, batch norm, ReLU; (N, i, H, W) -> (N, o, 2H, 2W)."""
    return nn.Sequential(
        nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False),
        nn.BatchNorm2d(o),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Post-activation residual block of two 3x3 convolutions; (N, c, H, W) keeps its shape."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *conv_bn_relu(c, c), nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
        )

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.body(x)).relu_()


class Up(nn.Module):
    """Double the resolution: 1x1 convolution, nearest neighbour, add the skip, refine.

    forward: x (N, i, H, W), skip (N, o, 2H, 2W) -> (N, o, 2H, 2W).
    """

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        # The 1x1 runs before the enlargement: same result, a quarter of the work.
        self.reduce = nn.Sequential(nn.Conv2d(i, o, 1, bias=False), nn.BatchNorm2d(o))
        self.refine = Residual(o)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = nn.functional.interpolate(self.reduce(x), scale_factor=2.0, mode="nearest")
        return self.refine((x + skip).relu_())


class Encoder(nn.Module):
    """Shared trunk of the landmark and the small AU network, from a 128 px crop.

    forward: x (N, 3, S, S) -> features at S/4 (N, w1, ...), S/8 (N, w2, ...), S/16 (N, w3, ...).
    """

    def __init__(self, widths: tuple[int, int, int, int] = (16, 32, 64, 96)) -> None:
        super().__init__()
        w0, w1, w2, w3 = widths
        self.stem = conv_bn_relu(3, w0, 2)
        self.stage4 = nn.Sequential(conv_bn_relu(w0, w1, 2), Residual(w1))
        self.stage8 = nn.Sequential(conv_bn_relu(w1, w2, 2), Residual(w2), Residual(w2))
        self.stage16 = nn.Sequential(conv_bn_relu(w2, w3, 2), Residual(w3), Residual(w3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        at4 = self.stage4(self.stem(x))
        at8 = self.stage8(at4)
        return at4, at8, self.stage16(at8)


def _norm_of(name: str) -> str:
    """Name of the batch norm that follows a convolution by the published naming, or ''."""
    match = re.fullmatch(r"conv(_last)?(\d+)", name)
    return f"bn{'_end' if match[1] else ''}{match[2]}" if match else ""


def fold_batch_norm(net: Net) -> Net:
    """Copy of an eval-mode network with every convolution's batch norm folded into its weights.

    A module with a ``fold`` of its own is replaced by what that gives. Finds neighbours inside
    ``nn.Sequential`` and pairs named ``convN`` / ``bnN`` or ``conv_lastN`` / ``bn_endN``, where the
    norm must follow the convolution. Outputs agree to rounding; the state-dict names change, so the
    copy is for inference and is never saved.
    """
    if net.training:
        raise ValueError("batch norm folds only in eval mode; call net.eval() first")
    folded = copy.deepcopy(net).requires_grad_(False)
    for module in folded.modules():
        children = dict(module.named_children())
        for name, child in children.items():
            if isinstance(fold := getattr(child, "fold", None), Callable):
                setattr(module, name, fold())
        if isinstance(module, nn.Sequential):
            pairs = list(pairwise(children))
        else:
            pairs = [(name, _norm_of(name)) for name in children if _norm_of(name) in children]
        for conv_name, norm_name in pairs:
            conv, norm = children[conv_name], children[norm_name]
            if isinstance(conv, nn.Conv2d | nn.ConvTranspose2d) and isinstance(
                norm, nn.BatchNorm2d
            ):
                transpose = isinstance(conv, nn.ConvTranspose2d)
                # The function handles both kinds; its type annotation names only plain ones.
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm, transpose))  # type: ignore
                setattr(module, norm_name, nn.Identity())
    for module in folded.modules():
        if isinstance(module, nn.Sequential):
            for i in reversed(range(len(module))):
                if isinstance(module[i], nn.Identity):
                    del module[i]  # a call of nothing costs as much as a small layer
    return folded


def ready(net: Net, device: torch.device | str) -> Net:
    """For inference: folded, in the memory order in which CPUs convolve fastest."""
    return fold_batch_norm(net.eval()).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
