"""What a batch would take, judged from a look at every input and a try of the first film and the
first pictures."""

import io
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from aucli.analyzer import Analyzer
from aucli.errors import AucliError
from aucli.pipeline.batch import Job
from aucli.pipeline.options import AnalyzeOptions
from aucli.pipeline.original import Original
from aucli.records import VideoInfo
from aucli.table.text import as_text
from aucli.video.source import open_video

TRIED_ROWS = 96
# Faces of a film are followed, those of pictures are looked for in each, and twice.
FILMS, PICTURES = "films", "pictures"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a batch would take.

    frames: to analyse of each input, in the order of the jobs; None where the file does not say how
    many it has. problems: a sentence for each input that cannot be opened, by its label. fps:
    frames a second of FILMS and of PICTURES, as tried with the first input of the kind that has
    any. seconds, bytes: of all inputs whose frames are known; None where nothing could be tried.
    """

    frames: tuple[int | None, ...]
    problems: dict[str, str]
    fps: dict[str, float]
    seconds: float | None
    bytes: int | None


def estimate(
    analyzer: Analyzer,
    jobs: Iterable[Job],
    table_format: str,
    on_job: Callable[[], None] = lambda: None,
) -> Estimate:
    """Look at every input and analyse the first frames of one; writes nothing."""
    frames: list[int | None] = []
    problems: dict[str, str] = {}
    known: dict[str, int] = {FILMS: 0, PICTURES: 0}
    tried: dict[str, tuple[float, float]] = {}  # kind -> frames a second, bytes a frame
    for job in jobs:
        on_job()
        count = None
        try:
            options = analyzer.options
            with (
                Original(job.input.path) as original,
                original.named(),
                open_video(original.path, "pyav", max_pixels=options.max_pixels) as source,
            ):
                kind = PICTURES if source.unrelated else FILMS
                count = frames_to_analyse(source.info, options)
            known[kind] += count or 0
            if kind not in tried and (speed := _try(analyzer, job, table_format)):
                tried[kind] = speed
        except AucliError as error:
            problems[job.input.label] = str(error)
        frames.append(count)
    return Estimate(
        frames=tuple(frames),
        problems=problems,
        fps={kind: fps for kind, (fps, _) in tried.items()},
        seconds=sum(known[kind] / fps for kind, (fps, _) in tried.items()) if tried else None,
        bytes=round(sum(known[kind] * size for kind, (_, size) in tried.items()))
        if tried
        else None,
    )


def frames_to_analyse(info: VideoInfo, options: AnalyzeOptions) -> int | None:
    """How many frames the options choose of what a file declares; None where it does not say."""
    seconds = info.duration_seconds
    declared = info.declared_frames or round(seconds * info.fps)
    if not declared:
        return None
    seconds = seconds or (declared / info.fps if info.fps else 0.0)
    part = 1.0
    if seconds and (options.start is not None or options.end is not None):
        end = min(seconds, options.end if options.end is not None else seconds)
        part = max(0.0, end - (options.start or 0.0)) / seconds
    chosen = declared * part / options.every
    if options.fps is not None and seconds:
        chosen = min(chosen, seconds * part * options.fps)
    return max(1, round(chosen))


def _try(analyzer: Analyzer, job: Job, table_format: str) -> tuple[float, float] | None:
    """Frames a second and bytes a frame over the first rows of an input; None without any."""
    batches: list[pa.RecordBatch] = []
    rows = 0
    start = time.perf_counter()
    first = start  # the first rows take longer: memory is claimed, kernels are chosen
    with analyzer.open(job.input.path, label=job.input.label) as analysis:
        for batch in analysis:
            batches.append(batch)
            rows += len(batch)
            if len(batches) == 1:
                first = time.perf_counter()
            if rows >= TRIED_ROWS:
                break
    last = time.perf_counter()
    if not rows:
        return None
    later = batches[1:]
    table = pa.Table.from_batches(batches, analysis.columns.schema())
    frames = len(table["frame"].unique())
    timed = len(pa.Table.from_batches(later)["frame"].unique()) if later else frames
    seconds = last - (first if later else start)
    if table_format == "parquet":
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        size = buffer.tell()
    else:
        size = sum(len(as_text(batch, table_format)) for batch in batches)
    return timed / max(seconds, 1e-9), size / frames
