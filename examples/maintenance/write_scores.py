"""Score the networks in weights/ on held-out rendered people, and write the tables of its README.

    python examples/maintenance/write_scores.py FACES OLD [--landmarks TABLE]

FACES and OLD are sets of `aucli synth`: today's, and the one of 0.2.0. Instead of a set, the file
that `aucli eval --dataset synthetic --root SET --json FILE` wrote. --faces: of each set, at most.
--landmarks: what examples/studies/landmarks_beside_mesh.py printed, written there too.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from measure_speed import fill

from aucli.aus import NAMES
from aucli.errors import run_script
from aucli.evaluation.rendered import YAW_DEGREES
from aucli.evaluation.writing import number

PAGE = Path(__file__).resolve().parents[2] / "weights" / "README.md"
Report = dict[str, Any]


def scored(source: Path, faces: int) -> Report:
    """The report of a set, or one that is there already."""
    if source.is_dir():
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "report.json"
            command = [sys.executable, "-m", "aucli", "eval", "--dataset", "synthetic", "--root",
                       str(source), "--faces", str(faces), "--resamples", "0",
                       "--json", str(made)]  # fmt: skip
            if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
                raise SystemExit(f"write_scores: {source} was not scored.")
            return scored(made, faces)
    try:
        report = json.loads(source.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SystemExit(f"write_scores: {source} cannot be read ({error}).") from None
    if not {"strata", "following", "scores"} <= {*report}:
        raise SystemExit(f"write_scores: {source} is no report of rendered faces.")
    return report


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def told(value: float | None, decimals: int = 2) -> str:
    return "" if value is None else number(value, decimals)


def pooled(report: Report, au: str, metric: str) -> float | None:
    return report["scores"]["pooled"][au][metric]["value"]


def networks(new: Report, old: Report) -> str:
    rows = [
        (
            f"`scc-joint`: ICC(3,1), mean of {len(new['frames'])} AUs",
            *(told(pooled(one, "mean", "icc31"), 3) for one in (new, old)),
        )
    ]
    for name, part, key in (
        ("landmark network, new faces: error", "landmarks", "nme"),
        ("landmark network, one look at a followed face", "landmarks", "nme_followed"),
        ("`scc-joint`, one look at a followed face", "following", "nme_followed"),
    ):
        rows.append((name, *(told(one[part][key], 4) for one in (new, old))))
    return table((f"{new['counts']['labelled']} held-out faces", "these", "those of 0.2.0"), rows)


def detector(new: Report) -> str:
    names = {
        "ap": "average precision at IoU .5",
        "recall_95": "recall where 95 % of the detections are right",
        "mean_iou": "mean IoU of hits",
    }
    title = "detector (one pass at 256 px, before the landmark network checks the candidates)"
    return table(
        (title, ""), [(name, told(new["detector"][key], 3)) for key, name in names.items()]
    )


def yaws(new: Report) -> str:
    spans = [*pairwise(YAW_DEGREES)]
    heads = ["by head yaw", f"to {spans[0][1]} degrees", *(f"{a}-{b}" for a, b in spans[1:-1])]
    rows = [
        (name, *(told(new[part][f"{key}.yaw_{a}_{b}"], decimals) for a, b in spans))
        for name, part, key, decimals in (
            ("landmark network, error", "landmarks", "nme", 4),
            ("`scc-joint`, error of a followed face", "following", "nme", 4),
            ("`scc-joint`, gaze, degrees off", "following", "gaze", 1),
        )
    ]
    return table((*heads, "more"), rows)


def strata(new: Report) -> str:
    heads = ("", "faces", "AUs: ICC(3,1)", "MAE", "landmarks", "followed", "gaze, degrees")
    rows = [
        (
            name,
            f"{row['faces']:.0f}",
            *(told(row[key]) for key in ("icc31", "mae")),
            *(told(row[key], 3) for key in ("nme", "nme_followed")),
            told(row["gaze"], 1),
        )
        for name, row in new["strata"].items()
    ]
    return table(heads, rows)


def means(new: Report) -> str:
    count = len(new["frames"])
    rows = [
        *(
            (f"{name}, mean of {count}", told(pooled(new, "mean", metric), decimals))
            for name, metric, decimals in (
                ("ICC(3,1)", "icc31", 3), ("PCC", "pcc", 3), ("mean absolute error", "mae", 2),
            )
        ),
        (
            "place where the intensity is 2 or more, median error over the distance between the "
            "outer eye corners",
            told(new["places"]["all"], 3),
        ),
        ("change of a reading when the crop is mirrored", told(new["following"]["mirrored"])),
    ]  # fmt: skip
    return table(("AUs", ""), rows)


def aus(new: Report) -> str:
    rows = [
        (
            au,
            NAMES[au],
            *(told(pooled(new, au, metric)) for metric in ("icc31", "pcc", "mae")),
            told(new["places"][au], 3),
        )
        for au in new["frames"]
    ]
    return table(("AU", "", "ICC(3,1)", "PCC", "MAE", "place, median"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("new", type=Path, metavar="FACES")
    parser.add_argument("old", type=Path, metavar="OLD")
    parser.add_argument("--faces", type=int, default=1216)
    parser.add_argument("--landmarks", type=Path, metavar="TABLE")
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args()
    new, old = scored(args.new, args.faces), scored(args.old, args.faces)
    parts = {
        "networks": networks(new, old),
        "detector": detector(new),
        "yaw": yaws(new),
        "means": means(new),
        "aus": aus(new),
        "strata": strata(new),
    }
    if args.landmarks:
        parts["mesh"] = args.landmarks.read_text("utf-8").strip()
    fill(args.page, parts)


if __name__ == "__main__":
    run_script(main)
