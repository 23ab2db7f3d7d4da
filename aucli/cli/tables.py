"""What the commands that read tables share: their arguments, and what became of each table."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from aucli.report.cohort import Cohort
    from aucli.report.events import Rule
    from aucli.report.study import FoundTables

Tables = Annotated[
    list[Path],
    typer.Argument(
        metavar="TABLE",
        help="Tables of aucli or OpenFace, or folders of them.",
        show_default=False,
    ),
]
OneTable = Annotated[
    Path, typer.Argument(metavar="TABLE", help="A table of aucli or OpenFace.", show_default=False)
]
ParticipantsFile = Annotated[
    Path | None,
    typer.Option(
        "--participants",
        metavar="FILE",
        help="BIDS participants.tsv or a CSV: participant, and if you like video, face_id, neutral "
        "(a neutral frame, segment, video or picture) and groups. See docs/statistics.md.",
    ),
]
Aus = Annotated[
    str | None,
    typer.Option("--aus", metavar="AU,AU...", help="Only these: AU06,AU12 or 6,12. Default: all."),
]
Enter = Annotated[
    float, typer.Option(metavar="INTENSITY", help="An event begins at this intensity or more.")
]
Leave = Annotated[
    float, typer.Option(metavar="INTENSITY", help="An event ends below this intensity.")
]
MinSeconds = Annotated[float, typer.Option(metavar="SECONDS", help="Shorter events are left out.")]
CloseGap = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        help="Events with less time between them become one; so does an event in which the face is "
        "lost for less.",
    ),
]


def make_rule(enter: float, leave: float, min_seconds: float, close_gap: float) -> "Rule":
    """The rule of the four options."""
    from aucli.report.events import Rule

    return Rule(enter, leave, min_seconds, close_gap)


def look_for(arguments: Sequence[Path]) -> "FoundTables":
    """The tables that a user named; says what was passed over and which folders hold none."""
    from aucli.cli.console import note
    from aucli.files import shown
    from aucli.report.study import find_tables
    from aucli.words import were

    found = find_tables(arguments)
    if found.passed_over:
        names = ", ".join(shown(path.name) for path in found.passed_over[:3])
        more = " ..." if len(found.passed_over) > 3 else ""
        files = were(len(found.passed_over), "other file")
        note(f"{files} passed over ({names}{more}).")
    for sentence in found.problems.values():
        note(f"aucli: {sentence}")
    return found


def open_cohort(
    arguments: Sequence[Path], participants: Path | None
) -> "tuple[Cohort, FoundTables]":
    """The study of the named tables."""
    from aucli.report.cohort import Cohort
    from aucli.report.participants import Participants

    people = Participants(participants) if participants is not None else None
    found = look_for(arguments)
    return Cohort(found.tables, people), found


def tell(cohort: "Cohort", quiet: bool = False) -> None:
    """Say what the user should know of the tables, and which could not be read."""
    from aucli.cli.console import note, warn

    if not quiet:
        for sentence in cohort.notes:
            warn(sentence)
    for sentence in cohort.problems.values():
        note(f"aucli: {sentence}")


def chosen_aus(text: str | None) -> tuple[str, ...]:
    """``6,AU12`` -> (AU06, AU12). Raises BadParameter."""
    names = []
    for part in text.split(",") if text else []:
        number = part.strip().upper().removeprefix("AU")
        if not number.isdecimal() or len(number) > 2:
            raise typer.BadParameter(
                f"{part.strip()!r} is no AU; write them as AU06,AU12 or 6,12.", param_hint="--aus"
            )
        names.append(f"AU{int(number):02d}")
    return tuple(dict.fromkeys(names))


def refuse_unknown(aus: Sequence[str], seen: set[str]) -> None:
    """Raise DataError where none of the tables has one of the chosen AUs."""
    from aucli.errors import DataError

    if lacking := [au for au in aus if seen and au not in seen]:
        raise DataError(
            f"No table has {', '.join(lacking)}; the AUs are {', '.join(sorted(seen))}."
        )
