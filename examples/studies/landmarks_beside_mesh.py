"""How far landmarks lie from MediaPipe's face mesh on real faces: ours, and dlib's.

    python examples/studies/landmarks_beside_mesh.py FOLDER --env tools-env

The folder holds pictures and labels.csv, see judged_faces.py. --env is made by tools_speed.py's
function where it is not there yet: MediaPipe 0.10.21 with the attention mesh, dlib with the 68
points of face_recognition_models. Ours are the 68 points as `aucli analyze` gives them: the
landmark network's, as for a new face, and scc-joint's, as for a face that it follows (the third
look, cut by its own points of the second).

Both other tools get the same crop of each face, 384 px with a margin, since they miss small faces
in large pictures. Distances are over the mesh's distance between the outer eye corners. Outwards
and down are along the line of these corners and across it: where a region lies on average, beside
the mesh's. The two markups put their points elsewhere along a brow, a lip or the jaw; what lies
between a point and the mesh's line through its own points, "from the line", does not depend on it.
Of a brow, the mesh's points are those of the upper edge. dlib learned iBUG's markup from people's
marks, so its offsets tell by what the markups differ.

Prints a line and a table: the median over the faces and the 90th percentile of a face's mean
distance, the median distance from the line, the mean offsets; then the medians of some faces.
--draw FOLDER: pictures with the mesh in green and the landmark network in red, outside the
repository.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from aucli.errors import run_script

MESH, DLIB = "mesh", "dlib"
NEW, FOLLOWED = "landmark network", "scc-joint, followed"
CROP = 384
SMALL_PX = 120  # of a face's box: below it a face counts as small
LOOKS = 3
# The mesh's vertices that lie where the 68 points of iBUG do, in their order.
MESH_68 = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,  # jaw
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows, upper edge
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # outer lips
    78, 82, 13, 312, 308, 317, 14, 87,  # inner lips
)  # fmt: skip
# Points of each region, as the lines that they lie on; a closed line ends where it began.
REGIONS = {
    "brows": ((17, 18, 19, 20, 21), (22, 23, 24, 25, 26)),
    "eyes": ((36, 37, 38, 39, 40, 41, 36), (42, 43, 44, 45, 46, 47, 42)),
    "nose": ((27, 28, 29, 30), (31, 32, 33, 34, 35)),
    "mouth": ((*range(48, 60), 48), (*range(60, 68), 60)),
    "jaw": (tuple(range(17)),),
}
OUTER_EYE_CORNERS = (36, 45)
# -1 on the person's right side, 1 on the left one, 0 in the middle.
SIDE = np.zeros(68)
SIDE[[*range(8), *range(17, 22), 31, 32, *range(36, 42), 48, 49, 50, 58, 59, 60, 61, 67]] = -1
SIDE[[*range(9, 17), *range(22, 27), 34, 35, *range(42, 48), 52, 53, 54, 55, 56, 63, 64, 65]] = 1


def mesh_points(crops: np.ndarray) -> np.ndarray:
    """(N, 384, 384, 3) uint8 RGB -> (N, 68, 2) px, NaN where it finds no face."""
    import mediapipe  # pyright: ignore[reportMissingImports]

    points = np.full((len(crops), 68, 2), np.nan)
    kind = mediapipe.solutions.face_mesh.FaceMesh
    with kind(static_image_mode=True, refine_landmarks=True, min_detection_confidence=0.3) as mesh:
        for row, crop in enumerate(crops):
            found = mesh.process(crop).multi_face_landmarks
            if found:
                vertices = np.array([(p.x, p.y) for p in found[0].landmark])
                points[row] = vertices[list(MESH_68)] * CROP - 0.5
    return points


def dlib_points(crops: np.ndarray) -> np.ndarray:
    """The same of dlib: the surest face of its detector."""
    import dlib  # pyright: ignore[reportMissingImports]
    import face_recognition_models  # pyright: ignore[reportMissingImports]

    detector = dlib.get_frontal_face_detector()
    predictor = dlib.shape_predictor(face_recognition_models.pose_predictor_model_location())
    points = np.full((len(crops), 68, 2), np.nan)
    for row, crop in enumerate(crops):
        boxes = detector(crop) or detector(crop, 1)
        if boxes:
            points[row] = [(p.x, p.y) for p in predictor(crop, boxes[0]).parts()]
    return points


def other_tools(
    python: Path, crops: np.ndarray, names: tuple[str, ...] = (MESH, DLIB)
) -> dict[str, np.ndarray]:
    """Points (N, 68, 2) crop px of other tools, each in a process of its environment."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "crops.npy", Path(folder) / "points.npy"
        np.save(given, crops)
        for name in names:
            command = [str(python), __file__, str(given), "--work", name, str(made)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                said = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
                raise SystemExit(f"landmarks_beside_mesh: {name} did not run: {said}")
            found[name] = np.load(made)
    return found


def own_points(pictures: list[np.ndarray], boxes: np.ndarray) -> dict[str, np.ndarray]:
    """Points (N, 68, 2) px of the picture of each face with a box (N, 4) px; NaN where none is
    found there."""
    from aucli.align import face_boxes
    from aucli.analyzer import Analyzer
    from aucli.faces.markup import to_ibug
    from aucli.faces.overlap import overlaps

    networks = Analyzer(faces="all").networks.faces
    finder = networks.finder(unrelated=True)
    found = {name: np.full((len(pictures), 68, 2), np.nan) for name in (NEW, FOLLOWED)}
    for row, (picture, box) in enumerate(zip(pictures, boxes, strict=True)):
        faces = finder.push([picture], np.zeros(1))[0]
        if not faces:
            continue
        shapes = np.stack([face.landmarks for face in faces])
        over = overlaps(box[None], face_boxes(shapes))[0][0]
        if over.max() < 0.2:
            continue
        shape = found[NEW][row] = shapes[over.argmax()]
        if networks.watcher is not None:
            for _ in range(LOOKS):
                shape = networks.watcher.follow([picture], [shape[None]])[0][0][0]
            found[FOLLOWED][row] = to_ibug(shape)
    return found


def eye_distance(mesh: np.ndarray) -> np.ndarray:
    """(N, 68, 2) px -> (N,) px between the outer eye corners."""
    right, left = OUTER_EYE_CORNERS
    return np.linalg.norm(mesh[:, left] - mesh[:, right], axis=1)


def differences(points: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """(N, 68, 2): from the mesh to the points, away from the face's middle and down, over the
    distance between the mesh's outer eye corners."""
    right, left = (mesh[:, corner] for corner in OUTER_EYE_CORNERS)
    unit = eye_distance(mesh)[:, None]
    along = (left - right) / unit  # (N, 2), towards the person's left
    down = np.stack([-along[:, 1], along[:, 0]], 1)
    axes = np.stack([along, down], 1)  # (N, 2, 2)
    found = np.einsum("nij,npj->npi", axes, points - mesh) / unit[:, None]
    return found * np.stack([SIDE, np.ones(68)], 1)


def from_line(points: np.ndarray, mesh: np.ndarray, line: tuple[int, ...]) -> np.ndarray:
    """(N, P): how far each point of a line lies from the mesh's line, over the distance between
    the mesh's outer eye corners."""
    own = points[:, sorted({*line}), None]  # (N, P, 1, 2)
    start, stop = mesh[:, None, line[:-1]], mesh[:, None, line[1:]]  # (N, 1, S, 2)
    along = stop - start
    share = ((own - start) * along).sum(-1) / (along**2).sum(-1)
    nearest = start + np.clip(share, 0, 1)[..., None] * along
    return np.linalg.norm(own - nearest, axis=-1).min(2) / eye_distance(mesh)[:, None]


def distances(points: np.ndarray, mesh: np.ndarray, region: str) -> tuple[np.ndarray, np.ndarray]:
    """(n,) a face's mean distance of the points of a region from the mesh's points, and from the
    mesh's lines. points, mesh: (n, 68, 2) px."""
    lines = REGIONS[region]
    error = differences(points, mesh)[:, members(region)]
    across = np.concatenate([from_line(points, mesh, line) for line in lines], 1)
    return np.linalg.norm(error, axis=2).mean(1), across.mean(1)


def share(value: float, sign: str = "") -> str:
    """``.041``, ``+.041``."""
    return f"{value:{sign}.3f}".replace("0.", ".", 1)


def members(region: str) -> list[int]:
    return sorted({point for line in REGIONS[region] for point in line})


def report(
    found: dict[str, np.ndarray], mesh: np.ndarray, groups: dict[str, np.ndarray]
) -> Iterator[str]:
    """How many faces were found, and a table in Markdown. found: (N, 68, 2) by name, all in the
    same px as mesh; groups: (N,) bool by name, beside all faces."""
    there = {name: np.isfinite(points).all((1, 2)) for name, points in found.items()}
    seen = np.isfinite(mesh).all((1, 2))
    told = ", ".join(f"{name}: {int((have & seen).sum())}" for name, have in there.items())
    yield f"{len(mesh)} faces; found by the mesh: {int(seen.sum())}, of these by {told}.\n"
    usable = np.all([seen, *there.values()], 0)
    everybody = {f"all {int(usable.sum())}": usable}
    named = {
        f"{name}, {int((own & usable).sum())}": own & usable
        for name, own in groups.items()
        if (own & usable).any()
    }
    heads = [f"{group}{what}" for group in everybody for what in (": median", ", 90 %", ", line")]
    heads += ["outwards", "down"]
    heads += [f"{group}{what}" for group in named for what in (": median", ", line")]
    yield "| | | " + " | ".join(heads) + " |"
    yield "| --- | --- |" + " ---: |" * len(heads)
    for region in REGIONS:
        for name, points in found.items():
            cells = []
            for group, chosen in (everybody | named).items():
                face, across = distances(points[chosen], mesh[chosen], region)
                cells.append(share(np.median(face)))
                if group in everybody:
                    cells.append(share(np.percentile(face, 90)))
                cells.append(share(np.median(across)))
                if group in everybody:
                    error = differences(points[chosen], mesh[chosen])[:, members(region)]
                    sided = SIDE[members(region)] != 0
                    offsets = error[:, sided, 0].mean(), error[..., 1].mean()
                    cells += [share(value, "+") for value in offsets]
            yield f"| {region} | {name} | " + " | ".join(cells) + " |"


def draw(path: Path, crop: np.ndarray, *shapes: np.ndarray) -> None:
    """The crop with points of the mesh in green, and others in red, to a JPEG."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(crop).resize((2 * CROP, 2 * CROP))
    pen = ImageDraw.Draw(image)
    for shape, colour in zip(shapes, ("lime", "red"), strict=True):
        for x, y in 2 * shape[np.isfinite(shape).all(1)] + 0.5:
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
    image.save(path, quality=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--env", type=Path, default=Path("tools-env"))
    parser.add_argument("--draw", type=Path, metavar="FOLDER")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        name, made = args.work
        np.save(made, (mesh_points if name == MESH else dlib_points)(np.load(args.folder)))
        return

    from judged_faces import folder_outside, judged_faces
    from tools_speed import environment

    from aucli.align import apply_matrices, invert_matrices, warp_crops

    faces = judged_faces(args.folder)
    target = folder_outside(args.draw) if args.draw else None
    matrices = np.stack([face.square(CROP) for face in faces])
    pictures = [face.pixels for face in faces]
    crops = warp_crops(pictures, matrices, CROP)
    found = other_tools(environment(args.env), crops)
    found = {n: apply_matrices(shape, invert_matrices(matrices)) for n, shape in found.items()}
    mesh = found.pop(MESH)
    boxes = np.stack([face.box_xyxy_px for face in faces])
    found = own_points(pictures, boxes) | found
    small = np.array([face.size_px < SMALL_PX for face in faces])
    lowered = np.array(["AU04" in face.present for face in faces])
    groups = {"AU04": lowered, f"under {SMALL_PX} px": small, f"{SMALL_PX} px or more": ~small}
    print("\n".join(report(found, mesh, groups)))
    for row, face in enumerate(faces) if target else ():
        shapes = [apply_matrices(of[row : row + 1], matrices[row : row + 1])[0]
                  for of in (mesh, found[NEW])]  # fmt: skip
        assert target is not None
        draw(target / f"{row:03d}_{face.picture.stem}.jpg", crops[row], *shapes)


if __name__ == "__main__":
    run_script(main)
