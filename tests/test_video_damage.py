"""Damaged files: each ends in seconds, and what is lost is told; sound ones are not suspected."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from video_clips import read, write_clip

from aucli.errors import InputError
from aucli.video import demux
from aucli.video.clock import Clock
from aucli.video.source import FrameSource, VideoSource, open_video
from aucli.video.transport import find_breaks
from aucli.video.witness import missing_frames

PACKET = 188
GAPS = [0, 1, 2, 3, 9, 10, 11, 12, 13, 30, 31, 32, 33, 34, 50, 51, 52, 53, 54, 55]


def damage(path: Path, change: Any) -> Path:
    data = path.read_bytes()
    damaged = path.with_name(f"damaged{path.suffix}")
    damaged.write_bytes(change(data))
    return damaged


@pytest.mark.parametrize(
    ("name", "codec", "fourcc"), [("a.mov", "libx264", b"avc1"), ("a.avi", "mpeg4", b"FMP4")]
)
def test_pictures_without_a_decoder_are_refused(
    tmp_path: Path, name: str, codec: str, fourcc: bytes
) -> None:
    clip = damage(write_clip(tmp_path / name, codec), lambda data: data.replace(fourcc, b"zzzz"))
    with pytest.raises(InputError) as error:
        open_video(clip)
    assert str(error.value) == (
        f"{clip} holds pictures in a form that cannot be decoded here; "
        "copy the file again, or convert it to MP4 with H.264."
    )


def test_a_decoder_that_always_fails_is_not_asked_for_ever() -> None:
    def fail(packet: Any) -> Any:
        raise OSError

    class Packets(list):
        stream = SimpleNamespace(decode=fail)
        errors = 0

        def on_corrupt(self) -> None:
            self.errors += 1

    packets: Any = Packets()
    assert list(demux.decode(packets)) == []
    assert packets.errors == demux.MAX_FLUSH_ERRORS


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "libx264"), ("a.webm", "libvpx-vp9"), ("a.flv", "flv")]
)
def test_a_hole_beside_an_error_is_a_loss(tmp_path: Path, name: str, codec: str) -> None:
    clip = write_clip(tmp_path / name, codec, size=(160, 128), noise=True)
    middle = clip.stat().st_size // 2
    report = read(
        damage(clip, lambda data: data[:middle] + bytes(3000) + data[middle + 3000 :])
    ).report
    assert report.decoded_frames < 20
    assert report.damaged


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mkv", "libx264"), ("a.webm", "libvpx"), ("a.ts", "libx264"), ("a.avi", "mpeg4"),
     ("a.mp4", "libx264"), ("a.wmv", "wmv2")],
)  # fmt: skip
def test_holes_alone_are_sound(tmp_path: Path, name: str, codec: str) -> None:
    """AVI writes an empty frame for each that a camera dropped, and counts them as frames."""
    clip = read(write_clip(tmp_path / name, codec, ticks=GAPS))
    assert clip.report.decoded_frames == 20
    assert not clip.report.damaged
    np.testing.assert_allclose(clip.seconds, np.array(GAPS) / 30, atol=2e-3)


def test_a_gif_that_does_not_reach_its_end(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.gif", "gif", pix_fmt="rgb8", noise=True)
    whole = read(clip)
    assert (whole.report.decoded_frames, whole.report.damaged) == (20, False)
    half = clip.stat().st_size // 2
    cut = read(damage(clip, lambda data: data[:half])).report
    assert cut.truncated
    assert cut.decoded_frames < 20
    swallowed = read(damage(clip, lambda data: data[:half] + bytes([200] * 90) + data[half:]))
    assert swallowed.report.damaged


@pytest.mark.parametrize(("name", "codec"), [("a.wmv", "wmv2"), ("a.mxf", "mpeg2video")])
def test_a_file_smaller_than_it_says(tmp_path: Path, name: str, codec: str) -> None:
    clip = write_clip(tmp_path / name, codec, size=(160, 128), noise=True)
    assert not read(clip).report.damaged
    report = read(damage(clip, lambda data: data[: len(data) * 2 // 3])).report
    assert report.truncated
    assert report.decoded_frames < 20


def test_a_transport_stream_without_some_packets(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.ts", "mpeg2video", noise=True)
    data = clip.read_bytes()
    assert find_breaks(clip, 256).positions == ()
    starts = [i for i in range(0, len(data), PACKET) if data[i + 1 : i + 3] == b"\x41\x00"]
    lost = read(damage(clip, lambda data: data[: starts[8]] + data[starts[11] :])).report
    assert lost.decoded_frames == 17
    assert lost.missing_frames == 3
    cut = read(damage(clip, lambda data: data[: starts[15] + 100])).report
    assert cut.truncated


def test_joined_transport_streams_are_sound(tmp_path: Path) -> None:
    clip = read(damage(write_clip(tmp_path / "a.ts", "mpeg2video"), lambda data: data * 2))
    assert clip.report.decoded_frames == 40
    assert not clip.report.damaged


def test_positions_of_breaks(tmp_path: Path) -> None:
    def packet(counter: int, pid: int = 256, flags: int = 0x10) -> bytes:
        return bytes([0x47, pid >> 8, pid & 255, flags | counter % 16]) + bytes(184)

    def breaks(*packets: bytes) -> Any:
        file = tmp_path / "a.ts"
        file.write_bytes(b"".join(packets))
        return find_breaks(file, 256)

    good = [packet(i) for i in range(20)]
    assert breaks(*good) == breaks()
    assert breaks(*good[:5], good[4], *good[5:]).positions == ()  # a repeated packet
    assert breaks(*good[:5], packet(9, 77), *good[5:]).positions == ()  # of another stream
    assert breaks(*good[:5], *good[8:]).positions == (5 * PACKET,)
    assert breaks(*good[:5], bytes(100), *good[5:]).positions == (5 * PACKET,)
    assert breaks(*good, bytes(300)).cut
    assert breaks(*good, good[0][:50]).cut


def test_missing_frames() -> None:
    steady = list(range(0, 1000, 10))
    assert missing_frames(steady, [5], 0, 1000) == 0
    hole = [t for t in steady if t not in (500, 510)]
    assert missing_frames(hole, [], 0, 1000) == 0
    assert missing_frames(hole, [50], 0, 1000) == 2
    assert missing_frames(hole, [30], 0, 1000) == 2  # the decoder held frames back
    assert missing_frames(hole, [51, 90], 0, 1000) == 2
    assert missing_frames(hole, [60], 0, 1000) == 0  # elsewhere
    assert missing_frames(steady[:-4], [96], 0, 1000) == 4
    assert missing_frames(steady[:-4], [96], 0, None) == 0
    assert missing_frames(steady[3:], [0], 0, None) == 3
    assert missing_frames([0], [1], 0, 20) == 1


CODECS = {
    "h264.mp4": "libx264",
    "h264.mkv": "libx264",
    "h264.ts": "libx264",
    "hevc.mp4": "libx265",
    "mpeg4.avi": "mpeg4",
    "mpeg2.ts": "mpeg2video",
    "vp8.webm": "libvpx",
    "vp9.webm": "libvpx-vp9",
    "av1.mp4": "libsvtav1",
    "png.mov": "png",
}


@pytest.mark.parametrize("name", CODECS)
def test_damage_is_the_same_whatever_the_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    clip = write_clip(
        tmp_path / name,
        CODECS[name],
        size=(160, 128),
        ticks=range(24),
        noise=True,
        pix_fmt="rgb24" if name == "png.mov" else "yuv420p",
    )
    size = clip.stat().st_size
    for tenths in (3, 5, 7, 9):
        at = size * tenths // 10

        def change(data: bytes, at: int = at) -> bytes:
            return data[:at] + bytes(each ^ 0x55 for each in data[at : at + 40]) + data[at + 40 :]

        bad = damage(clip, change)
        monkeypatch.setattr(demux, "THREADS", 1)
        one = read(bad, "pyav")
        for threads in (2, 3, 16):
            monkeypatch.setattr(demux, "THREADS", threads)
            for decoder in ("pyav", "auto"):
                several = read(bad, decoder)
                np.testing.assert_array_equal(several.seconds, one.seconds)
                np.testing.assert_array_equal(several.frames, one.frames)
                if one.report.damaged:
                    assert several.report == one.report


@pytest.mark.parametrize(
    ("name", "several"),
    [("h264.mp4", True), ("h264.ts", True), ("vp9.webm", True), ("av1.mp4", True),
     ("mpeg4.avi", False), ("hevc.mp4", False)],
)  # fmt: skip
def test_sound_files_are_decoded_once_and_by_several_threads_where_damage_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, several: bool
) -> None:
    clip = write_clip(tmp_path / name, CODECS[name], ticks=range(24))
    shared, opened = [], []
    share_out, open_container = demux.share_out, demux.open_container
    monkeypatch.setattr(demux, "share_out", lambda stream: shared.append(share_out(stream)) or True)
    with open_video(clip, "pyav") as source:
        monkeypatch.setattr(
            demux, "open_container", lambda *a: opened.append(1) or open_container(*a)
        )
        assert sum(len(batch) for batch in source) == 24
    assert shared == [several]
    assert opened == [1]


def test_what_a_picture_lacks_is_the_same_wherever_it_is_decoded_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes from the memory of an earlier picture, so the same ones must be kept."""
    clip = write_clip(tmp_path / "a.mkv", "ffv1", size=(160, 128), ticks=range(24))
    size = clip.stat().st_size
    at, end = size * 43 // 100, size * 48 // 100
    bad = damage(clip, lambda data: data[:at] + bytes(end - at) + data[end:])
    found = []
    for threads in (1, 16):  # two batches have been given, or none
        monkeypatch.setattr(demux, "THREADS", threads)
        found.append(read(bad, "pyav", batch_size=4).frames)
    np.testing.assert_array_equal(*found)


def test_what_is_decoded_anew_gives_signs_of_life(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", size=(160, 128), ticks=range(200), noise=True)
    at = clip.stat().st_size * 9 // 10
    bad = damage(clip, lambda data: data[:at] + bytes(40) + data[at + 40 :])
    signs: list[int] = []
    with open_video(bad, "pyav") as source:
        source.on_wait = lambda: signs.append(1)
        assert sum(len(batch) for batch in source) > 190
    assert len(signs) == 160 // 64  # five batches of 32 had been given


def test_a_clip_with_a_damaged_picture_is_told_whichever_decoder_reads_it(tmp_path: Path) -> None:
    """decord would conceal it without a word, in a picture that is no key frame."""
    clip = write_clip(tmp_path / "a.mp4", size=(160, 128), noise=True)
    with demux.open_container(clip) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    packet = packets[11]
    assert not packet.is_keyframe
    assert packet.pos is not None
    at = packet.pos + packet.size // 2
    bad = damage(clip, lambda data: data[:at] + bytes(20) + data[at + 20 :])
    auto, pyav = read(bad), read(bad, "pyav")
    assert auto.report.damaged
    assert auto.report == pyav.report
    np.testing.assert_array_equal(auto.frames, pyav.frames)


def test_a_guessed_picture_behind_its_place_is_left_out() -> None:
    clock = Clock(1, 30.0)
    for pts in (28, 29, 36):
        clock.tick(SimpleNamespace(pts=pts, dts=pts))  # pyright: ignore[reportArgumentType]

    def is_past(pts: int | None) -> bool:
        return clock.is_past(SimpleNamespace(pts=pts, dts=pts))  # pyright: ignore[reportArgumentType]

    assert [is_past(pts) for pts in (30, 36, 37, None)] == [True, True, False, False]
    assert not is_past(5)  # the clock has started again


def test_a_span_counts_errors_that_mark_no_frame(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mov", "mjpeg", pix_fmt="yuvj420p", size=(160, 128), noise=True)
    with demux.open_container(clip) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert packets[12].pos is not None
    at = packets[12].pos + packets[12].size * 3 // 4
    bad = damage(clip, lambda data: data[:at] + b"\xff\xd9" + data[at + 2 :])
    source = open_video(bad, "pyav")
    assert isinstance(source, VideoSource)
    index = source.index()
    assert index is not None
    found = []
    for first, stop in ((0, 10), (5, 15), (14, 20)):
        span = index.span(first, stop)
        assert span is not None
        source.take(span)
        assert sum(len(batch) for batch in source) == stop - first
        found.append((source.report.damaged, source.report.errors > 0))
    assert found == [(False, False), (False, True), (False, False)]


class SlowSource(FrameSource):
    """Stays in its first frame until it is told to go on."""

    def __init__(self, source: FrameSource) -> None:
        super().__init__(source.info, 1)
        self.inside, self.go_on, self.released = (threading.Event() for _ in range(3))

    def _batches(self) -> Any:
        try:
            while True:
                self.inside.set()
                self.go_on.wait(10)
                yield []
        finally:
            self.released.set()


def test_close_hides_no_interrupt_while_another_thread_decodes(tmp_path: Path) -> None:
    source = SlowSource(open_video(write_clip(tmp_path / "a.mp4")))
    thread = threading.Thread(target=lambda: [time.sleep(0.01) for _ in source])
    with pytest.raises(KeyboardInterrupt), source:
        thread.start()
        source.inside.wait(10)
        raise KeyboardInterrupt
    source.go_on.set()
    thread.join(10)
    assert not thread.is_alive()
    assert source.released.is_set()
