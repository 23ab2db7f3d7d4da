"""The 66 points of the AAM trackers behind DISFA and UNBC-McMaster as the 68 iBUG landmarks."""

from pathlib import Path

import numpy as np

from aucli.datasets.matlab import read_matrix
from aucli.errors import DataError

POINTS = 66
FARTHEST_PX = 1e5  # from the corner of a frame
# The 66 are the 68 without the inner corners of the mouth, 60 and 64.
_KEPT = np.array([i for i in range(68) if i not in (60, 64)])
# An inner corner lies so far inside the outer one, in widths of the mouth; the mean face's value.
INNER_CORNER = 0.06


def to_68(points: np.ndarray) -> np.ndarray:
    """(66, 2) px -> (68, 2) float32 px; the inner mouth corners are set on the mouth's axis."""
    full = np.empty((68, 2), np.float32)
    full[_KEPT] = points
    width = full[54] - full[48]
    full[60] = full[48] + INNER_CORNER * width
    full[64] = full[54] - INNER_CORNER * width
    return full


def checked(path: Path, points: object) -> np.ndarray:
    """The points of a file as 68. Raises DataError where they are not 66 (x, y) in px."""
    array = np.asarray(points, np.float64)
    if array.shape != (POINTS, 2) or not (np.abs(array) < FARTHEST_PX).all():  # nan is not
        raise DataError(f"{path} does not hold {POINTS} points (x, y); restore the file.")
    return to_68(array)


def read_mat(path: Path) -> np.ndarray:
    """(68, 2) float32 px from the variable ``pts`` of a MATLAB file. Raises DataError."""
    try:
        points = read_matrix(path, "pts")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a MATLAB file; copy it again.") from error
    return checked(path, points)


def read_text(path: Path) -> np.ndarray:
    """(68, 2) float32 px from lines ``x y``, also in scientific notation. Raises DataError."""
    try:
        points = [[float(value) for value in line.split()] for line in path.read_text().split("\n")]
        return checked(path, [point for point in points if point])
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as lines 'x y'; restore the file.") from error
