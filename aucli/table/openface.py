"""The layout of OpenFace 2.2, which most scripts for AU tables read: columns, axes, millimetres.

Its columns in its order, head pose in its axes, and zeros, with ``success`` 0, in a frame without a
face. Only this layout writes zeros for what was not measured. Left out are ``eye_lmk_*`` and
``p_*``, and the AUs and the gaze that the network does not tell.

Axes are those of the camera: x to the picture's right, y down, z away from it. A video does not say
how wide its camera sees. The camera is the one that OpenFace assumes: it looks at the middle of the
frame, with a focal length of 500 px at 640 x 480. Nor does it say how large a head is: it has the
size of :data:`aucli.mean_shape.MEAN_SHAPE`.
"""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aucli.mean_shape import MEAN_SHAPE
from aucli.pose import POSE_WEIGHTS, angles_to_rotation, rotation_to_angles
from aucli.table.arrow import to_array, zeros_like
from aucli.table.schema import FRAME_SIZE, GAZE, LANDMARKS, POSE, gaze_angles

PLACE = ("pose_Tx", "pose_Ty", "pose_Tz")  # mm
POINTS = tuple(f"{axis}_{i}" for axis in "XYZ" for i in range(68))  # mm
_FIRST = ("frame", "face_id", "timestamp", "confidence", "success")
_LEFT_OUT = ("video", "quality", "face_x", "face_y", "face_w", "face_h", *FRAME_SIZE)
# What OpenFace 2.2 has, by the words for it. One name stands for a group that is whole or absent.
_GROUPS = {
    "gaze_*": GAZE,
    "eye_lmk_*": ("eye_lmk_x_0",),
    "pose_T*": PLACE,
    "X_* Y_* Z_*": POINTS,
    "p_*": ("p_scale",),
    **{
        f"AU{au:02}": (f"AU{au:02}_r", f"AU{au:02}_c")
        for au in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
    },
    "AU28": ("AU28_c",),
}
ANALYZE = "run `aucli analyze --format openface` on the video (in Python: openface=True)"
_MEASURED = ("gaze_*", "pose_T*", "X_* Y_* Z_*")  # by a new analysis, where the network knows gaze

_FLIP = np.array([1.0, -1.0, -1.0])  # our axes: y up, z to the viewer
# In centimetres, it is as large as OpenFace's mean face: 89 mm between the outer corners of the
# eyes (OpenFace 91), 147 mm between the ends of the jaw (145), 138 mm from brows to chin (139).
_HEAD_MM = 10 * _FLIP * (MEAN_SHAPE - MEAN_SHAPE.mean(0))  # (68, 3)
_ROUNDS = 2  # of place and turn; a third one changes less than 0.1 mm


def names(schema: pa.Schema) -> list[str]:
    """Columns of the layout: OpenFace's in their order, then the groups that it does not have.

    Raises ValueError where the table lacks the landmarks or the presences.
    """
    there = [name for name in schema.names if name not in _LEFT_OUT]
    levels = [name for name in there if re.fullmatch(r"AU\d\d_r", name)]
    presences = [name for name in there if re.fullmatch(r"AU\d\d_c", name)]
    if not {*LANDMARKS, *(f"{name[:-2]}_c" for name in levels)} <= {*there}:
        raise ValueError("the OpenFace layout needs Columns(presence=True, landmarks=True)")
    known = {*there}
    if {*FRAME_SIZE} <= {*schema.names}:
        known |= {*PLACE, *POINTS}
    order = (*_FIRST, *GAZE, *PLACE, *POSE, *LANDMARKS, *POINTS, *levels, *presences)
    first = dict.fromkeys(name for name in order if name in known)
    return [*first, *(name for name in there if name not in first)]


def left_out(schema: pa.Schema, again: bool = False) -> str:
    """Which columns of OpenFace a table will not have, one sentence; empty where it has all.

    again: whether to say what a new analysis of the video adds. Raises as :func:`names`.
    """
    there = {*names(schema)}
    absent = [words for words, group in _GROUPS.items() if not {*group} <= there]
    if not absent:
        return ""
    more = [words for words in absent if words in _MEASURED] if again else []
    told = f"Left out of the columns of OpenFace: {', '.join(absent)}"
    return f"{told}; to have {', '.join(more)}, {ANALYZE}." if more else f"{told}."


def as_openface(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows of a batch of ``Columns.schema()`` in this layout.

    Head and points in mm come from ``frame_w`` and ``frame_h``. A table of OpenFace that was read
    has them already; without either they are left out.
    """
    wanted, there = names(batch.schema), {*batch.schema.names}
    columns = {name: batch[name] for name in wanted if name in there}
    pose = _stack(batch, POSE)
    place = _stack(batch, PLACE) if {*PLACE} <= there else None
    if {*FRAME_SIZE} <= there:
        marks = _stack(batch, LANDMARKS).reshape(-1, 2, 68).transpose(0, 2, 1)
        place, points = head_in_space(marks, pose, _stack(batch, FRAME_SIZE))
        flat = points.transpose(0, 2, 1).reshape(len(points), -1)  # every X, then every Y
        columns |= _columns(PLACE, place) | _columns(POINTS, flat)
    columns |= _columns(POSE, to_openface(pose, place))
    if place is not None and {*GAZE} <= {*columns}:
        columns |= _columns(GAZE, gaze_to_openface(_stack(batch, GAZE[:6]), place))
    # A picture of a folder has no time, and zero would be one.
    filled = [columns[name] if name == "timestamp" else _filled(columns[name]) for name in wanted]
    return pa.RecordBatch.from_arrays(filled, names=wanted)


def _filled(column: pa.Array) -> pa.Array:
    """Zeros for nulls; texts and dates, of columns that are not ours, keep them."""
    kind = column.type
    number = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    if not column.null_count or not number:
        return column
    return pc.call_function("coalesce", [column, zeros_like(column)])


def head_in_space(
    landmarks: np.ndarray, pose_radians: np.ndarray, size_wh: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where heads and their landmarks are, in mm in the axes of the camera; NaN for NaN.

    landmarks: (N, 68, 2) frame px. pose_radians: (N, 3) of :class:`aucli.records.Face`. size_wh:
    (N, 2) of the frames, px. Returns the place (N, 3) of the mean face's middle, and (N, 68, 3)
    points: each lies on the line of sight of its landmark, as far away as in the mean face.
    """
    sight = (landmarks - size_wh[:, None] / 2) / focal_length(size_wh)[:, None, None]  # (N, 68, 2)
    middle = POSE_WEIGHTS @ sight  # (N, 2)
    spread = sight - middle[:, None]
    place = np.concatenate([middle, np.ones((len(middle), 1))], 1)
    for _ in range(_ROUNDS):
        head = _HEAD_MM @ _turned(pose_radians, place).transpose(0, 2, 1)  # (N, 68, 3)
        # sight (head_z + z) = head_xy + xy is linear in the place (x, y, z): least squares.
        rest = sight * head[..., 2:] - head[..., :2]
        mean = POSE_WEIGHTS @ rest  # (N, 2)
        shared = (spread * (rest - mean[:, None])).sum(2) @ POSE_WEIGHTS
        z = -shared / np.maximum((spread**2).sum(2) @ POSE_WEIGHTS, 1e-12)
        place = np.concatenate([middle * z[:, None] + mean, z[:, None]], 1)
    depth = head[..., 2:] + place[:, None, 2:]
    return place, np.concatenate([sight * depth, depth], 2)


def focal_length(size_wh: np.ndarray) -> np.ndarray:
    """(N, 2) width and height -> (N,) px, of the camera that OpenFace assumes: 500 px at 640 x 480,
    the mean of both sides elsewhere."""
    return 500 * (size_wh / (640, 480)).mean(1)


def to_openface(pose_radians: np.ndarray, place: np.ndarray | None = None) -> np.ndarray:
    """Head pose (N, 3) of :class:`aucli.records.Face` in OpenFace's axes and order of turns.

    The head's rotation is there Rx(pitch) Ry(yaw) Rz(roll): a head that turns to the person's right
    has a positive yaw, one that tilts to the left shoulder a positive roll. Ours is the pose as
    seen along the line to the head, theirs that to the axis of the camera; place: (N, 3) of the
    heads, None where they are in front of it.
    """
    turn = _turned(pose_radians, place)  # (N, 3, 3)
    pitch = np.arctan2(-turn[:, 1, 2], turn[:, 2, 2])
    yaw = np.arcsin(turn[:, 0, 2].clip(-1, 1))
    roll = np.arctan2(-turn[:, 0, 1], turn[:, 0, 0])
    return np.stack([pitch, yaw, roll], 1).astype(np.float32)


def from_openface(pose_radians: np.ndarray, place: np.ndarray | None = None) -> np.ndarray:
    """Head pose (N, 3) of OpenFace as :class:`aucli.records.Face` has it: :func:`to_openface`
    undone."""
    x, y, z = np.nan_to_num(pose_radians.astype(np.float64)).T
    zero = np.zeros_like(x)
    turn = _about(x, zero, zero) @ _about(zero, y, zero) @ _about(zero, zero, z)  # (N, 3, 3)
    if place is not None:
        turn = _line_of_sight(place).transpose(0, 2, 1) @ turn
    return rotation_to_angles(_FLIP[:, None] * turn * _FLIP).astype(np.float32)


def gaze_to_openface(eyes: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Columns (N, 8) of gaze towards the axis of the camera, as OpenFace tells it.

    eyes: (N, 6) unit vectors of :func:`aucli.table.schema.gaze_angles`, against the line to the
    head: (0, 0, -1) looks into the camera. place: (N, 3) of the heads.
    """
    return _gaze(eyes, _line_of_sight(place))


def gaze_from_openface(eyes: np.ndarray, place: np.ndarray) -> np.ndarray:
    """:func:`gaze_to_openface` undone: its first six columns to all eight of ours."""
    return _gaze(eyes, _line_of_sight(place).transpose(0, 2, 1))


def _gaze(eyes: np.ndarray, turn: np.ndarray) -> np.ndarray:
    turned = eyes.reshape(-1, 2, 3) @ turn.transpose(0, 2, 1)
    return np.concatenate([turned.reshape(-1, 6), gaze_angles(turned)], 1)


def _turned(pose_radians: np.ndarray, place: np.ndarray | None) -> np.ndarray:
    """(N, 3, 3) rotations of heads in the axes of the camera."""
    turn = _FLIP[:, None] * angles_to_rotation(pose_radians.astype(np.float64)) * _FLIP
    return turn if place is None else _line_of_sight(place) @ turn


def _line_of_sight(place: np.ndarray) -> np.ndarray:
    """(N, 3, 3) smallest rotations of the camera's axis onto the line to each place."""
    x, y, z = (place / np.maximum(np.linalg.norm(place, axis=1, keepdims=True), 1e-12)).T
    share = 1 / np.maximum(1 + z, 1e-12)
    turn = np.array([[1 - share * x * x, -share * x * y, x],
                     [-share * x * y, 1 - share * y * y, y],
                     [-x, -y, z]])  # fmt: skip
    turn[:, :, np.linalg.norm(place, axis=1) == 0] = np.eye(3)[..., None]  # nowhere
    return np.moveaxis(turn, 2, 0)


def _about(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    return angles_to_rotation(np.stack([x, y, z], 1))


def _stack(batch: pa.RecordBatch, wanted: tuple[str, ...]) -> np.ndarray:
    """(N, columns) float64, NaN where null."""
    unknown = to_array(np.full(len(batch), np.nan))
    plain = (batch[name].cast(unknown.type) for name in wanted)
    # Not nulls to numpy, which would import pandas.
    found = [pc.call_function("coalesce", [column, unknown]) for column in plain]
    return np.stack([np.from_dlpack(column) for column in found], 1)


def _columns(wanted: tuple[str, ...], values: np.ndarray) -> dict[str, pa.Array]:
    """(N, columns) as columns, null where NaN."""
    plain = values.astype(np.float32)
    return {
        name: to_array(column, np.isfinite(column))
        for name, column in zip(wanted, plain.T, strict=True)
    }
