"""What is wrong with a face's picture, from the crop that the AU network reads.

It decides nothing: the row keeps its readings, and the column ``quality`` says how far to trust
them.
"""

import math

import numpy as np

from aucli.records import Face
from aucli.table.schema import QUALITY

# The thresholds lie where the shipped networks leave what they read before the picture was spoilt:
# 11 sharp faces, made smaller, blurred and darkened. In each line: the mean change of
# AUs of 2 or more, and the sum of their readings over the sum before.
#   width 48 px .28, .99; 36 px .51, .89; 28 px .54, .85; 20 px .84, .85
MIN_WIDTH_PX = 40.0
#   blur of 1 % of the width .27, 1.02 (sharpness .08-.14); 2 % .53, .96 (.04-.07)
MIN_SHARPNESS = 0.075
#   light 20 % .56, .96 (brightness 21-28 of 255); 10 % .67, .86 (10-14); 5 % 1.14, .67
MIN_BRIGHTNESS = 16.0
#   contrast 20 % .67, .93 (spread 9-15 of 255); 10 % .76, .83 (4.6-7.5); 5 % 1.47, .58
MIN_SPREAD = 7.5
# These two are conventions and were not measured.
MAX_TURN_RADIANS = math.radians(30)  # of yaw or pitch
MAX_OUTSIDE = 0.1  # share of the face beyond the frame, or where the picture shows nothing

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def judge(
    face: Face, crop: np.ndarray, frame_shape: tuple[int, ...], hidden: float = 0.0
) -> np.ndarray:
    """Which words of :data:`~aucli.table.schema.QUALITY` hold for a face.

    crop: (S, S, 3) uint8 RGB, aligned. frame_shape: (H, W, 3) of the frame. hidden: share of the
    face that shows nothing, see :func:`aucli.faces.confirm.hidden_shares`. Returns (6,) bool.
    """
    x0, y0, x1, y1 = face.bbox_xyxy_px.tolist()
    width, height = max(x1 - x0, 1e-6), max(y1 - y0, 1e-6)
    inside = max(min(x1, frame_shape[1] - 1) - max(x0, 0), 0) / width
    inside *= max(min(y1, frame_shape[0] - 1) - max(y0, 0), 0) / height
    gray = (crop.reshape(-1, 3).astype(np.float32) @ _LUMA).reshape(crop.shape[:2])  # (S, S)
    brightness, spread = _mean_and_spread(gray)
    small = width < MIN_WIDTH_PX
    turn = max(abs(float(angle)) for angle in face.pose_radians[:2])  # a tilt is turned back
    found = {
        "small": small,
        # A small face has no detail to lose, and noise in the dark is detail.
        "blurred": not small and sharpness(gray, spread) < MIN_SHARPNESS,
        "turned": turn > MAX_TURN_RADIANS,
        "dark": brightness < MIN_BRIGHTNESS,
        "cut": max(1 - inside, hidden) > MAX_OUTSIDE,
        "flat": spread < MIN_SPREAD,
    }
    return np.array([found[word] for word in QUALITY])


def sharpness(gray: np.ndarray, spread: float | None = None) -> float:
    """Standard deviation of the Laplacian of (S, S) over that of the gray levels themselves, which
    is ``spread`` where it is known."""
    laplacian = 4 * gray[1:-1, 1:-1]
    for part in (gray[:-2, 1:-1], gray[2:, 1:-1], gray[1:-1, :-2], gray[1:-1, 2:]):
        laplacian -= part
    spread = _mean_and_spread(gray)[1] if spread is None else spread
    return _mean_and_spread(laplacian)[1] / max(spread, 1e-6)


def _mean_and_spread(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of float32 values; a dot product takes a tenth of the time of
    ``std``, and is exact enough once the mean is off."""
    mean = float(values.mean())
    off = (values - np.float32(mean)).ravel()
    return mean, math.sqrt(float(off @ off) / off.size)
