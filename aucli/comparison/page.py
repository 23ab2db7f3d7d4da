"""The page of a comparison: scores, and the moments at which tools differ most, to look at.

It is one file without scripts, which loads nothing from elsewhere. Its template comes from Jinja2,
which escapes the names of files and tools; its curves are drawn by matplotlib.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from aucli.aus import MAX_INTENSITY, NAMES
from aucli.comparison.moments import Moment, choose, pictures_of, scale_words
from aucli.comparison.pairing import Pair
from aucli.comparison.words import Compared, cells, columns, sentences, video_scores
from aucli.errors import LibraryError, OutputError
from aucli.evaluation.tools import Unit
from aucli.evaluation.writing import number
from aucli.files import refuse_existing, shown, write_text
from aucli.report.moments import as_sprite
from aucli.version import version

AROUND_SECONDS = 2.0  # of the curves, to each side
AROUND_FRAMES = 60  # where there are no times
COLOURS = ("#0072B2", "#D55E00")  # of a and b; told apart by everybody
# Not by colour alone: in grey print they are alike, and b would cover an equal a.
LINES: tuple[Any, Any] = ("-", (0, (3, 2)))
MARKS = ("o", "s")
GREY = "#808891"  # on white and on black
_STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "aucli", "font.size": 8, "font.family": "sans-serif",
    "text.color": GREY, "axes.edgecolor": GREY, "axes.labelcolor": GREY, "xtick.color": GREY,
    "ytick.color": GREY, "axes.spines.top": False, "axes.spines.right": False,
    "axes.linewidth": 0.6,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PageOptions:
    """moments: of each two tools, at most. pictures: whether faces are shown. blur: whether they
    are made unrecognisable. videos: a folder that is searched for the videos first."""

    moments: int = 24
    pictures: bool = True
    blur: bool = False
    videos: Path | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """moments: on the page. without_pictures: video -> why it has none. pictured: whether the page
    shows a face."""

    moments: int
    without_pictures: Mapping[str, str]
    pictured: bool


def write_page(
    compared: Sequence[Compared],
    page: Path,
    options: PageOptions = PageOptions(),
    overwrite: bool = False,
) -> Written:
    """Write the page, whole or not at all.

    Raises LibraryError without the extra, OutputError where the page cannot be written.
    """
    template = check_libraries()
    refuse_existing(page, overwrite)
    without: dict[str, str] = {}
    parts = [_part(two, options, without) for two in compared]
    pictured = any(moment["picture"] for part in parts for moment in part["moments"])
    css = (files("aucli.report") / "template" / "page.css").read_text("utf-8")
    privacy = "The page shows faces, which are biometric data. Keep it as you keep the videos."
    html = template.render(
        title="Comparison",
        mark=f"aucli compare {version()}",
        parts=parts,
        privacy=privacy if pictured and not options.blur else "",
        css=css,
        dark=_dark(css),
        own=_file("compare.css"),
    )
    try:
        write_text(page, html)
    except OSError as error:
        raise OutputError(
            f"Cannot write {shown(page)}: {error.strerror}; choose another place."
        ) from error
    return Written(sum(len(part["moments"]) for part in parts), without, pictured)


def check_libraries() -> Any:
    """The template. Raises LibraryError where the extra is not installed."""
    try:
        import matplotlib.figure  # noqa: F401
        from jinja2 import Environment, FunctionLoader, StrictUndefined
    except ImportError as error:
        raise LibraryError(
            "A page needs the extra 'report': pip install 'aucli[report]'."
        ) from error
    environment = Environment(
        loader=FunctionLoader(_file), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("compare.html")


def _file(name: str) -> str:
    return (files("aucli.comparison") / "template" / name).read_text("utf-8")


def _dark(css: str) -> str:
    """The dark colours of the report's page, for a page without scripts."""
    return "{" + css.partition(':root[data-theme="dark"] {')[2].partition("}")[0] + "}"


def _part(two: Compared, options: PageOptions, without: dict[str, str]) -> dict[str, Any]:
    moments = choose(two.pairs, options.moments)
    pictures: list[Any] = [None] * len(moments)
    if options.pictures:
        pictures, lacking = pictures_of(two.pairs, moments, options.videos, options.blur)
        without |= lacking
    several = len(two.pairs) > 1
    each = video_scores(two) if several else []
    return {
        "a": shown(two.a.name),
        "b": shown(two.b.name),
        "sentences": sentences(two),
        "title": "Each AU, all rows of all videos" if several else "Each AU",
        "columns": ["AU", *columns(two)[1:]],
        "rows": cells(two, two.scores.pooled),
        "video_columns": ["video", *columns(two)[1:]],
        "videos": cells(two, each, of_videos=True),
        "scale": scale_words((two.a.unit, two.b.unit)),
        "pictured": any(pictures),
        "moments": [
            _told(two.pairs[moment.number], moment, picture)
            for moment, picture in zip(moments, pictures, strict=True)
        ],
    }


def _told(pair: Pair, moment: Moment, picture: Any) -> dict[str, Any]:
    frame, seconds = int(pair.frame_index[moment.row]) + 1, float(pair.pts_seconds[moment.row])
    au = next(iter(moment.values))
    when = f"frame {frame}" if np.isnan(seconds) else f"{seconds:.2f} s, frame {frame}"
    return {
        "when": when,
        "video": shown(pair.video),
        "rows": [
            (au, NAMES.get(au, ""), number(a), number(b)) for au, (a, b) in moment.values.items()
        ],
        "picture": as_sprite([picture]) if picture is not None else "",
        "curve": _curve(pair, moment.row, au),
        "alt": f"{au} of both tools around the moment",
    }


def _curve(pair: Pair, row: int, au: str) -> str:
    """Both tools' values around a moment, as the data URI of an SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    timed = bool(np.isfinite(pair.pts_seconds).all())
    where = pair.pts_seconds if timed else pair.frame_index + 1.0
    around = AROUND_SECONDS if timed else AROUND_FRAMES
    own = pair.face == pair.face[row]
    near = np.flatnonzero(own & (np.abs(where - where[row]) <= around))
    column = pair.aus.index(au)
    units = pair.a_unit, pair.b_unit
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(3.6, 1.25), layout="constrained")
        panel = figure.subplots()
        panel.axvline(where[row], color=GREY, linewidth=0.8)
        sides = [panel, panel if units[0] == units[1] else panel.twinx()]
        both = zip(sides, (pair.a, pair.b), COLOURS, LINES, MARKS, units, strict=True)
        for axis, values, colour, line, mark, unit in both:
            curve = _line(where[near], values[near, column])
            axis.plot(*curve, color=colour, linewidth=1.3, linestyle=line)
            axis.plot(where[row], values[row, column], mark, color=colour, markersize=4)
            axis.set_ylim(*_limits(unit))
            axis.set_yticks([0, _limits(unit)[1] // 1])
        if sides[1] is not panel:
            sides[1].spines["right"].set_visible(True)
            for axis, colour in zip(sides, COLOURS, strict=True):
                axis.tick_params("y", colors=colour)
        panel.set_xlabel(f"{au}, {'seconds' if timed else 'frame'}", fontsize=8)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(stream.getvalue()).decode()


def _line(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The known points of a curve, broken only where more than two of its usual steps are missing:
    a tool may have read every fifth frame alone."""
    known = np.isfinite(y)
    x, y = x[known], y[known]
    steps = np.diff(x)
    holes = np.flatnonzero(steps > 3 * np.median(steps)) + 1 if len(steps) else []
    return np.insert(x, holes, np.nan), np.insert(y, holes, np.nan)


def _limits(unit: Unit) -> tuple[float, float]:
    most = MAX_INTENSITY if unit == "intensity" else 1.0
    return -0.05 * most, 1.05 * most
