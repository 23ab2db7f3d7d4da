"""Measure what a GPU does: networks alone, and whole analyses; and what bounds each.

    python examples/maintenance/measure_gpu.py

Prints tables. `scc-resnet50`, the paper's network, and the shipped one are timed on random crops
that lie on the device: eager and compiled, in float32 and in bfloat16. Whole analyses are those of
the demo clip in 1280x720, and of --clips short ones in one process; the stage that is busy all the
time bounds them, and the networks' share of the time says whether the GPU is what it waits for.
--batch: crops in a call. --device cpu tries the script on a machine without a GPU.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from measure_scale import CLIP_SECONDS, FPS, looped, scaled
from measure_speed import DEMO

from aucli.analyzer import Analyzer
from aucli.bench.speed import measure_speed
from aucli.bench.tables import Table, network_table, stage_table
from aucli.errors import run_script
from aucli.models.blocks import ready
from aucli.models.scc_heatmap import SCCHeatmapConfig, SCCHeatmapNet
from aucli.weights.cards import DEFAULT_AU_MODEL, load_weights
from aucli.weights.names import resolve

GOAL = 5000  # faces a second of scc-resnet50, on a card of NVIDIA's Hopper generation
SECONDS = 5.0  # of each timing


def faces_per_second(call: Callable[[], object], batch: int, device: torch.device) -> float:
    """Calls in a row after five, by the clock, with the device's queue empty before and after."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    for _ in range(5):
        call()
    wait()
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        call()
        calls += 1
        if calls % 8 == 0:
            wait()
    wait()
    return calls * batch / (time.perf_counter() - start)


@torch.inference_mode()
def network_rates(device: torch.device, batch: int) -> Table:
    """Faces a second of networks alone."""
    torch.manual_seed(0)
    nets = {
        "scc-resnet50": (SCCHeatmapNet(SCCHeatmapConfig.paper(24)), 256),
        DEFAULT_AU_MODEL: (load_weights(resolve(DEFAULT_AU_MODEL)).net, 128),
    }
    rows = []
    for name, (net, side) in nets.items():
        net = ready(net.eval().to(device), str(device))
        crops = torch.randn(batch, 3, side, side, device=device)
        crops = crops.contiguous(memory_format=torch.channels_last)
        for form, own in (("eager", net), ("compiled", torch.compile(net))):
            for precision, low in (("float32", False), ("bfloat16", True)):

                def call(own: Callable = own, crops: torch.Tensor = crops, low: bool = low) -> None:
                    with torch.autocast(device.type, torch.bfloat16, enabled=low):
                        own(crops)

                rate = faces_per_second(call, batch, device)
                rows.append((f"{name}, {form}, {precision}", f"{batch}", f"{rate:,.1f}"))
    return Table(("network", "batch", "faces per second"), rows)


def short_clips(folder: Path, count: int, device: str) -> tuple[float, float]:
    """Frames per second of many short clips in one process, and of one long clip."""
    short = looped(DEMO, CLIP_SECONDS * FPS, folder / "short.mp4")
    long = looped(DEMO, count * CLIP_SECONDS * FPS, folder / "long.mp4")
    analyzer = Analyzer(device=device)

    def rate(videos: list[Path]) -> float:
        start, frames = time.perf_counter(), 0
        for video in videos:
            with analyzer.open(video) as analysis:
                frames += sum(len(rows) for rows in analysis)
        return frames / (time.perf_counter() - start)

    rate([short])
    return rate([short] * count), rate([long])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    device = torch.device(args.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("measure_gpu: torch sees no GPU here; --device cpu tries the script.")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
    print(f"{name}; the goal for scc-resnet50 is {GOAL:,} faces a second.\n")
    print(network_rates(device, args.batch).markdown(), "\n")
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        film = scaled(DEMO, 1280, 720, folder / "720.mp4")
        speed = measure_speed(film, Analyzer(device=args.device), args.runs)
        print(f"1280x720: {speed.median_fps:.0f} fps; decoding alone {speed.decode_fps:.0f}.\n")
        print(stage_table(speed).markdown(), "\n")
        print(network_table(speed).markdown(), "\n")
        short, long = short_clips(folder, args.clips, args.device)
    print(f"{args.clips} clips of {CLIP_SECONDS} s: {short:.0f} fps, {short / long:.0%} of the "
          f"{long:.0f} fps of one long clip.")  # fmt: skip


if __name__ == "__main__":
    run_script(main)
