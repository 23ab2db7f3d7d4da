"""The plain ways to analyse a video, run beside today's in turns: what each idea is worth."""

import copy
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aucli.analyzer import Analyzer
from aucli.faces.builtin import BuiltinDetector, BuiltinLandmarker
from aucli.faces.watcher import JointWatcher
from aucli.models.blocks import ready
from aucli.models.onnx import OnnxNetwork
from aucli.models.pixels import PixelScale
from aucli.models.predict import AUModel
from aucli.models.reading import TorchNetwork, read_detector, read_landmarks
from aucli.models.scc import SCC, nearest_nodes
from aucli.pipeline.analysis import FRAMES_PER_BATCH, Analysis, torch_threads
from aucli.pipeline.loading import Networks, check_options, load_networks
from aucli.pipeline.options import AnalyzeOptions
from aucli.pipeline.rows import rows_in_order
from aucli.table.schema import to_record_batch
from aucli.video.source import FrameSource, open_video
from aucli.weights.cards import DEFAULT_AU_MODEL, LoadedWeights, au_model, load_weights

OnRun = Callable[[], None]

TODAY = "today"


@dataclass(frozen=True, slots=True)
class Form:
    """One way to analyse. beside: the form that differs in this one thing. serial: decoding, faces
    and AUs take turns in one thread."""

    name: str
    beside: str
    networks: Networks
    options: AnalyzeOptions
    serial: bool = False


@dataclass(frozen=True, slots=True)
class FormSpeed:
    """A form over the warm runs. fps: median. cpu_ms: median CPU time of the process for a frame.
    times, cpu_times: how many times longer it takes than the form ``beside``, by the clock and in
    CPU time; 1 for today's."""

    name: str
    beside: str
    fps: float
    cpu_ms: float
    times: float
    cpu_times: float

    def told(self) -> dict[str, Any]:
        """As JSON wants it."""
        return asdict(self)


def measure_forms(
    path: Path, forms: Sequence[Form], runs: int = 5, on_run: OnRun | None = None
) -> list[FormSpeed]:
    """Analyse a video `runs` times in every form, in turns, after a first time each.

    Raises InputError as :func:`aucli.bench.speed.measure_speed`.
    """
    seconds: dict[str, list[float]] = {form.name: [] for form in forms}
    cpu: dict[str, list[float]] = {form.name: [] for form in forms}
    for number in range(runs + 1):
        for form in forms:
            start, cpu_start = time.perf_counter(), time.process_time()
            frames = run_form(path, form)
            if number:
                seconds[form.name].append((time.perf_counter() - start) / frames)
                cpu[form.name].append((time.process_time() - cpu_start) / frames)
            if on_run is not None:
                on_run()

    def ratio(of: dict[str, list[float]], form: Form) -> float:
        # Of neighbours in time: what slowed one down slowed the other, too.
        pairs = zip(of[form.name], of[form.beside], strict=True)
        return statistics.median(own / other for own, other in pairs)

    return [
        FormSpeed(
            form.name,
            form.beside,
            1 / statistics.median(seconds[form.name]),
            1e3 * statistics.median(cpu[form.name]),
            ratio(seconds, form),
            ratio(cpu, form),
        )
        for form in forms
    ]


def run_form(path: Path, form: Form) -> int:
    """Analyse a video; its frames. Raises InputError."""
    source = open_video(
        path, form.options.decoder, FRAMES_PER_BATCH, max_pixels=form.options.max_pixels
    )
    if form.serial:
        return _run_serial(source, form)
    with Analysis(source, path.name, form.networks, form.options) as analysis:
        for _ in analysis:
            pass
    assert analysis.summary is not None
    return analysis.summary.frames


def _run_serial(source: FrameSource, form: Form) -> int:
    networks, options = form.networks, form.options
    columns = networks.columns(options)
    frames = 0
    with source, torch_threads(options.threads):
        finder = networks.faces.finder(source.unrelated)
        found = finder.find(source)
        for rows in rows_in_order(found, networks.au, options.batch_size, source.unrelated):
            to_record_batch(columns, "serial", rows)
            frames = int(rows.frame_index[-1]) + 1
    return frames


def forms_of(analyzer: Analyzer) -> list[Form]:
    """Today's form and those plain ones that differ from it with these networks."""
    networks, options = analyzer.networks, analyzer.options
    every_thread = _for_one_stage(options)
    forms = [Form(TODAY, TODAY, networks, options)]
    exact, usual = networks, TODAY
    if options.precision != "fp32":
        in_fp32 = replace(options, precision="fp32")
        exact, usual = load_networks(in_fp32), f"fp32 in place of {options.precision}"
        forms.append(Form(usual, TODAY, exact, in_fp32))
    plain = networks
    if (in_torch := _in_torch(exact, options, lambda net: net)) is not None:
        forms.append(Form("torch in place of ONNX Runtime", usual, in_torch, options))
        plain = in_torch
        beside = forms[-1].name
        if (literal := _in_torch(networks, options, concatenated)) is not None and any(
            isinstance(module, ConcatenatedSCC) for module in _modules(literal)
        ):
            name = "and SCC with the k-fold concatenation"
            forms.append(Form(name, beside, literal, options))
            plain = literal
    one_face = _follow(networks, group_frames=1)
    forms.append(Form("one frame in a call", TODAY, one_face, replace(options, batch_size=1)))
    if networks.faces.config.detect_every_seconds > 0:
        often = _follow(networks, detect_every_seconds=0.0)
        forms.append(Form("detection in every frame", TODAY, often, options))
    # With all threads for the one stage that runs, as nobody would leave a core idle.
    forms.append(
        Form("one stage after the other", TODAY, load_networks(every_thread), every_thread, True)
    )
    together = _follow(plain, group_frames=1, detect_every_seconds=0.0)
    last = replace(every_thread, batch_size=1)
    return [*forms, Form("all of these together", TODAY, together, last, True)]


def _for_one_stage(options: AnalyzeOptions) -> AnalyzeOptions:
    """Options by which one stage has the threads of all."""
    return replace(options, threads=2 * (options.threads or os.cpu_count() or 1))


def _follow(networks: Networks, **settings: float) -> Networks:
    config = replace(networks.faces.config, **settings)
    return replace(networks, faces=replace(networks.faces, config=config))


def _modules(networks: Networks) -> list[nn.Module]:
    nets = [networks.au.net]
    if networks.faces.watcher is not None:
        nets.append(networks.faces.watcher.model.net)
    return [m for net in nets if isinstance(net, nn.Module) for m in net.modules()]


def _in_torch(
    networks: Networks, options: AnalyzeOptions, change: Callable[[nn.Module], nn.Module]
) -> Networks | None:
    """The same networks with every exported one in torch, the AU networks changed; None where none
    is exported."""
    names = check_options(options)
    faces, watcher = networks.faces, networks.faces.watcher
    parts = (networks.au, faces.detector, faces.landmarker)
    nets = [getattr(part, "net", None) for part in parts]
    nets.append(watcher.model.net if watcher else None)
    if not any(isinstance(net, OnnxNetwork) for net in nets):
        return None

    def au_in_torch(model: AUModel, name: str) -> AUModel:
        if not isinstance(model.net, OnnxNetwork):
            return model
        loaded = load_weights(name, "au")
        return au_model(change(loaded.net), loaded.card, loaded.name, loaded.sha256)

    au = au_in_torch(networks.au, names.model)
    if watcher is not None:
        same = watcher.model is networks.au
        model = au if same else au_in_torch(watcher.model, DEFAULT_AU_MODEL)
        watcher = JointWatcher(model, watcher.reads)
    detector, landmarker = copy.copy(faces.detector), copy.copy(faces.landmarker)
    if isinstance(detector, BuiltinDetector) and isinstance(detector.net, OnnxNetwork):
        detector.net = _torch_network(load_weights(names.detector, "detector"), read_detector)
    if isinstance(landmarker, BuiltinLandmarker) and isinstance(landmarker.net, OnnxNetwork):
        landmarker.net = _torch_network(load_weights(names.landmarks, "landmarks"), read_landmarks)
    faces = replace(faces, detector=detector, landmarker=landmarker, watcher=watcher)
    return replace(networks, au=au, faces=faces)


def _torch_network(loaded: LoadedWeights, reads: Callable) -> TorchNetwork:
    return TorchNetwork(ready(loaded.net, "cpu"), PixelScale.of_card(loaded.card), "cpu", reads)


class ConcatenatedSCC(nn.Module):
    """An :class:`SCC` in eval mode as the paper writes it: the features of every edge side by side,
    [f_i, f_j - f_i] for k neighbours j, through one projection, batch norm and ReLU.

    forward: as of the layer it is made from, and equal to it but for rounding.
    """

    def __init__(self, layer: SCC) -> None:
        super().__init__()
        self.size, self.k, self.residual = layer.size, layer.k, layer.residual
        nodes = self.size * self.size
        self.conv = nn.Conv2d(2 * nodes, nodes, 1, bias=False)
        difference, b = layer.stacked().detach().chunk(2)  # A - B, B
        self.conv.weight = nn.Parameter(torch.cat([difference + b, b], 1)[:, :, None, None])
        self.bn = layer.bn

    def forward(self, x: Tensor) -> Tensor:
        nodes = x.reshape(*x.shape[:2], -1).contiguous()  # (N, C, D)
        n, c, d = nodes.shape
        index = nearest_nodes(nodes, self.k).reshape(n, -1, 1).expand(-1, -1, d)
        near = nodes.gather(1, index).view(n, c, self.k, d)
        own = nodes[:, :, None].expand(-1, -1, self.k, -1)
        edges = torch.cat([own, near - own], 3).permute(0, 3, 1, 2)  # (N, 2D, C, k)
        out = torch.relu(self.bn(self.conv(edges))).amax(3)  # (N, D, C)
        out = out.transpose(1, 2).reshape(x.shape)
        return x + out if self.residual else out


def concatenated(net: nn.Module) -> nn.Module:
    """A copy of a network with every SCC layer as the paper writes it."""
    plain = copy.deepcopy(net)
    for module in list(plain.modules()):
        for name, child in module.named_children():
            if isinstance(child, SCC):
                setattr(module, name, ConcatenatedSCC(child))
    return plain.eval()
