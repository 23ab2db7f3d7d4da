"""Pictures of the AU maps of chosen frames, in a second and short pass over the video.

The first pass only notes where the chosen faces are; its speed and memory stay what they were.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aucli.align import align_face, apply_matrices, invert_matrices
from aucli.aus import MAX_INTENSITY
from aucli.errors import OutputError
from aucli.files import write_whole
from aucli.models.predict import AUModel, predict_crops
from aucli.pipeline.analysis import Analysis, OnBatch, torch_threads
from aucli.pipeline.panels import FaceMaps, draw_panel
from aucli.table.schema import Rows
from aucli.video.demux import MAX_PIXELS
from aucli.video.source import Decoder, open_video

STRONGEST = 3
APART_SECONDS = 1.0


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no one truth
class SeenFace:
    """A face that a row was made of. landmarks: (68, 2) frame px. strength: sum of intensities."""

    frame_index: int
    pts_seconds: float
    face_id: int
    landmarks: np.ndarray
    strength: float


class FaceChoice:
    """Notes, while the rows pass, the faces whose maps are to be drawn.

    frames: 0-based; with these, every face in them. Without, the :data:`STRONGEST` faces with the
    largest sum of intensities that are :data:`APART_SECONDS` apart: neighbours of a peak look like
    it.
    """

    def __init__(self, frames: tuple[int, ...] = ()) -> None:
        self.frames = frozenset(frames)
        self._kept: list[SeenFace] = []

    def add(self, rows: Rows) -> None:
        """Take in the next rows of the video."""
        strength = rows.intensities.sum(1)
        for i in np.flatnonzero(rows.success):
            face = SeenFace(
                frame_index=int(rows.frame_index[i]),
                pts_seconds=float(rows.pts_seconds[i]),
                face_id=int(rows.face_id[i]),
                landmarks=rows.landmarks[i].copy(),
                strength=float(strength[i]),
            )
            if not self.frames:
                self._weigh(face)
            elif face.frame_index in self.frames:
                self._kept.append(face)

    def _weigh(self, face: SeenFace) -> None:
        # Pictures of a folder have no time, NaN, and so no neighbours.
        near = [f for f in self._kept if abs(f.pts_seconds - face.pts_seconds) < APART_SECONDS]
        if all(face.strength > other.strength for other in near):
            self._kept = [f for f in self._kept if f not in near] + [face]
            self._kept = sorted(self._kept, key=lambda f: -f.strength)[:STRONGEST]

    def faces(self) -> list[SeenFace]:
        """The chosen faces, in the order of the video."""
        return sorted(self._kept, key=lambda face: (face.frame_index, face.face_id))

    def without_face(self) -> list[int]:
        """Frames that were asked for and have no face, or no row at all; 0-based."""
        return sorted(self.frames - {face.frame_index for face in self._kept})


def face_maps(
    path: Path,
    model: AUModel,
    faces: list[SeenFace],
    decoder: Decoder = "auto",
    max_pixels: int = MAX_PIXELS,
    on_batch: OnBatch = lambda: None,
) -> Iterator[tuple[SeenFace, FaceMaps]]:
    """Read the frames of ``faces`` again and run the AU network on them, keeping its heatmaps.

    on_batch: a sign of life, called for each decoded batch.
    """
    wanted: dict[int, list[SeenFace]] = {}
    for face in faces:
        wanted.setdefault(face.frame_index, []).append(face)
    with open_video(path, decoder, max_pixels=max_pixels) as source:
        source.on_wait = on_batch
        for batch in source:
            on_batch()
            for frame, index in zip(batch.frames, batch.frame_index.tolist(), strict=True):
                for face in wanted.pop(index, []):
                    yield face, read_maps(frame, face.landmarks, model, source.unrelated)
            if not wanted:
                return


def read_maps(
    frame: np.ndarray, landmarks: np.ndarray, model: AUModel, twice: bool = False
) -> FaceMaps:
    """The AU network's answer for one face.

    frame: (H, W, 3) uint8. landmarks: (68, 2) frame px. twice: also mirrored, as pictures are read.
    """
    crops, matrices = align_face(frame, landmarks[None], model.template, model.crop_size)
    found = predict_crops(model, crops, with_heatmaps=True, twice=twice)
    assert found.heatmaps is not None
    levels = found.heatmaps[0] / model.heatmap_scale  # (K, h, w)
    maps = np.stack(
        [
            (levels[model.maps_of(au)].max(0) * scale + offset).clip(0, MAX_INTENSITY)
            for au, scale, offset in zip(model.aus, model.scale, model.offset, strict=True)
        ]
    )
    places = apply_matrices(found.places.reshape(1, -1, 2), invert_matrices(matrices))
    return FaceMaps(
        frame=frame,
        landmarks=landmarks,
        matrix=matrices[0],
        aus=model.aus,
        maps=maps,
        intensities=found.intensities[0],
        sides=found.sides[0],
        places=places.reshape(-1, 2, 2),
    )


def write_panels(
    analysis: Analysis,
    faces: list[SeenFace],
    target_stem: Path,
    on_batch: OnBatch = lambda: None,
) -> list[Path]:
    """One PNG for each of the faces of an analysed video; returns their paths.

    target_stem: folder and start of the names: ``maps/clip`` gives
    ``maps/clip_frame000041_face0.png``, the frame as in the table, from 1. Raises OutputError where
    the folder cannot be written.
    """
    written = []
    model, options = analysis.networks.au, analysis.options
    with torch_threads(analysis.options.threads):
        for face, maps in face_maps(
            analysis.info.path, model, faces, options.decoder, options.max_pixels, on_batch
        ):
            number = face.frame_index + 1
            time = "" if math.isnan(face.pts_seconds) else f" · {face.pts_seconds:.3f} s"
            title = f"{analysis.label} · frame {number}{time} · face {face.face_id}"
            picture = draw_panel(maps, title, model.name)
            name = f"{target_stem.name}_frame{number:06d}_face{face.face_id}.png"
            target = target_stem.with_name(name)
            try:
                with write_whole(target) as stream:
                    picture.save(stream, "PNG")
            except OSError as error:
                raise OutputError(
                    f"Cannot write {target}: {error.strerror}; name another folder."
                ) from error
            written.append(target)
    return written
