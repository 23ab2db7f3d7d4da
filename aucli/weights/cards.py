"""Weights on disk: tensors in ``<name>.safetensors``, all that explains them in ``<name>.json``.

The card (JSON) names the kind, architecture and its config, the input, the read-out, the
provenance, the metrics and the sha256 of the tensors; nothing is loaded that does not match it.
Where the card has ``onnx``, ``<name>.onnx`` holds the same network exported, for CPUs; where it has
``int8``, ``<name>.int8.onnx`` holds it in int8. Only what handles tensors needs torch.
"""

import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from safetensors import SafetensorError

from aucli.align import TEMPLATES
from aucli.errors import AucliError, WeightsError
from aucli.files import write_whole
from aucli.models.catalogue import Entry, architectures, find_architecture
from aucli.models.device import Precision
from aucli.models.onnx import OnnxNetwork
from aucli.models.predict import AUModel, map_names
from aucli.weights.names import BUILTIN, resolve
from aucli.weights.store import (
    EXPORTS,
    card_file,
    exported_file,
    read_card_file,
    read_checked,
    read_exported,
    tensors_file,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

DEFAULT_DETECTOR, DEFAULT_LANDMARKS = BUILTIN["detector"], BUILTIN["landmarks"]
DEFAULT_AU_MODEL = BUILTIN["au"]


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """A network in eval mode, float32, on the CPU, with its card and the tensors' sha256."""

    net: Any  # a torch module, or an OnnxNetwork
    card: dict[str, Any]
    sha256: str
    name: str


def save_weights(
    path_stem: str | os.PathLike[str], net: "nn.Module", card: dict[str, Any], *, half: bool = True
) -> Path:
    """Write a network's tensors and its card; each file whole or not at all.

    path_stem: path without suffix. card: at least ``provenance`` and ``metrics``, for AU networks
    also ``aus``; kind, architecture, config, input and sha256 are filled in, and given values of
    crop_size, template, mean, std, sides, scale and offset are kept. half: matrices and kernels are
    stored as float16, half the size; statistics and biases stay float32. Returns the
    .safetensors path. Raises ValueError for an unknown network or a card of another kind.
    """
    from safetensors.torch import save as pack_tensors

    full = complete_card(net, card)
    for key, _ in EXPORTS.values():
        full.pop(key, None)  # of other tensors
    stem = Path(path_stem)
    blob = pack_tensors({key: _stored(t, half) for key, t in net.state_dict().items()})
    full |= {"sha256": hashlib.sha256(blob).hexdigest(), "bytes": len(blob)}
    text = json.dumps(full, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    # Both lie on the disk before either takes its place: where there is no room, neither does.
    with write_whole(card_file(stem)) as card_stream, write_whole(tensors_file(stem)) as stream:
        card_stream.write(text.encode())
        card_stream.flush()
        stream.write(blob)
    return tensors_file(stem)


def complete_card(net: "nn.Module", card: dict[str, Any]) -> dict[str, Any]:
    """A card with what follows from the network filled in, where it does not say otherwise."""
    name, config = type(net).__name__, getattr(net, "config", None)
    row = find_architecture(name, config)
    if row is None or config is None:
        raise ValueError(f"cannot save a {name}; known are {', '.join(architectures())}")
    if card.get("kind", row.kind) != row.kind:
        raise ValueError(f"a {name} is of kind {row.kind!r}, not {card['kind']!r}")
    return {
        "kind": row.kind,
        "architecture": name,
        "config": config,
        "mean": list(row.pixels.mean),
        "std": list(row.pixels.std),
        **_defaults(row, config, card),
        **card,
    }


def _defaults(row: Entry, config: dict[str, Any], card: dict[str, Any]) -> dict[str, Any]:
    """Card entries that a network's kind adds."""
    told: dict[str, Any] = {}
    count = len(card.get("aus", ()))
    if count:
        told |= {"scale": [1.0] * count, "offset": [0.0] * count}
    if row.crop_size:
        told["crop_size"] = config.get("crop_size", row.crop_size)
    if row.template:
        told["template"] = row.template
    if count and "maps" not in card:
        sides = config["maps"] == 2 * count
        if not sides and config["maps"] != count:
            raise ValueError(f"{config['maps']} maps do not fit {count} AUs")
        told["sides"] = sides
    return told


def _stored(tensor: "Tensor", half: bool) -> "Tensor":
    """A tensor as it is written: contiguous, on the CPU, kernels as float16 where asked for."""
    tensor = tensor.detach().cpu().contiguous()
    if half and tensor.is_floating_point() and tensor.ndim > 1:
        short = tensor.half()
        # A value beyond float16's range would become infinite: such a tensor stays as it is.
        return short if bool(short.isfinite().all()) else tensor
    return tensor


def read_card(
    name_or_path: str | os.PathLike[str], kind: str | None = None
) -> tuple[Path, dict[str, Any]]:
    """Tensors' path and card of named or given weights, without reading the tensors.

    kind: as in :func:`resolve`. Raises WeightsError, also for weights of another kind.
    """
    path = resolve(name_or_path, kind)
    card = read_card_file(card_file(path))
    row = find_architecture(card.get("architecture", ""))
    if row is None:
        raise WeightsError(
            f"card {card_file(path)} names the architecture {card.get('architecture')!r}; "
            f"this version knows {', '.join(architectures())}"
        )
    if card["kind"] != row.kind:
        raise WeightsError(
            f"card {card_file(path)} says kind {card['kind']!r}, but "
            f"{card['architecture']} is of kind {row.kind!r}; restore it"
        )
    if kind not in (None, card["kind"]):
        raise WeightsError(
            f"weights {path.stem!r} are of kind {card['kind']!r}; name some of kind {kind!r}"
        )
    return path, card


def load_weights(name_or_path: str | os.PathLike[str], kind: str | None = None) -> LoadedWeights:
    """Network in eval mode, float32, on the CPU, after checking its sha256.

    name_or_path: an embedded or cached name, or a path with or without its suffix. kind: as in
    :func:`resolve`. Raises WeightsError where a file is missing, altered, truncated, or fits no
    network, or the network is of another kind.
    """
    import torch
    from safetensors.torch import load as parse_tensors

    path, card = read_card(name_or_path, kind)
    blob = read_checked(path, card)
    try:
        state = parse_tensors(blob)
    except SafetensorError as error:
        raise WeightsError(f"weights file {path} is not a safetensors file ({error})") from error
    row = find_architecture(card["architecture"], card["config"])
    assert row is not None  # read_card has seen to it
    try:
        with torch.device("meta"):  # no memory is taken before the tensors are known to fit
            net = row.load().from_config(card["config"])
    except AucliError:
        raise
    except Exception as error:  # what a class makes of a foreign config is open-ended
        raise WeightsError(
            f"card {card_file(path)} has an unusable config ({error}); restore it"
        ) from error
    check_fit(f"weights file {path}", card["architecture"], net.state_dict(), state)
    for key, tensor in state.items():
        if not tensor.isfinite().all():
            raise WeightsError(
                f"weights file {path} has values that are not finite in {key}; use other weights"
            )
    floats = {key: t.float() if t.is_floating_point() else t for key, t in state.items()}
    net.load_state_dict(floats, assign=True)
    return LoadedWeights(net.eval(), card, card["sha256"], path.stem)


def check_fit(
    label: str, architecture: str, wanted: dict[str, "Tensor"], found: dict[str, "Tensor"]
) -> None:
    """Raise a WeightsError that names the first misfit between a network and its tensors."""
    lead = f"{label} does not fit {architecture}: "
    for text, names in (
        ("it lacks {}", wanted.keys() - found.keys()),
        ("it has the unknown {}", found.keys() - wanted.keys()),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise WeightsError(lead + text.format(min(names)) + more)
    for key, tensor in wanted.items():
        if found[key].shape != tensor.shape:
            raise WeightsError(
                lead + f"{key} is {tuple(found[key].shape)}, expected {tuple(tensor.shape)}"
            )
        if found[key].is_floating_point() != tensor.is_floating_point():
            raise WeightsError(lead + f"{key} is of type {found[key].dtype}")


def load_network(
    name_or_path: str | os.PathLike[str],
    kind: str | None = None,
    device: str = "cpu",
    threads: int = 1,
    precision: Precision = "fp32",
) -> LoadedWeights:
    """As :func:`load_weights`, but an exported network where there is one, for the CPU.

    threads: of an exported network. precision: bf16 is loaded as fp32, which torch makes bf16 of.
    Raises WeightsError, also for an export that is not the one its card describes, and where there
    is none in int8.
    """
    path, card = read_card(name_or_path, kind)
    key, _ = EXPORTS.get(precision, EXPORTS["fp32"])
    if precision == "int8" and key not in card:
        raise WeightsError(
            f"weights {path.stem!r} have no int8 form; make it with `aucli weights export "
            f"{name_or_path} --precision int8 --faces FACES`, or take the precision fp32"
        )
    if device != "cpu" or key not in card:
        return load_weights(name_or_path, kind)
    try:
        net = OnnxNetwork(read_exported(path, card, precision), threads)
    except ValueError as error:
        file = exported_file(path, precision)
        raise WeightsError(f"weights file {file} cannot be used ({error}); restore it") from error
    return LoadedWeights(net, card, card["sha256"], path.stem)


def load_au_model(
    name_or_path: str | os.PathLike[str] = DEFAULT_AU_MODEL,
    device: str | None = None,
    threads: int = 1,
    precision: Precision = "fp32",
) -> AUModel:
    """An AU network ready for ``predict_crops``, batch norm folded. Raises WeightsError.

    device: where it is to run, exported if it can be; None loads it in torch, on the CPU.
    threads: of an exported network. precision: int8 for the CPU, bf16 for other devices.
    """
    if device is None:
        loaded = load_weights(name_or_path, "au")
    else:
        loaded = load_network(name_or_path, "au", device, threads, precision)
    model = au_model(loaded.net, loaded.card, loaded.name, loaded.sha256)
    model = replace(model, precision=precision)
    return model.to(device) if device else model


def au_model(
    net: Union["nn.Module", OnnxNetwork],
    card: dict[str, Any],
    name: str = "this network",
    sha256: str = "",
) -> AUModel:
    """An AU network in eval mode with what its complete card says of feeding and reading it.

    Without ``maps``, ``sides`` says whether there is an L and an R map for each AU, or one; without
    ``scale`` and ``offset``, readings are intensities. ``card["readout"]``, where there is one,
    holds sigma_cells (of the training targets), places ((A, 2, 2) usual places [L, R] in crop px)
    and radius_px around them. Raises WeightsError.
    """
    try:
        if card["template"] not in TEMPLATES:
            raise ValueError(f"unknown template {card['template']!r}")
        readout, windows = card.get("readout", {}), None
        if not isinstance(net, OnnxNetwork):
            net, windows = _ready(net, card["crop_size"], readout)
        aus = tuple(card["aus"])
        return AUModel(
            net=net,
            aus=aus,
            maps=tuple(card["maps"]) if "maps" in card else map_names(aus, bool(card["sides"])),
            crop_size=card["crop_size"],
            template=card["template"],
            mean=tuple(card["mean"]),
            std=tuple(card["std"]),
            scale=np.array(card.get("scale", [1.0] * len(aus)), np.float32),
            offset=np.array(card.get("offset", [0.0] * len(aus)), np.float32),
            normalisation=card.get("normalisation", "mean-std"),
            heatmap_scale=float(card.get("heatmap_scale", 1.0)),
            match_sigma=float(readout.get("sigma_cells", 0.0)),
            windows=windows,
            knows_gaze=bool(card.get("gaze", False)),
            rest=np.array(card["rest"], np.float32) if "rest" in card else None,
            confidence=card.get("confidence") or {},
            name=name,
            sha256=sha256,
        )
    except Exception as error:  # what a foreign card leads to is open-ended
        raise WeightsError(
            f"the card of weights {name!r} cannot be used ({error}); restore it"
        ) from error


def _ready(
    net: "nn.Module", size: int, readout: dict[str, Any]
) -> tuple["nn.Module", "Tensor | None"]:
    """A network for inference, and where in its maps AUs may lie."""
    import torch

    from aucli.heatmaps import STRIDE, place_windows
    from aucli.models.blocks import ready

    if size < STRIDE or size % STRIDE:
        raise ValueError(f"crop_size is {size}")
    if not readout:
        return ready(net, "cpu"), None
    places = torch.tensor(readout["places"], dtype=torch.float32)  # (A, S, 2)
    return ready(net, "cpu"), place_windows(places, float(readout["radius_px"]), size // STRIDE)
