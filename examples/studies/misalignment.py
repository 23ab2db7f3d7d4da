"""How AU intensities suffer from landmarks that are off, for each network.

    python examples/studies/misalignment.py --shards faces --out misalignment ablation/*-seed*

Faces of people held out of training are aligned by their true landmarks plus noise, which is 0 to
10 % of the distance between the outer eye corners: the standard deviation along x and along y,
drawn for each landmark on its own, which alignment partly averages out, or once for all of a face's
landmarks, which shifts the crop. Every network sees the same crops. Runs that differ only in the
seed (`scc7-seed0`, `scc7-seed1`) are one line; its band goes from the lowest to the highest.

Training moves the landmarks, too: 2 % each, 2.5 % together.
"""

import argparse
import csv
import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from aucli.align import align_matrices, warp_crops
from aucli.aus import SYNTHETIC_AUS
from aucli.datasets.synthetic import FaceStore
from aucli.errors import run_script
from aucli.evaluation.rendered import OUTER_EYE_CORNERS, HeldOut, held_out_frames
from aucli.metrics import icc31
from aucli.models.predict import AUModel, predict_crops
from aucli.weights.cards import load_au_model

SHARES = (0.0, 0.02, 0.04, 0.06, 0.08, 0.10)
KINDS = ("each landmark", "all together")
BATCH = 50


def noisy_landmarks(landmarks: np.ndarray, share: float, kind: str, seed: int) -> np.ndarray:
    """(N, 68, 2) px, moved; the directions of a seed are the same for every share."""
    left, right = OUTER_EYE_CORNERS
    eyes = np.linalg.norm(landmarks[:, left] - landmarks[:, right], axis=1)  # (N,)
    count = landmarks.shape[1] if kind == "each landmark" else 1
    moves = np.random.default_rng(seed).normal(size=(len(landmarks), count, 2))
    return landmarks + share * eyes[:, None, None] * moves


def score(model: AUModel, held_out: HeldOut, share: float, kind: str, repeats: int) -> float:
    """ICC(3,1), mean over the AUs and over so many draws of the noise."""
    true = held_out.intensities.mean(2)  # (N, A)
    found = []
    for seed in range(repeats if share else 1):
        landmarks = noisy_landmarks(held_out.landmarks, share, kind, seed)
        matrices = align_matrices(landmarks, model.template, model.crop_size)
        read = []
        for start in range(0, len(true), BATCH):
            part = slice(start, start + BATCH)
            crops = warp_crops(held_out.frames[part], matrices[part], model.crop_size)
            read.append(predict_crops(model, crops).intensities)
        predicted = np.concatenate(read)
        columns = [(predicted[:, model.aus.index(au)], true[:, a])
                   for a, au in enumerate(SYNTHETIC_AUS) if au in model.aus]  # fmt: skip
        found.append(np.nanmean([icc31(*column) for column in columns]))
    return float(np.mean(found))


def name_of(weights: Path) -> str:
    """``scc7`` of scc7-seed0/weights.safetensors; otherwise the file's own name."""
    folder = weights.parent.name if weights.stem == "weights" else weights.stem
    return re.sub(r"-seed\d+$", "", folder)


def plot(path: Path, lines: dict[str, dict[str, np.ndarray]]) -> None:
    """lines: kind -> network -> (runs, shares)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (kind, networks) in zip(panels, lines.items(), strict=True):
        for n, (name, values) in enumerate(networks.items()):
            x = 100 * np.array(SHARES)
            axes.plot(x, values.mean(0), "o-", color=f"C{n}", label=name, markersize=3)
            axes.fill_between(x, values.min(0), values.max(0), color=f"C{n}", alpha=0.15)
        axes.set(title=f"noise of {kind}", xlabel="% of the distance between the eye corners")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("mean ICC(3,1), people held out")
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), fontsize=8, loc="outside right center"
    )
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, nargs="+", help="AU weights, or folders of runs")
    parser.add_argument("--shards", type=Path, required=True, help="what `aucli synth` wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--faces", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=3, help="draws of the noise")
    arguments = parser.parse_args()

    held_out = held_out_frames(FaceStore(arguments.shards, "test"), arguments.faces)
    arguments.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, list[list[float]]]] = {kind: defaultdict(list) for kind in KINDS}
    with (arguments.out / "misalignment.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["weights", "noise of", *(f"{share:.0%}" for share in SHARES)])
        for given in arguments.weights:
            path = given / "weights.safetensors" if given.is_dir() else given
            model = load_au_model(path)
            for kind in KINDS:
                row = [score(model, held_out, s, kind, arguments.repeats) for s in SHARES]
                found[kind][name_of(path)].append(row)
                writer.writerow([path, kind, *(round(value, 4) for value in row)])
                numbers = " ".join(f"{value:.3f}" for value in row)
                print(f"{name_of(path):12} {kind:14} {numbers}", flush=True)
    lines = {
        kind: {name: np.array(runs) for name, runs in networks.items()}
        for kind, networks in found.items()
    }
    plot(arguments.out / "misalignment.png", lines)


if __name__ == "__main__":
    run_script(main)
