"""Round and rough things, lit from a side: lamps, lids, knobs, stones, craters.

Their light and shade resemble a lit face's more than a flat drawing does; they are none.
"""

import numpy as np
from PIL import Image, ImageFilter

from aucli.synth.backgrounds import any_colour, draw_text
from aucli.synth.sprites import SPRITE

THING = SPRITE
_FACETS = (6, 16)
_KNOTS = (3, 8)
_GRAIN_CELLS = (8, 100)


def draw_thing(rng: np.random.Generator) -> np.ndarray:
    """One thing on a transparent ground, which it fills: (128, 128, 4) uint8, premultiplied RGBA.

    A relief is shaded under one light: a turned body of a random profile, a stone with facets, or
    a round hollow in a plane; with smaller ones on it, grain, stains, lettering and highlights.
    """
    x, y = np.meshgrid(*2 * [np.linspace(-1, 1, THING)])
    kind = rng.choice(["turned", "stone", "crater"], p=[0.55, 0.3, 0.15])
    from_middle, outline = _outline(rng, x, y)
    height = _stone(rng, x, y) if kind == "stone" else _profile(rng, from_middle)
    for _ in range(rng.choice([0, 0, 1, 2, 3, 6])):
        at, reach = rng.uniform(-0.6, 0.6, 2), np.exp(rng.uniform(np.log(0.06), np.log(0.4)))
        part = np.hypot(x - at[0], y - at[1]) / reach
        height = height + rng.uniform(0.4, 1.2) * reach * _profile(rng, part) * (part < 1)
    height = height + rng.exponential(0.02) * _grain(rng)
    if kind == "crater":  # flat ground around it, which goes on
        outside = np.clip((from_middle - 0.7) / 0.2, 0, 1)
        height = height * (1 - outside) + outside * rng.exponential(0.03) * _grain(rng)
        outline = np.clip((1.25 - np.hypot(x, y)) / 0.3, 0, 1)
    colour = _stained(rng) * _light(rng, height)[..., None]
    shine = rng.uniform(0, 180) * _highlight(rng, height)[..., None]
    rgba = np.concatenate([(colour + shine) * outline[..., None], 255 * outline[..., None]], 2)
    return np.minimum(rgba.clip(0, 255), 255 * outline[..., None]).round().astype(np.uint8)


def thing_pool(count: int = 300, seed: int = 0) -> np.ndarray:
    """(count, 128, 128, 4) uint8 premultiplied."""
    rng = np.random.default_rng(seed)
    return np.stack([draw_thing(rng) for _ in range(count)])


def _outline(
    rng: np.random.Generator, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distance from the middle as a share of that to the outline, and the inside (0-1)."""
    angle, narrow = rng.uniform(0, np.pi), rng.uniform(0.55, 1) if rng.random() < 0.7 else 1.0
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    u, v = u / 0.95, v / (0.95 * narrow)
    power = 2.0 if rng.random() < 0.6 else np.exp(rng.uniform(np.log(1.6), np.log(6)))
    distance = (np.abs(u) ** power + np.abs(v) ** power) ** (1 / power)
    if rng.random() < 0.5:  # uneven
        turn = np.arctan2(v, u)
        for wave in range(2, 6):
            distance = distance * (1 + rng.normal(0, 0.12 / wave) * np.sin(wave * turn + wave**2))
        distance = distance / distance[THING // 2, [0, -1]].min().clip(0.8, 1.2)
    return distance, np.clip((1 - distance) * THING / 4, 0, 1)


def _profile(rng: np.random.Generator, distance: np.ndarray) -> np.ndarray:
    """Height over a turned body's middle (0) to rim (1), of about 1; beyond it the rim's."""
    distance = np.clip(distance, 0, 1)
    kind = rng.integers(4)
    dome = np.sqrt(1 - 0.98 * distance**2)
    if kind == 0:
        height = dome
    elif kind == 1:  # steps and rings
        knots = int(rng.integers(*_KNOTS))
        at = np.sort(rng.random(knots))
        height = np.interp(distance, [0, *at, 1], rng.uniform(0, 0.5, knots + 2))
    elif kind == 2:  # a dome with rings on it
        rate, strength = rng.uniform(6, 40), rng.uniform(0.02, 0.12)
        height = dome + strength * np.sin(rate * distance)
    else:  # a bowl within a rim
        rim = rng.uniform(0.6, 0.95)
        height = np.where(distance < rim, (distance / rim) ** 2, dome / np.sqrt(1 - 0.98 * rim**2))
    return height * (-1 if rng.random() < 0.25 else 1) * rng.uniform(0.4, 1.2)


def _stone(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The lowest of some planes: a body with facets."""
    facets = int(rng.integers(*_FACETS))
    slopes = rng.normal(0, 0.9, (facets, 2))
    levels = rng.uniform(0.3, 1.0, facets)
    planes = levels[:, None, None] - slopes[:, :1, None] * x - slopes[:, 1:, None] * y
    # A soft least value: edges of stones are worn.
    soft = rng.uniform(0.02, 0.15)
    return -soft * np.log(np.exp(-planes.clip(-4, 4) / soft).sum(0))


def _grain(rng: np.random.Generator) -> np.ndarray:
    """(S, S) smooth noise of about 1, coarse or fine."""
    cells = int(np.exp(rng.uniform(*np.log(_GRAIN_CELLS))))
    small = rng.normal(0, 1, (cells, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(small).resize((THING, THING), Image.Resampling.BICUBIC))


def _slopes(height: np.ndarray) -> np.ndarray:
    """(3, S, S) unit normals of a relief whose plane is 2 wide; z to the camera."""
    down, right = np.gradient(height, 2 / THING)
    normals = np.stack([-right, -down, np.ones_like(height)])
    return normals / np.linalg.norm(normals, axis=0)


def _direction(rng: np.random.Generator) -> np.ndarray:
    """(3,) unit vector to a light, 10-80 degrees above the picture's plane."""
    around, above = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(10, 80))
    return np.array([np.cos(around) * np.cos(above), np.sin(around) * np.cos(above), np.sin(above)])


def _light(rng: np.random.Generator, height: np.ndarray) -> np.ndarray:
    """(S, S) how bright the relief is under one light and what is around, about 0-1.5."""
    normals, around = _slopes(height), rng.uniform(0.05, 0.6)
    direct = np.einsum("cij,c->ij", normals, _direction(rng)).clip(0)
    if rng.random() < 0.3:  # light from a second side
        direct = direct + rng.uniform(0.2, 0.7) * np.einsum(
            "cij,c->ij", normals, _direction(rng)
        ).clip(0)
    return around + (1.4 - around) * direct


def _highlight(rng: np.random.Generator, height: np.ndarray) -> np.ndarray:
    """(S, S) 0-1: the mirror image of a light; all 0 on a dull thing."""
    if rng.random() < 0.5:
        return np.zeros_like(height)
    half = _direction(rng) + np.array([0, 0, 1])
    share = np.einsum("cij,c->ij", _slopes(height), half / np.linalg.norm(half))
    return share.clip(0) ** np.exp(rng.uniform(np.log(4), np.log(120)))


def _stained(rng: np.random.Generator) -> np.ndarray:
    """(S, S, 3) float 0-255: a colour, half of the time a gray, with stains and lettering."""
    colour = any_colour(rng)
    if rng.random() < 0.5:
        colour = np.full(3, colour.mean()) * np.exp(rng.normal(0, 0.04, 3))
    ground = colour * np.exp(rng.exponential(0.12) * _grain(rng))[..., None]
    picture = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        draw_text(rng, picture)
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 2))))
    return np.asarray(picture).astype(np.float64)
