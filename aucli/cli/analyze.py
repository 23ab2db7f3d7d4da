"""``aucli analyze``: videos and pictures to tables of AU intensity."""

import glob
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aucli.cli import options as shared
from aucli.cli.inputs import Input, find_inputs, plan_targets, table_format, unique_names
from aucli.errors import AucliError, InputError

if TYPE_CHECKING:
    from aucli.cli.progress import Reporter
    from aucli.pipeline.analysis import Analysis, AnalyzeOptions, Models
    from aucli.pipeline.calibration import Baseline


def analyze(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Videos, pictures, folders, glob patterns; '-' reads a list from stdin.",
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="Table, or folder for several inputs; '-' is stdout. Default: the current folder.",
        ),
    ] = None,
    format_: shared.TableFormat = None,
    profile: shared.Profile = "builtin",
    model: shared.Model = None,
    detector: shared.Detector = None,
    landmarks: shared.Landmarks = None,
    faces: shared.Faces = "largest",
    every: Annotated[int, typer.Option(min=1, help="Analyse each Nth frame.")] = 1,
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
            help="Add AU12_x, AU12_y: where each AU acts, frame px; with --sides on each side.",
        ),
    ] = False,
    presence: Annotated[
        bool, typer.Option("--presence", help="Add AU12_c: 1 where AU12_r is 1 or more.")
    ] = False,
    landmarks_xy: Annotated[
        bool, typer.Option("--landmarks-xy", help="Add x_0 ... y_67: the 68 landmarks, frame px.")
    ] = False,
    heatmaps: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Draw every AU's map over the face, as PNG files in DIR: of the three strongest "
            "moments of each input, or of --heatmap-frames.",
        ),
    ] = None,
    heatmap_frames: Annotated[
        str | None,
        typer.Option(metavar="N,N...", help="Frames to draw, as the table numbers them."),
    ] = None,
    overwrite: shared.Overwrite = False,
    quiet: shared.Quiet = False,
) -> None:
    """Write a table of AU intensities, 0-5: one row a face and frame.

    A frame without a face has a row too, with success false and no intensities. A damaged file
    keeps the rows that could be decoded and counts as failed.
    """
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

    from aucli.cli.progress import Reporter
    from aucli.faces.finder import parse_faces
    from aucli.files import refuse_existing
    from aucli.pipeline.analysis import AnalyzeOptions
    from aucli.pipeline.calibration import parse_calibration
    from aucli.pipeline.loading import load_models, resolve_device
    from aucli.pipeline.neutral import measure_neutral

    try:
        parse_faces(faces)
        device = resolve_device(device)
        if calibrate is not None:
            parse_calibration(calibrate, faces)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error
    openface = format_ == "openface"  # always has presences and landmarks
    chosen = AnalyzeOptions(
        profile=profile,
        model=model,
        detector=detector,
        landmarks=landmarks,
        faces=faces,
        every=every,
        device=device,
        batch_size=batch_size,
        threads=threads,
        decoder=decoder,
        calibrate=calibrate,
        sides=sides,
        places=places,
        presence=presence or openface,
        landmarks_xy=landmarks_xy or openface,
    )
    reporter = Reporter(len(found) + len(problems), quiet)
    for problem in problems:
        reporter.failed(problem)
    jobs = []
    # Mistakes that need no network are told before the networks are loaded.
    for item, target, stem in zip(found, targets, stems, strict=True):
        try:
            if not item.path.exists():
                raise InputError(f"{item.path} does not exist; check the name.")
            if target is not None:
                refuse_existing(target, overwrite)
            if stem is not None:
                for picture in stem.parent.glob(f"{glob.escape(stem.name)}_frame*_face*.png"):
                    refuse_existing(picture, overwrite)
            jobs.append(_Job(item, target, stem))
        except AucliError as error:
            reporter.failed(str(error))
    if jobs:
        models, kind = load_models(chosen), table_format(format_, out)
        neutral = measure_neutral(models, chosen)
        alone = len(found) == 1
        run = _Run(models, chosen, neutral, kind, frames, overwrite, reporter, alone)
        with reporter:
            if out == "-":
                run.to_stdout(jobs)
            else:
                for job in jobs:
                    run.to_file(job)
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


@dataclass(frozen=True, slots=True)
class _Job:
    """One input, its table (None: the standard output) and how the names of its pictures begin."""

    item: Input
    target: Path | None
    pictures: Path | None


@dataclass(frozen=True, slots=True)
class _Run:
    """What all inputs of one command share."""

    models: "Models"
    options: "AnalyzeOptions"
    neutral: "Baseline | None"
    table_format: str
    frames: tuple[int, ...]
    overwrite: bool
    reporter: "Reporter"
    alone: bool

    def to_file(self, job: _Job) -> None:
        """One input into a table of its own; a failure is told and the batch goes on."""
        from aucli.table.writer import TableWriter

        with self._going_on(job.item), self._analysis(job) as analysis:
            schema = analysis.columns.schema()
            with TableWriter(job.target, schema, self.table_format, self.overwrite) as writer:
                for batch in analysis:
                    writer.write(batch)
                writer.provenance = analysis.provenance()
            self.reporter.done(job.item.label, str(job.target), analysis.summary)

    def to_stdout(self, jobs: list[_Job]) -> None:
        """All inputs into one stream; rows that are out stay out when their input fails."""
        from aucli.pipeline.analysis import columns_for
        from aucli.table.writer import TableWriter

        schema = columns_for(self.models.au, self.options).schema()
        told = []
        with TableWriter(None, schema, self.table_format) as writer:
            for job in jobs:
                with self._going_on(job.item), self._analysis(job) as analysis:
                    for batch in analysis:
                        writer.write(batch)
                    told.append(analysis.provenance())
                    self.reporter.done(job.item.label, "stdout", analysis.summary)
            writer.provenance = told[0] if len(told) == 1 else {"inputs": told}

    @contextmanager
    def _analysis(self, job: _Job) -> Iterator["Analysis"]:
        """An open input; once its rows have passed, the pictures of its maps."""
        from aucli.pipeline.analysis import analyze_video
        from aucli.pipeline.maps import FaceChoice, write_panels

        item, choice = job.item, FaceChoice(self.frames)
        on_rows = choice.add if job.pictures is not None else None
        on_progress = self.reporter.begin(item.label)
        with analyze_video(
            item.path, self.models, self.options, on_progress, item.label, on_rows, self.neutral
        ) as analysis:
            yield analysis
            if analysis.calibrator is not None:
                self.reporter.uncalibrated(item.label, analysis.calibrator.uncalibrated)
            if job.pictures is not None:
                drawn = write_panels(
                    item.path, item.label, self.models.au, choice.faces(), job.pictures,
                    self.options,
                )  # fmt: skip
                self.reporter.drawn(item.label, drawn, choice.without_face())

    @contextmanager
    def _going_on(self, item: Input) -> Iterator[None]:
        try:
            yield
        except AucliError as error:
            self.reporter.failed(str(error))
        except BrokenPipeError:
            raise
        except Exception:
            # A bug: with one input it is raised as it is, in a batch the others still count.
            if self.alone:
                raise
            traceback.print_exc()
            self.reporter.failed(f"{item.label}: failed by a bug in aucli, see above.")
