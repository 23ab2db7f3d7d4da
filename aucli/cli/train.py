"""``aucli train``: train one of the embedded networks on rendered faces."""

from pathlib import Path
from typing import Annotated, Literal

import typer

KINDS: dict[str, Literal["detector", "landmarks", "au"]] = {
    "detector": "detector",
    "landmarks": "landmarks",
    "scc-small": "au",
}


def train(
    root: Annotated[Path, typer.Option(help="Folder of the rendered shards.", exists=True)],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, log and weights.")],
    model: Annotated[
        Literal["detector", "landmarks", "scc-small"], typer.Option(help="Network to train.")
    ],
    dataset: Annotated[Literal["synthetic"], typer.Option(help="Kind of data.")] = "synthetic",
    minutes: Annotated[float | None, typer.Option(help="Length of the run by the clock.")] = None,
    steps: Annotated[int | None, typer.Option(help="Length of the run in batches.")] = None,
    init: Annotated[
        Path | None, typer.Option(help="Weights to start from, copied by name.", exists=True)
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Samples a batch.", min=2)] = 32,
    lr: Annotated[float, typer.Option(help="Highest learning rate.")] = 2.5e-3,
    widths: Annotated[
        str | None, typer.Option(metavar="A,B,C,D", help="Channels of the trunk's four stages.")
    ] = None,
    k: Annotated[int, typer.Option(help="Neighbours of the SCC layers.", min=1)] = 7,
    threads: Annotated[int, typer.Option(help="Threads of the network.", min=1)] = 1,
    workers: Annotated[int, typer.Option(help="Processes making batches.", min=0)] = 0,
    faces: Annotated[int | None, typer.Option(help="Use at most so many faces.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights and batches.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
) -> None:
    """Train a network on rendered faces; the weights file's path goes to stdout."""
    if (minutes is None) == (steps is None):
        raise typer.BadParameter("give either --minutes or --steps")
    try:
        channels = tuple(int(part) for part in widths.split(",")) if widths else None
    except ValueError as error:
        raise typer.BadParameter(
            f"--widths takes numbers like 24,48,96,128, not {widths}"
        ) from error
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from aucli.cli.console import console, note
    from aucli.train import MAIN_SCORE, Report, TrainConfig
    from aucli.train import train as run

    config = TrainConfig(
        kind=KINDS[model], root=root, out=out, steps=steps, minutes=minutes, init=init,
        batch_size=batch_size, lr=lr, k=k, threads=threads, workers=workers, faces=faces,
        seed=seed, device=device, widths=channels,
    )  # fmt: skip
    columns = (
        TextColumn(model), BarColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn()
    )  # fmt: skip
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(model, total=1.0, state="reading faces")

        def show(report: Report) -> None:
            if report.event == "eval":
                brief = {k: v for k, v in report.values.items() if "." not in k}
                text = " ".join(f"{name} {value:.4f}" for name, value in brief.items())
                bar.console.print(f"step {report.step}: held out {text}", markup=False)
                return
            state = f"step {report.step} loss {report.values['loss']:.3f}"
            state += f" {report.samples_per_second:.0f}/s"
            bar.update(task, completed=report.share, state=state)

        scores = run(config, resume, show)
    if scores:
        main = MAIN_SCORE[config.kind]
        note(f"{model}: {main} {scores[main]:.4f} on people that were held out")
    typer.echo(out / "weights.safetensors")


if __name__ == "__main__":
    typer.run(train)
