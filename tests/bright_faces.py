"""Clips whose brightness says how many faces they hold, the finder for them, and tiny networks.

Run as a script it is ``aucli analyze`` with these in place of the trained networks.
"""

import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from aucli import analyzer
from aucli.align import face_boxes
from aucli.analyzer import Analyzer
from aucli.mean_shape import MEAN_SHAPE
from aucli.models.predict import AUModel, map_names
from aucli.models.scc_heatmap import SCCHeatmapConfig, SCCHeatmapNet
from aucli.pipeline.loading import Networks
from aucli.records import Face, FrameBatch

AUS = ("AU06", "AU12", "AU25")
NONE, ONE, TWO = 20, 100, 200  # mean gray of a frame with no, one and two faces
HEIGHT, WIDTH = 64, 96


class BrightFinder:
    """Stands in for ``FaceNetworks`` and its finders: faces at fixed places, as many as the frame
    is bright. ``unrelated`` lists what finders were asked for."""

    def __init__(self, delay_seconds: float = 0.0) -> None:
        self.delay_seconds = delay_seconds
        self.provenance = {"detector": {"name": "bright"}, "landmarks": {"name": "bright"}}
        self.unrelated: list[bool] = []

    def finder(self, unrelated: bool = False) -> "BrightFinder":
        self.unrelated.append(unrelated)
        return self

    def find(self, batches: Iterable[FrameBatch]) -> Iterator[tuple[FrameBatch, list[list[Face]]]]:
        for batch in batches:
            time.sleep(self.delay_seconds)
            yield batch, self.push(batch.frames, batch.pts_seconds)

    def push(self, frames: np.ndarray, pts_seconds: np.ndarray) -> list[list[Face]]:
        return [self._faces(frame) for frame in frames]

    def _faces(self, frame: np.ndarray) -> list[Face]:
        count = round(frame.mean() / 100)
        return [face(24.0 + 44 * i, i) for i in range(count)]


def face(x: float, face_id: int) -> Face:
    """A frontal face about 30 px wide with its centre at (x, 30) px."""
    points = (MEAN_SHAPE[:, :2] * [2, -2] + [x, 30]).astype(np.float32)  # (68, 2)
    box = face_boxes(points[None])[0].astype(np.float32)
    return Face(box, 0.75, points, face_id, np.array([0.1, -0.2, 0.3], np.float32))


def write_clip(path: Path, grays: Iterable[int], fps: int = 25) -> Path:
    """A clip of noise around the given mean grays, one frame each."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = 4_000_000
        for gray in grays:
            noise = rng.integers(-15, 16, (HEIGHT // 4, WIDTH // 4, 1))
            pixels = np.clip(gray + np.kron(noise, np.ones((4, 4, 3), int)), 0, 255)
            frame = av.VideoFrame.from_ndarray(pixels.astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def tiny_au_model() -> AUModel:
    """A real network, far too small, with random weights."""
    torch.manual_seed(0)
    config = SCCHeatmapConfig(maps=2 * len(AUS), scc_sizes=(16,), k=3, widths=(4, 4, 4, 4))
    return AUModel(
        net=SCCHeatmapNet(config).eval(),
        aus=AUS,
        maps=map_names(AUS, sides=True),
        crop_size=config.crop_size,
        template="eyes-nose",
        mean=(127.5, 127.5, 127.5),
        std=(64.0, 64.0, 64.0),
        scale=np.full(len(AUS), 20.0, np.float32),
        offset=np.full(len(AUS), 2.0, np.float32),
    )


def tiny_networks(delay_seconds: float = 0.0) -> Networks:
    """Everything that an :class:`Analyzer` needs."""
    faces: Any = BrightFinder(delay_seconds)
    return Networks(tiny_au_model(), faces, {"model": {"name": "tiny"}, **faces.provenance})


def tiny_analyzer(networks: Networks | None = None, **options: Any) -> Analyzer:
    """An Analyzer of one thread with tiny networks in place of the trained ones."""
    networks = networks or tiny_networks()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analyzer, "load_networks", lambda options: networks)
        words: Any = {"threads": 1, **options}
        return Analyzer(**words)


def hear_signals() -> None:
    """For ``preexec_fn``: a shell starts background jobs deaf to Ctrl-C, ``nohup`` to SIGHUP, and
    the tests may be one."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    from aucli.__main__ import main
    from aucli.faces import loading
    from aucli.pipeline import workers

    workers.MODULE = "bright_worker"
    analyzer.load_networks = lambda options: tiny_networks(delay_seconds=0.3)
    loading.load_faces = lambda *_, **__: tiny_networks(delay_seconds=0.3).faces
    main()
