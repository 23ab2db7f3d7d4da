"""One video from file to rows: the stages joined, the summary and the provenance."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import torch

import aucli
from aucli.faces.finder import FaceFinder
from aucli.models.predict import AUModel
from aucli.pipeline.calibration import Baseline, Calibrator, parse_calibration
from aucli.pipeline.rows import Totals, rows_in_order
from aucli.pipeline.stages import Stage
from aucli.records import FrameBatch
from aucli.table.schema import PRESENCE_THRESHOLD, Columns, Rows, to_record_batch
from aucli.video.source import DecodeReport, open_video

FRAMES_PER_BATCH = 16
# Batches of frames between two stages. One hides the difference between two batches; more would
# only hold memory, up to 64 MB each.
BATCHES_AHEAD = 1

# Stages that run networks at the same time. More threads than cores make each wait for the others
# at the end of every layer, many times slower on a busy machine.
NETWORK_STAGES = 2

OnProgress = Callable[[int, int], None]  # frames of the video done, frames declared (0: unknown)
OnRows = Callable[[Rows], None]


@dataclass(frozen=True, slots=True)
class AnalyzeOptions:
    """What to analyse and how.

    profile: which networks; model, detector, landmarks name others than the profile's, see
    :mod:`aucli.pipeline.loading`. faces: 'largest', 'all' or a number. every: analyse each Nth
    frame, from the first. device: 'auto', 'cpu', 'cuda' ... batch_size: faces per model call.
    threads: of the networks on the CPU; 0 takes one for each core. decoder: 'auto', 'decord' or
    'pyav'. calibrate: whence a person's baseline comes, see :mod:`aucli.pipeline.calibration`; the
    intensities are then less by it, and the raw ones have columns of their own. The rest are column
    groups of the table, see :mod:`aucli.table.schema`.
    """

    profile: Literal["builtin", "accurate"] = "builtin"
    model: str | None = None
    detector: str | None = None
    landmarks: str | None = None
    faces: str = "largest"
    every: int = 1
    device: str = "auto"
    batch_size: int = 16
    threads: int = 0
    decoder: Literal["auto", "decord", "pyav"] = "auto"
    calibrate: str | None = None
    sides: bool = False
    places: bool = False
    presence: bool = False
    landmarks_xy: bool = False

    def __post_init__(self) -> None:
        for name, least in (("every", 1), ("batch_size", 1), ("threads", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Models:
    """The networks of a run, loaded once and used for every video.

    video_finder: for moving pictures. still_finder: for pictures that have nothing to do with each
    other. provenance: names and checksums for the table's metadata.
    """

    au: AUModel
    video_finder: FaceFinder
    still_finder: FaceFinder
    provenance: dict[str, Any] = field(default_factory=dict)


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
    """One video under analysis: iterate once over its Arrow batches, then read ``summary``.

    A context manager. Leaving the loop early, by an error, a ``break`` or Ctrl-C, stops and joins
    the threads at the latest when the ``with`` block ends; the error of any stage is raised in the
    loop, after the rows that came before it.
    """

    def __init__(
        self,
        path: Path,
        models: Models,
        options: AnalyzeOptions,
        on_progress: OnProgress | None = None,
        label: str | None = None,
        on_rows: OnRows | None = None,
        neutral: Baseline | None = None,
    ) -> None:
        self.path = path
        self.models = models
        self.options = options
        self.label = label or path.name
        self.columns = columns_for(models.au, options)
        self.calibrator: Calibrator | None = None
        if options.calibrate is not None:
            calibration = parse_calibration(options.calibrate, options.faces)
            self.calibrator = Calibrator(calibration, self.label, neutral)
        self._on_progress = on_progress
        self._on_rows = on_rows
        self._source = open_video(path, options.decoder, FRAMES_PER_BATCH)
        self.info = self._source.info
        self.summary: Summary | None = None
        self._running: list[Iterator[pa.RecordBatch]] = []

    def __enter__(self) -> "Analysis":
        return self

    def __exit__(self, *_: object) -> None:
        while self._running:
            self._running.pop().close()  # pyright: ignore[reportAttributeAccessIssue]
        self._source.close()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        batches = self._batches()
        self._running.append(batches)
        return batches

    def _batches(self) -> Iterator[pa.RecordBatch]:
        start = time.perf_counter()
        reading = 0.0  # spent by our reader, between two rows
        totals = Totals(self.columns.aus)
        pictures = self.info.decoder == "pillow"
        finder = self.models.still_finder if pictures else self.models.video_finder
        with ExitStack() as stack:
            stack.enter_context(torch_threads(self.options.threads))
            stack.enter_context(self._source)
            decode = stack.enter_context(Stage("decode", self._decode(), BATCHES_AHEAD))
            found = Stage("faces", finder.find(iter(decode)), BATCHES_AHEAD, decode)
            stack.enter_context(found)
            measured = self._counted(rows_in_order(found, self.models.au, self.options.batch_size))
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
            if self._on_progress is not None:
                self._on_progress(int(rows.frame_index[-1]) + 1, self.info.declared_frames)

    def _decode(self) -> Iterator[FrameBatch]:
        """Batches of each Nth frame; a batch with none of these is left out."""
        for batch in self._source:
            keep = batch.frame_index % self.options.every == 0
            if keep.all():
                yield batch
            elif keep.any():
                yield FrameBatch(
                    batch.frames[keep], batch.frame_index[keep], batch.pts_seconds[keep]
                )

    def provenance(self) -> dict[str, Any]:
        """How the rows came to be, for the table's metadata; complete once all have passed.

        Reads the whole input once more for its SHA-256.
        """
        info, summary = self.info, self.summary
        told: dict[str, Any] = {
            "aucli": aucli.__version__,
            **self.models.provenance,
            "options": asdict(self.options),
            "input": {
                "name": self.path.name,
                "sha256": sha256(self.path),
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


def analyze_video(
    path: Path | str,
    models: Models,
    options: AnalyzeOptions | None = None,
    on_progress: OnProgress | None = None,
    label: str | None = None,
    on_rows: OnRows | None = None,
    neutral: Baseline | None = None,
) -> Analysis:
    """Open a video, a picture or a folder of pictures; its rows come by iterating over the result.

    on_progress: called between batches of rows. label: what the column ``video`` says, by default
    the file's name. on_rows: sees each block of rows, with all that the columns leave out. neutral:
    what :func:`aucli.pipeline.neutral.measure_neutral` found.

    Raises:
        InputError: the file is missing, or nothing in it can be decoded; in the loop, neutral
            frames that are not there or show no face.
    """
    chosen = options or AnalyzeOptions()
    return Analysis(Path(path), models, chosen, on_progress, label, on_rows, neutral)


def columns_for(model: AUModel, options: AnalyzeOptions) -> Columns:
    """Columns of the tables of a run; a model that knows no sides has none, whatever is asked."""
    return Columns(
        aus=tuple(model.aus),
        raw=options.calibrate is not None,
        sides=options.sides and model.sides,
        places=options.places,
        presence=options.presence,
        landmarks=options.landmarks_xy,
    )


def sha256(path: Path) -> str | None:
    """Hexadecimal SHA-256 of a file; None for a folder."""
    if path.is_dir():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Share so many CPU threads (0: one a core) between the network stages; back at the end."""
    before = torch.get_num_threads()
    # Python threads that start later take over the number.
    torch.set_num_threads(max(1, (threads or os.cpu_count() or 1) // NETWORK_STAGES))
    try:
        yield
    finally:
        torch.set_num_threads(before)
