"""How far the lip points of our renders lie from where MediaPipe's mesh has them.

    python examples/studies/lip_points.py FACES --env tools-env

FACES: what `aucli synth` wrote; held-out people near the front are taken. Prints for each point
that `aucli/faces/markup.py` moves the share of the way to its neighbour towards the middle at which
the mesh has it, as the median of the faces: of each family, and of all. --env: see tools_speed.py.
"""

import argparse
from pathlib import Path

import numpy as np
from landmarks_beside_mesh import CROP, MESH, other_tools
from tools_speed import environment

from aucli.align import apply_matrices, face_boxes, invert_matrices, square_matrices, warp_crops
from aucli.datasets.synthetic import FaceStore
from aucli.errors import run_script
from aucli.evaluation.rendered import held_out_frames
from aucli.faces.markup import LIP_SHARES

FRONTAL_RADIANS = 0.35
AROUND = 1.5  # side of a crop over the face box's


def shares(points: np.ndarray, mesh: np.ndarray, point: int, inner: int) -> np.ndarray:
    """(N,) of the way from a point to its neighbour; NaN where the mesh found no face."""
    way = points[:, inner] - points[:, point]
    return ((mesh[:, point] - points[:, point]) * way).sum(1) / (way**2).sum(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("faces", type=Path)
    parser.add_argument("--env", type=Path, default=Path("tools-env"))
    parser.add_argument("--count", type=int, default=600)
    args = parser.parse_args()
    faces = held_out_frames(FaceStore(args.faces, "test"), args.count)
    assert faces.family is not None
    near = np.abs(faces.yaw_radians) < FRONTAL_RADIANS
    points, family = faces.landmarks[near], faces.family[near]
    matrices = square_matrices(face_boxes(points), CROP, AROUND)
    crops = warp_crops(np.asarray(faces.frames)[near], matrices, CROP)
    found = other_tools(environment(args.env), crops, (MESH,))[MESH]
    mesh = apply_matrices(found, invert_matrices(matrices))
    names = sorted({*family.tolist()})
    print("| points | " + " | ".join([*names, "all"]) + " | taken |")
    print("| --- |" + " ---: |" * (len(names) + 2))
    for sides, inner, taken in LIP_SHARES:
        way = np.stack([shares(points, mesh, p, q) for p, q in zip(sides, inner, strict=True)])
        own = [np.nanmedian(way[:, family == name]) for name in names]
        cells = " | ".join(f"{value:.2f}" for value in (*own, np.nanmedian(way), taken))
        print(f"| {', '.join(map(str, sides))} | {cells} |")


if __name__ == "__main__":
    run_script(main)
