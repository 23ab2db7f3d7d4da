"""The scripts that make the shipped weights: their order, and that nothing half-made is left."""

import importlib
import json
import os
import runpy
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from bright_faces import AUS, tiny_au_model
from PIL import Image

from aucli.aus import SYNTHETIC_AUS
from aucli.evaluation.rendered import HeldOut
from aucli.models.landmark import LandmarkNet
from aucli.synth.backgrounds import TILE
from aucli.weights import cards, store

MAINTENANCE = Path(__file__).resolve().parents[1] / "examples" / "maintenance"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    """Imports a script by its name."""
    monkeypatch.syspath_prepend(MAINTENANCE)

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


FAKE = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >> "$CALLS"
case "$*" in *"${FAIL_AT:-no such words}"*) mkdir -p "$WORK/lm"; touch "$WORK/lm/checkpoint.pt"
    exit 3;; esac
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_recipe_runs_in_order_goes_on_and_skips_what_is_done(tmp_path: Path) -> None:
    for name in ("aucli", "python"):
        (tmp_path / name).write_text(FAKE)
        (tmp_path / name).chmod(0o755)
    calls, work = tmp_path / "calls", tmp_path / "work"
    env = os.environ | {
        "AUCLI": str(tmp_path / "aucli"), "PYTHON": str(tmp_path / "python"),
        "CALLS": str(calls), "WORK": str(work),
    }  # fmt: skip

    def run(**more: str) -> tuple[int, list[str]]:
        calls.write_text("")
        command = ["bash", str(MAINTENANCE / "recipe.sh"), "ict", "whl", str(work)]
        done = subprocess.run(command, env=env | more, capture_output=True, text=True)
        lines = calls.read_text().replace(f"{MAINTENANCE}/", "").replace(str(work), "W")
        return done.returncode, lines.splitlines()

    usage = subprocess.run(["bash", str(MAINTENANCE / "recipe.sh"), "ict"], capture_output=True)
    assert (usage.returncode, usage.stderr) == (2, b"usage: recipe.sh FaceXModel WHEEL WORK\n")
    code, first = run(FAIL_AT="--model landmarks")
    assert code == 3
    assert first == [
        "aucli synth --ict ict --makehuman whl --count 24320 --seed 1 --out W/faces",
        "aucli synth --ict ict --makehuman whl --count 1280 --seed 2 --out W/more-faces",
        "aucli train --root W/faces --out W/lm --model landmarks --minutes 100",
    ]
    code, rest = run(CLIPS="clips")
    assert code == 0
    assert rest[:-2] == [
        "aucli train --root W/faces --out W/lm --model landmarks --minutes 100 --resume",
        "aucli train --root W/faces --out W/det --model detector --minutes 28",
        "aucli train --root W/faces --out W/au --model scc-joint --init W/lm/weights.safetensors "
        "--minutes 100",
        "python embed_weights.py --shards W/faces --detector W/det --landmarks W/lm --au W/au "
        "--faces 1216",
        "python fit_scale.py --shards W/more-faces",
        "python fit_confidence.py --shards W/faces --scenes 160 --crops 600",
        "python embed_weights.py --shards W/faces --faces 1216",
        "aucli weights verify builtin-detector builtin-landmarks scc-joint",
    ]
    assert rest[-2].startswith("python -m pytest ") and rest[-1] == "python check_clips.py clips"
    code, again = run()
    assert code == 0 and [line.split()[1] for line in again] == ["weights", "-m"]


def made_weights(folder: Path, seed: int, **card: object) -> Path:
    torch.manual_seed(seed)
    told = {"provenance": {"training": {"seed": seed, "root": "mine"}}, "metrics": {"nme": 0.1}}
    cards.save_weights(folder / "net", LandmarkNet((4, 4, 8, 8)), told | card)
    return folder / "net"


def test_embedded_weights_keep_what_explains_them_and_no_old_scores(tmp_path, script) -> None:
    run, stem = made_weights(tmp_path / "run", 1), made_weights(tmp_path / "shipped", 2)
    script("embed_weights").embed(cards.load_weights(run), stem)
    card = cards.load_weights(stem).card
    assert card["provenance"] == {"training": {"seed": 1}} and card["metrics"] == {}
    assert sorted(os.listdir(stem.parent)) == ["net.json", "net.onnx", "net.safetensors"]


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("failing", ["net.safetensors", "net.json"])
def test_tensors_and_card_change_together_or_not_at_all(
    tmp_path, script, monkeypatch, failing, there
) -> None:
    run, stem = made_weights(tmp_path / "run", 1), tmp_path / "shipped" / "net"
    stem.parent.mkdir()
    if there:
        made_weights(stem.parent, 2)
    before = {path.name: path.read_bytes() for path in stem.parent.iterdir()}
    real, stopped = os.replace, []

    def stop_once(source: Path, target: Path) -> None:
        """Ctrl-C at the moment when this file would take its place."""
        if Path(target) == stem.parent / failing and not stopped:
            stopped.append(target)
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", stop_once)
    with pytest.raises(KeyboardInterrupt):
        script("embed_weights").embed(cards.load_weights(run), stem)
    assert stopped
    assert {path.name: path.read_bytes() for path in stem.parent.iterdir()} == before
    if there:
        store.check(stem)


def test_scores_go_into_every_card(tmp_path, script) -> None:
    embed = script("embed_weights")
    for name in embed.NAMES.values():
        made_weights(tmp_path, 0).with_suffix(".json").rename(tmp_path / f"{name}.json")
    report = {name: {"a": 0.123456, "b": float("nan")} for name in embed.NAMES.values()}
    embed.write_scores(tmp_path, report | {"faces": 7})
    for name in embed.NAMES.values():
        card = json.loads((tmp_path / f"{name}.json").read_text())
        assert card["metrics"] == {"a": 0.1235, "held_out_faces": 7}
        assert card["architecture"] == "LandmarkNet"


def held_out(readings: np.ndarray) -> HeldOut:
    """Faces whose AU06, AU12 and AU25 are 1.5 times the readings less .05, and all others 0."""
    count = len(readings)
    true = np.zeros((count, len(SYNTHETIC_AUS), 2))
    for a, au in enumerate(AUS):
        true[:, SYNTHETIC_AUS.index(au)] = (1.5 * readings[:, a] - 0.05).clip(0, 5)[:, None]
    nothing = np.zeros(count)
    return HeldOut(nothing, nothing, nothing, true, nothing, nothing)


class Exact:
    """A landmarker that always has the same answer."""

    def locate(self, frames, boxes):
        return [(np.zeros((1, 68, 2), np.float32), np.ones(1, np.float32)) for _ in frames]

    follow = locate


def test_the_scale_is_fitted_to_the_readings_as_they_are(script, monkeypatch) -> None:
    fit_scale = script("fit_scale")
    readings = np.random.default_rng(0).uniform(0, 2.4, (60, len(AUS)))
    seen = []

    def predict(model, frames, landmarks):
        seen.append((model.scale.tolist(), model.offset.tolist()))
        return readings, None

    monkeypatch.setattr(fit_scale, "predict_held_out", predict)
    readings[50:] = 0.2  # faces at rest, of intensity .25
    lines, rest = fit_scale.fit_lines(tiny_au_model(), held_out(readings), Exact())
    assert seen == [([1, 1, 1], [0, 0, 0])]  # the model's own are 20 and 2
    assert lines == [pytest.approx((1.5, -0.05), abs=0.051)] * len(AUS)
    assert rest == pytest.approx(np.full(len(AUS), 0.25), abs=0.051)


def test_a_stopped_fit_leaves_the_card_as_it_is(tmp_path, script, monkeypatch, capsys) -> None:
    fit_scale = script("fit_scale")
    for suffix in (".json", ".safetensors"):
        shutil.copy(store.weights_dir() / f"scc-joint{suffix}", tmp_path)
    card = tmp_path / "scc-joint.json"
    before = card.read_bytes()
    monkeypatch.setattr(fit_scale, "weights_dir", lambda: tmp_path)
    monkeypatch.setattr(fit_scale, "FaceStore", lambda *_: None)
    monkeypatch.setattr(fit_scale, "held_out_frames", lambda *_, **__: None)
    monkeypatch.setattr("sys.argv", ["fit_scale.py", "--shards", "faces"])

    def interrupted(*_: object) -> None:
        assert card.read_bytes() == before
        raise KeyboardInterrupt

    monkeypatch.setattr(fit_scale, "fit_lines", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit_scale.main()
    assert card.read_bytes() == before

    lines = [(1 + a / 100, -a / 100) for a in range(20)]
    monkeypatch.setattr(fit_scale, "fit_lines", lambda *_: (lines, np.full(20, 0.25)))
    fit_scale.main()
    old, new = json.loads(before), json.loads(card.read_text())
    assert new == old | {
        "scale": [round(scale, 3) for scale, _ in lines],
        "offset": [round(offset, 3) for _, offset in lines],
        "rest": [0.25] * 20,
    }
    assert sorted(os.listdir(tmp_path)) == ["scc-joint.json", "scc-joint.safetensors"]


def test_the_confidence_is_added_to_the_cards(tmp_path, script) -> None:
    fit_confidence = script("fit_confidence")
    stem = made_weights(tmp_path, 0)
    path = store.card_file(stem)
    fit_confidence.write_cards({path: {"confidence": {"bias": 1.5}}})
    card = json.loads(path.read_text())
    assert card["confidence"] == {"bias": 1.5} and card["metrics"] == {"nme": 0.1}
    before = path.read_bytes()
    with pytest.raises(FileNotFoundError):  # one card is missing: none is written
        fit_confidence.write_cards({path: {"threshold": 1}, tmp_path / "none.json": {}})
    assert path.read_bytes() == before


def test_the_confidence_is_fitted_without_what_has_no_shape(script) -> None:
    rng = np.random.default_rng(0)
    is_face = rng.random(400) < 0.5
    features = np.column_stack([4.0 * is_face + rng.normal(0, 1.5, 400), np.zeros((400, 2))])
    fit = script("fit_confidence").fit
    fitted = fit(features, is_face)
    assert fitted.face_logit > 0.5
    shapeless = np.array([[9.0, 0.0, np.nan]])
    assert fit(np.concatenate([features, shapeless]), np.append(is_face, False)) == fitted


def test_folders_without_people_are_sets_of_pictures(tmp_path, script) -> None:
    folder = tmp_path / "fruit"
    folder.mkdir()
    for name, width in (("a.png", 40), ("b.jpg", 50)):
        Image.new("RGB", (width, 30)).save(folder / name)
    sets = script("measure_finding").sets_of([], None, [folder])
    shapes = [picture.image.shape for picture in sets[f"no people: {folder}"]()]
    assert shapes == [(30, 40, 3), (30, 50, 3)]
    things = next(sets["no people: things"]())
    assert things.image.shape == (TILE, TILE, 3) and not len(things.boxes)


def test_the_mean_of_two_networks(tmp_path, script, monkeypatch, capsys) -> None:
    one, two = made_weights(tmp_path / "one", 1), made_weights(tmp_path / "two", 2, crop_size=128)
    argv = ["mean_weights.py", str(one), str(two), "--out", str(tmp_path / "mean")]
    monkeypatch.setattr("sys.argv", argv)
    script("mean_weights").main()
    stem = Path(capsys.readouterr().out.strip()).with_suffix("")
    store.check(stem)
    nets = [cards.load_weights(path).net.state_dict() for path in (one, two, stem)]
    for name, mean in nets[2].items():
        half = (nets[0][name].float() + nets[1][name].float()) / 2
        torch.testing.assert_close(mean.float(), half, atol=1e-3, rtol=1e-3)
    before = stem.with_suffix(".safetensors").read_bytes()
    with pytest.raises(SystemExit):  # the folder is there
        script("mean_weights").main()
    assert "File exists" in capsys.readouterr().err
    assert stem.with_suffix(".safetensors").read_bytes() == before
    other = LandmarkNet((4, 4, 8, 12))
    cards.save_weights(two, other, {"provenance": {}, "metrics": {}})
    with pytest.raises(SystemExit):
        script("mean_weights").main()
    assert "differ in layers or sizes" in capsys.readouterr().err


# What several scripts share is no script.
SCRIPTS = [
    path
    for path in sorted(MAINTENANCE.parent.rglob("*.py"))
    if 'if __name__ == "__main__":' in path.read_text("utf-8")
]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_script_says_how_it_is_used(path: Path, monkeypatch, capsys) -> None:
    """--help names the command by the place where the script lies."""
    monkeypatch.setattr("sys.argv", [path.name, "--help"])
    monkeypatch.syspath_prepend(path.parent)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(path), run_name="__main__")
    told = " ".join(capsys.readouterr().out.split())
    assert end.value.code == 0 and "usage:" in told
    assert f"python {path.relative_to(MAINTENANCE.parents[1])}" in path.read_text("utf-8")


@pytest.mark.slow  # another process has to import torch
def test_damaged_files_end_in_a_sentence(script, monkeypatch, capsys) -> None:
    mutate = script("mutate_files")
    monkeypatch.setattr("sys.argv", ["mutate_files.py", "--count", "170"])
    assert mutate.main() == 0, capsys.readouterr().out
    told = capsys.readouterr().out.splitlines()[-1]
    assert told.startswith("| all | ") and told.endswith(" | 0 | 0 | 0 |")


@pytest.mark.slow
def test_whatever_ends_a_reader_is_found(script, monkeypatch, tmp_path: Path) -> None:
    """A crash, a hang and an error are each one file's, and the files behind it are read."""
    code = (
        "import os, pathlib, sys, time\n"
        "import mutate_files as m\n"
        "def read(folder):\n"
        "    word = (folder / 'word').read_text()\n"
        "    {'die': os.abort, 'hang': lambda: time.sleep(99), 'err': lambda: 1 / 0}.get(\n"
        "        word, lambda: None)()\n"
        "m.KINDS['word'] = (None, 'word', read)\n"
        "m.work()\n"
    )
    mutate = script("mutate_files")
    (tmp_path / "worker.py").write_text(code)
    monkeypatch.setattr(mutate, "__file__", str(tmp_path / "worker.py"))
    monkeypatch.setattr(mutate, "LIMIT_SECONDS", 1)
    monkeypatch.setenv("PYTHONPATH", f"{MAINTENANCE}:{MAINTENANCE.parents[1]}")
    words = ["well", "die", "hang", "well", "err", "well", "die"]
    jobs = []
    for i, word in enumerate(words):
        (folder := tmp_path / str(i)).mkdir()
        (folder / "word").write_text(word)
        jobs.append(("word", str(folder)))
    told = [outcome for outcome, _ in mutate.read_all(jobs)]
    assert told == ["read", "signal", "hang", "read", "traceback", "read", "signal"]


def test_a_mistake_ends_a_script_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["check_clips.py", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(MAINTENANCE / "check_clips.py"), run_name="__main__")
    assert ended.value.code == (
        f"aucli: {tmp_path}/nowhere/smile.mp4 does not exist; check the name."
    )


def test_every_script_tells_mistakes_in_sentences() -> None:
    scripts = [*MAINTENANCE.glob("*.py"), *MAINTENANCE.with_name("studies").glob("*.py")]
    own_way = {"mutate_files.py", "mutate_media.py"}  # which look for tracebacks themselves
    texts = {path.name: path.read_text("utf-8") for path in scripts if path.name not in own_way}
    started = {name for name, text in texts.items() if '__name__ == "__main__"' in text}
    assert len(started) > 25
    assert {name for name in started if "run_script(main)" not in texts[name]} == set()
