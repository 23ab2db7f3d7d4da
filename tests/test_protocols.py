"""A look-alike dataset with rendered faces through every command: prepare, train, eval, analyze."""

import csv
import json
from pathlib import Path

import av
import lookalikes
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from aucli.cli import app

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
MOMENTS = (20, 50, 115, 180, 210, 290)  # frames of the demo: at rest, smile, frown, surprise, rest
TRAINING = ["--model", "scc-small", "--widths", "8,16,16,16", "--steps", "2", "--batch-size", "4",
            "--evaluations", "1", "--k", "3"]  # fmt: skip


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    with av.open(str(EXAMPLES / "demo.mp4")) as demo:
        frames = [
            frame.to_ndarray(format="rgb24")[:, 140:500]
            for i, frame in enumerate(demo.decode(video=0))
            if i in MOMENTS
        ]
    return frames


@pytest.fixture(scope="module")
def truth() -> list[dict[str, str]]:
    with (EXAMPLES / "demo_truth.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    return [rows[i] for i in MOMENTS]


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


def test_from_a_licensees_folder_to_a_scored_network(
    tmp_path: Path, pictures: list[np.ndarray], truth: list[dict[str, str]]
) -> None:
    root, faces, out = tmp_path / "data", tmp_path / "faces", tmp_path / "run"
    lookalikes.disfa(
        root,
        len(MOMENTS),
        # Each person in a light of their own: the same pictures of two people are refused.
        lambda subject, i: (pictures[i] * (1 - int(subject[2:]) / 200)).astype(np.uint8),
        lambda subject, au, i: round(float(truth[i][au])),
    )
    run("prepare", "--dataset", "disfa", "--root", root, "--out", faces, "--threads", 1)
    fold = ["--dataset", "disfa", "--root", faces, "--folds", "jaanet", "--fold", "P2"]
    told = run("train", *fold, *TRAINING, "--out", out).stderr
    assert "training on 6 faces of 1 subject." in told and "SN010." in told
    weights = out / "weights.safetensors"
    scores = tmp_path / "scores.json"
    run("eval", *fold, "--model", weights, "--threads", 1, "--resamples", 0, "--json", scores)
    found = json.loads(scores.read_text())
    assert found["frames"]["AU12"] == len(MOMENTS) and found["subjects"] == 1
    assert found["scores"]["pooled"]["AU12"]["mae"]["value"] >= 0

    # The networks that come along know these faces, also through all the files on the way.
    run("eval", *fold, "--threads", 1, "--resamples", 0, "--json", scores, "--overwrite")
    pooled = json.loads(scores.read_text())["scores"]["pooled"]
    assert pooled["AU12"]["pcc"]["value"] > 0.9 and pooled["AU25"]["pcc"]["value"] > 0.9

    film = root / "Videos_LeftCamera" / "LeftVideoSN031_comp.avi"
    table = tmp_path / "film.csv"
    run("analyze", film, "--model", weights, "-o", table, "--threads", 1)
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(MOMENTS) and {row["success"] for row in rows} == {"1"}
    assert all(0 <= float(row["AU12_r"]) <= 5 for row in rows)
