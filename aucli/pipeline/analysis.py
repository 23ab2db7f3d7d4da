"""One video from file to rows: the stages joined, the summary and the provenance."""

import sys
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa

from aucli.errors import InputError
from aucli.files import shown
from aucli.pipeline.calibration import Baseline, Calibrator, parse_calibration
from aucli.pipeline.loading import Networks
from aucli.pipeline.memory import Memory
from aucli.pipeline.options import AnalyzeOptions
from aucli.pipeline.original import Original
from aucli.pipeline.rows import Totals, rows_in_order
from aucli.pipeline.selection import Selection
from aucli.pipeline.stages import Stage, threads_of_stage
from aucli.pipeline.summary import Levels, OnFrames, Summary, counted
from aucli.records import FrameBatch
from aucli.table.schema import PRESENCE_THRESHOLD, Rows, to_record_batch
from aucli.version import version
from aucli.video.source import FrameSource

FRAMES_PER_BATCH = 16
# Batches of frames between two stages. One hides the difference between two batches; more would
# only hold memory, up to 64 MB each.
BATCHES_AHEAD = 1

_lock = threading.Lock()
_analyses = 0  # that run at the moment
_threads_before = 1  # of torch, before the first of them

OnRows = Callable[[Rows], None]
OnBatch = Callable[[], None]


class Analysis:
    """One source of frames under analysis: iterate once over its Arrow batches, then read
    ``summary``.

    source: from :func:`aucli.video.source.open_video`, or arrays. label: what the column ``video``
    says. on_frames: called between batches of rows. on_rows: sees each block of rows, with all that
    the columns leave out. neutral: the baseline of the options' neutral video. original: the input,
    opened before the source was; None for frames that are in memory. on_batch: a sign of life,
    called for each decoded batch, from another thread, and while the input is summed.

    A context manager. Leaving the loop early, by an error, a ``break`` or Ctrl-C, stops and joins
    the threads at the latest when the ``with`` block ends; the error of any stage is raised in the
    loop, after the rows that came before it. Raises InputError there for neutral frames that are
    not there or show no face, for a part of the video that holds no frame, and at the end for an
    input that has changed meanwhile.
    """

    def __init__(
        self,
        source: FrameSource,
        label: str,
        networks: Networks,
        options: AnalyzeOptions,
        on_frames: OnFrames | None = None,
        on_rows: OnRows | None = None,
        neutral: Baseline | None = None,
        original: Original | None = None,
        on_batch: OnBatch = lambda: None,
    ) -> None:
        self.label = label
        self.networks = networks
        self.options = options
        self.columns = replace(networks.columns(options), picture=source.names is not None)
        self.calibrator = calibrator_of(options, label, networks, neutral)
        self._on_frames = on_frames
        self._on_rows = on_rows
        self._on_batch = on_batch
        self._neutral = neutral
        self._original = original
        self._source = source
        source.on_wait = on_batch
        self.info = source.info
        self.summary: Summary | None = None
        # Weakly, so that an analysis that nobody reads any more stops its threads.
        self._running: weakref.ref[Generator[pa.RecordBatch, None, None]] | None = None

    def __enter__(self) -> "Analysis":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads and release the file, also in the middle of the rows."""
        running = self._running() if self._running is not None else None
        if running is not None:
            running.close()
        self._source.close()
        if self._original is not None:
            self._original.close()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        if self._running is not None:
            raise RuntimeError("an analysis gives its rows once; open the input again")
        batches = self._batches()
        self._running = weakref.ref(batches)
        return batches

    def _batches(self) -> Generator[pa.RecordBatch, None, None]:
        with self._named():
            yield from self._rows()

    def _named(self) -> AbstractContextManager[None]:
        return nullcontext() if self._original is None else self._original.named()

    def _rows(self) -> Generator[pa.RecordBatch, None, None]:
        parts = (self.options.start, self.options.end, self.options.fps)
        if self._source.unrelated and parts != (None, None, None):
            raise InputError(
                f"{self.info.path} holds pictures, which have no times; start, end and fps are for "
                "videos."
            )
        start, cpu_start = time.perf_counter(), time.thread_time()
        reading = cpu_reading = 0.0  # spent by our reader, between two rows
        selection, totals, memory = Selection(self.options), Totals(), Memory()
        levels = Levels(self.columns.aus, selection.usual_step_seconds(self.info.fps))
        finder = self.networks.faces.finder(self._source.unrelated)
        with ExitStack() as stack:
            stack.enter_context(torch_threads(self.options.threads))
            stack.enter_context(self._source)
            frames = _selected(self._source, selection, self._on_batch)
            decode = stack.enter_context(Stage("decode", frames, BATCHES_AHEAD))
            found = Stage("faces", finder.find(iter(decode)), BATCHES_AHEAD, decode)
            stack.enter_context(found)
            measured = self._counted(
                rows_in_order(
                    found, self.networks.au, self.options.batch_size, self._source.unrelated
                )
            )
            for rows in self.calibrator.rows(measured) if self.calibrator else measured:
                totals.add(rows)
                levels.add(rows.frame_index, rows.pts_seconds, rows.intensities)
                memory.after(len(rows.frame_index))
                batch = to_record_batch(self.columns, self.label, rows, self._source.names)
                left, cpu_left = time.perf_counter(), time.thread_time()
                if self._on_rows is not None:
                    self._on_rows(rows)
                yield batch
                reading += time.perf_counter() - left
                cpu_reading += time.thread_time() - cpu_left
        if not totals.frames:
            self._check_part()
        if self._original is not None:
            self._original.check()
        seconds, cpu_seconds = time.perf_counter() - start, time.thread_time() - cpu_start
        self.summary = Summary(
            **counted(totals, levels, seconds),
            stage_seconds={
                "decode": decode.seconds,
                "faces": found.seconds,
                "aus": max(0.0, seconds - reading - found.waited),
            },
            stage_cpu_seconds={
                "decode": decode.cpu_seconds,
                "faces": found.cpu_seconds,
                "aus": max(0.0, cpu_seconds - cpu_reading),
            },
            report=self._source.report,
        )

    def _check_part(self) -> None:
        start, end = self.options.start, self.options.end
        if start is None and end is None:
            return
        until = "" if end is None else f" and before {end:g} s"
        lasts = f"; it lasts {length:.1f} s" if (length := self.info.duration_seconds) else ""
        raise InputError(
            f"{self.info.path} has no frame at or after {start or 0:g} s{until}{lasts}."
        )

    def _counted(self, measured: Iterator[Rows]) -> Iterator[Rows]:
        """The same rows; tells the progress of the work, also while rows wait for a baseline."""
        for rows in measured:
            yield rows
            if self._on_frames is not None:
                self._on_frames(int(rows.frame_index[-1]) + 1, self.info.declared_frames)

    def provenance(self) -> dict[str, Any]:
        """How the rows came to be, for the table's metadata; complete once all have passed.

        Reads the whole input once more for its SHA-256. Raises InputError where it is not what it
        was before the first frame was read.
        """
        info, summary = self.info, self.summary
        with self._named():
            sha256 = self._original and self._original.checksum(self._on_batch)
        told: dict[str, Any] = {
            **recipe(self.networks, self.options, self._neutral),
            "input": {
                "name": shown(info.path.name),
                "sha256": sha256,
                "codec": info.codec,
                "width": info.width,
                "height": info.height,
                "fps": info.fps,
                "rotation_degrees": info.rotation_degrees,
                "mirrored": info.mirrored,
                "start_seconds": info.start_seconds,
                "stream_index": info.stream_index,
                "declared_frames": info.declared_frames,
                "looks": 2 if self._source.unrelated and self.networks.au.follows else 1,
            },
        }
        if self.columns.presence:
            told["presence_threshold"] = PRESENCE_THRESHOLD
        if summary is not None:
            told["input"] |= {
                "decoder": summary.report.decoder,
                "decoded_frames": summary.report.decoded_frames,
                "corrupt_packets": summary.report.corrupt_packets,
                "corrupt_frames": summary.report.corrupt_frames,
                "missing_frames": summary.report.missing_frames,
                "truncated": summary.report.truncated,
                "clock": summary.report.clock,
                "damage": summary.damage,
            }
            if summary.report.notes:
                told["input"]["notes"] = list(summary.report.notes)
            told |= {"frames": summary.frames, "face_frames": summary.face_frames}
        if self.calibrator is not None:
            told["calibration"] = self.calibrator.told(self.columns.aus)
        return told


def calibrator_of(
    options: AnalyzeOptions, label: str, networks: Networks, neutral: Baseline | None
) -> Calibrator | None:
    """What subtracts the baselines of a video; None where none is asked for."""
    if options.calibrate is None:
        return None
    calibration = parse_calibration(options.calibrate, options.faces)
    return Calibrator(calibration, label, neutral, networks.au.rest)


def recipe(
    networks: Networks, options: AnalyzeOptions, neutral: Baseline | None = None
) -> dict[str, Any]:
    """What the rows of any input would be made with: the part of the provenance that all the tables
    of a run share."""
    told = {"aucli": version(), **networks.provenance, "options": asdict(options)}
    if neutral is not None and neutral.sha256:
        told["neutral_sha256"] = neutral.sha256
    return told


def _selected(source: FrameSource, selection: Selection, on_batch: OnBatch) -> Iterator[FrameBatch]:
    """Batches of the frames that are to be analysed; a batch with none of these is left out."""
    for batch in source:
        on_batch()
        keep = selection.keep(batch.frame_index, batch.pts_seconds)
        if keep.all():
            yield batch
        elif keep.any():
            yield FrameBatch(batch.frames[keep], batch.frame_index[keep], batch.pts_seconds[keep])
        if selection.is_over(batch.pts_seconds):
            return


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Share so many CPU threads (0: one a core) between the network stages; back at the end.

    Analyses may overlap: the last one that ends gives back what the first one found. Without a
    network in torch there is nothing to share: others were given their threads when they were
    loaded.
    """
    global _analyses, _threads_before
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    with _lock:
        if not _analyses:
            _threads_before = torch.get_num_threads()
        _analyses += 1
    # Python threads that start later take over the number.
    torch.set_num_threads(threads_of_stage(threads))
    try:
        yield
    finally:
        with _lock:
            _analyses -= 1
            if not _analyses:
                torch.set_num_threads(_threads_before)
