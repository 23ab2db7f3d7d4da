"""Spectacle frames as tubes around super-ellipses, fitted to a face's own landmarks."""

from dataclasses import dataclass

import numpy as np

TUBE_SIDES = 5


@dataclass(frozen=True, slots=True, eq=False)
class Tubes:
    """positions, normals: (M, 3) float32. triangles: (T, 3) int32."""

    positions: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray


def _tube(path: np.ndarray, radius: float, closed: bool) -> Tubes:
    count = len(path)
    tangent = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
    side = np.cross(tangent, (0, 0, 1))
    steep = np.linalg.norm(side, axis=1) < 0.2
    side[steep] = np.cross(tangent[steep], (0, 1, 0))
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-9
    other = np.cross(tangent, side)
    angle = np.arange(TUBE_SIDES) / TUBE_SIDES * 2 * np.pi
    normals = (
        np.cos(angle)[None, :, None] * side[:, None] + np.sin(angle)[None, :, None] * other[:, None]
    )  # (count, TUBE_SIDES, 3)
    ring = np.arange(count if closed else count - 1)[:, None]
    k = np.arange(TUBE_SIDES)[None]
    here, after = ring * TUBE_SIDES, (ring + 1) % count * TUBE_SIDES
    nxt = (k + 1) % TUBE_SIDES
    triangles = np.stack(
        [here + k, after + k, after + nxt, here + k, after + nxt, here + nxt], -1
    ).reshape(-1, 3)
    positions = path[:, None] + radius * normals
    return Tubes(positions.reshape(-1, 3), normals.reshape(-1, 3), triangles)


def fit_glasses(landmarks: np.ndarray, rng: np.random.Generator) -> Tubes:
    """Frames of a random form for a face with landmarks (68, 3) in model units."""
    right = (landmarks[36] + landmarks[39]) / 2
    left = (landmarks[42] + landmarks[45]) / 2
    apart = np.linalg.norm(left - right)
    rx = apart * rng.uniform(0.30, 0.42)
    ry = rx * rng.uniform(0.6, 1.0)
    squareness = rng.uniform(2, 5)
    thickness = 0.06 + 0.16 * rng.random() ** 1.5
    depth = max(landmarks[27, 2], landmarks[28, 2]) - 0.2
    drop = -0.35 * rng.random()
    angle = np.linspace(0, 2 * np.pi, 22, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    stretch = (np.abs(c) ** squareness + np.abs(s) ** squareness) ** (-1 / squareness)

    def bow(x: np.ndarray | float) -> np.ndarray | float:
        return depth - 0.03 * (np.abs(x) - 1) ** 2

    tubes = []
    for eye, outward in ((right, -1), (left, 1)):
        x = eye[0] * 1.03
        rim = np.stack([x + rx * c * stretch, eye[1] + drop + ry * s * stretch,
                        bow(x + rx * c * stretch)], 1)  # fmt: skip
        tubes.append(_tube(rim, thickness, closed=True))
        hinge = x + outward * rx
        temple = np.array([[hinge, eye[1] + drop + 0.3 * ry, bow(hinge)],
                           [outward * 7.5, eye[1] + drop + 0.3, 5.0],
                           [outward * 8.2, eye[1] + drop + 0.3, -1.0]])  # fmt: skip
        tubes.append(_tube(temple, thickness, closed=False))
    bridge = np.array([[right[0] * 1.03 + rx, right[1] + drop + 0.2 * ry, depth],
                       [(left[0] + right[0]) / 2, left[1] + drop + 0.35 * ry, depth + 0.3],
                       [left[0] * 1.03 - rx, left[1] + drop + 0.2 * ry, depth]])  # fmt: skip
    tubes.append(_tube(bridge, thickness, closed=False))
    starts = np.cumsum([0, *[len(tube.positions) for tube in tubes[:-1]]])
    return Tubes(
        np.concatenate([tube.positions for tube in tubes]),
        np.concatenate([tube.normals for tube in tubes]),
        np.concatenate([t.triangles + start for t, start in zip(tubes, starts, strict=True)]),
    )
