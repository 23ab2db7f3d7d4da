"""Score the embedded networks on rendered people that none of them was trained on.

    python examples/score_weights.py --shards FOLDER

FOLDER is what `aucli synth` wrote; every twentieth identity in it is held out of training. Prints
one JSON object: the metrics of the cards in weights/.
"""

import argparse
import json
from pathlib import Path

from aucli.datasets.synthetic import FaceStore
from aucli.evaluation.rendered import (
    au_scores,
    detector_scores,
    held_out_frames,
    held_out_scenes,
    landmark_scores,
    place_scores,
)
from aucli.weights.cards import (
    DEFAULT_AU_MODEL,
    DEFAULT_DETECTOR,
    DEFAULT_LANDMARKS,
    load_au_model,
    load_weights,
)


def score(shards: Path, faces: int, scenes: int, model: str) -> dict:
    """Scores of the embedded detector and landmark network and of an AU network, by name."""
    store = FaceStore(shards, "test")
    frames = held_out_frames(store, faces)
    landmark_net = load_weights(DEFAULT_LANDMARKS).net
    au_model = load_au_model(model)
    return {
        "faces": len(frames.frames),
        DEFAULT_DETECTOR: detector_scores(
            load_weights(DEFAULT_DETECTOR).net, held_out_scenes(store, scenes)
        ),
        DEFAULT_LANDMARKS: landmark_scores(landmark_net, frames),
        model: au_scores(au_model, frames, landmark_net)
        | place_scores(au_model, frames, landmark_net),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--faces", type=int, default=1200)
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--model", default=DEFAULT_AU_MODEL)
    arguments = parser.parse_args()
    report = score(arguments.shards, arguments.faces, arguments.scenes, arguments.model)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
