"""The networks that find faces, loaded once: a detector and a landmark network by their names.

``builtin`` comes with the package. Nothing is replaced by something else when it is missing.
"""

from dataclasses import dataclass, replace
from typing import Any

from aucli.faces.builtin import (
    SCORE_THRESHOLD,
    SURE_CONFIDENCE,
    BuiltinDetector,
    BuiltinLandmarker,
    Confidence,
)
from aucli.faces.finder import FaceFinder, FinderConfig
from aucli.faces.library_detectors import DETECTORS, LibraryDetector
from aucli.faces.protocols import Detector, Landmarker
from aucli.faces.watcher import JointWatcher
from aucli.models.device import Precision
from aucli.models.pixels import PixelScale
from aucli.models.predict import AUModel
from aucli.weights.cards import (
    DEFAULT_AU_MODEL,
    DEFAULT_LANDMARKS,
    load_au_model,
    load_network,
    read_card,
)
from aucli.weights.names import resolve

# Without a landmark network that tells faces from other things, the built-in detector decides: at
# this score it finds none in a clip without faces, and all but 7 in 544 frames with one.
DECIDING_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class FaceNetworks:
    """A detector and a landmark network, and how they find the faces of a run.

    watcher: follows faces in place of the landmark network; None where that does so itself.
    provenance: name and checksum of all.
    """

    detector: Detector
    landmarker: Landmarker
    config: FinderConfig
    provenance: dict[str, Any]
    watcher: JointWatcher | None = None

    def finder(self, unrelated: bool = False) -> FaceFinder:
        """A finder for one film, or for ``unrelated`` pictures. It keeps a state of its own."""
        config = replace(self.config, independent=True) if unrelated else self.config
        return FaceFinder(self.detector, self.landmarker, config, self.watcher)


def load_faces(
    detector: str = "builtin",
    landmarks: str = "builtin",
    device: str = "cpu",
    faces: int | None = 1,
    au: AUModel | None = None,
    threads: int = 1,
    precision: Precision = "fp32",
) -> FaceNetworks:
    """Load the networks onto a device. faces: how many to keep; None keeps all. threads: on the
    CPU, of exported networks. precision: of what follows, if that is not ``au``; detectors and
    landmark networks run in fp32.

    au: the AU network of the run. If it can follow faces it does, and reads them on the way;
    otherwise the built-in one follows, if that can. Landmark networks other than the built-in one
    follow by themselves.

    Raises WeightsError for an unknown name or weights that cannot be used, LibraryError where an
    optional library is missing.
    """
    landmarker, landmarks_told = load_landmarker(landmarks, device, threads)
    config = FinderConfig(faces, sure_confidence=SURE_CONFIDENCE, rendered_markup=True)
    least_score = 0.0
    if not isinstance(landmarker, BuiltinLandmarker):
        from aucli.faces import fan  # which needs torch

        least_score = DECIDING_THRESHOLD
        config = FinderConfig(
            faces,
            min_confidence=fan.MIN_CONFIDENCE,
            turned_confidence=None,
            keep_confidence=fan.KEEP_CONFIDENCE,
            redetect_confidence=fan.MIN_CONFIDENCE,
            sure_confidence=fan.SURE_CONFIDENCE,
        )
    found, detector_told = load_detector(detector, device, least_score, threads)
    if device != "cpu":
        # A GPU detects in whole batches faster than it follows faces frame by frame.
        config = replace(config, detect_every_seconds=0.0)
    told = {"detector": detector_told, "landmarks": landmarks_told}
    watcher = None
    if resolve(landmarks, "landmarks") == resolve(DEFAULT_LANDMARKS):
        watcher = load_watcher(au, device, threads, precision)
    if watcher is not None:
        told["follower"] = {"name": watcher.model.name, "sha256": watcher.model.sha256}
    return FaceNetworks(found, landmarker, config, told, watcher)


def load_watcher(
    au: AUModel | None = None,
    device: str = "cpu",
    threads: int = 1,
    precision: Precision = "fp32",
) -> JointWatcher | None:
    """What follows faces beside the AU network of a run: that one, the built-in one, or, where
    neither can, None. Raises WeightsError."""
    if au is not None and au.follows:
        return JointWatcher(au)
    if not read_card(DEFAULT_AU_MODEL, "au")[1]["config"].get("follows"):
        return None
    return JointWatcher(load_au_model(DEFAULT_AU_MODEL, device, threads, precision), reads=False)


def load_detector(
    name: str, device: str = "cpu", least_score: float = 0.0, threads: int = 1
) -> tuple[Detector, dict[str, Any]]:
    """A face detector, and what the provenance says of it.

    name: 'builtin', one of face-alignment's :data:`~aucli.faces.library_detectors.DETECTORS`, or
    detector weights by name or path. least_score: raises the built-in detector's threshold; the
    others' are strict. Raises LibraryError or WeightsError.
    """
    if name in DETECTORS:
        return LibraryDetector(name, device), {"name": name, "library": "face-alignment"}
    loaded = load_network(name, "detector", device, threads)
    told = {"name": loaded.name, "sha256": loaded.sha256}
    if loaded.card["architecture"] == "RetinaFace":
        from aucli.faces.retinaface import RetinaFaceDetector  # which needs torch

        return RetinaFaceDetector(loaded.net, loaded.card, device), told
    threshold = max(float(loaded.card.get("threshold", SCORE_THRESHOLD)), least_score)
    pixels = PixelScale.of_card(loaded.card)
    return BuiltinDetector(loaded.net, device, threshold, loaded.sha256, pixels), told


def load_landmarker(
    name: str, device: str = "cpu", threads: int = 1
) -> tuple[Landmarker, dict[str, Any]]:
    """A landmark network, and what the provenance says of it.

    name: 'builtin', or landmark weights by name or path. Raises LibraryError or WeightsError.
    """
    loaded = load_network(name, "landmarks", device, threads)
    told = {"name": loaded.name, "sha256": loaded.sha256}
    pixels = PixelScale.of_card(loaded.card)
    if loaded.card["architecture"] == "LandmarkNet":
        confidence = Confidence.from_card(loaded.card)
        return BuiltinLandmarker(loaded.net, device, confidence, loaded.sha256, pixels), told
    from aucli.faces import fan  # which needs torch

    return fan.FanLandmarker(loaded.net, device, pixels=pixels), told
