"""``aucli plot``: a table as a figure."""

from pathlib import Path
from typing import Annotated

import typer

from aucli.cli import options as shared
from aucli.cli import tables as given
from aucli.cli.command import examples

WIDTH_CM = 18.0

EXAMPLES = examples(
    "aucli plot clip.parquet --aus 6,12 --events -o smile.pdf",
)


def plot(
    table: given.OneTable,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="The figure: .png, .svg or .pdf. Default: TABLE's name, with .png.",
        ),
    ] = None,
    aus: given.Aus = None,
    events: Annotated[
        bool, typer.Option("--events", help="Shade the events, by the rule of 'aucli events'.")
    ] = False,
    width: Annotated[
        float, typer.Option(metavar="CM", min=5, max=100, help="Width of the figure.")
    ] = WIDTH_CM,
    overwrite: shared.Overwrite = False,
    quiet: shared.Quiet = False,
) -> None:
    """Plot AU intensities over time: a panel for each AU, a line for each face.

    Pictures of a folder have no time: they are dots over their number.
    """
    from aucli.cli.console import note
    from aucli.errors import DataError
    from aucli.files import path_below, shown
    from aucli.report.events import Rule
    from aucli.report.figures import check_figure, faces_to_plot, plot_faces, save_figure
    from aucli.report.study import read_faces
    from aucli.table.dataset import input_of, refuse_taken, table_name

    name = input_of(table)
    # In a dataset lies nothing but its parts.
    beside = table.with_suffix(".png") if name is None else Path(path_below(name).stem + ".png")
    target = out or beside
    wanted = given.chosen_aus(aus)
    check_figure(target, overwrite)
    refuse_taken([target], [table], "figure")
    faces = read_faces(table)
    for sentence in faces[0].notes if faces else ():
        note(f"warning: {sentence}")
    shown_faces = faces_to_plot(faces, table)
    there = tuple(dict.fromkeys(au for face in shown_faces for au in face.aus))
    if lacking := [au for au in wanted if au not in there]:
        raise DataError(f"{shown(table)} has no {lacking[0]}; its AUs are {', '.join(there)}.")
    figure = plot_faces(shown_faces, wanted or there, Rule() if events else None, width)
    save_figure(figure, target, overwrite)
    if not quiet:
        note(f"{shown(table_name(table))} -> {shown(target)}")
