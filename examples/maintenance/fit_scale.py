"""Fit how readings of the AU maps become intensities, on rendered people nobody was trained on.

    aucli synth --ict FaceXModel --count 1280 --seed 2 --out more-faces
    python examples/maintenance/fit_scale.py --shards more-faces

Another seed gives other people. A network that learns by squares answers too cautiously where it
is unsure, which ICC(3,1) punishes. For each AU, scale and offset are chosen by ICC(3,1), and of
those about as good by presence at 1.0. Then comes what faces at rest read at most, for
`analyze --calibrate auto`. The card of the embedded AU network is written once, at the end.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from aucli.aus import MAX_INTENSITY, SYNTHETIC_AUS
from aucli.datasets.synthetic import FaceStore
from aucli.errors import run_script
from aucli.evaluation.rendered import HeldOut, find_landmarks, held_out_frames, predict_held_out
from aucli.faces.loading import load_landmarker
from aucli.faces.protocols import Landmarker
from aucli.files import write_text
from aucli.metrics import icc31
from aucli.models.predict import AUModel
from aucli.table.schema import PRESENCE_THRESHOLD
from aucli.weights.cards import DEFAULT_AU_MODEL, load_au_model
from aucli.weights.store import card_file, weights_dir

SCALES = np.linspace(0.8, 2.0, 25)
# What a line takes below 0 is lost: weak AUs would all read 0, in whatever order they were.
OFFSETS = np.linspace(-0.1, 0.0, 3)
# Lines count as equally good within this of the best ICC(3,1).
SLACK = 0.01
NOTHING = 0.5  # true intensities below it are no AU
FACES = 1536
# A face is at rest where no AU is above this. Of what such faces read, 95 % lie below the limit.
REST, REST_PERCENTILE = 0.5, 95

Line = tuple[float, float]  # scale, offset


def best_line(readings: np.ndarray, true: np.ndarray) -> Line:
    """The line for readings (N,) against intensities (N,), both 0-5.

    Many lines are about as good by ICC(3,1): faces with nothing outweigh traces. Of these, the one
    that tells traces from nothing best at 1.0. To read 1.0 into a face with nothing counts as much
    as to miss an AU twice, because an AU is absent far more often than present.
    """
    present, absent = true >= PRESENCE_THRESHOLD, true < NOTHING
    scores: dict[Line, tuple[float, float]] = {}
    for line in ((float(s), float(o)) for s in SCALES for o in OFFSETS):
        levels = (line[0] * readings + line[1]).clip(0, MAX_INTENSITY)
        told = levels >= PRESENCE_THRESHOLD
        hits, false = (told[part].mean() if part.any() else 0.0 for part in (present, absent))
        scores[line] = icc31(levels, true), float(hits - 2 * false)
    least = max(icc for icc, _ in scores.values()) - SLACK
    good = [line for line, (icc, _) in scores.items() if icc >= least]
    return max(good, key=lambda line: scores[line][::-1])


def fit_lines(
    model: AUModel,
    frames: HeldOut,
    landmarker: Landmarker,
    on_line: Callable[[str, Line], None] = lambda au, line: None,
) -> tuple[list[Line], np.ndarray]:
    """A line for each AU of the model, fitted to its readings as they are, and (A,) 0-5 what faces
    at rest read at most."""
    count = len(model.aus)
    plain = replace(
        model, scale=np.ones(count, np.float32), offset=np.zeros(count, np.float32)
    )  # also where the card has a scale already
    landmarks = find_landmarks(landmarker, frames)
    readings = predict_held_out(plain, frames, landmarks)[0]  # (N, A)
    true = frames.intensities.mean(2)  # (N, all AUs)
    lines = []
    for a, au in enumerate(model.aus):
        lines.append(best_line(readings[:, a], true[:, SYNTHETIC_AUS.index(au)]))
        on_line(au, lines[-1])
    scale, offset = np.array(lines).T
    quiet = frames.intensities.reshape(len(true), -1).max(1) <= REST
    levels = (readings[quiet] * scale + offset).clip(0, MAX_INTENSITY)
    return lines, np.percentile(levels, REST_PERCENTILE, axis=0)


def write_lines(path: Path, lines: list[Line], rest: np.ndarray) -> None:
    """Put the lines and what faces at rest read into a card, whole or not at all."""
    card = json.loads(path.read_text("utf-8"))
    card["scale"] = [round(scale, 3) for scale, _ in lines]
    card["offset"] = [round(offset, 3) for _, offset in lines]
    card["rest"] = rest.astype(float).round(2).tolist()
    write_text(path, json.dumps(card, indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=Path, required=True, help="what `aucli synth` wrote")
    parser.add_argument("--faces", type=int, default=FACES, help="use at most so many")
    arguments = parser.parse_args()
    frames = held_out_frames(FaceStore(arguments.shards, "all"), arguments.faces, seed=17)
    lines, rest = fit_lines(
        load_au_model(DEFAULT_AU_MODEL), frames, load_landmarker("builtin")[0],
        lambda au, line: print(f"{au} scale {line[0]:.2f} offset {line[1]:+.2f}", flush=True),
    )  # fmt: skip
    write_lines(card_file(weights_dir() / DEFAULT_AU_MODEL), lines, rest)


if __name__ == "__main__":
    run_script(main)
