"""``aucli synth``: render labelled faces."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from aucli.errors import LibraryError


def synth(
    ict: Annotated[Path, typer.Option(help="Folder of the ICT-FaceKit model (FaceXModel).")],
    out: Annotated[Path, typer.Option(help="Folder for the Parquet shards.")],
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
    from aucli.cli.console import progress_bar
    from aucli.synth.generate import SynthConfig, generate

    with progress_bar("faces", count) as bar:
        rendered = generate(ict, out, SynthConfig(count, seed), processes, bar.advance)
    typer.echo(f"rendered {rendered} faces; {count - rendered} were in {out} already", err=True)
    if sheet:
        from aucli.synth.sheets import draw_au_sheet

        draw_au_sheet(ict, sheet)
