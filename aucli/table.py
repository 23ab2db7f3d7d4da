"""The table: one schema, written as Parquet or as a text view of it while the rows come in.

One row for every face in every analysed frame, and one row for a frame without a face. What was not
measured is null, never zero: a frame without a face has null ``face_id``, ``confidence``, box, pose
and AUs; a picture of a folder has a null ``timestamp``. Columns, in order:

    video, frame (1-based), timestamp (seconds from the stream start), face_id (0-based),
    success, confidence (0-1), face_x face_y face_w face_h (px), pose_Rx pose_Ry pose_Rz (rad),
    AU01_r ... (0-5)

and, where asked for, ``AU12_raw`` (0-5, the reading where ``AU12_r`` is less a person's baseline),
``AU12_L AU12_R`` (0-5, the person's own sides, with baselines also ``AU12_L_raw AU12_R_raw``),
``AU12_x AU12_y`` (frame px, the place on the side that reads stronger), with both of these also
``AU12_L_x AU12_L_y AU12_R_x AU12_R_y``, ``AU12_c`` (0 or 1: ``AU12_r`` of at least
:data:`PRESENCE_THRESHOLD`) and ``x_0 ... x_67 y_0 ... y_67`` (frame px). Only Parquet has a place
for how the rows came to be.
"""

import contextlib
import errno
import json
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aucli.arrow import repeat_text, to_array
from aucli.aus import SIDES
from aucli.errors import OutputError
from aucli.views import LANDMARKS, POSE, TEXT_FORMATS, as_text, header

FORMATS = ("parquet", *TEXT_FORMATS)
PRESENCE_THRESHOLD = 1.0  # level A of FACS, the lowest that a coder calls present
METADATA_KEY = b"aucli"
ROW_GROUP_ROWS = 8192  # at most 8 MB uncompressed with every column group

_BOX = ("face_x", "face_y", "face_w", "face_h")


class OutputExists(OutputError):
    """The table is already there and was not to be replaced."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns a table has: the AUs and the optional groups."""

    aus: tuple[str, ...]
    raw: bool = False
    sides: bool = False
    places: bool = False
    presence: bool = False
    landmarks: bool = False

    def schema(self) -> pa.Schema:
        """The Arrow schema, in the order of the module's description."""
        f32 = pa.float32()
        fields = [
            pa.field("video", pa.string(), nullable=False),
            pa.field("frame", pa.int64(), nullable=False),
            pa.field("timestamp", pa.float64()),
            pa.field("face_id", pa.int32()),
            pa.field("success", pa.bool_(), nullable=False),
            pa.field("confidence", f32),
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
        if self.landmarks:
            fields += [pa.field(name, f32) for name in LANDMARKS]
        return pa.schema(fields)


@dataclass(frozen=True, slots=True)
class Rows:
    """N rows as arrays; NaN, and -1 in ``face_id``, where there is nothing to say.

    frame_index: (N,) int64, 0-based. pts_seconds: (N,) float64, NaN for pictures of a folder.
    face_id: (N,) int32.
    success: (N,) bool. confidence: (N,) float32. bbox_xyxy_px: (N, 4). pose_radians: (N, 3).
    landmarks: (N, 68, 2) frame px. intensities: (N, A), 0-5. sides: (N, A, 2), L then R,
    NaN for a side that the model does not tell. places: (N, A, 2, 2) frame px, of L then R, twice
    the same where the model does not tell them apart. All of these float32. raw_intensities,
    raw_sides: the readings, where a person's baseline was subtracted from the other two.
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

    def __len__(self) -> int:
        return len(self.frame_index)


def to_record_batch(columns: Columns, video: str, rows: Rows) -> pa.RecordBatch:
    """Rows as one Arrow batch of ``columns.schema()``; NaN becomes null, frames count from 1."""
    count = len(rows)
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
        to_array(rows.frame_index + 1),
        to_array(rows.pts_seconds, np.isfinite(rows.pts_seconds)),
        to_array(rows.face_id, rows.face_id >= 0),
        to_array(rows.success),
        _floats(rows.confidence),
    ]
    arrays += [_floats(column) for group in groups for column in group.T]
    if columns.presence:
        present = rows.intensities >= PRESENCE_THRESHOLD  # (N, A)
        arrays += [
            to_array(column.astype(np.int8), known)
            for column, known in zip(present.T, np.isfinite(rows.intensities).T, strict=True)
        ]
    if columns.landmarks:
        flat = rows.landmarks.transpose(0, 2, 1).reshape(count, 136)  # every x, then every y
        arrays += [_floats(column) for column in flat.T]
    return pa.RecordBatch.from_arrays(arrays, schema=columns.schema())


def _floats(values: np.ndarray) -> pa.Array:
    return to_array(values.astype(np.float32), np.isfinite(values))


def read_provenance(path: Path | str) -> dict[str, Any]:
    """How a Parquet table came to be, as the writer noted it; empty for a foreign file."""
    metadata = pq.read_metadata(path).metadata or {}
    return json.loads(metadata.get(METADATA_KEY, b"{}"))


class TableWriter:
    """Writes record batches to a table file; nothing is seen at ``target`` until all is written.

    A context manager. The rows go to a hidden file beside ``target``, which takes its place when
    the block ends and vanishes when the block fails or is interrupted. ``target`` None is the
    standard output, written and flushed batch by batch.

    ``provenance`` may be filled until the block ends; only Parquet has a place for it.

    Raises:
        OutputExists: ``target`` is there and ``overwrite`` is False.
        OutputError: the folder is not writable, the disk is full.
    """

    def __init__(
        self,
        target: Path | None,
        schema: pa.Schema,
        table_format: str = "parquet",
        overwrite: bool = False,
    ) -> None:
        if table_format not in FORMATS:
            raise ValueError(f"table_format must be one of {FORMATS}, got {table_format!r}")
        self.target = target
        self.schema = schema
        self.format = table_format
        self.overwrite = overwrite
        self.provenance: Mapping[str, Any] = {}
        self.rows = 0
        self._part: Path | None = None
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._stream: IO[bytes]
        self._parquet: pq.ParquetWriter | None = None

    def __enter__(self) -> "TableWriter":
        if self.target is None:
            self._stream = sys.stdout.buffer
        else:
            refuse_existing(self.target, self.overwrite)
            # A plain open with "x" keeps the permissions that the user's umask asks for.
            part = self.target.with_name(f".{self.target.name}.{secrets.token_hex(4)}.part")
            with self._sentences():
                self.target.parent.mkdir(parents=True, exist_ok=True)
                self._stream = part.open("xb")
            self._part = part
        try:
            with self._sentences():
                self._start()
        except BaseException:
            self._discard()
            raise
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        """Append the rows of one batch of ``schema``."""
        self.rows += len(batch)
        with self._sentences():
            if self._parquet is None:
                self._stream.write(as_text(batch, self.format))
                if self.target is None:
                    self._stream.flush()
                return
            self._pending.append(batch)
            self._pending_rows += len(batch)
            if self._pending_rows >= ROW_GROUP_ROWS:
                self._write_row_group()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            with self._sentences():
                self._finish()
        except BaseException:
            self._discard()
            raise

    def _start(self) -> None:
        if self.format == "parquet":
            self._parquet = pq.ParquetWriter(self._stream, self.schema, compression="zstd")
        else:
            self._stream.write(header(self.schema, self.format))

    def _write_row_group(self) -> None:
        assert self._parquet is not None
        self._parquet.write_table(pa.Table.from_batches(self._pending, self.schema))
        self._pending, self._pending_rows = [], 0

    def _finish(self) -> None:
        if self._parquet is not None:
            if self._pending:
                self._write_row_group()
            text = json.dumps(dict(self.provenance), allow_nan=False)
            self._parquet.add_key_value_metadata({METADATA_KEY: text.encode()})
            self._parquet.close()
        self._stream.flush()
        if self.target is None or self._part is None:
            return
        os.fsync(self._stream.fileno())  # a crash after the rename must not leave an empty table
        self._stream.close()
        refuse_existing(self.target, self.overwrite)  # it may have appeared in the meantime
        os.replace(self._part, self.target)
        self._part = None

    def _discard(self) -> None:
        if self._part is None:
            return
        # The footer and the buffered bytes may not fit on the disk either; they are unwanted.
        with contextlib.suppress(OSError):
            if self._parquet is not None:
                self._parquet.close()
        with contextlib.suppress(OSError):
            self._stream.close()
        self._part.unlink(missing_ok=True)
        self._part = None

    @contextlib.contextmanager
    def _sentences(self) -> Iterator[None]:
        """Turn the system's refusals into one sentence each."""
        try:
            yield
        except BrokenPipeError:
            raise  # the reader of the standard output left: not a mistake
        except OSError as error:
            where = "the standard output" if self.target is None else str(self.target)
            reason = os.strerror(error.errno) if error.errno else str(error)
            remedy = (
                "free some space or choose another folder with -o"
                if error.errno in (errno.ENOSPC, errno.EDQUOT)
                else "choose another place with -o"
            )
            raise OutputError(f"Cannot write {where}: {reason}; {remedy}.") from error


def refuse_existing(target: Path, overwrite: bool) -> None:
    """Raise :class:`OutputExists` where ``target`` would be replaced unasked."""
    if not overwrite and target.exists():
        raise OutputExists(f"{target} exists already; use --overwrite to replace it.")
