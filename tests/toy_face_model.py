"""A stand-in for the face model: an egg with the model's vertex numbering, made from nothing.

The face's 9409 vertices are a 97 x 97 grid bent over the front of an egg; the 68 landmark vertices
are moved to plausible places on it. Enough to run every line of the renderer without the real
model.
"""

from pathlib import Path

import numpy as np

from aucli.synth.ict import CACHE_NAME, LANDMARK_VERTICES

VERTICES = 26719
SIDE = 97
SHAPES = ("browDown", "browInnerUp", "browOuterUp", "cheekPuff", "cheekSquint", "eyeBlink",
          "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide",
          "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress", "mouthSmile",
          "mouthStretch", "mouthUpperUp", "noseSneer", "cheekRaiser")  # fmt: skip
WHOLE = ("jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthFunnel", "mouthLeft",
         "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower",
         "mouthShrugUpper")  # fmt: skip
MATERIALS = ("M_Face", "M_BackHead", "M_GumsTongue", "M_Teeth", "M_LacrimalFluid", "M_EyeBlend",
             "M_EyeOcclusion")  # fmt: skip


def _egg(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Points (..., 3) on the egg for u, v in -1..1: x to the person's left, y up, z forward."""
    x, y = 7.5 * u, 9.0 * v
    z = 11 * np.sqrt(np.clip(1 - (u / 1.2) ** 2 - (v / 1.2) ** 2, 0, 1))
    return np.stack([x, y, z], -1)


def _landmark_uv() -> np.ndarray:
    """(68, 2) plausible places in -1..1."""
    jaw = np.linspace(np.pi, 2 * np.pi, 17)
    points = [(0.85 * np.cos(a), 0.3 + 0.95 * np.sin(a)) for a in jaw]
    points += [(x, 0.55) for x in np.linspace(-0.6, -0.15, 5)]
    points += [(x, 0.55) for x in np.linspace(0.15, 0.6, 5)]
    points += [(0, y) for y in np.linspace(0.4, 0.05, 4)]
    points += [(x, -0.02) for x in np.linspace(-0.2, 0.2, 5)]
    for centre in (-0.4, 0.4):
        ring = np.pi - np.arange(6) * np.pi / 3
        points += [(centre + 0.13 * np.cos(a), 0.38 + 0.05 * np.sin(a)) for a in ring]
    outer = np.pi - np.arange(12) * np.pi / 6
    points += [(0.32 * np.cos(a), -0.35 + 0.1 * np.sin(a)) for a in outer]
    inner = np.pi - np.arange(8) * np.pi / 4
    points += [(0.22 * np.cos(a), -0.35 + 0.01 * np.sin(a)) for a in inner]
    return np.array(points)


def write_toy_model(folder: Path) -> Path:
    """Write the stand-in as the npz cache that ``load_ict`` reads; returns ``folder``."""
    v, u = np.meshgrid(*[np.linspace(-1, 1, SIDE)] * 2, indexing="ij")
    grid = np.stack([u.ravel(), v.ravel()], 1)
    # Swap each landmark's vertex with the grid vertex nearest to its place.
    order = np.arange(SIDE * SIDE)
    for vertex, place in zip(LANDMARK_VERTICES, _landmark_uv(), strict=True):
        at = ((grid[order] - place) ** 2).sum(1)
        at[LANDMARK_VERTICES[: list(LANDMARK_VERTICES).index(vertex)]] = np.inf
        nearest = int(at.argmin())
        order[[vertex, nearest]] = order[[nearest, vertex]]
    place_of = np.empty_like(order)
    place_of[order] = np.arange(len(order))  # grid cell -> vertex

    vertices = np.zeros((VERTICES, 3), np.float32)
    vertices[: SIDE * SIDE] = _egg(*grid[order].T)
    cells = place_of.reshape(SIDE, SIDE)
    face = np.stack([cells[:-1, :-1], cells[:-1, 1:], cells[1:, 1:], cells[1:, :-1]], -1)
    face = face.reshape(-1, 4)
    # A patch of skin behind the face, and one of teeth.
    vertices[9409:9413] = [[-8, -9, 0], [8, -9, 0], [8, 9, 0], [-8, 9, 0]]
    vertices[17800:17804] = [[-2, -4, 9], [2, -4, 9], [2, -2, 9], [-2, -2, 9]]
    turn = np.linspace(0, 2 * np.pi, 1570)  # along a spiral from pole to pole
    flat = np.sin(turn / 2)
    ball = np.stack([np.cos(7 * turn) * flat, np.sin(7 * turn) * flat, np.cos(turn / 2)], 1)
    vertices[21451:23021] = 1.2 * ball + np.array([3.0, 3.4, 8.0])
    vertices[23021:24591] = 1.2 * ball + np.array([-3.0, 3.4, 8.0])
    polygons = np.concatenate([face, [[9409, 9410, 9411, 9412]], [[17800, 17801, 17802, 17803]]])

    uv = np.zeros((VERTICES, 2), np.float32)
    uv[: SIDE * SIDE] = (grid[order] + 1) / 2
    names = [f"{shape}_{side}" for shape in SHAPES for side in "LR"] + list(WHOLE)
    expressions = np.zeros((len(names), VERTICES, 3), np.float16)

    def move(name: str, landmarks: list[int], by: tuple[float, float, float]) -> None:
        expressions[names.index(name), LANDMARK_VERTICES[landmarks]] = by

    move("mouthSmile_L", [54], (1.0, 0.8, -0.2))
    move("mouthSmile_R", [48], (-1.0, 0.8, -0.2))
    move("jawOpen", [*range(55, 60), 65, 66, 67], (0, -2.5, 0))
    identities = np.zeros((100, VERTICES, 3), np.float16)
    identities[0, : SIDE * SIDE, 0] = 0.05 * vertices[: SIDE * SIDE, 0]
    material = np.zeros(len(polygons), np.int8)
    material[-2:] = 1, 3
    np.savez(
        folder / CACHE_NAME,
        V=vertices,
        VT=uv,
        F=polygons.astype(np.int32),
        FU=polygons.astype(np.int32),
        FM=material,
        mats=np.array(MATERIALS),
        nsides=np.full(len(polygons), 4, np.int8),
        ids=identities,
        ex=expressions,
        names=np.array(names),
    )
    return folder
