"""Errors that a user can cause; anything else is a bug and keeps its traceback."""

import sys
from collections.abc import Callable


class AucliError(Exception):
    """Base of every user-facing error. The message is one sentence: what, where, what to do."""


class OptionError(AucliError, ValueError):
    """An option has a value that it cannot have, or options do not go together."""


class InputError(AucliError):
    """An input video, image or folder cannot be read."""


class PassingError(InputError):
    """An input could not be read this time, through no fault of its own."""


class WeightsError(AucliError):
    """A weights file is missing, altered or does not fit its network."""


class DataError(AucliError):
    """A labelled or synthetic dataset is missing files or holds values out of range."""


class OutputError(AucliError):
    """A result cannot be written."""


class LibraryError(AucliError):
    """An optional library is missing or cannot be imported."""


class MemoryLackError(AucliError):
    """The machine has not enough memory for what was asked."""


_LACK = ("allocate memory", "out of memory", "failed to map segment", "not enough memory")


def as_memory_lack(error: BaseException) -> MemoryLackError | None:
    """The libraries' many ways to say that memory is used up as one sentence; None for others."""
    told = str(error).lower()
    lacking = isinstance(error, RuntimeError | OSError | ImportError) and any(
        words in told for words in _LACK
    )
    if not lacking and not isinstance(error, MemoryError):
        return None
    return MemoryLackError(
        "There is not enough memory; close other programs, lift the limit, or take smaller batches."
    )


def first_line(error: BaseException) -> str:
    """What a library's error says, as a part of a sentence."""
    told = getattr(error, "strerror", None) or str(error)
    return (told.strip().splitlines() or ["unknown format"])[0].rstrip(".")


def run_script(main: Callable[[], object]) -> None:
    """Run a script's ``main``; a mistake of the user ends it with a sentence and exit code 1."""
    try:
        main()
    except (AucliError, OSError) as error:
        sys.exit(f"aucli: {error}")
