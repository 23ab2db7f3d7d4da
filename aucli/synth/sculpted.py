"""Face shapes of our own, the same in every family: what the families' makers drew too weakly.

Judged beside photographs: in a frown the skin over the eye comes down with the brow, in a raised
cheek the flesh comes forward, and a raised chin makes a boss below a crease. Lengths are those of
the shared frame (``families``), at weight 1.
"""

import numpy as np

DROP = 1.0  # of the inner end of the brow
CHEEK = np.array([0.1, 0.35, 0.85])  # outwards, up, forward
CHEEK_AT, CHEEK_REACH = (3.9, -2.6), (1.6, 1.3)  # x; y against the lower lid
BOSS, BOSS_REACH = np.array([0, 0.2, 0.5]), (1.35, 0.75)
CREASE, CREASE_REACH = np.array([0, 0, -0.3]), (1.3, 0.32)
NAMES = ("browFrown_L", "browFrown_R", "cheekBall_L", "cheekBall_R", "chinBoss")


def ramp(values: np.ndarray, start: float, stop: float) -> np.ndarray:
    """0 before ``start``, 1 beyond ``stop``, smooth between."""
    t = np.clip((values - start) / (stop - start), 0, 1)
    return t * t * (3 - 2 * t)


def _bell(x: np.ndarray, y: np.ndarray, reach: tuple[float, float]) -> np.ndarray:
    return np.exp(-((x / reach[0]) ** 2) - (y / reach[1]) ** 2)


def from_lid(vertices: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(V,) how far below the edge of the lower lid a vertex lies, beside the eye below its corner.

    vertices: (V, 3) mean face. landmarks: (68,) of its vertices.
    """
    away = np.abs(vertices[:, 0])
    lid = vertices[landmarks[[42, 47, 46, 45]]]
    return np.interp(away, lid[:, 0], lid[:, 1]) - vertices[:, 1]


def sculpted(vertices: np.ndarray, landmarks: np.ndarray, skin: int) -> np.ndarray:
    """(5, V, 3) float32 offsets of NAMES.

    vertices: (V, 3) mean face. landmarks: (68,) of its vertices. skin: how many of the vertices,
    the first ones, may move.
    """
    offsets = np.zeros((len(NAMES), len(vertices), 3), np.float32)
    x, y, z = vertices[:skin].T
    facing = ramp(z, 4.5, 8.0)
    below_lid = from_lid(vertices, landmarks)[:skin]
    for k, side in enumerate((1, -1)):
        out = side * x  # towards this side's ear
        own = ramp(out, -0.5, 0.5)
        offsets[k, :skin] = _frown(vertices[landmarks], out, y) * (facing * own)[:, None]
        ball = _bell(out - CHEEK_AT[0], -below_lid - CHEEK_AT[1], CHEEK_REACH)
        ball *= ramp(below_lid, 0.2, 1.6) * ramp(out, 1.4, 2.8) * facing
        offsets[2 + k, :skin] = ball[:, None] * CHEEK * (side, 1, 1)
    lip, chin = vertices[landmarks[[57, 8]], 1]
    boss = _bell(x, y - (0.4 * lip + 0.6 * chin), BOSS_REACH)
    crease = _bell(x, y - (0.72 * lip + 0.28 * chin), CREASE_REACH)
    kept = facing * ramp(lip - y, 0.1, 0.6)
    offsets[4, :skin] = kept[:, None] * (boss[:, None] * BOSS + crease[:, None] * CREASE)
    return offsets


def _frown(points: np.ndarray, out: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, 3) of one side: the brow comes down, most of all its inner end, and the skin below it is
    pushed over the lid. points: (68, 3)."""
    brow, lid = points[22:27], points[[42, 43, 44, 45]]
    high = np.interp(out, brow[:, 0], brow[:, 1])
    low = np.interp(out, lid[:, 0], lid[:, 1]) + 0.25
    along = np.interp(out, (-0.5, 0.6, 1.3, 2.6, 4.2, 6.0, 7.5), (0.7, 0.85, 1, 0.75, 0.45, 0.2, 0))
    between = np.clip((y - low) / (high - low), 0, 1)
    down = np.where(y > high, np.exp(-(((y - high) / 2.2) ** 2)), between**0.6)
    bulge = np.where(y > high, np.exp(-(((y - high) / 1.0) ** 2)), between)
    return np.stack([np.zeros_like(y), -DROP * along * down, 0.3 * along * bulge], 1)
