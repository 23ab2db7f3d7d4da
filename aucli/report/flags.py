"""What a look at a video should know before its numbers are used, in words.

A flag changes no number. Its kind groups it with others of the study; its weight says how much it
asks for: ``stop`` (nothing to use, or a part is missing), ``look`` (look before you use it) or
``note``.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from aucli.pipeline.calibration import AUTO, like_an_expression
from aucli.report.people import Person
from aucli.report.statistics import frame_weights
from aucli.report.study import FaceSeries
from aucli.table.schema import QUALITY
from aucli.words import counted

Weight = Literal["stop", "look", "note"]

# What is said of a word of the column quality that holds for a time.
WORDS = {
    "small": "the face is small",
    "blurred": "the picture is blurred",
    "turned": "turned away",
    "dark": "too dark",
    "cut": "cut off by the border of the picture",
    "flat": "light without contrast",
}
assert tuple(WORDS) == QUALITY

# Conventions, not measured: from where on something is said.
LOST_SHARE = 0.05  # of the frames without the face
STOP_SHARE = 0.5
LONG_GAP_SECONDS = 2.0
POOR_SECONDS = 1.0  # of a word of quality
POOR_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Flag:
    """kind: a short name that flags of the same sort share. text: what is the matter, in words."""

    kind: str
    weight: Weight
    text: str


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of frames [first, last], with its time where there is one."""

    first: int
    last: int
    seconds: float


def spans(chosen: np.ndarray, weights: np.ndarray) -> list[Span]:
    """The stretches of a (N,) bool array. weights: (N,) seconds of each frame."""
    edges = np.flatnonzero(np.diff(chosen.astype(np.int8), prepend=0, append=0))
    return [
        Span(int(begin), int(end) - 1, float(weights[begin:end].sum()))
        for begin, end in edges.reshape(-1, 2).tolist()
    ]


def quality_masks(face: FaceSeries) -> dict[str, np.ndarray]:
    """(N,) bool for each word of the column quality that occurs."""
    told = {words: words.split() for words in set(face.quality.tolist())}
    masks = {
        word: np.array([word in told[words] for words in face.quality.tolist()], bool)
        for word in QUALITY
    }
    return {word: mask for word, mask in masks.items() if mask.any()}


def find_flags(person: Person) -> list[Flag]:
    """The flags of one person in one video, the heaviest first."""
    order = ("stop", "look", "note")
    return sorted(_flags(person), key=lambda flag: order.index(flag.weight))


def _flags(person: Person) -> Iterator[Flag]:
    face = person.face
    there = face.face_ids >= 0
    if damage := face.provenance.get("input", {}).get("damage"):
        what = "" if face.unrelated else "the file is damaged: "
        yield Flag("damaged", "stop", f"{what}{damage}")
    if not there.any():
        yield Flag("no face", "stop", "no face in any frame")
        return
    weights = frame_weights(face)
    yield from _lost(face, there, weights)
    yield from _quality(face, there, weights)
    yield from _baseline(face, person.ids, there)
    clock = face.provenance.get("input", {}).get("clock")
    if clock:
        yield Flag("times mended", "note", str(clock))
    for note in face.notes:
        yield Flag("origin unknown", "note", note)


def _lost(face: FaceSeries, there: np.ndarray, weights: np.ndarray) -> Iterator[Flag]:
    lost = 1 - float(there.mean())
    what = "no face" if face.one_person else "not seen"
    if lost >= LOST_SHARE:
        weight: Weight = "stop" if lost >= STOP_SHARE else "look"
        frames = "pictures" if face.unrelated else "frames"
        yield Flag("face lost", weight, f"{what} in {_percent(lost)} of the {frames}")
    if face.timed:
        gaps = spans(~there, weights)
        inner = [gap for gap in gaps if gap.first > 0 and gap.last + 1 < len(face)]
        if inner and (longest := max(gap.seconds for gap in inner)) >= LONG_GAP_SECONDS:
            yield Flag("long gap", "look", f"{what} for {_seconds(longest)} at a stretch")


def _quality(face: FaceSeries, there: np.ndarray, weights: np.ndarray) -> Iterator[Flag]:
    whole = max(float(weights[there].sum()), 1e-9)
    what = "picture" if face.unrelated else "frame"
    for word, mask in quality_masks(face).items():
        time = float(weights[mask].sum())
        if time / whole < POOR_SHARE and not (face.timed and time >= POOR_SECONDS):
            continue
        how_long = f"for {_seconds(time)}" if face.timed else f"in {counted(int(time), what)}"
        weight: Weight = "look" if time / whole >= POOR_SHARE else "note"
        yield Flag(word, weight, f"{WORDS[word]} {how_long}")


def _baseline(face: FaceSeries, ids: tuple[int, ...], there: np.ndarray) -> Iterator[Flag]:
    without = there & ~face.success
    if without.any():
        share = float(without.sum() / there.sum())
        yield Flag("no baseline", "look", f"no baseline for {_percent(share)} of the face's frames")
    told = face.provenance.get("calibration") or {}
    if told.get("baseline") == AUTO and not has_baseline(face, ids):
        yield Flag("no baseline", "look", "never at rest for long, so nothing was subtracted")
    strong = like_an_expression(face.provenance.get("calibration"), ids)
    if strong:
        told = ", ".join(f"{au} {level:.1f}" for au, level in strong[:3])
        yield Flag("baseline", "look", f"the baseline looks like an expression ({told})")


def has_baseline(face: FaceSeries, ids: Collection[int] = ()) -> bool:
    """Whether a face has a baseline, as far as its table tells. ids: its other ones."""
    told = face.provenance.get("calibration")
    if not told:
        return face.raw is not None
    known = {person.get("face_id") for person in told.get("people") or ()}
    return bool(known & {None, face.face_id, *ids})


def _percent(share: float) -> str:
    """A share as a person says it; what is there is never 0 %, what lacks never 100 %."""
    return f"{min(max(round(100 * share), 1), 99 if share < 1 else 100)} %"


def _seconds(seconds: float) -> str:
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
