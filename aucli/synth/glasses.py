"""Spectacles: frames as tubes around super-ellipses with bridges and pads, and their lenses, fitted
to a face's own landmarks."""

from dataclasses import dataclass

import numpy as np

TUBE_SIDES = 5


@dataclass(frozen=True, slots=True, eq=False)
class Tubes:
    """positions, normals: (M, 3) float32. triangles: (T, 3) int32, those of the frame first.

    frame_count: how many of the triangles are the frame's; the rest are lenses. glare: colour and
    opacity (4,) that the lenses add, premultiplied.
    """

    positions: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray
    frame_count: int = 0
    glare: tuple[float, float, float, float] = (0, 0, 0, 0)


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


def _lens(rim: np.ndarray) -> Tubes:
    """A disc within a rim (n, 3), its normals bulging so that reflections end within it."""
    centre = rim.mean(0)
    positions = np.concatenate([centre[None], rim])
    normals = (positions - centre) * 0.25 + (0, 0, 1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    k = np.arange(len(rim))
    triangles = np.stack([np.zeros_like(k), 1 + k, 1 + (k + 1) % len(rim)], 1)
    return Tubes(positions, normals, triangles)


def fit_glasses(landmarks: np.ndarray, rng: np.random.Generator) -> Tubes:
    """Frames of a random form for a face with landmarks (68, 3) in model units."""
    right = (landmarks[36] + landmarks[39]) / 2
    left = (landmarks[42] + landmarks[45]) / 2
    apart = np.linalg.norm(left - right)
    rx = apart * rng.uniform(0.30, 0.42)
    ry = rx * rng.uniform(0.6, 1.0)
    squareness = rng.uniform(2, 5)
    thickness = 0.06 + 0.16 * rng.random() ** 1.5
    pads = rng.random() < 0.5
    depth = max(landmarks[27, 2], landmarks[28, 2]) - 0.2
    drop = -0.5 * rng.random()
    rimless, half = rng.random() < 0.08, rng.random() < 0.2
    angle = np.linspace(0, 2 * np.pi, 22, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    stretch = (np.abs(c) ** squareness + np.abs(s) ** squareness) ** (-1 / squareness)

    def bow(x: np.ndarray | float) -> np.ndarray | float:
        return depth - 0.03 * (np.abs(x) - 1) ** 2

    tubes, lenses = [], []
    for eye, outward in ((right, -1), (left, 1)):
        x = eye[0] * 1.03
        rim = np.stack([x + rx * c * stretch, eye[1] + drop + ry * s * stretch,
                        bow(x + rx * c * stretch)], 1)  # fmt: skip
        if rimless:
            tubes.append(_tube(rim[:2], 0.03, closed=False))
        elif half:  # a thick upper rim only
            tubes.append(_tube(rim[: len(rim) // 2 + 1], thickness, closed=False))
        else:
            tubes.append(_tube(rim, thickness, closed=True))
        lenses.append(_lens(rim))
        if pads:
            inner, height = x - outward * np.array([0.8, 0.95]) * rx, np.array([-0.1, -0.45]) * ry
            pad = np.stack([inner, eye[1] + drop + height, depth - np.array([0.1, 0.55])], 1)
            tubes.append(_tube(pad, 0.07, closed=False))
        hinge = x + outward * rx
        temple = np.array([[hinge, eye[1] + drop + 0.3 * ry, bow(hinge)],
                           [outward * 7.5, eye[1] + drop + 0.3, 5.0],
                           [outward * 8.2, eye[1] + drop + 0.3, -1.0]])  # fmt: skip
        tubes.append(_tube(temple, thickness, closed=False))
    # One bar or two, straight or arched, high or low at the root of the nose.
    heights = [rng.uniform(-0.05, 0.55)]
    if rng.random() < 0.15:
        heights = [0.75, rng.uniform(0.05, 0.3)]
    sides = np.array([right[0] * 1.03 + rx * 0.97, left[0] * 1.03 - rx * 0.97])
    arch, thicker = rng.uniform(0, 0.4), rng.uniform(0.7, 1.6)
    for height in heights:
        t = np.linspace(0, 1, 7)
        rise = 4 * t * (1 - t)
        bar = np.stack([sides[0] + t * (sides[1] - sides[0]),
                        (left[1] + right[1]) / 2 + drop + (height + arch * rise) * ry,
                        depth + 0.3 * rise], 1)  # fmt: skip
        tubes.append(_tube(bar, thickness * thicker, closed=False))
    parts = [*tubes, *lenses]
    starts = np.cumsum([0, *[len(part.positions) for part in parts[:-1]]])
    # What lies before the face shines in the lenses: a window, a screen, the sky.
    strength = rng.uniform(0.05, 0.5) if rng.random() < 0.35 else 0.06 * rng.random()
    tint = np.clip(1 + 0.15 * rng.normal(size=3), 0, 1.2) * strength
    dark = rng.uniform(0.1, 0.5) if rng.random() < 0.08 else 0.0
    return Tubes(
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.normals for part in parts]),
        np.concatenate([p.triangles + start for p, start in zip(parts, starts, strict=True)]),
        sum(len(tube.triangles) for tube in tubes),
        (*tint.tolist(), dark),
    )
