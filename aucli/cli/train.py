"""``aucli train``: train a network on rendered faces or on a prepared dataset."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from aucli.cli.options import choice
from aucli.datasets.names import DATASETS, SYNTHETIC
from aucli.models.catalogue import TRAINABLE


def train(
    root: Annotated[
        Path, typer.Option(help="Folder of rendered or of prepared faces.", exists=True)
    ],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, logs and weights.")],
    model: Annotated[str, choice(TRAINABLE, help="Network to train.")],
    dataset: Annotated[
        str,
        choice((SYNTHETIC, *DATASETS), help="synthetic: rendered faces; else what was prepared."),
    ] = SYNTHETIC,
    folds: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Protocol, such as jaanet; default: the dataset's first."
        ),
    ] = None,
    fold: Annotated[
        str | None,
        typer.Option(metavar="NAME|NUMBER", help="Which of its folds: P1, or 0 (the default)."),
    ] = None,
    preset: Annotated[
        Literal["modern", "fan2020", "bmvc2018"], typer.Option(help="Recipe; options go before it.")
    ] = "modern",
    epochs: Annotated[int | None, typer.Option(help="Length in passes.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Length by the clock.")] = None,
    steps: Annotated[int | None, typer.Option(help="Length in batches.")] = None,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Weights to start from, tensor by tensor of the same name: those of 'aucli "
            "weights list', a file, or a checkpoint.pt.",
        ),
    ] = None,
    allow_seen: Annotated[
        bool,
        typer.Option(
            "--allow-seen", help="Start also from weights that know people of the test; it is told."
        ),
    ] = False,
    batch_size: Annotated[int | None, typer.Option(help="Samples a batch, 2 or more.")] = None,
    accumulate: Annotated[int, typer.Option(help="Batches in an optimizer step.")] = 1,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    patience: Annotated[
        int, typer.Option(help="Stop after so many evaluations without a better score; 0: never.")
    ] = 0,
    evaluations: Annotated[int, typer.Option(help="Evaluations in the run.")] = 6,
    checkpoint_minutes: Annotated[
        float, typer.Option(help="Between checkpoints, which --resume goes on from.")
    ] = 2.0,
    crop_size: Annotated[
        int | None, typer.Option(help="Side of the AU crops, px; a multiple of 64.")
    ] = None,
    widths: Annotated[
        str | None, typer.Option(metavar="A,B,C,D", help="Channels of the trunk's stages.")
    ] = None,
    k: Annotated[
        int | None,
        typer.Option(help="Neighbours of the SCC layers; 0: none.", show_default="7"),
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of the network.")] = 1,
    workers: Annotated[int, typer.Option(help="Processes making batches; 0: this one.")] = 0,
    faces: Annotated[int | None, typer.Option(help="Use at most so many rendered faces.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights and batches.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
) -> None:
    """Train a network; the weights file's path goes to stdout.

    On rendered faces (aucli synth) or on a dataset you have a licence for (aucli prepare). Several
    GPUs or processes: torchrun --nproc-per-node N -m aucli train ...
    """
    try:
        channels = tuple(int(part) for part in widths.split(",")) if widths else None
    except ValueError as error:
        raise typer.BadParameter(f"--widths takes numbers like 24,48,96, not {widths}") from error
    if dataset == SYNTHETIC and fold:
        raise typer.BadParameter("rendered faces have no folds; name the --dataset.")
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from aucli.cli.console import console, note
    from aucli.datasets.folds import fold_number
    from aucli.train.config import with_preset
    from aucli.train.logs import LogEntry
    from aucli.train.trainer import train as run
    from aucli.weights.names import resolve

    start = Path(init) if init else None
    if init and not Path(init).is_file():
        start = resolve(init)
    number = fold_number(dataset, folds, fold) if fold else 0
    config = with_preset(
        preset, model=model, root=root, out=out, dataset=dataset, folds=folds, fold=number,
        steps=steps, minutes=minutes, epochs=epochs, init=start, batch_size=batch_size,
        accumulate=accumulate, lr=lr, patience=patience, evaluations=evaluations,
        crop_size=crop_size, k=k, threads=threads, workers=workers, faces=faces, seed=seed,
        device=device, widths=channels, allow_seen=allow_seen,
        checkpoint_minutes=checkpoint_minutes,
    )  # fmt: skip
    columns = (
        TextColumn(model), BarColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn()
    )  # fmt: skip
    bar = Progress(*columns, console=console)
    task = bar.add_task(model, total=1.0, state="")
    reading = console.status("reading faces")

    def begin(about: tuple[str, ...]) -> None:
        reading.stop()
        for sentence in about:
            note(sentence)
        bar.start()

    def show(entry: LogEntry) -> None:
        if entry.event == "eval":
            brief = {k: v for k, v in entry.values.items() if "." not in k}
            text = " ".join(f"{name} {value:.4f}" for name, value in brief.items())
            bar.console.print(f"step {entry.step}: held out {text}", markup=False)
            return
        state = f"step {entry.step} loss {entry.values['loss']:.3f}"
        state += f" {entry.samples_per_second:.0f}/s"
        bar.update(task, completed=entry.share, state=state)

    try:
        reading.start()
        scores = run(config, resume, show, begin)
    finally:
        reading.stop()
        if bar.live.is_started:  # else it would print an empty line before the error
            bar.stop()
    brief = {name: value for name, value in scores.items() if "." not in name}
    if brief:
        told = ", ".join(f"{name} {value:.4f}" for name, value in brief.items())
        note(f"{model}: {told} on people that were held out")
    typer.echo(out / "weights.safetensors")
