"""How far boxes cover each other. A box is (x0, y0, x1, y1) px."""

import numpy as np


def overlaps(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Overlap of every pair of boxes.

    a: (n, 4), b: (m, 4) px. Returns (n, m) intersection over union and (n, m) share of the
    smaller box that is covered, both 0-1.
    """
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)  # (n, m)
    area_a = np.clip(a[:, 2:] - a[:, :2], 1e-6, None).prod(1)[:, None]
    area_b = np.clip(b[:, 2:] - b[:, :2], 1e-6, None).prod(1)[None]
    return shared / (area_a + area_b - shared), shared / np.minimum(area_a, area_b)
