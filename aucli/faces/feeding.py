"""Frames into networks: what every face network of ours needs before its first layer."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from aucli.faces.protocols import Frames, Shapes
from aucli.models.blocks import Net, fold_batch_norm


def ready(net: Net, device: torch.device) -> Net:
    """For inference: folded, in the memory order in which CPUs convolve fastest."""
    return fold_batch_norm(net.eval()).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def runs_of_one_size(frames: Frames, limit: int) -> Iterator[list[np.ndarray]]:
    """Neighbouring frames of one size, at most ``limit`` together, in order."""
    run: list[np.ndarray] = []
    for frame in frames:
        if run and (len(run) == limit or frame.shape != run[0].shape):
            yield run
            run = []
        run.append(frame)
    if run:
        yield run


def resized(frame: np.ndarray, size: tuple[int, int], device: torch.device) -> torch.Tensor:
    """(H, W, 3) uint8 -> (1, 3, h, w) on the device, 0-255, anti-aliased; size is (h, w)."""
    # A copy only where the decoder's array is read-only or turned; torch takes neither.
    image = torch.from_numpy(np.require(frame, requirements=["C", "W"])).to(device)
    image = image.permute(2, 0, 1)[None]
    if image.shape[2:] == size:
        return image
    if device.type != "cpu":
        image = image.float()  # the uint8 kernel exists on CPUs only
    return F.interpolate(image, size, mode="bilinear", antialias=True, align_corners=False)


def scaled_size(frame: np.ndarray, scale: float) -> tuple[int, int]:
    """(h, w) px of a frame (H, W, 3) after scaling, at least one pixel each."""
    height, width = frame.shape[:2]
    return max(round(height * scale), 1), max(round(width * scale), 1)


def flatten(frames: Frames, items: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[int]]:
    """A frame for each face of all frames, and the number of faces in each frame."""
    if len(frames) != len(items):
        raise ValueError(f"{len(frames)} frames with faces of {len(items)}")
    counts = [len(item) for item in items]
    return [frames[i] for i, n in enumerate(counts) for _ in range(n)], counts


def join(items: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """What belongs to the faces of all frames as one (n, *shape) float32 array."""
    return np.concatenate([np.zeros((0, *shape), np.float32), *items]).astype(np.float32)


def split(landmarks: np.ndarray, confidence: np.ndarray, counts: list[int]) -> list[Shapes]:
    """Shapes of all faces as a list with those of each frame."""
    cuts = np.cumsum(counts)[:-1]
    return list(zip(np.split(landmarks, cuts), np.split(confidence, cuts), strict=True))
