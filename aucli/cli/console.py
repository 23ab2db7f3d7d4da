"""The console for everything that is not a result: bars, notes, summaries, all on stderr."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TextColumn, TimeRemainingColumn

from aucli.errors import OutputError
from aucli.files import shown

# highlight=False: numbers in messages stay in the text colour, so that warnings stand out.
console = Console(stderr=True, highlight=False)

SPEED_SECONDS = 600.0  # over which the time left is judged; an input can take minutes


_log: TextIO | None = None


@contextmanager
def log_to(path: Path | None) -> Iterator[None]:
    """Add everything that is said in the block to a file, too, with the time.

    Raises OutputError where it cannot be written.
    """
    global _log
    if path is None:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror}; name another file.") from error
    _log = file
    try:
        yield
    finally:
        _log = None
        with suppress(OSError):
            file.close()


def note(message: str) -> None:
    """Print one line for the user; square brackets in it (file names) are not markup."""
    message = _safe(message)
    console.print(message, markup=False, soft_wrap=True)
    log(message)


def warn(message: str) -> None:
    """Print one line that the user should not miss; it never changes the exit code."""
    message = _safe(message)
    console.print(f"warning: {message}", markup=False, soft_wrap=True, style="yellow")
    log(f"warning: {message}")


def log(message: str) -> None:
    """Add a line to the log alone; nothing where there is none."""
    global _log
    if _log is None:
        return
    try:
        _log.write(f"{datetime.now().astimezone().isoformat(timespec='seconds')} {message}\n")
        _log.flush()
    except OSError as error:  # must not end the work
        name, _log = _log.name, None
        warn(f"{name} cannot be written any more ({error.strerror}); the log ends here.")


def _safe(message: str) -> str:
    """Names of files in a message cannot steer the terminal; lines stay lines."""
    return "\n".join(map(shown, message.split("\n")))


class Bar:
    """How far a piece of work is: its name, a bar, a few words and the time left."""

    def __init__(self, progress: Progress, what: str, total: float | None) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total, words="")

    @property
    def speed(self) -> float:
        """Steps per second, lately."""
        return self._own.speed or 0.0

    @property
    def _own(self) -> Task:
        return next(task for task in self._progress.tasks if task.id == self._task)

    def beside(self, what: str, total: float | None) -> "Bar":
        """Another bar, below this one."""
        return Bar(self._progress, what, total)

    def end(self) -> None:
        """Hide it until it begins again."""
        self._progress.update(self._task, visible=False)

    def begin(self, what: str, total: float | None = None) -> None:
        """Start again for the next piece of work."""
        self._progress.reset(self._task, description=what, total=total, visible=True, words="")

    def move(self, done: float, total: float | None = None, words: str = "") -> None:
        """Show so much done. total: where it is known by now."""
        # A declared number that turns out too small would freeze the bar at its end.
        known = total if total is not None and total >= done else None
        self._progress.update(self._task, completed=done, total=known, words=words)

    def advance(self, count: float = 1) -> None:
        """Show so much more done, and how fast it goes."""
        self._progress.advance(self._task, count)
        task = self._own
        of = f" of {task.total:.0f}" if task.total is not None else ""
        words = f"{task.completed:.0f}{of}, {self.speed:.0f}/s"
        self._progress.update(self._task, words=words)


@contextmanager
def progress_bar(what: str = "", total: float | None = None, quiet: bool = False) -> Iterator[Bar]:
    """A bar on stderr while the block runs; none where stderr is no terminal."""
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[words]}", markup=False),
        TimeRemainingColumn(),
        speed_estimate_period=SPEED_SECONDS,
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    ) as progress:
        yield Bar(progress, what, total)
