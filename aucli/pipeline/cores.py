"""How many CPU cores this process may take, where several share a computer."""

import os

MOST_THREADS = 1024  # thousands take minutes to start, or cannot be started at all

_share = 0


def usable_cores() -> int:
    """Cores that the system allows this process, 1 or more, or the share that it was given."""
    if _share:
        return _share
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1


def take_share(cores: int) -> None:
    """Take no more than so many cores from now on; 0 takes all."""
    global _share
    _share = cores
