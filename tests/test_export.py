"""Exported networks: what they say is what torch says, and tables are made without torch."""

import errno
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from aucli.cli import app
from aucli.errors import LibraryError, MemoryLackError, OutputError, WeightsError
from aucli.faces.loading import load_detector, load_landmarker
from aucli.models.catalogue import NETWORKS
from aucli.models.onnx import OnnxNetwork
from aucli.models.predict import look_at_crops, predict_crops
from aucli.models.reading import TorchNetwork
from aucli.weights import cards, store
from aucli.weights.export import export

DEMO = Path(__file__).resolve().parents[1] / "examples" / "demo.mp4"


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    """Faces of the demo clip as the AU network sees them, (6, 128, 128, 3) uint8."""
    from aucli import Analyzer
    from aucli.align import align_matrices, warp_crops
    from aucli.video.source import open_video

    table = Analyzer(every=12, landmarks_xy=True).frame(DEMO)
    assert table["success"].to_numpy().all()
    points = [table[[f"{axis}_{i}" for i in range(68)]].to_numpy() for axis in "xy"]
    strong = np.argsort(-table["AU12_r"].to_numpy())[:6]
    landmarks = np.stack(points, 2)[strong]
    with open_video(DEMO) as source:
        every = [frame for batch in source for frame in batch.frames]
    frames = [every[number - 1] for number in table["frame"].iloc[strong]]
    return warp_crops(frames, align_matrices(landmarks, "eyes-nose", 128), 128)


def test_the_exported_au_network_says_what_torch_says(crops: np.ndarray) -> None:
    exported, plain = cards.load_au_model(device="cpu"), cards.load_au_model()
    assert isinstance(exported.net, OnnxNetwork) and isinstance(plain.net, torch.nn.Module)
    assert exported.follows and exported.sha256 == plain.sha256
    ours, theirs = look_at_crops(exported, crops), look_at_crops(plain, crops)
    assert theirs.prediction.intensities.max() > 1
    for name in ("intensities", "sides", "places"):
        found, expected = (getattr(look.prediction, name) for look in (ours, theirs))
        np.testing.assert_allclose(found, expected, atol=1e-3)
    for name in ("landmarks", "spread", "face_logit", "gaze"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-3)
    maps, expected = (
        predict_crops(model, crops, with_heatmaps=True).heatmaps for model in (exported, plain)
    )
    assert maps is not None and expected is not None
    np.testing.assert_allclose(maps, expected, atol=1e-3)


def test_faces_are_found_as_in_torch(crops: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    for kind, load, pixels in (
        ("detector", load_detector, rng.integers(0, 256, (2, 90, 150, 3), np.uint8)),
        ("landmarks", load_landmarker, crops),
    ):
        network: Any = load("builtin")[0]
        loaded = cards.load_weights("builtin", kind)
        own = type(network)(loaded.net)
        assert isinstance(network.net, OnnxNetwork) and isinstance(own.net, TorchNetwork)
        found, expected = network.net(pixels), own.net(pixels)
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, atol=2e-3, err_msg=name)


def test_an_export_that_is_gone_or_another_is_made_anew(tmp_path: Path) -> None:
    for end in ("safetensors", "json", "onnx"):
        name = f"{cards.DEFAULT_AU_MODEL}.{end}"
        (tmp_path / f"own.{end}").write_bytes((store.weights_dir() / name).read_bytes())
    path, exported = tmp_path / "own.safetensors", tmp_path / "own.onnx"
    cure = re.escape(f"; run `aucli weights export {path}`, which writes it")
    for harm, what in (
        (lambda: exported.write_bytes(b"x"), "truncated: 1 of"),
        (lambda: exported.unlink(), r"cannot be read \(No such file or directory\)"),
    ):
        harm()
        for check in (
            lambda: cards.load_au_model(path, "cpu"),
            lambda: store.check(path.parent / "own"),
        ):
            with pytest.raises(WeightsError, match=f"own.onnx .*{what}.*{cure}$"):
                check()
    assert CliRunner().invoke(app, ["weights", "export", str(path)]).exit_code == 0
    assert isinstance(cards.load_au_model(path, "cpu").net, OnnxNetwork)


def test_rows_depend_neither_on_threads_nor_on_neighbours(crops: np.ndarray) -> None:
    one, two = (cards.load_au_model(device="cpu", threads=n) for n in (1, 2))
    together = look_at_crops(one, crops)
    again = look_at_crops(two, crops)
    alone = [look_at_crops(one, crop[None]) for crop in crops]
    for name in ("landmarks", "spread", "gaze"):
        assert np.array_equal(getattr(together, name), getattr(again, name))
        assert np.array_equal(
            getattr(together, name), np.concatenate([getattr(look, name) for look in alone])
        )


def test_a_table_is_made_without_torch(tmp_path: Path) -> None:
    program = (
        "import sys; from aucli.__main__ import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "print('torch' in sys.modules)"
    )
    target = tmp_path / "demo.csv"
    command = ["analyze", str(DEMO), "--end", "0.3", "-q", "--sides", "-o", str(target)]
    done = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"
    told = json.loads(target.with_suffix(".csv.json").read_text())
    assert told["engine"].startswith("onnxruntime ")


@pytest.mark.parametrize("name", ["hourglass", "scc-joint"])
def test_a_network_of_ones_own(name: str, tmp_path: Path) -> None:
    row = NETWORKS[name]
    torch.manual_seed(0)
    settings = {"widths": (4, 8, 8, 8), "k": 3} if name == "scc-joint" else {}
    net = row.load().for_training(2, row.crop_size, **settings, **row.settings).eval()
    card = {"aus": ["AU06", "AU12"], "sides": False, "provenance": {}, "metrics": {}}
    path = cards.save_weights(tmp_path / "own", net, card)
    done = CliRunner().invoke(app, ["weights", "export", str(path)])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "own.onnx")
    store.check(tmp_path / "own")
    pixels = np.random.default_rng(0).integers(
        0, 256, (2, row.crop_size, row.crop_size, 3), np.uint8
    )
    exported, plain = cards.load_au_model(path, "cpu"), cards.load_au_model(path)
    assert isinstance(exported.net, OnnxNetwork)
    found, expected = predict_crops(exported, pixels), predict_crops(plain, pixels)
    np.testing.assert_allclose(found.intensities, expected.intensities, atol=1e-3)


def test_an_export_that_is_not_the_cards_own_is_refused(tmp_path: Path) -> None:
    net = NETWORKS["landmarks"].load()((4, 4, 8, 8)).eval()
    path = cards.save_weights(tmp_path / "own", net, {"provenance": {}, "metrics": {}})
    target = export(path)
    blob = target.read_bytes()
    target.write_bytes(blob[:-1])
    with pytest.raises(WeightsError, match="truncated"):
        cards.load_network(path)
    target.write_bytes(blob[:-1] + b"?")
    with pytest.raises(WeightsError, match="not the one its card describes"):
        cards.load_network(path)
    target.unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        cards.load_network(path)
    assert isinstance(cards.load_network(path, device="cuda").net, torch.nn.Module)
    # Saving other tensors makes it another network, whose card names no export.
    cards.save_weights(tmp_path / "own", net, json.loads(store.card_file(path).read_text()))
    assert isinstance(cards.load_network(path).net, torch.nn.Module)


def test_bytes_that_are_no_network_are_refused() -> None:
    with pytest.raises(ValueError, match="rotobuf"):
        OnnxNetwork(b"nothing of the kind")


def test_an_export_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = NETWORKS["landmarks"].load()((4, 4, 8, 8)).eval()
    path = cards.save_weights(tmp_path / "own", net, {"provenance": {}, "metrics": {}})
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    def refuse(*_: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("aucli.files._open_part", refuse)
    with pytest.raises(OutputError, match=r"^Cannot write .*own\.onnx: Read-only file system; "):
        export(path)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_without_the_library_or_memory_the_weights_are_not_blamed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import onnxruntime

    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError("std::bad_alloc")

    monkeypatch.setattr(onnxruntime, "InferenceSession", fail)
    with pytest.raises(MemoryLackError):
        cards.load_network("scc-joint")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(LibraryError, match=r"^the library onnxruntime cannot be loaded "):
        cards.load_network("scc-joint")


@pytest.mark.parametrize(
    ("command", "loader"),
    [
        (("prepare", "--dataset", "disfa", "--root", "."), "aucli.faces.loading.load_faces"),
        (
            ("eval", "--dataset", "synthetic", "--root", "."),
            "aucli.evaluation.sources.load_au_model",
        ),
    ],
)
def test_threads_reach_exported_networks_at_every_door(
    command: tuple[str, ...], loader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def load(*_: Any, threads: int = 0) -> Any:
        seen.append(threads)
        raise WeightsError("enough")

    def load_au(_: Any, __: Any, threads: int, precision: str) -> Any:
        assert precision == "fp32"
        load(threads=threads)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("aucli.pipeline.stages.usable_cores", lambda: 7)
    monkeypatch.setattr(loader, load if "faces" in loader else load_au)
    if command[0] == "eval":
        (tmp_path / "manifest.json").write_text("{}")
    out = ("--out", "faces") if command[0] == "prepare" else ()
    done = CliRunner().invoke(app, [*command, *out, "--device", "cpu", "--threads", "5"])
    assert "enough" in done.output and seen == [5]
