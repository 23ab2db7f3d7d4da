"""The published AU networks against plain forward passes written from their descriptions.

The passes below use ``torch.nn.functional`` and the names of a state dict, and nothing of
``aucli.models``. Checkpoints are stand-ins: published names and shapes, random values.
"""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aucli.models.catalogue import find_architecture
from aucli.models.fanau import FANAU
from aucli.models.heatmap_resnet import HeatmapResNet
from aucli.models.hourglass import Hourglass
from aucli.models.predict import predict_crops
from aucli.models.scc_heatmap import SCCHeatmapConfig, SCCHeatmapNet
from aucli.weights.cards import au_model
from aucli.weights.manifest import published

State = dict[str, Tensor]
Block = Callable[[State, str, Tensor], Tensor]

# sha256 of the sorted lines "name 64x3x7x7" of the published checkpoints.
DIGESTS = {
    Hourglass: "987dbcc3b28c4486578b6ebf65052f1b12368465ef4a65c15ed97befce0dd153",
    HeatmapResNet: "8d3f9bb80eef1e41bf32ecd44dbe1276b74cd81e5c4afdec569fa080f4234782",
    FANAU: "03f627ea8d8485203b114e538ef859d8d7c35bdf9e2e9db000ccfd9d6d47646b",
}
NETWORKS = pytest.mark.parametrize("network", list(DIGESTS), ids=lambda network: network.__name__)


def conv(s: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = s[f"{name}.weight"]
    return F.conv2d(x, weight, s.get(f"{name}.bias"), stride, weight.shape[2] // 2)


def norm(s: State, name: str, x: Tensor) -> Tensor:
    mean, var, weight, bias = (
        s[f"{name}.{part}"].view(-1, 1, 1)
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def bottleneck(s: State, p: str, x: Tensor, stride: int = 1) -> Tensor:
    y = F.relu(norm(s, f"{p}.bn1", conv(s, f"{p}.conv1", x)))
    y = F.relu(norm(s, f"{p}.bn2", conv(s, f"{p}.conv2", y, stride)))
    y = norm(s, f"{p}.bn3", conv(s, f"{p}.conv3", y))
    if f"{p}.downsample.0.weight" in s:
        x = norm(s, f"{p}.downsample.1", conv(s, f"{p}.downsample.0", x, stride))
    return F.relu(y + x)


def pyramid(s: State, p: str, x: Tensor) -> Tensor:
    parts = [x]
    for i in (1, 2, 3):
        parts.append(F.relu6(norm(s, f"{p}.bn{i}", conv(s, f"{p}.conv{i}", parts[-1]))))
    if f"{p}.downsample.0.weight" in s:
        x = F.relu6(norm(s, f"{p}.downsample.1", conv(s, f"{p}.downsample.0", x)))
    return torch.cat(parts[1:], 1) + x


def hourglass(s: State, p: str, x: Tensor, block: Block, level: int = 4) -> Tensor:
    low = block(s, f"{p}.b2_{level}", F.max_pool2d(x, 2))
    low = hourglass(s, p, low, block, level - 1) if level > 1 else block(s, f"{p}.b2_plus_1", low)
    low = block(s, f"{p}.b3_{level}", low)
    low = low.repeat_interleave(2, 2).repeat_interleave(2, 3)
    return block(s, f"{p}.b1_{level}", x) + low


def stacked(s: State, p: str, x: Tensor, block: Block) -> tuple[Tensor, Tensor]:
    """Maps, and the features before the hourglass."""
    x = block(s, f"{p}conv2", F.relu(norm(s, f"{p}bn1", conv(s, f"{p}conv1", x, 2))))
    x = block(s, f"{p}conv4", block(s, f"{p}conv3", F.max_pool2d(x, 2)))
    y = block(s, f"{p}top_m_0", hourglass(s, f"{p}m0", x, block))
    return conv(s, f"{p}l0", F.relu(norm(s, f"{p}bn_end0", conv(s, f"{p}conv_last0", y)))), x


def resnet50(s: State, p: str, x: Tensor) -> Tensor:
    x = F.relu(norm(s, f"{p}bn1", conv(s, f"{p}conv1", x, 2)))
    x = F.max_pool2d(x, 3, 2, 1)
    for stage, depth in enumerate((3, 4, 6, 3), 1):
        for b in range(depth):
            x = bottleneck(s, f"{p}layer{stage}.{b}", x, 2 if stage > 1 and b == 0 else 1)
    return x


def deconv(s: State, p: str, x: Tensor) -> Tensor:
    return F.relu(norm(s, f"{p}.1", F.conv_transpose2d(x, s[f"{p}.0.weight"], None, 2, 1)))


def plain_hourglass(s: State, x: Tensor) -> Tensor:
    return stacked(s, "", x, bottleneck)[0]


def plain_heatmap_resnet(s: State, x: Tensor) -> Tensor:
    x = resnet50(s, "", x)
    for i in (1, 2, 3):
        x = deconv(s, f"deconv_layers_{i}", x)
    return conv(s, "final_layer", x)


def plain_fanau(s: State, x: Tensor) -> Tensor:
    def adapted(name: str, x: Tensor) -> Tensor:
        return F.relu6(norm(s, f"{name}.1", conv(s, f"{name}.0", x)))

    landmarks, features = stacked(s, "fan.", x, pyramid)
    x = hourglass(s, "net", adapted("conv1", landmarks) + adapted("conv2", features), pyramid)
    return conv(s, "l", adapted("conv_last", x))


def plain_scc(s: State, p: str, x: Tensor, k: int) -> Tensor:
    """Every edge's [f_i, f_j - f_i] through the 1x1 convolution, norm, ReLU; max over j."""
    f = x.flatten(2)  # (N, C, D)
    near = (f[:, :, None] - f[:, None]).square().sum(3).topk(k, largest=False).indices
    own = f[:, :, None].expand(-1, -1, k, -1)
    other = torch.stack([nodes[index] for nodes, index in zip(f, near, strict=True)])
    edges = torch.cat([own, other - own], 3).permute(0, 3, 1, 2)  # (N, 2D, C, k)
    out = F.relu(norm(s, f"{p}.bn", conv(s, f"{p}.conv", edges))).amax(3)  # (N, D, C)
    return out.transpose(1, 2).reshape(x.shape)


def plain_scc_heatmap(s: State, x: Tensor, k: int) -> Tensor:
    x = resnet50(s, "trunk.", x)
    for i in range(3):
        x = deconv(s, f"deconvs.{i}", x)
        x = plain_scc(s, f"sccs.{x.shape[3]}", x, k)
    return conv(s, "head", x)


PLAIN = {Hourglass: plain_hourglass, HeatmapResNet: plain_heatmap_resnet, FANAU: plain_fanau}


def bare(make: Callable[[], nn.Module]) -> nn.Module:
    """A network without values: a state dict that leaves one out cannot pass."""
    with torch.device("meta"):
        return make().eval()


def stand_in(net: nn.Module, seed: int = 0) -> State:
    """float64 values for a network's names: uneven statistics, scales of both signs."""
    random = torch.Generator().manual_seed(seed)
    state = {}
    for name, like in net.state_dict().items():
        shape, kind = tuple(like.shape), name.rsplit(".", 1)[1]
        if kind == "num_batches_tracked":
            state[name] = torch.tensor(3)
            continue
        values = torch.randn(shape, generator=random).double()
        if len(shape) == 4:
            # A transposed convolution's first axis is its input, and a quarter of its taps meet.
            up = "deconv" in name
            values *= math.sqrt(2 / (shape[0] * 4 if up else math.prod(shape[1:])))
        elif kind == "running_var":
            values = 0.5 + values.abs()
        elif kind == "weight":
            values = values.sign() * (0.5 + 0.3 * values.abs())
        else:
            values = 0.3 * values
        state[name] = values
    return state


def assert_agree(found: Tensor, expected: Tensor, tolerance: float) -> None:
    peak = expected.abs().max()
    # Dead or saturated layers would agree with anything.
    assert (expected.std((2, 3)) > 0.01 * peak).all()
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance * peak


@NETWORKS
def test_names_and_shapes_are_the_published_ones(network) -> None:
    shapes = {name: tuple(value.shape) for name, value in bare(network).state_dict().items()}
    lines = sorted(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == DIGESTS[network]


@NETWORKS
def test_names_and_shapes_are_those_of_the_list(network, shared_dir: Path) -> None:
    listed = json.loads((shared_dir / "published-keys.json").read_text("utf-8"))[network.__name__]
    state = bare(network).state_dict()
    assert {name: list(value.shape) for name, value in state.items()} == listed


@NETWORKS
@torch.inference_mode()
def test_outputs_equal_the_plain_pass(network) -> None:
    net = bare(network)
    state = stand_in(net)
    net.load_state_dict(state, assign=True)
    x = torch.rand(2, 3, 64, 128, dtype=torch.float64)
    assert_agree(net(x), PLAIN[network](state, x), 1e-5)


@torch.inference_mode()
def test_paper_network_with_scc_equals_the_plain_pass() -> None:
    config = SCCHeatmapConfig("resnet50", 10, (4, 8, 16), 7, 64)
    net = bare(lambda: SCCHeatmapNet(config))
    state = stand_in(net)
    net.load_state_dict(state, assign=True)
    x = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    assert_agree(net(x), plain_scc_heatmap(state, x, 7), 1e-5)


def test_paper_network_has_the_published_sizes() -> None:
    net = bare(lambda: SCCHeatmapNet(SCCHeatmapConfig.paper(24)))
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    trunk = {name.removeprefix("trunk.") for name in shapes if name.startswith("trunk.")}
    # The trunk is that of the released demo: usual ResNet names.
    demo = bare(HeatmapResNet).state_dict()
    assert trunk == {name for name in demo if not name.startswith(("deconv", "final"))}
    kernels = {name: shape for name, shape in shapes.items() if "trunk." not in name}
    kernels = {name: shape for name, shape in kernels.items() if len(shape) == 4}
    assert kernels == {
        "deconvs.0.0.weight": (2048, 256, 4, 4), "sccs.16.conv.weight": (256, 512, 1, 1),
        "deconvs.1.0.weight": (256, 128, 4, 4), "sccs.32.conv.weight": (1024, 2048, 1, 1),
        "deconvs.2.0.weight": (128, 64, 4, 4), "sccs.64.conv.weight": (4096, 8192, 1, 1),
        "head.weight": (24, 64, 1, 1), "landmark_head.weight": (68, 64, 1, 1),
    }  # fmt: skip
    assert SCCHeatmapConfig.paper(24).heatmap_size == 64


def test_cards_build_the_networks() -> None:
    for name, network in (("hourglass-bp4d", Hourglass), ("fanau-disfa", FANAU),
                          ("heatmap-resnet50-bp4d", HeatmapResNet)):  # fmt: skip
        entry = published(name)
        row = find_architecture(entry.architecture)
        assert row is not None and row.kind == entry.kind == "au"
        assert row.load() is network
        with torch.device("meta"):
            net = network.from_config(entry.card["config"])
        assert net.config == entry.card["config"]


def crop() -> np.ndarray:
    """(1, 256, 256, 3) uint8, coarse noise, not from 0 to 255."""
    coarse = np.random.default_rng(0).integers(20, 200, (16, 16, 3))
    return np.kron(coarse, np.ones((16, 16, 1), int)).astype(np.uint8)[None]


@torch.inference_mode()
def published_readings(name: str, network, last: str) -> tuple:
    """What ``predict_crops`` reads with a stand-in, and the plain pass's maxima, about 0 to 6.

    last: name of the last convolution, whose scale is set for that.
    """
    card = published(name).card
    net = bare(network)
    state = stand_in(net, seed=1)
    pixels = torch.from_numpy(crop()).permute(0, 3, 1, 2).double()
    if network is FANAU:
        pixels = (pixels - pixels.min()) / (pixels.max() - pixels.min())
    else:
        pixels = pixels / 255
    maxima = PLAIN[network](state, pixels).amax((2, 3))[0]
    factor = 6 * card["heatmap_scale"] / maxima.max()
    for part in ("weight", "bias"):
        state[f"{last}.{part}"] *= factor
    net.load_state_dict({k: v.float() if v.ndim else v for k, v in state.items()}, assign=True)
    model = au_model(net, card, name)
    return predict_crops(model, crop()), (maxima * factor).numpy()


def test_hourglass_readout() -> None:
    result, maxima = published_readings("hourglass-bp4d", Hourglass, "l0")
    np.testing.assert_allclose(result.intensities, [maxima.clip(0, 5)], atol=1e-3)
    assert np.isnan(result.sides).all()


def test_fanau_readout() -> None:
    result, maxima = published_readings("fanau-disfa", FANAU, "l")
    np.testing.assert_allclose(result.intensities, [maxima.clip(0, 5)], atol=1e-3)
    assert np.isnan(result.sides).all()


def test_heatmap_resnet_readout() -> None:
    result, maxima = published_readings("heatmap-resnet50-bp4d", HeatmapResNet, "final_layer")
    points = (maxima / 255).clip(0, 5).reshape(5, 2)
    np.testing.assert_allclose(result.intensities, [points.mean(1)], atol=1e-3)
    # The first point lies on the person's right; AU17's two lie on the midline.
    np.testing.assert_allclose(result.sides[0, :4], points[:4, ::-1], atol=1e-3)
    assert np.isnan(result.sides[0, 4]).all()
