"""Where tables go: a folder or file of this computer, or one on a server by its URL.

What goes to a server is first written to a temporary folder, as it would be anywhere, and then
uploaded whole. In that folder an empty file stands for each object that is there already.
"""

import contextlib
import os
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from aucli.errors import AucliError, InputError, OptionError, OutputError
from aucli.files import OutputExists, shown
from aucli.pipeline.batch import Outcome
from aucli.pipeline.inputs import TABLE_SUFFIXES, Input
from aucli.pipeline.journal import JOURNAL, Entry, Journal
from aucli.pipeline.urls import Look, Missing, TemporaryFolder, Url, file_name, place
from aucli.table.dataset import PART, START, check_columns, other_part
from aucli.table.writer import provenance_file
from aucli.video.stills import overlay_files

JOURNAL_SECONDS = 10.0  # between two uploads of a growing journal


class Outputs:
    """The place of a run's tables.

    out: as a user names it; None is the current folder, '-' the standard output. ``out`` is the
    same as a name on this computer. overwrite: whether objects may be replaced. A context manager:
    leaving it uploads what is not yet, and renames errors of the block as :meth:`words` does.

    Raises OptionError for a URL of which we know nothing, OutputError where there is no such
    bucket, and InputError where the server refuses or does not answer.
    """

    def __init__(self, out: str | None, overwrite: bool = False) -> None:
        self.url: Url | None = None
        self.out = out
        self._overwrite = overwrite
        self._sent: dict[Path, tuple[int, int]] = {}  # size and time of what the server has, too
        self._journal_at = 0.0
        if not out or out == "-":
            return
        found = place(out)
        if isinstance(found, Path):
            if found != Path(out):  # of file://
                self.out = f"{found}{'/' * out.endswith('/')}"
            return
        self.url = found
        self._folder = TemporaryFolder()
        self._root = self._file(found)
        self.out = f"{self._root}{'/' * found.is_prefix}"
        for path, look in (*self._there(), *self._datasets_around()):
            # A name that is another one's folder, or too long here, cannot be in our way.
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(exist_ok=False)
                os.utime(path, ns=(look.mtime_ns, look.mtime_ns))
                self._note(path)
        self.load([self._root / JOURNAL])

    def __enter__(self) -> "Outputs":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self.url is None:
            return
        if isinstance(error, AucliError):
            error.args = (self.words(str(error)),)
        try:
            left = [self._root / JOURNAL] if error is not None else self._written()
            self._send(left)
        except AucliError:
            if error is None:
                raise
        finally:
            self._folder.close()

    def journal(self) -> Journal:
        """The journal of the folder."""
        return Journal(Path(self.out or ".")) if self.url is None else _SentJournal(self)

    def load(self, files: Iterable[Path]) -> None:
        """Fetch those of the files that the server has. Raises InputError."""
        for path in files:
            if self.url is not None and path in self._sent:
                self.url_of(path).fetch(path)
                self._note(path)

    def check_parts(self, targets: Collection[Path], schema: pa.Schema) -> None:
        """Raise OptionError where other parts of a dataset have other columns than the targets
        will."""
        if other := other_part(Path(self.out or "."), targets):
            self.load([other])
            check_columns(other, schema)

    def refuse_inputs(self, files: Iterable[Path], inputs: Iterable[Input]) -> None:
        """Raise OptionError where a file would take the place of an input on the server."""
        read = {str(item.path) for item in inputs}
        for path in files:
            if self.url is not None and self.url_of(path).text in read:
                raise OptionError(
                    f"{shown(self.url_of(path))} is an input; name another place for the tables."
                )

    def deliver(self, outcome: Outcome) -> Outcome:
        """The outcome, after what was written of it is uploaded; an error where it cannot be."""
        target = outcome.job.target
        if self.url is None or target is None:
            return outcome
        drawn = [] if outcome.job.overlay is None else [*overlay_files(outcome.job.overlay)]
        try:
            self._send([provenance_file(target), target, *drawn])
        except AucliError as error:
            return replace(outcome, error=outcome.error or error)
        return outcome

    def told(self, outcome: Outcome) -> Outcome:
        """The outcome in the words of the user: with URLs in place of files."""
        if self.url is None:
            return outcome
        target: Any = outcome.job.target and self.url_of(outcome.job.target)
        drawn: Any = tuple(self.url_of(path) for path in outcome.overlay)
        if isinstance(outcome.error, AucliError):
            outcome.error.args = (self.words(str(outcome.error)),)
        return replace(outcome, job=replace(outcome.job, target=target), overlay=drawn)

    def words(self, text: str) -> str:
        """A sentence with URLs in place of files."""
        if self.url is None:
            return text
        around = self.url.around
        for url, ours in ((self.url, self._root), *((url, self._file(url)) for url in around)):
            theirs = url.text.rstrip("/")
            text = text.replace(str(ours), theirs).replace(shown(ours), shown(theirs))
        return text

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Errors of the block tell URLs in place of files."""
        try:
            yield
        except AucliError as error:
            error.args = (self.words(str(error)),)
            raise

    def url_of(self, path: Path) -> Url:
        """Where a file of the folder goes."""
        assert self.url is not None
        return Url(self.url.text.rstrip("/") + str(path).removeprefix(str(self._root)))

    def send_journal(self) -> None:
        """Upload the journal, but not each time that it grows. Raises OutputError."""
        if time.monotonic() - self._journal_at >= JOURNAL_SECONDS:
            self._send([self._root / JOURNAL])
            self._journal_at = time.monotonic()

    def _there(self) -> Iterator[tuple[Path, Look]]:
        """What the server has: our names of it."""
        assert self.url is not None
        if not self.url.is_prefix and Path(self.url.name).suffix.lower() in TABLE_SUFFIXES:
            for path in (self._root, provenance_file(self._root)):
                with contextlib.suppress(Missing):
                    yield path, self.url_of(path).look()
            return
        try:
            there = Url(f"{self.url.text.rstrip('/')}/").below()
        except Missing as error:
            raise OutputError(
                f"{shown(self.url)} cannot be written: there is no such bucket; create it."
            ) from error
        for name, look in there.items():
            if not {"", ".", ".."} & {*name.split("/")}:
                yield self._root / name, look

    def _datasets_around(self) -> Iterator[tuple[Path, Look]]:
        """A part of each dataset in which the place lies."""
        assert self.url is not None
        for url in self.url.around:
            with contextlib.suppress(InputError):  # not everybody may list all of a bucket
                for name, look in url.below(START).items():
                    if name.count("/") == 1 and name.endswith(f"/{PART}"):
                        yield self._file(url) / name, look
                        break

    def _file(self, url: Url) -> Path:
        """Our name of a place on the server, or of one around it."""
        return self._folder.path.joinpath(*map(file_name, url.parts))

    def _written(self) -> list[Path]:
        """Every whole file of the folder; what stands beside a table before the table."""
        files = (path for path in self._folder.path.rglob("*") if path.is_file())
        return sorted((path for path in files if not path.name.startswith(".")), reverse=True)

    def _send(self, files: Iterable[Path]) -> None:
        """Upload those that the server has not. Raises OutputError."""
        for path in files:
            if not path.exists():
                continue
            if self._sent.get(path) != _state(path):
                url = self.url_of(path)
                if path not in self._sent and not self._overwrite:
                    with contextlib.suppress(Missing):
                        url.look()
                        raise OutputExists(
                            f"{shown(url)} exists already; --overwrite (overwrite=True) replaces "
                            "it."
                        )
                url.put(path)
            if path.name != JOURNAL:
                state = path.stat()
                os.truncate(path, 0)  # so that many tables take no room here
                os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
            self._note(path)

    def _note(self, path: Path) -> None:
        self._sent[path] = _state(path)


class _SentJournal(Journal):
    def __init__(self, outputs: Outputs) -> None:
        super().__init__(Path(outputs.out or "."))
        self._outputs = outputs

    def add(self, entry: Entry) -> None:
        super().add(entry)
        self._outputs.send_journal()


def _state(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
