"""How fast this machine analyses a video, next to how fast it can decode it."""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aucli.analyzer import Analyzer
from aucli.errors import InputError, OptionError
from aucli.pipeline.summary import Summary
from aucli.video.source import Decoder, open_video

OnRun = Callable[[], None]  # after each run


@dataclass(frozen=True, slots=True)
class Speed:
    """Timings of one video; all rates in frames per second, from the file to the rows.

    first_fps: of the first run, in which memory is claimed and kernels are chosen. fps: of each
    run after it. stages: share of the work of decoding, faces and AUs, 0-1, over those runs; the
    stages overlap. decode_fps: of decoding alone, the limit of any analysis. peak_mb: highest
    memory of the process so far, None where the system does not tell.
    """

    video: str
    frames: int
    width: int
    height: int
    first_fps: float
    fps: tuple[float, ...]
    stages: dict[str, float]
    decode_fps: float
    peak_mb: float | None

    @property
    def median_fps(self) -> float:
        """Of the runs after the first."""
        return statistics.median(self.fps)

    def told(self) -> dict[str, Any]:
        """As JSON wants it."""
        return asdict(self) | {"median_fps": self.median_fps}


def measure_speed(
    path: Path,
    analyzer: Analyzer,
    runs: int = 5,
    on_run: OnRun | None = None,
) -> Speed:
    """Analyse a video `runs` times after a first one, then decode it alone. Writes no table.

    Raises:
        InputError: the file cannot be analysed, or holds no frame.
    """
    if runs < 1:
        raise OptionError(f"runs: {runs} is not 1 or more.")
    summaries: list[Summary] = []
    for _ in range(runs + 1):
        with analyzer.open(path) as analysis:
            for _rows in analysis:
                pass
        assert analysis.summary is not None
        if not analysis.summary.frames:
            raise InputError(f"{path} holds no frame to time.")
        summaries.append(analysis.summary)
        if on_run is not None:
            on_run()
    peak_mb = _peak_mb()  # before decoding alone, which is no part of an analysis
    first, *later = summaries
    work = {stage: sum(s.stage_seconds[stage] for s in later) for stage in first.stage_seconds}
    return Speed(
        video=path.name,
        frames=first.frames,
        width=analysis.info.width,
        height=analysis.info.height,
        first_fps=first.fps,
        fps=tuple(s.fps for s in later),
        stages={stage: seconds / sum(work.values()) for stage, seconds in work.items()},
        decode_fps=_decode_fps(path, analyzer.options.decoder),
        peak_mb=peak_mb,
    )


def _decode_fps(path: Path, decoder: Decoder) -> float:
    """Frames per second of reading the file once and doing nothing with it."""
    start = time.perf_counter()
    with open_video(path, decoder) as source:
        frames = sum(len(batch.frames) for batch in source)
    return frames / (time.perf_counter() - start)


def _peak_mb() -> float | None:
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
