"""The console for everything that is not a result: bars, notes, summaries, all on stderr."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

# highlight=False: numbers in messages stay in the text colour, so that warnings stand out.
console = Console(stderr=True, highlight=False)


def note(message: str) -> None:
    """Print one line for the user; square brackets in it (file names) are not markup."""
    console.print(message, markup=False, soft_wrap=True)


def warn(message: str) -> None:
    """Print one line that the user should not miss; it never changes the exit code."""
    console.print(f"warning: {message}", markup=False, soft_wrap=True, style="yellow")


class Bar:
    """How far a piece of work is: its name, a bar, a few words and the time left."""

    def __init__(self, progress: Progress, what: str, total: float | None) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total, words="")

    @property
    def speed(self) -> float:
        """Steps per second, lately."""
        return self._progress.tasks[0].speed or 0.0

    def begin(self, what: str, total: float | None = None) -> None:
        """Start again for the next piece of work."""
        self._progress.reset(self._task, description=what, total=total, words="")

    def move(self, done: float, total: float | None = None, words: str = "") -> None:
        """Show so much done. total: where it is known by now."""
        # A declared number that turns out too small would freeze the bar at its end.
        known = total if total is not None and total >= done else None
        self._progress.update(self._task, completed=done, total=known, words=words)

    def advance(self, count: float = 1) -> None:
        """Show so much more done, and how fast it goes."""
        self._progress.advance(self._task, count)
        task = self._progress.tasks[0]
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
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    ) as progress:
        yield Bar(progress, what, total)
