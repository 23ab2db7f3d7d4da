"""Fit what the networks' face confidence means, and write it to the weights' cards.

    python examples/maintenance/fit_confidence.py --shards DIR [--dry-run]

DIR is what `aucli synth` wrote. A face's probability is a logistic function of the network's face
logit, of how spread its heatmaps are and of how far its landmarks are from a face's shape
(`Confidence` in aucli/faces/builtin.py). The coefficients are fitted on people whom the networks
were not trained on; the other half of those people tells how much a probability can be believed:
AUC, and how many of the crops called "80 %" are faces. Only drawn pictures take part, no real one.

The detector's threshold is set too: the highest one that loses at most 5 % of the verified faces.

Two kinds of crops: the face detector's candidates in scenes and in pictures without faces,
re-centred as in use, and loose crops, of which a quarter are hands, things, shuffled or covered
faces, parts of faces and backgrounds. An AU network that follows faces is fitted by crops as they
are cut of a face on its way, of which a quarter show none (any more).
"""

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image

from aucli.align import face_boxes
from aucli.datasets.joint import JointBatches
from aucli.datasets.synthetic import TEST_EVERY, FaceStore, LandmarkBatches, draw_things
from aucli.errors import run_script
from aucli.faces.builtin import (
    BuiltinDetector,
    BuiltinLandmarker,
    Confidence,
    confidence_features,
)
from aucli.faces.detect import MIN_CONFIDENCE
from aucli.faces.loading import load_faces
from aucli.faces.overlap import overlaps
from aucli.files import write_text
from aucli.models.predict import AUModel, look_at_crops
from aucli.synth.backgrounds import TILE, BackgroundPool, draw_text
from aucli.synth.scenes import draw_scene
from aucli.synth.sprites import sprite_pool
from aucli.synth.things import thing_pool
from aucli.weights.cards import (
    DEFAULT_AU_MODEL,
    DEFAULT_DETECTOR,
    DEFAULT_LANDMARKS,
    load_au_model,
    resolve,
)
from aucli.weights.store import card_file

# A candidate that overlaps a face by more is that face, by less is none; between, either is right.
IS_FACE_IOU, NO_FACE_IOU = 0.4, 0.2
CANDIDATES = 12
CROP_BATCH = 50
RIDGE = 1e-3
LOST_FACES = 0.05
THRESHOLDS = np.array([0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5])
BINS = 5
TILES, SPRITES, THINGS = 150, 60, 120


class HalfOfFaces:
    """The faces of every second held-out identity. store: the split 'test'. half: 0 or 1."""

    def __init__(self, store: FaceStore, half: int) -> None:
        self.rows = np.flatnonzero(store.identity // TEST_EVERY % 2 == half)
        self.landmarks = store.landmarks[self.rows]
        self.visible, self.gaze = store.visible[self.rows], store.gaze[self.rows]
        self.sides, self.store = store.sides[self.rows], store

    def __len__(self) -> int:
        return len(self.rows)

    def face(self, index: int) -> np.ndarray:
        """(192, 192, 4) uint8 premultiplied RGBA."""
        return self.store.face(self.rows[index])

    def au_weights(self) -> np.ndarray:
        """(n,) how often each face is drawn."""
        return self.store.au_weights()[self.rows]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is behind faces, in front of them and in their place: pools as of ``backgrounds``,
    ``sprites`` and ``things`` in aucli/synth."""

    backgrounds: BackgroundPool
    sprites: np.ndarray
    things: np.ndarray

    @classmethod
    def of_half(cls, half: int) -> "Surroundings":
        return cls(
            BackgroundPool(TILES, seed=70_001 + half),
            sprite_pool(SPRITES, seed=70_011 + half),
            thing_pool(THINGS, seed=70_021 + half),
        )


class HeldOutCrops(LandmarkBatches):
    """The crops of landmark training, from other people, backgrounds and occluders."""

    def __init__(self, faces: HalfOfFaces, around: Surroundings) -> None:
        self.store, self.batch_size = cast(FaceStore, faces), CROP_BATCH
        self.backgrounds, self.sprites = around.backgrounds, around.sprites
        self.things = around.things


class HeldOutFollowed(JointBatches):
    """The crops of a network that follows, from other people, backgrounds and occluders."""

    negatives = 0.25

    def __init__(self, faces: HalfOfFaces, around: Surroundings, crop_size: int) -> None:
        self.store, self.batch_size = cast(FaceStore, faces), CROP_BATCH
        self.backgrounds, self.sprites = around.backgrounds, around.sprites
        self.things, self.crop_size = around.things, crop_size


@dataclass(frozen=True, slots=True)
class Recorder(Confidence):
    """Keeps the features that it is asked about and answers with their row numbers."""

    rows: list[np.ndarray] = field(default_factory=list)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        start = sum(map(len, self.rows))
        self.rows.append(features)
        return np.arange(start, start + len(features), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Sample:
    """Crops of one kind: features (n, 3) of ``confidence_features``, is_face (n,) bool and, of the
    detector's candidates, its scores (n,) 0-1."""

    features: np.ndarray
    is_face: np.ndarray
    scores: np.ndarray


def candidate_sample(
    detector: BuiltinDetector,
    landmarker: BuiltinLandmarker,
    faces: HalfOfFaces,
    around: Surroundings,
    count: int,
    seed: int,
) -> Sample:
    """The detector's candidates in ``count`` scenes and half as many pictures without faces, their
    landmarks found as in use. Where no face is, the fine search takes part as it does in use."""
    rng = np.random.default_rng(seed)
    recorder = Recorder()
    before, landmarker.confidence = landmarker.confidence, recorder
    threshold, detector.threshold = detector.threshold, THRESHOLDS[0]
    kept, labels, scored = [], [], []
    for i in range(count + count // 2):
        if i < count:
            image, boxes = draw_scene(rng, faces, around.backgrounds, around.sprites)
        else:
            picture = Image.fromarray(around.backgrounds.cut(rng, TILE))
            if i % 3 == 1:
                draw_text(rng, picture)
            image, boxes = np.array(picture), np.zeros((0, 4), np.float32)
            if i % 3 == 2:
                image = draw_things(rng, image, around.things)
        for fine in (False, True)[: 1 if len(boxes) else 2]:
            candidates, scores = detector.detect([image], fine)[0]
            landmarks, row = landmarker.locate([image], [candidates[:CANDIDATES]])[0]
            union = overlaps(face_boxes(landmarks), boxes)[0].max(1, initial=0)
            clear = (union > IS_FACE_IOU) | (union < NO_FACE_IOU)
            kept.append(row[clear].astype(int))
            labels.append(union[clear] > IS_FACE_IOU)
            scored.append(scores[:CANDIDATES][clear])
    landmarker.confidence, detector.threshold = before, threshold
    features = np.concatenate(recorder.rows)[np.concatenate(kept)]
    return Sample(features, np.concatenate(labels), np.concatenate(scored))


def crop_sample(
    landmarker: BuiltinLandmarker,
    faces: HalfOfFaces,
    around: Surroundings,
    count: int,
    seed: int,
) -> Sample:
    """``count`` loose crops, one pass of the network on each."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    crops = HeldOutCrops(faces, around)
    features, labels = [], []
    for _ in range(-(-count // CROP_BATCH)):
        batch = crops.make(rng)
        told = landmarker.net(batch.images.permute(0, 2, 3, 1).numpy())
        features.append(confidence_features(told["face_logit"], told["spread"], told["landmarks"]))
        labels.append(batch.is_face.numpy() > 0.5)
    return Sample(np.concatenate(features), np.concatenate(labels), np.zeros(0))


def followed_sample(
    model: AUModel,
    faces: HalfOfFaces,
    around: Surroundings,
    count: int,
    seed: int,
) -> Sample:
    """``count`` crops of faces on their way, one look of an AU network that follows at each."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    crops = HeldOutFollowed(faces, around, model.crop_size)
    features, labels = [], []
    for _ in range(-(-count // CROP_BATCH)):
        batch = crops.make(rng)
        look = look_at_crops(model, batch.images.permute(0, 2, 3, 1).contiguous().numpy())
        features.append(confidence_features(look.face_logit, look.spread, look.landmarks))
        labels.append(batch.is_face.numpy() > 0.5)
    return Sample(np.concatenate(features), np.concatenate(labels), np.zeros(0))


def fit(features: np.ndarray, is_face: np.ndarray) -> Confidence:
    """Logistic regression by Newton's method. features: (n, 3). is_face: (n,) bool.

    A wider spread or a worse shape never speaks for a face: where the few undecided crops would
    say so, that feature is left out. Crops whose landmarks have no shape, NaN, are never a face to
    :class:`Confidence`, and do not count.
    """
    told = np.isfinite(features).all(1)
    features, is_face = features[told], is_face[told]
    used = np.ones(4, bool)
    while True:
        weights = np.zeros(4)
        weights[used] = _newton(
            np.column_stack([np.ones(len(features)), features])[:, used], is_face
        )
        wrong = (weights[2:] > 0).nonzero()[0]
        if not len(wrong):
            return Confidence(*(round(float(v), 4) for v in weights))
        used[2 + wrong] = False


def _newton(x: np.ndarray, is_face: np.ndarray) -> np.ndarray:
    """Weights (m,) of the columns of x (n, m), of which the first is the constant."""
    w = np.zeros(x.shape[1])
    ridge = RIDGE * len(x) * np.diag([0.0] + [1.0] * (len(w) - 1))
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        gradient = x.T @ (p - is_face) + ridge @ w
        curvature = (x * (p * (1 - p))[:, None]).T @ x + ridge + 1e-9 * np.eye(len(w))
        step = np.linalg.solve(curvature, gradient)
        # Far from the optimum a full step of nearly separable data overshoots.
        w -= step / max(1.0, np.abs(step).max() / 2)
        if np.abs(step).max() < 1e-8:
            break
    return w


def area_under_curve(score: np.ndarray, is_face: np.ndarray) -> float:
    """Chance that a face scores higher than what is none; ties count half."""
    _, rank, count = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count - 1) / 2
    positive = int(is_face.sum())
    above = middle[rank][is_face].sum() - positive * (positive + 1) / 2
    return float(above / (positive * (len(score) - positive)))


def calibration(score: np.ndarray, is_face: np.ndarray) -> list[tuple[int, float, float]]:
    """For BINS equal ranges of the score: crops, mean score, share of faces."""
    place = np.minimum((score * BINS).astype(int), BINS - 1)
    nothing = (0, float("nan"), float("nan"))
    return [
        (int(sel.sum()), float(score[sel].mean()), float(is_face[sel].mean()))
        if sel.any()
        else nothing
        for sel in (place == b for b in range(BINS))
    ]


def report(title: str, sample: Sample, confidence: Confidence) -> dict[str, float]:
    """Print the reliability of one sample; its AUC and expected calibration error."""
    score, is_face = confidence(sample.features).astype(np.float64), sample.is_face
    auc = area_under_curve(score, is_face)
    rows = calibration(score, is_face)
    error = sum(n * abs(mean - share) for n, mean, share in rows if n) / len(score)
    missed, false = (
        (score[is_face] < MIN_CONFIDENCE).sum(),
        (score[~is_face] >= MIN_CONFIDENCE).sum(),
    )
    print(
        f"\n{title}: {is_face.sum()} faces, {(~is_face).sum()} others; AUC {auc:.4f}, "
        f"calibration error {error:.4f}; at {MIN_CONFIDENCE} {missed} missed, {false} false"
    )
    print(f"{'score':>12}{'crops':>8}{'mean score':>12}{'are faces':>12}")
    for b, (n, mean, share) in enumerate(rows):
        print(f"{b / BINS:>7.1f}-{(b + 1) / BINS:.1f}{n:>9}{mean:>12.3f}{share:>12.3f}")
    return {"auc": round(auc, 5), "calibration_error": round(float(error), 5)}


def best_threshold(sample: Sample, confidence: Confidence) -> float:
    """The highest least score of the detector that loses few of the verified faces.

    The two networks err independently of each other, so a stricter detector spares false alarms on
    what neither was trained with, which drawn pictures alone would not show.
    """
    sure = confidence(sample.features) >= MIN_CONFIDENCE
    print(f"\n{'threshold':>12}{'faces':>8}{'false':>8}   (candidates, fitted half)")
    best, least = THRESHOLDS[0], 0.0
    for threshold in THRESHOLDS:
        taken = sure & (sample.scores >= threshold)
        faces, false = int((taken & sample.is_face).sum()), int((taken & ~sample.is_face).sum())
        print(f"{threshold:>12.2f}{faces:>8}{false:>8}")
        least = least or (1 - LOST_FACES) * faces
        best = threshold if faces >= least else best
    return float(best)


def write_cards(entries: dict[Path, dict[str, Any]]) -> None:
    """Add entries to cards, each whole or not at all; tensors and their sha256 stay as they are."""
    texts = {
        path: json.dumps(json.loads(path.read_text("utf-8")) | new, indent=1, ensure_ascii=False)
        for path, new in entries.items()
    }
    for path, text in texts.items():
        write_text(path, text + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--shards", type=Path, required=True, help="folder made by `aucli synth`")
    parser.add_argument("--landmarks", default=DEFAULT_LANDMARKS, help="weights to fit")
    parser.add_argument("--only", choices=("landmarks", "au"), help="fit one of the two networks")
    parser.add_argument("--scenes", type=int, default=300, help="scenes of each half")
    parser.add_argument("--crops", type=int, default=1500, help="loose crops of each half")
    parser.add_argument("--dry-run", action="store_true", help="print only; leave the card alone")
    args = parser.parse_args()

    networks = load_faces(landmarks=args.landmarks)
    detector, landmarker = networks.detector, networks.landmarker
    if not isinstance(landmarker, BuiltinLandmarker):
        parser.error(f"--landmarks: {args.landmarks} is no landmark network of this project")
    assert isinstance(detector, BuiltinDetector)
    au = load_au_model(DEFAULT_AU_MODEL)
    finds, follows = args.only != "au", args.only != "landmarks" and au.follows
    store = FaceStore(args.shards, "test")
    halves: list[tuple[Sample, Sample]] = []
    followed: list[Sample] = []
    for half in (0, 1):
        faces = HalfOfFaces(store, half)
        around = Surroundings.of_half(half)
        if finds:
            scenes = candidate_sample(detector, landmarker, faces, around, args.scenes, 21 + half)
            crops = crop_sample(landmarker, faces, around, args.crops, 31 + half)
            halves.append((scenes, crops))
        if follows:
            followed.append(followed_sample(au, faces, around, args.crops, 41 + half))
    entries: dict[Path, dict[str, Any]] = {}
    if finds:
        fitted = fit(
            np.concatenate([s.features for s in halves[0]]),
            np.concatenate([s.is_face for s in halves[0]]),
        )
        print(f"before: {landmarker.confidence}\nfitted: {fitted}")
        threshold = best_threshold(halves[0][0], fitted)
        print(f"detector's threshold: {detector.threshold} before, {threshold} now")
        reliability: dict[str, Any] = {}
        for title, sample in zip(("detector's candidates", "loose crops"), halves[1], strict=True):
            report(f"{title}, before", sample, landmarker.confidence)
            reliability[title] = report(f"{title}, fitted", sample, fitted)
        entries[card_file(resolve(args.landmarks))] = told(fitted, reliability)
        entries[card_file(resolve(DEFAULT_DETECTOR))] = {"threshold": threshold}
    if follows:
        fitted = fit(followed[0].features, followed[0].is_face)
        print(f"\n{au.name}: {fitted}")
        reliability = {"followed crops": report("followed crops", followed[1], fitted)}
        entries[card_file(resolve(DEFAULT_AU_MODEL))] = told(fitted, reliability)
    if not args.dry_run:
        write_cards(entries)


def told(fitted: Confidence, reliability: dict[str, Any]) -> dict[str, Any]:
    """What a card says of its network's confidence."""
    names = ("bias", "face_logit", "spread", "shape")
    coefficients = {name: getattr(fitted, name) for name in names}
    return {"confidence": coefficients, "confidence_reliability": reliability}


if __name__ == "__main__":
    run_script(main)
