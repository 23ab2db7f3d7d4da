"""Lips that touch at rest, whatever the shape of a person's mouth."""

import numpy as np

UPPER, LOWER = (61, 62, 63), (67, 66, 65)  # landmarks of the inner lips, from right to left
CORNERS = (60, 64)
REACH = 1.0  # model units from the seam at which skin hardly moves with it


class Lips:
    """vertices: (V, 3) mean face. landmarks: (68,) of its vertices. skin: (S,) vertices that may
    move. gap: between the inner lips at rest, model units."""

    def __init__(
        self, vertices: np.ndarray, landmarks: np.ndarray, skin: np.ndarray, gap: float
    ) -> None:
        self._landmarks, self._gap = landmarks, gap
        right, left = vertices[landmarks[list(CORNERS)]]
        middle = (vertices[landmarks[list(UPPER)]] + vertices[landmarks[list(LOWER)]]) / 2
        seam = np.stack([right, *middle, left])
        x, y, z = vertices[skin].T
        above = y - np.interp(x, seam[:, 0], seam[:, 1])
        behind = z - np.interp(x, seam[:, 0], seam[:, 2])
        share = np.exp(-(above**2 + (behind / 2) ** 2) / REACH**2) * np.sign(above) / 2
        moving = (np.abs(share) > 0.01) & (x > right[0]) & (x < left[0])
        self._skin, self._share = skin[moving], share[moving]
        self._across = np.searchsorted(seam[:, 0], x[moving]) - 1
        start, stop = seam[self._across, 0], seam[self._across + 1, 0]
        self._between = (x[moving] - start) / (stop - start)

    def touch(self, vertices: np.ndarray) -> None:
        """Move the lips of a face at rest (V, 3) in place until they are ``gap`` apart."""
        upper, lower = (vertices[self._landmarks[list(row)], 1] for row in (UPPER, LOWER))
        apart = np.concatenate([[0], upper - lower - self._gap, [0]])
        here = apart[self._across] * (1 - self._between) + apart[self._across + 1] * self._between
        vertices[self._skin, 1] -= self._share * here
