"""Networks from weights files to rows: the same path as the embedded ones, with random tensors."""

import hashlib

import pytest
import torch
from bright_faces import AUS, ONE, write_clip

import aucli
from aucli.errors import InputError, WeightsError
from aucli.models.detector import FaceDetectorNet
from aucli.models.landmark import LandmarkNet
from aucli.models.scc_heatmap import SCCHeatmapConfig, SCCHeatmapNet
from aucli.pipeline.analysis import AnalyzeOptions
from aucli.pipeline.loading import load_models, resolve_device
from aucli.weights import cards, places


@pytest.fixture
def random_weights(tmp_path, monkeypatch):
    """A folder of weights under the embedded names."""
    torch.manual_seed(0)
    detector = FaceDetectorNet()
    # Random maps would give 32 candidates a frame; with the bias alone there is none.
    torch.nn.init.zeros_(detector.head[-1].weight)  # pyright: ignore[reportArgumentType]
    config = SCCHeatmapConfig(maps=2 * len(AUS), scc_sizes=(16,), k=3, widths=(4, 4, 4, 4))
    nets = {
        cards.DEFAULT_DETECTOR: (detector, {}),
        cards.DEFAULT_LANDMARKS: (LandmarkNet(), {}),
        cards.DEFAULT_AU_MODEL: (SCCHeatmapNet(config), {"aus": list(AUS)}),
    }
    for name, (net, card) in nets.items():
        cards.save_weights(tmp_path / name, net.eval(), {**card, "provenance": "", "metrics": {}})
    monkeypatch.setattr(places, "weights_dir", lambda: tmp_path)
    return tmp_path


def test_models_follow_the_options(random_weights):
    models = load_models(AnalyzeOptions(faces="3", device="cpu"))
    assert models.au.aus == AUS
    assert models.video_finder.config.faces == 3
    assert not models.video_finder.config.independent
    assert models.still_finder.config.independent
    blob = (random_weights / "scc-small.safetensors").read_bytes()
    assert models.provenance["model"] == {
        "name": "scc-small",
        "sha256": hashlib.sha256(blob).hexdigest(),
        "template": "eyes-nose",
    }
    assert models.provenance["device"] == "cpu"


def test_unknown_names_are_told():
    with pytest.raises(WeightsError, match="no weights are named 'nothing'"):
        load_models(AnalyzeOptions(model="nothing", device="cpu"))
    with pytest.raises(InputError, match="Device 'abacus' is not there; use --device cpu or auto"):
        resolve_device("abacus")
    assert resolve_device("cpu") == "cpu"


def test_analyze_gives_a_data_frame(random_weights, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", [ONE] * 3)
    frame = aucli.analyze(clip, device="cpu", groups=["presence", "sides"])
    assert frame["frame"].tolist() == [1, 2, 3]
    assert frame["success"].tolist() == [False] * 3
    assert str(frame["face_id"].dtype) == "Int32"
    assert str(frame["AU12_c"].dtype) == "Int8"
    assert {"AU12_r", "AU12_L"} <= set(frame)
    assert frame.attrs["provenance"]["frames"] == 3
    with pytest.raises(AttributeError, match="no attribute 'analyse'"):
        _ = aucli.analyse
