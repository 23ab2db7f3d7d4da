"""Scenes of 256 px with 0-5 rendered faces, for the detector, and its targets.

What deceives a detector is drawn too: hands, heads without a face, shuffled or single parts,
glossy lettering, skin-coloured blobs.
"""

from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw

from aucli.align import face_boxes
from aucli.augment import warp_rgba
from aucli.aus import MIRROR_68
from aucli.synth.backgrounds import BackgroundPool, any_colour, as_ink, draw_shape, draw_text
from aucli.synth.negatives import hide_face, shuffle_parts, single_part

TARGET_STRIDE = 8
SMALLEST_FACE = 13.0
# Shares of 0, 1, 2, 3 and 5 faces in a scene, and the largest box height, px at 256.
FACE_COUNTS = ((0, 0.13, 0), (1, 0.35, 230), (2, 0.24, 140), (3, 0.16, 120), (5, 0.12, 70))


class Faces(Protocol):
    """What a scene needs of a face store: ``landmarks`` (N, 68, 2) px and ``face(i)`` RGBA."""

    landmarks: np.ndarray

    def __len__(self) -> int: ...

    def face(self, index: int) -> np.ndarray: ...


def _paste(canvas: np.ndarray, rgba: np.ndarray, matrix: np.ndarray, gain: np.ndarray) -> None:
    """Premultiplied ``rgba`` through ``matrix`` (image px -> canvas px) onto the canvas."""
    size = canvas.shape[0]
    h, w = rgba.shape[:2]
    corners = np.array([[0, 0], [w, 0], [0, h], [w, h]], np.float64) @ matrix[:, :2].T
    corners += matrix[:, 2]
    x0, y0 = np.clip(np.floor(corners.min(0)), 0, size).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(corners.max(0)) + 1, 0, size).astype(int).tolist()
    if x1 <= x0 or y1 <= y0:
        return
    local = matrix.copy()
    local[:, 2] -= (x0, y0)
    front = warp_rgba(rgba, local, (x1 - x0, y1 - y0))
    alpha = front[..., 3:].astype(np.float32)
    region = canvas[y0:y1, x0:x1]
    lit = np.minimum(front[..., :3] * gain, alpha)
    region[:] = (lit + region * (1 - alpha / 255)).astype(np.uint8)


def _draw(canvas: np.ndarray, change) -> np.ndarray:
    """Let ``change`` draw on the canvas as a Pillow image; the new canvas."""
    picture = Image.fromarray(canvas)
    change(picture)
    return np.array(picture)


def _torso(rng: np.random.Generator, canvas: np.ndarray, matrix: np.ndarray, height: float):
    """Plain shoulders under the rendered frame's lower edge."""
    base = matrix[:, :2] @ np.array([96.0, 191.0]) + matrix[:, 2]
    down = matrix[:, :2] @ np.array([0.0, 1.0])
    down = down / np.linalg.norm(down)
    side = np.array([down[1], -down[0]])
    w, rise = height * rng.uniform(0.7, 1.3), rng.uniform(0, 0.35) * height
    outline = [
        base - down * rise - side * w * 0.45, base - down * rise * 0.3 - side * w,
        base + down * 2.5 * height - side * w * 1.25, base + down * 2.5 * height + side * w * 1.25,
        base - down * rise * 0.3 + side * w, base - down * rise + side * w * 0.45,
    ]  # fmt: skip
    ink = as_ink(any_colour(rng) * rng.uniform(0.3, 1))

    def change(picture: Image.Image) -> None:
        ImageDraw.Draw(picture).polygon([tuple(p) for p in np.stack(outline).tolist()], ink)

    canvas[:] = _draw(canvas, change)


def _framed(
    rng: np.random.Generator, face: np.ndarray, landmarks: np.ndarray, pool: BackgroundPool
) -> np.ndarray:
    """The face as a picture within the scene: a rectangle or a soft ellipse with its own ground."""
    size = face.shape[0]
    alpha = face[..., 3:] / np.float32(255)
    rgb = face[..., :3] + pool.cut(rng, size) * (1 - alpha)
    mask = Image.new("L", (size, size))
    if rng.random() < 0.5:
        m = int(rng.integers(0, 14))
        ImageDraw.Draw(mask).rectangle((m, m, size - 1 - m, size - 1 - m), 255)
    else:
        x, y = landmarks.mean(0)
        h = float(np.ptp(landmarks[:, 1]))
        w, h = h * rng.uniform(0.65, 0.9), h * rng.uniform(0.85, 1.15)
        ImageDraw.Draw(mask).ellipse((x - w, y - 0.1 * h - h, x + w, y - 0.1 * h + h), 255)
    shown = np.asarray(mask)[..., None]
    return np.concatenate([rgb * (shown / np.float32(255)), shown], 2).astype(np.uint8)


def _free(box: np.ndarray, others: list[np.ndarray]) -> bool:
    """Whether a box covers at most 12 % of any other (or of itself)."""
    for other in others:
        w, h = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
        smaller = min(np.prod(box[2:] - box[:2]), np.prod(other[2:] - other[:2]))
        if max(w, 0) * max(h, 0) > 0.12 * smaller:
            return False
    return True


def _place_face(
    rng: np.random.Generator,
    canvas: np.ndarray,
    faces: Faces,
    pool: BackgroundPool,
    height: float,
    boxes: list[np.ndarray],
    negative: bool = False,
) -> np.ndarray | None:
    """Paste one face (or something made of one) of box height ``height`` px; its box, or None."""
    size = canvas.shape[0]
    index = int(rng.integers(len(faces)))
    face, landmarks = faces.face(index), faces.landmarks[index].astype(np.float64)
    if rng.random() < 0.5:
        face = face[:, ::-1]
        landmarks = landmarks[MIRROR_68] * [-1, 1] + [face.shape[1] - 1, 0]
    face = np.ascontiguousarray(face)
    angle = rng.normal(0, 0.16) if rng.random() < 0.85 else rng.uniform(-0.7, 0.7)
    torso = rng.random() < 0.8
    if negative:
        kind = rng.integers(3)
        if kind == 2:
            face, angle, torso = single_part(rng, face, landmarks), rng.uniform(0, 6.28), False
        else:
            face = (hide_face if kind == 0 else shuffle_parts)(rng, face, landmarks)
    elif not torso:
        face = _framed(rng, face, landmarks, pool)
    box = face_boxes(landmarks[None])[0]
    s = height / (box[3] - box[1])
    turn = s * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ np.diag([np.exp(rng.normal(0, 0.05)), 1])
    box = face_boxes((landmarks @ turn.T)[None])[0]
    middle = (box[:2] + box[2:]) / 2
    for _ in range(8):
        if height < size / 2:
            target = rng.uniform(0, size, 2)
        else:
            target = size / 2 + rng.normal(0, 0.14 * size, 2)
        move = target - middle
        placed = box + np.tile(move, 2)
        if negative or _free(placed, boxes):
            break
    else:
        return None
    matrix = np.column_stack([turn, move])
    if torso:
        _torso(rng, canvas, matrix, height)
    gain = np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.06, 3)).astype(np.float32)
    _paste(canvas, face, matrix, gain)
    return placed


def _sprite(
    rng: np.random.Generator, canvas: np.ndarray, sprite: np.ndarray, side: float, at: np.ndarray
) -> None:
    angle, scale = rng.uniform(0, 2 * np.pi), side / sprite.shape[0]
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    move = at - turn @ np.array([sprite.shape[1], sprite.shape[0]]) / 2
    gain = np.exp(rng.normal(0, 0.2, 3)).astype(np.float32)
    _paste(canvas, sprite, np.column_stack([turn, move]), gain)


def _sizes(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def draw_scene(
    rng: np.random.Generator,
    faces: Faces,
    pool: BackgroundPool,
    sprites: np.ndarray,
    size: int = 256,
) -> tuple[np.ndarray, np.ndarray]:
    """One scene: ((size, size, 3) uint8, boxes (K, 4) float32 xyxy px, possibly past the borders).

    sprites: (S, h, w, 4) uint8 premultiplied, hands first (40 %).
    """
    canvas = pool.cut(rng, size)

    def clutter(picture: Image.Image) -> None:
        for _ in range(rng.integers(0, 4)):
            draw_shape(rng, picture)
        if rng.random() < 0.12:
            draw_text(rng, picture)

    canvas = _draw(canvas, clutter)
    hands = int(0.4 * len(sprites))
    for _ in range(rng.choice([0, 0, 1, 2])):
        side, at = _sizes(rng, 24, 190), rng.uniform(0, size, 2)
        _sprite(rng, canvas, sprites[rng.integers(hands)], side, at)
    for _ in range(rng.choice([0, 0, 1, 1, 2])):
        _place_face(rng, canvas, faces, pool, _sizes(rng, 14, 170), [], negative=True)
    shares = np.array([share for _, share, _ in FACE_COUNTS])
    count, _, largest = FACE_COUNTS[rng.choice(len(FACE_COUNTS), p=shares / shares.sum())]
    boxes: list[np.ndarray] = []
    for _ in range(count):
        height = _sizes(rng, SMALLEST_FACE, largest)
        if rng.random() < 0.2:
            height = _sizes(rng, SMALLEST_FACE, 28)
        box = _place_face(rng, canvas, faces, pool, height, boxes)
        if box is not None:
            boxes.append(box)
    for box in boxes:
        # Something small enough to leave a face: at most about half of it is hidden.
        if rng.random() < 0.2:
            side = (box[3] - box[1]) * rng.uniform(0.5, 1.0)
            at = (box[:2] + box[2:]) / 2 + rng.normal(0, 0.3, 2) * (box[2:] - box[:2])
            _sprite(rng, canvas, sprites[rng.integers(len(sprites))], side, at)
    return canvas, np.asarray(boxes, np.float32).reshape(-1, 4)


def scene_targets(boxes: np.ndarray, size: int) -> np.ndarray:
    """What the detector should answer: (7, size / 8, size / 8) float32.

    Channels: centre score (a Gaussian that is 1 at the cell nearest to a face's centre), its weight
    (0 where a face is cut so far that either answer is right), centre offset x and y in cells,
    log(w / 32), log(h / 32), weight of those four.
    """
    cells = size // TARGET_STRIDE
    centres = np.arange(cells) * TARGET_STRIDE + (TARGET_STRIDE - 1) / 2
    score = np.zeros((cells, cells), np.float32)
    weight = np.ones_like(score)
    values = np.zeros((4, cells, cells), np.float32)
    strength = np.zeros_like(score)
    for x0, y0, x1, y1 in boxes:
        w, h, x, y = x1 - x0, y1 - y0, (x0 + x1) / 2, (y0 + y1) / 2
        shown = max(0, min(x1, size) - max(x0, 0)) * max(0, min(y1, size) - max(y0, 0)) / (w * h)
        inside = 0 <= x < size and 0 <= y < size
        if shown < 0.6 or h < SMALLEST_FACE - 1 or not inside:
            if shown >= 0.3:
                near_y = np.abs(centres - y) < 0.6 * h
                weight[np.ix_(near_y, np.abs(centres - x) < 0.6 * w)] = 0
            continue
        sigma = max(6.0, 0.09 * np.sqrt(w * h))
        bump = np.exp(
            -((centres - y)[:, None] ** 2 + (centres - x)[None] ** 2) / (2 * sigma**2)
        ).astype(np.float32)
        bump[np.abs(centres - y).argmin(), np.abs(centres - x).argmin()] = 1
        score = np.maximum(score, bump)
        taken = (bump > 0.6) & (bump >= strength)
        strength[taken] = bump[taken]
        away_x, away_y = (x - centres) / TARGET_STRIDE, (y - centres) / TARGET_STRIDE
        values[0][taken] = np.broadcast_to(away_x[None], taken.shape)[taken]
        values[1][taken] = np.broadcast_to(away_y[:, None], taken.shape)[taken]
        values[2][taken], values[3][taken] = np.log(w / 32), np.log(h / 32)
    return np.concatenate([score[None], weight[None], values, strength[None]])
