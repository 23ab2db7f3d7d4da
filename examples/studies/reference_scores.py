"""Scores and tables of ways to read, for ``reference.py``."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from reference_films import Films

from aucli.aus import MAX_INTENSITY
from aucli.metrics import agreement, bootstrap_weights, icc31, pair_sums, roc_auc

PRESENT, NOTHING = 1.0, 0.5  # true intensities: an AU is there, and is not
LEAST_PRESENT = 4  # faces of a film set that show an AU, for it to have hits
# Tried for each AU: times the scale at which the spread is the truth's, and above 0.
SCALES, OFFSETS = np.linspace(0.7, 1.5, 17), np.linspace(-0.6, 0.0, 7)
SHARES = np.linspace(0, 1, 21)  # of the reading at rest that may be subtracted


Line = Callable[[np.ndarray], np.ndarray]


def fit_line(read: np.ndarray, true: np.ndarray) -> Line:
    """Scale and offset of each AU at which readings (N, A) have the highest ICC(3,1)."""
    spread = true.std(0) / np.maximum(read.std(0), 1e-6)
    lines = []
    for a in range(read.shape[1]):
        tried = [(scale * spread[a], offset) for scale in SCALES for offset in OFFSETS]
        scores = [
            icc31((scale * read[:, a] + offset).clip(0, MAX_INTENSITY), true[:, a])
            for scale, offset in tried
        ]
        lines.append(tried[int(np.nan_to_num(scores).argmax())])
    scale, offset = np.array(lines).T
    return lambda values: (scale * values + offset).clip(0, MAX_INTENSITY)


def fit_shares(read: np.ndarray, rest: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(A,) share of the reading at rest whose subtraction serves ICC(3,1) best."""

    def score(a: int, share: float) -> float:
        return icc31((read[:, a] - share * rest[:, a]).clip(0, MAX_INTENSITY), true[:, a])

    scores = [[score(a, share) for share in SHARES] for a in range(read.shape[1])]
    return SHARES[np.nan_to_num(scores).argmax(1)]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What one way of reading says: (S, N, A) intensities 0-5, a row for each seed."""

    name: str
    values: np.ndarray


def sums_of(values: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Sums of every person and AU (P, A, 10), see ``metrics.agreement``. Both: (P, 2, A)."""
    people = np.repeat(np.arange(len(true)), true.shape[1])
    flat = (x.reshape(-1, x.shape[2]).T for x in (values, true))
    return np.stack([pair_sums(p, y, people, len(true)) for p, y in zip(*flat, strict=True)], 1)


def mean_known(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN; NaN where nothing is left."""
    known = np.isfinite(values)
    count = known.sum(-1)
    total = np.where(known, values, 0).sum(-1)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def mean_icc(sums: np.ndarray) -> np.ndarray:
    """(..., P, A, 10) -> (...): the ICC over all of the people, mean of AUs."""
    return mean_known(agreement(sums.sum(-3))["icc31"])


def change(one: Answer, other: Answer, true: np.ndarray, chosen: np.ndarray) -> str:
    """By how much the ICC of ``one`` is above that of ``other``; 95 % interval by person. No words
    where nobody is chosen."""
    if not chosen.any():
        return ""
    weights = bootstrap_weights(int(chosen.sum()), 1000)
    found, resampled = [], []
    for a, b in zip(one.values, np.broadcast_to(other.values, one.values.shape), strict=True):
        sums = [sums_of(x.reshape(true.shape)[chosen], true[chosen]) for x in (a, b)]
        found.append(mean_icc(sums[0]) - mean_icc(sums[1]))
        drawn = [np.tensordot(weights, s, 1)[:, None] for s in sums]  # (R, 1, A, 10)
        resampled.append(mean_icc(drawn[0]) - mean_icc(drawn[1]))
    low, high = np.percentile(np.mean(resampled, 0), [2.5, 97.5])
    return f"{np.mean(found):+.3f} [{low:+.3f}, {high:+.3f}]"


def rendered_table(answers: list[Answer], true: np.ndarray, groups: dict[str, np.ndarray]) -> str:
    """A row for each way; true: (P, 2, A); groups: (P,) bool by name, the first are all."""
    lines = [
        "| way | " + " | ".join(f"ICC, {name}" for name in groups) + " | MAE | AUC | hit | false |",
        "| --- |" + " ---: |" * (len(groups) + 4),
    ]
    there, nothing = true.reshape(-1, true.shape[2]) >= PRESENT, true.reshape(-1, true.shape[2])
    nothing = nothing < NOTHING
    for answer in answers:
        cells = []
        for chosen in groups.values():
            each = [
                mean_icc(sums_of(values.reshape(true.shape)[chosen], true[chosen]))
                for values in answer.values
            ]
            spread = f" ± {np.std(each, ddof=1):.3f}" if len(each) > 1 else ""
            cells.append(f"{np.mean(each):.3f}{spread}")
        flat = answer.values
        mae = np.abs(flat - true.reshape(flat.shape[1:])).mean()
        area = [[roc_auc(v[:, a], there[:, a]) for a in range(v.shape[1])] for v in flat]
        hit, false = (
            np.mean([(v >= PRESENT)[part].mean() for v in flat]) for part in (there, nothing)
        )
        cells += [
            f"{mae:.3f}",
            f"{mean_known(np.array(area)).mean():.3f}",
            f"{hit:.3f}",
            f"{false:.3f}",
        ]
        lines.append(f"| {answer.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def film_scores(values: np.ndarray, cells: pd.DataFrame, at: float = PRESENT) -> dict[str, float]:
    """AUC and hits (mean of AUs that are often enough there), false alarms (mean of all AUs, and
    how many). values: (N, A)."""
    row, au, there = (cells[name].to_numpy() for name in ("row", "au", "present"))
    read = values[row, au]
    areas, hits, false = [], [], []
    for own in (au == a for a in np.unique(au)):
        shown, absent = read[own & there], read[own & ~there]
        if len(shown) >= LEAST_PRESENT and len(absent):
            areas.append(roc_auc(read[own], there[own]))
            hits.append((shown >= at).mean())
        if len(absent):
            false.append((absent >= at).mean())
    means = (float(np.mean(x)) if x else np.nan for x in (areas, hits, false))
    told = dict(zip(("auc", "hit", "false"), means, strict=True))
    return told | {"alarms": float((read[~there] >= at).sum())}


def at_equal_hits(values: np.ndarray, cells: pd.DataFrame, hit: float) -> dict[str, float]:
    """Scores at the highest threshold for all AUs at which as many are hit."""
    thresholds = np.arange(3.0, 0.0, -0.01)
    scores = (film_scores(values, cells, float(at)) for at in thresholds)
    return next((s for s in scores if s["hit"] >= hit - 1e-9), film_scores(values, cells, 0.0))


def film_table(answers: list[Answer], films: Films) -> tuple[str, dict[str, float]]:
    """A row for each way, and false alarms at the hits of the first one, by way."""
    absent = int((~films.cells["present"].to_numpy()).sum())
    lines = [
        f"| way | AUC | hit | false | alarms of {absent} | false at equal hits | alarms |",
        "| --- |" + " ---: |" * 6,
    ]
    base = film_scores(answers[0].values[0], films.cells)["hit"]
    equal = {}
    for answer in answers:
        told = [film_scores(values, films.cells) for values in answer.values]
        same = [at_equal_hits(values, films.cells, base) for values in answer.values]
        equal[answer.name] = float(np.mean([scores["false"] for scores in same]))
        cells = [f"{np.mean([s[name] for s in told]):.3f}" for name in ("auc", "hit", "false")]
        cells += [f"{np.mean([s['alarms'] for s in told]):.1f}", f"{equal[answer.name]:.4f}"]
        cells.append(f"{np.mean([s['alarms'] for s in same]):.1f}")
        lines.append(f"| {answer.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n", equal
