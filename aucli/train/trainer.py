"""The loop: steps, averaged weights, checkpoints, held-out scores, early stopping.

Batches are a function of (seed, number), so a run that is killed and resumed from its checkpoint
goes through the same losses as one that never stopped (exactly so for a run counted in steps or
epochs; one counted in minutes schedules its learning rate by the clock). Under ``torchrun`` every
process takes its share of the batches and the gradients are averaged; the first one writes the
files.
"""

import contextlib
import copy
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from aucli.datasets.crops import PreparedBatches
from aucli.datasets.prepared import MANIFEST
from aucli.datasets.synthetic import SHARDS
from aucli.errors import AucliError, DataError, OptionError, OutputError, WeightsError
from aucli.files import hold_folder, refuse_inputs, write_text, write_whole
from aucli.models.device import resolve_device
from aucli.train.config import FREE, TrainConfig
from aucli.train.logs import Log, LogEntry, OnLogEntry
from aucli.train.nets import fingerprint, read_tensors
from aucli.train.tasks import Task, make_task
from aucli.version import version
from aucli.weights import cards
from aucli.weights.store import UNKNOWN_PEOPLE, card_file, checked_people

# What a message says instead of two checksums.
CHANGED = {
    "data": "its faces were other ones",
    "init": "it began with other weights",
}


def supports_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32: CUDA, or a CPU with AVX512-BF16 or AMX."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)


class Trainer:
    """The state of a run: network, its averaged weights, optimizer, position; see :func:`train`.

    steps: of the whole run; None for one by the clock.
    """

    def __init__(self, config: TrainConfig, task: Task | None = None) -> None:
        self.config = config
        self.device = own_device(config.device)
        self.task = task or make_task(config)
        self.steps = config.steps
        # JSON-ready, and read once: the weights that the run starts from may be moved away.
        self.subjects = {dataset: list(who) for dataset, who in self.task.subjects().items()}
        start = fingerprint(config.init) if config.init else None
        # What must be the same in a run that goes on; ``data`` once the faces are read.
        self.decisive = config.decisive() | {"init": start, "data": None}
        self.bf16 = supports_bf16(self.device)
        net = self.task.net().to(self.device)
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = copy.deepcopy(self.net).eval().requires_grad_(False)
        # ADAM adds its weight decay to the gradient, as an L2 term of the loss does.
        made = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[config.optimizer]
        self.optimizer = made(
            self.net.parameters(),
            config.lr,
            betas=config.betas,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.step = 0
        self.best = math.nan
        self.worse = 0  # evaluations since the best one
        self.evaluated = 0
        self.sums: dict[str, torch.Tensor] = {}  # of the losses since the last line of the log
        self.summed = 0
        self.seconds = 0.0
        self.clock = 0.0  # the seconds that all processes agree on

    @property
    def share(self) -> float:
        """How much of the run is done, 0-1, by steps or by the clock."""
        if self.steps is not None:
            return min(1.0, self.step / self.steps)
        return min(1.0, self.clock / (60 * self.config.minutes))  # type: ignore[operator]

    def learning_rate(self) -> float:
        """After a linear warm-up, ``cosine``: a tenth of the run at full rate, then down to nearly
        nothing; ``step``: a tenth of the rate in the second half."""
        lr = self.config.lr * min(1.0, (self.step + 1) / max(1, self.config.warmup_steps))
        if self.config.schedule == "step":
            return lr * (0.1 if self.share >= 0.5 else 1.0)
        rest = max(0.0, (self.share - 0.1) / 0.9)
        return lr * (0.5 + 0.5 * math.cos(math.pi * rest)) + 1e-6

    def advance(self, *batches: Any) -> dict[str, torch.Tensor]:
        """One optimizer step over one batch or, accumulated, several; the mean loss and its parts,
        detached."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        self.optimizer.zero_grad()
        told: dict[str, torch.Tensor] = {}
        for batch in batches:
            loss, parts = self._loss(batch)
            (loss / len(batches)).backward()
            for name, value in ({"loss": loss} | parts).items():
                told[name] = told.get(name, 0) + value.detach() / len(batches)
        self._share_gradients()
        if self.config.clip:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.config.clip)
        self.optimizer.step()
        self.step += 1
        self._average()
        return told

    def _loss(self, batch: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        batch = type(batch)(*(values.to(self.device, non_blocking=True) for values in batch))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            return self.task.loss(self.net, batch)

    def improves(self, scores: dict[str, float]) -> bool:
        """Whether these are the best scores so far; counts those that are not."""
        value = scores.get(self.task.main_score, math.nan)
        sign = -1 if self.task.smaller_is_better else 1
        if math.isnan(value) or not (math.isnan(self.best) or sign * (value - self.best) > 0):
            self.worse += 1
            return False
        self.best, self.worse = value, 0
        return True

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
        """A resumable checkpoint, whole or not at all. Raises OutputError."""
        state = {
            "net": self.net.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": torch.get_rng_state(),
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "worse": self.worse,
            "evaluated": self.evaluated,
            "sums": self.sums,
            "summed": self.summed,
            "config": self.config.plain(),
            "decisive": self.decisive,
            "train_subjects": self.subjects,
        }
        with _writing(path), write_whole(path) as stream:
            try:
                torch.save(state, stream)
            except RuntimeError as error:
                if _of_a_loader(error):
                    raise
                # PyTorch says "unexpected pos" where the disk is full, or a signal came.
                raise error.__context__ or error from None

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of the same settings and data, with its people beside our own.

        Raises WeightsError, of other settings one that names them.
        """
        try:
            state = read_tensors(path)
        except WeightsError as error:
            raise WeightsError(f"{path} is damaged; begin anew in another out folder.") from error
        try:
            self._refuse_others(path, state)
            self.net.load_state_dict(state["net"])
            self.ema.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["rng"].cpu())
            self.step, self.seconds = state["step"], state["seconds"]
            self.best, self.worse = state["best"], state["worse"]
            self.evaluated = state.get("evaluated", 0)
            sums, self.summed = state.get("sums", {}), state.get("summed", 0)
            self.sums = {name: values.to(self.device) for name, values in sums.items()}
        except WeightsError:
            raise
        except Exception as error:  # what a foreign file raises is open-ended
            raise WeightsError(
                f"{path} is no checkpoint of this network; go on with the settings of the "
                "config.json beside it, or use another out folder."
            ) from error
        self.clock = self.seconds
        told = state.get("train_subjects", {UNKNOWN_PEOPLE: [path.name]})
        for dataset, names in checked_people(told, path).items():
            self.subjects[dataset] = sorted({*self.subjects.get(dataset, ()), *names})

    def _refuse_others(self, path: Path, state: dict[str, Any]) -> None:
        """Raise WeightsError where a checkpoint is of a run with other settings or data."""
        before, own = state.get("decisive"), self.decisive
        if before is None:  # aucli 0.2.0 did not note what a run learnt from
            before, plain = state["config"], self.config.plain()
            own = {k: v for k, v in plain.items() if k not in (*FREE, "init")}
        model = before["model"]
        if model != self.config.model:
            raise WeightsError(
                f"{path} is a run of {model}, not of {self.config.model}; use another out folder."
            )
        others = [name for name, now in own.items() if before.get(name, now) != now]
        told = [
            CHANGED.get(name) or f"{name} was {before[name]!r}, not {own[name]!r}"
            for name in others
        ]
        if told:
            raise WeightsError(
                f"{path} is of another run: {', '.join(told)}; go on with what it began with, or "
                "use another out folder."
            )

    def export(self, scores: dict[str, float]) -> Path:
        """The averaged weights with their readable card, as ``aucli analyze`` takes them.

        float32, so that a run can start from them; the embedded ones are stored in half the size.
        Raises OutputError.
        """
        config, path = self.config, self.config.out / "weights"
        card: dict[str, Any] = {
            "metrics": {k: round(v, 4) for k, v in scores.items() if math.isfinite(v)},
            "provenance": {
                "aucli": version(),
                "data": config.dataset,
                "steps": self.step,
                "samples": self.step * config.batch_size * config.accumulate,
                "minutes": round(self.seconds / 60, 2),
                "train_subjects": self.subjects,
                "training": config.plain(),
            },
            **self.task.card(),
        }
        with _writing(path):
            return cards.save_weights(path, self.ema, card, half=False)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """A disk or folder that refuses becomes an OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); make room, or use another out "
            "folder."
        ) from error


@contextlib.contextmanager
def _folder(out: Path) -> Iterator[None]:
    """A folder that can be written, and that no other training writes to meanwhile; what had to be
    made for it goes away if the block fails before anything is in it."""
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        with _writing(out):
            out.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=out).close()
        with hold_folder(out):
            yield
    except BaseException:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def train(
    config: TrainConfig,
    resume: bool = False,
    on_progress: OnLogEntry | None = None,
    on_start: Callable[[tuple[str, ...]], None] = lambda about: None,
) -> dict[str, float]:
    """Run to the end; the held-out scores of the weights that were kept (empty without any).

    Writes into ``config.out``: checkpoint.pt (every few minutes), log.jsonl (one LogEntry a line),
    log.csv, config.json, curves.png (with matplotlib), weights.safetensors and weights.json: with
    ``patience`` those of the best evaluation, else the last ones. resume: go on from checkpoint.pt
    if there is one. on_start: called by the first process with ``Task.about``.

    Raises OptionError for a device that is not there, DataError, WeightsError and OutputError where
    data, weights or the folder are not as they should be; nothing is written then. Raises
    AucliError where the loss stops being a number; the last checkpoint stays as it was.
    """
    torch.set_num_threads(config.threads)
    rank, world = join_processes(config.device)
    with _folder(config.out) if rank == 0 else contextlib.nullcontext():
        return _run(config, resume, on_progress, on_start, rank, world)


def _refuse_others_work(checkpoint: Path, weights: Path) -> None:
    """Raise OutputError where a folder holds faces, or weights without their run."""
    out = checkpoint.parent
    if (out / MANIFEST).exists() or any(out.glob(SHARDS)):
        raise OutputError(f"{out} holds a set of faces; use another out folder.")
    if not checkpoint.exists() and (weights.exists() or card_file(weights).exists()):
        raise OutputError(
            f"{weights} exists already, and there is no {checkpoint.name} to go on from; use "
            "another out folder."
        )


def _run(
    config: TrainConfig,
    resume: bool,
    on_progress: OnLogEntry | None,
    on_start: Callable[[tuple[str, ...]], None],
    rank: int,
    world: int,
) -> dict[str, float]:
    """As :func:`train`, in a folder that is ours."""
    leads = rank == 0
    checkpoint, weights = config.out / "checkpoint.pt", config.out / "weights.safetensors"
    if checkpoint.exists() and not resume:
        raise OutputError(
            f"{checkpoint} exists already; go on from it (--resume, resume=True) or use another "
            "out folder."
        )
    if config.init is not None:
        refuse_inputs([weights], [config.init], "network")
    if leads:
        _refuse_others_work(checkpoint, weights)
    trainer = Trainer(config)
    task = trainer.task
    batches = task.batches(0, rank, world)
    trainer.decisive["data"] = batches.fingerprint
    if checkpoint.exists():
        trainer.load(checkpoint)
    batches.start = trainer.step * config.accumulate
    score = task.scorer() if leads else None
    if leads and config.patience and score is None:
        raise DataError(
            f"{config.root} has nobody held out to be patient for; set patience=0 "
            "or leave out --patience."
        )
    if config.epochs is not None:
        assert isinstance(batches, PreparedBatches)  # TrainConfig has seen to it
        passes = config.epochs * batches.per_epoch
        trainer.steps = max(1, passes // (config.accumulate * world))
    about = task.about()
    if resume and not checkpoint.exists():
        about += (f"{checkpoint} is not there, so the run begins now.",)
    elif resume and trainer.share >= 1:
        about += (f"The run in {config.out} has done all of this already; nothing is added.",)
    log = None
    if leads:
        with _writing(config.out):
            log = Log(config.out, trainer.step)
            write_text(config.out / "config.json", json.dumps(config.plain(), indent=1))
        on_start(about)
    loader = DataLoader(
        batches,
        batch_size=None,
        num_workers=config.workers,
        prefetch_factor=6 if config.workers else None,
        worker_init_fn=_alone,
    )
    scores: dict[str, float] = {}

    def tell(entry: LogEntry) -> None:
        if log is None:
            return
        with _writing(log.path):
            log.write(entry)
        if on_progress is not None:
            on_progress(entry)

    def examine() -> None:
        nonlocal scores
        if not leads:
            return
        found: dict[str, float] = {}
        if score is not None:
            began = time.monotonic()
            found = score(trainer.ema)
            spent = time.monotonic() - began
            tell(LogEntry(trainer.step, trainer.share, spent, 0.0, found, "eval"))
        if trainer.improves(found) or not config.patience or math.isnan(trainer.best):
            scores = found
            trainer.export(scores)

    last = saved = time.monotonic()
    trainer.net.train()
    stream = iter(loader)
    logged = trainer.seconds
    sound = True
    try:
        while trainer.share < 1 and not _gave_up(trainer):
            due = math.floor(trainer.share * max(1, config.evaluations))
            if due > trainer.evaluated:
                examine()
                trainer.evaluated = due
                last = time.monotonic()  # evaluation is no training time
                continue
            parts = trainer.advance(*(_next(stream) for _ in range(config.accumulate)))
            trainer.sums = {k: trainer.sums.get(k, 0) + v for k, v in parts.items()}
            trainer.summed += 1
            now = time.monotonic()
            trainer.seconds += now - last
            last = now
            # By the step, so that a resumed run logs the steps of an undisturbed one.
            if trainer.step % config.log_every == 0 or trainer.share >= 1:
                count = trainer.summed
                values = {k: float(v) / count for k, v in trainer.sums.items()}
                sound = math.isfinite(values["loss"])
                if not sound:
                    raise AucliError(
                        f"the loss became {values['loss']} at step {trainer.step}; use a smaller "
                        "learning rate (--lr, lr=)."
                    )
                samples = count * config.batch_size * config.accumulate * world
                pace = samples / max(trainer.seconds - logged, 1e-9)
                tell(LogEntry(trainer.step, trainer.share, trainer.seconds, pace, values))
                trainer.sums, trainer.summed, logged = {}, 0, trainer.seconds
            if leads and now - saved > 60 * config.checkpoint_minutes:
                trainer.save(checkpoint)
                saved = now
    except (RuntimeError, ConnectionError) as error:
        if not _of_a_loader(error):
            raise
        raise AucliError(
            "a process that makes batches was stopped, mostly for want of memory; use fewer "
            "workers, or none."
        ) from error
    finally:
        # Also on Ctrl-C: nothing that was learnt is lost.
        if leads and sound:
            _save_last(trainer, checkpoint)
        del stream, loader
    if not _gave_up(trainer):
        examine()
    if log is not None:
        with _writing(log.path):
            log.finish()
    return scores


def _save_last(trainer: Trainer, checkpoint: Path) -> None:
    """Save, also where a signal comes meanwhile, or loader processes end by the same signal."""
    stopped = None
    while True:
        try:
            trainer.save(checkpoint)
            break
        except KeyboardInterrupt as error:
            stopped = error
        except RuntimeError as error:
            if not _of_a_loader(error):
                raise
    if stopped is not None:
        raise stopped


def _of_a_loader(error: RuntimeError | ConnectionError) -> bool:
    """Whether PyTorch says that a loader process ended, which it may say anywhere, or a batch was
    on its way from one that did."""
    return isinstance(error, ConnectionError) or "DataLoader worker" in str(error)


def _gave_up(trainer: Trainer) -> bool:
    """Whether the held-out score stopped getting better; all processes agree."""
    patience = trainer.config.patience
    if not patience:
        return False
    stop = torch.tensor([trainer.worse >= patience], dtype=torch.float32, device=trainer.device)
    if distributed.is_initialized():
        distributed.broadcast(stop, 0)
    return bool(stop)


def join_processes(device: str = "auto") -> tuple[int, int]:
    """(rank, number) of this process among those that ``torchrun`` started; (0, 1) alone.

    Raises OptionError where the environment does not say which process this is.
    """
    world = _environment("WORLD_SIZE", 1)
    if world == 1:
        return 0, 1
    if not distributed.is_initialized():
        backend = "nccl" if own_device(device).type == "cuda" else "gloo"
        distributed.init_process_group(backend)
    return distributed.get_rank(), world


def own_device(wanted: str) -> torch.device:
    """Where the network of this process lies: of those on one machine, each has a GPU of its own.

    Raises OptionError for a device that is not there, or where processes would share a GPU.
    """
    device = torch.device(resolve_device(wanted))
    if device.type != "cuda" or _environment("WORLD_SIZE", 1) == 1:
        return device
    place, there = _environment("LOCAL_RANK", 0), torch.cuda.device_count()
    if device.index is not None:
        raise OptionError(f"device: several processes cannot share {wanted}; name cuda or cpu.")
    if place >= there:
        raise OptionError(
            f"device: process {place + 1} of this machine finds {there} GPUs; start one process "
            "for each GPU, or name cpu."
        )
    torch.cuda.set_device(place)  # of the processes' messages, too
    return torch.device("cuda", place)


def _environment(name: str, default: int) -> int:
    """A number that ``torchrun`` puts into the environment. Raises OptionError."""
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise OptionError(f"{name} in the environment must be a number, got {text!r}.")
    return int(text)


def _alone(_: int) -> None:
    """What a loader process begins with: one thread, and no signals of the terminal, which the
    training process gets; that ends it in order."""
    torch.set_num_threads(1)
    if hasattr(os, "setsid"):  # Windows has none
        os.setsid()
    # Errors of a batch go to the training process. A thread that hands over memory would tell that
    # nobody listens any more at the end.
    sys.excepthook = lambda *_: None


def _next(stream: Iterator[Any]) -> Any:
    """The next batch. Raises what a loader process raised as the one sentence that it was there."""
    try:
        return next(stream)
    except AucliError as error:
        if not str(error).startswith("Caught "):  # raised in this process
            raise
        sentence = str(error).strip().rpartition("\n")[2].partition(": ")[2]
        raise type(error)(sentence) from error
