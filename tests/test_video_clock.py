"""Times always rise, in formats that say them wrongly, twice, or not at all."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from video_clips import RATE, read, write_clip

from aucli.video.clock import Clock

STEADY = np.arange(20) / RATE


def times(said: list[tuple[int | None, int | None]], step: int = 10) -> tuple[list[int], Clock]:
    clock = Clock(step, 1000)
    frames: list[Any] = [SimpleNamespace(pts=pts, dts=dts) for pts, dts in said]
    return [clock.tick(frame) for frame in frames], clock


def pts_only(*pts: int | None) -> list[tuple[int | None, int | None]]:
    return [(one, None) for one in pts]


def test_sound_times_are_kept() -> None:
    ticks, clock = times(pts_only(0, 10, 25, 5000))
    assert ticks == [0, 10, 25, 5000]
    assert clock.note() == ""


def test_a_clock_that_starts_again_goes_on() -> None:
    ticks, clock = times(pts_only(5000, 5010, 0, 10, 900, 0, 10))
    assert ticks == [5000, 5010, 5020, 5030, 5920, 5930, 5940]
    assert clock.note() == "The clock of the file started again 2 times and was continued."


def test_a_time_that_is_given_twice_is_moved_on() -> None:
    ticks, clock = times(pts_only(0, 10, 10, 20, 19, 30))
    assert ticks == [0, 10, 15, 20, 25, 30]
    assert clock.note() == "The clock of the file did not rise 2 times and was moved on there."


def test_a_frame_without_a_time_follows_a_step_later() -> None:
    ticks, clock = times(pts_only(0, None, 20, None))
    assert ticks == [0, 10, 20, 30]
    assert (clock.untimed, clock.note()) == (2, "")


def test_decoding_times_where_the_others_go_back() -> None:
    said = [(0, 0), (20, 10), (10, 20), (40, 30), (30, 40), (60, 50), (50, 60)]
    ticks, _ = times([*said])
    assert (np.diff(ticks) > 0).all()
    assert ticks[-3:] == [40, 50, 60]


@pytest.mark.parametrize("name", ["a.avi", "a.wmv", "a.mkv", "a.mp4", "a.ts", "a.flv"])
def test_reordered_frames(tmp_path: Path, name: str) -> None:
    """AVI and ASF have no place for the time at which a reordered frame is shown."""
    clip = read(write_clip(tmp_path / name))
    np.testing.assert_allclose(clip.seconds, STEADY, atol=2e-3)
    assert clip.report.clock == ""
    np.testing.assert_allclose(clip.frames[..., 2].mean((1, 2)), np.arange(20) * 12, atol=12)


@pytest.mark.parametrize(("name", "codec"), [("a.h264", "libx264"), ("a.hevc", "libx265")])
def test_a_raw_stream_keeps_the_rate_that_it_states(tmp_path: Path, name: str, codec: str) -> None:
    clip = read(write_clip(tmp_path / name, codec))
    assert clip.info.fps == RATE
    np.testing.assert_allclose(clip.seconds, STEADY, atol=1e-4)
    assert clip.report.clock == "The file has no times, so they follow from 30 frames a second."


@pytest.mark.parametrize(
    ("name", "codec"), [("a.ts", "libx264"), ("a.mpg", "mpeg2video"), ("a.flv", "flv")]
)
def test_joined_recordings_go_on(tmp_path: Path, name: str, codec: str) -> None:
    clip = write_clip(tmp_path / name, codec, ticks=range(30))
    joined = tmp_path / f"joined{clip.suffix}"
    joined.write_bytes(clip.read_bytes() * (1 if clip.suffix == ".flv" else 3))
    both = read(joined)
    assert (np.diff(both.seconds) > 0).all()
    if clip.suffix != ".flv":
        assert not both.report.damaged
        assert both.report.clock == "The clock of the file started again 2 times and was continued."
        np.testing.assert_allclose(both.seconds, np.arange(90) / RATE, atol=1e-3)


def test_the_counter_of_a_transport_stream_runs_over(tmp_path: Path) -> None:
    options = {"output_ts_offset": str(2**33 / 90000 - 1.8)}  # 1.4 s are the muxer's own
    clip = read(write_clip(tmp_path / "a.ts", container_options=options))
    np.testing.assert_allclose(clip.seconds, STEADY, atol=1e-4)


def test_sound_that_begins_before_the_picture(tmp_path: Path) -> None:
    clip = tmp_path / "a.mkv"
    with av.open(str(clip), "w") as container:
        sound: Any = container.add_stream("aac", rate=16000, layout="mono")
        pictures: Any = container.add_stream("mpeg4", rate=RATE)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        for i in range(40):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            samples.sample_rate, samples.pts = 16000, i * 1024
            container.mux(sound.encode(samples))
        for i in range(20):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts = i + RATE
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode())
        container.mux(sound.encode())
    found = read(clip)
    assert found.seconds[0] == 0.0
    assert found.info.start_seconds == pytest.approx(1, abs=0.1)
    assert found.info.stream_index == 1
