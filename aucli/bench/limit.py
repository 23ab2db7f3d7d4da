"""The limit: how fast the best kernel at hand runs each layer of a network on this machine's CPU.

A plain product of large matrices is none: convolutions reach more by other algorithms.
"""

import importlib.util
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from aucli.bench.calls import clock_of
from aucli.bench.layers import Layer

TRY_SECONDS = 0.05  # for each kernel and layer, after a first call
# Layers that make up so much of the arithmetic are tried; the rest is many tiny ones.
COUNTED_SHARE = 0.99
# Of a layer whose output can be its next input, so many in a row: ONNX Runtime turns pixels into an
# order of its own at the ends of a network, not at each layer.
CHAIN = 4

Kernel = Callable[[], object]


def best_rate(layers: Counter[Layer], threads: int) -> float:
    """FLOP per second with the quickest kernel for every layer; threads: of each call."""
    total = sum(layer.flop * times for layer, times in layers.items())
    flop, seconds = 0, 0.0
    for layer in sorted(layers, key=lambda layer: -layer.flop * layers[layer]):
        if flop >= COUNTED_SHARE * total:
            break
        flop += layer.flop * layers[layer]
        seconds += best_seconds(layer, threads) * layers[layer]
    return flop / seconds if seconds else 0.0


def best_seconds(layer: Layer, threads: int) -> float:
    """Shortest time of one layer, over all kernels at hand."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        clock = clock_of(threads)
        return min(
            shortest(kernel, clock=clock) / times for kernel, times in _kernels(layer, threads)
        )
    finally:
        torch.set_num_threads(before)


def shortest(
    kernel: Kernel, seconds: float = TRY_SECONDS, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Shortest time of a call by a clock, in s, of as many as fit into ``seconds`` after the first
    one."""
    kernel()
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        start = clock()
        kernel()
        best = min(best, clock() - start)
        if time.perf_counter() >= end:
            return best


def has_onnx() -> bool:
    """Whether kernels of ONNX Runtime can be tried: they need the library onnx."""
    return importlib.util.find_spec("onnx") is not None


def _kernels(layer: Layer, threads: int) -> Iterator[tuple[Kernel, int]]:
    """Ways to run a layer, each with how often one call does so."""
    times = CHAIN if _chains(layer) else 1
    rng = np.random.default_rng(0)
    # Small numbers: long chains of others would end in denormal ones or infinity.
    x, weight = (rng.standard_normal(shape).astype(np.float32) * 0.1 for shape in layer.shapes)
    yield from ((kernel, times) for kernel in _torch_kernels(layer, x, weight, times))
    if has_onnx():
        yield _onnx_kernel(layer, x, weight, times, threads), times


def _chains(layer: Layer) -> bool:
    x, weight = layer.shapes
    if not layer.setting:
        return len(weight) == 2 and weight[0] == weight[1]
    stride, padding, dilation, transposed, _, groups = layer.setting
    kept = all(
        s == 1 and 2 * p == d * (k - 1)
        for s, p, d, k in zip(stride, padding, dilation, weight[2:], strict=True)
    )
    return kept and not transposed and groups == 1 and weight[0] == x[1]


def _torch_kernels(layer: Layer, x: np.ndarray, weight: np.ndarray, times: int) -> Iterator[Kernel]:
    pixels, factor = torch.from_numpy(x), torch.from_numpy(weight)

    def repeat(call: Callable[[torch.Tensor], torch.Tensor], first: torch.Tensor) -> Kernel:
        @torch.inference_mode()
        def kernel() -> None:
            y = first
            for _ in range(times):
                y = call(y)

        return kernel

    if not layer.setting:
        yield repeat(lambda y: y @ factor, pixels)
        if factor.ndim == 2:
            turned = factor.T.contiguous()  # as linear layers keep it
            yield repeat(lambda y: F.linear(y, turned), pixels)
        return
    stride, padding, dilation, transposed, more, groups = layer.setting
    for order in (torch.contiguous_format, torch.channels_last):
        if pixels.ndim != 4 and order is torch.channels_last:
            continue
        own = factor.contiguous(memory_format=order)

        def convolve(y: torch.Tensor, own: torch.Tensor = own) -> torch.Tensor:
            return torch.convolution(
                y, own, None, stride, padding, dilation, transposed, more, groups
            )

        yield repeat(convolve, pixels.contiguous(memory_format=order))


def _onnx_kernel(
    layer: Layer, x: np.ndarray, weight: np.ndarray, times: int, threads: int
) -> Kernel:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    words: dict[str, Any] = {}
    kind = "MatMul"
    # Both factors of a stack of products change from call to call.
    constant = bool(layer.setting) or weight.ndim == 2
    if layer.setting:
        stride, padding, dilation, transposed, more, groups = layer.setting
        kind = "ConvTranspose" if transposed else "Conv"
        words = {"strides": stride, "pads": padding * 2, "dilations": dilation, "group": groups}
        words |= {"output_padding": more} if transposed else {}
    nodes = [
        helper.make_node(kind, [f"y{i}" if i else "x", "w"], [f"y{i + 1}"], **words)
        for i in range(times)
    ]
    inputs = {"x": x} if constant else {"x": x, "w": weight}
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, v.shape) for n, v in inputs.items()],
        [helper.make_tensor_value_info(f"y{times}", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")] if constant else [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, inputs)
