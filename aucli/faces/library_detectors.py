"""The other detectors of the optional library face-alignment, by their names there.

The library would fetch their files at first use, unasked and unchecked, and unpickle some of them
freely. Here a file that is not there is an error that says where it is to be had; a detector gets
the path, and with a path the library reads tensors only.
"""

import shlex
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from aucli.errors import LibraryError, WeightsError
from aucli.faces.boxes import DLIB_EDGES, WIDER_EDGES, move_edges
from aucli.faces.feeding import resized, scaled_size
from aucli.faces.protocols import Boxes, Frames
from aucli.models.library import face_alignment

LONG_SIDE = 640
FINE_LONG_SIDE = 1280

_AUTHOR = "https://www.adrianbulat.com/downloads/python-fan"
_BLAZEFACE = "https://github.com/hollance/BlazeFace-PyTorch/raw/master"
_YUNET = "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet"
_SCRFD = "https://github.com/yakhyo/facial-analysis/releases/download/v0.0.1"


@dataclass(frozen=True, slots=True)
class Library:
    """One detector of the library.

    files: for each argument of its constructor the name of the file in PyTorch's cache, as the
    library calls it, and its URL. edges: see :data:`aucli.faces.boxes.WIDER_EDGES`. on_gpu: whether
    it can run there. needs: a module that the library loads late.
    """

    files: dict[str, tuple[str, str]]
    edges: tuple[float, float, float, float] = WIDER_EDGES
    on_gpu: bool = False
    needs: str | None = None


def _one(name: str, url: str) -> dict[str, tuple[str, str]]:
    return {"path_to_detector": (name, url)}


DETECTORS = {
    "sfd": Library(_one("s3fd-619a316812.pth", f"{_AUTHOR}/s3fd-619a316812.pth"), on_gpu=True),
    "blazeface": Library(
        {
            "path_to_detector": ("blazeface.pth", f"{_BLAZEFACE}/blazeface.pth"),
            "path_to_anchor": ("anchors.npy", f"{_BLAZEFACE}/anchors.npy"),
        },
        edges=(0.0, 0.0, 0.0, 0.0),
        on_gpu=True,
    ),
    "yunet": Library(
        _one("face_detection_yunet_2023mar.onnx", f"{_YUNET}/face_detection_yunet_2023mar.onnx")
    ),
    "scrfd": Library(
        _one("scrfd_2.5g_bnkps.onnx", f"{_SCRFD}/det_2.5g.onnx"), on_gpu=True, needs="onnxruntime"
    ),
    "dlib": Library({}, edges=DLIB_EDGES),  # its HOG detector, which is part of dlib
}


class LibraryDetector:
    """A detector of the library, one frame after the other, on frames of at most 640 px.

    name: of :data:`DETECTORS`. Raises WeightsError where it needs a file that is not there, and
    LibraryError where a library is missing.
    """

    def __init__(self, name: str, device: str = "cpu") -> None:
        self.name = name
        self.library = DETECTORS[name]
        module = face_alignment(f"detection.{name}")
        if (needs := self.library.needs) and find_spec(needs) is None:
            raise LibraryError(f"the detector {name} needs {needs}; run `pip install {needs}`")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one of them calls itself deprecated
            self._detector: Any = module.FaceDetector(
                device=device if self.library.on_gpu else "cpu", **self._paths()
            )

    def _paths(self) -> dict[str, str]:
        import torch  # whose folder it is

        folder = Path(torch.hub.get_dir()) / "checkpoints"
        files = self.library.files
        absent = [
            f"curl -L --create-dirs -o {shlex.quote(str(folder / name))} {url}"
            for name, url in files.values()
            if not (folder / name).is_file()
        ]
        if absent:
            raise WeightsError(
                f"the detector {self.name} needs files that aucli does not fetch; "
                f"run `{' && '.join(absent)}`"
            )
        return {argument: str(folder / name) for argument, (name, _) in files.items()}

    def detect(self, frames: Frames, fine: bool = False) -> list[Boxes]:
        """See :class:`aucli.faces.protocols.Detector`; a score that is not given counts as 1."""
        import torch  # which the library runs in

        with torch.inference_mode():
            return [self._detect(frame, FINE_LONG_SIDE if fine else LONG_SIDE) for frame in frames]

    def _detect(self, frame: np.ndarray, long_side: int) -> Boxes:
        height, width = frame.shape[:2]
        size = scaled_size(frame, min(1.0, long_side / max(height, width)))
        image = np.ascontiguousarray(resized(frame, size))
        found = [np.asarray(face, np.float32) for face in self._detector.detect_from_image(image)]
        if not any(len(face) for face in found):  # nothing is [] or [[]]
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        values = np.stack(found)  # (n, 4 or 5)
        scores = values[:, 4] if values.shape[1] > 4 else np.ones(len(values), np.float32)
        ratio = np.array([width / size[1], height / size[0]] * 2)
        boxes = ((values[:, :4] + 0.5) * ratio - 0.5).astype(np.float32)
        order = np.argsort(-scores, kind="stable")
        return move_edges(boxes[order], self.library.edges), scores[order]
