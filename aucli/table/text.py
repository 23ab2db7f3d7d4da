"""Text views of the table's rows: CSV, JSON lines and the layout of OpenFace 2.2.

OpenFace's layout is what most scripts for AU tables read: its columns in its order, head pose in
its signs, and zeros, with ``success`` 0, in a frame without a face. Only this view writes zeros for
what was not measured; AUs that the model does not predict are left out of it.
"""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from aucli.pose import angles_to_rotation
from aucli.table.arrow import to_array
from aucli.table.schema import LANDMARKS, POSE

_OPENFACE_FIRST = ("frame", "face_id", "timestamp", "confidence", "success", *POSE, *LANDMARKS)
_NOT_IN_OPENFACE = ("video", "quality", "face_x", "face_y", "face_w", "face_h")


def header(schema: pa.Schema, table_format: str) -> bytes:
    """The first line of a text table; empty for JSON lines.

    Raises ValueError where the OpenFace layout lacks the landmarks or the presences.
    """
    if table_format == "jsonl":
        return b""
    names = openface_names(schema) if table_format == "openface" else schema.names
    return (",".join(names) + "\n").encode()


def as_text(batch: pa.RecordBatch, table_format: str) -> bytes:
    """The rows of a batch of ``Columns.schema()`` as lines of UTF-8."""
    if table_format == "jsonl":
        return _as_json_lines(batch)
    return _as_csv(_as_openface(batch) if table_format == "openface" else batch)


def openface_names(schema: pa.Schema) -> list[str]:
    """Columns of the OpenFace layout: OpenFace's in their order, then the groups it has not."""
    names = [name for name in schema.names if name not in _NOT_IN_OPENFACE]
    levels = [name for name in names if name.endswith("_r")]
    presences = [name for name in names if name.endswith("_c")]
    if not {*LANDMARKS} <= {*names} or len(presences) != len(levels):
        raise ValueError("the OpenFace layout needs Columns(presence=True, landmarks=True)")
    first = dict.fromkeys((*_OPENFACE_FIRST, *levels, *presences))
    return [*first, *(name for name in names if name not in first)]


def openface_pose(pose_radians: np.ndarray) -> np.ndarray:
    """Head pose (N, 3) of :class:`aucli.records.Face` in OpenFace's axes and order of turns.

    There x points right, y down and z away from the camera, and the head's rotation is
    Rx(pitch) Ry(yaw) Rz(roll): a head that turns to the person's right has a positive yaw, one that
    tilts to the left shoulder a positive roll.
    """
    flip = np.array([1.0, -1.0, -1.0])  # y and z point the other way
    turn = flip[:, None] * angles_to_rotation(pose_radians.astype(np.float64)) * flip  # (N, 3, 3)
    pitch = np.arctan2(-turn[:, 1, 2], turn[:, 2, 2])
    yaw = np.arcsin(turn[:, 0, 2].clip(-1, 1))
    roll = np.arctan2(-turn[:, 0, 1], turn[:, 0, 0])
    return np.stack([pitch, yaw, roll], 1).astype(np.float32)


def _as_openface(batch: pa.RecordBatch) -> pa.RecordBatch:
    names = openface_names(batch.schema)
    columns = {name: batch[name] for name in names}
    pose = np.stack([columns[name].to_numpy(zero_copy_only=False) for name in POSE], 1)
    turned = np.nan_to_num(openface_pose(pose))  # a row without a face holds NaN
    columns |= {name: to_array(values) for name, values in zip(POSE, turned.T, strict=True)}
    filled = [
        # A picture of a folder has no time, and zero would be one; success is always known.
        column if name in ("timestamp", "success") else pc.fill_null(column, 0)
        for name, column in columns.items()
    ]
    return pa.RecordBatch.from_arrays(filled, names=names)


def _decimals(name: str) -> int:
    """Decimals that a CSV column deserves: well below what can be measured."""
    if name == "timestamp":
        return 6
    if name in POSE:
        return 4
    if name == "confidence" or name.endswith(("_r", "_raw", "_L", "_R")):
        return 3
    return 2  # px


def _as_csv(batch: pa.RecordBatch) -> bytes:
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())  # readers of OpenFace files filter success == 1
        elif pa.types.is_floating(column.type):
            rounded = pc.call_function("round", [column], pc.RoundOptions(_decimals(name)))
            # Adding zero turns -0 into 0.
            zeros = np.zeros(len(column), column.type.to_pandas_dtype())
            column = pc.call_function("add", [rounded, to_array(zeros)])
        columns.append(column)
    sink = pa.BufferOutputStream()
    options = pyarrow.csv.WriteOptions(include_header=False)
    table = pa.Table.from_arrays(columns, names=batch.schema.names)
    pyarrow.csv.write_csv(table, sink, options)
    return sink.getvalue().to_pybytes()


def _as_json_lines(batch: pa.RecordBatch) -> bytes:
    # Through text, a float32 keeps its short form: 0.1, not 0.10000000149011612.
    columns = [
        column.cast(pa.string()).cast(pa.float64()) if column.type == pa.float32() else column
        for column in batch.columns
    ]
    plain = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    return "".join(json.dumps(row) + "\n" for row in plain.to_pylist()).encode()
