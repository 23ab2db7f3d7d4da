"""Damage small clips of many formats and see what becomes of them.

    python examples/maintenance/mutate_media.py --count 240

writes short clips from the demo in twelve formats, damages copies of them in six ways, decodes each
with a time limit, and prints for each format how many were sound, told, refused, lost in silence
(fewer frames than the undamaged clip and no word of it), hung or crashed. The same seed damages the
same bytes. Ends with 1 where a file hung, crashed or raised anything but a sentence.
"""

import argparse
import collections
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

DEMO = Path(__file__).parents[1] / "demo.mp4"
FRAMES = 16
RATE = 25
SIZE = (320, 180)
LIMIT_SECONDS = 60
FILES_PER_PROCESS = 40

# Suffix: encoder, pixel format.
FORMATS = {
    ".mp4": ("libx264", "yuv420p"),
    ".mov": ("mjpeg", "yuvj420p"),
    ".mkv": ("libx264", "yuv420p"),
    ".webm": ("libvpx-vp9", "yuv420p"),
    ".avi": ("mpeg4", "yuv420p"),
    ".ts": ("mpeg2video", "yuv420p"),
    ".gif": ("gif", "rgb8"),
    ".flv": ("flv", "yuv420p"),
    ".mpg": ("mpeg1video", "yuv420p"),
    ".wmv": ("wmv2", "yuv420p"),
    ".3gp": ("mpeg4", "yuv420p"),
    ".mxf": ("mpeg2video", "yuv420p"),
}
OUTCOMES = ("sound", "told", "refused", "silent", "hang", "signal", "traceback")

# Decodes the files on its standard input; the name first, so that a crash has one.
WORKER = """
import json, sys
from aucli.errors import InputError
from aucli.video.source import open_video
for name in sys.stdin.read().split("\\n"):
    print(json.dumps(["begin", name]), flush=True)
    try:
        with open_video(name) as source:
            frames = sum(len(batch) for batch in source)
        told = ["told" if source.report.damaged else "sound", frames]
    except InputError as error:
        told = ["refused", 0]
    except Exception as error:
        told = ["traceback", repr(error)]
    print(json.dumps(told), flush=True)
"""


def write_clip(path: Path) -> None:
    """The first frames of the demo, from the second in which the face moves."""
    codec, pix_fmt = FORMATS[path.suffix]
    with av.open(str(DEMO)) as source, av.open(str(path), "w") as target:
        stream: Any = target.add_stream(codec, rate=RATE)
        stream.width, stream.height = SIZE
        stream.pix_fmt = pix_fmt
        stream.codec_context.gop_size = 8
        for i, frame in enumerate(source.decode(video=0)):
            if i == FRAMES:
                break
            frame = frame.reformat(*SIZE, pix_fmt)
            frame.pts, frame.time_base, frame.pict_type = i, Fraction(1, RATE), 0
            target.mux(stream.encode(frame))
        target.mux(stream.encode())


def flip(data: bytes, at: int, size: int, random: np.random.Generator) -> bytes:
    """Up to 20 bytes anywhere become others."""
    out = bytearray(data)
    for i in random.integers(0, len(data), random.integers(1, 21)):
        out[i] ^= int(random.integers(1, 256))
    return bytes(out)


def insert(data: bytes, at: int, size: int, random: np.random.Generator) -> bytes:
    """Garbage between two bytes."""
    return data[:at] + random.bytes(size) + data[at:]


MUTATIONS: dict[str, Callable[[bytes, int, int, np.random.Generator], bytes]] = {
    "flip": flip,
    "cut": lambda data, at, size, random: data[:at],
    "zero": lambda data, at, size, random: data[:at] + bytes(size) + data[at + size :],
    "delete": lambda data, at, size, random: data[:at] + data[at + size :],
    "duplicate": lambda data, at, size, random: data[: at + size] + data[at:],
    "insert": insert,
}


def decode(files: list[Path]) -> dict[Path, list]:
    """What came of each file: an outcome and the number of frames, or the error."""
    found: dict[Path, list] = {}
    while files:
        part = files[:FILES_PER_PROCESS]
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            lines = process.communicate("\n".join(map(str, part)), LIMIT_SECONDS)[0]
            end = "signal"
        except subprocess.TimeoutExpired:
            process.kill()
            lines, end = process.communicate()[0], "hang"
        told = [json.loads(line) for line in lines.splitlines()]
        done = [entry for entry in told if entry[0] != "begin"]
        found.update(zip(part, done, strict=False))
        if len(done) < len(part):
            found[part[len(done)]] = [end, process.returncode]
            done.append([])
        files = files[len(done) :]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=240, help="damaged files in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files of the bad outcomes")
    arguments = parser.parse_args()
    random = np.random.default_rng(arguments.seed)
    counts = {suffix: collections.Counter() for suffix in FORMATS}
    with tempfile.TemporaryDirectory() as folder:
        clips = [Path(folder) / f"whole{suffix}" for suffix in FORMATS]
        for clip in clips:
            write_clip(clip)
        whole = {clip.suffix: told for clip, told in decode(clips).items()}
        if wrong := {suffix: told for suffix, told in whole.items() if told[0] != "sound"}:
            sys.exit(f"undamaged clips are not sound: {wrong}")
        files = []
        for i in range(arguments.count):
            clip = clips[i % len(clips)]
            data = clip.read_bytes()
            kind = list(MUTATIONS)[i // len(clips) % len(MUTATIONS)]
            at = int(random.integers(0, len(data)))
            size = int(random.integers(1, max(2, len(data) // 8)))
            file = Path(folder) / f"{i:05d}_{kind}{clip.suffix}"
            file.write_bytes(MUTATIONS[kind](data, at, size, random))
            files.append(file)
        for file, (outcome, frames) in decode(files).items():
            if outcome == "sound" and frames < whole[file.suffix][1]:
                outcome = "silent"
            counts[file.suffix][outcome] += 1
            if outcome in OUTCOMES[3:]:
                print(f"{file.name}: {outcome} {frames} of {whole[file.suffix][1]}")
                if arguments.keep:
                    arguments.keep.mkdir(parents=True, exist_ok=True)
                    (arguments.keep / file.name).write_bytes(file.read_bytes())
    print(f"\n| format | frames | {' | '.join(OUTCOMES)} |\n|{' --- |' * (len(OUTCOMES) + 2)}")
    for suffix, own in counts.items():
        cells = " | ".join(str(own[outcome]) for outcome in OUTCOMES)
        print(f"| {suffix[1:]} | {whole[suffix][1]} | {cells} |")
    total = sum(counts.values(), collections.Counter())
    print(f"| all | | {' | '.join(str(total[outcome]) for outcome in OUTCOMES)} |")
    return int(any(total[outcome] for outcome in OUTCOMES[4:]))


if __name__ == "__main__":
    sys.exit(main())
