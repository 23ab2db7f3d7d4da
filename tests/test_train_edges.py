"""Training at its edges: damaged faces, a full disk, signals, two runs at once, several GPUs."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from bright_faces import hear_signals
from prepared_faces import write_prepared
from synthetic_faces import write_shards

from aucli.datasets import prepared, synthetic
from aucli.datasets.prepared import PreparedFaces
from aucli.datasets.synthetic import FaceStore
from aucli.errors import AucliError, DataError, OptionError, OutputError
from aucli.files import hold_folder
from aucli.synth import backgrounds
from aucli.train import trainer
from aucli.train.config import TrainConfig, with_preset
from aucli.train.trainer import join_processes, own_device, train

WIDTHS = (8, 16, 16, 16)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_prepared(tmp_path / "set", subjects_a_part=2)


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    return write_shards(tmp_path / "shards", shards=1, faces=4)


@pytest.fixture(autouse=True)
def small_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = backgrounds.BackgroundPool(6, seed=1)
    monkeypatch.setattr(synthetic, "BackgroundPool", lambda **_: pool)


def config(root: Path, out: Path, **changes: Any) -> TrainConfig:
    small = {
        "model": "scc-small", "root": root, "out": out, "dataset": "disfa", "batch_size": 4,
        "widths": WIDTHS, "k": 3, "evaluations": 0, "log_every": 1, "steps": 1,
    }  # fmt: skip
    return with_preset("modern", **(small | changes))


def refused(settings: TrainConfig, error: type[AucliError], message: str) -> None:
    with pytest.raises(error) as caught:
        train(settings)
    assert str(caught.value) == message


def rewrite(shard: Path, **columns: list) -> None:
    """A shard with other values in some columns."""
    table = pq.read_table(shard)
    for name, values in columns.items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(values, table.schema.field(name).type))
    pq.write_table(table, shard, compression="none")


def damaged(path: Path, how: str) -> str:
    return f"{path} is damaged; delete it and {how}."


def test_a_byte_of_a_shard(root: Path, rendered: Path, tmp_path: Path) -> None:
    """In the middle of a picture, where JPEG itself sees nothing."""
    shard = prepared.shard_path(root, "SN006")
    picture = pq.read_table(shard)["image"][2].as_py()
    blob = bytearray(shard.read_bytes())
    blob[blob.index(picture) + len(picture) // 2] ^= 1
    shard.write_bytes(blob)
    refused(config(root, tmp_path / "a"), DataError, damaged(shard, "run `aucli prepare` again"))
    shard = rendered / "shard-00000.parquet"
    pq.write_table(pq.read_table(shard), shard, compression="none", write_page_checksum=True)
    FaceStore(rendered)
    landmarks = pq.read_table(shard)["landmarks"].combine_chunks().flatten().to_numpy().tobytes()
    blob = bytearray(shard.read_bytes())
    blob[blob.index(landmarks[:64]) + 1] ^= 1
    shard.write_bytes(blob)
    settings = config(rendered, tmp_path / "b", dataset="synthetic")
    refused(settings, DataError, damaged(shard, "render it again"))
    pq.write_table(pq.ParquetFile(shard).schema_arrow.empty_table(), shard)
    refused(settings, DataError, damaged(shard, "render it again"))


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.99])
def test_shards_cut_in_the_middle(root: Path, rendered: Path, tmp_path: Path, cut: float) -> None:
    for shard, how in (
        (prepared.shard_path(root, "SN006"), "run `aucli prepare` again"),
        (rendered / "shard-00000.parquet", "render it again"),
    ):
        blob = shard.read_bytes()
        shard.write_bytes(blob[: int(len(blob) * cut)])
        dataset = "disfa" if shard.parent.name == "faces" else "synthetic"
        folder = root if dataset == "disfa" else rendered
        settings = config(folder, tmp_path / "out", dataset=dataset)
        refused(settings, DataError, damaged(shard, how))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "columns",
    [
        {"subject": ["SN001"] * 6},
        {"AU12": [7.0] * 6},
        {"AU12": [float("nan")] * 6},
        {"landmarks": [[float("nan")] * 136] * 6},
        {"image": [None] * 6},
    ],
)
def test_values_that_cannot_be(root: Path, columns: dict[str, list]) -> None:
    """The subject, too: it decides who is trained on."""
    shard = prepared.shard_path(root, "SN006")
    rewrite(shard, **columns)
    if columns.get("AU12", [0.0])[0] != columns.get("AU12", [0.0])[0]:
        PreparedFaces(root, ("SN006",))  # NaN is an AU that is not coded
        return
    with pytest.raises(DataError, match=r"SN006.parquet is damaged; delete it and run"):
        PreparedFaces(root, ("SN006",))


@pytest.mark.parametrize("workers", [0, 1])
def test_torn_pictures(root: Path, tmp_path: Path, workers: int) -> None:
    """Also where another process found it."""
    whole = prepared.to_jpeg(PreparedFaces(root).image(0))
    for subject in ("SN006", "SN011", "SN003", "SN004"):
        rewrite(prepared.shard_path(root, subject), image=[whole[: len(whole) // 2]] * 6)
    with pytest.raises(DataError) as caught:
        train(config(root, tmp_path / "out", workers=workers))
    told = str(caught.value)
    assert told.startswith("the picture of face ") and "\n" not in told
    assert told.endswith(f" in {root} is damaged; make the set anew.")


def test_a_torn_rendered_picture(rendered: Path, tmp_path: Path) -> None:
    shard = rendered / "shard-00000.parquet"
    pictures = pq.read_table(shard)["rgb"].to_pylist()
    rewrite(shard, rgb=[pictures[0], pictures[1][:500], *pictures[2:]])
    told = f"picture 1 in {shard} is damaged; make the set anew."
    refused(config(rendered, tmp_path / "out", dataset="synthetic"), DataError, told)
    assert not list((rendered / "decoded").glob("*"))


def test_pictures_of_another_size(root: Path) -> None:
    manifest = root / prepared.MANIFEST
    told = json.loads(manifest.read_text())
    told["settings"]["size"] = 64
    manifest.write_text(json.dumps(told))
    with pytest.raises(DataError, match=r"^the picture of face 0 in .* has not 64 px; make the"):
        PreparedFaces(root).image(0)


@pytest.mark.parametrize(
    "settings",
    [
        {"aus": 7}, {"aus": ["AU1"]}, {"aus": []}, {"size": "x"}, {"size": 0}, {"size": 10**9},
        {"version": "x"}, {"dataset": ["disfa"]},
    ],
)  # fmt: skip
def test_manifests_that_cannot_be(root: Path, settings: dict[str, Any]) -> None:
    manifest = root / prepared.MANIFEST
    told = json.loads(manifest.read_text())
    told["settings"] |= settings
    manifest.write_text(json.dumps(told))
    with pytest.raises(DataError) as caught:
        PreparedFaces(root)
    assert str(caught.value) == f"{manifest} cannot be read; make the set anew."


@pytest.mark.parametrize("text", ["[]", "{", "[" * 5000, '{"settings": 3}'])
def test_manifests_that_are_none(root: Path, rendered: Path, text: str) -> None:
    (root / prepared.MANIFEST).write_text(text)
    with pytest.raises(DataError, match=r"make the set anew|is no prepared set"):
        PreparedFaces(root)
    if text != '{"settings": 3}':
        (rendered / "manifest.json").write_text(text)
        with pytest.raises(DataError, match=r"manifest.json cannot be read; render the set anew"):
            FaceStore(rendered)


def test_a_folder_called_faces_beside_rendered_faces(rendered: Path, tmp_path: Path) -> None:
    (rendered / "faces").mkdir()
    train(config(rendered, tmp_path / "out", dataset="synthetic"))


def test_a_second_training_into_one_folder(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    told = f"{out} is in use by another run; wait for it, or name another folder."
    with hold_folder(out):
        refused(config(root, out), OutputError, told)
    assert not list(out.iterdir())
    train(config(root, out))


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(trainer, "resolve_device", lambda name: name.replace("auto", "cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert own_device("auto") == torch.device("cuda")
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert own_device("auto") == own_device("cuda") == torch.device("cuda", 1)
    assert own_device("cpu") == torch.device("cpu") and chosen == [1, 1]
    with pytest.raises(OptionError, match=r"processes cannot share cuda:0; name cuda or cpu"):
        own_device("cuda:0")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(OptionError, match=r"process 3 of this machine finds 2 GPUs; start one"):
        own_device("auto")
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(OptionError, match=r"WORLD_SIZE in the environment must be a number, got"):
        join_processes()


def start(
    root: Path, out: Path, *more: object, before: Callable[[], None] | None = None
) -> subprocess.Popen[str]:
    words = ["train", "--root", root, "--dataset", "disfa", "--model", "scc-small", "--out", out,
             "--widths", "8,16,16,16", "--batch-size", 4, "--minutes", 9, *more]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "aucli", *map(str, words)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=before or hear_signals,
    )


@pytest.mark.slow  # another process has to import torch
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_all_processes(root: Path, tmp_path: Path, number: signal.Signals) -> None:
    """As a terminal or a batch system sends it: the loader processes must not end first."""
    process = start(root, out := tmp_path / "run", "--workers", 2)
    log = out / "log.jsonl"
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        time.sleep(0.05)
    os.killpg(process.pid, number)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 130, told
    assert told.endswith("aucli: interrupted\n") and "Traceback" not in told
    assert torch.load(out / "checkpoint.pt", weights_only=True)["step"] >= 20


@pytest.mark.slow
def test_a_loader_process_that_is_killed(root: Path, tmp_path: Path) -> None:
    process = start(root, out := tmp_path / "run", "--workers", 1)
    log = out / "log.jsonl"
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        time.sleep(0.05)
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True)
    os.kill(int(children.stdout.split()[0]), signal.SIGKILL)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 1 and told.endswith(
        "aucli: a process that makes batches was stopped, mostly for want of memory; use fewer "
        "workers, or none.\n"
    )
    assert (out / "checkpoint.pt").is_file()


@pytest.mark.slow
def test_a_disk_that_is_full_while_a_checkpoint_is_written(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(config(root, out))
    before = (out / "checkpoint.pt").read_bytes()

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    more = ("--checkpoint-minutes", 0, "--resume", "--k", 3, "--evaluations", 0)
    process = start(root, out, *more, before=small)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 1 and told.endswith(
        f"aucli: {out}/checkpoint.pt cannot be written (File too large); make room, or use another "
        "out folder.\n"
    )
    assert (out / "checkpoint.pt").read_bytes() == before and not list(out.glob(".*"))


def test_a_batch_on_its_way_from_a_loader_process_that_is_killed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end may be told while the checkpoint is written."""
    whole = torch.save
    ends = ["DataLoader worker (pid 7) is killed by signal: Killed."]

    def torn(_: object) -> None:
        raise ConnectionResetError(104, "Connection reset by peer")

    def save(*given: Any) -> None:
        if ends:
            raise RuntimeError(ends.pop())
        whole(*given)

    monkeypatch.setattr(trainer, "_next", torn)
    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(AucliError, match="a process that makes batches was stopped"):
        train(config(root, tmp_path / "run"))
    assert (tmp_path / "run" / "checkpoint.pt").exists()
