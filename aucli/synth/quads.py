"""Catmull-Clark subdivision of a quad mesh as one matrix, so that shapes subdivide with it."""

import numpy as np
import scipy.sparse as sp


def subdivide(quads: np.ndarray, count: int) -> tuple[sp.csr_matrix, np.ndarray]:
    """One step (Catmull and Clark 1978). quads: (P, 4) of ``count`` vertices.

    Returns the matrix (M, count) that makes the new vertices of the old ones, the old ones first
    and in their order, and the new quads (4 P, 4): those of old quad p are 4 p to 4 p + 3, each
    with an old vertex as its first.
    """
    p = len(quads)
    edges = np.stack([quads, np.roll(quads, -1, 1)], 2)  # (P, 4, 2)
    pairs, edge_of, uses = np.unique(
        np.sort(edges.reshape(-1, 2), 1), axis=0, return_inverse=True, return_counts=True
    )
    edge_of = edge_of.reshape(p, 4)
    e = len(pairs)
    faces = _matrix(np.repeat(np.arange(p), 4), quads.ravel(), (p, count)) / 4
    ends = _matrix(np.repeat(np.arange(e), 2), pairs.ravel(), (e, count)) / 2
    beside = _matrix(edge_of.ravel(), np.repeat(np.arange(p), 4), (e, p))
    inner = sp.diags((uses == 2).astype(float))
    edge_points = ends + inner @ (0.25 * beside @ faces - 0.5 * ends)

    # A vertex of valence n: (mean of face points + 2 mean of edge middles + (n - 3) vertex) / n;
    # on a border: (first neighbour + 6 vertex + second neighbour) / 8.
    at_vertex = _matrix(quads.ravel(), np.repeat(np.arange(p), 4), (count, p))
    at_edge = _matrix(pairs.ravel(), np.repeat(np.arange(e), 2), (count, e))
    valence = np.maximum(np.asarray(at_edge.sum(1)).ravel(), 1)
    n = sp.diags(1 / valence)
    face_share = np.maximum(np.asarray(at_vertex.sum(1)).ravel(), 1)
    same = sp.identity(count)
    smooth = n @ (sp.diags(1 / face_share) @ at_vertex @ faces + 2 * n @ at_edge @ ends)
    smooth = smooth + sp.diags(np.maximum(valence - 3, 0) / valence) @ same
    border_edges = sp.diags((uses == 1).astype(float))
    on_border = np.asarray((at_edge @ border_edges).sum(1)).ravel() > 0
    border = 0.5 * same + 0.25 * at_edge @ border_edges @ ends
    old_points = sp.diags(1.0 - on_border) @ smooth + sp.diags(on_border.astype(float)) @ border

    matrix = sp.csr_matrix(sp.vstack([old_points, edge_points, faces]))
    around = count + edge_of
    centre = np.broadcast_to(count + e + np.arange(p)[:, None], quads.shape)
    finer = np.stack([quads, around, centre, np.roll(around, 1, 1)], 2)  # (P, 4, 4)
    return matrix, finer.reshape(-1, 4)


def _matrix(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    return sp.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)
