"""``aucli methods``: a methods section, from what the tables say of themselves."""

from pathlib import Path
from typing import Annotated

import typer

from aucli.cli import options as shared
from aucli.cli import tables as given
from aucli.cli.command import examples

EXAMPLES = examples(
    "aucli methods tables/ --bibtex references.bib",
)


def methods(
    tables: given.Tables,
    bibtex: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the references to FILE instead of showing them."),
    ] = None,
    overwrite: shared.Overwrite = False,
) -> None:
    """A methods section for a paper: versions, networks, options, limits and references (BibTeX).

    All of it comes from what the tables say of how they were made.
    """
    from aucli.cli.console import note
    from aucli.files import refuse_existing, shown, write_text, writing
    from aucli.report.cohort import Cohort
    from aucli.report.methods import describe
    from aucli.table.dataset import refuse_taken

    if bibtex is not None:
        if bibtex.suffix.lower() != ".bib":
            raise typer.BadParameter(f"{bibtex}: end it in .bib.", param_hint="--bibtex")
        refuse_existing(bibtex, overwrite)
    found = given.look_for(tables)
    refuse_taken([bibtex] if bibtex else [], found.tables, "file")
    cohort = Cohort(found.tables)
    faces = []
    silent: dict[Path, None] = {}
    for member in cohort.members():
        face = member.face
        if "options" in face.provenance:
            faces.append(face)
        else:
            silent.setdefault(face.table)
    given.tell(cohort)
    for table in silent:
        note(
            f"aucli: {shown(table)} does not tell how it was made; name the table that aucli "
            "analyze wrote, with the .json beside it."
        )
    if faces:
        made = describe(faces)
        print("\n\n".join(made.paragraphs))
        print(f"\nLimits. {' '.join(made.limits)}")
        entries = "\n\n".join(made.bibtex)
        if bibtex is None:
            print(f"\n{entries}")
        else:
            with writing(bibtex):
                write_text(bibtex, entries + "\n")
            note(f"{len(made.bibtex)} references -> {shown(bibtex)}")
    bad = len(cohort.problems) + len(found.problems) + len(silent)
    raise typer.Exit(1 if bad or not faces else 0)
