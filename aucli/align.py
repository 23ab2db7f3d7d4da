"""The only maker of crops: from a frame and a face to an aligned square, and back to frame pixels.

Coordinates are (x, y) with pixel centres at integers; (0, 0) is the centre of the top-left pixel.
A matrix (2, 3) maps frame px to crop px: crop = M[:, :2] @ frame + M[:, 2].
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

POOL_FROM = 1.5  # frame px per crop px above which bilinear sampling would skip pixels
LANDMARK_CROP_SCALE = 1.15  # square side of a landmark crop over the face box's longer side
FOREHEAD = 0.28  # the forehead's height over the brows, in nose-root-to-chin lengths


@dataclass(frozen=True, slots=True)
class Template:
    """Where groups of landmarks go: anchor i is the mean of ``groups[i]``, sent to ``targets[i]``.

    targets: px in a crop of ``crop_size``; other crop sizes scale them. ``exact``: three anchors
    and the full affine map through them; otherwise the least-squares similarity.
    """

    groups: tuple[tuple[int, ...], ...]
    targets: tuple[tuple[float, float], ...]
    crop_size: int
    exact: bool = False


@dataclass(frozen=True, slots=True)
class SquareTemplate:
    """Upright square around the landmarks' extent, of width w and height h.

    side: of the square over w + h. lift: its centre lies lift * h above that of the extent.
    """

    side: float
    lift: float


TEMPLATES: dict[str, Template | SquareTemplate] = {
    # Centre of the person's right eye, of the left one, and the base of the nose.
    "eyes-nose": Template(
        (tuple(range(36, 42)), tuple(range(42, 48)), tuple(range(31, 36))),
        ((41.0, 36.0), (87.0, 36.0), (64.0, 70.0)),
        128,
    ),
    # Sanchez-Lozano et al., BMVC 2018: chin and outer eye corners.
    "bmvc2018": Template(
        ((8,), (36,), (45,)),
        ((127.6475, 227.8161), (79.1608, 87.0376), (176.8392, 87.0376)),
        256,
        exact=True,
    ),
    # FAN, on whose landmarks FANAU rests (Bulat, Tzimiropoulos, ICCV 2017): 200 px of a face whose
    # box has w + h = 195. Ntinou et al. published no crop of their own.
    "fan": SquareTemplate(200 / 195, 0.12),
    # For HeatmapResNet (Fan et al., AAAI 2020), whose alignment was never published. Ours: the
    # mouth corners lie where the one published example has AU12, and the eye centres where those
    # of a mean face fall when its AU places are fitted to that example's.
    "eyes-mouth": Template(
        (tuple(range(36, 42)), tuple(range(42, 48)), (48,), (54,)),
        ((76.5, 61.0), (181.5, 61.0), (84.0, 164.0), (174.0, 164.0)),
        256,
    ),
}


def align_matrices(landmarks: np.ndarray, template: str, crop_size: int) -> np.ndarray:
    """Matrices that bring faces into a template's pose.

    landmarks: (N, 68, 2) float, frame px. Returns (N, 2, 3) float64, frame px -> crop px.
    Raises ValueError for an unknown template.
    """
    if template not in TEMPLATES:
        raise ValueError(f"unknown template {template!r}; there are {', '.join(TEMPLATES)}")
    form = TEMPLATES[template]
    landmarks = np.asarray(landmarks, np.float64)
    if isinstance(form, SquareTemplate):
        return _extent_squares(landmarks, form, crop_size)
    source = np.stack([landmarks[:, list(group)].mean(1) for group in form.groups], 1)  # (N, P, 2)
    # Pixel centres: the crop's edge, not its first pixel, is what stays at zero when it is scaled.
    target = (np.array(form.targets) + 0.5) * (crop_size / form.crop_size) - 0.5  # (P, 2)
    if form.exact:
        ones = np.ones((*source.shape[:2], 1))
        system = np.concatenate([source, ones], 2)  # (N, 3, 3)
        return np.linalg.solve(system, np.broadcast_to(target, source.shape)).transpose(0, 2, 1)
    return _similarities(source, target)


# Of the grid of :func:`align_on_grid`, in crop px: less than what the crops of two frames of a face
# at rest lie apart.
GRID_PX = 0.5


def align_on_grid(landmarks: np.ndarray, template: str, crop_size: int) -> np.ndarray:
    """As :func:`align_matrices`, to the nearest size, turn and place of a grid.

    For crops that are cut where a face was a moment ago: small differences of what was found there
    end here, and are not handed on from frame to frame. The border of a crop moves by about half
    of :data:`GRID_PX` at most in each of the three. Templates of three anchors keep their own.
    """
    exact = align_matrices(landmarks, template, crop_size)
    form = TEMPLATES[template]
    if isinstance(form, Template) and form.exact:
        return exact
    step, middle = GRID_PX / (crop_size / 2), (crop_size - 1) / 2
    a, b = exact[:, 0, 0], exact[:, 1, 0]
    zoom = np.exp(np.rint(np.log(np.hypot(a, b)) / step) * step)  # (N,)
    angle = np.rint(np.arctan2(b, a) / step) * step
    # What the middle of the crop shows, in frame px.
    centre = np.linalg.solve(exact[:, :, :2], (middle - exact[:, :, 2])[..., None])[..., 0]
    grid = GRID_PX / zoom[:, None]
    centre = np.rint(centre / grid) * grid
    a, b = zoom * np.cos(angle), zoom * np.sin(angle)
    linear = np.stack([a, -b, b, a], 1).reshape(-1, 2, 2)
    shift = middle - np.einsum("nij,nj->ni", linear, centre)
    return np.concatenate([linear, shift[..., None]], 2)


def _extent_squares(landmarks: np.ndarray, form: SquareTemplate, crop_size: int) -> np.ndarray:
    """Squares around landmarks (N, 68, 2), upright to the next quarter turn -> (N, 2, 3)."""
    turn = QUARTER_TURNS[quarter_turns(landmarks)]  # (N, 2, 2)
    landmarks = landmarks @ turn.swapaxes(1, 2)
    low, high = landmarks.min(1), landmarks.max(1)  # (N, 2)
    size = high - low
    centre = (low + high) / 2 - np.array([0.0, form.lift]) * size
    half = form.side * size.sum(1, keepdims=True) / 2  # (N, 1)
    matrices = square_matrices(np.concatenate([centre - half, centre + half], 1), crop_size, 1.0)
    return np.concatenate([matrices[..., :2] @ turn, matrices[..., 2:]], -1)


def _similarities(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares rotation, scale and shift of (N, P, 2) onto (P, 2) -> (N, 2, 3)."""
    p, q = source - source.mean(1, keepdims=True), target - target.mean(0)
    norm = (p**2).sum((1, 2))
    a = (p * q).sum((1, 2)) / norm
    b = (p[..., 0] * q[:, 1] - p[..., 1] * q[:, 0]).sum(1) / norm
    linear = np.stack([a, -b, b, a], 1).reshape(-1, 2, 2)
    shift = target.mean(0) - np.einsum("nij,nj->ni", linear, source.mean(1))
    return np.concatenate([linear, shift[..., None]], 2)


def square_matrices(
    boxes_xyxy: np.ndarray,
    crop_size: int,
    scale: float = LANDMARK_CROP_SCALE,
    angle: float | np.ndarray = 0.0,
) -> np.ndarray:
    """Matrices of squares around boxes, side = scale x the box's longer side, same centre.

    boxes_xyxy: (N, 4) frame px. angle: radians, one or (N,), by which the face is turned clockwise
    in the frame; the crop shows it upright. Returns (N, 2, 3) float64, frame px -> crop px.
    """
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    zoom = crop_size / (scale * (boxes[:, 2:] - boxes[:, :2]).max(1))
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    linear = np.stack([cos, sin, -sin, cos], 1).reshape(-1, 2, 2)
    shift = (crop_size - 1) / 2 - np.einsum("nij,nj->ni", linear, centre)
    return np.concatenate([linear, shift[..., None]], 2)


def invert_matrices(matrices: np.ndarray) -> np.ndarray:
    """(N, 2, 3) frame -> crop to (N, 2, 3) crop -> frame. Raises LinAlgError on a flat one."""
    linear = np.linalg.inv(matrices[..., :2])
    return np.concatenate([linear, -linear @ matrices[..., 2:]], -1)


def apply_matrices(points: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Map points (N, P, 2) by matrices (N, 2, 3) -> (N, P, 2), in the points' float type."""
    mapped = points @ matrices[..., :2].swapaxes(-1, -2) + matrices[..., 2][..., None, :]
    return mapped.astype(np.result_type(points.dtype, np.float32), copy=False)


# For 0-3 quarter turns: the rotation that turns a picture, x right, y down, as numpy.rot90 does.
QUARTER_TURNS = np.array(
    [[[1, 0], [0, 1]], [[0, 1], [-1, 0]], [[-1, 0], [0, -1]], [[0, -1], [1, 0]]], np.float64
)


def quarter_turns(landmarks: np.ndarray) -> np.ndarray:
    """By how many quarter turns faces lie clockwise in the frame, to the nearest one.

    landmarks: (N, 68, 2) frame px. Returns (N,) int, 0-3; ``numpy.rot90(frame, n)`` shows a face of
    n quarter turns upright.
    """
    up = landmarks[:, 36:48].mean(1) - landmarks[:, 48:68].mean(1)  # from the mouth to the eyes
    quarters = np.arctan2(up[:, 0], -up[:, 1]) / (np.pi / 2)
    return np.rint(quarters).astype(int) % 4


def turn_matrix(turns: int, frame_hw: tuple[int, ...]) -> np.ndarray:
    """(2, 3): frame px -> px of ``numpy.rot90(frame, turns)``. frame_hw: height and width."""
    linear = QUARTER_TURNS[turns % 4]
    last = np.array([frame_hw[1] - 1, frame_hw[0] - 1])
    # What a turn makes negative begins at the other end.
    shift = -np.minimum(linear, 0).astype(np.float64) @ last
    return np.concatenate([linear, shift[:, None]], 1)


def turn_directions(directions: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Directions (N, E, 3), x right, y down, z into the picture, turned as matrices (N, 2, 3) of
    similarities turn a picture. Returns (N, E, 3) float32."""
    linear = matrices[:, :, :2] / np.sqrt(np.linalg.det(matrices[:, :, :2]))[:, None, None]
    turned = directions[..., :2] @ linear.transpose(0, 2, 1)
    return np.concatenate([turned, directions[..., 2:]], -1).astype(np.float32)


def face_boxes(landmarks: np.ndarray) -> np.ndarray:
    """Boxes around the 68 points and the forehead. landmarks (N, 68, 2) px -> (N, 4) xyxy px.

    The forehead point lies over the brows' mean, by 0.28 of the way from the chin to the nose root.
    """
    forehead = landmarks[:, 19:25].mean(1) + FOREHEAD * (landmarks[:, 27] - landmarks[:, 8])
    points = np.concatenate([landmarks, forehead[:, None]], 1)  # (N, 69, 2)
    return np.concatenate([points.min(1), points.max(1)], 1)


def align_face(
    frames: np.ndarray | Sequence[np.ndarray],
    landmarks: np.ndarray,
    template: str,
    crop_size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Aligned crops of faces, for videos and datasets alike.

    frames: as in :func:`warp_crops`. landmarks: (N, 68, 2) frame px. Returns crops
    (N, S, S, 3) uint8 RGB and matrices (N, 2, 3), frame px -> crop px.
    """
    matrices = align_matrices(landmarks, template, crop_size)
    return warp_crops(frames, matrices, crop_size), matrices


def warp_crops(
    frames: np.ndarray | Sequence[np.ndarray],
    matrices: np.ndarray,
    crop_size: int,
) -> np.ndarray:
    """Cut crops out of frames: bilinear, averaged first where the crop is much smaller.

    frames: one (H, W, 3) uint8 RGB frame for all crops, or a sequence of N frames of any sizes, or
    (N, H, W, 3). matrices: (N, 2, 3) frame px -> crop px. Returns
    (N, crop_size, crop_size, 3) uint8. Beyond the frame, its border pixels repeat.
    Raises ValueError where the counts differ.
    """
    count = len(matrices)
    if isinstance(frames, np.ndarray) and frames.ndim == 3:
        sources: Sequence = [frames] * count
    elif len(frames) == count:
        sources = frames  # type: ignore[assignment]
    else:
        raise ValueError(f"as many frames as matrices are needed, not {len(frames)} and {count}")
    crops = np.empty((count, crop_size, crop_size, 3), np.uint8)
    if not count:
        return crops
    back = invert_matrices(np.asarray(matrices, np.float64))
    sides = np.array([frame.shape[1::-1] for frame in sources])  # (N, 2) width, height
    pools = np.minimum(_pool_factors(back), sides.min(1))
    starts, stops = _spans(back, crop_size, sides, pools)
    back[:, :, 2] -= starts
    for i, (frame, pool) in enumerate(zip(sources, pools.tolist(), strict=True)):
        (x0, y0), (x1, y1) = starts[i], stops[i]
        region = frame[y0:y1, x0:x1]
        crops[i] = _sample(_pooled(region, pool), back[i], pool, crop_size).transpose(1, 2, 0)
    return crops


def _pool_factors(back: np.ndarray) -> np.ndarray:
    """Whole frame px to average per sample, from (N, 2, 3) crop -> frame matrices; (N,) int."""
    shrink = np.sqrt(np.abs(np.linalg.det(back[:, :, :2])))
    return np.where(shrink > POOL_FROM, np.rint(shrink), 1).astype(int)


def _spans(
    back: np.ndarray, crop_size: int, sides: np.ndarray, pools: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """First and last + 1 px (x, y) needed of each frame, inside it, whole numbers of pools.

    back: (N, 2, 3) crop px -> frame px. sides: (N, 2) width and height. pools: (N,). Both (N, 2).
    """
    ends = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * (crop_size - 1.0)
    corners = apply_matrices(np.broadcast_to(ends, (len(back), 4, 2)), back)
    pool = pools[:, None]
    margin = pool + 1  # the neighbours that bilinear sampling reads
    start = np.clip(np.floor(corners.min(1)) - margin, 0, sides - pool).astype(int)
    stop = np.clip(np.ceil(corners.max(1)) + margin + 1, start + pool, sides).astype(int)
    # Grow towards the start: cutting the end instead would lose the frame's last pixels.
    start = np.maximum(stop - pool * -(-(stop - start) // pool), 0)
    return start, start + (stop - start) // pool * pool


def _pooled(region: np.ndarray, pool: int) -> np.ndarray:
    """Planes of the means of pool x pool blocks, whole numbers of them.

    region: (h, w, C) uint8. Returns (C, h / pool, w / pool) float32.
    """
    # Adding strided views takes a fraction of the time of a mean over short axes, and columns are
    # added fastest within planes.
    rows = region[::pool].astype(np.float32)
    for i in range(1, pool):
        rows += region[i::pool]
    planes = np.ascontiguousarray(rows.transpose(2, 0, 1))
    if pool == 1:
        return planes
    out = planes[:, :, ::pool].copy()
    for i in range(1, pool):
        out += planes[:, :, i::pool]
    return out * np.float32(1.0 / pool**2)


def _sample(planes: np.ndarray, back: np.ndarray, pool: int, crop_size: int) -> np.ndarray:
    """Bilinear samples of (C, h, w) float32 planes, pooled by ``pool``; (C, S, S) whole floats.

    back: (2, 3) crop px -> px of the planes before pooling.
    """
    channels, height, width = planes.shape
    # Pooled px u is the mean of px pool * u ... pool * u + pool - 1.
    (xx, xy, x0), (yx, yy, y0) = (back / pool).astype(np.float32)
    middle = np.float32((pool - 1) / (2 * pool))
    steps = np.arange(crop_size, dtype=np.float32)
    x = steps * xx + (steps * xy + (x0 - middle))[:, None]  # (S, S)
    y = steps * yx + (steps * yy + (y0 - middle))[:, None]
    np.clip(x, 0, width - 1, out=x)
    np.clip(y, 0, height - 1, out=y)
    column, row = x.astype(np.int32), y.astype(np.int32)
    x -= column
    y -= row
    right = column < width - 1
    cell = row * np.int32(width) + column
    flat = planes.reshape(channels, -1)

    def between(cell: np.ndarray) -> np.ndarray:
        left = flat.take(cell, 1)
        step = flat.take(cell + right, 1)
        step -= left
        step *= x
        left += step
        return left

    upper = between(cell)
    lower = between(cell + (row < height - 1) * np.int32(width))
    lower -= upper
    lower *= y
    upper += lower
    return np.rint(upper, out=upper)
