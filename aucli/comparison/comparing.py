"""Every two of several tools compared on the videos that both have."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from aucli.comparison.agreement import MAX_LAG_SECONDS, score_pairs
from aucli.comparison.pairing import By, Pair, match_names, match_rows, unmatched
from aucli.comparison.sides import Side, Track
from aucli.comparison.words import Compared
from aucli.errors import DataError, OptionError
from aucli.files import shown

OnVideo = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """by: how rows are matched, None decides for each video. person: see
    :func:`aucli.comparison.pairing.match_rows`. aus: only these; all where there are none.
    max_lag_seconds: how far lags are searched. Raises OptionError for a lag below 0."""

    by: By | None = None
    person: str | int | None = None
    aus: tuple[str, ...] = ()
    max_lag_seconds: float = MAX_LAG_SECONDS

    def __post_init__(self) -> None:
        if not 0 <= self.max_lag_seconds <= 60:  # nan is in no range
            raise OptionError(f"max_lag_seconds must be from 0 to 60, got {self.max_lag_seconds}")


def compare(
    sides: Sequence[Side], options: CompareOptions, on_video: OnVideo = lambda name: None
) -> tuple[list[Compared], list[str]]:
    """Every two tools, in the given order, and a sentence for each two that nothing joins.

    Raises DataError where no two tools have a frame with an AU in common, or none the asked AUs.
    """
    known = {au for side in sides for au in side.aus}
    if lacking := [au for au in options.aus if au not in known]:
        raise DataError(
            f"No table has {', '.join(lacking)}; the AUs are {', '.join(sorted(known))}."
        )
    found: list[Compared] = []
    failed: list[str] = []
    for a, b in combinations(sides, 2):
        two, why = _compare_two(a, b, options, on_video)
        if two is None:
            failed.append(f"{shown(a.name)} and {shown(b.name)} cannot be compared: {why}")
        else:
            found.append(two)
    if not found:
        raise DataError(failed[0])
    return found, failed


def _compare_two(
    a: Side, b: Side, options: CompareOptions, on_video: OnVideo
) -> tuple[Compared | None, str]:
    """The two tools, or None and why not."""
    names = match_names([*a.tracks], [*b.tracks])
    notes: dict[str, None] = {}
    if sentence := unmatched(a, b, names):
        notes.setdefault(sentence)
    if not names:
        return None, f"no video is in both. {sentence} Name the tables like the videos."
    shared = [au for au in a.aus if au in b.aus and (not options.aus or au in options.aus)]
    if not shared:
        return None, f"one has {', '.join(a.aus)}, the other {', '.join(b.aus)}; no AU is in both."
    pairs: list[Pair] = []
    lone = ""
    for name, other in names.items():
        on_video(name)
        ours, theirs = a.tracks[name], b.tracks[other]
        try:
            pair = match_rows(ours, theirs, (a.unit, b.unit), options.by, options.person, shared)
        except DataError as error:
            lone = str(error)
            notes.setdefault(f"Left out: {lone}")
            continue
        if not pair.both.any():
            lone = f"{shown(name)} has no frame in which both have a face with an AU."
            notes.setdefault(f"Left out: {lone}")
            continue
        pairs.append(pair)
        if note := _other_file(ours, theirs):
            notes.setdefault(note)
        if name != other and len(names) == 1 == len(a.tracks):
            notes.setdefault(f"{shown(name)} and {shown(other)} are taken as the same video.")
    if not pairs:
        return None, lone
    scores = score_pairs(pairs, options.max_lag_seconds)
    return Compared(a, b, tuple(pairs), scores, tuple(notes)), ""


def _other_file(a: Track, b: Track) -> str:
    """A sentence where two tables tell that they were made of different files."""
    ours, theirs = ((track.provenance.get("input") or {}).get("sha256") for track in (a, b))
    if ours and theirs and ours != theirs:
        return f"The tables of {shown(a.video)} were made of two different files."
    return ""
