"""Every network that aucli knows, one row each: adding one is a class and a row.

Nothing heavy is imported here, so that the command line takes its choices from these rows; a class
is loaded when it is asked for. Cards name a network by its class: see :mod:`aucli.weights.cards`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from aucli.models.pixels import PIXELS, PixelScale

Kind = Literal["au", "landmarks", "detector"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One network.

    name: as ``aucli train`` or the published weights call it. path: of the class, with dots; it
    offers what :mod:`aucli.models.network` says. crop_size: usual side of its crops, px; 0 for
    whole images. template: usual one, of ``align.TEMPLATES``; '' where faces are not aligned.
    pixels: usual scale. What training may set: trunk_widths, how many numbers ``widths`` has (0:
    none), and neighbours, whether there are SCC layers with a ``k``. settings: of the class.
    """

    name: str
    kind: Kind
    path: str
    crop_size: int = 0
    template: str = ""
    pixels: PixelScale = PIXELS["centred"]
    trainable: bool = True
    trunk_widths: int = 0
    neighbours: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def follows(self) -> bool:
        """Whether it also follows the faces whose AUs it reads."""
        return bool(self.settings.get("follows"))

    @property
    def architecture(self) -> str:
        """Name of the class, as cards have it."""
        return self.path.rpartition(".")[2]

    def load(self) -> Any:
        """The class. Imports torch."""
        module, _, name = self.path.rpartition(".")
        return getattr(import_module(module), name)


_SCC = "aucli.models.scc_heatmap.SCCHeatmapNet"
_RETINAFACE = "aucli.models.retinaface.RetinaFace"
_UNIT = PIXELS["unit"]
_ROWS = (
    Entry("detector", "detector", "aucli.models.detector.FaceDetectorNet", trunk_widths=5),
    Entry("landmarks", "landmarks", "aucli.models.landmark.LandmarkNet", 128, trunk_widths=4),
    Entry("scc-small", "au", _SCC, 128, "eyes-nose", trunk_widths=4, neighbours=True,
          settings={"backbone": "small"}),
    Entry("scc-joint", "au", _SCC, 128, "eyes-nose", trunk_widths=4, neighbours=True,
          settings={"backbone": "small", "follows": True, "scc_rank": 64}),
    Entry("scc-resnet18", "au", _SCC, 256, "eyes-nose", neighbours=True,
          settings={"backbone": "resnet18"}),
    Entry("scc-resnet50", "au", _SCC, 256, "eyes-nose", neighbours=True,
          settings={"backbone": "resnet50"}),
    Entry("heatmap-resnet50", "au", "aucli.models.heatmap_resnet.HeatmapResNet", 256, "eyes-mouth",
          _UNIT),
    Entry("hourglass", "au", "aucli.models.hourglass.Hourglass", 256, "bmvc2018", _UNIT),
    Entry("fanau", "au", "aucli.models.fanau.FANAU", 256, "fan", _UNIT),
    Entry("retinaface-mobilenet", "detector", _RETINAFACE, trainable=False,
          pixels=PixelScale((123.0, 117.0, 104.0), (1.0, 1.0, 1.0)),
          settings={"backbone": "mobilenet-0.25"}),
    Entry("retinaface-resnet50", "detector", _RETINAFACE, trainable=False,
          pixels=PixelScale((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
          settings={"backbone": "resnet50"}),
    Entry("fan-2d", "landmarks", "aucli.models.fan.FAN", 256, pixels=_UNIT, trainable=False),
)  # fmt: skip
NETWORKS: dict[str, Entry] = {row.name: row for row in _ROWS}
TRAINABLE = tuple(row.name for row in _ROWS if row.trainable)


def architectures() -> tuple[str, ...]:
    """Names of the classes, each once."""
    return tuple(dict.fromkeys(row.architecture for row in NETWORKS.values()))


def find_architecture(name: str, config: Mapping[str, Any] | None = None) -> Entry | None:
    """The row of a class by its name, of several that with most of the config's settings, or
    None."""
    rows = [row for row in NETWORKS.values() if row.architecture == name]
    given = config.items() if config else ()
    fitting = [row for row in rows if all(item in given for item in row.settings.items())]
    most = max(fitting, key=lambda row: len(row.settings), default=None)
    return most or (rows[0] if rows else None)
