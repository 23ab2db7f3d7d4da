"""Every tool's table becomes the same rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aucli.errors import DataError
from aucli.evaluation.tables import read_labels, read_predictions, read_rows
from aucli.evaluation.tools import guess_tool

NAN = float("nan")

# Frame 2 has no face: OpenFace writes zeros there, py-feat empty cells, LibreFace no row.
OPENFACE = """frame, face_id, timestamp, confidence, success, AU01_r, AU12_r, AU12_c
1, 0, 0.000, 0.98, 1, 0.10, 2.50, 1.00
2, 0, 0.040, 0.02, 0, 0.00, 0.00, 0.00
3, 0, 0.080, 0.97, 1, 0.30, 3.50, 1.00
"""
PY_FEAT = """,frame,FaceRectX,FaceScore,x_0,AU01,AU12,anger,approx_time,input
0,0,100,0.99,1,0.1,0.5,0.2,00:00,/data/clips/smile.mp4
1,1,,,,,,,00:00,/data/clips/smile.mp4
2,2,100,0.99,1,0.3,0.7,0.2,00:00,/data/clips/smile.mp4
"""
LIBREFACE = """frame_idx,frame_time_in_ms,pitch,au_1,au_1_intensity,au_12_intensity
0,0.0,1.5,0,0.1,2.5
2,0.08,1.5,0,0.3,3.5
"""
AUCLI = """video,frame,timestamp,face_id,success,confidence,AU01_r,AU12_r,AU12_L
smile.mp4,1,0.0,0,1,0.98,0.1,2.5,2.4
smile.mp4,2,0.04,,0,,,,
smile.mp4,3,0.08,0,1,0.97,0.3,3.5,3.4
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("tool", "text", "au12", "times"),
    [
        ("openface", OPENFACE, [2.5, NAN, 3.5], [0, 0.04, 0.08]),
        ("py-feat", PY_FEAT, [0.5, NAN, 0.7], [NAN] * 3),
        ("libreface", LIBREFACE, [2.5, 3.5], [0, 0.08]),
        ("aucli", AUCLI, [2.5, NAN, 3.5], [0, 0.04, 0.08]),
    ],
)
def test_each_tool(
    tmp_path: Path, tool: str, text: str, au12: list[float], times: list[float]
) -> None:
    path = write(tmp_path / "smile.csv", text)
    for chosen in (tool, None):
        found = read_predictions(path, chosen)
        assert found.tool == tool
        assert found.unit == ("probability" if tool == "py-feat" else "intensity")
        assert found.aus == ("AU01", "AU12")
        table = found.table
        assert list(table.columns) == [
            "video", "frame_index", "pts_seconds", "success", "AU01", "AU12",
        ]  # fmt: skip
        assert set(table["video"]) == {"smile"}
        assert table["frame_index"].tolist() == ([0, 2] if tool == "libreface" else [0, 1, 2])
        np.testing.assert_array_equal(table["AU12"], au12)
        np.testing.assert_array_equal(table["pts_seconds"], times)
        assert table["success"].tolist() == [not np.isnan(value) for value in au12]


def test_our_table_in_every_format(tmp_path: Path) -> None:
    csv = read_predictions(write(tmp_path / "a.csv", AUCLI)).table
    rows = pd.read_csv(tmp_path / "a.csv").astype({"success": bool})
    rows.to_parquet(tmp_path / "a.parquet")
    rows.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    for name in ("a.parquet", "a.jsonl"):
        pd.testing.assert_frame_equal(read_predictions(tmp_path / name).table, csv)


def test_libreface_milliseconds_that_are_milliseconds(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", LIBREFACE.replace("2,0.08", "2,80.0"))
    assert read_predictions(path).table["pts_seconds"].tolist() == [0, 0.08]


def test_the_surest_face_of_a_frame_is_kept_and_the_frame_counted(tmp_path: Path) -> None:
    more = "2,1,0.04,0.90,1,0.0,1.0,1\n3,1,0.08,0.99,1,0.0,5.0,1\n"
    found = read_predictions(write(tmp_path / "a.csv", OPENFACE + more))
    assert found.table["AU12"].tolist() == [2.5, 1.0, 5.0]
    assert found.several_faces == 1  # frame 3; frame 2 has one face and one failed row


def test_folder_of_tables(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    write(tmp_path / "SN001.csv", OPENFACE)
    write(tmp_path / "b" / "SN002.csv", OPENFACE)
    write(tmp_path / "SN001_of_details.txt", "Input: SN001.avi")
    assert set(read_predictions(tmp_path).table["video"]) == {"SN001", "SN002"}
    write(tmp_path / "b" / "SN001.csv", OPENFACE)
    found = read_predictions(tmp_path).table
    assert set(found["video"]) == {"SN001", "b/SN001", "SN002"}


@pytest.mark.parametrize(
    ("name", "text", "tool", "message"),
    [
        (
            "a.csv",
            "",
            None,
            r"a\.csv cannot be read as a table \(No columns .*\); check the file\.$",
        ),
        (
            "a.csv",
            "frame,AU12\n1,2\n",
            None,
            r"a\.csv has no columns of a tool that aucli knows",
        ),
        ("a.csv", "frame,x\n1,2\n", "openface", r"a\.csv has no column such as AU12_r; check"),
        ("a.csv", "AU12_r,success\n1,1\n", None, r"a\.csv has no column frame; check"),
        (
            "a.csv",
            OPENFACE.replace("3.50", "much"),
            None,
            r"a\.csv, line 4: AU12_r is much, which is no number; correct the table\.$",
        ),
        (
            "a.csv",
            OPENFACE.replace("\n1, ", "\n0, "),
            None,
            r"a\.csv, line 2: frame is 0, which is no frame number from 1; correct the table\.$",
        ),
        ("a.txt", OPENFACE, None, r"a\.txt is no table; give one that ends in \.csv, "),
        ("a.parquet", OPENFACE, None, r"a\.parquet cannot be read as a table "),
    ],
)
def test_mistakes_are_one_sentence(
    tmp_path: Path, name: str, text: str, tool: str | None, message: str
) -> None:
    with pytest.raises(DataError, match=message) as error:
        read_predictions(write(tmp_path / name, text), tool)
    assert "\n" not in str(error.value)


def test_missing_file_and_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.csv does not exist; check the name\.$"):
        read_predictions(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match=r"holds no table \(\.csv, \.parquet, \.jsonl\)"):
        read_predictions(tmp_path)


def test_columns_of_two_tools_are_not_guessed() -> None:
    assert guess_tool(["frame", "AU12"]) is None
    assert guess_tool(["frame", "success", "AU12_r"]) == "openface"
    assert guess_tool(["video", "frame", "AU12_r"]) == "aucli"


def test_plain_labels(tmp_path: Path) -> None:
    text = "frame,timestamp,AU01,AU12_r\n1,0,0,9\n2,.04,,5\n"
    labels = read_labels(write(tmp_path / "a.csv", text))
    assert list(labels.columns) == [
        "subject", "video", "frame_index", "pts_seconds", "AU01", "AU12",
    ]  # fmt: skip
    assert labels[["subject", "video"]].to_numpy().tolist() == [["a", "a"]] * 2
    assert labels["frame_index"].tolist() == [0, 1]
    np.testing.assert_array_equal(labels[["AU01", "AU12"]], [[0, NAN], [NAN, 5]])

    text = "subject,video,frame_index,AU12\nSN1,x,0,1\nSN1,y,0,2\n"
    labels = read_labels(write(tmp_path / "b.csv", text))
    assert labels["subject"].tolist() == ["SN1", "SN1"]
    assert labels["video"].tolist() == ["x", "y"]

    labels = read_labels(write(tmp_path / "c.csv", "timestamp,AU12\n0.0,1\n0.04,2\n"))
    assert labels["frame_index"].tolist() == [-1, -1]
    assert labels["pts_seconds"].tolist() == [0, 0.04]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frame,AU12\n1,0\n2,7\n", r", line 3: AU12 is 7, which is not 0-5 or 9 \(unscorable\);"),
        ("frame,AU12\n1,0\n1,2\n", r" labels frame 1 of a more than once; keep one row a frame\.$"),
        ("AU12\n1\n", r"a\.csv has no column frame and no timestamp; check the file"),
    ],
)
def test_wrong_labels(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_labels(write(tmp_path / "a.csv", text))


OPENFACE3_LIST = """frame_index\ttimestamp\tface_id\tface_detection\taction_units
0\t1.7e9\t0\t[10.0, 20.0, 110.0, 140.0, 0.99, 1, 2]\t[[0.1, 0.2, 0, 4e-1, 0.5, 0.6, 0.7, 0.8]]
1\t1762000000.2\t0\tNone\tNone
2\t1762000000.3\t0\t[11.0, 20.0, 111.0, 140.0, 0.98]\t[[0, 0, 0, 0, 0, 1, 0, 0]]
"""
OPENFACE3_COLUMNS = """frame_idx,timestamp,AU_00,AU_01,AU_02,AU_03,AU_04,AU_05,AU_06,AU_07
0,2026-01-01T10:00:00,0.1,0.2,0,0.4,0.5,0.6,0.7,0.8
2,2026-01-01T10:00:01,0,0,0,0,0,1,0,0
"""


@pytest.mark.parametrize(
    ("name", "text", "faces"), [("a.tsv", OPENFACE3_LIST, 3), ("a.csv", OPENFACE3_COLUMNS, 2)]
)
def test_openface_3_has_eight_aus_in_disfas_order(
    tmp_path: Path, name: str, text: str, faces: int
) -> None:
    found = read_predictions(write(tmp_path / name, text))
    assert (found.tool, found.unit, found.unused) == (
        "openface3", "probability", ("timestamp",) if faces == 2 else ("timestamp", "face_id")
    )  # fmt: skip
    assert found.aus == ("AU01", "AU02", "AU04", "AU06", "AU09", "AU12", "AU25", "AU26")
    table = found.table
    assert len(table) == faces
    assert table["frame_index"].tolist() == ([0, 1, 2] if faces == 3 else [0, 2])
    assert table["AU12"].dropna().tolist() == [0.6, 1.0]
    assert table["AU26"].dropna().tolist() == [0.8, 0.0]
    assert np.isnan(table["pts_seconds"].to_numpy()).all()


def test_openface_3_box_is_read_with_the_faces(tmp_path: Path) -> None:
    rows, _ = read_rows(write(tmp_path / "a.tsv", OPENFACE3_LIST), "a", "openface3", faces=True)
    assert rows[["x0", "y0", "x1", "y1"]].iloc[0].tolist() == [10, 20, 110, 140]
    assert rows["score"].iloc[0] == 0.99 and rows["x0"].isna().tolist() == [False, True, False]


def test_openface_3_list_must_have_eight_values(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", 'frame_index,action_units\n0,"[0.1, 0.2]"\n')
    with pytest.raises(DataError) as error:
        read_predictions(file)
    assert str(error.value) == (
        f"{file}, line 2: action_units is [0.1, 0.2], which holds no 8 numbers; correct the table."
    )


def test_boxes_and_faces_of_each_tool(tmp_path: Path) -> None:
    text = (
        "frame,FaceRectX,FaceRectY,FaceRectWidth,FaceRectHeight,FaceScore,AU12\n0,1,2,10,20,.9,.5\n"
    )
    rows, _ = read_rows(write(tmp_path / "p.csv", text), "p", "py-feat", faces=True)
    assert rows[["x0", "y0", "x1", "y1"]].iloc[0].tolist() == [1, 2, 11, 22]
    names = [f"{axis}_{i}" for axis in "xy" for i in range(68)]
    text = f"frame,face_id,timestamp,success,AU12_r,{','.join(names)}\n"
    text += f"1,3,0.0,1,2.0,{','.join(str(100 + i) for i in range(136))}\n"
    rows, _ = read_rows(write(tmp_path / "o.csv", text), "o", "openface", faces=True)
    assert rows["face_id"].tolist() == [3]
    assert rows[["x0", "x1"]].iloc[0].tolist() == [100, 167]
    rows, _ = read_rows(write(tmp_path / "l.csv", LIBREFACE), "l", "libreface", faces=True)
    assert np.isnan(rows[["x0", "face_id"]].to_numpy()).all()
