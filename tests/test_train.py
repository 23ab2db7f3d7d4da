"""The trainer: losses fall, a killed run resumes exactly, the command writes usable weights."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from synthetic_faces import write_shards
from torch.multiprocessing.spawn import spawn
from typer.testing import CliRunner

import aucli.train.trainer as trainer_module
from aucli.aus import SYNTHETIC_AUS
from aucli.cli import app
from aucli.datasets import synthetic
from aucli.datasets.synthetic import LandmarkBatch
from aucli.errors import OutputError, WeightsError
from aucli.evaluation import rendered
from aucli.heatmaps import render_heatmaps
from aucli.models.landmark import LandmarkNet
from aucli.synth import backgrounds
from aucli.synth.scenes import scene_targets
from aucli.train.config import TrainConfig
from aucli.train.losses import AU_SIGMA_CELLS, au_loss, detector_loss, landmark_loss
from aucli.train.nets import load_by_name, read_state
from aucli.train.tasks import RenderedAUTask
from aucli.train.trainer import Trainer, join_processes, train

TINY = (8, 16, 16, 16)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards"), shards=1, faces=24)


@pytest.fixture(autouse=True)
def small_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = backgrounds.BackgroundPool(6, seed=1)
    monkeypatch.setattr(synthetic, "BackgroundPool", lambda **_: pool)
    monkeypatch.setattr(rendered, "held_out_pool", lambda: pool)


def config(root: Path, out: Path, model: str, **changes) -> TrainConfig:
    small: dict[str, Any] = {
        "steps": 12, "batch_size": 4, "warmup_steps": 2, "evaluations": 1, "evaluation_faces": 4,
        "log_every": 1, "widths": (4, 4, 8, 8, 8) if model == "detector" else TINY,
        "k": 3 if model == "scc-small" else None,
    }  # fmt: skip
    return TrainConfig(model, root, out, **(small | changes))


def losses(out: Path) -> list[float]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [row["values"]["loss"] for row in rows if row["event"] == "train"]


@pytest.mark.parametrize(
    ("model", "score"), [("landmarks", "nme"), ("scc-small", "icc31"), ("detector", "ap")]
)
def test_loss_falls(root: Path, tmp_path: Path, model: str, score: str) -> None:
    seen = []
    longer = config(root, tmp_path, model, steps=40, batch_size=8, lr=5e-3)
    scores = train(longer, on_progress=seen.append)
    curve = losses(tmp_path)
    assert len(curve) == 40 and np.mean(curve[-10:]) < 0.95 * np.mean(curve[:5])
    assert score in scores and seen[-1].event == "eval" and seen[-1].share == 1
    assert (tmp_path / "curves.png").stat().st_size > 1000
    card = json.loads((tmp_path / "weights.json").read_text())
    made = card["provenance"]
    assert made["steps"] == 40 and made["samples"] == 320
    assert card["kind"] == {"scc-small": "au"}.get(model, model)
    assert card.get("aus", list(SYNTHETIC_AUS)) == list(SYNTHETIC_AUS)


def test_killed_run_resumes_exactly(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    train(config(root, whole, "landmarks", evaluations=0))
    advance = trainer_module.Trainer.advance

    def stop_at_seven(self, batch):
        if self.step == 7:
            raise KeyboardInterrupt
        return advance(self, batch)

    monkeypatch.setattr(trainer_module.Trainer, "advance", stop_at_seven)
    with pytest.raises(KeyboardInterrupt):
        train(config(root, halved, "landmarks", evaluations=0))
    monkeypatch.undo()
    small = backgrounds.BackgroundPool(6, seed=1)
    monkeypatch.setattr(synthetic, "BackgroundPool", lambda **_: small)
    train(config(root, halved, "landmarks", evaluations=0), resume=True)
    assert losses(halved) == losses(whole)
    one, two = (read_state(p / "checkpoint.pt") for p in (whole, halved))
    assert all(torch.equal(one[k], two[k]) for k in one)


def test_a_second_run_does_not_overwrite_the_first(root: Path, tmp_path: Path) -> None:
    train(config(root, tmp_path, "landmarks", steps=1, evaluations=0))
    with pytest.raises(
        OutputError, match=r"exists already; go on from it \(--resume, resume=True\)"
    ):
        train(config(root, tmp_path, "landmarks", steps=1, evaluations=0))
    with pytest.raises(WeightsError, match="is a run of landmarks, not of detector"):
        train(config(root, tmp_path, "detector", steps=1, evaluations=0), resume=True)


def test_au_net_starts_from_the_landmark_net(root: Path, tmp_path: Path) -> None:
    train(config(root, tmp_path / "lm", "landmarks", steps=1, evaluations=0))
    weights = tmp_path / "lm" / "weights.safetensors"
    net = RenderedAUTask(config(root, tmp_path, "scc-small", init=weights)).net()
    given = read_state(weights)
    own = net.state_dict()
    shared = [k for k in given if k in own]
    assert {k.split(".")[0] for k in shared} == {"encoder", "up8", "up4"}
    assert all(torch.equal(own[k], given[k]) for k in shared)
    with pytest.raises(WeightsError, match="shares no tensor"):
        load_by_name(torch.nn.Linear(2, 2), weights)


def test_a_wider_network_starts_with_the_answers_of_a_narrow_one(tmp_path: Path) -> None:
    narrow = LandmarkNet((8, 16, 24, 32)).eval()
    for module in narrow.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            assert module.running_mean is not None
            torch.nn.init.normal_(module.running_mean, 0, 0.2)
    path = tmp_path / "narrow.safetensors"
    save_file(narrow.state_dict(), path)
    wide = LandmarkNet((12, 20, 32, 40)).eval()
    assert load_by_name(wide, path)
    crops = torch.randn(2, 3, 128, 128)
    with torch.inference_mode():
        given, expected = wide(crops)[0], narrow(crops)[0]
    assert torch.allclose(given, expected, atol=1e-4)
    assert wide.state_dict()["encoder.stem.0.weight"][8:].abs().min() > 0  # new channels can learn


def test_perfect_answers_cost_nothing() -> None:
    torch.manual_seed(0)
    points = torch.rand(2, 10, 2) * 100 + 12
    intensities = torch.rand(2, 10) * 5
    maps = render_heatmaps(points, intensities, 32, AU_SIGMA_CELLS)
    weights = torch.ones(2, 10)
    loss, parts = au_loss(maps, points, intensities, weights)
    assert float(loss) == pytest.approx(0, abs=1e-5)
    assert float(parts["spread"]) == pytest.approx(1, abs=1e-3)
    zero, _ = au_loss(0 * maps, points, intensities, weights)
    assert float(zero) > 1


@pytest.mark.parametrize("size", [1.0, 2.0])
def test_landmark_error_is_in_per_cent_of_the_face(size: float) -> None:
    """Heatmaps that are off by a 50th of the face's extent, on a small and on a large face."""
    rng = torch.Generator().manual_seed(3)
    points = 64 + 20 * size * (2 * torch.rand(1, 68, 2, generator=rng) - 1)
    extent = float((points.amax(1) - points.amin(1)).max())
    cells = 4.0 * torch.arange(32) + 1.5
    away = points + torch.tensor([extent / 50, 0.0])
    x, y = ((cells - away[..., axis, None]) ** 2 for axis in (0, 1))  # (1, 68, 32)
    logits = -(x[..., None, :] + y[..., :, None]) / (2 * 5.0**2)
    hidden = torch.ones(1, 68)
    hidden[:, ::2] = 0.3
    for weights, counted in ((torch.ones(1, 68), 68.0), (hidden, 34 * 1.65)):
        parts = landmark_loss(logits, torch.ones(1), points, weights, torch.ones(1))[1]
        assert float(parts["error"]) == pytest.approx(2 * counted / (counted + 1), rel=0.02)


def test_landmark_loss_ignores_crops_without_a_face() -> None:
    logits = torch.randn(2, 68, 32, 32, generator=torch.Generator().manual_seed(0))
    points, weights = torch.full((2, 68, 2), 60.0), torch.ones(2, 68)
    answers, is_face = torch.tensor([9.0, -9.0]), torch.tensor([1.0, 0.0])
    loss, parts = landmark_loss(logits, answers, points, weights, is_face)
    other = logits.clone()
    other[1] = 0
    assert float(landmark_loss(other, answers, points, weights, is_face)[0]) == float(loss)
    assert float(parts["face"]) < 1e-3 and float(parts["face_right"]) == 1


def test_detector_scores_of_perfect_answers() -> None:
    boxes = [np.array([[40.0, 60, 80, 120], [150, 100, 200, 170]]), np.zeros((0, 4))]
    targets = torch.from_numpy(np.stack([scene_targets(b, 256) for b in boxes]))

    class Perfect(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            score = torch.where(targets[:, :1] > 0.999, 9.0, -9.0)
            return torch.cat([score, targets[:, 2:6]], 1)

    scenes = rendered.HeldOutScenes(np.zeros((2, 256, 256, 3), np.uint8), boxes)
    scores = rendered.detector_scores(Perfect(), scenes)
    assert scores == pytest.approx({"ap": 1.0, "recall_95": 1.0, "mean_iou": 1.0}, abs=1e-5)
    loss, _ = detector_loss(Perfect()(targets), targets)
    assert float(loss) < 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": None}, "set one of steps, minutes and epochs, got steps=None, minutes=None"),
        ({"model": "cats"}, "model must be one of detector, landmarks, .*, got 'cats'"),
        ({"one_map_per_au": True}, "one_map_per_au needs loss='squares'"),
        ({"batch_size": 1}, "batch_size must be from 2 to 65536, got 1"),
        ({"crop_size": 100}, "crop_size must be a multiple of 64, got 100"),
    ],
)
def test_config_is_checked(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(
            **{"model": "landmarks", "root": tmp_path, "out": tmp_path, "steps": 1} | changes
        )


def test_command(root: Path, tmp_path: Path) -> None:
    options = ["train", "--root", str(root), "--model", "landmarks", "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, [*options, "--steps", "2", "--batch-size", "2"])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip().endswith("weights.safetensors")
    both = CliRunner().invoke(app, [*options, "--steps", "2", "--minutes", "1"])
    assert both.exit_code == 2 and "set one of steps, minutes and epochs" in both.stderr
    nothing = CliRunner().invoke(app, options)
    assert nothing.exit_code == 2 and "set one of steps, minutes and epochs" in nothing.stderr


def _one_of_two(rank: int, settings: TrainConfig, port: int, out: Path) -> None:
    os.environ |= {
        "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    assert join_processes() == (rank, 2)
    trainer = Trainer(settings)
    for step in range(3):
        rng = torch.Generator().manual_seed(10 * step + rank)  # each process has its own batches
        images = torch.randint(0, 255, (4, 3, 128, 128), generator=rng, dtype=torch.uint8)
        points = torch.rand((4, 68, 2), generator=rng) * 120
        trainer.advance(LandmarkBatch(images, points, torch.ones(4, 68), torch.ones(4)))
    torch.save(list(trainer.net.parameters()), out / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_keep_the_same_weights(root: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = config(root, tmp_path, "landmarks")
    spawn(_one_of_two, (settings, port, tmp_path), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    fresh = list(Trainer(settings).net.parameters())
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
    assert any(not torch.equal(a, b) for a, b in zip(first, fresh, strict=True))


def test_processes_share_the_series_of_batches(root: Path) -> None:
    store = synthetic.FaceStore(root)
    for rank in (0, 1):
        shared = next(iter(synthetic.LandmarkBatches(store, 2, 0, 3, rank, 2)))
        alone = next(iter(synthetic.LandmarkBatches(store, 2, 0, 6 + rank)))
        assert torch.equal(shared.images, alone.images)
