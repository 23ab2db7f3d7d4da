"""Calibration: the forms of the option, the arithmetic, order, limits, and the command."""

import io
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from bright_faces import AUS, NONE, ONE, TWO, tiny_analyzer, tiny_networks, write_clip
from typer.testing import CliRunner, Result

import aucli
from aucli import analyzer
from aucli.cli import app
from aucli.errors import InputError, OptionError, OutputError
from aucli.pipeline import calibration as calibration_module
from aucli.pipeline import held
from aucli.pipeline.calibration import (
    Baseline,
    Calibration,
    Calibrator,
    Readings,
    like_an_expression,
)
from aucli.pipeline.calibration import parse_calibration as parse
from aucli.pipeline.loading import Networks
from aucli.table.schema import Rows
from aucli.table.writer import read_provenance

GRAYS = [NONE, ONE, TWO, TWO, NONE, *[ONE] * 20, *[TWO] * 6]  # face 0: 29 rows, face 1: 8 rows


def rows_of(values: list, face_ids: list[int], start: int = 0, fps: float = 10) -> Rows:
    """One AU, its left side .5 stronger and its right side unknown; NaN is a frame without."""
    count = len(values)
    levels = np.array(values, np.float32).reshape(count, 1)
    index = np.arange(start, start + count)
    sides = np.stack([levels + np.float32(0.5), np.full_like(levels, np.nan)], 2)
    return Rows(
        frame_index=index,
        pts_seconds=index / fps,
        face_id=np.array(face_ids, np.int32),
        success=np.isfinite(levels[:, 0]),
        confidence=np.full(count, 0.9, np.float32),
        bbox_xyxy_px=np.zeros((count, 4), np.float32),
        pose_radians=np.zeros((count, 3), np.float32),
        landmarks=np.zeros((count, 68, 2), np.float32),
        intensities=levels,
        sides=sides,
        places=np.zeros((count, 1, 2, 2), np.float32),
    )


def levels(blocks: list[Rows]) -> list[float]:
    return np.concatenate([rows.intensities[:, 0] for rows in blocks]).tolist()


def calibrate(asked: Calibration, *blocks: Rows, neutral: Baseline | None = None) -> list[Rows]:
    return list(Calibrator(asked, "clip", neutral).rows(iter(blocks)))


def auto(*blocks: Rows, faces: str = "largest") -> tuple[list[Rows], Calibrator]:
    work = Calibrator(parse("auto", faces), "clip", None, np.array([0.8], np.float32))
    return list(work.rows(iter(blocks))), work


def test_frames_at_rest_are_the_baseline_and_a_smile_that_lasts_stays() -> None:
    rest, smile = [0.5] * 12, [3.0] * 200
    rows, work = auto(rows_of(rest + smile, [0] * 212))
    assert levels(rows) == [0.0] * 12 + [2.5] * 200 and work.uncalibrated == {}
    told = work.told(("AU12",))
    assert told["baseline"] == "auto" and told["people"][0]["rows"] == 12


def test_a_face_that_is_never_at_rest_keeps_its_readings() -> None:
    rows, work = auto(rows_of([0.5] * 11 + [3.0] * 50, [0] * 61))
    assert levels(rows) == [0.5] * 11 + [3.0] * 50 and rows[0].success.all()
    assert work.uncalibrated == {0: 61} and work.told(("AU12",))["people"] == []


def test_each_face_has_a_rest_of_its_own() -> None:
    values = [0.25, 0.75] * 12 + [2.0, 2.0, 2.0]
    rows, work = auto(rows_of(values, [0, 1] * 12 + [0, 1, 2]), faces="all")
    assert levels(rows)[-3:] == [1.75, 1.25, 2.0] and work.uncalibrated == {2: 1}


def test_turned_faces_are_not_taken_for_rest() -> None:
    block = rows_of([0.5] * 12 + [0.25] * 12, [0] * 24)
    quality = np.zeros((24, 6), bool)
    quality[12:, 2] = True  # turned
    block = replace(block, quality=quality)
    assert levels(auto(block)[0])[:12] == [0.0] * 12


def test_auto_needs_a_network_that_knows_faces_at_rest() -> None:
    with pytest.raises(ValueError, match="'auto' needs what faces read at rest"):
        Calibrator(parse("auto"), "clip", None)


@pytest.fixture(scope="module")
def models() -> Networks:
    return tiny_networks()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", GRAYS)


def run(clip: Path, models: Networks, **options) -> pd.DataFrame:
    with tiny_analyzer(models, **options).open(clip) as analysis:
        table = pa.Table.from_batches(analysis, analysis.columns.schema()).to_pandas()
        table.attrs = {"told": analysis.provenance(), "summary": analysis.summary}
    return table


@pytest.mark.parametrize(
    ("text", "first", "last", "seconds"),
    [("median", -np.inf, np.inf, False), ("neutral=median", -np.inf, np.inf, False),
     ("neutral=120", 120, 120, False), ("neutral=10-40", 10, 40, False),
     ("neutral=1.0-2.5s", 1, 2.5, True), ("neutral=0s-3s", 0, 3, True),
     ("neutral=1,0-2,5s", 1, 2.5, True)],
)  # fmt: skip
def test_forms_of_the_option(text, first, last, seconds):
    assert parse(text) == Calibration(text, True, first, last, seconds)
    assert not parse(text, "all").one_person
    assert parse(text, "1").one_person


def test_a_file_is_a_neutral_video(tmp_path):
    file = tmp_path / "rest.mp4"
    file.touch()
    assert parse(f"neutral={file}").video == file
    with pytest.raises(OptionError, match=r"shows one person; keep one face"):
        parse(f"neutral={file}", "all")


@pytest.mark.parametrize("text", ["", "neutral", "neutral=", "mean", "120", "neutral=3.5s",
                                  "neutral=-4", "neutral=1.0-2.5", "neutral=gone.mp4"])  # fmt: skip
def test_what_cannot_be_understood_is_told_with_the_forms(text):
    with pytest.raises(OptionError) as refused:
        parse(text)
    assert str(refused.value) == (
        f"calibrate: '{text}' is neither 'auto', 'median' nor 'neutral=' with a frame (120), a "
        "segment (10-40 or 1.0-2.5s) or a video that exists."
    )


@pytest.mark.parametrize("text", ["neutral=0", "neutral=0-4", "neutral=9-4", "neutral=2-1.5s"])
def test_a_segment_that_holds_nothing(text):
    with pytest.raises(
        OptionError, match=f"calibrate: '{text}' names no frame; frames count from 1"
    ):
        parse(text)


def test_the_baseline_is_subtracted_and_the_raw_value_kept():
    first, second = rows_of([np.nan, 1.0, 2.5], [-1, 0, 0]), rows_of([0.25, 4.5], [0, 0], 3)
    done = calibrate(parse("neutral=2"), first, second)
    assert levels(done)[1:] == [0.0, 1.5, 0.0, 3.5]
    assert np.isnan(levels(done)[0])
    assert done[0].success.tolist() == [False, True, True]
    assert done[1].sides[:, 0, 0].tolist() == [0.0, 3.5]  # less the left side's own 1.5
    assert np.isnan(done[1].sides[:, 0, 1]).all()
    assert done[1].raw_intensities is second.intensities
    assert done[1].raw_sides is second.sides


def test_a_segment_gives_its_median_in_frames_or_seconds():
    values = [5.0, 1.0, 2.0, 4.0, 5.0]
    assert levels(calibrate(parse("neutral=2-4"), rows_of(values, [0] * 5)))[4] == 3.0
    assert levels(calibrate(parse("neutral=0.1-0.25s"), rows_of(values, [0] * 5)))[4] == 3.5


def test_rows_flow_once_the_segment_has_passed():
    taken = []

    def measured():
        for start in range(6):
            taken.append(start)
            yield rows_of([1.0 + start], [0], start)

    flowing = Calibrator(parse("neutral=1-2"), "clip", None).rows(measured())
    values = []
    for rows in flowing:
        values.append(float(rows.intensities[0, 0]))
        assert len(taken) == max(3, len(values))  # the third frame ends the wait
    assert values == [0.0, 0.5, 1.5, 2.5, 3.5, 4.5]


def test_each_face_has_its_own_baseline():
    rows = rows_of([1.0, 3.0, 2.0, 3.5, 4.0], [0, 1, 0, 1, 2])
    work = Calibrator(parse("neutral=1-2", "all"), "clip", None)
    (done,) = work.rows([rows])
    assert levels([done])[:4] == [0.0, 0.0, 1.0, 0.5]
    assert done.success.tolist() == [True] * 4 + [False]  # face 2 is not in the segment
    assert np.isnan(done.intensities[4]).all()
    assert done.raw_intensities is not None
    assert done.raw_intensities[4] == 4.0
    assert work.uncalibrated == {2: 1}
    told = work.told(("AU12",))
    assert told == {
        "baseline": "neutral=1-2",
        "people": [
            {"face_id": 0, "rows": 1, "intensities": {"AU12": 1.0, "AU12_L": 1.5}},
            {"face_id": 1, "rows": 1, "intensities": {"AU12": 3.0, "AU12_L": 3.5}},
        ],
        "uncalibrated_rows": 1,
    }


def test_one_person_keeps_the_baseline_through_a_gap():
    rows = rows_of([1.0, np.nan, 3.0], [0, -1, 1])
    assert levels(calibrate(parse("neutral=1"), rows))[::2] == [0.0, 2.0]


def test_a_median_needs_some_rows(monkeypatch):
    monkeypatch.setattr(calibration_module, "MEDIAN_ROWS", 3)
    rows = rows_of([1.0, 2.0, 5.0, 4.0, 4.0], [0, 0, 0, 1, 1])
    work = Calibrator(parse("median", "all"), "clip", None)
    (done,) = work.rows([rows])
    assert levels([done])[:3] == [0.0, 0.0, 3.0]
    assert done.success.tolist() == [True] * 3 + [False] * 2
    assert work.uncalibrated == {1: 2}
    assert levels(calibrate(parse("median"), rows)) == [0.0, 0.0, 1.0, 0.0, 0.0]


def test_a_video_without_faces_needs_no_median():
    nothing = rows_of([np.nan] * 3, [-1] * 3)
    work = Calibrator(parse("median"), "clip", None)
    (done,) = work.rows([nothing])
    assert not done.success.any()
    assert (work.uncalibrated, work.told(("AU12",))["people"]) == ({}, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("neutral=1", "clip shows no face at 'neutral=1'; name frames with a face."),
        ("neutral=9-12", "clip ends after 3 frames, before 'neutral=9-12'; name frames in it."),
        ("neutral=5-7s", "clip ends after 0.2 s, before 'neutral=5-7s'; name frames in it."),
        ("neutral=0.11-0.12s", "clip has no analysed frame at 'neutral=0.11-0.12s'; name another."),
    ],
)
def test_neutral_frames_that_do_not_serve(text, message):
    with pytest.raises(InputError) as refused:
        calibrate(parse(text), rows_of([np.nan, 1.0, 2.0], [-1, 0, 0]))
    assert str(refused.value) == message


def test_pictures_have_no_seconds():
    rows = rows_of([1.0, 2.0], [0, 0])
    rows.pts_seconds[:] = np.nan
    with pytest.raises(InputError, match=r"clip has no timestamps for 'neutral=0-1s'; name frames"):
        calibrate(parse("neutral=0-1s"), rows)
    assert levels(calibrate(parse("neutral=1"), rows)) == [0.0, 1.0]


def test_many_waiting_rows_go_through_a_file_in_order(monkeypatch):
    monkeypatch.setattr(held, "HELD_BYTES", 4096)
    blocks = [rows_of([0.1 * (i % 40), 0.5], [0, 0], 2 * i) for i in range(60)]
    done = calibrate(parse("median"), *blocks)
    assert [int(rows.frame_index[0]) for rows in done] == list(range(0, 120, 2))
    raw = np.array(levels(blocks), np.float32)
    assert levels(done) == (raw - np.median(raw)).clip(0, 5).tolist()


def test_no_room_for_waiting_rows_is_one_sentence(monkeypatch):
    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", lambda max_size: Full())
    with pytest.raises(OutputError, match=r"Cannot keep the waiting rows in .*: No space left"):
        calibrate(parse("median"), rows_of([1.0], [0]))


def test_the_median_of_a_clip_in_table_summary_and_metadata(clip, models):
    plain = run(clip, models, sides=True)
    table = run(clip, models, sides=True, presence=True, calibrate="median")
    assert table["frame"].tolist() == plain["frame"].tolist()
    told = table.attrs["told"]
    assert told["options"]["calibrate"] == "median"
    (person,) = told["calibration"]["people"]
    assert (person["face_id"], person["rows"]) == (None, 37)
    moved = []
    assert told["calibration"]["uncalibrated_rows"] == 0
    for name in [f"{au}{side}" for au in AUS for side in ("", "_L", "_R")]:
        shown = name if "_" in name else f"{name}_r"
        raw = plain[shown].to_numpy()
        assert np.array_equal(table[f"{name}_raw"].to_numpy(), raw, equal_nan=True)
        base = np.float32(np.nanmedian(raw))
        assert person["intensities"][name] == base
        expected = (raw - base).clip(0, 5)
        assert np.array_equal(table[shown].to_numpy(), expected, equal_nan=True)
        moved.append(np.nanmax(expected) > 0.01)
    assert any(moved)
    faces = table.dropna(subset="AU12_r")
    assert faces["AU12_c"].tolist() == (faces["AU12_r"] >= 1).astype(int).tolist()
    level = table.attrs["summary"].levels["AU12"]
    assert level.median == pytest.approx(faces["AU12_r"].median(), abs=0.011)


def test_places_are_those_of_the_readings(clip, models):
    groups = {"sides": True, "places": True}
    plain, table = run(clip, models, **groups), run(clip, models, calibrate="neutral=2", **groups)
    names = [n for n in plain.columns if n.endswith(("_x", "_y")) and n.startswith("AU")]
    assert len(names) == 6 * len(AUS)
    pd.testing.assert_frame_equal(table.loc[:, names], plain.loc[:, names])


def test_progress_is_told_while_rows_wait(clip, models):
    heard = []
    loaded = tiny_analyzer(models, calibrate="median", batch_size=4)
    with loaded.open(clip, on_frames=lambda *n: heard.append(n)) as analysis:
        next(iter(analysis))
        assert heard[-1] == (31, 31)


def test_a_neutral_video_is_measured_once_for_its_largest_face(tmp_path, clip, models):
    rest = write_clip(tmp_path / "rest.mp4", [NONE, ONE, ONE, ONE])
    baseline = np.nanmedian(run(rest, models)["AU12_r"])
    table = run(clip, models, calibrate=f"neutral={rest}")
    raw = table["AU12_raw"].to_numpy()
    assert np.array_equal(table["AU12_r"], (raw - np.float32(baseline)).clip(0, 5), equal_nan=True)
    (person,) = table.attrs["told"]["calibration"]["people"]
    assert (person["face_id"], person["rows"], len(person["sha256"])) == (None, 3, 64)


def test_a_neutral_video_without_a_face(tmp_path, models):
    rest = write_clip(tmp_path / "rest.mp4", [NONE] * 3)
    with pytest.raises(InputError, match=r"rest.mp4 shows no face to take as neutral"):
        tiny_analyzer(models, calibrate=f"neutral={rest}")
    with pytest.raises(ValueError, match="do not fit"):
        Calibrator(parse(f"neutral={rest}"), "rest.mp4", None)


def test_readings_without_a_face_have_no_baseline():
    readings = Readings()
    readings.add(rows_of([np.nan], [-1]))
    assert (readings.pooled(), readings.each()) == (None, {})


def test_the_function_for_notebooks(clip, models, monkeypatch):
    monkeypatch.setattr(analyzer, "load_networks", lambda options: models)
    table = aucli.analyze(clip, calibrate="neutral=2")
    assert table["AU12_r"].to_numpy()[1] == 0
    assert table.attrs["provenance"]["calibration"]["baseline"] == "neutral=2"


@pytest.fixture
def command(tmp_path, monkeypatch, models):
    """``aucli analyze`` in an empty folder, with tiny networks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(analyzer, "load_networks", lambda options: models)

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["analyze", "--threads", "1", *map(str, arguments)])

    return invoke


def test_the_command_writes_every_format(clip, command):
    for name in ("t.parquet", "t.csv", "t.jsonl"):
        result = command(clip, "-o", name, "--calibrate", "median")
        assert result.exit_code == 0, result.stderr
    result = command(clip, "-o", "-", "--calibrate", "median")
    csv = pd.read_csv("t.csv")
    assert result.stdout == Path("t.csv").read_text()
    table = pd.read_parquet("t.parquet")
    assert list(csv.columns) == list(table.columns)
    assert list(csv.columns)[14:20] == [f"{au}_{kind}" for kind in ("r", "raw") for au in AUS]
    assert csv["AU12_raw"].tolist() == pytest.approx(table["AU12_raw"].round(3), nan_ok=True)
    lines = pd.read_json("t.jsonl", lines=True)
    assert lines["AU12_raw"].tolist() == pytest.approx(table["AU12_raw"], nan_ok=True)
    assert read_provenance("t.parquet")["calibration"]["people"][0]["rows"] == 37


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["neutral=now"],
            "calibrate: 'neutral=now' is neither 'auto', 'median' nor 'neutral='",
        ),
        (["neutral=9-4"], "'neutral=9-4' names no frame"),
        (["neutral=clip.mp4", "--faces", "2"], "keep one face (faces 'largest'), or take auto."),
    ],
)
def test_wrong_usage_is_2(tmp_path, clip, command, monkeypatch, arguments, message):
    (tmp_path / "clip.mp4").touch()
    monkeypatch.setattr(analyzer, "load_networks", None)  # told before the networks are loaded
    result = command(clip, "--calibrate", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_neutral_frames_that_are_not_there_leave_no_table(tmp_path, clip, command):
    result = command(clip, "--calibrate", "neutral=500")
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "aucli: clip.mp4 ends after 31 frames, before 'neutral=500'; name frames in it.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_neutral_video_without_a_face_ends_the_run(tmp_path, clip, command):
    write_clip(tmp_path / "rest.mp4", [NONE] * 3)
    result = command(clip, "--calibrate", "neutral=rest.mp4")
    assert (result.exit_code, result.stderr) == (
        1, "aucli: rest.mp4 shows no face to take as neutral; name another video.\n"
    )  # fmt: skip


def test_faces_without_a_baseline_are_told_and_not_made_up(clip, command):
    result = command(clip, "--faces", "all", "--calibrate", "neutral=2", "--format", "openface")
    assert result.exit_code == 0
    assert (
        "warning: clip.mp4: no baseline for face 1 (8 rows); only their raw values are in the "
        "table.\n"
    ) in result.stderr
    table = pd.read_csv("clip.csv")
    second = table.loc[table["face_id"] == 1, ["success", "AU12_r", "AU12_raw"]].to_numpy()
    assert len(second) == 8
    assert (second[:, :2] == 0).all()  # as OpenFace's layout has it where there is no intensity
    assert (second[:, 2] > 0).all()


def test_a_face_without_a_baseline_is_a_face(tmp_path, clip, command):
    write_clip(tmp_path / "short.mp4", [ONE, ONE, NONE])
    result = command("short.mp4", "--calibrate", "median")
    assert result.exit_code == 0
    assert "short.mp4: 3 frames, 2 with a face, " in result.stderr
    assert "no baseline for face 0 (2 rows)" in result.stderr and "AU12" not in result.stderr


def test_a_face_that_is_its_own_baseline_is_told(tmp_path, clip, command):
    write_clip(tmp_path / "short.mp4", [ONE, ONE, NONE])
    told = "warning: short.mp4: the neutral frames are all that show a face, so nothing is left"
    assert told in command("short.mp4", "--calibrate", "neutral=1-3").stderr
    assert told not in command("short.mp4", "--calibrate", "neutral=1", "--overwrite").stderr
    both = ("--faces", "all", "--overwrite", "--calibrate")
    write_clip(tmp_path / "short.mp4", [TWO])
    assert told in command("short.mp4", *both, "neutral=1").stderr
    write_clip(tmp_path / "short.mp4", [ONE, TWO])
    assert told not in command("short.mp4", *both, "neutral=1").stderr


def test_a_baseline_like_an_expression_is_told(clip, command, monkeypatch):
    told = "warning: clip.mp4: the baseline looks like an expression (AU"
    monkeypatch.setattr(calibration_module, "STRONG", 5.1)
    assert told not in command(clip, "--calibrate", "neutral=2").stderr
    monkeypatch.setattr(calibration_module, "STRONG", 0.0)
    said = command(clip, "--calibrate", "neutral=2", "--overwrite").stderr
    assert told in said and "and it was subtracted; name frames or a video in which" in said


def test_a_baseline_like_an_expression_is_of_the_person_asked_for():
    people = [
        {"face_id": 0, "intensities": {"AU12": 2.5, "AU12_L": 5.0, "AU06": 1.9}},
        {"face_id": 1, "intensities": {"AU12": 3.5, "AU25": 2.0}},
    ]
    told = {"people": people}
    assert like_an_expression(told) == [("AU12", 3.5), ("AU25", 2.0)]
    assert like_an_expression(told, [0]) == [("AU12", 2.5)]
    assert like_an_expression({"people": [{**people[0], "face_id": None}]}, [7]) == [("AU12", 2.5)]
    assert like_an_expression(None) == []
