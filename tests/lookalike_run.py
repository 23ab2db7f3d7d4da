"""From a licensee's folder to a scored network, on look-alikes of the six datasets.

    python tests/lookalike_run.py --ict FaceXModel --out runs --dataset disfa --dataset bp4d

Renders a few people once, lays them out as each dataset is handed out (three subjects, labels in
its own files), and runs, as a user would: prepare, train, eval on the test subjects of the
fold, and analyze with the weights just trained. It shows that the commands fit together; the scores
of so few faces mean nothing. Needs the extras `synth` and `datasets`, and the
ICT-FaceKit model.
"""

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import lookalikes
import numpy as np

from aucli.aus import SYNTHETIC_AUS
from aucli.synth.face import Camera, FaceMaker
from aucli.synth.facs import sample_expression
from aucli.synth.ict import load_ict
from aucli.synth.mesh import FaceMesh
from aucli.synth.people import sample_person
from aucli.synth.renderer import Renderer

SEED = 17
SIDE = 320  # px of a picture
FRAMES = 8  # of a recording
# A fold of each dataset whose parts have somebody: two to train and validate, one to test.
FOLDS = {
    "disfa": ("jaanet", "P2"),
    "disfa-plus": ("thirds", "T1"),
    "bp4d": ("jaanet", "P2"),
    "bp4d-plus": ("thirds", "T1"),
    "fera2017": ("parts", "parts"),
    "unbc": ("five", "F5"),
}
RENDERED_AS = {"AU43": "AU45"}  # closed eyes are the renderer's blink


@dataclass(frozen=True, slots=True)
class Pool:
    """Rendered people, who play the subjects of every dataset in turn.

    pictures: (P, F, S, S, 3) uint8. intensities: (P, F, A), 0-5, of SYNTHETIC_AUS.
    """

    pictures: np.ndarray
    intensities: np.ndarray
    _cast: dict[str, int] = field(default_factory=dict)

    def person(self, subject: str) -> int:
        return self._cast.setdefault(subject, len(self._cast) % len(self.pictures))

    def picture(self, subject: str, frame_index: int) -> np.ndarray:
        return self.pictures[self.person(subject), frame_index % FRAMES]

    def intensity(self, subject: str, au: str, frame_index: int) -> int:
        a = SYNTHETIC_AUS.index(RENDERED_AS.get(au, au))
        return round(float(self.intensities[self.person(subject), frame_index % FRAMES, a]))


def render_pool(ict: Path, people: int) -> Pool:
    """Near-frontal faces in one light each, a new expression in every frame."""
    maker = FaceMaker(Renderer(FaceMesh(load_ict(ict)), SIDE))
    backdrop = np.linspace(170, 90, SIDE)[:, None, None] + np.array([0, 6, 14])
    pictures, intensities = [], []
    for number in range(people):
        rng = np.random.default_rng((SEED, number))
        person = sample_person(rng)
        pose = rng.normal(size=3) * (0.08, 0.15, 0.05)
        for _ in range(FRAMES):
            camera = Camera(pose + rng.normal(size=3) * 0.03)
            sample = maker.render(person, sample_expression(rng), camera, rng)
            alpha = sample.rgba[..., 3:] / 255
            picture = sample.rgba[..., :3] + backdrop * (1 - alpha)
            pictures.append(picture.clip(0, 255).astype(np.uint8))
            intensities.append(sample.intensities.mean(1))
    shape = (people, FRAMES)
    return Pool(
        np.stack(pictures).reshape(*shape, SIDE, SIDE, 3),
        np.stack(intensities).reshape(*shape, -1),
    )


def run(*arguments: object) -> None:
    """One command, as typed, and what it answers. Ends the script where it fails."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ aucli {' '.join(words)}", flush=True)
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "aucli", *words], stderr=subprocess.STDOUT)
    print(f"[exit {done.returncode}, {time.monotonic() - began:.1f} s]")
    if done.returncode:
        raise SystemExit(f"aucli {words[0]} failed")


def run_dataset(dataset: str, pool: Pool, out: Path, training: list[str]) -> None:
    """The look-alike of one dataset through every command. training: further options of train."""
    root, faces, trained = out / "handed-out", out / "faces", out / "run"
    protocol, fold = FOLDS[dataset]
    lookalikes.WRITERS[dataset](root, FRAMES, pool.picture, pool.intensity)
    run("prepare", "--dataset", dataset, "--root", root, "--out", faces)
    of_fold = ("--dataset", dataset, "--root", faces, "--folds", protocol, "--fold", fold)
    run("train", *of_fold, *training, "--batch-size", 8, "--evaluations", 2, "--out", trained)
    weights = trained / "weights.safetensors"
    run("eval", *of_fold, "--model", weights, "--resamples", 100, "--json", out / "scores.json")
    clip = lookalikes.write_film(out / "clip.mp4", pool.pictures[0])
    run("analyze", clip, "--model", weights, "-o", out / "clip.csv")
    print("\n".join((out / "clip.csv").read_text().splitlines()[:3]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ict", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--dataset", choices=lookalikes.WRITERS, action="append")
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--model", default="scc-small")
    parser.add_argument("--preset", default="modern")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--init", default="scc-joint", help="weights to start from; '' for none")
    arguments = parser.parse_args()

    pool = render_pool(arguments.ict, arguments.people)
    print(f"{arguments.people} people x {FRAMES} frames rendered")
    training = ["--model", arguments.model, "--preset", arguments.preset]
    training += ["--steps", str(arguments.steps)]
    training += ["--init", arguments.init] if arguments.init else []
    for dataset in arguments.dataset or lookalikes.WRITERS:
        run_dataset(dataset, pool, arguments.out / dataset, training)


if __name__ == "__main__":
    main()
