"""Files that appear whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from aucli.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PART = ".part"  # ends the name of a file that is being written
TRIES = 5  # to lock it, while other runs finish with it


class OutputExists(OutputError):
    """A file is already there and was not to be replaced."""


def refuse_existing(target: Path, overwrite: bool) -> None:
    """Raise :class:`OutputExists` where ``target`` would be replaced without being asked, and
    OutputError where it is a folder."""
    if target.is_dir():
        raise OutputError(f"{target} is a folder; name a file.")
    if not overwrite and target.exists():
        raise OutputExists(f"{target} exists already; --overwrite (overwrite=True) replaces it.")


@contextlib.contextmanager
def write_whole(path: Path, overwrite: bool = True) -> Iterator[BinaryIO]:
    """A binary file to write; at the end of the block it takes the place of ``path``.

    The bytes go to a hidden file beside ``path``, which vanishes when the block fails or is
    interrupted; one that a killed run left is taken over. The folder is made where it is missing.

    Raises OutputExists where ``path`` is there at the end and ``overwrite`` is False, OutputError
    where another run is writing it, and OSError where the disk or the folder refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part, stream = _open_part(path)
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())  # a crash after the rename must not leave an empty file
            refuse_existing(path, overwrite)  # it may have appeared in the meantime
            if fcntl is not None:
                os.replace(part, path)  # while the lock is held
        if fcntl is None:  # Windows renames no open file
            os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            stream.close()
        part.unlink(missing_ok=True)
        raise


def sweep_part(path: Path) -> None:
    """Remove what a killed run left of ``path``; nothing where another run is writing it."""
    part = _part(path)
    if fcntl is None or not part.exists():
        return
    with contextlib.suppress(OSError), part.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink(missing_ok=True)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}{PART}")


def _open_part(path: Path) -> tuple[Path, BinaryIO]:
    """The hidden file of ``path``, empty and locked against other runs."""
    part = _part(path)
    for _ in range(TRIES if fcntl is not None else 0):
        # Not "x": a killed run may have left one. This keeps the permissions of the user's umask.
        stream = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        assert fcntl is not None
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if part.exists() and os.path.samestat(os.fstat(stream.fileno()), part.stat()):
                stream.truncate()
                return part, stream
        except BlockingIOError:
            stream.close()
            raise OutputError(
                f"{path} is being written by another run; wait for it, or name another place."
            ) from None
        except OSError:  # a file system without locks
            stream.close()
            break
        stream.close()  # the other run has just finished with it
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
    return part, part.open("xb")


def write_text(path: Path, text: str) -> None:
    """A UTF-8 text file, whole or not at all; see :func:`write_whole`."""
    with write_whole(path) as stream:
        stream.write(text.encode())
