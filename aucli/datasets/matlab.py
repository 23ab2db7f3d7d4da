"""Numeric matrices of MATLAB files, level 5, plain or compressed; nothing else is read.

SciPy's reader also knows cells, objects and functions, and can end the process on a damaged file.
The layout is that of "MAT-File Format", The MathWorks.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

MAX_BYTES = 1 << 20  # of a variable, unpacked
_HEADER = 128
_COMPRESSED, _MATRIX = 15, 14
_NUMERIC = range(6, 16)  # classes of arrays: double to uint64
_COMPLEX = 0x800
_TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}


def read_matrix(path: Path, name: str) -> np.ndarray:
    """A real matrix (rows, columns) float64 by its name.

    Raises OSError, and ValueError where the file is no such file, is damaged, or lacks the matrix.
    """
    with path.open("rb") as stream:
        blob = stream.read(16 * MAX_BYTES)
    order = {b"IM": "<", b"MI": ">"}.get(blob[_HEADER - 2 : _HEADER])
    if order is None:
        raise ValueError("it is no MATLAB file of level 5")
    for kind, content in _elements(blob[_HEADER:], order):
        if kind == _COMPRESSED:
            kind, content = next(_elements(_unpacked(content), order), (0, b""))
        if kind == _MATRIX and (matrix := _matrix(content, order, name)) is not None:
            return matrix
    raise ValueError(f"it has no matrix {name}")


def _unpacked(content: bytes) -> bytes:
    """Nothing for a variable that is too large to be ours. Raises ValueError."""
    unzip = zlib.decompressobj()
    try:
        unpacked = unzip.decompress(content, MAX_BYTES)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if unzip.unconsumed_tail:
        return b""
    if not unzip.eof:
        raise ValueError("it ends early")
    return unpacked


def _elements(blob: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Type and content of each element. Raises ValueError where one is cut short."""
    place = 0
    while place + 8 <= len(blob):
        kind, size = struct.unpack_from(order + "II", blob, place)
        start = place + 8
        if kind >> 16:  # a small one: size, type and content in 8 bytes
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
        content = blob[start : start + size]
        if len(content) < size:
            raise ValueError("it ends early")
        yield kind, content
        place = start + size
        if kind != _COMPRESSED:
            place += -place % 8


def _matrix(content: bytes, order: str, name: str) -> np.ndarray | None:
    """The numbers of a matrix element; None where it has another name or holds something else."""
    parts = list(_elements(content, order))
    if len(parts) < 4 or parts[2][1] != name.encode():
        return None
    flags = int(np.frombuffer(parts[0][1][:4].ljust(4, b"\0"), order + "u4")[0])
    shape = np.frombuffer(parts[1][1], order + "i4").tolist()
    kind, numbers = parts[3]
    known = (flags & 0xFF) in _NUMERIC and not flags & _COMPLEX and kind in _TYPES
    if not known or len(shape) != 2 or min(shape) < 0:
        return None
    values = np.frombuffer(numbers, order + _TYPES[kind])
    if len(values) != math.prod(shape):
        raise ValueError(f"{name} has {len(values)} numbers, not {shape[0]} x {shape[1]}")
    return values.astype(np.float64).reshape(shape, order="F")
