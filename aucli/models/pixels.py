"""How pixels enter a network, and what the cells of its maps stand for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

RGB = tuple[float, float, float]

# Of the face detector's maps: px from cell to cell, and the size whose logarithm is 0.
DETECTOR_STRIDE = 8
SIZE_UNIT_PX = 32.0


@dataclass(frozen=True, slots=True)
class PixelScale:
    """A pixel 0-255 enters as (pixel - mean) / std; both for R, G and B."""

    mean: RGB
    std: RGB

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> "PixelScale":
        """What the card of weights says. Raises KeyError without ``mean`` and ``std``."""
        return cls(tuple(card["mean"]), tuple(card["std"]))

    def normalise(self, images: "Tensor") -> "Tensor":
        """Images (N, 3, H, W), uint8 or float, 0-255, RGB -> float32 of the same strides."""
        images = images.float()
        mean, std = (images.new_tensor(v).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return (images - mean) / std


# The two scales that networks are trained with: this project's own, and the papers' RGB / 255.
PIXELS = {
    "centred": PixelScale((127.5, 127.5, 127.5), (64.0, 64.0, 64.0)),
    "unit": PixelScale((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
}
