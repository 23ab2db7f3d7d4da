"""The colours of intensities: one scale from 0 to 5 in every picture and film.

It is viridis (van der Walt and Smith 2015), which gets lighter from end to end for every kind of
colour vision.
"""

import numpy as np

from aucli.aus import MAX_INTENSITY

# Viridis at eight equal steps.
_VIRIDIS = np.array(
    [(68, 1, 84), (70, 50, 126), (54, 92, 141), (39, 127, 142),
     (31, 161, 135), (74, 193, 109), (160, 218, 57), (253, 231, 37)], np.float32,
)  # fmt: skip


def of_intensities(values: np.ndarray) -> np.ndarray:
    """Intensities (...,), 0-5, as RGB (..., 3) float, 0-255."""
    steps = np.linspace(0, MAX_INTENSITY, len(_VIRIDIS))
    return np.stack([np.interp(values, steps, channel) for channel in _VIRIDIS.T], -1)
