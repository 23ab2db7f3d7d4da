"""One video from file to rows: the stages joined, the summary and the provenance."""

import hashlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

import aucli
from aucli.pipeline.calibration import Baseline, Calibrator, parse_calibration
from aucli.pipeline.loading import Networks
from aucli.pipeline.options import AnalyzeOptions
from aucli.pipeline.rows import Totals, rows_in_order
from aucli.pipeline.stages import Stage
from aucli.records import FrameBatch
from aucli.table.schema import PRESENCE_THRESHOLD, Rows, to_record_batch
from aucli.video.source import DecodeReport, FrameSource

FRAMES_PER_BATCH = 16
# Batches of frames between two stages. One hides the difference between two batches; more would
# only hold memory, up to 64 MB each.
BATCHES_AHEAD = 1

# Stages that run networks at the same time. More threads than cores make each wait for the others
# at the end of every layer, many times slower on a busy machine.
NETWORK_STAGES = 2

_lock = threading.Lock()
_analyses = 0  # that run at the moment
_threads_before = 1  # of torch, before the first of them

OnFrames = Callable[[int, int], None]  # frames of the video done, frames declared (0: unknown)
OnRows = Callable[[Rows], None]


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of one video.

    frames: analysed. face_frames: of these, with a face. face_rows: rows with a face. fps: frames
    analysed per second of work. mean, peak: per AU, 0-5, None without a face. stage_seconds: time
    at work of each stage; they overlap, so their sum may exceed ``seconds``.
    """

    frames: int
    face_frames: int
    face_rows: int
    seconds: float
    fps: float
    mean: dict[str, float | None]
    peak: dict[str, float | None]
    stage_seconds: dict[str, float]
    report: DecodeReport

    @property
    def damage(self) -> str:
        """What is missing of the file in a few words; empty where nothing is."""
        found = []
        if self.report.truncated:
            declared = f" of {n}" if (n := self.report.declared_frames) else ""
            found.append(f"truncated after {self.report.decoded_frames}{declared} frames")
        if self.report.corrupt_packets:
            found.append(f"{self.report.corrupt_packets} corrupt packets skipped")
        return ", ".join(found)


class Analysis:
    """One source of frames under analysis: iterate once over its Arrow batches, then read
    ``summary``.

    source: from :func:`aucli.video.source.open_video`, or arrays. label: what the column ``video``
    says. on_frames: called between batches of rows. on_rows: sees each block of rows, with all that
    the columns leave out. neutral: the baseline of the options' neutral video.

    A context manager. Leaving the loop early, by an error, a ``break`` or Ctrl-C, stops and joins
    the threads at the latest when the ``with`` block ends; the error of any stage is raised in the
    loop, after the rows that came before it. Raises InputError there for neutral frames that are
    not there or show no face.
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
    ) -> None:
        self.label = label
        self.networks = networks
        self.options = options
        self.columns = options.columns(networks.au.aus, networks.au.sides)
        self.calibrator: Calibrator | None = None
        if options.calibrate is not None:
            calibration = parse_calibration(options.calibrate, options.faces)
            self.calibrator = Calibrator(calibration, label, neutral)
        self._on_frames = on_frames
        self._on_rows = on_rows
        self._source = source
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

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        if self._running is not None:
            raise RuntimeError("an analysis gives its rows once; open the input again")
        batches = self._batches()
        self._running = weakref.ref(batches)
        return batches

    def _batches(self) -> Generator[pa.RecordBatch, None, None]:
        start = time.perf_counter()
        reading = 0.0  # spent by our reader, between two rows
        totals = Totals(self.columns.aus)
        finder = self.networks.faces.finder(self._source.unrelated)
        with ExitStack() as stack:
            stack.enter_context(torch_threads(self.options.threads))
            stack.enter_context(self._source)
            frames = _every_nth(self._source, self.options.every)
            decode = stack.enter_context(Stage("decode", frames, BATCHES_AHEAD))
            found = Stage("faces", finder.find(iter(decode)), BATCHES_AHEAD, decode)
            stack.enter_context(found)
            measured = self._counted(
                rows_in_order(found, self.networks.au, self.options.batch_size)
            )
            for rows in self.calibrator.rows(measured) if self.calibrator else measured:
                totals.add(rows)
                batch = to_record_batch(self.columns, self.label, rows)
                left = time.perf_counter()
                if self._on_rows is not None:
                    self._on_rows(rows)
                yield batch
                reading += time.perf_counter() - left
        seconds = time.perf_counter() - start
        self.summary = Summary(
            frames=totals.frames,
            face_frames=totals.face_frames,
            face_rows=totals.face_rows,
            seconds=seconds,
            fps=totals.frames / seconds,
            mean=totals.mean(),
            peak=totals.peak(),
            stage_seconds={
                "decode": decode.seconds,
                "faces": found.seconds,
                "aus": max(0.0, seconds - reading - found.waited),
            },
            report=self._source.report,
        )

    def _counted(self, measured: Iterator[Rows]) -> Iterator[Rows]:
        """The same rows; tells the progress of the work, also while rows wait for a baseline."""
        for rows in measured:
            yield rows
            if self._on_frames is not None:
                self._on_frames(int(rows.frame_index[-1]) + 1, self.info.declared_frames)

    def provenance(self) -> dict[str, Any]:
        """How the rows came to be, for the table's metadata; complete once all have passed.

        Reads the whole input once more for its SHA-256.
        """
        info, summary = self.info, self.summary
        told: dict[str, Any] = {
            "aucli": aucli.__version__,
            **self.networks.provenance,
            "options": asdict(self.options),
            "input": {
                "name": info.path.name,
                "sha256": None if info.codec == "array" else sha256(info.path),
                "codec": info.codec,
                "width": info.width,
                "height": info.height,
                "fps": info.fps,
                "rotation_degrees": info.rotation_degrees,
                "declared_frames": info.declared_frames,
            },
        }
        if self.columns.presence:
            told["presence_threshold"] = PRESENCE_THRESHOLD
        if summary is not None:
            told["input"] |= {
                "decoder": summary.report.decoder,
                "decoded_frames": summary.report.decoded_frames,
                "corrupt_packets": summary.report.corrupt_packets,
                "truncated": summary.report.truncated,
            }
            told |= {"frames": summary.frames, "face_frames": summary.face_frames}
        if self.calibrator is not None:
            told["calibration"] = self.calibrator.told(self.columns.aus)
        return told


def _every_nth(source: FrameSource, every: int) -> Iterator[FrameBatch]:
    """Batches of each Nth frame; a batch with none of these is left out."""
    for batch in source:
        keep = batch.frame_index % every == 0
        if keep.all():
            yield batch
        elif keep.any():
            yield FrameBatch(batch.frames[keep], batch.frame_index[keep], batch.pts_seconds[keep])


def sha256(path: Path) -> str | None:
    """Hexadecimal SHA-256 of a file; None for a folder."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Share so many CPU threads (0: one a core) between the network stages; back at the end.

    Analyses may overlap: the last one that ends gives back what the first one found.
    """
    global _analyses, _threads_before
    with _lock:
        if not _analyses:
            _threads_before = torch.get_num_threads()
        _analyses += 1
    # Python threads that start later take over the number.
    torch.set_num_threads(max(1, (threads or os.cpu_count() or 1) // NETWORK_STAGES))
    try:
        yield
    finally:
        with _lock:
            _analyses -= 1
            if not _analyses:
                torch.set_num_threads(_threads_before)
