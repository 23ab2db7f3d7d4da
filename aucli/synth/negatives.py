"""Pictures that resemble a face and are none: parts in the wrong order, heads without features."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from aucli.synth.backgrounds import any_colour, skin_colour


def shuffle_parts(rng: np.random.Generator, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The rectangle around the landmarks cut into 2-4 parts a side and put together wrongly.

    image: (H, W, C) uint8. landmarks: (68, 2) px. Returns a new array; unchanged where the
    rectangle is too small to be cut.
    """
    height, width = image.shape[:2]
    low, high = landmarks.min(0), landmarks.max(0)
    low = np.clip(low - [0, 0.15 * (high - low)[1]], 0, [width, height]).astype(int)
    high = np.clip(high, 0, [width, height]).astype(int)
    parts = int(rng.integers(2, 5))
    step = (high - low) // parts
    out = image.copy()
    if step.min() < 3:
        return out
    order = rng.permutation(parts * parts)
    if parts == 2 and (order == np.arange(4)).all():
        order = order[::-1]
    for to, source in enumerate(order):
        x, y = low + step * (to % parts, to // parts)
        u, v = low + step * (source % parts, source // parts)
        piece = image[v : v + step[1], u : u + step[0]]
        out[y : y + step[1], x : x + step[0]] = piece[::-1] if rng.random() < 0.3 else piece
    return out


def nothing(rng: np.random.Generator, size: int) -> np.ndarray:
    """A crop without anything in it: black, one colour, a ramp of light, or noise.

    Returns (size, size, 3) uint8.
    """
    kind = rng.choice(["black", "flat", "ramp", "noise"], p=[0.2, 0.25, 0.2, 0.35])
    colour = any_colour(rng)
    if kind == "black":
        colour = rng.uniform(0, 12, 3)
    field = np.broadcast_to(colour, (size, size, 3)).astype(np.float64)
    if kind == "ramp":
        share = np.linspace(0, 1, size)[:, None, None] ** rng.uniform(0.4, 2.5)
        field = field * share + any_colour(rng) * (1 - share)
        field = np.rot90(field, int(rng.integers(4)))
    elif kind == "noise":
        cells = int(np.exp(rng.uniform(np.log(6), np.log(size))))
        channels = 1 if rng.random() < 0.5 else 3
        coarse = rng.normal(0, rng.uniform(5, 80), (cells, cells, channels))
        coarse = np.clip(colour + np.broadcast_to(coarse, (cells, cells, 3)), 0, 255)
        way = Image.Resampling.NEAREST if rng.random() < 0.5 else Image.Resampling.BICUBIC
        field = np.asarray(Image.fromarray(coarse.astype(np.uint8)).resize((size, size), way))
    return np.clip(field, 0, 255).astype(np.uint8)


def hide_face(rng: np.random.Generator, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """A head without features: everything inside the face replaced by blur, skin or hair colour.

    image: (H, W, 3 or 4) uint8; a fourth channel is alpha and stays. Returns a new array.
    """
    height, width = image.shape[:2]
    size = float((landmarks.max(0) - landmarks.min(0)).max())
    # 27 to 8 is the face's own down; the ellipse reaches from above the brows to the chin.
    centre = landmarks.mean(0) + 0.12 * (landmarks[27] - landmarks[8])
    reach = 0.62 * size
    mask = Image.new("L", (width, height))
    box = (*(centre - reach).tolist(), *(centre + reach).tolist())
    ImageDraw.Draw(mask).ellipse(box, 255)
    mask = np.asarray(mask.filter(ImageFilter.GaussianBlur(0.03 * size)))[..., None] / 255
    rgb = np.ascontiguousarray(image[..., :3])
    x, y = np.clip(landmarks[30], 0, [width - 1, height - 1]).astype(int)
    draw = rng.random()
    colour = rgb[y, x] if draw < 0.5 else skin_colour(rng) if draw < 0.75 else rng.uniform(0, 90, 3)
    fill = np.broadcast_to(np.asarray(colour, np.float32), rgb.shape)
    if rng.random() < 0.5:
        tiny = Image.fromarray(rgb).resize((6, 6), Image.Resampling.BOX)
        fill = 0.6 * np.asarray(tiny.resize((width, height))) + 0.4 * fill
    fill = fill + rng.normal(0, 6, (height, width, 1))
    out = image.copy()
    limit = image[..., 3:] if image.shape[2] == 4 else 255
    blend = (rgb * (1 - mask) + fill * mask).clip(0, 255)
    out[..., :3] = np.minimum(blend, limit)
    return out


def single_part(rng: np.random.Generator, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """An ellipse around one eye, the mouth, the nose or a brow; the rest transparent.

    image: (H, W, 4) uint8 premultiplied. Returns a new array of that shape.
    """
    groups = ((36, 42), (42, 48), (48, 60), (29, 36), (17, 22))
    start, stop = groups[rng.integers(len(groups))]
    points = landmarks[start:stop]
    x, y = points.mean(0)
    w, h = np.maximum((points.max(0) - points.min(0)) * rng.uniform(0.6, 1.1), 4)
    mask = Image.new("L", (image.shape[1], image.shape[0]))
    ImageDraw.Draw(mask).ellipse((x - w, y - h, x + w, y + h), 255)
    return (image * (np.asarray(mask)[..., None] / 255)).astype(np.uint8)
