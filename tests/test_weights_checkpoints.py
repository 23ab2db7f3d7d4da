"""Checkpoints of every container are read; what is no checkpoint is refused, and nothing runs."""

import collections
import gzip
import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from aucli.errors import WeightsError
from aucli.weights import checkpoints
from aucli.weights.checkpoints import read_checkpoint

TENSORS = {"conv.weight": torch.arange(24.0).view(2, 3, 2, 2), "bn.steps": torch.tensor(7)}
TRAINED = {
    "epoch": 9,
    "best": np.float64(0.25),
    "optimizer": {"state": {}, "lr": 1e-3},
    "state_dict": collections.OrderedDict((f"module.{k}", t) for k, t in TENSORS.items()),
}


def saved(content: object, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


def tarred(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo("folder/" + name.replace("__", "."))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


LEGACY, ZIP = saved(TRAINED, legacy=True), saved(TRAINED)


@pytest.mark.parametrize(
    "blob",
    [
        LEGACY,
        ZIP,
        saved(TENSORS),
        saved(TENSORS, legacy=True),
        zipped(net__pth=ZIP, README__md=b"text"),
        zipped(net__pth=LEGACY, **{"._net.pth": b"\0"}),
        tarred(net__pth=LEGACY, notes__txt=b"text"),
        tarred(net__pth=ZIP),
        gzip.compress(tarred(net__pth=LEGACY)),
    ],
)
def test_containers_are_told_by_content(tmp_path: Path, blob: bytes) -> None:
    path = tmp_path / "net.pth.tar"
    path.write_bytes(blob)
    found = read_checkpoint(path, "it")
    assert list(found) == list(TENSORS)
    for key, tensor in TENSORS.items():
        assert torch.equal(found[key], tensor) and found[key].dtype == tensor.dtype
    assert [p.name for p in tmp_path.iterdir()] == ["net.pth.tar"]


def test_member_of_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tarred(f0__pth=saved(TENSORS), f1__pth=saved({"x": torch.zeros(1)})))
    assert list(read_checkpoint(path, "it", "f0.pth")) == list(TENSORS)
    assert list(read_checkpoint(path, "it", "f1.pth")) == ["x"]


def test_only_a_prefix_of_all_names_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(saved({"module.a": torch.zeros(1), "b": torch.zeros(1)}))
    assert list(read_checkpoint(path, "it")) == ["module.a", "b"]


def test_published_detector(shared_dir: Path) -> None:
    state = read_checkpoint(shared_dir / "face-weights" / "mobilenet0.25_Final.pth", "it")
    assert len(state) == 300 and next(iter(state)) == "body.stage1.0.0.weight"


class Runs:
    """A pickle that makes a file when it is read without care."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


PAGE = b"\n<!DOCTYPE html><html><body>Sign in</body></html>"
DAMAGED = "is truncated, damaged or not written by torch.save; get it again"
BROKEN = "is truncated, damaged or encrypted; get it again"
NO_CHECKPOINT = "is not a PyTorch checkpoint; give the file that its authors published"
NO_TENSORS = "holds no named tensors; give the checkpoint that its authors published"
TOO_LARGE = "unpacks to more than any checkpoint that aucli knows"


@pytest.mark.parametrize(
    ("blob", "why"),
    [
        (b"", "is empty; get it again"),
        (PAGE, "is a web page, not a checkpoint; open its link in a browser and save the file "
               "itself"),
        (b"RIFF" * 200, NO_CHECKPOINT),
        (ZIP[:-100], BROKEN),
        (ZIP.replace(bytes(TENSORS["conv.weight"].numpy().data), bytes(96)),
         BROKEN),
        (LEGACY[:-10], DAMAGED),
        (LEGACY[:300], DAMAGED),
        (gzip.compress(tarred(net__pth=LEGACY))[:-200], BROKEN),
        (tarred(net__pth=ZIP)[:2000], BROKEN),
        (pickle.dumps(3), DAMAGED),
        (saved([1, 2]), NO_TENSORS),
        (saved({}), NO_TENSORS),
        (saved({"a": torch.zeros(1), "epoch": 3}), "holds 'epoch', which is not a plain tensor"),
        (saved({"a": torch.zeros(2).to_sparse()}), "holds 'a', which is not a plain tensor"),
        (zipped(README__md=b""), "is an archive without a checkpoint"),
        (tarred(a__pth=ZIP, b__pth=ZIP),
         "is an archive of several checkpoints, folder/a.pth, folder/b.pth; unpack the one that "
         "is meant"),
        (zipped(a__zip=zipped(net__pth=ZIP)), "is an archive without a checkpoint"),
        (zipped(a__pth=zipped(net__pth=ZIP)), f"a.pth {NO_CHECKPOINT}"),
        (zipped(a__pth=b"text"), f"a.pth {NO_CHECKPOINT}"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, blob: bytes, why: str) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(blob)
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(path, "it")
    assert str(caught.value) in (f"it {why}", f"it, {why}")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrap", [lambda b: b, lambda b: tarred(a__pth=b)])
def test_code_is_not_run(tmp_path: Path, legacy: bool, wrap) -> None:
    trap = tmp_path / "trap"
    blob = saved({"state_dict": TENSORS, "extra": Runs(trap)}, legacy)
    (tmp_path / "a.pth").write_bytes(wrap(blob))
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(tmp_path / "a.pth", "it")
    assert str(caught.value).endswith(
        " asks for posix.mkdir to be called, which tensors do not need; nothing of it was run, "
        "give the file that its authors published"
    )
    assert not trap.exists()
    torch.load(io.BytesIO(blob), weights_only=False)  # the trap is a real one
    assert trap.exists()


def test_member_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tarred(net__pth=ZIP))
    with pytest.raises(WeightsError, match=r"^it is an archive without f0\.pth$"):
        read_checkpoint(tmp_path / "a.tar", "it", "f0.pth")


def test_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"^it cannot be read \(No such file or directory\)$"):
        read_checkpoint(tmp_path / "a.pth", "it")


@pytest.mark.parametrize(
    "blob", [zipped(a__pth=bytes(5000)), gzip.compress(tarred(a__pth=bytes(5000))), saved(
        {"a": torch.zeros(5000)})],
)  # fmt: skip
def test_bombs(tmp_path: Path, blob: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "MAX_FILE_BYTES", 4999)
    path = tmp_path / "a.pth"
    path.write_bytes(blob)
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(path, "it")
    large = f"it has {len(blob)} bytes, more than any checkpoint that aucli knows"
    assert str(caught.value) == (large if len(blob) > 4999 else f"it {TOO_LARGE}")


def test_any_damage_is_a_sentence(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a.pth"
    refused = 0
    for blob in (LEGACY, ZIP, zipped(net__pth=ZIP), gzip.compress(tarred(net__pth=LEGACY))):
        for _ in range(60):
            damaged = bytearray(blob[: rng.integers(1, len(blob) + 1)])
            for place in rng.integers(0, len(damaged), rng.integers(0, 4)):
                damaged[place] ^= 1 << rng.integers(8)
            path.write_bytes(damaged)
            try:
                read_checkpoint(path, "it")
            except WeightsError:
                refused += 1
    assert refused > 200
