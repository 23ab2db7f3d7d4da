"""Heads compared: the same rendered faces, steps and recipe for each, several seeds.

    python examples/studies/ablation.py --shards faces --out ablation --steps 3000 --seeds 3

plain is the project's small network without semantic correspondence convolutions; scc3 to scc9 have
them with so many neighbours; hourglass and fanau are the networks of two papers. All read the
same crops, start from random weights and learn by the preset `modern`, without the second task (68
landmarks) that only the small network has. Scores are of people held out of training, aligned by
the embedded landmark network; +- is the standard deviation over the seeds.

--px 64 --clean is for a computer without a GPU: a quarter of the work for each crop, and crops
without noise, shadows and things in front, from which a short training learns more.

Writes ablation.md, ablation.csv and ablation.png into --out, and each run into a folder there; runs
that are finished are not done again, one that was stopped goes on.
"""

import argparse
import csv
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from aucli.aus import SYNTHETIC_AUS, SYNTHETIC_PLACES, point_names
from aucli.datasets.synthetic import FaceStore
from aucli.errors import run_script
from aucli.evaluation.rendered import HeldOut, au_scores, find_landmarks, held_out_frames
from aucli.faces.loading import load_landmarker
from aucli.models.predict import predict_crops
from aucli.train.config import TrainConfig
from aucli.train.nets import build_au_net
from aucli.train.trainer import train
from aucli.weights.cards import (
    au_model,
    complete_card,
    load_au_model,
)

# Model of `aucli train`, and neighbours of its SCC layers.
HEADS = {
    "plain": ("scc-small", 0),
    **{f"scc{k}": ("scc-small", k) for k in (3, 5, 7, 9)},
    "hourglass": ("hourglass", 0),
    "fanau": ("fanau", 0),
}
METRICS = ("icc31", "pcc", "mae")
MAY_DIFFER = {"root", "out", "device", "threads", "workers"}  # of a run that goes on
TIMED_CROPS, TIMED_CALLS = 16, 5


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one crop: parameters, FLOPs (two for a multiplication and its addition), and ms on
    one CPU thread in calls of 16 crops, batch norm folded, read-out included."""

    parameters: int
    flops: int
    milliseconds: float


def config_of(head: str, seed: int, arguments: argparse.Namespace) -> TrainConfig:
    model, k = HEADS[head]
    return TrainConfig(
        model, arguments.shards, arguments.out / f"{head}-seed{seed}", steps=arguments.steps,
        k=k, seed=seed, find_landmarks=False, evaluations=0, batch_size=arguments.batch_size,
        lr=arguments.lr, warmup_steps=min(100, arguments.steps // 10), crop_size=arguments.px,
        augment=not arguments.clean, faces=arguments.faces, device=arguments.device,
        threads=arguments.threads, workers=arguments.workers,
    )  # fmt: skip


def finished(config: TrainConfig) -> bool:
    """Whether the folder holds this run. Ends the script where it holds one of other settings."""
    told = config.out / "config.json"
    if told.exists():
        before, now = json.loads(told.read_text()), config.plain()
        other = [name for name in now if name not in MAY_DIFFER and before.get(name) != now[name]]
        if other:
            raise SystemExit(f"{config.out} has another {' and '.join(other)}; use another --out.")
    return (config.out / "weights.json").exists()


def score(config: TrainConfig, held_out: HeldOut, landmarks: np.ndarray) -> dict:
    """Held-out scores of a finished run, kept beside its weights."""
    path = config.out / "scores.json"
    if path.exists():
        known = json.loads(path.read_text())
        if known["faces"] == len(held_out.frames):
            return known
    model = load_au_model(config.out / "weights.safetensors")
    scores = {"faces": len(held_out.frames), **au_scores(model, held_out, landmarks)}
    path.write_text(json.dumps(scores, indent=1))
    return scores


def cost(config: TrainConfig) -> Cost:
    """What a head needs to read a crop."""
    torch.set_num_threads(1)
    net = build_au_net(config, point_names(SYNTHETIC_AUS, SYNTHETIC_PLACES)).eval()
    used = [p for name, p in net.named_parameters() if not name.startswith("landmark_head")]
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(torch.zeros(1, 3, config.px, config.px))
    card = {"aus": list(SYNTHETIC_AUS), "sides": True, "template": config.template,
            "crop_size": config.px}  # fmt: skip
    model = au_model(net, complete_card(net, card))
    crops = np.random.default_rng(0).integers(0, 256, (TIMED_CROPS, config.px, config.px, 3))
    crops = crops.astype(np.uint8)
    took = []
    for _ in range(TIMED_CALLS):
        began = time.process_time()
        predict_crops(model, crops)
        took.append(time.process_time() - began)
    return Cost(
        sum(p.numel() for p in used), counter.get_total_flops(), 1000 * min(took) / TIMED_CROPS
    )


def write_csv(path: Path, scores: dict[str, dict[int, dict]], costs: dict[str, Cost]) -> None:
    """A row for each run, the means first, then every AU."""
    each = [f"{metric}.{au}" for metric in METRICS for au in SYNTHETIC_AUS]
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        head = ["head", "seed", "parameters", "flops", "ms_per_crop", *METRICS, *each]
        writer.writerow(head)
        for name, runs in scores.items():
            own = costs[name]
            for seed, found in runs.items():
                row = [name, seed, own.parameters, own.flops, round(own.milliseconds, 3)]
                writer.writerow([*row, *(round(found[c], 4) for c in (*METRICS, *each))])


def spread(values: list[float]) -> str:
    """``.712 +- .004``; one seed has no spread."""
    text = f"{np.mean(values):.3f}"
    return text if len(values) < 2 else f"{text} ± {np.std(values, ddof=1):.3f}"


def to_markdown(
    scores: dict[str, dict[int, dict]], costs: dict[str, Cost], arguments: argparse.Namespace
) -> str:
    """The table, with the command that makes it."""
    any_run = next(iter(next(iter(scores.values())).values()))
    crops = (
        f"{arguments.batch_size} {'clean ' if arguments.clean else ''}crops of {arguments.px} px"
    )
    lines = [
        f"{arguments.steps} steps of {crops}, learning rate {arguments.lr:g}, "
        f"{len(next(iter(scores.values())))} seeds; {any_run['faces']} faces of people held out.",
        "",
        "| head | parameters | MFLOPs | CPU ms | ICC(3,1) | against plain | PCC | MAE |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for head, runs in scores.items():
        columns = {metric: [run[metric] for run in runs.values()] for metric in METRICS}
        against = ""
        if head != "plain" and "plain" in scores:
            # The same seed draws the same batches: differences within a seed vary less.
            pairs = [(runs[s], scores["plain"][s]) for s in runs]
            against = spread([own["icc31"] - plain["icc31"] for own, plain in pairs])
        own = costs[head]
        cells = [f"{own.parameters / 1e6:.2f} M", f"{own.flops / 1e6:.0f}"]
        cells += [f"{own.milliseconds:.2f}", spread(columns["icc31"]), against]
        cells += [spread(columns["pcc"]), spread(columns["mae"])]
        lines.append(f"| {head} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plot(path: Path, scores: dict[str, dict[int, dict]], costs: dict[str, Cost]) -> None:
    """Each run's ICC, by head and against the time it takes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for n, (head, runs) in enumerate(scores.items()):
        values = [run["icc31"] for run in runs.values()]
        left.plot([n] * len(values), values, "o", color=f"C{n}", alpha=0.6)
        left.plot([n - 0.3, n + 0.3], [np.mean(values)] * 2, color=f"C{n}")
        x = costs[head].milliseconds
        right.plot([x] * len(values), values, "o", color=f"C{n}", alpha=0.6, label=head)
    left.set_xticks(range(len(scores)), list(scores), rotation=30)
    left.set(ylabel="mean ICC(3,1), people held out", title="each seed, and their mean")
    right.set(xlim=(0, None), xlabel="ms per crop, one CPU thread", title="against time")
    right.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=Path, required=True, help="what `aucli synth` wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--heads", default=",".join(HEADS), help="with commas")
    parser.add_argument("--faces", type=int, help="train on at most so many")
    parser.add_argument("--test-faces", type=int, default=600)
    parser.add_argument("--px", type=int, default=128, help="side of the crops: 64 or 128")
    parser.add_argument("--clean", action="store_true", help="crops without noise and occluders")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2.5e-3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0)
    arguments = parser.parse_args()
    heads = arguments.heads.split(",")
    if unknown := sorted(set(heads) - set(HEADS)):
        parser.error(f"no head {', '.join(unknown)}; there are {', '.join(HEADS)}")

    held_out = held_out_frames(FaceStore(arguments.shards, "test"), arguments.test_faces)
    landmarks = find_landmarks(load_landmarker("builtin")[0], held_out)
    scores: dict[str, dict[int, dict]] = {head: {} for head in heads}
    for seed in range(arguments.seeds):  # whole seeds first: a stopped comparison is still fair
        for head in heads:
            config = config_of(head, seed, arguments)
            if not finished(config):
                train(config, resume=True)
            scores[head][seed] = score(config, held_out, landmarks)
            print(f"{config.out.name}: ICC {scores[head][seed]['icc31']:.3f}", flush=True)
    costs = {head: cost(config_of(head, 0, arguments)) for head in heads}
    table = to_markdown(scores, costs, arguments)
    (arguments.out / "ablation.md").write_text(table)
    write_csv(arguments.out / "ablation.csv", scores, costs)
    plot(arguments.out / "ablation.png", scores, costs)
    print(table)


if __name__ == "__main__":
    run_script(main)
