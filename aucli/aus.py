"""The vocabulary of facial Action Units: names, places on the face, dataset sets.

An AU is written ``AU06`` everywhere. Places are means of the 68 iBUG landmarks (0-based) plus a
shift, so one row per AU describes it fully. L and R are the person's own left and right: on an
unmirrored image the person's right side has the smaller x.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MAX_INTENSITY = 5.0

NAMES = {
    "AU01": "Inner brow raiser",
    "AU02": "Outer brow raiser",
    "AU04": "Brow lowerer",
    "AU05": "Upper lid raiser",
    "AU06": "Cheek raiser",
    "AU07": "Lid tightener",
    "AU09": "Nose wrinkler",
    "AU10": "Upper lip raiser",
    "AU12": "Lip corner puller",
    "AU14": "Dimpler",
    "AU15": "Lip corner depressor",
    "AU17": "Chin raiser",
    "AU18": "Lip pucker",
    "AU20": "Lip stretcher",
    "AU22": "Lip funneler",
    "AU24": "Lip pressor",
    "AU25": "Lips part",
    "AU26": "Jaw drop",
    "AU28": "Lip suck",
    "AU43": "Eyes closed",
    "AU45": "Blink",
}

SYNTHETIC_AUS = tuple(name for name in NAMES if name != "AU43")
DISFA_AUS = ("AU01", "AU02", "AU04", "AU05", "AU06", "AU09", "AU12", "AU15", "AU17", "AU20",
             "AU25", "AU26")  # fmt: skip
BP4D_AUS = ("AU06", "AU10", "AU12", "AU14", "AU17")

SIDES = ("L", "R")

# iBUG index of the same point on the mirrored face.
MIRROR_68 = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31,
     45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
     54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A point as a mean of landmarks plus a shift along the face's own axes.

    The point is written for the person's RIGHT side (smaller x); the left one mirrors it, unless it
    lies on the ``midline``. ``down`` and ``out`` are in units of the distance between the eye
    centres: towards the chin, and away from the midline towards the person's right.
    """

    landmarks: tuple[int, ...]
    down: float = 0.0
    out: float = 0.0
    midline: bool = False


Places = dict[str, tuple[Place, ...]]

# Where each AU shows most on the surface; midline AUs still get one place a side.
SYNTHETIC_PLACES: Places = {
    "AU01": (Place((21,)),),
    "AU02": (Place((18,)),),
    "AU04": (Place((20, 21), down=0.12),),
    "AU05": (Place((37, 38)),),
    "AU06": (Place((40, 41), down=0.25),),
    "AU07": (Place((40, 41)),),
    "AU09": (Place((31, 39)),),
    "AU10": (Place((50,)),),
    "AU12": (Place((48,)),),
    "AU14": (Place((48,), out=0.20),),
    "AU15": (Place((48,), down=0.18),),
    "AU17": (Place((7, 58)),),
    "AU18": (Place((49, 59), out=-0.10),),
    "AU20": (Place((4, 48)),),
    "AU22": (Place((49, 50)),),
    "AU24": (Place((60, 61), out=-0.05),),
    "AU25": (Place((61, 67)),),
    "AU26": (Place((7, 8), down=-0.1),),
    "AU28": (Place((58, 59)),),
    "AU43": (Place((36, 39)),),
    "AU45": (Place((36, 39)),),
}

# The points of Fan et al. 2020: ten for BP4D's five AUs, 24 for DISFA's twelve. How many an AU has
# is published, and where those of BP4D lie in one example crop; the landmarks that stand for them
# are this project's reading of both. AU07 and AU43, of other datasets, are added.
FAN2020_PLACES: Places = {
    "AU01": (Place((21,)),),
    "AU02": (Place((18,)),),
    "AU04": (Place((21, 22), midline=True),),
    "AU05": (Place((37, 38)),),
    "AU06": (Place((1, 41, 31)),),
    "AU07": (Place((40, 41)),),
    "AU09": (Place((31,)), Place((28,), midline=True)),
    "AU10": (Place((49,)),),
    "AU12": (Place((48,)),),
    "AU14": (Place((48,), out=0.20),),
    "AU15": (Place((48,), down=0.18),),
    "AU17": (Place((57, 8), down=-0.08, midline=True), Place((8,), down=-0.12, midline=True)),
    "AU20": (Place((48,), out=0.10),),
    "AU25": (Place((61, 67)),),
    "AU26": (Place((7, 8), down=-0.1),),
    "AU43": (Place((36, 39)),),
}

POINT_SETS = {"synthetic": SYNTHETIC_PLACES, "fan2020": FAN2020_PLACES}


def point_names(aus: Sequence[str], places: Places) -> tuple[str, ...]:
    """One name for each point of the AUs: ``AU06_L``, ``AU06_R``, ``AU04`` on the midline."""
    return tuple(
        name
        for au in aus
        for place in places[au]
        for name in ((au,) if place.midline else (f"{au}_L", f"{au}_R"))
    )


def au_points(landmarks: np.ndarray, aus: Sequence[str], places: Places) -> np.ndarray:
    """Where the AUs act. landmarks: (N, 68, 2) px, any frame. Returns (N, P, 2), same frame and
    dtype, in the order of :func:`point_names`."""
    right_eye = landmarks[:, 36:42].mean(1)  # (N, 2)
    left_eye = landmarks[:, 42:48].mean(1)
    along = left_eye - right_eye  # (N, 2): one eye distance, towards the person's left
    down = np.stack([-along[:, 1], along[:, 0]], 1)  # (N, 2): one eye distance, towards the chin
    points = []
    for au in aus:
        for place in places[au]:
            shift, outwards = place.down * down, place.out * along
            if not place.midline:
                mirrored = [MIRROR_68[i] for i in place.landmarks]
                points.append(landmarks[:, mirrored].mean(1) + shift + outwards)
            points.append(landmarks[:, list(place.landmarks)].mean(1) + shift - outwards)
    return np.stack(points, 1).astype(landmarks.dtype, copy=False)


def synthetic_points(landmarks: np.ndarray) -> np.ndarray:
    """Places of every AU of :data:`SYNTHETIC_AUS`, both sides.

    landmarks: (N, 68, 2) px, any frame. Returns (N, A, 2, 2): AU, side (L, R), xy, same frame.
    """
    points = au_points(landmarks, SYNTHETIC_AUS, SYNTHETIC_PLACES)
    return points.reshape(len(landmarks), len(SYNTHETIC_AUS), 2, 2)
