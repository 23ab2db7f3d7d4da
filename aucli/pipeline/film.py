"""A video while its parts are analysed: the rows that have come, and then the rows of the whole."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pyarrow as pa

from aucli.errors import InputError
from aucli.pipeline.calibration import Calibrator
from aucli.pipeline.held import Held
from aucli.pipeline.lanes import Engine
from aucli.pipeline.original import Stamp
from aucli.pipeline.rows import Totals
from aucli.pipeline.segments import Cut, Joiner, Part
from aucli.pipeline.summary import Levels, OnFrames, Summary, counted
from aucli.table.schema import Columns, Rows, to_record_batch
from aucli.video.source import DecodeReport

TRIES = 2  # of a part whose worker is lost


@dataclass(frozen=True, slots=True)
class Whole:
    """What the first part tells of the whole video. provenance: of its table, but for the counts.
    calibrator: one that has seen no row yet. usual_step_seconds: between two analysed frames."""

    provenance: dict[str, Any]
    calibrator: Calibrator | None
    usual_step_seconds: float


@dataclass(frozen=True, slots=True)
class PartEnd:
    """What came of a part. stamp: of the file. sums: of pixels, see
    :attr:`aucli.video.spans.Span.summed`. whole: of the first part."""

    stamp: Stamp
    sums: dict[int, int]
    summary: Summary
    whole: Whole | None


class Film:
    """Collects the parts of one video and joins them.

    job: of the batch. cut: its parts. columns: of its table. on_frames: told of the frames of the
    whole video. on_lost: called where a worker is lost and its part is begun again. lost: the
    errors for which that is done.
    """

    def __init__(
        self,
        job: Any,
        cut: Cut,
        columns: Columns,
        on_frames: OnFrames,
        on_lost: Callable[[], None],
        lost: type[Exception],
    ) -> None:
        self.error: Exception | None = None
        self.is_damaged = False
        self._job, self._cut, self._columns = job, cut, columns
        self._on_frames, self._on_lost, self._lost = on_frames, on_lost, lost
        self._began = time.perf_counter()
        self._lock = threading.Lock()
        self._left = len(cut.parts)
        self._ends: dict[int, PartEnd] = {}
        self._held: dict[int, Held[Rows]] = {}
        self._done = dict.fromkeys(range(len(cut.parts)), 0)  # own frames of each part
        self._declared = 0
        self._joiner = Joiner()

    def add(self, part: Part, engine: Engine) -> bool:
        """Analyse a part. Returns whether it was the last one that was missing; then
        ``error`` says why a part has failed, and ``is_damaged`` that the video has faults by which
        it must stay whole."""
        if self.error is None and not self.is_damaged:
            try:
                self._analyse(part, engine)
            except Exception as error:
                self.error = self.error or error
        with self._lock:
            self._left -= 1
            if not self._left and self.error is None and not self.is_damaged:
                self.is_damaged = not self._fits()
            return not self._left

    def close(self) -> None:
        """Let go of the rows."""
        for held in self._held.values():
            held.close()

    def rows(self) -> Generator[pa.RecordBatch, None, tuple[Summary, Whole]]:
        """The rows of the whole video, after all parts; at the end its summary and provenance.

        Raises what a part has raised, InputError where the file has changed meanwhile, and as
        :meth:`aucli.pipeline.calibration.Calibrator.rows`.
        """
        if self.error is not None:
            raise self.error
        ends = [self._ends[part.number] for part in self._cut.parts]
        if any(end.stamp != self._cut.stamp for end in ends):
            raise InputError(
                f"{self._job.input.path} changed while it was read; analyse it again when it is "
                "complete."
            )
        whole = ends[0].whole
        assert whole is not None
        totals, levels = Totals(), Levels(self._columns.aus, whole.usual_step_seconds)
        joined, calibrator = self._joined(), whole.calibrator
        for rows in calibrator.rows(joined) if calibrator else joined:
            totals.add(rows)
            levels.add(rows.frame_index, rows.pts_seconds, rows.intensities)
            yield to_record_batch(self._columns, self._job.input.label, rows)
        summary = self._summary(ends, totals, levels)
        return summary, replace(whole, provenance=self._told(whole, summary))

    def _analyse(self, part: Part, engine: Engine) -> None:
        def on_frames(done: int, declared: int) -> None:
            self._done[part.number] = max(0, done - part.own)
            self._declared = declared
            self._tell()

        for tried in range(1, TRIES + 1):
            held = Held[Rows](len(self._cut.parts))
            try:
                found = engine.part(replace(self._job, part=part), on_frames)
                end = drain(found, held.add)
            except BaseException as error:
                held.close()
                if not isinstance(error, self._lost) or tried == TRIES:
                    raise
                self._on_lost()
            else:
                self._held[part.number], self._ends[part.number] = held, end
                report = end.summary.report
                short = report.decoded_frames != part.span.count
                self.is_damaged |= report.damaged or short or report.errors > 0
                return

    def _tell(self) -> None:
        self._on_frames(self._cut.parts[0].own + sum(self._done.values()), self._declared)

    def _fits(self) -> bool:
        """Whether both sides of each join have decoded the same picture."""
        ends = [self._ends[part.number].sums for part in self._cut.parts]
        return all(
            before[frame] == after[frame]
            for before, after in pairwise(ends)
            for frame in before.keys() & after.keys()
        )

    def _joined(self) -> Iterator[Rows]:
        parts = self._cut.parts
        for part in parts:
            after = parts[part.number + 1 :]
            next_first = after[0].span.first if after else None
            for rows in self._joiner.rows(part, self._held[part.number], next_first):
                self._tell()  # a sign of life, by which a stop reaches us
                yield rows

    def _summary(self, ends: list[PartEnd], totals: Totals, levels: Levels) -> Summary:
        seconds = time.perf_counter() - self._began
        decoded = self._cut.decoded_frames
        parts = [end.summary for end in ends]
        return Summary(
            **counted(totals, levels, seconds),
            stage_seconds=_sums([part.stage_seconds for part in parts]),
            stage_cpu_seconds=_sums([part.stage_cpu_seconds for part in parts]),
            report=DecodeReport("pyav", parts[0].report.declared_frames, decoded),
        )

    def _told(self, whole: Whole, summary: Summary) -> dict[str, Any]:
        told = whole.provenance
        told["input"]["decoded_frames"] = summary.report.decoded_frames
        told |= {"frames": summary.frames, "face_frames": summary.face_frames}
        if whole.calibrator is not None:
            told["calibration"] = whole.calibrator.told(self._columns.aus)
        told["parts"] = [part.own + 1 for part in self._cut.parts]
        told["joins"] = self._joiner.differences
        return told


def drain(found: Generator[Any, None, Any], add: Callable[[Any], None]) -> Any:
    """Give all that a generator yields to ``add``; returns what it returns."""
    try:
        while True:
            add(next(found))
    except StopIteration as end:
        return end.value
    finally:
        found.close()


def _sums(each: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(one[name] for one in each) for name in each[0]}
