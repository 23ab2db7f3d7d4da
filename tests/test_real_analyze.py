"""The command with the embedded weights on real clips: what a user gets from a fresh install."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from aucli.cli import app
from aucli.table.writer import read_provenance

pytestmark = pytest.mark.slow

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
NAMES = ("builtin-detector", "builtin-landmarks", "scc-joint")


@pytest.fixture(scope="module")
def clips(shared_dir):
    missing = [name for name in NAMES if not (WEIGHTS / f"{name}.safetensors").exists()]
    if missing:
        pytest.skip(f"no weights/{missing[0]}.safetensors")
    folder = shared_dir / "clips"
    if not folder.is_dir():
        pytest.skip("no shared/clips folder")
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def analyze(*arguments):
    return CliRunner().invoke(app, ["analyze", *map(str, arguments)])


def test_a_smile_is_seen_where_it_is(clips):
    result = analyze(clips / "smile.mp4", "--every", 5, "--places")
    assert result.exit_code == 0, result.stderr
    table = pd.read_parquet("smile.parquet")
    assert np.mean(table["success"].tolist()) > 0.95
    assert table["face_id"].dropna().unique().tolist() == [0]
    faces = table["success"].to_numpy(bool)
    values = table[[name for name in table if name.endswith("_r")]].to_numpy()[faces]
    assert 0 <= values.min() <= values.max() <= 5
    inside_x = table["AU12_x"].between(table["face_x"], table["face_x"] + table["face_w"])
    inside_y = table["AU12_y"].between(table["face_y"], table["face_y"] + table["face_h"])
    inside = np.asarray(inside_x & inside_y, bool)
    assert inside[faces].mean() > 0.95


def test_no_face_is_no_failure_and_no_intensity(clips):
    result = analyze(clips / "no_face.mp4", "--every", 5)
    assert result.exit_code == 0, result.stderr
    table = pd.read_parquet("no_face.parquet")
    assert table["success"].tolist() == [False] * len(table)
    intensities = table[[name for name in table if name.endswith("_r")]].to_numpy(float)
    assert np.isnan(intensities).all()


def test_five_faces_in_a_picture(clips):
    result = analyze(clips / "five_faces.jpg", "--faces", "all")
    assert result.exit_code == 0, result.stderr
    table = pd.read_parquet("five_faces.parquet")
    assert table["frame"].tolist() == [1] * len(table)
    assert sorted(table["face_id"]) == list(range(5))


def test_two_runs_give_the_same_bits(clips):
    for name in ("a.parquet", "b.parquet"):
        assert analyze(clips / "smile.mp4", "--every", 20, "-o", name).exit_code == 0
    pd.testing.assert_frame_equal(
        pd.read_parquet("a.parquet"), pd.read_parquet("b.parquet"), check_exact=True
    )
    told = read_provenance("a.parquet")
    assert told["model"]["name"] == "scc-joint"
    assert len(told["detector"]["sha256"]) == len(told["input"]["sha256"]) == 64


def test_the_events_of_a_clip_open_in_elan(clips):
    elan = pytest.importorskip("pympi.Elan")
    assert analyze(clips / "emotions.mp4", "-o", "emotions.parquet").exit_code == 0
    made = CliRunner().invoke(app, ["events", "emotions.parquet", "-o", "emotions.eaf"])
    assert made.exit_code == 0, made.output
    smiles = elan.Eaf("emotions.eaf").get_annotation_data_for_tier("AU12")
    # Laughter fills the second half of the clip, of 19.7 s, to its end.
    begin, end, value = smiles[-1]
    assert 9000 < begin < 10500 and end == pytest.approx(19686, abs=50) and value[0] in "DE"
