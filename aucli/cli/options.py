"""Options that several commands share, declared once."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aucli.cli.command import from_file
from aucli.pipeline.cores import MOST_THREADS

if TYPE_CHECKING:
    from aucli.pipeline.options import OptionWords


def choice(names: Sequence[str], *flags: str, help: str) -> Any:
    """A ``typer.Option`` that takes one of ``names``, which need not be written out as a type.

    Its parser raises BadParameter with the allowed names.
    """

    def parse(text: str) -> str:
        if text not in names:
            raise typer.BadParameter(f"{text!r} is not one of {', '.join(names)}.")
        return text

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    metavar = f"<{'|'.join(names)}>"
    if len(metavar) > 60:  # does not fit on a line of the help
        metavar, help = "NAME", f"{help} One of {', '.join(names)}."
    return typer.Option(*flags, parser=parse, metavar=metavar, autocompletion=complete, help=help)


def refuse(mode: str, options: Mapping[str, object]) -> None:
    """A usage error for options (flag -> what was given) that have no effect on a mode."""
    without = [name for name, given in options.items() if given]
    if without:
        verb = "has" if len(without) == 1 else "have"
        raise typer.BadParameter(f"{', '.join(without)} {verb} no effect on {mode}.")


def seconds(text: str) -> float:
    """``90``, ``90s``, ``1:30``, ``0:01:30.5`` -> seconds. Raises BadParameter."""
    parts = text.strip().removesuffix("s").split(":")
    try:
        if len(parts) > 3 or not all(part[:1].isdigit() for part in parts):
            raise ValueError
        value = 0.0
        for part in parts:
            value = value * 60 + float(part)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time; write 90, 1:30 or 0:01:30.5.") from None
    return value


def segment_length(text: str) -> float | None:
    """``auto``, ``off`` or a time -> seconds of a part of a video. Raises BadParameter."""
    from aucli.pipeline.options import SEGMENTS

    if text in SEGMENTS:
        return SEGMENTS[text]
    try:
        return seconds(text)
    except typer.BadParameter:
        raise typer.BadParameter(
            f"{text!r} is no length; write {', '.join(SEGMENTS)}, 300 or 5:00."
        ) from None


def option_words(given: Mapping[str, Any]) -> "OptionWords":
    """The options of an analysis among a command's arguments."""
    from aucli.pipeline.options import OptionWords

    words: Any = {name: given[name] for name in OptionWords.__annotations__ if name in given}
    return words


def told_of_file(ctx: typer.Context) -> dict[str, Any]:
    """For the provenance: which file of settings decided which of the options of an analysis.

    Its folder is left out, which may name a person."""
    from aucli.pipeline.options import OptionWords

    taken = [each.name for each in from_file(ctx) if each.name in OptionWords.__annotations__]
    return {"settings": {"file": ctx.obj.name, "options": taken}} if taken else {}


Device = Annotated[
    str, typer.Option(help="Where the networks run: auto, cpu, cuda, cuda:1 ...", show_default=True)
]
Precision = Annotated[
    Literal["fp32", "bf16", "int8"],
    typer.Option(
        help="The AU network's numbers. int8 (on CPUs) and bf16 (on GPUs) take less time and "
        "read a little less exactly; see docs/speed.md."
    ),
]
Profile = Annotated[
    Literal["builtin", "accurate"],
    typer.Option(
        help="builtin: the networks that come with aucli. accurate: retinaface-mobilenet, fan-2d "
        "and fanau-disfa, which you pull first."
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH",
        help="AU weights: a name of 'aucli weights list' or a .safetensors file. "
        "Default: the profile's.",
    ),
]
Detector = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Face detector: builtin, retinaface-mobilenet, retinaface-resnet50, or one of the "
        "library face-alignment: sfd, blazeface, yunet, scrfd, dlib. Default: the profile's.",
    ),
]
Landmarks = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Landmark network: builtin or fan-2d. Default: the profile's."
    ),
]
Faces = Annotated[
    str, typer.Option(help="How many faces to keep in each frame: largest, all, or a number.")
]
BatchSize = Annotated[int, typer.Option(min=1, help="Faces in one call of the AU network.")]
Threads = Annotated[
    int,
    typer.Option(
        min=0, max=MOST_THREADS, help="CPU threads of the networks. 0: one for each core."
    ),
]
Calibrate = Annotated[
    str | None,
    typer.Option(
        metavar="BASELINE",
        help="Subtract what the person's face reads at rest: auto (in the frames at rest, if there "
        "are any), neutral=120 (a frame), neutral=10-40 or neutral=1.0-2.5s (the median of a "
        "segment), neutral=rest.mp4 (another video of the person), or median (of the whole video; "
        "it takes a smile away that lasts). Adds AU12_raw.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")]
Decoder = Annotated[
    Literal["auto", "decord", "pyav"],
    typer.Option(
        help="Both give the same pixels. auto takes decord for sound H.264 that fits in memory."
    ),
]
TableFormat = Annotated[
    Literal["parquet", "csv", "openface", "jsonl", "dataset"] | None,
    typer.Option(
        "--format",
        help="Default: what OUT's suffix says, else parquet (on stdout csv). openface: a CSV in "
        "the layout of OpenFace 2.2, with zeros where there is no face; see docs/openface.md. "
        "dataset: a folder that pandas, DuckDB or Spark read as one table; see docs/batches.md.",
    ),
]
Spaces = Annotated[
    bool,
    typer.Option(
        "--spaces",
        help="With --format openface: a blank after each comma of the first line, as older "
        "versions of OpenFace write it.",
    ),
]


Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(help="Where the work is done: in processes of this computer, or by Ray."),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="With --engine ray: a cluster; auto is one that runs on this computer. Default: "
        "RAY_ADDRESS, else a Ray of its own.",
    ),
]


def check_ray(engine: str, address: str | None) -> None:
    """A usage error for --ray-address with another engine."""
    if address is not None and engine != "ray":
        raise typer.BadParameter("it goes with --engine ray.", param_hint="--ray-address")


def check_spaces(spaces: bool, table_format: str | None) -> None:
    """A usage error for --spaces with another layout."""
    if spaces and table_format != "openface":
        raise typer.BadParameter("it goes with --format openface.", param_hint="--spaces")
