"""Videos, still images and image folders as batches of RGB frames with exact timestamps.

Two decoders that give the same pixels: decord where it is known to (:func:`_suits_decord`), PyAV
everywhere else. Timestamps, frame counts and rotation come from the container either way, so they
do not depend on the decoder. Nor does anything depend on how many threads decode: several do only
as long as the file is sound, and from the first sign of damage on the frames are those that one
thread gives.
"""

import os
import stat
import zlib
from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from av.video.frame import VideoFrame

from aucli.errors import InputError, PassingError
from aucli.files import shown
from aucli.records import FrameBatch, VideoInfo
from aucli.video import demux
from aucli.video.clock import Clock
from aucli.video.picture import Upright, square_pixels, turn_of
from aucli.video.spans import Index, Span, read_index
from aucli.video.stills import (
    IMAGE_SUFFIXES,
    Header,
    Picture,
    image_files,
    read_header,
    read_pictures,
)
from aucli.video.transport import find_breaks
from aucli.video.witness import LoggedErrors, missing_frames
from aucli.words import counted

Decoder = Literal["auto", "decord", "pyav"]
DECODERS: tuple[Decoder, ...] = get_args(Decoder)

# decord decodes ahead of its reader without limit, so it may only have clips that fit as a whole.
MEMORY_BUDGET = 512 * 2**20
# One batch stays below this whatever the frame size; a single 4K frame is 25 MB.
MAX_BATCH_BYTES = 64 * 2**20
# Formats whose RGB is the same from decord and PyAV to the last bit. decord is off by up to 5 on
# 10-bit video, by 1 on odd sizes, and fails on quarter turns.
DECORD_PIXELS = frozenset({"yuv420p", "yuvj420p"})
# Containers with an index, in FFmpeg's names. In a transport stream decord starts at a later frame.
DECORD_CONTAINERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
# What is no file and no folder, and would be waited for.
FILE_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
# Of this, the size and the look of frames change only at key frames, which are looked at before.
DECORD_CODECS = frozenset({"h264"})
# Frames that one thread decodes anew between two signs of life.
FRAMES_BETWEEN = 64
NAMED = 5  # files that a sentence lists


@dataclass(frozen=True, slots=True)
class DecodeReport:
    """What came out of a source, complete once its iteration has ended.

    ``declared_frames`` is 0 where the file does not say. ``corrupt_packets`` counts packets (or
    images of a folder) that could not be decoded and were skipped; ``corrupt_frames`` frames that
    the decoder could only guess in part. ``missing_frames``: about how many are lost, by a hole in
    the times beside an error. ``truncated``: the file ends before what it declares. ``decoder``:
    'decord', 'pyav', 'pillow', or 'decord+pyav' where PyAV took over in the middle. ``clock``: how
    times that did not rise were mended, in one sentence; empty where none were. ``notes``:
    what was done to the pixels of still images, a sentence each. ``unread``: files of a folder of
    images that could not be decoded, or not whole. ``errors``: of a part of a video,
    what FFmpeg logged without saying that a frame is damaged.
    """

    decoder: str
    declared_frames: int
    decoded_frames: int = 0
    corrupt_packets: int = 0
    corrupt_frames: int = 0
    missing_frames: int = 0
    truncated: bool = False
    clock: str = ""
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    errors: int = 0

    @property
    def damaged(self) -> bool:
        """Whether frames are missing, or only guessed, that the file should have held."""
        return bool(
            self.truncated or self.corrupt_packets or self.corrupt_frames or self.missing_frames
        )

    @property
    def damage(self) -> str:
        """What is missing of the file in a few words; empty where nothing is."""
        found = []
        if self.truncated:
            told = counted(self.decoded_frames, "frame")
            if self.declared_frames > self.decoded_frames:
                told = f"{self.decoded_frames} of {counted(self.declared_frames, 'frame')}"
            found.append(f"truncated after {told}")
        if self.unread:
            named = ", ".join(shown(name) for name in self.unread[:NAMED])
            more = ", ..." if len(self.unread) > NAMED else ""
            found.append(f"{counted(len(self.unread), 'picture')} not read ({named}{more})")
        elif self.corrupt_packets:
            found.append(f"{counted(self.corrupt_packets, 'corrupt packet')} skipped")
        if self.missing_frames:
            found.append(f"about {counted(self.missing_frames, 'frame')} missing")
        if self.corrupt_frames:
            found.append(f"{counted(self.corrupt_frames, 'frame')} partly guessed")
        return ", ".join(found)


class FrameSource:
    """A source of frames: iterate for :class:`FrameBatch`, then read :attr:`report`.

    Every iteration starts at the first frame. Memory stays bounded: nothing is read ahead of the
    consumer, except by decord, which gets only clips that fit the memory budget. ``unrelated``:
    the frames are pictures, not a film. ``names``: of the files of a folder of pictures, by
    ``frame_index``, as far as they are decoded; None for other inputs. ``on_wait``: a sign of life,
    called while frames are decoded that are not given.
    """

    unrelated = False
    names: dict[int, str] | None = None

    def __init__(self, info: VideoInfo, batch_size: int) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.info = info
        self.batch_size = max(1, min(batch_size, MAX_BATCH_BYTES // (info.width * info.height * 3)))
        self.report = DecodeReport(info.decoder, info.declared_frames)
        self.on_wait: Callable[[], None] = lambda: None
        self._running: Generator[FrameBatch, None, None] | None = None

    def __iter__(self) -> Iterator[FrameBatch]:
        self.close()
        self.report = DecodeReport(self.info.decoder, self.info.declared_frames)
        running = self._running = self._batches()
        for batch in running:
            if self._running is not running:  # closed by another thread
                running.close()
                return
            decoded = self.report.decoded_frames + len(batch)
            self.report = replace(self.report, decoded_frames=decoded)
            yield batch

    def __enter__(self) -> "FrameSource":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file, also in the middle of an iteration.

        Where another thread is just decoding, it does so itself, before its next batch.
        """
        running, self._running = self._running, None
        if running is None:
            return
        try:
            running.close()
        except ValueError as error:
            # Another thread is just decoding. This must not take the place of what the caller is
            # closing for, a KeyboardInterrupt among others.
            if str(error) != "generator already executing":
                raise

    def _batches(self) -> Generator[FrameBatch, None, None]:
        raise NotImplementedError

    def _count_corrupt(self, *unread: str) -> None:
        self.report = replace(
            self.report,
            corrupt_packets=self.report.corrupt_packets + 1,
            unread=(*self.report.unread, *unread),
        )


def open_video(
    path: str | Path,
    decoder: Decoder = "auto",
    batch_size: int = 32,
    memory_budget: int = MEMORY_BUDGET,
    max_pixels: int = demux.MAX_PIXELS,
) -> FrameSource:
    """Open a video file, a still image or a folder of images.

    decoder: 'auto' and 'decord' take decord for clips whose decoded frames fit into
    ``memory_budget`` bytes, whose pixels it is known to get right and all of whose packets PyAV
    decodes without a fault, of which decord would say nothing; else PyAV. 'pyav' takes PyAV.
    batch_size: frames in a batch; fewer where frames are so large that they would pass 64 MB, and
    where their size changes. max_pixels: of a frame; a larger one is refused.

    The timestamps of a video are presentation times in seconds from the start of its stream; they
    always rise, and the report says where they had to be mended. A
    still image is at 0.0, an animated one is a film; the pages of a TIFF and the images of a folder
    have no time (NaN), and their ``frame_index`` is the position in natural order
    of the names. A damaged video may deliver a frame late; it keeps its own time.

    Raises InputError where there is nothing to decode.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; check the name.")
    if path.is_dir():
        return ImageSource(path, image_files(path), batch_size, max_pixels)
    if not path.is_file():
        kind = FILE_KINDS.get(stat.S_IFMT(path.stat().st_mode), "no file")
        raise InputError(f"{path} is {kind}; save the video as a file and give that.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes); copy or record it again.")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageSource(path, [path], batch_size, max_pixels)
    return VideoSource(path, decoder, batch_size, memory_budget, max_pixels)


class ImageSource(FrameSource):
    """Still images; a batch ends early where the size of the images changes.

    Every page of a TIFF is an image. An animated PNG, WebP or AVIF file is a film with timestamps;
    in a folder, its frames are images as the others are. A damaged file keeps one frame index.
    """

    def __init__(
        self, path: Path, files: list[Path], batch_size: int, max_pixels: int = demux.MAX_PIXELS
    ) -> None:
        header, first = _first_readable(files, max_pixels)
        self._film = len(files) == 1 and header.film
        self.unrelated = not self._film
        height, width = first.rgb.shape[:2]
        declared = header.frames if len(files) == 1 else len(files)
        super().__init__(
            VideoInfo(path, "pillow", "image", width, height, 0.0, declared, 0.0), batch_size
        )
        self._files = files
        self._max_pixels = max_pixels
        if path.is_dir():
            self.names = {}

    def _batches(self) -> Generator[FrameBatch, None, None]:
        pictures: list[Picture] = []
        indices: list[int] = []
        for index, picture in self._pictures():
            shape = picture.rgb.shape
            most = max(1, min(self.batch_size, MAX_BATCH_BYTES // picture.rgb.nbytes))
            if pictures and (len(pictures) == most or shape != pictures[0].rgb.shape):
                yield self._batch(pictures, indices)
                pictures, indices = [], []
            pictures.append(picture)
            indices.append(index)
        if pictures:
            yield self._batch(pictures, indices)

    def _pictures(self) -> Iterator[tuple[int, Picture]]:
        """Each picture with its frame index; what cannot be read is counted."""
        index = 0
        for file in self._files:
            before = index
            try:
                for picture in read_pictures(file, self._max_pixels):
                    if picture.note and picture.note not in self.report.notes:
                        notes = (*self.report.notes, picture.note)
                        self.report = replace(self.report, notes=notes)
                    if self.names is not None:
                        self.names[index] = shown(file.name)
                    yield index, picture
                    index += 1
            except InputError:
                self._count_corrupt(*([file.name] if self.names is not None else []))
            index = max(index, before + 1)

    def _batch(self, pictures: list[Picture], indices: list[int]) -> FrameBatch:
        seconds = np.array([picture.pts_seconds for picture in pictures])
        if not self._film:
            seconds[:] = 0.0 if self.info.declared_frames == 1 else np.nan
        rgb = np.stack([picture.rgb for picture in pictures])
        return FrameBatch(rgb, np.array(indices, np.int64), seconds)


def _first_readable(files: list[Path], max_pixels: int) -> tuple[Header, Picture]:
    """The first picture that can be read. Raises InputError where none can."""
    error: InputError | None = None
    for file in files:
        try:
            header = read_header(file, max_pixels)
            return header, next(read_pictures(file, max_pixels))
        except InputError as damage:
            if error is None or isinstance(damage, PassingError):
                error = damage
    assert error is not None
    raise error


class VideoSource(FrameSource):
    """A video file, decoded by decord, PyAV, or PyAV after decord.

    A batch ends early where the size of the frames changes.
    """

    def __init__(
        self,
        path: Path,
        decoder: Decoder,
        batch_size: int,
        memory_budget: int,
        max_pixels: int = demux.MAX_PIXELS,
    ) -> None:
        self._max_pixels = max_pixels
        with demux.open_container(path, max_pixels) as container:
            container_name = container.format.name
            stream = demux.video_stream(container, path, max_pixels)
            packets = demux.PacketReader(container, stream, lambda: None)
            first = next(demux.decode(packets), None)
            if first is None and not stream.codec_context.width:
                raise InputError(
                    f"{path} has frames that cannot be decoded, or of more than "
                    f"max_pixels={max_pixels} pixels; copy or convert it again."
                )
            if first is None:
                raise InputError(
                    f"{path} has a video stream but none of its frames can be decoded; "
                    "copy or convert it again."
                )
            turn = turn_of(first)
            width, height = square_pixels(first.width, first.height, stream.sample_aspect_ratio)
            demux.check_pixels(path, width, height, max_pixels)
            width, height = turn.size(width, height)
            rate = demux.frame_rate(container, stream)
            time_base = first.time_base or stream.time_base or Fraction(1, 1000)
            self._time_base = time_base
            # The step to a frame that carries no time itself, as in raw streams.
            self._frame_ticks = max(1, round(1 / ((rate or 25) * time_base)))
            start = self._clock().tick(first)
            if first.pts is not None and stream.start_time is not None:
                start = min(start, stream.start_time)
            self._start_tick = start
            # Decoding times, where there are no others, run late by what the decoder holds back.
            stated = start if first.pts is not None else stream.start_time or 0
            self._end_tick = demux.end_tick(container, stream)
            info = VideoInfo(
                path=path,
                decoder="pyav",
                codec=stream.codec_context.codec.canonical_name,
                width=width,
                height=height,
                fps=float(rate or 0),
                declared_frames=demux.declared_frames(container, stream, path),
                duration_seconds=demux.duration_seconds(container, stream),
                rotation_degrees=90 * turn.quarter_turns,
                mirrored=turn.mirrored,
                start_seconds=float(stated * time_base),
                stream_index=stream.index,
                time_base=time_base,
            )
            # decord must begin with the same picture, or it is not trusted with the rest.
            self._first_rgb = first.to_ndarray(format="rgb24", interpolation="BICUBIC")
        self._sound_pts: list[int] = []
        if decoder != "pyav" and _suits_decord(container_name, info, first):
            limit = memory_budget // (info.width * info.height * 3)
            self._sound_pts = demux.sound_pts(path, info.declared_frames, limit)
        if self._sound_pts and _decord() is not None:
            info = replace(info, decoder="decord")
        super().__init__(info, batch_size)
        self._span: Span | None = None
        self.sums: dict[int, int] = {}  # number of a frame -> of its pixels, see Span.summed

    def take(self, span: Span) -> None:
        """Give only these frames, from the next iteration on. They keep their numbers and times;
        what is missing of them is told in the report."""
        self._span = span
        self.info = replace(self.info, decoder="pyav")

    def index(self, on_packets: Callable[[], None] = lambda: None) -> Index | None:
        """Where all frames lie; see :func:`aucli.video.spans.read_index`."""
        return read_index(self.info.path, self.info.declared_frames, self._max_pixels, on_packets)

    def seconds(self, ticks: Iterable[int]) -> np.ndarray:
        """(N,) float64 seconds from the start of the stream."""
        return np.array([float((tick - self._start_tick) * self._time_base) for tick in ticks])

    def _clock(self) -> Clock:
        return Clock(self._frame_ticks, float(1 / self._time_base))

    def _batches(self) -> Generator[FrameBatch, None, None]:
        done = 0
        if self._span is not None:
            yield from self._span_batches(self._span)
            return
        if self.info.decoder == "decord":
            for batch in self._decord_batches():
                done += len(batch)
                yield batch
            if done == len(self._sound_pts):
                return
            self.report = replace(self.report, decoder="decord+pyav" if done else "pyav")
        yield from self._pyav_batches(done)

    def _decord_batches(self) -> Iterator[FrameBatch]:
        """Batches in order until the end or the first error, which is not raised."""
        shape = (self.info.height, self.info.width, 3)
        try:
            # Without fault_tol, frames that fail are silently replaced by their neighbours.
            reader = _decord().VideoReader(str(self.info.path.absolute()), fault_tol=1)
            if len(reader) != len(self._sound_pts):
                return
            for i in range(0, len(self._sound_pts), self.batch_size):
                pts = self._sound_pts[i : i + self.batch_size]
                indices = range(i, i + len(pts))
                frames = reader.get_batch(list(indices)).asnumpy()  # (N, H, W, 3)
                if frames.shape[1:] != shape or (i == 0 and (frames[0] != self._first_rgb).any()):
                    return
                yield self._batch(frames, i, pts)
        except Exception:
            # decord raises bare Exceptions of several kinds; PyAV goes on from here in any case.
            return

    def _pyav_batches(self, given: int) -> Iterator[FrameBatch]:
        """Frames from the number ``given`` on: by several threads up to the first sign of damage,
        then the rest by one, which decodes all of them anew."""
        try:
            yield from self._read(given, several=True)
        except _Damage:
            self.report = replace(self.report, corrupt_packets=0, corrupt_frames=0)
            yield from self._read(self.report.decoded_frames, several=False)

    def _read(self, given: int, several: bool) -> Iterator[FrameBatch]:
        """Frames from the number ``given`` on. several: by several threads where that is worth it;
        raises _Damage before the first frame that may depend on their number."""
        frames: list[np.ndarray] = []
        ticks = array("q")  # of all frames so far
        errors: list[int] = []  # how many frames had come out at each error
        clock = self._clock()
        path = self.info.path
        with (
            LoggedErrors() as logged,
            demux.open_container(path, self._max_pixels) as container,
        ):
            stream = demux.video_stream(container, path, self._max_pixels)
            upright = Upright(stream)
            packets = demux.PacketReader(container, stream, self._count_corrupt)
            if container.format.name == "mpegts":
                packets.breaks = find_breaks(path, stream.id)
            decoded = ((frame, upright.aspect()) for frame in demux.decode(packets))
            if several and demux.share_out(stream):
                opened = logged.count

                def doubtful() -> bool:
                    found = logged.count - opened + packets.suspects + self.report.corrupt_packets
                    return found > 0

                decoded = _until_damage(decoded, packets, doubtful)
            noticed = 0
            try:
                for frame, aspect in decoded:
                    if (found := logged.count + packets.suspects) > noticed:
                        noticed = found
                        errors.append(len(ticks))
                    if frame.is_corrupt and clock.is_past(frame):
                        continue  # only guessed, and behind one that is shown after it
                    ticks.append(clock.tick(frame))
                    if frame.is_corrupt:
                        corrupt = self.report.corrupt_frames + 1
                        self.report = replace(self.report, corrupt_frames=corrupt)
                    if len(ticks) <= given:
                        upright.see(frame)
                        if len(ticks) % FRAMES_BETWEEN == 0:
                            self.on_wait()
                        continue
                    rgb = upright.rgb(frame, aspect)
                    full = len(frames) == self._fitting(rgb)
                    if frames and (full or rgb.shape != frames[0].shape):
                        index = len(ticks) - 1 - len(frames)
                        yield self._batch(np.stack(frames), index, ticks[index:-1])
                        frames = []
                    frames.append(rgb)
                unread = packets.breaks.positions[packets.suspects :]
                if logged.count + packets.suspects > noticed or unread:
                    errors.append(len(ticks))
            finally:
                # A thread of the decoder that logs needs the lock which freeing it would hold.
                stream.codec_context.flush_buffers()
            self.report = replace(
                self.report,
                truncated=packets.ended_early(path, self.info.declared_frames, bool(errors)),
                missing_frames=missing_frames(
                    ticks, errors, self._start_tick, None if clock.restarts else self._end_tick
                ),
                clock=clock.note(),
            )
        if frames:
            yield self._batch(np.stack(frames), len(ticks) - len(frames), ticks[-len(frames) :])

    def _span_batches(self, span: Span) -> Iterator[FrameBatch]:
        """The frames of a span, as many as are there, by one thread: other spans are read at the
        same time."""
        frames: list[np.ndarray] = []
        ticks: list[int] = []
        index, last = span.first, span.first_tick - 1
        path = self.info.path
        # Where pictures lean on some before the key frame, entering there logs an error.
        entered: int | None = None if span.first else 0
        with (
            LoggedErrors() as logged,
            demux.open_container(path, self._max_pixels) as container,
        ):
            stream = demux.video_stream(container, path, self._max_pixels)
            upright = Upright(stream)
            container.seek(span.seek_tick, stream=stream)
            packets = demux.PacketReader(container, stream, self._count_corrupt)
            try:
                for frame in demux.decode(packets):
                    # What is shown before the key frame cannot be decoded from here.
                    if frame.pts is None or frame.pts < span.first_tick:
                        continue
                    if frame.pts <= last or frame.pts > span.last_tick:
                        break
                    last = frame.pts
                    if entered is None:
                        entered = logged.count
                    if frame.is_corrupt:
                        corrupt = self.report.corrupt_frames + 1
                        self.report = replace(self.report, corrupt_frames=corrupt)
                    rgb = upright.rgb(frame, upright.aspect())
                    full = len(frames) == self._fitting(rgb)
                    if frames and (full or rgb.shape != frames[0].shape):
                        yield self._batch(np.stack(frames), index, ticks)
                        index += len(frames)
                        frames, ticks = [], []
                    frames.append(rgb)
                    ticks.append(last)
                    if (number := index + len(frames) - 1) in span.summed:
                        self.sums[number] = zlib.crc32(rgb.tobytes())
                    if last == span.last_tick:
                        break
            finally:
                # A thread of the decoder that logs needs the lock which freeing it would hold.
                stream.codec_context.flush_buffers()
            errors = logged.count - (entered or 0)
        index += len(frames)
        missing = abs(span.first + span.count - index) or int(last != span.last_tick)
        self.report = replace(self.report, missing_frames=missing, errors=errors)
        if frames:
            yield self._batch(np.stack(frames), index - len(frames), ticks)

    def _fitting(self, rgb: np.ndarray) -> int:
        """How many frames of this size make a batch."""
        return min(self.batch_size, max(1, MAX_BATCH_BYTES // rgb.nbytes))

    def _batch(self, frames: np.ndarray, index: int, ticks: Sequence[int]) -> FrameBatch:
        numbers = np.arange(index, index + len(ticks), dtype=np.int64)
        return FrameBatch(frames, numbers, self.seconds(ticks))


class _Damage(Exception):
    """Several threads have met damage."""


def _until_damage(
    decoded: Iterator[tuple[VideoFrame, Fraction | None]],
    packets: demux.PacketReader,
    doubtful: Callable[[], bool],
) -> Iterator[tuple[VideoFrame, Fraction | None]]:
    """The frames, each with its pixel aspect, before the first sign of damage; then _Damage.

    doubtful: whether something has been told. A packet without a frame is a sign, too: PyAV passes
    over an error that comes behind a frame. A frame waits for those that may be decoded before it
    and are shown after it.
    """
    awaited = packets.awaited = set()
    waiting: deque[tuple[VideoFrame, Fraction | None]] = deque()
    for frame, aspect in decoded:
        if frame.pts is not None:
            awaited.discard(frame.pts)
            if awaited and min(awaited) < frame.pts:
                raise _Damage
        if frame.is_corrupt or doubtful():
            raise _Damage
        waiting.append((frame, aspect))
        while len(waiting) > packets.stream.codec_context.reorder_depth:
            yield waiting.popleft()
    if awaited or doubtful():
        raise _Damage
    yield from waiting


def _suits_decord(container: str, info: VideoInfo, first: VideoFrame) -> bool:
    """Whether decord is known to give this video's pixels exactly."""
    return (
        container in DECORD_CONTAINERS
        and info.codec in DECORD_CODECS
        and first.format.name in DECORD_PIXELS
        and info.width % 2 == info.height % 2 == 0
        and info.rotation_degrees == 0
        and not info.mirrored
        and (info.width, info.height) == (first.width, first.height)
    )


def _decord() -> Any:
    """The module decord, or None where it is not installed or its library does not load."""
    os.environ.setdefault("PATH", os.defpath)  # decord does not load without
    try:
        import decord
    except (ImportError, OSError):
        return None
    decord.logging.set_level(decord.logging.QUIET)
    return decord
