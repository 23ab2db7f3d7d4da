"""What became of each input of a batch, noted in the folder of its tables as the batch goes.

``_aucli-run.jsonl`` has one JSON object a line, the latest of an input last. A table also tells by
itself what it was made of (:func:`aucli.table.writer.read_provenance`); the journal adds inputs
without a table, and saves reading an input again whose size and time are the same.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from aucli.errors import OutputError

JOURNAL = "_aucli-run.jsonl"  # programs that read a folder of Parquet at once pass over "_"

State = Literal["done", "damaged", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one input.

    input: its absolute path. label: what the column ``video`` says. table: path below the journal's
    folder. state: 'done'; 'damaged', the table has the rows that could be decoded; 'failed', the
    input cannot be read; 'stopped', something else stood in the way. reason: a sentence, empty for
    'done'. frames, face_frames: as in the summary. seconds: of work. size, mtime_ns: of the input,
    see :class:`aucli.pipeline.original.Stamp`; 0 where there is none. sha256: of its bytes, where
    they were read to the end. finished: UTC, ISO 8601.
    """

    input: str
    label: str
    table: str
    state: State
    reason: str = ""
    frames: int = 0
    face_frames: int = 0
    seconds: float = 0.0
    size: int = 0
    mtime_ns: int = 0
    sha256: str | None = None
    finished: str = ""


class Journal:
    """The journal of a folder; reading it needs no file to be there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / JOURNAL
        self._latest = {entry.table: entry for entry in _read(self.path)}

    def name_of(self, target: Path) -> str:
        """How the journal names a table: its path below the folder."""
        return Path(os.path.relpath(target, self.folder)).as_posix()

    def latest(self, target: Path) -> Entry | None:
        """What was noted last of a table."""
        return self._latest.get(self.name_of(target))

    def entries(self) -> list[Entry]:
        """What was noted last of each table, in the order of the first notes."""
        return [*self._latest.values()]

    def given(self) -> dict[str, Path]:
        """Absolute path of each input -> the table that it was given."""
        return {entry.input: self.folder / entry.table for entry in self._latest.values()}

    def add(self, entry: Entry) -> None:
        """Note an entry at once, so that a later kill does not lose it. Raises OutputError."""
        line = json.dumps(asdict(entry)).encode() + b"\n"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as stream:
                if stream.tell():
                    stream.seek(-1, os.SEEK_END)
                    if stream.read(1) != b"\n":  # a killed run left half a line
                        line = b"\n" + line
                stream.write(line)
        except OSError as error:
            raise OutputError(
                f"Cannot write {self.path}: {error.strerror}; the table is there nevertheless."
            ) from error
        self._latest[entry.table] = entry


def _read(path: Path) -> Iterator[Entry]:
    """Entries in order; lines that are none, as a kill may leave one, are passed over."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, KeyError, OverflowError, RecursionError):
            yield _entry(json.loads(line))


def _entry(told: dict[str, Any]) -> Entry:
    if told["state"] not in get_args(State):
        raise ValueError("no state of ours")
    sha256 = told["sha256"]
    return Entry(
        input=str(told["input"]),
        label=str(told["label"]),
        table=str(told["table"]),
        state=told["state"],
        reason=str(told["reason"]),
        frames=int(told["frames"]),
        face_frames=int(told["face_frames"]),
        seconds=float(told["seconds"]),
        size=int(told["size"]),
        mtime_ns=int(told["mtime_ns"]),
        sha256=None if sha256 is None else str(sha256),
        finished=str(told["finished"]),
    )
