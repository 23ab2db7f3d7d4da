"""``aucli eval``: how well any tool's AUs agree with labels."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from aucli.cli import options as shared
from aucli.cli.command import examples
from aucli.datasets.names import DATASETS, SYNTHETIC

DATASET_OPTIONS = ("--camera", "--folds", "--fold", "--published")
DEFAULT_FACES = 1200

EXAMPLES = examples(
    "aucli eval --predictions clip.csv --labels labels.csv --plots plots",
    "aucli eval --dataset disfa --root disfa-faces --folds jaanet \\",
    "    --model 'run-{fold}/weights.safetensors'",
)


def evaluate(
    predictions: Annotated[
        Path | None,
        typer.Option(help="Table of a tool, or a folder with a table for each video."),
    ] = None,
    format_: Annotated[
        Literal["aucli", "openface", "openface3", "py-feat", "libreface"] | None,
        typer.Option(
            "--format", help="The tool that wrote it. Default: recognized by its columns."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Table, or folder of tables, with frame and AU12 ..., and subject and video if "
            "you like. With --dataset: the folder of that dataset."
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        shared.choice(
            (*DATASETS, SYNTHETIC), help="The dataset of the labels. synthetic: rendered faces."
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            help="To run a model: the dataset's folder, or what 'aucli prepare' or 'aucli synth' "
            "made."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="AU weights to run. {fold} in a path stands for the number of each fold. "
            "Default: the profile's.",
        ),
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Score the test subjects of these folds: jaanet, ntinou, arl ..."
        ),
    ] = None,
    fold: Annotated[
        str | None,
        typer.Option(metavar="NAME|NUMBER", help="Only this fold: P1, or 0."),
    ] = None,
    allow_seen: Annotated[
        bool,
        typer.Option(
            "--allow-seen",
            help="Test a model also on people of its training; the report says so.",
        ),
    ] = False,
    faces: Annotated[
        int | None,
        typer.Option(min=1, help="With synthetic: how many faces at most. Default: 1200."),
    ] = None,
    camera: Annotated[str | None, typer.Option(help="disfa: left or right. fera2017: 1-9.")] = None,
    match: Annotated[
        Literal["auto", "frame", "time"],
        typer.Option(help="How rows are matched. auto: by frame number, else by time."),
    ] = "auto",
    missing: Annotated[
        Literal["leave", "zero"],
        typer.Option(
            help="Frames without a prediction: leave them out, or take 0, as OpenFace writes."
        ),
    ] = "leave",
    positive: Annotated[
        float, typer.Option(min=0, max=5, help="From this intensity on, an AU is positive in F1.")
    ] = 2.0,
    resamples: Annotated[
        int,
        typer.Option(
            min=0, help="Bootstrap samples of the subjects, for the intervals. 0: no intervals."
        ),
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
    published: Annotated[
        bool,
        typer.Option("--published", help="Also show scores that others published for the dataset."),
    ] = False,
    json_: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write everything as JSON.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as Markdown.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write plots into this folder, as PNG.")
    ] = None,
    profile: shared.Profile = "builtin",
    detector: shared.Detector = None,
    landmarks: shared.Landmarks = None,
    device: shared.Device = "auto",
    precision: shared.Precision = "fp32",
    batch_size: shared.BatchSize = 16,
    threads: shared.Threads = 0,
    overwrite: shared.Overwrite = False,
    quiet: shared.Quiet = False,
) -> None:
    """Score AU intensities against labels: a table of any tool, or a model on a dataset.

    Prints ICC(3,1), PCC, CCC, MAE, MSE and F1 for each AU and their mean, over all frames and
    within subjects. Frames without a prediction are counted.
    """
    reads = predictions is not None
    rendered = dataset == "synthetic"
    networks = {
        "--root": root, "--model": model, "--detector": detector, "--landmarks": landmarks,
        "--profile": profile != "builtin", "--device": device != "auto",
        "--batch-size": batch_size != 16, "--threads": threads, "--allow-seen": allow_seen,
        "--precision": precision != "fp32",
    }  # fmt: skip
    matched = {
        "--camera": camera, "--folds": folds, "--fold": fold, "--published": published,
        "--match": match != "auto", "--missing": missing != "leave",
    }  # fmt: skip
    if reads:
        _needs(labels, "--labels", "--predictions")
        if dataset is not None:
            networks.pop("--allow-seen")  # our tables tell on whom the network was trained
        shared.refuse(
            "--predictions", networks | {"--faces": faces, "--dataset synthetic": rendered}
        )
    else:
        if dataset is None or root is None:
            raise typer.BadParameter("give --predictions and --labels, or --dataset and --root.")
        shared.refuse("--dataset and --root", {"--labels": labels, "--format": format_})
        if rendered:
            unused = {name: networks[name] for name in ("--allow-seen", "--batch-size")}
            shared.refuse("--dataset synthetic", matched | unused)
        else:
            shared.refuse(f"--dataset {dataset}", {"--faces": faces})
    if model and detector and landmarks:
        shared.refuse("networks that are all named", {"--profile": networks["--profile"]})
    shared.refuse("--resamples 0", {"--seed": seed and not resamples})
    if dataset is None:
        shared.refuse("labels without --dataset", {n: matched[n] for n in DATASET_OPTIONS})
    if fold is not None:
        _needs(folds, "--folds", "--fold")
    if "{fold}" in (model or ""):
        _needs(folds, "--folds", "{fold}")

    from aucli.cli.console import progress_bar
    from aucli.cli.score_tables import show_report
    from aucli.evaluation.matching import match as match_frames
    from aucli.evaluation.plots import plot_paths, require_matplotlib, write_plots
    from aucli.evaluation.published import published_rows
    from aucli.evaluation.running import is_prepared
    from aucli.evaluation.scores import ScoreOptions, score
    from aucli.evaluation.sources import (
        EVERYBODY,
        fold_split,
        read_source,
        rendered_source,
        run_source,
    )
    from aucli.evaluation.writing import to_markdown, to_plain
    from aucli.files import refuse_existing
    from aucli.pipeline.options import AnalyzeOptions
    from aucli.table.dataset import refuse_taken

    rows = published_rows(dataset) if published and dataset else ()
    shared.refuse(f"--dataset {dataset}", {"--published": published and not rows})
    if plots:
        require_matplotlib()
    files = [file for file in (json_, markdown) if file is not None]
    if len({file.resolve() for file in files}) < len(files):
        raise typer.BadParameter("--json and --markdown name the same file.")
    made = [*files, *(plot_paths(plots) if plots else [])]
    read = [path for path in (predictions, labels) if path is not None]
    read += [table for path in read if path.is_dir() for table in path.rglob("*")]
    refuse_taken(made, read, "report")
    for target in made:
        refuse_existing(target, overwrite)
    chosen_scores = ScoreOptions(positive, resamples=resamples, seed=seed)
    split = fold_split(dataset, folds, fold) if dataset and folds else EVERYBODY
    extras = ()
    if predictions is not None and labels is not None:
        found, origin = read_source(
            predictions, format_, labels, dataset, camera, split, allow_seen
        )
    else:
        assert dataset is not None and root is not None
        chosen = AnalyzeOptions(
            profile=profile, model=model, detector=detector, landmarks=landmarks, device=device,
            precision=precision, batch_size=batch_size, threads=threads,
        )  # fmt: skip
        if threads:
            import torch

            torch.set_num_threads(threads)
        if is_prepared(root) and not rendered:
            shared.refuse(
                "a prepared set",
                {
                    "--missing zero": missing != "leave", "--camera": camera,
                    "--detector": detector, "--landmarks": landmarks,
                    "--batch-size": networks["--batch-size"],
                    "--profile": model and networks["--profile"],
                },
            )  # fmt: skip
        with progress_bar("loading", quiet=quiet) as bar:

            def on_video(video: str, done: int, total: int) -> None:
                bar.begin(video, total or None)
                bar.move(done)

            if rendered:
                count = faces or DEFAULT_FACES
                found, origin, extras = rendered_source(root, chosen, count, on_video)
            else:
                found, origin = run_source(
                    dataset, root, chosen, camera, split, allow_seen, on_video
                )
    pairs = match_frames(found.labels, found.predictions, match, missing, found.left_out)
    groups = {str(n): test for n, test in split.test.items()} if len(split.test) > 1 else None
    report = score(pairs, chosen_scores, groups, extras)
    if json_:
        _write_json(json_, to_plain(report, origin, rows))
    if markdown:
        _write(markdown, to_markdown(report, origin, rows))
    if plots:
        write_plots(plots, pairs, report)
    show_report(report, origin, rows)


def _needs(given: object, option: str, other: str) -> None:
    """A usage error where an option goes with another one that is not there."""
    if not given:
        raise typer.BadParameter(f"{other} needs {option}.")


def _write_json(path: Path, values: dict[str, Any]) -> None:
    _write(path, json.dumps(values, indent=1, allow_nan=False) + "\n")


def _write(path: Path, text: str) -> None:
    from aucli.files import write_text, writing

    with writing(path):
        write_text(path, text)
