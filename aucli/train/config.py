"""All settings of a training run, and the published recipes as sets of them."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from aucli.aus import POINT_SETS
from aucli.heatmaps import Convention

FaceModel = Literal["detector", "landmarks"]
AUNet = Literal[
    "scc-small", "scc-resnet18", "scc-resnet50", "heatmap-resnet50", "hourglass", "fanau"
]
MODELS = ("detector", "landmarks", "scc-small", "scc-resnet18", "scc-resnet50",
          "heatmap-resnet50", "hourglass", "fanau")  # fmt: skip
SMALL_CROP = 128
PUBLISHED_CROP = 256

# Each paper's recipe as settings. fan2020: Fan, Lam, Li (AAAI 2020): ADAM 5e-4, a tenth of it from
# the fifth epoch on, batches of 16, L2 1e-5, maps of 255 x intensity centred on whole cells, no
# augmentation, no balancing. bmvc2018: the targets and the alignment of Sanchez-Lozano et al. (BMVC
# 2018); its optimiser is not known to us and is that of fan2020. modern: this project's own.
PRESETS: dict[str, dict[str, Any]] = {
    "modern": {},
    "fan2020": {
        "points": "fan2020", "sigma_cells": 2.0, "whole_cells": True, "heatmap_scale": 255.0,
        "loss": "squares", "template": "eyes-mouth", "augment": False, "balanced": False,
        "optimizer": "adam", "schedule": "step", "lr": 5e-4, "weight_decay": 1e-5,
        "betas": (0.9, 0.999), "batch_size": 16, "epochs": 10, "warmup_steps": 0, "ema": 0.0,
        "clip": 0.0,
    },
    "bmvc2018": {
        "points": "fan2020", "one_map_per_au": True, "convention": "growing", "sigma_cells": 4.0,
        "loss": "squares", "template": "bmvc2018", "augment": False, "balanced": False,
        "optimizer": "adam", "schedule": "step", "lr": 5e-4, "weight_decay": 1e-5,
        "betas": (0.9, 0.999), "batch_size": 16, "epochs": 10, "warmup_steps": 0, "ema": 0.0,
        "clip": 0.0,
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that decides a training run. Exactly one of steps, epochs and minutes is set.

    model: one of :data:`MODELS`. root: folder of the shards, rendered or prepared. out: folder for
    checkpoints, log, plot and weights. dataset: ``synthetic``, or what was prepared, with the named
    ``folds`` and the number of a ``fold``.

    points: of ``aus.POINT_SETS``. one_map_per_au: all points of an AU on one map. convention,
    sigma_cells, heatmap_scale: of ``heatmaps.render_heatmaps``; whole_cells: centres rounded to
    cells. loss: ``weighted`` (see ``losses.au_loss``) or ``squares`` (plain mean over pixels).
    augment: mirrored, moved and recoloured crops; without it rendered ones are still mirrored and
    moved, but not recoloured or covered. balanced: active AUs are drawn more often.
    crop_size: px; None is what the model was made for.

    schedule: ``cosine``, or ``step``: a tenth of the rate in the second half. accumulate: batches
    in an optimizer step. ema: decay of the averaged weights, which are evaluated and saved; 0 takes
    the weights as they are. clip: largest norm of the gradient; 0 lets it be. patience: evaluations
    without a better score before the run stops; 0 runs to the end.

    device: 'cpu', 'cuda' or 'auto'. threads: of torch in this process. workers: loader processes;
    0 makes batches in this one. k: neighbours of the SCC layers; 0 leaves these out.
    find_landmarks: SCC networks learn the 68 landmarks besides, with the weighted loss. init:
    weights to start from, by name; allow_seen: also those that know people of the fold's test part.
    faces: use at most so many.
    """

    model: str
    root: Path
    out: Path
    steps: int | None = None
    minutes: float | None = None
    epochs: int | None = None
    dataset: str = "synthetic"
    folds: str | None = None
    fold: int = 0
    preset: str = "modern"
    points: str = "synthetic"
    one_map_per_au: bool = False
    convention: Convention = "fixed"
    sigma_cells: float = 1.5
    whole_cells: bool = False
    heatmap_scale: float = 1.0
    loss: Literal["weighted", "squares"] = "weighted"
    template: str = "eyes-nose"
    augment: bool = True
    balanced: bool = True
    crop_size: int | None = None
    optimizer: Literal["adamw", "adam"] = "adamw"
    schedule: Literal["cosine", "step"] = "cosine"
    batch_size: int = 32
    accumulate: int = 1
    lr: float = 2.5e-3
    warmup_steps: int = 100
    weight_decay: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    ema: float = 0.998
    clip: float = 5.0
    seed: int = 0
    device: str = "auto"
    threads: int = 1
    workers: int = 0
    k: int = 7
    find_landmarks: bool = True
    init: Path | None = None
    allow_seen: bool = False
    widths: tuple[int, ...] | None = None
    checkpoint_minutes: float = 2.0
    evaluations: int = 6
    evaluation_faces: int = 300
    patience: int = 0
    log_every: int = 20
    faces: int | None = None

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"model must be one of {', '.join(MODELS)}, got {self.model!r}")
        if sum(x is not None for x in (self.steps, self.minutes, self.epochs)) != 1:
            raise ValueError(
                f"set one of steps, minutes and epochs, got steps={self.steps}, "
                f"minutes={self.minutes}, epochs={self.epochs}"
            )
        if self.batch_size < 2:
            raise ValueError(f"batch_size must be at least 2, got {self.batch_size}")
        if self.px % 64:
            raise ValueError(f"crop_size must be a multiple of 64, got {self.px}")
        if self.points not in POINT_SETS:
            raise ValueError(f"points must be one of {', '.join(POINT_SETS)}, got {self.points!r}")
        if self.one_map_per_au and self.loss == "weighted":
            raise ValueError("one_map_per_au needs loss='squares'")

    @property
    def px(self) -> int:
        """Side of the AU crops; rendered faces are small."""
        small = self.model == "scc-small" or self.dataset == "synthetic"
        return self.crop_size or (SMALL_CROP if small else PUBLISHED_CROP)

    def plain(self) -> dict[str, Any]:
        """JSON-ready: paths as text, tuples as lists."""
        return {k: _plain(v) for k, v in asdict(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def with_preset(preset: str, **settings: Any) -> TrainConfig:
    """A run by a preset of :data:`PRESETS`; ``settings`` that are not None go before it."""
    given = {k: v for k, v in settings.items() if v is not None}
    base = dict(PRESETS[preset])
    if {"steps", "minutes", "epochs"} & given.keys():
        base.pop("epochs", None)
    return TrainConfig(**{"preset": preset, **base, **given})
