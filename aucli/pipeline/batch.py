"""Many inputs to tables: one after the other or several at a time, going on after a failure, or
where a run stopped.

The batch yields what came of each input and shows nothing; whoever runs it says so to the user.
It loads no network: the rows come from engines, in this process or in others.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from aucli.errors import AucliError, InputError, PassingError, as_memory_lack
from aucli.files import refuse_existing, sweep_part
from aucli.pipeline.calibration import Calibrator, like_an_expression
from aucli.pipeline.film import Film, drain
from aucli.pipeline.held import Held
from aucli.pipeline.inputs import Input, map_pictures, one_table
from aucli.pipeline.journal import Entry, Journal, State
from aucli.pipeline.lanes import JOBS_AHEAD, Call, Engine, Pieces, side_by_side
from aucli.pipeline.original import Stamp, stamp
from aucli.pipeline.resume import Resume
from aucli.pipeline.segments import Cut, Part
from aucli.pipeline.summary import OnFrames, Summary
from aucli.pipeline.urls import Url
from aucli.table.dataset import input_of
from aucli.table.schema import Columns
from aucli.table.writer import TableWriter
from aucli.video.stills import overlay_files

T = TypeVar("T")


class Bug(Exception):
    """A fault of aucli's own in another process; the text is its traceback."""


class WorkerLost(InputError):
    """A worker was lost while it did a job, perhaps through no fault of the input."""


class WorkerKilled(WorkerLost, PassingError):
    """Somebody, or the system for lack of memory, has ended the worker."""


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
    folder and start of the name of its overlay; None draws none. part: of its video, where that is
    cut."""

    input: Input
    target: Path | None
    pictures: Path | None = None
    picture_frames: tuple[int, ...] = ()
    overlay: Path | None = None
    part: Part | None = None

    def check(self, overwrite: bool) -> None:
        """Raise InputError or OutputExists for a mistake that is seen before the networks are
        loaded."""
        path = self.input.path
        if isinstance(path, Url):
            if not path.is_prefix:
                path.look()
        elif not path.exists():
            raise InputError(f"{path} does not exist; check the name.")
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
    all the same, else raw readings alone. from_itself: whether no frame with a face was left beside
    the neutral ones. expression: AUs of the baseline that look like one, with
    their levels. pictures: of the maps. without_face: frames
    (0-based) that were to be drawn and have no face. overlay: what was drawn. earlier: what an
    earlier run made of it; this one did not analyse it again.
    """

    job: Job
    error: Exception | None = None
    summary: Summary | None = None
    uncalibrated: dict[int, int] = field(default_factory=dict)
    kept_readings: bool = False
    from_itself: bool = False
    expression: tuple[tuple[str, float], ...] = ()
    pictures: tuple[Path, ...] = ()
    without_face: tuple[int, ...] = ()
    overlay: tuple[Path, ...] = ()
    earlier: Entry | None = None

    @property
    def state(self) -> State:
        """'done', 'damaged' (the table has the rows that could be decoded), 'failed' (the input
        cannot be read) or 'stopped' (something else stood in the way, which may be gone)."""
        if self.error is not None:
            passing = isinstance(self.error, PassingError)
            return "failed" if isinstance(self.error, InputError) and not passing else "stopped"
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

    def calibrated(self, work: Calibrator, provenance: Mapping[str, Any]) -> "Outcome":
        """The same with what is to say of the baselines."""
        return replace(
            self,
            uncalibrated=work.uncalibrated,
            kept_readings=work.calibration.quiet,
            from_itself=work.from_itself,
            expression=tuple(like_an_expression(provenance.get("calibration"))),
        )

    @property
    def is_bug(self) -> bool:
        """Whether the error is not the user's."""
        return self.error is not None and not isinstance(self.error, AucliError)


RowStream = Generator[pa.RecordBatch, None, tuple[Outcome, dict[str, Any]]]


class Rows(Protocol):
    """Rows of a job as Arrow batches; at the end what came of it, and the table's provenance.

    Raises AucliError, or a bug, where the job fails. ``Analyzer.rows`` and
    ``RemoteWorker.rows``.
    """

    def __call__(self, job: Job, on_frames: OnFrames | None = None) -> RowStream: ...


class InProcess:
    """An engine in this process: one that has rows, and draws overlays and cuts videos where it is
    told how."""

    tries = 1

    def __init__(
        self,
        rows: Rows,
        draw: Callable[..., tuple[Path, ...]] | None = None,
        cut: Callable[[Job], Cut | None] | None = None,
        part: Callable[..., Any] | None = None,
    ) -> None:
        self._rows = rows
        self._draw = draw
        self._cut, self._part = cut, part

    def rows(self, job: Job, on_frames: OnFrames | None = None) -> RowStream:
        return self._rows(job, on_frames)

    def cut(self, job: Job) -> Cut | None:
        return None if self._cut is None else self._cut(job)

    def part(self, job: Job, on_frames: OnFrames | None = None) -> Any:
        assert self._part is not None
        return self._part(job, on_frames)

    def draw(self, job: Job, on_frames: OnFrames | None = None) -> tuple[Path, ...]:
        assert self._draw is not None
        return self._draw(job, on_frames)

    def ready(self) -> None:
        pass

    def close(self) -> None:
        pass


# With the input's stamp before the work, and its checksum.
Done = tuple[Outcome, Stamp | None, str | None]
OnBegin = Callable[[Job], OnFrames | None]


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told how a batch goes; all are called in the thread that runs it.

    begin: before each input; what it returns is called with the frames done. begin_overlay: the
    same of an overlay. lost: a sentence of a worker that was lost, which costs no input.
    """

    begin: OnBegin = lambda job: None
    begin_overlay: OnBegin = lambda job: None
    lost: Callable[[str], None] = lambda sentence: None

    def not_started(self, error: Exception) -> None:
        """Tell of an engine whose jobs the others do."""
        self.lost(f"A worker could not be started, the others go on: {error}")

    def again(self, job: Job) -> None:
        """Tell of a job that is begun again."""
        self.lost(f"{job.input.path}: the worker that read it was lost, so it is begun again.")

    def part_again(self, job: Job) -> None:
        """Tell of a part of a video that is begun again."""
        self.lost(
            f"{job.input.path}: the worker that read a part of it was lost, so that part is begun "
            "again."
        )


def run_batch(
    engines: Sequence[Engine],
    jobs: Iterable[Job],
    columns: Columns,
    settings: TableSettings,
    watch: Watch = Watch(),
    journal: Journal | None = None,
    resume: Resume | None = None,
    deliver: Callable[[Outcome], Outcome] = lambda outcome: outcome,
    in_parts: bool = False,
) -> Iterator[Outcome]:
    """Analyse each job's input into its table. Several engines do so at the same time, and
    outcomes come as they are; of the standard output and of one table for all, in the order of the
    jobs.

    Where all jobs name the same table, it gets the rows of each input once they are complete. It
    appears at the end, where any input has rows, and is never resumed.

    journal: notes every outcome. resume: tells which inputs an earlier run has done; these are not
    analysed again. deliver: takes away what was written of an input, in any thread. in_parts:
    whether engines may cut a video, whose parts all of them analyse.
    Rows that are on the standard output stay there when their input fails. Raises BrokenPipeError
    where the reader of the standard output is gone, and OutputError where the one table of all
    cannot be written; every other error becomes an outcome.
    """
    jobs = list(jobs)
    shared = any(job.target is None for job in jobs) or one_table(job.target for job in jobs)
    if shared:
        columns = with_names(columns, jobs)
    if one := one_table(job.target for job in jobs):
        yield from _run_together(engines, jobs, one, columns, settings, watch, in_parts)
        return
    if any(job.target is None for job in jobs):
        yield from _run_to_stdout(engines, jobs, columns, settings, watch, in_parts)
        return

    def work(engine: Engine, job: Job, call: Call) -> Done | Pieces:
        before = stamp(job.input.path)

        def finish(source: Engine, engine: Engine, watch: Watch) -> Done:
            provenance: dict[str, Any] = {}
            try:
                schema = with_names(columns, [job]).schema()
                outcome, provenance = _run(source, job, schema, settings, watch, call)
            except Exception as error:
                outcome = Outcome(job, as_memory_lack(error) or error)
            outcome = deliver(_with_overlay(outcome, engine, watch, call))
            return outcome, before, provenance.get("input", {}).get("sha256")

        try:
            if resume is not None and (
                earlier := resume.done_before(job.input.path, job.target, job.pictures)
            ):
                outcome = _with_overlay(Outcome(job, earlier=earlier), engine, watch, call)
                return deliver(outcome), None, None
            if not in_parts:
                return finish(engine, engine, watch)
            job.check(settings.overwrite)
            return _shared_out(engine, job, columns, watch, call, finish)
        except Exception as error:
            return deliver(Outcome(job, as_memory_lack(error) or error)), before, None

    for outcome, before, sha256 in side_by_side(engines, jobs, work, on_lost=watch.not_started):
        yield noted(None if outcome.earlier else journal, outcome, before, sha256)


def with_names(columns: Columns, jobs: Iterable[Job]) -> Columns:
    """The columns of the table of these jobs, with names of pictures if there are any; those of a
    dataset, to which others may come, always have them."""
    return replace(columns, picture=any(job.input.is_folder or _is_part(job) for job in jobs))


def _is_part(job: Job) -> bool:
    return job.target is not None and input_of(job.target) is not None


class _Joined(InProcess):
    """Has the rows of a video whose parts are done."""

    def __init__(self, film: Film) -> None:
        super().__init__(self._joined)
        self._film = film

    def _joined(self, job: Job, on_frames: OnFrames | None = None) -> RowStream:
        summary, whole = yield from self._film.rows()
        outcome = Outcome(job, summary=summary)
        if (work := whole.calibrator) is not None:
            outcome = outcome.calibrated(work, whole.provenance)
        return outcome, whole.provenance


def _shared_out(
    engine: Engine,
    job: Job,
    columns: Columns,
    watch: Watch,
    call: Call,
    finish: Callable[[Engine, Engine, Watch], T],
) -> T | Pieces:
    """Do a job whose video may be cut: with this engine, or in pieces for all.

    finish: called in the end with what has the rows, an engine for all else, and who is told.
    """
    cut = None
    with suppress(AucliError):  # the analysis of the whole tells it
        cut = engine.cut(job)
    if cut is None:
        return finish(engine, engine, watch)
    told = _told(watch.begin, job, call)
    film = Film(job, cut, columns, told, lambda: call(watch.part_again, job), WorkerLost)
    silent = replace(watch, begin=lambda job: None)

    def piece(part: Part, engine: Engine, call: Call) -> T | None:
        if not film.add(part, engine):
            return None
        try:
            if film.is_damaged and film.error is None:
                return finish(engine, engine, watch)
            return finish(_Joined(film), engine, silent)
        finally:
            film.close()

    return Pieces([partial(piece, part) for part in cut.parts])


def _run(
    engine: Engine, job: Job, schema: pa.Schema, settings: TableSettings, watch: Watch, call: Call
) -> tuple[Outcome, dict[str, Any]]:
    """One input into its own table."""
    assert job.target is not None
    sweep_part(job.target)
    job.check(settings.overwrite)
    for tried in range(1, engine.tries + 1):
        try:
            with settings.writer(job.target, schema) as writer:
                found = engine.rows(job, _told(watch.begin, job, call))
                outcome, provenance = _written(found, writer.write, settings)
                writer.provenance = provenance
            return outcome, provenance
        except WorkerLost:
            if tried == engine.tries:
                raise
            call(watch.again, job)
    raise AssertionError("a job is tried at least once")


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """What came of an input, and its rows, which wait for their turn; of a failed one those that
    came before the failure. The provenance of a failed one is empty."""

    outcome: Outcome
    provenance: dict[str, Any]
    held: Held[pa.RecordBatch]


def _keep(
    engine: Engine, job: Job, share: int, settings: TableSettings, watch: Watch, call: Call
) -> _Kept:
    for tried in range(1, engine.tries + 1):
        held = Held[pa.RecordBatch](share)
        try:
            found = engine.rows(job, _told(watch.begin, job, call))
            return _Kept(*_written(found, held.add, settings), held)
        except Exception as error:
            if not isinstance(error, WorkerLost) or tried == engine.tries:
                return _Kept(Outcome(job, as_memory_lack(error) or error), {}, held)
            held.close()
            call(watch.again, job)
    raise AssertionError("a job is tried at least once")


def _kept_in_turn(
    engines: Sequence[Engine],
    jobs: Sequence[Job],
    columns: Columns,
    settings: TableSettings,
    watch: Watch,
    in_parts: bool,
) -> Iterator[tuple[Outcome, dict[str, Any], Held[pa.RecordBatch]]]:
    """What came of each input, in their order."""
    share = JOBS_AHEAD if len(engines) > 1 else 1

    def work(engine: Engine, job: Job, call: Call) -> _Kept | Pieces:
        def finish(source: Engine, engine: Engine, watch: Watch) -> _Kept:
            return _keep(source, job, share, settings, watch, call)

        if not in_parts:
            return finish(engine, engine, watch)
        return _shared_out(engine, job, columns, watch, call, finish)

    for kept in side_by_side(engines, jobs, work, in_order=True, on_lost=watch.not_started):
        with kept.held:
            yield kept.outcome, kept.provenance, kept.held


class _NothingToWrite(Exception):
    """No input gave rows for the one table."""


def _run_together(
    engines: Sequence[Engine],
    jobs: Sequence[Job],
    target: Path,
    columns: Columns,
    settings: TableSettings,
    watch: Watch,
    in_parts: bool,
) -> Iterator[Outcome]:
    """Several inputs into one table. Raises OutputError where it cannot be written."""
    told: list[dict[str, Any]] = []
    sweep_part(target)
    with (
        suppress(_NothingToWrite),
        settings.writer(target, columns.schema()) as table,
    ):
        found = _kept_in_turn(engines, jobs, columns, settings, watch, in_parts)
        for outcome, provenance, held in found:
            if provenance:
                for batch in held:
                    table.write(batch)
                told.append({"video": outcome.job.input.label} | provenance)
            yield outcome
        if not told:
            raise _NothingToWrite
        table.provenance = {"inputs": told}


def _run_to_stdout(
    engines: Sequence[Engine],
    jobs: Sequence[Job],
    columns: Columns,
    settings: TableSettings,
    watch: Watch,
    in_parts: bool,
) -> Iterator[Outcome]:
    """Inputs onto the standard output; of a single engine batch by batch."""
    told: list[dict[str, Any]] = []
    with settings.writer(None, columns.schema()) as stream:
        if len(engines) == 1 and engines[0].tries == 1 and not in_parts:
            found = (_streamed(engines[0], job, stream, settings, watch) for job in jobs)
        else:
            found = _kept_in_turn(engines, jobs, columns, settings, watch, in_parts)
        for outcome, provenance, held in found:
            for batch in held:
                stream.write(batch)
            if provenance:
                label = {} if len(jobs) == 1 else {"video": outcome.job.input.label}
                told.append(label | provenance)
            yield outcome
        stream.provenance = told[0] if told and len(jobs) == 1 else {"inputs": told}


def _streamed(
    engine: Engine, job: Job, stream: TableWriter, settings: TableSettings, watch: Watch
) -> tuple[Outcome, dict[str, Any], Iterable[pa.RecordBatch]]:
    try:
        return *_written(engine.rows(job, watch.begin(job)), stream.write, settings), ()
    except BrokenPipeError:
        raise
    except Exception as error:
        return Outcome(job, as_memory_lack(error) or error), {}, ()


def _told(on_begin: OnBegin, job: Job, call: Call) -> OnFrames:
    """What tells of a job's frames, in the thread that runs the batch."""
    told: list[OnFrames | None] = []
    call(lambda: told.append(on_begin(job)))

    def tell(done: int, declared: int) -> None:
        if (on_frames := told[0]) is not None:
            on_frames(done, declared)

    return lambda done, declared: call(tell, done, declared)


def _with_overlay(outcome: Outcome, engine: Engine, watch: Watch, call: Call) -> Outcome:
    """The outcome, with its overlay drawn where it lacks one; the table is good nevertheless."""
    job = outcome.job
    there = job.target is not None and job.target.exists() and outcome.error is None
    if not there or not job.lacks_overlay():
        return outcome
    try:
        return replace(outcome, overlay=engine.draw(job, _told(watch.begin_overlay, job, call)))
    except Exception as error:
        return replace(outcome, error=as_memory_lack(error) or error)


def _written(
    found: RowStream, write: Callable[[pa.RecordBatch], None], settings: TableSettings
) -> tuple[Outcome, dict[str, Any]]:
    outcome, provenance = drain(found, write)
    return outcome, {**provenance, **settings.told}


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
