"""The console for everything that is not a result: bars, notes, summaries, all on stderr."""

from rich.console import Console

# highlight=False: numbers in messages stay in the text colour, so that warnings stand out.
console = Console(stderr=True, highlight=False)


def note(message: str) -> None:
    """Print one line for the user; square brackets in it (file names) are not markup."""
    console.print(message, markup=False, soft_wrap=True)


def warn(message: str) -> None:
    """Print one line that the user should not miss; it never changes the exit code."""
    console.print(f"warning: {message}", markup=False, soft_wrap=True, style="yellow")
