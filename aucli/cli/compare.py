"""``aucli compare``: how far tools agree on the same videos, without labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from aucli.cli import options as shared
from aucli.cli import tables as given
from aucli.words import counted

if TYPE_CHECKING:
    from aucli.comparison.words import Compared

EXAMPLES = """\b
Examples:
  aucli compare tables/clip.parquet openface/clip.csv
  aucli compare old=tables-2024 new=tables --report moved.html
  aucli compare tables openface openface3=of3 -o agreement.csv
"""

WORST = 10  # videos on the screen


def compare(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="TABLE",
            help="Two or more tables, or folders with a table for each video: of aucli, OpenFace, "
            "OpenFace 3, py-feat or LibreFace. NAME=TABLE gives it a name; a tool's name says how "
            "to read it.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="Write a row for each two tools, video and AU: .csv, .tsv, .xlsx (Excel), .sav "
            "(SPSS), .parquet or .jsonl.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="PAGE",
            help="Write a page with the moments at which they differ most, ending in .html.",
        ),
    ] = None,
    by: Annotated[
        Literal["auto", "frame", "time"],
        typer.Option(
            help="How rows are matched. auto: by frame number, and by time where numbers mean "
            "different times."
        ),
    ] = "auto",
    person: Annotated[
        str | None,
        typer.Option(
            metavar="WHO",
            help="Where a video has several faces, compare only one: longest, largest, or a face "
            "id of the first table. Default: all whose boxes overlap.",
        ),
    ] = None,
    aus: given.Aus = None,
    max_lag: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, max=60, help="How far a lag is searched."),
    ] = 1.0,
    moments: Annotated[
        int, typer.Option(metavar="COUNT", min=1, max=200, help="With --report: how many moments.")
    ] = 24,
    videos: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="With --report: where the videos are. Default: where they were analyzed, or "
            "beside the tables.",
        ),
    ] = None,
    no_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="Show no faces, which are biometric data.")
    ] = False,
    blur: Annotated[bool, typer.Option("--blur", help="Make faces unrecognisable.")] = False,
    overwrite: shared.Overwrite = False,
    quiet: shared.Quiet = False,
) -> None:
    """Compare tools on the same videos, without labels: where they agree, and when not.

    For each AU: correlation, ICC(3,1), mean difference, presence, lag and coverage, and the largest
    difference. Agreement is no accuracy: two tools can be wrong together. docs/compare.md says how
    each is computed.
    """
    only_page = {
        "--videos": videos is not None, "--no-pictures": no_pictures, "--blur": blur,
        "--moments": moments != 24,
    }  # fmt: skip
    if report is None:
        shared.refuse("a comparison without --report", only_page)
    elif report.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"{str(report)!r} does not end in .html.", param_hint="--report")
    if no_pictures:
        shared.refuse("a page without pictures", {"--blur": blur, "--videos": videos is not None})
    if videos is not None and not videos.is_dir():
        raise typer.BadParameter(f"{videos} is no folder.", param_hint="--videos")

    from aucli.cli import stopping
    from aucli.cli.console import note, progress_bar, warn
    from aucli.comparison.comparing import CompareOptions
    from aucli.comparison.comparing import compare as compare_sides
    from aucli.comparison.sides import open_sides, split_name
    from aucli.comparison.words import LABELS, file_rows
    from aucli.files import refuse_existing, shown
    from aucli.pipeline.urls import url_words
    from aucli.report.people import check_person
    from aucli.report.sheets import check_sheet, write_sheet
    from aucli.report.summary import as_frame
    from aucli.table.dataset import refuse_taken

    chosen = CompareOptions(
        by=None if by == "auto" else by,
        person=check_person(person),
        aus=given.chosen_aus(aus),
        max_lag_seconds=max_lag,
    )
    if out is not None:
        check_sheet(out, overwrite)
    if report is not None:
        from aucli.comparison.page import check_libraries

        check_libraries()
        refuse_existing(report, overwrite)
    paths = [split_name(each)[1] for each in inputs]
    for path in paths:
        if words := url_words(path):
            raise typer.BadParameter(words, param_hint="TABLE")
    read = [*paths, *(file for path in paths if path.is_dir() for file in path.rglob("*"))]
    refuse_taken([file for file in (out, report) if file is not None], read, "comparison")
    sides = open_sides(inputs)
    with progress_bar("comparing", quiet=quiet) as bar:
        done = 0

        def on_video(name: str) -> None:
            nonlocal done
            stopping.check()
            done += 1
            bar.move(done, None, shown(name))

        found, failed = compare_sides(sides, chosen, on_video)
    problems = [sentence for side in sides for sentence in side.problems.values()]
    if not quiet:
        for sentence in dict.fromkeys(s for side in sides for s in side.notes):
            warn(sentence)
    for sentence in (*problems, *failed):
        note(f"aucli: {sentence}")
    if not quiet or (out is None and report is None):
        for two in found:
            _show(two)
    if out is not None:
        rows = file_rows(found)
        write_sheet(as_frame(rows, [*LABELS]), out, LABELS, overwrite)
        if not quiet:
            note(f"{counted(len(rows), 'row')} -> {shown(out)}")
    if report is not None:
        _write_page(found, report, moments, not no_pictures, blur, videos, overwrite, quiet)
    raise typer.Exit(1 if problems or failed else 0)


def _show(two: "Compared") -> None:
    from aucli.cli.score_tables import is_narrow, show_grid, show_lines
    from aucli.comparison.words import cells, columns, sentences, video_scores
    from aucli.files import shown

    show_lines(f"\n{shown(two.a.name)} and {shown(two.b.name)}", sentences(two))
    first, *others = two.pairs
    title = "All rows of all videos" if others else shown(first.video)
    short = is_narrow()
    rows = cells(two, two.scores.pooled, short=short)
    show_grid(f"\n{title}", ["AU", *columns(two)[1:]], rows)
    if others:
        each = video_scores(two)
        more = "; -o FILE has every AU of every video"
        few = f", the {WORST} with the lowest PCC" if len(each) > WORST else ""
        show_grid(f"\nVideos, means over the AUs{few}{more}", ["video", *columns(two)[1:]],
                  cells(two, each[:WORST], of_videos=True, short=short))  # fmt: skip


def _write_page(
    found: "list[Compared]",
    page: Path,
    moments: int,
    pictures: bool,
    blur: bool,
    videos: Path | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    from aucli.cli.console import note, warn
    from aucli.comparison.page import PageOptions, write_page
    from aucli.files import shown

    written = write_page(found, page, PageOptions(moments, pictures, blur, videos), overwrite)
    if quiet:
        return
    lacking = [*written.without_pictures.items()]
    if lacking:
        more = f", and of {len(lacking) - 1} others" if len(lacking) > 1 else ""
        warn(f"no pictures of {lacking[0][0]}{more}: {lacking[0][1].rstrip('.')}; --videos names "
             "their folder.")  # fmt: skip
    note(f"{written.moments} moments -> {shown(page)}")
    if written.pictured and not blur:
        note("It shows faces, which are biometric data; --blur or --no-pictures hides them.")
