"""``aucli summarize``: statistics of a study, a row for each video, face and AU."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aucli.cli import options as shared
from aucli.cli import tables as given
from aucli.cli.command import examples
from aucli.words import counted

if TYPE_CHECKING:
    from aucli.report.cohort import Cohort

STRONGEST = 5  # AUs in a line of the screen

EXAMPLES = examples(
    "aucli summarize tables/ -o study.xlsx",
    "aucli summarize tables/ -o study.sav --participants participants.tsv",
)


def summarize(
    tables: given.Tables,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="Write the rows: .csv, .tsv, .xlsx (Excel), .sav (SPSS), .parquet or .jsonl. "
            "Default: show them.",
        ),
    ] = None,
    participants: given.ParticipantsFile = None,
    aus: given.Aus = None,
    co_occurrence: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write how often each pair of AUs is at 1 or more at the same time.",
        ),
    ] = None,
    enter: given.Enter = 1.0,
    leave: given.Leave = 0.5,
    min_seconds: given.MinSeconds = 0.2,
    close_gap: given.CloseGap = 0.2,
    overwrite: shared.Overwrite = False,
    quiet: shared.Quiet = False,
) -> None:
    """Statistics of tables: a row for each video, face and AU.

    Mean, sd, median, 95th percentile, share and seconds at 1, 2 and 3 or more, events, and left
    against right, all over the time with a face. With --participants also participants and groups,
    and a neutral face that is subtracted. docs/statistics.md says how each is computed.
    """
    from aucli.cli.console import note
    from aucli.report.sheets import check_sheet, write_sheet
    from aucli.report.summary import LABELS, as_frame, pair_rows, refuse_groups, summary_rows
    from aucli.table.dataset import refuse_taken

    rule = given.make_rule(enter, leave, min_seconds, close_gap)
    wanted = given.chosen_aus(aus)
    files = [file for file in (out, co_occurrence) if file is not None]
    if len({file.resolve() for file in files}) < len(files):
        raise typer.BadParameter("--out and --co-occurrence name the same file.")
    for file in files:
        check_sheet(file, overwrite)
    cohort, found = given.open_cohort(tables, participants)
    read = [*found.tables, *([participants] if participants else [])]
    refuse_taken(files, read, "summary")
    refuse_groups(cohort.participants, LABELS)
    groups = cohort.participants.groups if cohort.participants else None
    rows: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    seen: set[str] = set()
    for member in _with_bar(cohort, quiet):
        seen.update(member.face.aus)
        rows += summary_rows(member, wanted, rule, groups)
        if co_occurrence is not None:
            pairs += pair_rows(member, wanted, groups)
    given.tell(cohort, quiet)
    given.refuse_unknown(wanted, seen)
    bad = len(cohort.problems) + len(found.problems)
    first = [] if groups is None else ["participant", *groups]
    columns = [*first, *(name for name in LABELS if name not in first)]
    if rows:
        for file, made in ((out, rows), (co_occurrence, pairs)):
            if file is not None:
                write_sheet(as_frame(made, columns), file, LABELS, overwrite)
                if not quiet:
                    note(f"{counted(len(made), 'row')} -> {file}")
        if out is None:
            _show(rows)
    elif not bad:
        note("aucli: There is nothing to summarize; name tables with rows.")
    raise typer.Exit(1 if bad or not rows else 0)


def _with_bar(cohort: "Cohort", quiet: bool):
    """The faces of the study, with a bar over its tables."""
    from aucli.cli.console import progress_bar

    places = {table: number for number, table in enumerate(cohort.tables)}
    with progress_bar("reading tables", len(places), quiet) as bar:
        for member in cohort.members():
            bar.move(places[member.face.table], len(places))
            yield member


def _show(rows: list[dict[str, Any]]) -> None:
    """One face: a line for each AU. More: a line for each face with its strongest AUs."""
    from aucli.cli.score_tables import show_grid

    def face_of(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["table"], row["video"], row["face_id"]

    faces: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        faces.setdefault(face_of(row), []).append(row)
    if len(faces) == 1:
        own = rows[0]
        title = (
            f"{_who(own)}: {counted(own['frames'], 'frame')}, a face in {own['face_percent']:.0f} %"
        )
        columns = ["AU", "", "mean", "sd", "median", "95 %", "s at 1+", "2+", "3+", "events"]
        names = ("mean", "sd", "median", "p95", "seconds_1", "seconds_2", "seconds_3")
        lines = [
            [row["au"], row["au_name"], *(_number(row[n]) for n in names), _number(row["events"])]
            for row in rows
        ]
        show_grid(title, columns, lines, (0, 1))
        return
    columns = ["video", "face", "frames", "face %", "events"]
    columns.append("strongest AUs (95th percentile)")
    lines = []
    tables = Counter(face[1:] for face in faces)
    for own in faces.values():
        known = [row for row in own if row["p95"] == row["p95"]]
        strongest = sorted(known, key=lambda row: -row["p95"])[:STRONGEST]
        words = ", ".join(f"{row['au']} {row['p95']:.1f}" for row in strongest)
        counts = [row["events"] for row in own if row["events"] is not None]
        twins = tables[face_of(own[0])[1:]] > 1
        who = _who(own[0], with_face=False, with_table=twins)
        lines.append([
            who, _number(own[0]["face_id"]), str(own[0]["frames"]),
            f"{own[0]['face_percent']:.0f}", _number(sum(counts) if counts else None),
            words or ("no baseline" if own[0]["face_percent"] else "no face at all"),
        ])  # fmt: skip
    inputs = counted(len({face[:2] for face in faces}), "input")
    show_grid(f"{len(faces)} faces in {inputs}; -o FILE has every AU", columns, lines, (0, 5))


def _who(row: dict[str, Any], with_face: bool = True, with_table: bool = False) -> str:
    from aucli.files import shown

    person = f"{row['participant']}, " if row.get("participant") else ""
    face = f", face {row['face_id']}" if with_face and row["face_id"] is not None else ""
    table = f" ({row['table']})" if with_table else ""
    return shown(f"{person}{row['video']}{face}{table}")


def _number(value: Any) -> str:
    if value is None or value != value:
        return "n/a"
    return str(value) if isinstance(value, int) else f"{value:.2f}"
