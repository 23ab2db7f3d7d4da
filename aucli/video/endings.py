"""What a file's own bytes say of its length, where FFmpeg does not tell."""

from pathlib import Path
from typing import BinaryIO

import numpy as np

MATROSKA_EBML_ID = b"\x1a\x45\xdf\xa3"
MATROSKA_SEGMENT_ID = b"\x18\x53\x80\x67"

GIF_MAGIC = (b"GIF87a", b"GIF89a")
GIF_IMAGE, GIF_EXTENSION, GIF_TRAILER = b"\x2c", b"\x21", b"\x3b"


# The header object of an ASF file (WMV) that states the file's size, 40 bytes in.
ASF_MAGIC = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def stops_early(path: Path, errors: bool = False) -> bool:
    """Whether the file ends before the end that its own format states.

    errors: whether anything else was wrong with the file; only then, one that is longer than it
    states has lost its end, too. Files of formats that state none are never short, and live
    recordings of unknown size neither.
    """
    with path.open("rb") as file:
        head = file.read(1024)
        if head.startswith(MATROSKA_EBML_ID):
            return _matroska_is_short(head, path.stat().st_size)
        if head.startswith(GIF_MAGIC):
            return _gif_is_short(file)
        if head.startswith(ASF_MAGIC) and (at := head.find(ASF_PROPERTIES)) > 0:
            stated, size = int.from_bytes(head[at + 40 : at + 48], "little"), path.stat().st_size
            return size < stated or (errors and 0 < stated < size)
    return False


def _matroska_is_short(head: bytes, size_bytes: int) -> bool:
    """Whether a Matroska or WebM file is smaller than the segment size it declares.

    Its frame count is not declared, so this is the only trace of a cut-off end.
    """
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
    return size_bytes < start + length + size


def _gif_is_short(file: BinaryIO) -> bool:
    """Whether the blocks of a GIF do not lead to its trailer (GIF89a, sections 15 to 27).

    The parts of a picture are as long as the first one, but for the last. Other lengths are those
    of a chain that went astray, swallowed pictures and came back.
    """

    def skip_colours(flags: int) -> None:
        if flags & 0x80:
            file.seek(3 << (flags & 7) + 1, 1)

    def skip_parts() -> list[int]:
        lengths = []
        while length := int.from_bytes(file.read(1)):
            file.seek(length, 1)
            lengths.append(length)
        return lengths

    file.seek(10)
    skip_colours(int.from_bytes(file.read(1)))
    file.seek(2, 1)
    while True:
        kind = file.read(1)
        if kind == GIF_IMAGE:
            place = file.read(9)
            if len(place) < 9:
                return True
            skip_colours(place[8])
            file.seek(1, 1)
            lengths = skip_parts()
            if len(set(lengths[:-1])) > 1 or lengths[-1:] > lengths[:1]:
                return True
        elif kind == GIF_EXTENSION:
            file.seek(1, 1)
            skip_parts()
        else:
            return kind != GIF_TRAILER


def avi_empty_frames(path: Path, stream_index: int) -> int:
    """How many frames of an AVI its index lists with no bytes: a camera that is late writes these.

    0 where there is no index (the chunk idx1 of the AVI RIFF format).
    """
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[4:], "little")
            if head[:4] == b"idx1":
                # Four numbers an entry: name of the chunk, flags, offset, size.
                entries = np.frombuffer(file.read(length // 16 * 16), "S4,<u4,<u4,<u4")
                own = np.isin(entries["f0"], [b"%02dd%c" % (stream_index, kind) for kind in b"bc"])
                return int((own & (entries["f3"] == 0)).sum())
            file.seek(length + length % 2, 1)
    return 0
