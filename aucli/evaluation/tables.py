"""Any tool's table of AUs, and plain tables of labels, as one kind of data frame.

One row a frame: ``video`` (str), ``frame_index`` (0-based; -1 where labels give times only),
``pts_seconds`` (NaN where the table says none), ``success`` (bool) and the AUs as ``AU01`` ...: NaN
without a face, also where the tool writes zeros there, as OpenFace does. Labels have ``subject`` in
front and no ``success``.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from aucli.aus import MAX_INTENSITY
from aucli.errors import DataError
from aucli.pipeline.journal import JOURNAL

Unit = Literal["intensity", "probability"]

UNSCORABLE = 9.0  # what coders write for an AU that could not be seen
SUFFIXES = (".csv", ".parquet", ".jsonl")
_SHARED = ("subject", "video", "frame", "frame_index", "timestamp", "pts_seconds")


@dataclass(frozen=True, slots=True)
class Tool:
    """How one tool names its columns, compared without the spaces around a name.

    au: matches the column of an AU; its group is the AU's number. frame: column of the frame, whose
    first one has the number ``first``. time: column of the seconds. success: 1 in rows with a face;
    without such a column, a row with AUs has one. score: decides between several faces in a frame.
    video: column that names the input. unit: ``intensity`` is 0-5, ``probability`` 0-1.
    """

    title: str
    au: str
    frame: str
    first: int
    time: str = ""
    success: str = ""
    score: str = ""
    video: str = ""
    unit: Unit = "intensity"

    def au_columns(self, names: Iterable[str]) -> dict[str, str]:
        """AU -> column, in numerical order; ``AU12_r`` goes before ``AU12``."""
        found: dict[str, str] = {}
        for name in names:
            match = re.fullmatch(self.au, name)
            if match and (name.endswith("_r") or f"AU{int(match[1]):02d}" not in found):
                found[f"AU{int(match[1]):02d}"] = name
        return dict(sorted(found.items()))

    def reads(self, name: str) -> bool:
        """Whether a column is of any use: py-feat writes more than a thousand others."""
        others = (self.frame, self.time, self.success, self.score, self.video)
        return name in others or name in _SHARED or bool(re.fullmatch(self.au, name))


_OURS = r"AU(\d{1,2})(?:_r)?"
TOOLS = {
    "aucli": Tool("aucli", _OURS, "frame", 1, "timestamp", "success", "confidence", "video"),
    "openface": Tool("OpenFace", r"AU(\d\d)_r", "frame", 1, "timestamp", "success", "confidence"),
    # Its approx_time is whole seconds as text: of no use for matching.
    "py-feat": Tool(
        "py-feat", r"AU(\d\d)", "frame", 0, "", "", "FaceScore", "input", "probability"
    ),
    "libreface": Tool("LibreFace", r"au_(\d+)_intensity", "frame_idx", 0, "frame_time_in_ms"),
}
_LABELS = Tool("labels", _OURS, "frame", 1, "timestamp", video="video")


@dataclass(frozen=True, slots=True)
class Predictions:
    """Rows of the module's kind, each frame once.

    tool: a name of TOOLS. several_faces: frames with more than one face, whose surest one was kept.
    """

    table: pd.DataFrame
    tool: str
    unit: Unit
    several_faces: int = 0

    @property
    def aus(self) -> tuple[str, ...]:
        """The AUs that the tool predicts, in numerical order."""
        return au_names(self.table)


def au_names(table: pd.DataFrame) -> tuple[str, ...]:
    """The AU columns of a data frame of the module's kind."""
    return tuple(name for name in table.columns if re.fullmatch(r"AU\d\d", name))


def guess_tool(names: Iterable[str]) -> str | None:
    """The tool whose columns these are; None where they may be several tools' or nobody's."""
    have = set(names)
    if TOOLS["libreface"].au_columns(have):
        return "libreface"
    if {"FaceScore", "FaceRectX"} & have and TOOLS["py-feat"].au_columns(have):
        return "py-feat"
    if TOOLS["openface"].au_columns(have):
        return "aucli" if "video" in have else "openface"
    return None


def read_predictions(path: Path, tool: str | None = None) -> Predictions:
    """A table, or a folder with a table for each video, as a tool wrote it.

    tool: of TOOLS; None guesses by the columns of the first table. A video is called like its file
    unless the rows name it. Raises DataError for tables that cannot be understood.
    """
    parts = []
    shown: dict[str, Path] = {}  # video -> its table
    for file, name in _tables(path):
        columns = _columns(file)
        if tool is None:
            tool = guess_tool(columns)
        if tool is None:
            raise DataError(
                f"{file} has no columns of a tool that aucli knows; "
                f"name the tool: {', '.join(TOOLS)}."
            )
        part = _predicted(file, name, TOOLS[tool])
        for video in part["video"].unique():
            if video in shown:
                raise DataError(f"{shown[video]} and {file} both hold {video}; leave one of them.")
            shown[video] = file
        parts.append(part)
    assert tool is not None  # there is at least one table
    rows = pd.concat(parts, ignore_index=True)
    faces = rows[rows["success"]].groupby(["video", "frame_index"]).size()
    rows = rows.sort_values(
        ["video", "frame_index", "success", "score"],
        ascending=[True, True, False, False],
        kind="stable",
    ).drop_duplicates(["video", "frame_index"])
    table = rows.drop(columns="score").reset_index(drop=True)
    return Predictions(table, tool, TOOLS[tool].unit, int(np.sum(faces.to_numpy() > 1)))


def read_labels(path: Path) -> pd.DataFrame:
    """Labels from a table, or from a folder of tables, in our column names.

    ``AU12`` or ``AU12_r`` 0-5, empty or 9 where unscorable; ``frame`` (from 1), ``frame_index``
    (from 0) or ``timestamp`` (seconds); optionally ``video`` (by default called like the file) and
    ``subject`` (by default the video). Raises DataError with file and line.
    """
    tables = [_labelled(file, name) for file, name in _tables(path)]
    labels = pd.concat(tables, ignore_index=True)
    numbered = labels["frame_index"].to_numpy() >= 0
    again = numbered & labels.duplicated(["video", "frame_index"]).to_numpy()
    if again.any():
        row = labels[again].iloc[0]
        raise DataError(
            f"{path} labels frame {row['frame_index'] + 1} of {row['video']} more than once; "
            "keep one row a frame."
        )
    return labels


def _tables(path: Path) -> Iterator[tuple[Path, str]]:
    """Files to read and the names of their videos. Raises DataError."""
    if not path.exists():
        raise DataError(f"{path} does not exist; check the name.")
    if not path.is_dir():
        yield path, path.stem
        return
    found = (p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    files = sorted(p for p in found if p.name != JOURNAL)
    if not files:
        raise DataError(f"{path} holds no table ({', '.join(SUFFIXES)}); check the folder.")
    stems = [file.stem for file in files]
    for file in files:
        alone = stems.count(file.stem) == 1
        yield file, file.stem if alone else file.relative_to(path).with_suffix("").as_posix()


def _columns(file: Path) -> list[str]:
    """The names of a table's columns without the spaces around them."""
    if file.suffix.lower() == ".csv":
        return [str(name).strip() for name in _read(file, pd.read_csv, nrows=0).columns]
    return [str(name) for name in _load(file, None).columns]


def _load(file: Path, tool: Tool | None) -> pd.DataFrame:
    """The columns that are of use to a reader of ``tool``; all of them for None."""
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        rows = _read(file, pd.read_parquet)
    elif suffix == ".jsonl":
        rows = _read(file, pd.read_json, lines=True)
    elif suffix == ".csv":
        wanted = tool.reads if tool else bool
        rows = _read(
            file, pd.read_csv, skipinitialspace=True, usecols=lambda name: wanted(name.strip())
        )
    else:
        raise DataError(f"{file} is no table; give one that ends in {', '.join(SUFFIXES)}.")
    return rows.rename(columns=lambda name: str(name).strip())


def _read(file: Path, reader, **options) -> pd.DataFrame:
    try:
        return reader(file, **options)
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error}); check the file.") from error
    except ValueError as error:  # what pandas and pyarrow raise for a file that is not theirs
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{file} cannot be read as a table ({reason}); check the file.") from error


def _numbers(rows: pd.DataFrame, column: str, file: Path) -> np.ndarray:
    """(n,) float64; empty cells are NaN. Raises DataError for text."""
    values = np.asarray(pd.to_numeric(rows[column], errors="coerce"), np.float64)
    _refuse(file, column, rows[column], np.isnan(values) & rows[column].notna(), "is no number")
    return values


def _refuse(file: Path, column: str, values, wrong, why: str) -> None:
    """Raise DataError for the first value that is wrong, with its line."""
    at = np.flatnonzero(np.asarray(wrong))
    if len(at):
        where = f"line {at[0] + 2}" if file.suffix.lower() == ".csv" else f"row {at[0] + 1}"
        value = np.asarray(values)[at[0]]
        shown = value if isinstance(value, str) else f"{value:g}"
        raise DataError(f"{file}, {where}: {column} is {shown}, which {why}; correct the table.")


def _common(rows: pd.DataFrame, tool: Tool, file: Path, name: str) -> pd.DataFrame:
    """``video``, ``frame_index``, ``pts_seconds`` and the AUs as they stand in the file."""
    aus = tool.au_columns(rows.columns)
    if not aus:
        example = {"py-feat": "AU12", "LibreFace": "au_12_intensity"}.get(tool.title, "AU12_r")
        raise DataError(f"{file} has no column such as {example}; check the file and the tool.")
    out = pd.DataFrame({"video": pd.Series(name, rows.index, dtype=object)})
    if tool.video in rows:
        named = rows[tool.video]
        out["video"] = named.map(_video_name).where(named.notna(), name)
    out["frame_index"] = _frame_index(rows, tool, file)
    out["pts_seconds"] = np.nan
    time = tool.time if tool.time in rows else "pts_seconds"
    if time in rows:
        seconds = _numbers(rows, time, file)
        # LibreFace's "ms" are seconds; a version that puts it right shows in the step.
        steps = np.diff(np.unique(seconds[np.isfinite(seconds)]))
        wrong_name = time.endswith("_in_ms") and (not len(steps) or np.median(steps) < 1)
        milli = time.endswith("_in_ms") and not wrong_name
        out["pts_seconds"] = seconds / 1000 if milli else seconds
    values = {au: _numbers(rows, column, file) for au, column in aus.items()}
    return pd.concat([out, pd.DataFrame(values, index=rows.index)], axis=1)


def _video_name(name: object) -> str:
    """``a/x.mp4`` -> ``a/x``; of an absolute path only the last part."""
    text = re.sub(r"\.[A-Za-z][A-Za-z0-9]{1,3}$", "", str(name).replace("\\", "/"))
    return text.rsplit("/", 1)[-1] if re.match(r"/|[A-Za-z]:", text) else text


def _frame_index(rows: pd.DataFrame, tool: Tool, file: Path) -> np.ndarray:
    """(n,) int64, 0-based; -1 where a table has times instead of frames."""
    column, first = (tool.frame, tool.first) if tool.frame in rows else ("frame_index", 0)
    if column not in rows:
        if tool is _LABELS and tool.time in rows:
            return np.full(len(rows), -1)
        also = f" and no {tool.time}" if tool is _LABELS else ""
        raise DataError(f"{file} has no column {tool.frame}{also}; check the file and the tool.")
    numbers = _numbers(rows, column, file)
    with np.errstate(invalid="ignore"):
        wrong = ~np.isfinite(numbers) | (numbers < first) | (numbers % 1 != 0)
    _refuse(file, column, numbers, wrong, f"is no frame number from {first}")
    return numbers.astype(np.int64) - first


def _predicted(file: Path, name: str, tool: Tool) -> pd.DataFrame:
    rows = _load(file, tool)
    out = _common(rows, tool, file, name)
    aus = list(au_names(out))
    face = out[aus].notna().any(axis=1)
    if tool.success in rows:
        face &= _numbers(rows, tool.success, file) == 1
    out[aus] = out[aus].where(face)
    out.insert(3, "success", face)
    out["score"] = _numbers(rows, tool.score, file) if tool.score in rows else np.nan
    return out


def _labelled(file: Path, name: str) -> pd.DataFrame:
    rows = _load(file, _LABELS)
    out = _common(rows, _LABELS, file, name)
    for au in au_names(out):
        values = out[au].mask(out[au] == UNSCORABLE)
        wrong = values.notna() & ~values.between(0, MAX_INTENSITY)
        _refuse(file, au, values, wrong, "is not 0-5 or 9 (unscorable)")
        out[au] = values
    subject = rows["subject"].astype(str) if "subject" in rows else out["video"]
    out.insert(0, "subject", subject)
    return out
