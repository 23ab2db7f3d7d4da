"""Put trained networks into weights/: half the size, with a card of how they were made and score.

    python examples/embed_weights.py --shards FOLDER [--detector RUN] [--landmarks RUN] [--au RUN]

A RUN is the --out folder of `aucli train`. The held-out scores of all three networks are computed
anew and written into the cards, since the AU network's depend on the landmark network; without a
RUN, the cards' scores alone are renewed.
"""

import argparse
import json
import math
from pathlib import Path

from score_weights import score

from aucli.weights.cards import (
    DEFAULT_AU_MODEL,
    DEFAULT_DETECTOR,
    DEFAULT_LANDMARKS,
    load_weights,
    save_weights,
)
from aucli.weights.store import weights_dir

NAMES = {"detector": DEFAULT_DETECTOR, "landmarks": DEFAULT_LANDMARKS, "au": DEFAULT_AU_MODEL}
# What a card keeps of the run's own, and settings that only concern the machine it ran on.
KEPT = ("aus", "maps", "readout")
LOCAL = ("root", "out", "init", "device", "threads", "workers", "faces")


def embed(run: Path, name: str) -> None:
    loaded = load_weights(run / "weights")
    provenance = loaded.card["provenance"]
    provenance["training"] = {k: v for k, v in provenance["training"].items() if k not in LOCAL}
    card = {key: loaded.card[key] for key in KEPT if key in loaded.card}
    save_weights(weights_dir() / name, loaded.net, card | {"provenance": provenance})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=Path, required=True)
    for kind in NAMES:
        parser.add_argument(f"--{kind}", type=Path)
    parser.add_argument("--faces", type=int, default=1200)
    parser.add_argument("--scenes", type=int, default=400)
    arguments = parser.parse_args()
    for kind, name in NAMES.items():
        run = getattr(arguments, kind)
        if run is not None:
            embed(run, name)
    report = score(arguments.shards, arguments.faces, arguments.scenes, DEFAULT_AU_MODEL)
    for name in NAMES.values():
        path = weights_dir() / f"{name}.json"
        card = json.loads(path.read_text())
        found = report[name] | {"held_out_faces": report["faces"]}
        card["metrics"] = {k: round(v, 4) for k, v in found.items() if math.isfinite(v)}
        path.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
