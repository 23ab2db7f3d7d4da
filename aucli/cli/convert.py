"""``aucli convert``: tables in other formats, without a new analysis."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import typer

from aucli.cli import options as shared
from aucli.cli import tables as given
from aucli.cli.command import examples
from aucli.errors import AucliError, DataError
from aucli.words import counted

EXAMPLES = examples(
    "aucli convert clip.parquet -o clip.xlsx",
    "aucli convert tables/ -o csv/ --format csv",
)


def convert(
    tables: given.Tables,
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE|DIR",
            help="A file for all tables, one below the other: .csv, .xlsx (Excel), .sav (SPSS), "
            ".parquet or .jsonl. Or a folder for a file of each.",
            show_default=False,
        ),
    ],
    format_: Annotated[
        Literal["parquet", "csv", "openface", "jsonl", "xlsx", "sav"] | None,
        typer.Option("--format", help="Default: what OUT's suffix says. A folder needs it."),
    ] = None,
    spaces: shared.Spaces = False,
    presence: Annotated[
        float | None,
        typer.Option(
            metavar="INTENSITY", min=0, max=5,
            help="Add AU12_c ...: 1 where the intensity is this or more.",
        ),
    ] = None,
    overwrite: shared.Overwrite = False,
    quiet: shared.Quiet = False,
) -> None:  # fmt: skip
    """Write tables in another format: CSV, Excel, SPSS, Parquet, JSON lines or as OpenFace does.

    Every column comes along. How the table was made stays with it, except in .xlsx and .sav.
    """
    from aucli.cli.console import note
    from aucli.files import shown
    from aucli.report.convert import SUFFIX_OF, format_of
    from aucli.report.convert import convert as write
    from aucli.table.dataset import refuse_taken, table_name

    shared.check_spaces(spaces, format_)
    folder = out.is_dir() or not out.suffix
    if not folder:
        format_of(out, format_)
    elif format_ is None:
        raise typer.BadParameter(
            "say what the tables in a folder are to be, as --format csv.", param_hint="--format"
        )
    found = given.look_for(tables)
    bad = len(found.problems)
    if not found.tables:
        raise typer.Exit(1)
    jobs = [(found.tables, out)]
    if folder:
        assert format_ is not None
        named = _below(found.tables, tables)
        jobs = [([table], out / name.with_suffix(SUFFIX_OF[format_])) for table, name in named]
        if len({target for _, target in jobs}) < len(jobs):
            ends = SUFFIX_OF[format_]
            jobs = [([table], out / name.with_name(name.name + ends)) for table, name in named]
        ((target, times),) = Counter(target for _, target in jobs).most_common(1)
        if times > 1:
            raise DataError(
                f"Two tables would both become {shown(target)}; name the folder above them, or do "
                "one at a time."
            )
    refuse_taken([target for _, target in jobs], found.tables, "table")
    absent: dict[str, None] = {}  # each sentence once, in order
    for sources, target in jobs:
        try:
            count, sentence = write(sources, target, format_, presence, overwrite, spaces)
        except AucliError as error:
            if not folder:
                raise
            note(f"aucli: {error}")
            bad += 1
            continue
        if sentence:
            absent[sentence] = None
        if not quiet:
            what = table_name(sources[0]) if len(sources) == 1 else f"{len(sources)} tables"
            note(f"{what}: {counted(count, 'row')} -> {target}")
    for sentence in () if quiet else absent:
        note(sentence)
    raise typer.Exit(1 if bad else 0)


def _below(tables: list[Path], arguments: list[Path]) -> list[tuple[Path, Path]]:
    """Each table, and its path below the folder that was named; of a part, what its input says."""
    from aucli.files import path_below
    from aucli.table.dataset import input_of

    folders = [argument for argument in arguments if argument.is_dir()]

    def name(table: Path) -> Path:
        if video := input_of(table):
            return path_below(video)
        inside = [folder for folder in folders if table.is_relative_to(folder)]
        return table.relative_to(inside[0]) if inside else Path(table.name)

    return [(table, name(table)) for table in tables]
