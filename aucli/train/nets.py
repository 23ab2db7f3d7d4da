"""The network of a run: built afresh, then filled from the weights it starts from."""

import hashlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as parse_tensors
from torch import nn

from aucli.errors import OptionError, WeightsError
from aucli.models.catalogue import NETWORKS
from aucli.models.network import AUNetwork
from aucli.models.scc import SCC
from aucli.train.config import TrainConfig
from aucli.weights.checkpoints import read_object
from aucli.weights.store import (
    UNKNOWN_PEOPLE,
    card_file,
    checked_people,
    people_of,
    read_card_file,
    read_checked,
)

# How maps are assumed to vary where SCC layers of full rank become ones of low rank: neighbours up
# to some cells apart alike, and some noise in each cell.
SMOOTH_CELLS, ROUGHNESS = 3.0, 0.05


def build_face_net(config: TrainConfig) -> nn.Module:
    """Face detector or landmark network."""
    torch.manual_seed(config.seed)
    made = NETWORKS[config.model].load()
    net = made(config.widths) if config.widths else made()
    if config.init is not None:
        _check_kind(config.init, config.model)
        load_by_name(net, config.init)
    return net


def build_au_net(config: TrainConfig, maps: tuple[str, ...]) -> AUNetwork:
    """An AU network with one output per name in ``maps``. Raises OptionError."""
    torch.manual_seed(config.seed)
    row = NETWORKS[config.model]
    try:
        net = row.load().for_training(len(maps), config.px, config.widths, config.k, **row.settings)
    except ValueError as error:
        raise OptionError(f"{config.model}: {error}") from error
    if config.heatmap_scale == 1:
        # Labels are mostly 0: begin near 0 instead of unlearning noise of the size of a label.
        with torch.no_grad():
            net.head.weight.mul_(0.3)
            if net.head.bias is not None:
                net.head.bias.zero_()
    if config.init is not None:
        _check_kind(config.init, config.model)
        load_by_name(net, config.init)
        _start_maps(net, maps, config.init)
        _start_landmarks(net, config.init)
        _start_projections(net, config.init)
    return net


def _start_landmarks(net: AUNetwork, path: Path) -> None:
    """A head of two layers starts as the given weights' head of one."""
    given = read_state(path).get("landmark_head.weight")
    head = getattr(net, "landmark_head", None)
    if given is None or not isinstance(head, nn.Sequential):
        return
    first, last = head[0], head[2]
    assert isinstance(first, nn.Conv2d) and isinstance(last, nn.Conv2d)
    if given.shape[1:] != first.weight.shape[1:]:
        return
    c = given.shape[1]
    with torch.no_grad():
        # Features are at least 0, so the first c channels pass through the ReLU as they are.
        first.weight[:c] = torch.eye(c)[..., None, None]
        assert first.bias is not None and last.bias is not None
        first.bias[:c] = 0
        last.weight[:, :c] = given.float()
        last.weight[:, c:] *= 0.1
        last.bias.copy_(read_state(path)["landmark_head.bias"])


def _start_projections(net: AUNetwork, path: Path) -> None:
    """SCC layers of a low rank start as near to the given ones of full rank as they can be for
    smooth maps; those of full rank as the given ones of low rank."""
    given = read_state(path)
    for name, layer in net.named_modules():
        inner, outer = (given.get(f"{name}.{part}.weight") for part in ("inner", "outer"))
        if isinstance(layer, SCC) and not layer.rank and inner is not None and outer is not None:
            of_own, of_others = (outer.float() @ inner.float()).chunk(2)  # A - B and B
            weight = torch.cat([of_own + of_others, of_others], 1)[..., None, None]
            if weight.shape == layer.conv.weight.shape:
                layer.conv.weight.data.copy_(weight)
            continue
        weight = given.get(f"{name}.conv.weight")
        if not isinstance(layer, SCC) or not layer.rank or weight is None:
            continue
        full = SCC(layer.size, layer.k)
        full.conv.weight.data = weight.float()
        cells = torch.arange(layer.size).float()
        near = torch.exp(-((cells[:, None] - cells) ** 2) / (2 * SMOOTH_CELLS**2))
        size, directions = torch.linalg.eigh(torch.kron(near, near))
        root = (size.clamp(min=0) + ROUGHNESS).sqrt()  # of the covariance that is assumed
        with torch.no_grad():
            left, strength, right = torch.linalg.svd(full.stacked() @ (directions * root), False)
            rank = layer.rank
            layer.outer.weight.copy_(left[:, :rank] * strength[:rank])
            layer.inner.weight.copy_(right[:rank] @ (directions / root).T)


def _check_kind(path: Path, model: str) -> None:
    """Refuse to start a detector from another kind or the reverse: what fits, fits by chance."""
    kind, given = NETWORKS[model].kind, None
    if path.suffix == ".safetensors":
        given = (_card(path) or {}).get("kind")
    elif isinstance(config := read_tensors(path).get("config"), dict):
        made = NETWORKS.get(str(config.get("model", "")))
        given = made.kind if made else None
    if given not in (None, kind) and "detector" in (given, kind):
        raise WeightsError(f"{path} holds weights of kind {given!r}; start {model} from others.")


def _start_maps(net: AUNetwork, maps: tuple[str, ...], path: Path) -> None:
    """Outputs that the given weights have under the same name start as those."""
    told = _card(path)
    if told is None:
        return
    given = read_state(path)
    name = next(name for name, module in net.named_modules() if module is net.head)
    weight, bias = given.get(f"{name}.weight"), given.get(f"{name}.bias")
    known = {own: k for k, own in enumerate(_counted(told.get("maps") or _both_sides(told)))}
    if weight is None or weight.shape[1:] != net.head.weight.shape[1:]:
        return
    if len(weight) != len(known):
        raise WeightsError(
            f"{path} has {len(weight)} maps, but its card names {len(known)}; restore the card."
        )
    with torch.no_grad():
        for k, own in enumerate(_counted(maps)):
            if own in known:
                net.head.weight[k] = weight[known[own]].float()
                if bias is not None and net.head.bias is not None:
                    net.head.bias[k] = bias[known[own]].float()


def _counted(names: Sequence[str]) -> list[tuple[str, int]]:
    """Names with how often each came before: two points on the midline share theirs."""
    return [(name, list(names[:k]).count(name)) for k, name in enumerate(names)]


def _both_sides(card: dict[str, Any]) -> list[str]:
    """Map names of a card that tells them by ``sides`` alone."""
    return [f"{au}_{side}" for au in card.get("aus", ()) for side in "LR"]


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a .safetensors file or of a checkpoint, of this trainer's the averaged ones."""
    state = read_tensors(path)
    inner = state.get("ema", state.get("state_dict"))
    state = inner if isinstance(inner, dict) else state
    return {key: tensor for key, tensor in state.items() if isinstance(tensor, torch.Tensor)}


def subjects_of(weights: Path | None) -> dict[str, tuple[str, ...]]:
    """People of licensed datasets whom weights to start from have seen, with
    :data:`~aucli.weights.store.UNKNOWN_PEOPLE` where they do not tell.

    Raises WeightsError.
    """
    if weights is None:
        return {}
    told = _seen_by(weights)
    return {UNKNOWN_PEOPLE: (weights.name,)} if told is None else told


def _seen_by(weights: Path) -> dict[str, tuple[str, ...]] | None:
    if weights.suffix == ".safetensors":
        card = _card(weights)
        return None if card is None else people_of(card, card_file(weights))
    told = read_tensors(weights).get("train_subjects")
    return None if told is None else checked_people(told, weights)


def fingerprint(weights: Path) -> str:
    """sha256 of a file. Raises WeightsError."""
    return hashlib.sha256(_read(weights)).hexdigest()


def _card(weights: Path) -> dict[str, Any] | None:
    """The card beside a .safetensors file; None where there is none. Raises WeightsError."""
    card = card_file(weights)
    return read_card_file(card) if card.exists() else None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise WeightsError(f"{path} does not exist; give the weights to start from.") from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read as weights; give another file.") from error


def read_tensors(path: Path) -> dict[str, Any]:
    """All that a .safetensors file or a PyTorch file holds; nothing in it is run.

    Checksums are compared: that of the card, where there is one, and those of a PyTorch file.
    Raises WeightsError for a file that is missing, altered, damaged or no mapping.
    """
    packed = path.suffix == ".safetensors"
    card = _card(path) if packed else None
    blob = _read(path) if card is None else read_checked(path, card)
    try:
        loaded = parse_tensors(blob) if packed else read_object(BytesIO(blob), str(path))
    except Exception as error:  # what a damaged file raises is open-ended
        raise WeightsError(f"{path} cannot be read as weights; give another file.") from error
    if not isinstance(loaded, dict):
        raise WeightsError(f"{path} holds no named tensors; give another file.")
    return loaded


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
        raise WeightsError(f"{path} shares no tensor with the network; start from others.")
    net.load_state_dict(own | fitting)
    return len(fitting)


def _widened(narrow: torch.Tensor, fresh: torch.Tensor) -> torch.Tensor:
    """``fresh`` with ``narrow`` (O, I, h, w) or (O,) in its first channels."""
    wide = fresh.clone()
    out = narrow.shape[0]
    wide[:out] = 0  # nothing from the channels that the narrow network lacks
    wide[tuple(slice(n) for n in narrow.shape)] = narrow.to(wide.dtype)
    return wide
