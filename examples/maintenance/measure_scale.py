"""Measure how cost grows with size, faces, length and jobs, and write the tables of docs/scale.md.

    python examples/maintenance/measure_scale.py
    python examples/maintenance/measure_scale.py --parts length --minutes 3 180

Run it on an idle machine, from a checkout; the jobs need the extra `ray`. --parts: only these
tables. --minutes: lengths of the films whose memory is compared; 180 take half an hour. --page: a
copy of the page to write into.
"""

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
from make_five_faces import write_five_faces
from measure_speed import DEMO, ROOT, fill, machine

from aucli.bench.tables import Table
from aucli.errors import run_script

PAGE = ROOT / "docs" / "scale.md"
SIZES = ((640, 360), (1280, 720), (1920, 1080))
PARTS = ("cost", "jobs", "short", "length")
COPIES = 12  # inputs of the batch
CLIPS, CLIP_SECONDS = 200, 2
FPS = 25  # of the videos of the arithmetic
HOURS, DAYS = 1_000_000, 30
LAUNCH = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
RAY = """
import sys, ray
told = ray.init("local", num_cpus=2, include_dashboard=False)
print("at", told.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""
RAY_WORDS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}
ENVIRONMENT = os.environ | RAY_WORDS | {"PYTHONPATH": str(ROOT)}


def scaled(video: Path, width: int, height: int, target: Path) -> Path:
    """The same film in another size."""
    with av.open(str(video)) as source, av.open(str(target), "w") as film:
        picture = source.streams.video[0]
        stream = film.add_stream("libx264", rate=FPS, options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in source.decode(picture):
            pixels = frame.reformat(width, height, "rgb24").to_ndarray()
            film.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        film.mux(stream.encode())
    return target


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one command. seconds: from the shell to its end. cpu_seconds: of all its processes.
    peak_mb: of the largest one. table_bytes: what it wrote."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    table_bytes: int


def cost(source: Path, out: Path, *options: str) -> Cost:
    """What `aucli analyze` takes."""
    command = [
        sys.executable,
        "-m",
        "aucli",
        "analyze",
        str(source),
        "-o",
        f"{out}/",
        "-q",
        *options,
    ]
    # A small process starts it: memory counts from the size of the one that starts another.
    told = subprocess.run(
        [sys.executable, "-c", LAUNCH, *command], env=ENVIRONMENT, capture_output=True, text=True
    )
    if told.returncode:
        raise SystemExit(f"measure_scale: {' '.join(command)} failed: {told.stderr}")
    seconds, cpu_seconds, peak = map(float, told.stdout.split())
    tables = sum(path.stat().st_size for path in out.rglob("*.parquet"))
    return Cost(seconds, cpu_seconds, peak / 1024, tables)


def frames_of(video: Path) -> int:
    """Frames in a file."""
    with av.open(str(video)) as container:
        return sum(1 for _ in container.decode(video=0))


def looped(video: Path, frames: int, target: Path) -> Path:
    """The film over and over, up to so many frames; its packets are copied, not coded anew."""
    with av.open(str(target), "w") as film:
        stream, written = None, 0
        while written < frames:
            with av.open(str(video)) as source:
                picture = source.streams.video[0]
                stream = stream or film.add_stream_from_template(picture)
                packets = [packet for packet in source.demux(picture) if packet.size]
                assert picture.time_base is not None
                step = round(1 / (FPS * picture.time_base))
                shift, packets = written * step, packets[: frames - written]
                for packet in packets:
                    assert packet.pts is not None and packet.dts is not None
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    film.mux(packet)
                written += len(packets)
    return target


@contextmanager
def ray_of_two() -> Iterator[str]:
    """A Ray with two CPUs that is there already; its address."""
    command = [sys.executable, "-c", RAY]
    silent = {"stderr": subprocess.DEVNULL, "text": True, "env": ENVIRONMENT}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **silent
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        told = next((line for line in process.stdout if line.startswith("at ")), None)
        if told is None:
            raise SystemExit("measure_scale: Ray does not start; pip install 'aucli[ray]'.")
        yield told.split()[1]
        process.stdin.close()  # it waits for that


def measure_cost(folder: Path) -> dict[str, str]:
    """By resolution and number of faces, and what a million hours would take."""
    five = folder / "five.mp4"
    write_five_faces(DEMO, five)
    films = [(f"one face, {w}x{h}", scaled(DEMO, w, h, folder / f"{h}.mp4")) for w, h in SIZES] + [
        ("five faces, 1280x720", five)
    ]
    rows, arithmetic = [], []
    for label, film in films:
        frames = frames_of(film)
        runs = [cost(film, folder / f"{film.stem}-{i}", "--faces", "all") for i in range(3)]
        best = min(runs, key=lambda one: one.cpu_seconds)
        each = best.cpu_seconds / frames
        rows.append(
            (
                label, f"{1e3 * each:.1f}", f"{frames / best.seconds:.0f}",
                f"{best.peak_mb:.0f} MB", f"{best.table_bytes / frames:.0f}",
            )
        )  # fmt: skip
        hours = each * FPS  # of a core, for an hour of video
        arithmetic.append(
            (
                label, f"{hours:.2f}", f"{HOURS * hours:,.0f}", f"{HOURS * hours / 24 / DAYS:,.0f}",
                f"{HOURS * 3600 * FPS * best.table_bytes / frames / 1e12:.1f} TB",
            )
        )  # fmt: skip
    return {
        "cost": Table(
            ("video", "CPU ms per frame", "frames per second", "peak memory", "bytes a frame"),
            rows,
        ).markdown(),
        "arithmetic": Table(
            ("video", "core hours for one", "core hours in all", f"cores, {DAYS} days", "tables"),
            arithmetic,
        ).markdown(),
    }


def measure_jobs(folder: Path) -> dict[str, str]:
    """A folder of videos with one job, two, and two workers of a Ray that is there already."""
    study = folder / "study"
    study.mkdir()
    for i in range(COPIES):
        (study / f"{i:02}.mp4").write_bytes(DEMO.read_bytes())
    frames = COPIES * frames_of(DEMO)
    rows = []
    with ray_of_two() as address:
        ray = f"--engine ray --ray-address {address} --jobs 2 --threads 1"
        for label, options in (
            ("`--jobs 1`", "--jobs 1"),
            ("`--jobs 2`", "--jobs 2"),
            ("`--engine ray --jobs 2`", ray),
        ):
            tables = folder / f"out{len(rows)}"
            one = cost(study, tables, *options.split())
            rows.append((label, f"{one.seconds:.1f} s", f"{frames / one.seconds:.0f}"))
    return {"jobs": Table(("options", "time", "frames per second"), rows).markdown()}


def measure_short(folder: Path) -> dict[str, str]:
    """Many short clips in one run, beside one long clip with as many frames."""
    clips = folder / "clips"
    clips.mkdir()
    short = looped(DEMO, CLIP_SECONDS * FPS, folder / "short.mp4")
    for i in range(CLIPS):
        (clips / f"{i:03}.mp4").write_bytes(short.read_bytes())
    frames = CLIPS * CLIP_SECONDS * FPS
    long = looped(DEMO, frames, folder / "long.mp4")
    rows = []
    for label, source in (
        (f"{CLIPS} clips of {CLIP_SECONDS} s", clips),
        (f"one clip of {CLIPS * CLIP_SECONDS} s", long),
    ):
        one = cost(source, folder / f"short{len(rows)}")
        rows.append((label, f"{one.seconds:.1f} s", f"{frames / one.seconds:.0f}"))
    return {"short": Table(("input", "time", "frames per second"), rows).markdown()}


def measure_length(folder: Path, minutes: list[int]) -> dict[str, str]:
    """Memory by length of a film."""
    rows = []
    for length in minutes:
        film = looped(DEMO, length * 60 * FPS, folder / f"{length}.mp4")
        one = cost(film, folder / f"length{length}")
        film.unlink()
        rows.append((f"{length} min", f"{length * 60 * FPS:,}", f"{one.peak_mb:.0f} MB"))
    return {"length": Table(("film", "frames", "peak memory"), rows).markdown()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--minutes", type=int, nargs="+", default=[3, 30])
    args = parser.parse_args()
    measures: dict[str, Callable[[Path], dict[str, str]]] = {
        "cost": measure_cost,
        "jobs": measure_jobs,
        "short": measure_short,
        "length": lambda folder: measure_length(folder, args.minutes),
    }
    with tempfile.TemporaryDirectory() as name:
        for part in args.parts:
            fill(args.page, {"machine": machine()} | measures[part](Path(name)))


if __name__ == "__main__":
    run_script(main)
