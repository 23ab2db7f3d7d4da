"""The console for everything that is not a result: bars, notes, summaries, all on stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

# highlight=False: numbers in messages stay in the text colour, so that warnings stand out.
console = Console(stderr=True, highlight=False)


def note(message: str) -> None:
    """Print one line for the user; square brackets in it (file names) are not markup."""
    console.print(message, markup=False, soft_wrap=True)


def warn(message: str) -> None:
    """Print one line that the user should not miss; it never changes the exit code."""
    console.print(f"warning: {message}", markup=False, soft_wrap=True, style="yellow")


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar with rate and time left on stderr; yields the function that advances it."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f}/s"),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        task = progress.add_task(what, total=total, rate=0.0)

        def advance(count: int) -> None:
            progress.advance(task, count)
            progress.update(task, rate=progress.tasks[0].speed or 0.0)

        yield advance
