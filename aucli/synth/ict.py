"""Reads the ICT-FaceKit model: the public folder of .obj files, or the npz cache made from it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from aucli.errors import DataError

CACHE_NAME = "ict_facekit_light.npz"
IDENTITY_COUNT = 100
# Shapes that the public folder holds beside those listed in its vertex_indices.json.
EXTRA_EXPRESSIONS = ("PupilDilate_L", "PupilDilate_R", "cheekRaiser_L", "cheekRaiser_R")

# Vertex ids of the 68 landmarks, as published with the model (vertex_indices.json).
LANDMARK_VERTICES = np.array(
    [1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088,
     3443, 268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140,
     2075, 1147, 4269, 3360, 1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725,
     3732, 5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533,
     6216, 6207, 6470, 5517, 5966]
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class IctModel:
    """The face model as arrays; lengths are in the model's units (about one centimetre).

    vertices: (V, 3) float32 neutral face, x to the person's left, y up, z forward.
    uv: (T, 2) float32. polygons, polygon_uvs: (P, 4) int32, triangles repeat their last index.
    materials: (P,) int8 index into material_names. identities: (100, V, 3) float32 offsets.
    expressions: (E, V, 3) float32 offsets, named by expression_names.
    """

    vertices: np.ndarray
    uv: np.ndarray
    polygons: np.ndarray
    polygon_uvs: np.ndarray
    materials: np.ndarray
    material_names: tuple[str, ...]
    identities: np.ndarray
    expressions: np.ndarray
    expression_names: tuple[str, ...]


def load_ict(folder: Path) -> IctModel:
    """Load the model from ``folder``: its npz cache if there is one, else the .obj files.

    Reading 160 .obj files takes a minute, so the arrays are cached beside them where the folder
    is writable. Raises DataError naming the first missing file.
    """
    cache = folder / CACHE_NAME
    if not cache.exists():
        arrays = read_obj_folder(folder)
        try:
            np.savez(cache, **cast(dict[str, Any], arrays))
        except OSError:
            return _model(arrays)
    with np.load(cache) as stored:
        return _model({key: stored[key] for key in stored.files})


def read_obj_folder(folder: Path, identity_count: int = IDENTITY_COUNT) -> dict[str, np.ndarray]:
    """The arrays of the npz cache, from the model's public ``FaceXModel`` folder."""
    index_file = folder / "vertex_indices.json"
    if not index_file.exists():
        raise DataError(
            f"No ICT-FaceKit model in {folder}: expected {CACHE_NAME} or the files of the "
            "FaceXModel folder of the public ICT-FaceKit repository."
        )
    listed = json.loads(index_file.read_text())["expressions"]
    names = list(dict.fromkeys([*listed, *EXTRA_EXPRESSIONS]))
    neutral = read_obj(folder / "generic_neutral_mesh.obj")
    vertices = neutral["V"].astype(np.float64)

    def offsets(name: str) -> np.ndarray:
        shape = read_obj_vertices(folder / f"{name}.obj")
        if shape.shape != vertices.shape:
            raise DataError(f"{folder / name}.obj has {len(shape)} vertices, not {len(vertices)}.")
        return (shape - vertices).astype(np.float16)

    return {
        **neutral,
        "ids": np.stack([offsets(f"identity{i:03d}") for i in range(identity_count)]),
        "ex": np.stack([offsets(name) for name in names]),
        "names": np.array(names),
    }


def read_obj_vertices(path: Path) -> np.ndarray:
    """The (V, 3) float64 vertices of an .obj file."""
    if not path.exists():
        raise DataError(f"The ICT-FaceKit folder lacks {path.name}: {path} does not exist.")
    with path.open() as lines:
        rows = [line[2:] for line in lines if line.startswith("v ")]
    return np.array([row.split() for row in rows], dtype=np.float64)


def read_obj(path: Path) -> dict[str, np.ndarray]:
    """Vertices, UVs, polygons and materials of an .obj file, under the names of the npz cache."""
    vertices = read_obj_vertices(path)
    uvs: list[list[str]] = []
    corners: list[list[tuple[int, int]]] = []
    material_ids: list[int] = []
    materials: list[str] = []
    with path.open() as lines:
        for line in lines:
            kind, _, rest = line.partition(" ")
            if kind == "vt":
                uvs.append(rest.split()[:2])
            elif kind == "usemtl":
                materials.append(rest.strip())
            elif kind == "f":
                pairs = [corner.split("/")[:2] for corner in rest.split()]
                corners.append([(int(v) - 1, int(t) - 1) for v, t in pairs])
                material_ids.append(len(materials) - 1)
    padded = np.array(
        [polygon + polygon[-1:] * (4 - len(polygon)) for polygon in corners], np.int32
    )
    return {
        "V": vertices.astype(np.float32),
        "VT": np.array(uvs, dtype=np.float32),
        "F": padded[..., 0],
        "FU": padded[..., 1],
        "FM": np.array(material_ids, np.int8),
        "mats": np.array(materials),
        "nsides": np.array([len(polygon) for polygon in corners], np.int8),
    }


def _parts_of_brow_down(names: list[str], expressions: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The names and offsets of browKnit (towards the other brow) and browLower (the rest of
    browDown) of both sides: in AU01 + AU04 the brows are knit without being lowered."""
    added, offsets = [], []
    for side in "LR":
        whole = expressions[names.index(f"browDown_{side}")]
        knit = whole * np.array([1, 0, 0], np.float32)
        added += [f"browKnit_{side}", f"browLower_{side}"]
        offsets += [knit, whole - knit]
    return added, np.stack(offsets)


def _model(arrays: dict[str, np.ndarray]) -> IctModel:
    names = [str(name) for name in arrays["names"]]
    expressions = arrays["ex"].astype(np.float32)
    parts, offsets = _parts_of_brow_down(names, expressions)
    return IctModel(
        vertices=arrays["V"].astype(np.float32),
        uv=arrays["VT"].astype(np.float32),
        polygons=arrays["F"],
        polygon_uvs=arrays["FU"],
        materials=arrays["FM"],
        material_names=tuple(str(name) for name in arrays["mats"]),
        identities=arrays["ids"].astype(np.float32),
        expressions=np.concatenate([expressions, offsets]),
        expression_names=(*names, *parts),
    )
