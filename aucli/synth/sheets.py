"""Contact sheets: pictures to look at before training on them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from aucli.aus import SYNTHETIC_AUS
from aucli.errors import OptionError
from aucli.files import refuse_existing, shown, write_whole, writing
from aucli.synth.face import Camera, FaceMaker, FaceSample
from aucli.synth.facs import INDEX, neutral_expression
from aucli.synth.loading import load_family
from aucli.synth.mesh import FaceMesh
from aucli.synth.renderer import Renderer

LEVELS = (0, 2, 5)


GREY = (128, 132, 140)


def over_background(sample: FaceSample, colour: tuple[int, int, int] = GREY) -> Image.Image:
    alpha = sample.rgba[..., 3:].astype(np.float32) / 255
    rgb = sample.rgba[..., :3] + np.array(colour) * (1 - alpha)
    return Image.fromarray(rgb.clip(0, 255).astype(np.uint8))


def au_sheet(maker: FaceMaker, seed: int = 0) -> Image.Image:
    """Each AU alone at 0, 2 and 5 on two people, a row an AU."""
    size = maker.renderer.resolution
    sheet = Image.new("RGB", (size * len(LEVELS) * 2 * 2, (len(SYNTHETIC_AUS) + 1) // 2 * size))
    draw = ImageDraw.Draw(sheet)
    people = []
    for i in range(2):
        person = maker.model.sample_person(np.random.default_rng((seed, i)))
        person.glasses, person.wrinkling = False, 0.8 * i
        person.uniforms["hairline"][0] = 9.5
        person.beard_length = person.uniforms["beard"][0] = 0.0  # nothing before the mouth
        people.append(person)
    for a, au in enumerate(SYNTHETIC_AUS):
        for p, person in enumerate(people):
            for column, level in enumerate(LEVELS):
                expression = neutral_expression()
                expression.intensities[INDEX[au]] = level
                if au == "AU25":
                    expression.shapes = {"mouthLowerDown": level / 5, "mouthUpperUp": level / 10}
                sample = maker.render(
                    person,
                    expression,
                    Camera(np.array([0.0, 0.15, 0.0]), scale=0.62),
                    np.random.default_rng(seed),
                )
                at = ((a % 2 * 2 + p) * len(LEVELS) + column) * size, a // 2 * size
                sheet.paste(over_background(sample), at)
                draw.text((at[0] + 4, at[1] + 4), f"{au} {level}", fill="white")
    return sheet


def check_au_sheet(path: Path, overwrite: bool = False) -> None:
    """Raise OptionError where the name does not end in .png, OutputError where it is a folder or,
    without ``overwrite``, is there."""
    if path.suffix.lower() != ".png":
        raise OptionError(f"{shown(path)} is no sheet; end it in .png.")
    refuse_existing(path, overwrite)


def draw_au_sheet(sources: Mapping[str, Path], path: Path, overwrite: bool = False) -> None:
    """Write :func:`au_sheet` of each family of ``sources``, one below the other, to a PNG.

    Raises as :func:`check_au_sheet`, and OutputError.
    """
    check_au_sheet(path, overwrite)
    sheets = [
        au_sheet(FaceMaker(Renderer(FaceMesh(load_family(name, source)))))
        for name, source in sources.items()
    ]
    whole = Image.new("RGB", (sheets[0].width, sum(sheet.height for sheet in sheets)))
    for n, sheet in enumerate(sheets):
        whole.paste(sheet, (0, n * sheet.height))
    with writing(path), write_whole(path, overwrite) as stream:
        whole.save(stream, "PNG")
