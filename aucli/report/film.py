"""Films: frames with their own times and the sound of another film, as H.264 in MP4.

Nothing but pictures and sound goes into the file: no title, place or time of the recording.
"""

import contextlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import EOFError as EndOfStreamError
from av.error import FFmpegError
from av.packet import Packet

from aucli.errors import InputError, LibraryError, OutputError
from aucli.video.clock import RESTART_SECONDS
from aucli.video.demux import open_container

ENCODER = "libx264"
# About 3 MB a minute of 720p of a talking person; losses cannot be seen beside the original.
OPTIONS = {"preset": "veryfast", "crf": "20"}
SECONDS_PER_KEY_FRAME = 2  # players jump to these
BT709 = 1  # the number of this colour space, its primaries and its transfer in H.264
LIMITED_RANGE = 1
FRAMES_AHEAD = 4  # drawn and not yet encoded

# Sound that MP4 players know; the rest becomes AAC.
COPIED = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"})
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
AAC_BITS_PER_SECOND = 128_000
LOST = "parts of the sound are missing"
# Decoders need packets before the first one that is heard; MP4 tells players to leave them out.
WARM_UP_SECONDS = 0.05
SOUGHT_FROM, SOUGHT_BEFORE = 20.0, 5.0  # seconds
MAX_ERRORS = 100  # in a row, after which the sound is given up


def require_encoder() -> None:
    """Raise LibraryError where this PyAV cannot write H.264."""
    if ENCODER not in av.codecs_available:
        raise LibraryError(
            "This PyAV cannot write H.264; run `pip install --force-reinstall av`, whose wheel "
            "holds the encoder."
        )


class Film:
    """Writes frames into an MP4 as they come; a thread encodes.

    stream: the file, open for writing and seeking. size_wh: px; an odd side grows by a copy of its
    last row or column, as H.264 wants even ones. time_base: seconds of a tick. fps: about how many
    frames a second. sound: None for none. A context manager; the film is whole when the block ends.

    Raises OutputError where the pictures are too large for H.264, and OSError where the disk
    refuses.
    """

    def __init__(
        self,
        stream: BinaryIO,
        size_wh: tuple[int, int],
        time_base: Fraction,
        fps: float,
        sound: "Sound | None" = None,
    ) -> None:
        require_encoder()
        self._sound = sound
        self._container: OutputContainer = av.open(stream, "w", format="mp4")
        rate = Fraction(fps or 25).limit_denominator(1001)
        self._video: Any = self._container.add_stream(ENCODER, rate=rate, options=OPTIONS)
        self._pad = [(0, size_wh[1] % 2), (0, size_wh[0] % 2), (0, 0)]
        self._video.width, self._video.height = (side + side % 2 for side in size_wh)
        self._video.pix_fmt = "yuv420p"
        context = self._video.codec_context
        context.time_base = self._time_base = time_base
        context.gop_size = max(1, round(SECONDS_PER_KEY_FRAME * rate))
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        try:
            context.open()
        except FFmpegError as error:
            width, height = size_wh
            raise OutputError(
                f"Frames of {width} x {height} pixels cannot be written as H.264; make the video "
                "smaller."
            ) from error
        if sound is not None:
            sound.attach(self._container)
        self._encoder = ThreadPoolExecutor(1, "encode")
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> "Film":
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        try:
            if kind is None:
                self._encoder.submit(self._finish).result()
        finally:
            self._encoder.shutdown(cancel_futures=True)
            if self._sound is not None:
                self._sound.close()
            if kind is not None:  # what is written is unwanted, and may not fit on the disk
                with contextlib.suppress(FFmpegError, OSError, ValueError):
                    self._container.close()

    def add(self, rgb: np.ndarray, tick: int) -> None:
        """The next frame, (H, W, 3) uint8, which is left alone from now on, at its time in ticks.

        Errors of earlier frames are raised here or at the end of the block.
        """
        while len(self._pending) >= FRAMES_AHEAD:
            self._pending.popleft().result()
        self._pending.append(self._encoder.submit(self._encode, rgb, tick))

    def _encode(self, rgb: np.ndarray, tick: int) -> None:
        if any(after for _, after in self._pad):
            rgb = np.pad(rgb, self._pad, mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        frame.pts, frame.time_base = tick, self._time_base
        self._container.mux(self._video.encode(frame))
        if self._sound is not None:
            self._container.mux(list(self._sound.until(float(tick * self._time_base))))

    def _finish(self) -> None:
        for pending in self._pending:
            pending.result()
        self._container.mux(self._video.encode())
        if self._sound is not None:
            self._container.mux(list(self._sound.until(None)))
        self._container.close()


class Sound:
    """The first sound of a video, copied where MP4 takes it, else as AAC.

    start_seconds: where the film begins, in the file's own clock. end_seconds: where it ends, in
    the film; None for the whole rest. ``damage``: what is missing of it, in a few words.
    """

    def __init__(self, path: Path, start_seconds: float, end_seconds: float | None) -> None:
        self.damage = ""
        self._end = end_seconds
        self._start = start_seconds
        self._source: InputContainer = open_container(path)
        self._stream: AudioStream = self._source.streams.audio[0]
        if start_seconds > SOUGHT_FROM:
            # A clip of a long film; where it cannot be done, reading goes on from the start.
            with contextlib.suppress(FFmpegError):
                self._source.seek(round((start_seconds - SOUGHT_BEFORE) * av.time_base))
        self._packets = self._copies()
        self._held: Packet | None = None
        self._copied = self._stream.codec_context.codec.canonical_name in COPIED
        self._output: Any = None

    @classmethod
    def of(
        cls, path: Path, start_seconds: float, end_seconds: float | None = None
    ) -> "Sound | None":
        """The sound of a file; None where it has none that can be read."""
        try:
            sound = cls(path, start_seconds, end_seconds)
        except (IndexError, InputError):
            return None
        context: AudioCodecContext | None = sound._stream.codec_context
        if context is None or not context.sample_rate:
            sound.close()
            return None
        return sound

    def close(self) -> None:
        """Release the file."""
        self._source.close()

    def attach(self, container: OutputContainer) -> None:
        """Add a stream to a film that is being written."""
        if self._copied:
            self._output = container.add_stream_from_template(self._stream)
            return
        own = self._stream.codec_context
        rate = own.sample_rate if own.sample_rate in AAC_RATES else AAC_RATES[-1]
        layout = "mono" if own.layout.nb_channels == 1 else "stereo"
        self._output = container.add_stream("aac", rate=rate, layout=layout)
        self._output.codec_context.bit_rate = AAC_BITS_PER_SECOND
        self._resampler = AudioResampler("fltp", layout, rate)
        self._packets = self._as_aac()

    def until(self, seconds: float | None) -> Iterator[Packet]:
        """The next packets up to a time of the film, the rest for None."""
        while True:
            packet = self._held or next(self._packets, None)
            self._held = None
            if packet is None:
                return
            if seconds is not None and _seconds(packet) > seconds:
                self._held = packet
                return
            yield packet

    def _copies(self) -> Iterator[Packet]:
        for packet in self._moved():
            packet.stream = self._output
            yield packet

    def _moved(self) -> Iterator[Packet]:
        """Packets of the film's part, at its times, each later than the one before."""
        last: int | None = None
        offset: int | None = None
        for packet in self._demuxed():
            time_base, tick, length = packet.time_base, packet.dts, packet.duration or 0
            assert time_base is not None and tick is not None
            if offset is None:
                offset = -round(self._start / time_base)
            tick += offset
            if last is not None and tick <= last:
                if (last - tick) * time_base > RESTART_SECONDS:  # goes on, as that of the pictures
                    offset += last + length - tick
                    tick = last + length
                tick = max(tick, last + 1)
            last = tick
            if (tick + length) * time_base < -WARM_UP_SECONDS:
                continue
            if self._end is not None and tick * time_base >= self._end:
                return
            packet.pts = packet.dts = tick
            yield packet

    def _demuxed(self) -> Iterator[Packet]:
        packets = self._source.demux(self._stream)
        errors = 0
        while errors < MAX_ERRORS:
            try:
                packet = next(packets, None)
            except EndOfStreamError:
                return
            except (FFmpegError, OSError):
                errors += 1
                self.damage = LOST
                packets = self._source.demux(self._stream)
                continue
            if packet is None:
                return
            if packet.dts is not None and packet.size:
                errors = 0
                yield packet

    def _as_aac(self) -> Iterator[Packet]:
        for packet in self._moved():
            try:
                frames = self._stream.codec_context.decode(packet)
            except FFmpegError:
                self.damage = LOST
                continue
            for frame in frames:
                for resampled in self._resampler.resample(frame):
                    yield from self._output.encode(resampled)
        for resampled in self._resampler.resample(None):
            yield from self._output.encode(resampled)
        yield from self._output.encode(None)


def _seconds(packet: Packet) -> float:
    assert packet.pts is not None and packet.time_base is not None
    return float(packet.pts * packet.time_base)
