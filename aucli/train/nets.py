"""The network of a run: built afresh, then filled from the weights it starts from."""

from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from aucli.errors import WeightsError
from aucli.models.detector import FaceDetectorNet
from aucli.models.fanau import FANAU
from aucli.models.heatmap_resnet import HeatmapResNet
from aucli.models.hourglass import Hourglass
from aucli.models.landmark import LandmarkNet
from aucli.models.scc_heatmap import SCCHeatmapConfig, SCCHeatmapNet
from aucli.train.config import TrainConfig
from aucli.weights.store import read_card_file

# The layer that gives the maps.
HEADS: dict[type[nn.Module], Callable[[Any], nn.Conv2d]] = {
    SCCHeatmapNet: lambda net: net.head,
    HeatmapResNet: lambda net: net.final_layer,
    Hourglass: lambda net: net.l0,
    FANAU: lambda net: net.l,
}


def build_face_net(config: TrainConfig) -> nn.Module:
    """Face detector or landmark network."""
    torch.manual_seed(config.seed)
    widths: dict[str, Any] = {"widths": config.widths} if config.widths else {}
    net = FaceDetectorNet(**widths) if config.model == "detector" else LandmarkNet(**widths)
    if config.init is not None:
        load_by_name(net, config.init)
    return net


def build_au_net(config: TrainConfig, maps: tuple[str, ...]) -> nn.Module:
    """An AU network with one output per name in ``maps``."""
    torch.manual_seed(config.seed)
    if config.model.startswith("scc-"):
        widths: dict[str, Any] = {"widths": config.widths} if config.widths else {}
        backbone: Any = config.model.removeprefix("scc-")
        strides = (8, 4) if backbone == "small" else (16, 8, 4)
        sizes = tuple(config.px // stride for stride in strides) if config.k else ()
        net: nn.Module = SCCHeatmapNet(
            SCCHeatmapConfig(backbone, len(maps), sizes, config.k or 1, config.px, **widths)
        )
    else:
        made = {"heatmap-resnet50": HeatmapResNet, "hourglass": Hourglass, "fanau": FANAU}
        net = made[config.model](len(maps))
    head = HEADS[type(net)](net)
    if config.heatmap_scale == 1:
        # Labels are mostly 0: begin near 0 instead of unlearning noise of the size of a label.
        with torch.no_grad():
            head.weight.mul_(0.3)
            if head.bias is not None:
                head.bias.zero_()
    if config.init is not None:
        load_by_name(net, config.init)
        _start_maps(net, maps, config.init)
    return net


def _start_maps(net: nn.Module, maps: tuple[str, ...], path: Path) -> None:
    """Outputs that the given weights have under the same name start as those."""
    card = path.with_suffix(".json")
    if not card.exists() or not isinstance(net, SCCHeatmapNet):
        return
    given = read_state(path)
    told = read_card_file(card)
    weight, bias = given.get("head.weight"), given.get("head.bias")
    known = {name: k for k, name in enumerate(told.get("maps") or _both_sides(told))}
    if weight is None or weight.shape[1:] != net.head.weight.shape[1:]:
        return
    with torch.no_grad():
        for k, name in enumerate(maps):
            if name in known:
                net.head.weight[k] = weight[known[name]].float()
                if bias is not None and net.head.bias is not None:
                    net.head.bias[k] = bias[known[name]].float()


def _both_sides(card: dict[str, Any]) -> list[str]:
    """Map names of a card that tells them by ``sides`` alone."""
    return [f"{au}_{side}" for au in card.get("aus", ()) for side in "LR"]


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a .safetensors file or of a checkpoint of this trainer (its averaged weights)."""
    state = _read(path)
    return state.get("ema", state)


def subjects_of(weights: Path | None) -> dict[str, tuple[str, ...]]:
    """People of licensed datasets whom weights to start from have seen, as far as they tell."""
    if weights is None:
        return {}
    card = weights.with_suffix(".json")
    if weights.suffix == ".safetensors":
        told = read_card_file(card).get("provenance", {}) if card.exists() else {}
    else:
        told = _read(weights)
    return {dataset: tuple(names) for dataset, names in told.get("train_subjects", {}).items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"{path} does not exist; give the weights to start from.") from error
    except (OSError, RuntimeError, ValueError, SafetensorError, UnpicklingError) as error:
        raise WeightsError(f"{path} cannot be read as weights; give another --init.") from error


def load_by_name(net: nn.Module, path: Path) -> int:
    """Copy every tensor whose name and shape agree; how many. Raises WeightsError at none.

    Weights of a plain ResNet, such as those trained on ImageNet, find the trunk of an AU network.
    A network of larger widths takes a smaller one's convolutions and batch norms as its first
    channels, which do not listen to the new ones at first: it starts with the smaller one's answers
    (Net2Net, arXiv 1511.05641). Fully connected layers then start anew.
    """
    own = net.state_dict()
    given = read_state(path)
    fitting = {}
    for key, tensor in given.items():
        key = key if key in own else f"trunk.{key}"
        wanted = own.get(key)
        if wanted is None or wanted.ndim != tensor.ndim:
            continue
        if wanted.shape == tensor.shape:
            fitting[key] = tensor
        elif tensor.ndim != 2 and all(
            a >= b for a, b in zip(wanted.shape, tensor.shape, strict=True)
        ):
            fitting[key] = _widened(tensor, wanted)
    if not fitting:
        raise WeightsError(f"{path} shares no tensor with the network; give another --init.")
    net.load_state_dict(own | fitting)
    return len(fitting)


def _widened(narrow: torch.Tensor, fresh: torch.Tensor) -> torch.Tensor:
    """``fresh`` with ``narrow`` (O, I, h, w) or (O,) in its first channels."""
    wide = fresh.clone()
    out = narrow.shape[0]
    wide[:out] = 0  # nothing from the channels that the narrow network lacks
    wide[tuple(slice(n) for n in narrow.shape)] = narrow.to(wide.dtype)
    return wide
