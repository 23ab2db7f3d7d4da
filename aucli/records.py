"""Frozen records that pass between the rooms; units are in the field names."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a file declares about itself, before any frame is decoded.

    ``declared_frames`` is 0 where the container does not say. ``mirrored``: the frames were
    mirrored left to right, as front cameras ask for; then they were turned clockwise by
    ``rotation_degrees``. Both are done already; width and height are those of the first frame after
    it, in square pixels, and later frames may have others. ``start_seconds``: where the first frame
    is in the file's own clock, in which sound may begin earlier. ``stream_index``: which stream of
    the container was read, from 0. ``time_base``: seconds of a tick, of which all times are
    multiples.
    """

    path: Path
    decoder: str
    codec: str
    width: int
    height: int
    fps: float
    declared_frames: int
    duration_seconds: float
    rotation_degrees: int = 0
    mirrored: bool = False
    start_seconds: float = 0.0
    stream_index: int = 0
    time_base: Fraction = Fraction(1, 1000)


@dataclass(frozen=True, slots=True, eq=False)
class FrameBatch:
    """Consecutive decoded frames.

    frames: (N, H, W, 3) uint8 RGB. frame_index: (N,) int64, 0-based. pts_seconds: (N,) float64
    seconds from the start of the stream, never index / fps.
    """

    frames: np.ndarray
    frame_index: np.ndarray
    pts_seconds: np.ndarray

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.shape[3] != 3 or self.frames.dtype != np.uint8:
            raise ValueError(
                f"frames must be (N, H, W, 3) uint8, got {self.frames.shape} {self.frames.dtype}"
            )
        if not len(self.frames) == len(self.frame_index) == len(self.pts_seconds):
            raise ValueError(
                "as many frames, indices and timestamps are needed, not "
                f"{len(self.frames)}, {len(self.frame_index)} and {len(self.pts_seconds)}"
            )

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What the network that followed a face into a frame read on the way.

    crop: (S, S, 3) uint8 RGB, what it looked at. matrix: (2, 3), frame px -> crop px. intensities:
    (A,), sides: (A, 2) and places: (A, 2, 2) crop px, as of ``models.predict.Prediction``. gaze:
    (2, 3) unit vectors of the eye on the left of the picture and of the other one, in axes of the
    frame: x right, y down, z away from the camera.
    """

    crop: np.ndarray
    matrix: np.ndarray
    intensities: np.ndarray
    sides: np.ndarray
    places: np.ndarray
    gaze: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face in one frame, in frame pixels.

    bbox_xyxy_px: (4,) float32. confidence: 0-1. landmarks: (68, 2) float32, iBUG order.
    face_id: stable over a video, 0-based; -1 before tracking. pose_radians: (3,) float32 rotation
    about x (pitch, chin down positive), y (yaw, to the person's left positive) and z (roll).
    reading: None where no network read the face while it was found.
    """

    bbox_xyxy_px: np.ndarray
    confidence: float
    landmarks: np.ndarray
    face_id: int = -1
    pose_radians: np.ndarray = field(default_factory=lambda: np.zeros(3, np.float32))
    reading: Reading | None = None

    def __post_init__(self) -> None:
        if self.landmarks.shape != (68, 2):
            raise ValueError(f"landmarks must be (68, 2), got {self.landmarks.shape}")
        if self.bbox_xyxy_px.shape != (4,):
            raise ValueError(f"bbox_xyxy_px must be (4,), got {self.bbox_xyxy_px.shape}")
