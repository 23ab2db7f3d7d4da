"""Things that come between a face and the camera: hands, phones, mugs, sticks, strands.

They hide faces (as positives with something in front) and stand alone (as negatives).
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from aucli.augment import HANDS
from aucli.synth.backgrounds import any_colour, as_ink, skin_colour

SPRITE = 128
_OVERSAMPLING = 2


def _capsule(
    draw: ImageDraw.ImageDraw, start: np.ndarray, end: np.ndarray, width: float, ink
) -> None:
    draw.line((*start.tolist(), *end.tolist()), ink, max(1, int(width)))
    for x, y in (start, end):
        r = width / 2
        draw.ellipse((x - r, y - r, x + r, y + r), ink)


def _hand(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: int) -> None:
    """Forearm, palm, four fingers and a thumb, each finger of a slightly different shade."""
    skin = skin_colour(rng)
    palm, unit = np.array([0.5, 0.58]) * size, 0.3 * size
    spread, bend = rng.uniform(0.15, 1.0), rng.uniform(0.5, 1.1)

    def reach(angle: float, length: float) -> np.ndarray:
        return palm + length * unit * np.array([np.sin(angle), -np.cos(angle)])

    sleeve = as_ink(any_colour(rng)) if rng.random() < 0.5 else as_ink(skin * 0.93)
    _capsule(draw, reach(np.pi, 0.6), reach(np.pi, 2.2), 0.75 * unit, as_ink(skin * 0.95))
    _capsule(draw, reach(np.pi, 1.1), reach(np.pi, 2.2), 0.85 * unit, sleeve)
    x, y = palm
    w, h = 0.48 * unit, 0.55 * unit
    draw.ellipse((x - w, y - h, x + w, y + h), as_ink(skin))
    for angle in np.linspace(-0.6, 0.6, 4) * spread + rng.normal(0, 0.05, 4):
        root = palm + 0.35 * unit * np.array([np.sin(angle) * 1.2 / max(spread, 0.3), -1.0])
        tip = root + unit * bend * rng.uniform(0.75, 1.05) * np.array(
            [np.sin(angle), -np.cos(angle)]
        )
        _capsule(draw, root, tip, 0.25 * unit, as_ink(skin * 0.72))
        _capsule(draw, root, tip, 0.2 * unit, as_ink(skin * rng.uniform(0.92, 1.08)))
    thumb = np.sign(rng.normal()) * rng.uniform(0.6, 1.4)
    _capsule(draw, reach(thumb * 1.4, 0.4), reach(thumb, 1.0), 0.24 * unit, as_ink(skin))


def _phone(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: int) -> None:
    w, h = rng.uniform(0.16, 0.26) * size, rng.uniform(0.3, 0.42) * size
    left, top, right, bottom = size / 2 - w, size / 2 - h, size / 2 + w, size / 2 + h
    body = rng.uniform(0, 60, 3) if rng.random() < 0.6 else any_colour(rng)
    draw.rounded_rectangle((left, top, right, bottom), 0.2 * w, as_ink(body))
    for k in range(rng.integers(0, 4)):
        x, y, r = left + 0.4 * w, top + (0.4 + 0.4 * k) * w, 0.14 * w
        draw.ellipse((x - r, y - r, x + r, y + r), as_ink(body * 0.4 + 30))


def _mug(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: int) -> None:
    ink = as_ink(any_colour(rng))
    w, h = rng.uniform(0.18, 0.3) * size, rng.uniform(0.2, 0.35) * size
    x = y = size / 2
    box = (x + w * 0.6, y - h * 0.5, x + w * 1.6, y + h * 0.5)
    draw.ellipse(box, None, ink, max(2, int(0.04 * size)))
    draw.rectangle((x - w, y - h, x + w, y + h), ink)
    draw.ellipse((x - w, y - h * 1.15, x + w, y - h * 0.85), as_ink(any_colour(rng) * 0.8))


def _blob(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: int) -> None:
    ink = as_ink(any_colour(rng))
    if rng.random() < 0.5:
        w, h = rng.uniform(0.1, 0.45, 2) * size
        draw.ellipse((size / 2 - w, size / 2 - h, size / 2 + w, size / 2 + h), ink)
    else:
        corners = size * (0.5 + rng.normal(0, 0.2, (5, 2)))
        draw.polygon([tuple(c) for c in corners.tolist()], ink)


def _strands(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: int) -> None:
    """A stick or cable, or a bundle of hair."""
    ink = any_colour(rng) * 0.6
    count = int(rng.choice([1, 1, 8, 20]))
    bend = rng.normal(0, 0.25, 2) * size
    for _ in range(count):
        start = np.array([0.5, 0.0]) * size + rng.normal(0, 0.06, 2) * size * (count > 1)
        t = np.linspace(0, 1, 12)[:, None]
        line = start + t * np.array([0, size]) + t * (1 - t) * 2 * (bend + rng.normal(0, 4, 2))
        width = int(rng.integers(3, 16)) if count == 1 else int(rng.integers(2, 5))
        shade = as_ink(ink * rng.uniform(0.8, 1.2))
        draw.line([tuple(p) for p in line.tolist()], shade, width)


def draw_sprite(rng: np.random.Generator, kind: str | None = None) -> np.ndarray:
    """One thing on a transparent ground: (128, 128, 4) uint8, premultiplied RGBA.

    kind: 'hand', 'phone', 'mug', 'blob', 'strands', or None for any (40 % hands).
    """
    kinds = {"hand": _hand, "phone": _phone, "mug": _mug, "blob": _blob, "strands": _strands}
    kind = kind or str(rng.choice(list(kinds), p=[0.4, 0.14, 0.1, 0.2, 0.16]))
    size = SPRITE * _OVERSAMPLING
    picture = Image.new("RGBA", (size, size))
    kinds[kind](rng, ImageDraw.Draw(picture), size)
    if rng.random() < 0.4:
        picture = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 2.5))))
    small = np.asarray(picture.reduce(_OVERSAMPLING)).astype(np.float32)
    first, last = rng.uniform(0.75, 1.2, 2)
    light = np.linspace(first, last, SPRITE)[:, None, None]
    if rng.random() < 0.5:
        light = light.transpose(1, 0, 2)
    alpha = small[..., 3:]
    colour = (small[..., :3] * light + rng.normal(0, 3, (SPRITE, SPRITE, 1))).clip(0, 255)
    return np.concatenate([colour * alpha / 255, alpha], 2).round().astype(np.uint8)


def sprite_pool(count: int = 300, seed: int = 0) -> np.ndarray:
    """(count, 128, 128, 4) uint8 premultiplied; the first 40 % (HANDS) are hands."""
    rng = np.random.default_rng(seed)
    hands = int(HANDS * count)
    others = ("phone", "mug", "blob", "strands")
    kinds = ["hand"] * hands + [str(rng.choice(others)) for _ in range(count - hands)]
    return np.stack([draw_sprite(rng, kind) for kind in kinds])
