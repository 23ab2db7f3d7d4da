"""``aucli analyze``: videos and pictures to tables of AU intensity."""

import os
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aucli.cli import options as shared
from aucli.cli.command import examples
from aucli.errors import AucliError, OutputError
from aucli.words import counted

if TYPE_CHECKING:
    from aucli.cli.progress import Reporter
    from aucli.pipeline.batch import Job
    from aucli.pipeline.journal import Journal
    from aucli.pipeline.options import OptionWords
    from aucli.pipeline.outputs import Outputs

EXAMPLES = examples(
    "aucli analyze clip.mp4",
    "aucli analyze clip.mp4 -o clip.csv --sides --places",
    "aucli analyze study/ -o tables/ --report",
    "aucli analyze study/ -o all.csv",
    "aucli analyze study/ -o dataset/ --format dataset",
)


def analyze(
    ctx: typer.Context,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Videos, pictures, folders or glob patterns, also by s3:// or gs:// URLs. '-' "
            "reads a list from stdin.",
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="A folder for a table of each input, or one table of all that ends in .parquet, "
            ".csv or .jsonl; also by an s3:// or gs:// URL. '-' is stdout. Default: the current "
            "folder.",
        ),
    ] = None,
    format_: shared.TableFormat = None,
    spaces: shared.Spaces = False,
    profile: shared.Profile = "builtin",
    model: shared.Model = None,
    detector: shared.Detector = None,
    landmarks: shared.Landmarks = None,
    faces: shared.Faces = "largest",
    every: Annotated[int, typer.Option(min=1, help="Analyze every Nth frame.")] = 1,
    start: Annotated[
        float | None,
        typer.Option(
            metavar="TIME",
            parser=shared.seconds,
            help="Analyze from this time of the video on: 90, 1:30 or 0:01:30.5.",
        ),
    ] = None,
    end: Annotated[
        float | None,
        typer.Option(metavar="TIME", parser=shared.seconds, help="Analyze up to this time."),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(metavar="N", help="Analyze N frames of each second.")
    ] = None,
    segments: Annotated[
        float | None,
        typer.Option(
            metavar="auto|TIME",
            parser=shared.segment_length,
            help="Cut each longer video into parts of about this length, which workers analyze at "
            "the same time: 5:00, or auto, which is 10:00. Default: off.",
        ),
    ] = None,
    device: shared.Device = "auto",
    precision: shared.Precision = "fp32",
    batch_size: shared.BatchSize = 16,
    threads: shared.Threads = 0,
    decoder: shared.Decoder = "auto",
    max_pixels: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Refuse frames and pictures of more pixels, which fill memory."
        ),
    ] = 100_000_000,
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
    gaze: Annotated[
        bool,
        typer.Option(
            "--gaze",
            help="Add gaze_0_x ... gaze_1_z, gaze_angle_x, gaze_angle_y: where the eyes look, as "
            "OpenFace tells it. For networks that know it.",
        ),
    ] = False,
    landmarks_xy: Annotated[
        bool,
        typer.Option(
            "--landmarks-xy",
            help="Add frame_w, frame_h and x_0 ... y_67: 68 landmarks, in frame px.",
        ),
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="Also write a page to look at: report.html in the folder of the tables, or "
            "clip.html beside clip.parquet. Adds --places and --sides. Shows faces; see aucli "
            "report for more choices.",
        ),
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
    overlay: Annotated[
        bool,
        typer.Option(
            "--overlay",
            help="Draw each table into its video, as clip.overlay.mp4 beside the table. Adds the "
            "columns of --places and --sides.",
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on where an earlier run stopped: skip inputs whose table is there, made from "
            "the same file with the same settings.",
        ),
    ] = False,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="With --resume: try failed and damaged inputs again."),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=0,
            help="Analyze N inputs at the same time; they share the CPU. 0: one for every two "
            "cores. Default: 1; with Ray, or a video that --segments cuts, as many as there is "
            "room for.",
        ),
    ] = None,
    engine: shared.Engine = "local",
    ray_address: shared.RayAddress = None,
    overwrite: shared.Overwrite = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show which tables would be written, and estimate frames, time and disk space.",
        ),
    ] = False,
    stall_timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="In a batch, give up an input of which nothing comes for so long. 0: never.",
        ),
    ] = 60,
    log: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Add every message to FILE, with the time."),
    ] = None,
    quiet: shared.Quiet = False,
) -> None:
    """Write a table of AU intensities (0-5): one row for each face and frame.

    A frame without a face has a row, too: success is false and the intensities are empty. A damaged
    file keeps the rows that could be decoded and counts as failed.
    """
    from aucli import worker
    from aucli.cli.console import log_to, note
    from aucli.cli.progress import Reporter
    from aucli.files import refuse_inputs, shown
    from aucli.pipeline.batch import InProcess, Job, TableSettings, run_batch, with_names
    from aucli.pipeline.inputs import (
        find_inputs,
        is_no_log,
        local_paths,
        one_table,
        overlay_stem,
        passed_over_words,
        plan_pictures,
        plan_targets,
        table_format,
    )
    from aucli.pipeline.options import AnalyzeOptions
    from aucli.pipeline.outputs import Outputs
    from aucli.pipeline.resume import Resume
    from aucli.pipeline.segments import count_all_parts
    from aucli.pipeline.urls import refuse_urls
    from aucli.pipeline.workers import MOST_WORKERS, Workers, count_jobs
    from aucli.table.dataset import DATASET, refuse_taken
    from aucli.table.openface import left_out
    from aucli.table.writer import provenance_file
    from aucli.video.stills import overlay_files

    shared.check_spaces(spaces, format_)
    refuse_urls(
        {
            "calibrate": calibrate,
            "model": model,
            "detector": detector,
            "landmarks": landmarks,
        }
    )
    if retry_failed and not resume:
        raise typer.BadParameter("it goes with --resume.", param_hint="--retry-failed")
    shared.check_ray(engine, ray_address)
    if resume and out == "-":
        raise typer.BadParameter("the standard output keeps no tables.", param_hint="--resume")
    if report and out == "-":
        raise typer.BadParameter("the standard output keeps no tables.", param_hint="--report")
    places, sides = places or report, sides or report
    if overlay and out == "-":
        raise typer.BadParameter("it is drawn from a table; name a file.", param_hint="--overlay")
    found, problems, passed_over = find_inputs(inputs, sys.stdin)
    if not found and not problems:
        raise typer.BadParameter("the list on stdin is empty.", param_hint="INPUT...")
    outputs = Outputs(out, overwrite or resume)
    out = outputs.out
    if outputs.url is not None:
        refused = {"--report": report, "--overlay with --engine ray": overlay and engine == "ray"}
        if names := [name for name, asked in refused.items() if asked]:
            raise typer.BadParameter(
                f"{outputs.url} is a URL; name a folder with --out.", param_hint=names[0]
            )
    refused = {"report": report, "overlay": overlay} if format_ == DATASET else {}
    if names := [name for name, asked in refused.items() if asked]:
        raise typer.BadParameter(
            "a dataset holds tables alone; analyze with --places --sides, and then take "
            f"'aucli {names[0]}'.",
            param_hint=f"--{names[0]}",
        )
    journal = outputs.journal()
    # A table keeps the name that an earlier run gave it.
    given = journal.given()
    with outputs.named():
        targets = plan_targets(found, out, format_, given)
    if one := one_table(targets):
        refused = {"--resume": resume, "--report": report, "--overlay": overlay}
        if names := [name for name, asked in refused.items() if asked]:
            raise typer.BadParameter(
                outputs.words(f"{shown(one)} is one table of {len(found)} inputs; name a folder."),
                param_hint=names[0],
            )
    stems: list[Path | None] = [None] * len(found)
    if heatmaps is not None:
        stems = [*plan_pictures(found, heatmaps, out, given, format_)]
    if segments and heatmaps is not None:
        raise typer.BadParameter("it does not go with --segments.", param_hint="--heatmaps")
    frames = _frame_numbers(heatmap_frames)
    if frames and heatmaps is None:
        raise typer.BadParameter("name the folder with --heatmaps.", param_hint="--heatmap-frames")
    openface = format_ == "openface"
    sides, places = sides or overlay, places or overlay
    options = shared.option_words(locals())
    reads = AnalyzeOptions.of(options).reads()
    refuse_inputs(filter(None, targets), reads, "table")
    overlays = [overlay_stem(table) if overlay and table else None for table in targets]
    drawn = [file for stem in overlays if stem for file in overlay_files(stem)]
    outputs.refuse_inputs([*filter(None, targets), *drawn], found)
    refuse_inputs(drawn, [*local_paths(found), *reads], "film")
    if log is not None:
        read = [*local_paths(found), *reads]
        tables = [file for table in targets if table for file in (table, provenance_file(table))]
        refuse_taken([log], read, "log")
        if is_no_log(log):
            raise typer.BadParameter(
                f"{shown(log)} is there and is no log; name another file.", param_hint="--log"
            )
        if os.path.abspath(log) in {os.path.abspath(file) for file in [*tables, journal.path]}:
            raise typer.BadParameter("a table or the journal is there.", param_hint="--log")
    planned = [
        Job(item, target, stem, frames, film)
        for item, target, stem, film in zip(found, targets, stems, overlays, strict=True)
    ]
    # One input alone leaves nothing beside its table, unless a folder was named for it.
    alone = len(planned) + len(problems) == 1 and out is None and not resume
    if alone or out == "-" or set(targets) == {Path(out or "")}:
        journal = None
    page = _page(journal, targets, resume or overwrite) if report else None
    told = shared.told_of_file(ctx)
    settings = TableSettings(table_format(format_, out), overwrite or resume, spaces, told)
    if (
        len(planned) < 2
    ):  # of a batch they are checked by the worker, which loads the networks anyway
        AnalyzeOptions.of(options).check()
    with log_to(log), outputs, ExitStack() as stack:
        reporter = Reporter(len(planned) + len(problems), quiet)
        if passed_over and not quiet:
            note(passed_over_words(passed_over))
        for name, sentence in problems.items():
            reporter.failed(name, sentence)
        # Mistakes that need no network come to light before the networks are loaded.
        tables = [*filter(None, targets)]
        outputs.load(map(provenance_file, tables))
        noting = None if dry_run else journal
        planned = _without_mistakes(planned, settings.overwrite, reporter, noting, outputs)
        if not planned:
            raise typer.Exit(reporter.exit_code)
        if dry_run:
            _show_estimate(planned, options, settings.format, reporter, outputs)
            raise typer.Exit(reporter.exit_code)
        count = count_all_parts(
            [job.input.path for job in planned], AnalyzeOptions.of(options), MOST_WORKERS
        )
        if engine == "ray":
            from aucli.cluster import RayWorkers

            engines = RayWorkers(options, jobs or 0, count, ray_address, stall_timeout)
            analyzer = stack.enter_context(engines)[0]
        elif count == 1:
            from aucli.analyzer import Analyzer

            analyzer = Analyzer(**options)
            engines = [InProcess(analyzer.rows, worker.draw)]
        else:
            usual = 0 if count > len(planned) else 1
            count = count_jobs(usual if jobs is None else jobs, count)
            engines = stack.enter_context(Workers(options, count, stall_timeout))
            analyzer = engines[0]
        earlier = None
        if resume:
            outputs.load(tables)
            earlier = Resume(analyzer.recipe, journal, retry_failed)
            if not overwrite:
                earlier.check(job.target for job in planned if job.target is not None)
        outputs.check_parts(tables, with_names(analyzer.columns, planned).schema())
        with reporter:
            for outcome in run_batch(
                engines,
                planned,
                analyzer.columns,
                settings,
                reporter.watch,
                journal,
                earlier,
                outputs.deliver,
                bool(segments),
            ):
                if reporter.total == 1 and outcome.is_bug:
                    raise outcome.error  # pyright: ignore[reportGeneralTypeIssues]
                reporter.show(outputs.told(outcome))
        reporter.close_with_summary(planned)
        if openface and not quiet and (absent := left_out(analyzer.columns.schema())):
            note(absent)
        code = reporter.exit_code
        if page is not None:
            code = max(code, _write_report(page, journal, planned, quiet))
    raise typer.Exit(code)


def _page(journal: "Journal | None", targets: "Iterable[Path | None]", replace: bool) -> Path:
    """Where the page of ``--report`` goes. Raises AucliError where it cannot be written."""
    from aucli.files import refuse_existing, shown
    from aucli.report.page import check_libraries, is_report

    check_libraries()
    table = next(filter(None, targets), Path())
    page = table.with_suffix(".html") if journal is None else journal.folder / "report.html"
    refuse_existing(page, overwrite=replace)
    if page.exists() and not is_report(page):
        raise OutputError(
            f"{shown(page)} is there and is no page of aucli; rename it, or name another place for "
            "the tables with --out."
        )
    return page


def _write_report(page: Path, journal: "Journal | None", jobs: "list[Job]", quiet: bool) -> int:
    """Write the page of the tables that are there; returns the exit code."""
    from aucli.cli.reporting import write
    from aucli.report.page import ReportOptions
    from aucli.report.study import find_tables

    folders = [] if journal is None else [journal.folder]
    tables = {os.path.abspath(job.target): job.input.path for job in jobs if job.target}
    videos = {table: path for table, path in tables.items() if isinstance(path, Path)}
    found = find_tables(folders or [table for table in tables if Path(table).exists()])
    if not found.tables:
        return 1
    options = ReportOptions(inputs=videos)
    return write(found, page, options, folders, overwrite=True, quiet=quiet)


def _without_mistakes(
    jobs: "list[Job]",
    overwrite: bool,
    reporter: "Reporter",
    journal: "Journal | None",
    outputs: "Outputs",
) -> "list[Job]":
    """The jobs that can start; the others are told, existing tables in one sentence."""
    from aucli.files import OutputExists
    from aucli.pipeline.batch import Outcome, noted
    from aucli.pipeline.inputs import one_table
    from aucli.pipeline.urls import NoAnswer

    good: list[Job] = []
    there: list[Job] = []
    for job in jobs:
        try:
            job.check(overwrite)
        except OutputExists as error:
            if job.target is None or not job.target.exists():  # a picture is
                reporter.failed(job.input.label, outputs.words(str(error)))
            else:
                there.append(job)
        except NoAnswer:  # nor would it to the next one
            raise
        except AucliError as error:
            reporter.show(outputs.told(noted(journal, Outcome(job, error))))
        else:
            good.append(job)
    if there:
        what = (
            f"{there[0].target} exists already; --resume skips it where it is done, --overwrite "
            "replaces it."
        )
        if one_table(job.target for job in jobs):
            what = f"{there[0].target} exists already; --overwrite replaces it."
        elif len(there) > 1:
            what = (
                f"{len(there)} tables exist already ({there[0].target} ...); --resume skips those "
                "that are done, --overwrite replaces them."
            )
        reporter.failed_together([job.input.label for job in there], outputs.words(what))
    return good


def _show_estimate(
    jobs: "list[Job]",
    options: "OptionWords",
    table_format: str,
    reporter: "Reporter",
    outputs: "Outputs",
) -> None:
    """One line for each table on stdout, and the sums on stderr."""
    from aucli.analyzer import Analyzer
    from aucli.cli.console import note, progress_bar
    from aucli.estimate import estimate

    with progress_bar("looking", len(jobs)) as bar:
        found = estimate(Analyzer(**options), jobs, table_format, bar.advance)
    for job, frames in zip(jobs, found.frames, strict=True):
        if job.input.label in found.problems:
            reporter.failed(job.input.label, found.problems[job.input.label])
            continue
        count = counted(frames, "frame") if frames else "length unknown"
        print(outputs.words(f"{job.input.label} -> {job.target or 'stdout'}: {count}"))
    unknown = sum(frames is None for frames in found.frames) - len(found.problems)
    more = f", and {counted(unknown, 'input')} of unknown length" if unknown else ""
    known = counted(sum(frames for frames in found.frames if frames), "frame")
    note(f"{counted(len(jobs), 'input')}, {known}{more}.")
    if found.seconds is not None and found.bytes is not None:
        speeds = [f"{fps:.0f} fps" for fps in found.fps.values()]
        if len(speeds) > 1:
            speeds = [f"{fps:.0f} fps for {kind}" for kind, fps in found.fps.items()]
        note(
            f"About {_duration(found.seconds)} at {' and '.join(speeds)}, as a short try gave, and "
            f"{found.bytes / 1e6:.1f} MB of tables."
        )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


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
