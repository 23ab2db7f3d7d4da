"""``aucli events``: onset, apex and offset of every AU, for spreadsheets, ELAN, BORIS and BIDS."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aucli.cli import options as shared
from aucli.cli import tables as given
from aucli.cli.command import examples
from aucli.errors import AucliError, DataError, OptionError
from aucli.words import counted

if TYPE_CHECKING:
    from aucli.report.cohort import Cohort
    from aucli.report.event_files import Found
    from aucli.report.study import FaceSeries

Format = Literal["sheet", "elan", "boris", "bids"]
BY_SUFFIX: Mapping[str, Format] = {".eaf": "elan"}
ENDINGS: Mapping[Format, str] = {"elan": ".eaf", "bids": "_events.tsv"}  # one file for each video

EXAMPLES = examples(
    "aucli events clip.parquet --aus 6,12",
    "aucli events tables/ -o elan/ --format elan",
)


def events(
    tables: given.Tables,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE|DIR",
            help="Write the events: .csv, .xlsx, .sav ..., .eaf for ELAN, *_events.tsv for BIDS. "
            "ELAN and BIDS have a file for each video: name a folder for several. Default: show "
            "them.",
        ),
    ] = None,
    format_: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="Default: what OUT's suffix says. boris: tabular events, .tsv or .csv.",
        ),
    ] = None,
    participants: given.ParticipantsFile = None,
    aus: given.Aus = None,
    enter: given.Enter = 1.0,
    leave: given.Leave = 0.5,
    min_seconds: given.MinSeconds = 0.2,
    close_gap: given.CloseGap = 0.2,
    offset: Annotated[
        float, typer.Option(metavar="SECONDS", help="Add this to every time; may be negative.")
    ] = 0.0,
    clock: Annotated[
        str | None,
        typer.Option(
            metavar="creation|TIME",
            help="Add the time of day of onset and offset. creation: from the creation time in the "
            "video file, see --videos. Or when the video began: 2026-05-04T10:00:00.",
        ),
    ] = None,
    videos: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the videos are, for --clock creation and for ELAN's link to them. Default: "
            "beside the table or in the current folder.",
        ),
    ] = None,
    overwrite: shared.Overwrite = False,
    quiet: shared.Quiet = False,
) -> None:
    """Events in tables: when each AU begins, is strongest and ends, and its level A-E.

    An event begins at --enter and ends below --leave. docs/statistics.md has the whole rule, and
    says what every column holds.
    """
    from aucli.cli.console import note
    from aucli.report.event_files import LABELS, events_of
    from aucli.report.summary import refuse_groups
    from aucli.table.dataset import refuse_taken

    if not math.isfinite(offset):
        raise typer.BadParameter(f"{offset} is no number of seconds.", param_hint="--offset")
    rule = given.make_rule(enter, leave, min_seconds, close_gap)
    wanted = given.chosen_aus(aus)
    kind = _format(out, format_)
    begin = _begin(clock)
    if out is not None and kind not in ENDINGS:
        _check(out, kind, overwrite)
    cohort, tables_found = given.open_cohort(tables, participants)
    refuse_groups(cohort.participants, LABELS)
    found: list[Found] = []
    untimed: list[str] = []
    single: list[str] = []
    seen: set[str] = set()
    problems: dict[str, str] = {}
    for member in cohort.members():
        face = member.face
        seen.update(face.aus)
        if not face.timed and len(face):
            (untimed if face.unrelated else single).append(face.video)
            continue
        try:
            found.append(events_of(member, wanted, rule, begin(face, videos)))
        except AucliError as error:
            problems[face.video] = str(error)
    given.tell(cohort, quiet)
    for sentence in problems.values():
        note(f"aucli: {sentence}")
    given.refuse_unknown(wanted, seen)
    if untimed:
        names = ", ".join(dict.fromkeys(untimed))
        note(f"aucli: {names}: pictures have no time, so they have no events.")
    if single:
        names = ", ".join(dict.fromkeys(single))
        note(f"aucli: {names}: one frame alone has no events.")
    bad = len(cohort.problems) + len(tables_found.problems) + len(problems)
    if not found:
        raise typer.Exit(1)
    read = [*tables_found.tables, *([participants] if participants else [])]
    if out is None:
        _show(found, offset)
    elif kind in ENDINGS:
        bad += _write_each(out, kind, found, (rule, offset, videos), overwrite, read, quiet)
    else:
        refuse_taken([out], read, "file of events")
        _write_one(out, kind, found, offset, cohort, overwrite, quiet)
    raise typer.Exit(1 if bad else 0)


def _format(out: Path | None, asked: Format | None) -> Format:
    """The format of the option, or what the name says."""
    if out is None:
        if asked is not None:
            raise typer.BadParameter("name a file or a folder with -o.", param_hint="--format")
        return "sheet"
    if asked is not None:
        return asked
    if out.name.casefold().endswith("_events.tsv"):
        return "bids"
    return BY_SUFFIX.get(out.suffix.lower(), "sheet")


def _check(out: Path, kind: Format, overwrite: bool) -> None:
    from aucli.report.sheets import check_sheet

    if kind == "boris" and out.suffix.lower() not in (".tsv", ".csv", ".xlsx"):
        raise OptionError(f"{out} is no file of BORIS; end it in .tsv, .csv or .xlsx.")
    check_sheet(out, overwrite)


def _begin(clock: str | None):
    """(face, videos) -> the time of day at which the table's clock is 0, or None."""
    if clock is None:
        return lambda face, videos: None
    if clock == "creation":
        return _created
    try:
        told = datetime.fromisoformat(clock)
    except ValueError:
        raise typer.BadParameter(
            f"{clock!r} is neither 'creation' nor a time such as 2026-05-04T10:00:00.",
            param_hint="--clock",
        ) from None
    return lambda face, videos: told


def _created(face: "FaceSeries", videos: Path | None) -> datetime:
    from datetime import timedelta

    from aucli.files import shown
    from aucli.video.creation import creation_time

    path = _video(face, videos)
    if path is None:
        raise DataError(
            f"{shown(face.video)} is not beside its table; say with --videos where it is, or give "
            "--clock a time."
        )
    found = creation_time(path)
    if found is None:
        raise DataError(f"{shown(path)} tells no creation time; give --clock a time.")
    told = face.provenance.get("input")
    start = told.get("start_seconds") if isinstance(told, dict) else 0
    return found + timedelta(seconds=float(start or 0))


def _video(face: "FaceSeries", videos: Path | None) -> Path | None:
    """Where the video of a table lies."""
    from aucli.files import path_below

    told = face.provenance.get("input")
    names = [face.video, str(told.get("name")) if isinstance(told, dict) else ""]
    for folder in (videos,) if videos else (face.table.parent, Path(".")):
        for name in (name for name in names if name):
            for path in (folder / path_below(name), folder / PurePosixPath(name).name):
                if path.is_file() and path.resolve() != face.table.resolve():
                    return path
    return None


def _write_each(
    out: Path,
    kind: Format,
    found: "Sequence[Found]",
    how: tuple[Any, float, Path | None],
    overwrite: bool,
    read: Sequence[Path],
    quiet: bool,
) -> int:
    """A file for each video; returns of how many there is none, as its events cannot be told."""
    from aucli.cli.console import note
    from aucli.files import path_below, refuse_existing
    from aucli.report.event_files import sidecar_of, write_bids, write_eaf
    from aucli.table.dataset import refuse_taken

    rule, offset, videos = how
    groups: dict[tuple[Path, str], list[Found]] = {}
    for face in found:
        groups.setdefault((face.member.face.table, face.video), []).append(face)
    named = out.name.casefold().endswith(ENDINGS[kind].lstrip("_")) and not out.is_dir()
    if named and len(groups) > 1:
        raise typer.BadParameter(f"there are {len(groups)} videos; name a folder.", param_hint="-o")
    if not named and out.suffix and not out.is_dir() and len(groups) == 1:
        raise typer.BadParameter(f"end it in {ENDINGS[kind]}, or name a folder.", param_hint="-o")
    places = [path_below(video) for _, video in groups]
    targets = [
        out if named else out / place.with_name(f"{place.stem}{ENDINGS[kind]}") for place in places
    ]
    if len(set(targets)) < len(targets):  # twins take their suffix
        targets = [out / place.with_name(f"{place.name}{ENDINGS[kind]}") for place in places]
    for target in targets:
        if targets.count(target) > 1:
            raise DataError(f"Two tables call their video the same ({target}); do one at a time.")
    made = targets + ([sidecar_of(target) for target in targets] if kind == "bids" else [])
    refuse_taken(made, read, "file of events")
    for target in made:
        refuse_existing(target, overwrite)
    failed = 0
    for target, faces in zip(targets, groups.values(), strict=True):
        if kind == "bids":
            write_bids(target, faces, rule, offset, overwrite)
        else:
            try:
                write_eaf(target, faces, _video(faces[0].member.face, videos), offset, overwrite)
            except DataError as error:  # of this video alone
                note(f"aucli: {error}")
                failed += 1
                continue
        if not quiet:
            count = sum(len(own) for face in faces for own in face.events.values())
            note(f"{faces[0].video}: {counted(count, 'event')} -> {target}")
    return failed


def _write_one(
    out: Path,
    kind: Format,
    found: "Sequence[Found]",
    offset: float,
    cohort: "Cohort",
    overwrite: bool,
    quiet: bool,
) -> None:
    """One file for all videos."""
    from aucli.cli.console import note
    from aucli.report.event_files import BORIS_COLUMNS, LABELS, boris_rows, event_rows
    from aucli.report.sheets import write_sheet
    from aucli.report.summary import as_frame

    if kind == "boris":
        rows, columns = boris_rows(found, offset), list(BORIS_COLUMNS)
    else:
        groups = cohort.participants.groups if cohort.participants else None
        rows = [row for face in found for row in event_rows(face, offset, groups)]
        first = [] if groups is None else ["participant", *groups]
        own = ["video", "face_id", "au", *LABELS]
        columns = [*first, *dict.fromkeys(name for name in own if name not in first)]
        if groups is None:
            columns.remove("participant")
        if not any(face.begin for face in found):
            columns = [name for name in columns if not name.endswith("_clock")]
    write_sheet(as_frame(rows, columns), out, LABELS, overwrite)
    if not quiet:
        count = len(rows) // 2 if kind == "boris" else len(rows)
        note(f"{counted(count, 'event')} -> {out}")


def _show(found: "Sequence[Found]", offset: float) -> None:
    from aucli.cli.score_tables import show_grid
    from aucli.files import shown
    from aucli.report.event_files import event_rows

    columns = ["AU", "onset s", "apex", "offset", "length", "peak", "level", "complete"]
    for face in found:
        series = face.member.face
        rows = event_rows(face, offset)
        where = f", face {series.face_id}" if series.face_id is not None else ""
        lines = [
            [row["au"], f"{row['onset']:.2f}", f"{row['apex']:.2f}", f"{row['offset']:.2f}",
             f"{row['duration']:.2f}", f"{row['peak']:.1f}", row["level"] or "below A",
             "yes" if row["complete"] else "no"]
            for row in rows
        ]  # fmt: skip
        title = f"{shown(series.video)}{where}: {counted(len(rows), 'event')}"
        show_grid(title, columns, lines, (0, 6, 7))
