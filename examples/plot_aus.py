"""Plot the intensity of Action Units over time: one panel for each AU, one line for each face.

    aucli analyze clip.mp4 -o clip.parquet
    python examples/plot_aus.py clip.parquet                           # writes clip.png beside it
    python examples/plot_aus.py clip.csv AU06 AU12 AU25 -o smile.pdf

TABLE may be Parquet, CSV, JSON lines or a CSV in the layout of OpenFace. Pictures of a folder have
no time: they are plotted over their number. Needs matplotlib: pip install 'aucli[report]'
"""

import argparse
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aucli.aus import MAX_INTENSITY, NAMES
from aucli.errors import DataError
from aucli.table.reading import au_names, choose_aus, each_face, read_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MOST_NAMED = 8  # lines in the legend


def plot(table: "pd.DataFrame", aus: tuple[str, ...]) -> "Figure":
    """A figure of the rows of ``read_table``, of which at least one has a face."""
    from matplotlib.figure import Figure

    timed = not np.isnan(table["timestamp"].to_numpy()).any()
    place = "timestamp" if timed else "frame"
    figure = Figure(figsize=(9, 0.9 + 0.85 * len(aus)), layout="constrained")
    panels = figure.subplots(len(aus), sharex=True, squeeze=False)[:, 0]
    lines = list(each_face(table))
    several_videos = len({video for video, _, _ in lines}) > 1
    for au, panel in zip(aus, panels, strict=True):
        for video, face_id, rows in lines:
            # On the grid of all frames of the video, a missing face is a gap in the line.
            grid = table.loc[table["video"] == video, place].drop_duplicates()
            series = rows.set_index(place)[f"{au}_r"].reindex(grid)
            label = f"{video}, face {face_id}" if several_videos else f"face {face_id}"
            # A picture has nothing to do with the next one, and a single frame makes no line.
            style = {"linewidth": 1.2} if timed and grid.size > 1 else {"marker": "o", "ls": ""}
            panel.plot(series.index, series, markersize=4, label=label, **style)
        panel.set(ylim=(-0.2, MAX_INTENSITY + 0.2), yticks=range(6))
        panel.tick_params("y", labelsize=7)
        panel.grid(alpha=0.3)
        name = textwrap.fill(NAMES.get(au, "").lower(), 12)
        panel.set_ylabel(f"{au}\n{name}", rotation=0, ha="right", va="center", fontsize=8)
    panels[-1].set_xlabel("time in the video, seconds" if timed else "frame")
    if len(lines) > 1:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles[:MOST_NAMED], labels[:MOST_NAMED], loc="outside upper right", ncols=4,
            fontsize=8, title=f"the first {MOST_NAMED} of {len(labels)} lines"
            if len(labels) > MOST_NAMED else None,
        )  # fmt: skip
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path, metavar="TABLE")
    parser.add_argument("aus", nargs="*", metavar="AU", help="AU06 AU12 ...; default: all")
    parser.add_argument(
        "-o", "--out", type=Path, metavar="IMAGE", help="default: TABLE's name, with .png"
    )
    arguments = parser.parse_args()
    image = arguments.out or arguments.table.with_suffix(".png")
    try:
        table = read_table(arguments.table)
        aus = choose_aus(au_names(table), arguments.aus, arguments.table)
        if not table["success"].to_numpy().any():
            raise DataError(f"{arguments.table} has no row with a face; there is nothing to plot.")
        if table.duplicated(["video", "face_id", "frame"]).to_numpy().any():
            raise DataError(
                f"{arguments.table} has two videos of the same name; give each its own table."
            )
        plot(table, aus).savefig(image, dpi=150)
    except DataError as error:
        sys.exit(f"plot_aus: {error}")
    except ImportError:
        sys.exit("plot_aus: matplotlib is missing; pip install 'aucli[report]'")
    except OSError as error:
        sys.exit(f"plot_aus: {image} cannot be written ({error.strerror}); choose another --out.")
    except ValueError as error:  # a suffix that matplotlib does not know
        sys.exit(f"plot_aus: {image} cannot be written ({error}); choose another --out.")
    print(image)


if __name__ == "__main__":
    main()
