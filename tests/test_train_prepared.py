"""Training on a labelled dataset: folds, presets, and weights that ``analyze`` takes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from prepared_faces import write_prepared
from torch.multiprocessing.spawn import spawn
from typer.testing import CliRunner, Result

from aucli import aus
from aucli.cli import app
from aucli.datasets.adapters import ADAPTERS
from aucli.datasets.crops import CropSettings, PreparedBatches, predict_faces
from aucli.datasets.folds import FOLDS, choose_fold
from aucli.datasets.prepared import PreparedFaces
from aucli.errors import DataError
from aucli.heatmaps import px_to_cells
from aucli.train.config import PRESETS, TrainConfig, with_preset
from aucli.train.nets import read_state
from aucli.train.tasks import PreparedAUTask
from aucli.train.trainer import Trainer, join_processes, train
from aucli.weights.cards import load_au_model

TINY = (8, 16, 16, 16)
SETTINGS = CropSettings(128, "eyes-nose", "fan2020", False, False)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("disfa") / "set")


def config(root: Path, out: Path, preset: str = "modern", **changes) -> TrainConfig:
    small = {
        "model": "scc-small", "root": root, "out": out, "dataset": "disfa", "batch_size": 4,
        "widths": TINY, "k": 3, "evaluations": 1, "log_every": 1,
    }  # fmt: skip
    return with_preset(preset, **(small | changes))


def losses(out: Path) -> list[float]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [row["values"]["loss"] for row in rows if row["event"] == "train"]


def test_validation_people_are_neither_trained_on_nor_tested() -> None:
    everybody = ADAPTERS["disfa"].subjects
    fold = choose_fold("disfa", "jaanet", 1, everybody)
    people = [*fold.train, *fold.validation, *fold.test]
    assert len(people) == len(set(people)) == 27 and len(fold.validation) == 4
    assert fold.test == list(FOLDS["disfa"]["jaanet"].values())[1].test
    own = choose_fold("disfa", "ntinou", 0, everybody)
    assert own == FOLDS["disfa"]["ntinou"]["F0"]
    with pytest.raises(DataError, match="jaanet has folds 0 to 2, not 3"):
        choose_fold("disfa", None, 3, everybody)


def test_a_fold_of_few_people() -> None:
    few = choose_fold("disfa", "jaanet", 1, ("SN001", "SN010", "SN031"))
    assert few.train == ("SN001",) and few.validation == ("SN010",) and len(few.test) == 9
    own = choose_fold("disfa", "ntinou", 0, ("SN024", "SN001", "SN012"))
    assert (own.train, own.validation) == (("SN024",), ("SN012",))
    assert choose_fold("disfa", "jaanet", 0, ("SN031",)).validation == ()


def test_every_face_comes_once_an_epoch(root: Path) -> None:
    faces = PreparedFaces(root, ("SN001", "SN002", "SN009"))  # 18 faces
    series = PreparedBatches(faces, SETTINGS, 6, seed=3)
    assert series.per_epoch == 3
    for epoch in (0, 1):
        rng = np.random.default_rng(0)
        seen = [i for n in range(3) for i in series._chosen(3 * epoch + n, rng).tolist()]
        assert sorted(seen) == list(range(18))
    assert series._chosen(0, rng).tolist() != series._chosen(3, rng).tolist()


def test_points_carry_the_label_of_their_au(root: Path) -> None:
    faces = PreparedFaces(root, ("SN001",))
    batch = PreparedBatches(faces, SETTINGS, 6, seed=0).batch(0)
    names = aus.point_names(aus.DISFA_AUS, aus.FAN2020_PLACES)
    left, right = names.index("AU12_L"), names.index("AU12_R")
    assert batch.images.shape == (6, 3, 128, 128) and batch.points.shape == (6, 24, 2)
    assert sorted(batch.intensities[:, left].tolist()) == [0, 0, 2, 2, 4, 4]
    assert torch.equal(batch.intensities[:, left], batch.intensities[:, right])
    assert torch.allclose(batch.points[:, right], batch.landmarks[:, 48])
    jaw = [k for k, name in enumerate(names) if name.startswith("AU26")]
    assert not batch.weights[:, jaw].any() and batch.weights[:, left].all()
    assert batch.weights[:, names.index("AU04")].sum() == 5 and batch.intensities.isfinite().all()


@pytest.mark.parametrize("preset", list(PRESETS))
def test_presets_train_and_their_weights_predict(root: Path, tmp_path: Path, preset: str) -> None:
    scores = train(config(root, tmp_path, preset, steps=3))
    assert np.isfinite(losses(tmp_path)).all() and {"icc31", "pcc", "mae"} <= scores.keys()
    assert np.isnan(scores["icc31.AU26"])  # never coded: no score, not 0
    model = load_au_model(tmp_path / "weights")
    assert model.aus == aus.DISFA_AUS and model.template == PRESETS[preset].get(
        "template", "eyes-nose"
    )
    assert len(model.maps) == {"modern": 24, "fan2020": 24, "bmvc2018": 12}[preset]
    faces = PreparedFaces(root, ("SN001",))
    predicted = predict_faces(model, faces, np.arange(3))
    assert predicted.shape == (3, 12) and (predicted >= 0).all() and (predicted <= 5).all()
    assert (tmp_path / "log.csv").read_text().startswith("event,step,seconds,loss")


def test_fan2020_targets_are_the_papers(root: Path, tmp_path: Path) -> None:
    task = PreparedAUTask(config(root, tmp_path, "fan2020"))
    batch = task.batches(0, 0, 1).batch(0)
    targets, weights = task._targets(batch, 32)
    k = task.points.index("AU12_L")
    row = int(batch.intensities[:, k].argmax())
    x, y = (torch.floor(px_to_cells(batch.points[row, k]) + 0.5)).int().tolist()
    peak = 255 * float(batch.intensities[row, k])
    assert targets[row, k, y, x] == pytest.approx(peak)
    assert targets[row, k, y, x + 2] == pytest.approx(peak * np.exp(-0.5), rel=1e-4)
    assert weights.shape == targets.shape[:2] == (4, 24)


def test_bmvc2018_draws_both_sides_on_one_map(root: Path, tmp_path: Path) -> None:
    task = PreparedAUTask(config(root, tmp_path, "bmvc2018"))
    batch = task.batches(0, 0, 1).batch(0)
    targets, _ = task._targets(batch, 32)
    a = task.aus.index("AU12")
    row = int(batch.intensities[:, task.points.index("AU12_L")].argmax())
    label = float(batch.intensities[row, task.points.index("AU12_L")])
    assert label > 0 and targets.shape[1] == 12
    for name in ("AU12_L", "AU12_R"):
        x, y = px_to_cells(batch.points[row, task.points.index(name)]).round().int().tolist()
        assert targets[row, a, y, x] == pytest.approx(label, rel=0.01)
    weak = targets[batch.intensities[:, task.points.index("AU12_L")] == 2][:, a]
    if len(weak):  # less intense is also smaller
        assert (weak > 1).sum() / len(weak) < (targets[row, a] > label / 2).sum()


def test_outputs_of_known_maps_are_taken_over(root: Path, tmp_path: Path) -> None:
    train(config(root, tmp_path / "first", steps=1, evaluations=0))
    start = tmp_path / "first" / "weights.safetensors"
    net = PreparedAUTask(config(root, tmp_path, steps=1, init=start)).net()
    assert torch.equal(net.state_dict()["head.weight"], read_state(start)["head.weight"])


def test_a_run_without_progress_stops_and_keeps_its_best(root: Path, tmp_path: Path) -> None:
    settings = config(root, tmp_path, steps=40, lr=1e-12, evaluations=20, patience=2)
    kept = train(settings)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    scores = [row["values"]["icc31"] for row in rows if row["event"] == "eval"]
    assert len(losses(tmp_path)) < 40 and int(np.argmax(scores)) == len(scores) - 1 - 2
    assert kept["icc31"] == max(scores)


def test_killed_run_resumes_exactly(root: Path, tmp_path: Path, monkeypatch) -> None:
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    settings = {"epochs": 1, "accumulate": 2, "evaluations": 0}
    train(config(root, whole, "fan2020", **settings))
    advance = Trainer.advance

    def stop_at_two(self, *batches):
        if self.step == 2:
            raise KeyboardInterrupt
        return advance(self, *batches)

    monkeypatch.setattr(Trainer, "advance", stop_at_two)
    with pytest.raises(KeyboardInterrupt):
        train(config(root, halved, "fan2020", **settings))
    monkeypatch.undo()
    train(config(root, halved, "fan2020", **settings), resume=True)
    assert losses(halved) == losses(whole) and len(losses(whole)) == 36 // 4 // 2


@pytest.mark.slow  # another process has to import torch
def test_kill_9_and_resume(root: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = ("--steps", 24, "--evaluations", 3, "--checkpoint-minutes", 0, "--patience", 9)
    words = [str(word) for word in command(root, killed, *options)]
    process = subprocess.Popen([sys.executable, "-m", "aucli", *words], stderr=subprocess.DEVNULL)
    checkpoint = killed / "checkpoint.pt"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    step = torch.load(checkpoint, weights_only=True)["step"]
    assert 0 < step < 24
    run(*command(root, killed, *options, "--resume"))
    run(*command(root, whole, *options))
    assert everything(killed) == everything(whole)


def everything(out: Path) -> tuple[object, ...]:
    """What a run leaves, but for the seconds it took."""
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    log = [f"{row['event']} {row['step']} {row['values']}" for row in rows]
    assert [row["step"] for row in rows] == [8, 16, 20, 24, 24]
    metrics = json.loads((out / "weights.json").read_text())["metrics"]
    return log, metrics, (out / "weights.safetensors").read_bytes()


def _one_of_two(rank: int, settings: TrainConfig, port: int) -> None:
    os.environ |= {
        "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    assert join_processes() == (rank, 2)
    train(settings)
    torch.distributed.destroy_process_group()


def test_two_processes_go_through_the_losses_of_one(root: Path, tmp_path: Path) -> None:
    """Two processes with a batch each do what one does that accumulates two batches."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    one, two = tmp_path / "one", tmp_path / "two"
    train(config(root, one, steps=4, accumulate=2, evaluations=0))
    spawn(_one_of_two, (config(root, two, steps=4, evaluations=0), port), nprocs=2)
    weights = [
        torch.load(p / "checkpoint.pt", weights_only=True)["net"]["head.weight"] for p in (one, two)
    ]
    assert torch.allclose(*weights, atol=1e-5)


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def command(root: Path, out: Path, *more: object, dataset: str = "disfa") -> list[object]:
    return ["train", "--root", root, "--dataset", dataset, "--model", "scc-small", "--widths",
            "8,16,16,16", "--out", out, "--steps", 2, "--batch-size", 4, *more]  # fmt: skip


def test_command(root: Path, tmp_path: Path) -> None:
    result = run(*command(root, tmp_path / "run", "--folds", "jaanet", "--fold", "P2"))
    assert result.stdout == f"{tmp_path / 'run' / 'weights.safetensors'}\n"
    told = result.stderr.splitlines()
    assert told[:4] == [
        "disfa, jaanet P2: training on 36 faces of 6 subjects.",
        "Validation: 12 faces of 2 subjects, taken from the training part, as the protocol has "
        "none: SN010, SN007.",
        "Test: 9 subjects, 4 of them here; not read.",
        "Of the protocol's other parts, 10 of 18 subjects are not here.",
    ]
    assert "icc31" in result.stderr


def test_people_of_the_training_are_not_tested(root: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    run(*command(root, first, "--fold", "P1", "--evaluations", 0))
    seen = json.loads((first / "weights.json").read_text())["provenance"]["train_subjects"]
    here = [f"SN{n:03d}" for n in (3, 4, 5, 6, 7, 11, 12, 13)]
    assert seen == {"disfa": here}
    weights = first / "weights.safetensors"
    score = ["eval", "--dataset", "disfa", "--root", root, "--model", weights, "--resamples", 0]
    message = run(*score, code=1).stderr
    assert message == (
        "aucli: 8 people are both trained on and tested (disfa SN003, disfa SN004, disfa SN005 "
        "...); leave them out of the training, or allow it (--allow-seen, allow_seen=True).\n"
    )
    told = run(*score, "--allow-seen").stdout
    assert "trained on people who are tested here: disfa SN003" in told
    told = run(*score, "--folds", "jaanet", "--fold", 0).stdout
    assert "24 labelled frames of 4 subjects" in told
    # Nor by way of the weights that a run starts from, whatever becomes of them.
    for start in (weights, first / "checkpoint.pt"):
        other = command(root, tmp_path / "second", "--fold", "P2", "--init", start)
        message = run(*other, code=1).stderr
        assert message.startswith("aucli: 4 people are both trained on and tested (disfa SN006,")
        assert not (tmp_path / "second").exists()
    told = run(*other, "--allow-seen").stderr
    assert "The given weights know people of the test: disfa SN006, disfa SN011, " in told
    card = json.loads((tmp_path / "second" / "weights.json").read_text())
    seen = card["provenance"]["train_subjects"]["disfa"]
    assert seen == sorted({*here, "SN001", "SN002", "SN009", "SN010"})


def test_disfa_plus_shares_people_with_disfa(root: Path, tmp_path: Path) -> None:
    """Weights of DISFA+ whose card says so; the tensors may be anybody's."""
    run(*command(root, tmp_path, "--evaluations", 0))
    path = tmp_path / "weights.json"
    card = json.loads(path.read_text())
    card["provenance"]["train_subjects"] = {"disfa-plus": ["SN001"]}
    path.write_text(json.dumps(card))
    score = ["eval", "--dataset", "disfa", "--root", root, "--model", path]
    assert "1 person is both trained on and tested (disfa SN001)" in run(*score, code=1).stderr
    run(*score, "--folds", "jaanet", "--fold", "P2", "--resamples", 0)


def test_mistakes(root: Path, tmp_path: Path) -> None:
    def told(*arguments: object, code: int = 1) -> str:
        return run(*arguments, code=code).stderr

    out = tmp_path / "out"
    assert told(*command(root, out, dataset="bp4d")) == (
        f"aucli: {root} was prepared from disfa; name that dataset (--dataset disfa, "
        "dataset='disfa').\n"
    )
    assert told(*command(root, out, dataset="synthetic")) == (
        f"aucli: {root} was prepared from disfa; name that dataset (--dataset disfa, "
        "dataset='disfa').\n"
    )
    assert told(*command(root, out, "--fold", "P4"), code=2).endswith(
        "jaanet has no fold P4; its folds are P1 (0), P2 (1), P3 (2).\n"
    )
    assert told(*command(root, out, "--folds", "five"), code=2).endswith(
        "DISFA has no folds 'five'; there are jaanet, ntinou, arl.\n"
    )
    wrong = command(root, out, "--fold", "P1", dataset="synthetic")
    assert "rendered faces have no folds; name the --dataset." in told(*wrong, code=2)
    wrong = command(root, out, "--crop-size", 100)
    assert "crop_size must be a multiple of 64, got 100" in told(*wrong, code=2)
    detector = [*command(root, out), "--model", "detector"]
    assert "the detector network learns from rendered faces only" in told(*detector, code=2)
    missing = told(*command(root, out, "--init", "nobody"), code=2)
    assert "no network is named 'nobody'; known are: " in missing and missing.count("\n") == 1
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"x")
    assert told(*command(root, out, "--init", broken)) == (
        f"aucli: {broken} cannot be read as weights; give another file.\n"
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    manifest = empty / "manifest.json"
    assert told(*command(empty, out)) == (
        f"aucli: {manifest} is missing; make the set with `aucli prepare`.\n"
    )
    manifest.write_text(json.dumps({"resolution": 192}))
    assert told(*command(empty, out)) == (
        f"aucli: {empty} is no prepared set; give a folder that `aucli prepare` made.\n"
    )
    manifest.write_text(json.dumps({"settings": {"dataset": "disfa"}}))
    assert told(*command(empty, out)) == (
        f"aucli: {empty} is not finished; run `aucli prepare` again, it goes on.\n"
    )
    manifest.write_text(json.dumps({"settings": {"dataset": "disfa"}, "recordings": []}))
    assert told(*command(empty, out)) == (
        f"aucli: {empty} has no subject to train this fold on; prepare more.\n"
    )
    (empty / "faces").mkdir()
    (empty / "faces" / "SN001.parquet").write_bytes(b"PAR1")
    assert told(*command(empty, out)) == (
        f"aucli: {empty / 'faces' / 'SN001.parquet'} is damaged; delete it and run "
        "`aucli prepare` again.\n"
    )
    assert not out.exists()
