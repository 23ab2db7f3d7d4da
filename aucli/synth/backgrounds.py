"""Backgrounds without people: drawn ones, and crops of photographs that travel with scikit-image.

A pool of tiles is made once; cutting a random part out of a tile costs next to nothing.
"""

import string
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

TILE = 320
CLOSEST_PX = 16

# Files of the folder skimage/data that show neither a person nor a face ("coins" shows portraits).
TRAIN_PHOTOGRAPHS = (
    "brick.png", "cell.png", "chessboard_GRAY.png", "clock_motion.png", "color.png", "grass.png",
    "gravel.png", "horse.png", "hubble_deep_field.jpg", "ihc.png", "logo.png",
    "microaneurysms.png", "moon.png", "page.png", "phantom.png", "retina.jpg", "text.png",
)  # fmt: skip
HELD_OUT_PHOTOGRAPHS = (
    "chelsea.png", "coffee.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg",
)  # fmt: skip

SKIN_LIGHT, SKIN_DARK = np.array([235.0, 190, 160]), np.array([75.0, 45, 32])


def skin_colour(rng: np.random.Generator) -> np.ndarray:
    """(3,) float RGB 0-255 between light and dark skin, with some spread around that line."""
    t = rng.random()
    colour = SKIN_LIGHT * (1 - t) + SKIN_DARK * t
    return np.clip(colour * np.exp(rng.normal(0, 0.08, 3) + rng.normal(0, 0.15)), 0, 255)


def any_colour(rng: np.random.Generator) -> np.ndarray:
    """(3,) float RGB 0-255; one in four is a skin colour."""
    return skin_colour(rng) if rng.random() < 0.25 else rng.uniform(0, 255, 3)


def as_ink(colour: np.ndarray) -> tuple[int, int, int]:
    """A float colour as Pillow takes it."""
    r, g, b = np.clip(colour, 0, 255).astype(int).tolist()
    return r, g, b


def photographs(names: tuple[str, ...] = TRAIN_PHOTOGRAPHS) -> list[np.ndarray]:
    """The named photographs that are on disk, (H, W, 3) uint8, longest side at most 700 px.

    scikit-image is optional: without it the list is empty and all backgrounds are drawn.
    """
    try:
        import skimage
    except ImportError:
        return []
    folder = Path(skimage.__file__).parent / "data"
    images = []
    for name in names:
        if (folder / name).exists():
            picture = Image.open(folder / name).convert("RGB")
            picture.thumbnail((700, 700))
            images.append(np.asarray(picture))
    return images


def _smooth(rng: np.random.Generator, cells: int, size: int, channels: int = 3) -> np.ndarray:
    """Random values in ``cells`` x ``cells`` fields, enlarged smoothly: (size, size, 3) 0-255."""
    field = (rng.random((cells, cells, channels)) * 255).astype(np.uint8)
    field = np.broadcast_to(field, (cells, cells, 3))
    picture = Image.fromarray(np.ascontiguousarray(field))
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))


def _waves(rng: np.random.Generator, size: int) -> np.ndarray:
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    angle, rate = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(np.log(2), np.log(90)))
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * rate + rng.normal() * np.sin(6 * y))
    share = (wave > 0 if rng.random() < 0.4 else wave / 2 + 0.5)[..., None]
    return (share * any_colour(rng) + (1 - share) * any_colour(rng)).astype(np.uint8)


def draw_text(rng: np.random.Generator, picture: Image.Image) -> None:
    """Lettering in place; a third of it glossy: shaded down the letters, with a shadow."""
    width, height = picture.size
    font = ImageFont.load_default(int(np.exp(rng.uniform(np.log(9), np.log(height * 0.45)))))
    letters = list(string.ascii_letters + string.digits + ".,:!?&@%OCQ0 ")
    text = "".join(rng.choice(letters, rng.integers(1, 12)))
    at = (rng.uniform(-0.2, 0.7) * width, rng.uniform(-0.1, 0.9) * height)
    draw = ImageDraw.Draw(picture)
    if rng.random() > 0.35:
        draw.text(at, text, as_ink(any_colour(rng)), font)
        return
    mask = Image.new("L", picture.size)
    ImageDraw.Draw(mask).text(at, text, 255, font)
    dark = mask.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 4)))
    picture.paste(as_ink(rng.uniform(0, 60, 3)), (int(rng.integers(1, 6)), 2), dark)
    shine = np.abs(np.sin(np.linspace(0, rng.uniform(2, 30), height)))[:, None, None]
    fill = any_colour(rng) * (0.4 + 0.6 * shine) + 90 * shine**6
    fill = np.broadcast_to(fill.clip(0, 255).astype(np.uint8), (height, width, 3))
    picture.paste(Image.fromarray(np.ascontiguousarray(fill)), (0, 0), mask)


def draw_shape(rng: np.random.Generator, picture: Image.Image) -> None:
    """One rectangle, ellipse, line, polygon, set of rings or piece of lettering, in place."""
    size = picture.size[0]
    draw = ImageDraw.Draw(picture)
    ink = as_ink(any_colour(rng))
    x, y = rng.uniform(0, size, 2)
    w, h = np.exp(rng.uniform(np.log(4), np.log(size * 0.8), 2)) / 2
    kind = rng.integers(6)
    if kind == 0:
        draw.rectangle((x - w, y - h, x + w, y + h), ink)
    elif kind == 1:
        draw.ellipse((x - w, y - h, x + w, y + h), ink)
    elif kind == 2:
        dx, dy = rng.normal(0, size / 2, 2)
        draw.line((x, y, x + dx, y + dy), ink, int(rng.integers(1, 14)))
    elif kind == 3:
        corners = np.array([x, y]) + rng.normal(0, w, (rng.integers(3, 8), 2))
        draw.polygon([tuple(c) for c in corners.tolist()], ink)
    elif kind == 4:
        draw_text(rng, picture)
    else:
        for ring in range(rng.integers(1, 4)):
            r = w * (1 - 0.3 * ring)
            draw.ellipse((x - r, y - r, x + r, y + r), as_ink(any_colour(rng)))


def _skin_blob(rng: np.random.Generator, picture: Image.Image) -> None:
    """A soft or hard ellipse of skin with a gradient: what a face is not, at a face's colour."""
    size = picture.size[0]
    mask = Image.new("L", picture.size)
    x, y = rng.uniform(0, size, 2)
    w, h = np.exp(rng.uniform(np.log(size * 0.06), np.log(size * 0.4), 2))
    ImageDraw.Draw(mask).ellipse((x - w, y - h, x + w, y + h), 255)
    mask = mask.filter(ImageFilter.GaussianBlur(rng.uniform(0, size * 0.04)))
    light = _smooth(rng, 3, size, 1)[..., :1] / 255 * 0.6 + 0.6
    fill = (skin_colour(rng) * light).clip(0, 255).astype(np.uint8)
    picture.paste(Image.fromarray(fill), (0, 0), mask)


def drawn_tile(rng: np.random.Generator, size: int = TILE) -> np.ndarray:
    """One drawn background, (size, size, 3) uint8."""
    kind = rng.integers(6)
    if kind <= 1:
        base = _smooth(rng, int(rng.integers(2, 10)), size)
    elif kind == 2:
        base = _waves(rng, size)
    elif kind == 3:  # walls and rooms: a few large flat fields
        base = np.empty((size, size, 3), np.uint8)
        base[:] = any_colour(rng).astype(np.uint8)
        for _ in range(rng.integers(1, 4)):
            cut = int(rng.integers(size))
            part = base[cut:] if rng.random() < 0.5 else base[:, cut:]
            part[:] = any_colour(rng).astype(np.uint8)
    else:
        base = np.empty((size, size, 3), np.uint8)
        base[:] = any_colour(rng).astype(np.uint8)
    picture = Image.fromarray(base)
    if rng.random() < 0.8:
        for _ in range(rng.integers(0, 16)):
            draw_shape(rng, picture)
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        _skin_blob(rng, picture)
    if rng.random() < 0.5:
        blur = ImageFilter.GaussianBlur(float(0.5 + 7 * rng.random() ** 2))
        picture = picture.filter(blur)
    tile = np.asarray(picture).astype(np.float32)
    for cells in (size // 2, size // 5, size // 16, 5):
        if rng.random() < 0.45:
            tile += rng.random() * 45 * (_smooth(rng, cells, size) / 127.5 - 1)
    if rng.random() < 0.5:
        q = rng.random()
        tile = tile * (1 - q) + q * tile.mean(2, keepdims=True)
    return tile.clip(0, 255).astype(np.uint8)


def photograph_tile(
    rng: np.random.Generator, images: list[np.ndarray], size: int = TILE
) -> np.ndarray:
    """A random square of a random photograph, turned, mirrored, recoloured: (size, size, 3)."""
    image = images[rng.integers(len(images))]
    height, width = image.shape[:2]
    side = int(min(height, width) * np.exp(rng.uniform(np.log(0.25), 0)))
    x, y = rng.integers(width - side + 1), rng.integers(height - side + 1)
    part = Image.fromarray(np.ascontiguousarray(image[y : y + side, x : x + side]))
    tile = np.asarray(part.resize((size, size), Image.Resampling.BICUBIC))
    if rng.random() < 0.25:
        tile = np.rot90(tile, int(rng.integers(1, 4)))
    if rng.random() < 0.3:
        tile = tile[..., rng.permutation(3)]
    if rng.random() < 0.1:
        tile = 255 - tile
    return np.ascontiguousarray(tile)


class BackgroundPool:
    """Tiles made once; :meth:`cut` returns as many different backgrounds as one asks for."""

    def __init__(
        self,
        count: int = 1200,
        seed: int = 0,
        names: tuple[str, ...] = TRAIN_PHOTOGRAPHS,
        tile: int = TILE,
    ) -> None:
        rng = np.random.default_rng(seed)
        images = photographs(names)
        self.tiles = np.empty((count, tile, tile, 3), np.uint8)
        for i in range(count):
            photo = bool(images) and rng.random() < 0.45
            self.tiles[i] = photograph_tile(rng, images, tile) if photo else drawn_tile(rng, tile)

    def cut(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """(size, size, 3) uint8, a new array. size: at most the tile's side, px."""
        tile = self.tiles[rng.integers(len(self.tiles))]
        room = tile.shape[0]
        # Every second or third pixel: the same tile at another scale.
        step = int(rng.integers(1, room // size + 1))
        y, x = rng.integers(room - size * step + 1, size=2)
        part = tile[y : y + size * step : step, x : x + size * step : step]
        if rng.random() < 0.5:
            part = part[:, ::-1]
        return np.ascontiguousarray(part)

    def cut_close(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """As :meth:`cut`, of a part of CLOSEST_PX or more, enlarged as small faces are."""
        side = int(np.exp(rng.uniform(np.log(CLOSEST_PX), np.log(size + 1))))
        part = Image.fromarray(self.cut(rng, side))
        return np.array(part.resize((size, size), Image.Resampling.BILINEAR))
