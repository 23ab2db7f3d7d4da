"""Files that appear whole or not at all."""

import contextlib
import glob
import os
import secrets
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from aucli.errors import OptionError, OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PART = ".part"  # ends the name of a file that is being written
TRIES = 5  # to lock it, while other runs finish with it
JOINERS = "\u200c\u200d"  # do not print, but Persian names and emoji need them


class OutputExists(OutputError):
    """A file is already there and was not to be replaced."""


def shown(name: object) -> str:
    """A file's name as text that is safe to print and to store, on one line.

    Bytes that are not UTF-8, control characters and turns of the writing direction become escapes
    as in Python: ``\\xff``, ``\\n``, ``\\x1b``, ``\\u202e``.
    """
    return "".join(letter if _is_plain(letter) else _escape(letter) for letter in str(name))


def _is_plain(letter: str) -> bool:
    # Screenshots of macOS have a narrow blank in their names, which Python does not call printable.
    return letter.isprintable() or letter in JOINERS or unicodedata.category(letter) == "Zs"


def _escape(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte of the name that is not UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()


def path_below(name: str) -> Path:
    """A path below the current folder, whatever a table calls its video."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    safe = [part for part in parts if part not in ("/", "..", ".")]
    return Path(*safe) if safe else Path("video")


def refuse_inputs(targets: Iterable[Path], inputs: Iterable[Path], what: str) -> None:
    """Raise OptionError where a target is one of the inputs, by whatever name or link.

    what: 'table', 'picture' ...: is to be written.
    """
    read = {_inode(path) for path in inputs} - {None}
    for target in targets:
        if _inode(target) in read:
            raise OptionError(
                f"{shown(target)} is an input; a {what} never takes its place, so name "
                "another place."
            )


def _inode(path: Path) -> tuple[int, int] | None:
    """(device, inode) of what is there, behind links; None where nothing is."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return None
    return stat.st_dev, stat.st_ino


def refuse_existing(target: Path, overwrite: bool) -> None:
    """Raise :class:`OutputExists` where ``target`` would be replaced without being asked, and
    OutputError where it is a folder."""
    if target.is_dir():
        raise OutputError(f"{shown(target)} is a folder; name a file.")
    if not overwrite and target.exists():
        raise OutputExists(
            f"{shown(target)} exists already; --overwrite (overwrite=True) replaces it."
        )


@contextlib.contextmanager
def write_whole(path: Path, overwrite: bool = True) -> Iterator[BinaryIO]:
    """A binary file to write; at the end of the block it takes the place of ``path``.

    The bytes go to a hidden file beside ``path``, which vanishes when the block fails or is
    interrupted; one that a killed run left is taken over. The folder is made where it is missing.

    Raises OutputExists where ``path`` is there at the end and ``overwrite`` is False, OutputError
    where it is a folder or another run is writing it, and OSError where the disk or the folder
    refuses.
    """
    refuse_existing(path, overwrite=True)  # a folder; "." has no name to write beside
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


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Keep other runs that ask for it out of a folder during the block.

    Leaves nothing behind, also when the process is killed. Raises OutputError where another run
    has it. Without effect on Windows and on file systems without locks.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputError(
                    f"{shown(folder)} is in use by another run; wait for it, or name another "
                    "folder."
                ) from None
        yield
    finally:
        os.close(handle)


def sweep_part(path: Path) -> None:
    """Remove what a killed run left of ``path``; nothing where another run is writing it."""
    _sweep(_part(path))


def sweep_parts(folder: Path, start: str = "") -> None:
    """The same of every file in the folder whose name begins so."""
    for part in folder.glob(f".{glob.escape(start)}*{PART}"):
        _sweep(part)


def _sweep(part: Path) -> None:
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
                f"{shown(path)} is being written by another run; wait for it, or name another "
                "place."
            ) from None
        except OSError:  # a file system without locks
            stream.close()
            break
        stream.close()  # the other run has just finished with it
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
    return part, part.open("x+b")


@contextlib.contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn the system's refusals to write a file into one sentence."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"Cannot write {shown(target)}: {error.strerror or error}; choose another place."
        ) from error


def write_text(path: Path, text: str) -> None:
    """A UTF-8 text file, whole or not at all; see :func:`write_whole`."""
    with write_whole(path) as stream:
        stream.write(text.encode())
