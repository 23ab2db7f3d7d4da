"""Where the frames of a video lie, so that a part of it can be decoded for itself."""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aucli.video import demux
from aucli.video.witness import LoggedErrors

# Containers that can be entered at each of their key frames, in FFmpeg's names.
INDEXED_CONTAINERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
PACKETS_BETWEEN = 1024  # two signs of life


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive frames of a video: ``first``, 0-based, and so many after it.

    seek_tick: where to enter the file, at a key frame or before it. first_tick, last_tick: times of
    the first and the last frame, in ticks of the stream. summed: numbers of frames whose pixels are
    summed, for a comparison with another decoding.
    """

    first: int
    count: int
    seek_tick: int
    first_tick: int
    last_tick: int
    summed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no one truth
class Index:
    """Every frame of a sound video. ticks: (N,) int64, rising. key_ticks, key_entries: (K,) int64,
    of the key frames their times, rising, and where to enter the file for each."""

    ticks: np.ndarray
    key_ticks: np.ndarray
    key_entries: np.ndarray

    def span(self, first: int, stop: int, summed: tuple[int, ...] = ()) -> Span | None:
        """The frames from ``first`` to before ``stop``; None where no key frame comes before."""
        key = int(np.searchsorted(self.key_ticks, self.ticks[first], "right")) - 1
        if key < 0:
            return None
        entry, first_tick, last_tick = (
            int(tick) for tick in (self.key_entries[key], self.ticks[first], self.ticks[stop - 1])
        )
        return Span(first, stop - first, entry, first_tick, last_tick, summed)


def read_index(
    path: Path, declared: int, max_pixels: int, on_packets: Callable[[], None] = lambda: None
) -> Index | None:
    """The index of a video file, read from its packets without decoding one.

    None where anything is missing, hidden, damaged or ambiguous, or where the container cannot be
    entered in the middle. declared: frames that the file declares. on_packets: a sign of life.
    """
    damage: list[None] = []
    with LoggedErrors() as logged, demux.open_container(path, max_pixels) as container:
        if container.format.name not in INDEXED_CONTAINERS:
            return None
        stream = demux.video_stream(container, path, max_pixels)
        packets = demux.PacketReader(container, stream, lambda: damage.append(None))
        ticks, keys, entries = array("q"), array("q"), array("q")
        for packet in demux.in_order(packets):
            if packet is None:
                return None
            ticks.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
                entries.append(packet.pts if packet.dts is None else min(packet.pts, packet.dts))
            if len(ticks) % PACKETS_BETWEEN == 0:
                on_packets()
        if damage or logged.count or packets.ended_early(path, declared):
            return None
    times, key_times = np.array(ticks, np.int64), np.array(keys, np.int64)
    if not len(times) or len(np.unique(times)) < len(times):
        return None
    order = np.argsort(key_times)
    return Index(np.sort(times), key_times[order], np.array(entries, np.int64)[order])
