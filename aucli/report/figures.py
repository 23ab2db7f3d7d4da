"""Figures for a paper: AU intensities over time, a panel for each AU, a line for each face."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aucli.aus import MAX_INTENSITY, NAMES
from aucli.errors import DataError, LibraryError, OptionError
from aucli.files import refuse_existing, shown, write_whole, writing
from aucli.report.events import Rule, find_events
from aucli.report.study import FaceSeries

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
MOST_NAMED = 8  # lines in the legend
CM_PER_INCH = 2.54
DEFAULT_WIDTH_CM = 18.0  # two columns of most journals
DPI = 300
_HEIGHT = 0.85  # of a panel, inches
# Okabe and Ito's colours, which colour-blind people tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
# Not by colour alone, for grey print: each colour has its own line, mark and hatch.
_DASHES: tuple[Any, ...] = (
    "-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 2, 1, 2)), (0, (9, 2)), (0, (5, 1.5, 1, 1.5, 1, 1.5)),
    (0, (2.5, 2.5)), (0, (9, 2, 1, 2)),
)  # fmt: skip
_MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
_HATCHES = ("", "////", "\\\\\\\\", "....", "||||", "----", "xxxx", "++++")
_STYLE: Any = {
    "pdf.fonttype": 42,  # text that can be edited
    "svg.fonttype": "none",
    "svg.hashsalt": "aucli",  # the same bytes for the same table
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def plot_faces(
    faces: Sequence[FaceSeries],
    aus: Sequence[str],
    rule: Rule | None = None,
    width_cm: float = DEFAULT_WIDTH_CM,
) -> "Figure":
    """A figure of one or more faces, at least one of them with an intensity.

    aus: which, one panel each. rule: shade its events; None shades none. Pictures have no time and
    are dots over their number.

    Raises LibraryError where matplotlib is missing.
    """
    figure_class = _matplotlib()
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        figure = figure_class(
            figsize=(width_cm / CM_PER_INCH, 0.9 + _HEIGHT * len(aus)), layout="constrained"
        )
        panels = figure.subplots(len(aus), sharex=True, squeeze=False)[:, 0]
        timed = all(face.timed for face in faces)
        several_videos = len({face.video for face in faces}) > 1
        for au, panel in zip(aus, panels, strict=True):
            for number, face in enumerate(face for face in faces if au in face.aus):
                place = number % len(_COLOURS)
                colour = _COLOURS[place]
                name = f"face {face.face_id}" if face.face_id is not None else "no face"
                label = f"{shown(face.video)}, {name}" if several_videos else name
                where = face.seconds if timed else face.frames
                # A picture has nothing to do with the next one.
                dots = {"marker": _MARKS[place], "ls": ""}
                style = {"linewidth": 1.0, "ls": _DASHES[place]} if timed else dots
                panel.plot(where, face.of(au), markersize=4, label=label, color=colour, **style)
                if rule is not None and timed:
                    for event in find_events(face.seconds, face.of(au), rule):
                        panel.axvspan(
                            event.onset_seconds, event.offset_seconds, color=colour, alpha=0.15,
                            linewidth=0, hatch=_HATCHES[place],
                        )  # fmt: skip
            panel.set(ylim=(-0.2, MAX_INTENSITY + 0.2), yticks=range(6))
            panel.tick_params("y", labelsize=7)
            panel.grid(alpha=0.3)
            words = textwrap.fill(NAMES.get(au, "").lower(), 12)
            panel.set_ylabel(f"{au}\n{words}", rotation=0, ha="right", va="center", fontsize=8)
        panels[-1].set_xlabel("time in the video, seconds" if timed else "frame")
        handles, labels = panels[0].get_legend_handles_labels()
        if len(labels) > 1:
            most = f"the first {MOST_NAMED} of {len(labels)} lines"
            figure.legend(
                handles[:MOST_NAMED], labels[:MOST_NAMED], loc="outside upper right", ncols=4,
                fontsize=8, title=most if len(labels) > MOST_NAMED else None,
            )  # fmt: skip
    return figure


def faces_to_plot(faces: Sequence[FaceSeries], table: Path) -> list[FaceSeries]:
    """Those with an intensity. Raises DataError where there is none."""
    found = [face for face in faces if face.success.any()]
    if not found:
        raise DataError(f"{shown(table)} has no row with a face; there is nothing to plot.")
    return found


def check_figure(target: Path, overwrite: bool) -> None:
    """Raise OptionError for a suffix that is none of SUFFIXES, OutputExists, LibraryError."""
    if target.suffix.lower() not in SUFFIXES:
        raise OptionError(f"{shown(target)} is no picture; end it in .png, .svg or .pdf.")
    refuse_existing(target, overwrite)
    _matplotlib()


def save_figure(figure: "Figure", target: Path, overwrite: bool = False) -> None:
    """Write a figure; the suffix is one of SUFFIXES. Raises as :func:`check_figure`, and
    OutputError."""
    import matplotlib

    check_figure(target, overwrite)
    kind = target.suffix.lower().removeprefix(".")
    # No date in the file: the same table gives the same bytes.
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with (
        matplotlib.rc_context(_STYLE),
        writing(target),
        write_whole(target, overwrite) as stream,
    ):
        figure.savefig(stream, format=kind, dpi=DPI, metadata=metadata)


def _matplotlib() -> "type[Figure]":
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise LibraryError(
            "matplotlib is missing; pip install 'aucli[report]' installs it."
        ) from error
    return Figure
