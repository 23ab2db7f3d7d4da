"""Pictures of a report, fit for print: agreement, calibration, distributions and scores by AU.

Matplotlib comes with the extra ``report`` and is imported when a plot is asked for.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aucli.aus import MAX_INTENSITY
from aucli.errors import OutputError
from aucli.evaluation.matching import Pairs
from aucli.evaluation.scores import MEAN, Report
from aucli.evaluation.writing import number
from aucli.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

# Told apart by everybody (Okabe and Ito), and in grey print by lightness.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#8C8C8C"
WIDTH_INCHES = 7.2  # two columns of a journal
PANELS_A_ROW = 4
DPI = 200
STEPS = 10  # of the predictions in the calibration curve
LEAST_FRAMES = 5  # in a step: the mean of fewer says nothing
_STYLE: "dict[RcKeyType, object]" = {
    "font.size": 8, "axes.titlesize": 8.5, "axes.labelsize": 8, "xtick.labelsize": 7,
    "ytick.labelsize": 7, "legend.fontsize": 7.5, "axes.spines.top": False,
    "axes.spines.right": False, "axes.linewidth": 0.6, "xtick.major.width": 0.6,
    "ytick.major.width": 0.6, "xtick.major.size": 2.5, "ytick.major.size": 2.5,
    "lines.linewidth": 1.2, "legend.frameon": False, "figure.constrained_layout.use": True,
}  # fmt: skip


def write_plots(folder: Path, pairs: Pairs, report: Report) -> list[Path]:
    """Write ``agreement.png``, ``calibration.png``, ``histograms.png`` and ``scores.png``.

    Raises OutputError without matplotlib, or where the folder cannot be written.
    """
    draws = (_agreement, _calibration, _histograms, _scores)
    paths = plot_paths(folder)
    with _matplotlib():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path, draw in zip(paths, draws, strict=True):
                with write_whole(path) as stream:
                    draw(pairs, report).savefig(stream, format="png", dpi=DPI)
        except OSError as error:
            raise OutputError(
                f"Cannot write {folder}: {error.strerror}; choose another folder."
            ) from error
    return paths


def plot_paths(folder: Path) -> list[Path]:
    """The files that :func:`write_plots` makes."""
    return [folder / f"{name}.png" for name in ("agreement", "calibration", "histograms", "scores")]


def require_matplotlib() -> None:
    """Raise OutputError where it is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise OutputError(
            "Plots need matplotlib, which is not installed; pip install 'aucli[report]'."
        ) from error


@contextmanager
def _matplotlib() -> Iterator[None]:
    require_matplotlib()
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        yield


def _panels(count: int, x: str, y: str, inches: float) -> "tuple[Figure, list[Axes]]":
    """A figure of small panels with shared axes. inches: height of a row of them."""
    from matplotlib.figure import Figure

    columns = min(count, PANELS_A_ROW)
    rows = -(-count // columns)
    width = WIDTH_INCHES * max(columns, 2) / PANELS_A_ROW
    figure = Figure(figsize=(width, inches * rows + 0.35))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for unused in panels[count:]:
        unused.set_axis_off()
    for index, panel in enumerate(panels[:count]):
        # The last panel of a column is not always in the last row.
        panel.tick_params(labelbottom=index + columns >= count)
    figure.supxlabel(x, fontsize=8)
    figure.supylabel(y, fontsize=8)
    return figure, panels[:count]


def _scored(pairs: Pairs, a: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, predictions and subject numbers of an AU's frames that have both."""
    y, p = pairs.labelled[:, a], pairs.predicted[:, a]
    kept = ~np.isnan(y + p)
    return y[kept], p[kept], np.unique(pairs.subjects, return_inverse=True)[1][kept]


def _top(pairs: Pairs) -> float:
    """Largest prediction of the unit."""
    return MAX_INTENSITY if pairs.unit == "intensity" else 1.0


def _predicted_title(pairs: Pairs) -> str:
    return "predicted intensity" if pairs.unit == "intensity" else "predicted probability"


def _agreement(pairs: Pairs, report: Report) -> "Figure":
    """How many frames have each pair of label and prediction; on the line both are equal."""
    from matplotlib.colors import LogNorm

    figure, panels = _panels(len(pairs.aus), "labelled intensity", _predicted_title(pairs), 1.75)
    coded = not (np.nan_to_num(pairs.labelled) % 1).any()
    y_edges = np.linspace(0, MAX_INTENSITY, 21) if not coded else np.arange(-0.5, 6)
    p_edges = np.linspace(0, _top(pairs), 21)
    counts = []
    for a in range(len(pairs.aus)):
        y, p, _ = _scored(pairs, a)
        counts.append(np.histogram2d(y, p.clip(0, _top(pairs)), (y_edges, p_edges))[0])
    norm = LogNorm(1, max(2.0, *(float(count.max()) for count in counts)))
    metric, name = ("icc31", "ICC") if pairs.unit == "intensity" else ("pcc", "PCC")
    for panel, au, count in zip(panels, pairs.aus, counts, strict=True):
        shown = np.ma.masked_equal(count.T, 0)
        image = panel.pcolormesh(y_edges, p_edges, shown, norm=norm, cmap="viridis_r")
        if pairs.unit == "intensity":
            panel.plot([0, MAX_INTENSITY], [0, MAX_INTENSITY], "--", color=GREY, linewidth=0.8)
        score = number(report.scores["pooled"][au][metric].value)
        panel.set_title(f"{au}   {name} {score}", loc="left")
        panel.set(xticks=range(6), xlim=(y_edges[0], y_edges[-1]), ylim=(0, _top(pairs)))
        if pairs.unit == "intensity":
            panel.set_yticks(range(6))
    # As high as a panel, however many rows there are.
    rows = -(-len(panels) // PANELS_A_ROW)
    bar = figure.colorbar(
        image, ax=panels, label="frames", shrink=0.8 / rows, aspect=14, pad=0.01, anchor=(0, 1)
    )
    bar.ax.yaxis.set_major_formatter("{x:,.0f}")
    bar.ax.minorticks_off()
    return figure


def _calibration(pairs: Pairs, report: Report) -> "Figure":
    """The mean label of the frames that were given a certain prediction; a larger dot is more."""
    from aucli.metrics import bootstrap_weights

    figure, panels = _panels(
        len(pairs.aus), _predicted_title(pairs), "mean labelled intensity", 1.6
    )
    top = _top(pairs)
    edges = np.linspace(0, top, STEPS + 1)
    weights = bootstrap_weights(report.subjects, report.options.resamples, report.options.seed)
    for a, (panel, au) in enumerate(zip(panels, pairs.aus, strict=True)):
        y, p, subject = _scored(pairs, a)
        step = np.digitize(p, edges[1:-1])
        cell, size = subject * STEPS + step, report.subjects * STEPS
        n = np.bincount(cell, minlength=size).reshape(-1, STEPS)  # (S, steps)
        total = np.bincount(cell, y, size).reshape(-1, STEPS)
        frames = n.sum(0)
        used = frames >= LEAST_FRAMES
        # Steps without frames are NaN, so that no line is drawn across them.
        x, mean = (
            np.divide(s, frames, out=np.full(STEPS, np.nan), where=used)
            for s in (np.bincount(step, p, STEPS), total.sum(0))
        )
        if report.subjects > 1 and report.options.resamples and used.any():
            drawn_n, drawn = weights @ n, weights @ total  # (R, steps)
            drawn = np.divide(drawn, drawn_n, out=np.full(drawn.shape, np.nan), where=drawn_n > 0)
            low, high = np.full((2, STEPS), np.nan)
            low[used], high[used] = np.nanpercentile(drawn[:, used], [2.5, 97.5], axis=0)
            panel.fill_between(x, low, high, color=BLUE, alpha=0.18, linewidth=0)
        if pairs.unit == "intensity":
            panel.plot([0, top], [0, top], "--", color=GREY, linewidth=0.8)
        panel.plot(x, mean, color=BLUE)
        area = 4 + 5 * np.log10(np.maximum(frames, 1))
        panel.scatter(x, mean, area, color=BLUE, linewidth=0, zorder=3, clip_on=False)
        panel.set_title(au, loc="left")
        panel.set(xlim=(0, top), ylim=(0, MAX_INTENSITY), yticks=range(6))
    return figure


def _histograms(pairs: Pairs, report: Report) -> "Figure":
    """Shares of frames by intensity, labelled and predicted, on a logarithmic scale."""
    figure, panels = _panels(len(pairs.aus), "intensity", "share of frames", 1.5)
    edges = np.arange(-0.25, 5.5, 0.5)
    least = 1.0
    for a, (panel, au) in enumerate(zip(panels, pairs.aus, strict=True)):
        y, p, _ = _scored(pairs, a)
        least = min(least, 1 / max(len(y), 1))
        shares = [np.histogram(v.clip(0, MAX_INTENSITY), edges)[0] / max(len(v), 1) for v in (y, p)]
        panel.stairs(shares[0], edges, fill=True, color="#CFCFCF", label="labelled")
        panel.stairs(shares[1], edges, color=BLUE, linewidth=1.2, label="predicted")
        panel.set_title(au, loc="left")
        panel.set(xticks=range(6), yscale="log", xlim=(-0.3, 5.3))
    for panel in panels:
        panel.set_ylim(least / 1.5, 1.5)
        panel.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        panel.minorticks_off()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


def _scores(pairs: Pairs, report: Report) -> "Figure":
    """Scores and intervals by AU, pooled and within subjects."""
    from matplotlib.figure import Figure

    metrics = {"icc31": "ICC(3,1)", "mae": "mean absolute error"}
    if pairs.unit == "probability":
        metrics = {"pcc": "PCC", "f1": f"F1 at {report.options.positive:g} or more"}
    names = (*report.aus, MEAN)
    figure = Figure(figsize=(WIDTH_INCHES, 0.21 * len(names) + 0.75))
    panels = figure.subplots(1, 2, sharey=True)
    views = {"pooled": (BLUE, "o", -0.14), "within": (ORANGE, "s", 0.14)}
    if report.subjects == 1:
        views = {"pooled": (BLUE, "o", 0.0)}
    for panel, (metric, title) in zip(panels, metrics.items(), strict=True):
        for view, (colour, marker, shift) in views.items():
            found = [report.scores[view][name][metric] for name in names]
            values = np.array([(e.low, e.value, e.high) for e in found])
            rows = np.arange(len(names)) + shift
            label = {"pooled": "pooled", "within": "within subjects"}[view]
            panel.hlines(rows, values[:, 0], values[:, 2], color=colour, linewidth=1)
            panel.plot(values[:, 1], rows, marker, color=colour, markersize=3.5, label=label)
            for row in np.flatnonzero(np.isnan(values[:, 1])):
                if view == "pooled":
                    panel.annotate("n/a", (0.01, row), color=GREY, fontsize=7, va="center",
                                   xycoords=("axes fraction", "data"))  # fmt: skip
        panel.set_xlabel(title)
        panel.set_ylim(len(names) - 0.5, -0.5)
        panel.set_yticks(range(len(names)), names)
        panel.grid(color="#E6E6E6", linewidth=0.5)
        panel.tick_params(axis="y", length=0)
        panel.set_axisbelow(True)
        panel.axhline(len(names) - 1.5, color=GREY, linewidth=0.5)
        low, high = panel.get_xlim()
        # A dot at the very end is drawn whole.
        panel.set_xlim(min(low, -0.02), max(high, 1.02 if metric != "mae" else 0))
    if len(views) > 1:
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper right", ncols=2)
    return figure
