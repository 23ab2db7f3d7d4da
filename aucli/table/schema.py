"""The columns of the table, and how rows become Arrow batches of them.

One row for every face in every analysed frame, and one row for a frame without a face. What was not
measured is null, never zero: a frame without a face has null ``face_id``, ``confidence``, box, pose
and AUs; a picture of a folder has a null ``timestamp``. Columns, in order:

    video, frame (1-based), timestamp (seconds from the stream start), face_id (0-based),
    success, confidence (0-1), quality (words of :data:`QUALITY`, a space between two; empty where
    nothing is wrong), face_x face_y face_w face_h (px), pose_Rx pose_Ry pose_Rz (rad),
    AU01_r ... (0-5)

Of folders of pictures, and in datasets, ``picture``, the name of the file, comes behind ``video``.
Where asked for, there are
``AU12_raw`` (0-5, the reading before a person's baseline was subtracted),
``AU12_L AU12_R`` (0-5, the person's own sides, with baselines also ``AU12_L_raw AU12_R_raw``),
``AU12_x AU12_y`` (frame px, the place on the side that reads stronger), with both of these also
``AU12_L_x AU12_L_y AU12_R_x AU12_R_y``, ``AU12_c`` (0 or 1: ``AU12_r`` of at least
:data:`PRESENCE_THRESHOLD`), ``gaze_0_x gaze_0_y gaze_0_z gaze_1_x ... gaze_angle_x gaze_angle_y``
(see :func:`gaze_angles`) and ``frame_w frame_h x_0 ... x_67 y_0 ... y_67`` (frame px).
Pixels are those of the row's own frame, upright and square; in a call or a folder, other frames may
have another size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from aucli.aus import SIDES
from aucli.table.arrow import repeat_text, to_array, to_texts

if TYPE_CHECKING:
    import pandas as pd

# What can be wrong with a face's picture; aucli/pipeline/quality.py says when.
QUALITY = ("small", "blurred", "turned", "dark", "cut", "flat")

PRESENCE_THRESHOLD = 1.0  # level A of FACS, the lowest that a coder calls present

POSE = ("pose_Rx", "pose_Ry", "pose_Rz")
GAZE = (*(f"gaze_{eye}_{axis}" for eye in (0, 1) for axis in "xyz"), "gaze_angle_x", "gaze_angle_y")
FRAME_SIZE = ("frame_w", "frame_h")  # also known in a frame without a face
LANDMARKS = tuple(f"{axis}_{i}" for axis in "xy" for i in range(68))
_BOX = ("face_x", "face_y", "face_w", "face_h")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns a table has: the AUs and the optional ones. picture: of folders of pictures."""

    aus: tuple[str, ...]
    picture: bool = False
    raw: bool = False
    sides: bool = False
    places: bool = False
    presence: bool = False
    gaze: bool = False
    landmarks: bool = False

    def schema(self) -> pa.Schema:
        """The Arrow schema, in the order of the module's description."""
        f32 = pa.float32()
        fields = [
            pa.field("video", pa.string(), nullable=False),
            *([pa.field("picture", pa.string())] if self.picture else []),
            pa.field("frame", pa.int64(), nullable=False),
            pa.field("timestamp", pa.float64()),
            pa.field("face_id", pa.int32()),
            pa.field("success", pa.bool_(), nullable=False),
            pa.field("confidence", f32),
            pa.field("quality", pa.string()),
        ]
        fields += [pa.field(name, f32) for name in (*_BOX, *POSE)]
        fields += [pa.field(f"{au}_r", f32) for au in self.aus]
        if self.raw:
            fields += [pa.field(f"{au}_raw", f32) for au in self.aus]
        both = [f"{au}_{side}" for au in self.aus for side in SIDES]
        if self.sides:
            fields += [pa.field(name, f32) for name in both]
        if self.sides and self.raw:
            fields += [pa.field(f"{name}_raw", f32) for name in both]
        if self.places:
            fields += [pa.field(f"{au}_{axis}", f32) for au in self.aus for axis in "xy"]
        if self.sides and self.places:
            fields += [pa.field(f"{name}_{axis}", f32) for name in both for axis in "xy"]
        if self.presence:
            fields += [pa.field(f"{au}_c", pa.int8()) for au in self.aus]
        if self.gaze:
            fields += [pa.field(name, f32) for name in GAZE]
        if self.landmarks:
            fields += [pa.field(name, pa.int32()) for name in FRAME_SIZE]
            fields += [pa.field(name, f32) for name in LANDMARKS]
        return pa.schema(fields)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """N rows as arrays; NaN, and -1 in ``face_id``, where there is nothing to say.

    frame_index: (N,) int64, 0-based. pts_seconds: (N,) float64, NaN for pictures of a folder.
    face_id: (N,) int32.
    success: (N,) bool. confidence: (N,) float32. bbox_xyxy_px: (N, 4). pose_radians: (N, 3).
    landmarks: (N, 68, 2) frame px. intensities: (N, A), 0-5. sides: (N, A, 2), L then R,
    NaN for a side that the model does not tell. places: (N, A, 2, 2) frame px, of L then R, twice
    the same where the model does not tell them apart. All of these float32. raw_intensities,
    raw_sides: the readings, where a person's baseline was subtracted from the other two.
    quality: (N, 6) bool, which words of :data:`QUALITY` hold; only told in rows with a face. gaze:
    (N, 2, 3) float32, see :func:`gaze_angles`; NaN where the network does not tell it.
    frame_size_wh: (N, 2) int32 px.
    """

    frame_index: np.ndarray
    pts_seconds: np.ndarray
    face_id: np.ndarray
    success: np.ndarray
    confidence: np.ndarray
    bbox_xyxy_px: np.ndarray
    pose_radians: np.ndarray
    landmarks: np.ndarray
    intensities: np.ndarray
    sides: np.ndarray
    places: np.ndarray
    raw_intensities: np.ndarray | None = None
    raw_sides: np.ndarray | None = None
    quality: np.ndarray | None = None
    gaze: np.ndarray | None = None
    frame_size_wh: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.frame_index)


def to_record_batch(
    columns: Columns, video: str, rows: Rows, pictures: Mapping[int, str] | None = None
) -> pa.RecordBatch:
    """Rows as one Arrow batch of ``columns.schema()``; NaN becomes null, frames count from 1.

    pictures: names of files by ``frame_index``, for the column ``picture``.
    """
    count, named = len(rows), pictures or {}
    corner, extent = rows.bbox_xyxy_px[:, :2], rows.bbox_xyxy_px[:, 2:] - rows.bbox_xyxy_px[:, :2]
    groups = [corner, extent, rows.pose_radians, rows.intensities]
    read = rows.sides if rows.raw_sides is None else rows.raw_sides  # (N, A, 2)
    if columns.raw:
        assert rows.raw_intensities is not None
        groups.append(rows.raw_intensities)
    if columns.sides:
        groups.append(rows.sides.reshape(count, -1))  # (N, 2A): AU01_L, AU01_R, AU02_L ...
    if columns.sides and columns.raw:
        groups.append(read.reshape(count, -1))
    if columns.places:
        stronger = read.argmax(2)[:, :, None, None]  # (N, A, 1, 1): L or R
        places = np.take_along_axis(rows.places, stronger, axis=2)
        groups.append(places.reshape(count, -1))  # (N, 2A): AU01_x, AU01_y, AU02_x ...
    if columns.sides and columns.places:
        told = np.where(np.isfinite(read)[..., None], rows.places, np.nan)
        groups.append(told.reshape(count, -1))  # (N, 4A): AU01_L_x, AU01_L_y, AU01_R_x ...
    arrays = [
        repeat_text(video, count),
        *([to_texts([named.get(i) for i in rows.frame_index.tolist()])] if columns.picture else []),
        to_array(rows.frame_index + 1),
        to_array(rows.pts_seconds, np.isfinite(rows.pts_seconds)),
        to_array(rows.face_id, rows.face_id >= 0),
        to_array(rows.success),
        _floats(rows.confidence),
        _quality(rows),
    ]
    arrays += [_floats(column) for group in groups for column in group.T]
    if columns.presence:
        present = rows.intensities >= PRESENCE_THRESHOLD  # (N, A)
        arrays += [
            to_array(column.astype(np.int8), known)
            for column, known in zip(present.T, np.isfinite(rows.intensities).T, strict=True)
        ]
    if columns.gaze:
        assert rows.gaze is not None
        told = [*rows.gaze.reshape(count, 6).T, *gaze_angles(rows.gaze).T]
        arrays += [_floats(column) for column in told]
    if columns.landmarks:
        size = rows.frame_size_wh
        arrays += [pa.nulls(count, pa.int32())] * 2 if size is None else map(to_array, size.T)
        flat = rows.landmarks.transpose(0, 2, 1).reshape(count, 136)  # every x, then every y
        arrays += [_floats(column) for column in flat.T]
    return pa.RecordBatch.from_arrays(arrays, schema=columns.schema())


def gaze_angles(gaze: np.ndarray) -> np.ndarray:
    """Where both eyes look together, as OpenFace tells it: (N, 2) radians, to the picture's right
    and down positive, 0 into the camera.

    gaze: (N, 2, 3) unit vectors of the eye on the left of the picture (the person's right one) and
    of the other: x right, y down, z away from the camera, so that (0, 0, -1) looks into it.
    """
    x, y, z = gaze.mean(1).T
    away = 0 - z  # -z of an eye that is not known, (0, 0, 0), would be -0, with an angle of pi
    return np.stack([np.arctan2(x, away), np.arctan2(y, away)], 1)


def _floats(values: np.ndarray) -> pa.Array:
    return to_array(values.astype(np.float32), np.isfinite(values))


def _quality(rows: Rows) -> pa.Array:
    """The words of each row; null in a row without a face."""
    if rows.quality is None:
        return pa.nulls(len(rows), pa.string())
    faces = rows.face_id >= 0
    words = [" ".join(compress(QUALITY, row)) for row in rows.quality]
    return to_texts([word if face else None for word, face in zip(words, faces, strict=True)])


def to_data_frame(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> "pd.DataFrame":
    """Batches as one pandas DataFrame; ``face_id`` and ``AU.._c`` are nullable integers."""
    import pandas as pd

    nullable = {pa.int32(): pd.Int32Dtype(), pa.int8(): pd.Int8Dtype()}
    return pa.Table.from_batches(batches, schema).to_pandas(types_mapper=nullable.get)
