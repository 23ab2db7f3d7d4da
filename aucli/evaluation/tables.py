"""Any tool's table of AUs, and plain tables of labels, as one kind of data frame.

The names of columns are compared without the spaces around them and, but for the ``_r`` of an AU,
in any case. Numbers may have a decimal comma.

One row a frame: ``video`` (str), ``frame_index`` (0-based; -1 where labels give times only),
``pts_seconds`` (NaN where the table says none), ``success`` (bool) and the AUs as ``AU01`` ...: NaN
without a face, also where the tool writes zeros there, as OpenFace does. Labels have ``subject`` in
front and no ``success``.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from aucli.align import face_boxes
from aucli.aus import MAX_INTENSITY
from aucli.errors import DataError, first_line
from aucli.evaluation.tools import AU_LIST, BOX_LIST, OURS, TOOLS, Tool, Unit, guess_tool
from aucli.files import shown
from aucli.pipeline.journal import JOURNAL
from aucli.table.delimited import read_text, split_header
from aucli.table.writer import read_provenance
from aucli.weights.store import people_of

MAX_FRAME = 2**53  # up to which a float64 counts
UNSCORABLE = 9.0  # what coders write for an AU that could not be seen
SUFFIXES = (".csv", ".parquet", ".jsonl")
TEXTS = (".csv", ".tsv")  # in a folder with other tables a .tsv may be anything
NAMES = ("subject", "video", "input")  # columns of text: 007 is a name, not 7
_COMMA = r"^\s*([-+]?\d*),(\d+(?:[eE][-+]?\d+)?)\s*$"
BOX = ("x0", "y0", "x1", "y1")  # columns of read_rows
_LABELS = Tool("labels", OURS, "frame", 1, "timestamp", video="video")
_LANDMARKS = [f"{axis}_{i}" for axis in "xy" for i in range(68)]
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan"


@dataclass(frozen=True, slots=True)
class Predictions:
    """Rows of the module's kind, each frame once.

    tool: a name of TOOLS. several_faces: frames with more than one face, whose surest one was kept.
    people: on whom the networks of aucli's own tables were trained, dataset -> subjects, as far as
    the tables tell. unused: columns that were not read.
    """

    table: pd.DataFrame
    tool: str
    unit: Unit
    several_faces: int = 0
    people: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unused: tuple[str, ...] = ()

    @property
    def aus(self) -> tuple[str, ...]:
        """The AUs that the tool predicts, in numerical order."""
        return au_names(self.table)


def au_names(table: pd.DataFrame) -> tuple[str, ...]:
    """The AU columns of a data frame of the module's kind."""
    return tuple(name for name in table.columns if re.fullmatch(r"AU\d\d", name))


def listed(names: Iterable[str]) -> str:
    """Names as one line; of a series only its ends: ``x_0 to x_67``."""
    series: list[list[str]] = []
    for name in names:
        before = series[-1][-1] if series else ""
        follows = _numbered(before)[0] == _numbered(name)[0] and (
            _numbered(name)[1] == _numbered(before)[1] + 1 >= 0
        )
        if follows:
            series[-1].append(name)
        else:
            series.append([name])
    return ", ".join(
        f"{shown(part[0])} to {shown(part[-1])}" if part[2:] else ", ".join(map(shown, part))
        for part in series
    )


def _numbered(name: str) -> tuple[str, int]:
    """``x_12`` -> (``x_``, 12); a name without a number at its end has -2."""
    stem = name.rstrip("0123456789")
    digits = name[len(stem) :]
    return stem, int(digits) if digits.isdecimal() else -2


def read_predictions(path: Path, tool: str | None = None) -> Predictions:
    """A table, or a folder with a table for each video, as a tool wrote it.

    tool: of TOOLS; None guesses by the columns of the first table. A video is called like its file
    unless the rows name it. Raises DataError for tables that cannot be understood.
    """
    parts: list[pd.DataFrame] = []
    tables: dict[str, Path] = {}  # video -> its table
    people: dict[str, tuple[str, ...]] = {}
    unused: dict[str, None] = {}  # a set that keeps its order
    for file, name in tables_of(path):
        columns = columns_of(file)
        if tool is None:
            tool = guess_tool(columns)
        if tool is None:
            raise DataError(
                f"{shown(file)} has no columns of a tool that aucli knows; "
                f"name the tool: {', '.join(TOOLS)}."
            )
        part, used = read_rows(file, name, tool)
        for video in part["video"].unique():
            if video in tables:
                raise DataError(
                    f"{shown(tables[video])} and {shown(file)} both hold {shown(video)}; leave one "
                    "of them."
                )
            tables[video] = file
        parts.append(part)
        unused |= dict.fromkeys(name for name in columns if TOOLS[tool].own(name) not in used)
        if tool == "aucli":
            for dataset, names in _people(file).items():
                people[dataset] = tuple(sorted({*people.get(dataset, ()), *names}))
    assert tool is not None  # there is at least one table
    rows = pd.concat(parts, ignore_index=True)
    faces = rows[rows["success"]].groupby(["video", "frame_index"]).size()
    rows = rows.sort_values(
        ["video", "frame_index", "success", "score"],
        ascending=[True, True, False, False],
        kind="stable",
    ).drop_duplicates(["video", "frame_index"])
    table = rows.drop(columns="score").reset_index(drop=True)
    several = int(np.sum(faces.to_numpy() > 1))
    return Predictions(table, tool, TOOLS[tool].unit, several, people, tuple(unused))


def _people(file: Path) -> dict[str, tuple[str, ...]]:
    """On whom the AU network of one of our tables was trained. Raises DataError."""
    try:
        told = read_provenance(file)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"What is told of {shown(file)} is damaged; make the table anew."
        ) from error
    runs = told.get("inputs", [told])
    seen: dict[str, tuple[str, ...]] = {}
    for run in runs if isinstance(runs, list) else []:
        network = run.get("model") if isinstance(run, dict) else None
        for dataset, names in (people_of({"provenance": network}, shown(file)) or {}).items():
            seen[dataset] = (*seen.get(dataset, ()), *names)
    return seen


def read_labels(path: Path) -> pd.DataFrame:
    """Labels from a table, or from a folder of tables, in our column names.

    ``AU12`` or ``AU12_r`` 0-5, empty or 9 where unscorable; ``frame`` (from 1), ``frame_index``
    (from 0) or ``timestamp`` (seconds); optionally ``video`` (by default called like the file) and
    ``subject`` (by default the video). ``attrs["unused"]`` names the columns that were not read.
    Raises DataError with file and line.
    """
    tables: list[pd.DataFrame] = []
    unused: dict[str, None] = {}
    for file, name in tables_of(path):
        table, used = _labelled(file, name)
        tables.append(table)
        unused |= dict.fromkeys(n for n in columns_of(file) if _LABELS.own(n) not in used)
    labels = pd.concat(tables, ignore_index=True)
    labels.attrs["unused"] = tuple(unused)
    numbered = labels["frame_index"].to_numpy() >= 0
    again = numbered & labels.duplicated(["video", "frame_index"]).to_numpy()
    if again.any():
        row = labels[again].iloc[0]
        raise DataError(
            f"{path} labels frame {row['frame_index'] + 1} of {row['video']} more than once; "
            "keep one row a frame."
        )
    return labels


def tables_of(path: Path) -> Iterator[tuple[Path, str]]:
    """Files to read and the names of their videos. Raises DataError."""
    if not path.exists():
        raise DataError(f"{shown(path)} does not exist; check the name.")
    if not path.is_dir():
        yield path, path.stem
        return
    found = [p for p in path.rglob("*") if p.is_file() and p.name != JOURNAL]
    files = sorted(p for p in found if p.suffix.lower() in SUFFIXES)
    files = files or sorted(p for p in found if p.suffix.lower() in TEXTS)
    if not files:
        raise DataError(f"{shown(path)} holds no table ({', '.join(SUFFIXES)}); check the folder.")
    stems = [file.stem for file in files]
    for file in files:
        alone = stems.count(file.stem) == 1
        yield file, file.stem if alone else file.relative_to(path).with_suffix("").as_posix()


def columns_of(file: Path) -> list[str]:
    """The names of a table's columns without the spaces around them."""
    if file.suffix.lower() in TEXTS:
        names = [str(name).strip() for name in _read(file, _read_csv, nrows=0).columns]
        return [name for name in names if not name.startswith("Unnamed: ")]  # by pandas
    if file.suffix.lower() == ".parquet":
        return _read(file, lambda path: [str(name).strip() for name in pq.read_schema(path).names])
    return [str(name).strip() for name in _load(file, None).columns]


def _load(file: Path, tool: Tool | None, faces: bool = False) -> pd.DataFrame:
    """The columns that are of use to a reader of ``tool``; all of them for None."""
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        rows = _read(file, _read_parquet)
    elif suffix == ".jsonl":
        rows = _read(file, _read_json_lines)
    elif suffix in TEXTS:
        reads = (lambda name: tool.reads(name, faces)) if tool else bool
        rows = _read(file, _read_csv, reads=reads)
    else:
        raise DataError(f"{shown(file)} is no table; give one that ends in {', '.join(SUFFIXES)}.")
    if tool is None:
        return rows
    given = [str(name).strip() for name in rows.columns]
    rows.columns = [tool.own(name) for name in given]
    for name in rows.columns[rows.columns.duplicated()]:
        both = " and ".join(n for n, own in zip(given, rows.columns, strict=True) if own == name)
        raise DataError(f"{shown(file)} has the columns {both}, which mean the same; keep one.")
    return _unlisted(file, rows) if tool.order else rows


def _unlisted(file: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """OpenFace 3's lists as columns: AU_00 ... AU_07, and the box with its score."""
    lists = {
        AU_LIST: [f"AU_{place:02d}" for place in range(8)],
        BOX_LIST: ["face_x", "face_y", "face_x1", "face_y1", "confidence"],
    }
    for column, names in lists.items():
        if column not in rows:
            continue
        texts = [str(value) if known else "" for value, known in
                 zip(rows[column], rows[column].notna(), strict=True)]  # fmt: skip
        found = [re.findall(_NUMBER, text) for text in texts]
        least = len(names) if column == AU_LIST else 4
        wrong = [0 < len(values) < least for values in found]
        _refuse(file, column, texts, wrong, f"holds no {least} numbers")
        padded = [[*map(float, v), *[np.nan] * len(names)][: len(names)] for v in found]
        made = pd.DataFrame(padded, index=rows.index, columns=names, dtype=np.float64)
        rows = pd.concat([rows.drop(columns=[column, *names], errors="ignore"), made], axis=1)
    if "face_x1" in rows:
        rows["face_w"] = rows.pop("face_x1") - rows["face_x"]
        rows["face_h"] = rows.pop("face_y1") - rows["face_y"]
    return rows


def _read_parquet(file: Path) -> pd.DataFrame:
    # What pandas notes in a file would bring its index back as one of the columns.
    return pq.ParquetFile(file).read().replace_schema_metadata().to_pandas()


def _read_json_lines(file: Path) -> pd.DataFrame:
    return pd.read_json(StringIO(read_text(file)), lines=True)


def _read_csv(
    file: Path, reads: Callable[[str], bool] = bool, nrows: int | None = None
) -> pd.DataFrame:
    """reads: the columns that are of use; all rows are checked to be as long as the header."""
    separator, text = split_header(read_text(file))
    options: Any = {"sep": separator, "skipinitialspace": True}
    header = pd.read_csv(StringIO(text), nrows=0, **options).columns
    kinds = {name: str for name in header if str(name).strip().casefold() in NAMES}
    options |= {"dtype": kinds, "nrows": nrows, "index_col": False}
    with warnings.catch_warnings():  # pandas would leave out what is beyond the header
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            rows = pd.read_csv(StringIO(text), **options)
        except pd.errors.ParserWarning as error:
            raise ValueError("its rows have more cells than its header") from error
    return rows[[name for name in rows.columns if reads(str(name))]]


def _read(file: Path, reader, **options):
    try:
        return reader(file, **options)
    except Exception as error:  # what readers raise for a file that is not theirs is open-ended
        raise DataError(
            f"{shown(file)} cannot be read as a table ({shown(first_line(error))}); check the file."
        ) from error


def _numbers(rows: pd.DataFrame, column: str, file: Path) -> np.ndarray:
    """(n,) float64; empty cells are NaN. Raises DataError for text and for infinity."""
    given = rows[column]
    if given.dtype.kind not in "biuf":
        point = given.astype(str).str.replace(_COMMA, r"\1.\2", regex=True)
        given = point.where(given.notna())
    values = np.asarray(pd.to_numeric(given, errors="coerce"), np.float64)
    wrong = (np.isnan(values) & rows[column].notna().to_numpy()) | np.isinf(values)
    _refuse(file, column, rows[column], wrong, "is no number")
    return values


def _refuse(file: Path, column: str, values, wrong, why: str) -> None:
    """Raise DataError for the first value that is wrong, with its line."""
    at = np.flatnonzero(np.asarray(wrong))
    if len(at):
        where = f"line {at[0] + 2}" if file.suffix.lower() in TEXTS else f"row {at[0] + 1}"
        value = np.asarray(values)[at[0]]
        told = f"{value:g}" if isinstance(value, float) else shown(value)[:40]
        raise DataError(
            f"{shown(file)}, {where}: {column} is {told}, which {why}; correct the table."
        )


def _common(rows: pd.DataFrame, tool: Tool, file: Path, name: str) -> tuple[pd.DataFrame, set[str]]:
    """``video``, ``frame_index``, ``pts_seconds`` and the AUs as they stand in the file; and the
    columns that they are of."""
    found = tool.au_columns(rows.columns)
    if not found:
        example = {"py-feat": "AU12", "LibreFace": "au_12_intensity"}.get(tool.title, "AU12_r")
        raise DataError(
            f"{shown(file)} has no column such as {example}; check the file and the tool."
        )
    for au, columns in found.items():
        if len(columns) > 1:
            raise DataError(
                f"{shown(file)} has the columns {' and '.join(columns)}, which all mean {au}; "
                "keep one."
            )
    aus = {au: columns[0] for au, columns in found.items()}
    out = pd.DataFrame({"video": pd.Series(name, rows.index, dtype=object)})
    if tool.video in rows:
        named = rows[tool.video]
        out["video"] = named.map(_video_name).where(named.notna(), name)
    out["frame_index"] = _frame_index(rows, tool, file)
    out["pts_seconds"] = np.nan
    time = tool.time if tool.time in rows else "pts_seconds"
    used = {*aus.values(), tool.video, time, _frame_column(rows, tool)}
    if time in rows:
        seconds = _numbers(rows, time, file)
        # LibreFace's "ms" are seconds; a version that puts it right shows in the step.
        steps = np.diff(np.unique(seconds[np.isfinite(seconds)]))
        wrong_name = time.endswith("_in_ms") and (not len(steps) or np.median(steps) < 1)
        milli = time.endswith("_in_ms") and not wrong_name
        out["pts_seconds"] = seconds / 1000 if milli else seconds
    values = {au: _numbers(rows, column, file) for au, column in aus.items()}
    return pd.concat([out, pd.DataFrame(values, index=rows.index)], axis=1), used


def _video_name(name: object) -> str:
    """``a/x.mp4`` -> ``a/x``; of an absolute path only the last part."""
    text = re.sub(r"\.[A-Za-z][A-Za-z0-9]{1,3}$", "", str(name).replace("\\", "/"))
    return text.rsplit("/", 1)[-1] if re.match(r"/|[A-Za-z]:", text) else text


def _frame_column(rows: pd.DataFrame, tool: Tool) -> str:
    return tool.frame if tool.frame in rows else "frame_index"


def _frame_index(rows: pd.DataFrame, tool: Tool, file: Path) -> np.ndarray:
    """(n,) int64, 0-based; -1 where a table has times instead of frames."""
    column = _frame_column(rows, tool)
    first = tool.first if column == tool.frame else 0
    if column not in rows:
        if tool is _LABELS and tool.time in rows:
            return np.full(len(rows), -1)
        also = f" and no {tool.time}" if tool is _LABELS else ""
        raise DataError(
            f"{shown(file)} has no column {tool.frame}{also}; check the file and the tool."
        )
    numbers = _numbers(rows, column, file)
    with np.errstate(invalid="ignore"):
        wrong = ~np.isfinite(numbers) | (numbers < first) | (numbers % 1 != 0)
        wrong |= numbers > MAX_FRAME
    _refuse(file, column, numbers, wrong, f"is no frame number from {first}")
    return numbers.astype(np.int64) - first


def read_rows(
    file: Path, name: str, tool: str, faces: bool = False
) -> tuple[pd.DataFrame, set[str]]:
    """The rows of one table with all its faces, and its columns that were read.

    Rows of the module's kind with ``score``, by which one of several faces of a frame is chosen.
    name: of the video, unless the rows name it. tool: of TOOLS. faces: also ``face_id`` and the
    box ``x0 y0 x1 y1`` px (NaN where the table tells none), of OpenFace around its landmarks.
    Raises DataError for a table that cannot be understood.
    """
    its = TOOLS[tool]
    rows = _load(file, its, faces)
    out, used = _common(rows, its, file, name)
    aus = list(au_names(out))
    face = out[aus].notna().any(axis=1)
    if its.success in rows:
        face &= _numbers(rows, its.success, file) == 1
    out[aus] = out[aus].where(face)
    out.insert(3, "success", face)
    out["score"] = _numbers(rows, its.score, file) if its.score in rows else np.nan
    if faces:
        known = its.face in rows
        out["face_id"] = _numbers(rows, its.face, file) if known else np.nan
        out[list(BOX)] = np.where(np.asarray(face)[:, None], _boxes(rows, its, file), np.nan)
    lists = {AU_LIST, BOX_LIST} if its.order else set()
    return out, used | {its.success, its.score} | lists


def _boxes(rows: pd.DataFrame, tool: Tool, file: Path) -> np.ndarray:
    """(n, 4) px; NaN where there is none."""
    if tool.box and {*tool.box} <= {*rows.columns}:
        x, y, w, h = (_numbers(rows, column, file) for column in tool.box)
        return np.stack([x, y, x + w, y + h], 1)
    if tool.has_landmarks and {*_LANDMARKS} <= {*rows.columns}:
        flat = np.stack([_numbers(rows, column, file) for column in _LANDMARKS], 1)
        return face_boxes(flat.reshape(-1, 2, 68).transpose(0, 2, 1))
    return np.full((len(rows), 4), np.nan)


def _labelled(file: Path, name: str) -> tuple[pd.DataFrame, set[str]]:
    rows = _load(file, _LABELS)
    out, used = _common(rows, _LABELS, file, name)
    for au in au_names(out):
        values = out[au].mask(out[au] == UNSCORABLE)
        wrong = values.notna() & ~values.between(0, MAX_INTENSITY)
        _refuse(file, au, values, wrong, "is not 0-5 or 9 (unscorable)")
        out[au] = values
    subject = out["video"]
    if "subject" in rows:
        subject = rows["subject"].astype(str).where(rows["subject"].notna(), subject)
    out.insert(0, "subject", subject)
    return out, used | {"subject"}
