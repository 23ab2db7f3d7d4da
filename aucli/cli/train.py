"""``aucli train``: train a network on rendered faces or on a prepared dataset."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from aucli.cli.command import examples
from aucli.cli.options import choice
from aucli.datasets.names import DATASETS, SYNTHETIC
from aucli.models.catalogue import TRAINABLE

EXAMPLES = examples(
    "aucli train --root faces --model scc-joint --out run --minutes 80",
    "aucli train --dataset disfa --root disfa-faces --folds jaanet --fold 0 \\",
    "    --model scc-small --init scc-joint --epochs 10 --out run-0",
)


def train(
    root: Annotated[Path, typer.Option(help="Folder of rendered or prepared faces.", exists=True)],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, logs and weights.")],
    model: Annotated[str, choice(TRAINABLE, help="Network to train.")],
    dataset: Annotated[
        str,
        choice((SYNTHETIC, *DATASETS), help="synthetic: rendered faces. Else: what was prepared."),
    ] = SYNTHETIC,
    folds: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Protocol, such as jaanet. Default: the dataset's first."
        ),
    ] = None,
    fold: Annotated[
        str | None,
        typer.Option(metavar="NAME|NUMBER", help="Which of its folds: P1, or 0 (the default)."),
    ] = None,
    preset: Annotated[
        Literal["modern", "fan2020", "bmvc2018"], typer.Option(help="Recipe. Options override it.")
    ] = "modern",
    epochs: Annotated[int | None, typer.Option(help="Length in passes over the data.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Length by the clock.")] = None,
    steps: Annotated[int | None, typer.Option(help="Length in batches.")] = None,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Weights to start from: a name of 'aucli weights list', a file, or a "
            "checkpoint.pt. Tensors of the same name are taken.",
        ),
    ] = None,
    allow_seen: Annotated[
        bool,
        typer.Option("--allow-seen", help="Start also from weights that know people of the test."),
    ] = False,
    batch_size: Annotated[int | None, typer.Option(help="Samples in a batch, 2 or more.")] = None,
    accumulate: Annotated[int, typer.Option(help="Batches in an optimizer step.")] = 1,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    patience: Annotated[
        int, typer.Option(help="Stop after so many evaluations without a better score. 0: never.")
    ] = 0,
    evaluations: Annotated[int, typer.Option(help="Evaluations in the run.")] = 6,
    checkpoint_minutes: Annotated[
        float, typer.Option(help="Minutes between checkpoints, from which --resume goes on.")
    ] = 2.0,
    crop_size: Annotated[
        int | None, typer.Option(help="Side of the AU crops, px: a multiple of 64.")
    ] = None,
    widths: Annotated[
        str | None, typer.Option(metavar="A,B,C,D", help="Channels of the trunk's stages.")
    ] = None,
    k: Annotated[
        int | None,
        typer.Option(help="Neighbours of the SCC layers. 0: no SCC layers.", show_default="7"),
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of the network.")] = 1,
    workers: Annotated[int, typer.Option(help="Processes that make batches. 0: this one.")] = 0,
    faces: Annotated[int | None, typer.Option(help="Use at most so many rendered faces.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the weights and batches.")] = 0,
    device: Annotated[
        str, typer.Option(help="Where the network runs: auto, cpu, cuda, cuda:1 ...")
    ] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
) -> None:
    """Train a network, and print the path of its weights.

    It learns from rendered faces (aucli synth), or from a dataset you have a licence for (aucli
    prepare). On several GPUs or processes: torchrun --nproc-per-node N -m aucli train ...
    """
    try:
        channels = tuple(int(part) for part in widths.split(",")) if widths else None
    except ValueError as error:
        raise typer.BadParameter(f"--widths takes numbers like 24,48,96, not {widths}") from error
    if dataset == SYNTHETIC and fold:
        raise typer.BadParameter("rendered faces have no folds; name the --dataset.")
    from aucli.cli.console import note, progress_bar
    from aucli.datasets.folds import fold_number
    from aucli.table.dataset import refuse_taken
    from aucli.train.config import with_preset
    from aucli.train.logs import LogEntry
    from aucli.train.trainer import train as run
    from aucli.weights.names import resolve

    weights = out / "weights.safetensors"
    refuse_taken([weights], [], "network")
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

    def brief(values: dict[str, float]) -> str:
        return ", ".join(f"{n} {value:.4f}" for n, value in values.items() if "." not in n)

    with progress_bar("reading faces") as bar:

        def begin(about: tuple[str, ...]) -> None:
            for sentence in about:
                note(sentence)
            bar.begin(model, 1.0)

        def show(entry: LogEntry) -> None:
            if entry.event == "eval":
                note(f"step {entry.step}: held out {brief(entry.values)}")
                return
            words = f"step {entry.step} loss {entry.values['loss']:.3f}"
            bar.move(entry.share, 1.0, f"{words} {entry.samples_per_second:.0f}/s")

        scores = run(config, resume, show, begin)
    if scores:
        note(f"{model}: {brief(scores)} on people who were held out")
    typer.echo(weights)
