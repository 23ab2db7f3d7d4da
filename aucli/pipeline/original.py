"""The bytes of an input: noted before they are read, compared and summed afterwards."""

import contextlib
import hashlib
import os
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aucli.errors import AucliError, InputError, PassingError
from aucli.pipeline.urls import Fetched, Look, Place, Url
from aucli.video.stills import IMAGE_SUFFIXES, image_files

CHUNK_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a look from outside tells of an input: bytes, and when they last changed. Of a folder,
    the sum and the latest of its pictures."""

    size: int
    mtime_ns: int


def stamp(path: Place) -> Stamp | None:
    """Stamp of a file or a folder of pictures; None where there is none."""
    try:
        if isinstance(path, Url):
            looks = [path.look()] if not path.is_prefix else _pictures(path)
            return Stamp(sum(look.size for look in looks), max(look.mtime_ns for look in looks))
        stats = [file.stat() for file in _files(path)]
    except (OSError, ValueError, InputError):
        return None
    return Stamp(sum(s.st_size for s in stats), max(s.st_mtime_ns for s in stats))


def checksum(path: Place) -> str:
    """SHA-256 of an input as it is now; see :meth:`Original.checksum`."""
    with Original(path) as original:
        return original.checksum()


class Original:
    """An input while it is analysed.

    A file is held open, so that it can be summed even when its name is gone or belongs to another
    file by then; of a folder, the pictures are noted. What a URL names is fetched, and its copy
    removed at the end. A context manager. Raises InputError where the input cannot be opened, and
    PassingError where the system refuses it.

    path: the file or folder to read. on_chunk: called now and then while it is fetched.
    """

    def __init__(self, source: Place, on_chunk: Callable[[], None] = lambda: None) -> None:
        self._fetched: Fetched | None = None
        self._held: int | None = None  # descriptor
        if isinstance(source, Url):
            self._fetched = Fetched(source, _is_picture, on_chunk)
            source = self._fetched.path
        self.path = path = source
        try:
            if not path.exists():
                raise InputError(f"{path} does not exist; check the name.")
            with self.named():
                self._files = _files(path)
            if path.is_file():
                self._held = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
                # Also where nobody closes us.
                self._release = weakref.finalize(self, os.close, self._held)
            self._before = self._look()
        except InputError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise PassingError(
                f"{path} cannot be read ({error.strerror}); check the file."
            ) from None

    def __enter__(self) -> "Original":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._held is not None:
            self._release()
            self._held = None
        if self._fetched is not None:
            self._fetched.close()

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Errors of the block tell the URL where they would tell its copy."""
        try:
            yield
        except AucliError as error:
            if self._fetched is not None:
                copy, url = str(self._fetched.path), str(self._fetched.url)
                error.args = (str(error).replace(copy, url),)
            raise

    def stamp(self) -> Stamp:
        """Size and time, as they were before the work."""
        return Stamp(sum(look[2] for look in self._before), max(look[3] for look in self._before))

    def check(self) -> None:
        """Raise InputError where the input is not what it was before the work.

        A file that was deleted meanwhile is whole nevertheless: its bytes are still held.
        """
        try:
            same = self._look() == self._before and self._still_named()
        except (OSError, InputError):
            same = False
        if not same:
            raise InputError(
                f"{self.path} changed while it was read; analyse it again when it is complete."
            )

    def checksum(self, on_chunk: Callable[[], None] = lambda: None) -> str:
        """Hexadecimal SHA-256 of the file; of a folder, of the names and sums of its pictures.

        on_chunk: called now and then. Raises InputError as :meth:`check`, and PassingError where
        the system refuses it by now.
        """
        try:
            if self.path.is_dir():
                whole = hashlib.sha256()
                for file in self._files:
                    with file.open("rb") as stream:
                        line = f"{_sum(stream, on_chunk)}  {file.name}\n"
                    whole.update(line.encode("utf-8", "surrogateescape"))
                total = whole.hexdigest()
            else:
                held = None if self._held is None else os.dup(self._held)
                with open(self.path if held is None else held, "rb") as stream:
                    stream.seek(0)
                    total = _sum(stream, on_chunk)
        except OSError as error:
            raise PassingError(
                f"{self.path} cannot be read any more ({error.strerror}); analyse it again."
            ) from error
        self.check()
        return total

    def _look(self) -> list[tuple[int, int, int, int]]:
        """(device, inode, bytes, mtime in ns) of the file that is held, or of each picture."""
        if self._held is not None:
            return [_identity(os.fstat(self._held))]
        return [_identity(file.stat()) for file in _files(self.path)]

    def _still_named(self) -> bool:
        if self._held is None:
            return True
        try:
            return [_identity(self.path.stat())] == self._before
        except FileNotFoundError:
            return True


def _pictures(prefix: Url) -> list[Look]:
    found = prefix.below().items()
    return [look for name, look in found if "/" not in name and _is_picture(name)]


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def _files(path: Path) -> list[Path]:
    return image_files(path) if path.is_dir() else [path]


def _identity(stat: os.stat_result) -> tuple[int, int, int, int]:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _sum(stream: BinaryIO, on_chunk: Callable[[], None]) -> str:
    total = hashlib.sha256()
    while chunk := stream.read(CHUNK_BYTES):
        total.update(chunk)
        on_chunk()
    return total.hexdigest()
