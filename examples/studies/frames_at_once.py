"""`aucli`, with another number of frames in which a followed face is read at once.

    python examples/studies/frames_at_once.py 1 analyze clip.mp4 -o one.csv

Four are read at once otherwise: crops of all four are cut by the landmarks of the frame before.
"""

import sys

from aucli.faces import follow


def main() -> None:
    if len(sys.argv) < 3 or not sys.argv[1].isdigit() or int(sys.argv[1]) < 1:
        sys.exit("usage: frames_at_once.py NUMBER COMMAND...; NUMBER of frames, 1 or more")
    follow.GROUP_FRAMES = int(sys.argv.pop(1))
    from aucli.__main__ import main as aucli  # what it imports takes the number from `follow`

    aucli()


if __name__ == "__main__":
    main()
