"""Lids that close exactly and lie on the eyeball, whatever the shape of a person's eye."""

from dataclasses import dataclass

import numpy as np

CLEARANCE = 0.05  # of the lids' skin over the eyeball, model units
REACH = 0.8  # skin so near the eyeball is lid
ALONG = 0.45  # skin so near the upper edge goes with it to the lower one
PLACES = np.linspace(0, 1, 13)  # from corner to corner, at which the gap is measured


@dataclass(frozen=True, slots=True, eq=False)
class Eye:
    """One eye. upper, lower: vertices of the lids' edges, from corner to corner. ball: vertices of
    the eyeball. skin: (S,) vertices that may be lid."""

    upper: np.ndarray
    lower: np.ndarray
    ball: np.ndarray
    skin: np.ndarray


class _Lid:
    """What of an eye's blink depends on the mean face alone."""

    def __init__(self, vertices: np.ndarray, eye: Eye, blink: np.ndarray) -> None:
        self.eye = eye
        start, stop = vertices[eye.upper[[0, -1]], 0]

        def across(of: np.ndarray) -> np.ndarray:
            return np.clip((vertices[of, 0] - start) / (stop - start), 0, 1)

        self._up, self._low = across(eye.upper), across(eye.lower)
        self._closed = -self._gap(blink)
        self._moved = np.flatnonzero(np.abs(blink).max(1) > 1e-4)
        self._blink = blink[self._moved]

        skin = vertices[eye.skin]
        from_edge = np.linalg.norm(skin[:, None] - vertices[eye.upper], axis=2).min(1)
        share = np.exp(-((from_edge / ALONG) ** 2)) * (across(eye.skin) % 1 > 0)
        lower = np.setdiff1d(eye.lower, eye.upper)
        below = np.interp(across(eye.skin), self._low, vertices[eye.lower, 1])
        share[(skin[:, 1] < below) | np.isin(eye.skin, lower)] = 0
        self._near, self._share = eye.skin[share > 0.01], share[share > 0.01]
        self._place = across(self._near)

        centre, radius = _ball(vertices[eye.ball])
        away = np.linalg.norm(skin - centre, axis=1) - radius
        self._on_ball = eye.skin[away < REACH]
        self._clear = np.clip(away[away < REACH], 0, CLEARANCE)

    def _gap(self, of: np.ndarray) -> np.ndarray:
        upper, lower = of[self.eye.upper, 1], of[self.eye.lower, 1]
        gap = np.interp(PLACES, self._up, upper) - np.interp(PLACES, self._low, lower)
        gap[[0, -1]] = 0
        return gap

    def close(self, vertices: np.ndarray, amount: float) -> None:
        gap = self._gap(vertices)
        size = np.clip((gap @ self._closed) / (self._closed @ self._closed), 0.4, 2.5)
        vertices[self._moved] += amount * size * self._blink
        rest = np.interp(self._place, PLACES, gap - size * self._closed)
        vertices[self._near, 1] -= amount * rest * self._share

    def lift(self, vertices: np.ndarray) -> None:
        centre, radius = _ball(vertices[self.eye.ball])
        away = vertices[self._on_ball] - centre
        distance = np.linalg.norm(away, axis=1)
        lifted = np.maximum(1, (radius + self._clear) / distance)
        vertices[self._on_ball] = centre + away * lifted[:, None]


class Lids:
    """vertices: (V, 3) mean face. eyes: right, left. blinks: (2, V, 3) offsets of a full blink."""

    def __init__(self, vertices: np.ndarray, eyes: list[Eye], blinks: np.ndarray) -> None:
        self._lids = [_Lid(vertices, eye, blink) for eye, blink in zip(eyes, blinks, strict=True)]

    def close(self, vertices: np.ndarray, amounts: np.ndarray) -> None:
        """Blink in place. vertices: (V, 3) of a posed face. amounts: (2,) 0 as they are, 1 shut.

        The blink is made as large as this eye needs, and what is left of the gap is closed by the
        upper lid's edge. Skin that the eyeball would show through is lifted onto it.
        """
        for lid, amount in zip(self._lids, amounts, strict=True):
            if amount:
                lid.close(vertices, float(amount))
            lid.lift(vertices)


def _ball(points: np.ndarray) -> tuple[np.ndarray, float]:
    low, high = points.min(0), points.max(0)
    return (low + high) / 2, float((high - low).mean() / 2)
