"""Whether the height of eyes and lips, by the landmarks, says more of an AU than its map alone.

    python examples/studies/openings.py --fit scale --test faces

`--fit` has faces of people nobody was trained on, `--test` those of whom every twentieth person was
held out (weights/README.md, Data). For each AU, the intensity of a side is fitted by least squares
to what is read in its maps, to the opening of the eye on that side or of the lips, and to both. A
straight line is fitted to the map alone and to both, a curve with squares and the product to both,
too. Then comes the line of fit_scale.py, as for the shipped readings. Openings are px of the
aligned crop, by the landmarks of the same look or by those that the crop was cut by. `true` knows
the opening exactly, which no network does. The network must give landmarks.

hit, false: share of faces at 1.0 or more, and of those under 0.5, that are read as 1.0 or more.
change: of the ICC(3,1) against the map alone, with a 95 % interval by person.
"""

import argparse
import runpy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np

from aucli.align import align_matrices, apply_matrices
from aucli.aus import MAX_INTENSITY, SYNTHETIC_AUS
from aucli.datasets.synthetic import FaceStore
from aucli.errors import run_script
from aucli.evaluation.rendered import HeldOut, find_landmarks, held_out_frames, look_at_held_out
from aucli.faces.loading import load_landmarker
from aucli.metrics import agreement, bootstrap_weights, icc31, pair_sums, roc_auc
from aucli.models.predict import AUModel
from aucli.weights.cards import DEFAULT_AU_MODEL, load_au_model

best_line = runpy.run_path(str(Path(__file__).parents[1] / "maintenance" / "fit_scale.py"))[
    "best_line"
]

# Landmarks above and below, whose mean distance is the opening of the left and the right side.
EYES = (((43, 47), (44, 46)), ((37, 41), (38, 40)))
LIPS = (((61, 67), (62, 66), (63, 65)),) * 2
OPENINGS = {"AU05": EYES, "AU07": EYES, "AU25": LIPS, "AU26": LIPS, "AU45": EYES}
LANDMARKS = ("look", "alignment", "true")
PRESENT, ABSENT = 1.0, 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """sides: (N, A, 2) [L, R], read off the maps, before scale and offset. landmarks: (N, 68, 2)
    crop px, by names of LANDMARKS. true: (N, A, 2), 0-5. identity: (N,)."""

    sides: np.ndarray
    landmarks: dict[str, np.ndarray]
    true: np.ndarray
    identity: np.ndarray


def see(model: AUModel, held_out: HeldOut) -> Seen:
    """What one look tells of faces that are new: aligned by the landmark network."""
    plain = replace(model, scale=np.ones_like(model.scale), offset=np.zeros_like(model.offset))
    aligned = find_landmarks(load_landmarker("builtin")[0], held_out)
    matrices = align_matrices(aligned, model.template, model.crop_size)
    look = look_at_held_out(plain, held_out, matrices)
    found = (look.landmarks, aligned, held_out.landmarks)
    order = [SYNTHETIC_AUS.index(au) for au in model.aus]
    return Seen(
        look.prediction.sides,
        {name: apply_matrices(x, matrices) for name, x in zip(LANDMARKS, found, strict=True)},
        held_out.intensities[:, order],
        held_out.identity,
    )


def opening(landmarks: np.ndarray, au: str) -> np.ndarray:
    """(N, 68, 2) crop px -> (N, 2) px, of the left side and of the right one."""
    sides = []
    for pairs in OPENINGS[au]:
        above, below = (landmarks[:, list(points)] for points in zip(*pairs, strict=True))
        sides.append(np.linalg.norm(above - below, axis=2).mean(1))
    return np.stack(sides, 1)


def terms(values: Sequence[np.ndarray], curved: bool) -> np.ndarray:
    """Values, each (N, 2), and 1 -> (2N, T); ``curved`` adds squares and products."""
    columns = [v.ravel() for v in values]
    if curved:
        columns += [a * b for a, b in combinations_with_replacement(columns, 2)]
    return np.stack([*columns, np.ones_like(columns[0])], 1)


def fit(fitted: Sequence[np.ndarray], true: np.ndarray, tested: Sequence[np.ndarray],
        curved: bool) -> np.ndarray:  # fmt: skip
    """Intensities (M, 2) of the tested sides, 0-5, from values and intensities (N, 2) of others."""
    x = terms(fitted, curved)
    weights = np.linalg.lstsq(x, true.ravel(), rcond=None)[0]
    own, other = (part @ weights for part in (x, terms(tested, curved)))
    scale, offset = best_line(own.reshape(-1, 2).mean(1), true.mean(1))
    return (scale * other + offset).clip(0, MAX_INTENSITY).reshape(-1, 2)


def told(read: np.ndarray, usual: np.ndarray, true: np.ndarray, identity: np.ndarray) -> str:
    """Scores of what is read, (N,), beside what is usually read, against the truth."""
    people = np.unique(identity, return_inverse=True)[1]
    count = int(people.max()) + 1
    draws = bootstrap_weights(count, 2000)
    ways = [pair_sums(values, true, people, count) for values in (read, usual)]
    changed, before = (agreement(draws @ sums)["icc31"] for sums in ways)
    low, high = np.percentile(changed - before, [2.5, 97.5])
    present, absent = true >= PRESENT, true < ABSENT
    sure = present | absent
    return " | ".join([
        f"{icc31(read, true):.3f}",
        f"{icc31(read, true) - icc31(usual, true):+.3f} [{low:+.3f}, {high:+.3f}]",
        f"{np.corrcoef(read, true)[0, 1]:.3f}",
        f"{np.abs(read - true).mean():.2f}",
        f"{roc_auc(read[sure], present[sure]):.3f}",
        f"{(read >= PRESENT)[present].mean():.2f}",
        f"{(read >= PRESENT)[absent].mean():.3f}",
    ])  # fmt: skip


def compare(au: str, a: int, fitted: Seen, tested: Seen) -> None:
    """Print a line for each way to read an AU, column ``a`` of the network."""
    true, aim = fitted.true[:, a], tested.true[:, a]  # (N, 2)
    maps = [seen.sides[:, a] for seen in (fitted, tested)]
    scale, offset = best_line(maps[0].mean(1), true.mean(1))
    usual = (scale * maps[1] + offset).clip(0, MAX_INTENSITY).mean(1)
    ways = {"map": usual, "map, curved": fit([maps[0]], true, [maps[1]], True).mean(1)}
    for name in LANDMARKS:
        gaps = [opening(seen.landmarks[name], au) for seen in (fitted, tested)]
        ways[f"opening ({name})"] = fit([gaps[0]], true, [gaps[1]], True).mean(1)
        both = [list(pair) for pair in zip(maps, gaps, strict=True)]
        ways[f"both ({name})"] = fit(both[0], true, both[1], False).mean(1)
        ways[f"both, curved ({name})"] = fit(both[0], true, both[1], True).mean(1)
    for name, read in ways.items():
        print(f"| {au} | {name} | {told(read, usual, aim.mean(1), tested.identity)} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fit", type=Path, required=True, help="what `aucli synth` wrote")
    parser.add_argument("--test", type=Path, required=True, help="the same, with other people")
    parser.add_argument("--faces", type=int, default=1216, help="of each, at most so many")
    parser.add_argument("--model", default=DEFAULT_AU_MODEL)
    arguments = parser.parse_args()
    model = load_au_model(arguments.model, "cpu")
    fitted, tested = (
        see(model, held_out_frames(FaceStore(root, split), arguments.faces, seed))
        for root, split, seed in ((arguments.fit, "all", 17), (arguments.test, "test", 5))
    )
    print("| AU | read from | ICC(3,1) | change | PCC | MAE | AUC | hit | false |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for a, au in enumerate(model.aus):
        if au in OPENINGS:
            compare(au, a, fitted, tested)


if __name__ == "__main__":
    run_script(main)
