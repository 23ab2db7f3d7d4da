"""One trainer for the three embedded networks: face detector, landmarks, AU heatmaps.

Batches are a function of (seed, number), so a run that is killed and resumed from its checkpoint
goes through the same losses as one that never stopped (exactly so for a run counted in steps; one
counted in minutes schedules its learning rate by the clock). Under ``torchrun`` every process takes
its share of the batches and the gradients are averaged; the first one writes the files.
"""

import copy
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import distributed, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from aucli import evaluate
from aucli.aus import SYNTHETIC_AUS
from aucli.datasets.synthetic import (
    AUBatch,
    AUBatches,
    FaceStore,
    LandmarkBatch,
    LandmarkBatches,
    SceneBatch,
    SceneBatches,
)
from aucli.errors import DataError, OutputError, WeightsError
from aucli.evaluate import normalise
from aucli.losses import AU_SIGMA_CELLS, au_loss, detector_loss, landmark_loss
from aucli.models.detector import FaceDetectorNet
from aucli.models.landmark import LandmarkNet
from aucli.models.scc_heatmap import SCCHeatmapConfig, SCCHeatmapNet
from aucli.weights import cards

# An AU lies within this of its usual place in an aligned crop; 95 % of them within 12 px.
PLACE_RADIUS_PX = 14.0

Kind = Literal["detector", "landmarks", "au"]
MAIN_SCORE = {"detector": "ap", "landmarks": "nme", "au": "icc31"}
Progress = Callable[["Report"], None]


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that decides a training run. Exactly one of ``steps`` and ``minutes`` is set.

    root: folder of the synthetic shards. out: folder for checkpoints, log, plot and weights.
    device: 'cpu', 'cuda' or 'auto'. threads: of torch in this process. workers: loader processes;
    0 makes batches in this one. k: neighbours of the SCC layers. init: weights to start from, by
    name, where shapes agree (the landmark network's, for AUs). The EMA of the weights is what is
    evaluated and saved.
    """

    kind: Kind
    root: Path
    out: Path
    steps: int | None = None
    minutes: float | None = None
    batch_size: int = 32
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
    init: Path | None = None
    widths: tuple[int, ...] | None = None
    checkpoint_minutes: float = 2.0
    evaluations: int = 6
    evaluation_faces: int = 300
    log_every: int = 20
    faces: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in MAIN_SCORE:
            raise ValueError(f"kind must be one of {', '.join(MAIN_SCORE)}, got {self.kind!r}")
        if (self.steps is None) == (self.minutes is None):
            raise ValueError(
                f"set either steps or minutes, got steps={self.steps}, minutes={self.minutes}"
            )
        if self.batch_size < 2:
            raise ValueError(f"batch_size must be at least 2, got {self.batch_size}")


@dataclass(frozen=True, slots=True)
class Report:
    """One line of the log. share: of the run, 0-1. values: losses or held-out scores."""

    step: int
    share: float
    seconds: float
    samples_per_second: float
    values: dict[str, float]
    event: Literal["train", "eval"] = "train"


def supports_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32: CUDA, or a CPU with AVX512-BF16 or AMX."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)


def build_net(config: TrainConfig) -> nn.Module:
    """The network of a kind, freshly initialised from the config's seed, then from ``init``."""
    torch.manual_seed(config.seed)
    widths: dict[str, Any] = {"widths": config.widths} if config.widths else {}
    if config.kind == "detector":
        net: nn.Module = FaceDetectorNet(**widths)
    elif config.kind == "landmarks":
        net = LandmarkNet(**widths)
    else:
        maps = 2 * len(SYNTHETIC_AUS)
        net = SCCHeatmapNet(SCCHeatmapConfig("small", maps=maps, k=config.k, **widths))
        # Labels are mostly 0: begin near 0 instead of unlearning noise of the size of a label.
        with torch.no_grad():
            net.head.weight.mul_(0.3)
            net.head.bias.zero_()  # type: ignore[union-attr]
    if config.init is not None:
        load_by_name(net, config.init)
    return net


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a .safetensors file or of a checkpoint of this trainer (its EMA)."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        return state.get("ema", state)
    except FileNotFoundError as error:
        raise WeightsError(f"{path} does not exist; give the weights to start from.") from error


def load_by_name(net: nn.Module, path: Path) -> int:
    """Copy every tensor whose name and shape agree; how many. Raises WeightsError at none.

    A network of larger widths takes a smaller one's convolutions and batch norms as its first
    channels, which do not listen to the new ones at first: it starts with the smaller one's answers
    (Net2Net, arXiv 1511.05641). Fully connected layers then start anew.
    """
    own = net.state_dict()
    given = read_state(path)
    fitting = {}
    for key, tensor in given.items():
        wanted = own.get(key)
        if wanted is None or wanted.ndim != tensor.ndim:
            continue
        if wanted.shape == tensor.shape:
            fitting[key] = tensor
        elif tensor.ndim != 2 and all(
            a >= b for a, b in zip(wanted.shape, tensor.shape, strict=True)
        ):
            fitting[key] = _widened(tensor, wanted)
    if not fitting:
        raise WeightsError(f"{path} shares no tensor with the network; give another --init.")
    net.load_state_dict(own | fitting)
    return len(fitting)


def _widened(narrow: torch.Tensor, fresh: torch.Tensor) -> torch.Tensor:
    """``fresh`` with ``narrow`` (O, I, h, w) or (O,) in its first channels."""
    wide = fresh.clone()
    out = narrow.shape[0]
    wide[:out] = 0  # nothing from the channels that the narrow network lacks
    wide[tuple(slice(n) for n in narrow.shape)] = narrow.to(wide.dtype)
    return wide


def step_loss(net: nn.Module, batch: Any, device: torch.device, bf16: bool):
    """Forward pass and loss of one batch of any kind: (loss, parts)."""
    batch = type(batch)(*(values.to(device, non_blocking=True) for values in batch))
    images = normalise(batch.images).contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        if isinstance(batch, AUBatch):
            heatmaps, landmark_logits = net(images, with_landmarks=True)
        else:
            output = net(images)
    if isinstance(batch, AUBatch):
        return au_loss(heatmaps, landmark_logits, *batch[1:])
    if isinstance(batch, LandmarkBatch):
        logits, face_logit = output
        return landmark_loss(logits, face_logit, *batch[1:])
    assert isinstance(batch, SceneBatch)
    return detector_loss(output, batch.targets)


class Trainer:
    """The state of a run: network, its EMA, optimizer, position. :func:`train` drives it."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        device = config.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self.bf16 = supports_bf16(self.device)
        net = build_net(config).to(self.device)
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(),
            config.lr,
            betas=config.betas,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.step = 0
        self.seconds = 0.0
        self.clock = 0.0  # the seconds that all processes agree on

    @property
    def share(self) -> float:
        """How much of the run is done, 0-1, by steps or by the clock."""
        if self.config.steps is not None:
            return min(1.0, self.step / self.config.steps)
        return min(1.0, self.clock / (60 * self.config.minutes))  # type: ignore[operator]

    def learning_rate(self) -> float:
        """Linear warm-up, a tenth of the run at full rate, then a cosine to nearly nothing."""
        warm = min(1.0, (self.step + 1) / max(1, self.config.warmup_steps))
        rest = max(0.0, (self.share - 0.1) / 0.9)
        return self.config.lr * warm * (0.5 + 0.5 * math.cos(math.pi * rest)) + 1e-6

    def advance(self, batch: Any) -> dict[str, torch.Tensor]:
        """One optimizer step; the loss and its parts, detached."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        loss, parts = step_loss(self.net, batch, self.device, self.bf16)
        self.optimizer.zero_grad()
        loss.backward()
        self._share_gradients()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.config.clip)
        self.optimizer.step()
        self.step += 1
        self._average()
        return {"loss": loss.detach()} | {k: v.detach() for k, v in parts.items()}

    @torch.no_grad()
    def _share_gradients(self) -> None:
        """Mean over all training processes, of the gradients and of the clock that ends the run."""
        if not distributed.is_initialized():
            self.clock = self.seconds
            return
        gradients = [p.grad for p in self.net.parameters() if p.grad is not None]
        clock = torch.tensor([self.seconds], device=self.device)
        flat = torch.cat([g.flatten() for g in gradients] + [clock])
        distributed.all_reduce(flat)
        flat /= distributed.get_world_size()
        for gradient, mean in zip(
            gradients, flat[:-1].split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(mean.view_as(gradient))
        self.clock = float(flat[-1])

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.config.ema, self.step / (self.step + 19))
        mean, now = self.ema.state_dict(), self.net.state_dict()
        smooth = [k for k, v in mean.items() if v.is_floating_point()]
        blend = get_ema_multi_avg_fn(decay)
        blend([mean[k] for k in smooth], [now[k] for k in smooth], None)
        for k in mean.keys() - set(smooth):
            mean[k].copy_(now[k])

    def save(self, path: Path) -> None:
        """A resumable checkpoint, whole or not at all."""
        state = {
            "net": self.net.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": torch.get_rng_state(),
            "step": self.step,
            "seconds": self.seconds,
            "config": {k: _plain(v) for k, v in asdict(self.config).items()},
        }
        part = path.with_suffix(".part")
        try:
            torch.save(state, part)
            os.replace(part, path)
        except OSError as error:
            raise OutputError(
                f"Cannot write {path} ({error.strerror}); free some space."
            ) from error

    def load(self, path: Path) -> None:
        """Continue from a checkpoint of the same kind of network."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["config"]["kind"] != self.config.kind:
            raise WeightsError(
                f"{path} is a {state['config']['kind']} run, not {self.config.kind}; "
                "use another --out."
            )
        self.net.load_state_dict(state["net"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"].cpu())
        self.step, self.seconds = state["step"], state["seconds"]
        self.clock = self.seconds


def _plain(value: Any) -> Any:
    """Paths as text and tuples as lists, so that JSON and weights-only loading accept them."""
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _evaluator(config: TrainConfig) -> Callable[[nn.Module], dict[str, float]] | None:
    """The held-out evaluation of a kind; None where no held-out person was rendered."""
    if not config.evaluations:
        return None
    try:
        store = FaceStore(config.root, "test")
    except DataError:
        return None
    if config.kind == "detector":
        scenes = evaluate.held_out_scenes(store, config.evaluation_faces // 2)
        return lambda net: evaluate.detector_scores(net, scenes)
    held_out = evaluate.held_out_frames(store, config.evaluation_faces)
    if config.kind == "landmarks":
        return lambda net: evaluate.landmark_scores(net, held_out)
    readout = au_readout(store)
    landmark_net = None
    if config.init is not None:
        state = read_state(config.init)
        candidate = LandmarkNet()
        if state.keys() == candidate.state_dict().keys():
            candidate.load_state_dict(state)
            landmark_net = candidate.eval()
    aus = {"aus": list(SYNTHETIC_AUS), "readout": readout}

    def score_aus(net: nn.Module) -> dict[str, float]:
        model = cards.au_model(net, cards.complete_card(net, aus))
        return evaluate.au_scores(model, held_out, landmark_net)

    return score_aus


def au_readout(store: FaceStore) -> dict[str, Any]:
    """How the AU maps are read: see :func:`aucli.weights.cards.au_model`."""
    places = store.usual_places().astype(float).round(1).tolist()
    return {"sigma_cells": AU_SIGMA_CELLS, "radius_px": PLACE_RADIUS_PX, "places": places}


def train(
    config: TrainConfig, resume: bool = False, on_progress: Progress | None = None
) -> dict[str, float]:
    """Run to the end; the last held-out scores (empty without an evaluation).

    Writes into ``config.out``: checkpoint.pt (every few minutes), log.jsonl (one Report a line),
    config.json, curves.png (with matplotlib), weights.safetensors and weights.json (at every
    evaluation and at the end). resume: go on from checkpoint.pt if there is one.
    """
    torch.set_num_threads(config.threads)
    rank, world = join_processes()
    leads = rank == 0
    config.out.mkdir(parents=True, exist_ok=True)
    checkpoint = config.out / "checkpoint.pt"
    trainer = Trainer(config)
    if resume and checkpoint.exists():
        trainer.load(checkpoint)
    elif checkpoint.exists():
        raise OutputError(f"{checkpoint} exists already; use --resume or another --out.")
    log = config.out / "log.jsonl"
    if leads:
        resolved = {k: _plain(v) for k, v in asdict(config).items()}
        (config.out / "config.json").write_text(json.dumps(resolved, indent=1))
        _cut_log(log, trainer.step)
    score = _evaluator(config) if leads else None
    store = FaceStore(config.root, "train", config.faces)
    readout = au_readout(store) if config.kind == "au" else None
    series = {"detector": SceneBatches, "landmarks": LandmarkBatches, "au": AUBatches}
    batches = series[config.kind](store, config.batch_size, config.seed, trainer.step, rank, world)
    loader = DataLoader(
        batches,
        batch_size=None,
        num_workers=config.workers,
        prefetch_factor=6 if config.workers else None,
        worker_init_fn=_one_thread,
    )
    scores: dict[str, float] = {}

    def tell(report: Report) -> None:
        if not leads:
            return
        with log.open("a") as stream:
            stream.write(json.dumps(asdict(report)) + "\n")
        if on_progress is not None:
            on_progress(report)

    def examine() -> None:
        nonlocal scores
        if not leads:
            return
        if score is not None:
            began = time.monotonic()
            scores = score(trainer.ema)
            spent = time.monotonic() - began
            tell(Report(trainer.step, trainer.share, spent, 0.0, scores, "eval"))
        save_weights(trainer, scores, readout)

    last = saved = time.monotonic()
    sums: dict[str, torch.Tensor] = {}
    count = 0
    trainer.net.train()
    evaluated = math.floor(trainer.share * max(1, config.evaluations))
    stream = iter(loader)
    logged = trainer.seconds
    try:
        while trainer.share < 1:
            parts = trainer.advance(next(stream))
            sums = {k: sums[k] + v if k in sums else v for k, v in parts.items()}
            count += 1
            now = time.monotonic()
            trainer.seconds += now - last
            last = now
            if count == config.log_every:
                values = {k: float(v) / count for k, v in sums.items()}
                if not math.isfinite(values["loss"]):
                    raise ArithmeticError(f"the loss became {values['loss']} at {trainer.step}")
                pace = count * config.batch_size * world / max(trainer.seconds - logged, 1e-9)
                tell(Report(trainer.step, trainer.share, trainer.seconds, pace, values))
                sums, count, logged = {}, 0, trainer.seconds
            if leads and now - saved > 60 * config.checkpoint_minutes:
                trainer.save(checkpoint)
                saved = now
            due = math.floor(trainer.share * max(1, config.evaluations))
            if due > evaluated and trainer.share < 1:
                evaluated = due
                examine()
                # Evaluation is no training time.
                last = time.monotonic()
    finally:
        # Also on Ctrl-C: nothing that was learnt is lost.
        if leads:
            trainer.save(checkpoint)
        del stream, loader
    examine()
    if leads:
        draw_curves(log, config.out / "curves.png")
    return scores


def join_processes() -> tuple[int, int]:
    """(rank, number) of this process among those that ``torchrun`` started; (0, 1) alone."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return 0, 1
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return distributed.get_rank(), world


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)


def _cut_log(log: Path, step: int) -> None:
    """Drop lines after the checkpoint: a resumed run writes them again."""
    if log.exists():
        lines = [line for line in log.read_text().splitlines() if json.loads(line)["step"] <= step]
        log.write_text("".join(line + "\n" for line in lines) if step else "")


def save_weights(
    trainer: Trainer, scores: dict[str, float], readout: dict[str, Any] | None
) -> Path:
    """The EMA as weights.safetensors with its readable card, as ``analyze --model`` takes them.

    float32, so that a run can start from them; the embedded ones are stored in half the size.
    """
    config = trainer.config
    card: dict[str, Any] = {
        "metrics": {k: round(v, 4) for k, v in scores.items() if math.isfinite(v)},
        "provenance": {
            "data": "synthetic faces of aucli synth",
            "steps": trainer.step,
            "samples": trainer.step * config.batch_size,
            "minutes": round(trainer.seconds / 60, 2),
            "training": {k: _plain(v) for k, v in asdict(config).items()},
        },
    }
    if config.kind == "au":
        card |= {"aus": list(SYNTHETIC_AUS), "readout": readout}
    return cards.save_weights(config.out / "weights", trainer.ema, card, half=False)


def draw_curves(log: Path, path: Path) -> bool:
    """Loss and held-out score over steps as a PNG; False where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for event, axes, skip in (("train", left, ()), ("eval", right, ("icc31.", "pcc.", "mae."))):
        chosen = [row for row in rows if row["event"] == event]
        for name in chosen[0]["values"] if chosen else ():
            if not name.startswith(tuple(skip) or ("\0",)):
                steps = [row["step"] for row in chosen]
                axes.plot(steps, [row["values"].get(name) for row in chosen], label=name)
        axes.set(xlabel="step", title=event)
        if chosen:
            axes.legend(fontsize=7)
    left.set_yscale("symlog")
    figure.savefig(path, dpi=100)
    return True
