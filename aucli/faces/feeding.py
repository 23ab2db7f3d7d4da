"""Frames into networks: what every face network of ours needs before its first layer."""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from aucli.faces.protocols import Frames, Shapes


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


def resized(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 -> (h, w, 3), bilinear, anti-aliased; size is (h, w)."""
    if frame.shape[:2] == size:
        return frame
    # A copy only where the decoder's array is turned, which Pillow does not take.
    image = Image.fromarray(np.ascontiguousarray(frame))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def scaled_size(frame: np.ndarray, scale: float) -> tuple[int, int]:
    """(h, w) px of a frame (H, W, 3) after scaling, at least one pixel each."""
    height, width = frame.shape[:2]
    return max(round(height * scale), 1), max(round(width * scale), 1)


def flatten(frames: Frames, items: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[int]]:
    """A frame for each face of all frames, and the number of faces in each frame."""
    if len(frames) != len(items):
        raise ValueError(f"faces of {len(frames)} frames are needed, not of {len(items)}")
    counts = [len(item) for item in items]
    return [frames[i] for i, n in enumerate(counts) for _ in range(n)], counts


def join(items: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """What belongs to the faces of all frames as one (n, *shape) float32 array."""
    return np.concatenate([np.zeros((0, *shape), np.float32), *items]).astype(np.float32)


def split(landmarks: np.ndarray, confidence: np.ndarray, counts: list[int]) -> list[Shapes]:
    """Shapes of all faces as a list with those of each frame."""
    cuts = np.cumsum(counts)[:-1]
    return list(zip(np.split(landmarks, cuts), np.split(confidence, cuts), strict=True))
