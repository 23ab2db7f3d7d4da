"""``aucli analyze --segments``: a long video in parts, and the rows of one analysis."""

import json
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest
from bright_faces import NONE, ONE, TWO, hear_signals, tiny_analyzer, tiny_networks, write_clip
from test_jobs import ENVIRONMENT, Engine, analyze, bytes_of, children, wait_for

from aucli import analyzer
from aucli.errors import OptionError
from aucli.pipeline import workers
from aucli.pipeline.journal import Journal
from aucli.pipeline.lanes import Pieces, side_by_side
from aucli.pipeline.options import AnalyzeOptions
from aucli.pipeline.original import Stamp
from aucli.pipeline.segments import Joiner, Part, count_parts, plan
from aucli.table.reading import read_table
from aucli.table.schema import Rows
from aucli.table.writer import read_provenance
from aucli.video.source import VideoSource, open_video
from aucli.video.spans import Span

DEMO = Path(__file__).parents[1] / "examples" / "demo.mp4"
FACES = [ONE] * 37 + [TWO] * 60 + [NONE] * 9 + [TWO] * 20 + [ONE] * 50  # 176 s at 1 fps


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clip of 176 s, which is three parts of about 60 s; here, tiny networks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(analyzer, "load_networks", lambda options: tiny_networks())
    monkeypatch.setattr(workers, "MODULE", "bright_worker")
    return write_clip(tmp_path / "film.mp4", FACES, fps=1)


def cut_up(path: Path, **options: Any):
    words: Any = {"segments": 60.0, **options}
    return plan(path, AnalyzeOptions.of(words), 16, Stamp(0, 0))


# Where a video is cut, and what is decoded of a part.


def test_the_number_of_parts():
    lengths = [0, 10, 14.9, 15, 24, 26, 100]
    assert [count_parts(seconds, 10) for seconds in lengths] == [1, 1, 1, 2, 2, 3, 10]
    assert count_parts(10_000, None) == 1


def test_parts_follow_each_other_and_begin_before_their_own_rows(film):
    cut = cut_up(film)
    assert cut is not None and cut.decoded_frames == len(FACES)
    assert len(cut.parts) == 3
    assert cut.parts[0].own == cut.parts[0].span.first == 0
    for part, after in zip(cut.parts, cut.parts[1:], strict=False):
        assert part.span.first + part.span.count == after.own
        assert after.own % 16 == after.span.first % 16 == 0
        assert (after.own - after.span.first) >= 10
    assert cut.parts[-1].span.first + cut.parts[-1].span.count == len(FACES)
    assert cut_up(film) == cut


@pytest.mark.parametrize(
    "options",
    [{"segments": None}, {"segments": 120.0}, {"start": 5.0, "end": 94.0}, {"start": 200.0}],
)
def test_what_is_short_stays_whole(film, options):
    assert cut_up(film, **options) is None


def test_containers_without_an_index_stay_whole(film, tmp_path):
    remux(film, tmp_path / "film.avi")
    assert cut_up(tmp_path / "film.avi") is None


def remux(source: Path, target: Path, shift: Any = lambda pts: pts) -> Path:
    """The packets of a clip in another container, or with other times."""
    with av.open(str(source)) as clip, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(clip.streams.video[0]):
            if packet.dts is not None:
                packet.pts, packet.dts = shift(packet.pts), shift(packet.dts)
                packet.stream = stream
                out.mux(packet)
    return target


def looped(target: Path, times: int, clip: Path = DEMO) -> Path:
    """A clip again and again, without a new encoding."""
    with av.open(str(target), "w") as out:
        stream = None
        for number in range(times):
            with av.open(str(clip)) as source:
                own = source.streams.video[0]
                stream = stream or out.add_stream_from_template(own)
                for packet in source.demux(own):
                    if packet.pts is not None and packet.dts is not None:
                        packet.pts += number * (own.duration or 0)
                        packet.dts += number * (own.duration or 0)
                        packet.stream = stream
                        out.mux(packet)
    return target


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_span_has_the_frames_of_the_whole(tmp_path, suffix):
    path = remux(DEMO, tmp_path / f"demo{suffix}")  # H.264 with two key frames and B-frames
    source = open_video(path, "pyav", 16)
    assert isinstance(source, VideoSource)
    index = source.index()
    assert index is not None
    whole = {int(i): (p, f) for b in source for i, p, f in
             zip(b.frame_index, b.pts_seconds, b.frames, strict=True)}  # fmt: skip
    assert source.seconds(index.ticks.tolist()).tolist() == [p for p, _ in whole.values()]
    for first, stop in [(0, 5), (100, 117), (245, 262), (250, 251), (280, 300)]:
        span = index.span(first, stop, (stop - 1,))
        assert span is not None
        source.take(span)
        numbers = []
        for batch in source:
            numbers += batch.frame_index.tolist()
            for i, p, f in zip(batch.frame_index, batch.pts_seconds, batch.frames, strict=True):
                assert p == whole[int(i)][0] and np.array_equal(f, whole[int(i)][1])
        assert numbers == list(range(first, stop)) and not source.report.damaged
        assert list(source.sums) == [stop - 1]
        source.sums.clear()


def test_a_span_tells_what_is_missing(film):
    source = open_video(film, "pyav", 16)
    assert isinstance(source, VideoSource)
    index = source.index()
    assert index is not None
    span = index.span(20, 40)
    assert span is not None
    source.take(replace(span, count=21))
    list(source)
    assert source.report.damaged


# Which face is which.


def rows_of(frames: list[int], faces: list[tuple[int, float]]) -> Rows:
    """A row for each frame and face: its id, and where it is."""
    each = [(frame, i, x) for frame in frames for i, x in faces]
    count = len(each)
    boxes = np.array([[x, 10, x + 40, 60] for *_, x in each], np.float32).reshape(-1, 4)
    nothing = np.zeros(count, np.float32)
    return Rows(
        frame_index=np.array([frame for frame, *_ in each], np.int64),
        pts_seconds=nothing.astype(float),
        face_id=np.array([i for _, i, _ in each], np.int32),
        success=np.ones(count, bool),
        confidence=nothing,
        bbox_xyxy_px=boxes,
        pose_radians=np.zeros((count, 3)),
        landmarks=np.zeros((count, 68, 2)),
        intensities=np.zeros((count, 3)),
        sides=np.zeros((count, 3, 2)),
        places=np.zeros((count, 3, 2, 2)),
    )


def joined(blocks: list[list[Rows]]) -> list[tuple[int, int]]:
    """(frame, id) of the rows of two parts, of which the second counts from frame 10 on and looks
    from frame 6 on."""
    span = Span(0, 0, 0, 0, 0)
    joiner = Joiner()
    rows = [
        *joiner.rows(Part(0, span, 0), blocks[0], 6),
        *joiner.rows(Part(1, replace(span, first=6), 10), blocks[1], None),
    ]
    return [pair for part in rows for pair in
            zip(part.frame_index.tolist(), part.face_id.tolist(), strict=True)]  # fmt: skip


def test_faces_keep_their_ids_over_a_join():
    # The second part sees first the one that the first part calls 1.
    first = [rows_of([0, 1], [(0, 0)]), rows_of([*range(2, 10)], [(0, 0), (1, 100)])]
    second = [rows_of([*range(6, 12)], [(0, 102), (1, 3)]), rows_of([12], [(1, 5), (2, 300)])]
    found = joined([first, second])
    assert found[-6:] == [(10, 1), (10, 0), (11, 1), (11, 0), (12, 0), (12, 2)]
    assert [frame for frame, _ in found] == [0, 1, *np.repeat(range(2, 13), 2).tolist()]


def test_a_face_that_takes_another_place_during_the_overlap_is_who_was_seen_last():
    first = [rows_of([*range(8)], [(0, 0)]), rows_of([8, 9], [(1, 0)])]
    assert joined([first, [rows_of([*range(6, 11)], [(0, 0)])]])[-1] == (10, 1)
    first = [rows_of([*range(10)], [(0, 0)])]
    second = [rows_of([6, 7], [(0, 0)]), rows_of([8, 9, 10], [(1, 0)]), rows_of([11], [(0, 200)])]
    assert joined([first, second])[-2:] == [(10, 0), (11, 1)]


def test_without_a_face_in_common_ids_go_on_counting():
    found = joined([[rows_of([*range(10)], [(0, 0)])], [rows_of([*range(10, 12)], [(0, 0)])]])
    assert found[-2:] == [(10, 1), (11, 1)]
    nobody = rows_of([*range(10)], [(-1, 0)])
    assert joined([[nobody], [rows_of([9, 10], [(-1, 0)])]])[-1] == (10, -1)


# The command. With the tiny networks a face does not depend on the frames before it, so rows are
# equal to the last digit.


def both(inputs: Any, **options: Any) -> tuple[dict, dict]:
    """Tables of the whole and in parts, which must be equal; their provenance."""
    for out, segments in (("whole.csv", None), ("cut.csv", 60)):
        outcomes = tiny_analyzer(segments=segments, **options).tables(inputs, out, overwrite=True)
        assert [outcome.error for outcome in outcomes] == [None]
    assert Path("cut.csv").read_bytes() == Path("whole.csv").read_bytes()
    whole, cut = read_provenance("whole.csv"), read_provenance("cut.csv")
    assert (whole["options"].pop("segments"), cut["options"].pop("segments")) == (None, 60)
    for told in (whole, cut):
        assert told["input"].pop("decoder") in ("decord", "pyav")
    return whole, cut


@pytest.mark.parametrize(
    "options",
    [
        {"faces": "all", "sides": True, "places": True},
        {"every": 3},
        {"fps": 0.7},
        {"start": 3.3, "end": 161.1},
        {"calibrate": "median", "faces": "all"},
        {"calibrate": "neutral=20-40"},
    ],
)
def test_the_rows_are_those_of_the_whole(film, options):
    whole, cut = both(film, **options)
    assert len(cut.pop("parts")) == len(cut.pop("joins")) + 1 > 1
    assert json.dumps(cut) == json.dumps(whole)


def test_several_workers_make_the_same_table(film):
    arguments = [film, "--faces", "all", "--segments", 60]
    for jobs in (1, 2):
        result = analyze(*arguments, "-o", f"{jobs}.parquet", "--jobs", jobs)
        assert result.exit_code == 0, result.stderr
        assert result.stderr.count("film.mp4: 176 frames") == 1
    assert Path("1.parquet").read_bytes() == Path("2.parquet").read_bytes()


def test_times_that_are_not_even(film, tmp_path):
    uneven = remux(film, tmp_path / "uneven.mkv", lambda ticks: ticks + ticks % 7)
    _, cut = both(uneven)
    assert len(set(np.diff(pd.read_csv("cut.csv")["timestamp"]).round(4))) > 1
    assert len(cut["parts"]) > 1


def test_a_study_with_a_long_video(film, tmp_path):
    for name in ("a.mp4", "z.mp4"):
        write_clip(tmp_path / name, [ONE] * 4)
    inputs = ["a.mp4", film, "z.mp4"]
    for out in ("whole", "whole.csv"):
        assert analyze(*inputs, "-o", out, "--format", "csv").exit_code == 0
    arguments = ["--format", "csv", "--segments", 60, "--jobs", 2]
    result = analyze(*inputs, "-o", "cut", *arguments)
    assert "3 of 3 inputs done." in result.stderr
    assert len(Journal(Path("cut")).entries()) == 3
    for name in ("a.csv", "film.csv", "z.csv"):
        assert Path("cut", name).read_bytes() == Path("whole", name).read_bytes()
    assert analyze(*inputs, "-o", "cut.csv", *arguments).exit_code == 0
    assert Path("cut.csv").read_bytes() == Path("whole.csv").read_bytes()
    told = analyze(*inputs, "-o", "-", *arguments)
    assert told.stdout.encode() == Path("whole.csv").read_bytes()


def test_an_analyzer_cuts_what_its_tables_are_made_of(film):
    tiny_analyzer(segments=60).tables(film, "one/")
    tiny_analyzer(segments=60).tables(film, "two/", jobs=2)
    assert bytes_of(Path("one")) == bytes_of(Path("two"))
    assert len(read_provenance("one/film.parquet")["parts"]) == 3
    with pytest.raises(OptionError, match=r"segments: 3 is not a number of 60 or more\."):
        AnalyzeOptions.of({"segments": 3}).check()


@pytest.mark.parametrize("fault", ["truncated", "broken"])
def test_a_damaged_video_stays_whole(film, tmp_path, fault):
    data = bytearray(film.read_bytes())
    if fault == "broken":  # in the middle, where only decoding shows it
        middle = len(data) // 2
        data[middle : middle + 2000] = bytes(2000)
        (tmp_path / "bad.mp4").write_bytes(data)
    else:
        remux(film, tmp_path / "bad.mkv")
        whole = (tmp_path / "bad.mkv").read_bytes()
        (tmp_path / "bad.mkv").write_bytes(whole[: len(whole) * 3 // 4])
    bad = next(tmp_path.glob("bad.*"))
    whole, cut = both(bad)
    assert cut == whole and whole["input"]["damage"]


def test_resume_compares_the_parts(film):
    arguments = [film, "-o", "out/"]
    assert analyze(*arguments, "--segments", 60).exit_code == 0
    again = analyze(*arguments, "--segments", 60, "--resume")
    assert again.exit_code == 0 and "done by an earlier run" in again.stderr
    other = analyze(*arguments, "--resume")
    assert other.exit_code == 2 and "segments 60.0, now none" in other.stderr


def test_words_for_the_length(film):
    assert analyze(film, "-o", "a.csv", "--segments", "auto", "--jobs", 2).exit_code == 0
    assert read_provenance("a.csv")["options"]["segments"] == 600
    assert analyze(film, "-o", "b.csv", "--segments", "off").exit_code == 0
    assert read_provenance("b.csv")["options"]["segments"] is None
    result = analyze(film, "-o", "c.csv", "--segments", "5")
    assert result.exit_code == 2
    assert "segments: 5.0 is not a number of 60 or more." in result.stderr
    result = analyze(film, "-o", "c.csv", "--segments", "long")
    assert result.exit_code == 2
    assert "'long' is no length; write auto, off, 300 or 5:00." in result.stderr
    result = analyze(film, "-o", "c.csv", "--segments", "60", "--heatmaps", "maps")
    assert result.exit_code == 2 and "it does not go with --segments." in result.stderr


# Several engines in general.


def test_the_last_piece_tells_what_came_of_a_job():
    """Pieces come before other jobs, and every engine does them."""
    engines = [Engine(), Engine()]
    did: list[tuple[Any, int]] = []

    def work(engine, job, call):
        left = [0, 1, 2, 3]

        def piece(number, engine, call):
            time.sleep(0.02)
            call(did.append, (engine, number))
            left.remove(number)
            return None if left else 10 * job

        return Pieces([partial(piece, i) for i in left]) if job == 1 else 10 * job

    assert list(side_by_side(engines, range(4), work, in_order=True)) == [0, 10, 20, 30]
    assert sorted(number for _, number in did) == [0, 1, 2, 3]
    assert {engine for engine, _ in did} == set(engines)
    did.clear()
    assert list(side_by_side(engines[:1], range(3), work)) == [0, 10, 20]
    assert [number for _, number in did] == [0, 1, 2, 3]


def test_a_part_that_was_decoded_otherwise_is_not_joined(film):
    """Then the pictures at the join differ, and the video is analysed as a whole."""
    own, count = tiny_analyzer(segments=60), iter(range(1000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zlib, "crc32", lambda data: next(count))
        own.tables(film, "odd.csv")
    assert "parts" not in read_provenance("odd.csv")
    tiny_analyzer().tables(film, "whole.csv")
    assert Path("odd.csv").read_bytes() == Path("whole.csv").read_bytes()


# A kill and a stop.


def test_a_worker_that_is_killed_costs_its_part(film, tmp_path):
    film.rename(tmp_path / "kill.mp4")
    assert analyze("kill.mp4", "-o", "whole.csv").exit_code == 0
    result = analyze("kill.mp4", "-o", "cut.csv", "--segments", 60, "--jobs", 2)
    assert result.exit_code == 0, result.stderr
    assert Path("killed").exists()
    sentence = "kill.mp4: the worker that read a part of it was lost, so that part is begun again."
    assert result.stderr.count(sentence) == 1
    assert Path("cut.csv").read_bytes() == Path("whole.csv").read_bytes()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_nothing_behind(film, tmp_path, stop):
    film.rename(tmp_path / "slow.mp4")
    command = [sys.executable, str(Path(__file__).with_name("bright_faces.py")), "analyze"]
    command += ["slow.mp4", "-o", "out", "--threads", "1", "--segments", "60", "--jobs", "2"]
    before = set(tmp_path.iterdir())
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=ENVIRONMENT, preexec_fn=hear_signals,
    ) as process:  # fmt: skip
        wait_for(lambda: len(children(process)) == 2, process)
        running = children(process)
        time.sleep(0.5)
        process.send_signal(stop)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr.splitlines()[-1]) == (130, b"aucli: interrupted")
    left = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert not left
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}/cmdline").exists() for pid in running):
        assert time.monotonic() < deadline
        time.sleep(0.05)


# With the networks that come with aucli.


@pytest.mark.slow
def test_real_rows_of_a_looped_film(tmp_path):
    film = looped(tmp_path / "film.mp4", 8)  # 96 s
    command = [sys.executable, "-m", "aucli", "analyze", str(film), "-q", "--threads", "1"]
    for out, more in (("whole", []), ("cut", ["--segments", "60", "--jobs", "2"])):
        run = [*command, "-o", str(tmp_path / f"{out}.parquet"), *more]
        assert subprocess.run(run, env=ENVIRONMENT, timeout=600).returncode == 0
    whole, cut = (read_table(tmp_path / f"{out}.parquet") for out in ("whole", "cut"))
    told = read_provenance(tmp_path / "cut.parquet")["parts"]
    assert len(told) == 2
    for column in ("video", "frame", "timestamp", "face_id", "success"):
        assert whole[column].equals(cut[column])
    aus = [column for column in whole if column.endswith("_r")]
    difference = (whole[aus] - cut[aus]).abs().max(axis=1).to_numpy()
    joins = whole["timestamp"].to_numpy()[whole["frame"].isin(told[1:]).to_numpy()]
    near = (np.abs(whole["timestamp"].to_numpy()[:, None] - joins) <= 1).any(1)
    assert np.nanmax(difference[~near]) <= 0.05
