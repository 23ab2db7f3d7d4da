"""Arrow arrays from buffers are the ones that ``pa.array`` would make."""

import numpy as np
import pyarrow as pa
import pytest

from aucli.table.arrow import repeat_text, to_array

VALUES = np.array([3.0, -1.5, np.nan, 0.0, 7.25, 1.0, 2.0, 9.0, 4.0, 5.0])


@pytest.mark.parametrize("kind", ["f4", "f8", "i4", "i8", "i1", "bool"])
@pytest.mark.parametrize("count", [0, 1, 8, 10])
def test_numbers_and_their_nulls(kind: str, count: int) -> None:
    values = np.nan_to_num(VALUES[:count]).astype(kind)
    known = np.isfinite(VALUES[:count])
    for array, expected in (
        (to_array(values), pa.array(values)),
        (to_array(values, known), pa.array(values, mask=~known)),
        (to_array(values, np.ones(count, bool)), pa.array(values)),
    ):
        array.validate(full=True)
        assert array.type == expected.type
        assert array.equals(expected)
        assert array.null_count == expected.null_count


def test_strided_values_are_copied() -> None:
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    assert to_array(values[:, 1]).to_pylist() == [1, 4, 7, 10]


@pytest.mark.parametrize(
    ("text", "count"), [("clip.mp4", 3), ("Übung 1.mp4", 2), ("", 4), ("x", 0)]
)
def test_repeated_text(text: str, count: int) -> None:
    array = repeat_text(text, count)
    array.validate(full=True)
    assert array.equals(pa.array([text] * count, pa.string()))
