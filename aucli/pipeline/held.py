"""Rows that wait, in memory as long as they are few, else in a temporary file."""

import pickle
import tempfile
from collections.abc import Iterator
from typing import Generic, TypeVar

from aucli.errors import OutputError

HELD_BYTES = 64 * 2**20  # in memory, about 1.2 kB a row; more goes to a file

T = TypeVar("T")


class Held(Generic[T]):
    """Blocks of rows that wait: first in, first out, as often as they are asked for.

    share: in memory, of :data:`HELD_BYTES`, where so many wait at once. A context manager; leaving
    it lets go of them.
    """

    def __init__(self, share: int = 1) -> None:
        self._file = tempfile.SpooledTemporaryFile(HELD_BYTES // share)  # noqa: SIM115
        self._blocks = 0

    def __enter__(self) -> "Held[T]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the blocks."""
        self._file.close()

    def add(self, block: T) -> None:
        """Keep a block. Raises OutputError where it cannot be kept."""
        try:
            pickle.dump(block, self._file, pickle.HIGHEST_PROTOCOL)
        except OSError as error:
            raise OutputError(
                f"Cannot keep the waiting rows in {tempfile.gettempdir()}: {error.strerror}; "
                "set TMPDIR to another folder."
            ) from error
        self._blocks += 1

    def __iter__(self) -> Iterator[T]:
        self._file.seek(0)
        for _ in range(self._blocks):
            yield pickle.load(self._file)
