"""``aucli eval``: how well any tool's AUs agree with labels."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aucli.cli import options as shared
from aucli.errors import OutputError

if TYPE_CHECKING:
    from aucli.evaluation.running import OnProgress


def evaluate(
    predictions: Annotated[
        Path | None,
        typer.Option(help="Table of a tool, or folder with a table for each video."),
    ] = None,
    format_: Annotated[
        Literal["aucli", "openface", "py-feat", "libreface"] | None,
        typer.Option("--format", help="The tool; by default told by its columns."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Table or folder of tables with frame, AU12 ... and maybe subject and video; with "
            "--dataset, the folder of that dataset."
        ),
    ] = None,
    dataset: Annotated[
        Literal["disfa", "disfa-plus", "bp4d", "bp4d-plus", "fera2017", "unbc", "synthetic"] | None,
        typer.Option(help="Whose labels; synthetic: the embedded networks on rendered faces."),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            help="To run a model: the folder of the dataset as its authors hand it out, or what "
            "'aucli prepare' or 'aucli synth' made of it."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="AU weights to run; {fold} in a path stands for the number of each fold. "
            "Default: the profile's.",
        ),
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Score the test subjects of folds: jaanet, ntinou, arl ..."
        ),
    ] = None,
    fold: Annotated[
        str | None,
        typer.Option(metavar="NAME|NUMBER", help="Only this one of --folds: P1, or 0."),
    ] = None,
    allow_seen: Annotated[
        bool,
        typer.Option(
            "--allow-seen", help="Test a model also on people that it was trained on; it is told."
        ),
    ] = False,
    camera: Annotated[str | None, typer.Option(help="disfa: left or right; fera2017: 1-9.")] = None,
    match: Annotated[
        Literal["auto", "frame", "time"],
        typer.Option(help="What tells which rows belong together; auto: frames if there are any."),
    ] = "auto",
    missing: Annotated[
        Literal["leave", "zero"],
        typer.Option(help="Frames without a prediction: leave out, or take as 0 like OpenFace."),
    ] = "leave",
    positive: Annotated[
        float, typer.Option(min=0, max=5, help="Intensity from which an AU is positive in F1.")
    ] = 2.0,
    resamples: Annotated[
        int, typer.Option(min=0, help="Bootstrap samples of the subjects; 0: no intervals.")
    ] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    published: Annotated[
        bool, typer.Option("--published", help="Show what others published for the dataset.")
    ] = False,
    json_: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write everything as JSON.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as Markdown.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write plots (PNG) into this folder.")
    ] = None,
    profile: shared.Profile = "builtin",
    detector: shared.Detector = None,
    landmarks: shared.Landmarks = None,
    device: shared.Device = "auto",
    batch_size: shared.BatchSize = 16,
    threads: shared.Threads = 0,
    overwrite: shared.Overwrite = False,
    quiet: shared.Quiet = False,
) -> None:
    """Score AU intensities against labels: those of any tool's table, or a model's on a dataset.

    ICC(3,1), PCC, CCC, MAE, MSE and F1 for each AU and their mean, over all frames and within
    subjects. Frames without a prediction are counted.
    """
    reads = predictions is not None
    if reads:
        _only(labels is not None, "give the --labels that go with --predictions.")
        _only(not (root or model), "give either --predictions or a --model and its --root.")
        _only(dataset != "synthetic", "synthetic takes --root, --model and --json only.")
    else:
        both = dataset is not None and root is not None
        _only(both, "give --predictions and --labels, or --dataset and --root.")
        _only(not (labels or format_), "--labels and --format go with --predictions.")
    _only(not (folds or published) or dataset is not None, "name the --dataset, too.")
    _only(fold is None or folds is not None, "name the --folds that --fold is one of.")
    _only("{fold}" not in (model or "") or folds is not None, "{fold} needs --folds.")

    from aucli.evaluation.plots import plot_paths, require_matplotlib
    from aucli.files import refuse_existing

    if plots:
        require_matplotlib()
    for target in [json_, markdown, *(plot_paths(plots) if plots else [])]:
        if target is not None:
            refuse_existing(target, overwrite)
    if threads and not reads:
        import torch

        torch.set_num_threads(threads)
    if dataset == "synthetic" and root is not None:
        _only(not (folds or markdown or plots), "synthetic takes --root, --model and --json only.")
        _card(root, model, profile, device, json_)
        return

    from aucli.cli.score_tables import show_report
    from aucli.evaluation.matching import match as match_frames
    from aucli.evaluation.plots import write_plots
    from aucli.evaluation.published import published_rows
    from aucli.evaluation.running import is_prepared
    from aucli.evaluation.scores import ScoreOptions, score
    from aucli.evaluation.sources import EVERYBODY, fold_split, read_source, run_source
    from aucli.evaluation.writing import to_markdown, to_plain
    from aucli.pipeline.analysis import AnalyzeOptions

    split = fold_split(dataset, folds, fold) if dataset and folds else EVERYBODY
    if predictions is not None and labels is not None:
        found, origin = read_source(predictions, format_, labels, dataset, camera, split)
    else:
        assert dataset is not None and root is not None
        _only(
            missing == "leave" or not is_prepared(root),
            "a prepared set holds no frames without a face; leave them out, or give the dataset.",
        )
        chosen = AnalyzeOptions(
            profile=profile, model=model, detector=detector, landmarks=landmarks, device=device,
            batch_size=batch_size, threads=threads,
        )  # fmt: skip
        with _progress(quiet) as on_progress:
            found, origin = run_source(
                dataset, root, chosen, camera, split, allow_seen, on_progress
            )
    pairs = match_frames(found.labels, found.predictions, match, missing, found.left_out)
    groups = {str(n): test for n, test in split.test.items()} if len(split.test) > 1 else None
    report = score(pairs, ScoreOptions(positive, resamples=resamples, seed=seed), groups)
    rows = published_rows(dataset) if published and dataset else ()
    if json_:
        _write_json(json_, to_plain(report, origin, rows))
    if markdown:
        _write(markdown, to_markdown(report, origin, rows))
    if plots:
        write_plots(plots, pairs, report)
    show_report(report, origin, rows)


def _only(holds: bool, message: str) -> None:
    """A usage error where options do not go together."""
    if not holds:
        raise typer.BadParameter(message)


def _card(
    root: Path,
    model: str | None,
    profile: Literal["builtin", "accurate"],
    device: str,
    json_: Path | None,
) -> None:
    from aucli.cli.score_tables import show_card
    from aucli.evaluation.card import synthetic_card
    from aucli.models.device import resolve_device
    from aucli.pipeline.options import PROFILES

    card = synthetic_card(root, model or PROFILES[profile].model, resolve_device(device))
    if json_:
        _write_json(json_, card.plain())
    show_card(card)


@contextmanager
def _progress(quiet: bool) -> "Iterator[OnProgress]":
    """Yields a function that shows where a run is, on stderr."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from aucli.cli.console import console

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("loading", total=None)

        def show(video: str, done: int, total: int) -> None:
            bar.update(task, description=video, completed=done, total=total or None)

        yield show


def _write_json(path: Path, values: dict[str, Any]) -> None:
    _write(path, json.dumps(values, indent=1, allow_nan=False) + "\n")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise OutputError(
            f"Cannot write {path}: {error.strerror}; choose another place."
        ) from error
