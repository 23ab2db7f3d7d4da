"""Networks from weights files to rows: the same path as the embedded ones, with random tensors."""

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from bright_faces import AUS, ONE, write_clip

import aucli
from aucli.errors import OptionError, WeightsError
from aucli.faces.builtin import BuiltinDetector
from aucli.faces.fan import FanLandmarker
from aucli.faces.retinaface import RetinaFaceDetector
from aucli.models.detector import FaceDetectorNet
from aucli.models.device import resolve_device
from aucli.models.fan import fan
from aucli.models.landmark import LandmarkNet
from aucli.models.retinaface import RetinaFace
from aucli.models.scc_heatmap import SCCHeatmapConfig, SCCHeatmapNet
from aucli.pipeline import loading
from aucli.pipeline.loading import load_networks
from aucli.pipeline.options import AnalyzeOptions, NetworkNames, choose_networks
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


def test_networks_follow_the_options(random_weights):
    networks = load_networks(AnalyzeOptions(faces="3", device="cpu"))
    assert networks.au.aus == AUS
    film, stills = networks.faces.finder(), networks.faces.finder(unrelated=True)
    assert film.config.faces == stills.config.faces == 3
    assert (film.config.independent, stills.config.independent) == (False, True)
    blob = (random_weights / "scc-joint.safetensors").read_bytes()
    assert networks.provenance["model"] == {
        "name": "scc-joint",
        "sha256": hashlib.sha256(blob).hexdigest(),
        "template": "eyes-nose",
        "train_subjects": {"unknown": ("scc-joint.safetensors",)},  # its card is silent
    }
    assert networks.provenance["device"] == "cpu"


def test_devices():
    with pytest.raises(OptionError, match="device: 'abacus' is not there; name auto, cpu or cuda"):
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
            load_networks(AnalyzeOptions(device="cpu", **options))
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
    assert told(profile="accurate", model="scc-joint", detector="builtin") == (
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
    assert choose_networks(AnalyzeOptions()) == NetworkNames("builtin", "builtin", "builtin")
    chosen = choose_networks(AnalyzeOptions("accurate", "m.safetensors", landmarks="builtin"))
    assert chosen == NetworkNames("m.safetensors", "retinaface-mobilenet", "builtin")


def test_another_detector_finds_for_the_built_in_landmarks(random_weights, cache):
    put(cache, "retinaface-mobilenet", RetinaFace(), mean=[1.0, 2.0, 3.0], threshold=0.75)
    networks = load_networks(AnalyzeOptions(detector="retinaface-mobilenet", device="cpu"))
    detector = networks.faces.finder().detector
    assert isinstance(detector, RetinaFaceDetector)
    assert detector.threshold == 0.75
    assert networks.faces.finder(unrelated=True).detector is detector
    assert networks.provenance["detector"]["name"] == "retinaface-mobilenet"
    assert networks.provenance["landmarks"]["name"] == "builtin-landmarks"
    assert networks.provenance["profile"] == "builtin"


def test_fan_comes_with_its_own_bounds(random_weights, cache):
    pytest.importorskip("face_alignment", exc_type=ImportError)
    put(cache, "fan-2d", fan(1))
    networks = load_networks(AnalyzeOptions(landmarks="fan-2d", device="cpu"))
    finder = networks.faces.finder()
    assert isinstance(finder.landmarker, FanLandmarker)
    assert finder.config.min_confidence == finder.config.redetect_confidence == 0.4
    assert finder.config.keep_confidence == 0.3
    assert isinstance(finder.detector, BuiltinDetector)
    assert finder.detector.threshold == 0.5  # nobody verifies what it finds
    assert networks.provenance["landmarks"]["name"] == "fan-2d"
    assert networks.faces.finder(unrelated=True).config.min_confidence == 0.4


def test_networks_of_another_kind_are_refused(random_weights):
    def told(error, **options):
        with pytest.raises(error) as caught:
            load_networks(AnalyzeOptions(device="cpu", **options))
        return str(caught.value)

    path = str(random_weights / "scc-joint.safetensors")
    assert told(WeightsError, detector=path) == (
        "weights 'scc-joint' are of kind 'au'; name some of kind 'detector'"
    )
    either = "give one of these or the path of a .safetensors file."
    assert told(OptionError, landmarks="fan2d") == (
        "landmarks: no landmark network is named 'fan2d'; known are: builtin, builtin-landmarks, "
        f"fan-2d; {either}"
    )
    assert told(OptionError, detector="scf") == (
        "detector: no face detector is named 'scf'; known are: builtin, builtin-detector, "
        f"retinaface-mobilenet, retinaface-resnet50; {either} "
        "The library face-alignment has sfd, blazeface, yunet, scrfd, dlib."
    )
    # AU networks alone are offered for a model.
    assert told(OptionError, model="nope") == (
        "model: no AU network is named 'nope'; known are: builtin, fanau-disfa, "
        f"heatmap-resnet50-bp4d, hourglass-bp4d, scc-joint; {either}"
    )


def test_everything_that_is_wrong_is_told_at_once():
    words: Any = {
        "profile": "best", "faces": 0, "every": 0, "batch_size": 2.5, "threads": -1,
        "decoder": "vlc", "device": "abacus", "calibrate": "mean", "sides": "yes",
    }  # fmt: skip
    with pytest.raises(OptionError) as caught:
        aucli.Analyzer(**words)
    assert str(caught.value) == (
        "every: 0 is not a whole number of 1 or more. "
        "batch_size: 2.5 is not a whole number of 1 or more. "
        "threads: -1 is not a whole number of 0 or more. "
        "profile: 'best' is not one of builtin, accurate. "
        "decoder: 'vlc' is not one of auto, decord, pyav. "
        "sides: 'yes' is neither True nor False. "
        "faces: '0' is not 'largest', 'all' or a number of 1 or more. "
        "calibrate: 'mean' is neither 'auto', 'median' nor 'neutral=' with a frame (120), a "
        "segment (10-40 or 1.0-2.5s) or a video that exists. "
        "device: 'abacus' is not there; name auto, cpu or cuda."
    )
    with pytest.raises(OptionError, match=r"^threads: 2000 is more than 1024\.$"):
        aucli.Analyzer(threads=2000)
    with pytest.raises(OptionError, match="There is no option face; there are profile, model, "):
        aucli.Analyzer(face=1)  # pyright: ignore[reportCallIssue]


def test_what_users_of_numpy_and_pathlib_write(random_weights):
    words: Any = {
        "every": np.int64(2), "sides": np.True_, "faces": np.int64(2),
        "device": torch.device("cpu"), "model": random_weights / "scc-joint.safetensors",
    }  # fmt: skip
    options = aucli.Analyzer(**words).options
    assert (options.every, options.sides, options.faces, options.device) == (2, True, "2", "cpu")


@pytest.mark.parametrize("wrong", [1, True, ["builtin"], b"x", 2.5, None])
@pytest.mark.parametrize("word", ["profile", "model", "faces", "device", "calibrate", "decoder"])
def test_other_types_are_one_sentence(word, wrong):
    if (wrong is None and word in ("model", "calibrate")) or (word, wrong) == ("faces", 1):
        return  # right
    words: Any = {word: wrong}
    with pytest.raises(OptionError, match=f"^{word}: "):
        aucli.Analyzer(**words)


@pytest.mark.parametrize("groups", [("side",), ("landmarks",), "plces", ("sides", "c")])
def test_unknown_groups_are_refused(groups):
    with pytest.raises(OptionError, match="not among sides, places, presence, gaze, landmarks_xy"):
        aucli.analyze("nowhere.mp4", groups=groups)
