"""How many frames a CPU second lasts, here and with other tools, on the same clip.

    python examples/studies/tools_speed.py examples/demo.mp4 --env tools-env

Makes the environment --env where it is not there yet, and installs into it what is compared:
MediaPipe 0.10.21, whose wheel brings the face mesh with attention, and dlib with the 68 points of
face_recognition_models; together about 1 GB. Each way runs in a process of its own, a first time
unmeasured, then --runs times, in turns with the others. It reads the frames from memory, so that
decoding does not count; `aucli` counts what is left of its analysis after the frames are there.

The hourglass frame by frame is the way of the published code: each frame by itself, a detection,
landmarks, one crop, the network. Its weights are random where `hourglass-bp4d` was not pulled; its
speed is the same. With fan-2d, retinaface-mobilenet and fanau-disfa at hand, `--profile accurate`
runs, too. --only TEXT: ways whose name has it. --frames: of the clip, from the first.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from aucli.errors import run_script

PACKAGES = ("mediapipe==0.10.21", "dlib-bin", "face_recognition_models==0.3.0", "setuptools<81")
FOREIGN = ("MediaPipe face mesh, 478 points", "dlib HOG and 68 points")
OWN = ("aucli", "aucli, int8", "aucli, frame by frame", "hourglass, frame by frame",
       "aucli --profile accurate")  # fmt: skip
TELLS = dict.fromkeys(FOREIGN, "points") | dict.fromkeys(OWN, "points, AUs")
TELLS["hourglass, frame by frame"] = "AUs"
FPS = 25.0


def foreign_way(name: str) -> Callable[[np.ndarray], int]:
    """A tool of the other environment: frames (N, H, W, 3) uint8 RGB -> frames with a face."""
    if name == FOREIGN[0]:
        import mediapipe  # pyright: ignore[reportMissingImports]

        def mesh(frames: np.ndarray) -> int:
            # refine_landmarks: the attention mesh. A mesh follows; each video gets its own.
            with mediapipe.solutions.face_mesh.FaceMesh(refine_landmarks=True) as own:
                return sum(own.process(frame).multi_face_landmarks is not None for frame in frames)

        return mesh
    import dlib  # pyright: ignore[reportMissingImports]
    import face_recognition_models  # pyright: ignore[reportMissingImports]

    detector = dlib.get_frontal_face_detector()
    predictor = dlib.shape_predictor(face_recognition_models.pose_predictor_model_location())

    def points(frames: np.ndarray) -> int:
        found = 0
        for frame in frames:
            boxes = detector(frame)
            for box in boxes:
                predictor(frame, box)
            found += len(boxes) > 0
        return found

    return points


def own_way(name: str) -> Callable[[np.ndarray], int]:
    """The same of a way that runs in aucli."""
    from aucli.analyzer import Analyzer

    if name == "hourglass, frame by frame":
        return _hourglass()
    profile = "accurate" if "accurate" in name else "builtin"
    precision = "int8" if "int8" in name else "fp32"
    analyzer = Analyzer(profile=profile, precision=precision)

    def whole(frames: np.ndarray) -> int:
        times = np.arange(len(frames)) / FPS
        return int(analyzer.frames(frames, times)["success"].to_numpy().sum())

    def one_by_one(frames: np.ndarray) -> int:
        live = analyzer.live()
        tables = [live.push(frame, i / FPS) for i, frame in enumerate(frames)]
        return sum(bool(table["success"].to_numpy().any()) for table in tables)

    return one_by_one if "frame by frame" in name else whole


def _hourglass() -> Callable[[np.ndarray], int]:
    import torch

    from aucli.align import align_face
    from aucli.errors import WeightsError
    from aucli.faces.detect import Search
    from aucli.faces.loading import load_faces
    from aucli.models.blocks import ready
    from aucli.models.catalogue import NETWORKS
    from aucli.models.hourglass import Hourglass
    from aucli.models.predict import AUModel, predict_crops
    from aucli.weights.cards import load_au_model

    entry = NETWORKS["hourglass"]
    try:
        model = load_au_model("hourglass-bp4d")
    except WeightsError:
        aus = ("AU06", "AU10", "AU12", "AU14", "AU17")
        torch.manual_seed(0)
        model = AUModel(
            ready(Hourglass(len(aus)), "cpu"), aus, aus, entry.crop_size, entry.template,
            entry.pixels.mean, entry.pixels.std, np.ones(5, np.float32), np.zeros(5, np.float32),
        )  # fmt: skip
    faces = load_faces()
    search = Search(faces.detector, faces.landmarker)

    def one_by_one(frames: np.ndarray) -> int:
        found = 0
        for frame in frames:
            (shapes, _confidence), *_ = search.detect(frame[None])
            if len(shapes):
                crops, _ = align_face(frame, shapes[:1], model.template, model.crop_size)
                predict_crops(model, crops)
            found += len(shapes) > 0
        return found

    return one_by_one


def work(name: str, frames: np.ndarray) -> None:
    """In a process of its own: run once for each line on stdin, a line of JSON for each run."""
    way = (foreign_way if name in FOREIGN else own_way)(name)
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        start, cpu_start = time.perf_counter(), time.process_time()
        found = way(frames)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        told = {"found": found, "seconds": seconds, "cpu_seconds": cpu_seconds}
        print(json.dumps(told), flush=True)


class Worker:
    """The process of one way; ``ready`` is False where it cannot run, with the reason."""

    def __init__(self, python: Path | str, name: str, frames: Path) -> None:
        self.name = name
        self.runs: list[dict[str, Any]] = []
        # A pipe that nobody reads would fill up and stop it.
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (until end)
        self._process = subprocess.Popen(
            [str(python), __file__, str(frames), "--work", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )
        self.ready = self._answer() is not None

    def _answer(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # libraries print, too
                return json.loads(line)
        return None

    def run(self) -> dict[str, Any] | None:
        """One run; None where it broke off."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        return self._answer()

    def end(self) -> str:
        """Stop it; the last line that it said of a mistake."""
        self._process.communicate()
        self._said.seek(0)
        lines = [line for line in self._said if line.strip()]
        self._said.close()
        # Without the name of the class.
        return lines[-1].strip().split("Error: ")[-1] if lines else "it ended without a word"


def environment(folder: Path) -> Path:
    """The Python of an environment with the other tools, made where it is not there."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        print(f"installing {', '.join(PACKAGES)} into {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES]
        if subprocess.run(pip).returncode:
            raise SystemExit(f"tools_speed: pip failed; remove {folder} and try again.")
    return python


def save_frames(video: Path, target: Path, count: int | None) -> tuple[int, int, int]:
    """Frames of a video as one array; its (N, H, W)."""
    from aucli.video.source import open_video

    with open_video(video) as source:
        frames = np.stack([frame for batch in source for frame in batch.frames][:count])
    np.save(target, frames)
    return frames.shape[:3]


def report(workers: list[Worker], count: int) -> Iterator[str]:
    """Lines of a table in Markdown, the most frames per CPU second first."""
    yield "| way | tells | frames per CPU second | frames per second | frames with a face |"
    yield "| --- | --- | ---: | ---: | ---: |"
    measured = []
    for worker in workers:
        cpu, wall = (
            statistics.median(count / run[key] for run in worker.runs)
            for key in ("cpu_seconds", "seconds")
        )
        measured.append((cpu, wall, worker))
    for cpu, wall, worker in sorted(measured, key=lambda one: -one[0]):
        found = worker.runs[-1]["found"]
        yield f"| {worker.name} | {TELLS[worker.name]} | {cpu:.1f} | {wall:.1f} | {found} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--env", type=Path, default=Path("tools-env"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--frames", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.work, np.load(args.video))
        return

    chosen = [name for name in FOREIGN + OWN if args.only in name]
    if not chosen:
        parser.error(f"--only: no way has {args.only!r} in its name: {', '.join(FOREIGN + OWN)}.")
    if args.runs < 1 or (args.frames is not None and args.frames < 1):
        parser.error("--runs and --frames are 1 or more.")
    if not args.video.is_file():
        raise SystemExit(f"tools_speed: {args.video} is not there; check the name.")
    foreign = environment(args.env) if set(chosen) & set(FOREIGN) else sys.executable
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder) / "frames.npy"
        count, height, width = save_frames(args.video, frames, args.frames)
        workers, missing = [], {}
        for name in chosen:
            worker = Worker(foreign if name in FOREIGN else sys.executable, name, frames)
            workers.append(worker)
        for number in range(args.runs + 1):
            for worker in workers:
                run = worker.run() if worker.ready else None
                worker.ready = run is not None
                if number and run is not None:
                    worker.runs.append(run)
        for worker in workers:
            said = worker.end()
            if not worker.ready:
                missing[worker.name] = said
    print(f"{args.video.name}: {count} frames of {width}x{height}, {args.runs} runs in turns\n")
    print("\n".join(report([worker for worker in workers if worker.ready], count)))
    for name, said in missing.items():
        print(f"\n{name} did not run: {said}")


if __name__ == "__main__":
    run_script(main)
