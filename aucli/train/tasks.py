"""What the loop in ``trainer`` needs of a network: batches, a loss, a held-out score, a card.

A task is made from the run's config by :func:`make_task`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import nn

from aucli.aus import POINT_SETS, SYNTHETIC_AUS, point_names
from aucli.datasets.crops import CropSettings, PreparedBatches, predict_faces
from aucli.datasets.folds import choose_fold, named_fold, refuse_shared_people
from aucli.datasets.joint import JointBatch, JointBatches
from aucli.datasets.names import SYNTHETIC
from aucli.datasets.prepared import PreparedFaces, count_faces, shards
from aucli.datasets.series import AUBatch, Series
from aucli.datasets.synthetic import (
    RENDERED_CROP,
    SHARDS,
    AUBatches,
    FaceStore,
    LandmarkBatch,
    LandmarkBatches,
    SceneBatch,
    SceneBatches,
    absent_faces,
)
from aucli.errors import DataError
from aucli.evaluation import rendered
from aucli.evaluation.scores import validation_scores
from aucli.faces.builtin import BuiltinLandmarker
from aucli.heatmaps import cells_to_px, px_to_cells, render_heatmaps
from aucli.models.catalogue import NETWORKS
from aucli.models.device import resolve_device
from aucli.models.landmark import LandmarkNet
from aucli.models.network import AUNetwork
from aucli.models.pixels import PIXELS
from aucli.train.config import TrainConfig
from aucli.train.losses import (
    au_loss,
    auxiliary_landmark_loss,
    detector_loss,
    joint_loss,
    landmark_loss,
    squares_loss,
)
from aucli.train.nets import build_au_net, build_face_net, read_state, subjects_of
from aucli.weights import cards
from aucli.weights.store import UNKNOWN_PEOPLE
from aucli.words import counted

# An AU lies within this of its usual place in an aligned crop of 128 px; 95 % of them within 14 px.
PLACE_RADIUS_PX = 17.0

Scorer = Callable[[nn.Module], dict[str, float]]
Loss = tuple[torch.Tensor, dict[str, torch.Tensor]]


class Task(Protocol):
    """One kind of training.

    main_score: of the scorer's answer. smaller_is_better: of that score.
    """

    config: TrainConfig
    main_score: str
    smaller_is_better: bool

    def net(self) -> nn.Module: ...
    def batches(self, start: int, rank: int, world: int) -> Series: ...
    def loss(self, net: nn.Module, batch: Any) -> Loss: ...
    def scorer(self) -> Scorer | None: ...
    def card(self) -> dict[str, Any]: ...

    def about(self) -> tuple[str, ...]:
        """Sentences on what the run learns from and is checked on, beyond what its config says."""
        absent = absent_faces(self.config.root)
        return (absent,) if absent else ()

    def subjects(self) -> dict[str, tuple[str, ...]]:
        """People of licensed datasets whom the weights will have seen: dataset -> subjects."""
        return subjects_of(self.config.init)


def make_task(config: TrainConfig) -> Task:
    """The task of a config. Raises DataError where its data are not there."""
    if config.dataset != SYNTHETIC:
        return PreparedAUTask(config)
    if shards(config.root) and not any(config.root.glob(SHARDS)):
        count_faces(config.root, SYNTHETIC)  # it says what the folder was prepared from
    row = NETWORKS[config.model]
    if row.follows:
        return JointTask(config)
    made = {"detector": DetectorTask, "landmarks": LandmarkTask, "au": RenderedAUTask}
    return made[row.kind](config)


def _held_out(config: TrainConfig) -> FaceStore | None:
    """Rendered people held out of training; None where there are none or nobody asks."""
    if not config.evaluations:
        return None
    try:
        return FaceStore(config.root, "test")
    except DataError:
        return None


@dataclass(frozen=True, slots=True)
class DetectorTask(Task):
    """The face detector, on drawn scenes."""

    config: TrainConfig
    main_score = "ap"
    smaller_is_better = False

    def net(self) -> nn.Module:
        return build_face_net(self.config)

    def batches(self, start: int, rank: int, world: int) -> Series:
        config = self.config
        store = FaceStore(config.root, "train", config.faces)
        return SceneBatches(store, config.batch_size, config.seed, start, rank, world)

    def loss(self, net: nn.Module, batch: SceneBatch) -> Loss:
        images = _channels_last(NETWORKS[self.config.model].pixels.normalise(batch.images))
        return detector_loss(net(images), batch.targets)

    def scorer(self) -> Scorer | None:
        store = _held_out(self.config)
        if store is None:
            return None
        scenes = rendered.held_out_scenes(store, self.config.evaluation_faces // 2)
        return lambda net: rendered.detector_scores(net, scenes)

    def card(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, slots=True)
class LandmarkTask(Task):
    """The landmark network, on loosely cropped rendered faces."""

    config: TrainConfig
    main_score = "nme"
    smaller_is_better = True

    def net(self) -> nn.Module:
        return build_face_net(self.config)

    def batches(self, start: int, rank: int, world: int) -> Series:
        config = self.config
        store = FaceStore(config.root, "train", config.faces)
        return LandmarkBatches(store, config.batch_size, config.seed, start, rank, world)

    def loss(self, net: nn.Module, batch: LandmarkBatch) -> Loss:
        images = _channels_last(NETWORKS[self.config.model].pixels.normalise(batch.images))
        logits, face_logit = net(images)
        return landmark_loss(logits, face_logit, *batch[1:])

    def scorer(self) -> Scorer | None:
        store = _held_out(self.config)
        if store is None:
            return None
        held_out = rendered.held_out_frames(store, self.config.evaluation_faces)
        device = str(resolve_device(self.config.device))
        return lambda net: rendered.landmark_scores(_landmarker(net, device), held_out)

    def card(self) -> dict[str, Any]:
        return {}


class AUTask(Task):
    """What AU networks share: their maps, their targets and their card."""

    main_score = "icc31"
    smaller_is_better = False

    def __init__(self, config: TrainConfig, aus: tuple[str, ...]) -> None:
        self.config, self.aus = config, aus
        places = POINT_SETS[config.points]
        absent = [au for au in aus if au not in places]
        if absent:
            raise DataError(
                f"the points {config.points!r} have no place for {', '.join(absent)}; "
                "use another preset."
            )
        self.points = point_names(aus, places)
        self.maps = aus if config.one_map_per_au else self.points
        au_of = [name.split("_")[0] for name in self.points]
        # The points that are drawn on each map.
        self._drawn_on = (
            [[p for p, own in enumerate(au_of) if own == au] for au in aus]
            if config.one_map_per_au
            else [[p] for p in range(len(self.points))]
        )

    def net(self) -> nn.Module:
        return build_au_net(self.config, self.maps)

    def loss(self, net: nn.Module, batch: AUBatch) -> Loss:
        config = self.config
        images = _channels_last(PIXELS[config.pixels].normalise(batch.images))
        # A second task that only the project's own loss has.
        helped = config.loss == "weighted" and config.find_landmarks
        helped = helped and isinstance(net, AUNetwork) and net.finds_landmarks
        heatmaps, landmarks = net(images, with_landmarks=True) if helped else (net(images), None)
        if config.loss == "squares":
            with torch.no_grad():
                targets, weights = self._targets(batch, heatmaps.shape[-1])
            return squares_loss(heatmaps, targets, weights, config.heatmap_scale)
        loss, parts = au_loss(
            heatmaps, batch.points, batch.intensities, batch.weights, config.sigma_cells
        )
        if landmarks is not None:
            loss = loss + auxiliary_landmark_loss(
                landmarks, batch.landmarks, batch.landmark_weights
            )
        return loss, parts

    def _targets(self, batch: AUBatch, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Heatmaps (N, K, size, size) and weights (N, K); points of one map meet in its maximum."""
        config, points = self.config, batch.points
        if config.whole_cells:
            points = cells_to_px(torch.floor(px_to_cells(points) + 0.5))
        drawn = render_heatmaps(
            points, batch.intensities, size, config.sigma_cells, config.convention,
            config.heatmap_scale,
        )  # fmt: skip
        targets = torch.stack([drawn[:, own].amax(1) for own in self._drawn_on], 1)
        weights = torch.stack([batch.weights[:, own].amax(1) for own in self._drawn_on], 1)
        return targets, weights

    def card(self) -> dict[str, Any]:
        pixels = PIXELS[self.config.pixels]
        return {
            "aus": list(self.aus),
            "maps": list(self.maps),
            "template": self.config.template,
            "crop_size": self.config.px,
            "mean": list(pixels.mean),
            "std": list(pixels.std),
            "heatmap_scale": self.config.heatmap_scale,
        }

    def model(self, net: nn.Module) -> cards.AUModel:
        """The network as ``analyze`` would run it."""
        return cards.au_model(net, cards.complete_card(net, self.card()))


class RenderedAUTask(AUTask):
    """An AU network on rendered faces, whose sides have labels of their own."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(config, SYNTHETIC_AUS)

    @cached_property
    def _store(self) -> FaceStore:
        return FaceStore(self.config.root, "train", self.config.faces)

    @cached_property
    def _readout(self) -> dict[str, Any]:
        """Where in its map each AU is looked for; see :func:`aucli.weights.cards.au_model`."""
        config = self.config
        return {
            "sigma_cells": config.sigma_cells,
            "radius_px": PLACE_RADIUS_PX * config.px / RENDERED_CROP,
            "places": self._store.usual_places(config.px).astype(float).round(1).tolist(),
        }

    def batches(self, start: int, rank: int, world: int) -> Series:
        config = self.config
        return AUBatches(
            self._store, config.batch_size, config.seed, start, rank, world, config.px,
            config.augment,
        )  # fmt: skip

    def scorer(self) -> Scorer | None:
        store = _held_out(self.config)
        if store is None:
            return None
        held_out = rendered.held_out_frames(store, self.config.evaluation_faces)
        landmarks = None
        if (landmark_net := self._landmark_net()) is not None:
            landmarks = rendered.find_landmarks(_landmarker(landmark_net), held_out)
        return lambda net: rendered.au_scores(self.model(net), held_out, landmarks)

    def _landmark_net(self) -> nn.Module | None:
        """The landmark network that the run started from, to align by what it sees."""
        if self.config.init is None:
            return None
        state, candidate = read_state(self.config.init), LandmarkNet()
        if state.keys() != candidate.state_dict().keys():
            return None
        candidate.load_state_dict(state)
        return candidate.eval()

    def card(self) -> dict[str, Any]:
        return super().card() | {"readout": self._readout}


class JointTask(RenderedAUTask):
    """A network that reads AUs and follows faces, on rendered faces cropped as a follower does."""

    def batches(self, start: int, rank: int, world: int) -> Series:
        config = self.config
        return JointBatches(
            self._store, config.batch_size, config.seed, start, rank, world, config.px
        )

    def loss(self, net: nn.Module, batch: JointBatch) -> Loss:  # type: ignore[override]
        images = _channels_last(PIXELS[self.config.pixels].normalise(batch.images))
        return joint_loss(cast(AUNetwork, net).look(images), batch, self.config.sigma_cells)

    def scorer(self) -> Scorer | None:
        store = _held_out(self.config)
        if store is None:
            return None
        held_out = rendered.held_out_frames(store, self.config.evaluation_faces)
        return lambda net: rendered.joint_scores(self.model(net), held_out)

    def card(self) -> dict[str, Any]:
        return super().card() | {"gaze": self._store.knows_gaze}


class PreparedAUTask(AUTask):
    """An AU network on faces of a labelled dataset, by one fold of a named protocol."""

    def __init__(self, config: TrainConfig) -> None:
        self._counts = count_faces(config.root, config.dataset)
        self._fold = choose_fold(config.dataset, config.folds, config.fold, self._counts)
        if not self._fold.train:
            raise DataError(f"{config.root} has no subject to train this fold on; prepare more.")
        tested = {config.dataset: self._fold.test}
        self._leaked = refuse_shared_people(subjects_of(config.init), tested, config.allow_seen)
        self._faces = PreparedFaces(config.root, self._fold.train)
        super().__init__(config, self._faces.aus)

    def about(self) -> tuple[str, ...]:
        """See :class:`Task`."""
        config, fold = self.config, self._fold
        protocol, name, published = named_fold(config.dataset, config.folds, config.fold)
        told = []
        if UNKNOWN_PEOPLE in subjects_of(config.init):
            told.append(
                f"{config.init} does not say on whom it was trained; the test holds only if none "
                "of its people was among them."
            )
        told += [
            f"{config.dataset}, {protocol} {name}: training on "
            f"{counted(len(self._faces), 'face')} of {_subjects(fold.train)}."
        ]
        if fold.validation:
            held = sum(self._counts[subject] for subject in fold.validation)
            source = "as the protocol has it"
            if not published.validation:
                source = "taken from the training part, as the protocol has none"
            told.append(
                f"Validation: {counted(held, 'face')} of {_subjects(fold.validation)}, {source}: "
                f"{', '.join(fold.validation)}."
            )
        else:
            told.append("No validation: there is no subject left for it.")
        here = sum(subject in self._counts for subject in fold.test)
        told.append(f"Test: {_subjects(fold.test)}, {here} of them here; not read.")
        others = (*published.train, *published.validation)
        absent = sum(subject not in self._counts for subject in others)
        if absent:
            told.append(
                f"Of the protocol's other parts, {absent} of {_subjects(others)} are not here."
            )
        if config.batch_size > len(self._faces):
            faces = counted(len(self._faces), "face")
            told.append(
                f"A batch of {config.batch_size} is more than the {faces}: some come twice in it."
            )
        if self._leaked:
            told.append(f"The given weights know people of the test: {', '.join(self._leaked)}.")
        return tuple(told)

    def subjects(self) -> dict[str, tuple[str, ...]]:
        """Validation people are among them: the weights are chosen by them."""
        seen = {**subjects_of(self.config.init)}
        own = (*self._fold.train, *self._fold.validation)
        seen[self.config.dataset] = tuple(sorted({*seen.get(self.config.dataset, ()), *own}))
        return seen

    def batches(self, start: int, rank: int, world: int) -> PreparedBatches:
        config = self.config
        settings = CropSettings(
            config.px, config.template, config.points, config.augment, config.balanced
        )
        return PreparedBatches(
            self._faces, settings, config.batch_size, config.seed, start, rank, world
        )

    def scorer(self) -> Scorer | None:
        """On the fold's validation people: the test part is for ``aucli eval`` alone."""
        if not self.config.evaluations or not self._fold.validation:
            return None
        faces = PreparedFaces(self.config.root, self._fold.validation)
        count = min(len(faces), self.config.evaluation_faces)
        index = np.unique(np.linspace(0, len(faces) - 1, count).astype(int))
        labels = faces.labels[list(faces.aus)].to_numpy(np.float32)[index]

        return lambda net: validation_scores(
            predict_faces(self.model(net), faces, index), labels, self.aus
        )


def _subjects(names: tuple[str, ...]) -> str:
    return counted(len(names), "subject")


def _landmarker(net: nn.Module, device: str = "cpu") -> BuiltinLandmarker:
    return BuiltinLandmarker(cast(LandmarkNet, net), device)


def _channels_last(images: torch.Tensor) -> torch.Tensor:
    return images.contiguous(memory_format=torch.channels_last)
