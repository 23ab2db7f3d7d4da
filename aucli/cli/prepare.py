"""``aucli prepare``: a licensee's dataset to cropped, labelled faces."""

from pathlib import Path
from typing import Annotated

import typer

from aucli.cli import options as shared
from aucli.cli.command import examples
from aucli.datasets.names import DATASETS
from aucli.words import counted

EXAMPLES = examples(
    "aucli prepare --dataset disfa --root DISFA --check",
    "aucli prepare --dataset disfa --root DISFA --out disfa-faces",
)


def prepare(
    dataset: Annotated[
        str,
        shared.choice(DATASETS, help="The dataset."),
    ],
    root: Annotated[Path, typer.Option(help="Its folder, as its authors distribute it.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder for the faces. Not with --check.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only list what is missing or wrong in the folder.")
    ] = False,
    camera: Annotated[
        str | None,
        typer.Option(help="disfa: left (default) or right. fera2017: 1-9, 6 by default."),
    ] = None,
    subjects: Annotated[str | None, typer.Option(help="Only these subjects: SN001,SN002.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Take every Nth frame.")] = 1,
    size: Annotated[int, typer.Option(min=32, help="Side of the crops, px.")] = 320,
    detector: shared.Detector = None,
    landmarks: Annotated[
        str | None,
        typer.Option(
            help="Landmark network: a name or file of weights; or 'dataset' for the dataset's own "
            "landmarks."
        ),
    ] = None,
    device: shared.Device = "auto",
    threads: shared.Threads = 0,
    quiet: shared.Quiet = False,
) -> None:
    """Crop the faces of a labelled dataset for training, with landmarks and AU labels.

    A stopped run goes on where it was. dropped.csv in the folder lists every frame that was left
    out, and why. A broken recording is named and left out, and the others go on.
    """
    networks_of = {"--detector": detector, "--device": device != "auto"}
    if check:
        made = {
            "--out": out, "--subjects": subjects, "--every": every != 1, "--size": size != 320,
            "--landmarks": landmarks, "--threads": threads,
        }  # fmt: skip
        shared.refuse("--check", made | networks_of)
        _check(dataset, root, camera)
        return
    if landmarks == "dataset":
        shared.refuse("--landmarks dataset", networks_of)
    if out is None:
        raise typer.BadParameter("give a folder for the faces.", param_hint="--out")
    from aucli.cli.console import note, progress_bar, warn
    from aucli.datasets.prepare import PrepareConfig
    from aucli.datasets.prepare import prepare as run
    from aucli.datasets.prepared import MANIFEST
    from aucli.faces.loading import load_faces
    from aucli.models.device import resolve_device
    from aucli.pipeline.stages import threads_of_exported
    from aucli.table.dataset import refuse_taken

    refuse_taken([out / MANIFEST], [], "set of faces")
    names = None
    if subjects is not None:
        names = tuple(name for part in subjects.split(",") if (name := part.strip()))
        if not names:
            raise typer.BadParameter("names nobody.", param_hint="--subjects")
    config = PrepareConfig(dataset, root, out, camera, names, every, size)
    networks = None
    if landmarks != "dataset":
        device = resolve_device(device)
        networks = load_faces(
            detector or "builtin", landmarks or "builtin", device,
            threads=threads_of_exported(threads),
        )  # fmt: skip
    if threads:
        import torch

        torch.set_num_threads(threads)
    with progress_bar("labelled frames", quiet=quiet) as bar:
        summary = run(
            config,
            networks,
            on_start=lambda frames: bar.begin("labelled frames", frames),
            on_progress=bar.advance,
            on_problem=lambda sentence: note(f"aucli: {sentence}"),
            on_gap=warn,
        )
    if not quiet:
        if summary.absent:
            some = ", ".join(summary.absent[:5]) + (" ..." if summary.absent[5:] else "")
            absent = "1 subject of the dataset is"
            if len(summary.absent) > 1:
                absent = f"{len(summary.absent)} subjects of the dataset are"
            warn(f"{absent} not in {root}: {some}")
        dropped = ", ".join(f"{n} {reason}" for reason, n in summary.dropped.items()) or "none"
        made = f"{counted(summary.faces, 'face')} of {counted(summary.recordings, 'recording')}"
        note(f"{made}; dropped: {dropped}")
    typer.echo(out)
    raise typer.Exit(1 if summary.problems else 0)


def _check(dataset: str, root: Path, camera: str | None) -> None:
    from aucli.cli.console import warn
    from aucli.datasets.adapters import check, find_recordings

    problems = check(dataset, root, camera)
    for problem in problems:
        typer.echo(problem)
    found = find_recordings(dataset, root, camera)
    for recording in found:
        for sentence in recording.labels.gaps:
            warn(sentence)
    if problems:
        raise typer.Exit(1)
    subjects = counted(len({recording.subject for recording in found}), "subject")
    frames = counted(sum(len(recording.labels) for recording in found), "labelled frame")
    typer.echo(f"complete: {subjects}, {counted(len(found), 'recording')}, {frames}")
