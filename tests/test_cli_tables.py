"""The commands that read tables, and their files in the programs that open them."""

import csv
import io
import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_tables import made_rows, write_table
from typer.testing import CliRunner

from aucli.cli import app
from aucli.report.methods import describe
from aucli.report.references import of_paper
from aucli.report.sheets import label, sav_names
from aucli.report.study import read_faces
from aucli.table.reading import read_table
from aucli.weights.manifest import read_manifest

nan = np.nan
SMILE = [0, 0, 2, 3, 4, 3, 2, 0, 0, 0]  # at 10 frames a second: .2 to .7 s, apex .4


def run(*words: object, code: int = 0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def smile(tmp_path: Path) -> Path:
    rows = made_rows({"AU06": np.zeros(10).tolist(), "AU12": SMILE}, sides=[[1, 0.5]] * 10)
    return write_table(tmp_path / "in" / "smile.parquet", rows, ("AU06", "AU12"), sides=True)


def rows_of(path: Path, separator: str = ",") -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter=separator))


def test_summary_as_csv(smile, tmp_path):
    out, pairs = tmp_path / "study.csv", tmp_path / "pairs.csv"
    result = run("summarize", smile.parent, "-o", out, "--co-occurrence", pairs)
    assert result.stdout == "" and f"2 rows -> {out}" in result.stderr
    au06, au12 = rows_of(out)
    assert (au06["au"], au12["au_name"], au12["video"]) == (
        "AU06",
        "Lip corner puller",
        "smile.mp4",
    )
    assert float(au12["mean"]) == pytest.approx(1.4) and float(au12["seconds_2"]) == 0.5
    assert (au12["events"], float(au12["event_seconds"])) == ("1", 0.5)
    assert (au06["events"], au06["event_seconds"]) == ("0", "")
    assert (float(au12["left_mean"]), float(au12["asymmetry"])) == (1, 0.5)
    (pair,) = rows_of(pairs)
    assert (pair["au_1"], pair["au_2"], float(pair["share_au_2"])) == ("AU06", "AU12", 0.5)
    run("summarize", smile, "-o", out, code=1)  # exists
    run("summarize", smile, "-o", smile, "--overwrite", code=2)  # an input


def test_summary_on_the_screen(smile, tmp_path):
    one = run("summarize", smile, "--aus", "12").stdout
    assert "smile.mp4, face 0: 10 frames, a face in 100 %" in one and "Lip corner puller" in one
    assert "AU06" not in one
    write_table(smile.parent / "none.csv", made_rows({"AU12": [nan, nan]}))
    both = run("summarize", smile.parent).stdout
    assert "2 faces in 2 inputs" in both and "AU12 4.0, AU06 0.0" in both
    assert "no face at all" in both
    wrong = run("summarize", smile, "--aus", "99", code=1)
    assert "aucli: No table has AU99; the AUs are AU06, AU12." in wrong.stderr
    assert "'x' is no AU" in run("summarize", smile, "--aus", "x", code=2).stderr


def test_a_bad_table_fails_alone(smile, tmp_path):
    (smile.parent / "bad.parquet").write_bytes(b"PAR1")
    out = tmp_path / "study.csv"
    result = run("summarize", smile.parent, "-o", out, code=1)
    assert "bad.parquet cannot be read as a table" in result.stderr and len(rows_of(out)) == 2
    for name in ("no.csv", "no"):
        assert "is not there; check the name." in run("summarize", tmp_path / name, code=1).stderr


def test_groups_come_along(smile, tmp_path):
    people = tmp_path / "participants.tsv"
    people.write_text("participant_id\tgroup\tage\nsmile\tcontrol\t31\n")
    out = tmp_path / "study.csv"
    run("summarize", smile, "-o", out, "--participants", people)
    assert [*rows_of(out)[0]][:5] == ["participant", "group", "age", "video", "face_id"]
    assert rows_of(out)[0]["group"] == "control" and float(rows_of(out)[0]["age"]) == 31
    people.write_text("participant\tMean\nsmile\t1\n")
    told = run("summarize", smile, "--participants", people, code=1).stderr
    assert told == f"aucli: {people} has a column Mean, which the result has, too; rename it.\n"


def test_excel_takes_names_as_text(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    table = write_table(tmp_path / "a.parquet", [("=1+1", made_rows({"AU12": [1, nan]}))])
    for command, out in (("summarize", "study.xlsx"), ("convert", "rows.xlsx")):
        run(command, table, "-o", tmp_path / out)
        sheet = openpyxl.load_workbook(tmp_path / out).active
        header, first, *others = sheet.iter_rows()
        cell = first[[c.value for c in header].index("video")]
        assert (cell.value, cell.data_type, cell.quotePrefix) == ("=1+1", "s", True)
    names = [c.value for c in header]
    assert others[-1][names.index("AU12_r")].value is None


def test_a_sheet_that_is_full_is_one_sentence(tmp_path, monkeypatch):
    pytest.importorskip("openpyxl")
    monkeypatch.setattr("aucli.report.sheets.XLSX_ROWS", 3)
    table = write_table(tmp_path / "a.parquet", made_rows({"AU12": [1, 2, 3]}))
    out = tmp_path / "a.xlsx"
    assert run("convert", table, "-o", out, code=1).stderr == (
        f"aucli: {out} would need 4 rows and 15 columns, and an .xlsx sheet holds 3 and 16384; "
        "write .csv or .parquet.\n"
    )
    assert not out.exists()


def test_spss_reads_names_labels_and_missing_values(smile, tmp_path):
    pyreadstat = pytest.importorskip("pyreadstat")
    rows = made_rows({"AU12": [1, nan]}, sides=[[2, 1], [nan, nan]])
    table = write_table(tmp_path / "a.parquet", rows, sides=True)
    out = tmp_path / "a.sav"
    run("convert", table, "-o", out, "--presence", 0.5)
    found, meta = pyreadstat.read_sav(str(out))
    labels = meta.column_names_to_labels
    assert labels["AU12_r"] == "AU12 Lip corner puller, intensity 0-5"
    assert labels["AU12_left"] == "AU12 Lip corner puller, person's left, intensity 0-5"
    assert labels["AU12_c"] == "AU12 Lip corner puller, present (1) or not (0)"
    assert found["AU12_r"].tolist()[0] == 1 and found["AU12_right"].tolist()[0] == 1
    assert found["AU12_r"].isna().tolist() == found["face_id"].isna().tolist() == [False, True]
    assert found["success"].tolist() == [1, 0] and found["video"].tolist() == ["a.mp4"] * 2
    assert meta.variable_value_labels["success"] == {0: "no", 1: "yes"}
    run("summarize", smile, "-o", tmp_path / "study.sav")
    found, meta = pyreadstat.read_sav(str(tmp_path / "study.sav"))
    assert found["mean"].tolist() == pytest.approx([0, 1.4])
    assert found["event_seconds"].isna().tolist() == [True, False]
    assert meta.column_names_to_labels["p95"] == "95th percentile of the intensity, 0-5"


def test_names_that_spss_takes():
    names = ["AU12_r", "AU12_R", "AU12_L_x", "age (years)", "1st", "Age_years", "and", "", "é" * 90]
    assert sav_names(names) == [
        "AU12_r", "AU12_right", "AU12_left_x", "age_years", "v_1st", "Age_years_2", "v_and",
        "column", "é" * 30,
    ]  # fmt: skip
    assert label("x_3") == "Landmark 3, x in the frame, pixels" and label("AU12") == ""


def test_r_reads_the_csv(smile, tmp_path):
    if (r := shutil.which("Rscript")) is None:
        pytest.skip("R is not installed")
    out = tmp_path / "study.csv"
    run("summarize", smile, "-o", out)
    code = "d <- read.csv(commandArgs(TRUE)[1]); cat(d$mean, sum(is.na(d$event_seconds)), d$au)"
    told = subprocess.run([r, "-e", code, str(out)], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["0", "1.4", "1", "AU06", "AU12"]


def test_events_as_csv(smile, tmp_path):
    out = tmp_path / "events.csv"
    run("events", smile, "-o", out, "--offset", 10, "--clock", "2026-05-04T10:00:00")
    (event,) = rows_of(out)
    assert {name: event[name] for name in ("au", "onset", "apex", "offset", "duration", "level",
            "complete", "onset_frame", "apex_frame", "offset_frame", "onset_clock")} == {
        "au": "AU12", "onset": "10.2", "apex": "10.4", "offset": "10.7", "duration": "0.5",
        "level": "D", "complete": "1", "onset_frame": "3", "apex_frame": "5", "offset_frame": "7",
        "onset_clock": "2026-05-04T10:00:00.200",
    }  # fmt: skip
    assert float(event["peak"]) == 4 and float(event["mean"]) == pytest.approx(2.8)
    assert rows_of(run_csv(smile, tmp_path, "--min-seconds", 0.6)) == []
    endless = run("events", smile, "--offset", "nan", code=2)
    assert "Invalid value for --offset: nan is no number of seconds." in endless.stderr
    assert "AU12      0.20   0.40" in run("events", smile).stdout


def run_csv(table: Path, folder: Path, *words: object) -> Path:
    run("events", table, "-o", folder / "more.csv", "--overwrite", *words)
    return folder / "more.csv"


def test_elan_reads_the_events(smile, tmp_path):
    elan = pytest.importorskip("pympi.Elan")
    out = tmp_path / "smile.eaf"
    run("events", smile, "-o", out)
    file = elan.Eaf(str(out))
    assert sorted(file.get_tier_names()) == ["AU06", "AU12"]
    assert file.get_annotation_data_for_tier("AU12") == [(200, 700, "D 4.0")]
    assert file.media_descriptors[0]["RELATIVE_MEDIA_URL"] == "./smile.mp4"
    folder = tmp_path / "elan"
    write_table(smile.parent / "other.csv", made_rows({"AU12": SMILE}, fps=20))
    run("events", smile.parent, "-o", folder, "--format", "elan")
    assert sorted(path.name for path in folder.iterdir()) == ["other.eaf", "smile.eaf"]
    early = run("events", smile, "-o", tmp_path / "x.eaf", "--offset", -1, code=1)
    assert "an event would begin 800 ms before 0" in early.stderr
    # A video whose events would begin too early costs no other one.
    later = made_rows({"AU12": [0.0] * 30 + [float(level) for level in SMILE]})
    write_table(smile.parent / "zlate.parquet", later)
    some = run("events", smile.parent, "-o", tmp_path / "some", "--format", "elan",
               "--offset", -1, code=1)  # fmt: skip
    assert [path.name for path in (tmp_path / "some").iterdir()] == ["zlate.eaf"]
    assert "zlate.mp4: 1 event ->" in some.stderr and "800 ms before 0" in some.stderr
    assert "there are 3 videos; name a folder." in run(
        "events", smile.parent, "-o", tmp_path / "x.eaf", code=2
    ).stderr  # fmt: skip


def test_two_faces_have_tiers_of_their_own(tmp_path):
    elan = pytest.importorskip("pympi.Elan")
    parts = [("a.mp4", made_rows({"AU12": SMILE}, face_id=i)) for i in (0, 1)]
    table = write_table(tmp_path / "a.parquet", parts)
    run("events", table, "-o", tmp_path / "a.eaf")
    file = elan.Eaf(str(tmp_path / "a.eaf"))
    assert sorted(file.get_tier_names()) == ["face 0 AU12", "face 1 AU12"]


def test_bids_events_with_their_dictionary(smile, tmp_path):
    out = tmp_path / "sub-01_events.tsv"
    run("events", smile, "-o", out)
    (event,) = rows_of(out, "\t")
    assert [*event][:3] == ["onset", "duration", "trial_type"]
    assert (event["onset"], event["duration"], event["trial_type"]) == ("0.2", "0.5", "AU12")
    told = json.loads(out.with_suffix(".json").read_text())
    assert {*event} <= {*told} and told["onset"]["Units"] == "s"
    assert told["trial_type"]["Levels"] == {"AU06": "Cheek raiser", "AU12": "Lip corner puller"}
    assert told["EventRule"] == {
        "enter": 1.0, "leave": 0.5, "min_seconds": 0.2, "close_gap_seconds": 0.2,
    }  # fmt: skip
    run("events", smile, "-o", out, code=1)


def test_boris_has_a_start_and_a_stop(smile, tmp_path):
    out = tmp_path / "boris.tsv"
    run("events", smile, "-o", out, "--format", "boris")
    start, stop = rows_of(out, "\t")
    assert (start["Behavior"], start["Behavior type"], start["Time"]) == ("AU12", "START", "0.200")
    assert (stop["Behavior type"], stop["Time"], stop["Image index"]) == ("STOP", "0.700", "7")
    assert (start["Subject"], start["Modifier #1"]) == ("face 0", "D")
    assert start["Observation duration"] == start["Media duration (s)"] == "1.000"
    told = run("events", smile, "-o", tmp_path / "a.eaf", "--format", "boris", code=2).stderr
    assert "is no file of BORIS" in told


def test_the_clock_of_the_file(smile, tmp_path):
    av = pytest.importorskip("av")
    from aucli.video.creation import creation_time

    video = tmp_path / "videos" / "smile.mp4"
    video.parent.mkdir()
    with av.open(str(video), "w") as container:
        container.metadata["creation_time"] = "2026-05-04T10:00:00.000000Z"
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 16
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert creation_time(video) == datetime(2026, 5, 4, 10, tzinfo=UTC)
    out = tmp_path / "events.csv"
    missing = run("events", smile, "-o", out, "--clock", "creation", code=1)
    assert "is not beside its table; say with --videos where it is" in missing.stderr
    run("events", smile, "-o", out, "--clock", "creation", "--videos", video.parent)
    assert rows_of(out)[0]["onset_clock"] == "2026-05-04T10:00:00.200+00:00"
    run("events", smile, "--clock", "noon", code=2)


def test_a_table_cannot_lead_its_events_out_of_the_folder(tmp_path):
    parts = [("../../evil.mp4", made_rows({"AU12": SMILE}))]
    table = write_table(tmp_path / "in" / "a.parquet", parts)
    run("events", table, "-o", tmp_path / "out", "--format", "elan")
    assert [path.name for path in (tmp_path / "out").rglob("*.eaf")] == ["evil.eaf"]


def test_pictures_have_no_events(tmp_path):
    table = write_table(tmp_path / "a.csv", made_rows({"AU12": [1, 2]}, times=[nan, nan]))
    told = run("events", table, code=1).stderr
    assert told == "aucli: a.mp4: pictures have no time, so they have no events.\n"
    table = write_table(tmp_path / "b.csv", made_rows({"AU12": [1]}))
    told = run("events", table, code=1).stderr
    assert told == "aucli: b.mp4: one frame alone has no events.\n"


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_convert_keeps_rows_and_how_they_were_made(smile, tmp_path, suffix):
    told = {"aucli": "0", "options": {"faces": "all"}}
    rows = made_rows({"AU12": [1, 2.5, nan]})
    table = write_table(tmp_path / "in.parquet", rows, provenance=told)
    out, back = tmp_path / f"a.{suffix}", tmp_path / "back.parquet"
    run("convert", table, "-o", out, "--presence", 2.5)
    run("convert", out, "-o", back)
    first, again = read_table(table), read_table(back)
    assert again["AU12_c"].tolist()[:2] == [0, 1] and again["AU12_c"].isna().tolist()[2]
    columns = first.columns
    assert again[columns].equals(first[columns])
    (face,) = read_faces(back)
    assert face.provenance == {**told, "presence_threshold": 2.5}


def test_convert_many_into_one_and_each_into_a_folder(smile, tmp_path):
    write_table(smile.parent / "sub" / "b.csv", made_rows({"AU12": [1, 2]}))
    run("convert", smile.parent, "-o", tmp_path / "all.parquet")
    assert len(read_table(tmp_path / "all.parquet")) == 12
    run("convert", smile.parent, "-o", tmp_path / "out", "--format", "csv")
    found = sorted(p.relative_to(tmp_path / "out").as_posix()
                   for p in (tmp_path / "out").rglob("*.csv"))  # fmt: skip
    assert found == ["smile.csv", "sub/b.csv"]
    told = run("convert", smile, "-o", tmp_path / "open.csv", "--format", "openface", code=1).stderr
    assert "has no landmarks, which the OpenFace layout has" in told
    assert "end it in" in run("convert", smile, "-o", tmp_path / "a.doc", code=2).stderr
    asked = run("convert", smile.parent, "-o", f"{tmp_path}/", code=2).stderr
    assert "--format: say what the tables in a folder are to be, as --format csv." in asked


def test_convert_writes_no_two_tables_to_one_place(tmp_path):
    for folder, name in (("a", "s.csv"), ("b", "s.csv"), ("c", "t.csv"), ("c", "t.parquet")):
        write_table(tmp_path / folder / name, made_rows({"AU12": [1, 2]}))
    twins = [tmp_path / folder / "s.csv" for folder in "ab"]
    out = tmp_path / "out"
    for more in ((), ("--overwrite",)):
        told = run("convert", *twins, "-o", out, "--format", "jsonl", *more, code=1).stderr
        assert told == (
            f"aucli: Two tables would both become {out}/s.csv.jsonl; name the folder above them, "
            "or do one at a time.\n"
        )
        assert not out.exists()
    run("convert", tmp_path, "-o", out, "--format", "jsonl")
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.jsonl"))
    assert found == ["a/s.csv.jsonl", "b/s.csv.jsonl", "c/t.csv.jsonl", "c/t.parquet.jsonl"]


def test_convert_joins_tables_of_pictures_and_films(tmp_path):
    film = write_table(tmp_path / "a.csv", made_rows({"AU12": [1]}))
    pictures = write_table(
        tmp_path / "b.csv", made_rows({"AU12": [2]}, times=[nan]), pictures={0: "eva.jpg"}
    )
    run("convert", film, pictures, "-o", tmp_path / "all.csv")
    assert read_table(tmp_path / "all.csv")["picture"].fillna("").tolist() == ["", "eva.jpg"]


def test_a_face_without_a_baseline_is_there_without_intensities(tmp_path):
    rows = made_rows({"AU12": [1, 1, 1, 1]}, face_id=[0, 1, 0, 1], frames=[0, 0, 1, 1])
    rows.intensities[1::2] = nan
    rows.success[1::2] = False
    table = write_table(tmp_path / "a.parquet", rows, raw=True)
    told = run("summarize", table).stdout
    assert "no baseline" in told and "no face at all" not in told
    out = tmp_path / "s.csv"
    run("summarize", table, "-o", out)
    faces = {row["face_id"]: row for row in rows_of(out)}
    assert faces["0"]["face_percent"] == faces["1"]["face_percent"] == "100.0"
    assert faces["0"]["face_seconds"] == faces["1"]["face_seconds"]


def test_films_of_one_name_are_told_apart_on_the_screen(tmp_path):
    tables = [
        write_table(tmp_path / folder / "s.csv", made_rows({"AU12": [1, 2]})) for folder in "ab"
    ]
    told = run("summarize", *tables).stdout
    assert "2 faces in 2 inputs" in told
    told = re.sub(r"\s+", "", told)
    assert all(f"s.mp4({table})" in told for table in tables)


def test_openface_tables_go_through(tmp_path):
    table = write_table(
        tmp_path / "a.csv", made_rows({"AU12": SMILE}), table_format="openface", presence=True,
        landmarks=True,
    )  # fmt: skip
    (tmp_path / "a.csv.json").unlink()
    run("convert", table, "-o", tmp_path / "b.csv", "--format", "openface")
    assert (tmp_path / "b.csv").read_text() == table.read_text()
    assert "AU12" in run("summarize", table).stdout
    assert "D" in run("events", table).stdout


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_plot(smile, tmp_path, suffix):
    pytest.importorskip("matplotlib")
    out = tmp_path / f"a.{suffix}"
    run("plot", smile, "-o", out, "--events", "--aus", "12", "--width", 9)
    first = out.read_bytes()
    assert first[:4] in (b"\x89PNG", b"<?xm", b"%PDF")
    run("plot", smile, "-o", out, "--events", "--aus", "12", "--width", 9, "--overwrite")
    assert out.read_bytes() == first


def test_plot_has_a_line_for_each_face_with_gaps(tmp_path):
    pytest.importorskip("matplotlib")
    from aucli.report.events import Rule
    from aucli.report.figures import plot_faces

    parts = [("a.mp4", made_rows({"AU12": SMILE}, face_id=0)),
             ("a.mp4", made_rows({"AU12": [1]}, face_id=1, frames=[3]))]  # fmt: skip
    faces = read_faces(write_table(tmp_path / "a.parquet", parts))
    figure = plot_faces(faces, ("AU12",), Rule())
    (panel,) = figure.get_axes()
    assert panel.get_ylabel() == "AU12\nlip corner\npuller" and len(panel.patches) == 1
    first, second = panel.get_lines()
    assert np.asarray(first.get_ydata()).tolist() == SMILE
    assert np.isfinite(second.get_ydata()).tolist() == [i == 3 for i in range(10)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["face 0", "face 1"]
    assert panel.get_xlabel() == "time in the video, seconds"
    pictures = write_table(tmp_path / "p.csv", made_rows({"AU12": [1, 2]}, times=[nan, nan]))
    (panel,) = plot_faces(read_faces(pictures), ("AU12",)).get_axes()
    assert panel.get_xlabel() == "frame" and panel.get_lines()[0].get_marker() == "o"


def test_plot_tells_faces_apart_in_grey_print(tmp_path):
    pytest.importorskip("matplotlib")
    from aucli.report.events import Rule
    from aucli.report.figures import plot_faces

    for suffix, times in (("parquet", None), ("csv", [nan] * len(SMILE))):
        parts = [("a.mp4", made_rows({"AU12": SMILE}, face_id=i, times=times)) for i in range(8)]
        faces = read_faces(write_table(tmp_path / f"a.{suffix}", parts))
        (panel,) = plot_faces(faces, ("AU12",), Rule()).get_axes()
        looks = {(str(line._dash_pattern), line.get_marker()) for line in panel.get_lines()}  # pyright: ignore
        assert len(looks) == len(faces) == 8
    timed = read_faces(tmp_path / "a.parquet")
    (panel,) = plot_faces(timed, ("AU12",), Rule()).get_axes()
    assert len({patch.get_hatch() for patch in panel.patches}) == len(panel.patches) == 8


def test_plot_says_what_it_lacks(smile, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    none = write_table(tmp_path / "none.csv", made_rows({"AU12": [nan]}))
    assert run("plot", none, code=1).stderr == (
        f"aucli: {none} has no row with a face; there is nothing to plot.\n"
    )
    assert run("plot", smile, "--aus", "99", code=1).stderr == (
        f"aucli: {smile} has no AU99; its AUs are AU06, AU12.\n"
    )
    assert "end it in .png" in run("plot", smile, "-o", tmp_path / "a.xyz", code=2).stderr
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    assert run("plot", smile, code=1).stderr == (
        "aucli: matplotlib is missing; pip install 'aucli[report]' installs it.\n"
    )


@pytest.mark.parametrize(("suffix", "library"), [("xlsx", "openpyxl"), ("sav", "pyreadstat")])
def test_a_missing_library_is_one_sentence(smile, tmp_path, monkeypatch, suffix, library):
    monkeypatch.setitem(__import__("sys").modules, library, None)
    assert run("summarize", smile, "-o", tmp_path / f"a.{suffix}", code=1).stderr == (
        f"aucli: {library} is missing; pip install 'aucli[sheets]' installs it.\n"
    )


OPTIONS = {"faces": "largest", "every": 5, "fps": None, "start": 1.0, "end": None,
           "calibrate": "neutral=/home/me/rest.mp4"}  # fmt: skip
TOLD = {
    "aucli": "9.9",
    "options": OPTIONS,
    "model": {"name": "fanau-disfa", "sha256": "1234567890abcdef"},
    "detector": {"name": "mine", "sha256": None},
    "landmarks": {"name": "fan-2d", "sha256": None},
    "input": {"decoder": "pyav", "damage": "truncated"},
}


def test_methods_say_what_the_table_says(tmp_path):
    table = write_table(tmp_path / "a.parquet", made_rows({"AU12": [1, nan]}), provenance=TOLD)
    told = run("methods", table).stdout
    for words in (
        "The intensities of 1 facial Action Unit (12) of the Facial Action Coding System were "
        "measured with aucli 9.9",
        "Faces were found with mine, which searched a frame in each quarter of a second",
        "Landmarks were put on new faces with fan-2d; it followed them from frame to frame. "
        "Intensities were read in every analysed frame with fanau-disfa (SHA-256 1234567890ab...).",
        "One frame in 5 was analysed, from 1 s to the end. The largest face of a frame was kept.",
        "is the median reading over the neutral face (rest.mp4). It was subtracted",
        "The tables hold 2 frames of 1 input, decoded with pyav; a face was found in 50.0 % of "
        "them.",
        "1 input was damaged",
        "How mine was trained is not known on this computer.",
        "@article{ntinou2021transfer,", "@inproceedings{bulat2017far,", "version = {9.9}",
    ):  # fmt: skip
        assert words in told
    assert "/home/me" not in told
    out = tmp_path / "refs.bib"
    assert "@" not in run("methods", table, "--bibtex", out).stdout
    assert out.read_text().count("@") == 4
    run("methods", table, "--bibtex", out, code=1)
    film = tmp_path / "film.mp4"
    assert (
        "end it in .bib." in run("methods", table, "--bibtex", film, "--overwrite", code=2).stderr
    )


@pytest.mark.parametrize(
    ("calibrate", "sentence"),
    [("auto", "1 of 2 faces had no baseline, as no frames at rest were found; nothing was "
              "subtracted."),
     ("median", "1 of 2 faces had no baseline, and therefore no intensities."),
     ("neutral=3-5", "baseline is the median reading in frames 3 to 5. It was subtracted"),
     ("neutral=3", "baseline is the median reading in frame 3. It was subtracted"),
     ("neutral=1,5-2s", "A person's baseline is the median reading from 1.5 s to 2 s. It was")],
)  # fmt: skip
def test_methods_say_of_whom_nothing_was_subtracted(tmp_path, calibrate, sentence):
    told = TOLD | {"options": OPTIONS | {"calibrate": calibrate, "faces": "all"}}
    told["calibration"] = {"baseline": calibrate, "people": [{"face_id": 0, "intensities": {}}]}
    rows = made_rows({"AU12": [1, 1, 1, 1]}, face_id=[0, 1, 0, 1], frames=[0, 0, 1, 1])
    table = write_table(tmp_path / "a.parquet", rows, provenance=told)
    assert sentence in run("methods", table).stdout
    told["calibration"]["people"] = [{"face_id": None, "intensities": {}}]
    table = write_table(tmp_path / "b.parquet", rows, provenance=told)
    said = run("methods", table).stdout
    assert "nothing was subtracted" not in said and "no baseline" not in said
    told |= {"input": {"codec": "image"}, "options": OPTIONS | {"calibrate": calibrate}}
    pictures = made_rows({"AU12": [1, 1]}, times=[nan, nan])
    table = write_table(tmp_path / "c.parquet", pictures, provenance=told)
    said = run("methods", table).stdout
    assert "frame" not in said and "video" not in said.partition("@")[0]


def test_methods_say_the_precision(tmp_path):
    told = TOLD | {"options": OPTIONS | {"precision": "int8"}}
    table = write_table(tmp_path / "a.parquet", made_rows({"AU12": [1, 2]}), provenance=told)
    sentence = "The AU network ran in numbers of 8 bits."
    assert sentence in run("methods", table).stdout
    told["options"]["precision"] = "fp32"
    table = write_table(tmp_path / "b.parquet", made_rows({"AU12": [1, 2]}), provenance=told)
    assert "bits" not in run("methods", table).stdout


def test_methods_say_who_was_looked_at_twice(tmp_path):
    for name, codec, looks in (("film", "h264", 1), ("picture", "image", 2)):
        told = TOLD | {"input": {"codec": codec, "looks": looks}}
        rows = made_rows({"AU12": [1, 2] if name == "film" else [1]})
        write_table(tmp_path / f"{name}.parquet", rows, provenance=told)
    twice = "he AU network looked at each face twice, once mirrored, and the mean was taken."
    assert f". T{twice}" in run("methods", tmp_path / "picture.parquet").stdout
    assert "mirrored" not in run("methods", tmp_path / "film.parquet").stdout
    assert run("methods", tmp_path).stdout.count(f". T{twice}") == 1


def test_methods_say_who_followed_and_when_was_searched(tmp_path):
    def told(codec: str, values: list[float], **more: Any) -> str:
        table = tmp_path / "a.parquet"
        provenance = TOLD | {"input": {"codec": codec}} | more
        write_table(table, made_rows({"AU12": values}), provenance=provenance)
        return run("methods", table).stdout

    follower = {"name": "scc-joint", "sha256": None}
    assert "; scc-joint followed them" in told("h264", [1, 2], follower=follower)
    in_each = "faces were found with mine, landmarks with fan-2d, and intensities with fanau-disfa"
    assert f"In each frame, {in_each}" in told("h264", [1, 2], device="cuda")
    still = told("image", [1], follower=follower)
    assert f"In each picture, {in_each}" in still
    assert "One picture in 5 was analysed" in still
    assert "The largest face of a picture was kept. " in still
    assert "The tables hold 1 picture of 1 input; " in still


def test_tables_that_are_described_alike_are_one_paragraph(tmp_path):
    for name, gaze in (("a", True), ("b", False)):
        told = TOLD | {"options": OPTIONS | {"gaze": gaze}}
        write_table(tmp_path / f"{name}.parquet", made_rows({"AU12": [1, 2]}), provenance=told)
    told = run("methods", tmp_path).stdout
    assert told.count("The intensities of") == 1 and "4 frames of 2 inputs" in told


def test_videos_in_parts_are_one_paragraph(tmp_path):
    """Where a video was cut is its own affair, not another way to analyse."""
    for name, first in (("a", 301), ("b", 451)):
        own = {"parts": [1, first], "joins": [0.0]}
        rows = [(f"{name}.mp4", made_rows({"AU12": [1, 2]}))]
        write_table(tmp_path / f"{name}.parquet", rows, provenance=TOLD | own)
    told = run("methods", tmp_path).stdout
    assert told.count("The intensities of 1 facial Action Unit") == 1
    assert "4 frames of 2 inputs" in told


def test_methods_need_a_table_that_tells(smile):
    told = run("methods", smile, code=1).stderr
    assert told == (
        f"aucli: {smile} does not tell how it was made; name the table that aucli analyze wrote, "
        "with the .json beside it.\n"
    )


def test_every_way_has_its_paragraph(tmp_path):
    tables = [
        write_table(tmp_path / f"{n}.parquet", made_rows({"AU12": [1]}),
                    provenance={**TOLD, "options": {**OPTIONS, "every": n}})
        for n in (1, 2)
    ]  # fmt: skip
    found = describe([face for table in tables for face in read_faces(table)])
    assert len(found.paragraphs) == 2 and len(found.bibtex) == 4


def test_every_published_network_has_its_reference():
    for entry in read_manifest().values():
        assert of_paper(entry.paper).startswith("@"), entry.name


def test_csv_on_the_standard_output(smile):
    text = run("summarize", smile, "-o", "-", "-q").stdout
    assert [row["au"] for row in csv.DictReader(io.StringIO(text))] == ["AU06", "AU12"]
