"""Inputs and outputs that a user names by a URL: s3://, gs:// and memory://, through fsspec.

A file:// URL is a plain path. Without one of the others nothing is opened and fsspec is not loaded.
"""

import contextlib
import errno
import importlib
import os
import re
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from aucli.errors import (
    AucliError,
    InputError,
    LibraryError,
    OptionError,
    OutputError,
    PassingError,
    first_line,
)
from aucli.files import PART, hold_folder, shown

LIBRARIES = {"s3": ("fsspec", "s3fs"), "gs": ("fsspec", "gcsfs"), "memory": ("fsspec",)}
SCHEMES = tuple(LIBRARIES)  # beside file
INSTALL = {"s3fs": "'aucli[remote]'", "fsspec": "'aucli[remote]'", "gcsfs": "'aucli[remote]' gcsfs"}
# A server that is not there is given up after 15 seconds, one that falls silent after 45: before a
# worker counts as stalled.
TRIES = 3
S3_SECONDS = {"connect_timeout": 5, "read_timeout": 15, "retries": {"total_max_attempts": 1}}
# How the libraries call a lack of credentials.
CREDENTIALS = re.compile("Credential|Token|Forbidden|Unauthorized")
FOLDER = "aucli-url-"  # starts the name of a temporary folder
SWEEP_SECONDS = 60.0
NAME_BYTES = 255

_lock = threading.Lock()
_file_systems: dict[str, Any] = {}


class NoAnswer(PassingError):
    """A server that does not answer."""


class Look(NamedTuple):
    """What a server tells of an object. size: bytes. mtime_ns: when it was written. etag: changes
    with the bytes; empty where the server has none."""

    size: int
    mtime_ns: int
    etag: str


@dataclass(frozen=True, slots=True)
class Url:
    """An object, or with / at the end what lies below a prefix: ``s3://bucket/study/clip.mp4``."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, name: str) -> "Url":
        return Url(f"{self.text.rstrip('/')}/{name}")

    def absolute(self) -> "Url":
        """Itself, as a path would tell."""
        return self

    @property
    def scheme(self) -> str:
        return self.text.partition("://")[0]

    @property
    def parts(self) -> tuple[str, ...]:
        """Bucket and names of folders, as they may stand in the label of an input."""
        names = self.text.partition("://")[2].split("/")
        return tuple(_tame(name) for name in names if name)

    @property
    def name(self) -> str:
        """The last part; of a prefix, that of its folder."""
        return (self.parts or (self.scheme,))[-1]

    @property
    def around(self) -> list["Url"]:
        """The prefixes in which it lies, the nearest first, with the bucket."""
        names = self.text.rstrip("/").split("/")  # s3:, nothing, the bucket
        return [Url("/".join(names[:count]) + "/") for count in range(len(names) - 1, 2, -1)]

    @property
    def is_prefix(self) -> bool:
        return self.text.endswith("/")

    def look(self) -> Look:
        """What the server tells. Raises InputError where it is missing or kept from us."""
        with sentences(self):
            told = _system(self).info(self.text)
            if told["type"] == "directory":
                raise FileNotFoundError
        return _look(told)

    def is_folder(self) -> bool:
        """Whether it is no object, but the start of the names of some. Raises InputError."""
        try:
            with sentences(self):
                return _system(self).info(self.text)["type"] == "directory"
        except Missing:
            return False

    def matches(self) -> list["Url"]:
        """The objects and prefixes whose names the pattern fits, sorted. Raises InputError."""
        with sentences(self):
            found = _system(self).glob(self.text, detail=True)
            return [
                Url(f"{self.scheme}://{name.strip('/')}{'/' * (told['type'] == 'directory')}")
                for name, told in sorted(found.items())
                if "/." in self.text or "/." not in name  # as a shell does
            ]

    def below(self, first: str = "") -> dict[str, Look]:
        """Every object below a prefix: its name below it -> what the server tells. first: with
        which these names begin. Raises InputError."""
        with sentences(self):
            system = _system(self)
            start = system._strip_protocol(self.text).rstrip("/") + "/"
            found = system.find(start, detail=True, prefix=first)
            # An empty object named as a folder stands for it in some programs.
            return {
                name[len(start) :]: _look(told)
                for name, told in sorted(found.items())
                if name.startswith(start + first) and not name.endswith("/")
            }

    def fetch(self, target: Path, on_chunk: Callable[[], None] = lambda: None) -> Look:
        """Copy the object to a file; returns what it was. on_chunk: called now and then, in any
        thread. Raises InputError, also where it changes meanwhile."""
        before = self.look()
        with sentences(self):
            from fsspec.callbacks import Callback

            hooks = {"alive": lambda size, value, **_: on_chunk()}
            _system(self).get_file(self.text, str(target), callback=Callback(hooks=hooks))
        if self.look() != before or target.stat().st_size != before.size:
            raise InputError(f"{self} changed while it was read; analyse it again.")
        os.utime(target, ns=(before.mtime_ns, before.mtime_ns))
        return before

    def put(self, source: Path) -> None:
        """Write a file to the object, whole. Raises OutputError."""
        with sentences(self, OutputError):
            _system(self).put_file(str(source), self.text)


Place = Path | Url


class Missing(InputError):
    """There is no such object."""


def place(name: str | os.PathLike[str] | Url) -> Place:
    """What a name stands for: a file or folder, or a URL. A name with a colon alone is a file's.

    Raises OptionError for a URL of which we know nothing.
    """
    if isinstance(name, Url):
        return name
    text = os.fspath(name)
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text)
    if match is None:
        return Path(text)
    scheme, rest = match[1].lower(), text[match.end() :]
    if scheme in SCHEMES:
        if not rest.strip("/"):
            raise OptionError(f"{shown(text)} names no place; write {scheme}://BUCKET/NAME.")
        return Url(f"{scheme}://{rest.lstrip('/')}")
    if os.path.lexists(text):
        return Path(text)
    if scheme == "file":
        split = urlsplit(text)
        if split.netloc not in ("", "localhost") or not split.path:
            raise OptionError(
                f"{shown(text)} is no file of this computer; write file:///FOLDER/NAME."
            )
        return Path(url2pathname(split.path))
    raise OptionError(
        f"{shown(text)} cannot be read by aucli, which knows "
        f"{', '.join(f'{known}://' for known in SCHEMES)} and file://; download it and name the "
        "file."
    )


def is_url(name: object) -> bool:
    """Whether a name is a URL that is reached through fsspec."""
    return re.match(f"({'|'.join(SCHEMES)})://", str(name), re.IGNORECASE) is not None


def absolute(name: str | os.PathLike[str] | Place) -> str:
    """A name that is the same from every folder, by which inputs are told apart."""
    return str(name) if is_url(name) else os.path.abspath(name)  # pyright: ignore


def refuse_urls(options: Mapping[str, object]) -> None:
    """Raise OptionError where an option that takes files of this computer got a URL.

    options: name -> value.
    """
    for option, value in options.items():
        if words := url_words(str(value).removeprefix("neutral=")):
            raise OptionError(f"{option}: {words}")


def url_words(name: object) -> str:
    """A sentence where a name of a file of this computer is a URL, also as a Path, which takes
    slashes away; else empty."""
    text = str(name)
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/+", text)
    if match is None or os.path.lexists(text):
        return ""
    rest = text[match.end() :]
    if match[1].lower() == "file":
        return f"file:///{shown(rest)} is a URL; write the path alone: /{shown(rest)}."
    return (
        f"{match[1]}://{shown(rest)} is a URL, which it does not take; name a file or folder of "
        "this computer."
    )


class TemporaryFolder:
    """A folder that is gone when it is closed, or with the process, or, where that was killed, when
    the next one is made."""

    def __init__(self) -> None:
        _sweep()
        self.path = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-"))
        held = contextlib.ExitStack()
        held.enter_context(hold_folder(self.path))
        # Also where nobody closes us.
        self.close = weakref.finalize(self, _remove, self.path, held)


def _remove(path: Path, held: contextlib.ExitStack) -> None:
    shutil.rmtree(path, ignore_errors=True)
    held.close()


class Fetched:
    """A copy of what a URL names, in a temporary folder until it is closed.

    path: the copy, named as the object is; for a prefix a folder with the objects directly in it
    that are ``wanted``, by their names. on_chunk: see :meth:`Url.fetch`. Raises InputError.
    """

    def __init__(
        self,
        url: Url,
        wanted: Callable[[str], bool],
        on_chunk: Callable[[], None] = lambda: None,
    ) -> None:
        self.url = url
        self._folder = TemporaryFolder()
        self.path = self._folder.path / file_name(url.name)
        try:
            if not url.is_prefix:
                url.fetch(self.path, on_chunk)
                return
            self.path.mkdir()
            for name in url.below():
                if "/" not in name and wanted(name):
                    (url / name).fetch(self.path / file_name(name), on_chunk)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the copy."""
        self._folder.close()


def remove_copies(pid: int) -> None:
    """Remove what a process that was killed had fetched."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}{pid}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Remove the copies that no process holds any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        with contextlib.suppress(OSError, OutputError):
            if time.time() - folder.stat().st_mtime > SWEEP_SECONDS:
                with hold_folder(folder):
                    shutil.rmtree(folder, ignore_errors=True)


def file_name(name: str) -> str:
    """The name, or its end where no file can have it whole."""
    data = name.replace("\0", "_").encode(errors="replace")
    return data[-NAME_BYTES + len(PART) + 1 :].decode(errors="ignore")


def _tame(name: str) -> str:
    """A part of a URL that leads nowhere else where it becomes a part of a path."""
    return "_" * len(name) if name in (".", "..") else name


def _look(told: dict[str, Any]) -> Look:
    when: Any = next(
        (told[key] for key in ("LastModified", "mtime", "updated", "created") if told.get(key)), 0
    )
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    if isinstance(when, datetime):
        when = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    etag = told.get("ETag") or told.get("etag") or ""
    return Look(int(told["size"]), int(when * 1e9), str(etag))


def _system(url: Url) -> Any:
    """The file system of a URL."""
    with _lock:
        if url.scheme not in _file_systems:
            for library in LIBRARIES[url.scheme]:
                try:
                    importlib.import_module(library)
                except ImportError as error:
                    raise LibraryError(
                        f"{library} is missing, so {shown(url)} cannot be reached; run "
                        f"`pip install {INSTALL[library]}`."
                    ) from error
            import fsspec

            options: dict[str, Any] = {"config_kwargs": S3_SECONDS} if url.scheme == "s3" else {}
            # What another computer changes is seen at once.
            options |= {"use_listings_cache": False, "skip_instance_cache": True}
            system = fsspec.filesystem(url.scheme, **options)
            system.retries = TRIES
            _file_systems[url.scheme] = system
        return _file_systems[url.scheme]


@contextlib.contextmanager
def sentences(url: Url, kind: type[AucliError] = InputError) -> Iterator[None]:
    """Turn what goes wrong with a URL into one sentence."""
    name = shown(url)
    try:
        yield
    except AucliError:
        raise
    except FileNotFoundError as error:
        if kind is not InputError:
            raise kind(f"{name} cannot be written: there is no such bucket; create it.") from error
        raise Missing(f"{name} does not exist; check the name.") from error
    except Exception as error:  # each library has its own
        why = first_line(error) if str(error) else type(error).__name__
        passing = PassingError if kind is InputError else kind
        if isinstance(error, PermissionError) or CREDENTIALS.search(type(error).__name__):
            raise passing(
                f"{name}: access is refused ({why}); check the credentials for {url.scheme}://."
            ) from error
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise passing(
                f"{name} has no room in {tempfile.gettempdir()}; free some space, or set TMPDIR to "
                "another folder."
            ) from error
        if kind is InputError:
            kind = NoAnswer
        raise kind(
            f"{name}: the server does not answer ({why}); check its address and the network."
        ) from error
