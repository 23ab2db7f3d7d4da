"""Overlays: the times, sizes and sound of the video; what is drawn where; what is refused."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from made_tables import made_rows, write_table
from PIL import Image
from typer.testing import CliRunner, Result
from video_clips import picture, read, write_clip, write_talk

from aucli.cli import app
from aucli.colours import of_intensities
from aucli.errors import DataError
from aucli.report import film
from aucli.report.drawing import Overlay, Style, strongest
from aucli.report.overlay import OverlayOptions, write_overlay
from aucli.report.pen import Pen
from aucli.report.readings import Moments, to_readings
from aucli.table.reading import read_table
from aucli.table.schema import Columns, Rows, to_data_frame, to_record_batch
from aucli.video.source import open_video

VARIABLE = [0, 1, 2, 7, 8, 20, 21, 23, 50, 51, 52, 90]  # ticks of 1/30 s


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def overlay(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["overlay", *map(str, arguments)])


def table_of(clip: Path, **changes: Any) -> Path:
    """A table with a row for each frame of a clip, beside it."""
    seconds = read(clip).seconds
    rows = made_rows({"AU12": np.linspace(0, 5, len(seconds)).tolist()}, times=seconds.tolist())
    rows = replace(rows, **{"bbox_xyxy_px": np.tile([20, 10, 44, 40], (len(rows), 1)), **changes})
    return write_table(clip.with_suffix(".parquet"), rows, sides=True, places=True)


def differs(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels that are plainly others; the encoder changes all of them a little."""
    return np.abs(before.astype(int) - after).max(2) > 90


def sound_of(path: Path) -> SimpleNamespace:
    """Codec and packets of a sound, and when its tone is first at 30 % of what it could be."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return SimpleNamespace(codec=None)
        packets = [bytes(p) for p in container.demux(container.streams.audio[0]) if p.size]
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        parts, start = [], None
        for frame in container.decode(stream):
            start = frame.time if start is None else start
            channels = frame.layout.nb_channels if frame.format.is_planar else 1
            wave = frame.to_ndarray().reshape(channels, -1)[0]
            full = np.iinfo(wave.dtype).max if wave.dtype.kind == "i" else 1.0
            parts.append(wave / full)
        wave = np.abs(np.concatenate(parts))
        loud = np.flatnonzero(wave > 0.3)[0] / stream.codec_context.sample_rate
        video = container.streams.video[0]
        begin = float((video.start_time or 0) * (video.time_base or 1))
    codec = stream.codec_context.codec.canonical_name
    return SimpleNamespace(codec=codec, packets=packets, loud_at=start + loud - begin)


@pytest.mark.parametrize(
    "suffix, base", [(".mp4", None), (".mkv", None), (".avi", None), (".ts", None)]
)
def test_a_film_has_the_times_of_the_video(here, suffix, base):
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    clip = write_clip(here / f"c{suffix}", codec, ticks=VARIABLE)
    before = read(clip)
    result = overlay(clip, table_of(clip))
    assert (result.exit_code, result.stdout) == (0, "")
    after = read(here / "c.overlay.mp4")
    np.testing.assert_array_equal(after.seconds, before.seconds)
    assert after.info.codec == "h264" and after.info.start_seconds == 0
    assert after.frames.shape == before.frames.shape


def test_a_film_is_upright_and_has_square_pixels(here):
    turned = write_clip(here / "turned.mp4", size=(64, 48), rotation=90)
    wide = write_clip(here / "wide.mp4", size=(64, 48), pixel_aspect=Fraction(2))
    for clip, size in ((turned, (64, 48)), (wide, (48, 128))):
        assert overlay(clip, table_of(clip)).exit_code == 0
        before, after = read(clip), read(here / f"{clip.stem}.overlay.mp4")
        assert before.frames.shape[1:3] == after.frames.shape[1:3] == size
        assert (after.info.rotation_degrees, after.info.mirrored) == (0, False)
        same = ~differs(before.frames[3], after.frames[3])
        assert same.mean() > 0.8


def test_an_odd_side_grows_by_its_last_row(here):
    clip = write_clip(here / "odd.mkv", "ffv1", size=(67, 51), pix_fmt="yuv444p")
    assert overlay(clip, table_of(clip)).exit_code == 0
    before, after = read(clip), read(here / "odd.overlay.mp4")
    assert after.frames.shape[1:3] == (52, 68)
    assert (~differs(before.frames[3], after.frames[3][:51, :67])).mean() > 0.8


def test_frames_of_another_size_are_fitted_in(here):
    """As in a call: the film keeps the size of the first frames."""
    small = write_clip(here / "small.ts", size=(32, 24), ticks=range(10))
    large = write_clip(here / "large.ts", size=(64, 24), ticks=range(10, 20))
    clip = here / "call.ts"
    clip.write_bytes(small.read_bytes() + large.read_bytes())
    sizes, seconds = [], []
    with open_video(clip) as source:
        for batch in source:
            sizes += [batch.frames.shape[1:3]] * len(batch)
            seconds += batch.pts_seconds.tolist()
    assert sizes == [(24, 32)] * 10 + [(24, 64)] * 10
    rows = made_rows({"AU12": [1.0] * 20}, times=seconds)
    readings = to_frame(rows, ("AU12",))
    made = write_overlay(clip, readings, here / "call", OverlayOptions(landmarks=True))
    after = read(made.files[0])
    assert made.frames == 20 and after.frames.shape == (20, 24, 32, 3)
    assert after.frames[15][:5].max() < 40 < after.frames[15][8:16].max()  # bands above and below


@pytest.mark.parametrize(
    "suffix, codec, video, kept",
    [
        ("mp4", "aac", "libx264", True),
        ("ts", "aac", "libx264", True),
        ("avi", "libmp3lame", "mpeg4", True),
        ("mkv", "libopus", "libx264", True),
        ("mkv", "flac", "libx264", True),
        ("avi", "pcm_s16le", "mpeg4", False),
        ("webm", "vorbis", "libvpx-vp9", False),
    ],
)
def test_sound_is_copied_or_becomes_aac(here, suffix, codec, video, kept):
    clip = write_talk(here / f"talk.{suffix}", codec, codec=video)
    before = sound_of(clip)
    assert overlay(clip, table_of(clip)).exit_code == 0
    after = sound_of(here / "talk.overlay.mp4")
    assert after.codec == (before.codec if kept else "aac")
    if kept and suffix != "ts":  # there each packet has a header of its own
        assert after.packets == before.packets
    assert after.loud_at == pytest.approx(before.loud_at, abs=0.025)


def test_the_sound_of_a_part_stays_with_its_pictures(here):
    clip = write_talk(here / "talk.mp4")
    result = overlay(clip, table_of(clip), "--start", 0.2, "--end", 0.9, "-o", "part.mp4")
    assert result.exit_code == 0, result.output
    before, after = sound_of(clip), sound_of(here / "part.mp4")
    assert after.loud_at == pytest.approx(before.loud_at - 0.2, abs=0.025)
    film = read(here / "part.mp4")
    assert len(film.frames) == 21  # frames 6 to 26
    assert film.seconds[0] == 0 and film.seconds[-1] == pytest.approx(20 / 30)


def test_no_sound_and_nothing_of_the_file_but_pictures(here):
    clip = write_talk(here / "talk.mp4")
    assert b"Anna" in clip.read_bytes() and b"loci" in clip.read_bytes()
    assert overlay(clip, table_of(clip), "--no-sound", "-o", "film.mp4").exit_code == 0
    assert sound_of(here / "film.mp4").codec is None
    overlay(clip, table_of(clip))
    for film_file in ("film.mp4", "talk.overlay.mp4"):
        data = (here / film_file).read_bytes()
        assert b"Anna" not in data and b"loci" not in data


def test_a_part_of_the_table_is_a_part_of_the_film(here):
    """Of a table with --start, --end and --every; a row holds within its step."""
    clip = write_clip(here / "c.mp4", ticks=range(40), size=(320, 240))
    rows = made_rows({"AU12": [4.0] * 5}, frames=[10, 13, 16, 19, 22], fps=30)
    boxes = np.array([[10 + 40 * i, 200, 40 + 40 * i, 230] for i in range(5)], np.float32)
    table = write_table(here / "c.parquet", replace(rows, bbox_xyxy_px=boxes))
    assert overlay(clip, table).exit_code == 0
    before, after = read(clip), read(here / "c.overlay.mp4")
    assert len(after.frames) == 15  # 10 to 24
    for k in range(15):
        drawn = differs(before.frames[10 + k], after.frames[k])[200]  # the upper edges
        assert np.abs(np.flatnonzero(drawn[:235]).mean() - (25 + 40 * (k // 3))) < 8


def test_tables_of_every_format_give_the_same_picture(here):
    clip = write_clip(here / "c.mp4", size=(320, 240), ticks=range(6))
    seconds = read(clip).seconds.tolist()
    rows = made_rows({"AU06": [2.0] * 6, "AU12": [4.0] * 6}, times=seconds)
    rows = replace(rows, bbox_xyxy_px=np.tile(np.array([100, 60, 180, 160], np.float32), (6, 1)))
    films = {}
    for name, kind in (("a.parquet", None), ("b.csv", "csv"), ("c.jsonl", None)):
        table = write_table(here / name, rows, ("AU06", "AU12"), kind, places=True, sides=True)
        assert overlay(clip, table, "-o", f"{name}.mp4").exit_code == 0
        films[name] = read(here / f"{name}.mp4").frames
    assert not differs(films["a.parquet"], read(clip).frames).all()
    for name in ("b.csv", "c.jsonl"):  # texts round places to hundredths of a pixel
        assert np.abs(films[name].astype(int) - films["a.parquet"]).mean() < 1


def test_an_openface_table_has_its_box_from_the_landmarks(here):
    clip = write_clip(here / "c.mp4", size=(320, 240), ticks=range(6))
    points = np.random.default_rng(0).uniform([100, 60], [180, 160], (6, 68, 2))
    rows = replace(
        made_rows({"AU12": [4.0] * 6}, times=read(clip).seconds.tolist()),
        landmarks=points.astype(np.float32),
    )
    table = write_table(
        here / "c.csv", rows, table_format="openface", presence=True, landmarks=True
    )
    readings = to_readings(read_table(table))
    assert readings.found.all() and 90 < readings.boxes_xyxy_px[0, 0] < 110
    result = overlay(clip, table, "--landmarks")
    assert result.exit_code == 0
    assert (
        f"warning: {table} has no places, so no dots are drawn; analyze with --places --sides for "
        "them." in result.stderr
    )


def test_dots_are_where_the_aus_act_in_the_colours_of_their_intensity():
    rows = made_rows({"AU06": [0.3], "AU12": [4.0]}, sides=[[2.0, 4.0]])
    places = np.zeros((1, 2, 2, 2), np.float32)
    places[0, 0], places[0, 1] = [[150, 90], [70, 90]], [[140, 150], [80, 150]]
    rows = replace(
        rows,
        places=places,
        sides=np.array([[[0.2, 0.3], [2.0, 4.0]]], np.float32),
        bbox_xyxy_px=np.array([[50, 40, 170, 200]], np.float32),
    )
    moments = Moments(to_frame(rows, ("AU06", "AU12"), sides=True, places=True))
    frame = np.full((400, 600, 3), 128, np.uint8)
    Overlay(moments, Style((0, 1)), (600, 400)).draw(frame, 0, 0.0, "frame 1")
    for (x, y), level in (((140, 150), 2.0), ((80, 150), 4.0)):
        np.testing.assert_allclose(frame[y, x], of_intensities(np.array(level)), atol=2)
    assert (frame[90, [70, 150]] == 128).all()  # too weak to be shown
    wide = [np.count_nonzero((frame[150, x - 15 : x + 15] != 128).any(1)) for x in (140, 80)]
    assert wide[0] < wide[1]  # the stronger one is larger


def test_a_single_place_is_drawn_where_there_are_no_sides():
    rows = replace(
        made_rows({"AU12": [3.0]}),
        places=np.full((1, 1, 2, 2), 100, np.float32),
        bbox_xyxy_px=np.array([[50, 40, 170, 200]], np.float32),
    )
    readings = to_frame(rows, ("AU12",), places=True)
    assert readings.sides is None and readings.levels is not None
    np.testing.assert_array_equal(readings.levels[0, 0], [3, np.nan])
    frame = np.full((400, 600, 3), 128, np.uint8)
    Overlay(Moments(readings), Style((0,)), (600, 400)).draw(frame, 0, 0.0, "")
    np.testing.assert_allclose(frame[100, 100], of_intensities(np.array(3.0)), atol=2)


def to_frame(rows: Rows, aus: tuple[str, ...], **groups: bool):
    columns = Columns(aus, **groups)
    batch = to_record_batch(columns, "x.mp4", rows)
    return to_readings(to_data_frame([batch], columns.schema()))


@pytest.mark.parametrize("size", [(320, 180), (640, 360), (360, 640), (1920, 1080), (1080, 1920)])
def test_bars_keep_clear_of_the_face_and_inside_of_the_frame(size):
    width, height = size
    for left in (0.05, 0.6):
        box = np.array(
            [[left * width, 0.2 * height, (left + 0.3) * width, 0.5 * height]] * 20, np.float32
        )
        names = [f"AU{i:02d}" for i in range(1, 10)]
        rows = replace(made_rows({name: [1.0] * 20 for name in names}), bbox_xyxy_px=box)
        readings = to_frame(rows, tuple(names))
        bars = Overlay(Moments(readings), Style(strongest(readings)), size).bars
        assert bars is not None
        assert bars.x >= 0 and bars.y >= 0
        assert bars.x + bars.width <= width and bars.y + bars.height <= height
        aside = bars.x > box[0, 2] or bars.x + bars.width < box[0, 0]
        assert aside or bars.y > box[0, 3] or bars.y + bars.height < box[0, 1]


def test_traces_are_left_out_where_they_would_cover_a_face():
    """A face in the middle of a small frame leaves room for the bars alone."""
    for width, timed in ((320, False), (640, True)):
        box = np.array([[0.34, 0.27, 0.57, 0.82]] * 20, np.float32) * ([width, width * 9 / 16] * 2)
        names = [f"AU{i:02d}" for i in range(1, 9)]
        rows = replace(made_rows({name: [1.0] * 20 for name in names}), bbox_xyxy_px=box)
        readings = to_frame(rows, tuple(names))
        size = width, width * 9 // 16
        overlay = Overlay(Moments(readings), Style(strongest(readings)), size)
        bars = overlay.bars
        assert bars is not None and bars.timed == timed
        covered = box[0, 2] - bars.x if bars.x > width / 2 else bars.x + bars.width - box[0, 0]
        assert covered < 0.1 * (box[0, 2] - box[0, 0])
        overlay.draw(np.zeros((size[1], size[0], 3), np.uint8), 3, 0.3, "frame 4")


def test_the_strongest_aus_have_bars():
    levels = {f"AU{i:02d}": [i / 10.0, 0.0, 0.0] for i in range(1, 13)}
    readings = to_frame(made_rows(levels), tuple(levels))
    assert strongest(readings) == tuple(range(4, 12))
    assert strongest(replace(readings, intensities=readings.intensities * np.nan)) == (*range(8),)


def test_what_lies_beyond_the_frame_is_left_out():
    frame = np.zeros((20, 30, 3), np.uint8)
    pen = Pen(frame)
    pen.fill(-5, -5, 3.5, 2, (200, 200, 200))
    pen.text(-50, 5, "far away", 10)
    pen.text(25, 18, "cut", 12, edge=2)
    pen.disc(31, 21, 4, (255, 255, 255))
    assert frame[1, 2].tolist() == [200] * 3 and frame[1, 3].tolist() == [100] * 3
    assert frame[19, 29].tolist() == [255] * 3


def test_a_table_of_another_video_is_refused(here):
    clip = write_clip(here / "c.mp4", ticks=range(10))
    told = {"input": {"name": "c.mp4", "sha256": "0" * 64, "width": 128, "height": 96}}
    rows = made_rows({"AU12": [4.0] * 10}, times=read(clip).seconds.tolist())
    table = write_table(here / "c.parquet", rows, provenance=told)
    result = overlay(clip, table)
    assert (result.exit_code, result.stderr) == (
        1,
        f"aucli: {clip} is not the file that {table} was made of; give that one, or say "
        "--other-copy where it is a copy of it.\n",
    )
    assert overlay(clip, table, "--other-copy").exit_code == 0
    later = write_table(here / "later.parquet", made_rows({"AU12": [4.0] * 10}, fps=25))
    result = overlay(clip, later, "-o", "x.mp4")
    assert result.exit_code == 1
    assert result.stderr.endswith(
        f"aucli: The table has frame 2 at 0.040 s, {clip} has it at 0.033 s: it was made of "
        "another video.\n"
    )
    longer = write_table(here / "longer.parquet", made_rows({"AU12": [4.0] * 12}, fps=30))
    result = overlay(clip, longer, "-o", "x.mp4")
    assert result.stderr.endswith(
        f"aucli: The table has 2 frames more than {clip}: it was made of another video.\n"
    )
    assert not (here / "x.mp4").exists()


def test_another_copy_is_matched_by_time_and_size(here):
    """Half the frames at half the size of what was analysed."""
    copy = write_clip(here / "copy.mp4", size=(320, 240), ticks=range(0, 40, 2))
    told = {"input": {"name": "c.mp4", "sha256": "0" * 64, "width": 640, "height": 480}}
    rows = made_rows({"AU12": [4.0] * 40}, fps=30)
    boxes = np.array([[10 + 10 * i, 400, 60 + 10 * i, 460] for i in range(40)], np.float32)
    table = write_table(here / "c.parquet", replace(rows, bbox_xyxy_px=boxes), provenance=told)
    assert overlay(copy, table, "--other-copy").exit_code == 0
    before, after = read(copy), read(here / "copy.overlay.mp4")
    assert len(after.frames) == 20
    for k in (0, 7, 15):
        drawn = differs(before.frames[k], after.frames[k])[200]
        assert abs(np.flatnonzero(drawn[:240]).mean() - (35 + 20 * k) / 2) < 3


def test_a_table_of_several_videos(here):
    clip = write_clip(here / "b.mp4", ticks=range(6))
    rows = made_rows({"AU12": [4.0] * 6}, fps=30)
    table = write_table(here / "all.csv", [("a.mp4", rows), ("x/b.mp4", rows)])
    assert overlay(clip, table).exit_code == 0
    other = clip.rename(here / "z.mp4")
    result = overlay(other, table)
    assert result.exit_code == 1
    assert (
        f"{table} holds 2 videos (a.mp4, x/b.mp4), and none of them is named z.mp4; give a table "
        "of this video alone." in result.stderr
    )


@pytest.mark.parametrize(
    "arguments, words",
    [
        (
            ["-o", "film.mov"],
            "'film.mov': end the name of a film in .mp4, of a picture in .png, or of a folder "
            "in /.",
        ),
        (["-o", ""], "an empty name; name a film or a folder."),
        (["-o", "film.png"], "film.png would be a film; end its name in .mp4."),
        (["-o", "c.mp4"], "is an input; a film never takes its place"),
        (["--face", "3"], "the table has no face 3; it has 0."),
        (["--alone"], "it goes with --anonymise."),
        (["--anonymise", "--landmarks"], "they show the form of the face"),
        (["--anonymise"], "does not tell which file it was made of"),
        (["--start", "2", "--end", "1"], "1 s is not after the start, 2 s."),
    ],
)
def test_what_cannot_be_is_a_usage_error(here, arguments, words):
    clip = write_clip(here / "c.mp4", ticks=range(6))
    result = overlay("c.mp4", table_of(clip).name, *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert not list(here.glob("*.overlay.*")) and not (here / "film.png").exists()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--aus", "12,99"], "c.parquet has no 99; its AUs are AU12."),
        (["--start", "50"], "c.mp4 has no frame in the part that is asked for and in the table."),
    ],
)
def test_what_the_table_lacks_is_a_sentence(here, arguments, words):
    clip = write_clip(here / "c.mp4", ticks=range(6))
    result = overlay("c.mp4", table_of(clip).name, *arguments)
    assert result.exit_code == 1 and words in result.stderr
    assert [p.name for p in here.iterdir()] == ["c.mp4", "c.parquet"] or len(
        list(here.iterdir())
    ) == 2


def test_nothing_is_replaced_without_being_asked(here):
    clip = write_clip(here / "c.mp4", ticks=range(6))
    table = table_of(clip)
    (here / "c.overlay.mp4").write_bytes(b"mine")
    result = overlay(clip, table)
    assert result.exit_code == 1
    assert result.stderr.endswith(
        "aucli: c.overlay.mp4 exists already; --overwrite (overwrite=True) replaces it.\n"
    )
    assert (here / "c.overlay.mp4").read_bytes() == b"mine"
    assert overlay(clip, table, "--overwrite").exit_code == 0
    assert overlay(clip, table, "-o", "films/").exit_code == 0
    assert (here / "films" / "c.overlay.mp4").exists()


def test_of_a_damaged_video_what_can_be_read_is_drawn(here):
    whole = write_clip(here / "whole.mkv", ticks=range(40), noise=True, size=(128, 96))
    clip = here / "cut.mkv"
    clip.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    readable = len(read(clip).frames)
    assert 5 < readable < 35
    result = overlay(clip, table_of(clip))
    assert result.exit_code == 1
    assert "cut.overlay.mp4" in result.stderr
    assert "cut.mkv: truncated after" in result.stderr
    assert result.stderr.endswith("; the film has what could be decoded.\n")
    assert len(read(here / "cut.overlay.mp4").frames) == readable


def test_pictures_become_pictures(here):
    folder = here / "photos"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(picture(i, 320, 240)).save(folder / f"p{i}.png")
    rows = replace(
        made_rows({"AU12": [4.0] * 3}, times=[np.nan] * 3),
        bbox_xyxy_px=np.tile(np.array([20, 30, 60, 80], np.float32), (3, 1)),
    )
    result = overlay(folder, write_table(here / "photos.csv", rows, places=True))
    assert result.exit_code == 0
    names = [f"photos_frame00000{i}.overlay.png" for i in (1, 2, 3)]
    assert sorted(p.name for p in here.glob("*.png")) == names
    drawn = np.asarray(Image.open(here / names[1]))
    assert (
        drawn.shape == (240, 320, 3) and (drawn[30, 20:60] != picture(1, 320, 240)[30, 20:60]).any()
    )
    assert "3 pictures" in result.stderr
    one = write_table(here / "p0.csv", replace_times(rows))
    assert overlay(folder / "p0.png", one, "-o", "one.png").exit_code == 0
    assert (here / "one.png").exists()
    assert overlay(folder / "p0.png", one, "-o", "one.mp4").exit_code == 2


def replace_times(rows: Rows) -> Rows:
    return made_rows({"AU12": [4.0]}, times=[0.0])


def test_without_an_encoder_there_is_a_sentence(here, monkeypatch):
    clip = write_clip(here / "c.mp4", ticks=range(6))
    table = table_of(clip)
    monkeypatch.setattr(film, "ENCODER", "h264_of_nobody")
    result = overlay(clip, table)
    assert (result.exit_code, result.stderr) == (
        1,
        "aucli: This PyAV cannot write H.264; run `pip install --force-reinstall av`, whose wheel "
        "holds the encoder.\n",
    )


def test_a_failure_leaves_nothing(here, monkeypatch):
    clip = write_clip(here / "c.mp4", ticks=range(40))
    table = table_of(clip)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(film.Film, "_encode", fail)
    result = overlay(clip, table)
    assert result.exit_code == 1
    assert result.stderr.endswith(
        "Cannot write c.overlay.mp4: No space left on device; choose another place or free some "
        "space.\n"
    )
    assert sorted(p.name for p in here.iterdir()) == ["c.mp4", "c.parquet"]


def test_tables_that_cannot_be_drawn(here):
    clip = write_clip(here / "c.mp4", ticks=range(6))
    empty = write_table(here / "e.parquet", made_rows({"AU12": []}))
    assert "The table has no rows; nothing can be drawn." in overlay(clip, empty).stderr
    with pytest.raises(DataError, match="no rising times"):
        Moments(to_frame(made_rows({"AU12": [1.0] * 2}, times=[np.nan] * 2), ("AU12",)), True)


def test_a_frame_too_small_for_bars_has_the_rest(here):
    clip = write_clip(here / "c.mp4", ticks=range(6))
    result = overlay(clip, table_of(clip))
    assert "c.mp4: Frames of 64 x 48 pixels have no room for the bars.\n" in result.stderr


def test_a_clip_of_each_event_with_its_sound(here):
    """Two events of AU12 and one of AU25, of which the last ends with the video."""
    clip = write_talk(here / "talk.mp4", ticks=range(0, 300, 2), sound_from=2.0)
    levels = {"AU12": np.zeros(150), "AU25": np.zeros(150)}
    levels["AU12"][30:45] = 3.0  # 2.0 to 3.0 s
    levels["AU12"][100:110] = 1.2
    levels["AU25"][140:] = 4.8
    rows = made_rows({au: own.tolist() for au, own in levels.items()}, fps=15)
    table = write_table(here / "talk.csv", rows, ("AU12", "AU25"))
    result = overlay(clip, table, "--clips", "clips")
    assert result.exit_code == 0, result.output
    files = sorted(p.name for p in (here / "clips").iterdir())
    assert files == [
        "talk_AU12_001_C.overlay.mp4",
        "talk_AU12_002_A.overlay.mp4",
        "talk_AU25_001_E.overlay.mp4",
    ]
    assert not (here / "talk.overlay.mp4").exists()
    first, second, third = (read(here / "clips" / name) for name in files)
    assert [len(film.frames) for film in (first, second, third)] == [45, 40, 25]
    np.testing.assert_allclose(first.seconds, np.arange(45) / 15)
    # The number of the frame is in its blue: the clip begins with frame 15.
    assert abs(int(first.frames[0][:10, :20, 2].mean()) - 15 * 12 % 256) < 8
    heard = sound_of(here / "clips" / files[0]).loud_at
    assert heard == pytest.approx(sound_of(clip).loud_at - 1.0, abs=0.025)
    again = overlay(clip, table, "--clips", "clips")
    assert again.exit_code == 1 and "exists already" in again.stderr
    both = overlay(clip, table, "--clips", "clips", "-o", "all.mp4", "--overwrite", "--aus", "25")
    assert both.exit_code == 0 and len(read(here / "all.mp4").frames) == 150
    none = overlay(clip, table, "--clips", "none", "--aus", "25", "--end", "1")
    assert none.exit_code == 1
    part = overlay(clip, table, "--clips", "part", "--aus", "12", "--start", "5")
    assert part.exit_code == 0, part.output
    assert [p.name for p in (here / "part").iterdir()] == ["talk_AU12_002_A.overlay.mp4"]
    none = overlay(clip, table, "--clips", "none", "--aus", "12", "--start", "9")
    assert none.exit_code == 1 and "no frame in the part that is asked for" in none.stderr
    assert not (here / "none").exists()


def test_without_events_there_are_no_clips(here):
    clip = write_clip(here / "c.mp4", ticks=range(10))
    table = write_table(here / "c.csv", made_rows({"AU12": [0.1] * 10}, fps=30))
    result = overlay(clip, table, "--clips", "clips")
    assert result.exit_code == 0
    assert result.stderr.endswith("c.mp4: no event of these AUs, so no clip.\n")
    assert not (here / "clips").exists()


def test_a_clip_of_one_of_two_faces_shows_its_bars(here):
    clip = write_clip(here / "c.mp4", size=(640, 360), ticks=range(20))
    frames = [i for i in range(20) for _ in range(2)]
    ids = [0, 1] * 20
    levels = [0.0 if i == 0 else 4.0 for i in ids]
    rows = made_rows({"AU12": levels}, frames=frames, times=[i / 30 for i in frames], face_id=ids)
    boxes = [[20 + 500 * i, 250, 60 + 500 * i, 300] for i in ids]
    rows = replace(rows, bbox_xyxy_px=np.array(boxes, np.float32))
    table = write_table(here / "c.csv", rows)
    assert overlay(clip, table, "--clips", "clips").exit_code == 0
    assert [p.name for p in (here / "clips").iterdir()] == ["c_face1_AU12_001_D.overlay.mp4"]
    assert overlay(clip, table).exit_code == 0
    bars = [here / "clips" / "c_face1_AU12_001_D.overlay.mp4", here / "c.overlay.mp4"]
    colour = of_intensities(np.array(4.0))
    own, other = ((np.abs(read(file).frames[5] - colour).max(2) < 40).sum() for file in bars)
    assert own > other + 100  # that of the face, which is strong, and that of the other one
