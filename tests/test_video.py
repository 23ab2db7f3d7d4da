"""Hazard clips, made here with PyAV, through both decoders."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from video_clips import RATE, picture, read, write_clip

from aucli.errors import InputError
from aucli.video import source as video
from aucli.video.source import open_video

VFR = [0, 1, 2, 5, 9, 10, 11, 20, 21, 22, 30, 31, 33, 36, 40, 41, 42, 43, 50, 60]

CLIPS = {
    "plain.mp4": {},
    "late.mp4": {"ticks": range(45, 65)},
    "vfr.mp4": {"ticks": VFR},
    "odd.mp4": {"size": (63, 47), "pix_fmt": "yuv444p"},
    "odd.webm": {"size": (63, 47), "codec": "libvpx-vp9"},
    "ten-bit.mp4": {"pix_fmt": "yuv420p10le"},
    "ten-bit-hevc.mp4": {"pix_fmt": "yuv420p10le", "codec": "libx265"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "av1.mp4": {"codec": "libsvtav1"},
    "mpeg4.avi": {"codec": "mpeg4"},
    "transport.ts": {},
    "flash.flv": {},
    "matroska.mkv": {"ticks": VFR},
    "full-range.mp4": {"pix_fmt": "yuvj420p"},
    "bt709.mp4": {"bt709": True, "size": (642, 362)},
    "turned.mp4": {"rotation": 90},
}


@pytest.mark.parametrize("name", CLIPS)
def test_decoders_agree_and_lose_nothing(tmp_path: Path, name: str) -> None:
    clip = write_clip(tmp_path / name, **CLIPS[name])
    auto, pyav = read(clip), read(clip, "pyav")
    assert pyav.report.decoder == "pyav"
    np.testing.assert_array_equal(auto.frames, pyav.frames)
    np.testing.assert_array_equal(auto.seconds, pyav.seconds)
    np.testing.assert_array_equal(auto.index, np.arange(20))
    ticks = np.array(CLIPS[name].get("ticks", range(20)))
    # Exact, but these store whole milliseconds, and transport streams ticks of 1/90000 s.
    tolerance = {".webm": 5.1e-4, ".mkv": 5.1e-4, ".flv": 5.1e-4}.get(clip.suffix, 1e-12)
    np.testing.assert_allclose(auto.seconds, (ticks - ticks[0]) / RATE, rtol=0, atol=tolerance)
    assert auto.report.decoded_frames == 20
    counted = clip.suffix in (".mp4", ".avi")
    assert auto.report.declared_frames == (20 if counted else 0)
    assert not auto.report.damaged
    blue = auto.frames[..., 2].mean((1, 2))
    np.testing.assert_allclose(blue, np.arange(20) * 12, atol=12)


@pytest.mark.parametrize(
    ("name", "decoder"),
    [("plain.mp4", "decord"), ("matroska.mkv", "decord"),
     # Frames of these may change their size anywhere, and decord stretches them to the first one's.
     ("vp9.webm", "pyav"), ("av1.mp4", "pyav"),
     ("odd.webm", "pyav"), ("transport.ts", "pyav"),
     ("ten-bit.mp4", "pyav"), ("turned.mp4", "pyav")],
)  # fmt: skip
def test_decord_only_where_it_is_exact(tmp_path: Path, name: str, decoder: str) -> None:
    clip = write_clip(tmp_path / name, **CLIPS[name])
    with open_video(clip, "decord") as source:
        assert source.info.decoder == decoder


def test_decord_only_within_the_memory_budget(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4")
    clip_bytes = 20 * 64 * 48 * 3
    assert open_video(clip, memory_budget=clip_bytes).info.decoder == "decord"
    assert open_video(clip, memory_budget=clip_bytes - 1).info.decoder == "pyav"


@pytest.mark.parametrize(
    ("rotation", "clockwise", "bright"),
    [(0, 0, (0, -1)), (90, 270, (0, 0)), (180, 180, (-1, 0)), (-90, 90, (-1, -1))],
)
def test_rotation_is_applied(
    tmp_path: Path, rotation: int, clockwise: int, bright: tuple[int, int]
) -> None:
    clip = read(write_clip(tmp_path / "a.mp4", rotation=rotation))
    assert clip.info.rotation_degrees == clockwise
    shape = (64, 48) if rotation in (90, -90) else (48, 64)
    assert (clip.info.height, clip.info.width) == shape
    assert clip.frames.shape == (20, *shape, 3)
    brightness = clip.frames[0, ..., :2].sum(-1, dtype=int)
    row, column = bright
    assert brightness[row, column] == brightness.max() > 480


@pytest.mark.parametrize(
    ("aspect", "rotation", "shape"),
    [(Fraction(64, 45), 0, (48, 91)), (Fraction(8, 9), 0, (54, 64)), (Fraction(2), 90, (128, 48)),
     (Fraction(1, 1000), 0, (48, 64))],
)  # fmt: skip
def test_pixels_become_square(
    tmp_path: Path, aspect: Fraction, rotation: int, shape: tuple[int, int]
) -> None:
    plain = read(write_clip(tmp_path / "plain.mp4", rotation=rotation))
    clip = read(write_clip(tmp_path / "a.mp4", rotation=rotation, pixel_aspect=aspect))
    assert (clip.info.height, clip.info.width) == shape
    assert clip.frames.shape == (20, *shape, 3)
    # The same picture, only stretched.
    rows, columns = (
        np.arange(n) * m // n for n, m in zip(shape, plain.frames.shape[1:3], strict=True)
    )
    stretched = plain.frames[:, rows][:, :, columns]
    assert np.abs(clip.frames.astype(int) - stretched).mean() < 3


def test_info(tmp_path: Path) -> None:
    info = open_video(write_clip(tmp_path / "a.mp4")).info
    assert (info.width, info.height, info.codec, info.fps) == (64, 48, "h264", 30.0)
    assert info.declared_frames == 20
    assert info.duration_seconds == pytest.approx(20 / 30, abs=1e-3)


def test_a_source_can_be_read_again_and_left_early(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4")
    for decoder in ("decord", "pyav"):
        with open_video(clip, decoder, batch_size=4) as source:
            first = next(iter(source))
            assert source.report.decoded_frames == 4
            again = list(source)
        np.testing.assert_array_equal(again[0].frames, first.frames)
        assert [len(b) for b in again] == [4] * 5
        assert source.report.decoded_frames == 20


@pytest.mark.parametrize(("good", "used"), [(0, "pyav"), (1, "decord+pyav"), (4, "decord+pyav")])
def test_pyav_goes_on_where_decord_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: int, used: str
) -> None:
    decord = pytest.importorskip("decord")

    class Reader(decord.VideoReader):
        calls = 0

        def get_batch(self, indices: Any) -> Any:
            self.calls += 1
            if self.calls > good:
                raise decord.DECORDError("stop")
            return super().get_batch(indices)

    clip = write_clip(tmp_path / "a.mp4", ticks=VFR)
    whole = read(clip, "pyav", batch_size=4)
    monkeypatch.setattr(video, "_decord", lambda: SimpleNamespace(VideoReader=Reader))
    mixed = read(clip, batch_size=4)
    assert mixed.report.decoder == used
    np.testing.assert_array_equal(mixed.frames, whole.frames)
    np.testing.assert_array_equal(mixed.seconds, whole.seconds)
    np.testing.assert_array_equal(mixed.index, np.arange(20))


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv"])
def test_truncated(tmp_path: Path, name: str) -> None:
    whole = write_clip(
        tmp_path / f"whole{Path(name).suffix}",
        size=(160, 128),
        ticks=range(60),
        noise=True,
        container_options={"movflags": "faststart"} if name.endswith("mp4") else None,
    )
    complete = read(whole, "pyav")
    assert not complete.report.damaged
    data = whole.read_bytes()
    cut = tmp_path / name
    cut.write_bytes(data[: len(data) * 6 // 10])
    part = read(cut)
    assert part.report.truncated
    assert part.report.damaged
    assert part.report.declared_frames == (60 if name.endswith("mp4") else 0)
    count = part.report.decoded_frames
    assert 25 <= count == len(part.frames) <= 45
    np.testing.assert_array_equal(part.seconds, complete.seconds[:count])
    # The last frames may lean on one that is cut off; those well before may not differ.
    np.testing.assert_array_equal(part.frames[: count - 8], complete.frames[: count - 8])


def test_flipped_bytes_are_skipped_and_counted(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mp4", size=(160, 128), ticks=range(60), noise=True)
    complete = read(whole, "pyav")
    data = bytearray(whole.read_bytes())
    middle = len(data) // 2
    for i in range(middle, middle + 20_000):
        data[i] ^= 0xFF
    flipped = tmp_path / "flipped.mp4"
    flipped.write_bytes(data)
    auto, pyav = read(flipped), read(flipped, "pyav")
    for clip in (auto, pyav):
        assert clip.report.corrupt_packets >= 1
        assert not clip.report.truncated
        assert 40 <= clip.report.decoded_frames < 60
        assert len(set(clip.seconds)) == len(clip.seconds)
        np.testing.assert_array_equal(clip.frames[:8], complete.frames[:8])
        assert set(clip.seconds) < set(complete.seconds)
        # Decoding comes back at a keyframe behind the damage.
        assert clip.seconds[-1] == complete.seconds[-1]
        np.testing.assert_array_equal(clip.frames[-1], complete.frames[-1])


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_files_that_are_no_videos(tmp_path: Path) -> None:
    def message(path: Path) -> str:
        with pytest.raises(InputError) as error:
            open_video(path)
        return str(error.value).removeprefix(str(path))

    assert message(tmp_path / "missing.mp4") == " does not exist; check the name."
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert message(empty) == " is empty (0 bytes); copy or record it again."
    advice = "give a complete video, image or folder of images."
    for name, why in [
        ("text.mp4", "Invalid data found when processing input"),
        ("text.txt", "it is text"),
    ]:
        text = tmp_path / name
        text.write_text("no video\n" * 100)
        assert message(text) == f" cannot be opened as a video ({why}); {advice}"
    assert message(write_sound(tmp_path / "sound.mp4")) == (
        " has no video stream; give a file that holds pictures, not only sound."
    )
    headless = tmp_path / "headless.mp4"  # the index of such a file is at its end
    headless.write_bytes(write_clip(tmp_path / "a.mp4").read_bytes()[:2000])
    assert message(headless).startswith(" cannot be opened as a video (")
    folder = tmp_path / "folder"
    folder.mkdir()
    assert message(folder) == (
        " is a folder without images (.jpg, .png, .tif and others); "
        "give a video file or a folder of images."
    )
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    assert message(broken) == (
        " cannot be read as an image; open it in a viewer and save it again."
    )


def test_wrong_batch_size(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        open_video(write_clip(tmp_path / "a.mp4"), batch_size=0)


def test_still_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: show it turned clockwise
    image = picture(3, 64, 48)
    Image.fromarray(image).save(tmp_path / "a.png", exif=exif)
    still = read(tmp_path / "a.png")
    np.testing.assert_array_equal(still.frames, np.rot90(image, -1)[None])
    assert (still.seconds.tolist(), still.index.tolist()) == ([0.0], [0])
    assert (still.info.width, still.info.height, still.info.decoder) == (48, 64, "pillow")


def test_sixteen_bit_image(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 6), 200 << 8, np.uint16)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png").frames, np.full((1, 4, 6, 3), 200))


def test_folder_of_images(tmp_path: Path) -> None:
    for i in range(12):
        size = (64, 48) if i < 9 else (32, 24)
        Image.fromarray(picture(i, *size)).save(tmp_path / f"frame{i}.png")
    (tmp_path / "frame4.png").write_text("no image")
    (tmp_path / "notes.txt").write_text("not read")
    with open_video(tmp_path, batch_size=5) as source:
        batches = list(source)
    assert [b.frame_index.tolist() for b in batches] == [[0, 1, 2, 3, 5], [6, 7, 8], [9, 10, 11]]
    assert [b.frames.shape[1:3] for b in batches] == [(48, 64), (48, 64), (24, 32)]
    assert all(np.isnan(b.pts_seconds).all() for b in batches)
    assert [int(b.frames[-1, 0, 0, 2]) for b in batches] == [60, 96, 132]
    assert (source.report.declared_frames, source.report.decoded_frames) == (12, 11)
    assert (source.report.corrupt_packets, source.report.truncated) == (1, False)


def test_edit_list_hides_frames(shared_dir: Path) -> None:
    clip = read(shared_dir / "clips" / "no_face.mp4")
    assert (clip.report.decoder, clip.report.declared_frames, len(clip.frames)) == ("pyav", 95, 95)
    assert clip.seconds[0] == 0.0


def test_joined_recordings_keep_every_frame(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.ts")
    joined = tmp_path / "joined.ts"
    joined.write_bytes(clip.read_bytes() * 2)
    both = read(joined)
    # The damage at the seam costs no more than the pictures that lean on it.
    assert 38 <= both.report.decoded_frames <= 40
    np.testing.assert_array_equal(both.frames[:18], read(clip).frames[:18])


@pytest.mark.slow
def test_memory_stays_bounded(tmp_path: Path) -> None:
    clip = tmp_path / "long.mp4"
    with av.open(str(clip), "w") as container:  # 30 minutes of 720p, 5 GB when decoded
        stream: Any = container.add_stream("libx264", rate=1, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        frame = av.VideoFrame.from_ndarray(picture(0, 1280, 720), "rgb24").reformat(
            format="yuv420p"
        )
        for i in range(1800):
            frame.pts = i
            frame.time_base = Fraction(1)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    code = """
import resource, sys, time
import aucli.video.source, av, numpy, decord
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, count = peak(), 0
for batch in aucli.video.source.open_video(sys.argv[1]):
    count += len(batch)
    if count < 300: time.sleep(0.2)
print(count, peak() - before)
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(clip)], capture_output=True, text=True, check=True
    )
    count, megabytes = run.stdout.split()
    assert int(count) == 1800
    assert float(megabytes) < 300
