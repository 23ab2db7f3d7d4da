"""The ``aucli`` script, also as ``python -m aucli``."""

import sys


def main() -> None:
    """Entry point. A stop while Python still reads our files is a stop like any other."""
    try:
        from aucli.cli import main as run

        run()
    except KeyboardInterrupt:
        print("aucli: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
