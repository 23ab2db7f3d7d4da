"""Arrow arrays out of numpy's memory.

``pa.array`` and ``pa.scalar`` import pandas on their first call, half a second in a fresh process;
these do not.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def to_array(values: np.ndarray, known: np.ndarray | None = None) -> pa.Array:
    """Numbers or bools (N,) as an array of their own type, null where `known` (N,) is False."""
    buffers = [
        None if known is None or known.all() else _bits(known),
        _bits(values) if values.dtype == bool else pa.py_buffer(np.ascontiguousarray(values)),
    ]
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), buffers)


def zeros_like(column: pa.Array) -> pa.Array:
    """As many zeros of the type of these numbers; :func:`pyarrow.scalar` would import pandas."""
    return to_array(np.zeros(len(column), column.type.to_pandas_dtype()))


def text_reader(text: str) -> pa.BufferReader:
    """A text as a file for Arrow's readers, in memory of Arrow's own.

    They read ahead in threads, which may drop the last part when Python is ending: to give bytes
    back to Python would then abort the process.
    """
    sink = pa.BufferOutputStream()
    sink.write(text.encode())
    return pa.BufferReader(sink.getvalue())


def repeat_text(text: str, count: int) -> pa.Array:
    """The same text `count` times."""
    data = text.encode()
    ends = np.arange(count + 1, dtype=np.int32) * len(data)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(data * count)]
    return pa.Array.from_buffers(pa.string(), count, buffers)


def to_texts(texts: Sequence[str | None]) -> pa.Array:
    """Texts as an array, null where one is None."""
    data = [(text or "").encode() for text in texts]
    ends = np.cumsum([0, *map(len, data)], dtype=np.int32)
    known = np.array([text is not None for text in texts], bool)
    buffers = [_bits(known), pa.py_buffer(ends), pa.py_buffer(b"".join(data))]
    return pa.Array.from_buffers(pa.string(), len(data), buffers)


def _bits(flags: np.ndarray) -> pa.Buffer:
    return pa.py_buffer(np.packbits(flags, bitorder="little"))
