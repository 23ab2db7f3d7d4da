"""Scores of rendered people by who they are and how they are seen: by family, age, beard, glasses
and yaw, and of small faces."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np

from aucli.datasets.synthetic import WORN
from aucli.evaluation.rendered import (
    YAW_DEGREES,
    HeldOut,
    gaze_errors,
    landmark_errors,
    true_intensities,
)
from aucli.evaluation.scores import COUNT, validation_scores
from aucli.models.predict import AUModel, Look

SMALL_PX = (24, 80)  # longer side of a small face's box
FRONTAL_DEGREES = 30
AGES = {"baby": "babies", "child": "children", "adult": "adults", "old": "old people"}


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What was measured of N faces.

    aus: A names. predicted, true: (N, A) intensities. landmarks, followed: (N,) mean error of the
    landmarks of a new face and of one look at a followed one, over the distance between the outer
    eye corners. gaze: (N,) degrees off. NaN where it is not known.
    """

    aus: tuple[str, ...]
    predicted: np.ndarray
    true: np.ndarray
    landmarks: np.ndarray
    followed: np.ndarray
    gaze: np.ndarray

    @classmethod
    def of(
        cls,
        held_out: HeldOut,
        model: AUModel,
        predicted: np.ndarray,
        landmarks: np.ndarray,
        look: Look | None,
    ) -> Self:
        """predicted: (N, A) of ``predict_held_out``. landmarks: (N, 68, 2) px of
        ``find_landmarks``. look: of ``follow_held_out``."""
        followed = gaze = np.full(len(landmarks), np.nan)
        if look is not None:
            followed = landmark_errors(look.landmarks, held_out).mean(1)
            if model.knows_gaze and held_out.gaze is not None:
                gaze = gaze_errors(look.gaze, held_out.gaze).mean(1)
        return cls(
            tuple(model.aus),
            predicted,
            true_intensities(held_out, model.aus),
            landmark_errors(landmarks, held_out).mean(1),
            followed,
            gaze,
        )

    def scores(self, chosen: np.ndarray) -> dict[str, float]:
        """Of the faces chosen (N,) bool, at least one: their count, then means; NaN where none is
        known."""
        read = validation_scores(self.predicted[chosen], self.true[chosen], self.aus)
        return {
            COUNT: float(chosen.sum()),
            "icc31": read["icc31"],
            "mae": read["mae"],
            "nme": _mean(self.landmarks[chosen]),
            "nme_followed": _mean(self.followed[chosen]),
            "gaze": _mean(self.gaze[chosen]),
        }


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def strata(held_out: HeldOut) -> Iterator[tuple[str, np.ndarray]]:
    """Each stratum that the faces tell, with its members, (N,) bool; some may have none."""
    if held_out.family is not None:
        for name in sorted({*held_out.family} - {""}):
            yield f"family {name}", held_out.family == name
    if held_out.age is not None:
        for age, name in AGES.items():
            yield name, held_out.age == age
    if held_out.worn is not None:
        for column, name in enumerate(WORN):
            for value, word in ((1, "with"), (0, "without")):
                yield f"{word} {name}", held_out.worn[:, column] == value
    turned = np.degrees(np.abs(held_out.yaw_radians))
    yield f"yaw up to {FRONTAL_DEGREES}", turned <= FRONTAL_DEGREES
    for low, high in pairwise(YAW_DEGREES):
        yield f"yaw {low}-{high}", (turned >= low) & (turned < high)


def stratum_scores(
    held_out: HeldOut, measured: Measured, small: Measured
) -> dict[str, dict[str, float]]:
    """Scores of all faces, of each stratum that has members, and of the same faces ``small``."""
    everybody = np.ones(len(held_out.identity), bool)
    rows = {"all": measured.scores(everybody)}
    rows |= {name: measured.scores(chosen) for name, chosen in strata(held_out) if chosen.any()}
    return rows | {"small": small.scores(everybody)}
