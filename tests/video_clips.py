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
        stream.codec_context.thread_count = 1  # x264 writes other bytes on other numbers of cores
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


def write_talk(
    path: Path,
    sound: str = "aac",
    ticks: Any = range(30),
    sound_from: float = 0.0,
    codec: str = "libx264",
    rate: int = 48000,
) -> Path:
    """A clip with a frame at each of ``ticks`` (1/30 s) and a second of a tone that swells."""
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream(codec, rate=RATE)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = Fraction(1, RATE)
        if codec == "mpeg4":
            video.bit_rate = 2_000_000
        audio: Any = container.add_stream(sound, rate=rate, layout="mono")
        kind = audio.codec_context.codec.audio_formats[0].name
        if sound == "vorbis":  # FFmpeg's own encoder is not called finished
            audio.codec_context.options = {"strict": "-2"}
            audio.codec_context.layout = "stereo"
        container.metadata["title"] = "Anna, 3rd visit"
        container.metadata["location"] = "+48.1+011.5/"
        for i, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(picture(i, 64, 48), "rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        time = np.arange(rate) / rate
        tone = (np.sin(2 * np.pi * 440 * time) * time * 20000).astype(np.int16)[None]
        heard = av.AudioFrame.from_ndarray(tone, "s16", "mono")
        heard.sample_rate, heard.time_base = rate, Fraction(1, rate)
        heard.pts = round(sound_from * rate)
        layout = "stereo" if sound == "vorbis" else "mono"
        for part in av.AudioResampler(kind, layout, rate).resample(heard):
            container.mux(audio.encode(part))
        container.mux(audio.encode())
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
