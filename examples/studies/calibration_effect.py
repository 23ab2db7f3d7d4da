"""What subtracting a person's baseline does to the error, measured on rendered people.

    python examples/studies/calibration_effect.py --ict FaceXModel

Renders people who are in no training set: one neutral picture of each and a "video" of random
expressions, all with the same light, the same resting face and nearly the same pose. The AU network
reads them, aligned by the true landmarks, and the readings of the videos are scored as they are and
less five baselines: the neutral picture, and the median, the lower quartile and the 10th percentile
of the person's own video; and what the neutral pictures of all other people read on average, which
corrects the network but knows nothing of the person. Needs the extra `synth` and the ICT-FaceKit
model.
"""

import argparse
from pathlib import Path

import numpy as np

from aucli.align import align_face
from aucli.aus import MAX_INTENSITY, SYNTHETIC_AUS
from aucli.errors import run_script
from aucli.evaluation.rendered import held_out_pool
from aucli.metrics import agreement, bootstrap_weights, pair_sums
from aucli.models.predict import AUModel, predict_crops
from aucli.synth.face import Camera, FaceMaker
from aucli.synth.facs import TONIC_SPREAD, neutral_expression, sample_expression
from aucli.synth.ict import load_ict
from aucli.synth.mesh import FaceMesh
from aucli.synth.people import sample_person
from aucli.synth.renderer import Renderer
from aucli.weights.cards import DEFAULT_AU_MODEL, load_au_model

SEED = 31  # of the people; the training sets' people come from other seeds
ACTIVE = 0.5  # intensity from which an AU counts as shown
PERCENTILES = {"median": 50, "25th percentile": 25, "10th percentile": 10}


def read_person(
    maker: FaceMaker, model: AUModel, background: np.ndarray, person_seed: int, frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """Read and true intensities, both (1 + frames, A) for the model's AUs, neutral first."""
    rng = np.random.default_rng((SEED, person_seed))
    person = sample_person(rng)
    for shape, spread in TONIC_SPREAD.items():
        person.resting_shapes[shape] = person.resting_shapes.get(shape, 0) + spread * rng.normal()
    pose = rng.normal(size=3) * (0.08, 0.12, 0.05)
    crops, true = [], []
    for frame in range(1 + frames):
        expression = sample_expression(rng) if frame else neutral_expression()
        # The generator draws a new resting face for every picture; here the person keeps one.
        expression.shapes = {k: v for k, v in expression.shapes.items() if k not in TONIC_SPREAD}
        camera = Camera(pose + rng.normal(size=3) * 0.03)
        sample = maker.render(person, expression, camera, np.random.default_rng(person_seed))
        alpha = sample.rgba[..., 3:] / 255
        picture = (sample.rgba[..., :3] + background * (1 - alpha)).clip(0, 255).astype(np.uint8)
        found = align_face(picture, sample.landmarks[None], model.template, model.crop_size)
        crops.append(found[0][0])
        true.append(sample.intensities.mean(1))
    order = [SYNTHETIC_AUS.index(au) for au in model.aus]
    return predict_crops(model, np.stack(crops)).intensities, np.stack(true)[:, order]


def calibrated(read: np.ndarray) -> dict[str, np.ndarray]:
    """(P, 1 + M, A) readings -> the videos' (P, M, A), as they are and less each baseline."""
    neutral, video = read[:, :1], read[:, 1:]
    others = (neutral.sum(0) - neutral) / (len(read) - 1)
    baselines = {"raw": np.zeros_like(neutral), "others' neutral": others, "neutral frame": neutral}
    for name, share in PERCENTILES.items():
        baselines[name] = np.percentile(video, share, axis=1, keepdims=True)
    return {name: (video - base).clip(0, MAX_INTENSITY) for name, base in baselines.items()}


def score(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Sums of every person and AU, (P, A, 10), which ``agreement`` turns into scores."""
    people = np.repeat(np.arange(len(true)), true.shape[1])
    flat_p, flat_y = (values.reshape(-1, values.shape[2]) for values in (predicted, true))
    # One centre for all people: the sums of persons add up only then.
    sums = [
        pair_sums(flat_p[:, a], flat_y[:, a], people, len(true)) for a in range(flat_p.shape[1])
    ]
    return np.stack(sums, 1)


def report(read: np.ndarray, true: np.ndarray, aus: tuple[str, ...]) -> None:
    """Print the scores over all AUs with intervals, by how often an AU is shown, and for each."""
    video_true = true[:, 1:]
    ways = calibrated(read)
    sums = {name: score(values, video_true) for name, values in ways.items()}
    weights = bootstrap_weights(len(read), 2000)
    resampled = {name: np.tensordot(weights, s, 1) for name, s in sums.items()}  # (R, A, 10)
    print(
        f"{len(read)} people x {video_true.shape[1]} frames; 95 % interval of the change by person"
    )
    print(f"{'':16} {'ICC':>6} {'change':>23} {'MAE':>6} {'change':>23} {'signed':>7}")
    for name, values in ways.items():
        line = f"{name:16}"
        for metric in ("icc31", "mae"):
            mean = np.nanmean(agreement(sums[name].sum(0))[metric])
            change = np.nanmean(
                agreement(resampled[name])[metric] - agreement(resampled["raw"])[metric], axis=1
            )
            low, high = np.percentile(change, [2.5, 97.5])
            line += f" {mean:6.3f}" + (
                " " * 24 if name == "raw" else f"   [{low:+.3f}, {high:+.3f}]   "
            )
        print(line, f"{(values - video_true).mean():+7.3f}")

    share = np.broadcast_to((video_true >= ACTIVE).mean(1, keepdims=True), video_true.shape)
    print("\nmean absolute and signed error, by the share of a person's frames that show the AU")
    for low, high in ((0, 0.01), (0.01, 0.25), (0.25, 0.5), (0.5, 1.01)):
        chosen = (share >= low) & (share < high)
        line = f"{low:.2f}-{min(high, 1):.2f} ({chosen.mean():4.0%} of the readings)"
        for name, values in ways.items():
            error = (values - video_true)[chosen]
            line += f"  {name} {np.abs(error).mean():.3f} {error.mean():+.3f}"
        print(line)

    print("\nAU    " + "".join(f"{name:>24}" for name in ways) + "   (ICC MAE signed)")
    for a, au in enumerate(aus):
        line = f"{au}  "
        for name, values in ways.items():
            scores = agreement(sums[name].sum(0)[a])
            signed = (values - video_true)[..., a].mean()
            line += f"{scores['icc31']:10.2f} {scores['mae']:6.2f} {signed:+6.2f}"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ict", type=Path, required=True)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--frames", type=int, default=15)
    parser.add_argument("--model", default=DEFAULT_AU_MODEL)
    arguments = parser.parse_args()

    maker = FaceMaker(Renderer(FaceMesh(load_ict(arguments.ict))))
    model = load_au_model(arguments.model)
    pool, rng = held_out_pool(), np.random.default_rng(SEED)
    size = maker.renderer.resolution
    pairs = [
        read_person(maker, model, pool.cut(rng, size), person, arguments.frames)
        for person in range(arguments.people)
    ]
    read, true = (np.stack(values) for values in zip(*pairs, strict=True))
    report(read, true, model.aus)


if __name__ == "__main__":
    run_script(main)
