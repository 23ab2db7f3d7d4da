"""Small clips with a picture that tells the number of each frame, and their frames read back."""

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from aucli.video.source import open_video

RATE = 30


def picture(i: int, width: int, height: int, noise: bool = False) -> np.ndarray:
    """A gradient, bright at the top right, whose blue channel tells the frame number."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width)[None]
    image[..., 1] = np.linspace(255, 0, height)[:, None]
    image[..., 2] = i * 12 % 256
    if noise:
        image ^= np.random.default_rng(i).integers(0, 64, image.shape, np.uint8)
    return image


def write_clip(
    path: Path,
    codec: str = "libx264",
    size: tuple[int, int] = (64, 48),
    ticks: Any = range(20),
    pix_fmt: str = "yuv420p",
    rotation: int = 0,
    pixel_aspect: Fraction | None = None,
    noise: bool = False,
    bt709: bool = False,
    container_options: dict[str, str] | None = None,
) -> Path:
    """A clip with a frame at each of ``ticks`` (1/30 s)."""
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no encoder {codec}")
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=RATE)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = Fraction(1, RATE)
        stream.codec_context.gop_size = 8
        if codec == "mpeg4":  # its default is too coarse to tell the frames apart
            stream.bit_rate = 2_000_000
        if bt709:
            stream.codec_context.colorspace = 1
        if pixel_aspect:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if rotation:
            stream.set_display_rotation(rotation)
        for i, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(picture(i, *size, noise), "rgb24")
            frame.pts = tick
            frame.time_base = Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read(path: Path, decoder: Any = "auto", batch_size: int = 7) -> SimpleNamespace:
    with open_video(path, decoder, batch_size) as source:
        batches = list(source)
    assert all(len(b) == source.batch_size for b in batches[:-1])
    return SimpleNamespace(
        frames=np.concatenate([b.frames for b in batches]),
        index=np.concatenate([b.frame_index for b in batches]),
        seconds=np.concatenate([b.pts_seconds for b in batches]),
        info=source.info,
        report=source.report,
    )
