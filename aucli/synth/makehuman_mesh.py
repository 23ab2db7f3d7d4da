"""MakeHuman's base mesh as a head in the families' frame, with eyeballs and teeth of our own."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.interpolate import RBFInterpolator

from aucli.synth import arch, families
from aucli.synth.quads import subdivide
from aucli.synth.wheel import Base

VERTICES = 19158
# From the base mesh (decimetres) to the frame: found by fitting landmarks of both mean faces.
SCALE = 10.308
PITCH = -0.0853  # radians
SHIFT = np.array([0.0, -72.533, 1.381])
# Neck and shoulders are kept down to here, and arms cut off (decimetres).
LOWEST, WIDEST = 4.6, 2.4

# Vertices of the 68 landmarks of the right half and the middle, two where the point lies between.
# Chosen on drawings of the mesh and checked on renders.
RIGHT_LANDMARKS = {
    0: 5237, 1: 269, 2: 270, 3: 736, 4: 737, 5: 3698, 6: 916, 7: 5221, 8: 5225, 17: (255, 262),
    18: (206, 224), 19: (204, 222), 20: (205, 223), 21: (208, 233), 27: 133, 28: 131, 29: 201,
    30: 5054, 31: 333, 32: 313, 33: 317, 36: 6781, 37: 6757, 38: 6763, 39: 6769, 40: 6772,
    41: 6776, 48: 3704, 49: 447, 50: 457, 51: 466, 57: 492, 58: 480, 59: 406, 60: 437, 61: 470,
    62: 474, 66: 523, 67: 518,
}  # fmt: skip
FLIPPED = (*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43,
           42, 47, 46, 39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1),
           *range(64, 59, -1), 67, 66, 65)  # fmt: skip
# Where the same landmarks lie on the plane of ``masks``.
RIGHT_LANDMARK_UV = {
    0: (0.140, 0.711), 1: (0.160, 0.615), 2: (0.173, 0.534), 3: (0.182, 0.456),
    4: (0.209, 0.368), 5: (0.276, 0.297), 6: (0.346, 0.275), 7: (0.433, 0.285),
    8: (0.500, 0.283), 17: (0.243, 0.796), 18: (0.298, 0.814), 19: (0.353, 0.814),
    20: (0.415, 0.809), 21: (0.460, 0.802), 27: (0.500, 0.723), 28: (0.500, 0.680),
    29: (0.500, 0.650), 30: (0.500, 0.607), 31: (0.433, 0.543), 32: (0.470, 0.541),
    33: (0.500, 0.541), 36: (0.315, 0.719), 37: (0.339, 0.723), 38: (0.368, 0.722),
    39: (0.401, 0.714), 40: (0.368, 0.712), 41: (0.330, 0.712), 48: (0.388, 0.442),
    49: (0.424, 0.493), 50: (0.469, 0.510), 51: (0.500, 0.510), 57: (0.500, 0.359),
    58: (0.444, 0.363), 59: (0.406, 0.385), 60: (0.411, 0.434), 61: (0.455, 0.466),
    62: (0.500, 0.469), 66: (0.500, 0.391), 67: (0.444, 0.395),
}  # fmt: skip
# Between the landmarks, the plane is this polynomial of angle and height (units of the frame).
PLANE_U = ((0.651, 1, 0), (0.022, 1, 1), (-0.088, 1, 2), (-0.272, 3, 0), (0.108, 3, 1))
PLANE_V = ((0.581, 0, 0), (0.431, 0, 1), (-0.042, 0, 2), (-0.051, 0, 3), (-0.089, 2, 0),
           (0.112, 2, 1), (0.098, 2, 2))  # fmt: skip
OPENED_FOR_PLANE = 0.55  # the lips lie apart on it

# Edges of the right eye's lids, from the outer to the inner corner.
UPPER_LID = (6781, 6758, 6759, 6760, 6761, 6762, 6757, 6756, 6763, 6775, 6773, 6768, 6767, 6769)
LOWER_LID = (6781, 6780, 6779, 6783, 6770, 6778, 6777, 6776, 6774, 6772, 6771, 6782, 6766, 6765,
             6764, 6769)  # fmt: skip

# The shader draws the iris about these places, on an eyeball of this radius.
IRIS = np.array([3.17, 3.61])
EYE_RADIUS = 1.5
# A vertex inside the mouth and one behind the right eye's lids: what hangs together there.
INSIDE = {622: families.SOCKET, 5310: families.EYE_SOCKET}
SEAM = 474  # a vertex where the lips meet
LINING_BACK = 1.0
# Skin from here on forward, up and inwards is the face (units of the frame).
FACE_FROM, FACE_LOW, FACE_WIDE = 3.2, -9.0, 7.0
# Our teeth: place of the edge between the middle teeth (y, z), half width and depth of the arch.
UPPER_ROW = ((-3.5, 10.75), 2.9, 5.4)
LOWER_ROW = ((-3.35, 10.5), 2.65, 5.0)


def turned(offsets: np.ndarray) -> np.ndarray:
    """Offsets (..., 3) of MakeHuman's axes and decimetres in those of the frame."""
    cp, sp_ = np.cos(PITCH), np.sin(PITCH)
    return SCALE * offsets @ np.array([[1, 0, 0], [0, cp, sp_], [0, -sp_, cp]])


class Head:
    """Which vertices of the base mesh are used, and what of.

    ``used``: (B,) vertices of the base mesh; all else counts them from 0. ``points``: (B, 3) in the
    frame. ``skin``: (K, 4) quads, ``kinds`` (K,) their parts.
    """

    def __init__(self, base: Base) -> None:
        points = turned(base.vertices) + SHIFT
        near = (base.vertices[:, 1] > LOWEST) & (np.abs(base.vertices[:, 0]) < WIDEST)
        skin = np.flatnonzero((base.groups == "body") & near[base.quads].all(1))
        lashes = base.quads[["eyelashes" in group for group in base.groups]]
        tongue = base.quads[base.groups == "helper-tongue"]
        holders = [np.unique(base.quads[base.groups == f"helper-{name}"]) for name in
                   ("r-eye", "l-eye", "upper-teeth", "lower-teeth")]  # fmt: skip
        body = base.quads[skin]
        self.used = np.unique(np.concatenate([q.ravel() for q in (body, lashes, tongue, *holders)]))
        self.place = np.full(len(points), -1)
        self.place[self.used] = np.arange(len(self.used))
        self.points = points[self.used]
        self.skin, self.lashes, self.tongue = (self.place[q] for q in (body, lashes, tongue))
        self.holders = [self.place[holder] for holder in holders]

        x, y, z = self.points[self.skin].mean(1).T
        front = (z > FACE_FROM) & (y > FACE_LOW) & (np.abs(x) < FACE_WIDE)
        self.kinds = np.where(front, families.FACE, families.HEAD)
        islands = base.islands()[skin]
        for vertex, kind in INSIDE.items():
            for at in self._both(vertex):
                self.kinds[islands == islands[(self.skin == at).any(1)][0]] = kind
        # The mouth's lining lies close under the skin and would come through where noses differ.
        lining = np.unique(self.skin[self.kinds == families.SOCKET])
        from_seam = np.abs(self.points[lining, 1] - self.points[self.place[SEAM], 1])
        self.points[lining, 2] -= LINING_BACK * np.clip((from_seam - 0.4) / 1.2, 0, 1)

    def _both(self, vertex: int) -> tuple[int, int]:
        """Used vertex of the base mesh's ``vertex``, and the one across the middle from it."""
        at = int(self.place[vertex])
        across = self.points[at] * (-1, 1, 1)
        return at, int(((self.points - across) ** 2).sum(1).argmin())

    def landmarks(self) -> np.ndarray:
        """(68, 2) used vertices; each landmark lies in the middle of its two."""
        points = np.empty((68, 2), int)
        for point, vertices in RIGHT_LANDMARKS.items():
            both = np.array([self._both(int(vertex)) for vertex in np.atleast_1d(vertices)])
            points[FLIPPED[point]], points[point] = both[[0, -1], 1], both[[0, -1], 0]
        return points

    def lids(self) -> list[list[np.ndarray]]:
        """For the right and the left eye, the used vertices of the upper and of the lower edge."""
        both = [np.array([self._both(vertex) for vertex in lid]) for lid in (UPPER_LID, LOWER_LID)]
        return [[lid[:, side] for lid in both] for side in (0, 1)]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """matrix: (V, B) that makes its vertices of the used ones. quads: (P, 4). part: (V,). rest:
    (V, 3) for the shader, None where the piece lies. back: (V,) bool."""

    matrix: sp.csr_matrix
    quads: np.ndarray
    part: np.ndarray
    rest: np.ndarray | None = None
    back: np.ndarray | None = None


def skin_of(head: Head) -> tuple[Piece, np.ndarray]:
    """The skin subdivided, vertices of the face first; what lies inside has vertices of its own.

    Also (B,) where each used vertex lies among them, -1 where it is not skin.
    """
    matrix, quads = subdivide(head.skin, len(head.used))
    kinds = np.repeat(head.kinds, 4)
    rows, part, finer = [], [], []
    place, where = np.full(int(quads.max()) + 1, -1), np.empty(0, int)
    for kind in (families.FACE, families.HEAD, families.SOCKET, families.EYE_SOCKET):
        own = quads[kinds == kind]
        if kind in INSIDE.values():
            place[:] = -1
        new = np.unique(own[place[own] < 0])
        place[new] = sum(len(r) for r in rows) + np.arange(len(new))
        rows.append(new)
        part.append(np.full(len(new), kind))
        finer.append(place[own])
        if kind == families.HEAD:
            where = place[: len(head.used)].copy()
    ordered = sp.csr_matrix(matrix[np.concatenate(rows)])
    return Piece(ordered, np.concatenate(finer), np.concatenate(part)), where


def _held(head: Head, holder: np.ndarray, points: np.ndarray) -> sp.csr_matrix:
    """(V, B) matrix that moves ``points`` (V, 3) as the vertices ``holder`` move, affinely."""
    own = np.c_[head.points[holder], np.ones(len(holder))]
    weights = np.c_[points, np.ones(len(points))] @ np.linalg.pinv(own)
    rows, columns = np.repeat(np.arange(len(points)), len(holder)), np.tile(holder, len(points))
    shape = (len(points), len(head.used))
    return sp.csr_matrix((weights.ravel(), (rows, columns)), shape=shape)


def other_pieces(head: Head) -> list[Piece]:
    """Right and left eyeball, upper and lower teeth, tongue, lashes."""
    pieces = []
    ball, quads = arch.ball()
    for side, holder in zip((-1, 1), head.holders[:2], strict=True):
        low, high = head.points[holder].min(0), head.points[holder].max(0)
        points = (low + high) / 2 + ball * (high - low).mean() / 2
        rest = EYE_RADIUS * ball + (side * IRIS[0], IRIS[1], 8.0)
        part = np.full(len(points), families.EYE)
        pieces.append(Piece(_held(head, holder, points), quads, part, rest))
    for upper, holder in zip((True, False), head.holders[2:], strict=True):
        row = arch.row_of_teeth(upper, *(UPPER_ROW if upper else LOWER_ROW))
        part = np.where(row.gum, families.GUMS, families.TEETH)
        held = _held(head, holder, row.vertices)
        pieces.append(Piece(held, row.quads, part, row.vertices, row.back & ~row.gum))
    for quads, kind in ((head.tongue, families.GUMS), (head.lashes, families.LASHES)):
        own, places = np.unique(quads, return_inverse=True)
        ones, rows = np.ones(len(own)), np.arange(len(own))
        matrix = sp.csr_matrix((ones, (rows, own)), shape=(len(own), len(head.used)))
        pieces.append(Piece(matrix, places.reshape(quads.shape), np.full(len(own), kind)))
    return pieces


def plane(points: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(N, 2) places on the plane of ``masks`` of points (N, 3) of a mean face whose mouth is open.

    landmarks: (68, 3) of that face. They come to lie exactly where the masks expect them.
    """

    def usual(at: np.ndarray) -> np.ndarray:
        angle, height = np.arctan2(at[:, 0], at[:, 2]) / 1.5, at[:, 1] / 10
        u, v = (sum(c * angle**i * height**j for c, i, j in terms) for terms in (PLANE_U, PLANE_V))
        return np.stack([u + 0.5, v], 1)

    wanted = np.empty((68, 2))
    for point, (u, v) in RIGHT_LANDMARK_UV.items():
        wanted[FLIPPED[point]] = 1 - u, v
        wanted[point] = u, v
    bend = RBFInterpolator(landmarks, wanted - usual(landmarks), kernel="linear", degree=-1)
    return usual(points) + bend(points)
