"""Two rows of teeth with gums, as quads: an arch of our own for families that bring none."""

from dataclasses import dataclass

import numpy as np

# From the middle to a side: widths and heights of the teeth, units of the frame (about 1 cm).
UPPER_WIDTHS = (0.85, 0.66, 0.76, 0.70, 0.68, 0.95)
UPPER_HEIGHTS = (1.05, 0.92, 1.05, 0.85, 0.80, 0.72)
LOWER_WIDTHS = (0.56, 0.60, 0.70, 0.70, 0.72, 1.05)
LOWER_HEIGHTS = (0.85, 0.88, 0.98, 0.82, 0.75, 0.70)
ACROSS = np.linspace(0, 1, 6)  # of one tooth
DOWN = np.array([0, 0.3, 0.65, 0.92, 1.0])  # from the gum to the edge
BULGE, EDGE_THICKNESS, GUM_HEIGHT = 0.13, 0.3, 1.1


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """vertices (V, 3), quads (P, 4) int; gum (V,) bool; back (V,) bool, the last two teeth."""

    vertices: np.ndarray
    quads: np.ndarray
    gum: np.ndarray
    back: np.ndarray


def row_of_teeth(upper: bool, front: tuple[float, float], half_width: float, depth: float) -> Row:
    """front: y and z of the edge between the middle teeth. The arch is half an ellipse."""
    widths = np.array(UPPER_WIDTHS if upper else LOWER_WIDTHS)
    heights = np.array(UPPER_HEIGHTS if upper else LOWER_HEIGHTS)
    starts = np.concatenate([[0], np.cumsum(widths)])
    along = np.concatenate([a + ACROSS * w for a, w in zip(starts, widths, strict=False)])
    tooth = np.repeat(np.arange(len(widths)), len(ACROSS))
    within = np.tile(ACROSS, len(widths))
    along = np.concatenate([-along[::-1], along])
    tooth = np.concatenate([tooth[::-1], tooth])
    within = np.concatenate([1 - within[::-1], within])

    angle = np.linspace(0, 0.5 * np.pi, 400)
    x, z = half_width * np.sin(angle), depth * (np.cos(angle) - 1)
    length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
    at = np.interp(np.abs(along), length, angle)
    place = np.stack([np.sign(along) * half_width * np.sin(at), depth * (np.cos(at) - 1)], 1)
    outward = np.stack([np.sign(along) * depth * np.sin(at), half_width * np.cos(at)], 1)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)

    round_off = (2 * within - 1) ** 4  # 1 between two teeth
    sign = 1.0 if upper else -1.0
    rows, kinds = [], []

    def add(out: np.ndarray, height: np.ndarray, is_gum: bool) -> None:
        flat = place + outward * out[:, None]
        rows.append(np.stack([flat[:, 0], front[0] + sign * height, front[1] + flat[:, 1]], 1))
        kinds.append(is_gum)

    tall = heights[tooth]
    top = heights.max() + GUM_HEIGHT
    same = np.ones_like(within)
    add(-0.25 * same, top * same, True)
    add(0.02 * same, 0.5 * (top + tall), True)
    add(0.05 * same, tall - 0.04 - 0.16 * round_off, True)
    for t in DOWN:
        bulge = BULGE * (1 - round_off) * (0.5 + 0.5 * np.sin(np.pi * min(0.25 + 0.75 * t, 1)))
        height = (1 - t) * (tall + 0.05) + t * 0.07 * round_off
        add(bulge - 0.10 + 0.02 * t, height, False)
    add(-EDGE_THICKNESS * same, 0.03 + 0.07 * round_off, False)
    add(-1.6 * EDGE_THICKNESS * same, 0.6 * tall, False)

    count = len(along)
    cell = np.arange(count - 1)
    quads = []
    for r in range(len(rows) - 1):
        if kinds[r] != kinds[r + 1]:
            continue  # gum and teeth are pieces of their own
        a = r * count + cell
        quad = np.stack([a, a + count, a + count + 1, a + 1], 1)
        quads.append(quad if upper else quad[:, ::-1])
    back = np.abs(np.concatenate(rows)[:, 0]) > 0
    back &= np.tile(tooth >= len(widths) - 1, len(rows))
    return Row(np.concatenate(rows), np.concatenate(quads), np.repeat(kinds, count), back)


def ball(rings: int = 14, sectors: int = 24, reach: float = 0.62 * np.pi) -> tuple[np.ndarray, ...]:
    """A unit ball's front: vertices (V, 3), quads (P, 4), its pole at +z."""
    # Rings lie close where the iris has its edge.
    polar = reach * np.linspace(0, 1, rings + 1)[1:, None] ** 1.2
    around = np.arange(sectors) * 2 * np.pi / sectors
    flat = np.sin(polar)
    cap = np.stack([flat * np.cos(around), flat * np.sin(around),
                    np.broadcast_to(np.cos(polar), flat.shape[:1] + around.shape)], 2)  # fmt: skip
    vertices = np.concatenate([[[0, 0, 1.0]], cap.reshape(-1, 3)])
    k, after = np.arange(sectors), (np.arange(sectors) + 1) % sectors
    quads = [np.stack([0 * k, 1 + k, 1 + after, 1 + after], 1)]
    for ring in range(rings - 1):
        here, there = 1 + ring * sectors, 1 + (ring + 1) * sectors
        quads.append(np.stack([here + k, there + k, there + after, here + after], 1))
    return vertices, np.concatenate(quads)
