"""Exported networks in int8, which take less time on CPUs and read a little less exactly.

Only convolutions change, and of these not the last ones, whose maps are read. All else stays in
float32: how pixels enter, the neighbours and projections of SCC, how maps are read.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aucli.models.onnx import PIXELS

if TYPE_CHECKING:
    from onnx import GraphProto

BATCH = 16


def in_int8(blob: bytes, crops: np.ndarray) -> bytes:
    """An exported network with its convolutions in int8.

    blob: of an ONNX file. crops: (N, S, S, 3) uint8 RGB, typical ones; each tensor gets the range
    that it has on them, as a moving average over batches, in which outliers count little.

    Weights have a scale for each channel and take seven bits: with eight, sums overflow on CPUs
    that lack the instructions for int8, and rows would depend on the CPU.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import CalibrationDataReader
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Batches(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = iter(np.array_split(crops, max(1, len(crops) // BATCH)))

        def get_next(self) -> dict[str, np.ndarray] | None:  # pyright: ignore
            batch = next(self._batches, None)
            return None if batch is None else {PIXELS: np.ascontiguousarray(batch)}

    with tempfile.TemporaryDirectory(prefix="aucli-") as folder, _quiet():
        plain, target = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(onnx.load_from_string(blob), plain, skip_symbolic_shape=True)
        quantize_static(
            plain,
            target,
            Batches(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_quantize=inner_convolutions(onnx.load(plain).graph),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"CalibMovingAverage": True},
        )
        return target.read_bytes()


def inner_convolutions(graph: "GraphProto") -> list[str]:
    """Names of the convolutions that another one follows."""
    found: list[str] = []
    used: set[str] = set()  # tensors that lead to a convolution
    for node in reversed(graph.node):  # which are in the order of the arithmetic
        followed = not used.isdisjoint(node.output)
        if node.op_type == "Conv" and followed:
            found.append(node.name)
        if node.op_type == "Conv" or followed:
            used.update(node.input)
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's advice, which is for those who call it by hand."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
