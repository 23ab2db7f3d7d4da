"""Files that appear whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from aucli.errors import OutputError

PART = ".part"  # ends the name of a file that is being written


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
    interrupted. The folder is made where it is missing.

    Raises OutputExists where ``path`` is there at the end and ``overwrite`` is False, and OSError
    where the disk or the folder refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
    # A plain open with "x" keeps the permissions that the user's umask asks for.
    stream = part.open("xb")
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())  # a crash after the rename must not leave an empty file
        refuse_existing(path, overwrite)  # it may have appeared in the meantime
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            stream.close()
        part.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """A UTF-8 text file, whole or not at all; see :func:`write_whole`."""
    with write_whole(path) as stream:
        stream.write(text.encode())
