"""What the renderer needs of the face model's surface: parts, triangles, normals, hollows."""

from functools import cached_property

import numpy as np
import scipy.sparse as sp

from aucli.synth.ict import LANDMARK_VERTICES, IctModel

# Vertex ranges of the model and the part number that the shader tells them apart by.
FACE, HEAD, SOCKET, EYE_SOCKET, GUMS, TEETH, EYE, GLASSES, LASHES = range(9)
PART_RANGES = {
    HEAD: (9409, 11248),
    SOCKET: (11248, 13294),
    EYE_SOCKET: (13294, 14062),
    GUMS: (14062, 17039),
    TEETH: (17039, 21451),
    EYE: (21451, 24591),
    LASHES: (25351, 26719),
}
SKIN_VERTICES = 14062
FACE_VERTICES = 9409
MOLARS = ((17039, 17730), (18556, 18679), (18679, 19952), (20746, 21451))
# Tear film and eye shadow meshes need blending that this renderer does not do.
SKIPPED_MATERIALS = ("M_LacrimalFluid", "M_EyeBlend", "M_EyeOcclusion")
# Draw order within the buffers: skin, head, then eyes and lashes, then the mouth's inside.
DRAW_ORDER = {FACE: 0, HEAD: 1, EYE_SOCKET: 2, EYE: 3, LASHES: 4, SOCKET: 5, GUMS: 6, TEETH: 7}


class FaceMesh:
    """Fixed topology of the model, ready for the graphics card.

    draw_vertices: (M,) index into the model's vertices, one per distinct (vertex, uv) pair.
    draw_uv: (M, 2). triangles: (T, 3) int32 into draw_vertices, in draw order.
    """

    def __init__(self, model: IctModel) -> None:
        self.model = model
        kept = ~np.isin(
            model.materials, [model.material_names.index(name) for name in SKIPPED_MATERIALS]
        )
        self.polygons = model.polygons[kept]
        polygon_uvs = model.polygon_uvs[kept]
        self.part = np.zeros(len(model.vertices), np.int32)
        for part, (first, last) in PART_RANGES.items():
            self.part[first:last] = part

        stride = len(model.uv)
        keys = self.polygons.astype(np.int64) * stride + polygon_uvs
        unique, inverse = np.unique(keys, return_inverse=True)
        inverse = inverse.reshape(self.polygons.shape)
        self.draw_vertices = unique // stride
        self.draw_uv = model.uv[unique % stride]
        self.uv_of_vertex = np.zeros((len(model.vertices), 2), np.float32)
        self.uv_of_vertex[self.draw_vertices] = self.draw_uv

        triangles = np.concatenate([inverse[:, [0, 1, 2]], inverse[:, [0, 2, 3]]])
        triangles = triangles[
            (triangles[:, 0] != triangles[:, 2]) & (triangles[:, 1] != triangles[:, 2])
        ]
        first_vertex = self.draw_vertices[triangles[:, 0]]
        molar = np.zeros(len(triangles), bool)
        for first, last in MOLARS:
            molar |= (first_vertex >= first) & (first_vertex < last)
        triangles, first_vertex = triangles[~molar], first_vertex[~molar]
        order = np.array([DRAW_ORDER.get(p, 0) for p in range(9)])[self.part[first_vertex]]
        sorting = np.argsort(order, kind="stable")
        self.triangles = triangles[sorting].astype(np.int32)
        order = order[sorting]
        self.face_count = int((order == 0).sum())
        self.skin_count = int((order <= 1).sum())
        self.outer_count = int((order <= 4).sum())
        self.hair_triangles = self._hair(order)

    def _hair(self, order: np.ndarray) -> np.ndarray:
        skin = self.triangles[: self.skin_count]
        centre = self.model.vertices[self.draw_vertices[skin]].mean(1)
        scalp = (centre[:, 1] > 5.2) | (np.abs(centre[:, 0]) > 6.2) | (order[: len(skin)] == 1)
        return np.ascontiguousarray(skin[scalp & (centre[:, 1] > -15)])

    @cached_property
    def _corner_sum(self) -> sp.csr_matrix:
        rows = self.polygons.T.ravel()
        columns = np.tile(np.arange(len(self.polygons)), 4)
        return sp.csr_matrix(
            (np.ones(len(rows), np.float32), (rows, columns)),
            shape=(len(self.model.vertices), len(self.polygons)),
        )

    def _ring_mean(self, count: int) -> sp.csr_matrix:
        """Row-normalised mean over one-ring neighbours among the first ``count`` vertices."""
        quads = self.polygons[(self.polygons < count).all(1)]
        edges = np.concatenate([quads[:, [i, (i + 1) % 4]] for i in range(4)])
        edges = edges[edges[:, 0] != edges[:, 1]]
        ones = np.ones(len(edges), np.float32)
        near = sp.csr_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(count, count))
        near = ((near + near.T) > 0).astype(np.float32) + sp.identity(count, "f4")
        degree = np.asarray(near.sum(1)).ravel()
        return sp.csr_matrix(sp.diags((1 / degree).astype(np.float32)) @ near)

    @cached_property
    def _smooth(self) -> sp.csr_matrix:
        ring = self._ring_mean(SKIN_VERTICES)
        return sp.csr_matrix(ring @ ring)

    def normals(self, vertices: np.ndarray) -> np.ndarray:
        """Area-weighted unit normals (V, 3) float32 of posed vertices (V, 3)."""
        a, b, c, d = (vertices[self.polygons[:, i]] for i in range(4))
        facing = np.cross(c - a, d - b)
        triangle = self.polygons[:, 2] == self.polygons[:, 3]
        facing[triangle] = np.cross((b - a)[triangle], (c - a)[triangle])
        summed = self._corner_sum @ facing.astype(np.float32)
        return summed / (np.linalg.norm(summed, axis=1, keepdims=True) + 1e-9)

    def openness(self, vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Ambient light reaching each vertex, (V,) float32 0.12-1.1, from the skin's curvature.

        A vertex below the mean of its surroundings lies in a hollow. Two radii: fine folds, and
        the eye sockets and the sides of the nose.
        """
        skin, facing = vertices[:SKIN_VERTICES], normals[:SKIN_VERTICES]
        near = self._smooth @ skin
        wide = near
        for _ in range(8):
            wide = self._smooth @ wide
        fine = ((near - skin) * facing).sum(1)
        broad = ((wide - skin) * facing).sum(1)
        light = np.ones(len(vertices), np.float32)
        light[:SKIN_VERTICES] = np.clip(
            1 - 7 * np.maximum(fine, 0) - 0.9 * np.maximum(broad, 0) + 0.15 * np.maximum(-broad, 0),
            0.12,
            1.1,
        )
        return light

    @cached_property
    def jaw_rows(self) -> dict[int, np.ndarray]:
        """For the outer jaw landmarks, the face vertices at their height on their side.

        On a turned head the far jaw is hidden and annotators mark the visible outline instead;
        the outline point is the outermost vertex of the row.
        """
        neutral = self.model.vertices
        rows = {}
        for point in (*range(6), *range(11, 17)):
            x, y, z = neutral[LANDMARK_VERTICES[point]]
            face = neutral[:FACE_VERTICES]
            near = (np.abs(face[:, 1] - y) < 0.3) & (face[:, 0] * np.sign(x) > 0.5)
            rows[point] = np.flatnonzero(near & (face[:, 2] > z - 0.5))
        return rows
