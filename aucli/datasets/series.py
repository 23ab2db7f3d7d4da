"""Endless series of training batches that any number of processes can share."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from aucli.align import align_matrices
from aucli.augment import jitter_matrices

Batch = TypeVar("Batch", bound=NamedTuple)


class AUBatch(NamedTuple):
    """images (N, 3, S, S) uint8; points (N, P, 2) crop px; intensities (N, P), 0-5, and weights
    (N, P), 0 where not labelled; landmarks (N, 68, 2) crop px; landmark_weights (N, 68).

    Rendered faces have two points an AU, L then R."""

    images: torch.Tensor
    points: torch.Tensor
    intensities: torch.Tensor
    weights: torch.Tensor
    landmarks: torch.Tensor
    landmark_weights: torch.Tensor


class Series(IterableDataset[Batch]):
    """Batch ``start``, ``start + 1``, ... of a series that depends on the seed alone.

    Loader processes and training processes (``rank`` of ``world``) take turns, so that any number
    of them gives the same batches, and a resumed run sees what an undisturbed one would have seen.
    """

    def __init__(
        self, batch_size: int, seed: int, start: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        self.batch_size, self.seed, self.start = batch_size, seed, start
        self.rank, self.world = rank, world

    @property
    def fingerprint(self) -> str:
        """Of the faces that the batches are made of; other faces have another one."""
        raise NotImplementedError

    def batch(self, number: int) -> Batch:
        """The batch of a number, always the same."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for number in itertools.count(self.start + first, step):
            yield self.batch(number * self.world + self.rank)


def inexact_matrices(
    rng: np.random.Generator, landmarks: np.ndarray, template: str, px: int
) -> np.ndarray:
    """Alignments (N, 2, 3) as imprecise as predicted landmarks make them.

    landmarks: (N, 68, 2) px, the true ones. template: of ``align.TEMPLATES``. px: side of the crop.
    """
    eyes = np.linalg.norm(landmarks[:, 36] - landmarks[:, 45], axis=1)[:, None, None]
    noise = rng.normal(0, 0.02, landmarks.shape) + rng.normal(0, 0.025, (len(landmarks), 1, 2))
    aligned = align_matrices((landmarks + eyes * noise).astype(landmarks.dtype), template, px)
    jitter = jitter_matrices(rng, len(landmarks), px, shift=1.5 * px / 128)
    turn = jitter[:, :, :2] @ aligned[:, :, :2]
    move = jitter[:, :, :2] @ aligned[:, :, 2:] + jitter[:, :, 2:]
    return np.concatenate([turn, move], 2)
