"""``python -m aucli`` is the ``aucli`` script."""

from aucli.cli import main

if __name__ == "__main__":
    main()
