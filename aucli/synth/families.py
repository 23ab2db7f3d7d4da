"""What every family of faces offers: one frame, one list of parts, shapes by the same names.

The frame: x to the person's left, y up, z forward; a face is 14 units from brow to chin, and the
head turns about a point between the ears. Every family's face lies where ICT-FaceKit's lies, so
that camera, light, hair, glasses, teeth and masks know one place for each.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from aucli.synth.facs import Shapes
from aucli.synth.people import Person

# Columns of a set: unit vectors of FaceSample.gaze, 0 the person's right eye.
GAZE_COLUMNS = tuple(f"gaze_{eye}_{axis}" for eye in (0, 1) for axis in "xyz")

HEAD_CENTRE = np.array([0.0, 0.0, 7.0])
BROW_TO_CHIN = 14.0
# Parts of a head, as the shader tells them apart.
FACE, HEAD, SOCKET, EYE_SOCKET, GUMS, TEETH, EYE, GLASSES, LASHES = range(9)


@dataclass(frozen=True, slots=True, eq=False)
class FaceModel(ABC):
    """One family of faces; vertices are in the order face, other skin, everything else.

    family: its name. vertices: (V, 3) float32 mean face. rest: (V, 3) where the shader draws a
    vertex's hair, teeth and iris: the mean face, but for parts of our own. uv: (T, 2) float32 on
    the plane of ``masks``. polygons, polygon_uvs: (P, 4) int32 of what is drawn, triangles repeat
    their last index. part: (V,) int32. face_vertices, skin_vertices: how many are face, and skin.
    back_teeth: (V,) bool, hidden behind others and not drawn. landmarks: (68,) int vertices.
    expressions: (E, V, 3) float32 offsets, named by expression_names. shapes: its FACS table.
    eyes: vertices of the eyeballs, the person's right one first.
    """

    family: str
    vertices: np.ndarray
    rest: np.ndarray
    uv: np.ndarray
    polygons: np.ndarray
    polygon_uvs: np.ndarray
    part: np.ndarray
    face_vertices: int
    skin_vertices: int
    back_teeth: np.ndarray
    landmarks: np.ndarray
    expressions: np.ndarray
    expression_names: tuple[str, ...]
    shapes: Shapes
    eyes: tuple[np.ndarray, np.ndarray]

    @abstractmethod
    def sample_person(self, rng: np.random.Generator) -> Person:
        """A random person of this family."""

    @abstractmethod
    def posed(self, person: Person, weights: np.ndarray) -> np.ndarray:
        """(V, 3) vertices of a person's face, the eyes looking ahead. weights: (E,)."""


def turn_eyes(
    model: FaceModel, vertices: np.ndarray, gaze_radians: np.ndarray, vergence_radians: float
) -> np.ndarray:
    """Turn the eyeballs of posed ``vertices``; (2, 3) unit vectors of where they look.

    The vectors are in the frame, the person's right eye first. An eyeball stays the mean face's,
    moved and scaled: shapes of the face would tilt it. gaze_radians, vergence_radians: as of
    ``Expression``.
    """
    directions = np.empty((2, 3))
    for k, (eye, inward) in enumerate(zip(model.eyes, (1, -1), strict=True)):
        left, up = gaze_radians[0] + inward * vergence_radians / 2, gaze_radians[1]
        (cl, sl), (cu, su) = ((np.cos(a), np.sin(a)) for a in (left, up))
        turn = np.array([[cl, -sl * su, sl * cu], [0, cu, su], [-sl, -cl * su, cl * cu]])
        rest, posed = model.vertices[eye], vertices[eye]
        pivot = (rest.min(0) + rest.max(0)) / 2
        moved = posed.mean(0) - rest.mean(0)
        size = posed.std(0).sum() / rest.std(0).sum()
        vertices[eye] = pivot + moved + size * (rest - pivot) @ turn.T
        directions[k] = turn[:, 2]
    return directions


def parts_of_brow_down(names: list[str], expressions: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The names and offsets of browKnit (towards the other brow) and browLower (the rest of
    browDown) of both sides: in AU01 + AU04 the brows are knit without being lowered."""
    added, offsets = [], []
    for side in "LR":
        whole = expressions[names.index(f"browDown_{side}")]
        knit = whole * np.array([1, 0, 0], np.float32)
        added += [f"browKnit_{side}", f"browLower_{side}"]
        offsets += [knit, whole - knit]
    return added, np.stack(offsets)
