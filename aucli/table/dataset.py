"""Parquet tables that other programs read as one: a folder with ``input=clip.mp4/part-0.parquet``
for each input.

Arrow, pandas, DuckDB and Spark take the column ``input`` from the names of the folders, as Hive
does. Each part is a whole table nevertheless. All have the same columns, and nothing else lies
between them; names that begin with ``_`` or ``.`` are passed over.
"""

import os
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from aucli.errors import OptionError
from aucli.files import refuse_inputs, shown

DATASET = "dataset"  # the name of the format
PART = "part-0.parquet"
START = "input="  # of the names of its folders
_PASSED_OVER = (".", "_")  # start the names that no program reads
# What Hive and Spark write as %XX, also on Windows. Spark reads no other letter so: UTF-8 stays.
_SPECIAL = re.compile(r"[\x00-\x1f\x7f\"#%'*/:<=>?\[\\\]^{|}]")


def quoted(name: str) -> str:
    """A name as one part of a path: ``a/clip.mp4`` -> ``a%2Fclip.mp4``."""
    return _SPECIAL.sub(lambda match: f"%{ord(match[0]):02X}", name)


def part_file(folder: Path, name: str) -> Path:
    """The part of an input. name: what the column ``input`` says."""
    return folder / f"{START}{quoted(name)}" / PART


def input_of(table: Path) -> str | None:
    """What the column ``input`` says of a part; None for a table that is no part of a dataset."""
    folder = table.parent.name
    if table.name != PART or not folder.startswith(START):
        return None
    return unquote(folder.removeprefix(START)) or None


def table_name(table: Path) -> str:
    """What to call a table: the name of its file, of a part that of its input."""
    return input_of(table) or table.name


def parts_of(folder: Path) -> Iterator[Path]:
    """The parts that are there."""
    return folder.glob(f"{START}*/{PART}")


def dataset_around(files: Iterable[Path]) -> tuple[Path, Path] | None:
    """The first of the files that would be read with a dataset, however deep in it, and the
    dataset's folder; None where there is none."""
    known: dict[Path, bool] = {}
    here = Path.cwd()
    for file in files:
        whole = Path(os.path.abspath(file))
        for below, folder in pairwise((whole, *whole.parents)):
            if below.name.startswith(_PASSED_OVER):
                break
            if folder not in known:
                known[folder] = any(parts_of(folder))
            if known[folder]:
                near = not file.is_absolute() and folder.is_relative_to(here)
                return file, folder.relative_to(here) if near else folder
    return None


def refuse_taken(targets: Iterable[Path], inputs: Iterable[Path], what: str) -> None:
    """Raise OptionError where a target is one of the inputs, or would be read with a dataset:
    as more rows, or as a file that is no Parquet.

    what: see :func:`aucli.files.refuse_inputs`.
    """
    targets = [target for target in targets if target != Path("-")]
    refuse_inputs(targets, inputs, what)
    if found := dataset_around(targets):
        file, folder = found
        raise OptionError(
            f"{shown(file)} would be read as a part of {shown(folder)}, which is a dataset; name "
            "another place."
        )


def check_folder(folder: Path) -> None:
    """Raise OptionError where parts would not make a dataset with what is in the folder or around
    it."""
    if found := dataset_around([folder]):
        raise OptionError(
            f"out: {shown(folder)} lies in {shown(found[1])}, which is a dataset; name another "
            "folder."
        )
    for entry in sorted(os.scandir(folder), key=lambda it: it.name) if folder.is_dir() else ():
        part = entry.name.startswith(START) and entry.is_dir()
        if not part and not entry.name.startswith(_PASSED_OVER):
            raise OptionError(
                f"out: {shown(folder)} holds {shown(entry.name)}, which is no part of a dataset; "
                "name another folder."
            )


def other_part(folder: Path, targets: Collection[Path]) -> Path | None:
    """A part that is there and is none of the targets."""
    planned = set(targets)
    return next((part for part in parts_of(folder) if part not in planned), None)


def check_columns(part: Path, schema: pa.Schema) -> None:
    """Raise OptionError where a part has other columns than those that are to join it."""
    try:
        there = pq.read_schema(part)
    except (OSError, pa.ArrowException) as error:
        raise OptionError(f"out: {shown(part)} is no table ({error}); move it away.") from error
    if there.remove_metadata() == schema:
        return
    theirs, ours = set(there.names), set(schema.names)
    lacking = [name for name in schema.names if name not in theirs]
    more = [name for name in there.names if name not in ours]
    words = [f"no {lacking[0]}"] if lacking else []
    words += [f"also {more[0]}"] if more else []
    raise OptionError(
        f"out: the parts of {shown(part.parents[1])} have other columns "
        f"({' and '.join(words) or 'in another order'}), and a dataset has the same everywhere; "
        "take the same options, or name another folder."
    )
