"""``aucli weights``: what networks there are, and how the published ones get here."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from aucli.cli import options as shared
from aucli.cli.command import Command, examples
from aucli.errors import OptionError, WeightsError

if TYPE_CHECKING:
    from aucli.weights.manifest import Published

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List, fetch, check and convert networks.",
    epilog=examples("aucli weights list", "aucli weights pull retinaface-mobilenet"),
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name from 'aucli weights list'.")]


@app.command("list", cls=Command, epilog=examples("aucli weights list"))
def list_weights() -> None:
    """Show every network: kind, AUs, whether it is here, licence and size.

    On a pipe: one line each, fields separated by tabs.
    """
    from aucli.weights.manifest import read_manifest
    from aucli.weights.store import card_file, find, list_cached, list_embedded, read_card_file

    published = read_manifest()
    cached = list_cached()
    rows = []
    for name in dict.fromkeys((*list_embedded(), *published, *cached)):
        stem = find(name)
        card = read_card_file(card_file(stem)) if stem else published[name].card
        kind = card["kind"] if stem else published[name].kind
        state = "not here" if not stem else "here" if name in cached else "embedded"
        licence = published[name].licence.partition(";")[0] if name in published else "MIT"
        size = f"{card['bytes'] / 1e6:.1f} MB" if stem else ""
        aus = ",".join(au.removeprefix("AU").lstrip("0") for au in card.get("aus", ()))
        rows.append((name, kind, aus, state, licence, size))
    _show(("name", "kind", "AUs", "state", "licence", "size"), rows)


def _show(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            typer.echo("\t".join(row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=column != "AUs")
    for row in rows:
        table.add_row(*(cell.replace(",", " ") for cell in row))
    Console(highlight=False, markup=False).print(table)


@app.command(
    cls=Command, epilog=examples("aucli weights pull retinaface-mobilenet fan-2d fanau-disfa")
)
def pull(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", help="Names of 'aucli weights list'.")
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask about the licence.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", envvar="AUCLI_OFFLINE", help="Never use the network.")
    ] = False,
) -> None:
    """Download published networks from their authors, check and convert them.

    Prints the path of each. Run the command again to go on with a download that broke off.
    """
    from aucli.cli.console import note
    from aucli.weights.manifest import published

    codes = [0]
    for name in names:
        try:
            path = _here(name)
            if path is None:
                path = _pull(published(name), yes, offline)
            typer.echo(path)
        except WeightsError as error:
            codes.append(_code(error))
            note(f"aucli: {error}")
    raise typer.Exit(max(codes))


def _code(error: WeightsError) -> int:
    """The exit code of a command that goes on behind an error."""
    return 2 if isinstance(error, OptionError) else 1


def _here(name: str) -> Path | None:
    """The tensors of a name that is on this machine and unaltered."""
    from aucli.weights.store import cache_dir, check, find, tensors_file

    stem = find(name)
    if stem is None:
        return None
    try:
        check(stem)
    except WeightsError:
        if stem.parent == cache_dir():
            return None  # to be pulled again
        raise
    return tensors_file(stem)


def _pull(entry: "Published", yes: bool, offline: bool) -> Path:
    from aucli.cli.console import note, progress_bar

    if offline:
        raise WeightsError(
            f"{entry.name} is not on this machine and the network is not to be used (--offline or "
            f"AUCLI_OFFLINE); run `aucli weights import {entry.name} FILE` with a copy of the file"
        )
    if entry.urls:
        note(f"{entry.name}: {entry.paper}; {entry.page}")
        note(f"licence: {entry.licence}")
        if not yes and on_terminal():
            # Not typer.confirm, which writes a part of its question to stdout.
            typer.echo("Download it? [y/N] ", nl=False, err=True)
            if sys.stdin.readline().strip().lower() not in ("y", "yes"):
                raise WeightsError(f"{entry.name} was not downloaded")
    from aucli.weights.install import pull

    with progress_bar(entry.name) as bar:
        return pull(entry, lambda done, total: bar.move(done, total, f"{done / 1e6:.1f} MB"))


def on_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


@app.command(
    "import",
    cls=Command,
    epilog=examples("aucli weights import heatmap-resnet50-bp4d checkpoint.pth"),
)
def import_weights(
    name: Name,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The checkpoint, as its authors published it.")
    ],
) -> None:
    """Check and convert a checkpoint that was downloaded by hand.

    Prints the path of the converted weights. No code in the file is run.
    """
    from aucli.cli.console import warn
    from aucli.weights.install import import_file
    from aucli.weights.manifest import published
    from aucli.weights.store import card_file, read_card_file

    entry = published(name)
    path = import_file(entry, file)
    sha256 = read_card_file(card_file(path))["provenance"]["sha256"]
    if entry.sha256 not in (None, sha256):
        warn(f"{file} fits {name}, but is not the published file (sha256 {sha256[:12]}...).")
    typer.echo(path)


@app.command(cls=Command, epilog=examples("aucli weights verify"))
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Names of 'aucli weights list'; default: all here."),
    ] = None,
) -> None:
    """Compare the networks on this machine with their checksums."""
    from aucli.cli.console import note
    from aucli.weights.names import why_absent
    from aucli.weights.store import check, find, list_cached, list_embedded

    codes = [0]
    for name in names or [*list_embedded(), *list_cached()]:
        try:
            stem = find(name)
            if stem is None:
                raise why_absent(name)
            check(stem)
            typer.echo(f"{name}: as its card describes")
        except WeightsError as error:
            codes.append(_code(error))
            note(f"aucli: {error}")
    raise typer.Exit(max(codes))


@app.command(
    cls=Command,
    epilog=examples(
        "aucli weights export runs/first/weights.safetensors",
        "aucli weights export hourglass-bp4d --precision int8 --faces clip.mp4",
    ),
)
def export(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A name from 'aucli weights list', or a weights file."),
    ],
    precision: Annotated[
        Literal["fp32", "int8"],
        typer.Option(help="int8: the form of an AU network for 'analyze --precision int8'."),
    ] = "fp32",
    faces: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER|VIDEO",
            help="For int8: typical faces, which say how large the network's numbers get. What "
            "'aucli synth' or 'aucli prepare' made, or a video.",
        ),
    ] = None,
) -> None:
    """Write a network once more, as ONNX for CPUs: there 'aucli analyze' takes less time with it.

    The file lies beside the weights, and 'analyze' finds it there. Prints its path.
    """
    if precision == "int8" and faces is None:
        raise typer.BadParameter(
            "int8 needs faces: what 'aucli synth' or 'aucli prepare' made, or a video.",
            param_hint="--faces",
        )
    shared.refuse("fp32", {"--faces": faces and precision == "fp32"})
    from aucli.weights.export import crops_for_int8, export

    if faces is None:
        typer.echo(export(name))
        return
    from aucli.cli.console import progress_bar
    from aucli.datasets.typical import TYPICAL, typical_crops

    template, px = crops_for_int8(name)
    with progress_bar("faces", TYPICAL) as bar:
        crops = typical_crops(faces, template, px, on_crops=bar.move)
    typer.echo(export(name, crops))


@app.command(cls=Command, epilog=examples("aucli weights where"))
def where() -> None:
    """Print the folder of pulled and imported networks; AUCLI_WEIGHTS names another."""
    from aucli.weights.store import cache_dir

    typer.echo(cache_dir())
