"""The table writer: schema, the formats, and that nothing half-written is ever seen."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from aucli import files
from aucli.errors import OutputError
from aucli.files import OutputExists
from aucli.table import writer as table_files
from aucli.table.schema import PRESENCE_THRESHOLD, Columns, Rows, to_record_batch
from aucli.table.writer import TableWriter

AUS = ("AU06", "AU12")
EVERYTHING = Columns(AUS, sides=True, places=True, presence=True, gaze=True, landmarks=True)
BASE = ["video", "frame", "timestamp", "face_id", "success", "confidence", "quality",
        "face_x", "face_y", "face_w", "face_h", "pose_Rx", "pose_Ry", "pose_Rz"]  # fmt: skip


def make_rows(count: int = 3, start: int = 0) -> Rows:
    """Rows of one face; every second frame has none."""
    index = np.arange(start, start + count)
    face = index % 2 == 0

    def floats(*shape: int) -> np.ndarray:
        values = np.arange(count * int(np.prod(shape)), dtype=np.float32).reshape(count, *shape)
        values[~face] = np.nan
        return values / 8

    return Rows(
        frame_index=index,
        pts_seconds=index / 25,
        face_id=np.where(face, 0, -1).astype(np.int32),
        success=face,
        confidence=np.where(face, 0.98765, np.nan).astype(np.float32),
        bbox_xyxy_px=np.where(face[:, None], [10, 20, 110, 170], np.nan).astype(np.float32),
        pose_radians=floats(3) / 10,
        landmarks=floats(68, 2),
        intensities=floats(2),
        sides=floats(2, 2),
        places=floats(2, 2, 2),
        quality=np.tile([True, False, False, True, False, False], (count, 1)),
        gaze=floats(2, 3) / 100,
        frame_size_wh=np.tile(np.array([640, 480], np.int32), (count, 1)),
    )


def write(target: Path | None, columns: Columns, rows: Rows, table_format: str = "parquet") -> None:
    with TableWriter(target, columns.schema(), table_format) as writer:
        writer.write(to_record_batch(columns, "a.mp4", rows))


def test_columns_come_in_the_documented_order():
    assert Columns(AUS).schema().names == [*BASE, "AU06_r", "AU12_r"]
    names = EVERYTHING.schema().names
    assert names[:-134] == [
        *BASE, "AU06_r", "AU12_r", "AU06_L", "AU06_R", "AU12_L", "AU12_R",
        "AU06_x", "AU06_y", "AU12_x", "AU12_y",
        "AU06_L_x", "AU06_L_y", "AU06_R_x", "AU06_R_y",
        "AU12_L_x", "AU12_L_y", "AU12_R_x", "AU12_R_y", "AU06_c", "AU12_c",
        "gaze_0_x", "gaze_0_y", "gaze_0_z", "gaze_1_x", "gaze_1_y", "gaze_1_z",
        "gaze_angle_x", "gaze_angle_y", "frame_w", "frame_h", "x_0", "x_1",
    ]  # fmt: skip
    assert names[-2:] == ["y_66", "y_67"]


def test_every_group_holds_its_values():
    rows = make_rows()
    frame = to_record_batch(EVERYTHING, "a.mp4", rows).to_pandas()
    assert frame["frame"].tolist() == [1, 2, 3]
    assert frame.loc[2, ["face_x", "face_y", "face_w", "face_h"]].tolist() == [10, 20, 100, 150]
    assert frame.loc[2, ["AU06_r", "AU12_r"]].tolist() == [0.5, 0.625]
    assert frame.loc[2, "AU12_R"] == rows.sides[2, 1, 1]
    assert frame.loc[2, "AU12_x"] == rows.places[2, 1, 1, 0]  # R is the stronger side
    assert frame.loc[2, ["AU12_L_x", "AU12_L_y"]].tolist() == rows.places[2, 1, 0].tolist()
    assert frame.loc[2, ["AU12_R_x", "AU12_R_y"]].tolist() == rows.places[2, 1, 1].tolist()
    assert frame.loc[2, "x_67"] == rows.landmarks[2, 67, 0]
    assert frame.loc[2, "y_0"] == rows.landmarks[2, 0, 1]


def test_places_of_sides_that_the_model_does_not_tell():
    rows = make_rows(1)
    rows.sides[0] = [[np.nan, np.nan], [3.0, 2.0]]
    columns = Columns(AUS, sides=True, places=True)
    row = to_record_batch(columns, "a.mp4", rows).to_pylist()[0]
    assert [row[f"AU06_{side}_{axis}"] for side in "LR" for axis in "xy"] == [None] * 4
    assert row["AU06_x"] == rows.places[0, 0, 0, 0]
    assert row["AU12_x"] == row["AU12_L_x"] == rows.places[0, 1, 0, 0]


def test_presence_is_the_thresholded_intensity():
    rows = make_rows(1)
    rows.intensities[0] = [0.999, PRESENCE_THRESHOLD]
    frame = to_record_batch(Columns(AUS, presence=True), "a.mp4", rows).to_pandas()
    assert frame.loc[0, ["AU06_c", "AU12_c"]].tolist() == [0, 1]


def test_a_frame_without_a_face_is_null_where_nothing_was_measured():
    row = to_record_batch(EVERYTHING, "a.mp4", make_rows()).to_pylist()[1]
    known = {name: value for name, value in row.items() if value is not None}
    assert known == {
        "video": "a.mp4", "frame": 2, "timestamp": 0.04, "success": False,
        "frame_w": 640, "frame_h": 480,
    }  # fmt: skip


def test_quality_is_said_in_words_where_there_is_a_face():
    rows = make_rows(5)
    rows.quality[2] = False  # pyright: ignore
    batch = to_record_batch(Columns(AUS), "a.mp4", rows)
    assert batch["quality"].to_pylist() == ["small dark", None, "", None, "small dark"]


def test_pictures_of_a_folder_have_no_time():
    rows = make_rows()
    rows.pts_seconds[:] = np.nan
    batch = to_record_batch(Columns(AUS), "folder", rows)
    assert batch["timestamp"].to_pylist() == [None, None, None]


def test_parquet_round_trip_keeps_rows_and_provenance(tmp_path):
    target = tmp_path / "deep" / "a.parquet"
    columns = Columns(AUS, landmarks=True)
    with TableWriter(target, columns.schema()) as writer:
        for start in (0, 4):
            writer.write(to_record_batch(columns, "a.mp4", make_rows(4, start)))
        writer.provenance = {"frames": 8, "model": {"name": "m"}}
    read = pq.read_table(target)
    assert read.schema.equals(columns.schema())
    assert read["frame"].to_pylist() == list(range(1, 9))
    assert table_files.read_provenance(target) == {"frames": 8, "model": {"name": "m"}}
    assert pq.read_metadata(target).row_group(0).column(0).compression == "ZSTD"
    assert pq.read_metadata(target).num_row_groups == 1
    assert os.listdir(target.parent) == ["a.parquet"]


def test_long_tables_are_written_in_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(table_files, "ROW_GROUP_ROWS", 8)
    columns = Columns(AUS)
    with TableWriter(tmp_path / "a.parquet", columns.schema()) as writer:
        for start in range(0, 20, 4):
            writer.write(to_record_batch(columns, "a.mp4", make_rows(4, start)))
    metadata = pq.read_metadata(tmp_path / "a.parquet")
    assert [metadata.row_group(g).num_rows for g in range(3)] == [8, 8, 4]


def test_csv_is_rounded_and_reads_like_an_openface_file(tmp_path):
    write(tmp_path / "a.csv", Columns(AUS), make_rows(), "csv")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == ",".join([*BASE, "AU06_r", "AU12_r"])
    assert lines[2] == '"a.mp4",2,0.04,,0,' + "," * 10
    frame = pd.read_csv(tmp_path / "a.csv")
    assert frame["success"].tolist() == [1, 0, 1]
    assert frame["confidence"].tolist()[0] == 0.988
    assert frame["AU12_r"].tolist()[2] == 0.625
    assert len(frame[(frame["success"] == 1) & (frame["confidence"] > 0.8)]) == 2


def test_csv_has_no_negative_zero(tmp_path):
    rows = make_rows(1)
    rows.pose_radians[0] = -1e-9
    write(tmp_path / "a.csv", Columns(AUS), rows, "csv")
    assert "-0" not in (tmp_path / "a.csv").read_text()


def test_json_lines_round_trip(tmp_path):
    rows = make_rows()
    rows.intensities[0] = [0.1, 4.9]
    write(tmp_path / "a.jsonl", Columns(AUS), rows, "jsonl")
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert list(lines[0]) == Columns(AUS).schema().names
    assert (lines[0]["AU06_r"], lines[0]["AU12_r"], lines[0]["success"]) == (0.1, 4.9, True)
    assert lines[1]["AU06_r"] is None


@pytest.mark.parametrize("table_format", table_files.FORMATS)
def test_no_rows_still_make_a_table(tmp_path, table_format):
    target = tmp_path / f"a.{table_format}"
    with TableWriter(target, EVERYTHING.schema(), table_format):
        pass
    assert target.exists()
    if table_format == "parquet":
        assert pq.read_table(target).num_rows == 0


@pytest.mark.parametrize("table_format", table_files.FORMATS)
def test_standard_output_carries_the_same_bytes_as_a_file(tmp_path, monkeypatch, table_format):
    class Pipe:
        buffer = io.BytesIO()

    monkeypatch.setattr("sys.stdout", Pipe)
    Pipe.buffer = io.BytesIO()
    write(None, EVERYTHING, make_rows(), table_format)
    monkeypatch.undo()
    write(tmp_path / "a", EVERYTHING, make_rows(), table_format)
    assert Pipe.buffer.getvalue() == (tmp_path / "a").read_bytes()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("table_format", table_files.FORMATS)
def test_a_failure_leaves_nothing_behind(tmp_path, table_format, error):
    with (
        pytest.raises(error),
        TableWriter(tmp_path / "a", EVERYTHING.schema(), table_format) as writer,
    ):
        writer.write(to_record_batch(EVERYTHING, "a.mp4", make_rows()))
        raise error
    assert os.listdir(tmp_path) == []


def test_an_existing_table_is_replaced_only_when_asked(tmp_path):
    target = tmp_path / "a.parquet"
    target.write_text("mine")
    with pytest.raises(OutputExists) as refused, TableWriter(target, Columns(AUS).schema()):
        pass
    assert (
        str(refused.value) == f"{target} exists already; --overwrite (overwrite=True) replaces it."
    )
    assert target.read_text() == "mine"
    with TableWriter(target, Columns(AUS).schema(), overwrite=True):
        assert target.read_text() == "mine"  # until the last row is written
    assert pq.read_table(target).num_rows == 0
    assert os.listdir(tmp_path) == ["a.parquet"]


def test_a_table_that_appears_meanwhile_is_kept(tmp_path):
    target = tmp_path / "a.parquet"
    with pytest.raises(OutputExists), TableWriter(target, Columns(AUS).schema()):
        target.write_text("mine")
    assert target.read_text() == "mine"
    assert os.listdir(tmp_path) == ["a.parquet"]


def test_a_folder_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "a.csv"
    with pytest.raises(OutputError) as refused, TableWriter(target, Columns(AUS).schema(), "csv"):
        pass
    assert str(refused.value) in (
        f"Cannot write {target}: Not a directory; choose another place.",
        f"Cannot write {target}: File exists; choose another place.",
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("table_format", table_files.FORMATS)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch, table_format):
    real_open = files._open_part

    def full(path: Path) -> tuple[Path, io.BufferedWriter]:
        part, stream = real_open(path)
        stream.close()
        return part, open("/dev/full", "wb")

    monkeypatch.setattr(files, "_open_part", full)
    target = tmp_path / "a"
    with pytest.raises(OutputError) as refused:
        write(target, EVERYTHING, make_rows(), table_format)
    assert str(refused.value) == (
        f"Cannot write {target}: No space left on device; free some space or choose another folder."
    )
    assert os.listdir(tmp_path) == []


def test_an_unknown_format_is_a_bug():
    with pytest.raises(ValueError, match="table_format must be one of"):
        TableWriter(None, Columns(AUS).schema(), "xlsx")
