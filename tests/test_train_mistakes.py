"""``aucli train`` with what cannot be: one sentence, its exit code, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from prepared_faces import write_prepared
from synthetic_faces import write_shards
from typer.testing import CliRunner

from aucli.cli import app
from aucli.datasets import prepared, synthetic
from aucli.datasets.adapters import ADAPTERS
from aucli.datasets.names import DATASETS, SYNTHETIC
from aucli.datasets.prepared import PreparedFaces
from aucli.errors import AucliError, DataError, OptionError, OutputError, WeightsError
from aucli.models.landmark import LandmarkNet
from aucli.synth import backgrounds
from aucli.train.config import LIMITS, TrainConfig, with_preset
from aucli.train.tasks import RenderedAUTask
from aucli.train.trainer import Trainer, train
from aucli.weights import cards

WIDTHS = (8, 16, 16, 16)


@pytest.fixture(scope="module")
def disfa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("disfa") / "set")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards"), shards=1, faces=24)


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


OF_ALL = [
    ("--steps", "0", "steps must be from 1 to 1000000000, got 0"),
    ("--lr", "0", "lr must be from 1e-15 to 10, got 0.0"),
    ("--lr", "-1", "lr must be from 1e-15 to 10, got -1.0"),
    ("--lr", "nan", "lr must be from 1e-15 to 10, got nan"),
    ("--seed", "-1", "seed must be from 0 to 9223372036854775807, got -1"),
    ("--threads", "1000000", "threads must be from 1 to 1024, got 1000000"),
    ("--workers", "-1", "workers must be from 0 to 256, got -1"),
    ("--batch-size", "1", "batch_size must be from 2 to 65536, got 1"),
    ("--evaluations", "9999999", "evaluations must be from 0 to 1000000, got 9999999"),
    ("--checkpoint-minutes", "nan", "checkpoint_minutes must be from 0 to 1000000, got nan"),
    ("--patience", "-1", "patience must be from 0 to 1000000, got -1"),
    ("--device", "foo", "device: 'foo' is not there; name auto, cpu or cuda."),
    ("--model", "cats", "'cats' is not one of detector, landmarks, scc-small, "),
    ("--dataset", "cats", "'cats' is not one of synthetic, disfa, "),
]
OF_PREPARED = [
    ("--crop-size", "100", "crop_size must be a multiple of 64, got 100"),
    ("--crop-size", "1024", "crop_size must be from 64 to 512, got 1024"),
    ("--widths", "0", "widths: scc-small takes 4 numbers, got (0,)"),
    ("--widths", "1,2,3", "widths: scc-small takes 4 numbers, got (1, 2, 3)"),
    ("--widths", "0,8,8,8", "widths must be from 1 to 4096, got (0, 8, 8, 8)"),
    ("--widths", "a", "--widths takes numbers like 24,48,96, not a"),
    ("--k", "17", "scc-small: k must be at most the 16 channels of a layer, got 17"),
    ("--faces", "5", "faces: only rendered faces can be limited in number"),
    ("--model", "fanau", "widths: fanau takes none, got (8, 16, 16, 16)"),
    ("--model", "detector", "dataset: the detector network learns from rendered faces only"),
]
OF_RENDERED = [
    ("--faces", "0", "faces must be from 1 to 1000000000, got 0"),
    ("--faces", "-3", "faces must be from 1 to 1000000000, got -3"),
    ("--k", "3", "k: landmarks has no SCC layers"),
    ("--crop-size", "128", "crop_size: landmarks is not trained on aligned crops"),
    ("--folds", "jaanet", "folds: rendered faces have none; name the dataset"),
    ("--preset", "fan2020", "preset: rendered faces train by modern only, got fan2020"),
]


def refused(out: Path, *words: object, code: int) -> str:
    """The one sentence of a run that does not start, and leaves nothing where it was to write."""
    result = CliRunner().invoke(app, ["train", "--out", str(out), *map(str, words)])
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert not out.exists() and not out.parent.exists()
    lines = result.stderr.splitlines()
    told = [line for line in lines if line and not line.startswith(("Usage:", "Try "))]
    assert len(told) == 1, told
    return told[0]


@pytest.mark.parametrize(("option", "value", "sentence"), OF_ALL + OF_PREPARED)
def test_impossible_settings(
    disfa: Path, tmp_path: Path, option: str, value: str, sentence: str
) -> None:
    words = ("--root", disfa, "--dataset", "disfa", "--model", "scc-small", "--steps", 1,
             "--widths", "8,16,16,16", option, value)  # fmt: skip
    assert sentence in refused(tmp_path / "a" / "b", *words, code=2)


@pytest.mark.parametrize(("option", "value", "sentence"), OF_RENDERED)
def test_settings_without_effect(
    rendered: Path, tmp_path: Path, option: str, value: str, sentence: str
) -> None:
    words = ("--root", rendered, "--model", "landmarks", "--steps", 1, option, value)
    assert sentence in refused(tmp_path / "a" / "b", *words, code=2)


@pytest.mark.parametrize("minutes", ["-1", "0", "nan", "inf"])
def test_impossible_lengths(disfa: Path, tmp_path: Path, minutes: str) -> None:
    """A negative one would never end, and none would divide by zero."""
    words = ("--root", disfa, "--dataset", "disfa", "--model", "scc-small", "--minutes", minutes)
    told = refused(tmp_path / "a" / "b", *words, code=2)
    assert f"minutes must be from 0.001 to 1000000, got {float(minutes)}" in told


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(OptionError) as told:
        config(tmp_path, tmp_path, lr=-1.0, k=-1, betas=(0.9, 1.0), ema=1.0, pixels="blue")
    assert str(told.value) == (
        "pixels must be one of centred, unit, got 'blue'; lr must be from 1e-15 to 10, got -1.0; "
        "ema must be from 0 to 0.999999, got 1.0; k must be from 0 to 4096, got -1; "
        "betas must be from 0 to below 1, got (0.9, 1.0)"
    )
    with pytest.raises(OptionError, match="preset must be one of modern, fan2020, bmvc2018, got"):
        with_preset("nobody", model="hourglass", root=tmp_path, out=tmp_path, steps=1)


def test_every_number_has_its_limits() -> None:
    numbers = {
        name
        for name, kind in TrainConfig.__annotations__.items()
        if kind in (int, float, int | None, float | None)
    }
    assert numbers == set(LIMITS)


@pytest.mark.parametrize("model", ["landmarks", "scc-small"])
def test_data_that_are_not_there(tmp_path: Path, model: str) -> None:
    out, empty = tmp_path / "a" / "b", tmp_path / "empty"
    empty.mkdir()
    words = ("--root", empty, "--model", model, "--steps", 1)
    told = refused(out, *words, code=1)
    assert told == f"aucli: No shard-*.parquet in {empty}; render faces with `aucli synth` first."
    (empty / "shard-00000.parquet").write_bytes(b"PAR1")
    told = refused(out, *words, code=1)
    assert told == (
        f"aucli: {empty}/shard-00000.parquet is damaged; delete it and render it again."
    )


def test_weights_of_another_kind(disfa: Path, tmp_path: Path) -> None:
    words = ("--root", disfa, "--dataset", "disfa", "--model", "scc-small", "--steps", 1, "--init")
    told = refused(tmp_path / "a" / "b", *words, "builtin-detector", code=1)
    assert told.endswith(
        "builtin-detector.safetensors holds weights of kind 'detector'; start scc-small from "
        "others."
    )
    short = tmp_path / "short.safetensors"
    short.write_bytes(b"x" * 20)
    told = refused(tmp_path / "a" / "b", *words, short, code=1)
    assert told == f"aucli: {short} cannot be read as weights; give another file."
    numbers = tmp_path / "numbers.pt"
    torch.save([1, 2], numbers)
    told = refused(tmp_path / "a" / "b", *words, numbers, code=1)
    assert told == f"aucli: {numbers} holds no named tensors; give another file."
    wrapped = tmp_path / "wrapped.pth"
    torch.save({"epoch": 3, "state_dict": {"zoo": torch.zeros(2)}}, wrapped)
    told = refused(tmp_path / "a" / "b", *words, wrapped, code=1)
    assert told == f"aucli: {wrapped} shares no tensor with the network; start from others."


def test_out_that_cannot_be_written(disfa: Path, tmp_path: Path) -> None:
    (file := tmp_path / "file").write_text("mine")
    for out in (file, file / "inside", Path("/proc/aucli")):
        with pytest.raises(OutputError, match=r"cannot be written \(.*\); make room, or"):
            train(config(disfa, out))
    assert file.read_text() == "mine"


def test_weights_to_start_from_are_never_replaced(disfa: Path, tmp_path: Path) -> None:
    (weights := tmp_path / "weights.safetensors").write_text("mine")
    (link := tmp_path / "start.safetensors").symlink_to(weights)
    for start in (weights, link):
        with pytest.raises(OptionError, match=r"weights.safetensors is an input; a network never"):
            train(config(disfa, tmp_path, init=start))
    assert weights.read_text() == "mine"


def test_a_start_that_fails_leaves_no_folder(
    disfa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DataError("no faces.")

    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.setattr("aucli.train.tasks.PreparedAUTask.batches", fail)
    for out in (tmp_path / "new" / "run", there):
        with pytest.raises(DataError, match="no faces"):
            train(config(disfa, out))
    assert [path.name for path in tmp_path.iterdir()] == ["there"] and not list(there.iterdir())


def test_checkpoints_that_cannot_be_gone_on_from(disfa: Path, tmp_path: Path) -> None:
    train(config(disfa, tmp_path), resume=True)  # without a checkpoint it begins
    checkpoint = tmp_path / "checkpoint.pt"
    whole = checkpoint.read_bytes()
    with pytest.raises(WeightsError, match="is a run of scc-small, not of fanau; use another"):
        train(config(disfa, tmp_path, model="fanau", widths=None, k=None), resume=True)
    with pytest.raises(
        WeightsError,
        match=r"is of another run: widths was \[8, 16, 16, 16\], not \[8, 16, 24, 16\]; go on with",
    ):
        train(config(disfa, tmp_path, widths=(8, 16, 24, 16)), resume=True)
    before = (tmp_path / "log.jsonl").read_bytes()
    for content in (b"", b"x", whole[: len(whole) // 2]):
        checkpoint.write_bytes(content)
        with pytest.raises(WeightsError, match=r"checkpoint.pt is damaged; begin anew in another"):
            train(config(disfa, tmp_path), resume=True)
    torch.save({"net": {}}, checkpoint)
    with pytest.raises(WeightsError, match="is no checkpoint of this network"):
        train(config(disfa, tmp_path), resume=True)
    assert (tmp_path / "log.jsonl").read_bytes() == before


def test_a_loss_that_is_no_number_keeps_the_checkpoint(
    disfa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(config(disfa, tmp_path))
    before = (tmp_path / "checkpoint.pt").read_bytes()
    advance = Trainer.advance

    def broken(self: Trainer, *batches: Any) -> dict[str, torch.Tensor]:
        return {"loss": advance(self, *batches)["loss"] * torch.nan}

    monkeypatch.setattr(Trainer, "advance", broken)
    with pytest.raises(AucliError, match="the loss became nan at step 2; use a smaller learning"):
        train(config(disfa, tmp_path, steps=3), resume=True)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_patience_needs_somebody_held_out(
    disfa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OptionError, match="patience needs evaluations"):
        config(disfa, tmp_path, patience=1)
    monkeypatch.setattr("aucli.train.tasks.PreparedAUTask.scorer", lambda task: None)
    with pytest.raises(DataError, match="has nobody held out to be patient for"):
        train(config(disfa, tmp_path / "run", patience=1, evaluations=1))
    assert not (tmp_path / "run").exists()


def test_a_run_without_a_score_keeps_its_last_weights(
    disfa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "aucli.train.tasks.PreparedAUTask.scorer", lambda task: lambda net: {"icc31": np.nan}
    )
    train(config(disfa, tmp_path, patience=3, evaluations=1))
    assert (tmp_path / "weights.safetensors").is_file()


def test_more_in_a_batch_than_faces_is_told(disfa: Path, tmp_path: Path) -> None:
    told: list[str] = []
    train(config(disfa, tmp_path, batch_size=40), on_start=told.extend)
    assert "A batch of 40 is more than the 36 faces: some come twice in it." in told


def test_the_card_does_not_depend_on_what_was_called_before(rendered: Path, tmp_path: Path) -> None:
    made = config(rendered, tmp_path, dataset="synthetic")
    first, second = RenderedAUTask(made), RenderedAUTask(made)
    first.batches(0, 0, 1)
    assert first.card() == second.card() and len(second.card()["readout"]["places"]) == 20


def test_a_full_disk_leaves_the_old_weights(
    disfa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither file of a pair takes its place unless both are written."""
    stem = tmp_path / "w"
    card = {"provenance": {}, "metrics": {}}
    cards.save_weights(stem, LandmarkNet((4, 4, 8, 8)), card)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    trainer = Trainer(config(disfa, tmp_path / "run"))
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        cards.save_weights(stem, LandmarkNet((4, 4, 8, 4)), card)
    for write in (lambda: trainer.export({}), lambda: trainer.save(tmp_path / "c.pt")):
        with pytest.raises(
            OutputError, match=r"cannot be written \(No space left on device\); make"
        ):
            write()
    (tmp_path / "run").rmdir()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_leftovers_of_a_kill_are_in_nobodys_way(disfa: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    for name in ("checkpoint.pt", "weights.safetensors", "config.json", "log.jsonl"):
        (out / f".{name}.0a1b2c3d.part").write_bytes(b"half")
    train(config(disfa, out))
    train(config(disfa, out, steps=2), resume=True)
    assert json.loads((out / "config.json").read_text())["steps"] == 2


def test_sets_of_the_first_format_are_read(disfa: Path, tmp_path: Path) -> None:
    """Its column was called face_score; whoever continues such a set is told to make another."""
    shard = prepared.shards(disfa)[0]
    table = pq.read_table(shard)
    names = ["face_score" if name == "confidence" else name for name in table.column_names]
    (tmp_path / "faces").mkdir()
    pq.write_table(table.rename_columns(names), tmp_path / "faces" / shard.name)
    settings = json.loads((disfa / "manifest.json").read_text())["settings"]
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"settings": settings | {"version": 1}}))
    old = PreparedFaces(tmp_path)
    assert len(old) == len(table) and np.isfinite(old.landmarks).all()
    manifest.write_text(json.dumps({"settings": settings | {"version": 3}}))
    with pytest.raises(DataError, match="was made by a newer aucli; update this one"):
        PreparedFaces(tmp_path)


def test_choices_of_the_command_line_are_the_names(tmp_path: Path) -> None:
    for command, names in (
        ("train", (SYNTHETIC, *DATASETS)), ("eval", (*DATASETS, SYNTHETIC)), ("prepare", DATASETS)
    ):  # fmt: skip
        result = CliRunner().invoke(app, [command, "--dataset", "cats", "--root", str(tmp_path)])
        assert result.exit_code == 2
        assert f"'cats' is not one of {', '.join(names)}." in result.stderr
    assert tuple(ADAPTERS) == DATASETS


@pytest.mark.slow  # another process has to import torch
@pytest.mark.parametrize("workers", [0, 1])
def test_sigterm_keeps_what_was_learnt(disfa: Path, tmp_path: Path, workers: int) -> None:
    out = tmp_path / "run"
    words = ["train", "--root", disfa, "--dataset", "disfa", "--model", "scc-small", "--out", out,
             "--widths", "8,16,16,16", "--batch-size", 4, "--workers", workers]  # fmt: skip
    command = [sys.executable, "-m", "aucli", *map(str, words)]
    process = subprocess.Popen(
        [*command, "--minutes", "9"], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    log = out / "log.jsonl"
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 130, told
    assert told.endswith("aucli: interrupted\n") and "Traceback" not in told
    step = torch.load(out / "checkpoint.pt", weights_only=True)["step"]
    assert step >= 20 and not list(out.glob(".*"))
    run = subprocess.run([*command, "--steps", str(step + 2), "--resume"], capture_output=True)
    assert run.returncode == 0, run.stderr
