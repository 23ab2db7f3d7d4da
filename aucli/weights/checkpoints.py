"""Other people's checkpoint files to plain tensors, without running anything they hold.

A checkpoint is told by its content, never by its name: files called ``.pth.tar`` are mostly plain
PyTorch files, and some ``.zip`` are archives of one. Nothing is unpacked to disk.
"""

import re
import tarfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from aucli.errors import WeightsError
from aucli.weights.store import MAX_FILE_BYTES

MAX_MEMBERS = 1000  # of an archive
SUFFIXES = (".pth", ".pt", ".tar", ".ckpt", ".bin", ".pkl")

# Training loops store their best score as a numpy number beside the tensors; making a number runs
# no code. Written out for numpy 1, whose module had another name.
_NUMBERS = [
    np.dtype,
    np.float64,
    *(type(np.dtype(name)) for name in ("float32", "float64", "int64")),
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),
    (np.float64(0).__reduce__()[0], "numpy._core.multiarray.scalar"),
]


def read_checkpoint(path: Path, label: str, member: str | None = None) -> dict[str, Tensor]:
    """The tensors of a PyTorch file, legacy or zip, plain or inside a zip or tar archive.

    path: the file. label: what a message calls it. member: the name, without folders, of the
    checkpoint inside an archive; None where there is only one. The tensors are those under
    ``state_dict`` if there is that key, their names without a leading ``module.`` that all have;
    on the CPU, as stored. Raises WeightsError for a file that is truncated, too large, not a
    checkpoint, or asks for code to be run.
    """
    try:
        with path.open("rb") as file:
            return _state(read_object(file, label, member), label)
    except OSError as error:
        raise WeightsError(f"{label} cannot be read ({error.strerror or error})") from error


def read_object(file: IO[bytes], label: str, member: str | None = None) -> Any:
    """What :func:`read_checkpoint` finds the tensors in: of a zip, after its checksums were
    compared. Raises WeightsError."""
    size = file.seek(0, SEEK_END)
    file.seek(0)
    return _load(file, size, label, member)


def _load(file: IO[bytes], size: int, label: str, member: str | None) -> Any:
    """The object in a file, whatever container it is in."""
    start = file.read(512)
    file.seek(0)
    if size > MAX_FILE_BYTES:
        _refuse(label, f"has {size} bytes, more than any checkpoint that aucli knows")
    if not start:
        _refuse(label, "is empty; get it again")
    if looks_like_html(start):
        _refuse(label, "is a web page, not a checkpoint; open its link in a browser and save the "
                       "file itself")  # fmt: skip
    if start[:1] == b"\x80":  # a pickle: PyTorch's format before 1.6
        return _unpickle(file, label)
    with _damage(label):
        if start[:2] == b"PK":
            return _load_zip(file, label, member)
        if tarfile.is_tarfile(file):
            file.seek(0)
            return _load_tar(file, label, member)
    _refuse(label, "is not a PyTorch checkpoint; give the file that its authors published")


def looks_like_html(start: bytes) -> bool:
    """Whether a file that starts so is a web page."""
    return start.lstrip(b"\xef\xbb\xbf \t\r\n")[:15].lower().startswith((b"<!doctype", b"<html"))


def _load_zip(file: IO[bytes], label: str, member: str | None) -> Any:
    with zipfile.ZipFile(file) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        if any(info.filename.endswith("data.pkl") for info in infos):  # PyTorch's own format
            if sum(info.file_size for info in infos) > MAX_FILE_BYTES:
                _refuse(label, "unpacks to more than any checkpoint that aucli knows")
            if (bad := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"wrong checksum of {bad}")
            file.seek(0)
            return _unpickle(file, label)
        sizes = {info.filename: info.file_size for info in infos}
        name = _choose(sizes, label, member)
        content = archive.read(name)
    return _load_member(content, label, name)


def _load_tar(file: IO[bytes], label: str, member: str | None) -> Any:
    with tarfile.open(fileobj=file) as archive:
        sizes: dict[str, int] = {}
        for info in archive:
            if info.isfile():
                sizes[info.name] = info.size
            if len(sizes) > MAX_MEMBERS or sum(sizes.values()) > MAX_FILE_BYTES:
                _refuse(label, "unpacks to more than any checkpoint that aucli knows")
        name = _choose(sizes, label, member)
        content = archive.extractfile(name)
        assert content is not None
        blob = content.read(MAX_FILE_BYTES)
    return _load_member(blob, label, name)


def _choose(sizes: dict[str, int], label: str, member: str | None) -> str:
    """The archive's member that is the checkpoint."""
    names = {name: name.rsplit("/", 1)[-1] for name in sizes}
    if member is not None:
        found = [name for name, base in names.items() if base == member]
    else:
        # macOS adds a "._" twin of every file.
        found = [n for n, base in names.items() if base.endswith(SUFFIXES) and base[:2] != "._"]
    if not found:
        _refuse(label, f"is an archive without {member or 'a checkpoint'}")
    if len(found) > 1:
        _refuse(label, f"is an archive of several checkpoints, {', '.join(sorted(found)[:3])}; "
                       "unpack the one that is meant")  # fmt: skip
    if sizes[found[0]] > MAX_FILE_BYTES:
        _refuse(label, "unpacks to more than any checkpoint that aucli knows")
    return found[0]


def _load_member(blob: bytes, label: str, name: str) -> Any:
    """A checkpoint inside an archive; not again an archive of archives."""
    label = f"{label}, {name}"
    is_torch_zip = blob[:2] == b"PK" and b"data.pkl" in blob
    if blob[:1] != b"\x80" and not is_torch_zip:
        _refuse(label, "is not a PyTorch checkpoint; give the file that its authors published")
    return _load(BytesIO(blob), len(blob), label, None)


def _unpickle(file: IO[bytes], label: str) -> Any:
    """PyTorch's restricted reader: it knows tensors and containers and calls nothing else."""
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_NUMBERS):
            warnings.simplefilter("ignore")  # of pickle protocols; what counts is an error
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged pickle raises is open-ended
        call = re.search(r"GLOBAL ([\w.]+)", str(error))
        if call:
            raise WeightsError(
                f"{label} asks for {call[1]} to be called, which tensors do not need; nothing of "
                "it was run, give the file that its authors published"
            ) from error
        raise WeightsError(
            f"{label} is truncated, damaged or not written by torch.save; get it again"
        ) from error


def _state(loaded: Any, label: str) -> dict[str, Tensor]:
    """The named tensors of a checkpoint, names without the wrapper's prefix."""
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not loaded:
        _refuse(label, "holds no named tensors; give the checkpoint that its authors published")
    for key, value in loaded.items():
        dense = isinstance(value, Tensor) and value.layout is torch.strided
        if not dense or value.is_quantized or not isinstance(key, str):
            _refuse(label, f"holds {key!r}, which is not a plain tensor")
    if all(key.startswith("module.") for key in loaded):
        return {key.removeprefix("module."): value for key, value in loaded.items()}
    return dict(loaded)


@contextmanager
def _damage(label: str) -> Iterator[None]:
    """What readers of archives raise, as one sentence; an encrypted zip gives a RuntimeError."""
    try:
        yield
    except WeightsError:
        raise
    except Exception as error:  # that is open-ended
        raise WeightsError(f"{label} is truncated, damaged or encrypted; get it again") from error


def _refuse(label: str, why: str) -> NoReturn:
    raise WeightsError(f"{label} {why}")
