"""A comparison as sentences, as rows for a file, and as cells for the screen and the page."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aucli.aus import NAMES
from aucli.comparison.agreement import MEAN, POOLED, PRESENT, Score, Scores, mean_over_aus
from aucli.comparison.pairing import Pair
from aucli.comparison.sides import Side, facts_of
from aucli.evaluation.tools import TOOLS
from aucli.evaluation.writing import number
from aucli.files import shown
from aucli.words import counted

SHOWN = 3  # names in a sentence


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Two tools. pairs: their videos. notes: what the user should know of them, in sentences."""

    a: Side
    b: Side
    pairs: tuple[Pair, ...]
    scores: Scores
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.a.name} | {self.b.name}"


# What the columns of the file hold, for SPSS.
LABELS = {
    "a": "First tool",
    "b": "Second tool",
    "scope": "video: one video; pooled: all rows of all videos; mean: the mean of the videos",
    "video": "Video, as the first tool calls it",
    "au": "Action unit",
    "au_name": "Name of the action unit",
    "unit_a": "Unit of the first tool: intensity 0-5 or probability 0-1",
    "unit_b": "Unit of the second tool",
    "matched_by": "frame or time",
    "frames": "Rows in which both have a value",
    "coverage": "Share of all rows in which both have a value",
    "only_a": "Rows in which only the first has a value",
    "only_b": "Rows in which only the second has a value",
    "pcc": "Pearson correlation",
    "icc31": "ICC(3,1), consistency",
    "mae": "Mean absolute difference",
    "mean_difference": "Mean of b less a",
    "kappa": "Cohen's kappa of presence",
    "auc": "Area under the ROC curve: the probability tells an intensity of 1 or more",
    "lag_frames": "How many steps b is later, by the highest correlation",
    "lag_seconds": "The same in seconds",
    "lag_pcc": "Correlation at that lag",
    "largest": "Largest difference",
    "largest_video": "Video of the largest difference",
    "largest_frame": "Frame of the largest difference, from 1",
    "largest_seconds": "Time of the largest difference, seconds",
    "why": "Why a value is missing",
}


def file_rows(compared: Iterable[Compared]) -> list[dict[str, Any]]:
    """A row for each two tools, video and AU, with the columns of LABELS."""
    rows = []
    for two in compared:
        by = {pair.video: pair.by for pair in two.pairs}
        all_by = " and ".join(sorted({*by.values()}))
        for score in (*two.scores.videos, *two.scores.pooled, *two.scores.means):
            scope = {POOLED: "pooled", MEAN: "mean"}.get(score.video, "video")
            told = asdict(score) | {
                "a": two.a.name, "b": two.b.name, "scope": scope,
                "unit_a": two.a.unit, "unit_b": two.b.unit,
                "au_name": NAMES.get(score.au, ""), "matched_by": by.get(score.video, all_by),
                "why": "; ".join(score.why),
            }  # fmt: skip
            rows.append({name: told[name] for name in LABELS})
    return rows


COLUMNS = ["", "frames", "both", "PCC", "ICC(3,1)", "MAE", "b - a", "kappa", "AUC", "lag", "most"]


def columns(two: Compared) -> list[str]:
    """The titles of :func:`cells`, without those that are n/a for every pair of such units."""
    return [COLUMNS[index] for index in _kept(two)]


def cells(
    two: Compared, scores: Sequence[Score], of_videos: bool = False, short: bool = False
) -> list[list[str]]:
    """A row for each score: AU or, of_videos, the video, and its numbers as text.

    short: without the AUs' names, and without times, for a narrow screen.
    """
    rows = [_cells(score, of_videos, short) for score in scores]
    return [[row[index] for index in _kept(two)] for row in rows]


def _kept(two: Compared) -> list[int]:
    lacking = set()
    if "probability" in (two.a.unit, two.b.unit):
        lacking.add(COLUMNS.index("ICC(3,1)"))
    if two.a.unit == two.b.unit:
        lacking.add(COLUMNS.index("AUC"))
    else:
        lacking |= {COLUMNS.index("MAE"), COLUMNS.index("b - a")}
    return [index for index in range(len(COLUMNS)) if index not in lacking]


def _cells(score: Score, of_videos: bool, short: bool) -> list[str]:
    first = shown(score.video) if of_videos else score.au
    if not (of_videos or short):
        first = f"{score.au} {NAMES.get(score.au, '')}".strip()
    lag, most = lag_words(score), most_words(score)
    if short:
        lag, most = lag.partition(" ")[0], number(score.largest)
    return [
        first, str(score.frames), f"{100 * score.coverage:.0f} %", number(score.pcc),
        number(score.icc31), number(score.mae), signed(score.mean_difference),
        number(score.kappa), number(score.auc), lag, most,
    ]  # fmt: skip


def signed(value: float) -> str:
    """``+.30``, ``-.05``; ``n/a`` for NaN."""
    text = number(value)
    return f"+{text}" if value > 0 and text != ".00" else text


def lag_words(score: Score) -> str:
    """``+2 (67 ms)``: frames and time by which b is later."""
    if math.isnan(score.lag_frames):
        return "n/a"
    frames = f"{score.lag_frames:+g}" if score.lag_frames else "0"
    if math.isnan(score.lag_seconds) or not score.lag_frames:
        return frames
    return f"{frames} ({1000 * score.lag_seconds:.0f} ms)"


def most_words(score: Score) -> str:
    """``1.20 at 3.40 s``: the largest difference, and when."""
    if math.isnan(score.largest):
        return "n/a"
    if math.isnan(score.largest_seconds):
        return f"{number(score.largest)} in frame {score.largest_frame}"
    return f"{number(score.largest)} at {score.largest_seconds:.2f} s"


def video_scores(two: Compared) -> list[Score]:
    """A score for each video, the mean over its AUs, those with the least agreement first."""
    found = [
        mean_over_aus([score for score in two.scores.videos if score.video == pair.video])
        for pair in two.pairs
    ]
    return sorted(found, key=lambda score: (not math.isnan(score.pcc), score.pcc))


def sentences(two: Compared) -> list[str]:
    """What a reader has to know beside the numbers."""
    a, b = two.a.name, two.b.name
    videos = f"{counted(len(two.pairs), 'video')}, {_matched(two)}"
    lines = [f"a is {_side_words(two.a)}; b is {_side_words(two.b)}. {videos}."]
    lines += changes(two.a, two.b)
    lines += two.notes
    only = [
        f"{name} alone has {', '.join(aus)}"
        for name, aus in ((a, _without(two.a, two.b)), (b, _without(two.b, two.a)))
        if aus
    ]
    if only:
        lines.append(f"Not compared: {'; '.join(only)}.")
    if two.a.unit != two.b.unit:
        lines.append(
            "One gives probabilities, the other intensities: ICC, MAE and mean difference would "
            "mix two units. AUC says how well the probability tells intensities of 1 or more."
        )
    elif two.a.unit == "probability":
        lines.append("Both give probabilities: ICC is for intensities.")
    lines.append(
        "both: share of the rows in which both have a value. "
        + ("b - a: mean difference. " if two.a.unit == two.b.unit else "")
        + f"kappa: of presence, at {_cuts(two)}. "
        "lag: b is so many steps later. most: the largest difference."
    )
    if reasons := _undefined(two):
        lines.append(f"n/a: {reasons}.")
    return lines


def _side_words(side: Side) -> str:
    title = TOOLS[side.tool].title
    told = [] if side.name.endswith(f"({side.place})") else [shown(side.path)]
    told += [] if title.casefold() in side.name.casefold() else [title]
    return f"{shown(side.name)} ({'; '.join(filter(None, [', '.join(told), side.unit]))})"


def _matched(two: Compared) -> str:
    by = [pair.by for pair in two.pairs]
    if len(set(by)) == 1:
        words = f"rows matched by {by[0]}"
    else:
        words = f"rows matched by frame in {by.count('frame')} of them, by time in the others"
    faces = dict.fromkeys(pair.faces for pair in two.pairs)
    return f"{words}, {'; '.join(faces)}"


def _cuts(two: Compared) -> str:
    units = dict.fromkeys((two.a.unit, two.b.unit))
    return " and ".join(f"{unit} {PRESENT[unit]:g} or more" for unit in units)


def _without(side: Side, other: Side) -> list[str]:
    return [au for au in side.aus if au not in other.aus]


def _undefined(two: Compared) -> str:
    """Why values of the shown AUs are n/a, with their AUs."""
    general = ("ICC, MAE, difference:", "ICC: both are")
    found: dict[str, list[str]] = {}
    for score in two.scores.pooled:
        for reason in score.why:
            if not reason.startswith(general):
                found.setdefault(reason, []).append(score.au)
    return "; ".join(f"{reason} ({', '.join(aus)})" for reason, aus in found.items())


def changes(a: Side, b: Side) -> list[str]:
    """What differs between two analyses of aucli, as far as their tables tell; else nothing."""
    ours, theirs = facts_of(a), facts_of(b)
    if not ours or not theirs:
        return []
    differ, lacking = [], []
    for fact in dict.fromkeys((*ours, *theirs)):
        one, other = ours.get(fact), theirs.get(fact)
        if one is None or other is None:
            lacking.append(fact)
        elif set(one) != set(other):
            differ.append(f"{fact} {_few(one)} -> {_few(other)}")
    lines = []
    if differ:
        lines.append(f"Changed from {shown(a.name)} to {shown(b.name)}: {'; '.join(differ)}.")
    else:
        lines.append("Both were made by the same version, networks and options.")
    if lacking:
        lines.append(f"Only one of them tells its {', '.join(lacking)}.")
    return lines


def _few(values: Sequence[str]) -> str:
    return ", ".join(values[:SHOWN]) + (" ..." if len(values) > SHOWN else "")
