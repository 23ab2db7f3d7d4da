"""``aucli eval``: how well any tool's AUs agree with labels."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from aucli.cli import options as shared
from aucli.errors import DataError, OutputError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from aucli.datasets.folds import Fold
    from aucli.pipeline.analysis import AnalyzeOptions
    from aucli.scoring.published import PublishedRow
    from aucli.scoring.running import OnProgress, Run
    from aucli.scoring.scores import Report
    from aucli.scoring.writing import Origin

WIDE = 128  # columns of a terminal that hold the intervals too
# The table goes whole into files and pipes, which have no width.
PIPED_WIDTH = 400
SYNTHETIC_FACES = 1200


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
            help="AU weights to run; {fold} in a path stands for each fold's name. "
            "Default: the profile's.",
        ),
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(help="Score the test subjects of these folds: jaanet, ntinou, arl ..."),
    ] = None,
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
    from aucli.scoring.plots import plot_paths, require_matplotlib
    from aucli.table import refuse_existing

    if plots:
        require_matplotlib()
    for target in [json_, markdown, *(plot_paths(plots) if plots else [])]:
        if target is not None:
            refuse_existing(target, overwrite)
    run = _Run(
        dataset, root, model, camera, profile, detector, landmarks, device, batch_size, threads,
        quiet,
    )  # fmt: skip
    if dataset == "synthetic":
        if predictions or labels or folds or plots or markdown:
            raise typer.BadParameter("synthetic takes --root, --model and --json only.")
        _synthetic(run, json_)
        return

    from aucli.scoring.matching import match as match_frames
    from aucli.scoring.published import published_rows
    from aucli.scoring.scores import ScoreOptions, score
    from aucli.scoring.writing import to_markdown, to_plain

    if published and dataset is None:
        raise typer.BadParameter("name the --dataset whose published scores to show.")
    chosen = _folds(dataset, folds)
    if predictions is not None:
        if root or model:
            raise typer.BadParameter("give either --predictions or a --model and its --root.")
        if labels is None:
            raise typer.BadParameter("needed with --predictions.", param_hint="--labels")
        found, origin = _read(predictions, format_, labels, dataset, camera, chosen, folds)
    else:
        if labels or format_:
            raise typer.BadParameter("goes with --predictions.", param_hint="--labels, --format")
        found, origin = _predict(run, chosen, folds, missing)
    pairs = match_frames(found.labels, found.predictions, match, missing, found.left_out)
    subjects = {name: fold.test for name, fold in chosen.items()} if len(chosen) > 1 else None
    report = score(pairs, ScoreOptions(positive, resamples=resamples, seed=seed), subjects)
    rows = published_rows(dataset) if published and dataset else ()
    if json_:
        _write(json_, json.dumps(to_plain(report, origin, rows), indent=1, allow_nan=False) + "\n")
    if markdown:
        _write(markdown, to_markdown(report, origin, rows))
    if plots:
        from aucli.scoring.plots import write_plots

        write_plots(plots, pairs, report)
    _show(report, origin, rows)


@dataclass(frozen=True, slots=True)
class _Run:
    """The options that decide how a model is run."""

    dataset: str | None
    root: Path | None
    model: str | None
    camera: str | None
    profile: Literal["builtin", "accurate"]
    detector: str | None
    landmarks: str | None
    device: str
    batch_size: int
    threads: int
    quiet: bool

    def options(self, model: str | None) -> "AnalyzeOptions":
        from aucli.pipeline.analysis import AnalyzeOptions

        return AnalyzeOptions(
            profile=self.profile, model=model, detector=self.detector, landmarks=self.landmarks,
            device=self.device, batch_size=self.batch_size, threads=self.threads,
        )  # fmt: skip


def _folds(dataset: str | None, name: str | None) -> "dict[str, Fold]":
    """The folds by name; none where none are asked for."""
    if name is None:
        return {}
    if dataset is None:
        raise typer.BadParameter("name the --dataset they divide.", param_hint="--folds")
    from aucli.datasets.folds import folds

    return folds(dataset, name)


def _split(chosen: "dict[str, Fold]", name: str | None) -> str:
    if not chosen:
        return "all subjects"
    return (
        f"test subjects of {name} ({', '.join(chosen)})" if len(chosen) > 1 else f"test of {name}"
    )


def _read(
    path: Path,
    tool: str | None,
    labels: Path,
    dataset: str | None,
    camera: str | None,
    chosen: "dict[str, Fold]",
    folds: str | None,
) -> "tuple[Run, Origin]":
    """A tool's table and the labels that go with it."""
    from aucli.datasets.adapters import load_labels
    from aucli.predictions import TOOLS, read_labels, read_predictions
    from aucli.scoring.running import Run
    from aucli.scoring.writing import Origin

    predictions = read_predictions(path, tool)
    table = load_labels(dataset, labels, camera) if dataset else read_labels(labels)
    if chosen:
        test = [subject for fold in chosen.values() for subject in fold.test]
        table = table.loc[table["subject"].isin(test)]
    origin = Origin(
        predictions=str(path),
        tool=TOOLS[predictions.tool].title,
        labels=f"{dataset}, {labels}" if dataset else str(labels),
        split=_split(chosen, folds),
        frames=_frames(dataset),
    )
    return Run(table, predictions), origin


def _frames(dataset: str | None) -> str:
    bad = ", without those its authors declare bad" if dataset == "disfa" else ""
    return f"every labelled frame{bad}"


def _predict(
    run: _Run, chosen: "dict[str, Fold]", folds: str | None, missing: str
) -> "tuple[Run, Origin]":
    """Run a model, or each fold's, on a dataset."""
    if run.dataset is None or run.root is None:
        raise typer.BadParameter("give --predictions and --labels, or --dataset and --root.")
    from aucli.pipeline.loading import PROFILES, load_models, resolve_device
    from aucli.scoring.running import FOLD, is_prepared, joined, run_prepared, run_videos, tested
    from aucli.scoring.writing import Origin
    from aucli.weights.cards import load_au_model

    name = run.model or PROFILES[run.profile].model
    if FOLD in name and not chosen:
        raise typer.BadParameter("{fold} in a model's name needs --folds.", param_hint="--model")
    prepared = is_prepared(run.root)
    if prepared and missing == "zero":
        raise typer.BadParameter(
            "a prepared set holds no frames without a face; leave them out, or give the dataset.",
            param_hint="--missing",
        )
    runs, used = [], []
    with _progress(run.quiet) as on_progress:
        for path, subjects in tested(chosen, name) if chosen else [(name, None)]:
            if prepared:
                import torch

                if run.threads:
                    torch.set_num_threads(run.threads)
                au = load_au_model(path).to(resolve_device(run.device))
                found = run_prepared(run.root, au, run.dataset, subjects, on_progress)
            else:
                options = run.options(path)
                models = load_models(options)
                au = models.au
                found = run_videos(
                    run.root, models, options, run.dataset, subjects, run.camera, on_progress
                )
            runs.append(found)
            used.append(f"{au.name}, sha256 {au.sha256[:12]}")
    how = "prepared faces" if prepared else "whole videos, as by analyze"
    origin = Origin(
        predictions="; ".join(used),
        tool=how,
        labels=f"{run.dataset}, {run.root}",
        split=_split(chosen, folds),
        frames=_frames(run.dataset) + (" of the prepared set" if prepared else ""),
    )
    return joined(runs), origin


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


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise OutputError(
            f"Cannot write {path}: {error.strerror}; choose another place."
        ) from error


def _stdout() -> "Console":
    import shutil
    import sys

    from rich.console import Console

    # A pipe or a file has no width: lines stay whole there.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPED_WIDTH
    return Console(file=sys.stdout, width=width, highlight=False)


def _grid(titles: list[str], rows: list[list[str]], text_columns: int = 1) -> "Table":
    """A plain table: the last row is set off, and n/a is dim."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for index, title in enumerate(titles):
        left = index < text_columns
        table.add_column(Text(title), justify="left" if left else "right", no_wrap=True)
    for number, row in enumerate(rows):
        style = "dim" if "n/a" in row[-1:] else ""
        cells = [Text(cell, "dim" if cell == "n/a" else style) for cell in row]
        table.add_row(*cells, end_section=number == len(rows) - 2)
    return table


def _show(report: "Report", origin: "Origin", rows: "Sequence[PublishedRow]") -> None:
    from aucli.scoring.published import CAVEAT
    from aucli.scoring.scores import VIEWS
    from aucli.scoring.writing import (
        PUBLISHED_COLUMNS,
        cells,
        columns,
        published_cells,
        sentences,
    )

    console = _stdout()
    for line in sentences(report, origin):
        console.print(line, markup=False)
    for view in report.scores:
        if view == "within" and report.subjects == 1:
            continue  # the same numbers
        console.print(f"\n{view}: {VIEWS[view]}", markup=False, style="bold")
        console.print(_grid(columns(report), cells(report, view, console.width >= WIDE)))
    if rows:
        console.print(CAVEAT, markup=False, style="bold")
        console.print(_grid(PUBLISHED_COLUMNS, published_cells(rows)))


def _synthetic(run: _Run, json_: Path | None) -> None:
    """The card of the embedded weights, or of another AU network, on held-out rendered people."""
    if run.root is None:
        raise typer.BadParameter("give the folder that 'aucli synth' wrote.", param_hint="--root")
    import math

    import torch

    from aucli.aus import SYNTHETIC_AUS
    from aucli.datasets.synthetic import FaceStore
    from aucli.evaluate import au_scores, held_out_frames, landmark_scores, place_scores
    from aucli.pipeline.loading import PROFILES, resolve_device
    from aucli.scoring.writing import number
    from aucli.weights.cards import DEFAULT_LANDMARKS, load_au_model, load_weights

    if run.threads:
        torch.set_num_threads(run.threads)
    device = resolve_device(run.device)
    held_out = held_out_frames(FaceStore(run.root, "test"), SYNTHETIC_FACES)
    landmark_net = load_weights(DEFAULT_LANDMARKS).net.to(device)
    model = load_au_model(run.model or PROFILES[run.profile].model).to(device)
    if model.aus != SYNTHETIC_AUS:
        raise DataError(f"{model.name} does not predict the AUs of the synthetic faces.")
    scores = au_scores(model, held_out, landmark_net)
    scores |= place_scores(model, held_out, landmark_net)
    nets = {model.name: scores, DEFAULT_LANDMARKS: landmark_scores(landmark_net, held_out)}
    if json_:
        plain = {
            name: {k: None if math.isnan(v) else v for k, v in values.items()}
            for name, values in nets.items()
        }
        _write(json_, json.dumps({"faces": len(held_out.frames), **plain}, indent=1) + "\n")
    metrics = {"icc31": "ICC(3,1)", "pcc": "PCC", "mae": "MAE", "place": "place"}
    rows = [[au, *(number(scores[f"{m}.{au}"]) for m in metrics)] for au in SYNTHETIC_AUS]
    rows.append(["mean", *(number(scores[m]) for m in metrics)])
    console = _stdout()
    console.print(
        f"{model.name} on {len(held_out.frames)} rendered faces of people held out of training. "
        "place: median distance from the true place over the distance between the outer eye "
        "corners.",
        markup=False,
    )
    console.print(_grid(["AU", *metrics.values()], rows))
    console.print(f"{DEFAULT_LANDMARKS} on the same faces:", markup=False)
    marks = [[name, number(value, 4)] for name, value in nets[DEFAULT_LANDMARKS].items()]
    console.print(_grid(["score", "value"], marks))
