"""``aucli analyze``: videos and pictures to tables of AU intensity."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from aucli.cli import options as shared
from aucli.errors import AucliError


def analyze(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Videos, pictures, folders or glob patterns. '-' reads a list from stdin.",
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="A table, or a folder for several inputs. '-' is stdout. Default: the current "
            "folder.",
        ),
    ] = None,
    format_: shared.TableFormat = None,
    profile: shared.Profile = "builtin",
    model: shared.Model = None,
    detector: shared.Detector = None,
    landmarks: shared.Landmarks = None,
    faces: shared.Faces = "largest",
    every: Annotated[int, typer.Option(min=1, help="Analyze every Nth frame.")] = 1,
    device: shared.Device = "auto",
    batch_size: shared.BatchSize = 16,
    threads: shared.Threads = 0,
    decoder: shared.Decoder = "auto",
    calibrate: shared.Calibrate = None,
    sides: Annotated[
        bool, typer.Option("--sides", help="Add AU12_L, AU12_R: the person's left and right.")
    ] = False,
    places: Annotated[
        bool,
        typer.Option(
            "--places",
            help="Add AU12_x, AU12_y: where each AU acts, in frame px. With --sides also for each "
            "side.",
        ),
    ] = False,
    presence: Annotated[
        bool, typer.Option("--presence", help="Add AU12_c: 1 where AU12_r is 1 or more.")
    ] = False,
    landmarks_xy: Annotated[
        bool, typer.Option("--landmarks-xy", help="Add x_0 ... y_67: 68 landmarks, in frame px.")
    ] = False,
    heatmaps: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Draw every AU's map over the face, as PNG files in DIR. They show the three "
            "strongest moments of each input, or --heatmap-frames.",
        ),
    ] = None,
    heatmap_frames: Annotated[
        str | None,
        typer.Option(metavar="N,N...", help="Which frames to draw, numbered as in the table."),
    ] = None,
    overwrite: shared.Overwrite = False,
    quiet: shared.Quiet = False,
) -> None:
    """Write a table of AU intensities (0-5): one row for each face and frame.

    A frame without a face has a row, too: success is false and the intensities are empty. A damaged
    file keeps the rows that could be decoded and counts as failed.
    """
    from aucli.analyzer import Analyzer
    from aucli.cli.progress import Reporter
    from aucli.pipeline.batch import Job, TableSettings, run_batch
    from aucli.pipeline.inputs import find_inputs, plan_targets, table_format, unique_names
    from aucli.pipeline.options import AnalyzeOptions

    found, problems = find_inputs(inputs, sys.stdin)
    if not found and not problems:
        raise typer.BadParameter("the list on stdin is empty.", param_hint="INPUT...")
    targets = plan_targets(found, out, format_)
    stems: list[Path | None] = [None] * len(found)
    if heatmaps is not None:
        stems = [heatmaps / name for name in unique_names([item.path for item in found])]
    frames = _frame_numbers(heatmap_frames)
    if frames and heatmaps is None:
        raise typer.BadParameter("name the folder with --heatmaps.", param_hint="--heatmap-frames")
    openface = format_ == "openface"  # always has presences and landmarks
    presence, landmarks_xy = presence or openface, landmarks_xy or openface
    options = shared.option_words(locals())
    AnalyzeOptions.of(options).check()
    reporter = Reporter(len(found) + len(problems), quiet)
    for sentence in problems.values():
        reporter.failed(sentence)
    jobs = []
    # Mistakes that need no network come to light before the networks are loaded.
    for item, target, stem in zip(found, targets, stems, strict=True):
        job = Job(item, target, stem)
        try:
            job.check(overwrite)
        except AucliError as error:
            reporter.failed(str(error))
        else:
            jobs.append(job)
    if jobs:
        analyzer = Analyzer(**options)
        settings = TableSettings(table_format(format_, out), overwrite, frames)
        with reporter:
            for outcome in run_batch(
                analyzer.open, jobs, analyzer.columns, settings, reporter.begin
            ):
                if len(found) == 1 and outcome.is_bug:
                    raise outcome.error  # pyright: ignore[reportGeneralTypeIssues]
                reporter.show(outcome)
        reporter.close_with_summary()
    raise typer.Exit(reporter.exit_code)


def _frame_numbers(text: str | None) -> tuple[int, ...]:
    """``41,60`` -> (40, 59): the table counts from 1."""
    try:
        numbers = [int(part) for part in text.split(",")] if text else []
    except ValueError:
        numbers = [0]
    if any(number < 1 for number in numbers):
        raise typer.BadParameter(
            f"{text!r} are no frame numbers; write them as 41,60, the first frame is 1.",
            param_hint="--heatmap-frames",
        )
    return tuple(number - 1 for number in numbers)
