"""Reads the ICT-FaceKit model: the public folder of .obj files, or the npz cache made from it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from aucli.errors import DataError
from aucli.synth import facs, families
from aucli.synth.people import IDENTITY_COUNT, Person, sample_person

CACHE_NAME = "ict_facekit_light.npz"
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

# Vertex ranges of the parts that are not the face.
PART_RANGES = {
    families.HEAD: (9409, 11248),
    families.SOCKET: (11248, 13294),
    families.EYE_SOCKET: (13294, 14062),
    families.GUMS: (14062, 17039),
    families.TEETH: (17039, 21451),
    families.EYE: (21451, 24591),
    families.LASHES: (25351, 26719),
}
FACE_VERTICES = 9409
SKIN_VERTICES = 14062
MOLARS = ((17039, 17730), (18556, 18679), (18679, 19952), (20746, 21451))
# Tear film and eye shadow meshes need blending that the renderer does not do.
SKIPPED_MATERIALS = ("M_LacrimalFluid", "M_EyeBlend", "M_EyeOcclusion")


@dataclass(frozen=True, slots=True, eq=False)
class IctModel(families.FaceModel):
    """ICT-FaceKit; the shared frame is its own (about one centimetre a unit).

    materials: (P,) int8 index into material_names. identities: (100, V, 3) float32 offsets.
    """

    materials: np.ndarray
    material_names: tuple[str, ...]
    identities: np.ndarray

    def sample_person(self, rng: np.random.Generator) -> Person:
        return sample_person(rng)

    def posed(self, person: Person, weights: np.ndarray) -> np.ndarray:
        identity = person.identity @ self.identities.reshape(len(self.identities), -1)
        offsets = identity + weights @ self.expressions.reshape(len(self.expressions), -1)
        return self.vertices + offsets.reshape(-1, 3)  # (V, 3)


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


def _model(arrays: dict[str, np.ndarray]) -> IctModel:
    names = [str(name) for name in arrays["names"]]
    expressions = arrays["ex"].astype(np.float32)
    parts, offsets = families.parts_of_brow_down(names, expressions)
    vertices = arrays["V"].astype(np.float32)
    material_names = tuple(str(name) for name in arrays["mats"])
    kept = ~np.isin(arrays["FM"], [material_names.index(name) for name in SKIPPED_MATERIALS])
    part = np.zeros(len(vertices), np.int32)
    for number, (first, last) in PART_RANGES.items():
        part[first:last] = number
    back_teeth = np.zeros(len(vertices), bool)
    for first, last in MOLARS:
        back_teeth[first:last] = True
    right, left = (
        np.flatnonzero((part == families.EYE) & (side * vertices[:, 0] > 0)) for side in (-1, 1)
    )
    return IctModel(
        family="ict",
        vertices=vertices,
        rest=vertices,
        uv=arrays["VT"].astype(np.float32),
        polygons=arrays["F"][kept],
        polygon_uvs=arrays["FU"][kept],
        part=part,
        face_vertices=FACE_VERTICES,
        skin_vertices=SKIN_VERTICES,
        back_teeth=back_teeth,
        landmarks=LANDMARK_VERTICES,
        expressions=np.concatenate([expressions, offsets]),
        expression_names=(*names, *parts),
        shapes=facs.SHAPES,
        eyes=(right, left),
        materials=arrays["FM"][kept],
        material_names=material_names,
        identities=arrays["ids"].astype(np.float32),
    )
