"""``aucli report``: tables to a page that is looked at."""

from pathlib import Path
from typing import Annotated

import typer

from aucli.cli import options as shared
from aucli.cli.command import examples

EXAMPLES = examples(
    "aucli report tables/ -o report.html",
    "aucli report tables/ --blur --names names.csv",
)


def report(
    tables: Annotated[
        list[Path],
        typer.Argument(
            metavar="TABLE",
            help="Tables that aucli analyze wrote, or folders of them.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="PAGE", help="The page, ending in .html.")
    ] = Path("report.html"),
    title: Annotated[str, typer.Option(metavar="TEXT", help="Title of the page.")] = (
        "Facial movement"
    ),
    names: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Names for face ids: a CSV with the columns face_id and name, and video where ids "
            "of several videos are named. Ids with one name are one person.",
        ),
    ] = None,
    person: Annotated[
        str | None,
        typer.Option(
            metavar="WHO",
            help="Where a video has several faces, show only the participant: longest, largest, or "
            "a face id.",
        ),
    ] = None,
    videos: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the videos are, for pictures of faces. Default: where they were analyzed, "
            "or beside their tables.",
        ),
    ] = None,
    no_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="Show no faces, which are biometric data.")
    ] = False,
    blur: Annotated[bool, typer.Option("--blur", help="Make faces unrecognisable.")] = False,
    overwrite: shared.Overwrite = False,
    quiet: shared.Quiet = False,
) -> None:
    """Write one page that shows a study: who can be used, and what each face did when.

    The page works offline in any current browser. It shows a row for each video and person, and
    behind each row curves, events and faces. Of more than 100 rows, the details lie in a folder
    beside the page; keep the two together.
    """
    from aucli.cli.reporting import write
    from aucli.report.page import ReportOptions
    from aucli.report.people import check_person, read_names
    from aucli.report.study import find_tables

    if out.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"{str(out)!r} does not end in .html.", param_hint="--out")
    if no_pictures:
        shared.refuse("a page without pictures", {"--blur": blur, "--videos": videos is not None})
    if videos is not None and not videos.is_dir():
        raise typer.BadParameter(f"{videos} is no folder.", param_hint="--videos")
    chosen = ReportOptions(
        title=title,
        pictures=not no_pictures,
        blur=blur,
        videos=videos,
        names=read_names(names) if names else {},
        person=check_person(person),
    )
    found = find_tables(tables)
    code = write(found, out, chosen, [path for path in tables if path.is_dir()], overwrite, quiet)
    raise typer.Exit(code)
