"""Lids that close exactly and lie on the eyeball, whatever the shape of a person's eye."""

from dataclasses import dataclass

import numpy as np

CLEARANCE = 0.05  # of the lids' skin over the eyeball, model units
REACH = 0.45  # skin so near the eyeball is lid
PLACES = np.linspace(0, 1, 13)  # across the eye, at which the gap is measured


@dataclass(frozen=True, slots=True, eq=False)
class Eye:
    """One eye. upper, lower: vertices of the lids' edges, from corner to corner. ball: vertices of
    the eyeball. skin: (S,) vertices near it."""

    upper: np.ndarray
    lower: np.ndarray
    ball: np.ndarray
    skin: np.ndarray


class Lids:
    """vertices: (V, 3) mean face. eyes: right, left. blinks: (2, V, 3) offsets of a full blink."""

    def __init__(self, vertices: np.ndarray, eyes: tuple[Eye, Eye], blinks: np.ndarray) -> None:
        self._eyes = []
        for eye, blink in zip(eyes, blinks, strict=True):
            corners = vertices[eye.upper[[0, -1]], 0]
            moved = np.flatnonzero(np.abs(blink).max(1) > 1e-4)

            def across(of: np.ndarray, corners: np.ndarray = corners) -> np.ndarray:
                return np.clip((vertices[of, 0] - corners[0]) / np.ptp(corners) *
                               np.sign(corners[1] - corners[0]), 0, 1)  # fmt: skip

            centre, radius = _ball(vertices[eye.ball])
            far = np.linalg.norm(vertices[eye.skin] - centre, axis=1) - radius
            on_ball = eye.skin[far < REACH]
            clear = np.clip(far[far < REACH], 0, CLEARANCE)
            self._eyes.append(
                (eye, moved, across(moved), across(eye.upper), across(eye.lower), on_ball, clear)
            )

    def close(self, vertices: np.ndarray, blinks: np.ndarray, amounts: np.ndarray) -> None:
        """Blink in place. vertices: (V, 3) of a posed face. amounts: (2,) 0 as they are, 1 shut.

        The blink is scaled along the lids so that at 1 their edges meet; then skin that the
        eyeball would show through is lifted onto it.
        """
        for (eye, moved, place, up, low, on_ball, clear), blink, amount in zip(
            self._eyes, blinks, amounts, strict=True
        ):
            if amount:
                gap, closed = (
                    np.interp(PLACES, up, of[eye.upper, 1])
                    - np.interp(PLACES, low, of[eye.lower, 1])
                    for of in (vertices, -blink)
                )
                factor = np.clip((gap + 0.02) / (closed + 0.02), 0, 2.5)
                vertices[moved] += amount * np.interp(place, PLACES, factor)[:, None] * blink[moved]
            centre, radius = _ball(vertices[eye.ball])
            away = vertices[on_ball] - centre
            distance = np.linalg.norm(away, axis=1)
            lift = np.maximum(1, (radius + clear) / distance)
            vertices[on_ball] = centre + away * lift[:, None]


def _ball(points: np.ndarray) -> tuple[np.ndarray, float]:
    low, high = points.min(0), points.max(0)
    return (low + high) / 2, float((high - low).mean() / 2)
