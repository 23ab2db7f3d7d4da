"""The arithmetic of a network: its convolutions and matrix products, counted while it runs once.

Everything else in a network (sums, ReLUs, copies) is no arithmetic here, though it takes time.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution or matrix product.

    shapes: of its two factors: pixels (N, C, H, W) and weights, or matrices (M, K) and (K, N), or
    stacks of these. setting: of a convolution (stride, padding, dilation, transposed, output
    padding, groups); empty for a product. flop: a multiplication and an addition are two.
    """

    shapes: tuple[Shape, Shape]
    setting: tuple[Any, ...]
    flop: int


class _Layers(TorchDispatchMode):
    """Counts the layers that run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[Layer] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        counter = flop_registry.get(func._overloadpacket)
        if counter is None:
            # In inference mode some come whole, of which a layer is only a part.
            with self:
                out = func.decompose(*args, **(kwargs or {}))
            if out is not NotImplemented:
                return out
        out = func(*args, **(kwargs or {}))
        if counter is not None:
            flop = int(counter(*args, **(kwargs or {}), out_val=out))
            self.found[self._layer(func, args, flop)] += 1
        return out

    @staticmethod
    def _layer(func: Any, args: Any, flop: int) -> Layer:
        tensors = [tuple(one.shape) for one in args if isinstance(one, Tensor)]
        if "conv" in func._overloadpacket.__name__:
            setting = tuple(tuple(one) if isinstance(one, list) else one for one in args[3:])
            return Layer((tensors[0], tensors[1]), setting, flop)
        # addmm and baddbmm take what they add first.
        return Layer((tensors[-2], tensors[-1]), (), flop)


@torch.no_grad()
def layers_of(network: Callable[[Tensor], Any], pixels: Tensor) -> Counter[Layer]:
    """Each layer that runs when a network sees these pixels, with how often it does."""
    with _Layers() as layers:
        network(pixels)
    return layers.found


def flop_of(layers: Counter[Layer]) -> int:
    """Of all of them."""
    return sum(layer.flop * times for layer, times in layers.items())
