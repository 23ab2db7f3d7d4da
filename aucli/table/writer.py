"""Table files: Parquet, or a text form of it, written while the rows come in.

How the rows came to be stands inside a Parquet file, and beside a text: ``clip.csv.json``.
"""

import contextlib
import errno
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from aucli.errors import OutputError
from aucli.files import refuse_existing, write_text, write_whole
from aucli.table.text import as_text, header

TableFormat = Literal["parquet", "csv", "openface", "jsonl"]
FORMATS: tuple[TableFormat, ...] = get_args(TableFormat)
METADATA_KEY = b"aucli"
PARQUET_MAGIC = b"PAR1"
TABLE_SHA256 = "table_sha256"  # key of a text table's own checksum in the file beside it
ROW_GROUP_ROWS = 4096  # at most 4 MB uncompressed with every column group


def provenance_file(table: Path) -> Path:
    """Where the provenance of a text table stands: ``clip.csv`` -> ``clip.csv.json``."""
    return table.with_name(f"{table.name}.json")


def read_provenance(path: Path | str) -> dict[str, Any]:
    """How a table came to be, as the writer noted it; empty for a foreign file.

    That of a text counts only while the text is what was written. Raises OSError or ValueError
    where the table or its provenance is damaged.
    """
    path = Path(path)
    with path.open("rb") as stream:
        is_parquet = stream.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
    beside = provenance_file(path)
    if is_parquet:
        text = (pq.read_metadata(path).metadata or {}).get(METADATA_KEY, b"{}")
    else:
        text = beside.read_bytes() if beside.exists() else b"{}"
    told = json.loads(text)
    if not isinstance(told, dict):
        return {}
    if expected := told.pop(TABLE_SHA256, None):
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != expected:
                raise ValueError("it was changed after it was written")
    return told


def _is_provenance(path: Path) -> bool:
    """Whether a file is what we wrote beside an earlier table."""
    try:
        return "aucli" in json.loads(path.read_bytes())
    except (OSError, ValueError, TypeError):
        return False


class TableWriter:
    """Writes record batches to a table file; nothing is seen at ``target`` until all is written.

    A context manager. The table appears when the block ends, and not at all when the block fails or
    is interrupted. ``target`` None is the standard output, written and flushed batch by batch.

    ``provenance`` may be filled until the block ends. A text at ``target`` gets a second file for
    it, see :func:`provenance_file`; on the standard output it is left out. spaces: see
    :func:`aucli.table.text.header`.

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
        spaces: bool = False,
    ) -> None:
        if table_format not in FORMATS:
            raise ValueError(f"table_format must be one of {FORMATS}, got {table_format!r}")
        self.target = target
        self.schema = schema
        self.format = table_format
        self.overwrite = overwrite
        self.spaces = spaces
        self.provenance: Mapping[str, Any] = {}
        self._beside = (
            None if target is None or table_format == "parquet" else provenance_file(target)
        )
        self.rows = 0
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._file = contextlib.ExitStack()
        self._stream: IO[bytes]
        self._parquet: pq.ParquetWriter | None = None

    def __enter__(self) -> "TableWriter":
        if self.target is None:
            if sys.stdout is None:
                raise OutputError("The standard output is closed; name a file.")
            self._stream = sys.stdout.buffer
        else:
            refuse_existing(self.target, self.overwrite)
            if (
                self._beside is not None
                and self._beside.exists()
                and not _is_provenance(self._beside)
            ):
                refuse_existing(self._beside, self.overwrite)
            with self._sentences():
                whole = write_whole(self.target, self.overwrite)
                self._stream = self._file.enter_context(whole)
        with self._given_up(), self._sentences():
            if self.format == "parquet":
                self._parquet = pq.ParquetWriter(self._stream, self.schema, compression="zstd")
            else:
                self._stream.write(header(self.schema, self.format, self.spaces))
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        """Append the rows of one batch of ``schema``; only ``picture`` may be missing."""
        if batch.schema.names != self.schema.names:
            batch = _with_null_pictures(batch, self.schema)
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

    def __exit__(self, *error: Any) -> None:
        if error[0] is not None:
            self._give_up(*error)
            return
        with self._given_up(), self._sentences():
            if self._parquet is not None:
                if self._pending:
                    self._write_row_group()
                text = json.dumps(dict(self.provenance), allow_nan=False)
                self._parquet.add_key_value_metadata({METADATA_KEY: text.encode()})
                self._parquet.close()
            self._stream.flush()
            if self._beside is not None:
                # Before the table gets its name: a table that is there tells how it was made. By
                # the checksum the two belong together, whatever comes between.
                told = {**self.provenance, TABLE_SHA256: self._checksum()}
                write_text(self._beside, json.dumps(told, indent=1, allow_nan=False) + "\n")
            self._file.close()

    def _checksum(self) -> str:
        """SHA-256 of the text so far."""
        self._stream.seek(0)
        return hashlib.file_digest(self._stream, "sha256").hexdigest()  # pyright: ignore

    def _write_row_group(self) -> None:
        assert self._parquet is not None
        self._parquet.write_table(pa.Table.from_batches(self._pending, self.schema))
        self._pending, self._pending_rows = [], 0

    @contextlib.contextmanager
    def _given_up(self) -> Iterator[None]:
        """Leave nothing behind where the block fails."""
        try:
            yield
        except BaseException as error:
            self._give_up(type(error), error, error.__traceback__)
            raise

    def _give_up(self, *error: Any) -> None:
        # The footer and the buffered bytes may not fit on the disk either; they are unwanted.
        with contextlib.suppress(OSError):
            if self._parquet is not None:
                self._parquet.close()
        with contextlib.suppress(OSError):
            self._file.__exit__(*error)

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
                "free some space or choose another folder"
                if error.errno in (errno.ENOSPC, errno.EDQUOT)
                else "choose another place"
            )
            raise OutputError(f"Cannot write {where}: {reason}; {remedy}.") from error


def _with_null_pictures(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The rows of a film in a table that also has folders of pictures."""
    there = {*batch.schema.names}
    nulls = pa.nulls(len(batch), pa.string())
    columns = [batch[name] if name in there else nulls for name in schema.names]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
