"""What is read from each frame: its size, its turn, its mirror; and the limit of its size."""

import gc
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from video_clips import RATE, picture, read, write_clip

import aucli
from aucli.errors import InputError
from aucli.faces.track import Tracker
from aucli.video.source import open_video

PARTS = [(64, 48), (32, 24), (48, 64)]


def write_parts(path: Path, codec: str, parts: list[np.ndarray]) -> Path:
    """Parts (N, H, W, 3) of different sizes in one stream, as a call does that saves bandwidth."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=RATE)
        stream.height, stream.width = parts[0].shape[1:3]
        stream.pix_fmt = "yuv420p"
        done = 0
        for images in parts:
            encoder: Any = av.CodecContext.create(codec, "w")
            encoder.height, encoder.width = images.shape[1:3]
            encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, RATE)
            encoder.framerate, encoder.bit_rate = Fraction(RATE), 2_000_000
            packets = []
            for i, image in enumerate(images):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
                frame.pts, frame.time_base = done + i, Fraction(1, RATE)
                packets += encoder.encode(frame)
            for packet in packets + encoder.encode():
                packet.stream, packet.time_base = stream, Fraction(1, RATE)
                container.mux(packet)
            done += len(images)
    return path


def write_sizes(path: Path, codec: str, sizes: list[tuple[int, int]] = PARTS) -> Path:
    """Ten frames of each size."""
    parts = [np.stack([picture(i, *size) for i in range(10)]) for size in sizes]
    return write_parts(path, codec, parts)


@pytest.mark.parametrize("decoder", ["auto", "pyav"])
@pytest.mark.parametrize(
    ("name", "codec"), [("a.webm", "libvpx"), ("a.webm", "libvpx-vp9"), ("a.mkv", "libx264")]
)
def test_each_frame_has_its_own_size(tmp_path: Path, name: str, codec: str, decoder: Any) -> None:
    with open_video(write_sizes(tmp_path / name, codec), decoder, batch_size=7) as source:
        batches = list(source)
    shapes = [batch.frames.shape[:3] for batch in batches]
    assert shapes == [(n, h, w) for w, h in PARTS for n in (7, 3)]
    assert np.concatenate([batch.frame_index for batch in batches]).tolist() == [*range(30)]
    assert not source.report.damaged
    # Nothing is stretched: the gradient spans every frame from side to side.
    for batch in batches:
        assert batch.frames[:, 5, 0, 0].max() < 30
        assert batch.frames[:, 5, -1, 0].min() > 220


def test_a_large_frame_in_the_middle_makes_a_smaller_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aucli.video.source.MAX_BATCH_BYTES", 64 * 48 * 3 * 4)
    clip = write_sizes(tmp_path / "a.webm", "libvpx", [(32, 24), (64, 48)])
    with open_video(clip, batch_size=8) as source:
        assert [len(batch) for batch in source] == [8, 2, 4, 4, 2]


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", [{}, {"hflip": True}, {"vflip": True}])
def test_all_eight_turns(tmp_path: Path, degrees: int, flip: dict[str, bool]) -> None:
    plain = read(write_clip(tmp_path / "plain.mp4")).frames[0]
    path = tmp_path / "a.mp4"
    with av.open(str(tmp_path / "plain.mp4")) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(degrees, **flip)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    clip = read(path)
    right = np.rot90(plain, degrees // 90)  # counter-clockwise, then mirrored
    right = right[:, ::-1] if "hflip" in flip else right[::-1] if "vflip" in flip else right
    np.testing.assert_array_equal(clip.frames[0], right)
    assert (clip.info.height, clip.info.width) == right.shape[:2]
    assert clip.info.mirrored == bool(flip)
    own = plain[:, ::-1] if clip.info.mirrored else plain
    np.testing.assert_array_equal(np.rot90(own, -clip.info.rotation_degrees // 90), right)
    if degrees or flip:
        assert clip.report.decoder == "pyav"


def test_frames_above_the_limit_are_refused(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4")
    assert open_video(clip, max_pixels=64 * 48).info.width == 64
    with pytest.raises(InputError) as error:
        open_video(clip, max_pixels=64 * 48 - 1)
    assert str(error.value) == (
        f"{clip} has frames of 64 x 48 pixels, more than max_pixels=3071; "
        "make it smaller, or copy it again if that size is wrong."
    )


@pytest.mark.parametrize(("name", "codec"), [("a.ts", "mpeg2video"), ("a.avi", "ffv1")])
def test_no_memory_is_taken_for_frames_above_the_limit(
    tmp_path: Path, name: str, codec: str
) -> None:
    """Formats whose size is known only by decoding are not decoded beyond the limit."""
    clip = write_clip(tmp_path / name, codec)
    assert open_video(clip, max_pixels=64 * 48).info.width == 64
    with pytest.raises(InputError) as error:
        open_video(clip, max_pixels=64 * 48 - 1)
    assert str(error.value) == (
        f"{clip} has frames that cannot be decoded, or of more than max_pixels=3071 pixels; "
        "copy or convert it again."
    )


def test_no_frame_outlives_its_batch(tmp_path: Path) -> None:
    """Frames in a reference cycle wait for the garbage collector, hundreds at a time."""
    clip = write_clip(tmp_path / "a.mp4", "mjpeg", pix_fmt="yuvj420p", rotation=90)
    gc.collect()
    gc.disable()
    try:
        read(clip, "pyav")
        # Not isinstance: some objects of torch warn when they are asked for their class.
        kept = sum(type(one) is av.VideoFrame for one in gc.get_objects())
    finally:
        gc.enable()
    assert kept <= 4


@pytest.mark.slow
def test_a_change_of_size_changes_no_value(tmp_path: Path) -> None:
    """The demo's face, at half the size in the middle, keeps its id and its expression."""
    demo = Path(__file__).parents[1] / "examples" / "demo.mp4"
    with open_video(demo) as source:
        frames = np.concatenate([batch.frames for batch in source])[25:73]
    parts = [frames[:16], frames[16:32, ::2, ::2], frames[32:, :, 140:500]]
    analyzer = aucli.Analyzer(threads=2)
    whole = analyzer.frames(frames, np.arange(48) / 25)
    mixed = analyzer.frame(write_parts(tmp_path / "a.webm", "libvpx", parts))
    assert mixed["success"].to_numpy().all()
    assert set(mixed["face_id"]) == {0}
    aus = [name for name in whole if name.endswith("_r")]
    assert (mixed[aus] - whole[aus]).abs().to_numpy().max() < 1
    assert (mixed[aus] - whole[aus]).abs().to_numpy().mean() < 0.1
    ratio = mixed["face_w"].to_numpy() / whole["face_w"].to_numpy()
    np.testing.assert_allclose(ratio.reshape(3, 16).mean(1), [1, 0.5, 1], atol=0.05)


def test_a_face_keeps_its_id_when_the_frames_change_their_size() -> None:
    face = np.random.default_rng(0).uniform(200, 300, (1, 68, 2)).astype(np.float32)
    tracker = Tracker()
    assert tracker.update(0.0, face).tolist() == [0]
    assert tracker.update(0.1, face + 1).tolist() == [0]
    tracker.resize((480, 640), (240, 320), 0.0)
    assert tracker.update(0.2, (face + 2) / 2).tolist() == [0]
    tracker.resize((240, 320), (360, 320), 0.0)  # the sensor's upper and lower part come back
    assert tracker.update(0.3, (face + 3) / 2 + [0, 60]).tolist() == [0]
