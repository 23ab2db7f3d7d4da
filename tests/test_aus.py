"""Where AUs lie on the landmarks."""

import numpy as np
from synthetic_faces import mean_face

from aucli import aus


def test_fan2020_has_as_many_points_as_published() -> None:
    disfa = aus.point_names(aus.DISFA_AUS, aus.FAN2020_PLACES)
    assert len(disfa) == 24 and disfa.count("AU04") == 1
    assert [n for n in disfa if n.startswith("AU09")] == ["AU09_L", "AU09_R", "AU09"]
    bp4d = aus.point_names(aus.BP4D_AUS, aus.FAN2020_PLACES)
    assert len(bp4d) == 10 and bp4d[-2:] == ("AU17", "AU17")


def test_sides_mirror_and_midline_points_stay() -> None:
    face = mean_face()[None].astype(np.float64)
    mirrored = face[:, aus.MIRROR_68].copy()
    mirrored[..., 0] = 191 - mirrored[..., 0]
    names = aus.point_names(aus.DISFA_AUS, aus.FAN2020_PLACES)
    one = aus.au_points(face, aus.DISFA_AUS, aus.FAN2020_PLACES)[0]
    other = aus.au_points(mirrored, aus.DISFA_AUS, aus.FAN2020_PLACES)[0]
    swapped = [n[:-1] + {"L": "R", "R": "L"}[n[-1]] if "_" in n else n for n in names]
    for k, name in enumerate(names):
        twin = [i for i, n in enumerate(swapped) if n == name][names[:k].count(name)]
        assert np.allclose(one[k] * [-1, 1] + [191, 0], other[twin])
    left, right = names.index("AU12_L"), names.index("AU12_R")
    assert np.allclose(one[[left, right]], face[0, [54, 48]])  # the person's left is to the right


def test_synthetic_points_are_sides_of_aus() -> None:
    face = mean_face()[None]
    points = aus.synthetic_points(face)
    assert points.shape == (1, len(aus.SYNTHETIC_AUS), 2, 2) and points.dtype == face.dtype
    names = aus.point_names(aus.SYNTHETIC_AUS, aus.SYNTHETIC_PLACES)
    assert names[:4] == ("AU01_L", "AU01_R", "AU02_L", "AU02_R")
