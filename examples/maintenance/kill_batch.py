"""Stop a batch again and again at random moments, resume it, and compare with an undisturbed run.

    python examples/maintenance/kill_batch.py --clips 30 --kills 20

Cuts clips out of the demo clip, analyses them once without disturbance, and then once for each
signal with that many stops. Every file must be the same in the end, byte for byte (the journal
aside, which tells times), and nothing may be left over. Prints a line for each signal; exits with 1
where a run differs.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av

from aucli.errors import run_script

DEMO = Path(__file__).resolve().parents[1] / "demo.mp4"
JOURNAL = "_aucli-run.jsonl"
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--kills", type=int, default=20, help="of each signal")
    parser.add_argument("--frames", type=int, default=24, help="of each clip")
    parser.add_argument("--signals", nargs="+", default=SIGNALS, choices=SIGNALS)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study"
        study.mkdir()
        for number in range(given.clips):
            write_clip(study / f"{number:02d}.mp4", number, given.frames)
        whole = Path(folder) / "whole"
        start = time.perf_counter()
        run(study, whole).wait()
        seconds = time.perf_counter() - start
        expected = files(whole)
        assert len(expected) == 2 * given.clips, sorted(expected)  # tables, and how they were made
        print(f"{given.clips} clips, undisturbed: {seconds:.1f} s")
        same = True
        for name in given.signals:
            out = Path(folder) / name
            ended = stopped(study, out, name, given.kills, seconds, rng)
            found = files(out)
            equal = found == expected
            left = sorted(found.keys() - expected.keys())
            codes = ", ".join(f"{code}: {ended.count(code)}" for code in sorted(set(ended)))
            print(f"{name}: {len(ended)} runs, exit codes {codes}; equal: {equal}; left: {left}")
            same &= equal
    sys.exit(not same)


def stopped(
    study: Path, out: Path, name: str, kills: int, seconds: float, rng: random.Random
) -> list[int]:
    """Exit codes of the runs: so many that are stopped, and one to the end."""
    codes = []
    for _ in range(kills):
        process = run(study, out)
        try:
            process.wait(rng.uniform(0, 0.4 * seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(getattr(signal, name))
        codes.append(process.wait(60))
    codes.append(run(study, out).wait())
    return codes


def run(study: Path, out: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "aucli", "analyze", study, "-o", out, "--resume", "-q"]
    return subprocess.Popen(
        [*map(str, command), "--format", "csv"],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_hear,
    )


def _hear() -> None:
    """A shell starts background jobs deaf to Ctrl-C, ``nohup`` to SIGHUP; this may be one."""
    for name in SIGNALS[1:]:
        signal.signal(getattr(signal, name), signal.SIG_DFL)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != JOURNAL
    }


def write_clip(path: Path, first: int, frames: int) -> None:
    """Some frames of the demo clip, from its frame number ``first`` on."""
    with av.open(str(DEMO)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=25)
        stream.pix_fmt = "yuv420p"
        codec = source.streams.video[0].codec_context
        stream.width, stream.height = codec.width, codec.height
        for number, frame in enumerate(source.decode(video=0)):
            if not first <= number < first + frames:
                continue
            target.mux(stream.encode(av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"))))
        target.mux(stream.encode())


if __name__ == "__main__":
    run_script(main)
