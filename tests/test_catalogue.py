"""The catalogue: a network is a class and a row, and its pixel scale is said once."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from prepared_faces import write_prepared
from torch import Tensor, nn

from aucli.datasets.crops import predict_faces
from aucli.datasets.prepared import PreparedFaces
from aucli.faces.builtin import BuiltinDetector, BuiltinLandmarker
from aucli.faces.fan import FanLandmarker
from aucli.models import catalogue
from aucli.models.catalogue import NETWORKS, TRAINABLE, Entry, find_architecture
from aucli.models.detector import FaceDetectorNet
from aucli.models.landmark import LandmarkNet
from aucli.models.network import AUNetwork
from aucli.models.pixels import PIXELS, PixelScale
from aucli.models.predict import predict_crops
from aucli.train.config import with_preset
from aucli.train.nets import read_state
from aucli.train.trainer import train
from aucli.weights import cards


def test_names_need_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from aucli.models.catalogue import TRAINABLE\n"
        "from aucli.datasets.names import DATASETS\n"
        "print(sorted({'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout.strip(), run.stderr) == (0, "[]", "")


@pytest.mark.parametrize("name", [name for name in TRAINABLE if NETWORKS[name].kind == "au"])
def test_au_networks_have_one_surface(name: str) -> None:
    row = NETWORKS[name]
    with torch.device("meta"):
        net = row.load().for_training(6, 128, None, 3 if row.neighbours else None, **row.settings)
        twin = row.load().from_config(net.config)
    assert isinstance(net, AUNetwork) and type(net).__name__ == row.architecture
    assert net.head.out_channels == 6 and any(net.head is module for module in net.modules())
    assert (twin.config, net.config["maps"]) == (net.config, 6)
    assert twin.state_dict().keys() == net.state_dict().keys()
    assert find_architecture(row.architecture, net.config) is row


def test_a_class_of_several_rows_is_found_by_its_settings() -> None:
    assert (
        find_architecture("RetinaFace", {"backbone": "resnet50"})
        is (NETWORKS["retinaface-resnet50"])
    )
    assert find_architecture("SCCHeatmapNet") is NETWORKS["scc-small"]
    assert find_architecture("Zoo", {}) is None
    assert len({row.name for row in NETWORKS.values()}) == len(NETWORKS)
    assert {row.name for row in NETWORKS.values() if not row.trainable} == {
        "retinaface-mobilenet", "retinaface-resnet50", "fan-2d"
    }  # fmt: skip


class ToyNet(AUNetwork):
    """Two convolutions: all that a new AU network needs to write."""

    def __init__(self, maps: int, width: int = 4) -> None:
        super().__init__()
        self.config = {"maps": maps, "width": width}
        self.body = nn.Sequential(nn.Conv2d(3, width, 5, 4, 2, bias=False), nn.BatchNorm2d(width))
        self.head = nn.Conv2d(width, maps, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).relu())


@pytest.mark.parametrize("preset", ["modern", "fan2020", "bmvc2018"])
def test_a_new_network_is_a_class_and_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: str
) -> None:
    row = Entry("toy", "au", f"{__name__}.ToyNet", 64, "eyes-nose", settings={"width": 6})
    monkeypatch.setitem(catalogue.NETWORKS, "toy", row)
    root, out = write_prepared(tmp_path / "set"), tmp_path / "run"
    config = with_preset(
        preset, model="toy", root=root, out=out, dataset="disfa", steps=1, batch_size=4
    )
    assert config.px == 64
    assert "icc31" in train(config)
    loaded = cards.load_weights(out / "weights", "au")
    assert isinstance(loaded.net, ToyNet) and loaded.card["config"]["width"] == 6
    model = cards.load_au_model(out / "weights")
    pixels = PIXELS["centred" if preset == "modern" else "unit"]
    assert PixelScale(model.mean, model.std) == pixels
    assert model.crop_size == 64
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    assert predict_crops(model, crops).intensities.shape == (2, 12)
    assert predict_faces(model, PreparedFaces(root, ("SN001",)), np.arange(2)).shape == (2, 12)
    # Its maps find their names again in weights to start from, as any network's do.
    again = with_preset(
        preset, model="toy", root=root, out=tmp_path / "b", dataset="disfa", steps=1, batch_size=4,
        init=out / "weights.safetensors", lr=1e-15, weight_decay=0.0, ema=0.0,
    )  # fmt: skip
    train(again)
    first, second = (read_state(p / "weights.safetensors") for p in (out, tmp_path / "b"))
    torch.testing.assert_close(first["head.weight"], second["head.weight"])


def test_pixels_enter_as_the_scale_says() -> None:
    images = torch.arange(48, dtype=torch.uint8).view(1, 3, 4, 4)
    scale = PixelScale((10.0, 20.0, 30.0), (2.0, 4.0, 8.0))
    found = scale.normalise(images)
    assert found.dtype == torch.float32
    assert found[0, :, 0, 0].tolist() == [(0 - 10) / 2, (16 - 20) / 4, (32 - 30) / 8]
    centred, unit = (PIXELS[name].normalise(images) for name in ("centred", "unit"))
    assert torch.equal(centred, (images.float() - 127.5) / 64)
    assert torch.equal(unit, images.float() / 255)


class Seen(nn.Module):
    """Keeps what it is fed and answers with zeros of the given shapes."""

    def __init__(self, *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.shapes = shapes
        self.fed: list[Tensor] = []

    def forward(self, x: Tensor) -> Any:
        self.fed.append(x)
        answers = [torch.zeros(len(x), *shape) for shape in self.shapes]
        return tuple(answers) if len(answers) > 1 else answers[0]


class SeenByFan(Seen):
    """As :class:`Seen`; the maps come in a list."""

    def forward(self, x: Tensor) -> Any:
        return [super().forward(x)]


@pytest.mark.parametrize("scale", [None, PixelScale((0.0, 0.0, 0.0), (100.0, 100.0, 100.0))])
def test_face_networks_are_fed_by_their_own_card(scale: PixelScale | None) -> None:
    """A gray frame, and what reaches each network."""
    frames = np.full((1, 64, 64, 3), 50, np.uint8)
    boxes = [np.array([[8.0, 8, 56, 56]], np.float32)]
    own: dict[str, Any] = {} if scale is None else {"pixels": scale}
    nets = Seen((5, 40, 40)), Seen((68, 32, 32), ()), SeenByFan((68, 64, 64))
    detector = BuiltinDetector(FaceDetectorNet((4, 4, 4, 4, 4)), **own)
    landmarker = BuiltinLandmarker(LandmarkNet((4, 4, 8, 8)), **own)
    # Folding copies a network, so these take their place afterwards.
    detector.net.net, landmarker.net.net = nets[:2]  # type: ignore[union-attr]
    detector.detect(frames)
    landmarker.locate(frames, boxes)
    FanLandmarker(nets[2], **own).locate(frames, boxes)
    centred, unit = ((50 - 127.5) / 64, 50 / 255) if scale is None else (0.5, 0.5)
    for net, expected in zip(nets, (centred, centred, unit), strict=True):
        assert len(net.fed) and torch.equal(net.fed[0], torch.full_like(net.fed[0], expected))
