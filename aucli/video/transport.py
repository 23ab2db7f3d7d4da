"""What is missing of an MPEG transport stream, from the counter in its packets' headers.

FFmpeg marks a picture that lost a part, and says nothing of one that is lost as a whole. See
ISO/IEC 13818-1, section 2.4.3.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

SYNC = 0x47
PACKET_BYTES = (188, 192, 204)  # plain, with a time stamp (Blu-ray), with a checksum
CHUNK_BYTES = 16 * 2**20
IN_SYNC = 4  # packets that begin where they should


@dataclass(frozen=True, slots=True)
class Breaks:
    """positions: bytes from the start of the file where packets are missing or unreadable.
    cut: the file ends within a packet, or with bytes that are none."""

    positions: tuple[int, ...] = ()
    cut: bool = False


def find_breaks(path: Path, pid: int) -> Breaks:
    """The breaks in the packets with the identifier ``pid`` and in the stream as a whole."""
    size = 0
    positions: list[int] = []
    counter: int | None = None
    lost = False  # no packet since the last break
    rest, base = b"", 0  # bytes not looked at yet, and their place in the file
    with path.open("rb") as file:
        while True:
            chunk = file.read(CHUNK_BYTES)
            data = np.frombuffer(rest + chunk, np.uint8)
            if not size:
                size = _packet_bytes(data)
                if not size:
                    return Breaks()
            at = 0
            while at < len(data):
                if data[at] != SYNC:
                    found = _next_sync(data[at:], size)
                    if base + at:  # bytes before the first packet belong to no packet
                        positions.append(base + at)
                    at += found
                    lost = at == len(data)
                    continue
                whole = data[at : len(data) - (len(data) - at) % size].reshape(-1, size)
                if not len(whole):
                    break
                good = np.flatnonzero(whole[:, 0] != SYNC)
                whole = whole[: good[0] if len(good) else None]
                lost = False
                jumps, counter = _jumps(whole, pid, counter)
                positions += (base + at + jumps * size).tolist()
                at += len(whole) * size
            rest, base = data[at:].tobytes(), base + at
            if not chunk:
                # Blu-ray's four bytes stand before each packet, so the last one ends earlier.
                cut = len(rest) not in (0, 188) or lost
                return Breaks(tuple(positions), cut)


def _packet_bytes(data: np.ndarray) -> int:
    """The distance of the packets; 0 where none fits."""
    for size in PACKET_BYTES:
        for start in range(min(size, len(data))):
            beats = data[start : start + size * IN_SYNC : size]
            if len(beats) == IN_SYNC and (beats == SYNC).all():
                return size
    return 0


def _next_sync(data: np.ndarray, size: int) -> int:
    """Where packets go on; the length of the data if nowhere."""
    for start in np.flatnonzero(data == SYNC).tolist():
        if (data[start : start + size * IN_SYNC : size] == SYNC).all():
            return start
    return len(data)


def _jumps(packets: np.ndarray, pid: int, last: int | None) -> tuple[np.ndarray, int | None]:
    """Rows whose counter does not follow, and the counter at the end. packets: (N, size) uint8."""
    own = ((packets[:, 1] & 0x1F).astype(int) << 8) | packets[:, 2]
    rows = np.flatnonzero((own == pid) & (packets[:, 3] & 0x10 > 0))  # those that carry something
    if not len(rows):
        return rows, last
    counters = (packets[rows, 3] & 0x0F).astype(int)
    before = np.concatenate([[counters[0] - 1 if last is None else last], counters[:-1]])
    step = (counters - before) % 16  # 1; 0 repeats a packet
    stated = (packets[rows, 3] & 0x20 > 0) & (packets[rows, 4] > 0) & (packets[rows, 5] & 0x80 > 0)
    failed = packets[rows, 1] & 0x80 > 0
    return rows[((step > 1) & ~stated) | failed], int(counters[-1])
