"""Which aucli runs, as its results name it."""

import functools
import os
import subprocess
from pathlib import Path

import aucli

CHECKOUT = Path(__file__).resolve().parents[1]
RECORD = Path(__file__).with_name("_commit.txt")  # hatch_build.py puts it into a wheel
DESCRIBE = "git describe --always --exclude=* --abbrev=12 --dirty=.dirty"
SECONDS = 10  # for git, which takes some milliseconds


@functools.cache
def version() -> str:
    """``0.2.0+g1f2e3d4c5b6a``: with the commit of the checkout that it runs from or was built from.

    ``.dirty`` behind it: a file of the commit was changed. Where no git told the commit, the number
    stands alone.
    """
    found = commit()
    return f"{aucli.__version__}+g{found}" if found else aucli.__version__


def commit() -> str:
    """The commit of the checkout, or that of the wheel; empty where it is not known."""
    if (CHECKOUT / ".git").exists():
        return ask_git(DESCRIBE)
    return RECORD.read_text("utf-8").strip() if RECORD.exists() else ""


def ask_git(command: str) -> str:
    """What git says of the checkout; empty without git, or where it fails."""
    # So told, git finds no repository around, and a hook's variables do not lead it to another.
    told = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    told |= {
        "GIT_DIR": str(CHECKOUT / ".git"),  # a file in a worktree
        "GIT_WORK_TREE": str(CHECKOUT),
        "GIT_OPTIONAL_LOCKS": "0",
    }
    try:
        done = subprocess.run(
            command.split(), env=told, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=SECONDS, check=True,
        )  # fmt: skip
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
