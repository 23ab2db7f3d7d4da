"""From the lip points of our renders to those of iBUG's markup.

On both families of faces, points of the lips between the corners and the middle were put too far
outwards. Networks that learned from these renders see them there, on the right line. The shares
were measured on renders, ``examples/studies/lip_points.py``.
"""

import numpy as np

# Point, its neighbour towards the middle, and the share of the way to it; both sides alike.
LIP_SHARES = (
    ((49, 53), (50, 52), 0.36),
    ((55, 59), (56, 58), 0.64),
    ((56, 58), (57, 57), 0.36),
    ((61, 63), (62, 62), 0.46),
    ((65, 67), (66, 66), 0.46),
)


def to_ibug(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks (..., 68, 2) px of a network that learned from our renders, as iBUG marks them."""
    moved = landmarks.copy()
    for points, inner, share in LIP_SHARES:
        own = landmarks[..., points, :]
        moved[..., points, :] = own + share * (landmarks[..., inner, :] - own)
    return moved
