"""``aucli.Analyzer``: loaded once; files, arrays and live frames give the same rows."""

import inspect
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
import pytest
from bright_faces import HEIGHT, NONE, ONE, TWO, WIDTH, tiny_analyzer, tiny_networks, write_clip

import aucli
from aucli import analyzer as analyzer_module
from aucli.analyzer import Analyzer
from aucli.cli.analyze import analyze as command
from aucli.cli.bench import bench
from aucli.errors import InputError, OptionError
from aucli.pipeline.options import AnalyzeOptions, OptionWords
from aucli.video.source import open_video

GRAYS = [ONE, NONE, TWO, TWO, ONE] * 8


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", GRAYS)


@pytest.fixture(scope="module")
def film(clip: Path) -> tuple[np.ndarray, np.ndarray]:
    """Frames (N, H, W, 3) and their times (N,)."""
    batches = list(open_video(clip))
    return (
        np.concatenate([batch.frames for batch in batches]),
        np.concatenate([batch.pts_seconds for batch in batches]),
    )


@pytest.fixture(scope="module")
def loaded() -> Analyzer:
    return tiny_analyzer(sides=True, places=True, presence=True, landmarks_xy=True)


def same(a: pd.DataFrame, b: pd.DataFrame) -> None:
    """Equal to the last bit."""
    pd.testing.assert_frame_equal(
        a.reset_index(drop=True), b.reset_index(drop=True), check_exact=True
    )


def test_an_array_gives_the_rows_of_the_file(loaded, clip, film, tmp_path, monkeypatch):
    table = loaded.frame(clip)
    assert len(table) == 56
    assert str(table["face_id"].dtype) == "Int32" and str(table["AU12_c"].dtype) == "Int8"
    frames, pts_seconds = film
    same(loaded.frames(frames, pts_seconds, label="clip.mp4"), table)
    same(loaded.frames(list(frames), list(pts_seconds), label="clip.mp4"), table)
    # Each call is one film.
    same(loaded.frames(frames, pts_seconds, label="clip.mp4"), table)
    assert table.attrs["damage"] == ""
    monkeypatch.chdir(tmp_path)
    Path("array").touch()  # a file of that name is not where the frames come from
    told = loaded.frames(frames[:2], pts_seconds[:2]).attrs["provenance"]
    assert told["input"] | {"width": 0} == {
        "name": "array", "sha256": None, "codec": "array", "width": 0, "height": HEIGHT,
        "fps": 0.0, "rotation_degrees": 0, "mirrored": False, "start_seconds": 0.0,
        "stream_index": 0, "declared_frames": 2, "looks": 1,
        "decoder": "array", "decoded_frames": 2,
        "corrupt_packets": 0, "corrupt_frames": 0, "missing_frames": 0, "truncated": False,
        "clock": "", "damage": "",
    }  # fmt: skip


def test_an_array_without_times_is_unrelated_pictures(film):
    networks: Any = tiny_networks()
    table = tiny_analyzer(networks).frames(film[0][:5])
    assert networks.faces.unrelated == [True]
    assert table.attrs["provenance"]["input"]["looks"] == 1  # this network does not follow faces
    assert np.isnan(table["timestamp"]).all()
    assert table["frame"].tolist() == [1, 2, 3, 3, 4, 4, 5]
    assert set(table["video"]) == {"array"}
    read_only = np.broadcast_to(film[0][0], (3, HEIGHT, WIDTH, 3))
    assert len(tiny_analyzer(networks).frames(read_only[:, ::-1])) == 3


@pytest.mark.parametrize("options", [{}, {"fps": 10}])
def test_frames_before_the_time_0_have_rows(film, options):
    times = [-0.5, -0.1, 0.0, 0.1, 0.25]
    table = tiny_analyzer(**options).frames(film[0][:5], times)
    assert table["timestamp"].drop_duplicates().tolist() == times
    live = tiny_analyzer(**options).live()
    assert live.push(film[0][1], -0.5)["timestamp"].tolist() == [-0.5]
    since = tiny_analyzer(start=0.0, **options).frames(film[0][:5], times)
    assert since["timestamp"].drop_duplicates().tolist() == times[2:]


def test_no_frame_is_an_empty_table(loaded):
    empty = loaded.frames(np.zeros((0, HEIGHT, WIDTH, 3), np.uint8), [])
    assert len(empty) == 0
    assert list(empty) == loaded.columns.schema().names


@pytest.mark.parametrize(
    ("array", "pts_seconds", "message"),
    [
        (np.zeros((2, 8, 8, 3)), None, r"must be .* uint8 RGB, .* got \(2, 8, 8, 3\) float64"),
        (np.zeros((8, 8, 3), np.uint8), None, r"got \(8, 8, 3\) uint8"),
        (np.zeros((2, 8, 8, 4), np.uint8), None, r"got \(2, 8, 8, 4\)"),
        (np.zeros((2, 0, 8, 3), np.uint8), None, r"with pixels, got \(2, 0, 8, 3\)"),
        ("clip.mp4", None, "Frames must be"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)], None, "the same size"),
        (np.zeros((2, 8, 8, 3), np.uint8), [0.0], "2 numbers, one for each frame"),
        (np.zeros((2, 8, 8, 3), np.uint8), [0.0, np.nan], "must be finite"),
        (np.zeros((1, 8, 8, 3), np.uint8), pd.to_timedelta([0.04], unit="s"), "got timedelta64"),
        (np.zeros((2, 8, 8, 3), np.uint8), [1.0, 1.0], "must rise from frame to frame: 1 follows"),
        (np.zeros((2, 8, 8, 3), np.uint8), ["a", "b"], "must be numbers of seconds, got <U1"),
    ],
)
def test_arrays_that_are_no_film(loaded, array, pts_seconds, message):
    with pytest.raises(InputError, match=message):
        loaded.frames(array, pts_seconds)


def test_live_frames_give_the_rows_of_the_film(film):
    frames, pts_seconds = film
    analyzer = tiny_analyzer(every=2, batch_size=1)
    live = analyzer.live()
    parts = [live.push(rgb, pts) for rgb, pts in zip(frames[:5], pts_seconds[:5], strict=True)]
    parts.append(live.push(frames[5:], pts_seconds[5:]))
    assert [len(part) for part in parts[:3]] == [1, 0, 2]
    whole = analyzer.frames(frames, pts_seconds, label="live")
    # Another grouping of the same crops changes the last bits of a reading.
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole, atol=1e-4)
    with pytest.raises(InputError, match="pts_seconds must rise from frame to frame"):
        live.push(frames[0], pts_seconds[-1])
    assert live.push(frames[0], pts_seconds[-1] + 1)["frame"].tolist() == [41]


def test_two_live_films_and_a_file_do_not_disturb_each_other():
    """Ids stay with the faces from call to call, whatever else the Analyzer does meanwhile."""
    analyzer = aucli.Analyzer(device="cpu", threads=1)
    first, second = analyzer.live(), analyzer.live()
    assert first._finder is not second._finder
    assert first._finder._tracker is not second._finder._tracker
    picture = np.full((2, 90, 90, 3), 60, np.uint8)
    assert analyzer.frames(picture)["success"].tolist() == [False, False]
    assert first.push(picture[0], 0.0)["success"].tolist() == [False]
    assert second.push(picture[0], 7.5)["frame"].tolist() == [1]
    assert first.push(picture[1], 0.5)["frame"].tolist() == [2]


def test_live_frames_are_calibrated_by_another_video_only(tmp_path, film):
    rest = write_clip(tmp_path / "rest.mp4", [ONE] * 3)
    frames, _ = film
    live = tiny_analyzer(calibrate=f"neutral={rest}").live()
    rows = live.push(frames[0], 0.0)
    assert (rows["AU12_r"].to_numpy() <= rows["AU12_raw"].to_numpy()).all()
    for text in ("median", "neutral=1", "neutral=0s-1s"):
        with pytest.raises(OptionError, match="frames that a live film does not have yet; name a"):
            tiny_analyzer(calibrate=text).live()


def test_networks_and_the_neutral_video_are_read_once(tmp_path, clip, monkeypatch):
    rest = write_clip(tmp_path / "rest.mp4", [ONE] * 3)
    opened = []

    def spy(path, *rest, **options):
        opened.append(Path(path).name)
        return open_video(path, *rest, **options)

    monkeypatch.setattr(analyzer_module, "open_video", spy)
    analyzer = tiny_analyzer(calibrate=f"neutral={rest}")
    first = analyzer.frame(clip)
    same(analyzer.frame(clip), first)
    assert opened == ["rest.mp4", "clip.mp4", "clip.mp4"]


def test_open_streams_arrow_batches(loaded, clip):
    with loaded.open(str(clip), label="a") as analysis:
        sizes = [len(batch) for batch in analysis]
    assert sum(sizes) == 56 and len(sizes) > 1
    assert analysis.summary is not None and analysis.summary.frames == 40
    with pytest.raises(InputError, match=r"nowhere.mp4 does not exist"):
        loaded.open("nowhere.mp4")


def test_tables_of_many_inputs(tmp_path, clip, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    heard = []
    analyzer = tiny_analyzer(presence=True)
    outcomes = analyzer.tables(
        [clip, "broken.mp4", "*.mkv"], "out", format="csv", on_outcome=heard.append
    )
    assert outcomes == heard
    assert [(o.job.input.label, o.ok) for o in outcomes] == [
        ("*.mkv", False), ("clip.mp4", True), ("broken.mp4", False),
    ]  # fmt: skip
    there = ["_aucli-run.jsonl", "clip.csv", "clip.csv.json"]
    assert sorted(p.name for p in Path("out").iterdir()) == there
    assert len(pd.read_csv("out/clip.csv")) == 56
    (again,) = analyzer.tables(clip, "out", format="csv")
    assert str(again.error) == (
        "out/clip.csv exists already; --overwrite (overwrite=True) replaces it."
    )
    (again,) = analyzer.tables(clip, "out", format="csv", overwrite=True)
    assert again.ok and again.summary is not None and again.summary.face_rows == 48
    (again,) = analyzer.tables(clip, "out", format="csv", resume=True)
    assert again.ok and again.summary is None
    assert again.earlier is not None and again.earlier.frames == 40
    tables: Any = analyzer.tables
    for out, wrong, message in (
        ("other", "xlsx", "format: 'xlsx' is not one of parquet, csv"),
        ("other", "openface", "openface needs an Analyzer with openface=True"),
        ("t.csv", "parquet", r"out: t.csv does not fit the format parquet"),
        ("t.xlsx", None, r"out: aucli writes no .xlsx; name a table that ends in .parquet, .csv"),
        ("", None, "out: an empty name"),
        (None, None, "out: None is no path"),
        (clip, "csv", "is an input; a table never takes its place"),
    ):
        with pytest.raises(OptionError, match=message):
            tables(clip, out, format=wrong, overwrite=True)
    assert len(analyzer.frame(clip)) == 56
    with pytest.raises(OptionError, match="An input has an empty name"):
        tables("")
    for wrong in (None, 3, b"clip.mp4"):
        with pytest.raises(InputError, match="An input must be a path, got"):
            tables([wrong])
        with pytest.raises(InputError, match="An input must be a path, got"):
            analyzer.frame(wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match=r"resume: t.csv is one table of 2 inputs; name a folder"):
        analyzer.tables([clip, "broken.mp4"], "t.csv", resume=True)
    with pytest.raises(InputError, match="There is no input; name a video"):
        analyzer.tables([])


def test_a_bug_is_an_outcome_and_the_batch_goes_on(tmp_path, clip, monkeypatch):
    second = write_clip(tmp_path / "second.mp4", [ONE] * 2)
    analyzer = tiny_analyzer()
    original = analyzer.open

    def fail(path, **words):
        if path == clip:
            raise ZeroDivisionError("bug")
        return original(path, **words)

    monkeypatch.setattr(analyzer, "open", fail)
    bug, good = analyzer.tables([clip, second], tmp_path / "out")
    assert bug.is_bug and not bug.ok and isinstance(bug.error, ZeroDivisionError)
    assert good.ok and not good.is_bug


def test_what_the_package_offers():
    assert {"Analyzer", "analyze", "AucliError", "OptionError"} < set(aucli.__all__)
    assert sorted(aucli.__all__) == dir(aucli)
    assert all(getattr(aucli, name) for name in aucli.__all__)
    assert aucli.analyze is analyzer_module.analyze
    assert (Path(aucli.__file__).parent / "py.typed").is_file()
    code = "import sys, aucli; dir(aucli); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("False\n", "")


def test_lengths_of_segments_have_the_words_of_the_command():
    assert tiny_analyzer(segments="auto").options.segments == 600
    assert tiny_analyzer(segments="off").options.segments is None
    with pytest.raises(OptionError, match="segments: 'long' is not a number of 60 or more"):
        tiny_analyzer(segments="long").options.check()


def test_one_list_of_options_everywhere():
    """The keywords, the fields and the command line's options, with the same defaults."""
    defaults = {field.name: field.default for field in fields(AnalyzeOptions)}
    assert list(get_type_hints(OptionWords)) == list(defaults)
    for function in (command, bench):
        own = {n: p.default for n, p in inspect.signature(function).parameters.items()}
        shared = own.keys() & defaults.keys()
        assert {n: own[n] for n in shared} == {n: defaults[n] for n in shared}
    # On the command line, openface is a format.
    assert set(defaults) - {"openface"} <= set(inspect.signature(command).parameters)
