"""``aucli bench``: how many frames per second this machine analyses."""

import json
import sys
from importlib.util import find_spec as has
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aucli.cli import options as shared
from aucli.cli.command import examples

if TYPE_CHECKING:
    from aucli.bench.plain import FormSpeed
    from aucli.bench.speed import Speed

EXAMPLES = examples(
    "aucli bench clip.mp4",
    "aucli bench clip.mp4 --plain --runs 3",
    "aucli bench clip.mp4 --detector retinaface-mobilenet --json",
)


def bench(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO", help="Videos to time.")],
    runs: Annotated[
        int, typer.Option(min=1, help="Timed runs of each video, after a first run.")
    ] = 5,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain",
            help="Also time the plain ways to do the same, in turns with today's. Takes about 20 "
            "times as long.",
        ),
    ] = False,
    profile: shared.Profile = "builtin",
    model: shared.Model = None,
    detector: shared.Detector = None,
    landmarks: shared.Landmarks = None,
    faces: shared.Faces = "largest",
    device: shared.Device = "auto",
    precision: shared.Precision = "fp32",
    batch_size: shared.BatchSize = 16,
    threads: shared.Threads = 0,
    decoder: shared.Decoder = "auto",
    json_: Annotated[bool, typer.Option("--json", help="Print JSON with every run.")] = False,
) -> None:
    """Time whole analyses of videos in one process, stage by stage and network by network.

    Writes no table. docs/speed.md says what each number means. Other programs slow it down: run it
    on an idle machine, and compare two versions in turns. Peak memory is that of the whole process
    so far: time one video alone to see its own.
    """
    from aucli.analyzer import Analyzer
    from aucli.bench import tables
    from aucli.bench.speed import measure_speed
    from aucli.cli.console import note, progress_bar, warn
    from aucli.errors import AucliError, InputError
    from aucli.files import shown

    options = shared.option_words(locals())
    for path in videos:
        if not path.exists():
            raise InputError(f"{path} does not exist; check the name.")
    analyzer = Analyzer(**options)
    bad = 0
    speeds: list[tuple[Path, Speed]] = []
    with progress_bar("runs", len(videos) * (runs + 1)) as bar:
        for path in videos:
            try:
                speeds.append((path, measure_speed(path, analyzer, runs, bar.advance)))
            except AucliError as error:
                note(f"aucli: {error}")
                bad += 1
    for _, speed in speeds:
        if speed.damage:
            warn(f"{shown(speed.video)}: {speed.damage}; what could be decoded was timed.")
            bad += 1
    found: list[list[FormSpeed]] = [[] for _ in speeds]
    if plain and speeds:
        # After the others, whose memory is told: it takes torch.
        from aucli.bench.plain import forms_of, measure_forms

        forms = forms_of(analyzer)
        with progress_bar("plain runs", len(speeds) * (runs + 1) * len(forms)) as bar:
            found = [measure_forms(path, forms, runs, bar.advance) for path, _ in speeds]
    measured = [(speed, own) for (_, speed), own in zip(speeds, found, strict=True)]
    if json_:
        told = [
            speed.told() | ({"plain": [form.told() for form in own]} if plain else {})
            for speed, own in measured
        ]
        json.dump(told, sys.stdout, indent=1)
        print()
    elif measured:
        print("\n\n".join(tables.as_text(speed, own) for speed, own in measured))
    if any(one.best_rate for speed, _ in measured for one in speed.networks) and not has("onnx"):
        note("The limit is that of torch alone; for ONNX Runtime's, pip install 'aucli[export]'.")
    if bad:
        raise typer.Exit(1)
