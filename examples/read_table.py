"""Print what is in a table of `aucli analyze`, whatever its format.

    aucli analyze clip.mp4 -o clip.parquet
    python examples/read_table.py clip.parquet
    python examples/read_table.py clip.csv AU06 AU12

TABLE may be Parquet, CSV, JSON lines or a CSV in the layout of OpenFace.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from aucli.errors import DataError
from aucli.table.reading import au_names, choose_aus, each_face, read_table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path, metavar="TABLE")
    parser.add_argument("aus", nargs="*", metavar="AU", help="AU06 AU12 ...; default: all")
    arguments = parser.parse_args()
    try:
        table = read_table(arguments.table)
        aus = choose_aus(au_names(table), arguments.aus, arguments.table)
    except DataError as error:
        sys.exit(f"read_table: {error}")

    made_by = table.attrs["provenance"].get("model", {}).get("name")
    number = ["video", "frame"]
    frames = table.groupby(number).ngroups
    print(
        f"{arguments.table.name}: {_count(frames, 'frame')}" + (f", {made_by}" if made_by else "")
    )
    # A frame without a face has a row with success False; its intensities are null, not zero.
    with_face = table[table["success"]].groupby(number).ngroups
    print(f"{with_face / max(frames, 1):.0%} of the frames have a face")

    for video, face_id, rows in each_face(table):
        print(f"\n{video}, face {face_id}: {_count(len(rows), 'frame')}")
        print(f"{'':6}{'mean':>6}{'peak':>6}  where")
        for au in aus:
            values = rows[f"{au}_r"].to_numpy()
            if np.isnan(values).all():
                continue
            at = int(np.nanargmax(values))
            peak, seconds = values[at], float(rows["timestamp"].iloc[at])
            # A picture of a folder has a number and no time.
            time = "" if np.isnan(seconds) else f", {seconds:.2f} s"
            where = f"frame {rows['frame'].iloc[at]}{time}" if peak >= 0.005 else ""
            print(f"{au:6}{np.nanmean(values):6.2f}{peak:6.2f}  {where}".rstrip())


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


if __name__ == "__main__":
    main()
