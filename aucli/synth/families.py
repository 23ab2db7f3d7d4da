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

FAMILIES = ("ict", "makehuman")

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
    eyes: vertices of the eyeballs, the person's right one first. resting_gap: of the inner lips in
    the mean face, beyond ICT-FaceKit's.
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
    resting_gap: float

    @abstractmethod
    def sample_person(self, rng: np.random.Generator) -> Person:
        """A random person of this family."""

    @abstractmethod
    def posed(self, person: Person, weights: np.ndarray, gaze_radians: np.ndarray) -> np.ndarray:
        """(V, 3) vertices of a person's face. weights: (E,). gaze_radians: (2,) left, up."""
