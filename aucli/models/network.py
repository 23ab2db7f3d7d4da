"""What the classes of the catalogue have in common, beside their ``forward``."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from torch import Tensor, nn


class Network(nn.Module):
    """A network that is built from, and described by, the config on its card.

    config: JSON-ready; ``from_config(net.config)`` builds the same network anew.
    """

    config: dict[str, Any]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """An untrained network. Raises TypeError and ValueError where the config is another's."""
        net = cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in config.items()})
        if missing := net.config.keys() - config.keys():
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        return net


class Sight(NamedTuple):
    """All that one look at N crops gives.

    heatmaps: (N, K, h, w), as of ``forward``. landmarks: (N, 68, h, w) logits, to be read by
    ``heatmaps.decode_landmarks``. face_logit: (N,), its sigmoid is the chance that there is a face.
    gaze: (N, 2, 3) unit vectors of the eye on the left of the crop and of the other one, in axes of
    the crop: x right, y down, z away from the camera.
    """

    heatmaps: Tensor
    landmarks: Tensor
    face_logit: Tensor
    gaze: Tensor


class AUNetwork(Network):
    """A network from crops to heatmaps; its config has at least ``maps``, their number K.

    head: the last convolution, with an output for each map. finds_landmarks: ``forward`` takes
    ``with_landmarks`` and then also gives landmark logits (N, 68, h, w), a second task in training.
    follows: it has :meth:`look`, by which a face is followed through a video.
    """

    head: nn.Conv2d
    finds_landmarks = False
    follows = False

    def look(self, x: Tensor) -> Sight:
        """Crops as of ``forward`` -> all that the network sees in them."""
        raise NotImplementedError

    @classmethod
    def for_training(
        cls,
        maps: int,
        crop_size: int,
        widths: tuple[int, ...] | None = None,
        k: int | None = None,
        **settings: Any,
    ) -> Self:
        """A fresh network with K = ``maps``, for crops of ``crop_size`` px.

        widths, k: where the catalogue's row lets them be set; None is the network's own.
        settings: of the row. Raises ValueError for what cannot be built.
        """
        return cls(maps, **settings)
