"""Faces to rows: crops collected over frames, AU networks on full batches, totals of a video."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from aucli.align import (
    align_matrices,
    apply_matrices,
    invert_matrices,
    turn_directions,
    warp_crops,
)
from aucli.faces.confirm import hidden_shares
from aucli.models.predict import AUModel, look_at_crops, predict_crops
from aucli.pipeline.quality import judge
from aucli.records import Face, FrameBatch
from aucli.table.schema import QUALITY, Rows

_NOTHING = np.empty(0)
# Rows that wait for a full batch of crops: twenty seconds without a face, then they go.
MAX_PENDING_ROWS = 512


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One row to be: a face of a frame with its crop, or a frame without a face.

    size_wh: of the frame, px. crop: (S, S, 3) uint8. matrix: (2, 3) frame px -> crop px.
    quality: (6,) bool, see :func:`~aucli.pipeline.quality.judge`.
    """

    frame_index: int
    pts_seconds: float
    size_wh: tuple[int, int]
    face: Face | None = None
    crop: np.ndarray | None = None
    matrix: np.ndarray | None = None
    quality: np.ndarray | None = None


def rows_in_order(
    found: Iterable[tuple[FrameBatch, list[list[Face]]]],
    model: AUModel,
    batch_size: int,
    twice: bool = False,
) -> Iterator[Rows]:
    """Run the AU networks over frames with their faces; one row a face, or one for none.

    The model sees ``batch_size`` crops at a time, gathered over frames; fewer only at the end and
    after :data:`MAX_PENDING_ROWS` rows. Both depend on counts alone. twice: look at mirror images,
    too, see :func:`~aucli.models.predict.predict_crops`; for pictures: a film shows a face often.
    """
    pending: list[Found] = []
    crops = 0
    for batch, faces in found:
        for row in crop_faces(batch, faces, model):
            pending.append(row)
            crops += row.face is not None
            if crops == batch_size or len(pending) == MAX_PENDING_ROWS:
                yield predict_rows(pending, model, twice)
                pending, crops = [], 0
        if pending and crops == 0:
            yield predict_rows(pending, model, twice)
            pending = []
    if pending:
        yield predict_rows(pending, model, twice)


def crop_faces(batch: FrameBatch, faces: list[list[Face]], model: AUModel) -> list[Found]:
    """Align every face of a batch of frames; (S, S, 3) crops for the model's template. Those that
    were read while they were followed keep the crop in which they were."""
    every = [(i, face) for i, own in enumerate(faces) for face in own]
    crops: list[np.ndarray] = [face.reading.crop if face.reading else _NOTHING for _, face in every]
    matrices = [face.reading.matrix if face.reading else _NOTHING for _, face in every]
    new = [k for k, (_, face) in enumerate(every) if face.reading is None]
    if new:
        landmarks = np.stack([every[k][1].landmarks for k in new])  # (F, 68, 2)
        aligned = align_matrices(landmarks, model.template, model.crop_size)  # (F, 2, 3)
        cut = warp_crops([batch.frames[every[k][0]] for k in new], aligned, model.crop_size)
        for k, crop, matrix in zip(new, cut, aligned, strict=True):
            crops[k], matrices[k] = crop, matrix
    hidden = np.empty(0)
    if every:
        shapes = np.stack([face.landmarks for _, face in every])
        hidden = hidden_shares(np.stack(crops), apply_matrices(shapes, np.stack(matrices)))  # (F,)
    rows = []
    size = batch.frames.shape[2], batch.frames.shape[1]
    at = 0
    for i, own in enumerate(faces):
        frame = int(batch.frame_index[i]), float(batch.pts_seconds[i]), size
        if not own:
            rows.append(Found(*frame))
        for face in own:
            quality = judge(face, crops[at], batch.frames[i].shape, hidden[at])
            rows.append(Found(*frame, face, crops[at], matrices[at], quality))
            at += 1
    return rows


def predict_rows(pending: list[Found], model: AUModel, twice: bool = False) -> Rows:
    """Intensities and places of the faces among ``pending``, as one block of rows. twice: see
    :func:`rows_in_order`."""
    count, aus = len(pending), len(model.aus)

    def nothing(*shape: int) -> np.ndarray:
        return np.full((count, *shape), np.nan, np.float32)

    rows = Rows(
        frame_index=np.array([row.frame_index for row in pending], np.int64),
        pts_seconds=np.array([row.pts_seconds for row in pending], np.float64),
        face_id=np.full(count, -1, np.int32),
        success=np.zeros(count, bool),
        confidence=nothing(),
        bbox_xyxy_px=nothing(4),
        pose_radians=nothing(3),
        landmarks=nothing(68, 2),
        intensities=nothing(aus),
        sides=nothing(aus, 2),
        places=nothing(aus, 2, 2),
        quality=np.zeros((count, len(QUALITY)), bool),
        gaze=nothing(2, 3),
        frame_size_wh=np.array([row.size_wh for row in pending], np.int32).reshape(count, 2),
    )
    assert rows.gaze is not None
    at = [i for i, row in enumerate(pending) if row.face is not None]
    if not at:
        return rows
    for i in at:
        face = pending[i].face
        assert face is not None
        rows.face_id[i] = face.face_id
        rows.confidence[i] = face.confidence
        rows.bbox_xyxy_px[i] = face.bbox_xyxy_px
        rows.pose_radians[i] = face.pose_radians
        rows.landmarks[i] = face.landmarks
        rows.quality[i] = pending[i].quality  # pyright: ignore
        if face.reading is not None:
            rows.intensities[i] = face.reading.intensities
            rows.sides[i] = face.reading.sides
            rows.places[i] = face.reading.places
            rows.gaze[i] = face.reading.gaze if model.knows_gaze else np.nan
    back = invert_matrices(np.stack([pending[i].matrix for i in at]))  # pyright: ignore
    new = [i for i in at if pending[i].face.reading is None]  # pyright: ignore
    if new:
        crops = np.stack([pending[i].crop for i in new])  # pyright: ignore
        if model.knows_gaze:
            look = look_at_crops(model, crops, twice=twice)
            rows.gaze[new] = turn_directions(look.gaze, back[np.isin(at, new)])
            found = look.prediction
        else:
            found = predict_crops(model, crops, twice=twice)
        rows.intensities[new], rows.sides[new] = found.intensities, found.sides
        rows.places[new] = found.places
    rows.success[at] = np.isfinite(rows.intensities[at]).all(1)
    places = rows.places[at].reshape(len(at), -1, 2)  # (F, 2A, 2) crop px
    rows.places[at] = apply_matrices(places, back).reshape(len(at), aus, 2, 2)
    return rows


class Totals:
    """Counts over the rows of a video, kept while they pass."""

    def __init__(self) -> None:
        self.frames = 0
        self.face_frames = 0
        self.face_rows = 0
        self._quality = np.zeros(len(QUALITY), np.int64)
        self._last = -1
        self._last_face = -1

    def add(self, rows: Rows) -> None:
        """Take in the next rows; those of one frame follow each other."""
        index = rows.frame_index
        self.frames += int(np.count_nonzero(np.diff(index, prepend=self._last)))
        self._last = int(index[-1])
        faces = rows.face_id >= 0  # also those without a baseline, which have raw readings alone
        with_face = index[faces]
        if not len(with_face):
            return
        self.face_frames += int(np.count_nonzero(np.diff(with_face, prepend=self._last_face)))
        self._last_face = int(with_face[-1])
        self.face_rows += len(with_face)
        if rows.quality is not None:
            self._quality += rows.quality[faces].sum(0)

    def quality(self) -> dict[str, float]:
        """Share of the rows with a face to which each word of the column ``quality`` applies, 0-1;
        words that apply to none are left out."""
        return {
            word: int(count) / self.face_rows
            for word, count in zip(QUALITY, self._quality, strict=True)
            if count
        }
