"""The tables of ``aucli summarize``: a row for each video, face and AU, and one for each pair."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from aucli.aus import NAMES
from aucli.errors import DataError
from aucli.files import shown
from aucli.report.cohort import Member
from aucli.report.events import Rule
from aucli.report.participants import Participants
from aucli.report.statistics import THRESHOLDS, CoOccurrence, co_occurrence, face_statistics

if TYPE_CHECKING:
    import pandas as pd

_ROUNDED = 6  # decimals; far below what can be measured

LABELS = {
    "participant": "Participant",
    "video": "Video or picture",
    "face_id": "Number of the face in the video, from 0",
    "au": "Action Unit",
    "au_name": "Name of the Action Unit",
    "frames": "Frames analysed",
    "face_percent": "Frames with this face, percent",
    "face_seconds": "Time with this face, seconds",
    "mean": "Mean intensity, 0-5, over time",
    "sd": "Standard deviation of the intensity",
    "median": "Median intensity, 0-5",
    "p95": "95th percentile of the intensity, 0-5",
    **{f"share_{t:g}": f"Share of the time at {t:g} or more, 0-1" for t in THRESHOLDS},
    **{f"seconds_{t:g}": f"Time at {t:g} or more, seconds" for t in THRESHOLDS},
    "events": "Number of events",
    "event_seconds": "Mean length of the events, seconds",
    "left_mean": "Mean intensity of the person's left side, 0-5",
    "right_mean": "Mean intensity of the person's right side, 0-5",
    "asymmetry": "Left minus right while the AU is at 1 or more, positive: left is stronger",
    "au_1": "First Action Unit",
    "au_2": "Second Action Unit",
    "share_au_1": "Share of the time with the first AU, 0-1",
    "share_au_2": "Share of the time with the second AU, 0-1",
    "share_both": "Share of the time with both, 0-1",
    "jaccard": "Time of both over time of either, 0-1",
    "correlation": "Correlation of the two intensities over time",
    "baseline": "What was subtracted from the readings",
    "table": "File of the table",
}


def refuse_groups(participants: Participants | None, columns: Iterable[str]) -> None:
    """Raise DataError where a group has the name of a column that is computed."""
    if participants is None:
        return
    for group in participants.groups:
        if group.casefold() in {column.casefold() for column in columns}:
            raise DataError(
                f"{shown(participants.path)} has a column {shown(group)}, which the result has, "
                "too; rename it."
            )


def who(member: Member, groups: Sequence[str] | None) -> dict[str, Any]:
    """The first columns of every row: participant and groups (None: there is no participants file),
    video and face."""
    found: dict[str, Any] = {}
    if groups is not None:
        person = member.person
        found["participant"] = person.participant if person else None
        found |= {group: person.groups[group] if person else None for group in groups}
    return found | {"video": member.face.video, "face_id": member.face.face_id}


def summary_rows(
    member: Member, aus: Sequence[str], rule: Rule, groups: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """A row for each AU of a face; the keys are those of LABELS. NaN and None are missing."""
    face = member.face
    found = face_statistics(face, rule)
    rows = []
    for au in (au for au in face.aus if not aus or au in aus):
        own = found.aus[au]
        row = who(member, groups) | {
            "au": au,
            "au_name": NAMES.get(au, ""),
            "frames": found.frames,
            "face_percent": 100 * found.face_share,
            "face_seconds": found.face_seconds,
            "mean": own.mean,
            "sd": own.sd,
            "median": own.median,
            "p95": own.p95,
        }
        row |= {f"share_{t:g}": x for t, x in zip(THRESHOLDS, own.shares, strict=True)}
        row |= {f"seconds_{t:g}": x for t, x in zip(THRESHOLDS, own.seconds, strict=True)}
        row |= {
            "events": None if own.events is None else len(own.events),
            "event_seconds": own.event_seconds,
        }
        if face.sides is not None:
            row |= {"left_mean": own.left, "right_mean": own.right, "asymmetry": own.asymmetry}
        rows.append(row | {"baseline": member.baseline, "table": shown(face.table)})
    return rows


def pair_rows(
    member: Member, aus: Sequence[str], groups: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """A row for each pair of AUs of a face."""

    def row(pair: CoOccurrence) -> dict[str, Any]:
        return who(member, groups) | {
            "au_1": pair.first,
            "au_2": pair.second,
            "share_au_1": pair.first_share,
            "share_au_2": pair.second_share,
            "share_both": pair.both_share,
            "jaccard": pair.jaccard,
            "correlation": pair.correlation,
            "table": shown(member.face.table),
        }

    return [
        row(pair)
        for pair in co_occurrence(member.face)
        if not aus or (pair.first in aus and pair.second in aus)
    ]


def as_frame(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> "pd.DataFrame":
    """Rows as a data frame with these columns, and without those that no row has; whole numbers
    that may be missing are nullable, and other numbers have six decimals."""
    import pandas as pd

    used = {name for row in rows for name in row}
    frame = pd.DataFrame([*rows], columns=[name for name in columns if name in used or not rows])
    for name in frame.columns:
        if name in ("face_id", "events", "frames", "largest_frame"):
            frame[name] = frame[name].astype("Int64")
        elif frame[name].dtype.kind == "f":
            frame[name] = frame[name].round(_ROUNDED)
    return frame
