"""Networks for CPUs: exported to ONNX, together with how pixels enter and how maps are read."""

import hashlib
import io
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from aucli.errors import LibraryError, OutputError, WeightsError
from aucli.files import shown, write_whole
from aucli.models.blocks import ready
from aucli.models.detector import FaceDetectorNet
from aucli.models.device import Precision
from aucli.models.landmark import LandmarkNet
from aucli.models.onnx import PIXELS
from aucli.models.pixels import PixelScale
from aucli.models.predict import AU_OUTPUTS, LOOK_OUTPUTS
from aucli.models.reading import (
    LANDMARK_OUTPUTS,
    read_aus,
    read_detector,
    read_landmarks,
)
from aucli.weights.cards import LoadedWeights, au_model, load_weights, read_card
from aucli.weights.names import resolve
from aucli.weights.store import EXPORTS, card_file, exported_file

OPSET = 17


class WholeNetwork(nn.Module):
    """A network in eval mode with its reading: pixels (N, H, W, 3) uint8 -> outputs by ``names``.

    reads: makes them, by name.
    """

    def __init__(
        self, net: nn.Module, names: tuple[str, ...], reads: Callable[[Tensor], dict[str, Tensor]]
    ) -> None:
        super().__init__()
        self.net, self.names, self.reads = net, names, reads

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        told = self.reads(pixels)
        return tuple(told[name] for name in self.names)


def export(name_or_path: str | os.PathLike[str], crops: np.ndarray | None = None) -> Path:
    """Write the exported form of weights beside them, and its checksum into their card.

    crops: (N, S, S, 3) uint8 RGB, typical ones as the AU network sees them; they make it the form
    in int8. Returns its path. Raises WeightsError, also for a network that cannot be exported,
    LibraryError where onnx is missing, and OutputError where the file cannot be written.
    """
    path = resolve(name_or_path)
    loaded = load_weights(path)
    precision: Precision = "fp32" if crops is None else "int8"
    if crops is not None:
        crops_for_int8(path)
    blob = exported_bytes(loaded)
    if crops is not None:
        from aucli.weights.quantise import in_int8

        blob = in_int8(blob, crops)
    target = exported_file(path, precision)
    told = {"sha256": hashlib.sha256(blob).hexdigest(), "bytes": len(blob)}
    card = loaded.card | {EXPORTS[precision][0]: told}
    text = json.dumps(card, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        with write_whole(card_file(path)) as card_stream, write_whole(target) as stream:
            card_stream.write(text.encode())
            card_stream.flush()
            stream.write(blob)
    except OSError as error:
        raise OutputError(
            f"Cannot write {shown(target)}: {error.strerror}; copy the weights and their card to "
            "another folder and export them there."
        ) from error
    return target


def crops_for_int8(name_or_path: str | os.PathLike[str]) -> tuple[str, int]:
    """Template and size in px of the crops that :func:`export` needs for a form in int8. Raises
    WeightsError for a network that has none."""
    path, card = read_card(name_or_path)
    if card["kind"] != "au":
        raise WeightsError(
            f"{path.stem} finds faces, which is always done in fp32; int8 is for AU networks"
        )
    return card["template"], card["crop_size"]


def exported_bytes(loaded: LoadedWeights) -> bytes:
    """An ONNX file of the network. Raises as :func:`export`."""
    try:
        import onnx  # noqa: F401  (torch's exporter says less clearly that it is missing)
    except ImportError as error:
        raise LibraryError(
            "export needs the library onnx; run `pip install 'aucli[export]'`"
        ) from error
    whole, side = whole_network(loaded)
    axes = {name: {0: "n"} for name in (PIXELS, *whole.names)}
    if side is None:
        side = 64
        axes[PIXELS] |= {1: "height", 2: "width"}
        axes["boxes"] |= {2: "rows", 3: "columns"}
    example = torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8)
    stream = io.BytesIO()
    with torch.inference_mode(), warnings.catch_warnings():
        # The tracer warns of each check of a size, and that it is the old one; the other exporter
        # needs a library more.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            whole,
            (example,),
            stream,  # pyright: ignore[reportArgumentType] (it takes both)
            input_names=[PIXELS],
            output_names=list(whole.names),
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    return stream.getvalue()


def whole_network(loaded: LoadedWeights) -> tuple[WholeNetwork, int | None]:
    """A network with its reading, and the side of its crops in px; None takes any size. Raises
    WeightsError for one that cannot be exported."""
    card = loaded.card
    if card["kind"] == "au":
        model = au_model(loaded.net, card, loaded.name, loaded.sha256)
        assert isinstance(model.net, nn.Module)
        names = AU_OUTPUTS + LOOK_OUTPUTS if model.follows else AU_OUTPUTS
        whole = WholeNetwork(model.net, names, lambda crops: read_aus(model, crops, model.follows))
        return whole.eval(), model.crop_size
    net, pixels = ready(loaded.net, "cpu"), PixelScale.of_card(card)
    if isinstance(loaded.net, LandmarkNet):
        reads = lambda crops: read_landmarks(net, pixels, crops)  # noqa: E731
        return WholeNetwork(net, LANDMARK_OUTPUTS, reads).eval(), card["crop_size"]
    if isinstance(loaded.net, FaceDetectorNet):
        reads = lambda images: read_detector(net, pixels, images)  # noqa: E731
        return WholeNetwork(net, ("boxes",), reads).eval(), None
    raise WeightsError(
        f"{loaded.name} is a {card['architecture']}, which runs in torch only; export an AU "
        "network, or one of the project's own."
    )
