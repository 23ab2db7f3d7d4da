"""Prepared faces to aligned crops: batches for training, and predictions for validation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from aucli import augment
from aucli.align import align_matrices, apply_matrices, warp_crops
from aucli.aus import POINT_SETS, au_points, point_names
from aucli.datasets.prepared import PreparedFaces
from aucli.datasets.series import AUBatch, Series, inexact_matrices
from aucli.models.predict import AUModel, predict_crops

CROPS_AT_ONCE = 64
# An AU counts as active from the second of the five levels on.
ACTIVE = 2.0


def aligned_crops(
    faces: PreparedFaces, index: Sequence[int] | np.ndarray, template: str, px: int
) -> np.ndarray:
    """Crops (N, px, px, 3) uint8 by a template of ``align.TEMPLATES``."""
    images = [faces.image(int(i)) for i in index]
    return warp_crops(images, align_matrices(faces.landmarks[index], template, px), px)


def predict_faces(model: AUModel, faces: PreparedFaces, index: np.ndarray) -> np.ndarray:
    """Intensities (N, A) float32, 0-5, of prepared faces; A in the order of the model."""
    parts = [
        predict_crops(model, aligned_crops(faces, part, model.template, model.crop_size))
        for part in np.split(index, range(CROPS_AT_ONCE, len(index), CROPS_AT_ONCE))
    ]
    return np.concatenate([part.intensities for part in parts])


@dataclass(frozen=True, slots=True)
class CropSettings:
    """How faces become crops: see :class:`aucli.train.config.TrainConfig`."""

    px: int
    template: str
    points: str
    augment: bool
    balanced: bool


class PreparedBatches(Series[AUBatch]):
    """Aligned crops of prepared faces with a point for every AU map.

    Unless ``balanced``, every face is seen once before any is seen again. Both sides of an AU get
    its one label.
    """

    def __init__(
        self,
        faces: PreparedFaces,
        settings: CropSettings,
        batch_size: int,
        seed: int,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(batch_size, seed, start, rank, world)
        self.faces, self.settings = faces, settings
        self.places = POINT_SETS[settings.points]
        names = point_names(faces.aus, self.places)
        self._au = np.array([faces.aus.index(name.split("_")[0]) for name in names])
        self._labels = faces.labels[list(faces.aus)].to_numpy(np.float32)  # (N, A)
        active = np.nan_to_num(self._labels) >= ACTIVE
        rarity = 1 / (active.mean(0) + 0.01)
        self._cumulative = np.cumsum(1 + (active * rarity).max(1) / 10)

    @property
    def fingerprint(self) -> str:
        """See :class:`Series`."""
        return self.faces.fingerprint

    @property
    def per_epoch(self) -> int:
        """Batches in which every face comes once; the remainder waits for the next epoch."""
        return max(1, len(self.faces) // self.batch_size)

    def _chosen(self, number: int, rng: np.random.Generator) -> np.ndarray:
        count = self.batch_size
        if self.settings.balanced or len(self.faces) < count:
            return np.searchsorted(self._cumulative, rng.random(count) * self._cumulative[-1])
        epoch, place = divmod(number, self.per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.faces))
        return order[place * count : (place + 1) * count]

    def batch(self, number: int) -> AUBatch:
        """See :class:`Series`."""
        rng = np.random.default_rng([self.seed, number])
        index, settings, px = self._chosen(number, rng), self.settings, self.settings.px
        true = self.faces.landmarks[index].astype(np.float64)  # (n, 68, 2)
        if settings.augment:
            matrices = inexact_matrices(rng, true, settings.template, px)
        else:
            matrices = align_matrices(true, settings.template, px)
        crops = warp_crops([self.faces.image(int(i)) for i in index], matrices, px)
        images = torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous()
        landmarks = torch.from_numpy(apply_matrices(true, matrices).astype(np.float32))
        if settings.augment:
            images, landmarks = augment.mirror(rng.random(len(index)) < 0.5, images, landmarks)
            images = augment.photometric(rng, images.float())
        points = torch.from_numpy(au_points(landmarks.numpy(), self.faces.aus, self.places))
        labels = torch.from_numpy(self._labels[index][:, self._au])  # (n, P)
        known = torch.isfinite(labels).float()
        seen = torch.ones(landmarks.shape[:2])
        return AUBatch(images, points, labels.nan_to_num(0.0), known, landmarks, seen)
