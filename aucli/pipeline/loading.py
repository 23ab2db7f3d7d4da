"""The networks that a run's options name, loaded once.

A profile names three networks; an option of its own replaces any of them. ``builtin`` comes with
the package. ``accurate`` takes the published RetinaFace, FAN and FANAU; of RetinaFace the small one
(MobileNet-0.25), which found every face of the clips it was tried on. Nothing is replaced by
something else when it is missing.
"""

import os
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from aucli.errors import InputError, WeightsError
from aucli.faces import fan
from aucli.faces.builtin import SCORE_THRESHOLD, BuiltinDetector, BuiltinLandmarker, Confidence
from aucli.faces.finder import FaceFinder, FinderConfig, parse_faces
from aucli.faces.library_detectors import DETECTORS, LibraryDetector
from aucli.faces.protocols import Detector, Landmarker
from aucli.faces.retinaface import RetinaFaceDetector
from aucli.models.detector import FaceDetectorNet
from aucli.models.fan import HOW_TO_INSTALL
from aucli.models.landmark import LandmarkNet
from aucli.models.retinaface import RetinaFace
from aucli.pipeline.analysis import AnalyzeOptions, Models
from aucli.weights.cards import (
    DEFAULT_AU_MODEL,
    DEFAULT_DETECTOR,
    DEFAULT_LANDMARKS,
    LoadedWeights,
    load_au_model,
    load_weights,
)
from aucli.weights.manifest import read_manifest
from aucli.weights.store import find

# Without a landmark network that tells faces from other things, the built-in detector decides: at
# this score it finds none in a clip without faces, and all but 7 in 544 frames with one.
DECIDING_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Networks:
    """Names or paths of the three networks of a run."""

    model: str
    detector: str
    landmarks: str


PROFILES = {
    "builtin": Networks(DEFAULT_AU_MODEL, "builtin", "builtin"),
    "accurate": Networks("fanau-disfa", "retinaface-mobilenet", "fan-2d"),
}
EMBEDDED = {"detector": DEFAULT_DETECTOR, "landmarks": DEFAULT_LANDMARKS}


def resolve_device(name: str) -> str:
    """'auto' -> 'cuda' where there is one, else 'cpu'; other names are checked and kept.

    Raises InputError for a device that is unknown or not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"Device '{name}' is not there; use --device cpu or auto.") from error
    return name


def choose_networks(options: AnalyzeOptions) -> Networks:
    """The profile's networks, but for those that the options name themselves.

    Raises InputError for an unknown profile.
    """
    if options.profile not in PROFILES:
        raise InputError(f"profile: '{options.profile}' is not one of {', '.join(PROFILES)}.")
    usual = PROFILES[options.profile]
    return Networks(
        options.model or usual.model,
        options.detector or usual.detector,
        options.landmarks or usual.landmarks,
    )


def load_models(options: AnalyzeOptions) -> Models:
    """Load the AU network and the face networks onto the options' device.

    Raises:
        WeightsError: weights are missing, altered or do not fit; all that are still to be pulled
            are named at once.
        LibraryError: an optional library is missing.
        InputError: a name, ``faces`` or ``device`` cannot be understood.
    """
    device = resolve_device(options.device)
    faces = parse_faces(options.faces)
    names = choose_networks(options)
    refuse_absent(names)
    au = load_au_model(names.model).to(device)
    landmarker, landmarks_told = load_landmarker(names.landmarks, device)
    config, least_score = FinderConfig(faces), 0.0
    if isinstance(landmarker, fan.FanLandmarker):
        least_score = DECIDING_THRESHOLD
        config = FinderConfig(
            faces,
            min_confidence=fan.MIN_CONFIDENCE,
            keep_confidence=fan.KEEP_CONFIDENCE,
            redetect_confidence=fan.MIN_CONFIDENCE,
        )
    detector, detector_told = load_detector(names.detector, device, least_score)
    # A GPU detects in whole batches faster than it follows faces frame by frame.
    moving = config if device == "cpu" else replace(config, detect_every_seconds=0.0)
    return Models(
        au=au,
        video_finder=FaceFinder(detector, landmarker, moving),
        still_finder=FaceFinder(detector, landmarker, replace(config, independent=True)),
        provenance={
            "profile": options.profile,
            "model": {"name": au.name, "sha256": au.sha256, "template": au.template},
            "detector": detector_told,
            "landmarks": landmarks_told,
            "device": device,
        },
    )


def refuse_absent(names: Networks) -> None:
    """Raise WeightsError that names all published weights still to be fetched, and the commands."""
    entries = read_manifest()
    wanted = (names.model, names.detector, names.landmarks)
    absent = [entries[name] for name in wanted if name in entries and find(name) is None]
    if not absent:
        return
    pulled = [entry.name for entry in absent if entry.urls]
    how = [f"run `aucli weights pull {' '.join(pulled)}`"] if pulled else []
    how += [entry.how for entry in absent if not entry.urls]
    if "fan-2d" in wanted and find_spec("face_alignment") is None:
        how.insert(0, f"run `{HOW_TO_INSTALL}`")
    are = "is" if len(absent) == 1 else "are"
    listed = " and ".join(filter(None, (", ".join(e.name for e in absent[:-1]), absent[-1].name)))
    raise WeightsError(f"{listed} {are} not on this machine yet; {', then '.join(how)}")


def load_detector(
    name: str, device: str = "cpu", least_score: float = 0.0
) -> tuple[Detector, dict[str, Any]]:
    """A face detector, and what the provenance says of it.

    name: 'builtin', one of face-alignment's :data:`~aucli.faces.library_detectors.DETECTORS`, or
    detector weights by name or path. least_score: raises the built-in detector's threshold; the
    others' are strict. Raises InputError, LibraryError or WeightsError.
    """
    if name in DETECTORS:
        return LibraryDetector(name, device), {"name": name, "library": "face-alignment"}
    loaded = _load("detector", name, ("builtin", *_published("detector"), *DETECTORS))
    told = {"name": loaded.name, "sha256": loaded.sha256}
    if isinstance(loaded.net, RetinaFace):
        return RetinaFaceDetector(loaded.net, loaded.card, device), told
    assert isinstance(loaded.net, FaceDetectorNet)
    threshold = max(float(loaded.card.get("threshold", SCORE_THRESHOLD)), least_score)
    return BuiltinDetector(loaded.net, device, threshold, loaded.sha256), told


def load_landmarker(name: str, device: str = "cpu") -> tuple[Landmarker, dict[str, Any]]:
    """A landmark network, and what the provenance says of it.

    name: 'builtin', or landmark weights by name or path. Raises InputError, LibraryError or
    WeightsError.
    """
    loaded = _load("landmarks", name, ("builtin", *_published("landmarks")))
    told = {"name": loaded.name, "sha256": loaded.sha256}
    if isinstance(loaded.net, LandmarkNet):
        confidence = Confidence.from_card(loaded.card)
        return BuiltinLandmarker(loaded.net, device, confidence, loaded.sha256), told
    return fan.FanLandmarker(loaded.net, device), told


def _published(kind: str) -> list[str]:
    return [name for name, entry in read_manifest().items() if entry.kind == kind]


def _load(kind: str, name: str, known: tuple[str, ...]) -> LoadedWeights:
    """Weights of a kind; ``known`` are the names that the error of an unknown one tells."""
    name = EMBEDDED[kind] if name == "builtin" else name
    is_path = os.sep in name or Path(name).suffix in (".safetensors", ".json")
    if not is_path and find(name) is None and name not in known:
        raise InputError(f"{kind}: '{name}' is not {', '.join(known)} or a path of weights.")
    loaded = load_weights(name)
    if loaded.card["kind"] != kind:
        raise WeightsError(
            f"weights {loaded.name!r} are of kind {loaded.card['kind']!r}; "
            f"name some of kind {kind!r}"
        )
    return loaded
