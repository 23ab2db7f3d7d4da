"""Any table of numbers and names as CSV, TSV, Excel, SPSS, Parquet or JSON lines.

Names stay text: in .xlsx a name that begins with = is no formula. What was not measured is an empty
cell, in .sav a system-missing value.
"""

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from aucli.aus import NAMES
from aucli.errors import LibraryError, OptionError, OutputError
from aucli.files import refuse_existing, shown, write_whole, writing
from aucli.table.schema import QUALITY

if TYPE_CHECKING:
    import pandas as pd

STDOUT = Path("-")  # as a target: CSV on the standard output
SUFFIXES = (".csv", ".tsv", ".xlsx", ".sav", ".parquet", ".jsonl")
EXTRA = "pip install 'aucli[sheets]'"
XLSX_ROWS = 1_048_576  # of a sheet, with the header
XLSX_COLUMNS = 16_384
SAV_NAME_BYTES = 64
SAV_TEXT_BYTES = 32_767
# SPSS takes AU12_r and AU12_R for the same variable.
_SAV_SIDES = {"L": "left", "R": "right"}
_SAV_RESERVED = {"ALL", "AND", "BY", "EQ", "GE", "GT", "LE", "LT", "NE", "NOT", "OR", "TO", "WITH"}

# What the columns of a table of aucli are, for SPSS and for data dictionaries.
LABELS = {
    "video": "Video or picture",
    "picture": "Name of the picture's file, in a folder of pictures",
    "frame": "Frame number, from 1",
    "timestamp": "Time from the start of the video, seconds",
    "face_id": "Number of the face in the video, from 0",
    "success": "A face was measured in this frame",
    "confidence": "How sure the networks are of the face, 0-1",
    "quality": f"What is wrong with the picture of the face: {', '.join(QUALITY)}",
    "face_x": "Left edge of the face box, pixels",
    "face_y": "Upper edge of the face box, pixels",
    "face_w": "Width of the face box, pixels",
    "face_h": "Height of the face box, pixels",
    "pose_Rx": "Head pitch, chin down is positive, radians",
    "pose_Ry": "Head yaw, to the person's left is positive, radians",
    "pose_Rz": "Head roll, radians",
    "pose_Tx": "Head, to the right of the camera's axis, millimetres",
    "pose_Ty": "Head, below the camera's axis, millimetres",
    "pose_Tz": "Head, distance along the camera's axis, millimetres",
    "gaze_angle_x": "Gaze of both eyes, to the right of the picture is positive, radians",
    "gaze_angle_y": "Gaze of both eyes, down is positive, radians",
    "frame_w": "Width of the frame, pixels",
    "frame_h": "Height of the frame, pixels",
}
_SIDE_WORDS = {"L": ", person's left", "R": ", person's right"}


def label(column: str) -> str:
    """What a column of a table of aucli holds; '' for a foreign one."""
    if column in LABELS:
        return LABELS[column]
    if match := re.fullmatch(r"([xy])_(\d+)", column):
        return f"Landmark {match[2]}, {match[1]} in the frame, pixels"
    if match := re.fullmatch(r"([XYZ])_(\d+)", column):
        return f"Landmark {match[2]}, {match[1].lower()} in the axes of the camera, millimetres"
    if match := re.fullmatch(r"gaze_([01])_([xyz])", column):
        eye = "left" if match[1] == "0" else "right"
        return f"Gaze of the eye on the picture's {eye}, {match[2]} of a unit vector"
    match = re.fullmatch(r"(AU\d\d)(?:_([LR]))?(?:_(r|raw|c|x|y))?", column)
    if match is None or column == match[1]:
        return ""
    kind = {
        "r": "intensity 0-5",
        None: "intensity 0-5",
        "raw": "intensity 0-5 before the baseline was subtracted",
        "c": "present (1) or not (0)",
        "x": "where it acts, x in the frame, pixels",
        "y": "where it acts, y in the frame, pixels",
    }[match[3]]
    name = f"{match[1]} {NAMES[match[1]]}" if match[1] in NAMES else match[1]
    return f"{name}{_SIDE_WORDS.get(match[2], '')}, {kind}"


def check_sheet(target: Path, overwrite: bool) -> None:
    """Raise what :func:`write_sheet` would raise before a long calculation: OptionError for a
    suffix that is none of SUFFIXES, OutputExists, LibraryError."""
    suffix = target.suffix.lower()
    if target == STDOUT:
        return
    if suffix not in SUFFIXES:
        raise OptionError(
            f"{shown(target)} has no suffix that is known; end it in {', '.join(SUFFIXES[:-1])} or "
            f"{SUFFIXES[-1]}."
        )
    refuse_existing(target, overwrite)
    if suffix == ".xlsx":
        _import("openpyxl")
    if suffix == ".sav":
        _import("pyreadstat")


def write_sheet(
    frame: "pd.DataFrame",
    target: Path,
    labels: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a data frame; the suffix decides how, and STDOUT is CSV.

    The file appears whole or not at all.

    labels: column -> what it holds, which .sav shows. Raises as :func:`check_sheet`, and
    OutputError where a format has no room for the rows, or the disk or the folder refuses.
    """
    check_sheet(target, overwrite)
    if target == STDOUT:
        with writing(target):
            _WRITERS[".csv"](frame, sys.stdout.buffer, {}, "")
            sys.stdout.flush()
        return
    write = _WRITERS[target.suffix.lower()]
    with writing(target), write_whole(target, overwrite) as stream:
        write(frame, stream, labels or {}, shown(target))


def _import(name: str) -> Any:
    try:
        return __import__(name)
    except ImportError as error:
        raise LibraryError(f"{name} is missing; {EXTRA} installs it.") from error


Writer = Callable[["pd.DataFrame", BinaryIO, Mapping[str, str], str], None]


def _delimited(separator: str, missing: str = "") -> Writer:
    def write(frame: "pd.DataFrame", stream: BinaryIO, labels: object, name: str) -> None:
        whole = frame.copy()
        for column in whole.columns:
            if whole[column].dtype == bool:  # readers of OpenFace files filter success == 1
                whole[column] = whole[column].astype(int)
        text = whole.to_csv(index=False, sep=separator, na_rep=missing, lineterminator="\n")
        stream.write(text.encode("utf-8", "backslashreplace"))

    return write


def _parquet(frame: "pd.DataFrame", stream: BinaryIO, labels: object, name: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
    pq.write_table(table, stream, compression="zstd")


def _json_lines(frame: "pd.DataFrame", stream: BinaryIO, labels: object, name: str) -> None:
    for row in _plain_rows(frame):
        line = json.dumps(dict(zip(frame.columns, row, strict=True)), allow_nan=False)
        stream.write(line.encode() + b"\n")


def _xlsx(frame: "pd.DataFrame", stream: BinaryIO, labels: object, name: str) -> None:
    openpyxl = _import("openpyxl")
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font

    if len(frame) >= XLSX_ROWS or len(frame.columns) > XLSX_COLUMNS:
        raise OutputError(
            f"{name} would need {len(frame) + 1} rows and {len(frame.columns)} columns, and an "
            f".xlsx sheet holds {XLSX_ROWS} and {XLSX_COLUMNS}; write .csv or .parquet."
        )
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("aucli")
    sheet.freeze_panes = "A2"

    def cell(value: Any, bold: bool = False) -> Any:
        if not isinstance(value, str):
            return value
        made = WriteOnlyCell(sheet, shown(value))
        made.data_type = "s"  # "=1+1" is a name
        if value[:1] in "=+-@":
            made.quotePrefix = True  # also after somebody edits the cell
        if bold:
            made.font = Font(bold=True)
        return made

    sheet.append([cell(str(column), bold=True) for column in frame.columns])
    for row in _plain_rows(frame):
        sheet.append([cell(value) for value in row])
    book.save(stream)


def _sav(frame: "pd.DataFrame", stream: BinaryIO, labels: Mapping[str, str], name: str) -> None:
    pyreadstat = _import("pyreadstat")

    names = sav_names([str(column) for column in frame.columns])
    made = frame.copy()
    made.columns = names
    kinds: dict[str, str] = {}
    values: dict[str, dict[float, str]] = {}
    formats: dict[str, str] = {}
    for column, given in zip(names, frame.columns, strict=True):
        series = cast("pd.Series", frame[given])
        if series.dtype == bool:
            values[column] = {0.0: "no", 1.0: "yes"}
        if _is_text(series):
            texts = [shown(text) if isinstance(text, str) else "" for text in series]
            if any(len(text.encode()) > SAV_TEXT_BYTES for text in texts):
                raise OutputError(
                    f"{name}: a text of {given} is longer than .sav allows; write .csv."
                )
            made[column] = np.array(texts, object)
            kinds[column] = "nominal"
        else:
            made[column] = series.to_numpy(np.float64, na_value=np.nan)
            whole = series.dtype.kind in "iub"
            kinds[column] = "nominal" if column in values or given == "face_id" else "scale"
            formats[column] = "F12.0" if whole else "F12.4"
    told = [labels.get(str(given)) or label(str(given)) for given in frame.columns]
    told = [  # what had to be renamed is to be found again
        text or (str(given) if given != column else "")
        for text, given, column in zip(told, frame.columns, names, strict=True)
    ]
    # The library writes to a path alone; ours appears whole.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.sav")
        pyreadstat.write_sav(
            made,
            str(path),
            column_labels=[text[:255] for text in told],
            variable_value_labels=values,
            variable_measure=kinds,
            variable_format=formats,
        )
        stream.write(path.read_bytes())


def sav_names(columns: list[str]) -> list[str]:
    """Names that SPSS takes, each once whatever its case.

    ``AU12_R`` becomes ``AU12_right``, as SPSS takes it for ``AU12_r``.
    """
    found: list[str] = []
    taken: set[str] = set()
    for column in columns:
        name = re.sub(r"^(AU\d\d)_([LR])(?=_|$)", lambda m: f"{m[1]}_{_SAV_SIDES[m[2]]}", column)
        name = re.sub(r"[^\w.@#$]+", "_", name).strip("_.") or "column"
        if not name[0].isalpha() or name.upper() in _SAV_RESERVED:
            name = f"v_{name}"
        while len(name.encode()) > SAV_NAME_BYTES - 4:
            name = name[:-1]
        unique, number = name, 2
        while unique.casefold() in taken:
            unique, number = f"{name}_{number}", number + 1
        taken.add(unique.casefold())
        found.append(unique)
    return found


def _is_text(series: "pd.Series") -> bool:
    return series.dtype.kind not in "iufb" and not str(series.dtype).startswith("Int")


def _plain_rows(frame: "pd.DataFrame") -> Iterator[list[Any]]:
    """Rows as texts, numbers, bools and None; numbers of float32 keep their short form."""
    columns = []
    for name in frame.columns:
        series = cast("pd.Series", frame[name])
        if series.dtype == np.float32:
            columns.append([_number(float(str(value))) for value in series.to_numpy()])
        elif _is_text(series):
            columns.append([value if isinstance(value, str) else None for value in series])
        else:
            known = series.notna().to_numpy()
            values = cast(list[Any], series.tolist())
            columns.append([_number(v) if k else None for v, k in zip(values, known, strict=True)])
    yield from map(list, zip(*columns, strict=True))


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


_WRITERS: dict[str, Writer] = {
    ".csv": _delimited(","),
    ".tsv": _delimited("\t", "n/a"),  # as BIDS has it
    ".xlsx": _xlsx,
    ".sav": _sav,
    ".parquet": _parquet,
    ".jsonl": _json_lines,
}
