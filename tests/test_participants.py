"""Participants files: which row is whose video, and the neutral face that is subtracted."""

import numpy as np
import pytest
from made_tables import made_rows, write_table

from aucli.errors import DataError
from aucli.report.cohort import Cohort
from aucli.report.participants import Participants

nan = np.nan


def people(folder, text, name="participants.tsv") -> Participants:
    path = folder / name
    path.write_text(text.replace("|", "\t"))
    return Participants(path)


def test_ids_are_words_of_the_name_or_the_folder(tmp_path):
    found = people(tmp_path, "participant_id|group|age\nsub-01|a|31\nsub-011|b|n/a\n")
    where = tmp_path / "x.parquet"

    def who(video, table=where):
        person = found.find(video, table, 0)
        return person and (person.participant, person.groups["group"])

    assert who("sub-01/smile.mp4") == ("sub-01", "a") == who("SUB-01_smile.mp4")
    assert who("sub-011_smile.mp4") == ("sub-011", "b")
    assert who("sub-0112_smile.mp4") is None
    assert who("smile.mp4", tmp_path / "sub-01" / "smile.parquet") == ("sub-01", "a")
    assert found.groups == ("group", "age")
    assert found.people[0].groups["age"] == 31 and np.isnan(found.people[1].groups["age"])


def test_videos_are_named_with_or_without_folder_and_suffix(tmp_path):
    found = people(
        tmp_path, "Participant;Video;code\nA;P01\\Clip.mp4;007\nB;p02/clip;008\n", "people.csv"
    )
    names = [found.find(video, tmp_path / "t.csv", 0) for video in
             ("p01/clip.mp4", "p02/clip.mp4", "p03/clip.mp4")]  # fmt: skip
    assert [person and person.participant for person in names] == ["A", "B", None]
    assert found.people[0].groups == {"code": "007"}


def test_faces_of_one_video_are_different_people(tmp_path):
    found = people(tmp_path, "participant|video|face_id\nA|d.mp4|0\nB|d.mp4|1\n")
    who = [found.find("d.mp4", tmp_path / "d.csv", face) for face in (0, 1, 2)]
    assert [person and person.participant for person in who] == ["A", "B", None]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name|age\nA|3\n", "{} has no column participant or participant_id; add one."),
        ("participant|a|a\nA|1|2\n", "{} has the column a twice; keep one."),
        ("participant|video\n|a.mp4\n", "{}, line 2, names no participant; fill it in."),
        ("participant|b\nA|b|c\n", "{}, line 2, has more cells than the header; correct it."),
        ("participant|face_id\nA|x\n",
         "{}, line 2: face_id is x, no number from 0; correct it."),
        ("participant|neutral\nA|40-10\n", "{}, line 2: neutral '40-10' names no frame; frames "
         "count from 1, and a segment ends after it begins."),
        ("participant|neutral\nA|1\nA|2\n",
         "{}, line 3: A has another neutral '2'; give each participant one."),
        ("participant\n", "{} names no participant; add a row for each."),
    ],
)  # fmt: skip
def test_files_that_are_none(tmp_path, text, sentence):
    with pytest.raises(DataError) as refused:
        people(tmp_path, text)
    assert str(refused.value) == sentence.format(tmp_path / "participants.tsv")


def test_two_participants_for_one_video(tmp_path):
    found = people(tmp_path, "participant\nA\nB\n")
    with pytest.raises(DataError) as refused:
        found.find("A_B.mp4", tmp_path / "x.csv", 0)
    assert str(refused.value) == (
        f"A_B.mp4 fits the participants A and B of {found.path}; name the video, with its folder, "
        "in a column video, or the face in face_id."
    )


def study(folder, **videos) -> list:
    return [
        write_table(folder / f"{name}.parquet", rows, sides=rows.sides.shape[1] > 0)
        for name, rows in videos.items()
    ]


def levels(cohort: Cohort) -> dict[str, list[float]]:
    return {m.face.video: m.face.of("AU12").round(3).tolist() for m in cohort.members()}


def test_one_neutral_is_subtracted_from_all_videos_of_the_person(tmp_path):
    tables = study(
        tmp_path,
        a_talk=made_rows({"AU12": [1, 2, 0.5, 5]}, sides=[[2, 0], [2, 2], [1, 0], [5, 5]]),
        a_rest=made_rows({"AU12": [0.5]}, sides=[[1, 0]]),
        b_talk=made_rows({"AU12": [1, 2]}),
    )
    cohort = Cohort(tables, people(tmp_path, "participant|neutral\na|a_rest.mp4\nb|n/a\n"))
    found = {member.face.video: member for member in cohort.members()}
    assert levels(cohort) == {
        "a_talk.mp4": [0.5, 1.5, 0, 4.5], "a_rest.mp4": [0], "b_talk.mp4": [1, 2],
    }  # fmt: skip
    talk = found["a_talk.mp4"]
    assert talk.baseline == "neutral a_rest.mp4" and found["b_talk.mp4"].baseline == ""
    assert talk.face.sides is not None and talk.face.sides[0, 0].tolist() == [1, 0]
    assert talk.face.raw is not None and talk.face.raw[:, 0].tolist() == [1, 2, 0.5, 5]
    assert [*cohort.notes] == [
        "Participants without a neutral, whose intensities stay as they are in the tables: b."
    ]


@pytest.mark.parametrize("cell", ["2-3", "0.1-0.2s", "a.mp4 2-3", "a 0.1-0.2s"])
def test_segments_of_a_video(tmp_path, cell):
    tables = study(tmp_path, a=made_rows({"AU12": [3, 0.4, 0.6, 2]}))
    cohort = Cohort(tables, people(tmp_path, f"participant|video|neutral\nP|a.mp4|{cell}\n"))
    assert levels(cohort) == {"a.mp4": pytest.approx([2.5, 0, 0.1, 1.5])}


def test_a_baseline_of_the_table_is_taken_back_first(tmp_path):
    rows = made_rows({"AU12": [1, 2]})
    calibrated = made_rows({"AU12": [0, 1]})
    object.__setattr__(calibrated, "raw_intensities", rows.intensities)
    table = write_table(
        tmp_path / "a.parquet",
        calibrated,
        raw=True,
        provenance={"options": {"calibrate": "median"}},
    )
    (plain,) = Cohort([table]).members()
    assert plain.baseline == "median" and plain.face.of("AU12").tolist() == [0, 1]
    (member,) = Cohort([table], people(tmp_path, "participant|neutral\na|1\n")).members()
    assert member.face.of("AU12").tolist() == [0, 1] and member.baseline == "neutral a.mp4 1"


@pytest.mark.parametrize(
    ("neutral", "sentence"),
    [
        ("rest.jpg", "The neutral 'rest.jpg' of a is in no table; analyze it and name its table, "
                     "too. Name it as the column video does."),
        ("1", "The neutral '1' of a fits 2 videos ({0}: a_1.mp4, {1}: a_2.mp4 ...); name one "
              "before it, with its folder where names are the same."),
        ("a_1.mp4 2", "The neutral 'a_1.mp4 2' of a shows no face there; name frames with a "
                      "face."),
        ("two.mp4", "The neutral 'two.mp4' of a shows 2 faces; name a picture of one person."),
    ],
)  # fmt: skip
def test_neutrals_that_cannot_be(tmp_path, neutral, sentence):
    tables = study(tmp_path, a_1=made_rows({"AU12": [1, nan]}), a_2=made_rows({"AU12": [1, 2]}))
    two = [("two.mp4", made_rows({"AU12": [1.0]}, face_id=i)) for i in (0, 1)]
    tables.append(write_table(tmp_path / "two.parquet", two))
    cohort = Cohort(tables, people(tmp_path, f"participant|neutral\na|{neutral}\n"))
    with pytest.raises(DataError) as refused:
        list(cohort.members())
    assert str(refused.value) == sentence.format(*tables)


def test_what_is_told_of_the_tables(tmp_path):
    told = {
        "options": dict.fromkeys(("faces", "every", "start", "end", "fps", "calibrate"), None),
        "input": {"sha256": "1"},
        **{name: {"sha256": "2"} for name in ("model", "detector", "landmarks")},
    }
    rows = made_rows({"AU12": [1, 2]})
    first = write_table(tmp_path / "a.parquet", rows, provenance=told)
    again = write_table(tmp_path / "a.csv", rows, provenance=told)
    eight = told | {"options": told["options"] | {"precision": "int8"}}
    eight_bits = write_table(tmp_path / "8.csv", rows, provenance=eight)
    other_rest = write_table(tmp_path / "r.csv", rows, provenance=told | {"neutral_sha256": "3"})
    empty = write_table(tmp_path / "b.csv", made_rows({"AU12": np.zeros(0).tolist()}))
    bad = tmp_path / "c.parquet"
    bad.write_bytes(b"nothing")
    tables = [first, again, eight_bits, other_rest, empty, bad]
    cohort = Cohort(tables, people(tmp_path, "participant\nx\n"))
    assert [member.face.table for member in cohort.members()] == [first, eight_bits, other_rest]
    assert [*cohort.notes] == [
        f"{again} holds the same as {first}, made from the same file with the same options, and is "
        "left out.",
        f"{empty} has no rows.",
        "Of no participant of the file: a.mp4, 8.mp4, r.mp4.",
        "Participants without a video among the tables: x.",
    ]
    assert [*cohort.problems] == [str(bad)]
