"""Weights survive the disk, and a file that is not what its card says is refused."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

from aucli.errors import WeightsError
from aucli.models.catalogue import architectures
from aucli.models.detector import FaceDetectorNet
from aucli.models.landmark import LandmarkNet
from aucli.models.predict import predict_crops
from aucli.models.scc_heatmap import SCCHeatmapConfig, SCCHeatmapNet
from aucli.weights import cards, store

CARD = {"provenance": {"trained_on": "nothing"}, "metrics": {"icc31": 0.5}}
WIDTHS = (4, 4, 8, 8)


@pytest.fixture
def stem(tmp_path):
    """A small LandmarkNet on disk."""
    torch.manual_seed(0)
    cards.save_weights(tmp_path / "v1.0", LandmarkNet(WIDTHS), CARD, half=False)
    return tmp_path / "v1.0"


def refused(path, message: str, load=cards.load_weights) -> None:
    with pytest.raises(WeightsError) as caught:
        load(path)
    assert str(caught.value) == message


def edit_card(stem, **changes) -> None:
    path = stem.parent / f"{stem.name}.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in {**card, **changes}.items() if v is not None}))


def replace_tensors(stem, change) -> None:
    """Rewrite the tensors and the card's sha256, so that only the content is wrong."""
    path = stem.parent / f"{stem.name}.safetensors"
    state = load_file(path)
    change(state)
    blob = save(state)
    path.write_bytes(blob)
    edit_card(stem, sha256=hashlib.sha256(blob).hexdigest(), bytes=len(blob))


@pytest.mark.parametrize("suffix", ["", ".safetensors", ".json"])
def test_round_trip(stem, suffix) -> None:
    loaded = cards.load_weights(f"{stem}{suffix}")
    assert loaded.name == "v1.0" and not loaded.net.training
    assert loaded.card["kind"] == "landmarks"
    assert loaded.card["architecture"] == "LandmarkNet"
    assert loaded.card["config"] == {"widths": [4, 4, 8, 8]}
    assert loaded.card["metrics"] == {"icc31": 0.5}
    blob = (stem.parent / "v1.0.safetensors").read_bytes()
    assert loaded.sha256 == loaded.card["sha256"] == hashlib.sha256(blob).hexdigest()
    torch.manual_seed(0)
    for key, tensor in LandmarkNet(WIDTHS).state_dict().items():
        assert torch.equal(loaded.net.state_dict()[key], tensor), key


def test_half_storage(stem, tmp_path) -> None:
    torch.manual_seed(0)
    path = cards.save_weights(tmp_path / "half", FaceDetectorNet((4, 4, 4, 4, 4)), CARD)
    stored = load_file(path)
    assert {t.dtype for t in stored.values() if t.ndim > 1} == {torch.float16}
    assert stored["stem.0.1.running_var"].dtype == torch.float32
    net = cards.load_weights(path).net
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    assert cards.read_card(path)[1]["kind"] == "detector"
    net = LandmarkNet(WIDTHS)
    with torch.no_grad():
        net.get_parameter("landmark_head.2.weight")[0, 0] = 1e6  # beyond float16
    cards.save_weights(tmp_path / "big", net, CARD)
    loaded = cards.load_weights(tmp_path / "big").net
    assert loaded.get_parameter("landmark_head.2.weight")[0, 0].item() == 1e6


def test_no_part_files_remain(stem) -> None:
    assert sorted(p.name for p in stem.parent.iterdir()) == ["v1.0.json", "v1.0.safetensors"]


def test_au_model(tmp_path) -> None:
    net = SCCHeatmapNet(SCCHeatmapConfig(maps=4, widths=(4, 8, 8, 8), k=3)).eval()
    card = {**CARD, "aus": ["AU06", "AU12"], "offset": [0.5, 1.0]}
    path = cards.save_weights(tmp_path / "au", net, card, half=False)
    model = cards.load_au_model(path)
    assert (model.aus, model.sides, model.crop_size) == (("AU06", "AU12"), True, 128)
    assert (model.template, model.name) == ("eyes-nose", "au")
    assert model.sha256 == cards.read_card(path)[1]["sha256"]
    crops = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), np.uint8)
    result = predict_crops(model, crops)
    with torch.inference_mode():
        x = (torch.from_numpy(crops).permute(0, 3, 1, 2).float() - 127.5) / 64
        peaks = net(x).amax((2, 3)).view(2, 2, 2).numpy() + np.array([[0.5], [1.0]])
    np.testing.assert_allclose(result.sides, peaks.clip(0, 5), rtol=1e-4, atol=1e-4)


def test_missing(tmp_path, stem) -> None:
    there = "the .safetensors and the .json belong together"
    refused(tmp_path / "a", f"weights file {tmp_path}/a.safetensors is missing; {there}")
    (tmp_path / "v1.0.json").unlink()
    refused(stem, f"weights file {tmp_path}/v1.0.json is missing; {there}")


def test_names(tmp_path, stem, monkeypatch) -> None:
    monkeypatch.setattr(store, "weights_dir", lambda: tmp_path)
    assert store.list_embedded() == ["v1.0"]
    assert cards.load_weights("v1.0").name == "v1.0"
    refused("x", "no network is named 'x'; known are: fan-2d, fanau-disfa, "
                 "heatmap-resnet50-bp4d, hourglass-bp4d, retinaface-mobilenet, "
                 "retinaface-resnet50, v1.0; "
                 "give one of these or the path of a .safetensors file")  # fmt: skip


def test_weights_dir_is_the_checkout_or_the_package(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(store, "PACKAGE", tmp_path / "aucli")
    assert store.weights_dir() == tmp_path / "aucli" / "_weights"
    (tmp_path / "pyproject.toml").touch()
    assert store.weights_dir() == tmp_path / "weights"


def test_altered_byte(stem) -> None:
    path = stem.parent / "v1.0.safetensors"
    blob = bytearray(path.read_bytes())
    blob[-3] ^= 1
    expected = json.loads((stem.parent / "v1.0.json").read_text())["sha256"][:12]
    path.write_bytes(blob)
    found = hashlib.sha256(blob).hexdigest()[:12]
    refused(stem, f"weights file {path} is not the one its card describes (sha256 {found}..., "
                  f"expected {expected}...); copy both files again")  # fmt: skip


def test_truncated(stem) -> None:
    path = stem.parent / "v1.0.safetensors"
    blob = path.read_bytes()
    path.write_bytes(blob[:1000])
    refused(stem, f"weights file {path} is truncated: 1000 of {len(blob)} bytes; copy it again")


def test_not_safetensors(stem) -> None:
    path = stem.parent / "v1.0.safetensors"
    path.write_bytes(b"x" * 100)
    edit_card(stem, sha256=hashlib.sha256(b"x" * 100).hexdigest(), bytes=100)
    with pytest.raises(WeightsError, match=rf"^weights file {re.escape(str(path))} is not a safe"):
        cards.load_weights(stem)


def test_wrong_keys_and_shapes(stem) -> None:
    lead = f"weights file {stem}.safetensors does not fit LandmarkNet: "
    bias = torch.zeros(3)
    replace_tensors(stem, lambda state: state.update({"landmark_head.2.bias": bias}))
    refused(stem, lead + "landmark_head.2.bias is (3,), expected (68,)")
    replace_tensors(stem, lambda state: state.update(zoo=bias))
    refused(stem, lead + "it has the unknown zoo")
    replace_tensors(stem, lambda state: (state.pop("landmark_head.2.bias"), state.pop("zoo")))
    refused(stem, lead + "it lacks landmark_head.2.bias")
    replace_tensors(stem, lambda state: state.pop("face_head.0.bias"))
    refused(stem, lead + "it lacks face_head.0.bias and 1 more")


def test_bad_cards(stem) -> None:
    card = f"{stem}.json"
    edit_card(stem, kind="au")
    refused(stem, f"card {card} says kind 'au', but LandmarkNet is of kind 'landmarks'; restore it")
    edit_card(stem, kind="landmarks", config={})
    refused(stem, f"card {card} has an unusable config (it lacks widths); restore it")
    edit_card(stem, sha256=None)
    refused(stem, f"card {card} lacks sha256; restore it")
    edit_card(stem, sha256="0", architecture="Zoo")
    refused(stem, f"card {card} names the architecture 'Zoo'; "
                  f"this version knows {', '.join(architectures())}")  # fmt: skip
    (stem.parent / "v1.0.json").write_text("{")
    refused(stem, f"card {card} is not valid JSON; restore it")


def test_au_model_of_another_kind(stem) -> None:
    refused(stem, "weights 'v1.0' are of kind 'landmarks'; name some of kind 'au'",
            cards.load_au_model)  # fmt: skip


def test_saving_what_cannot_be_loaded(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"^cannot save a Linear; known are FaceDetectorNet, "):
        cards.save_weights(tmp_path / "x", torch.nn.Linear(1, 1), CARD)
    with pytest.raises(ValueError, match=r"^a LandmarkNet is of kind 'landmarks', not 'au'$"):
        cards.save_weights(tmp_path / "x", LandmarkNet(WIDTHS), {"kind": "au"})
    net = SCCHeatmapNet(SCCHeatmapConfig(maps=5))
    with pytest.raises(ValueError, match=r"^5 maps do not fit 2 AUs$"):
        cards.save_weights(tmp_path / "x", net, {**CARD, "aus": ["AU06", "AU12"]})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bytes": "many"}, "bytes is not a number of bytes"),
        ({"bytes": -1}, "bytes is not a number of bytes"),
        ({"bytes": 1e99}, "bytes is not a number of bytes"),
        ({"sha256": 7}, "sha256 is not a text"),
        ({"kind": ["landmarks"]}, "kind is not a text"),
        ({"architecture": {}}, "architecture is not a text"),
        ({"config": []}, "config is not an object of texts and of whole numbers up to 4096"),
        ({"config": {"widths": [10**9] * 4}}, "config is not an object of texts and of whole"),
        ({"config": {"widths": [-4, 4, 8, 8]}}, "config is not an object of texts and of whole"),
        ({"config": {"widths": [float("nan")] * 4}}, "config is not an object of texts and of"),
        ({"mean": [1, 2]}, "mean is not 3 numbers"),
        ({"std": [1, 0, 1]}, "std is not 3 numbers but 0"),
        ({"std": [1, float("nan"), 1]}, "std is not 3 numbers but 0"),
        ({"aus": "AU06"}, "aus is not a list of AUs"),
        ({"crop_size": 10**12}, "crop_size is not a whole number up to 4096"),
        ({"heatmap_scale": 0}, "heatmap_scale is not a number above 0"),
        ({"scale": [float("inf")]}, "scale is not a list of numbers"),
    ],
)
def test_cards_with_other_values(stem, changes: dict, told: str) -> None:
    edit_card(stem, **changes)
    with pytest.raises(WeightsError) as caught:
        cards.load_weights(stem)
    assert str(caught.value).startswith(f"card {stem}.json: {told}")
    assert str(caught.value).endswith("; restore it")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[" * 9999, "is not valid JSON"),
        (b'{"a": "\xff"}', "is not valid JSON"),
        (b"[]", "is not a JSON object"),
        (b"{}", "lacks kind, config, sha256, bytes"),
        (b" " * (1 << 21), "is too large for a card"),
    ],
)
def test_cards_that_are_none(stem, content: bytes, told: str) -> None:
    Path(f"{stem}.json").write_bytes(content)
    refused(stem, f"card {stem}.json {told}; restore it")


def test_a_card_that_is_a_loop(stem) -> None:
    card = Path(f"{stem}.json")
    card.unlink()
    card.symlink_to(card)
    refused(stem, f"weights file {card} is missing; the .safetensors and the .json belong together")


def test_a_network_too_large_for_its_tensors_takes_no_memory(stem) -> None:
    edit_card(stem, config={"widths": [4096] * 4})
    with pytest.raises(WeightsError, match=r" does not fit LandmarkNet: .* expected \(4096,"):
        cards.load_weights(stem)


def test_tensors_of_another_type_or_not_finite(stem) -> None:
    lead = f"weights file {stem}.safetensors"
    name = "landmark_head.2.bias"
    replace_tensors(stem, lambda state: state.update({name: torch.zeros(68, dtype=torch.int64)}))
    refused(stem, f"{lead} does not fit LandmarkNet: {name} is of type torch.int64")
    replace_tensors(stem, lambda state: state.update({name: torch.full((68,), torch.nan)}))
    refused(stem, f"{lead} has values that are not finite in {name}; use other weights")


@pytest.mark.parametrize(
    "changes",
    [
        {"aus": ["AU06"]}, {"aus": []}, {"maps": ["x"]}, {"template": "x"}, {"crop_size": 3},
        {"normalisation": "x"}, {"scale": [1.0]}, {"readout": {"places": 3, "radius_px": 1}},
        {"readout": {"places": [[[1.0]]], "radius_px": "x"}}, {"readout": {"radius_px": 2}},
    ],
)  # fmt: skip
def test_au_cards_that_cannot_be_used(tmp_path, changes: dict) -> None:
    net = SCCHeatmapNet(SCCHeatmapConfig(maps=4, widths=(4, 8, 8, 8), k=3))
    cards.save_weights(tmp_path / "au", net, {**CARD, "aus": ["AU06", "AU12"]})
    edit_card(tmp_path / "au", **changes)
    with pytest.raises(WeightsError, match=r"^the card of weights 'au' cannot be used \(.*; resto"):
        cards.load_au_model(tmp_path / "au")
