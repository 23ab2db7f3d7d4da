"""Head pose from 68 landmarks: a weak-perspective fit of the mean shape.

The first guess is POS (DeMenthon and Davis, "Model-based object pose in 25 lines of code", 1995):
the least-squares affine camera, made orthonormal. A few rounds of estimating the missing depth
and solving the rigid alignment in 3D then reach the least-squares weak-perspective camera.
"""

from dataclasses import dataclass

import numpy as np

from aucli.mean_shape import MEAN_SHAPE

# Brows and mouth move with the expression and a jaw landmark slides along the contour when the head
# turns, so the pose rests on the eyes and the nose.
POSE_WEIGHTS = np.zeros(68)
POSE_WEIGHTS[8] = 0.15
POSE_WEIGHTS[17:27] = 0.4
POSE_WEIGHTS[27:48] = 1.0
POSE_WEIGHTS[[48, 54]] = 0.3
POSE_WEIGHTS /= POSE_WEIGHTS.sum()

REFINEMENTS = 4

_MODEL = MEAN_SHAPE - POSE_WEIGHTS @ MEAN_SHAPE  # (68, 3), weighted mean at the origin
_SOLVE = np.linalg.pinv(_MODEL * np.sqrt(POSE_WEIGHTS)[:, None]) * np.sqrt(POSE_WEIGHTS)  # (3, 68)
_WEIGHTED = _MODEL * POSE_WEIGHTS[:, None]  # (68, 3)
_COVARIANCE = _MODEL.T @ _WEIGHTED  # (3, 3)
_SPREAD = float(np.trace(_COVARIANCE))


@dataclass(frozen=True, slots=True, eq=False)
class PoseFit:
    """Weak-perspective cameras of n faces.

    rotation: (n, 3, 3) float64 from model axes (x to the person's left, y up, z out of the face)
    to view axes (x right, y up, z to the viewer). scale: (n,) px per model unit. centre: (n, 2)
    px, place of the model's weighted mean. residual: (n,) root mean square distance of all 68
    points to the posed mean shape, in units of the face's extent (0.02-0.06 for faces; large for
    shapes that are none).
    """

    rotation: np.ndarray
    scale: np.ndarray
    centre: np.ndarray
    residual: np.ndarray


def fit_pose(landmarks: np.ndarray) -> PoseFit:
    """Fit the mean shape to landmarks.

    landmarks: (n, 68, 2) px, y down. Raises ValueError on another shape.
    """
    landmarks = np.asarray(landmarks, np.float64)
    if landmarks.ndim != 3 or landmarks.shape[1:] != (68, 2):
        raise ValueError(f"landmarks must be (n, 68, 2), got {landmarks.shape}")
    points = landmarks * (1.0, -1.0)  # y up
    centre = POSE_WEIGHTS @ points  # (n, 2)
    points = points - centre[:, None]
    camera = (_SOLVE @ points).transpose(0, 2, 1)  # (n, 2, 3)
    left, size, right = np.linalg.svd(camera, full_matrices=False)
    rows = left @ right  # (n, 2, 3), the nearest pair of orthonormal rows
    scale = np.maximum(size.mean(1), 1e-9)
    rotation = np.concatenate([rows, np.cross(rows[:, 0], rows[:, 1])[:, None]], 1)
    seen = points.transpose(0, 2, 1) @ _WEIGHTED  # (n, 2, 3)
    for _ in range(REFINEMENTS):
        # The depth of a point is what the present pose gives it.
        depth = scale[:, None, None] * (rotation[:, 2:] @ _COVARIANCE)  # (n, 1, 3)
        left, size, right = np.linalg.svd(np.concatenate([seen, depth], 1))
        flip = np.linalg.det(left @ right)
        left[:, :, 2] *= flip[:, None]
        size[:, 2] *= flip
        rotation = left @ right
        scale = np.maximum(size.sum(1) / _SPREAD, 1e-9)
    posed = scale[:, None, None] * (_MODEL @ rotation[:, :2].transpose(0, 2, 1))  # (n, 68, 2)
    # The extent in model units (about 14 from jaw to brow) makes the residual independent of the
    # size in px; a degenerate shape divides by almost nothing and is reported as far from a face.
    extent = scale * np.ptp(MEAN_SHAPE[:, 1])
    distance = np.sqrt(((points - posed) ** 2).sum(2).mean(1))
    return PoseFit(rotation, scale, centre * (1.0, -1.0), distance / extent)


def rotation_to_angles(rotation: np.ndarray) -> np.ndarray:
    """(n, 3, 3) -> (n, 3) float32 radians: pitch, yaw, roll as in :class:`aucli.records.Face`.

    rotation = Rz(roll) Rx(pitch) Ry(yaw): the head turns first, then nods, then tilts, so that a
    full profile is not a singularity. Pitch: chin down positive. Yaw: to the person's left
    positive. Roll: top of the head towards the person's right shoulder positive.
    """
    pitch = np.arcsin(np.clip(rotation[:, 2, 1], -1, 1))
    yaw = np.arctan2(-rotation[:, 2, 0], rotation[:, 2, 2])
    roll = np.arctan2(-rotation[:, 0, 1], rotation[:, 1, 1])
    return np.stack([pitch, yaw, roll], 1).astype(np.float32)


def angles_to_rotation(angles: np.ndarray) -> np.ndarray:
    """(n, 3) radians pitch, yaw, roll -> (n, 3, 3): the inverse of :func:`rotation_to_angles`."""
    (sp, sy, sr), (cp, cy, cr) = np.sin(angles).T, np.cos(angles).T
    zero, one = np.zeros_like(sp), np.ones_like(sp)
    rx = np.array([[one, zero, zero], [zero, cp, -sp], [zero, sp, cp]])
    ry = np.array([[cy, zero, sy], [zero, one, zero], [-sy, zero, cy]])
    rz = np.array([[cr, -sr, zero], [sr, cr, zero], [zero, zero, one]])
    return np.moveaxis(rz, 2, 0) @ np.moveaxis(rx, 2, 0) @ np.moveaxis(ry, 2, 0)


def head_pose(landmarks: np.ndarray) -> np.ndarray:
    """(n, 68, 2) px -> (n, 3) float32 radians as in :class:`aucli.records.Face`."""
    return rotation_to_angles(fit_pose(landmarks).rotation)
