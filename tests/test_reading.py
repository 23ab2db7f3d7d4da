"""Tables read back: every format gives the rows and the types of Parquet."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_table import EVERYTHING, make_rows

from aucli.errors import DataError
from aucli.table.openface import PLACE, POINTS, from_openface, to_openface
from aucli.table.reading import au_names, each_face, read_table
from aucli.table.schema import FRAME_SIZE, POSE, Columns, Rows, to_record_batch
from aucli.table.writer import FORMATS, TableWriter

SUFFIX = {"parquet": ".parquet", "csv": ".csv", "openface": ".csv", "jsonl": ".jsonl"}
BOX = ["face_x", "face_y", "face_w", "face_h"]  # not in the OpenFace layout
AUS = ("AU06", "AU12")
CALIBRATED = replace(EVERYTHING, raw=True)


def write(folder: Path, columns: Columns, table_format: str, rows: Rows | None = None) -> Path:
    """A table of the video ``a``; frames 1 and 3 have a face, 2 and 4 none."""
    rows = rows or make_rows(4)
    rows = replace(rows, raw_intensities=rows.intensities, raw_sides=rows.sides)
    target = folder / f"a{SUFFIX[table_format]}"
    with TableWriter(target, columns.schema(), table_format, overwrite=True) as writer:
        writer.write(to_record_batch(columns, "a", rows))
        writer.provenance = {"frames": len(rows)}
    return target


@pytest.mark.parametrize("table_format", FORMATS)
@pytest.mark.parametrize("columns", [EVERYTHING, CALIBRATED])
def test_every_format_gives_the_rows_of_parquet(tmp_path, table_format, columns):
    parquet = read_table(write(tmp_path, columns, "parquet"))
    found = read_table(write(tmp_path, columns, table_format))
    wanted = parquet
    if table_format == "openface":
        space = found[[*PLACE, *POINTS]].astype(np.float32)
        assert space.isna().to_numpy().all(axis=1).tolist() == [False, True, False, True]
        wanted = parquet.drop(columns=[*FRAME_SIZE]).join(space)
    assert list(found.columns) == list(wanted.columns)
    assert found.dtypes.to_dict() == wanted.dtypes.to_dict()
    assert found["success"].tolist() == [True, False, True, False]
    assert found["face_id"].isna().tolist() == [False, True, False, True]
    if table_format == "openface":
        wanted = wanted.assign(**dict.fromkeys(BOX, np.nan))
        wanted["quality"] = pd.Series(None, wanted.index, parquet["quality"].dtype)
    # Text has 1 to 6 decimals.
    pd.testing.assert_frame_equal(found, wanted, atol=0.006, rtol=0, check_dtype=False)


def test_a_table_without_quality_is_read_as_it_is(tmp_path):
    older = tmp_path / "older.csv"
    table = pd.read_csv(write(tmp_path, EVERYTHING, "csv"))
    table.drop(columns="quality").to_csv(older, index=False)
    found = read_table(older)
    assert "quality" not in found
    assert found["success"].tolist() == [True, False, True, False]


def test_provenance_comes_with_parquet_alone(tmp_path):
    found = {kind: read_table(write(tmp_path, EVERYTHING, kind)).attrs for kind in FORMATS}
    assert found.pop("parquet") == {"provenance": {"frames": 4}}
    assert found == {kind: {"provenance": {}} for kind in ("csv", "openface", "jsonl")}


@pytest.mark.parametrize("table_format", FORMATS)
def test_pictures_of_a_folder_have_no_time_but_frames(tmp_path, table_format):
    rows = replace(make_rows(3), pts_seconds=np.full(3, np.nan))
    found = read_table(write(tmp_path, EVERYTHING, table_format, rows))
    assert np.isnan(found["timestamp"].to_numpy()).all() and found["timestamp"].dtype == np.float64
    assert found["frame"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("table_format", FORMATS)
def test_a_table_without_a_face_keeps_its_types(tmp_path, table_format):
    rows = make_rows(2)
    parts = {name: getattr(rows, name) for name in Rows.__slots__}
    nothing = Rows(**{name: value[1:] for name, value in parts.items() if value is not None})
    found = read_table(write(tmp_path, EVERYTHING, table_format, nothing))
    assert found["success"].tolist() == [False] and np.isnan(found["AU12_r"].to_numpy()).all()
    assert (found["AU12_r"].dtype, found["face_id"].dtype) == (np.float32, pd.Int32Dtype())


def test_head_pose_gets_its_signs_back():
    pose = np.random.default_rng(0).uniform(-1.2, 1.2, (50, 3)).astype(np.float32)
    np.testing.assert_allclose(from_openface(to_openface(pose)), pose, atol=1e-5)
    place = np.random.default_rng(1).uniform((-300, -200, 300), (300, 200, 900), (50, 3))
    there = to_openface(pose, place)
    assert np.abs(there - to_openface(pose)).max() > 0.3
    np.testing.assert_allclose(from_openface(there, place), pose, atol=1e-5)


def test_a_file_of_openface_itself(tmp_path):
    """Spaces after the commas, columns that aucli does not write."""
    path = tmp_path / "a.csv"
    path.write_text(
        "frame, face_id, timestamp, confidence, success, gaze_0_x, pose_Tx, pose_Rx, pose_Ry, "
        "pose_Rz, AU12_r, AU12_c\n"
        "1, 0, 0.000, 0.98, 1, 0.1, 12.5, 0.1, 0.2, 0.3, 2.50, 1.00\n"
        "2, 0, 0.033, 0.00, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.00, 0.00\n"
    )
    found = read_table(path)
    assert found["success"].tolist() == [True, False]
    assert found["AU12_r"].tolist()[0] == 2.5 and found["AU12_r"].isna().tolist() == [False, True]
    assert found["AU12_c"].tolist() == [1, pd.NA] and found["pose_Tx"].tolist()[0] == 12.5
    assert found.loc[1, ["pose_Tx", "gaze_0_x"]].isna().all()
    assert found.loc[0, "pose_Rx"] > 0 and found.loc[1, [*POSE]].isna().all()
    assert found["video"].tolist() == ["a", "a"]


def test_a_data_frame_that_pandas_wrote(tmp_path):
    frame = read_table(write(tmp_path, EVERYTHING, "parquet"))
    frame[frame["success"]].to_parquet(tmp_path / "b.parquet")  # with an index that has a gap
    frame.to_csv(tmp_path / "b.csv", index=False)
    assert read_table(tmp_path / "b.parquet")["frame"].tolist() == [1, 3]
    assert read_table(tmp_path / "b.csv")["success"].tolist() == [True, False, True, False]


def test_videos_with_names_that_look_like_nothing(tmp_path):
    path = write(tmp_path, Columns(AUS), "csv")
    lines = path.read_text().replace("a,", "NA,").replace('"a",', '"NA",')
    path.write_text(lines)
    assert read_table(path)["video"].tolist() == ["NA"] * 4


def test_each_face_has_its_rows(tmp_path):
    found = list(each_face(read_table(write(tmp_path, EVERYTHING, "openface"))))
    assert [(video, face_id, list(rows["frame"])) for video, face_id, rows in found] == [
        ("a", 0, [1, 3])
    ]


def test_au_names_are_those_with_a_level():
    assert au_names(["frame", "AU06_r", "AU06_raw", "AU12_r", "AU12_L", "AU12_c"]) == AUS


HEAD = "video,frame,timestamp,face_id,success,AU12_r\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", "", "{} is no table of aucli; give a file that ends in .parquet, .csv or "
                       ".jsonl."),
        ("missing.csv", None, "{} is not there; check the name."),
        ("a.csv", "a,b\n1,2\n", "{} is no table of aucli: it has no column frame, timestamp, "
                                "face_id, success, AU.._r; give a file that aucli analyze wrote."),
        ("a.csv", HEAD.replace("AU12_r", "AU12"), "{} is no table of aucli: it has no column "
         "AU.._r; give a file that aucli analyze wrote."),
        ("a.csv", "", "{} cannot be read as a table (Empty CSV file); check the file."),
        ("a.csv", HEAD + "a,1,0,0,1,x\n", "{} cannot be read as a table (In CSV column #5: CSV "
         "conversion error to double: invalid value 'x'); check the file."),
        ("a.csv", HEAD + "a,1,0,0,,1\n", "{} has rows without a value of success; check the "
         "file."),
        ("a.jsonl", "", "{} cannot be read as a table (its first line is no row); check the "
         "file."),
        ("a.jsonl", "[1]\n", "{} cannot be read as a table (its first line is no row); check the "
         "file."),
        ("a.parquet", "no parquet", "{} cannot be read as a table (Parquet magic bytes not found "
         "in footer. Either the file is corrupted or this is not a parquet file); check the "
         "file."),
    ],
)  # fmt: skip
def test_what_is_no_table_gets_one_sentence(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError) as refused:
        read_table(path)
    assert str(refused.value) == message.format(path)


def test_bytes_that_are_no_text(tmp_path):
    for name in ("a.csv", "a.jsonl"):
        path = tmp_path / name
        path.write_bytes(bytes(range(128, 256)) * 40)
        with pytest.raises(DataError, match="cannot be read as a table"):
            read_table(path)


@pytest.mark.slow
def test_a_reader_that_ends_at_once_ends_well(tmp_path):
    """Threads of Arrow that still held our bytes aborted a third of such runs."""
    table = tmp_path / "a.csv"
    table.write_text("frame,FaceScore,AU01\n0,.9,.1\n")
    for _ in range(8):
        run = subprocess.run([sys.executable, "-m", "aucli", "methods", table], capture_output=True)
        assert run.returncode == 1, run.stderr
