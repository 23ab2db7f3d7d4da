"""A report as text: cells for any table, Markdown, and plain values for JSON."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aucli.evaluation.published import CAVEAT, PublishedRow
from aucli.evaluation.scores import (
    COUNT,
    LEVEL,
    MEAN,
    VIEWS,
    Breakdown,
    Estimate,
    Extra,
    Report,
    metrics_of,
)
from aucli.metrics import METRICS
from aucli.version import version
from aucli.words import counted


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a report's numbers are from. predictions, labels: paths or names. tool: that made the
    predictions. split: which subjects. frames: which frames. notes: further sentences."""

    predictions: str
    tool: str
    labels: str
    split: str
    frames: str
    notes: tuple[str, ...] = ()


def heading(metric: str, report: Report) -> str:
    """A metric's column title."""
    names = {"icc31": "ICC(3,1)", "pcc": "PCC", "ccc": "CCC", "mae": "MAE", "mse": "MSE"}
    return names.get(metric) or f"F1 ≥{report.options.positive:g}"


def number(value: float, decimals: int = 2) -> str:
    """``.84``, ``-.05``, ``1.20``; ``n/a`` for NaN."""
    if math.isnan(value):
        return "n/a"
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("0.", ".", 1) if abs(float(text)) < 1 else text


def estimate(value: Estimate, interval: bool = True) -> str:
    """``.84 [.78, .89]``; without the bracket where there is no interval."""
    text = number(value.value)
    if not interval or math.isnan(value.low):
        return text
    return f"{text} [{number(value.low)}, {number(value.high)}]"


def columns(report: Report) -> list[str]:
    """The titles of :func:`cells`."""
    share = f"≥{report.options.positive:g}"
    return ["AU", "frames", share, *(heading(metric, report) for metric in METRICS)]


def cells(report: Report, view: str, interval: bool = True) -> list[list[str]]:
    """A row for each AU and one for the mean, as text."""
    rows = []
    for au in (*report.aus, MEAN):
        count = share = ""
        if au != MEAN:
            count, share = str(report.frames[au]), _percent(report.positives[au])
        scores = report.scores[view][au]
        shown = [estimate(scores[m], interval) for m in METRICS]
        if au == MEAN:
            shown = [text + _over(report, view, m) for text, m in zip(shown, METRICS, strict=True)]
        rows.append([au, count, share, *shown])
    return rows


def _over(report: Report, view: str, metric: str) -> str:
    """`` (11)`` where a mean is over fewer AUs than there are."""
    over = report.mean_over[view][metric]
    return f" ({len(over)})" if 0 < len(over) < len(report.aus) else ""


def _undefined(report: Report) -> list[str]:
    """A sentence on the AUs that a mean lacks: ``PCC of AU05, AU07 (within)``."""
    views: dict[str, list[str]] = {}
    for view, over in report.mean_over.items():
        missing: dict[tuple[str, ...], list[str]] = {}
        for metric in metrics_of(report.unit):
            absent = tuple(au for au in report.aus if au not in over[metric])
            missing.setdefault(absent, []).append(heading(metric, report))
        missing.pop((), None)
        for aus, names in missing.items():
            views.setdefault(f"{', '.join(names)} of {', '.join(aus)}", []).append(view)
    if not views:
        return []
    lacks = [
        what if len(where) == len(report.scores) else f"{what} ({', '.join(where)})"
        for what, where in views.items()
    ]
    return [
        f"Undefined, so n/a and left out of the mean: {'; '.join(lacks)}. A number in parentheses "
        f"says over how many of the {len(report.aus)} AUs a mean is."
    ]


def _percent(share: float) -> str:
    return "n/a" if math.isnan(share) else f"{100 * share:.1f} %"


def sentences(report: Report, origin: Origin) -> list[str]:
    """What a reader has to know beside the numbers."""
    counts, options = report.counts, report.options
    lines = [
        f"Predictions: {origin.predictions} ({origin.tool}). Labels: {origin.labels}. "
        f"Split: {origin.split}. Frames: {origin.frames}.",
    ]
    found = f"{counted(counts.labelled, 'labelled frame')} of "
    found += f"{counted(report.subjects, 'subject')} in "
    found += f"{counted(counts.videos, 'video')}; {counts.missing} of them without a prediction"
    if counts.missing:
        found += f" ({counts.no_face} without a face, {counts.no_row} without a row), "
        found += "set to 0" if report.filled else "left out"
    lines.append(found + ".")
    if counts.several_faces:
        lines.append(
            f"{counted(counts.several_faces, 'frame')} had several faces: the surest one was taken."
        )
    if counts.unread:
        unread = ", ".join(f"{au} in {n}" for au, n in counts.unread.items())
        lines.append(f"Frames with a face but without a prediction, left out: {unread}.")
    if counts.videos_without:
        names = ", ".join(counts.videos_without)
        lines.append(f"Not scored, since without predictions: {names}.")
    if counts.not_predicted:
        lines.append(f"Labelled but not predicted: {', '.join(counts.not_predicted)}.")
    if report.unit == "probability":
        lines.append(
            "The predictions are probabilities, not intensities: only their correlation, and F1 "
            f"with a prediction of {options.positive_probability:g} or more as positive, can be "
            "compared with labels of 0-5; the rest is n/a."
        )
    if report.flat:
        lines.append(f"Predicted as a constant: {', '.join(report.flat)}.")
    lines += _undefined(report)
    lines.append(f"F1 and ≥: of intensities of {options.positive:g} or more.")
    if report.subjects > 1 and options.resamples:
        lines.append(
            f"Intervals, in brackets: the middle {LEVEL} % of {options.resamples} bootstrap "
            "samples of the subjects."
        )
    return lines + list(origin.notes)


def published_cells(rows: Iterable[PublishedRow]) -> list[list[str]]:
    """method, ICC, PCC, MAE, protocol, source."""
    return [
        [
            row.method,
            *("" if v is None else number(v) for v in (row.icc31, row.pcc, row.mae)),
            row.protocol,
            row.source,
        ]
        for row in rows
    ]


def extra_columns(extra: Extra | Breakdown) -> list[str]:
    """The titles of :func:`extra_cells`."""
    return ["", *next((row for _, row in _scores_of(extra)), {})]


def extra_cells(extra: Extra | Breakdown) -> list[list[str]]:
    """A row for each name, with its value or values."""
    return [
        [name, *(number(value, 0 if column == COUNT else 3) for column, value in row.items())]
        for name, row in _scores_of(extra)
    ]


def _scores_of(extra: Extra | Breakdown) -> list[tuple[str, dict[str, float]]]:
    """name -> column -> value."""
    if isinstance(extra, Breakdown):
        return [*extra.rows.items()]
    return [(name, {"value": value}) for name, value in extra.values.items()]


PUBLISHED_COLUMNS = ["method", "mean ICC", "mean PCC", "mean MAE", "protocol", "source"]


def to_markdown(report: Report, origin: Origin, published: Sequence[PublishedRow] = ()) -> str:
    """The whole report, a table for each view."""
    parts = ["# AU scores\n", *(f"{line}\n" for line in sentences(report, origin))]
    for view in report.scores:
        parts += [f"## {view.capitalize()}\n", f"{VIEWS[view].capitalize()}.\n"]
        parts.append(_grid(columns(report), cells(report, view)))
    for extra in report.extras:
        parts += [f"## {extra.name.capitalize()}\n", f"{extra.title}\n"]
        parts.append(_grid(extra_columns(extra), extra_cells(extra)))
    if published:
        parts += ["## Published\n", f"{CAVEAT}\n"]
        parts.append(_grid(PUBLISHED_COLUMNS, published_cells(published)))
        detailed = [row for row in published if row.icc31_per_au]
        if detailed:
            shown = [au for au in report.aus if any(au in row.icc31_per_au for row in detailed)]
            parts.append("ICC per AU, where it was read:\n")
            grid = [
                [row.method, *(_or_empty(row.icc31_per_au.get(au)) for au in shown)]
                for row in detailed
            ]
            parts.append(_grid(["method", *shown], grid))
    parts.append(f"Written by aucli {version()}.\n")
    return "\n".join(parts)


def _or_empty(value: float | None) -> str:
    return "" if value is None else number(value)


def _grid(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(values: Iterable[str]) -> str:
        return "| " + " | ".join(values) + " |\n"

    return line(titles) + line("---" for _ in titles) + "".join(line(row) for row in rows)


def to_plain(
    report: Report, origin: Origin, published: Sequence[PublishedRow] = ()
) -> dict[str, Any]:
    """Everything as values that JSON knows; n/a is None."""
    scores = {
        view: {au: {m: _plain(e) for m, e in row.items()} for au, row in rows.items()}
        for view, rows in report.scores.items()
    }
    plain = {
        "aucli": version(),
        "origin": asdict(origin),
        "unit": report.unit,
        "subjects": report.subjects,
        "missing_set_to_zero": report.filled,
        "counts": asdict(report.counts) | {"missing": report.counts.missing},
        "options": asdict(report.options),
        "frames": report.frames,
        "positives": {au: _none(share) for au, share in report.positives.items()},
        "constant_predictions": list(report.flat),
        "views": {view: VIEWS[view] for view in report.scores},
        "scores": scores,
        "mean_over": report.mean_over,
    }
    for extra in report.extras:
        plain[extra.name] = (
            {name: {k: _none(v) for k, v in row.items()} for name, row in extra.rows.items()}
            if isinstance(extra, Breakdown)
            else {name: _none(value) for name, value in extra.values.items()}
        )
    if published:
        plain["published"] = {"caveat": CAVEAT, "rows": [asdict(row) for row in published]}
    return plain


def _plain(value: Estimate) -> dict[str, float | None]:
    return {name: _none(number) for name, number in asdict(value).items()}


def _none(value: float) -> float | None:
    return None if math.isnan(value) else value
