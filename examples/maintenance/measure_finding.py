"""Count which faces are found that fill the picture, lie sideways, or are small beside a large one.

    python examples/maintenance/measure_finding.py FOLDER [--film] [--detector NAME] [--sheets DIR]

FOLDER holds pictures/ and labels.csv with the columns picture, x, y, w, h (px): a square around
each face that counts. From them come pictures of which nothing but that square is left, or a tenth
or three tenths more on each side; whole pictures turned by a quarter, a half and by small steps;
and gray pictures of 640 x 480 px with one face of 16 to 48 px beside one of 200 px. Then follow the
pictures without people of compare_detectors.py, those of the folders after --none, and pictures of
nothing.

Each picture is looked at as a still, or with --film as the first frame of a film. A face is found
where a box overlaps the square by an IoU over 0.2; it lies wrong where its landmarks are turned
by another quarter than the picture. --only TEXT: the sets whose name has it. --sheets saves
pictures of what was missed, lies wrong or is false.
"""

import argparse
import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from compare_detectors import clip, lettering, photographs, save_sheet, textures, things
from PIL import Image

from aucli.align import turn_matrix
from aucli.errors import run_script
from aucli.faces.loading import load_faces
from aucli.faces.overlap import overlaps
from aucli.synth import backgrounds
from aucli.video.stills import image_files, read_image

MATCH_IOU = 0.2  # the squares of the labels are wider than faces
SIZE_WH = (640, 480)
LARGE_PX = 200
AROUND = 0.5  # of a pasted face's square, on each side


@dataclass(frozen=True, slots=True)
class Picture:
    """One image, the squares (n, 4) xyxy px of its faces, and degrees by which it is turned
    clockwise."""

    image: np.ndarray
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    degrees: float = 0.0


def pictures(folder: Path) -> list[Picture]:
    squares: dict[str, set[tuple[float, ...]]] = {}
    with open(folder / "labels.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            x, y, w, h = (float(row[name]) for name in "xywh")
            squares.setdefault(row["picture"], set()).add((x, y, x + w, y + h))
    return [
        Picture(
            np.asarray(Image.open(folder / "pictures" / name).convert("RGB")),
            np.array(sorted(boxes)),
        )
        for name, boxes in sorted(squares.items())
    ]


def cut(picture: Picture, box: np.ndarray, margin: float) -> Picture:
    """What lies in a square with a margin in shares of its side, and inside the picture."""
    height, width = picture.image.shape[:2]
    more = margin * (box[2] - box[0])
    low = np.maximum(np.rint(box[:2] - more), 0).astype(int)
    high = np.minimum(np.rint(box[2:] + more), (width, height)).astype(int)
    image = picture.image[low[1] : high[1], low[0] : high[0]]
    return Picture(image, (box - np.tile(low, 2))[None])


def scaled(picture: Picture, side: float) -> Picture:
    """So that its only square has a side of so many px."""
    scale = side / (picture.boxes[0, 2] - picture.boxes[0, 0])
    size = [max(round(scale * x), 1) for x in picture.image.shape[1::-1]]
    image = np.asarray(Image.fromarray(picture.image).resize(size, Image.Resampling.LANCZOS))
    return Picture(image, picture.boxes * scale)


def quarter_turned(picture: Picture, turns: int) -> Picture:
    """Turned clockwise by quarters."""
    image = np.ascontiguousarray(np.rot90(picture.image, -turns))
    matrix = turn_matrix(-turns, picture.image.shape[:2])
    corners = picture.boxes.reshape(-1, 2, 2) @ matrix[:, :2].T + matrix[:, 2]
    boxes = np.concatenate([corners.min(1), corners.max(1)], 1)
    return Picture(image, boxes, 90.0 * turns)


def turned(picture: Picture, degrees: float) -> Picture:
    """Turned clockwise about its middle, gray where there was nothing; squares stay upright."""
    image = Image.fromarray(picture.image)
    wide = image.rotate(-degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=(128,) * 3)
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middles = (picture.boxes[:, :2] + picture.boxes[:, 2:]) / 2
    middles = (middles - np.array(image.size) / 2) @ turn.T + np.array(wide.size) / 2
    half = (picture.boxes[:, 2:] - picture.boxes[:, :2]) / 2
    boxes = np.concatenate([middles - half, middles + half], 1)
    return Picture(np.asarray(wide), boxes, degrees)


def beside(small: Picture, large: Picture, side: float) -> Picture:
    """A small face at the right of a large one, on gray; only the small one counts."""
    canvas = np.full((SIZE_WH[1], SIZE_WH[0], 3), 128, np.uint8)
    large, small = scaled(large, LARGE_PX), scaled(small, side)
    height, width = large.image.shape[:2]
    canvas[40 : 40 + height, 10 : 10 + width] = large.image
    height, width = small.image.shape[:2]
    canvas[100 : 100 + height, 500 : 500 + width] = small.image
    return Picture(canvas, small.boxes + np.tile((500, 100), 2))


def nothing() -> Iterator[Picture]:
    """Black, gray, a covered lens: plain levels, noise, a soft slope of light."""
    rng = np.random.default_rng(11)
    for level in (0, 6, 26, 128, 250):
        for noise in (0, 1, 2, 8, 30):
            for size in ((360, 640), (480, 480), (300, 200)):
                for slope in (0, 8):
                    levels = level + noise * rng.standard_normal((*size, 3))
                    levels += slope * np.linspace(-1, 1, size[1])[None, :, None]
                    yield Picture(np.rint(levels).clip(0, 255).astype(np.uint8))


def sets_of(
    faces: list[Picture], clips: Path | None, empty: Sequence[Path] = ()
) -> dict[str, Callable[[], Iterator[Picture]]]:
    """Each set of pictures under its name. empty: folders of pictures without people."""
    each = [(picture, box) for picture in faces for box in picture.boxes]
    sets: dict[str, Callable[[], Iterator[Picture]]] = {"as it is": lambda: iter(faces)}
    for margin in (0.0, 0.1, 0.3):
        cuts = [cut(picture, box, margin) for picture, box in each]
        sets[f"filled, {margin:.0%} more"] = lambda cuts=cuts: iter(cuts)
        sets[f"filled, {margin:.0%} more, turned by 90"] = lambda cuts=cuts: (
            quarter_turned(picture, 1) for picture in cuts
        )
    for turns in (1, 2, 3):
        sets[f"turned by {90 * turns}"] = lambda turns=turns: (
            quarter_turned(picture, turns) for picture in faces
        )
    for degrees in (15, 30, 45, 60, 75, 105, 135):
        sets[f"turned by {degrees}"] = lambda degrees=degrees: (
            turned(picture, degrees) for picture in faces
        )
    alone = [cut(picture, box, AROUND) for picture, box in each]
    for side in (16, 24, 32, 48):
        sets[f"{side} px beside {LARGE_PX} px"] = lambda side=side: (
            beside(small, alone[i - 1], side) for i, small in enumerate(alone)
        )
    none: dict[str, Callable[[], Iterator[Any]]] = {
        "photographs, held out": lambda: photographs(backgrounds.HELD_OUT_PHOTOGRAPHS),
        "photographs, trained on": lambda: photographs(backgrounds.TRAIN_PHOTOGRAPHS),
        "textures": textures,
        "lettering": lettering,
        "things": things,
    }
    for folder in empty:
        none[str(folder)] = lambda folder=folder: (
            Picture(read_image(path)) for path in image_files(folder)
        )
    if clips is not None:
        none["no_face.mp4"] = lambda: clip(clips / "no_face.mp4", 0, 1)
    for name, images in none.items():
        sets[f"no people: {name}"] = lambda images=images: (Picture(p.image) for p in images())
    sets["no people: nothing at all"] = nothing
    return sets


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=Path, help="folder with no_face.mp4")
    parser.add_argument(
        "--none", type=Path, nargs="+", default=[], help="folders of pictures without people"
    )
    parser.add_argument("--film", action="store_true", help="as first frames of films")
    parser.add_argument("--detector", default="builtin")
    parser.add_argument("--landmarks", default="builtin")
    parser.add_argument("--only", default="", help="sets whose name has this in it")
    parser.add_argument("--sheets", type=Path, help="folder for pictures of the mistakes")
    args = parser.parse_args()
    finder = load_faces(args.detector, args.landmarks, faces=None).finder(unrelated=not args.film)

    print(f"{'set':40}{'faces':>7}{'found':>7}{'share':>8}{'wrong':>7}{'all':>6}")
    for name, images in sets_of(pictures(args.folder), args.clips, args.none).items():
        if args.only not in name:
            continue
        faces = right = wrong = boxes = 0
        odd: list[tuple[np.ndarray, np.ndarray]] = []
        for picture in images():
            finder.reset()
            (found,) = finder.push([picture.image], np.zeros(1))
            own = np.array([face.bbox_xyxy_px for face in found]).reshape(-1, 4)
            hits = overlaps(picture.boxes, own)[0].max(1, initial=0) >= MATCH_IOU
            lies = np.array([_degrees(face.landmarks) for face in found])
            off = np.abs((lies - picture.degrees + 180) % 360 - 180) > 60
            faces, right, boxes = faces + len(hits), right + int(hits.sum()), boxes + len(own)
            wrong += int(off.sum())
            if not hits.all() or off.any() or (len(own) and not len(hits)):
                odd.append((picture.image, own))
        share = f"{right / faces:.1%}" if faces else ""
        print(f"{name:40}{faces:>7}{right:>7}{share:>8}{wrong:>7}{boxes:>6}", flush=True)
        if args.sheets and odd:
            args.sheets.mkdir(parents=True, exist_ok=True)
            save_sheet(args.sheets / f"{name.replace(':', '').replace(', ', '-')}.png", odd[:48])


def _degrees(landmarks: np.ndarray) -> float:
    """By how much a face (68, 2) px is turned clockwise, from its mouth to its eyes."""
    up = landmarks[36:48].mean(0) - landmarks[48:68].mean(0)
    return float(np.degrees(np.arctan2(up[0], -up[1])))


if __name__ == "__main__":
    run_script(main)
