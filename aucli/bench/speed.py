"""How fast this machine analyses a video, what each stage and network takes, and their limit."""

import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aucli.analyzer import Analyzer
from aucli.bench.calls import Calls, Shape, clock_of, watched
from aucli.errors import InputError, OptionError
from aucli.models.onnx import OnnxNetwork
from aucli.pipeline.analysis import torch_threads
from aucli.pipeline.loading import check_options
from aucli.pipeline.options import AnalyzeOptions
from aucli.pipeline.stages import threads_of_exported
from aucli.pipeline.summary import Summary
from aucli.video.source import Decoder, open_video
from aucli.weights.cards import DEFAULT_AU_MODEL, load_weights
from aucli.weights.names import resolve

if TYPE_CHECKING:
    from torch import Tensor

OnRun = Callable[[], None]  # after each run


@dataclass(frozen=True, slots=True)
class StageSpeed:
    """One stage over the warm runs. busy: share of their time in which it worked, 0-1; else it
    waited for another one. cpu_ms: CPU time of its thread for each frame."""

    busy: float
    cpu_ms: float

    @property
    def waiting(self) -> float:
        return 1 - self.busy


@dataclass(frozen=True, slots=True)
class NetworkSpeed:
    """One network over the warm runs.

    per_frame: crops or pictures that it saw for each frame. per_call: for each call. cpu_ms: CPU
    time of the calling thread for each crop. gflop: for each crop; None for a library's network.
    rate: GFLOP/s within the calls; of CPU time where a call has one thread, so that other programs
    do not count. alone_rate: of the usual call in a row, while nothing else runs. best_rate: of the
    quickest kernel at hand for every layer. None on other devices than the CPU.
    """

    name: str
    per_frame: float
    per_call: float
    cpu_ms: float
    gflop: float | None = None
    rate: float | None = None
    alone_rate: float | None = None
    best_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Speed:
    """Timings of one video; all rates from the file to the rows.

    first_fps: frames per second of the first run, in which memory is claimed and kernels are
    chosen. fps: of each run after it, and what follows is of all these. faces_per_second: rows with
    a face. stages: decode, faces and aus (the rest, up to the rows), which overlap. cpu_ms: CPU
    time of the whole process for each frame; network_cpu_ms: of it, within calls of networks;
    other_cpu_ms: of faces and rows outside networks; library_cpu_ms: of threads that libraries
    start, for decoding or for networks. gflop_per_face: of all networks, None without a face.
    decode_fps, decode_cpu_ms: of decoding alone. peak_mb: highest memory of the process so far,
    None where the system does not tell. precision: of the AU network, as the option. damage: what
    is wrong with the file, of which only the frames that can be decoded count; empty for a sound
    one.
    """

    video: str
    frames: int
    faces: int
    width: int
    height: int
    first_fps: float
    fps: tuple[float, ...]
    faces_per_second: float
    stages: dict[str, StageSpeed]
    networks: tuple[NetworkSpeed, ...]
    cpu_ms: float
    network_cpu_ms: float
    other_cpu_ms: float
    library_cpu_ms: float
    gflop_per_face: float | None
    decode_fps: float
    decode_cpu_ms: float
    peak_mb: float | None
    precision: str = "fp32"
    damage: str = ""

    @property
    def median_fps(self) -> float:
        """Of the runs after the first."""
        return statistics.median(self.fps)

    def told(self) -> dict[str, Any]:
        """As JSON wants it."""
        return asdict(self) | {
            "median_fps": self.median_fps,
            "stages": {n: asdict(s) | {"waiting": s.waiting} for n, s in self.stages.items()},
        }


def measure_speed(
    path: Path,
    analyzer: Analyzer,
    runs: int = 5,
    on_run: OnRun | None = None,
) -> Speed:
    """Analyse a video `runs` times after a first one, then decode it alone, and try kernels at its
    layers. Writes no table.

    Raises:
        InputError: the file cannot be analysed, or holds no frame.
    """
    if runs < 1:
        raise OptionError(f"runs: {runs} is not 1 or more.")
    first = _run(path, analyzer)
    if on_run is not None:
        on_run()
    later = []
    cpu_start = time.process_time()
    with watched(analyzer.networks) as calls:
        for _ in range(runs):
            later.append(_run(path, analyzer))
            if on_run is not None:
                on_run()
    cpu_seconds = time.process_time() - cpu_start
    peak_mb = _peak_mb()  # before what is no part of an analysis
    frames = sum(s.frames for s in later)
    faces = sum(s.face_rows for s in later)
    seconds = sum(s.seconds for s in later)
    stages = {
        name: StageSpeed(
            min(sum(s.stage_seconds[name] for s in later) / seconds, 1.0),
            1e3 * sum(s.stage_cpu_seconds[name] for s in later) / frames,
        )
        for name in first.stage_seconds
    }
    network_cpu_ms = 1e3 * sum(one.cpu_seconds for one in calls.values()) / frames
    cpu_ms = 1e3 * cpu_seconds / frames
    decode_fps, decode_cpu_ms = _decode(path, analyzer.options.decoder)
    networks = tuple(_networks(calls, analyzer, frames))
    gflop = [one.gflop * one.per_frame for one in networks if one.gflop is not None]
    with open_video(path, analyzer.options.decoder) as source:
        info = source.info
    return Speed(
        video=path.name,
        frames=first.frames,
        faces=first.face_rows,
        width=info.width,
        height=info.height,
        first_fps=first.fps,
        fps=tuple(s.fps for s in later),
        faces_per_second=faces / seconds,
        stages=stages,
        networks=networks,
        cpu_ms=cpu_ms,
        network_cpu_ms=network_cpu_ms,
        other_cpu_ms=stages["faces"].cpu_ms + stages["aus"].cpu_ms - network_cpu_ms,
        library_cpu_ms=max(0.0, cpu_ms - sum(stage.cpu_ms for stage in stages.values())),
        gflop_per_face=sum(gflop) * frames / faces if faces and gflop else None,
        decode_fps=decode_fps,
        decode_cpu_ms=decode_cpu_ms,
        peak_mb=peak_mb,
        precision=analyzer.options.precision,
        damage=first.damage,
    )


def _run(path: Path, analyzer: Analyzer) -> Summary:
    with analyzer.open(path) as analysis:
        for _rows in analysis:
            pass
    assert analysis.summary is not None
    if not analysis.summary.frames:
        raise InputError(f"{path} holds no frame to time.")
    return analysis.summary


def _networks(calls: dict[str, Calls], analyzer: Analyzer, frames: int) -> Iterator[NetworkSpeed]:
    """What each network that was called did and could do."""
    threads = threads_of_exported(analyzer.options.threads)
    on_cpu = analyzer.networks.provenance.get("device", "cpu") == "cpu"
    for name, one in calls.items():
        if not one.calls:
            continue
        told = {
            "name": name,
            "per_frame": one.items / frames,
            "per_call": one.items / one.calls,
            "cpu_ms": 1e3 * one.cpu_seconds / one.items,
        }
        if one.is_library or not on_cpu:
            yield NetworkSpeed(**told)
            continue
        from aucli.bench.layers import flop_of, layers_of  # torch, which takes seconds
        from aucli.bench.limit import best_rate

        form, is_module = torch_form(name, one.net, analyzer), _is_module(one.net)
        of_one: Counter[Shape] = Counter()
        for shape, times in one.shapes.items():
            of_one[(1, *shape[1:])] += shape[0] * times
        flop = sum(
            flop_of(layers_of(form, _picture(shape, is_module))) * items
            for shape, items in of_one.items()
        )
        most = max((shape[0] * times, shape) for shape, times in one.shapes.items())[1]
        usual = _picture(most, is_module)
        layers = layers_of(form, usual)
        call, given = (form, usual) if is_module else (one.net, usual.numpy())
        clock = clock_of(threads)
        with torch_threads(analyzer.options.threads), _no_gradient():
            alone_seconds = _usual_seconds(lambda call=call, given=given: call(given), clock)
        yield NetworkSpeed(
            **told,
            gflop=flop / one.items / 1e9,
            rate=flop / (one.cpu_seconds if threads == 1 else one.seconds) / 1e9,
            alone_rate=flop_of(layers) / alone_seconds / 1e9,
            best_rate=best_rate(layers, threads) / 1e9,
        )


def _usual_seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """Mean time of a call by a clock, over half a second after a first one."""
    call()
    start, until, calls = clock(), time.perf_counter() + 0.5, 0
    while time.perf_counter() < until or not calls:
        call()
        calls += 1
    return (clock() - start) / calls


def torch_form(name: str, net: Any, analyzer: Analyzer) -> "Callable[[Any], Any]":
    """A network of a run as torch runs it, on pixels as it takes them itself."""
    if isinstance(net, OnnxNetwork):
        from aucli.weights.export import whole_network

        path = next(path for path in _weights(analyzer.options) if path.stem == name)
        return whole_network(load_weights(path))[0]
    if not _is_module(net):
        return lambda pixels: net.reads(net.net, net.pixels, pixels)
    return net.look if getattr(net, "follows", False) else net


def _weights(options: AnalyzeOptions) -> list[Path]:
    names = check_options(options)
    paths = [Path(name) for name in (names.model, names.detector, names.landmarks)]
    return [*paths, resolve(DEFAULT_AU_MODEL)]


def _is_module(net: Any) -> bool:
    from torch import nn

    return isinstance(net, nn.Module)


@contextmanager
def _no_gradient() -> Iterator[None]:
    import torch

    with torch.inference_mode():
        yield


def _picture(shape: Shape, for_module: bool) -> "Tensor":
    """Noise of a shape, as bytes, or as the numbers that a module of torch takes."""
    import torch

    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    if not for_module:
        return noise
    return (noise.float() / 255).contiguous(memory_format=torch.channels_last)


def _decode(path: Path, decoder: Decoder) -> tuple[float, float]:
    """Frames per second and CPU ms per frame of reading the file once and doing nothing with it."""
    start, cpu_start = time.perf_counter(), time.process_time()
    with open_video(path, decoder) as source:
        frames = sum(len(batch.frames) for batch in source)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return frames / seconds, 1e3 * cpu_seconds / frames


def _peak_mb() -> float | None:
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
