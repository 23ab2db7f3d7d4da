"""All settings of a training run, and the published recipes as sets of them."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from aucli.align import TEMPLATES
from aucli.aus import POINT_SETS
from aucli.datasets.folds import named_fold
from aucli.datasets.names import DATASETS, SYNTHETIC
from aucli.datasets.synthetic import RENDERED_CROP, TEMPLATE
from aucli.errors import OptionError
from aucli.heatmaps import Convention
from aucli.models.catalogue import NETWORKS
from aucli.models.pixels import PIXELS
from aucli.pipeline.cores import MOST_THREADS

# How long a run is, how closely it is watched, and where: one that goes on may have others.
FREE = (
    "root", "out", "steps", "minutes", "epochs", "preset", "device", "threads", "workers",
    "allow_seen", "checkpoint_minutes", "evaluations", "evaluation_faces", "patience", "log_every",
)  # fmt: skip
CROP_STEP = 64  # px; what every AU network can halve down to

# Each paper's recipe as settings. fan2020: Fan, Lam, Li (AAAI 2020): ADAM 5e-4, a tenth of it from
# the fifth epoch on, batches of 16, L2 1e-5, maps of 255 x intensity centred on whole cells, no
# augmentation, no balancing. bmvc2018: the targets and the alignment of Sanchez-Lozano et al. (BMVC
# 2018); its optimiser is not known to us and is that of fan2020. modern: this project's own.
PRESETS: dict[str, dict[str, Any]] = {
    "modern": {},
    "fan2020": {
        "points": "fan2020", "sigma_cells": 2.0, "whole_cells": True, "heatmap_scale": 255.0,
        "loss": "squares", "template": "eyes-mouth", "pixels": "unit",
        "augment": False, "balanced": False,
        "optimizer": "adam", "schedule": "step", "lr": 5e-4, "weight_decay": 1e-5,
        "betas": (0.9, 0.999), "batch_size": 16, "epochs": 10, "warmup_steps": 0, "ema": 0.0,
        "clip": 0.0,
    },
    "bmvc2018": {
        "points": "fan2020", "one_map_per_au": True, "convention": "growing", "sigma_cells": 4.0,
        "loss": "squares", "template": "bmvc2018", "pixels": "unit",
        "augment": False, "balanced": False,
        "optimizer": "adam", "schedule": "step", "lr": 5e-4, "weight_decay": 1e-5,
        "betas": (0.9, 0.999), "batch_size": 16, "epochs": 10, "warmup_steps": 0, "ema": 0.0,
        "clip": 0.0,
    },
}  # fmt: skip


# Least and largest value, both allowed, of every setting that is a number.
LIMITS: dict[str, tuple[float, float]] = {
    "steps": (1, 10**9), "minutes": (0.001, 10**6), "epochs": (1, 10**6), "fold": (0, 10**3),
    "sigma_cells": (0.1, 32), "heatmap_scale": (0.001, 10**6), "crop_size": (CROP_STEP, 512),
    "batch_size": (2, 2**16), "accumulate": (1, 2**16), "lr": (1e-15, 10),
    "warmup_steps": (0, 10**9), "weight_decay": (0, 10), "ema": (0, 0.999999),
    "clip": (0, 10**6), "seed": (0, 2**63 - 1), "threads": (1, MOST_THREADS), "workers": (0, 256),
    "k": (0, 2**12), "checkpoint_minutes": (0, 10**6),
    "evaluations": (0, 10**6), "evaluation_faces": (2, 10**6), "patience": (0, 10**6),
    "log_every": (1, 10**9), "faces": (1, 10**9),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that decides a training run. Exactly one of steps, epochs and minutes is set.

    model: one of ``catalogue.TRAINABLE``. root: folder of the shards, rendered or prepared. out:
    folder for checkpoints, log, plot and weights. dataset: ``synthetic``, or what was prepared,
    with the named ``folds`` and the number of a ``fold``.

    points: of ``aus.POINT_SETS``. one_map_per_au: all points of an AU on one map. convention,
    sigma_cells, heatmap_scale: of ``heatmaps.render_heatmaps``; whole_cells: centres rounded to
    cells. loss: ``weighted`` (see ``losses.au_loss``) or ``squares`` (plain mean over pixels).
    template: of ``align.TEMPLATES``. pixels: of ``pixels.PIXELS``, how AU crops enter.
    augment: mirrored, moved and recoloured crops; without it rendered ones are still mirrored and
    moved, but not recoloured or covered. balanced: active AUs are drawn more often.
    crop_size: px; None is what the model was made for.

    schedule: ``cosine``, or ``step``: a tenth of the rate in the second half. accumulate: batches
    in an optimizer step. ema: decay of the averaged weights, which are evaluated and saved; 0 takes
    the weights as they are. clip: largest norm of the gradient; 0 lets it be. patience: evaluations
    without a better score before the run stops; 0 runs to the end.

    device: 'cpu', 'cuda' or 'auto'. threads: of torch in this process. workers: loader processes;
    0 makes batches in this one. widths: channels of the trunk's stages. k: neighbours of the SCC
    layers; 0 leaves these out. None of either is the network's own. find_landmarks: networks that
    can learn the 68 landmarks besides, with the weighted loss. init: weights to start from, by
    name; allow_seen: also those that know people of the fold's test part. faces: use at most so
    many rendered ones.

    Raises OptionError that names every setting which is out of its range or has no effect.
    """

    model: str
    root: Path
    out: Path
    steps: int | None = None
    minutes: float | None = None
    epochs: int | None = None
    dataset: str = SYNTHETIC
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
    pixels: str = "centred"
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
    k: int | None = None
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
        if problems := [*self._wrong(), *self._idle()]:
            raise OptionError("; ".join(problems))

    def _wrong(self) -> list[str]:
        """Settings that are out of their range, a clause each."""
        choices = {
            "model": tuple(row.name for row in NETWORKS.values() if row.trainable),
            "dataset": (SYNTHETIC, *DATASETS), "preset": tuple(PRESETS),
            "points": tuple(POINT_SETS), "convention": get_args(Convention),
            "loss": ("weighted", "squares"), "template": tuple(TEMPLATES), "pixels": tuple(PIXELS),
            "optimizer": ("adamw", "adam"), "schedule": ("cosine", "step"),
        }  # fmt: skip
        told = [
            f"{name} must be one of {', '.join(names)}, got {getattr(self, name)!r}"
            for name, names in choices.items()
            if getattr(self, name) not in names
        ]
        for name, (least, largest) in LIMITS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= largest:  # nan is in no range
                told.append(f"{name} must be from {least} to {largest}, got {value}")
        if sum(x is not None for x in (self.steps, self.minutes, self.epochs)) != 1:
            told.append(
                f"set one of steps, minutes and epochs, got steps={self.steps}, "
                f"minutes={self.minutes}, epochs={self.epochs}"
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            told.append(f"betas must be from 0 to below 1, got {self.betas}")
        if self.crop_size and self.crop_size % CROP_STEP:
            told.append(f"crop_size must be a multiple of {CROP_STEP}, got {self.crop_size}")
        if self.widths and not all(1 <= width <= 2**12 for width in self.widths):
            told.append(f"widths must be from 1 to {2**12}, got {self.widths}")
        if self.one_map_per_au and self.loss == "weighted":
            told.append("one_map_per_au needs loss='squares'")
        return told

    def _idle(self) -> list[str]:
        """Settings that would have no effect, a clause each."""
        row = NETWORKS.get(self.model)
        if row is None:
            return []
        told = []
        if self.widths is not None and len(self.widths) != row.trunk_widths:
            takes = f"{row.trunk_widths} numbers" if row.trunk_widths else "none"
            told.append(f"widths: {self.model} takes {takes}, got {self.widths}")
        if self.k and not row.neighbours:
            told.append(f"k: {self.model} has no SCC layers")
        if self.crop_size is not None and row.kind != "au":
            told.append(f"crop_size: {self.model} is not trained on aligned crops")
        if self.dataset == SYNTHETIC and (self.folds is not None or self.fold):
            told.append("folds: rendered faces have none; name the dataset")
        if self.dataset != SYNTHETIC and row.kind != "au":
            told.append(f"dataset: the {self.model} network learns from rendered faces only")
        if self.dataset != SYNTHETIC and row.follows:
            told.append(f"dataset: {self.model} learns from rendered faces only; take scc-small")
        if self.dataset != SYNTHETIC and self.faces is not None:
            told.append("faces: only rendered faces can be limited in number")
        if self.dataset == SYNTHETIC and (self.points, self.template) != ("synthetic", TEMPLATE):
            told.append(
                f"rendered faces train by points='synthetic', template='{TEMPLATE}' only"
                if self.preset == "modern"
                else f"preset: rendered faces train by modern only, got {self.preset}"
            )
        elif self.dataset == SYNTHETIC and self.epochs is not None:
            told.append("epochs: rendered faces have none; set steps or minutes")
        if self.dataset == SYNTHETIC and (self.crop_size or 0) > RENDERED_CROP:
            told.append(f"crop_size: rendered faces have {RENDERED_CROP} px at most")
        if self.patience and not self.evaluations:
            told.append("patience needs evaluations")
        return told

    @property
    def px(self) -> int:
        """Side of the AU crops; rendered faces are small."""
        usual = NETWORKS[self.model].crop_size
        return self.crop_size or (min(usual, RENDERED_CROP) if self.dataset == SYNTHETIC else usual)

    def decisive(self) -> dict[str, Any]:
        """The settings that decide what the network becomes, JSON-ready; see :data:`FREE`."""
        told = {name: value for name, value in self.plain().items() if name not in FREE}
        if self.dataset != SYNTHETIC:
            told["folds"], told["fold"], _ = named_fold(self.dataset, self.folds, self.fold)
        return told | {"crop_size": self.px}

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
    base = dict(PRESETS.get(preset, {}))  # an unknown one is told by TrainConfig
    if {"steps", "minutes", "epochs"} & given.keys():
        base.pop("epochs", None)
    return TrainConfig(**{"preset": preset, **base, **given})
