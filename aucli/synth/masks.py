"""Masks on the face's UV map: lips, brows, beard, make-up and the folds that expressions draw.

Coordinates are UV (0-1, v upward as in the model); shapes are drawn for one half and mirrored at
u = 0.5. Found by overlaying the map's wire frame.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, zoom

SIZE = 512
OVERSAMPLE = 2

Points = Sequence[tuple[float, float]]


class _Canvas:
    """A float mask (SIZE*2)^2 that shapes are drawn on, mirrored unless told otherwise."""

    def __init__(self) -> None:
        self.image = Image.new("L", (SIZE * OVERSAMPLE, SIZE * OVERSAMPLE))
        self.draw = ImageDraw.Draw(self.image)

    def _pixels(self, points: Points) -> list[tuple[float, float]]:
        return [(u * SIZE * OVERSAMPLE, v * SIZE * OVERSAMPLE) for u, v in points]

    def _halves(self, points: Points, mirrored: bool) -> list[Points]:
        return [points, [(1 - u, v) for u, v in points]] if mirrored else [points]

    def line(self, points: Points, width: int, mirrored: bool = True) -> None:
        for half in self._halves(points, mirrored):
            self.draw.line(self._pixels(half), fill=255, width=width, joint="curve")

    def area(self, points: Points, mirrored: bool = True) -> None:
        for half in self._halves(points, mirrored):
            self.draw.polygon(self._pixels(half), fill=255)

    def ellipse(self, u: float, v: float, ru: float, rv: float, mirrored: bool = True) -> None:
        for centre in (u, 1 - u) if mirrored else (u,):
            box = self._pixels([(centre - ru, v - rv), (centre + ru, v + rv)])
            self.draw.ellipse([*box[0], *box[1]], fill=255)

    def blurred(self, sigma: float, gain: float = 1.0) -> np.ndarray:
        full = gaussian_filter(np.asarray(self.image, np.float32) / 255, sigma) * gain
        half = full.reshape(SIZE, OVERSAMPLE, SIZE, OVERSAMPLE).mean((1, 3))
        return (np.clip(half, 0, 1) * 255).astype(np.uint8)


def face_masks(landmark_uv: np.ndarray) -> tuple[np.ndarray, ...]:
    """Four (512, 512, 4) uint8 textures; row 0 is v = 0.

    landmark_uv: (68, 2). Channels: lips, brows, beard, blush | eye shadow, rings, freckles,
    liner | folds of forehead, glabella, crow's feet, nose | nasolabial, chin, mouth corners,
    inner forehead.
    """
    point = [(float(u), float(v)) for u, v in landmark_uv]

    lips = _Canvas()
    lips.area(point[48:60], mirrored=False)
    brows = _Canvas()
    above = ((0, 0), (0, 0.008), (0, 0.008), (0, 0.006), (0.004, 0.004))
    below = ((0, -0.004), (0, -0.012), (0, -0.018), (0, -0.022), (0.004, -0.026))
    brow = [
        [(u + du, v + dv) for (u, v), (du, dv) in zip(point[17:22], edge, strict=True)]
        for edge in (above, below)
    ]
    brows.area(brow[0] + brow[1][::-1])
    beard = _Canvas()
    beard.area([(0.16, 0.62), (0.20, 0.50), (0.27, 0.44), (0.345, 0.43), (0.37, 0.49),
                (0.42, 0.535), (0.5, 0.535), (0.5, 0.13), (0.3, 0.16), (0.12, 0.36)])  # fmt: skip
    blush = _Canvas()
    blush.ellipse(0.3, 0.58, 0.088, 0.058)
    blush.ellipse(0.5, 0.6, 0.048, 0.038, mirrored=False)

    eye_shadow = _Canvas()
    eye_shadow.area([(0.295, 0.72), (0.32, 0.745), (0.36, 0.755), (0.40, 0.74), (0.42, 0.722),
                     (0.40, 0.72), (0.33, 0.72)])  # fmt: skip
    rings = _Canvas()
    rings.line([(0.30, 0.70), (0.33, 0.685), (0.38, 0.68), (0.42, 0.695)], 16)
    freckles = _Canvas()
    freckles.ellipse(0.5, 0.62, 0.32, 0.088, mirrored=False)
    liner = _Canvas()
    liner.line(point[36:40], 5)
    liner.line([*point[39:42], point[36]], 3)

    across = np.linspace(0.31, 0.69, 16)
    forehead = _Canvas()
    for v in (0.855, 0.883, 0.912, 0.942):
        arch = v + 0.006 * np.sin(9 * across + v * 70) - 0.1 * (across - 0.5) ** 2
        forehead.line(list(zip(across, arch, strict=True)), 4, mirrored=False)
    inner = _Canvas()
    across = np.linspace(0.42, 0.58, 10)
    for v in (0.848, 0.872, 0.90):
        arch = v - 0.6 * (across - 0.5) ** 2
        inner.line(list(zip(across, arch, strict=True)), 4, mirrored=False)
    glabella = _Canvas()
    glabella.line([(0.481, 0.75), (0.476, 0.785), (0.482, 0.83)], 6)
    glabella.line([(0.46, 0.77), (0.462, 0.80), (0.468, 0.825)], 3)
    crow = _Canvas()
    for line in (
        [(0.298, 0.722), (0.27, 0.74), (0.245, 0.765)],
        [(0.295, 0.715), (0.262, 0.72), (0.235, 0.728)],
        [(0.297, 0.707), (0.268, 0.697), (0.245, 0.68)],
        [(0.315, 0.695), (0.35, 0.678), (0.40, 0.675)],
        [(0.30, 0.69), (0.34, 0.665), (0.385, 0.66)],
    ):
        crow.line(line, 4)
    nose = _Canvas()
    across = np.linspace(0.47, 0.53, 7)
    for v in (0.735, 0.75, 0.765):
        arch = v + 0.25 * (across - 0.5) ** 2
        nose.line(list(zip(across, arch, strict=True)), 4, mirrored=False)
    for line in (
        [(0.465, 0.735), (0.45, 0.70), (0.445, 0.68)],
        [(0.475, 0.72), (0.455, 0.68)],
        [(0.455, 0.745), (0.44, 0.725)],
    ):
        nose.line(line, 4)

    nasolabial = _Canvas()
    nasolabial.line([(0.432, 0.595), (0.40, 0.565), (0.37, 0.52), (0.345, 0.465),
                     (0.335, 0.42)], 7)  # fmt: skip
    chin = _Canvas()
    rng = np.random.default_rng(3)
    for u, v in rng.normal((0.5, 0.315), (0.035, 0.015), (60, 2)):
        radius = rng.uniform(4, 9) / 1024
        chin.ellipse(u, v, radius, radius, mirrored=False)
    chin.line([(0.46, 0.338), (0.5, 0.345), (0.54, 0.338)], 5, mirrored=False)
    corners = _Canvas()
    corners.line([(0.378, 0.47), (0.368, 0.442), (0.375, 0.41)], 6)
    corners.line([(0.385, 0.425), (0.375, 0.39), (0.372, 0.36)], 4)

    layers = (
        (lips.blurred(9), brows.blurred(8), beard.blurred(14), blush.blurred(35)),
        (eye_shadow.blurred(10), rings.blurred(9), freckles.blurred(40), liner.blurred(2)),
        (forehead.blurred(4, 1.6), glabella.blurred(4, 1.5), crow.blurred(3.5, 1.5),
         nose.blurred(4, 1.5)),
        (nasolabial.blurred(5, 1.4), chin.blurred(4), corners.blurred(4, 1.4),
         inner.blurred(4, 1.6)),
    )  # fmt: skip
    return tuple(np.ascontiguousarray(np.stack(layer, -1)) for layer in layers)


def noise_texture(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """Tiling noise (size, size, 4) uint8: three mixtures of octaves, and grain."""
    channels = []
    for base in (4, 12, 40):
        total = np.zeros((size, size))
        frequency, amplitude = base, 1.0
        while frequency <= 128:
            coarse = np.pad(rng.normal(size=(frequency, frequency)), 2, mode="wrap")
            enlarged = zoom(coarse, size / frequency, order=3, mode="grid-wrap", grid_mode=True)
            fine = np.asarray(enlarged)
            margin = round(2 * size / frequency)
            total += amplitude * fine[margin : margin + size, margin : margin + size]
            frequency, amplitude = frequency * 2, amplitude * 0.55
        channels.append(total)
    channels.append(rng.normal(size=(size, size)))
    scaled = [(c - c.mean()) / c.std() * 0.18 + 0.5 for c in channels]
    return (np.clip(np.stack(scaled, -1), 0, 1) * 255).astype(np.uint8)
