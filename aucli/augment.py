"""Random changes of training images: light, colour, sharpness, shadows, things in front.

Images are float tensors (N, 3, H, W), RGB, 0-255, unless a docstring says otherwise. Every function
draws its parameters from the numpy Generator it is given and from nothing else, so one seed gives
one batch.
"""

import io
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from aucli.aus import MIRROR_68

NOISE_SIDE = 512
# The share of hands in a pool of sprites; they come first.
HANDS = 0.4
# Small faces are as frequent as large ones: heights in px, and the face's share of a crop's height.
SMALL_SHARE = 0.5
SMALL_FACES = (24, 80)
FACE_IN_CROP = 0.7
SHRINKING = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
ENLARGING = (Image.Resampling.BILINEAR, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC,
             Image.Resampling.LANCZOS, Image.Resampling.NEAREST)  # fmt: skip
GRAY = torch.tensor([0.299, 0.587, 0.114])


def jitter_matrices(
    rng: np.random.Generator,
    count: int,
    crop_size: int,
    rotation: float = 0.05,
    scale: float = 0.05,
    shift: float = 1.5,
) -> np.ndarray:
    """Small similarities about the middle of a crop, to compose after an alignment.

    rotation: standard deviation, radians. scale: of the log of the scale. shift: px.
    Returns (N, 2, 3) float64, crop px -> crop px.
    """
    angle, log_scale = rng.normal(0, rotation, count), rng.normal(0, scale, count)
    a, b = np.exp(log_scale) * np.cos(angle), np.exp(log_scale) * np.sin(angle)
    middle = np.full(2, (crop_size - 1) / 2)
    turn = np.stack([np.stack([a, -b], 1), np.stack([b, a], 1)], 1)  # (N, 2, 2)
    move = middle - turn @ middle + rng.normal(0, shift, (count, 2))
    return np.concatenate([turn, move[:, :, None]], 2)


def warp_rgba(image: np.ndarray, matrix: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """One premultiplied RGBA image through an affine map, transparent outside its borders.

    image: (H, W, 4) uint8, contiguous. matrix: (2, 3), image px -> output px (pixel centres at
    integers). Returns (h, w, 4) uint8. Shrinking by more than 1.5 averages whole blocks first, so
    that it does not alias. Pillow is twice as fast here as ``grid_sample`` on one core.
    """
    height, width = image.shape[:2]
    picture = Image.frombuffer("RGBa", (width, height), image, "raw", "RGBa", 0, 1)
    turn = np.asarray(matrix[:, :2], np.float64)
    shrink = 1 / max(np.sqrt(abs(np.linalg.det(turn))), 1e-6)
    block = max(1, int(min(shrink + 0.5, 16)))
    if block > 1:
        picture = picture.reduce(block)
    back = np.linalg.inv(turn)
    # Pillow puts pixel centres at halves: shift by half a pixel on both sides of the map.
    origin = (back @ (-0.5 - np.asarray(matrix[:, 2], np.float64)) + 0.5) / block
    (a, b), (c, d) = back / block
    warped = picture.transform(
        size_wh,
        Image.Transform.AFFINE,
        (a, b, origin[0], c, d, origin[1]),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(warped)


def mirror(
    flags: np.ndarray,
    images: torch.Tensor,
    landmarks: torch.Tensor,
    *swapped_68: torch.Tensor,
    sides: tuple[torch.Tensor, ...] = (),
) -> tuple[torch.Tensor, ...]:
    """Mirror the images where ``flags`` (N,) is true, with everything that has a left and a right.

    images: (N, C, H, W) any dtype. landmarks: (N, 68, 2) px. swapped_68: tensors (N, 68, ...) of
    values a landmark. sides: tensors (N, A, 2) of [L, R] values. Returns the same in that order;
    the inputs stay as they are.
    """
    chosen = torch.from_numpy(np.flatnonzero(flags))
    order = torch.from_numpy(MIRROR_68)
    images, landmarks = images.clone(), landmarks.clone()
    images[chosen] = images[chosen].flip(3)
    turned = landmarks[chosen][:, order]
    turned[..., 0] = images.shape[3] - 1 - turned[..., 0]
    landmarks[chosen] = turned
    out = [images, landmarks]
    for values in swapped_68:
        values = values.clone()
        values[chosen] = values[chosen][:, order]
        out.append(values)
    for values in sides:
        values = values.clone()
        values[chosen] = values[chosen].flip(2)
        out.append(values)
    return tuple(out)


def occlude(
    rng: np.random.Generator,
    images: torch.Tensor,
    landmarks: torch.Tensor,
    visible: torch.Tensor,
    sprites: np.ndarray,
    share: float = 0.15,
    at_mouth: float = 0.35,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Put one thing in front of a share of the images; landmarks behind it stop being visible.

    at_mouth: share of these things that are a hand held to the mouth, of the face's own colour.

    landmarks: (N, 68, 2) px. visible: (N, 68) bool. sprites: (S, h, w, 4) uint8, premultiplied,
    hands first, as ``sprite_pool`` gives them. Returns (images, visible), new tensors.
    """
    images, visible = images.clone(), visible.clone()
    size = images.shape[2]
    for i in np.flatnonzero(rng.random(len(images)) < share):
        if rng.random() < at_mouth:
            hand = sprites[rng.integers(max(1, int(HANDS * len(sprites))))]
            sprite = _in_colour_of(hand, images[i])
            points = landmarks[i].numpy()
            extent = float((points.max(0) - points.min(0)).max())
            scale = extent * rng.uniform(0.9, 1.8) / sprite.shape[0]
            angle = rng.normal(0, 0.8)
            target = points[48:].mean(0) + rng.normal(0, 0.14, 2) * extent
        else:
            sprite = sprites[rng.integers(len(sprites))]
            scale = size * np.exp(rng.uniform(np.log(0.25), np.log(0.95))) / sprite.shape[0]
            angle, target = rng.uniform(0, 2 * np.pi), rng.normal(0.5, 0.28, 2) * size
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        move = target - turn @ np.array([sprite.shape[1], sprite.shape[0]]) / 2
        front = warp_rgba(sprite, np.column_stack([turn, move]), (size, size))
        front = torch.from_numpy(front.copy()).permute(2, 0, 1).float()
        light = float(np.exp(rng.normal(0, 0.25)))
        images[i] = (front[:3] * light).clamp_(max=255) + images[i] * (1 - front[3:] / 255)
        cells = landmarks[i].round().long().clamp(0, size - 1)
        visible[i] &= front[3, cells[:, 1], cells[:, 0]] < 128
    return images, visible


def _in_colour_of(sprite: np.ndarray, image: torch.Tensor) -> np.ndarray:
    """A premultiplied sprite in the mean colour of the middle of an image (3, H, W)."""
    third = image.shape[1] // 3
    skin = image[:, third : 2 * third, third : 2 * third].mean((1, 2)).numpy()
    own = sprite[..., :3].sum((0, 1)) / max(sprite[..., 3].sum() / 255, 1)
    tinted = sprite.astype(np.float32)
    tinted[..., :3] = np.minimum(tinted[..., :3] * skin / np.maximum(own, 1), tinted[..., 3:])
    return tinted.round().astype(np.uint8)


def cut_by_frame(
    rng: np.random.Generator,
    images: torch.Tensor,
    landmarks: torch.Tensor,
    visible: torch.Tensor,
    share: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """On a share of the images the face leaves the video's frame: beyond an edge, the last row or
    column repeats, as ``align.warp_crops`` fills it. Half of the cuts are at the bottom.

    images: (N, C, H, W) any dtype. landmarks: (N, 68, 2) px. visible: (N, 68) bool.
    Returns (images, visible), new tensors.
    """
    images, visible = images.clone(), visible.clone()
    for i in np.flatnonzero(rng.random(len(images)) < share):
        side = ("bottom", "bottom", "bottom", "top", "left", "right")[rng.integers(6)]
        axis = 1 if side in ("bottom", "top") else 0
        along = landmarks[i, :, axis]
        low, high = float(along.min()), float(along.max())
        lost = rng.uniform(-0.1, 0.33) * (high - low)
        last = images.shape[2 if axis else 3] - 1
        view = images[i].transpose(1, 2) if axis == 0 else images[i]  # (C, cut axis, other)
        if side in ("bottom", "right"):
            edge = int(np.clip(high - lost, 1, last))
            view[:, edge + 1 :] = view[:, edge : edge + 1]
            visible[i] &= along <= edge
        else:
            edge = int(np.clip(low + lost, 0, last - 1))
            view[:, :edge] = view[:, edge : edge + 1]
            visible[i] &= along >= edge
    return images, visible


def cast_shadows(
    rng: np.random.Generator, images: torch.Tensor, share: float = 0.2
) -> torch.Tensor:
    """Darken one side of a soft, wavy edge on a share of the images, as a hat brim does."""
    chosen = np.flatnonzero(rng.random(len(images)) < share)
    if not len(chosen):
        return images
    size = images.shape[2]
    along = torch.linspace(-1, 1, size)
    angle = torch.from_numpy(rng.uniform(0, 2 * np.pi, (len(chosen), 1, 1))).float()
    across = along[None, None, :] * angle.cos() + along[None, :, None] * angle.sin()
    side = along[None, :, None] * angle.cos() - along[None, None, :] * angle.sin()
    wave = torch.from_numpy(rng.uniform(0, 6, (len(chosen), 1, 1))).float()
    edge = across + 0.15 * torch.sin(wave * side + wave)
    place = torch.from_numpy(rng.normal(0, 0.5, (len(chosen), 1, 1))).float()
    sharp = torch.from_numpy(np.exp(rng.uniform(0.7, 3.5, (len(chosen), 1, 1)))).float()
    depth = torch.from_numpy(rng.uniform(0.15, 0.7, (len(chosen), 1, 1))).float()
    images = images.clone()
    images[chosen] *= (1 - depth * torch.sigmoid(sharp * (edge - place)))[:, None]
    return images


@lru_cache(maxsize=1)
def _noise_bank() -> torch.Tensor:
    """(3, 512, 512) standard normal. Crops of one bank cost a tenth of fresh noise."""
    noise = np.random.default_rng(7).standard_normal((3, NOISE_SIDE, NOISE_SIDE))
    return torch.from_numpy(noise.astype(np.float32))


def _column(rng: np.random.Generator, values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32)).reshape(len(values), -1, 1, 1)


def _blur(rng: np.random.Generator, images: torch.Tensor) -> torch.Tensor:
    """Gaussian blur, sigma 0.4-2 px of its own for each image."""
    count, channels, height, width = images.shape
    sigma = 0.4 + 1.6 * rng.random(count) ** 2
    reach = np.arange(-4, 5)
    taps = np.exp(-(reach**2) / (2 * sigma[:, None] ** 2))
    taps = torch.from_numpy((taps / taps.sum(1, keepdims=True)).astype(np.float32))
    taps = taps.repeat_interleave(channels, 0)[:, None]  # (N*C, 1, 9)
    flat = F.pad(images.reshape(1, count * channels, height, width), (4, 4, 4, 4), "replicate")
    flat = F.conv2d(flat, taps[:, :, None, :], groups=count * channels)
    flat = F.conv2d(flat, taps[:, :, :, None], groups=count * channels)
    return flat.reshape(images.shape)


def _motion_blur(rng: np.random.Generator, images: torch.Tensor) -> torch.Tensor:
    """Mean along a line of 3-9 px at any angle."""
    count, channels, height, width = images.shape
    taps = np.zeros((count, 9, 9), np.float32)
    for i in range(count):
        angle, length = rng.uniform(0, np.pi), rng.uniform(1.2, 4.2)
        steps = np.linspace(-length, length, 33)
        rows = (4 + steps * np.sin(angle) + 0.5).astype(int)
        np.add.at(taps[i], (rows, (4 + steps * np.cos(angle) + 0.5).astype(int)), 1 / 33)
    kernel = torch.from_numpy(taps).repeat_interleave(channels, 0)[:, None]
    flat = F.pad(images.reshape(1, count * channels, height, width), (4, 4, 4, 4), "replicate")
    return F.conv2d(flat, kernel, groups=count * channels).reshape(images.shape)


def _each(images: torch.Tensor, change: Callable[[Image.Image], Image.Image]) -> torch.Tensor:
    """Every image through a change of a Pillow picture that keeps its size."""
    out = torch.empty_like(images)
    for i, image in enumerate(images.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)):
        picture = change(Image.fromarray(np.ascontiguousarray(image.numpy())))
        out[i] = torch.from_numpy(np.asarray(picture).astype(np.float32)).permute(2, 0, 1)
    return out


def _jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def _small_and_back(rng: np.random.Generator, images: torch.Tensor) -> torch.Tensor:
    """Down until the face is 24-80 px high, and back: it was far away, or the video is small.

    A third of the small pictures are compressed before they are enlarged.
    """
    low, high = (np.log(side / FACE_IN_CROP) for side in SMALL_FACES)

    def change(picture: Image.Image) -> Image.Image:
        factor = min(float(np.exp(rng.uniform(low, high))) / picture.height, 1.0)
        small = picture.resize(
            (max(1, round(picture.width * factor)), max(1, round(picture.height * factor))),
            SHRINKING[rng.integers(len(SHRINKING))],
        )
        if rng.random() < 0.33:
            small = _jpeg(small, int(rng.integers(35, 91)))
        return small.resize(picture.size, ENLARGING[rng.integers(len(ENLARGING))])

    return _each(images, change)


def _compress(rng: np.random.Generator, images: torch.Tensor) -> torch.Tensor:
    """Through JPEG at quality 15-85."""
    return _each(images, lambda picture: _jpeg(picture, int(rng.integers(15, 86))))


def _some(rng: np.random.Generator, images: torch.Tensor, share: float, change) -> None:
    """Apply ``change`` in place to a random share of the images."""
    chosen = np.flatnonzero(rng.random(len(images)) < share)
    if len(chosen):
        images[chosen] = change(rng, images[chosen])


def photometric(rng: np.random.Generator, images: torch.Tensor) -> torch.Tensor:
    """Blur, resolution, saturation, colour cast, gamma, contrast, brightness, noise, JPEG.

    images: (N, 3, H, W) float 0-255; it may be changed in place. Returns uint8 of that shape.
    """
    count, _, height, width = images.shape
    _some(rng, images, 0.22, _blur)
    _some(rng, images, 0.07, _motion_blur)
    _some(rng, images, SMALL_SHARE, _small_and_back)

    draw = rng.random(count)
    saturation = np.where(draw < 0.18, 0.0, np.where(draw < 0.6, rng.uniform(0.3, 1.4, count), 1.0))
    cast = np.where(draw < 0.18, 0.0, 1.0)[:, None] * rng.normal(0, 0.11, (count, 3))
    gray = torch.einsum("nchw,c->nhw", images, GRAY)[:, None]
    images = torch.lerp(gray, images, _column(rng, saturation)).mul_(1 + _column(rng, cast))

    gamma = np.where(rng.random(count) < 0.6, np.exp(rng.normal(0, 0.4, count)), 1.0)
    images = images.div_(255).clamp_(1e-4, 1).pow_(_column(rng, gamma)).mul_(255)
    mean = images.mean((1, 2, 3), keepdim=True)
    contrast = _column(rng, np.exp(rng.normal(0, 0.25, count)))
    images = images.sub_(mean).mul_(contrast).add_(mean + _column(rng, rng.normal(0, 22, count)))

    bank = _noise_bank()
    for i in np.flatnonzero(rng.random(count) < 0.5):
        y, x = rng.integers(NOISE_SIDE - height), rng.integers(NOISE_SIDE - width)
        patch = bank[:, y : y + height, x : x + width]
        images[i] += (patch if rng.random() < 0.5 else patch[:1]) * float(9 * rng.random() ** 1.5)
    images = images.clamp_(0, 255)
    _some(rng, images, 0.2, _compress)
    return images.round_().to(torch.uint8)
