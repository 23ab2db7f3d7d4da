"""Measure how fast this machine analyses, and write the tables of docs/speed.md.

    python examples/maintenance/measure_speed.py

Run it on an idle machine, from a checkout. Needs the extra `export`, for the kernels of ONNX
Runtime. --page: a copy of the page to write into. --runs: of each measurement, after a first one.
--videos: clips in place of the demo and the five faces.
"""

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch
from make_five_faces import write_five_faces

import aucli
from aucli.analyzer import Analyzer
from aucli.bench.layers import flop_of, layers_of
from aucli.bench.limit import shortest
from aucli.bench.plain import concatenated, forms_of, measure_forms
from aucli.bench.speed import Speed, measure_speed
from aucli.bench.tables import Table, form_table, network_table, stage_table
from aucli.errors import run_script
from aucli.files import write_whole
from aucli.models.blocks import ready
from aucli.models.scc import SCC
from aucli.models.scc_heatmap import SCCHeatmapConfig, SCCHeatmapNet

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "speed.md"
DEMO = ROOT / "examples" / "demo.mp4"
NODES = {16: 256, 32: 128, 64: 64}  # channels of the paper's SCC layers, by their maps' side


def machine() -> str:
    """What was measured on, in words."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"^model name\s*:\s*(.*)$", info.read_text(), re.M)
        name = found[1] if found else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    engines = ", ".join(f"{one} {version(one)}" for one in ("onnxruntime", "torch", "numpy"))
    level = torch.backends.cpu.get_cpu_capability()
    return (
        f"{name}, {cores} {'core' if cores == 1 else 'cores'}, {level}; {platform.system()}, "
        f"Python {platform.python_version()}, {engines}, aucli {aucli.__version__}."
    )


def fresh_seconds(video: Path, runs: int) -> float:
    """Median of whole runs of the command, each in a process of its own."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(runs + 1):
            table = Path(folder) / f"{number}.parquet"
            start = time.perf_counter()
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "aucli",
                    "analyze",
                    str(video),
                    "-o",
                    str(table),
                    "-q",
                    "--faces",
                    "all",
                ],
                check=True,
            )
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def run_table(speeds: list[Speed], fresh: list[float]) -> Table:
    rows = [
        (
            f"`{one.video}`, {one.frames} frames of {one.width}x{one.height}",
            f"{one.first_fps:.0f}",
            f"{one.median_fps:.0f} ({min(one.fps):.0f}-{max(one.fps):.0f})",
            f"{one.faces_per_second:.0f}",
            f"{1e3 / one.cpu_ms:.0f}",
            f"{one.decode_fps:.0f}",
            f"{seconds:.1f} s",
            "" if one.peak_mb is None else f"{one.peak_mb:.0f} MB",
        )
        for one, seconds in zip(speeds, fresh, strict=True)
    ]
    heads = ("video", "first run, fps", "warm, fps", "faces per second", "frames per CPU second",
             "decoding only, fps", "fresh process", "peak memory")  # fmt: skip
    return Table(heads, rows)


@torch.inference_mode()
def scc_table(batches: tuple[int, ...], seconds: float) -> Table:
    """The paper's SCC layers, alone and in the whole network, factorised and as it writes them."""
    torch.manual_seed(0)
    net = SCCHeatmapNet(SCCHeatmapConfig.paper(24)).eval()
    layers = torch.nn.ModuleList(SCC(size) for size in NODES).eval()
    rows = []
    for batch in batches:
        maps = [torch.randn(batch, c, size, size) for size, c in NODES.items()]
        crops = torch.randn(batch, 3, 256, 256).contiguous(memory_format=torch.channels_last)

        def each(own: torch.nn.Module, maps: list[torch.Tensor] = maps) -> None:
            for layer, x in zip(own.children(), maps, strict=True):
                layer(x)

        for name, plain, call in (
            ("SCC layers alone", layers, each),
            ("whole network", net, lambda own, crops=crops: own(crops)),
        ):
            took, gmac = [], []
            for own in (ready(plain, "cpu"), ready(concatenated(plain), "cpu")):
                took.append(shortest(lambda own=own, call=call: call(own), seconds) / batch)
                counted = layers_of(lambda _, own=own, call=call: call(own), crops)
                gmac.append(flop_of(counted) / 2e9 / batch)
            rows.append(
                (
                    f"{name}, {batch} {'face' if batch == 1 else 'faces'}",
                    *(f"{value:.1f}" for value in gmac),
                    *(f"{1e3 * value:.0f}" for value in took),
                    f"{took[1] / took[0]:.1f}",
                )
            )
    heads = ("torch, on the CPU", "factorised, GMAC per face", "as written, GMAC per face",
             "factorised, ms per face", "as written, ms per face", "times as long")  # fmt: skip
    return Table(heads, rows)


def filled(page: str, parts: dict[str, str]) -> str:
    """The page with what stands between its markers replaced."""
    for name, text in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
        if not pattern.search(page):
            raise SystemExit(f"measure_speed: the page has no part {name}.")
        page = pattern.sub(lambda match, text=text: f"{match[1]}{text}\n{match[2]}", page)
    return page


def fill(page: Path, parts: dict[str, str]) -> None:
    """Write the parts between the markers of a page."""
    text = filled(page.read_text("utf-8"), parts)
    with write_whole(page) as stream:
        stream.write(text.encode())
    print(f"wrote {page}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--videos", type=Path, nargs="+")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        videos = args.videos
        if not videos:
            five = Path(folder) / "five_faces.mp4"
            write_five_faces(DEMO, five)
            videos = [DEMO, five]
        # First, while the process is small: its memory is told.
        speeds = [measure_speed(path, Analyzer(faces="all"), args.runs) for path in videos]
        forms = measure_forms(videos[0], forms_of(Analyzer()), args.runs)
        fresh = [fresh_seconds(path, args.runs) for path in videos]
    parts = {
        "machine": machine(),
        "runs": run_table(speeds, fresh).markdown(),
        "stages": "\n\n".join(f"`{s.video}`\n\n{stage_table(s).markdown()}" for s in speeds),
        "networks": "\n\n".join(f"`{s.video}`\n\n{network_table(s).markdown()}" for s in speeds),
        "forms": form_table(forms).markdown(),
        "scc": scc_table(tuple(args.batches), 1.0).markdown(),
    }
    fill(args.page, parts)


if __name__ == "__main__":
    run_script(main)
