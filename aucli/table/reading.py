"""Table files back into the data frame of :func:`aucli.analyze`, whatever format they have.

Parquet, CSV, JSON lines and the OpenFace layout hold the same rows; here they get the same columns
and types again. The OpenFace layout alone loses something: it names no video and has no box.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from aucli.errors import DataError, first_line
from aucli.table.arrow import repeat_text, text_reader, to_array
from aucli.table.delimited import read_text, split_header
from aucli.table.openface import PLACE, POINTS, from_openface, gaze_from_openface
from aucli.table.schema import FRAME_SIZE, GAZE, LANDMARKS, POSE, Columns, to_data_frame
from aucli.table.writer import read_provenance

SUFFIXES = (".parquet", ".csv", ".jsonl")

_BASE = Columns(()).schema()  # the columns that every table has
_NEEDED = ("frame", "timestamp", "face_id", "success")  # also in the OpenFace layout
_ALWAYS_KNOWN = ("frame", "timestamp", "success")  # also in a frame without a face
_FLOATS = frozenset((*GAZE, *LANDMARKS, *PLACE, *POINTS))


def read_table(path: Path | str) -> pd.DataFrame:
    """The rows of a table that ``aucli analyze`` wrote, with columns and types as in Parquet.

    One row for each face and frame, see :mod:`aucli.table.schema`: ``success`` is bool, ``face_id``
    and ``AU.._c`` are nullable integers, and what was not measured is null. The suffix tells the
    format. A CSV without the column ``video`` has the OpenFace layout: its zeros in frames without
    a face become null, its head pose and gaze get our axes, ``video`` is the file's stem and the
    face box is null. Text formats keep one to six decimals. Columns that aucli does not know come
    along. ``attrs["provenance"]`` tells how a Parquet table came to be; it is empty for the others.

    Raises DataError, one sentence, where the file is no such table.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if not file.exists() or (suffix in SUFFIXES and not file.is_file()):
        raise DataError(f"{file} is not there; check the name.")
    if suffix not in SUFFIXES:
        raise DataError(f"{file} is no table of aucli; give a file that ends in {_or(SUFFIXES)}.")
    try:
        found = _READERS[suffix](file)
        names = found.column_names
        openface = suffix == ".csv" and "video" not in names
        needed = _NEEDED if openface else ("video", *_NEEDED)
        lacking = [name for name in needed if name not in names]
        lacking += [] if any(_is_level(name) for name in names) else ["AU.._r"]
        if lacking:
            raise DataError(
                f"{file} is no table of aucli: it has no column {', '.join(lacking)}; "
                "give a file that aucli analyze wrote."
            )
        table = found.cast(pa.schema([_field(field) for field in found.schema]))
        provenance = read_provenance(file) if suffix == ".parquet" else {}
    except DataError:
        raise
    except Exception as error:  # what readers raise for a file that is not theirs is open-ended
        raise DataError(
            f"{file} cannot be read as a table ({first_line(error)}); check the file."
        ) from error
    if table["success"].null_count:
        raise DataError(f"{file} has rows without a value of success; check the file.")
    if "quality" in names:  # a CSV tells no null from an empty text
        known = pc.call_function("is_valid", [table["face_id"]])
        null = pa.scalar(None, pa.string())
        words = pc.call_function("if_else", [known, table["quality"], null])
        table = table.set_column(names.index("quality"), "quality", words)
    if openface:
        table = _from_openface(table, file.stem)
    frame = to_data_frame(table.to_batches(), table.schema)
    frame.attrs["provenance"] = provenance
    return frame


def au_names(columns: Iterable[str]) -> tuple[str, ...]:
    """``AU12`` for each column ``AU12_r``, in the order of the table."""
    return tuple(name.removesuffix("_r") for name in columns if _is_level(name))


def each_face(table: pd.DataFrame) -> Iterator[tuple[str, int, pd.DataFrame]]:
    """Video, face_id and rows of each face, in the order of the table; rows without are left
    out."""
    faces = cast(pd.DataFrame, table[table["success"]])
    for key, rows in faces.groupby(["video", "face_id"], sort=False):
        video, face_id = cast(tuple[str, int], key)
        yield video, int(face_id), rows


def choose_aus(there: Sequence[str], asked: Sequence[str], file: Path) -> tuple[str, ...]:
    """The AUs that a user asked for, all where none is named; ``12`` and ``au12`` mean AU12.

    Raises DataError that names those that are there.
    """
    chosen = []
    for text in asked:
        number = text.upper().removeprefix("AU")
        au = f"AU{int(number):02d}" if number.isdecimal() else text
        if au not in there:
            raise DataError(f"{file} has no {text}; its AUs are {', '.join(there)}.")
        chosen.append(au)
    return tuple(dict.fromkeys(chosen)) or tuple(there)


def _is_level(name: str) -> bool:
    return re.fullmatch(r"AU\d\d_r", name) is not None


def _read_parquet(file: Path) -> pa.Table:
    # What pandas notes in a file would bring its index back as one of our columns.
    return pq.ParquetFile(file).read().replace_schema_metadata()


def _read_csv(file: Path) -> pa.Table:
    separator, text = split_header(read_text(file))
    # Older builds of OpenFace write ", " between the names.
    names = [name.strip() for name in next(csv.reader(StringIO(text), delimiter=separator), [])]
    # OpenFace writes whole numbers as 1.00, and success as 1, pandas as True.
    types = {
        name: kind if pa.types.is_string(kind) else pa.float64()
        for name, kind in _known_types(names).items()
        if not pa.types.is_boolean(kind)
    }
    # A spreadsheet that puts ; between columns may put a comma into numbers.
    comma = separator != "," and re.search(rf"{separator}-?\d+,\d+\s*(?:{separator}|$)", text, re.M)
    return pyarrow.csv.read_csv(
        text_reader(text),
        pyarrow.csv.ReadOptions(column_names=names, skip_rows=1),
        pyarrow.csv.ParseOptions(delimiter=separator),
        pyarrow.csv.ConvertOptions(column_types=types, decimal_point="," if comma else "."),
    )


def _read_json_lines(file: Path) -> pa.Table:
    text = read_text(file)
    first = json.loads(text.partition("\n")[0] or "{}")
    names = list(first) if isinstance(first, dict) else []
    if not names:
        raise ValueError("its first line is no row")
    schema = pa.schema(_known_types(names))
    return pyarrow.json.read_json(
        text_reader(text),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=schema),
    ).select(names)


_READERS = {".parquet": _read_parquet, ".csv": _read_csv, ".jsonl": _read_json_lines}


def _known_types(names: Iterable[str]) -> dict[str, pa.DataType]:
    types = {name: _type(name) for name in names}
    return {name: kind for name, kind in types.items() if kind is not None}


def _type(name: str) -> pa.DataType | None:
    """The type that a column of this name has in Parquet; None for a foreign one."""
    if name in _BASE.names:
        return _BASE.field(name).type
    if re.fullmatch(r"AU\d\d_c", name):
        return pa.int8()
    if name in FRAME_SIZE:
        return pa.int32()
    if name in _FLOATS or re.fullmatch(r"AU\d\d(_[LR])?_(r|raw|L|R|x|y)", name):
        return pa.float32()
    return None


def _field(field: pa.Field) -> pa.Field:
    return pa.field(field.name, _type(field.name) or field.type)


def _from_openface(table: pa.Table, video: str) -> pa.Table:
    """The columns of the Parquet form, in its order, out of those of the OpenFace layout."""
    face = table["success"].to_numpy()
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        name: table[name]
        if name in _ALWAYS_KNOWN or _type(name) is None
        else pc.call_function(
            "if_else", [table["success"], table[name], pa.scalar(None, table[name].type)]
        )
        for name in table.column_names
    }
    place = _stack(columns, PLACE) if {*PLACE} <= {*columns} else None
    turned: dict[str, np.ndarray] = {}
    if {*POSE} <= {*columns}:
        pose = from_openface(_stack(columns, POSE), place)
        turned |= zip(POSE, pose.T, strict=True)
    if place is not None and {*GAZE} <= {*columns}:
        gaze = gaze_from_openface(_stack(columns, GAZE[:6]), place).astype(np.float32)
        turned |= zip(GAZE, gaze.T, strict=True)
    columns |= {name: to_array(values, face) for name, values in turned.items()}
    columns["video"] = repeat_text(video, len(table))
    for field in _BASE:
        columns.setdefault(field.name, pa.nulls(len(table), field.type))
    names = sorted(columns, key=_place)  # stable: within a group, the order of the file
    return pa.table({name: columns[name] for name in names})


def _stack(columns: dict[str, pa.Array | pa.ChunkedArray], names: Sequence[str]) -> np.ndarray:
    """(N, columns), 0 where null."""
    return np.stack([np.nan_to_num(columns[name].to_numpy()) for name in names], 1)


def _place(name: str) -> tuple[int, int]:
    """Where a column stands in Parquet: the number of its group, and its place in the first."""
    if name in _BASE.names:
        return 0, _BASE.names.index(name)
    if _is_level(name):
        return 1, 0
    if name in GAZE:
        return 4, 0
    if name in FRAME_SIZE or name in LANDMARKS:
        return 5, 0
    if name in PLACE or name in POINTS:
        return 6, 0
    return (3 if re.fullmatch(r"AU\d\d_c", name) else 2), 0


def _or(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
