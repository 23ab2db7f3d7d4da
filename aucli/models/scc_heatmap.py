"""AU heatmap regression with semantic correspondence convolutions (Fan, Lam, Li, AAAI 2020).

``small`` is the project's own light form for 128 px crops; ``resnet18`` and ``resnet50`` follow the
paper: three deconvolutions, each followed by an SCC.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from aucli.heatmaps import STRIDE
from aucli.models.blocks import Encoder, Up, conv_bn_relu, deconv_bn_relu
from aucli.models.network import AUNetwork, Sight
from aucli.models.resnet import ResNet
from aucli.models.scc import SCC

LANDMARKS = 68
# Where both eyes lie in a crop, also in one that is a little off: rows and columns as shares of it.
EYES = ((0.06, 0.5), (0.06, 0.94))
Backbone = Literal["small", "resnet18", "resnet50"]


@dataclass(frozen=True, slots=True)
class SCCHeatmapConfig:
    """What defines an SCCHeatmapNet; saved beside its weights.

    maps: output heatmaps K. scc_sizes: sides of the feature maps that get an SCC; for ``small``
    any of crop/8 and crop/4, for the ResNets any of crop/16, crop/8 and crop/4. k: neighbours.
    widths: encoder channels of ``small``; deconv_widths: decoder channels of the ResNets.
    follows: whether it also finds landmarks, gaze and whether there is a face; ``small`` only.
    scc_rank: see :class:`~aucli.models.scc.SCC`.
    """

    backbone: Backbone = "small"
    maps: int = 40
    scc_sizes: tuple[int, ...] = (16, 32)
    k: int = 7
    crop_size: int = 128
    widths: tuple[int, int, int, int] = (16, 32, 64, 96)
    deconv_widths: tuple[int, int, int] = (256, 128, 64)
    follows: bool = False
    scc_rank: int = 0

    def __post_init__(self) -> None:
        if self.backbone not in ("small", "resnet18", "resnet50"):
            raise ValueError(f"backbone must be small, resnet18 or resnet50, got {self.backbone!r}")
        if self.follows and self.backbone != "small":
            raise ValueError(f"follows: only small can, got {self.backbone!r}")
        if self.maps < 1 or self.k < 1:
            raise ValueError(f"maps and k must be at least 1, got {self.maps} and {self.k}")
        step = 16 if self.backbone == "small" else 32
        if self.crop_size % step:
            raise ValueError(f"crop_size must be a multiple of {step}, got {self.crop_size}")
        for size in self.scc_sizes:
            if size not in self.decoder_sizes:
                raise ValueError(f"scc_sizes must be among {self.decoder_sizes}, got {size}")
            channels = dict(zip(self.decoder_sizes, self.decoder_widths, strict=True))[size]
            if self.k > channels:
                raise ValueError(
                    f"k must be at most the {channels} channels of a layer, got {self.k}"
                )

    @property
    def decoder_sizes(self) -> tuple[int, ...]:
        """Sides of the decoder's feature maps, coarse to fine."""
        strides = (8, 4) if self.backbone == "small" else (16, 8, 4)
        return tuple(self.crop_size // stride for stride in strides)

    @property
    def decoder_widths(self) -> tuple[int, ...]:
        """Channels of the decoder's feature maps, coarse to fine."""
        return self.widths[2:0:-1] if self.backbone == "small" else self.deconv_widths

    @property
    def heatmap_size(self) -> int:
        """Side of the output maps."""
        return self.crop_size // STRIDE

    @classmethod
    def paper(cls, maps: int) -> "SCCHeatmapConfig":
        """The paper's network: ResNet-50, 256 px crops, an SCC with k = 7 after each deconvolution.

        maps: one per AU point; 10 for BP4D, 24 for DISFA.
        """
        return cls("resnet50", maps, (16, 32, 64), 7, 256)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, read back by :meth:`from_dict`."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SCCHeatmapConfig":
        """The inverse of :meth:`to_dict`. Raises TypeError on unknown names."""
        frozen: dict[str, Any] = {}
        for name, value in values.items():
            frozen[name] = tuple(value) if isinstance(value, list) else value
        return cls(**frozen)


class SCCHeatmapNet(AUNetwork):
    """One linear heatmap per AU place, in intensity units (peak = intensity 0-5).

    forward: x (N, 3, S, S) float, normalised pixels, S = settings.crop_size. Returns heatmaps
    (N, K, S/4, S/4); with ``with_landmarks`` also landmark logits (N, 68, S/4, S/4), an auxiliary
    training task. In ``small``, ``encoder``, ``up8`` and ``up4`` carry the names and shapes of
    LandmarkNet, so that its weights load by name; where it ``follows``, ``face_head``, too.
    """

    finds_landmarks = True

    def __init__(self, config: SCCHeatmapConfig) -> None:
        super().__init__()
        self.settings, self.config = config, config.to_dict()
        last = config.widths[1] if config.backbone == "small" else config.deconv_widths[-1]
        if config.backbone == "small":
            self.encoder = Encoder(config.widths)
            self.up8 = Up(config.widths[3], config.widths[2])
            self.up4 = Up(config.widths[2], config.widths[1])
        else:
            self.trunk = ResNet(config.backbone)
            self.deconvs = nn.ModuleList()
            i = self.trunk.out_channels
            for o in config.deconv_widths:
                self.deconvs.append(deconv_bn_relu(i, o))
                i = o
        # The paper's layer replaces its features; the small net adds to them, which trains fast.
        self.sccs = nn.ModuleDict(
            {
                str(size): SCC(size, config.k, config.backbone == "small", config.scc_rank)
                for size in config.scc_sizes
            }
        )
        self.head = nn.Conv2d(last, config.maps, 1)
        self.follows = config.follows
        if not config.follows:
            self.landmark_head = nn.Conv2d(last, LANDMARKS, 1)
            return
        pooled = 2 * config.widths[3]
        # 68 maps need more than ``last`` directions to tell points apart.
        self.landmark_head = nn.Sequential(
            nn.Conv2d(last, 3 * last, 1), nn.ReLU(inplace=True), nn.Conv2d(3 * last, LANDMARKS, 1)
        )
        self.face_head = nn.Sequential(nn.Linear(pooled, 32), nn.ReLU(), nn.Linear(32, 1))
        self.gaze_head = GazeHead(last, pooled, config.heatmap_size)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(SCCHeatmapConfig.from_dict(config))

    @classmethod
    def for_training(
        cls,
        maps: int,
        crop_size: int,
        widths: tuple[int, ...] | None = None,
        k: int | None = None,
        **settings: Any,
    ) -> Self:
        """An SCC at every size of the decoder; none where k is 0."""
        chosen = settings | {"maps": maps, "crop_size": crop_size, "scc_sizes": ()}
        chosen |= {"widths": widths} if widths else {}
        chosen |= {"k": k or 1} if k is not None else {}
        bare = SCCHeatmapConfig(**chosen)
        return cls(bare if k == 0 else replace(bare, scc_sizes=bare.decoder_sizes))

    def _correspond(self, x: Tensor) -> Tensor:
        name = str(int(x.shape[-1]))  # a number also where an exporter traces
        return self.sccs[name](x) if name in self.sccs else x

    def _features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Decoder output (N, C, S/4, S/4) and the deepest features of the trunk."""
        if x.shape[2:] != (self.settings.crop_size, self.settings.crop_size):
            raise ValueError(
                f"the network reads {self.settings.crop_size} px crops, got {tuple(x.shape)}"
            )
        if self.settings.backbone == "small":
            at4, at8, at16 = self.encoder(x)
            x = self._correspond(self.up8(at16, at8))
            return self._correspond(self.up4(x, at4)), at16
        deepest = x = self.trunk(x)
        for deconv in self.deconvs:
            x = self._correspond(deconv(x))
        return x, deepest

    def forward(self, x: Tensor, with_landmarks: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        features, _ = self._features(x)
        heatmaps = self.head(features)
        return (heatmaps, self.landmark_head(features)) if with_landmarks else heatmaps

    def look(self, x: Tensor) -> Sight:
        features, deepest = self._features(x)
        pooled = torch.cat([deepest.mean((2, 3)), deepest.amax((2, 3))], 1)  # (N, 2 * w3)
        return Sight(
            self.head(features),
            self.landmark_head(features),
            self.face_head(pooled)[:, 0],
            self.gaze_head(features, pooled),
        )


class GazeHead(nn.Module):
    """Where both eyes look, from the part of the maps in which they lie.

    forward: features (N, c, size, size), pooled (N, p) -> (N, 2, 3) unit vectors, see ``Sight``.
    """

    def __init__(self, c: int, p: int, size: int) -> None:
        super().__init__()
        self.rows, self.columns = (
            slice(round(low * size), round(high * size)) for low, high in EYES
        )
        self.eyes = conv_bn_relu(c, 16, 2)
        rows, columns = (len(range(size)[part]) for part in (self.rows, self.columns))
        cells = -(-rows // 2) * -(-columns // 2)
        last = nn.Linear(64, 6)
        with torch.no_grad():  # at first, into the camera
            last.bias.copy_(torch.tensor([0.0, 0.0, -1.0] * 2))
        self.out = nn.Sequential(nn.Linear(16 * cells + p, 64), nn.ReLU(), last)

    def forward(self, features: Tensor, pooled: Tensor) -> Tensor:
        eyes = self.eyes(features[:, :, self.rows, self.columns]).flatten(1)
        vectors = self.out(torch.cat([eyes, pooled], 1)).view(-1, 2, 3).float()
        return nn.functional.normalize(vectors, dim=2)
