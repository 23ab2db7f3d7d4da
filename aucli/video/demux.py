"""What a video container says and holds, read through PyAV: packets, declarations, damage."""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import Flags as ContainerFlags
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError
from av.error import EOFError as EndOfStreamError
from av.format import Flags
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from aucli.errors import InputError
from aucli.files import shown
from aucli.video.endings import avi_empty_frames, stops_early
from aucli.video.picture import turn_of
from aucli.video.transport import Breaks
from aucli.video.witness import LoggedErrors

# Of a frame; 300 MB of RGB. Cinema cameras stay far below.
MAX_PIXELS = 100_000_000

# A demuxer that fails this often in a row, without a packet between, has met its end.
MAX_DEMUX_ERRORS = 100

# A decoder that fails this often in a row, without a frame between, has given all that it has.
MAX_FLUSH_ERRORS = 100

# Decoders that say where a picture is damaged. Of others, HEVC's, VP8's and MPEG-4's among them, a
# picture may end early without a word and keep in its rest what was in memory: with several
# threads, something else each time.
TELLING_CODECS = frozenset({"av1", "ffv1", "h264", "mjpeg", "prores", "vp9"})
# Pictures of up to so many pixels one thread decodes as fast as their faces are read.
FULL_HD_PIXELS = 1920 * 1088
# Of the decoder; 0: one for each core.
THREADS = 0

# Formats whose files name other files or addresses to read. image2 stays: without patterns it
# opens the one picture that it is given.
LISTS = frozenset(
    {"concat", "dash", "ffmetadata", "hls", "imf", "lavfi", "mpjpeg", "rtp", "rtsp", "sap", "sdp",
     "webm_dash_manifest"}
)  # fmt: skip
_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": ",".join(sorted(av.formats_available - LISTS)),
    "pattern_type": "none",
}


def open_container(path: Path, max_pixels: int = MAX_PIXELS) -> InputContainer:
    """Open a file for demuxing; no other file and no address is read, whatever it names.

    max_pixels: of a frame; the probing of the file takes no memory for larger ones. Raises
    InputError where it is no video container.
    """
    try:
        container = av.open(
            # From the root, a name with a colon is no address and one with a dash no option.
            str(path.absolute()),
            metadata_errors="replace",
            options={"max_pixels": str(max_pixels)},
            container_options=_OPTIONS,
        )
    except (FFmpegError, OSError) as error:
        # FFmpeg's word for a format that is not allowed.
        is_list = isinstance(error, ArgumentError)
        why = "it only lists other files" if is_list else error.strerror
        raise InputError(
            f"{path} cannot be opened as a video ({why}); give a complete video, "
            "image or folder of images."
        ) from error
    # PyAV asks for times that are guessed from the decoding times: wrong ones where frames are
    # reordered in a format that does not say so, as H.264 in AVI.
    container.flags &= ~ContainerFlags.gen_pts.value
    if container.format.name == "tty":  # FFmpeg renders any .txt as an animation of its letters.
        container.close()
        raise InputError(
            f"{path} cannot be opened as a video (it is text); give a complete video, "
            "image or folder of images."
        )
    return container


def video_stream(
    container: InputContainer, path: Path, max_pixels: int = MAX_PIXELS
) -> VideoStream:
    """The first stream of moving pictures that can be decoded, by one thread. Raises InputError."""
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic  # the cover of an album
    ]
    if not streams:
        raise InputError(
            f"{path} has no video stream; give a file that holds pictures, not only sound."
        )
    for stream in streams:
        context: VideoCodecContext | None = stream.codec_context
        if context is not None:
            check_pixels(path, context.width, context.height, max_pixels)
            context.options = {"max_pixels": str(max_pixels)}
            context.thread_count = 1
            return stream
    raise InputError(
        f"{path} holds pictures in a form that cannot be decoded here; "
        "copy the file again, or convert it to MP4 with H.264."
    )


def share_out(stream: VideoStream) -> bool:
    """Let several threads decode the stream, where that is worth it and safe for sound files.
    Returns whether they do.

    What a damaged file shows then depends on their number: a picture may lean on one that another
    thread has not finished, and errors are concealed in other ways.
    """
    context = stream.codec_context
    telling = context.codec.canonical_name in TELLING_CODECS
    if not telling and context.width * context.height <= FULL_HD_PIXELS:
        return False
    context.thread_count = THREADS
    context.thread_type = "AUTO"
    return True


def check_pixels(path: object, width: int, height: int, max_pixels: int) -> None:
    """Raise InputError for a frame that is larger than allowed, before memory is taken for it."""
    if width * height > max_pixels:
        raise InputError(
            f"{shown(path)} has frames of {width} x {height} pixels, more than "
            f"max_pixels={max_pixels}; make it smaller, or copy it again if that size is wrong."
        )


def declared_frames(container: InputContainer, stream: VideoStream, path: Path) -> int:
    """Frames that a complete file would show; 0 where the container does not say."""
    formats = container.format.name.split(",")
    if stream.frames and "mp4" in formats:
        # An edit list hides samples that the plain count includes.
        return sum(not entry.is_discard for entry in stream.index_entries) or stream.frames
    if stream.frames and "avi" in formats:
        return stream.frames - avi_empty_frames(path, stream.index)
    if "mxf" in formats and stream.duration and stream.average_rate and stream.time_base:
        # In edit units, which are frames.
        return stream.duration if stream.average_rate * stream.time_base == 1 else 0
    return stream.frames


def frame_rate(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Frames per second as stated, else as guessed from the first packets; None for neither."""
    average, guessed = stream.average_rate, stream.guessed_rate
    if (
        container.format.flags & Flags.no_timestamps.value
    ):  # of a raw stream only the decoder knows a rate
        average, guessed = guessed, average
    return average or guessed


def end_tick(container: InputContainer, stream: VideoStream) -> int | None:
    """When the file says that its pictures end, in ticks of the stream; None where it does not."""
    if stream.duration:
        return (stream.start_time or 0) + stream.duration
    if (
        container.duration
        and stream.time_base
        and not container.format.flags & Flags.ts_discont.value
    ):
        start = container.start_time or 0
        return round((start + container.duration) / (av.time_base * stream.time_base))
    return None


def duration_seconds(container: InputContainer, stream: VideoStream) -> float:
    """Declared duration of the stream, else of the container, else 0."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else 0.0


class PacketReader:
    """Iterates over the packets of one stream and remembers what was wrong with them.

    Packets that are only partly there and stretches that cannot be demuxed are given to
    ``on_corrupt()``, one call each, and left out. Those of a transport stream are only
    ``suspects``, as is each of the ``breaks`` that is passed: what was lost there may be of the
    next one, and at the seam of two recordings it is nothing at all. ``awaited``: a set here gets
    the time of each packet, for whoever takes out those of the frames.
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, on_corrupt: Callable[[], Any]
    ) -> None:
        self.container = container
        self.stream = stream
        self.breaks = Breaks()
        self.on_corrupt = on_corrupt
        self.seen = self.suspects = 0
        self.last_is_partial = False
        self.awaited: set[int] | None = None

    def __iter__(self) -> Iterator[Packet]:
        breaks = list(reversed(self.breaks.positions))
        errors = 0
        packets = self.container.demux(self.stream)
        while errors < MAX_DEMUX_ERRORS:
            try:
                packet = next(packets, None)
            except (FFmpegError, OSError):
                errors += 1
                self.on_corrupt()
                packets = self.container.demux(self.stream)  # goes on behind the error
                continue
            if packet is None:
                return
            if packet.size == 0 and packet.dts is None:  # PyAV's own mark of the end
                continue
            errors = 0
            self.last_is_partial = packet.is_corrupt
            while breaks and packet.pos is not None and packet.pos >= breaks[-1]:
                breaks.pop()
                self.suspects += 1
            if packet.is_corrupt and self.container.format.name == "mpegts":
                self.suspects += 1
                packet.is_corrupt = False
            if packet.is_corrupt:
                self.on_corrupt()
                continue
            # Packets before an edit list's start are decoded for reference and never shown.
            self.seen += not packet.is_discard
            if self.awaited is not None and packet.pts is not None and not packet.is_discard:
                self.awaited.add(packet.pts)
            yield packet

    def ended_early(self, path: Path, declared: int, errors: bool = False) -> bool:
        """After the last packet: whether the file stops before what it declares.

        errors: whether anything was wrong with it.
        """
        short = self.last_is_partial or self.seen < declared or self.breaks.cut
        return short or stops_early(path, errors)


def decode(packets: PacketReader) -> Iterator[VideoFrame]:
    """Frames in presentation order; a packet that cannot be decoded is counted and skipped."""
    return _decode_all(packets, packets.stream, packets.on_corrupt)


def _decode_all(
    packets: Iterable[Packet], stream: VideoStream, on_corrupt: Callable[[], Any]
) -> Iterator[VideoFrame]:
    for packet in packets:
        try:
            yield from packet.decode()  # pyright: ignore[reportReturnType]
        except (FFmpegError, OSError):
            on_corrupt()
    # Frames are still inside the decoder; one that fails there must not take the others along.
    for _ in range(MAX_FLUSH_ERRORS):
        try:
            yield from stream.decode(None)
            return
        except EndOfStreamError:
            return
        except (FFmpegError, OSError):
            on_corrupt()


def in_order(packets: PacketReader) -> Iterator[Any]:
    """The packets, as long as each tells its time and none is hidden; else None, and the end."""
    last_dts = None
    for packet in packets:
        # A clock that jumps back, as in joined recordings, makes the order ambiguous.
        jumps = packet.dts is not None and last_dts is not None and packet.dts <= last_dts
        if packet.pts is None or packet.is_discard or jumps:
            yield None
            return
        last_dts = packet.dts
        yield packet


def sound_pts(path: Path, declared: int, limit: int) -> list[int]:
    """Presentation times of all packets, sorted, in units of the stream's time base.

    Empty where anything is missing, hidden, damaged, ambiguous or different in the middle, so that
    frame i of a plain reader would not be frame i here, or where there are more than ``limit``.
    """
    damage: list[None] = []
    with LoggedErrors() as logged, open_container(path) as container:
        stream = video_stream(container, path, MAX_PIXELS)
        share_out(stream)
        # Changes pixels, which nobody sees here, and no error.
        stream.codec_context.options |= {"skip_loop_filter": "all"}
        packets = PacketReader(container, stream, lambda: damage.append(None))
        pts: list[int] = []
        compressed: list[Packet] = []
        for packet in in_order(packets):
            if packet is None or len(pts) == limit:
                return []
            pts.append(packet.pts)
            compressed.append(packet)
        looks = set()
        count = 0
        try:
            for frame in _decode_all(compressed, stream, lambda: damage.append(None)):
                if damage or logged.count or frame.is_corrupt:
                    return []
                count += 1
                # What a plain reader takes from the first frame changes only at key frames.
                if frame.key_frame:
                    looks.add(
                        (
                            (frame.width, frame.height, frame.format.name),
                            (frame.color_range, frame.colorspace),
                            turn_of(frame),
                            stream.codec_context.sample_aspect_ratio,
                        )
                    )
        finally:
            # A thread of the decoder that logs needs the lock which freeing it would hold.
            stream.codec_context.flush_buffers()
        if damage or logged.count or len(looks) != 1 or count != len(pts):
            return []
    if len(set(pts)) < len(pts) or packets.ended_early(path, declared):
        return []
    return sorted(pts)
