"""Measure how cost grows with resolution, faces and jobs, and write the tables of docs/scale.md.

    python examples/maintenance/measure_scale.py

Run it on an idle machine, from a checkout. --page: a copy of the page to write into.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import av
from make_five_faces import write_five_faces
from measure_speed import DEMO, ROOT, fill, machine

from aucli.bench.tables import Table

PAGE = ROOT / "docs" / "scale.md"
SIZES = ((640, 360), (1280, 720), (1920, 1080))
COPIES = 12  # inputs of the batch
FPS = 25  # of the videos of the arithmetic
HOURS, DAYS = 1_000_000, 30
LAUNCH = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args()
    rows, per_frame = [], {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        five = folder / "five.mp4"
        write_five_faces(DEMO, five)
        films = [
            (f"one face, {w}x{h}", scaled(DEMO, w, h, folder / f"{h}.mp4")) for w, h in SIZES
        ] + [("five faces, 1280x720", five)]
        for label, film in films:
            frames = frames_of(film)
            twice = [cost(film, folder / f"{film.stem}-{i}", "--faces", "all") for i in range(3)]
            best = min(twice, key=lambda one: one.cpu_seconds)
            per_frame[label] = best.cpu_seconds / frames, best.table_bytes / frames
            rows.append(
                (
                    label, f"{1e3 * best.cpu_seconds / frames:.1f}", f"{frames / best.seconds:.0f}",
                    f"{best.peak_mb:.0f} MB", f"{best.table_bytes / frames:.0f}",
                )
            )  # fmt: skip
        study = folder / "study"
        study.mkdir()
        for i in range(COPIES):
            (study / f"{i:02}.mp4").write_bytes(DEMO.read_bytes())
        frames = COPIES * frames_of(DEMO)
        jobs = []
        for count in (1, 2):
            one = cost(study, folder / f"jobs{count}", "--jobs", str(count))
            jobs.append((str(count), f"{one.seconds:.1f} s", f"{frames / one.seconds:.0f}"))
    arithmetic = []
    for label, (cpu_seconds, table_bytes) in per_frame.items():
        hours = cpu_seconds * FPS  # of a core, for an hour of video
        arithmetic.append(
            (
                label, f"{hours:.2f}", f"{HOURS * hours:,.0f}", f"{HOURS * hours / 24 / DAYS:,.0f}",
                f"{HOURS * 3600 * FPS * table_bytes / 1e12:.1f} TB",
            )
        )  # fmt: skip
    parts = {
        "machine": machine(),
        "cost": Table(
            ("video", "CPU ms per frame", "frames per second", "peak memory", "bytes a frame"),
            rows,
        ).markdown(),
        "jobs": Table(("`--jobs`", "time", "frames per second"), jobs).markdown(),
        "arithmetic": Table(
            ("video", "core hours for one", "core hours in all", f"cores, {DAYS} days", "tables"),
            arithmetic,
        ).markdown(),
    }  # fmt: skip
    fill(args.page, parts)


if __name__ == "__main__":
    main()
