"""Measure what int8, fp16 and bf16 save and cost on this CPU, and write tables of docs/speed.md.

    python examples/maintenance/measure_precision.py --faces FOLDER

FOLDER is what `aucli synth` made; people held out of training are scored. Run it on an idle
machine, from a checkout. Needs the extra `export`. --page: a copy of the page to write into.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import onnx
import torch
from make_five_faces import write_five_faces
from measure_speed import DEMO, PAGE, fill
from onnxruntime.transformers.float16 import convert_float_to_float16

from aucli.analyzer import Analyzer
from aucli.aus import SYNTHETIC_AUS
from aucli.bench.plain import Form, measure_forms
from aucli.bench.tables import Table
from aucli.datasets.synthetic import FaceStore
from aucli.datasets.typical import typical_crops
from aucli.errors import run_script
from aucli.evaluation import rendered
from aucli.faces.loading import load_landmarker
from aucli.models.catalogue import NETWORKS
from aucli.models.onnx import OnnxNetwork
from aucli.models.predict import AUModel, look_at_crops, predict_crops
from aucli.weights.cards import DEFAULT_AU_MODEL, load_au_model, save_weights
from aucli.weights.export import export
from aucli.weights.names import resolve
from aucli.weights.store import exported_file

CALLS = (1, 4, 16)  # crops
LARGE = ("hourglass", "scc-resnet50")
# Operators that are not defined in fp16.
IN_FP32 = ["Clip", "Range", "Resize", "TopK", "Where"]


def models(name: str) -> dict[str, AUModel]:
    """The same network in every way that it can run on a CPU; the first is the usual one."""
    exported, plain = load_au_model(name, "cpu"), load_au_model(name)
    half = convert_float_to_float16(
        onnx.load(exported_file(resolve(name))), keep_io_types=True, op_block_list=IN_FP32
    )
    return {
        "fp32, ONNX Runtime": exported,
        "int8, ONNX Runtime": load_au_model(name, "cpu", precision="int8"),
        "fp16, ONNX Runtime": replace(exported, net=OnnxNetwork(half.SerializeToString())),
        "fp32, torch": plain,
        "bf16, torch": replace(plain, precision="bf16"),
    }


def cpu_ms(calls: Sequence[Callable[[], object]], rounds: int) -> np.ndarray:
    """(rounds, calls) CPU time, in turns, after a first round."""
    taken = np.zeros((rounds + 1, len(calls)))
    for row in taken:
        for number, call in enumerate(calls):
            start = time.process_time()
            call()
            row[number] = 1e3 * (time.process_time() - start)
    return taken[1:]


def networks_table(name: str, faces: Path, count: int, rounds: int) -> Table:
    forms = models(name)
    usual = next(iter(forms.values()))
    read = look_at_crops if usual.follows else predict_crops
    crops = typical_crops(faces, usual.template, usual.crop_size, max(CALLS))
    taken = []
    for n in CALLS:
        calls = [lambda m=model, n=n: read(m, crops[:n]) for model in forms.values()]
        taken.append(cpu_ms(calls, rounds) / n)
    held_out = rendered.held_out_frames(FaceStore(faces, "test"), count)
    landmarks = rendered.find_landmarks(load_landmarker("builtin")[0], held_out)
    rows = []
    for number, (words, model) in enumerate(forms.items()):
        quicker = median(taken[1][:, 0] / taken[1][:, number])
        icc = rendered.au_scores(model, held_out, landmarks)["icc31"]
        error = (
            rendered.following_scores(model, held_out)["nme_followed"] if model.follows else None
        )
        rows.append(
            (
                words,
                *(f"{median(each[:, number]):.2f}" for each in taken),
                f"{quicker:.2f}",
                f"{icc:.4f}",
                "" if error is None else f"{error:.4f}",
            )
        )
    heads = (f"`{usual.name}`", *(f"ms, {n} in a call" for n in CALLS), "times as quick",
             "ICC(3,1)", "error of landmarks")  # fmt: skip
    return Table(heads, rows)


def large_table(rounds: int) -> Table:
    """Larger networks, untrained, as weights do not change their speed: CPU ms for one crop."""
    rows, heads = [], ("",)
    for name in LARGE:
        row = NETWORKS[name]
        torch.manual_seed(0)
        net = row.load().for_training(len(SYNTHETIC_AUS), row.crop_size, **row.settings).eval()
        card = {"aus": list(SYNTHETIC_AUS), "sides": False, "provenance": {}, "metrics": {}}
        shape = (2, row.crop_size, row.crop_size, 3)
        crops = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        with tempfile.TemporaryDirectory() as folder:
            path = save_weights(Path(folder) / name, net, card)
            export(path)
            export(path, crops)
            forms = models(str(path))
        calls = [lambda m=model, x=crops[:1]: predict_crops(m, x) for model in forms.values()]
        rows.append((f"`{name}`", *(f"{median(ms):.0f}" for ms in cpu_ms(calls, rounds).T)))
        heads = ("ms for one crop", *forms)
    return Table(heads, rows)


def videos_table(videos: list[Path], runs: int) -> Table:
    """Whole analyses in fp32 and int8, in turns."""
    rows = []
    for path in videos:
        analyzers = [Analyzer(faces="all", device="cpu", precision=p) for p in ("fp32", "int8")]
        forms = [
            Form(words, "fp32", analyzer.networks, analyzer.options)
            for words, analyzer in zip(("fp32", "int8"), analyzers, strict=True)
        ]
        exact, short = measure_forms(path, forms, runs)
        rows.append(
            (
                f"`{path.name}`",
                f"{exact.cpu_ms:.1f}",
                f"{short.cpu_ms:.1f}",
                f"{1 / short.cpu_times:.2f}",
            )
        )
    heads = ("video", "fp32, CPU ms per frame", "int8, CPU ms per frame", "times as quick")
    return Table(heads, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--faces", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--model", default=DEFAULT_AU_MODEL, metavar="NAME|PATH")
    parser.add_argument("--count", type=int, default=600, help="held-out faces that are scored")
    parser.add_argument("--rounds", type=int, default=40, help="timed calls of each kind")
    parser.add_argument("--runs", type=int, default=5, help="timed analyses of each video")
    parser.add_argument("--videos", type=Path, nargs="+", help="instead of one and of five faces")
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args()
    torch.set_num_threads(1)
    told = networks_table(args.model, args.faces, args.count, args.rounds)
    with tempfile.TemporaryDirectory() as folder:
        videos = args.videos
        if not videos:
            videos = [DEMO, Path(folder) / "five_faces.mp4"]
            write_five_faces(videos[0], videos[1])
        films = videos_table(videos, args.runs)
    parts = {
        "precision": told,
        "precision-large": large_table(args.rounds // 4 + 1),
        "precision-videos": films,
    }
    fill(args.page, {name: table.markdown() for name, table in parts.items()})


if __name__ == "__main__":
    run_script(main)
