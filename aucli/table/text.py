"""Text views of the table's rows: CSV, JSON lines and the layout of OpenFace 2.2."""

import json

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from aucli.table import openface
from aucli.table.arrow import zeros_like
from aucli.table.schema import GAZE, POSE

_ANGLES = frozenset((*POSE, *GAZE))
_MILLIMETRES = frozenset((*openface.PLACE, *openface.POINTS))


def header(schema: pa.Schema, table_format: str, spaces: bool = False) -> bytes:
    """The first line of a text table; empty for JSON lines.

    spaces: with a blank after each comma, as older versions of OpenFace write it. Raises ValueError
    where the OpenFace layout lacks the landmarks or the presences.
    """
    if table_format == "jsonl":
        return b""
    names = openface.names(schema) if table_format == "openface" else schema.names
    return ((", " if spaces else ",").join(names) + "\n").encode()


def as_text(batch: pa.RecordBatch, table_format: str) -> bytes:
    """The rows of a batch of ``Columns.schema()`` as lines of UTF-8."""
    if table_format == "jsonl":
        return _as_json_lines(batch)
    return _as_csv(openface.as_openface(batch) if table_format == "openface" else batch)


def _decimals(name: str) -> int:
    """Decimals that a CSV column deserves: well below what can be measured."""
    if name == "timestamp":
        return 6
    if name in _ANGLES:
        return 4
    if name in _MILLIMETRES:
        return 1
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
            column = pc.call_function("add", [rounded, zeros_like(column)])
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
