"""``aucli report``: who is shown, what is said of them, and what the page holds."""

import base64
import gzip
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bright_faces import ONE, write_clip
from made_tables import made_rows, write_table
from typer.testing import CliRunner, Result

from aucli.cli import app
from aucli.errors import DataError, LibraryError, OptionError
from aucli.pipeline.journal import Entry, Journal
from aucli.pipeline.original import checksum
from aucli.report import page
from aucli.report.flags import find_flags
from aucli.report.moments import Square, choose_moments, in_square, read_pictures, square_of
from aucli.report.origins import LIMITS, OUR_NETWORK, limits, origin_words
from aucli.report.page import ReportOptions, write_report
from aucli.report.people import Person, check_person, people_of, read_names
from aucli.report.statistics import face_statistics
from aucli.report.study import read_faces
from aucli.report.thinning import cut, thin

NAN = np.nan


def report(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def study_of(html: Path) -> dict[str, Any]:
    """What the page knows before a row is opened."""
    found = re.search(r'id="study">(.*?)</script>', html.read_text("utf-8"), re.S)
    assert found
    return json.loads(found[1])


def detail_of(html: Path, row: int = 0) -> dict[str, Any]:
    found = re.search(rf'id="part-d{row}">(.*?)</script>', html.read_text("utf-8"), re.S)
    assert found
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


def person_of(table: Path) -> Person:
    (face,) = read_faces(table)
    return Person(face, "", (0,))


# Thinning


def test_few_frames_stay_as_they_are() -> None:
    values = np.arange(20.0).reshape(10, 2)
    steps = cut(np.arange(10) / 25, 5)
    assert steps.frames.tolist() == list(range(10)) and thin(values, steps) is values


def test_thinning_keeps_every_minimum_and_maximum_in_its_step_and_order() -> None:
    rng = np.random.default_rng(5)
    where = np.sort(rng.uniform(0, 100, 10_000))  # a rate that varies
    values = rng.normal(size=(10_000, 3))
    values[4321, 1] = 50.0  # a peak of one frame
    values[where < 20] = NAN
    steps = cut(where, 200)
    kept = thin(values, steps)
    assert len(kept) == len(steps.frames) <= 400 and np.isnan(kept[where[steps.frames] < 19]).all()
    assert np.nanmax(kept[:, 1]) == 50.0
    ends = [*np.flatnonzero(np.isin(steps.frames, steps.starts[:-1]))[1:], len(kept)]
    begin = 0
    for end, first, last in zip(ends, steps.starts[:-1], steps.starts[1:], strict=True):
        for own, thinned in zip(values[first:last].T, kept[begin:end].T, strict=True):
            known = own[np.isfinite(own)]
            if len(known):
                assert (np.nanmin(thinned), np.nanmax(thinned)) == (known.min(), known.max())
                order = [np.flatnonzero(own == value)[0] for value in thinned]
                assert order == sorted(order)
        begin = end


def test_a_step_without_frames_is_left_out() -> None:
    where = np.concatenate([np.linspace(0, 1, 50), np.linspace(99, 100, 50)])
    steps = cut(where, 10)
    assert steps.starts.tolist() == [0, 50, 100] and steps.frames.tolist() == [0, 25, 50, 75]


# People


def two_faces(folder: Path) -> Path:
    """Face 0 in 30 frames of 40, face 1 in 10, face 2 in one."""
    rows = made_rows(
        {"AU12": [1.0] * 41},
        frames=[*range(30), *range(30, 40), 3],
        times=[*np.arange(40) / 10, 0.3],
        face_id=[0] * 30 + [1] * 10 + [2],
    )
    rows.bbox_xyxy_px[30:40, 2:] += 100  # the larger one
    return write_table(folder / "two.parquet", rows, sides=True)


def test_a_face_of_a_moment_is_passed_over(tmp_path: Path) -> None:
    people, passed_over = people_of(read_faces(two_faces(tmp_path)), {})
    assert ([person.ids for person in people], passed_over) == ([(0,), (1,)], 1)


@pytest.mark.parametrize(("who", "ids"), [("longest", (0,)), ("largest", (1,)), (2, (2,))])
def test_the_participant_is_chosen(tmp_path: Path, who: str | int, ids: tuple[int]) -> None:
    people, passed_over = people_of(read_faces(two_faces(tmp_path)), {}, who)
    assert ([person.ids for person in people], passed_over) == ([ids], 2)


def test_ids_of_one_name_are_one_person(tmp_path: Path) -> None:
    csv = tmp_path / "names.csv"
    csv.write_text("Video;face_id;name\ntwo.mp4;0;Ada\ntwo.mp4;1;Ada\n;2; Ben \n")
    people, passed_over = people_of(read_faces(two_faces(tmp_path)), read_names(csv))
    assert [(person.name, person.ids) for person in people] == [("Ada", (0, 1)), ("Ben", (2,))]
    assert passed_over == 0 and people[0].face.success.all()
    assert people[0].face.boxes[[0, 35], 2].tolist() == [100, 200]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("id,who\n0,Ada\n", "{} has no column face_id and no column name; it needs face_id and "
         "name, and video where ids of several videos are named."),
        ("face_id,name\nx,Ada\n", "{}, line 2: face_id is 'x'; write the number that the table "
         "has, such as 0."),
    ],
)  # fmt: skip
def test_names_that_are_none(tmp_path: Path, text: str, sentence: str) -> None:
    csv = tmp_path / "names.csv"
    csv.write_text(text)
    with pytest.raises(DataError) as error:
        read_names(csv)
    assert str(error.value) == sentence.format(csv)


def test_a_participant_that_is_none() -> None:
    assert (check_person(None), check_person("longest"), check_person("3")) == (None, "longest", 3)
    with pytest.raises(OptionError) as error:
        check_person("tallest")
    assert str(error.value) == (
        "person: 'tallest' is not longest, largest or the number of a face."
    )


# Flags


def flags_of(table: Path) -> list[tuple[str, str]]:
    return [(flag.weight, flag.text) for flag in find_flags(person_of(table))]


def test_what_is_lost_is_said(tmp_path: Path) -> None:
    levels = np.ones(100)
    levels[20:58] = NAN
    table = write_table(tmp_path / "a.parquet", made_rows({"AU12": levels.tolist()}))
    assert flags_of(table) == [
        ("look", "no face in 38 % of the frames"), ("look", "no face for 3.8 s at a stretch"),
    ]  # fmt: skip
    table = write_table(tmp_path / "b.parquet", made_rows({"AU12": [NAN] * 9}))
    assert flags_of(table) == [("stop", "no face in any frame")]
    table = write_table(tmp_path / "c.parquet", made_rows({"AU12": [1.0] * 9}))
    assert flags_of(table) == []


def test_quality_is_said_with_its_time(tmp_path: Path) -> None:
    rows = made_rows({"AU12": [1.0] * 400})
    assert rows.quality is not None
    rows.quality[:120, 2] = True  # turned
    rows.quality[:15, 3] = True  # dark, 1.5 s
    rows.quality[:5, 0] = True  # small, too short to be said
    table = write_table(tmp_path / "a.parquet", rows)
    assert flags_of(table) == [("look", "turned away for 12 s"), ("note", "too dark for 1.5 s")]


def test_a_baseline_like_an_expression_is_said(tmp_path: Path) -> None:
    told = {
        "aucli": "0",
        "calibration": {
            "baseline": "median",
            "people": [
                {"face_id": None, "rows": 50,
                 "intensities": {"AU12": 2.6, "AU12_L": 5.0, "AU06": 2.0, "AU01": 1.9}},
            ],
        },
    }  # fmt: skip
    rows = made_rows({"AU12": [1.0] * 50})
    rows.success[:5] = False  # a face without a baseline
    table = write_table(tmp_path / "a.parquet", rows, provenance=told, raw=True)
    assert flags_of(table) == [
        ("look", "no baseline for 10 % of the face's frames"),
        ("look", "the baseline looks like an expression (AU12 2.6, AU06 2.0)"),
    ]


def test_damage_is_said(tmp_path: Path) -> None:
    told = {"aucli": "0", "input": {"damage": "truncated after 9 of 20 frames", "clock": "Mended."}}
    table = write_table(tmp_path / "a.parquet", made_rows({"AU12": [1.0] * 9}), provenance=told)
    assert flags_of(table) == [
        ("stop", "the file is damaged: truncated after 9 of 20 frames"), ("note", "Mended."),
    ]  # fmt: skip


# Origins


def test_origins_in_words() -> None:
    told = {
        "aucli": "1.2",
        "model": {"name": "scc-small", "sha256": "abcdef0123"},
        "options": {"profile": "builtin", "faces": "all", "every": 2, "start": None},
        "calibration": {"baseline": "neutral=rest.mp4"},
        "input": {"name": "a.mp4", "codec": "h264", "width": 640, "height": 360, "fps": 25.0,
                  "decoder": "pyav", "rotation_degrees": 90, "looks": 2, "sha256": "99"},
    }  # fmt: skip
    assert origin_words(told) == [
        "Input: a.mp4 (h264, 640 x 360, 25 frames a second, read by pyav).",
        "The picture was turned by 90 degrees.",
        "Networks: AUs scc-small (abcdef01); the start of each checksum in brackets.",
        "Options: faces all, one frame in 2.",
        "Calibrated: what the face reads at rest was subtracted (neutral: rest.mp4).",
        "The AU network looked at each face twice, once mirrored; the mean was taken.",
        "Checksum of the input (SHA-256): 99.",
        "Measured by aucli 1.2.",
    ]
    assert origin_words({}) == ["Nobody noted how this table was made."]
    not_found = (
        "Not calibrated: no baseline was found (neutral: rest.mp4), and nothing was subtracted."
    )
    assert not_found in origin_words(told, subtracted=False)


@pytest.mark.parametrize(("baseline", "who", "calibrated"), [
    ("auto", 1, False), ("median", 1, False), ("median", 0, True), ("neutral=3", None, True),
])  # fmt: skip
def test_a_page_says_where_nothing_was_subtracted(
    tmp_path: Path, baseline: str, who: int | None, calibrated: bool
) -> None:
    people = [{"face_id": who, "rows": 9, "intensities": {}}]
    told = {"aucli": "0", "calibration": {"baseline": baseline, "people": people}}
    rows = made_rows({"AU12": [1.0] * 50})
    table = write_table(tmp_path / "a.parquet", rows, provenance=told, raw=True)
    assert report(table, "-o", tmp_path / "page.html").exit_code == 0
    (row,), details = study_of(tmp_path / "page.html")["rows"], detail_of(tmp_path / "page.html")
    assert row["calibrated"] is calibrated
    assert row["baseline"].startswith("none found (") is not calibrated
    said = [text for text in details["origins"] if "alibrated: " in text]
    assert [text.startswith("Calibrated") for text in said] == [calibrated]


def test_a_table_that_is_there_twice_and_names_of_nobody_are_told(tmp_path: Path) -> None:
    told = {
        "options": dict.fromkeys(("faces", "every", "start", "end", "fps", "calibrate"), None),
        "input": {"sha256": "1"},
        **{name: {"sha256": "2"} for name in ("model", "detector", "landmarks")},
    }
    rows = made_rows({"AU12": [1.0] * 50})
    first, again = (
        write_table(tmp_path / f"{name}.parquet", rows, provenance=told) for name in "ab"
    )
    more = write_table(tmp_path / "c.parquet", rows, provenance=told, sides=True, places=True)
    both = report(first, more, "-o", tmp_path / "both.html", "-q")
    assert both.exit_code == 0 and "left out" not in both.stderr
    names = tmp_path / "ids.csv"
    names.write_text("video,face_id,name\na.mp4,0,Eva\na.mp4,9,Bob\nno.mp4,0,Ann\n")
    made = report(first, again, "-o", tmp_path / "page.html", "--names", names)
    assert made.exit_code == 0
    assert (
        f"warning: {again} holds the same as {first}, made from the same file with the same "
        "options, and is left out.\nwarning: No table has the faces of 2 names: Bob, Ann.\n"
    ) in made.stderr
    assert [row["person"] for row in study_of(tmp_path / "page.html")["rows"]] == ["Eva"]


def test_of_a_table_only_the_videos_that_are_there_twice_are_left_out(tmp_path: Path) -> None:
    def told(sha256: str) -> dict[str, Any]:
        options = dict.fromkeys(("faces", "every", "start", "end", "fps", "calibrate"), None)
        networks = {name: {"sha256": "n"} for name in ("model", "detector", "landmarks")}
        return {"options": options, "input": {"sha256": sha256}, **networks}

    rows = made_rows({"AU12": [1.0] * 50})
    tables = [
        write_table(
            tmp_path / f"{name}.parquet",
            [(video, rows) for video in videos],
            provenance={"inputs": [{"video": video, **told(video)} for video in videos]},
        )
        for name, videos in (("a", ["x.mp4", "y.mp4"]), ("b", ["x.mp4", "z.mp4"]))
    ]
    made = report(*tables, "-o", tmp_path / "page.html")
    assert (
        f"warning: x.mp4 in {tables[1]} is the same as in {tables[0]}, made from the same file "
        "with the same options, and is left out.\n"
    ) in made.stderr
    rows_of_page = study_of(tmp_path / "page.html")["rows"]
    assert [row["video"] for row in rows_of_page] == ["x.mp4", "y.mp4", "z.mp4"]
    summary = CliRunner().invoke(app, ["summarize", *map(str, tables)])
    assert "3 faces in 3 inputs" in summary.stdout and "x.mp4 in" in summary.stderr


def test_a_page_names_the_pictures_of_a_folder(tmp_path: Path) -> None:
    rows = made_rows({"AU12": [1.0, 2.0]}, times=[NAN, NAN])
    names = {0: "eva.jpg", 1: "</script>.jpg"}
    table = write_table(tmp_path / "a.parquet", rows, pictures=names)
    assert report(table, "-o", tmp_path / "page.html").exit_code == 0
    assert detail_of(tmp_path / "page.html")["names"] == [*names.values()]


def test_limits_name_the_network() -> None:
    for name in ("scc-joint", "scc-small"):
        assert limits([{"model": {"name": name}}]) == [OUR_NETWORK, *LIMITS]
    assert limits([{"model": {"name": "fanau-disfa"}}])[0].startswith("The AU network is fanau")
    assert limits([{}]) == [*LIMITS]


# Moments and pictures


def test_moments_are_spread_and_hold_the_strongest_apexes(tmp_path: Path) -> None:
    levels = np.zeros(300)
    levels[100:110], levels[104] = 3.0, 4.0
    table = write_table(tmp_path / "a.parquet", made_rows({"AU12": levels.tolist()}))
    person = person_of(table)
    events = face_statistics(person.face).aus["AU12"].events
    moments = choose_moments(person.face, [("AU12", event) for event in events or ()], 9)
    assert 104 in moments and len(moments) == 9
    assert (moments[0], moments[-1]) == (0, 299) and moments == sorted(moments)
    assert choose_moments(person.face, [], 1000) == list(range(300))


def test_places_are_told_in_the_square_of_the_face() -> None:
    square = square_of(np.array([10.0, 20.0, 100.0, 120.0]))
    assert square == Square(60 - 81, 80 - 81, 162)
    points = np.array([[60.0, 80.0], [NAN, NAN], [-21.0, 161.0]])
    assert in_square(points, square).tolist() == [[500, 500], [-1, -1], [0, 1000]]


def test_pictures_are_of_their_frames_and_blur_keeps_only_patches(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", [40, 120, 200])
    whole = Square(0, 0, 40)
    found = read_pictures(clip, {1: [whole], 3: [whole, Square(-40, 0, 40)], 9: [whole]}, 16, False)
    means = {key: round(np.asarray(picture).mean() / 8) for key, picture in found.items()}
    assert means == {(1, 0): 5, (3, 0): 25, (3, 1): 16}  # beyond the frame: gray
    blurred = read_pictures(clip, {1: [whole]}, 64, True)[1, 0]
    assert blurred.size == (64, 64)


def test_blur_takes_detail_away() -> None:
    rng = np.random.default_rng(1)
    frame = np.kron(rng.integers(0, 2, (40, 40, 1)) * 255, np.ones((4, 4, 3))).astype(np.uint8)
    from aucli.report.moments import _picture

    sharp, blurred = (
        np.asarray(_picture(frame, Square(0, 0, 160), 80, blur)).astype(float)
        for blur in (False, True)
    )
    detail = [np.abs(np.diff(picture, axis=1)).mean() for picture in (sharp, blurred)]
    assert detail[1] < detail[0] / 20


# The page


def with_video(folder: Path, name: str = "a", frames: int = 30) -> Path:
    """A clip of frames and its table, beside each other."""
    folder.mkdir(exist_ok=True)
    clip = write_clip(folder / f"{name}.mp4", [ONE] * frames)
    told = {"aucli": "0", "input": {"name": clip.name, "sha256": checksum(clip)}}
    rows = made_rows({"AU06": [1.0] * frames, "AU12": [2.5] * frames}, fps=25)
    return write_table(
        folder / f"{name}.parquet", rows, ("AU06", "AU12"), provenance=told,
        sides=True, places=True,
    )  # fmt: skip


def test_a_page_holds_rows_and_details(tmp_path: Path) -> None:
    table = with_video(tmp_path)
    result = report(table, "-o", tmp_path / "out.html", "--title", "My study")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines() == [
        f"1 row -> {tmp_path / 'out.html'}",
        "It shows faces, which are biometric data; --blur or --no-pictures hides them.",
    ]
    study = study_of(tmp_path / "out.html")
    (row,) = study["rows"]
    assert (row["video"], row["found"], row["good"], row["seconds"]) == ("a.mp4", 100.0, 100, 1.2)
    assert row["p95"] == {"AU06": 50, "AU12": 125} and row["icon"].startswith("data:image/webp")
    assert row["strong"] == {"AU06": [0.0, 0], "AU12": [1.2, 100]}
    assert (study["pictured"], study["placed"], study["sided"]) == (True, True, True)
    detail = detail_of(tmp_path / "out.html")
    assert detail["levels"] == [[50] * 30, [125] * 30] == detail["left"]
    assert detail["t"] == [40 * i for i in range(30)] and detail["pictures"] == 30
    assert detail["events"] == [[0, 0, 0, 1200, 50, 50, 0], [1, 0, 0, 1200, 125, 125, 0]]
    assert detail["moments"][3] == {
        "t": 120, "frame": 4, "picture": 3, "places": [173, 49] * 4, "levels": [50, 50, 125, 125],
    }  # fmt: skip


def test_the_same_tables_give_the_same_bytes(tmp_path: Path) -> None:
    table = with_video(tmp_path)
    pages = [tmp_path / "1.html", tmp_path / "2.html"]
    for html in pages:
        assert report(table, "-o", html, "-q").exit_code == 0
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_no_pictures_means_none(tmp_path: Path) -> None:
    table = with_video(tmp_path)
    result = report(table, "-o", tmp_path / "out.html", "--no-pictures")
    assert result.stderr == f"1 row -> {tmp_path / 'out.html'}\n"
    assert "data:image/" not in (tmp_path / "out.html").read_text()
    assert "sprite" not in detail_of(tmp_path / "out.html")
    assert detail_of(tmp_path / "out.html")["moments"][0]["levels"] == [50, 50, 125, 125]
    result = report(table, "-o", tmp_path / "x.html", "--no-pictures", "--blur")
    assert result.exit_code == 2 and "--blur has no effect on a page without pictures" in (
        " ".join(result.stderr.replace("│", "").split())
    )


def test_blurred_pictures_are_others(tmp_path: Path) -> None:
    table = with_video(tmp_path)
    assert report(table, "-o", tmp_path / "a.html", "-q").exit_code == 0
    assert report(table, "-o", tmp_path / "b.html", "-q", "--blur").exit_code == 0
    assert study_of(tmp_path / "b.html")["blurred"]
    sharp, blurred = (detail_of(tmp_path / name)["sprite"] for name in ("a.html", "b.html"))
    assert sharp != blurred


def test_another_file_of_the_videos_name_gives_no_pictures(tmp_path: Path) -> None:
    table = with_video(tmp_path)
    write_clip(tmp_path / "a.mp4", [90] * 30)
    result = report(table, "-o", tmp_path / "out.html")
    assert result.stderr.splitlines()[0] == (
        "warning: no pictures of a.mp4: a.mp4 is not the file any more that was measured; "
        "--videos names their folder."
    )
    assert "data:image/" not in (tmp_path / "out.html").read_text()


def test_videos_are_found_by_the_journal_and_in_a_folder(tmp_path: Path) -> None:
    table = with_video(tmp_path / "videos")
    clip = tmp_path / "videos" / "a.mp4"
    moved = tmp_path / "tables" / "p1" / "a.parquet"
    moved.parent.mkdir(parents=True)
    table.rename(moved)
    assert report(moved, "-o", tmp_path / "1.html", "-q").exit_code == 0
    assert not study_of(tmp_path / "1.html")["pictured"]
    assert report(moved, "-o", tmp_path / "2.html", "-q", "--videos", clip.parent).exit_code == 0
    assert study_of(tmp_path / "2.html")["pictured"]
    Journal(tmp_path / "tables").add(Entry(str(clip), "p1/a.mp4", "p1/a.parquet", "done"))
    assert report(tmp_path / "tables", "-o", tmp_path / "3.html", "-q").exit_code == 0
    assert study_of(tmp_path / "3.html")["pictured"]


def test_failed_inputs_and_unreadable_tables_are_rows(tmp_path: Path) -> None:
    with_video(tmp_path)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing")
    journal = Journal(tmp_path)
    journal.add(Entry("/v/a.mp4", "a.mp4", "a.parquet", "done"))
    journal.add(Entry("/v/b.mp4", "b.mp4", "b.parquet", "failed", "b.mp4 is empty."))
    result = report(tmp_path, "-o", tmp_path / "out.html", "--no-pictures")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0].startswith(f"aucli: {tmp_path / 'bad.parquet'} cannot be")
    told = {row["video"]: row["flags"] for row in study_of(tmp_path / "out.html")["rows"]}
    assert told["a.mp4"] == [] and told["b.mp4"] == [["failed", "stop", "b.mp4 is empty."]]
    assert told["bad.parquet"][0][:2] == ["unreadable", "stop"]


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    rows = made_rows({"AU12": [1.0] * 30})
    table = write_table(tmp_path / "a.parquet", [(evil + "\u2028.mp4", rows)])
    names = tmp_path / "names.csv"
    names.write_text(f'face_id,name\n0,"{evil}"\n')
    html = tmp_path / "out.html"
    assert report(table, "-o", html, "--title", evil, "--names", names, "-q").exit_code == 0
    text = html.read_text("utf-8")
    assert "alert(1)</script>" not in text and "<img src=x" not in text
    assert study_of(html)["title"] == evil
    row = study_of(html)["rows"][0]
    assert row["person"] == evil and row["video"] == evil + "\\u2028.mp4"
    assert text.count("<script") == text.count("</script>") == text.count('<script nonce="')
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy and "default-src 'none'" in policy[1] and "unsafe-eval" not in policy[1]


def test_a_page_is_not_replaced_without_being_asked(tmp_path: Path) -> None:
    table = with_video(tmp_path)
    html = tmp_path / "out.html"
    html.write_text("mine")
    result = report(table, "-o", html)
    assert (result.exit_code, html.read_text()) == (1, "mine")
    assert result.stderr == (
        f"aucli: {html} exists already; --overwrite (overwrite=True) replaces it.\n"
    )
    assert report(table, "-o", html, "--overwrite", "-q").exit_code == 0
    assert study_of(html)["rows"]


def test_usage(tmp_path: Path) -> None:
    result = report(tmp_path, "-o", "page.pdf")
    assert result.exit_code == 2 and "does not end in .html" in result.stderr
    result = report(tmp_path, "-o", tmp_path / "a.html")
    assert result.exit_code == 1 and not (tmp_path / "a.html").exists()
    assert result.stderr.splitlines()[0] == (
        f"aucli: {tmp_path} holds no table; name the folder that aucli analyze wrote into."
    )


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet", made_rows({"AU12": [1.0, 2.0]}))
    result = report(tmp_path, "-o", tmp_path / "a.html", "--person", 7)
    assert result.exit_code == 1 and not (tmp_path / "a.html").exists()
    assert result.stderr == (
        "aucli: No table has a face 7; take longest, largest or an id of the column face_id.\n"
    )
    empty = write_table(tmp_path / "empty.csv", made_rows({"AU12": []}))
    result = report(empty, "-o", tmp_path / "a.html")
    assert (result.exit_code, result.stderr) == (1, f"aucli: {empty} has no rows.\n")
    result = report(tmp_path, "-o", tmp_path / "a.html")
    assert result.exit_code == 1 and f"aucli: {empty} has no rows." in result.stderr
    assert [row["state"] for row in study_of(tmp_path / "a.html")["rows"]] == ["done", "failed"]


def test_without_the_extra_a_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(LibraryError) as error:
        write_report([], tmp_path / "a.html", ReportOptions())
    assert str(error.value) == "A report needs the extra 'report': pip install 'aucli[report]'."


# Large studies


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_IN_ONE_FILE", 2)


def test_details_of_a_large_study_lie_beside_the_page(tmp_path: Path, small_pages: None) -> None:
    rows = made_rows({"AU12": [1.0] * 30})
    for name in "abc":
        write_table(tmp_path / "t" / f"{name}.parquet", rows)
    html, beside = tmp_path / "out.html", tmp_path / "out-files"
    result = report(tmp_path / "t", "-o", html, "--no-pictures")
    assert result.stderr == f"3 rows -> {html}, details in {beside}\n"
    assert sorted(os.listdir(beside)) == ["d0.js", "d1.js", "d2.js", "plotly.js"]
    assert study_of(html)["files"] == "out-files" and html.stat().st_size < 100_000
    told = re.fullmatch(r'aucliTake\("d1","(.*)"\)\n', (beside / "d1.js").read_text())
    assert told and json.loads(gzip.decompress(base64.b64decode(told[1])))["aus"] == ["AU12"]
    # A smaller report of the same name leaves nothing of the larger one.
    (tmp_path / "t" / "c.parquet").unlink()
    assert report(tmp_path / "t", "-o", html, "--no-pictures", "-q").exit_code == 1
    assert report(tmp_path / "t", "-o", html, "--no-pictures", "--overwrite").exit_code == 0
    assert not beside.exists() and study_of(html)["files"] is None


def test_a_folder_that_is_not_of_a_report_is_left_alone(tmp_path: Path, small_pages: None) -> None:
    for name in "abc":
        write_table(tmp_path / "t" / f"{name}.parquet", made_rows({"AU12": [1.0] * 30}))
    mine = tmp_path / "out-files" / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    result = report(tmp_path / "t", "-o", tmp_path / "out.html", "--overwrite")
    assert (result.exit_code, mine.read_text()) == (1, "mine")
    assert result.stderr == (
        f"aucli: {mine.parent} is there and is not of a report; name another place for the page.\n"
    )
    assert not (tmp_path / "out.html").exists()


def test_sixty_videos_fit_into_five_megabytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    aus = [f"AU{number:02d}" for number in range(1, 21)]
    for number in range(60):
        levels = {au: rng.uniform(0, 5, 400).tolist() for au in aus}  # noise is the longest data
        write_table(
            tmp_path / "t" / f"{number}.parquet", made_rows(levels, fps=25), aus,
            sides=True, places=True,
        )  # fmt: skip
    html = tmp_path / "out.html"
    assert report(tmp_path / "t", "-o", html, "--no-pictures", "-q").exit_code == 0
    assert html.stat().st_size < 5_000_000
