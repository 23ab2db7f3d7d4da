"""Batches for a network that follows faces: AUs, landmarks, face or not, and gaze of one crop.

Crops are off as those of a follower are, which cuts them by the landmarks of up to four frames
before. Every crop comes twice, as it is and mirrored: a second look costs no drawing, and the two
can be trained to agree.
"""

from typing import NamedTuple

import numpy as np
import torch

from aucli.align import apply_matrices, turn_directions
from aucli.aus import MIRROR_68, SYNTHETIC_AUS, synthetic_points
from aucli.datasets.series import inexact_matrices
from aucli.datasets.synthetic import (
    HIDDEN_WEIGHT,
    RENDERED_CROP,
    TEMPLATE,
    AUBatches,
    composite,
    draw_hand,
    draw_things,
)
from aucli.synth.negatives import hide_face, nothing, shuffle_parts

# How far a face lies from where it was one to four frames before, in crops of 128 px. Followed by
# the landmark network over 842 frames of three films, the median shift was .1-1.9 px and the 99th
# percentile 10.3 px, those of the turn .002-.01 and .22 rad, those of the log scale .004 and .05.
SHIFT_PX, TURN_RADIANS, LOG_SCALE = 1.7, 0.03, 0.015  # of Laplace distributions: long tails
# A share of the crops is this much wider of the mark: after a jolt, before the second look.
JOLTED, JOLT = 0.12, 3.0

SEEN_BELOW = 3.0  # AU45 from which an eye does not show where it looks
UNSEEN_WEIGHT = 0.1


class JointBatch(NamedTuple):
    """Crops and all that can be seen in them; crop N/2 + i is crop i mirrored.

    images (N, 3, S, S) uint8; points (N, P, 2) crop px; intensities (N, P), 0-5, two points an AU,
    L then R; weights (N, P), 0 without a face; landmarks (N, 68, 2) crop px; landmark_weights
    (N, 68), 0 without a face; is_face (N,) 0 or 1; gaze (N, 2, 3) as of ``Sight``; gaze_weights
    (N, 2), 0 where it is not known.
    """

    images: torch.Tensor
    points: torch.Tensor
    intensities: torch.Tensor
    weights: torch.Tensor
    landmarks: torch.Tensor
    landmark_weights: torch.Tensor
    is_face: torch.Tensor
    gaze: torch.Tensor
    gaze_weights: torch.Tensor


class JointBatches(AUBatches):
    """Crops of followed faces, and some that show none (any more)."""

    negatives = 0.15
    occluded = 0.2
    cut = 0.1
    kinds = (
        "off", "far", "near", "background", "close", "thing", "hand", "shuffled", "faceless",
        "nothing",
    )  # fmt: skip
    shares = (0.22, 0.05, 0.09, 0.1, 0.12, 0.11, 0.09, 0.1, 0.08, 0.04)

    def make(self, rng: np.random.Generator) -> JointBatch:  # type: ignore[override]
        count, size, store = self.batch_size // 2, self.crop_size, self.store
        index = np.searchsorted(self._cumulative, rng.random(count) * self._cumulative[-1])
        is_face = rng.random(count) >= self.negatives
        kinds = np.where(is_face, "face", rng.choice(self.kinds, count, p=self.shares))
        true = store.landmarks[index]
        matrices = followed_matrices(rng, true, size)
        for i in np.flatnonzero(~is_face):
            matrices[i] = _away(rng, matrices[i], str(kinds[i]), size)
        crops = composite(store, index, matrices, rng, self.backgrounds, size)
        points = apply_matrices(true, matrices).astype(np.float32)
        for i in np.flatnonzero(~is_face):
            crops[i] = self._no_face(rng, crops[i], points[i], str(kinds[i]))
        images = torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous()
        landmarks, seen = torch.from_numpy(points), torch.from_numpy(store.visible[index])
        images, visible = self._finish(rng, images, landmarks, seen)

        face = torch.from_numpy(is_face).float()
        places = torch.from_numpy(synthetic_points(points))
        weights = self._au_weights(places, landmarks, seen & ~visible) * face[:, None, None]
        of_landmarks = torch.where(visible, 1.0, HIDDEN_WEIGHT) * face[:, None]
        intensities = torch.from_numpy(store.sides[index])
        gaze = torch.from_numpy(turn_directions(store.gaze[index], matrices))
        of_gaze = _gaze_weights(gaze, intensities, visible) * face[:, None]
        once = (places, intensities, weights, landmarks, of_landmarks, gaze.nan_to_num(), of_gaze)
        both = (torch.cat(pair) for pair in zip(once, _mirrored(size, *once), strict=True))
        places, intensities, weights, landmarks, of_landmarks, gaze, of_gaze = both
        return JointBatch(
            torch.cat([images, images.flip(3)]),
            places.flatten(1, 2),
            intensities.flatten(1),
            weights.flatten(1),
            landmarks,
            of_landmarks,
            face.repeat(2),
            gaze,
            of_gaze,
        )

    def _no_face(
        self, rng: np.random.Generator, crop: np.ndarray, points: np.ndarray, kind: str
    ) -> np.ndarray:
        """What a crop (S, S, 3) of a kind shows; ``off``, ``far`` and ``near`` stay as they are."""
        if kind == "close":
            return self.backgrounds.cut_close(rng, self.crop_size)
        if kind in ("background", "hand", "thing"):
            crop = self.backgrounds.cut(rng, self.crop_size)
        if kind == "hand":
            return draw_hand(rng, crop, self.sprites)
        if kind == "thing":
            return draw_things(rng, crop, self.things)
        if kind == "shuffled":
            return shuffle_parts(rng, crop, points)
        if kind == "faceless":
            return hide_face(rng, crop, points)
        if kind == "nothing":
            return nothing(rng, self.crop_size)
        return crop


def followed_matrices(rng: np.random.Generator, landmarks: np.ndarray, size: int) -> np.ndarray:
    """Alignments (N, 2, 3) by landmarks (N, 68, 2) px as a follower knows them: not exactly, and
    where they were up to four frames before."""
    count = len(landmarks)
    more = 1.5 * np.where(rng.random(count) < JOLTED, JOLT, 1.0)
    more *= rng.random(count)  # a crop may be of this frame or of long before
    shift = rng.laplace(0, SHIFT_PX * size / RENDERED_CROP, (count, 2)) * more[:, None]
    turn, scale = rng.laplace(0, TURN_RADIANS, count), rng.laplace(0, LOG_SCALE, count)
    exact = inexact_matrices(rng, landmarks, TEMPLATE, size)
    return _moved(exact, scale * more, turn * more, shift, size)


def _away(rng: np.random.Generator, matrix: np.ndarray, kind: str, size: int) -> np.ndarray:
    """An alignment (2, 3) that leaves the face: beside it, far from it or within it."""
    angle, scale, reach = rng.uniform(0, 2 * np.pi), 0.0, 0.0
    if kind == "off":
        scale, reach = rng.uniform(np.log(0.65), np.log(1.4)), rng.uniform(0.5, 0.95)
    elif kind == "far":
        scale, reach = -rng.uniform(np.log(2.8), np.log(6.0)), rng.uniform(0, 0.25)
    elif kind == "near":
        scale, reach = rng.uniform(np.log(2.2), np.log(4.5)), rng.uniform(0, 0.5)
    shift = reach * size * np.array([[np.cos(angle), np.sin(angle)]])
    return _moved(matrix[None], np.array([scale]), np.zeros(1), shift, size)[0]


def _moved(
    matrices: np.ndarray, scale: np.ndarray, turn: np.ndarray, shift: np.ndarray, size: int
) -> np.ndarray:
    """Alignments (N, 2, 3), then grown by exp(scale), turned (rad) and shifted (px) about the
    crop's middle."""
    a, b = np.exp(scale) * np.cos(turn), np.exp(scale) * np.sin(turn)
    linear = np.stack([np.stack([a, -b], 1), np.stack([b, a], 1)], 1)  # (N, 2, 2)
    middle = np.full(2, (size - 1) / 2)
    move = shift + middle - linear @ middle
    return linear @ matrices + np.concatenate([np.zeros((len(move), 2, 2)), move[..., None]], 2)


def _gaze_weights(
    gaze: torch.Tensor, intensities: torch.Tensor, visible: torch.Tensor
) -> torch.Tensor:
    """(N, 2): 0 where the gaze is not known, little for an eye that is shut or hidden."""
    known = gaze.isfinite().all(2).float()
    shut = intensities[:, SYNTHETIC_AUS.index("AU45")].flip(1) >= SEEN_BELOW  # eye 0 is the right
    eyes = torch.stack([visible[:, 36:42], visible[:, 42:48]], 1).float().mean(2)
    return known * torch.where(shut | (eyes < 0.5), UNSEEN_WEIGHT, 1.0)


def _mirrored(size: int, *once: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """places, intensities, weights, landmarks, their weights, gaze and its weights, mirrored."""
    places, intensities, weights, landmarks, of_landmarks, gaze, of_gaze = once
    order = torch.from_numpy(MIRROR_68)
    across = torch.tensor([-1.0, 1.0])
    edge = torch.tensor([size - 1.0, 0.0])
    return (
        places.flip(2) * across + edge,
        intensities.flip(2),
        weights.flip(2),
        landmarks[:, order] * across + edge,
        of_landmarks[:, order],
        gaze.flip(1) * torch.tensor([-1.0, 1.0, 1.0]),
        of_gaze.flip(1),
    )
