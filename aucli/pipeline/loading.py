"""The networks that a run's options name, loaded once."""

import torch

from aucli.errors import InputError
from aucli.faces.builtin import BuiltinDetector, BuiltinLandmarker, Confidence
from aucli.faces.finder import FaceFinder, FinderConfig, parse_faces
from aucli.pipeline.analysis import AnalyzeOptions, Models
from aucli.weights.cards import (
    DEFAULT_AU_MODEL,
    DEFAULT_DETECTOR,
    DEFAULT_LANDMARKS,
    load_au_model,
    load_weights,
)


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


def load_models(options: AnalyzeOptions) -> Models:
    """Load the AU network and the face networks onto the options' device.

    Raises:
        WeightsError: weights are missing, altered or do not fit.
        InputError: ``faces`` or ``device`` cannot be understood.
    """
    device = resolve_device(options.device)
    faces = parse_faces(options.faces)
    au = load_au_model(options.model or DEFAULT_AU_MODEL).to(device)
    detector, landmarks = load_weights(DEFAULT_DETECTOR), load_weights(DEFAULT_LANDMARKS)
    confidence = Confidence.from_card(landmarks.card)
    boxes = BuiltinDetector(detector.net, device)  # pyright: ignore[reportArgumentType]
    points = BuiltinLandmarker(landmarks.net, device, confidence)  # pyright: ignore[reportArgumentType]
    # A GPU detects in whole batches faster than it follows faces frame by frame.
    moving = FinderConfig(faces) if device == "cpu" else FinderConfig(faces, 0.0)
    return Models(
        au=au,
        video_finder=FaceFinder(boxes, points, moving),
        still_finder=FaceFinder(boxes, points, FinderConfig(faces, independent=True)),
        provenance={
            "model": {"name": au.name, "sha256": au.sha256, "template": au.template},
            "detector": {"name": detector.name, "sha256": detector.sha256},
            "landmarks": {"name": landmarks.name, "sha256": landmarks.sha256},
            "device": device,
        },
    )
