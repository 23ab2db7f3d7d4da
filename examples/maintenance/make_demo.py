"""Render the demo clip: one face smiles, frowns, raises its brows, opens its mouth and turns.

    python examples/maintenance/make_demo.py --ict FaceXModel

writes examples/demo.mp4 and examples/demo_truth.csv: the exact intensity of every AU by frame.
Needs the extra `synth` and the ICT-FaceKit model.
"""

import argparse
import csv
from pathlib import Path

import av
import numpy as np

from aucli.aus import SYNTHETIC_AUS
from aucli.errors import run_script
from aucli.synth.face import Camera, FaceMaker
from aucli.synth.facs import INDEX, Expression
from aucli.synth.ict import load_ict
from aucli.synth.mesh import FaceMesh
from aucli.synth.people import sample_person
from aucli.synth.renderer import Renderer

FPS = 25
SECONDS = 12
WIDTH, HEIGHT = 640, 360
FACE_SIZE = 340
PERSON = 3

# AU -> (start, end, intensity) in seconds; each rises and falls over half a second.
SCRIPT = {
    "AU12": [(1.0, 3.2, 4.0)],
    "AU06": [(1.1, 3.1, 3.5)],
    "AU25": [],
    "AU04": [(4.0, 5.8, 4.0)],
    "AU24": [(4.2, 5.6, 3.0)],
    "AU01": [(6.4, 8.0, 4.5)],
    "AU02": [(6.4, 8.0, 4.5)],
    "AU05": [(6.5, 7.9, 3.0)],
    "AU26": [(6.6, 7.8, 2.5)],
    "AU45": [(0.4, 0.6, 5.0), (3.5, 3.7, 5.0), (8.2, 8.4, 5.0)],
}
RISE_SECONDS = 0.5
BLINK_SECONDS = 0.12
# (seconds, yaw in radians): the head turns at the end.
TURN = ([0, 8.6, 9.6, 10.6, 11.6, 12], [0.08, 0.08, 0.65, -0.55, 0.05, 0.05])


def level(au: str, seconds: float) -> float:
    """Intensity 0-5 of an AU at a moment: a smooth step up and down."""
    rise = BLINK_SECONDS if au == "AU45" else RISE_SECONDS
    total = 0.0
    for start, end, peak in SCRIPT.get(au, []):
        up = np.clip((seconds - start) / rise + 0.5, 0, 1)
        down = np.clip((end - seconds) / rise + 0.5, 0, 1)
        step = min(up, down)
        total += peak * step * step * (3 - 2 * step)
    return float(min(total, 5.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ict", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1])
    arguments = parser.parse_args()

    maker = FaceMaker(Renderer(FaceMesh(load_ict(arguments.ict)), FACE_SIZE))
    person = sample_person(np.random.default_rng(PERSON))
    backdrop = np.linspace(150, 90, HEIGHT)[:, None, None] + np.array([0, 6, 14])
    with (
        av.open(str(arguments.out / "demo.mp4"), "w") as video,
        (arguments.out / "demo_truth.csv").open("w", newline="") as truth,
    ):
        stream = video.add_stream("libx264", rate=FPS, options={"crf": "23"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        writer = csv.writer(truth)
        writer.writerow(["frame", "timestamp", *SYNTHETIC_AUS])
        for index in range(FPS * SECONDS):
            seconds = index / FPS
            intensities = np.zeros((len(SYNTHETIC_AUS), 2))
            for au in SYNTHETIC_AUS:
                intensities[INDEX[au]] = level(au, seconds)
            smile = level("AU12", seconds) / 5  # a smile shows the teeth
            shapes = {"mouthUpperUp": 0.4 * smile, "mouthLowerDown": 0.5 * smile}
            yaw = float(np.interp(seconds, *TURN))
            pose = np.array([0.03 * np.sin(seconds), yaw, 0.03 * np.sin(0.7 * seconds)])
            sample = maker.render(
                person,
                Expression(intensities, shapes, np.zeros(2)),
                Camera(pose, scale=0.58),
                np.random.default_rng(0),
            )
            picture = np.broadcast_to(backdrop, (HEIGHT, WIDTH, 3)).copy()
            left, top = (WIDTH - FACE_SIZE) // 2, HEIGHT - FACE_SIZE
            region = picture[top:, left : left + FACE_SIZE]
            alpha = sample.rgba[..., 3:] / 255
            region[:] = sample.rgba[..., :3] + region * (1 - alpha)
            frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), "rgb24")
            video.mux(stream.encode(frame))
            exact = sample.intensities.mean(1)
            writer.writerow([index + 1, f"{seconds:.3f}", *(f"{value:.3f}" for value in exact)])
        video.mux(stream.encode(None))


if __name__ == "__main__":
    run_script(main)
