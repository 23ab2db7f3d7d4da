"""`aucli`, with another number of frames in which a followed face is read at once.

    python examples/studies/frames_at_once.py 1 analyze clip.mp4

Four are read at once otherwise: crops of all four are cut by the landmarks of the frame before.
"""

import argparse
import sys

from aucli.errors import run_script
from aucli.faces import follow


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("number", type=int, help="frames in which a face is read at once")
    parser.add_argument("words", nargs=argparse.REMAINDER, help="as those of aucli")
    asked = parser.parse_args()
    if asked.number < 1:
        parser.error("NUMBER is 1 or more")
    follow.GROUP_FRAMES = asked.number
    from aucli.__main__ import main as aucli  # what it imports takes the number from `follow`

    sys.argv[1:] = asked.words
    aucli()


if __name__ == "__main__":
    run_script(main)
