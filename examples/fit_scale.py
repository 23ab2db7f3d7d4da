"""Fit how readings of the AU maps become intensities, on rendered people nobody was trained on.

    aucli synth --ict FaceXModel --count 1536 --seed 2 --out more-faces
    python examples/fit_scale.py --shards more-faces

Another seed gives other people. A network that learns by squares answers too cautiously where it
is unsure, which ICC(3,1) punishes. For each AU, scale and offset are chosen by ICC(3,1) and written
into the card of the embedded AU network.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from aucli.aus import MAX_INTENSITY
from aucli.datasets.synthetic import FaceStore
from aucli.evaluation.rendered import held_out_frames, predict_held_out
from aucli.metrics import icc31
from aucli.weights.cards import DEFAULT_AU_MODEL, DEFAULT_LANDMARKS, load_au_model, load_weights
from aucli.weights.store import weights_dir

SCALES = np.linspace(0.8, 2.0, 25)
OFFSETS = np.linspace(-0.6, 0.0, 13)
FACES = 1536


def best_line(readings: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """(scale, offset) for readings (N,) against intensities (N,), both 0-5."""

    def score(scale: float, offset: float) -> float:
        return icc31((scale * readings + offset).clip(0, MAX_INTENSITY), true)

    return max(((s, o) for s in SCALES for o in OFFSETS), key=lambda line: score(*line))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=Path, required=True)
    frames = held_out_frames(FaceStore(parser.parse_args().shards, "all"), FACES, seed=17)
    path = weights_dir() / f"{DEFAULT_AU_MODEL}.json"
    card = json.loads(path.read_text())
    count = len(card["aus"])
    # The readings as they are.
    path.write_text(json.dumps(card | {"scale": [1.0] * count, "offset": [0.0] * count}, indent=1))
    landmark_net = load_weights(DEFAULT_LANDMARKS).net
    readings = predict_held_out(load_au_model(DEFAULT_AU_MODEL), frames, landmark_net)[0]
    true = frames.intensities.mean(2)
    lines = [best_line(readings[:, a], true[:, a]) for a in range(count)]
    for au, (scale, offset) in zip(card["aus"], lines, strict=True):
        print(f"{au} scale {scale:.2f} offset {offset:+.2f}")
    card["scale"] = [round(float(scale), 3) for scale, _ in lines]
    card["offset"] = [round(float(offset), 3) for _, offset in lines]
    path.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
