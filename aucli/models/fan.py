"""FAN (Bulat, Tzimiropoulos, ICCV 2017) as the optional library face-alignment implements it."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from aucli.models.library import face_alignment


class FAN:
    """The library's network, which is made by :meth:`from_config`."""

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> nn.Module:
        """See :func:`fan`."""
        return fan(int(config["modules"]))


def fan(modules: int = 4) -> nn.Module:
    """The untrained network of ``modules`` stacked hourglasses. Raises LibraryError.

    Its forward: crops (N, 3, 256, 256) float RGB 0-1 -> a list of ``modules`` tensors
    (N, 68, 64, 64), the last of which counts: a Gaussian of height 1 at each iBUG landmark.
    """
    net = face_alignment("models").FAN(modules)
    net.config = {"modules": modules}
    return net
