"""What the renderer needs of the face model's surface: parts, triangles, normals, hollows."""

from functools import cached_property

import numpy as np
import scipy.sparse as sp

from aucli.synth.families import (
    EYE,
    EYE_SOCKET,
    FACE,
    GUMS,
    HEAD,
    LASHES,
    SOCKET,
    TEETH,
    FaceModel,
)

# Draw order within the buffers: skin, head, then eyes and lashes, then the mouth's inside.
DRAW_ORDER = {FACE: 0, HEAD: 1, EYE_SOCKET: 2, EYE: 3, LASHES: 4, SOCKET: 5, GUMS: 6, TEETH: 7}
BROWS = slice(17, 27)
# In v of the map: the mark above a brow's drawn band, where MediaPipe's mesh marks it on renders;
# no beard grows above the other.
BROW_LANDMARK = 0.002
BEARD_TOP = 0.63


class FaceMesh:
    """Fixed topology of the model, ready for the graphics card.

    draw_vertices: (M,) index into the model's vertices, one per distinct (vertex, uv) pair.
    draw_uv: (M, 2). triangles: (T, 3) int32 into draw_vertices, in draw order.
    """

    def __init__(self, model: FaceModel) -> None:
        self.model = model
        self.polygons = model.polygons
        self.part = model.part

        stride = len(model.uv)
        keys = self.polygons.astype(np.int64) * stride + model.polygon_uvs
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
        order = np.array([DRAW_ORDER.get(p, 0) for p in range(9)])[self.part[first_vertex]]
        sorting = np.argsort(order, kind="stable")
        self.triangles = triangles[sorting].astype(np.int32)
        order = order[sorting]
        self.face_count = int((order == 0).sum())
        self.skin_count = int((order <= 1).sum())
        self.outer_count = int((order <= 4).sum())
        self.hair_triangles = self._hair(order)
        face = self.triangles[: self.face_count]
        below = self.draw_uv[face, 1].max(1) < BEARD_TOP
        self.beard_triangles = np.ascontiguousarray(face[below])

    def landmark_points(self, vertices: np.ndarray, brow_rise: np.ndarray) -> np.ndarray:
        """The 68 landmarks (68, 3) of posed vertices (V, 3); brows where their hair is drawn.

        brow_rise: (10,) how much higher than on the mean face the brow is drawn, in v of the map.
        """
        points = vertices[self.model.landmarks]
        brows = points[BROWS]
        upward = (brows - vertices[self._under_brows]) / self._under_brows_dv[:, None]
        points[BROWS] = brows + upward * (brow_rise + BROW_LANDMARK)[:, None]
        return points

    @cached_property
    def brow_uv(self) -> np.ndarray:
        """(10, 2) of the brow landmarks on the map of ``masks``."""
        return self.uv_of_vertex[self.model.landmarks[BROWS]]

    @cached_property
    def _under_brows(self) -> np.ndarray:
        """(10,) face vertices below the brow landmarks: the way a brow moves along the skin."""
        face = self.uv_of_vertex[: self.model.face_vertices]
        away = face[None] - (self.brow_uv - [0, 0.02])[:, None]
        away = np.abs(away) * [2, 1]
        return away.sum(2).argmin(1)

    @cached_property
    def _under_brows_dv(self) -> np.ndarray:
        return self.brow_uv[:, 1] - self.uv_of_vertex[self._under_brows, 1]

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
        ring = self._ring_mean(self.model.skin_vertices)
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
        count = self.model.skin_vertices
        skin, facing = vertices[:count], normals[:count]
        near = self._smooth @ skin
        wide = near
        for _ in range(8):
            wide = self._smooth @ wide
        fine = ((near - skin) * facing).sum(1)
        broad = ((wide - skin) * facing).sum(1)
        light = np.ones(len(vertices), np.float32)
        light[:count] = np.clip(
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
            x, y, z = neutral[self.model.landmarks[point]]
            face = neutral[: self.model.face_vertices]
            near = (np.abs(face[:, 1] - y) < 0.3) & (face[:, 0] * np.sign(x) > 0.5)
            rows[point] = np.flatnonzero(near & (face[:, 2] > z - 0.5))
        return rows
