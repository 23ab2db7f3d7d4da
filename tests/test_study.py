"""Tables as people: which files are tables, which rows are one person, what is refused."""

import json

import numpy as np
import pytest
from made_tables import made_rows, write_table

from aucli.errors import DataError
from aucli.pipeline.journal import JOURNAL
from aucli.report.study import find_tables, read_faces

nan = np.nan
ONE = {"aucli": "0", "options": {"faces": "largest"}}
ALL = {"aucli": "0", "options": {"faces": "all"}}


def test_a_face_is_on_all_frames_of_its_video(tmp_path):
    first = made_rows({"AU12": [1, 2]}, face_id=0, frames=[0, 1])
    second = made_rows({"AU12": [3, 4, nan]}, face_id=1, frames=[1, 2, 3])
    table = write_table(
        tmp_path / "a.parquet", [("a", first), ("a", second)], provenance=ALL, sides=True,
        places=True, landmarks=True,
    )  # fmt: skip
    one, two = read_faces(table)
    assert (one.face_id, two.face_id, one.one_person) == (0, 1, False)
    assert one.frames.tolist() == two.frames.tolist() == [1, 2, 3, 4]
    assert one.seconds.tolist() == [0, 0.1, 0.2, 0.3] and one.timed
    np.testing.assert_array_equal(one.of("AU12"), np.array([1, 2, nan, nan], np.float32))
    np.testing.assert_array_equal(two.of("AU12"), np.array([nan, 3, 4, nan], np.float32))
    assert two.success.tolist() == [False, True, True, False]
    assert two.face_ids.tolist() == [-1, 1, 1, -1]
    assert one.sides is not None and one.sides.shape == (4, 1, 2)
    assert one.places is not None and one.places[0, 0].tolist() == [7, 7]
    assert one.side_places is not None and one.side_places.shape == (4, 1, 2, 2)
    assert one.landmarks is not None and one.landmarks.shape == (4, 68, 2)
    assert one.boxes[0].tolist() == [10, 20, 100, 120] and np.isnan(one.boxes[3]).all()
    assert one.raw is None and one.provenance == ALL


@pytest.mark.parametrize(
    ("provenance", "faces"), [(ONE, [0]), ({"aucli": "0"}, [0]), (ALL, [0, 3])]
)
def test_one_face_kept_is_one_person(tmp_path, provenance, faces):
    rows = made_rows({"AU12": [1, 2, nan, 3]}, face_id=[0, 0, 0, 3])
    found = read_faces(write_table(tmp_path / "a.parquet", rows, provenance=provenance))
    assert [face.face_id for face in found] == faces
    assert sum(int(face.success.sum()) for face in found) == 3


def test_two_faces_in_a_frame_are_two_people_without_provenance(tmp_path):
    parts = [("a", made_rows({"AU12": [1.0]}, face_id=i)) for i in (0, 1)]
    found = read_faces(write_table(tmp_path / "a.parquet", parts, provenance={}))
    assert [face.face_id for face in found] == [0, 1]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_every_format_tells_the_same_and_how_it_came_to_be(tmp_path, suffix):
    rows = made_rows({"AU12": [1, nan]})
    (face,) = read_faces(write_table(tmp_path / f"a.{suffix}", rows, provenance=ONE))
    assert (face.video, face.provenance, face.notes) == ("a.mp4", ONE, ())
    np.testing.assert_array_equal(face.of("AU12"), np.array([1, nan], np.float32))


def test_openface_rows_without_a_face_are_no_zeros(tmp_path):
    rows = made_rows({"AU12": [1, nan]})
    table = write_table(
        tmp_path / "a.csv", rows, table_format="openface", presence=True, landmarks=True
    )
    (tmp_path / "a.csv.json").unlink()
    (face,) = read_faces(table)
    np.testing.assert_array_equal(face.of("AU12"), np.array([1, nan], np.float32))
    assert face.video == "a" and face.provenance == {}


def test_a_text_that_was_changed_tells_nothing_of_how_it_came_to_be(tmp_path):
    table = write_table(tmp_path / "a.csv", made_rows({"AU12": [1, 2]}), provenance=ONE)
    table.write_text(table.read_text().replace("0.9", "0.8"))
    (face,) = read_faces(table)
    assert face.provenance == {}
    assert face.notes == (
        f"The file beside {table} does not tell how it was made: it was changed after it was "
        "written.",
    )


def test_no_face_and_no_rows(tmp_path):
    (face,) = read_faces(write_table(tmp_path / "a.parquet", made_rows({"AU12": [nan, nan]})))
    assert face.face_id is None and len(face) == 2 and not face.success.any()
    empty = made_rows({"AU12": np.zeros(0).tolist()})
    assert read_faces(write_table(tmp_path / "b.csv", empty)) == []


def test_pictures_have_no_times(tmp_path):
    rows = made_rows({"AU12": [1, 2]}, times=[nan, nan])
    (face,) = read_faces(write_table(tmp_path / "a.parquet", rows))
    assert not face.timed
    (one,) = read_faces(write_table(tmp_path / "b.parquet", made_rows({"AU12": [1]})))
    assert not one.timed


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (made_rows({"AU12": [1, 2]}, frames=[0, 0]),
         "{} has a frame of a.mp4 twice; two videos of the same name need a table each."),
        (made_rows({"AU12": [1, 2]}, times=[0, nan]),
         "{} lacks the timestamp in some rows of a.mp4; fill it in."),
        (made_rows({"AU12": [1, 2]}, times=[1, 0]),
         "{} has timestamps that fall although the frames rise (a.mp4); correct them."),
    ],
)  # fmt: skip
def test_rows_that_no_video_has(tmp_path, rows, sentence):
    table = write_table(tmp_path / "a.parquet", rows)
    with pytest.raises(DataError) as refused:
        read_faces(table)
    assert str(refused.value) == sentence.format(table)


def test_tables_of_a_folder(tmp_path):
    rows = made_rows({"AU12": [1, 2]})
    tables = [write_table(tmp_path / name, rows) for name in ("a.csv", "b.jsonl", "sub/c.parquet")]
    (tmp_path / JOURNAL).write_text(json.dumps({"success": 1}) + "\n")
    (tmp_path / "study.csv").write_text("video,au,mean\na,AU12,1\n")
    (tmp_path / "log.jsonl").write_text('{"a": 1}\n')
    (tmp_path / ".hidden.csv").write_text("x\n")
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1 nothing")
    (tmp_path / "empty").mkdir()
    found = find_tables([tmp_path, tables[0], tmp_path / "empty"])
    assert found.tables == [tables[0], tables[1], damaged, tables[2]]
    assert found.passed_over == [tmp_path / "log.jsonl", tmp_path / "study.csv"]
    assert found.problems == {
        str(tmp_path / "empty"): f"{tmp_path / 'empty'} holds no table; name the folder that aucli "
        "analyze wrote into."
    }
