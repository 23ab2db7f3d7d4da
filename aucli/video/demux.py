"""What a video container says and holds, read through PyAV: packets, declarations, damage."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.error import EOFError as EndOfStreamError
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from aucli.errors import InputError

# A demuxer that fails this often in a row, without a packet between, has met its end.
MAX_DEMUX_ERRORS = 100

MATROSKA_EBML_ID = b"\x1a\x45\xdf\xa3"
MATROSKA_SEGMENT_ID = b"\x18\x53\x80\x67"


def open_container(path: Path) -> InputContainer:
    """Open a file for demuxing. Raises InputError where it is no video container."""
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (FFmpegError, OSError) as error:
        raise InputError(
            f"{path} cannot be opened as a video ({error.strerror}); give a complete video, "
            "image or folder of images."
        ) from error
    if container.format.name == "tty":  # FFmpeg renders any .txt as an animation of its letters.
        container.close()
        raise InputError(
            f"{path} cannot be opened as a video (it is text); give a complete video, "
            "image or folder of images."
        )
    return container


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The first stream of moving pictures. Raises InputError where there is none."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:  # the cover of an album
            return stream
    raise InputError(
        f"{path} has no video stream; give a file that holds pictures, not only sound."
    )


def declared_frames(container: InputContainer, stream: VideoStream) -> int:
    """Frames that a complete file would show; 0 where the container does not say."""
    if stream.frames and "mp4" in container.format.name.split(","):
        # An edit list hides samples that the plain count includes.
        return sum(not entry.is_discard for entry in stream.index_entries) or stream.frames
    return stream.frames


def duration_seconds(container: InputContainer, stream: VideoStream) -> float:
    """Declared duration of the stream, else of the container, else 0."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else 0.0


class PacketReader:
    """Iterates over the packets of one stream and remembers what was wrong with them.

    Packets that are only partly there and stretches that cannot be demuxed are given to
    ``on_corrupt()``, one call each, and left out.
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, on_corrupt: Callable[[], Any]
    ) -> None:
        self.container = container
        self.stream = stream
        self.on_corrupt = on_corrupt
        self.seen = 0
        self.last_is_partial = False

    def __iter__(self) -> Iterator[Packet]:
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
            if packet.is_corrupt:
                self.on_corrupt()
                continue
            # Packets before an edit list's start are decoded for reference and never shown.
            self.seen += not packet.is_discard
            yield packet

    def ended_early(self, path: Path, declared: int) -> bool:
        """After the last packet: whether the file stops before what it declares."""
        return self.last_is_partial or self.seen < declared or _matroska_is_short(path)


def decode(packets: PacketReader) -> Iterator[VideoFrame]:
    """Frames in presentation order; a packet that cannot be decoded is counted and skipped."""
    for packet in packets:
        try:
            yield from packet.decode()  # pyright: ignore[reportReturnType]
        except (FFmpegError, OSError):
            packets.on_corrupt()
    # Frames are still inside the decoder; one that fails there must not take the others along.
    while True:
        try:
            yield from packets.stream.decode(None)
            return
        except EndOfStreamError:
            return
        except (FFmpegError, OSError):
            packets.on_corrupt()


def sound_pts(path: Path, declared: int, limit: int) -> list[int]:
    """Presentation times of all packets, sorted, in units of the stream's time base.

    Empty where anything is missing, hidden, damaged or ambiguous, so that frame i of a plain
    reader would not be frame i here, or where there are more than ``limit``. Reads the file
    without decoding it.
    """
    damage: list[None] = []
    with open_container(path) as container:
        packets = PacketReader(
            container, video_stream(container, path), lambda: damage.append(None)
        )
        pts: list[int] = []
        last_dts = None
        for packet in packets:
            if packet.pts is None or packet.is_discard or len(pts) == limit:
                return []
            # A clock that jumps back, as in joined recordings, makes the order ambiguous.
            if packet.dts is not None and last_dts is not None and packet.dts <= last_dts:
                return []
            last_dts = packet.dts
            pts.append(packet.pts)
    if damage or len(set(pts)) < len(pts) or packets.ended_early(path, declared):
        return []
    return sorted(pts)


def _matroska_is_short(path: Path) -> bool:
    """Whether a Matroska or WebM file is smaller than the segment size it declares.

    Its frame count is not declared, so this is the only trace of a cut-off end. Files of other
    formats, and live recordings of unknown size, are never short.
    """
    with path.open("rb") as file:
        head = file.read(1024)
    if not head.startswith(MATROSKA_EBML_ID):
        return False
    segment = head.find(MATROSKA_SEGMENT_ID)
    if segment < 0 or segment + 5 > len(head):
        return False
    # A variable-length integer: the leading zeros of its first byte are the number of further
    # bytes, all ones is "unknown" (RFC 8794, section 4).
    start = segment + len(MATROSKA_SEGMENT_ID)
    length = 9 - head[start].bit_length()
    size = int.from_bytes(head[start : start + length]) & ((1 << 7 * length) - 1)
    if length > 8 or size == (1 << 7 * length) - 1:
        return False
    return path.stat().st_size < start + length + size
