"""Videos, still images and image folders as batches of RGB frames with exact timestamps.

Two decoders that give the same pixels: decord where it is known to (:func:`_suits_decord`), PyAV
everywhere else. Timestamps, frame counts and rotation come from the container either way, so they
do not depend on the decoder.
"""

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from av.video.frame import VideoFrame

from aucli.errors import InputError
from aucli.records import FrameBatch, VideoInfo
from aucli.video import demux
from aucli.video.stills import IMAGE_SUFFIXES, image_files, read_image

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
# Pixels more stretched than this are a damaged header, not a recording (anamorphic film has 2:1).
MAX_PIXEL_ASPECT = 4


@dataclass(frozen=True, slots=True)
class DecodeReport:
    """What came out of a source, complete once its iteration has ended.

    ``declared_frames`` is 0 where the file does not say. ``corrupt_packets`` counts packets (or
    images of a folder) that could not be decoded and were skipped. ``truncated``: the file ends
    before what it declares. ``decoder``: 'decord', 'pyav', 'pillow', or 'decord+pyav' where PyAV
    took over in the middle.
    """

    decoder: str
    declared_frames: int
    decoded_frames: int = 0
    corrupt_packets: int = 0
    truncated: bool = False

    @property
    def damaged(self) -> bool:
        """Whether frames are missing that the file should have held."""
        return self.truncated or self.corrupt_packets > 0


class FrameSource:
    """A source of frames: iterate for :class:`FrameBatch`, then read :attr:`report`.

    Every iteration starts at the first frame. Memory stays bounded: nothing is read ahead of the
    consumer, except by decord, which gets only clips that fit the memory budget. ``unrelated``:
    the frames are pictures, not a film.
    """

    unrelated = False

    def __init__(self, info: VideoInfo, batch_size: int) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.info = info
        self.batch_size = max(1, min(batch_size, MAX_BATCH_BYTES // (info.width * info.height * 3)))
        self.report = DecodeReport(info.decoder, info.declared_frames)
        self._running: Generator[FrameBatch, None, None] | None = None

    def __iter__(self) -> Iterator[FrameBatch]:
        self.close()
        self.report = DecodeReport(self.info.decoder, self.info.declared_frames)
        self._running = self._batches()
        for batch in self._running:
            decoded = self.report.decoded_frames + len(batch)
            self.report = replace(self.report, decoded_frames=decoded)
            yield batch

    def __enter__(self) -> "FrameSource":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file, also in the middle of an iteration."""
        if self._running is not None:
            self._running.close()
            self._running = None

    def _batches(self) -> Generator[FrameBatch, None, None]:
        raise NotImplementedError

    def _count_corrupt(self) -> None:
        self.report = replace(self.report, corrupt_packets=self.report.corrupt_packets + 1)


def open_video(
    path: str | Path,
    decoder: Decoder = "auto",
    batch_size: int = 32,
    memory_budget: int = MEMORY_BUDGET,
) -> FrameSource:
    """Open a video file, a still image or a folder of images.

    decoder: 'auto' and 'decord' take decord for clips whose decoded frames fit into
    ``memory_budget`` bytes and whose pixels it is known to get right, else PyAV; 'pyav' takes PyAV.
    batch_size: frames in a batch; fewer where frames are so large that they would pass 64 MB.

    The timestamps of a video are presentation times in seconds from the start of its stream. A
    still image is at 0.0; the images of a folder have no time (NaN), and their ``frame_index`` is
    the position in natural order of the names. A damaged video may deliver a frame late; it keeps
    its own time.

    Raises InputError where there is nothing to decode.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; check the name.")
    if path.is_dir():
        return ImageSource(path, image_files(path), batch_size)
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes); copy or record it again.")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageSource(path, [path], batch_size)
    return VideoSource(path, decoder, batch_size, memory_budget)


class ImageSource(FrameSource):
    """Still images; a batch ends early where the size of the images changes."""

    unrelated = True

    def __init__(self, path: Path, files: list[Path], batch_size: int) -> None:
        height, width = read_image(files[0]).shape[:2]
        super().__init__(
            VideoInfo(path, "pillow", "image", width, height, 0.0, len(files), 0.0), batch_size
        )
        self._files = files

    def _batches(self) -> Generator[FrameBatch, None, None]:
        images: list[np.ndarray] = []
        indices: list[int] = []
        for i, file in enumerate(self._files):
            try:
                image = read_image(file)
            except InputError:
                self._count_corrupt()
                continue
            if images and (len(images) == self.batch_size or image.shape != images[0].shape):
                yield self._batch(images, indices)
                images, indices = [], []
            images.append(image)
            indices.append(i)
        if images:
            yield self._batch(images, indices)

    def _batch(self, images: list[np.ndarray], indices: list[int]) -> FrameBatch:
        seconds = 0.0 if len(self._files) == 1 else np.nan
        return FrameBatch(
            np.stack(images), np.array(indices, np.int64), np.full(len(images), seconds)
        )


class VideoSource(FrameSource):
    """A video file, decoded by decord, PyAV, or PyAV after decord."""

    def __init__(self, path: Path, decoder: Decoder, batch_size: int, memory_budget: int) -> None:
        with demux.open_container(path) as container:
            container_name = container.format.name
            stream = demux.video_stream(container, path)
            packets = demux.PacketReader(container, stream, lambda: None)
            first = next(demux.decode(packets), None)
            if first is None:
                raise InputError(
                    f"{path} has a video stream but none of its frames can be decoded; "
                    "copy or convert it again."
                )
            # PyAV and np.rot90 count turns counter-clockwise.
            self._quarter_turns = round(first.rotation / 90) % 4
            aspect = stream.sample_aspect_ratio
            self._unturned_size = width, height = _square_pixels(first.width, first.height, aspect)
            turned = self._quarter_turns % 2 == 1
            info = VideoInfo(
                path=path,
                decoder="pyav",
                codec=stream.codec_context.codec.canonical_name,
                width=height if turned else width,
                height=width if turned else height,
                fps=float(stream.average_rate or stream.guessed_rate or 0),
                declared_frames=demux.declared_frames(container, stream),
                duration_seconds=demux.duration_seconds(container, stream),
                rotation_degrees=-90 * self._quarter_turns % 360,
            )
            self._time_base = first.time_base or Fraction(1, 1000)
            # The step to a frame that carries no time itself, as in raw streams.
            rate = stream.average_rate or stream.guessed_rate or 25
            self._frame_ticks = max(1, round(1 / (rate * self._time_base)))
            # decord must begin with the same picture, or it is not trusted with the rest.
            self._first_rgb = first.to_ndarray(format="rgb24", interpolation="BICUBIC")
        first_pts = first.pts or 0
        start = first_pts if stream.start_time is None else stream.start_time
        self._start_pts = min(start, first_pts)
        self._sound_pts: list[int] = []
        if decoder != "pyav" and _suits_decord(container_name, info, first):
            limit = memory_budget // (info.width * info.height * 3)
            self._sound_pts = demux.sound_pts(path, info.declared_frames, limit)
        if self._sound_pts and _decord() is not None:
            info = replace(info, decoder="decord")
        super().__init__(info, batch_size)

    def _batches(self) -> Generator[FrameBatch, None, None]:
        done = 0
        if self.info.decoder == "decord":
            for batch in self._decord_batches():
                done += len(batch)
                yield batch
            if done == len(self._sound_pts):
                return
            self.report = replace(self.report, decoder="decord+pyav" if done else "pyav")
        yield from self._pyav_batches(done, self._sound_pts[done - 1] if done else None)

    def _decord_batches(self) -> Iterator[FrameBatch]:
        """Batches in order until the end or the first error, which is not raised."""
        shape = (self.info.height, self.info.width, 3)
        try:
            # Without fault_tol, frames that fail are silently replaced by their neighbours.
            reader = _decord().VideoReader(str(self.info.path), fault_tol=1)
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

    def _pyav_batches(self, index: int, after_pts: int | None) -> Iterator[FrameBatch]:
        """Frames later than ``after_pts`` (None: all), numbered from ``index``."""
        width, height = self._unturned_size
        frames: list[np.ndarray] = []
        pts: list[int] = []
        current = self._start_pts - self._frame_ticks
        with demux.open_container(self.info.path) as container:
            stream = demux.video_stream(container, self.info.path)
            stream.thread_type = "AUTO"
            packets = demux.PacketReader(container, stream, self._count_corrupt)
            for frame in demux.decode(packets):
                current = current + self._frame_ticks if frame.pts is None else frame.pts
                if after_pts is not None and current <= after_pts:
                    continue
                # The size is given because pixels may not be square, and because a stream may
                # change it on the way. Bicubic as in
                # decord; formats at half the chroma resolution in both directions need neither.
                rgb = frame.to_ndarray(
                    format="rgb24", width=width, height=height, interpolation="BICUBIC"
                )
                frames.append(np.rot90(rgb, self._quarter_turns))
                pts.append(current)
                if len(frames) == self.batch_size:
                    yield self._batch(np.stack(frames), index, pts)
                    index += len(frames)
                    frames, pts = [], []
            truncated = packets.ended_early(self.info.path, self.info.declared_frames)
            self.report = replace(self.report, truncated=truncated)
        if frames:
            yield self._batch(np.stack(frames), index, pts)

    def _batch(self, frames: np.ndarray, index: int, pts: list[int]) -> FrameBatch:
        seconds = [float((p - self._start_pts) * self._time_base) for p in pts]
        return FrameBatch(
            frames, np.arange(index, index + len(pts), dtype=np.int64), np.array(seconds)
        )


def _suits_decord(container: str, info: VideoInfo, first: VideoFrame) -> bool:
    """Whether decord is known to give this video's pixels exactly."""
    return (
        container in DECORD_CONTAINERS
        and first.format.name in DECORD_PIXELS
        and info.width % 2 == info.height % 2 == 0
        and info.rotation_degrees == 0
        and (info.width, info.height) == (first.width, first.height)
    )


def _square_pixels(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """(width, height) px with square pixels, none of them lost: one side grows, none shrinks.

    aspect: width of a stored pixel over its height, as DV tapes and anamorphic lenses need it; None
    and impossible ones count as square.
    """
    if not aspect or not Fraction(1, MAX_PIXEL_ASPECT) <= aspect <= MAX_PIXEL_ASPECT:
        return width, height
    return round(width * max(aspect, 1)), round(height / min(aspect, 1))


def _decord() -> Any:
    """The module decord, or None where it is not installed or its library does not load."""
    os.environ.setdefault("PATH", os.defpath)  # decord does not load without
    try:
        import decord
    except (ImportError, OSError):
        return None
    decord.logging.set_level(decord.logging.QUIET)
    return decord
