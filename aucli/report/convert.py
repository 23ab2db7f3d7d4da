"""A table in another format, without a new analysis."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pyarrow as pa

from aucli.errors import DataError, OptionError
from aucli.files import shown
from aucli.report.sheets import check_sheet, write_sheet
from aucli.report.study import provenance_of
from aucli.table.openface import ANALYZE, PLACE, POINTS, left_out
from aucli.table.reading import au_names, read_table
from aucli.table.schema import FRAME_SIZE, GAZE, LANDMARKS, PRESENCE_THRESHOLD
from aucli.table.writer import FORMATS, ROW_GROUP_ROWS, TableWriter

if TYPE_CHECKING:
    import pandas as pd

SheetFormat = Literal["parquet", "csv", "openface", "jsonl", "xlsx", "sav"]
SUFFIX_OF: Mapping[SheetFormat, str] = {
    name: ".csv" if name == "openface" else f".{name}" for name in get_args(SheetFormat)
}


def format_of(target: Path, asked: SheetFormat | None) -> SheetFormat:
    """The format of a file to write. Raises OptionError where it has no suffix that is known, or
    another one than the format's."""
    suffix = target.suffix.lower()
    if asked is None:
        fits: list[SheetFormat] = [
            name for name, end in SUFFIX_OF.items() if end == suffix and name != "openface"
        ]
        if not fits:
            raise OptionError(
                f"{shown(target)} has no suffix that is known; end it in "
                f"{', '.join(dict.fromkeys(SUFFIX_OF.values()))}, or in / for a folder."
            )
        return fits[0]
    if suffix != SUFFIX_OF[asked]:
        raise OptionError(f"{shown(target)} is no name for {asked}; end it in {SUFFIX_OF[asked]}.")
    return asked


def read_rows(tables: Sequence[Path]) -> "tuple[pd.DataFrame, dict[str, Any]]":
    """The rows of tables, one below the other, and what their provenances have in common.

    Raises DataError for what is no table, and where two tables call their video the same.
    """
    import pandas as pd

    frames, provenances = [], []
    owner: dict[str, Path] = {}
    for table in tables:
        frame = read_table(table)
        for video in frame["video"].unique().tolist():
            if owner.setdefault(video, table) != table:
                raise DataError(
                    f"{shown(owner[video])} and {shown(table)} both call their video "
                    f"{shown(video)}; convert them into a folder."
                )
        provenances.append(provenance_of(table, frame)[0])
        frames.append(frame)
    if len(frames) == 1:
        return frames[0], provenances[0]
    common = {
        key: value
        for key, value in provenances[0].items()
        if all(key in other and other[key] == value for other in provenances)
    }
    filled = [frame for frame in frames if len(frame)] or frames[:1]
    return pd.concat(filled, ignore_index=True), common


def with_presence(frame: "pd.DataFrame", threshold: float) -> "pd.DataFrame":
    """The table with ``AU.._c``, 1 where ``AU.._r`` is the threshold or more; null without a
    face."""
    import pandas as pd

    aus = au_names(frame.columns)
    kept = frame.drop(columns=[f"{au}_c" for au in aus], errors="ignore")
    present = pd.DataFrame(
        {
            # A text has three decimals, and float32 is no rounder.
            f"{au}_c": (kept[f"{au}_r"].round(6) >= np.float32(threshold))
            .astype("Int8")
            .where(kept[f"{au}_r"].notna())
            for au in aus
        }
    )
    behind = {*GAZE, *FRAME_SIZE, *LANDMARKS, *PLACE, *POINTS}
    last = [name for name in kept.columns if name in behind]
    first = [name for name in kept.columns if name not in behind]
    return pd.concat([kept[first], present, kept[last]], axis=1)


def convert(
    tables: Sequence[Path],
    target: Path,
    format: SheetFormat | None = None,
    presence: float | None = None,
    overwrite: bool = False,
    spaces: bool = False,
) -> tuple[int, str]:
    """Write tables into one file, one below the other.

    format: by default what the suffix says. presence: threshold of ``AU.._c``, 0-5; None leaves the
    columns as they are. How the table was made comes along where the format has a place for it.
    spaces: see :func:`aucli.table.text.header`. Returns the number of rows, and for the OpenFace
    layout the sentence of :func:`aucli.table.openface.left_out`, otherwise ''.

    Raises OptionError, DataError, OutputError and LibraryError, one sentence each.
    """
    kind = format_of(target, format)
    if kind not in FORMATS:
        check_sheet(target, overwrite)
    frame, provenance = read_rows(tables)
    if kind == "openface":
        if (videos := len(frame["video"].unique())) > 1:
            raise DataError(
                f"{shown(target)}: the OpenFace layout has no column that tells {videos} videos "
                "apart; convert a table of each into a folder."
            )
        if not {*LANDMARKS} <= {*frame.columns}:
            raise DataError(
                f"{shown(tables[0])} has no landmarks, which the OpenFace layout has; {ANALYZE}."
            )
        if presence is None and not {f"{au}_c" for au in au_names(frame)} <= {*frame.columns}:
            presence = PRESENCE_THRESHOLD
    if presence is not None:
        frame = with_presence(frame, presence)
        if provenance:
            provenance = {**provenance, "presence_threshold": presence}
    if kind not in FORMATS:
        write_sheet(frame, target, {}, overwrite)
        return len(frame), ""
    table = _as_arrow(frame)
    with TableWriter(target, table.schema, kind, overwrite, spaces) as writer:
        for batch in table.to_batches(max_chunksize=ROW_GROUP_ROWS):
            writer.write(batch)
        writer.provenance = provenance
    if kind != "openface":
        return len(frame), ""
    return len(frame), left_out(table.schema, again=True)


def _as_arrow(frame: "pd.DataFrame") -> pa.Table:
    """NaN becomes null, and texts the plain type."""
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
    fields = [
        pa.field(field.name, pa.string() if pa.types.is_large_string(field.type) or
                 pa.types.is_null(field.type) else field.type)
        for field in table.schema
    ]  # fmt: skip
    return table.cast(pa.schema(fields))
