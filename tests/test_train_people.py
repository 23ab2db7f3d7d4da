"""Nobody is trained on and tested: whatever goes on, starts from, or reads what a run learnt."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from prepared_faces import write_prepared
from synthetic_faces import write_shards
from typer.testing import CliRunner, Result

from aucli.cli import app
from aucli.datasets import prepared, synthetic
from aucli.errors import DataError, OutputError, WeightsError
from aucli.evaluation.tables import read_predictions
from aucli.pipeline.loading import load_networks
from aucli.pipeline.options import AnalyzeOptions
from aucli.synth import backgrounds
from aucli.train.config import FREE, TrainConfig, with_preset
from aucli.train.trainer import Trainer, train

WIDTHS = (8, 16, 16, 16)
P1 = [f"SN{n:03d}" for n in (3, 4, 5, 6, 7, 11, 12, 13)]  # trained on or chosen by in fold P1


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
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


@pytest.fixture(scope="module")
def first(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of fold P1."""
    out = tmp_path_factory.mktemp("first") / "run"
    train(config(root, out))
    return out


@pytest.fixture
def begun(first: Path, tmp_path: Path) -> Path:
    """A copy of it to go on from."""
    return Path(shutil.copytree(first, tmp_path / "run"))


def people(out: Path) -> dict[str, list[str]]:
    return json.loads((out / "weights.json").read_text())["provenance"]["train_subjects"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"fold": 1}, "fold was 'P1', not 'P2'"),
        ({"folds": "ntinou"}, "folds was 'jaanet', not 'ntinou', fold was 'P1', not 'F0'"),
        ({"seed": 1}, "seed was 0, not 1"),
        ({"lr": 1e-3}, "lr was 0.0025, not 0.001"),
        ({"batch_size": 6}, "batch_size was 4, not 6"),
        ({"accumulate": 2}, "accumulate was 1, not 2"),
        ({"augment": False}, "augment was True, not False"),
        ({"balanced": False}, "balanced was True, not False"),
        ({"points": "fan2020"}, "points was 'synthetic', not 'fan2020'"),
        ({"crop_size": 192}, "crop_size was 256, not 192"),
        ({"ema": 0.9}, "ema was 0.998, not 0.9"),
        ({"k": 4}, "k was 3, not 4"),
    ],
)
def test_a_run_goes_on_with_its_own_settings(
    root: Path, begun: Path, changes: dict[str, Any], told: str
) -> None:
    before = (begun / "weights.json").read_bytes()
    if "crop_size" in changes:
        told = told.replace("256", str(config(root, begun).px))
    with pytest.raises(WeightsError) as caught:
        train(config(root, begun, steps=2, **changes), resume=True)
    message = str(caught.value)
    assert message.startswith(f"{begun}/checkpoint.pt is of another run: ") and told in message
    assert message.endswith("; go on with what it began with, or use another out folder.")
    assert (begun / "weights.json").read_bytes() == before


def test_every_setting_is_free_or_compared(root: Path, tmp_path: Path) -> None:
    made = config(root, tmp_path)
    assert {*FREE} | {*made.decisive()} == {*made.plain()}


def test_how_long_and_how_closely_is_free(root: Path, begun: Path) -> None:
    moved = shutil.copytree(root, begun.parent / "moved")  # a folder may have another name
    train(config(moved, begun, steps=2, evaluations=1, log_every=2, crop_size=128), resume=True)
    assert people(begun) == {"disfa": P1}


def test_a_run_goes_on_with_its_own_faces(root: Path, begun: Path) -> None:
    changed = shutil.copytree(root, begun.parent / "changed")
    path = prepared.shard_path(changed, "SN006")
    table = prepared.pq.read_table(path)
    labels = prepared.pa.array([1.0] * len(table), prepared.pa.float32())
    place = table.column_names.index("AU12")
    prepared.pq.write_table(table.set_column(place, "AU12", labels), path)
    with pytest.raises(WeightsError, match="is of another run: its faces were other ones; go on"):
        train(config(changed, begun, steps=2), resume=True)


def test_a_run_goes_on_with_the_weights_it_began_with(root: Path, first: Path, tmp_path: Path):
    start = shutil.copytree(first, tmp_path / "a") / "weights.safetensors"
    train(config(root, tmp_path / "run", init=start))
    moved = shutil.copytree(first, tmp_path / "b") / "weights.safetensors"
    train(config(root, tmp_path / "run", init=moved, steps=2), resume=True)
    with pytest.raises(WeightsError, match="is of another run: it began with other weights; go"):
        train(config(root, tmp_path / "run", steps=3), resume=True)


def test_people_of_a_checkpoint_stay(root: Path, begun: Path) -> None:
    """As a checkpoint of 0.2.0 may hold, which had nothing to compare."""
    path = begun / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    del state["decisive"]
    state["train_subjects"] = {"disfa": ["SN001"], "bp4d": ["F001"]}
    torch.save(state, path)
    train(config(root, begun, steps=2), resume=True)
    assert people(begun) == {"disfa": sorted([*P1, "SN001"]), "bp4d": ["F001"]}


def test_weights_inherit_the_people_of_their_start(
    rendered: Path, first: Path, tmp_path: Path
) -> None:
    """Also by way of networks that rendered faces trained on."""
    start = first / "weights.safetensors"
    for out in (tmp_path / "second", tmp_path / "third"):
        train(config(rendered, out, dataset="synthetic", init=start))
        assert people(out) == {"disfa": P1}
        start = out / "checkpoint.pt"


def test_a_start_is_what_its_card_describes(root: Path, begun: Path, tmp_path: Path) -> None:
    weights = begun / "weights.safetensors"
    blob = bytearray(weights.read_bytes())
    blob[-3] ^= 1
    weights.write_bytes(blob)
    with pytest.raises(WeightsError, match=r"is not the one its card describes \(sha256 "):
        train(config(root, tmp_path / "out", init=weights))
    (begun / "weights.json").unlink()
    told: list[str] = []
    train(config(root, tmp_path / "out", init=weights), on_start=told.extend)
    assert told[0] == (
        f"{weights} does not say on whom it was trained; the test holds only if none of its "
        "people was among them."
    )


@pytest.mark.parametrize("people", [["SN001"], {"disfa": "SN001"}, {"disfa": [1]}, 7])
def test_people_that_cannot_be_read_are_nobody(
    root: Path, begun: Path, tmp_path: Path, people: object
) -> None:
    path = begun / "weights.json"
    card = json.loads(path.read_text())
    card["provenance"]["train_subjects"] = people
    path.write_text(json.dumps(card))
    unreadable = "does not say in a readable way on whom the network was trained; restore it"
    with pytest.raises(WeightsError, match=unreadable):
        train(config(root, tmp_path / "out", init=begun / "weights.safetensors"))
    command = ["--dataset", "disfa", "--root", root, "--model", begun / "weights.safetensors"]
    assert unreadable in evaluate(*command, code=1).stderr


def evaluate(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["eval", "--resamples", "0", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def test_a_card_that_is_silent_is_told(root: Path, begun: Path) -> None:
    path = begun / "weights.json"
    card = json.loads(path.read_text())
    del card["provenance"]["train_subjects"]
    path.write_text(json.dumps(card))
    model = begun / "weights.safetensors"
    told = evaluate("--dataset", "disfa", "--root", root, "--model", model).stdout
    assert (
        f"The card of {model} does not name everybody on whom the model was trained; the scores "
        "hold only if nobody who is tested here was among them."
    ) in told


def test_tables_of_a_silent_card_are_silent(begun: Path) -> None:
    def told() -> dict[str, tuple[str, ...]]:
        options = AnalyzeOptions(model=str(begun / "weights.safetensors"), device="cpu")
        return load_networks(options).provenance["model"]["train_subjects"]

    assert told() == {"disfa": tuple(P1)}
    path = begun / "weights.json"
    card = json.loads(path.read_text())
    del card["provenance"]["train_subjects"]
    path.write_text(json.dumps(card))
    assert told() == {"unknown": ("weights.safetensors",)}


def test_weights_that_began_with_silent_ones_are_silent(
    root: Path, rendered: Path, begun: Path, tmp_path: Path
) -> None:
    """Also by way of rendered faces, checkpoints and tables."""
    naked = tmp_path / "naked.safetensors"
    shutil.copy(begun / "weights.safetensors", naked)
    unknown = {"unknown": ["naked.safetensors"]}
    train(config(rendered, tmp_path / "a", dataset="synthetic", init=naked))
    assert people(tmp_path / "a") == unknown
    last = tmp_path / "a" / "checkpoint.pt"
    told: list[str] = []
    train(config(root, tmp_path / "b", init=last), on_start=told.extend)
    assert told[0].startswith(f"{last} does not say on whom it was trained")
    assert people(tmp_path / "b") == unknown | {"disfa": P1}
    model = tmp_path / "b" / "weights.safetensors"
    silent = "does not name everybody on whom the model was trained; the scores hold only if nobody"
    fold = ("--dataset", "disfa", "--root", root, "--folds", "jaanet", "--fold", "P2")
    assert silent in evaluate(*fold, "--model", model, "--allow-seen").stdout


def test_weights_without_their_run_are_not_replaced(
    root: Path, begun: Path, tmp_path: Path
) -> None:
    (begun / "checkpoint.pt").unlink()
    before = {file.name: file.read_bytes() for file in begun.iterdir()}
    for resume in (False, True):
        with pytest.raises(OutputError, match=r"weights.safetensors exists already, and there is"):
            train(config(root, begun), resume=resume)
    assert {file.name: file.read_bytes() for file in begun.iterdir()} == before


def test_a_set_of_faces_is_no_place_for_a_training(root: Path, rendered: Path) -> None:
    for place, dataset in ((root, "disfa"), (rendered, "synthetic")):
        before = sorted(place.rglob("*"))
        with pytest.raises(OutputError, match=r" holds a set of faces; use another out folder\.$"):
            train(config(place, place, dataset=dataset))
        assert sorted(place.rglob("*")) == before


def test_a_run_says_that_it_begins_or_that_all_is_done(root: Path, tmp_path: Path) -> None:
    told: list[str] = []
    settings = config(root, tmp_path / "out")
    train(settings, resume=True, on_start=told.extend)
    checkpoint = tmp_path / "out" / "checkpoint.pt"
    assert f"{checkpoint} is not there, so the run begins now." in told
    told.clear()
    train(settings, resume=True, on_start=told.extend)
    assert told[-1] == (
        f"The run in {tmp_path / 'out'} has done all of this already; nothing is added."
    )


def test_two_subjects_of_the_same_pictures(root: Path, first: Path, tmp_path: Path) -> None:
    both = shutil.copytree(root, tmp_path / "set")
    one, two = (prepared.shard_path(both, name) for name in ("SN001", "SN003"))
    table = prepared.pq.read_table(one)
    columns = {name: table[name].to_pylist() for name in table.column_names[2:]}
    aus = prepared.read_manifest(both)["settings"]["aus"]
    prepared.write_shard(two, aus, "SN003", "SN003", columns, [])
    told = (
        f"{one} and {two} hold the same pictures as of the subjects SN001 and SN003; find out whom "
        "they show, and prepare them anew."
    )
    with pytest.raises(DataError) as caught:
        train(config(both, tmp_path / "out"))
    assert str(caught.value) == told
    command = ["--dataset", "disfa", "--root", both, "--model", first / "weights.safetensors"]
    assert evaluate(*command, "--folds", "jaanet", code=1).stderr == f"aucli: {told}\n"


def test_tables_tell_the_people_of_their_network(tmp_path: Path) -> None:
    lines = ["video,frame,timestamp,face_id,success,confidence,AU12_r"]
    lines += [f"SN001,{i + 1},{i / 20},0,1,0.9,{i % 3}" for i in range(6)]
    table = tmp_path / "SN001.csv"
    table.write_text("\n".join(lines) + "\n")
    beside = tmp_path / "SN001.csv.json"
    beside.write_text(json.dumps({"model": {"name": "w", "train_subjects": {"disfa": ["SN001"]}}}))
    assert read_predictions(table).people == {"disfa": ("SN001",)}
    labels = tmp_path / "ActionUnit_Labels" / "SN001"
    labels.mkdir(parents=True)
    from aucli.aus import DISFA_AUS

    for au in DISFA_AUS:
        text = "".join(f"{i + 1},{i % 3}\n" for i in range(6))
        (labels / f"SN001_au{int(au[2:])}.txt").write_text(text)
    command = ["--predictions", table, "--dataset", "disfa", "--labels", tmp_path]
    told = evaluate(*command, code=1).stderr
    assert told.startswith("aucli: 1 person is both trained on and tested (disfa SN001)")
    told = evaluate(*command, "--allow-seen").stdout
    assert "The model was trained on people who are tested here: disfa SN001." in told
    beside.write_text("{")
    assert "is damaged; make the table anew" in evaluate(*command, code=1).stderr


def test_checkpoints_are_compared_with_their_checksums(root: Path, begun: Path) -> None:
    path = begun / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    weight = state["ema"]["head.weight"].numpy().tobytes()[:64]
    blob = path.read_bytes()
    place = blob.index(weight)
    path.write_bytes(blob[:place] + bytes(64) + blob[place + 64 :])
    torch.load(path, weights_only=True)  # which sees nothing
    with pytest.raises(WeightsError, match=r"checkpoint.pt is damaged; begin anew in another"):
        train(config(root, begun, steps=2), resume=True)
    with pytest.raises(WeightsError, match="cannot be read as weights; give another file"):
        Trainer(config(root, begun.parent / "other", init=path))
