"""Writes a report with a bar, and says what came of it; for ``report`` and ``analyze --report``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aucli.cli import stopping
from aucli.words import counted

if TYPE_CHECKING:
    from aucli.report.page import ReportOptions
    from aucli.report.study import FoundTables


def write(
    found: "FoundTables",
    page: Path,
    options: "ReportOptions",
    folders: Sequence[Path],
    overwrite: bool,
    quiet: bool,
) -> int:
    """Write the page; returns the exit code, 1 where a table could not be read."""
    from aucli.cli.console import note, progress_bar, warn
    from aucli.report.page import write_report
    from aucli.table.dataset import refuse_taken

    for sentence in found.problems.values():
        note(f"aucli: {sentence}")
    if found.problems and not found.tables:
        return 1
    refuse_taken([page], found.tables, "page")
    with progress_bar("report", len(found.tables), quiet) as bar:

        def on_table(done: int) -> None:
            stopping.check()
            bar.move(done, len(found.tables), f"{done} of {len(found.tables)}")

        written = write_report(found.tables, page, options, folders, overwrite, on_table)
    for sentence in written.problems.values():
        note(f"aucli: {sentence}")
    for sentence in written.notes:
        warn(sentence)
    lacking = [*written.without_pictures.items()]
    if lacking and not quiet:
        others = counted(len(lacking) - 1, "other")
        more = f", and of {others}" if len(lacking) > 1 else ""
        why = lacking[0][1].rstrip(".")
        warn(f"no pictures of {lacking[0][0]}{more}: {why}; --videos names their folder.")
    if not quiet:
        rows = counted(written.rows, "row")
        beside = f", details in {written.beside}" if written.beside else ""
        note(f"{rows} -> {page}{beside}")
        if options.pictures and not options.blur and written.pictured:
            note("It shows faces, which are biometric data; --blur or --no-pictures hides them.")
    return 1 if found.problems or written.problems else 0
