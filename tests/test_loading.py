"""Networks from weights files to rows: the same path as the embedded ones, with random tensors."""

import hashlib

import pytest
import torch
from bright_faces import AUS, ONE, write_clip

import aucli
from aucli.errors import InputError, WeightsError
from aucli.faces.builtin import BuiltinDetector
from aucli.faces.fan import FanLandmarker
from aucli.faces.retinaface import RetinaFaceDetector
from aucli.models.detector import FaceDetectorNet
from aucli.models.fan import fan
from aucli.models.landmark import LandmarkNet
from aucli.models.retinaface import RetinaFace
from aucli.models.scc_heatmap import SCCHeatmapConfig, SCCHeatmapNet
from aucli.pipeline import loading
from aucli.pipeline.analysis import AnalyzeOptions
from aucli.pipeline.loading import Networks, choose_networks, load_models, resolve_device
from aucli.weights import cards, store


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
    monkeypatch.setattr(store, "weights_dir", lambda: tmp_path)
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


def put(folder, name, net, **card):
    cards.save_weights(folder / name, net.eval(), {**card, "provenance": "", "metrics": {}})


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty folder of pulled weights."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("AUCLI_WEIGHTS", str(folder))
    return folder


def test_all_that_is_still_to_be_pulled_is_named_at_once(cache, monkeypatch):
    def told(**options):
        with pytest.raises(WeightsError) as caught:
            load_models(AnalyzeOptions(device="cpu", **options))
        return str(caught.value)

    monkeypatch.setattr(loading, "find_spec", lambda name: name)
    assert told(profile="accurate") == (
        "fanau-disfa, retinaface-mobilenet and fan-2d are not on this machine yet; "
        "run `aucli weights pull fanau-disfa retinaface-mobilenet fan-2d`"
    )
    assert told(detector="retinaface-resnet50") == (
        "retinaface-resnet50 is not on this machine yet; "
        "run `aucli weights pull retinaface-resnet50`"
    )
    put(cache, "retinaface-mobilenet", RetinaFace(), channel_order="bgr")
    assert told(profile="accurate", model="scc-small", detector="builtin") == (
        "fan-2d is not on this machine yet; run `aucli weights pull fan-2d`"
    )
    by_hand = told(profile="accurate", model="heatmap-resnet50-bp4d")
    assert by_hand.startswith("heatmap-resnet50-bp4d and fan-2d are not on this machine yet; run")
    assert by_hand.endswith("and run `aucli weights import heatmap-resnet50-bp4d FILE`")
    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    assert "yet; run `pip install 'aucli[accurate]'`, then run `aucli weights" in told(
        landmarks="fan-2d"
    )


def test_options_replace_the_profiles_networks():
    assert choose_networks(AnalyzeOptions()) == Networks("scc-small", "builtin", "builtin")
    chosen = choose_networks(AnalyzeOptions("accurate", "m.safetensors", landmarks="builtin"))
    assert chosen == Networks("m.safetensors", "retinaface-mobilenet", "builtin")
    with pytest.raises(InputError, match=r"profile: 'best' is not one of builtin, accurate\."):
        choose_networks(AnalyzeOptions("best"))  # pyright: ignore[reportArgumentType]


def test_another_detector_finds_for_the_built_in_landmarks(random_weights, cache):
    put(cache, "retinaface-mobilenet", RetinaFace(), mean=[1.0, 2.0, 3.0], threshold=0.75)
    models = load_models(AnalyzeOptions(detector="retinaface-mobilenet", device="cpu"))
    detector = models.video_finder.detector
    assert isinstance(detector, RetinaFaceDetector)
    assert detector.threshold == 0.75
    assert models.still_finder.detector is detector
    assert models.provenance["detector"]["name"] == "retinaface-mobilenet"
    assert models.provenance["landmarks"]["name"] == "builtin-landmarks"
    assert models.provenance["profile"] == "builtin"


def test_fan_comes_with_its_own_bounds(random_weights, cache):
    pytest.importorskip("face_alignment", exc_type=ImportError)
    put(cache, "fan-2d", fan(1))
    models = load_models(AnalyzeOptions(landmarks="fan-2d", device="cpu"))
    finder = models.video_finder
    assert isinstance(finder.landmarker, FanLandmarker)
    assert finder.config.min_confidence == finder.config.redetect_confidence == 0.4
    assert finder.config.keep_confidence == 0.3
    assert isinstance(finder.detector, BuiltinDetector)
    assert finder.detector.threshold == 0.5  # nobody verifies what it finds
    assert models.provenance["landmarks"]["name"] == "fan-2d"
    assert models.still_finder.config.min_confidence == 0.4


def test_networks_of_another_kind_are_refused(random_weights):
    def told(error, **options):
        with pytest.raises(error) as caught:
            load_models(AnalyzeOptions(device="cpu", **options))
        return str(caught.value)

    assert told(WeightsError, detector="scc-small") == (
        "weights 'scc-small' are of kind 'au'; name some of kind 'detector'"
    )
    assert told(InputError, landmarks="fan2d") == (
        "landmarks: 'fan2d' is not builtin, fan-2d or a path of weights."
    )
    assert told(InputError, detector="scf").startswith(
        "detector: 'scf' is not builtin, retinaface-mobilenet, retinaface-resnet50, sfd,"
    )
