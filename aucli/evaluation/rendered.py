"""How well the networks do on rendered people they were not trained on.

The trainer calls these during training, so that the curve shows what a user will get: crops come
from ``align``, landmarks from the landmark network where one is given.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from torch import nn

from aucli.align import (
    align_matrices,
    apply_matrices,
    face_boxes,
    invert_matrices,
    warp_crops,
)
from aucli.aus import SYNTHETIC_AUS, synthetic_points
from aucli.datasets.synthetic import RESOLUTION, FaceStore, composite
from aucli.faces.boxes import decode_boxes
from aucli.faces.builtin import BuiltinLandmarker
from aucli.metrics import icc31, mae, pcc
from aucli.models.landmark import LandmarkNet
from aucli.models.predict import AUModel, predict_crops
from aucli.synth.backgrounds import HELD_OUT_PHOTOGRAPHS, BackgroundPool
from aucli.synth.scenes import draw_scene
from aucli.synth.sprites import sprite_pool

OUTER_EYE_CORNERS = (36, 45)
FAILURE_NME = 0.08
YAW_DEGREES = (0, 17, 34, 54, 90)
PLACED_FROM = 2.0  # intensity from which an AU shows well enough to have a place
BATCH = 50


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Frames of held-out people over held-out backgrounds, the same in every evaluation.

    frames: (N, 192, 192, 3) uint8. landmarks: (N, 68, 2) px. boxes: (N, 4) xyxy px, shifted and
    scaled as a detector's would be. intensities: (N, A, 2), 0-5, sides L, R. yaw_radians: (N,).
    """

    frames: np.ndarray
    landmarks: np.ndarray
    boxes: np.ndarray
    intensities: np.ndarray
    yaw_radians: np.ndarray


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
    return HeldOut(frames, landmarks, boxes, store.sides[index], store.pose[index, 1])


def normalise(images: torch.Tensor) -> torch.Tensor:
    """uint8 pixels (N, 3, H, W) as the embedded networks take them: float, (x - 127.5) / 64."""
    return (images.float() - 127.5) / 64


def _run(net: nn.Module, crops: np.ndarray, pick) -> np.ndarray:
    """``pick(net(batch))`` over uint8 crops (N, S, S, 3), concatenated."""
    device = next(net.parameters()).device
    out = []
    with torch.inference_mode():
        for start in range(0, len(crops), BATCH):
            batch = torch.from_numpy(crops[start : start + BATCH]).permute(0, 3, 1, 2).to(device)
            batch = normalise(batch).contiguous(memory_format=torch.channels_last)
            out.append(pick(net(batch)).cpu().numpy())
    return np.concatenate(out)


def _landmarker(net: nn.Module) -> BuiltinLandmarker:
    return BuiltinLandmarker(cast(LandmarkNet, net), str(next(net.parameters()).device))


def predict_landmarks(net: nn.Module, held_out: HeldOut) -> np.ndarray:
    """(N, 68, 2) frame px by a LandmarkNet, as ``analyze`` finds those of a new face."""
    located = _landmarker(net).locate(held_out.frames, list(held_out.boxes[:, None]))
    return np.concatenate([landmarks for landmarks, _ in located])


def _face_units(landmarks: np.ndarray) -> np.ndarray:
    """(N, 68, 2) px -> (N,) px: the distance between the outer eye corners, in which errors count.

    A profile's eye corners nearly meet; .35 of the face's extent is a frontal face's distance.
    """
    right, left = OUTER_EYE_CORNERS
    eyes = np.linalg.norm(landmarks[:, right] - landmarks[:, left], axis=1)
    return np.maximum(eyes, 0.35 * (landmarks.max(1) - landmarks.min(1)).max(1))


def landmark_scores(net: nn.Module, held_out: HeldOut) -> dict[str, float]:
    """NME in units of the distance between the outer eye corners: ``nme`` (mean), ``nme_median``,
    ``nme_inner`` (51 points), ``nme_jaw`` (17), ``failures`` (share above 8 %), and the mean by
    head yaw, ``nme.yaw_0_17`` to ``nme.yaw_54_90`` degrees, NaN where no face is turned so far.
    ``nme_followed``: of the single look at a face that is followed, where all others get two."""
    found = predict_landmarks(net, held_out)
    again = _landmarker(net).follow(held_out.frames, list(found[:, None]))
    followed = np.concatenate([landmarks for landmarks, _ in again])
    true, unit = held_out.landmarks, _face_units(held_out.landmarks)[:, None]
    error = np.linalg.norm(found - true, axis=2) / unit  # (N, 68)
    face = error.mean(1)
    turned = np.degrees(np.abs(held_out.yaw_radians))
    by_yaw = {}
    for low, high in pairwise(YAW_DEGREES):
        chosen = face[(turned >= low) & (turned < high)]
        by_yaw[f"nme.yaw_{low}_{high}"] = float(chosen.mean()) if len(chosen) else float("nan")
    return {
        "nme": float(face.mean()),
        "nme_median": float(np.median(face)),
        "nme_followed": float((np.linalg.norm(followed - true, axis=2) / unit).mean()),
        "nme_inner": float(error[:, 17:].mean()),
        "nme_jaw": float(error[:, :17].mean()),
        "failures": float((face > FAILURE_NME).mean()),
        **by_yaw,
    }


def predict_held_out(
    model: AUModel, held_out: HeldOut, landmark_net: nn.Module | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Intensities (N, A), 0-5, and places (N, A, 2, 2) [L, R] frame px, as ``analyze`` reads them.

    Crops are aligned by the landmark net's answers; by true landmarks where there is none.
    """
    landmarks = held_out.landmarks
    if landmark_net is not None:
        landmarks = predict_landmarks(landmark_net, held_out)
    matrices = align_matrices(landmarks, model.template, model.crop_size)
    crops = warp_crops(held_out.frames, matrices, model.crop_size)
    batches = np.split(crops, range(BATCH, len(crops), BATCH))
    found = [predict_crops(model, batch) for batch in batches]
    places = np.concatenate([prediction.places for prediction in found])  # (N, A, 2, 2) crop px
    flat = places.reshape(len(places), -1, 2)
    places = apply_matrices(flat, invert_matrices(matrices)).reshape(places.shape)
    return np.concatenate([prediction.intensities for prediction in found]), places


def au_scores(
    model: AUModel, held_out: HeldOut, landmark_net: nn.Module | None = None
) -> dict[str, float]:
    """ICC(3,1), PCC and MAE of every AU (``icc31.AU12`` ...) and their means (``icc31`` ...).

    Intensity = mean of both sides. Crops as in :func:`predict_held_out`. ``flat`` counts AUs whose
    answers hardly vary where the labels do: the "everything stays 0" trap of sparse labels.
    """
    predicted = predict_held_out(model, held_out, landmark_net)[0]
    true = held_out.intensities.mean(2)
    scores: dict[str, float] = {}
    flat = 0
    for a, au in enumerate(SYNTHETIC_AUS):
        for name, metric in (("icc31", icc31), ("pcc", pcc), ("mae", mae)):
            scores[f"{name}.{au}"] = metric(predicted[:, a], true[:, a])
        flat += bool(true[:, a].std() > 0.1 and predicted[:, a].std() < 0.1 * true[:, a].std())
    for name in ("icc31", "pcc", "mae"):
        scores[name] = float(np.nanmean([scores[f"{name}.{au}"] for au in SYNTHETIC_AUS]))
    return scores | {"flat": float(flat)}


def place_scores(
    model: AUModel, held_out: HeldOut, landmark_net: nn.Module | None = None
) -> dict[str, float]:
    """How far from its true place each AU is found: ``place.AU12`` ..., over all AUs ``place``.

    Medians over the sides whose true intensity is at least :data:`PLACED_FROM`, as shares of the
    distance between the outer eye corners; NaN for an AU that never reaches it. The truth is
    ``synthetic_points`` of the true landmarks. Crops as in :func:`predict_held_out`.
    """
    found = predict_held_out(model, held_out, landmark_net)[1]
    true = synthetic_points(held_out.landmarks)  # (N, A, 2, 2) frame px
    error = np.linalg.norm(found - true, axis=3) / _face_units(held_out.landmarks)[:, None, None]
    shown = held_out.intensities >= PLACED_FROM  # (N, A, 2)
    scores = {"place": _median(error[shown])}
    for a, au in enumerate(SYNTHETIC_AUS):
        scores[f"place.{au}"] = _median(error[:, a][shown[:, a]])
    return scores


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else float("nan")


@dataclass(frozen=True, slots=True)
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


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, 4) and (M, 4) xyxy -> (N, M) intersection over union."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    area_a, area_b = (np.clip(x[:, 2:] - x[:, :2], 0, None).prod(1) for x in (a, b))
    return shared / np.maximum(area_a[:, None] + area_b[None] - shared, 1e-9)


def detector_scores(net: nn.Module, scenes: HeldOutScenes) -> dict[str, float]:
    """``ap`` at IoU .5, ``recall_95`` (recall where 95 % of the detections are right) and
    ``mean_iou`` of the hits. Faces centred outside the frame are left out on both sides."""
    maps = torch.from_numpy(_run(net, scenes.images, lambda out: out))
    size = scenes.images.shape[1]
    hits: list[tuple[float, bool]] = []
    overlaps: list[float] = []
    total = 0
    for (found, scores), true in zip(decode_boxes(maps, 0.02), scenes.boxes, strict=True):
        middle = (true[:, :2] + true[:, 2:]) / 2
        counted = ((middle >= 0) & (middle < size)).all(1)
        total += int(counted.sum())
        taken = np.zeros(len(true), bool)
        iou = box_iou(found, true) if len(true) else np.zeros((len(found), 0))
        for n in np.argsort(-scores):
            best = int(iou[n].argmax()) if len(true) else -1
            if best >= 0 and iou[n, best] >= 0.5 and not taken[best]:
                taken[best] = True
                if counted[best]:
                    hits.append((float(scores[n]), True))
                    overlaps.append(float(iou[n, best]))
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
        "mean_iou": float(np.mean(overlaps)) if overlaps else 0.0,
    }
