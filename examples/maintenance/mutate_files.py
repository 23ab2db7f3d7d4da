"""Damage the files that are read beside videos, and see what becomes of them.

    python examples/maintenance/mutate_files.py --count 1000

makes a small file of each kind, damages copies of them in nine ways, and gives each to the
function or command that reads it. Prints for each kind how many were read, refused with a sentence,
hung, ended the process, or raised anything but a sentence. The same seed damages the same bytes.
Ends with 1 where a file did one of the last three.
"""

import argparse
import collections
import functools
import hashlib
import json
import re
import selectors
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

LIMIT_SECONDS = 60  # for one file
OUTCOMES = ("read", "refused", "hang", "signal", "traceback")
NUMBERS = ("NaN", "1e999", "-1", "0", "99999999999", "null", '"x"', "[]", "{}", "[[[[[[]]]]]]")
VALUES = (
    None,
    True,
    -1,
    0,
    1.5,
    10**12,
    float("nan"),
    float("inf"),
    "x",
    "",
    [],
    {},
    [[1]],
    {"": 1},
)


# What makes a file of each kind, and what reads it.


def make_card(folder: Path) -> None:
    from aucli.models.scc_heatmap import SCCHeatmapConfig, SCCHeatmapNet
    from aucli.weights.cards import save_weights

    net = SCCHeatmapNet(SCCHeatmapConfig(maps=4, widths=(4, 8, 8, 8), k=3))
    provenance = {"train_subjects": {"disfa": ["SN001"]}}
    readout = {"sigma_cells": 1.5, "radius_px": 17.0, "places": [[[40.0, 60.0]] * 2] * 2}
    card = {"aus": ["AU06", "AU12"], "provenance": provenance, "metrics": {}, "readout": readout}
    save_weights(folder / "net", net, card)


def read_weights(folder: Path) -> None:
    from aucli.weights.cards import load_au_model
    from aucli.weights.store import check, people_of, read_card_file

    people_of(read_card_file(folder / "net.json"), folder)
    check(folder / "net")
    load_au_model(folder / "net.safetensors")


def make_bare_tensors(folder: Path) -> None:
    make_card(folder)
    (folder / "net.json").unlink()


def read_start(folder: Path) -> None:
    """As ``aucli train --init`` does."""
    from aucli.models.scc_heatmap import SCCHeatmapConfig, SCCHeatmapNet
    from aucli.train.nets import load_by_name, subjects_of

    start = next(path for path in folder.iterdir() if path.suffix in (".pt", ".safetensors"))
    subjects_of(start)
    load_by_name(SCCHeatmapNet(SCCHeatmapConfig(maps=4, widths=(4, 8, 8, 8), k=3)), start)


def make_checkpoint(folder: Path) -> None:
    from aucli.train.trainer import Trainer

    Trainer(run_config(folder)).save(folder / "checkpoint.pt")


def run_config(folder: Path):
    from aucli.train.config import TrainConfig

    return TrainConfig("landmarks", folder, folder, steps=1, widths=(4, 4, 8, 8))


def read_checkpoint(folder: Path) -> None:
    """As ``aucli train --resume`` and ``--init`` do."""
    from aucli.train.nets import read_state, subjects_of
    from aucli.train.trainer import Trainer

    subjects_of(folder / "checkpoint.pt")
    read_state(folder / "checkpoint.pt")
    Trainer(run_config(folder)).load(folder / "checkpoint.pt")


def make_foreign_checkpoint(folder: Path) -> None:
    import torch

    torch.save({"state_dict": {"module.a": torch.zeros(3, 4)}, "epoch": 3}, folder / "net.pth")


def read_foreign_checkpoint(folder: Path) -> None:
    from aucli.weights.checkpoints import read_checkpoint

    read_checkpoint(folder / "net.pth", "net.pth")


ROWS = "1,0.0,0,1,0.98,0.1,2.5\n2,0.04,,0,,,\n3,0.08,0,1,0.97,0.3,3.5\n"
HEADER = "frame,timestamp,face_id,success,confidence,AU01_r,AU12_r\n"


def make_csv(folder: Path) -> None:
    lines = (HEADER + ROWS).splitlines()
    video = ["video", "a.mp4", "a.mp4", "a.mp4"]
    joined = [f"{name},{line}" for name, line in zip(video, lines, strict=True)]
    (folder / "clip.csv").write_text("\n".join(joined) + "\n")


def make_parquet(folder: Path) -> None:
    import pandas as pd

    make_csv(folder)
    rows = pd.read_csv(folder / "clip.csv").astype({"success": bool})
    rows.to_parquet(folder / "clip.parquet", index=False)
    (folder / "clip.csv").unlink()


def make_json_lines(folder: Path) -> None:
    import pandas as pd

    make_csv(folder)
    rows = pd.read_csv(folder / "clip.csv").astype({"success": bool, "face_id": "Int64"})
    rows.to_json(folder / "clip.jsonl", orient="records", lines=True)
    (folder / "clip.csv").unlink()


def read_a_table(folder: Path) -> None:
    """As scripts that use the tables do, and ``aucli eval --predictions``."""
    from aucli.errors import AucliError
    from aucli.evaluation.tables import read_predictions
    from aucli.table.reading import read_table

    table = next(folder.glob("clip.*"))
    try:
        read_table(table)
    except AucliError:
        read_predictions(table)
        raise
    read_predictions(table)


def make_labels(folder: Path) -> None:
    text = "frame;subject;AU06;AU12_r;note\n1;SN001;0,5;3;a\n2;SN001;9;;b\n3;SN001;1;0;c\n"
    (folder / "labels.csv").write_bytes(text.encode("utf-16"))


def read_some_labels(folder: Path) -> None:
    from aucli.evaluation.tables import read_labels

    read_labels(folder / "labels.csv")


def make_dataset_labels(folder: Path) -> None:
    (folder / "SN001_au12.txt").write_text("".join(f"{i},{i % 6}\n" for i in range(1, 40)))


def read_dataset_labels(folder: Path) -> None:
    from aucli.datasets.labels import read_values

    read_values(folder / "SN001_au12.txt", unscorable=True, header=True)


def make_mat(compressed: bool, folder: Path) -> None:
    def element(kind: int, content: bytes) -> bytes:
        return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)

    points = np.linspace(0, 300, 132)
    matrix = element(6, struct.pack("<II", 6, 0)) + element(5, struct.pack("<ii", 66, 2))
    matrix = element(14, matrix + element(1, b"pts") + element(9, points.tobytes()))
    if compressed:
        packed = zlib.compress(matrix)
        matrix = struct.pack("<II", 15, len(packed)) + packed
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    (folder / "SN001_0000_lm.mat").write_bytes(head + matrix)


def read_landmarks(folder: Path) -> None:
    from aucli.datasets.landmarks66 import read_mat

    read_mat(folder / "SN001_0000_lm.mat")


def picture(mode: str, size: int) -> bytes:
    import io

    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (size // 8, size // 8, 3), np.uint8)
    stream = io.BytesIO()
    image = Image.fromarray(noise).resize((size, size)).convert(mode)
    image.save(stream, "PNG" if mode == "L" else "JPEG")
    return stream.getvalue()


def make_prepared(folder: Path) -> None:
    from aucli.datasets import prepared

    aus, subject = ("AU06", "AU12"), "SN001"
    landmarks = np.random.default_rng(0).uniform(30, 90, (68, 2)).astype(np.float32)
    columns = {
        "frame_index": [0, 1], "confidence": [0.9, None], "image": [picture("RGB", 96)] * 2,
        "landmarks": [landmarks.reshape(-1)] * 2, "AU06": [0.0, None], "AU12": [3.0, 5.0],
    }  # fmt: skip
    dropped = [prepared.Dropped("no face", 2, 5, 4)]
    prepared.write_shard(
        prepared.shard_path(folder, subject), aus, subject, subject, columns, dropped
    )
    settings = {"dataset": "disfa", "aus": list(aus), "size": 96, "version": 2}
    (folder / "manifest.json").write_text(json.dumps({"settings": settings, "recordings": []}))


def read_prepared(folder: Path) -> None:
    from aucli.datasets.prepared import PreparedFaces, count_faces

    faces = PreparedFaces(folder, tuple(count_faces(folder, "disfa")))
    for index in range(len(faces)):
        faces.image(index)


def make_rendered(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from aucli.aus import SYNTHETIC_AUS

    landmarks = np.random.default_rng(0).uniform(30, 160, 136).tolist()
    row = {
        "identity": 1, "rgb": picture("RGB", 192), "matte": picture("L", 192),
        "landmarks": landmarks, "visible": [True] * 68,
        **{f"pose_R{axis}": 0.0 for axis in "xyz"},
        **{f"{au}_{side}": 1.0 for au in SYNTHETIC_AUS for side in "LR"},
    }  # fmt: skip
    table = pa.Table.from_pylist([row] * 3)
    pq.write_table(table, folder / "shard-00000.parquet", write_page_checksum=True)
    (folder / "manifest.json").write_text(json.dumps({"version": 1, "resolution": 192}))


def read_rendered(folder: Path) -> None:
    from aucli.datasets.synthetic import FaceStore

    FaceStore(folder, "all").usual_places()


Make = Callable[[Path], None]
Read = Callable[[Path], None]
# Kind: what makes a folder of it, the file that is damaged, what reads it.
KINDS: dict[str, tuple[Make, str, Read]] = {
    "card": (make_card, "net.json", read_weights),
    "weights": (make_card, "net.safetensors", read_weights),
    "weights, sha256 renewed": (make_card, "net.safetensors", read_weights),
    "weights without a card": (make_bare_tensors, "net.safetensors", read_start),
    "checkpoint": (make_checkpoint, "checkpoint.pt", read_checkpoint),
    "published checkpoint": (make_foreign_checkpoint, "net.pth", read_foreign_checkpoint),
    "csv": (make_csv, "clip.csv", read_a_table),
    "parquet": (make_parquet, "clip.parquet", read_a_table),
    "jsonl": (make_json_lines, "clip.jsonl", read_a_table),
    "labels, utf-16": (make_labels, "labels.csv", read_some_labels),
    "labels of a dataset": (make_dataset_labels, "SN001_au12.txt", read_dataset_labels),
    "mat": (functools.partial(make_mat, False), "SN001_0000_lm.mat", read_landmarks),
    "mat, compressed": (functools.partial(make_mat, True), "SN001_0000_lm.mat", read_landmarks),
    "prepared shard": (make_prepared, "faces/SN001.parquet", read_prepared),
    "prepared manifest": (make_prepared, "manifest.json", read_prepared),
    "rendered shard": (make_rendered, "shard-00000.parquet", read_rendered),
    "rendered manifest": (make_rendered, "manifest.json", read_rendered),
}


# How a file is damaged.


def flip(data: bytes, at: int, size: int, random: np.random.Generator) -> bytes:
    """Up to 8 bytes anywhere become others."""
    out = bytearray(data)
    for i in random.integers(0, len(data), random.integers(1, 9)):
        out[i] ^= int(random.integers(1, 256))
    return bytes(out)


def renumber(data: bytes, at: int, size: int, random: np.random.Generator) -> bytes:
    """A number of a text becomes something else; of other files, four bytes a large number."""
    if b"\0" in data:
        return data[:at] + random.choice([b"\xff" * 4, b"\0" * 4, b"\0\0\0\x7f"]) + data[at + 4 :]
    numbers = list(re.finditer(rb"-?\d+(?:.\d+)?", data))
    if not numbers:
        return flip(data, at, size, random)
    one = numbers[random.integers(len(numbers))]
    return data[: one.start()] + str(random.choice(NUMBERS)).encode() + data[one.end() :]


def replace_value(data: bytes, at: int, size: int, random: np.random.Generator) -> bytes:
    """A value of a JSON object, at any depth, becomes something else or goes; others: a number."""
    try:
        told = json.loads(data)
    except ValueError:
        return renumber(data, at, size, random)
    inside, key = told, _any_key(told, random)
    while isinstance(inside[key], dict | list) and inside[key] and random.random() < 0.7:
        inside = inside[key]
        key = _any_key(inside, random)
    if random.random() < 0.2:
        del inside[key]
    else:
        inside[key] = VALUES[random.integers(len(VALUES))]
    return json.dumps(told).encode()


def _any_key(inside: Any, random: np.random.Generator) -> Any:
    keys = list(inside) if isinstance(inside, dict) else range(len(inside))
    return keys[random.integers(len(keys))]


MUTATIONS: dict[str, Callable[[bytes, int, int, np.random.Generator], bytes]] = {
    "flip": flip,
    "cut": lambda data, at, size, random: data[:at],
    "zero": lambda data, at, size, random: data[:at] + bytes(size) + data[at + size :],
    "delete": lambda data, at, size, random: data[:at] + data[at + size :],
    "duplicate": lambda data, at, size, random: data[: at + size] + data[at:],
    "insert": lambda data, at, size, random: data[:at] + random.bytes(size) + data[at:],
    "number": renumber,
    "value": replace_value,
    "nest": lambda data, at, size, random: data[:at] + b"[" * 5000 + data[at:],
}


def renew_checksum(folder: Path) -> None:
    """Let a card describe the tensors beside it, so that only their content is wrong."""
    card, blob = folder / "net.json", (folder / "net.safetensors").read_bytes()
    told = json.loads(card.read_text()) | {"sha256": hashlib.sha256(blob).hexdigest()}
    card.write_text(json.dumps(told | {"bytes": len(blob)}))


# Reading in another process, which may end.


def work() -> None:
    """Read the folders that stdin names; the name first, so that an end of the process has one."""
    from aucli.errors import AucliError

    for line in sys.stdin:
        kind, folder = json.loads(line)
        print(json.dumps("begin"), flush=True)
        told: list[str]
        try:
            KINDS[kind][2](Path(folder))
            told = ["read", ""]
        except AucliError as error:
            one_line = "\n" not in str(error) and str(error)
            told = ["refused" if one_line else "traceback", str(error)]
        except Exception as error:
            told = ["traceback", repr(error)]
        print(json.dumps(told), flush=True)


def read_all(jobs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What came of each job, a kind and a folder: an outcome and the error."""
    found: list[tuple[str, str]] = []
    while len(found) < len(jobs):
        process = subprocess.Popen(
            [sys.executable, __file__, "--work"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,  # what is read ahead would be hidden from the selector
        )
        assert process.stdin is not None and process.stdout is not None
        waiting = selectors.DefaultSelector()
        waiting.register(process.stdout, selectors.EVENT_READ)
        end = ""
        while not end and len(found) < len(jobs):
            try:
                process.stdin.write(json.dumps(jobs[len(found)]).encode() + b"\n")
                process.stdout.readline()  # "begin", after the imports
                end = "" if waiting.select(LIMIT_SECONDS) else "hang"
                told = b"" if end else process.stdout.readline()
                end = end or ("" if told else "signal")
            except BrokenPipeError:
                end, told = "signal", b""
            if not end:
                outcome, why = json.loads(told)
                found.append((outcome, why))
        process.kill()
        process.stdin.close()
        process.stdout.close()
        if end:
            found.append((end, str(process.wait())))
        process.wait()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="damaged files in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this; may be repeated")
    parser.add_argument("--keep", type=Path, help="folder for the files of the bad outcomes")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work()
        return 0
    random = np.random.default_rng(arguments.seed)
    kinds = arguments.kind or list(KINDS)
    counts = {kind: collections.Counter() for kind in kinds}
    with tempfile.TemporaryDirectory() as root:
        wholes: list[tuple[str, str]] = []
        for i, kind in enumerate(kinds):
            (whole := Path(root, f"whole{i}")).mkdir()
            KINDS[kind][0](whole)
            wholes.append((kind, str(whole)))
        for (kind, _), (told, why) in zip(wholes, read_all(wholes), strict=True):
            if told != "read":
                sys.exit(f"an undamaged {kind} is not read: {told} {why}")
        jobs = []
        for i in range(arguments.count):
            kind, whole = wholes[i % len(wholes)]
            how = list(MUTATIONS)[i // len(wholes) % len(MUTATIONS)]
            folder = Path(root, f"{i:05d}-{how}")
            shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("decoded"))
            file = folder / KINDS[kind][1]
            data = file.read_bytes()
            at = int(random.integers(0, len(data)))
            size = int(random.integers(1, max(2, len(data) // 8)))
            file.write_bytes(MUTATIONS[how](data, at, size, random))
            if kind == "weights, sha256 renewed":
                renew_checksum(folder)
            jobs.append((kind, str(folder)))
        for (kind, folder), (outcome, why) in zip(jobs, read_all(jobs), strict=True):
            counts[kind][outcome] += 1
            if outcome in OUTCOMES[2:]:
                print(f"{kind}, {Path(folder).name}: {outcome} {why}")
                if arguments.keep:
                    shutil.copytree(folder, arguments.keep / Path(folder).name, dirs_exist_ok=True)
    print(f"\n| kind | {' | '.join(OUTCOMES)} |\n|{' --- |' * (len(OUTCOMES) + 1)}")
    for kind, own in counts.items():
        print(f"| {kind} | {' | '.join(str(own[outcome]) for outcome in OUTCOMES)} |")
    total = sum(counts.values(), collections.Counter())
    print(f"| all | {' | '.join(str(total[outcome]) for outcome in OUTCOMES)} |")
    return int(any(total[outcome] for outcome in OUTCOMES[2:]))


if __name__ == "__main__":
    sys.exit(main())
