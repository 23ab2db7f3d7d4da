"""Networks: shapes, the SCC's exact forms, what training allocates, batch-norm folding."""

import copy

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from aucli.models.blocks import fold_batch_norm
from aucli.models.detector import FaceDetectorNet
from aucli.models.landmark import LandmarkNet
from aucli.models.resnet import ResNet
from aucli.models.scc import RESIDUAL_INIT, SCC, nearest_nodes
from aucli.models.scc_heatmap import SCCHeatmapConfig, SCCHeatmapNet

SMALL_RESNET = SCCHeatmapConfig("resnet18", 10, (4, 8, 16), 3, 64)


def literal_scc(layer: SCC, x: torch.Tensor) -> torch.Tensor:
    """The paper's formula as written: every edge's [f_i, f_j - f_i] through conv, BN, ReLU, max."""
    n, c, h, w = x.shape
    f = x.reshape(n, c, h * w)
    near = torch.cdist(f, f, compute_mode="donot_use_mm_for_euclid_dist")
    near = near.topk(layer.k, largest=False).indices
    edges = []
    for b in range(n):
        for i in range(c):
            for j in near[b, i]:
                edges.append(torch.cat([f[b, i], f[b, j] - f[b, i]]))
    edge = torch.stack(edges).view(n, c, layer.k, -1).permute(0, 3, 1, 2)  # (N, 2D, C, k)
    out = torch.relu(layer.bn(layer.conv(edge))).amax(3)  # (N, D, C)
    return out.transpose(1, 2).reshape(n, c, h, w)


def make_scc(k: int, *, seed: int = 0) -> SCC:
    """A layer with uneven statistics and scales of both signs."""
    torch.manual_seed(seed)
    layer = SCC(4, k)
    with torch.no_grad():
        layer.bn.weight.uniform_(-1.5, 1.5)
        layer.bn.bias.normal_()
        assert layer.bn.running_mean is not None and layer.bn.running_var is not None
        layer.bn.running_mean.normal_()
        layer.bn.running_var.uniform_(0.2, 3.0)
    assert (layer.bn.weight < 0).any() and (layer.bn.weight > 0).any()
    return layer


@pytest.mark.parametrize("k", [1, 3, 7])
def test_scc_eval_equals_the_literal_form(k: int) -> None:
    layer = make_scc(k).eval()
    x = torch.randn(2, 12, 4, 4)
    with torch.no_grad():
        expected = literal_scc(layer, x)
        for _ in range(2):  # the second call takes the kept projection
            assert (layer(x) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert torch.equal(layer(x), layer(x.to(memory_format=torch.channels_last)))


@pytest.mark.parametrize("k", [1, 3, 7])
def test_scc_training_equals_the_literal_form_with_gradients(k: int) -> None:
    layer = make_scc(k).double().train()
    plain = copy.deepcopy(layer)
    x = torch.randn(3, 12, 4, 4, dtype=torch.float64)
    # The layer keeps float32 statistics, so the comparison is to float32 rounding.
    x1, x2 = x.clone().requires_grad_(), x.clone().requires_grad_()
    weight = torch.randn_like(x)
    out, expected = layer(x1), literal_scc(plain, x2)
    assert (out - expected).abs().max() <= 1e-5 * expected.abs().max()
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(x1.grad, x2.grad, rtol=1e-4, atol=1e-4)
    for (name, a), b in zip(layer.named_parameters(), plain.parameters(), strict=True):
        assert a.grad is not None and b.grad is not None
        assert (a.grad - b.grad).abs().max() <= 1e-4 * b.grad.abs().max(), name
    for name, a in layer.named_buffers():
        torch.testing.assert_close(a, dict(plain.named_buffers())[name], rtol=1e-5, atol=1e-6)


class LargestTensor(TorchDispatchMode):
    """Largest number of elements any operator returned."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self.numel = max(self.numel, leaf.numel())
        return out


def test_scc_never_builds_the_edge_features() -> None:
    n, c, size, k = 8, 24, 6, 7
    layer = SCC(size, k).train()
    x = torch.randn(n, c, size, size, requires_grad=True)
    with LargestTensor() as seen:
        layer(x).sum().backward()
    # Not even the gathered v of all edges, (N, D, C, k): u and v together are the largest.
    assert seen.numel == n * c * 2 * size * size
    assert seen.numel < n * 2 * size * size * c * k


def test_scc_neighbours_include_the_node_itself() -> None:
    f = torch.randn(2, 9, 5) * 1e-3 + 100.0
    assert torch.equal(nearest_nodes(f, 1)[..., 0], torch.arange(9).expand(2, 9))
    points = torch.tensor([[[0.0], [1.0], [3.0], [7.0]]])
    assert nearest_nodes(points, 3)[0].sort(1).values.tolist() == [
        [0, 1, 2], [0, 1, 2], [0, 1, 2], [1, 2, 3]
    ]  # fmt: skip


def test_scc_projection_follows_changed_weights() -> None:
    layer = make_scc(3).eval()
    x = torch.randn(1, 8, 4, 4)
    with torch.inference_mode():
        before = layer(x)
    layer.load_state_dict(make_scc(3, seed=1).state_dict())
    with torch.inference_mode():
        after = layer(x)
    with torch.no_grad():
        torch.testing.assert_close(after, literal_scc(layer, x), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(before, after)


def test_scc_residual_starts_near_identity_and_learns() -> None:
    layer = SCC(4, 3, residual=True).train()
    assert (layer.bn.weight == RESIDUAL_INIT).all()
    x = torch.randn(4, 8, 4, 4)
    out = layer(x)
    assert (out - x).min() >= 0 and (out - x).mean() < 0.2
    out.square().sum().backward()
    assert layer.conv.weight.grad is not None and layer.conv.weight.grad.abs().max() > 0


def test_scc_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"^SCC was built for 4 px maps, got 5x4$"):
        SCC(4)(torch.zeros(1, 8, 4, 5))
    with pytest.raises(ValueError, match=r"^SCC needs at least k = 7 channels, got 6$"):
        SCC(4)(torch.zeros(1, 6, 4, 4))


def test_shapes() -> None:
    x = torch.randn(2, 3, 128, 128)
    logits, face = LandmarkNet().eval()(x)
    assert logits.shape == (2, 68, 32, 32) and face.shape == (2,)
    net = SCCHeatmapNet(SCCHeatmapConfig()).eval()
    assert net(x).shape == (2, 40, 32, 32)
    heatmaps, logits = net(x, with_landmarks=True)
    assert heatmaps.shape == (2, 40, 32, 32) and logits.shape == (2, 68, 32, 32)
    detector = FaceDetectorNet().eval()
    out = detector(torch.zeros(1, 3, 64, 96))
    assert out.shape == (1, 5, 8, 12)
    assert detector.state_dict()["head.1.bias"].tolist() == [-4.0, 0.0, 0.0, 0.0, 0.0]
    assert SCCHeatmapNet(SMALL_RESNET).eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 10, 16, 16)
    assert ResNet("resnet50").eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 2048, 2, 2)


def test_wrong_inputs_are_named() -> None:
    with pytest.raises(ValueError, match=r"^detector input must be multiples of 32 px, got 90x64$"):
        FaceDetectorNet()(torch.zeros(1, 3, 64, 90))
    with pytest.raises(ValueError, match=r"^the network reads 128 px crops"):
        SCCHeatmapNet(SCCHeatmapConfig())(torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match=r"^scc_sizes must be among \(16, 32\), got 8$"):
        SCCHeatmapConfig(scc_sizes=(8,))
    with pytest.raises(ValueError, match=r"^backbone must be .* or resnet50, got 'x'$"):
        SCCHeatmapConfig("x")  # type: ignore[arg-type]


def test_config_round_trip() -> None:
    assert SCCHeatmapConfig.from_dict(SMALL_RESNET.to_dict()) == SMALL_RESNET


def test_bfloat16_channels_last_training_step() -> None:
    net = SCCHeatmapNet(SCCHeatmapConfig(maps=4))
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(2, 3, 128, 128).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        heatmaps, logits = net(x, with_landmarks=True)
    (heatmaps.float().square().mean() + logits.float().square().mean()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_small_trunk_takes_landmark_weights_by_name() -> None:
    trunk = LandmarkNet()
    net = SCCHeatmapNet(SCCHeatmapConfig())
    result = net.load_state_dict(trunk.state_dict(), strict=False)
    own = {"refine", "face_head", "landmark_head"}
    assert {key.split(".")[0] for key in result.unexpected_keys} == own
    assert {key.split(".")[0] for key in result.missing_keys} == {"sccs", "head", "landmark_head"}
    x = torch.randn(1, 3, 128, 128)
    for a, b in zip(trunk.eval().encoder(x), net.eval().encoder(x), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("name", "count", "key", "shape"),
    [
        ("resnet18", 120, "layer4.1.conv2.weight", (512, 512, 3, 3)),
        ("resnet50", 318, "layer4.2.conv3.weight", (2048, 512, 1, 1)),
    ],
)
def test_resnet_state_dict_names(name, count, key, shape) -> None:
    state = ResNet(name).state_dict()
    assert len(state) == count  # the public checkpoints have two more: fc.weight, fc.bias
    assert tuple(state[key].shape) == shape
    for present in ("conv1.weight", "bn1.running_var", "layer2.0.downsample.0.weight",
                    "layer3.0.downsample.1.num_batches_tracked", "layer1.0.bn2.bias"):  # fmt: skip
        assert present in state
    assert ("layer1.0.downsample.0.weight" in state) == (name == "resnet50")


@pytest.mark.parametrize("make", [LandmarkNet, lambda: SCCHeatmapNet(SMALL_RESNET)])
def test_folding_batch_norm_keeps_outputs(make) -> None:
    torch.manual_seed(0)
    net = make()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    with pytest.raises(ValueError, match=r"^batch norm folds only in eval mode"):
        fold_batch_norm(net)
    folded = fold_batch_norm(net.eval())
    left = [name for name, m in folded.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(name.startswith("sccs.") for name in left)
    size = 64 if isinstance(net, SCCHeatmapNet) else 128
    x = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        for a, b in zip(net(x), folded(x), strict=True):
            assert (a - b).abs().max() <= 2e-5 * a.abs().max()
