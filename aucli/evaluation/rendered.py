"""Rendered people whom the networks were not trained on, and what the networks say of them.

Training's validation and ``aucli eval --dataset synthetic`` use the same faces and the same
functions: crops come from ``align``, landmarks from a landmark network where one is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from aucli.align import (
    align_matrices,
    apply_matrices,
    face_boxes,
    invert_matrices,
    turn_directions,
    warp_crops,
)
from aucli.aus import SYNTHETIC_AUS, synthetic_points
from aucli.datasets.joint import followed_matrices
from aucli.datasets.synthetic import RESOLUTION, FaceStore, composite
from aucli.errors import DataError
from aucli.evaluation.scores import validation_scores
from aucli.faces.boxes import decode_boxes
from aucli.faces.overlap import overlaps
from aucli.faces.protocols import Boxes, Frames, Landmarker
from aucli.models.catalogue import NETWORKS
from aucli.models.predict import AUModel, Look, Prediction, look_at_crops, predict_crops
from aucli.synth.backgrounds import HELD_OUT_PHOTOGRAPHS, BackgroundPool
from aucli.synth.scenes import draw_scene
from aucli.synth.sprites import sprite_pool

OUTER_EYE_CORNERS = (36, 45)
FAILURE_NME = 0.08
YAW_DEGREES = (0, 17, 34, 54, 90)
PLACED_FROM = 2.0  # intensity from which an AU shows well enough to have a place
LEAST_SCORE = 0.02  # of a candidate: the curve of the detector needs the unsure ones too
BATCH = 50


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Frames of held-out people over held-out backgrounds, the same in every evaluation.

    frames: (N, 192, 192, 3) uint8, or N of smaller sizes. landmarks: (N, 68, 2) px. boxes: (N, 4)
    xyxy px, shifted and scaled as a detector's would be. intensities: (N, A, 2), 0-5, sides L, R.
    yaw_radians: (N,). identity: (N,) int, who it is. gaze: (N, 2, 3) unit vectors as of
    ``models.network.Sight`` in axes of the frame, NaN where it is not known. family, age, worn: as
    of :class:`FaceStore`.
    """

    frames: Frames
    landmarks: np.ndarray
    boxes: np.ndarray
    intensities: np.ndarray
    yaw_radians: np.ndarray
    identity: np.ndarray
    gaze: np.ndarray | None = None
    family: np.ndarray | None = None
    age: np.ndarray | None = None
    worn: np.ndarray | None = None


def held_out_pool() -> BackgroundPool:
    """Backgrounds from photographs that training never sees, and drawn ones of another seed."""
    return BackgroundPool(60, seed=90_001, names=HELD_OUT_PHOTOGRAPHS)


def held_out_frames(store: FaceStore, count: int = 300, seed: int = 5) -> HeldOut:
    """Evenly chosen faces of a store, composited. store: the split 'test'."""
    rng = np.random.default_rng(seed)
    index = np.unique(np.linspace(0, len(store) - 1, min(count, len(store))).astype(int))
    still = np.tile(np.eye(2, 3), (len(index), 1, 1))
    frames = composite(store, index, still, rng, held_out_pool(), RESOLUTION)
    landmarks = store.landmarks[index]
    boxes = face_boxes(landmarks)
    side = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True)
    move = rng.normal(0, 0.04, (len(index), 2)) * side
    grow = side * rng.normal(0, 0.04, (len(index), 1)) / 2
    boxes = np.concatenate([boxes[:, :2] + move - grow, boxes[:, 2:] + move + grow], 1)
    return HeldOut(
        frames,
        landmarks,
        boxes,
        store.sides[index],
        store.pose[index, 1],
        store.identity[index],
        store.gaze[index],
        store.family[index],
        store.age[index],
        store.worn[index],
    )


def shrunk(held_out: HeldOut, sides_px: tuple[int, int], seed: int = 5) -> HeldOut:
    """The same frames made smaller, the longer side of each face's box anything of ``sides_px``."""
    rng = np.random.default_rng(seed)
    boxes = face_boxes(held_out.landmarks)
    low, high = np.log(sides_px)
    sides = np.exp(rng.uniform(low, high, len(boxes)))
    scales = np.minimum(sides / (boxes[:, 2:] - boxes[:, :2]).max(1), 1)
    frames, matrices = [], []
    for frame, scale in zip(held_out.frames, scales, strict=True):
        size = int(np.ceil(scale * len(frame)))
        shift = (scale - 1) / 2  # pixel centres are at integers
        matrices.append([[scale, 0, shift], [0, scale, shift]])
        frames.append(warp_crops(frame, np.array(matrices[-1:]), size)[0])
    small = np.array(matrices)
    corners = held_out.boxes.reshape(-1, 2, 2)
    return replace(
        held_out,
        frames=frames,
        landmarks=apply_matrices(held_out.landmarks, small),
        boxes=apply_matrices(corners, small).reshape(-1, 4),
    )


def find_landmarks(landmarker: Landmarker, held_out: HeldOut) -> np.ndarray:
    """(N, 68, 2) frame px, as ``analyze`` finds those of a new face."""
    located = landmarker.locate(held_out.frames, list(held_out.boxes[:, None]))
    return np.concatenate([landmarks for landmarks, _ in located])


def _face_units(landmarks: np.ndarray) -> np.ndarray:
    """(N, 68, 2) px -> (N,) px: the distance between the outer eye corners, in which errors count.

    A profile's eye corners nearly meet; .35 of the face's extent is a frontal face's distance.
    """
    right, left = OUTER_EYE_CORNERS
    eyes = np.linalg.norm(landmarks[:, right] - landmarks[:, left], axis=1)
    return np.maximum(eyes, 0.35 * (landmarks.max(1) - landmarks.min(1)).max(1))


def landmark_errors(found: np.ndarray, held_out: HeldOut) -> np.ndarray:
    """(N, 68): distances of landmarks (N, 68, 2) frame px from the true ones, over the distance
    between the outer eye corners."""
    unit = _face_units(held_out.landmarks)[:, None]
    return np.linalg.norm(found - held_out.landmarks, axis=2) / unit


def landmark_scores(landmarker: Landmarker, held_out: HeldOut) -> dict[str, float]:
    """NME in units of the distance between the outer eye corners: ``nme`` (mean), ``nme_median``,
    ``nme_inner`` (51 points), ``nme_jaw`` (17), ``failures`` (share above 8 %), and the mean by
    head yaw, ``nme.yaw_0_17`` to ``nme.yaw_54_90`` degrees, NaN where no face is turned so far.
    ``nme_followed``: of the single look at a face that is followed, where all others get two."""
    found = find_landmarks(landmarker, held_out)
    again = landmarker.follow(held_out.frames, list(found[:, None]))
    followed = np.concatenate([landmarks for landmarks, _ in again])
    error = landmark_errors(found, held_out)
    face = error.mean(1)
    return {
        "nme": float(face.mean()),
        "nme_median": float(np.median(face)),
        "nme_followed": float(landmark_errors(followed, held_out).mean()),
        "nme_inner": float(error[:, 17:].mean()),
        "nme_jaw": float(error[:, :17].mean()),
        "failures": float((face > FAILURE_NME).mean()),
        **_by_yaw("nme", face, held_out),
    }


def _by_yaw(name: str, values: np.ndarray, held_out: HeldOut) -> dict[str, float]:
    """Means of values (N,), which may be NaN, by head yaw: ``name.yaw_0_17`` ..."""
    turned = np.degrees(np.abs(held_out.yaw_radians))
    told = {}
    for low, high in pairwise(YAW_DEGREES):
        chosen = values[(turned >= low) & (turned < high) & np.isfinite(values)]
        told[f"{name}.yaw_{low}_{high}"] = float(chosen.mean()) if len(chosen) else float("nan")
    return told


def look_at_held_out(model: AUModel, held_out: HeldOut, matrices: np.ndarray) -> Look:
    """All that a network which follows faces sees in the crops of matrices (N, 2, 3); landmarks in
    frame px and gaze in axes of the frame, places in crop px."""
    look = _look(model, warp_crops(held_out.frames, matrices, model.crop_size))
    back = invert_matrices(matrices)
    return replace(
        look,
        landmarks=apply_matrices(look.landmarks, back),
        gaze=turn_directions(look.gaze, back),
    )


def _look(model: AUModel, crops: np.ndarray) -> Look:
    """:func:`look_at_crops`, a few at a time."""
    parts = [
        look_at_crops(model, part) for part in np.split(crops, range(BATCH, len(crops), BATCH))
    ]
    read = [look.prediction for look in parts]
    return Look(
        Prediction(
            np.concatenate([part.intensities for part in read]),
            np.concatenate([part.sides for part in read]),
            np.concatenate([part.places for part in read]),
        ),
        np.concatenate([look.landmarks for look in parts]),
        np.concatenate([look.spread for look in parts]),
        np.concatenate([look.face_logit for look in parts]),
        np.concatenate([look.gaze for look in parts]),
    )


def joint_scores(model: AUModel, held_out: HeldOut) -> dict[str, float]:
    """Scores of a network that follows faces, on crops as far off as a follower's: those of
    :func:`au_scores` and of :func:`following_scores`."""
    look = follow_held_out(model, held_out)
    true = true_intensities(held_out, model.aus)
    read = validation_scores(look.prediction.intensities, true, model.aus)
    return read | _following_scores(model, held_out, look)


def following_scores(
    model: AUModel, held_out: HeldOut, look: Look | None = None
) -> dict[str, float]:
    """What one look at a followed face gives besides AUs, from crops as far off as a follower's.

    ``nme_followed`` and the NME by yaw, as of :func:`landmark_scores`; ``nme_again``, of crops by
    the landmarks found in these; ``mirrored``, by how much a reading changes with the crop
    mirrored, 0-5; where it is known ``gaze``, degrees of error as the mean of both eyes, and the
    same by yaw. look: of :func:`follow_held_out`, where it is there already.
    """
    look = follow_held_out(model, held_out) if look is None else look
    return _following_scores(model, held_out, look)


def follow_held_out(model: AUModel, held_out: HeldOut) -> Look:
    """:func:`look_at_held_out` in crops as far off as a follower's."""
    return look_at_held_out(model, held_out, _followed(model, held_out))


def _followed(model: AUModel, held_out: HeldOut) -> np.ndarray:
    rng = np.random.default_rng(5)
    return followed_matrices(rng, held_out.landmarks, model.crop_size)


def _following_scores(model: AUModel, held_out: HeldOut, look: Look) -> dict[str, float]:
    size = model.crop_size
    crops = warp_crops(held_out.frames, _followed(model, held_out), size)
    mirrored = _look(model, np.flip(crops, 2).copy()).prediction.intensities
    again = align_matrices(look.landmarks, model.template, size)
    face, second = (
        landmark_errors(found, held_out).mean(1)
        for found in (look.landmarks, look_at_held_out(model, held_out, again).landmarks)
    )
    told = {
        "nme_followed": float(face.mean()),
        "nme_again": float(second.mean()),
        "mirrored": float(np.abs(look.prediction.intensities - mirrored).mean()),
        **_by_yaw("nme", face, held_out),
    }
    if model.knows_gaze and held_out.gaze is not None and np.isfinite(held_out.gaze).any():
        off = gaze_errors(look.gaze, held_out.gaze).mean(1)
        told |= {"gaze": float(np.nanmean(off)), **_by_yaw("gaze", off, held_out)}
    return told


def gaze_errors(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Degrees between unit vectors (..., 3); NaN where one is."""
    return np.degrees(np.arccos(np.clip((found * true).sum(-1), -1, 1)))


def predict_held_out(
    model: AUModel, held_out: HeldOut, landmarks: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Intensities (N, A), 0-5, and places (N, A, 2, 2) [L, R] frame px, by one look, as ``analyze``
    reads a film.

    landmarks: (N, 68, 2) px, by which crops are aligned; None takes the true ones.
    """
    landmarks = held_out.landmarks if landmarks is None else landmarks
    matrices = align_matrices(landmarks, model.template, model.crop_size)
    crops = warp_crops(held_out.frames, matrices, model.crop_size)
    batches = np.split(crops, range(BATCH, len(crops), BATCH))
    found = [predict_crops(model, batch) for batch in batches]
    places = np.concatenate([prediction.places for prediction in found])  # (N, A, 2, 2) crop px
    flat = places.reshape(len(places), -1, 2)
    places = apply_matrices(flat, invert_matrices(matrices)).reshape(places.shape)
    return np.concatenate([prediction.intensities for prediction in found]), places


def true_intensities(held_out: HeldOut, aus: Sequence[str]) -> np.ndarray:
    """(N, A), 0-5: the mean of both sides of the named AUs. Raises DataError for others."""
    strange = [au for au in aus if au not in SYNTHETIC_AUS]
    if strange:
        raise DataError(f"Rendered faces do not show {', '.join(strange)}.")
    return held_out.intensities.mean(2)[:, [SYNTHETIC_AUS.index(au) for au in aus]]


def au_scores(
    model: AUModel, held_out: HeldOut, landmarks: np.ndarray | None = None
) -> dict[str, float]:
    """Scores of :func:`aucli.evaluation.scores.validation_scores`. landmarks: as in
    :func:`predict_held_out`."""
    predicted = predict_held_out(model, held_out, landmarks)[0]
    return validation_scores(predicted, true_intensities(held_out, model.aus), model.aus)


def place_scores(places: np.ndarray, held_out: HeldOut, aus: Sequence[str]) -> dict[str, float]:
    """How far from its true place each AU is found: ``AU12`` ..., and ``all`` over all AUs.

    places: (N, A, 2, 2) [L, R] frame px, of the named AUs. Medians over the sides whose true
    intensity is at least :data:`PLACED_FROM`, as shares of the distance between the outer eye
    corners; NaN for an AU that never reaches it. The truth is ``synthetic_points`` of the true
    landmarks.
    """
    own = [SYNTHETIC_AUS.index(au) for au in aus]
    true = synthetic_points(held_out.landmarks)[:, own]  # (N, A, 2, 2) frame px
    error = np.linalg.norm(places - true, axis=3) / _face_units(held_out.landmarks)[:, None, None]
    shown = held_out.intensities[:, own] >= PLACED_FROM  # (N, A, 2)
    scores = {au: _median(error[:, a][shown[:, a]]) for a, au in enumerate(aus)}
    return scores | {"all": _median(error[shown])}


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutScenes:
    """images (N, 256, 256, 3) uint8 and the boxes (K, 4) of each, xyxy px."""

    images: np.ndarray
    boxes: list[np.ndarray]


def held_out_scenes(store: FaceStore, count: int = 120, seed: int = 5) -> HeldOutScenes:
    """Scenes with held-out people, backgrounds and occluders. store: the split 'test'."""
    rng = np.random.default_rng(seed)
    pool, sprites = held_out_pool(), sprite_pool(60, seed=90_002)
    drawn = [draw_scene(rng, store, pool, sprites) for _ in range(count)]
    return HeldOutScenes(np.stack([d[0] for d in drawn]), [d[1] for d in drawn])


@torch.inference_mode()
def _detect(net: nn.Module, images: np.ndarray) -> list[Boxes]:
    """Every candidate in (N, S, S, 3) uint8, in one pass of the project's detector network."""
    device = next(net.parameters()).device
    found: list[Boxes] = []
    for start in range(0, len(images), BATCH):
        batch = torch.from_numpy(images[start : start + BATCH]).permute(0, 3, 1, 2).to(device)
        batch = NETWORKS["detector"].pixels.normalise(batch)
        batch = batch.contiguous(memory_format=torch.channels_last)
        found += decode_boxes(net(batch).float().cpu().numpy(), LEAST_SCORE)
    return found


def detector_scores(net: nn.Module, scenes: HeldOutScenes) -> dict[str, float]:
    """``ap`` at IoU .5, ``recall_95`` (recall where 95 % of the detections are right) and
    ``mean_iou`` of the hits. Faces centred outside the frame are left out on both sides."""
    size = scenes.images.shape[1]
    hits: list[tuple[float, bool]] = []
    hit_ious: list[float] = []
    total = 0
    for (found, scores), true in zip(_detect(net, scenes.images), scenes.boxes, strict=True):
        middle = (true[:, :2] + true[:, 2:]) / 2
        counted = ((middle >= 0) & (middle < size)).all(1)
        total += int(counted.sum())
        taken = np.zeros(len(true), bool)
        iou, _ = overlaps(found, true)
        for n in np.argsort(-scores):
            best = int(iou[n].argmax()) if len(true) else -1
            if best >= 0 and iou[n, best] >= 0.5 and not taken[best]:
                taken[best] = True
                if counted[best]:
                    hits.append((float(scores[n]), True))
                    hit_ious.append(float(iou[n, best]))
            elif best < 0 or iou[n, best] < 0.5 or counted[best]:
                hits.append((float(scores[n]), False))
    hits.sort(reverse=True)
    right = np.cumsum([hit for _, hit in hits]) if hits else np.zeros(1)
    precision = right / np.arange(1, len(right) + 1)
    recall = right / max(total, 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    ap = float((np.diff(np.concatenate([[0], recall])) * best).sum())
    good = recall[best >= 0.95]
    return {
        "ap": ap,
        "recall_95": float(good.max()) if len(good) else 0.0,
        "mean_iou": float(np.mean(hit_ious)) if hit_ious else 0.0,
    }
