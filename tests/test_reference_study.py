"""The study of a picture at rest as a second input finds what there is to find."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic_faces import draw_face, write_shards
from test_examples import EXAMPLES, run_script

from aucli.aus import SYNTHETIC_AUS
from aucli.metrics import icc31
from aucli.synth.backgrounds import BackgroundPool
from aucli.weights.cards import load_au_model

STUDY = ("reference", "reference_people", "reference_heads", "reference_films", "reference_scores")
AUS = len(SYNTHETIC_AUS)


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The study's files, importable by name, with a small pool of backgrounds."""
    monkeypatch.syspath_prepend(EXAMPLES / "studies")
    reference_heads = importlib.import_module("reference_heads")
    pool = BackgroundPool(6, seed=1)
    monkeypatch.setattr(reference_heads, "BackgroundPool", lambda *_, **__: pool)
    monkeypatch.setattr(reference_heads, "held_out_pool", lambda: pool)
    yield importlib.import_module
    for name in STUDY:
        sys.modules.pop(name, None)


def write_rest(out: Path, seed: int, people: range) -> None:
    """Drawn faces in place of the rendered ones at rest."""
    rng = np.random.default_rng(seed)
    pictures, landmarks = zip(*(draw_face(rng, 0.0) for _ in people), strict=True)
    rgba = np.stack(pictures)
    rgba = (rgba * np.where(np.arange(4) < 3, rgba[..., 3:] / 255, 1)).astype(np.uint8)
    path = out / "rest" / f"{seed}-{people[0]}-{people[-1]}-{len(people)}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    odd = rng.random((len(people), 4))
    np.savez(path, rgba=rgba, landmarks=np.stack(landmarks), odd=odd)


def test_the_whole_study_and_again(study, tmp_path, monkeypatch, capsys):
    shards = write_shards(tmp_path / "shards", shards=1)
    more = write_shards(tmp_path / "more", shards=2, seed=1)
    out = tmp_path / "out"
    write_rest(out, 0, range(1))  # every twentieth is held out of training
    write_rest(out, 1, range(12))
    words = ["studies/reference.py", "--shards", shards, "--more", more, "--out", out,
             "--fit", 4, "--views", 1, "--steps", 1, "--seeds", 2]  # fmt: skip
    assert run_script(monkeypatch, *words, "--test", 5) == 0
    text = (out / "reference.md").read_text("utf-8")
    assert text in capsys.readouterr().out
    assert text.startswith("4 people to learn from, 4 for scales and shares, 5 for the scores; 1 ")
    ways = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert ways[1:8] == [
        "---", "shipped", "less what others read at rest", "less the reading at rest",
        "less a share of it", "shipped, scale fitted", "less a share, scale fitted",
    ]  # fmt: skip
    assert ways[8:12] == [
        f"numbers, {told}" for told in ("without", "with", "with, of a stranger", "with, not given")
    ]
    # What five people tell of it is chance.
    assert text.splitlines()[-1] in ("By the rule: it does not help.", "By the rule: adopt.")

    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.pt")}
    assert len(kept) == 3 + 2 * 2 * 2
    assert run_script(monkeypatch, *words, "--test", 5) == 0
    assert (out / "reference.md").read_text("utf-8") == text
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.pt")} == kept

    assert run_script(monkeypatch, *words, "--test", 9) == 1
    assert "13 people are too few; lower --test and --fit." in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["numbers", "maps"])
def test_a_head_uses_a_reference_that_tells_something(study, kind, tmp_path):
    """Readings are the truth and what the person reads at rest; only the reference tells it."""
    heads = study("reference_heads")
    rng, model = np.random.default_rng(0), load_au_model()
    people, learning, k = 400, 300, 2 * AUS
    true = rng.uniform(0, 4, (people, 3, k)) * (rng.random((people, 3, k)) < 0.4)
    true[:, 2] = 0
    reads = torch.from_numpy(true + rng.normal(0, 1.5, (people, 1, k))).flatten(0, 1).float()
    side = 32 if kind == "maps" else 1
    maps = reads[:, :32, None, None].half().expand(-1, -1, side, side)
    places = torch.full((len(reads), k, 2), 64.0)
    told = slice(3 * learning)
    looks, seen = (
        heads.Looks(maps[part], reads[part], reads[part], places[part])
        for part in (slice(None), told)
    )
    index = 3 * torch.arange(learning, people)
    errors = []
    for referred in (False, True):
        steps = 600 if kind == "numbers" else 3
        sides = true.reshape(-1, k)[told]
        arm = heads.train(kind, referred, 0, steps, model, [seen], sides,
                          tmp_path / f"{referred}.pt")  # fmt: skip
        given = torch.full((len(index),), float(referred))
        read = arm.read(model, looks, index, looks, index + 2, given)
        errors.append(np.abs(read - true[learning:, 0] @ model.layout.share).mean())
        # What is not given does not count.
        nothing = torch.zeros(len(index))
        one, other = (
            arm.read(model, looks, index, looks, rest, nothing) for rest in (index + 2, index)
        )
        assert np.array_equal(one, other)
    if kind == "numbers":
        assert errors[1] < 0.9 * errors[0]


def test_lines_and_shares_are_found_again(study):
    scores = study("reference_scores")
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 5, (300, 3)) * (rng.random((300, 3)) < 0.5)
    line = scores.fit_line(0.4 * true + 0.1, true)
    assert np.abs(line(0.4 * true + 0.1) - true).max() < 0.3
    rest = rng.uniform(0, 2, (300, 3))
    shares = np.array([0.0, 0.5, 1.0])
    assert np.allclose(scores.fit_shares(true + shares * rest, rest, true), shares, atol=0.11)


def test_scores_of_films_by_hand(study):
    scores = study("reference_scores")
    # AU 0 is there in frames 0-3, which read 2, 2, 2, .5; frames 4-7 read 1.5, .2, .2, .2.
    values = np.zeros((8, 2))
    values[:, 0] = [2, 2, 2, 0.5, 1.5, 0.2, 0.2, 0.2]
    cells = pd.DataFrame(
        [(row, 0, row < 4) for row in range(8)] + [(row, 1, False) for row in range(2)],
        columns=["row", "au", "present"],
    )
    told = scores.film_scores(values, cells)
    assert told == {"auc": 15 / 16, "hit": 0.75, "false": 0.125, "alarms": 1}
    # At 2.0 just as many are hit, and nothing is false.
    same = scores.at_equal_hits(values, cells, 0.75)
    assert same["hit"] == 0.75 and same["alarms"] == 0


def test_change_of_two_ways(study):
    scores = study("reference_scores")
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 5, (40, 2, 3))
    flat = true.reshape(80, 3)
    good = scores.Answer("good", (flat + rng.normal(0, 0.5, (2, 80, 3))).clip(0, 5))
    bad = scores.Answer("bad", (flat + rng.normal(0, 1.5, (1, 80, 3))).clip(0, 5))
    chosen = np.arange(40) < 30
    found, low, high = (
        float(x)
        for x in scores.change(good, bad, true, chosen).translate({91: 32, 93: 32, 44: 32}).split()
    )
    part = np.repeat(chosen, 2)
    expected = [
        float(np.mean([float(icc31(values[part, a], flat[part, a])) for a in range(3)]))
        for values in (good.values[0], good.values[1], bad.values[0])
    ]
    assert found == pytest.approx(np.mean(expected[:2]) - expected[2], abs=6e-4)
    assert 0 < low < found < high


@pytest.mark.slow
def test_films_as_analyze_reads_them(study, tmp_path):
    films = study("reference_films")
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "demo.mp4").symlink_to(EXAMPLES / "demo.mp4")
    (tmp_path / "labels.csv").write_text(
        "clip,frame_index,au,label\n,0,AU12,present\ndemo.mp4,3,AU12,absent\n"
        "demo.mp4,60,AU12,present\ndemo.mp4,3,AU01,absent\n"
    )
    model = load_au_model()
    found = films.read_films(model, tmp_path)
    assert found.cells["row"].tolist() == [0, 1, 0] and len(found.shipped) == 2
    assert found.cells["au"].tolist() == [model.aus.index(au) for au in ("AU12", "AU12", "AU01")]
    assert found.cells["present"].tolist() == [False, True, False]
    # The same faces, cropped by their own landmarks, not by those of the frame before.
    read = found.looks.readings.numpy() @ model.layout.share
    read = (model.scale * read + model.offset).clip(0, 5)
    assert np.abs(read - found.shipped).mean() < 0.15
