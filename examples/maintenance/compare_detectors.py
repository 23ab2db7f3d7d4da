"""Count what the built-in face detector and dlib's HOG detector find, on the same images.

    pip install dlib-bin scikit-image
    python examples/maintenance/compare_detectors.py --clips DIR [--shards DIR] [--sheets DIR]

Faces: clips and stills whose faces were counted by eye, and drawn scenes whose boxes are known
(--shards, a folder made by `aucli synth`). No faces: a clip without people, photographs that
travel with scikit-image, drawn textures, lettering and things lit from a side; over 400 images.

A detection is right when it is one of the counted faces of its image (clips) or overlaps a drawn
face by an IoU over 0.4 (scenes); all others are false. --sheets saves pictures of the found
boxes, to see whether the count means what it says.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from aucli.align import face_boxes
from aucli.datasets.synthetic import draw_things
from aucli.errors import run_script
from aucli.faces.detect import Search
from aucli.faces.loading import load_faces
from aucli.faces.overlap import overlaps
from aucli.synth import backgrounds
from aucli.synth.things import thing_pool
from aucli.video.source import open_video

MATCH_IOU = 0.4
HAND_OVER_FACE = range(96, 141)  # frames of emotions.mp4 where a hand covers half of the face
NEGATIVES_OF_A_KIND = 110
SCENES = 200
# A drawn face with less of it in the picture, or smaller than this, is neither a hit nor a miss.
SHOWN_SHARE, SMALLEST_PX = 0.6, 16.0

Find = Callable[[np.ndarray], np.ndarray]  # (H, W, 3) uint8 -> (n, 4) boxes xyxy px


@dataclass(frozen=True, slots=True)
class Picture:
    """One image and its truth: a number of faces, or the boxes (n, 4) and which of them count."""

    image: np.ndarray
    faces: int = 0
    boxes: np.ndarray | None = None
    counted: np.ndarray | None = None


def clip(
    path: Path, faces: int, every: int, only: Callable[[int], bool] = lambda _: True
) -> Iterator[Picture]:
    """Every Nth frame of a video or still with `faces` people in each of those frames."""
    for batch in open_video(path):
        for image, index in zip(batch.frames, batch.frame_index, strict=True):
            if index % every == 0 and only(int(index)):
                yield Picture(np.ascontiguousarray(image), faces)


def photographs(names: tuple[str, ...]) -> Iterator[Picture]:
    """The photographs whole, then random parts of them."""
    images = backgrounds.photographs(names)
    if not images:
        sys.exit("compare_detectors: the photographs need scikit-image; pip install scikit-image.")
    rng = np.random.default_rng(7)
    for image in images:
        yield Picture(image)
    for _ in range(NEGATIVES_OF_A_KIND - len(images)):
        yield Picture(backgrounds.photograph_tile(rng, images))


def textures() -> Iterator[Picture]:
    rng = np.random.default_rng(8)
    for _ in range(NEGATIVES_OF_A_KIND):
        yield Picture(backgrounds.drawn_tile(rng))


def lettering() -> Iterator[Picture]:
    """Words and numbers in many sizes over textures."""
    rng = np.random.default_rng(9)
    for _ in range(NEGATIVES_OF_A_KIND):
        picture = Image.fromarray(backgrounds.drawn_tile(rng))
        for _ in range(rng.integers(2, 7)):
            backgrounds.draw_text(rng, picture)
        yield Picture(np.asarray(picture))


def things() -> Iterator[Picture]:
    """Lamps, lids, stones and craters over textures; one lies where a face would."""
    rng, pool = np.random.default_rng(12), thing_pool(200, seed=99)
    for _ in range(NEGATIVES_OF_A_KIND):
        yield Picture(draw_things(rng, backgrounds.drawn_tile(rng), pool))


def scenes(shards: Path) -> Iterator[Picture]:
    """Drawn scenes over held-out photographs, of people who were held out of training and of the
    half of them who did not set the confidence either."""
    from fit_confidence import HalfOfFaces

    from aucli.datasets.synthetic import FaceStore
    from aucli.synth.scenes import draw_scene
    from aucli.synth.sprites import sprite_pool

    faces = HalfOfFaces(FaceStore(shards, "test"), 1)
    pool = backgrounds.BackgroundPool(200, 99, backgrounds.HELD_OUT_PHOTOGRAPHS)
    sprites, rng = sprite_pool(100, 99), np.random.default_rng(10)
    for _ in range(SCENES):
        image, boxes = draw_scene(rng, faces, pool, sprites)
        frame = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
        low, high = np.maximum(boxes[:, :2], frame[:, :2]), np.minimum(boxes[:, 2:], frame[:, 2:])
        shown = np.clip(high - low, 0, None).prod(1) / (boxes[:, 2:] - boxes[:, :2]).prod(1)
        counted = (shown > SHOWN_SHARE) & (boxes[:, 3] - boxes[:, 1] > SMALLEST_PX)
        yield Picture(image, int(counted.sum()), boxes, counted)


def score(picture: Picture, found: np.ndarray) -> tuple[int, int]:
    """(faces found, false detections) of one image."""
    if picture.boxes is None or picture.counted is None:
        right = min(picture.faces, len(found))
        return right, len(found) - right
    union, _ = overlaps(found, picture.boxes)
    pairs = sorted(((union[i, j], i, j) for i, j in np.argwhere(union > MATCH_IOU)), reverse=True)
    used: set[int] = set()
    taken: set[int] = set()
    for _, i, j in pairs:
        if i not in used and j not in taken:
            used.add(int(i))
            taken.add(int(j))
    return sum(bool(picture.counted[j]) for j in taken), len(found) - len(used)


def builtin() -> Find:
    networks = load_faces()
    search = Search(networks.detector, networks.landmarker)

    def find(image: np.ndarray) -> np.ndarray:
        return face_boxes(search.detect_all([image])[0][0])

    return find


def dlib_hog(upsample: int) -> Find:
    try:
        import dlib  # type: ignore
    except ImportError:
        sys.exit("compare_detectors: dlib is missing; pip install dlib-bin, or give --no-dlib.")
    detector = dlib.get_frontal_face_detector()

    def find(image: np.ndarray) -> np.ndarray:
        boxes = [(r.left(), r.top(), r.right(), r.bottom()) for r in detector(image, upsample)]
        return np.array(boxes, np.float32).reshape(-1, 4)

    return find


def save_sheet(path: Path, drawn: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """A grid of images (H, W, 3) with their boxes."""
    side, columns = 240, 6
    rows = -(-len(drawn) // columns)
    sheet = Image.new("RGB", (columns * side, rows * side))
    for k, (image, boxes) in enumerate(drawn):
        tile = Image.fromarray(image)
        tile.thumbnail((side, side))
        ink = ImageDraw.Draw(tile)
        for box in boxes * (tile.width / image.shape[1]):
            ink.rectangle([float(v) for v in box], outline=(0, 255, 0), width=2)
        sheet.paste(tile, (k % columns * side, k // columns * side))
    sheet.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clips", type=Path, help="folder with the counted clips")
    parser.add_argument("--shards", type=Path, help="folder of faces made by `aucli synth`")
    parser.add_argument("--every", type=int, default=1, help="use every Nth frame of the clips")
    parser.add_argument("--sheets", type=Path, help="folder for pictures of the found boxes")
    parser.add_argument("--no-dlib", action="store_true", help="only the built-in detector")
    args = parser.parse_args()

    sets: dict[str, Callable[[], Iterator[Picture]]] = {}
    if args.clips:
        every = args.every
        sets |= {
            "smile.mp4": lambda: clip(args.clips / "smile.mp4", 1, every),
            "emotions.mp4, open face": lambda: clip(
                args.clips / "emotions.mp4", 1, every, lambda i: i not in HAND_OVER_FACE
            ),
            "emotions.mp4, hand on it": lambda: clip(
                args.clips / "emotions.mp4", 1, every, lambda i: i in HAND_OVER_FACE
            ),
            "five_faces.jpg": lambda: clip(args.clips / "five_faces.jpg", 5, 1),
            "no_face.mp4": lambda: clip(args.clips / "no_face.mp4", 0, every),
        }
    if args.shards:
        sets["drawn scenes"] = lambda: scenes(args.shards)
    sets |= {
        "photographs, held out": lambda: photographs(backgrounds.HELD_OUT_PHOTOGRAPHS),
        "photographs, trained on": lambda: photographs(backgrounds.TRAIN_PHOTOGRAPHS),
        "textures": textures,
        "lettering": lettering,
        "things": things,
    }
    finders = {"aucli": builtin()}
    if not args.no_dlib:
        finders |= {"dlib HOG": dlib_hog(0), "dlib HOG, upsampled": dlib_hog(1)}

    print(f"{'set':24}{'images':>8}{'faces':>8}" + "".join(f"{n:>26}" for n in finders))
    print(f"{'':40}" + "".join(f"{'found  false   ms/image':>26}" for _ in finders))
    total = {name: np.zeros(3) for name in finders}
    images = faces = 0
    for title, pictures in sets.items():
        count = np.zeros(2, int)
        sums = {name: np.zeros(3) for name in finders}
        sheets: dict[str, list] = {name: [] for name in finders}
        for picture in pictures():
            count += (1, picture.faces)
            for name, find in finders.items():
                start = time.perf_counter()
                boxes = find(picture.image)
                elapsed = time.perf_counter() - start
                right, wrong = score(picture, boxes)
                sums[name] += (right, wrong, elapsed)
                odd = wrong > 0 or right < picture.faces
                if args.sheets and (odd or count[0] % 24 == 1) and len(sheets[name]) < 48:
                    sheets[name].append((picture.image, boxes))
        print_row(title, count, sums)
        images, faces = images + count[0], faces + count[1]
        for name in finders:
            total[name] += sums[name]
        for name, drawn in sheets.items():
            if drawn:
                args.sheets.mkdir(parents=True, exist_ok=True)
                save_sheet(args.sheets / f"{title} - {name}.png".replace(", ", "-"), drawn)
    print_row("all", np.array([images, faces]), total)


def print_row(title: str, count: np.ndarray, sums: dict[str, np.ndarray]) -> None:
    """sums: for each detector faces found, false detections, seconds."""
    cells = [
        f"{int(right):>10}{int(wrong):>7}{1e3 * seconds / max(count[0], 1):>9.1f}"
        for right, wrong, seconds in sums.values()
    ]
    print(f"{title:24}{count[0]:>8}{count[1]:>8}" + "".join(cells), flush=True)


if __name__ == "__main__":
    run_script(main)
