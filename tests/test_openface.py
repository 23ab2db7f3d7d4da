"""The OpenFace layout, read as the scripts that exist for it read it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bright_faces import AUS, NONE, ONE, TWO, tiny_networks, write_clip
from test_table import EVERYTHING, make_rows, write
from typer.testing import CliRunner

from aucli import analyzer
from aucli.cli import app
from aucli.pose import angles_to_rotation
from aucli.table.schema import Columns
from aucli.table.text import LANDMARKS, openface_pose
from aucli.table.writer import TableWriter

POSE = ["pose_Rx", "pose_Ry", "pose_Rz"]


def read_as_scripts_do(path: Path) -> pd.DataFrame:
    """Older builds of OpenFace write ``", "`` between the names, so readers strip them."""
    frame = pd.read_csv(path)
    frame.columns = frame.columns.str.strip()
    return frame


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """What ``aucli analyze --format openface`` writes of frames with 1, 0, 2 and 1 faces."""
    models = tiny_networks()
    monkeypatch.setattr(analyzer, "load_networks", lambda options: models)
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", [ONE, NONE, TWO, ONE])
    command = ["analyze", "clip.mp4", "--format", "openface", "--threads", "1", "-q"]
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, result.stderr) == (0, "")
    return read_as_scripts_do(tmp_path / "clip.csv")


def test_the_columns_are_those_of_openface_in_its_order(table):
    levels, presences = [f"{au}_r" for au in AUS], [f"{au}_c" for au in AUS]
    first = ["frame", "face_id", "timestamp", "confidence", "success", *POSE]
    assert list(table.columns) == [*first, *LANDMARKS, *levels, *presences]


def test_the_usual_steps_of_a_script_work(table):
    assert table["frame"].tolist() == [1, 2, 3, 3, 4]
    assert table["timestamp"].tolist() == pytest.approx([0, 0.04, 0.08, 0.08, 0.12])
    assert table["face_id"].tolist() == [0, 0, 0, 1, 0]
    assert table["face_id"].dtype == table["success"].dtype == np.int64
    good = table[(table["success"] == 1) & (table["confidence"] > 0.7)]
    assert good["frame"].tolist() == [1, 3, 3, 4]
    assert good["AU12_r"].between(0, 5).all() and good["AU12_r"].mean() > 0
    assert (good["AU12_c"] == (good["AU12_r"] >= 1)).all()
    one = good.set_index(["frame", "face_id"]).loc[(3, 1)]
    assert one["x_30"] == pytest.approx(68, abs=1)  # the second face stands 44 px further right


def test_a_frame_without_a_face_is_zeros(table):
    row = table[table["success"] == 0].iloc[0]
    assert (row["frame"], row["timestamp"]) == (2, 0.04)
    assert (row.drop(["frame", "timestamp"]) == 0).all()
    assert not table.isna().any().any()


def test_every_other_group_follows_and_values_are_the_same(tmp_path):
    rows = make_rows()
    write(tmp_path / "a.csv", EVERYTHING, rows, "csv")
    write(tmp_path / "o.csv", EVERYTHING, rows, "openface")
    plain, view = pd.read_csv(tmp_path / "a.csv"), pd.read_csv(tmp_path / "o.csv")
    assert list(view.columns[-4:]) == ["AU12_L_x", "AU12_L_y", "AU12_R_x", "AU12_R_y"]
    left_out = {"video", "quality", "face_x", "face_y", "face_w", "face_h"}
    assert set(plain.columns) - set(view.columns) == left_out
    same = [name for name in view.columns if name not in POSE]
    np.testing.assert_array_equal(view[same].to_numpy(), plain[same].fillna(0).to_numpy())


def test_pictures_of_a_folder_have_no_time(tmp_path):
    rows = make_rows(1)
    rows.pts_seconds[:] = np.nan
    write(tmp_path / "o.csv", EVERYTHING, rows, "openface")
    assert pd.read_csv(tmp_path / "o.csv")["timestamp"].isna().tolist() == [True]


def test_the_layout_needs_landmarks_and_presences(tmp_path):
    with pytest.raises(ValueError, match="the OpenFace layout needs"):
        TableWriter(tmp_path / "o.csv", Columns(AUS).schema(), "openface").__enter__()
    assert list(tmp_path.iterdir()) == []


def openface_rotation(pose: np.ndarray) -> np.ndarray:
    """(3,) pitch, yaw, roll to Rx Ry Rz about x to the right, y down and z into the picture."""
    (sx, sy, sz), (cx, cy, cz) = np.sin(pose), np.cos(pose)
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return rx @ ry @ rz


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        ([0.3, 0, 0], [0.3, 0, 0]),  # chin down
        ([0, 0.4, 0], [0, -0.4, 0]),  # towards the person's left
        ([0, 0, 0.2], [0, 0, -0.2]),  # top of the head towards the right shoulder
    ],
)
def test_head_pose_has_the_signs_of_openface(ours, expected):
    assert openface_pose(np.array([ours]))[0] == pytest.approx(expected, abs=1e-6)


def test_head_pose_is_the_same_rotation_in_other_axes():
    pose = np.random.default_rng(2).uniform(-0.9, 0.9, (20, 3))
    axes = np.diag([1.0, -1.0, -1.0])
    for ours, theirs in zip(pose, openface_pose(pose), strict=True):
        expected = axes @ angles_to_rotation(ours[None])[0] @ axes
        np.testing.assert_allclose(openface_rotation(theirs), expected, atol=1e-6)
