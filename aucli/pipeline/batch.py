"""Many inputs to tables: one after the other, going on after a failure.

The engine yields what came of each input and shows nothing; whoever runs it says so to the user.
"""

import glob
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from aucli.errors import AucliError, InputError
from aucli.files import refuse_existing
from aucli.pipeline.analysis import Analysis, OnFrames, OnRows, Summary
from aucli.pipeline.inputs import Input
from aucli.pipeline.maps import FaceChoice, write_panels
from aucli.table.schema import Columns
from aucli.table.writer import TableWriter


class OpenInput(Protocol):
    """``Analyzer.open``."""

    def __call__(
        self, path: Path, *, label: str, on_frames: OnFrames | None, on_rows: OnRows | None
    ) -> Analysis: ...


@dataclass(frozen=True, slots=True)
class TableSettings:
    """What the tables of a batch share.

    format: of ``table.writer.FORMATS``. picture_frames: 0-based, whose maps are drawn for jobs that
    ask for pictures; empty draws the strongest moments.
    """

    format: str = "parquet"
    overwrite: bool = False
    picture_frames: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One input. target: its table; None writes into the one stream of the standard output.
    pictures: folder and start of the names of its pictures of AU maps; None draws none."""

    input: Input
    target: Path | None
    pictures: Path | None = None

    def check(self, overwrite: bool) -> None:
        """Raise InputError or OutputExists for a mistake that needs no network to be seen."""
        if not self.input.path.exists():
            raise InputError(f"{self.input.path} does not exist; check the name.")
        if self.target is not None:
            refuse_existing(self.target, overwrite)
        if self.pictures is not None:
            pattern = f"{glob.escape(self.pictures.name)}_frame*_face*.png"
            for picture in self.pictures.parent.glob(pattern):
                refuse_existing(picture, overwrite)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of one input.

    error: why it failed: an AucliError, or a bug. summary: None where there is no table.
    uncalibrated: face_id -> rows without a baseline. pictures: of the maps. without_face: frames
    (0-based) that were to be drawn and have no face.
    """

    job: Job
    error: Exception | None = None
    summary: Summary | None = None
    uncalibrated: dict[int, int] = field(default_factory=dict)
    pictures: tuple[Path, ...] = ()
    without_face: tuple[int, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the input gave a whole table; a damaged one keeps its rows and is not ok."""
        return self.error is None and self.summary is not None and not self.summary.damage

    @property
    def is_bug(self) -> bool:
        """Whether the error is not the user's."""
        return self.error is not None and not isinstance(self.error, AucliError)


def run_batch(
    open_input: OpenInput,
    jobs: Iterable[Job],
    columns: Columns,
    settings: TableSettings,
    on_begin: Callable[[Job], OnFrames | None] = lambda job: None,
) -> Iterator[Outcome]:
    """Analyse each job's input into its table, in order.

    on_begin: called before each; what it returns is called with the frames done. Rows that are on
    the standard output stay there when their input fails. Raises BrokenPipeError where the reader
    of the standard output is gone; every other error becomes an outcome.
    """
    jobs = list(jobs)
    schema = columns.schema()
    told: list[dict[str, Any]] = []
    with ExitStack() as stack:
        stream = None
        if any(job.target is None for job in jobs):
            stream = stack.enter_context(TableWriter(None, schema, settings.format))
        for job in jobs:
            try:
                outcome = _run(open_input, job, stream, settings, on_begin(job), told)
            except BrokenPipeError:
                raise
            except Exception as error:
                outcome = Outcome(job, error)
            yield outcome
        if stream is not None:
            stream.provenance = told[0] if len(told) == 1 else {"inputs": told}


def _run(
    open_input: OpenInput,
    job: Job,
    stream: TableWriter | None,
    settings: TableSettings,
    on_frames: OnFrames | None,
    told: list[dict[str, Any]],
) -> Outcome:
    job.check(settings.overwrite)
    choice = FaceChoice(settings.picture_frames)
    on_rows = choice.add if job.pictures is not None else None
    path, label = job.input.path, job.input.label
    with open_input(path, label=label, on_frames=on_frames, on_rows=on_rows) as analysis:
        if job.target is None:
            assert stream is not None
            for batch in analysis:
                stream.write(batch)
            told.append(analysis.provenance())
        else:
            schema = analysis.columns.schema()
            with TableWriter(job.target, schema, settings.format, settings.overwrite) as writer:
                for batch in analysis:
                    writer.write(batch)
                writer.provenance = analysis.provenance()
    outcome = Outcome(job, summary=analysis.summary)
    if analysis.calibrator is not None:
        outcome = replace(outcome, uncalibrated=analysis.calibrator.uncalibrated)
    if job.pictures is None:
        return outcome
    try:
        drawn = tuple(write_panels(analysis, choice.faces(), job.pictures))
    except AucliError as error:  # the table is there nevertheless
        return replace(outcome, error=error)
    return replace(outcome, pictures=drawn, without_face=tuple(choice.without_face()))
