"""Shapes and letters with smooth edges, drawn into a frame where it lies in memory."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[float, float, float]  # RGB, 0-255

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)


class Pen:
    """Draws into rgb: (H, W, 3) uint8, writable. What lies beyond the frame is left out."""

    def __init__(self, rgb: np.ndarray) -> None:
        self.rgb = rgb

    def stamp(
        self, mask: np.ndarray, x: int, y: int, colour: "Colour | np.ndarray", opacity: float = 1.0
    ) -> None:
        """Lay a colour, or one for each pixel (h, w, 3), over the frame as far as the mask (h, w),
        0-1, covers it; its corner is at (x, y) px."""
        height, width = self.rgb.shape[:2]
        x0, y0 = max(x, 0), max(y, 0)
        x1, y1 = min(x + mask.shape[1], width), min(y + mask.shape[0], height)
        if x0 >= x1 or y0 >= y1:
            return
        inside = slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)
        share = mask[inside][..., None] * np.float32(opacity)
        ink = np.asarray(colour, np.float32)
        if ink.ndim == 3:
            ink = ink[inside]
        part = self.rgb[y0:y1, x0:x1]
        part[:] = part + (ink - part) * share + np.float32(0.5)

    def fill(
        self, x0: float, y0: float, x1: float, y1: float, colour: Colour, opacity: float = 1.0
    ) -> None:
        """A rectangle with sides at fractions of a pixel."""
        if x1 <= x0 or y1 <= y0:
            return
        left, top = int(np.floor(x0)), int(np.floor(y0))
        across = _cover(x0 - left, x1 - left, int(np.ceil(x1)) - left)
        down = _cover(y0 - top, y1 - top, int(np.ceil(y1)) - top)
        self.stamp(down[:, None] * across, left, top, colour, opacity)

    def frame(self, box_xyxy: np.ndarray, width: float, colour: Colour) -> None:
        """The outline of a rectangle (4,), ``width`` px, around the edge."""
        x0, y0, x1, y1 = box_xyxy.tolist()
        half = width / 2
        self.fill(x0 - half, y0 - half, x1 + half, y0 + half, colour)
        self.fill(x0 - half, y1 - half, x1 + half, y1 + half, colour)
        self.fill(x0 - half, y0 + half, x0 + half, y1 - half, colour)
        self.fill(x1 - half, y0 + half, x1 + half, y1 - half, colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour, opacity: float = 1.0) -> None:
        """A filled circle around (x, y) px."""
        left, top = int(np.floor(x - radius)) - 1, int(np.floor(y - radius)) - 1
        side = int(np.ceil(2 * radius)) + 4
        down, across = np.ogrid[top : top + side, left : left + side]
        away = np.hypot(across - x, down - y)
        mask = (radius + 0.5 - away).clip(0, 1).astype(np.float32)
        self.stamp(mask, left, top, colour, opacity)

    def panel(
        self, x: int, y: int, width: int, height: int, radius: float, colour: Colour, opacity: float
    ) -> None:
        """A rectangle with round corners."""
        self.stamp(_rounded(width, height, radius), x, y, colour, opacity)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: int,
        colour: Colour = WHITE,
        anchor: str = "l",
        edge: float = 0.0,
    ) -> None:
        """One line with its middle at the height y, and at x its left end, middle or right end.

        size: of the font, px. anchor: 'l', 'm' or 'r'. edge: width of a dark outline, px.
        """
        masks = _letters if len(words) <= _KEPT_LETTERS else _letters.__wrapped__
        mask, ink_width = masks(words, size, 0)
        left = x - {"l": 0.0, "m": ink_width / 2, "r": ink_width}[anchor]
        at = round(left) - _MARGIN, round(y) - mask.shape[0] // 2
        if edge:
            self.stamp(masks(words, size, max(1, round(edge)))[0], *at, BLACK, 0.75)
        self.stamp(mask, *at, colour)


_MARGIN = 6  # px around letters, for their outline
# Longer words tell frames and times; kept, they would fill the memory of a long film.
_KEPT_LETTERS = 8


def text_width(words: str, size: int) -> float:
    """Width of a line, px."""
    return _letters(words, size, 0)[1]


@lru_cache(maxsize=2048)
def _letters(words: str, size: int, edge: int) -> tuple[np.ndarray, float]:
    """Mask of a line with a margin around it, and the width of its letters."""
    font = _font(size)
    width = font.getlength(words)
    height = round(1.5 * size) + 2 * _MARGIN
    image = Image.new("L", (int(np.ceil(width)) + 2 * _MARGIN, height))
    # The middle of the capitals and digits lies at the height asked for.
    at = (_MARGIN, height // 2 + round(0.36 * size))
    ImageDraw.Draw(image).text(at, words, 255, font, anchor="ls", stroke_width=edge)
    return np.asarray(image, np.float32) / 255, width


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


@lru_cache(maxsize=16)
def _rounded(width: int, height: int, radius: float) -> np.ndarray:
    down, across = np.ogrid[:height, :width]
    past_x = np.maximum(np.maximum(radius - 0.5 - across, across - (width - radius - 0.5)), 0)
    past_y = np.maximum(np.maximum(radius - 0.5 - down, down - (height - radius - 0.5)), 0)
    return (radius + 0.5 - np.hypot(past_x, past_y)).clip(0, 1).astype(np.float32)


def _cover(start: float, end: float, count: int) -> np.ndarray:
    """(count,) share of each pixel that lies between start and end."""
    pixels = np.arange(count)
    return (np.minimum(pixels + 1, end) - np.maximum(pixels, start)).clip(0, 1).astype(np.float32)
