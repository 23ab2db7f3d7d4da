"""Scores on the standard output: wide tables on wide terminals, whole lines in pipes."""

import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from aucli.evaluation.published import PublishedRow
    from aucli.evaluation.scores import Report
    from aucli.evaluation.writing import Origin

WIDE = 128  # columns of a terminal that hold the intervals too
PIPED_WIDTH = 400


def show_report(report: "Report", origin: "Origin", rows: "Sequence[PublishedRow]") -> None:
    """What a reader has to know, a table for each view, and what others published."""
    from aucli.evaluation.published import CAVEAT
    from aucli.evaluation.scores import VIEWS
    from aucli.evaluation.writing import (
        PUBLISHED_COLUMNS,
        cells,
        columns,
        extra_cells,
        extra_columns,
        published_cells,
        sentences,
    )

    console = _stdout()
    for line in sentences(report, origin):
        console.print(line, markup=False)
    if console.width < WIDE:
        console.print(f"Terminals of {WIDE} columns, --json and --markdown show the intervals.")
    for view in report.scores:
        if view == "within" and report.subjects == 1:
            continue  # the same numbers
        console.print(f"\n{view}: {VIEWS[view]}", markup=False, style="bold")
        shown = cells(report, view, console.width >= WIDE)
        console.print(_grid(columns(report), shown, total=True))
    for extra in report.extras:
        console.print(f"\n{extra.name}: {extra.title}", markup=False, style="bold")
        console.print(_grid(extra_columns(extra), extra_cells(extra)))
    if rows:
        console.print(CAVEAT, markup=False, style="bold")
        texts = (0, 4, 5)  # method, protocol, source
        console.print(_grid(PUBLISHED_COLUMNS, published_cells(rows), texts))


def is_narrow() -> bool:
    """Whether the screen has too few columns for wide tables."""
    return _stdout().width < WIDE


def show_lines(title: str, lines: Sequence[str]) -> None:
    """A title and sentences."""
    console = _stdout()
    console.print(title, markup=False, style="bold")
    for line in lines:
        console.print(line, markup=False)


def show_grid(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], texts: Sequence[int] = (0,)
) -> None:
    """A title and a plain table. texts: columns to the left."""
    console = _stdout()
    console.print(title, markup=False, style="bold")
    console.print(_grid(columns, rows, texts))


def _stdout() -> Console:
    # A pipe or a file has no width: lines stay whole there.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPED_WIDTH
    return Console(file=sys.stdout, width=width, highlight=False)


def _grid(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    texts: Sequence[int] = (0,),
    total: bool = False,
) -> Table:
    """A plain table; n/a is dim. texts: columns to the left. total: sets the last row off."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for index, title in enumerate(titles):
        # Only text may be broken where a terminal is too narrow.
        left = index in texts
        table.add_column(Text(title), justify="left" if left else "right", no_wrap=not left)
    for index, row in enumerate(rows):
        cells = [Text(cell, "dim" if cell == "n/a" else "") for cell in row]
        table.add_row(*cells, end_section=total and index == len(rows) - 2)
    return table
