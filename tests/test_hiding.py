"""Faces are hidden for good, also where they are not found; what is not known is hidden whole."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from made_tables import made_rows, write_table
from typer.testing import CliRunner
from video_clips import read

from aucli.cli import app
from aucli.pipeline.original import checksum
from aucli.report.hiding import CELLS, Hiding, hide, widened
from aucli.report.readings import Moments, to_readings
from aucli.table.reading import read_table
from aucli.video.source import open_video

SIZE = (640, 480)
FPS = 10
# The face is a chessboard of these, which nothing else has; together they are grey.
CHECKS = np.array([[10, 240, 20], [240, 10, 220]])


def hiding(tmp_path: Path, faces: dict[int, dict[int, tuple[int, int]]], frames: int) -> Hiding:
    """faces: id -> frame -> (x, y) of a face of 60 x 80 px; a frame without any has a row too."""
    index, ids, boxes = [], [], []
    for frame in range(frames):
        own = [(i, at[frame]) for i, at in faces.items() if frame in at]
        for i, (x, y) in own or [(-1, (0, 0))]:
            index.append(frame)
            ids.append(i)
            boxes.append([x, y, x + 60, y + 80] if i >= 0 else [np.nan] * 4)
    levels = [np.nan if i < 0 else 1.0 for i in ids]
    rows = made_rows({"AU12": levels}, frames=index, times=[i / FPS for i in index], face_id=ids)
    rows = replace(rows, bbox_xyxy_px=np.array(boxes, np.float32))
    table = read_table(write_table(tmp_path / "t.parquet", rows))
    return Hiding(Moments(to_readings(table)), SIZE)


def covers(areas: list[np.ndarray] | None, x: float, y: float) -> bool:
    """Whether a face of 60 x 80 px at (x, y) is hidden with all of its pixels."""
    if areas is None:
        return True
    return any(a[0] <= x and a[1] <= y and a[2] >= x + 60 and a[3] >= y + 80 for a in areas)


def test_a_found_face_is_hidden_with_its_head(tmp_path):
    found = hiding(tmp_path, {0: {i: (200, 200) for i in range(5)}}, 5)
    (area,) = found.areas(2, 0.2) or []
    np.testing.assert_allclose(area, [176, 160, 284, 304])


def test_before_the_first_face_the_whole_frame_is_hidden(tmp_path):
    found = hiding(tmp_path, {0: {i: (200, 200) for i in range(5, 9)}}, 9)
    assert [found.areas(i, i / FPS) is None for i in range(9)] == [True] * 5 + [False] * 4


def test_a_short_gap_is_bridged_and_a_long_one_hidden_whole(tmp_path):
    """A face that moves by 20 px a frame is covered also where it is not found."""
    path = {i: (40 + 20 * i, 200) for i in range(25)}
    short = {i: at for i, at in path.items() if not 5 < i < 14}
    found = hiding(tmp_path, {0: short}, 25)
    for i in range(25):
        areas = found.areas(i, i / FPS)
        assert areas is not None and covers(areas, *path[i])
    long = {i: (200, 200) for i in (*range(5), *range(20, 25))}
    found = hiding(tmp_path, {0: long}, 25)
    whole = [i for i in range(25) if found.areas(i, i / FPS) is None]
    assert whole == [*range(15, 20)]  # found at 0.4 s; the last place until 1.4 s
    assert all(covers(found.areas(i, i / FPS), 200, 200) for i in range(25))
    grown = [found.areas(i, i / FPS) for i in (4, 5, 9, 14)]
    sizes = [areas[0][2] - areas[0][0] for areas in grown if areas]
    assert sizes == sorted(sizes) and sizes[-1] > 2 * sizes[0]


def test_a_lost_face_is_awaited_although_another_is_there(tmp_path):
    stays = {i: (500, 200) for i in range(40)}
    gone = {i: (200, 200) for i in range(10)}
    found = hiding(tmp_path, {0: stays, 1: gone}, 40)
    assert [i for i in range(40) if found.areas(i, i / FPS) is None] == [*range(20, 40)]
    # Found again under another id, near by.
    found = hiding(tmp_path, {0: stays, 1: gone, 2: {i: (240, 210) for i in range(30, 40)}}, 40)
    assert [i for i in range(40) if found.areas(i, i / FPS) is None] == [*range(20, 30)]
    # A face far away is another one.
    found = hiding(tmp_path, {0: stays, 1: gone, 2: {i: (20, 20) for i in range(30, 40)}}, 40)
    assert [i for i in range(40) if found.areas(i, i / FPS) is None] == [*range(20, 40)]


def test_who_left_over_the_edge_is_not_awaited(tmp_path):
    stays = {i: (500, 200) for i in range(40)}
    leaves = {i: (200 - 30 * i, 200) for i in range(8)}
    found = hiding(tmp_path, {0: stays, 1: leaves}, 40)
    assert all(found.areas(i, i / FPS) is not None for i in range(40))
    back = {0: leaves | {i: (20 * (i - 30), 200) for i in range(30, 40)}}
    found = hiding(tmp_path, back, 40)  # for the last second before, it may be anywhere
    assert [i for i in range(40) if found.areas(i, i / FPS) is None] == [*range(18, 30)]
    near = {i: (200, 402) for i in range(10)}  # close to the camera, cut by a hair
    found = hiding(tmp_path, {0: stays, 1: near}, 40)
    assert [i for i in range(40) if found.areas(i, i / FPS) is None] == [*range(20, 40)]
    alone = hiding(tmp_path, {0: leaves}, 40)
    assert [i for i in range(40) if alone.areas(i, i / FPS) is None] == [*range(18, 40)]


def test_a_further_face_is_hidden_before_it_is_found(tmp_path):
    stays = {i: (500, 200) for i in range(40)}
    comes = {i: (100, 200) for i in range(20, 40)}
    found = hiding(tmp_path, {0: stays, 1: comes}, 40)
    assert [covers(found.areas(i, i / FPS), 100, 200) for i in (9, 11, 19, 20)] == [
        False, True, True, True,
    ]  # fmt: skip


def test_between_analysed_frames_both_places_are_hidden(tmp_path):
    rows = made_rows({"AU12": [1.0] * 4}, frames=[0, 5, 10, 15], fps=FPS)
    boxes = [[100 + 60 * i, 200, 160 + 60 * i, 280] for i in range(4)]
    rows = replace(rows, bbox_xyxy_px=np.array(boxes, np.float32))
    table = read_table(write_table(tmp_path / "t.csv", rows))
    found = Hiding(Moments(to_readings(table)), SIZE)
    for i in range(16):
        assert covers(found.areas(None, i / FPS), 100 + 12 * i, 200)


@pytest.mark.parametrize("whole", [False, True])
def test_of_what_is_hidden_only_a_few_colours_are_left(whole):
    """Two faces whose cells have the same means become the same pixels."""
    rng = np.random.default_rng(0)
    box = np.array([100, 60, 180, 160])
    area = widened(box)
    frames = [np.full((400, 400, 3), 90, np.uint8) for _ in range(2)]
    for frame in frames:
        noise = rng.integers(0, 256, (80, 60, 3))
        frame[70:150, 110:170] = noise - noise.mean((0, 1)).astype(int) + 120 & 255
        hide(frame, None if whole else [area])
    x0, y0, x1, y1 = (0, 0, 400, 400) if whole else area.astype(int).tolist()
    inside = [frame[y0:y1, x0:x1].astype(float) for frame in frames]
    for frame in inside:
        steps = np.abs(np.diff(frame, axis=1)).max()
        assert steps <= 255 * CELLS / 100  # smooth: nothing smaller than a cell
        values = frame[:: max(1, (y1 - y0) // CELLS), :: max(1, (x1 - x0) // CELLS)]
        assert values.shape[0] <= CELLS + 2
    assert np.abs(inside[0] - inside[1]).max() < 30
    outside = frames[0].copy()
    outside[y0 : y1 + 1, x0 : x1 + 1] = 90
    assert (outside == 90).all()


def test_a_frame_that_is_cut_by_its_edge_has_no_finer_cells():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (100, 100, 3)).astype(np.uint8)
    hide(frame, [np.array([-80.0, 0, 20, 100])])  # a fifth of the head is inside
    assert len(np.unique(frame[50, :20], axis=0)) == 1


@pytest.fixture
def film(tmp_path: Path) -> tuple[Path, list[tuple[int, int]]]:
    """A film with a face, and where it is in each frame."""
    path, where = tmp_path / "film.mp4", []
    background = np.random.default_rng(1).integers(60, 190, (48, 64, 1)).repeat(3, 2)
    background = np.kron(background, np.ones((10, 10, 1))).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv444p"  # pyright: ignore
        for i in range(50):
            x, y = 60 + 8 * i, 180 + (i % 5)
            where.append((x, y))
            rgb = background.copy()
            squares = np.add.outer(np.arange(80) // 10, np.arange(60) // 10) % 2
            rgb[y : y + 80, x : x + 60] = CHECKS[squares]
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24")
            frame.pts, frame.time_base = i, Fraction(1, FPS)
            container.mux(stream.encode(frame))  # pyright: ignore
        container.mux(stream.encode())  # pyright: ignore
    return path, where


def made_of(video: Path, faces: str = "all") -> dict[str, Any]:
    """The provenance of its table."""
    return {"options": {"faces": faces}, "input": {"sha256": checksum(video)}}


def seen(frame: np.ndarray) -> int:
    """Pixels (H, W, 3) in the colours of the face."""
    away = np.abs(frame[:, :, None].astype(int) - CHECKS).max(3)  # (H, W, 2)
    return int((away < 60).any(2).sum())


# Before the first finding, a moment, and too long.
LOST = {*range(4), *range(12, 16), *range(22, 40)}


@pytest.mark.parametrize("every", [1, 3])
def test_no_pixel_of_a_face_is_seen_in_any_frame(film, tmp_path, monkeypatch, every):
    monkeypatch.chdir(tmp_path)
    path, where = film
    assert all(seen(frame) > 4000 for frame in read(path).frames)
    index = list(range(0, 50, every))
    boxes = [
        [np.nan] * 4 if i in LOST else [*where[i], where[i][0] + 60, where[i][1] + 80]
        for i in index
    ]
    levels = [np.nan if i in LOST else 1.0 for i in index]
    rows = made_rows({"AU12": levels}, frames=index, times=[i / FPS for i in index])
    rows = replace(rows, bbox_xyxy_px=np.array(boxes, np.float32))
    table = write_table(tmp_path / "film.parquet", rows, provenance=made_of(path))
    result = CliRunner().invoke(app, ["overlay", str(path), str(table), "--anonymise"])
    assert result.exit_code == 0, result.output
    hidden = read(tmp_path / "film.overlay.mp4").frames
    assert len(hidden) >= 48
    for frame in hidden:
        assert seen(frame) == 0
    assert "of them hidden as a whole" in result.stderr
    assert "A voice" not in result.stderr  # there is none


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """A call of 30 small frames and 40 of twice their size, with two faces."""
    parts = []
    for name, scale, frames in (("small", 1, range(30)), ("large", 2, range(30, 70))):
        part = tmp_path / f"{name}.ts"
        with av.open(str(part), "w") as container:
            stream: Any = container.add_stream("libx264", rate=FPS, options={"bf": "0"})
            stream.width, stream.height, stream.pix_fmt = 320 * scale, 240 * scale, "yuv420p"
            stream.codec_context.time_base = Fraction(1, FPS)
            rgb = np.full((240, 320, 3), 120, np.uint8)
            squares = np.add.outer(np.arange(40) // 10, np.arange(30) // 10) % 2
            for x, y in CALLERS:
                rgb[y : y + 40, x : x + 30] = CHECKS[squares]
            rgb = rgb.repeat(scale, 0).repeat(scale, 1)
            for i in frames:
                frame = av.VideoFrame.from_ndarray(rgb, "rgb24")
                frame.pts, frame.time_base = i, Fraction(1, FPS)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        parts.append(part.read_bytes())
    path = tmp_path / "call.ts"
    path.write_bytes(b"".join(parts))
    return path


CALLERS = ((40, 60), (240, 120))  # px of the small frames


@pytest.mark.parametrize(
    "found",
    [
        # The second face is lost in the large frames, beyond the edge of the small ones.
        ({*range(70)}, {*range(40)}),
        # The second face is lost in the small frames, and awaited in the large ones.
        ({*range(70)}, {*range(28)}),
        # Both are lost just before, and one is found again.
        ({*range(29), *range(34, 70)}, {*range(29)}),
    ],
)
def test_no_face_is_seen_where_a_call_changes_its_size(call, tmp_path, found):
    with open_video(call) as source:
        seconds = np.concatenate([batch.pts_seconds for batch in source])
    index, ids, boxes = [], [], []
    for frame in range(len(seconds)):
        scale = 1 if frame < 30 else 2
        own = [i for i in (0, 1) if frame in found[i]]
        for i in own or [-1]:
            x, y = CALLERS[i]
            index.append(frame)
            ids.append(i)
            boxes.append(
                [np.nan] * 4 if i < 0 else np.multiply([x, y, x + 30, y + 40], scale).tolist()
            )
    levels = [np.nan if i < 0 else 1.0 for i in ids]
    times = seconds[index].tolist()
    rows = made_rows({"AU12": levels}, frames=index, times=times, face_id=ids)
    rows = replace(rows, bbox_xyxy_px=np.array(boxes, np.float32))
    table = write_table(tmp_path / "call.parquet", rows, provenance=made_of(call))
    target = tmp_path / "x.mp4"
    arguments = ["overlay", str(call), str(table), "--anonymise", "-o", str(target)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    hidden = read(target).frames
    assert len(hidden) == 70
    assert [i for i, frame in enumerate(hidden) if seen(frame)] == []


def test_a_table_without_boxes_hides_nothing_and_is_refused(film, tmp_path):
    path, _ = film
    rows = made_rows({"AU12": [1.0] * 50}, fps=FPS)
    rows = replace(rows, bbox_xyxy_px=np.full((50, 4), np.nan, np.float32))
    table = write_table(tmp_path / "t.csv", rows, provenance=made_of(path, "largest"))
    result = CliRunner().invoke(
        app,
        ["overlay", str(path), str(table), "--anonymise", "--alone", "-o", str(tmp_path / "x.mp4")],
    )
    assert result.exit_code == 1
    assert "The table has no face boxes, so no face can be hidden by it." in result.stderr


def test_a_voice_is_told(tmp_path, monkeypatch):
    from video_clips import write_talk

    monkeypatch.chdir(tmp_path)
    clip = write_talk(tmp_path / "talk.mp4")
    rows = made_rows({"AU12": [1.0] * 30}, fps=30)
    table = write_table(tmp_path / "talk.csv", rows, provenance=made_of(clip, "largest"))
    arguments = ["overlay", str(clip), str(table), "--anonymise", "--alone"]
    warned = "warning: A voice identifies a person as a face does; --no-sound leaves it out.\n"
    assert warned in CliRunner().invoke(app, arguments).stderr
    silent = CliRunner().invoke(app, [*arguments, "--no-sound", "--overwrite"])
    assert silent.exit_code == 0 and "A voice" not in silent.stderr


@pytest.mark.parametrize(
    "provenance, options, words",
    [
        (False, ["--alone"], "t.csv does not tell which file it was made of, or was changed since"),
        (True, [], "t.csv was made with --faces largest, so other people would stay visible"),
        (True, ["--alone", "--other-copy"], "the faces may be at other places and times"),
    ],
)
def test_tables_that_may_miss_a_face_are_refused(film, tmp_path, provenance, options, words):
    path, _ = film
    told: dict[str, Any] = made_of(path, "largest") if provenance else {"aucli": "0"}
    rows = made_rows({"AU12": [1.0] * 50}, fps=FPS)
    table = write_table(tmp_path / "t.csv", rows, provenance=told)
    target = tmp_path / "x.mp4"
    arguments = ["overlay", str(path), str(table), "--anonymise", "-o", str(target), *options]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2 and words in " ".join(result.stderr.split())
    assert not target.exists()
