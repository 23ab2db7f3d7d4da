"""Precisions: what int8 and bf16 read, where they are refused, and what a table says of them."""

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from synthetic_faces import write_shards
from typer.testing import CliRunner

import aucli
from aucli.bench.speed import measure_speed
from aucli.bench.tables import headline
from aucli.cli import app
from aucli.datasets.typical import typical_crops
from aucli.errors import DataError, OptionError, WeightsError
from aucli.models.catalogue import NETWORKS
from aucli.models.device import precision_problem
from aucli.models.onnx import OnnxNetwork
from aucli.models.predict import AUModel, look_at_crops, predict_crops
from aucli.models.reading import told_by_torch
from aucli.pipeline.options import AnalyzeOptions
from aucli.pipeline.resume import settings_of
from aucli.weights import cards, store
from aucli.weights.export import export
from aucli.weights.quantise import inner_convolutions

DEMO = Path(__file__).resolve().parents[1] / "examples" / "demo.mp4"
NAMES = ("readings", "places", "landmarks", "spread", "face_logit", "gaze")


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return typical_crops(DEMO, "eyes-nose", 128, 12)


def own_weights(folder: Path, name: str = "scc-joint") -> Path:
    """An untrained AU network of two AUs."""
    row = NETWORKS[name]
    torch.manual_seed(0)
    settings = {"widths": (4, 8, 8, 8), "k": 3} if name == "scc-joint" else {}
    net = row.load().for_training(2, row.crop_size, **settings, **row.settings).eval()
    card = {"aus": ["AU06", "AU12"], "sides": False, "provenance": {}, "metrics": {}}
    return cards.save_weights(folder / "own", net, card)


def test_int8_reads_nearly_what_fp32_reads(crops: np.ndarray) -> None:
    exact, short = (cards.load_au_model(device="cpu", precision=p) for p in ("fp32", "int8"))
    assert short.precision == "int8" and isinstance(short.net, OnnxNetwork)
    ours, theirs = look_at_crops(short, crops), look_at_crops(exact, crops)
    off = np.abs(ours.prediction.intensities - theirs.prediction.intensities)
    assert 0 < off.mean() < 0.1 and theirs.prediction.intensities.max() > 1
    assert np.abs(ours.landmarks - theirs.landmarks).mean() < 0.5  # px
    maps = predict_crops(short, crops[:2], with_heatmaps=True).heatmaps
    assert maps is not None and maps.dtype == np.float32


def test_rows_in_int8_depend_neither_on_threads_nor_on_neighbours(crops: np.ndarray) -> None:
    one, two = (cards.load_au_model(device="cpu", threads=n, precision="int8") for n in (1, 2))
    together, again = look_at_crops(one, crops[:5]), look_at_crops(two, crops[:5])
    alone = [look_at_crops(one, crop[None]) for crop in crops[:5]]
    for name in ("landmarks", "spread", "gaze"):
        assert np.array_equal(getattr(together, name), getattr(again, name))
        assert np.array_equal(
            getattr(together, name), np.concatenate([getattr(look, name) for look in alone])
        )


def test_only_inner_convolutions_are_in_int8() -> None:
    folder = store.weights_dir()
    plain = onnx.load(folder / "scc-joint.onnx").graph
    inner = inner_convolutions(plain)
    convolutions = [node.name for node in plain.node if node.op_type == "Conv"]
    # The maps of AUs and of landmarks, and the eyes, which only dense layers follow.
    last = {*convolutions} - {*inner}
    assert {name.split("/")[1] for name in last} == {"head", "landmark_head", "gaze_head"}
    assert len(last) == 3
    short = onnx.load(folder / "scc-joint.int8.onnx").graph
    weights = {tensor.name: tensor for tensor in short.initializer}
    bytes_of = [onnx.numpy_helper.to_array(t) for t in weights.values() if t.data_type == 3]
    kernels = [values for values in bytes_of if values.ndim == 4]
    assert len(kernels) == len(inner)
    assert all(np.abs(values.astype(int)).max() <= 64 for values in kernels)  # seven bits


def test_bf16_in_torch_reads_nearly_what_fp32_reads(crops: np.ndarray) -> None:
    from dataclasses import replace

    plain = cards.load_au_model()
    half = replace(plain, precision="bf16")
    exact, short = (told_by_torch(model, crops[:6], NAMES) for model in (plain, half))
    for name, values in short.items():
        assert values.dtype == np.float32, name
    off = np.abs(short["readings"] - exact["readings"])
    assert 0 < off.mean() < 0.1
    assert np.abs(short["landmarks"] - exact["landmarks"]).mean() < 0.5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_bf16_on_a_gpu(crops: np.ndarray) -> None:
    exact, short = (
        cards.load_au_model(device="cuda", precision=precision) for precision in ("fp32", "bf16")
    )
    off = np.abs(
        look_at_crops(short, crops).prediction.intensities
        - look_at_crops(exact, crops).prediction.intensities
    )
    assert 0 < off.mean() < 0.1


@pytest.mark.parametrize(
    ("precision", "device", "words"),
    [
        ("fp32", "cpu", ""),
        ("fp32", "cuda", ""),
        ("int8", "cpu", ""),
        ("bf16", "cuda:1", ""),
        (
            "bf16",
            "cpu",
            "precision: bf16 is for GPUs; on a CPU take int8, which takes less time, or fp32 (see "
            "docs/speed.md).",
        ),
        (
            "int8",
            "cuda",
            "precision: int8 is for CPUs; take bf16 or fp32 on cuda, or give the device cpu.",
        ),
    ],
)
def test_where_a_precision_runs(precision: str, device: str, words: str) -> None:
    assert precision_problem(precision, device) == words


def test_other_precisions_are_refused() -> None:
    strange: Any = "fp8"
    with pytest.raises(OptionError) as told:
        AnalyzeOptions.of({"precision": strange, "device": "cpu"}).check()
    assert str(told.value) == "precision: 'fp8' is not one of fp32, bf16, int8."
    with pytest.raises(OptionError, match=r"^precision: bf16 is for GPUs; "):
        aucli.Analyzer(precision="bf16", device="cpu")


def test_the_command_line_refuses_bf16_on_a_cpu(tmp_path: Path) -> None:
    out = str(tmp_path / "t.csv")
    words = ["analyze", str(DEMO), "-o", out, "--device", "cpu", "--precision", "bf16"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2 and "bf16 is for GPUs" in " ".join(done.output.split())
    assert list(tmp_path.iterdir()) == []


def test_weights_without_int8_say_how_to_make_it(tmp_path: Path) -> None:
    path = own_weights(tmp_path)
    export(path)
    with pytest.raises(WeightsError) as told:
        cards.load_au_model(path, "cpu", precision="int8")
    assert str(told.value) == (
        "weights 'own' have no int8 form; make it with `aucli weights export "
        f"{path} --precision int8 --faces FACES`, or take the precision fp32"
    )


@pytest.mark.parametrize("name", ["scc-joint", "hourglass"])
def test_int8_of_a_network_of_ones_own_by_a_video(name: str, tmp_path: Path) -> None:
    path = own_weights(tmp_path, name)
    command = ["weights", "export", str(path), "--precision", "int8", "--faces", str(DEMO)]
    if name == "hourglass":  # large: few faces
        export(path, typical_crops(DEMO, "bmvc2018", 256, 2))
    else:
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        assert done.stdout.strip() == str(tmp_path / "own.int8.onnx")
    store.check(tmp_path / "own")
    assert "onnx" not in cards.read_card(path)[1]
    size = NETWORKS[name].crop_size
    pixels = typical_crops(DEMO, NETWORKS[name].template, size, 2)
    found, expected = (
        told(model, pixels)
        for model in (
            cards.load_au_model(path, "cpu", precision="int8"),
            cards.load_au_model(path),
        )
    )
    assert 0 < np.abs(found - expected).mean() < 0.1 * np.abs(expected).max()
    # Another export keeps it; other tensors do not.
    export(path)
    assert {"onnx", "int8"} <= cards.read_card(path)[1].keys()
    store.exported_file(path, "int8").write_bytes(b"")
    with pytest.raises(WeightsError, match="truncated"):
        store.check(tmp_path / "own")
    cards.save_weights(tmp_path / "own", cards.load_weights(path).net, cards.read_card(path)[1])
    assert not {"onnx", "int8"} & cards.read_card(path)[1].keys()


def told(model: AUModel, pixels: np.ndarray) -> np.ndarray:
    maps = predict_crops(model, pixels, with_heatmaps=True).heatmaps
    assert maps is not None
    return maps


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--precision", "int8"], "int8 needs faces: what 'aucli synth' or 'aucli prepare' made, "
         "or a video."),
        (["--faces", "clip.mp4"], "--faces has no effect on fp32."),
    ],
)  # fmt: skip
def test_an_export_to_int8_goes_with_faces(words: list[str], sentence: str) -> None:
    done = CliRunner().invoke(app, ["weights", "export", "scc-joint", *words])
    assert done.exit_code == 2 and sentence in " ".join(done.output.split())


def test_networks_that_find_faces_have_no_int8(tmp_path: Path) -> None:
    net = NETWORKS["landmarks"].load()((4, 4, 8, 8)).eval()
    path = cards.save_weights(tmp_path / "own", net, {"provenance": {}, "metrics": {}})
    command = ["weights", "export", str(path), "--precision", "int8", "--faces", str(DEMO)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert "own finds faces, which is always done in fp32; int8 is for AU networks" in " ".join(
        done.output.split()
    )


def test_the_recipe_makes_int8_of_new_weights(
    crops: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(DEMO.parent / "maintenance")
    script = importlib.import_module("embed_weights")
    monkeypatch.setattr(script, "typical_crops", lambda *_: crops)
    for folder in ("run", "shipped"):
        (tmp_path / folder).mkdir()
    loaded = cards.load_weights(own_weights(tmp_path / "run"))
    loaded.card["provenance"]["training"] = {}
    stem = tmp_path / "shipped" / "net"
    script.embed(loaded, stem, tmp_path)
    files = ["net.int8.onnx", "net.json", "net.onnx", "net.safetensors"]
    assert sorted(path.name for path in stem.parent.iterdir()) == files
    store.check(stem)
    assert cards.load_au_model(stem, "cpu", precision="int8").name == "net"
    script.embed(loaded, stem)  # without faces, that of the old tensors does not stay
    assert sorted(path.name for path in stem.parent.iterdir()) == files[1:]
    store.check(stem)


def test_typical_crops_of_rendered_faces(tmp_path: Path) -> None:
    write_shards(tmp_path)
    found = typical_crops(tmp_path, "fan", 96, 20)
    assert found.shape == (20, 96, 96, 3) and found.dtype == np.uint8
    assert found.std((1, 2, 3)).min() > 5  # none is empty


def test_a_picture_without_a_face_gives_no_crops(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (160, 120), (90, 120, 60)).save(tmp_path / "wall.png")
    with pytest.raises(DataError, match=r"wall\.png shows no face; name another"):
        typical_crops(tmp_path / "wall.png", "eyes-nose", 128)


def test_a_table_says_its_precision_and_is_not_resumed_with_another(tmp_path: Path) -> None:
    short = [str(DEMO), "--end", "0.1", "--device", "cpu", "-q"]
    command = ["analyze", *short, "--precision", "int8"]
    done = CliRunner().invoke(app, [*command, "-o", str(tmp_path / "t.csv")])
    assert done.exit_code == 0, done.output
    made = json.loads((tmp_path / "t.csv.json").read_text())
    assert made["options"]["precision"] == "int8"
    card = cards.read_card("scc-joint")[1]
    assert made["model"]["int8"] == card["int8"]["sha256"]
    assert made["model"]["sha256"] == card["sha256"]

    folder = str(tmp_path / "tables")
    assert CliRunner().invoke(app, [*command, "-o", folder, "--resume"]).exit_code == 0
    again = CliRunner().invoke(app, [*command, "-o", folder, "--resume"])
    assert again.exit_code == 0, again.output
    other = CliRunner().invoke(app, ["analyze", *short, "-o", folder, "--resume"])
    assert other.exit_code == 2
    assert "made with other settings (demo.parquet: precision int8, now fp32)" in " ".join(
        other.output.split()
    )
    anew = CliRunner().invoke(app, ["analyze", *short, "-o", folder, "--overwrite"])
    assert anew.exit_code == 0, anew.output
    other = CliRunner().invoke(app, [*command, "-o", folder, "--resume"])
    assert "made with other settings (demo.parquet: precision fp32, now int8)" in " ".join(
        other.output.split()
    )


def test_bench_says_the_precision(tmp_path: Path) -> None:
    picture = tmp_path / "dark.png"
    Image.new("RGB", (64, 64)).save(picture)
    analyzer = aucli.Analyzer(device="cpu", threads=1, precision="int8")
    speed = measure_speed(picture, analyzer, runs=1)
    assert speed.told()["precision"] == "int8"
    first = "dark.png: 1 frame of 64x64, 0 faces"
    assert headline(speed)[0] == f"{first}, int8"
    assert headline(replace(speed, precision="fp32"))[0] == first


def test_bench_times_fp32_beside_int8() -> None:
    from aucli.bench.plain import TODAY, forms_of

    forms = {form.name: form for form in forms_of(aucli.Analyzer(device="cpu", precision="int8"))}
    exact = forms["fp32 in place of int8"]
    assert exact.beside == TODAY and exact.networks.au.precision == "fp32"
    assert forms[TODAY].networks.au.precision == "int8"
    assert forms["torch in place of ONNX Runtime"].beside == exact.name


def test_fp32_tables_of_earlier_versions_are_resumed() -> None:
    recipe = aucli.Analyzer(device="cpu").recipe
    before = json.loads(json.dumps(recipe))
    del before["options"]["precision"]
    assert settings_of(before) == settings_of(recipe)
    short = aucli.Analyzer(device="cpu", precision="int8").recipe
    made_again = json.loads(json.dumps(short))
    made_again["model"]["int8"] = "0" * 64  # with other faces
    assert settings_of(made_again) != settings_of(short)
