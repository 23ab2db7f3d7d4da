"""Many inputs to tables: one after the other, going on after a failure, or where a run stopped.

The engine yields what came of each input and shows nothing; whoever runs it says so to the user.
It loads no network: the rows come from a :class:`Rows`, in this process or in another.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from aucli.errors import AucliError, InputError, as_memory_lack
from aucli.files import refuse_existing, sweep_part
from aucli.pipeline.held import Held
from aucli.pipeline.inputs import Input, map_pictures, one_table
from aucli.pipeline.journal import Entry, Journal, State
from aucli.pipeline.original import Stamp, stamp
from aucli.pipeline.resume import Resume
from aucli.pipeline.summary import OnFrames, Summary
from aucli.table.schema import Columns
from aucli.table.writer import TableWriter
from aucli.video.stills import overlay_files


class Bug(Exception):
    """A fault of aucli's own in another process; the text is its traceback."""


@dataclass(frozen=True, slots=True)
class TableSettings:
    """What the tables of a batch share. format: of ``table.writer.FORMATS``. spaces: see
    :func:`aucli.table.text.header`. told: what stands in their provenance beside what the rows were
    made with."""

    format: str = "parquet"
    overwrite: bool = False
    spaces: bool = False
    told: Mapping[str, Any] = field(default_factory=dict)

    def writer(self, target: Path | None, schema: pa.Schema) -> TableWriter:
        """Writes one of the tables; None is the standard output."""
        return TableWriter(target, schema, self.format, self.overwrite, self.spaces)


@dataclass(frozen=True, slots=True)
class Job:
    """One input. target: its table; None writes into the one stream of the standard output.
    pictures: folder and start of the names of its pictures of AU maps; None draws none.
    picture_frames: 0-based, whose maps are drawn; empty draws the strongest moments. overlay:
    folder and start of the name of its overlay; None draws none."""

    input: Input
    target: Path | None
    pictures: Path | None = None
    picture_frames: tuple[int, ...] = ()
    overlay: Path | None = None

    def check(self, overwrite: bool) -> None:
        """Raise InputError or OutputExists for a mistake that needs no network to be seen."""
        if not self.input.path.exists():
            raise InputError(f"{self.input.path} does not exist; check the name.")
        if self.target is not None:
            refuse_existing(self.target, overwrite)
        if self.pictures is not None:
            for picture in map_pictures(self.pictures):
                refuse_existing(picture, overwrite)
        if self.overlay is not None:
            for file in overlay_files(self.overlay):
                refuse_existing(file, overwrite)

    def lacks_overlay(self) -> bool:
        """Whether an overlay is to be drawn that is not there, or is older than its table."""
        if self.overlay is None or self.target is None:
            return False
        drawn = [file.stat().st_mtime_ns for file in overlay_files(self.overlay)]
        return not drawn or min(drawn) < self.target.stat().st_mtime_ns


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of one input.

    error: why it failed: an AucliError, or a bug. summary: None where no table was made.
    uncalibrated: face_id -> rows without a baseline; with ``kept_readings`` they have what was read
    all the same, else raw readings alone. pictures: of the maps. without_face: frames
    (0-based) that were to be drawn and have no face. overlay: what was drawn. earlier: what an
    earlier run made of it; this one did not analyse it again.
    """

    job: Job
    error: Exception | None = None
    summary: Summary | None = None
    uncalibrated: dict[int, int] = field(default_factory=dict)
    kept_readings: bool = False
    pictures: tuple[Path, ...] = ()
    without_face: tuple[int, ...] = ()
    overlay: tuple[Path, ...] = ()
    earlier: Entry | None = None

    @property
    def state(self) -> State:
        """'done', 'damaged' (the table has the rows that could be decoded), 'failed' (the input
        cannot be read) or 'stopped' (something else stood in the way)."""
        if self.error is not None:
            return "failed" if isinstance(self.error, InputError) else "stopped"
        if self.earlier is not None:
            return self.earlier.state
        return "damaged" if self.summary is not None and self.summary.damage else "done"

    @property
    def reason(self) -> str:
        """Why it is not done, as a sentence; empty where it is."""
        if self.is_bug:
            return f"{self.job.input.label}: failed by a bug in aucli."
        if self.error is not None:
            return str(self.error)
        if self.earlier is not None:
            return self.earlier.reason
        return self.summary.damage if self.summary is not None else ""

    @property
    def ok(self) -> bool:
        """Whether the input has a whole table; a damaged one keeps its rows and is not ok."""
        return self.state == "done"

    @property
    def is_bug(self) -> bool:
        """Whether the error is not the user's."""
        return self.error is not None and not isinstance(self.error, AucliError)


RowStream = Generator[pa.RecordBatch, None, tuple[Outcome, dict[str, Any]]]


class Rows(Protocol):
    """Rows of a job as Arrow batches; at the end what came of it, and the table's provenance.

    Raises AucliError, or a bug, where the job fails. ``Analyzer.rows`` and ``Worker.rows``.
    """

    def __call__(self, job: Job, on_frames: OnFrames | None = None) -> RowStream: ...


# Draws the overlay of a job whose table is there, and returns its files.
Draw = Callable[[Job], tuple[Path, ...]]


def run_batch(
    rows: Rows,
    jobs: Iterable[Job],
    columns: Columns,
    settings: TableSettings,
    on_begin: Callable[[Job], OnFrames | None] = lambda job: None,
    journal: Journal | None = None,
    resume: Resume | None = None,
    draw: Draw | None = None,
) -> Iterator[Outcome]:
    """Analyse each job's input into its table, in order.

    Where all jobs name the same table, it gets the rows of each input once they are complete. It
    appears at the end, where any input has rows, and is never resumed.

    on_begin: called before each; what it returns is called with the frames done. journal: notes
    every outcome. resume: tells which inputs an earlier run has done; these are not analysed
    again. draw: makes the overlays that the jobs ask for.
    Rows that are on the standard output stay there when their input fails. Raises BrokenPipeError
    where the reader of the standard output is gone, and OutputError where the one table of all
    cannot be written; every other error becomes an outcome.
    """
    jobs = list(jobs)
    schema = columns.schema()
    if one := one_table(job.target for job in jobs):
        yield from _run_together(rows, jobs, one, schema, settings, on_begin)
        return
    told: list[dict[str, Any]] = []
    with ExitStack() as stack:
        stream = None
        if any(job.target is None for job in jobs):
            stream = stack.enter_context(settings.writer(None, schema))
        for job in jobs:
            before = stamp(job.input.path)
            provenance: dict[str, Any] = {}
            try:
                if resume is not None and (
                    earlier := resume.done_before(job.input.path, job.target, job.pictures)
                ):
                    yield _with_overlay(Outcome(job, earlier=earlier), draw)
                    continue
                outcome, provenance = _run(rows, job, stream, schema, settings, on_begin(job))
            except BrokenPipeError:
                raise
            except Exception as error:
                outcome = Outcome(job, as_memory_lack(error) or error)
            if job.target is None and provenance:
                told.append(
                    provenance if len(jobs) == 1 else {"video": job.input.label} | provenance
                )
            outcome = _with_overlay(outcome, draw)
            yield noted(journal, outcome, before, provenance.get("input", {}).get("sha256"))
        if stream is not None:
            stream.provenance = told[0] if told and len(jobs) == 1 else {"inputs": told}


class _NothingToWrite(Exception):
    """No input gave rows for the one table."""


def _run_together(
    rows: Rows,
    jobs: list[Job],
    target: Path,
    schema: pa.Schema,
    settings: TableSettings,
    on_begin: Callable[[Job], OnFrames | None],
) -> Iterator[Outcome]:
    """Several inputs into one table. Raises OutputError where it cannot be written."""
    told: list[dict[str, Any]] = []
    sweep_part(target)
    with (
        suppress(_NothingToWrite),
        settings.writer(target, schema) as table,
    ):
        for job in jobs:
            with Held[pa.RecordBatch]() as held:
                try:
                    outcome, provenance = _written(rows(job, on_begin(job)), held.add, settings)
                except Exception as error:
                    yield Outcome(job, as_memory_lack(error) or error)
                    continue
                for batch in held:
                    table.write(batch)
            told.append({"video": job.input.label} | provenance)
            yield outcome
        if not told:
            raise _NothingToWrite
        table.provenance = {"inputs": told}


def _run(
    rows: Rows,
    job: Job,
    stream: TableWriter | None,
    schema: pa.Schema,
    settings: TableSettings,
    on_frames: OnFrames | None,
) -> tuple[Outcome, dict[str, Any]]:
    if job.target is not None:
        sweep_part(job.target)
    job.check(settings.overwrite)
    if job.target is None:
        assert stream is not None
        return _written(rows(job, on_frames), stream.write, settings)
    with settings.writer(job.target, schema) as writer:
        outcome, provenance = _written(rows(job, on_frames), writer.write, settings)
        writer.provenance = provenance
    return outcome, provenance


def _with_overlay(outcome: Outcome, draw: Draw | None) -> Outcome:
    """The outcome, with its overlay drawn where it lacks one; the table is good nevertheless."""
    job = outcome.job
    there = job.target is not None and job.target.exists() and outcome.error is None
    if draw is None or not there or not job.lacks_overlay():
        return outcome
    try:
        return replace(outcome, overlay=draw(job))
    except Exception as error:
        return replace(outcome, error=as_memory_lack(error) or error)


def _written(
    found: RowStream, write: Callable[[pa.RecordBatch], None], settings: TableSettings
) -> tuple[Outcome, dict[str, Any]]:
    try:
        while True:
            write(next(found))
    except StopIteration as end:
        outcome, provenance = end.value
        return outcome, {**provenance, **settings.told}
    finally:
        found.close()


def noted(
    journal: Journal | None,
    outcome: Outcome,
    before: Stamp | None = None,
    sha256: str | None = None,
) -> Outcome:
    """The outcome, after it was noted in the journal; with an error where that was not possible.

    before, sha256: the input's stamp before the work, and its checksum.
    """
    job, summary = outcome.job, outcome.summary
    if journal is None or job.target is None:
        return outcome
    entry = Entry(
        input=str(job.input.path.absolute()),
        label=job.input.label,
        table=journal.name_of(job.target),
        state=outcome.state,
        reason=outcome.reason,
        frames=summary.frames if summary else 0,
        face_frames=summary.face_frames if summary else 0,
        seconds=round(summary.seconds, 3) if summary else 0.0,
        size=before.size if before else 0,
        mtime_ns=before.mtime_ns if before else 0,
        sha256=sha256,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    try:
        journal.add(entry)
    except AucliError as error:
        return replace(outcome, error=outcome.error or error)
    return outcome
