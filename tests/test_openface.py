"""The OpenFace layout, read as the scripts that exist for it read it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from bright_faces import (
    AUS,
    HEIGHT,
    NONE,
    ONE,
    TWO,
    WIDTH,
    tiny_analyzer,
    tiny_networks,
    write_clip,
)
from test_joint import joint_model
from test_table import EVERYTHING, make_rows, write
from typer.testing import CliRunner

from aucli import analyzer
from aucli.cli import app
from aucli.errors import DataError
from aucli.mean_shape import MEAN_SHAPE
from aucli.pipeline.options import AnalyzeOptions
from aucli.pose import angles_to_rotation, head_pose
from aucli.report.convert import convert
from aucli.table import text
from aucli.table.openface import (
    PLACE,
    POINTS,
    focal_length,
    gaze_to_openface,
    head_in_space,
    left_out,
    to_openface,
)
from aucli.table.reading import read_table
from aucli.table.schema import FRAME_SIZE, GAZE, LANDMARKS, Columns, gaze_angles, to_record_batch
from aucli.table.writer import TableWriter

POSE = ["pose_Rx", "pose_Ry", "pose_Rz"]


def read_as_scripts_do(path: Path) -> pd.DataFrame:
    """Older builds of OpenFace write ``", "`` between the names, so readers strip them."""
    frame = pd.read_csv(path)
    frame.columns = frame.columns.str.strip()
    return frame


@pytest.fixture(params=[False, True], ids=["without gaze", "with gaze"])
def gaze(request: pytest.FixtureRequest) -> bool:
    """Whether the network knows gaze."""
    return request.param


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gaze: bool) -> pd.DataFrame:
    """What ``aucli analyze --format openface`` writes of frames with 1, 0, 2 and 1 faces."""
    models = tiny_networks()
    if gaze:
        models = replace(models, au=joint_model())
    monkeypatch.setattr(analyzer, "load_networks", lambda options: models)
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", [ONE, NONE, TWO, ONE])
    command = ["analyze", "clip.mp4", "--format", "openface", "--threads", "1"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0
    gaps = "eye_lmk_*, p_*" if gaze else "gaze_*, eye_lmk_*, p_*"
    assert f"Left out of the columns of OpenFace: {gaps}, AU01, " in result.stderr
    return read_as_scripts_do(tmp_path / "clip.csv")


def test_the_columns_are_those_of_openface_in_its_order(table, gaze):
    levels, presences = [f"{au}_r" for au in AUS], [f"{au}_c" for au in AUS]
    first = ["frame", "face_id", "timestamp", "confidence", "success", *(GAZE if gaze else ())]
    assert list(table.columns) == [
        *first, "pose_Tx", "pose_Ty", "pose_Tz", *POSE, *LANDMARKS,
        *(f"{axis}_{i}" for axis in "XYZ" for i in range(68)), *levels, *presences,
    ]  # fmt: skip


def test_the_usual_steps_of_a_script_work(table):
    assert table["frame"].tolist() == [1, 2, 3, 3, 4]
    assert table["timestamp"].tolist() == pytest.approx([0, 0.04, 0.08, 0.08, 0.12])
    assert table["face_id"].tolist() == [0, 0, 0, 1, 0]
    assert table["face_id"].dtype == table["success"].dtype == np.int64
    good = table[(table["success"] == 1) & (table["confidence"] > 0.7)]
    assert good["frame"].tolist() == [1, 3, 3, 4]
    assert good["AU12_r"].between(0, 5).all()
    assert (good["AU12_c"] == (good["AU12_r"] >= 1)).all()
    one = good.set_index(["frame", "face_id"]).loc[(3, 1)]
    assert one["x_30"] == pytest.approx(68, abs=1)  # the second face stands 44 px further right


def test_a_frame_without_a_face_is_zeros(table):
    row = table[table["success"] == 0].iloc[0]
    assert (row["frame"], row["timestamp"]) == (2, 0.04)
    assert (row.drop(["frame", "timestamp"]) == 0).all()
    assert not table.isna().any().any()


def test_every_point_lies_on_the_line_of_sight_of_its_landmark(table):
    """The camera of OpenFace looks at the middle of the frame."""
    focus = (500 * WIDTH / 640 + 500 * HEIGHT / 480) / 2
    good = table[table["success"] == 1]
    x, y, far_x, far_y, far = (good[[f"{a}_{i}" for i in range(68)]].to_numpy() for a in "xyXYZ")
    assert far.min() > 100
    np.testing.assert_allclose(focus * far_x / far + WIDTH / 2, x, atol=0.05)
    np.testing.assert_allclose(focus * far_y / far + HEIGHT / 2, y, atol=0.05)
    eyes = [good[f"{a}_36"] - good[f"{a}_45"] for a in "XYZ"]
    np.testing.assert_allclose(np.linalg.norm(eyes, axis=0), 89.2, atol=2)


def test_every_other_group_follows_and_values_are_the_same(tmp_path):
    rows = make_rows()
    write(tmp_path / "a.csv", EVERYTHING, rows, "csv")
    write(tmp_path / "o.csv", EVERYTHING, rows, "openface")
    plain, view = pd.read_csv(tmp_path / "a.csv"), pd.read_csv(tmp_path / "o.csv")
    assert list(view.columns[-4:]) == ["AU12_L_x", "AU12_L_y", "AU12_R_x", "AU12_R_y"]
    left_out = {"video", "quality", "face_x", "face_y", "face_w", "face_h", "frame_w", "frame_h"}
    assert set(plain.columns) - set(view.columns) == left_out
    turned = {*POSE, *GAZE}  # towards the axis of the camera
    same = [name for name in view.columns if name in plain.columns and name not in turned]
    np.testing.assert_array_equal(view[same].to_numpy(), plain[same].fillna(0).to_numpy())
    assert set(view.columns) - set(plain.columns) == {*PLACE, *POINTS}


# What public scripts read of a table of OpenFace, and what of it aucli's network leaves out.
# OpenFaceR: names in its functions, and ranges of columns that lie side by side.
OPENFACE_R = ["timestamp", "frame", "success", "pose_Tx", "pose_Ty", "pose_Tz", "AU02_c", "AU06_c",
              "AU12_c", "AU45_c"]  # fmt: skip
OPENFACE_R_RANGES = {
    ("timestamp", "success"): 3,
    ("AU02_r", "AU45_r"): 19,
    ("X_0", "X_67"): 68,
    ("Y_12", "Y_16"): 5,
    ("X_0", "Z_67"): 204,
    ("eye_lmk_x_0", "eye_lmk_Z_55"): None,
}
# Scripts that make features of gaze, head and AUs, in the order in which OpenFace has them.
FEATURES = [
    *GAZE, "pose_Tx", "pose_Ty", "pose_Tz", *POSE, "AU01_r", "AU02_r", "AU04_r", "AU05_r",
    "AU06_r", "AU07_r", "AU09_r", "AU10_r", "AU12_r", "AU14_r", "AU15_r", "AU17_r", "AU20_r",
    "AU23_r", "AU25_r", "AU26_r", "AU45_r", "AU28_c",
]  # fmt: skip
# The whole line of OpenFace 2.2, with every group.
OPENFACE_AUS = [f"{au:02}" for au in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)]
OPENFACE = [
    "frame", "face_id", "timestamp", "confidence", "success", *GAZE,
    *(f"eye_lmk_{axis}_{i}" for axis in "xyXYZ" for i in range(56)),
    "pose_Tx", "pose_Ty", "pose_Tz", *POSE,
    *(f"{axis}_{i}" for axis in "xyXYZ" for i in range(68)),
    "p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty", *(f"p_{i}" for i in range(34)),
    *(f"AU{au}_r" for au in OPENFACE_AUS), *(f"AU{au}_c" for au in sorted([*OPENFACE_AUS, "28"])),
]  # fmt: skip


@pytest.fixture(scope="module")
def schema() -> pa.Schema:
    """The columns that the built-in networks give."""
    from aucli.weights.cards import load_au_model
    from aucli.weights.names import resolve

    model = load_au_model(str(resolve("builtin", "au")))
    options = AnalyzeOptions(openface=True)
    return options.columns(model.aus, model.sides, model.knows_gaze).schema()


def test_the_columns_that_public_scripts_read(schema):
    builtin = text.header(schema, "openface").decode().strip().split(",")
    assert set(OPENFACE_R) <= set(builtin)
    for (first, last), count in OPENFACE_R_RANGES.items():
        if count is None:
            assert first not in builtin
        else:
            assert builtin.index(last) - builtin.index(first) == count - 1
    assert [name for name in FEATURES if name not in builtin] == ["AU23_r"]
    gaps = [name for name in OPENFACE if name not in builtin]
    assert {name.rpartition("_")[0] if name[0] != "A" else name for name in gaps} == {
        "eye_lmk_x", "eye_lmk_y", "eye_lmk_X", "eye_lmk_Y", "eye_lmk_Z", "p", "AU23_r", "AU23_c",
    }  # fmt: skip
    assert [name for name in OPENFACE if name in builtin] == [
        name for name in builtin if name in OPENFACE
    ]
    assert left_out(schema) == "Left out of the columns of OpenFace: eye_lmk_*, p_*, AU23."
    assert left_out(pa.schema([(name, pa.float32()) for name in OPENFACE])) == ""
    more = [name for name in builtin if name not in OPENFACE]
    assert more == ["AU18_r", "AU22_r", "AU24_r", "AU28_r", "AU18_c", "AU22_c", "AU24_c"]


def test_older_scripts_find_a_blank_before_each_name(tmp_path, monkeypatch):
    monkeypatch.setattr(analyzer, "load_networks", lambda options: tiny_networks())
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", [ONE, NONE])
    run = CliRunner().invoke
    words = ["analyze", "clip.mp4", "--format", "openface", "--threads", "1", "-q"]
    assert run(app, [*words, "-o", "plain.csv"]).exit_code == 0
    assert run(app, [*words, "-o", "old.csv", "--spaces"]).exit_code == 0
    first, _, rest = Path("old.csv").read_text().partition("\n")
    plain, _, same = Path("plain.csv").read_text().partition("\n")
    assert (first.replace(", ", ","), rest) == (plain, same)
    found = pd.read_csv("old.csv")
    assert found[" success"].tolist() == [1, 0] and " AU12_r" in found and " X_67" in found
    assert read_table("old.csv").columns.tolist() == read_table("plain.csv").columns.tolist()
    words = ["convert", "plain.csv", "-o", "again.csv", "--format", "openface", "--spaces"]
    assert run(app, words).exit_code == 0
    assert Path("again.csv").read_text() == Path("old.csv").read_text()


@pytest.mark.parametrize("command", [["analyze", "clip.mp4"], ["convert", "a.csv"]])
def test_blanks_go_with_this_layout_alone(command):
    for more in ([], ["--format", "csv"]):
        result = CliRunner().invoke(app, [*command, "-o", "b.csv", "--spaces", *more])
        assert result.exit_code == 2
        assert "Invalid value for --spaces: it goes with --format openface." in result.stderr


def test_convert_writes_what_analyze_writes(tmp_path):
    write(tmp_path / "o.csv", EVERYTHING, make_rows(), "openface")
    write(tmp_path / "a.parquet", EVERYTHING, make_rows())
    assert convert([tmp_path / "a.parquet"], tmp_path / "b.csv", "openface")[0] == 3
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "o.csv").read_bytes()


def test_a_table_that_does_not_tell_the_size_of_its_frames(tmp_path):
    """As versions before 0.3.0 wrote it."""
    write(tmp_path / "a.parquet", EVERYTHING, make_rows())
    older = pd.read_parquet(tmp_path / "a.parquet").drop(columns=list(FRAME_SIZE))
    older.to_parquet(tmp_path / "older.parquet")
    command = ["convert", str(tmp_path / "older.parquet"), "-o", str(tmp_path / "b.csv")]
    result = CliRunner().invoke(app, [*command, "--format", "openface"])
    assert result.exit_code == 0
    assert (
        "Left out of the columns of OpenFace: eye_lmk_*, pose_T*, X_* Y_* Z_*, p_*, AU01, AU02, "
        "AU04, AU05, AU07, AU09, AU10, AU14, AU15, AU17, AU20, AU23, AU25, AU26, AU45, AU28; to "
        "have pose_T*, X_* Y_* Z_*, run `aucli analyze --format openface` on the video (in Python: "
        "openface=True).\n"
    ) in result.stderr
    names = pd.read_csv(tmp_path / "b.csv").columns
    assert "pose_Rx" in names and not {*PLACE, *POINTS} & {*names}


def test_columns_of_others_come_along(tmp_path):
    write(tmp_path / "a.parquet", EVERYTHING, make_rows())
    frame = pd.read_parquet(tmp_path / "a.parquet")
    frame = frame.assign(condition=["rest", None, "task"], good=[True, None, False], rate=[1, 2, 3])
    frame["day"] = pd.to_datetime(["2024-05-01", None, "2024-05-02"])
    frame.to_parquet(tmp_path / "b.parquet")
    assert convert([tmp_path / "b.parquet"], tmp_path / "b.csv", "openface")[0] == 3
    found = pd.read_csv(tmp_path / "b.csv")
    assert found["condition"].tolist()[::2] == ["rest", "task"]
    assert found["day"].isna().tolist() == [False, True, False]
    assert found["rate"].tolist() == [1, 2, 3] and found["good"].tolist() == [1, 0, 0]


def test_a_table_of_several_videos_is_refused(tmp_path):
    for name in ("a", "b"):
        with TableWriter(tmp_path / f"{name}.parquet", EVERYTHING.schema()) as writer:
            writer.write(to_record_batch(EVERYTHING, name, make_rows()))
    with pytest.raises(DataError, match=r"o\.csv: the OpenFace layout has no column that tells 2"):
        convert([tmp_path / "a.parquet", tmp_path / "b.parquet"], tmp_path / "o.csv", "openface")


def test_a_file_of_openface_goes_through(tmp_path):
    """It has AU28_c without AU28_r, and groups that aucli does not write."""
    numbers = np.random.default_rng(0).uniform(0.1, 0.9, (3, len(OPENFACE))).round(1)
    given = pd.DataFrame(numbers, columns=OPENFACE)  # pyright: ignore
    given["frame"], given["face_id"], given["success"] = [1, 2, 3], 0, [1, 1, 0]
    given[list(PLACE)] = [[-150, 80, 600], [200, 0, 500], [0, 0, 0]]
    given[[name for name in OPENFACE if name.endswith("_c")]] = 1
    eyes = given[list(GAZE[:6])].to_numpy() * ([1, 1, -1] * 2)
    given[list(GAZE)] = np.hstack([eyes, gaze_angles(eyes.reshape(-1, 2, 3))])
    given.iloc[2, 5:] = given.loc[2, "confidence"] = 0
    given.to_csv(tmp_path / "a.csv", index=False)
    assert convert([tmp_path / "a.csv"], tmp_path / "b.csv", "openface") == (3, "")
    found = pd.read_csv(tmp_path / "b.csv")
    assert set(found) == set(OPENFACE)
    np.testing.assert_allclose(found[OPENFACE], given, atol=2e-4)


def test_each_row_has_the_camera_of_its_own_frame():
    landmarks = np.tile((MEAN_SHAPE[:, :2] * (20, -20) + (320, 240))[None], (2, 1, 1))
    pose, size = np.zeros((2, 3)), np.array([[640, 480], [1280, 960]])
    place, _ = head_in_space(landmarks * [[[1]], [[2]]], pose, size)
    np.testing.assert_allclose(place[0], place[1], atol=1e-9)
    # 20 px for a centimetre at a focal length of 500 px: 250 mm, of which the eyes are a part.
    assert place[0, 2] == pytest.approx(250, rel=0.1)
    np.testing.assert_allclose(focal_length(np.array([[640, 480], [1920, 1080]])), [500, 1312.5])


def test_heads_are_found_where_they_are():
    """Mean faces before the camera, all over its field of view."""
    rng = np.random.default_rng(0)
    far = rng.uniform(350, 1000, 500)
    true = np.stack(
        [rng.uniform(-0.5, 0.5, 500) * far, rng.uniform(-0.35, 0.35, 500) * far, far], 1
    )
    angles = rng.uniform((-0.5, -1, -0.4), (0.5, 1, 0.4), (500, 3))
    turn = np.array([openface_rotation(each) for each in angles])
    flip = np.array([10.0, -10.0, -10.0])
    points = flip * (MEAN_SHAPE - MEAN_SHAPE.mean(0)) @ turn.transpose(0, 2, 1) + true[:, None]
    landmarks = 500 * points[..., :2] / points[..., 2:] + (320, 240)
    pose = head_pose(landmarks)
    place, found = head_in_space(landmarks, pose, np.tile((640, 480), (500, 1)))
    assert np.percentile(np.linalg.norm(place - true, axis=1), 95) < 20
    assert np.percentile(np.linalg.norm(found - points, axis=2), 95) < 20
    # A tangent of the angle to the camera's axis is up to 0.6; without it 18 degrees are usual.
    off = np.abs(to_openface(pose, place) - angles)
    assert np.degrees(np.percentile(off, 95)) < 7
    assert np.degrees(np.median(np.abs(to_openface(pose) - angles))) > 7


def test_who_looks_into_the_camera_looks_back_at_it_from_the_border():
    place = np.array([[500.0, 0, 500], [0, -250, 433], [0, 0, 600], [300, 200, 700]])
    found = gaze_to_openface(np.tile([0.0, 0, -1], (4, 2)), place)
    to_camera = -place / np.linalg.norm(place, axis=1, keepdims=True)
    np.testing.assert_allclose(found[:, :6], np.tile(to_camera, 2), atol=1e-9)
    angles = np.degrees(found[:3, 6:])
    np.testing.assert_allclose(angles, [[-45, 0], [0, 30], [0, 0]], atol=0.01)
    np.testing.assert_allclose(gaze_to_openface(np.zeros((4, 6)), place), 0)  # not known


def test_an_analyzer_of_this_layout(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", [ONE, NONE])
    (done,) = tiny_analyzer(openface=True).tables(clip, tmp_path / "out", format="openface")
    assert done.ok and "X_0" in pd.read_csv(tmp_path / "out" / "clip.csv")
    assert "gaze_0_x" not in pd.read_csv(tmp_path / "out" / "clip.csv")
    frame = tiny_analyzer(openface=True).frame(clip)
    assert {"AU12_c", "frame_w", "x_0"} <= {*frame.columns}
    assert frame[["frame_w", "frame_h"]].to_numpy().tolist() == [[WIDTH, HEIGHT]] * 2


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
    assert to_openface(np.array([ours]))[0] == pytest.approx(expected, abs=1e-6)


def test_head_pose_is_the_same_rotation_in_other_axes():
    pose = np.random.default_rng(2).uniform(-0.9, 0.9, (20, 3))
    axes = np.diag([1.0, -1.0, -1.0])
    for ours, theirs in zip(pose, to_openface(pose), strict=True):
        expected = axes @ angles_to_rotation(ours[None])[0] @ axes
        np.testing.assert_allclose(openface_rotation(theirs), expected, atol=1e-6)
