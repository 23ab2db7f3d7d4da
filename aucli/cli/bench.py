"""``aucli bench``: how many frames per second this machine analyses."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aucli.cli import options as shared
from aucli.cli.command import examples

if TYPE_CHECKING:
    from aucli.bench import Speed

EXAMPLES = examples(
    "aucli bench clip.mp4",
    "aucli bench clip.mp4 --detector retinaface-mobilenet --json",
)


def bench(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO", help="Videos to time.")],
    runs: Annotated[
        int, typer.Option(min=1, help="Timed runs of each video, after a first run.")
    ] = 5,
    profile: shared.Profile = "builtin",
    model: shared.Model = None,
    detector: shared.Detector = None,
    landmarks: shared.Landmarks = None,
    faces: shared.Faces = "largest",
    device: shared.Device = "auto",
    batch_size: shared.BatchSize = 16,
    threads: shared.Threads = 0,
    decoder: shared.Decoder = "auto",
    json_: Annotated[bool, typer.Option("--json", help="Print JSON with every run.")] = False,
) -> None:
    """Time whole analyses of videos in one process, and decoding alone. Writes no table.

    Other programs slow it down. Run it on an idle machine, and compare two versions in turns. Peak
    memory is that of the whole process so far: time one video alone to see its own.
    """
    from aucli.analyzer import Analyzer
    from aucli.bench import measure_speed
    from aucli.cli.console import progress_bar
    from aucli.errors import InputError

    options = shared.option_words(locals())
    for path in videos:
        if not path.exists():
            raise InputError(f"{path} does not exist; check the name.")
    analyzer = Analyzer(**options)
    with progress_bar("runs", len(videos) * (runs + 1)) as bar:
        speeds = [measure_speed(path, analyzer, runs, bar.advance) for path in videos]
    if json_:
        json.dump([speed.told() for speed in speeds], sys.stdout, indent=1)
        print()
    else:
        print("\n\n".join(_lines(speed) for speed in speeds))


def _lines(speed: "Speed") -> str:
    shares = ", ".join(f"{stage} {share:.0%}" for stage, share in speed.stages.items())
    spread = f"median of {len(speed.fps)}, {min(speed.fps):.1f}-{max(speed.fps):.1f}"
    lines = [
        f"{speed.video}: {speed.frames} frames of {speed.width}x{speed.height}",
        f"  first run      {speed.first_fps:.1f} fps",
        f"  warm           {speed.median_fps:.1f} fps ({spread})",
        f"  decoding only  {speed.decode_fps:.0f} fps",
        f"  work           {shares}",
    ]
    if speed.peak_mb is not None:
        lines.append(f"  peak memory    {speed.peak_mb:.0f} MB")
    return "\n".join(lines)
