"""MATLAB files: the numbers that SciPy writes, and a sentence for whatever is no such file."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from aucli.datasets import matlab
from aucli.datasets.landmarks66 import read_mat
from aucli.datasets.matlab import read_matrix
from aucli.errors import DataError

POINTS = np.random.default_rng(0).uniform(0, 300, (66, 2))
HEAD = b"MATLAB 5.0 MAT-file".ljust(124)


def element(kind: int, content: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "II", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(points: np.ndarray, name: bytes = b"pts", order: str = "<", kind: int = 6) -> bytes:
    head = element(6, struct.pack(order + "II", kind, 0), order)
    head += element(5, struct.pack(order + "ii", *points.shape), order) + element(1, name, order)
    numbers = points.astype(order + "f8").tobytes(order="F")
    return element(14, head + element(9, numbers, order), order)


def write(path: Path, body: bytes, order: str = "<") -> Path:
    marks = {"<": struct.pack("<H", 0x0100) + b"IM", ">": struct.pack(">H", 0x0100) + b"MI"}
    path.write_bytes(HEAD + marks[order] + body)
    return path


def packed(body: bytes) -> bytes:
    content = zlib.compress(body)
    return struct.pack("<II", 15, len(content)) + content


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, np.uint8, np.int32])
def test_what_scipy_writes(tmp_path: Path, dtype: type, compressed: bool) -> None:
    savemat = pytest.importorskip("scipy.io").savemat
    path = tmp_path / "a.mat"
    points = (POINTS / 2).astype(dtype)
    savemat(path, {"other": np.eye(3), "s": {"a": 1}, "pts": points}, do_compression=compressed)
    np.testing.assert_array_equal(read_matrix(path, "pts"), points)


def test_the_other_order_of_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mat", matrix(POINTS, order=">"), ">")
    np.testing.assert_array_equal(read_matrix(path, "pts"), POINTS)


def test_a_large_variable_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matlab, "MAX_BYTES", 4000)
    large = packed(matrix(np.zeros((900, 1)), b"film"))
    path = write(tmp_path / "a.mat", large + packed(matrix(POINTS)))
    np.testing.assert_array_equal(read_matrix(path, "pts"), POINTS)


BODY = matrix(POINTS)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        BODY[:500],
        packed(BODY)[:-20],
        packed(BODY)[:8] + b"x" * 99,
        matrix(POINTS, b"other"),
        matrix(POINTS, kind=1),  # cells
        BODY.replace(struct.pack("<ii", 66, 2), struct.pack("<ii", 2**30, 2)),
        BODY.replace(struct.pack("<ii", 66, 2), struct.pack("<ii", -66, -2)),
        BODY.replace(struct.pack("<II", 9, 1056), struct.pack("<II", 77, 1056)),
        element(14, b""),
        element(14, element(6, b"") + element(5, b"") + element(1, b"pts") + element(9, b"")),
    ],
)
def test_no_matrix(tmp_path: Path, body: bytes) -> None:
    path = write(tmp_path / "a.mat", body)
    with pytest.raises(DataError, match=r"a\.mat cannot be read as a MATLAB file; copy it again"):
        read_mat(path)


@pytest.mark.parametrize("points", [POINTS[:65], POINTS * np.nan, POINTS * 1e300, POINTS.T])
def test_no_landmarks(tmp_path: Path, points: np.ndarray) -> None:
    path = write(tmp_path / "a.mat", matrix(points))
    with pytest.raises(DataError, match=r"does not hold 66 points \(x, y\); restore the file"):
        read_mat(path)


def test_a_file_that_ended_the_process(shared_dir: Path) -> None:
    path = shared_dir / "bad-input" / "segv.mat"
    if not path.exists():
        pytest.skip("the file is not here")
    with pytest.raises(DataError, match="cannot be read as a MATLAB file; copy it again"):
        read_mat(path)


def test_damage_is_a_sentence(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    refused = 0
    for body in (BODY, packed(BODY)):
        for _ in range(300):
            damaged = bytearray(body[: rng.integers(1, len(body) + 1)])
            for place in rng.integers(0, len(damaged), rng.integers(1, 5)):
                damaged[place] ^= 1 << rng.integers(8)
            path = write(tmp_path / "a.mat", bytes(damaged))
            try:
                read_mat(path)
            except DataError:
                refused += 1
    assert refused > 500
