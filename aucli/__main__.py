"""The ``aucli`` script, also as ``python -m aucli``."""

import os
import sys


def main() -> None:
    """Entry point. A stop while Python still reads our files is a stop like any other."""
    _occupy_closed_streams()
    try:
        from aucli.cli import main as run

        run()
    except KeyboardInterrupt:
        print("aucli: interrupted", file=sys.stderr)
        sys.exit(130)


def _occupy_closed_streams() -> None:
    """Give closed standard streams to the null device.

    Else the next file that is opened gets their number, and what a library prints goes into it.
    ``sys.stdout`` stays None: a result that goes nowhere is an error.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


if __name__ == "__main__":
    main()
