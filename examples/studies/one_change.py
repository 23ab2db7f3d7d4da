"""What one change of rendered faces, of crops or of the crops' size is worth on real pictures.

    aucli synth --ict FaceXModel --makehuman WHEEL --count 16384 --seed 13 --out faces
    python examples/studies/one_change.py FOLDER --faces faces --out runs --minutes 8

For each change, `scc-joint` learns from random weights for --minutes (with --init from other ones)
and reads the faces in FOLDER, which holds pictures and labels.csv, see judged_faces.py. Runs that
are finished are not done again, one that was stopped goes on. --change: only these; `nothing` is
what they are compared with. Each run takes one core; nothing else may run there.

area: mean area under the ROC curve, of AUs that 4 faces or more show. hits: of the faces that show
an AU, those read above 98.5 % of the faces that do not; mean of the same AUs. No scale is fitted.
ICC(3,1): on rendered people held out, whatever was left out of training. GFLOP: for each crop.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from judged_faces import JudgedFace, judged_faces
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from aucli import augment
from aucli.analyzer import Analyzer
from aucli.datasets.joint import JointBatches
from aucli.datasets.synthetic import FaceStore
from aucli.errors import run_script
from aucli.faces.overlap import overlaps
from aucli.metrics import roc_auc
from aucli.train.config import TrainConfig
from aucli.train.trainer import train
from aucli.weights.cards import load_au_model

LEAST = 4  # faces that show an AU
ABOVE = 0.985  # of the faces without it
OVERLAP = 0.2  # of boxes, intersection over union
NODES, NODE_PX = 6, 3.0  # of a bend: along each axis, and how far they move, px of 128


@dataclass(frozen=True)
class Change:
    """keep: which faces (N,) of a store are drawn. settings: of TrainConfig. patches: an object,
    its attribute, and the other value."""

    keep: Callable[[FaceStore], np.ndarray] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    patches: tuple[tuple[Any, str, Any], ...] = ()


def smooth(nodes: np.ndarray, size: int) -> torch.Tensor:
    """Values at nodes (N, C, h, w) -> (N, C, size, size)."""
    values = torch.from_numpy(nodes.astype(np.float32))
    return F.interpolate(values, (size, size), mode="bicubic", align_corners=True)


def bend(rng: np.random.Generator, images: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
    """Other shapes at rest: brows, noses, lips and chins moved smoothly, alike on both sides but
    for a fifth.

    images: (N, 3, S, S). landmarks: (N, 68, 2) px, which are moved in place.
    """
    count, size = len(images), images.shape[2]
    even, odd = rng.normal(0, 1, (2, count, 2, NODES, NODES))
    even += even[..., ::-1] * np.array([-1, 1])[:, None, None]
    strength = rng.uniform(0, 1, (count, 1, 1, 1)) * NODE_PX * size / 128
    moves = smooth((even * 0.5**0.5 + 0.2 * odd) * strength, size)  # px
    along = torch.arange(size, dtype=torch.float32)
    seen = torch.stack(torch.meshgrid(along, along, indexing="xy"), -1) + moves.permute(0, 2, 3, 1)

    def sample(values: torch.Tensor, at_px: torch.Tensor) -> torch.Tensor:
        at = at_px * 2 / (size - 1) - 1
        return F.grid_sample(values, at, padding_mode="border", align_corners=True)

    before = landmarks.clone()
    for _ in range(4):  # what was at p is now at q, where q + moves(q) = p
        landmarks.copy_(before - sample(moves, landmarks[:, None])[:, :, 0].transpose(1, 2))
    return sample(images.float(), seen)


def bent(self: JointBatches, rng: np.random.Generator, images, landmarks, visible):
    """``Batches._finish`` after a bend of 70 % of the crops."""
    chosen = np.flatnonzero(rng.random(len(images)) < 0.7)
    images = images.float()
    moved = landmarks[chosen]
    images[chosen] = bend(rng, images[chosen], moved)
    landmarks[chosen] = moved
    return FINISH(self, rng, images, landmarks, visible)


def textured(rng: np.random.Generator, images: torch.Tensor) -> torch.Tensor:
    """``augment.photometric`` after blotches, uneven light, sharpening and random kernels."""
    images = images.float()
    for share, change in ((0.35, blotch), (0.3, shade), (0.3, sharpen), (0.2, convolve)):
        chosen = np.flatnonzero(rng.random(len(images)) < share)
        if len(chosen):
            images[chosen] = change(rng, images[chosen])
    return PHOTOMETRIC(rng, images.clamp_(0, 255))


def column(values: np.ndarray) -> torch.Tensor:
    """(N,) -> (N, 1, 1, 1) float32."""
    return torch.from_numpy(values.astype(np.float32))[:, None, None, None]


def blotch(rng: np.random.Generator, images: torch.Tensor) -> torch.Tensor:
    """A soft spot of darker, lighter or grainy skin, as stubble, paint or freckles make it."""
    count, size = len(images), images.shape[2]
    along = np.linspace(-1, 1, size)
    (x, y), (w, h) = rng.uniform(-0.7, 0.8, (2, count)), np.exp(rng.uniform(-1.8, -0.3, (2, count)))
    across, down = ((along - m[:, None]) / r[:, None] for m, r in ((x, w), (y, h)))
    inside = 1 - across[:, None, :] ** 2 - down[:, :, None] ** 2
    spot = torch.from_numpy(inside.astype(np.float32))[:, None].mul(6).sigmoid()
    side = size // int(rng.integers(1, 5)) + 1
    noise = F.interpolate(
        torch.from_numpy(rng.normal(0, 1, (count, 1, side, side)).astype(np.float32)), (size, size)
    )
    grain, shift = column(rng.uniform(0.05, 0.35, count)), column(rng.normal(-0.2, 0.4, count))
    return images * (spot * (grain * noise + shift)).exp()


def shade(rng: np.random.Generator, images: torch.Tensor) -> torch.Tensor:
    """Light that changes smoothly over the crop."""
    count, side = len(images), int(rng.integers(2, 9))
    light = rng.normal(0, 0.3, (count, 1, side, side)) + rng.normal(0, 0.05, (count, 3, side, side))
    return images * smooth(light * rng.random((count, 1, 1, 1)), images.shape[2]).exp()


def sharpen(rng: np.random.Generator, images: torch.Tensor) -> torch.Tensor:
    """More local contrast, as cameras add it: radius 1-4 px."""
    reach = int(rng.integers(1, 5))
    padded = F.pad(images, (reach,) * 4, "replicate")
    amount = column(rng.uniform(0.2, 1.8, len(images)))
    return images + amount * (images - F.avg_pool2d(padded, 2 * reach + 1, stride=1))


def convolve(rng: np.random.Generator, images: torch.Tensor) -> torch.Tensor:
    """Another texture: a random kernel over 3 x 3 px and all colours, mean and contrast kept."""
    count, channels, *sides = images.shape
    kernels = rng.normal(0, 1, (count, channels, channels, 3, 3)).astype(np.float32)
    kernels[:, range(channels), range(channels), 1, 1] += 2.5
    padded = F.pad(images.reshape(1, -1, *sides), (1,) * 4, "replicate")
    other = F.conv2d(padded, torch.from_numpy(kernels).flatten(0, 1), groups=count)
    other = other.reshape(images.shape)
    mean, spread = images.mean((2, 3), keepdim=True), images.std((2, 3), keepdim=True)
    other = (other - other.mean((2, 3), keepdim=True)) / (other.std((2, 3), keepdim=True) + 1e-3)
    return torch.lerp(images, other * spread + mean, column(rng.uniform(0.2, 0.8, count)))


FINISH, PHOTOMETRIC, WEIGHTS = JointBatches._finish, augment.photometric, FaceStore.au_weights
CHANGES = {
    "nothing": Change(),
    "only ICT's heads": Change(keep=lambda store: store.family == "ict"),
    "only MakeHuman's heads": Change(keep=lambda store: store.family == "makehuman"),
    "no beards, no glasses": Change(keep=lambda store: store.worn.max(1) == 0),
    "no small faces": Change(patches=((augment, "SMALL_SHARE", 0.0),)),
    "nothing in front": Change(patches=((JointBatches, "occluded", 0.0),)),
    "other shapes at rest": Change(patches=((JointBatches, "_finish", bent),)),
    "other textures": Change(patches=((augment, "photometric", textured),)),
    "crops of 64 px": Change(settings={"crop_size": 64}),
    "half as wide": Change(settings={"widths": (8, 16, 32, 48)}),
}


def run(change: Change, config: TrainConfig) -> dict[str, float]:
    """Train with a change; scores on rendered people."""

    def weights(store: FaceStore) -> np.ndarray:
        own = WEIGHTS(store)
        if change.keep is not None:
            own = own * change.keep(store)
        return own / own.sum()

    with ExitStack() as stack:
        for where, name, value in ((FaceStore, "au_weights", weights), *change.patches):
            stack.enter_context(patch.object(where, name, value))
        return train(config, resume=True)


def read(weights: Path, faces: list[JudgedFace]) -> list[dict[str, float]]:
    """What a network reads in each face, by AU; {} where the face is not found."""
    analyzer = Analyzer(model=str(weights), faces="all")
    found = []
    for face in faces:
        table = analyzer.frames(face.pixels[None])
        table = table.loc[table["success"]]
        corners = table[["face_x", "face_y"]].to_numpy(float)
        sizes = table[["face_w", "face_h"]].to_numpy(float)
        boxes = np.hstack([corners, corners + sizes])
        overlap = overlaps(face.box_xyxy_px[None], boxes)[0][0]
        if not len(overlap) or overlap.max() < OVERLAP:
            found.append({})
            continue
        row = table.iloc[int(overlap.argmax())]
        found.append({au: float(row[f"{au}_r"]) for au in face.present | face.absent})
    return found


def score(faces: list[JudgedFace], readings: list[dict[str, float]]) -> dict[str, float]:
    """Mean area and hits over the AUs that enough faces show."""
    areas, hits = [], []
    for au in sorted({au for face in faces for au in face.present}):
        pairs = list(zip(faces, readings, strict=True))
        present = np.array([r[au] for face, r in pairs if au in face.present and r])
        absent = np.array([r[au] for face, r in pairs if au in face.absent and r])
        if len(present) >= LEAST and len(absent):
            truth = np.repeat([True, False], [len(present), len(absent)])
            areas.append(roc_auc(np.concatenate([present, absent]), truth))
            hits.append(float((present > np.quantile(absent, ABOVE)).mean()))
    return {"area": float(np.mean(areas)), "hits": float(np.mean(hits))}


def gflop(weights: Path) -> float:
    """Billions of multiplications and additions for a crop."""
    model = load_au_model(str(weights))
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.net(torch.zeros(1, 3, model.crop_size, model.crop_size))
    return counter.get_total_flops() / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="pictures and labels.csv")
    parser.add_argument("--faces", type=Path, required=True, help="what `aucli synth` wrote")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the runs")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--init", type=Path, help="weights to start from")
    parser.add_argument("--lr", type=float, default=2.5e-3)
    parser.add_argument("--change", nargs="+", choices=CHANGES, default=[*CHANGES])
    args = parser.parse_args()

    faces = judged_faces(args.folder)
    print("| change | GFLOP | crops | area | hits | ICC(3,1) |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name in args.change:
        out = args.out / name.replace(" ", "-").replace("'", "").replace(",", "")
        scores = out / "real.json"
        if not scores.exists():
            config = TrainConfig(
                "scc-joint", args.faces, out, minutes=args.minutes, lr=args.lr, evaluations=1,
                init=args.init, device="cpu", **CHANGES[name].settings,
            )  # fmt: skip
            told = run(CHANGES[name], config)
            steps = [json.loads(line)["step"] for line in (out / "log.jsonl").open()]
            real = score(faces, read(out / "weights.safetensors", faces))
            told = real | {
                "icc31": told["icc31"],
                "crops": max(steps) * config.batch_size,
                "gflop": gflop(out / "weights.safetensors"),
            }
            scores.write_text(json.dumps(told))
        told = json.loads(scores.read_text())
        cells = [
            f"{told['gflop']:.2f}",
            f"{told['crops']:,}",
            *(f"{told[key]:.3f}" for key in ("area", "hits", "icc31")),
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    run_script(main)
