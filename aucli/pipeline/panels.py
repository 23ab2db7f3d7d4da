"""One picture of all AU maps of a face: each map over the face, with the AU's name and intensity.

The colours are one scale from 0 to 5 in every tile of every picture, see :mod:`aucli.colours`.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from aucli.align import apply_matrices, face_boxes, invert_matrices, square_matrices, warp_crops
from aucli.aus import MAX_INTENSITY, NAMES
from aucli.colours import of_intensities

TILE = 232  # px
GAP = 14
LABEL = 52  # height under a tile
HEADER = 56
LEGEND = 74
MOST_COLUMNS = 7
FACE_SCALE = 1.2  # side of a tile over the face box's longer side
SHOWN_FROM = 0.15  # map values below are the network's noise
SOLID_FROM = 1.2
MOST_OPAQUE = 0.8
MARKED_FROM = 1.0  # level A of FACS: the place of a side is ringed

OUTSIDE = 225  # gray beyond the frame
INK, FAINT, PAPER = (28, 28, 30), (142, 142, 147), (255, 255, 255)
LEVELS = ("0", "1 A", "2 B", "3 C", "4 D", "5 E")


@dataclass(frozen=True, slots=True, eq=False)
class FaceMaps:
    """A face in its frame with the AU network's answer.

    frame: (H, W, 3) uint8 RGB. landmarks: (68, 2) frame px. matrix: (2, 3) frame px -> crop px.
    aus: A names. maps: (A, h, w) float, 0-5, the higher of an AU's two sides in each cell.
    intensities: (A,), 0-5. sides: (A, 2) [L, R], NaN for a side that the model does not tell.
    places: (A, 2, 2) [L, R] frame px.
    """

    frame: np.ndarray
    landmarks: np.ndarray
    matrix: np.ndarray
    aus: tuple[str, ...]
    maps: np.ndarray
    intensities: np.ndarray
    sides: np.ndarray
    places: np.ndarray


def draw_panel(face: FaceMaps, title: str, note: str = "") -> Image.Image:
    """The face as it is, then one tile for each AU; title and note stand above, the scale below."""
    box = face_boxes(face.landmarks[None])
    to_tile = square_matrices(box, TILE, FACE_SCALE)  # (1, 2, 3) frame px -> tile px
    pixels = _tile_pixels(invert_matrices(to_tile)[0])  # (TILE, TILE, 2) frame px
    colour = warp_crops(face.frame, to_tile, TILE)[0]
    size = np.array(face.frame.shape[1::-1])
    colour[((pixels < -0.5) | (pixels > size - 0.5)).any(2)] = OUTSIDE
    maps = _over_tile(face, pixels)  # (A, TILE, TILE)
    places = apply_matrices(face.places.reshape(1, -1, 2), to_tile).reshape(face.places.shape)

    count = len(face.aus) + 1
    lines = -(-count // MOST_COLUMNS)
    columns = -(-count // lines)
    width = GAP + columns * (TILE + GAP)
    height = HEADER + lines * (TILE + LABEL + GAP) + LEGEND
    panel = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(panel)
    pen.text((GAP, 18), title, INK, _font(22))
    pen.text((width - GAP, 22), note, FAINT, _font(16), anchor="ra")
    for i in range(count):
        x = GAP + i % columns * (TILE + GAP)
        y = HEADER + i // columns * (TILE + LABEL + GAP)
        if i == 0:
            panel.paste(Image.fromarray(colour), (x, y))
            continue
        a = i - 1
        tile = _blend(colour, maps[a])
        for side in (0, 1):
            # An AU that the model tells no sides of has the same place twice.
            level = face.intensities[a] if np.isnan(face.sides[a]).all() else face.sides[a, side]
            if round(float(level), 1) >= MARKED_FROM:
                tile = _ring(tile, places[a, side])
        panel.paste(Image.fromarray(tile), (x, y))
        _label(pen, x, y + TILE, face.aus[a], float(face.intensities[a]), face.sides[a])
    _legend(panel, pen, height - LEGEND)
    return panel


def _tile_pixels(to_frame: np.ndarray) -> np.ndarray:
    """(TILE, TILE, 2) frame px of a tile's pixels. to_frame: (2, 3) tile px -> frame px."""
    axis = np.arange(TILE, dtype=np.float64)
    pixels = np.stack(np.meshgrid(axis, axis), 2).reshape(1, -1, 2)  # (1, TILE * TILE, 2) x, y
    return apply_matrices(pixels, to_frame[None]).reshape(TILE, TILE, 2)


def _over_tile(face: FaceMaps, pixels: np.ndarray) -> np.ndarray:
    """(A, TILE, TILE): the maps at pixels (TILE, TILE, 2) of the frame."""
    import torch  # takes seconds, which no table needs

    from aucli.heatmaps import sample_heatmaps

    crop = apply_matrices(pixels.reshape(1, -1, 2), face.matrix[None]).reshape(pixels.shape)
    values = sample_heatmaps(torch.from_numpy(face.maps), torch.from_numpy(crop))
    return values.clamp(0, MAX_INTENSITY).numpy()


def _blend(colour: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Intensities (h, w) over a picture (h, w, 3) uint8, which turns gray under them."""
    gray = colour.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    gray = (40 + 0.75 * gray)[..., None]  # flatter, so that the colours tell more than the face
    share = (values - SHOWN_FROM) / (SOLID_FROM - SHOWN_FROM)
    opacity = MOST_OPAQUE * share.clip(0, 1)[..., None]
    return (gray * (1 - opacity) + of_intensities(values) * opacity).round().astype(np.uint8)


def _ring(tile: np.ndarray, place: np.ndarray) -> np.ndarray:
    """A white ring with a dark edge around a place (x, y) px."""
    y, x = np.mgrid[:TILE, :TILE]
    off = np.abs(np.hypot(x - place[0], y - place[1]) - 6.0)
    for width, ink in ((2.4, 20.0), (1.3, 255.0)):
        cover = (width - off).clip(0, 1)[..., None]
        tile = (tile * (1 - cover) + ink * cover).round().astype(np.uint8)
    return tile


def _label(
    pen: ImageDraw.ImageDraw, x: int, y: int, au: str, intensity: float, sides: np.ndarray
) -> None:
    """Under a tile: a bar as long as the intensity, the AU, its intensity, name and sides."""
    filled = round(TILE * intensity / MAX_INTENSITY)
    pen.rectangle((x, y + 4, x + TILE - 1, y + 7), (229, 229, 234))
    if filled:
        shade = tuple(of_intensities(np.array(intensity)).astype(int).tolist())
        pen.rectangle((x, y + 4, x + filled - 1, y + 7), shade)
    ink = INK if round(intensity, 1) >= MARKED_FROM else FAINT
    pen.text((x, y + 12), au, ink, _font(19))
    pen.text((x + TILE, y + 12), f"{intensity:.1f}", ink, _font(19), anchor="ra")
    pen.text((x, y + 35), NAMES.get(au, ""), FAINT, _font(14))
    if np.isfinite(sides).any():
        told = [f"{name} {v:.1f}" for name, v in zip("LR", sides, strict=True) if np.isfinite(v)]
        pen.text((x + TILE, y + 35), "  ".join(told), FAINT, _font(14), anchor="ra")


def _legend(panel: Image.Image, pen: ImageDraw.ImageDraw, y: int) -> None:
    """The scale as it looks over a gray face, with FACS' letters."""
    width, bar = min(panel.width - 2 * GAP, 720), 14
    values = np.tile(np.linspace(0, MAX_INTENSITY, width, dtype=np.float32), (bar, 1))
    gray = np.full((bar, width, 3), 150, np.uint8)
    panel.paste(Image.fromarray(_blend(gray, values)), (GAP, y + 12))
    for level, text in enumerate(LEVELS):
        at = GAP + level * (width - 1) / MAX_INTENSITY
        anchor = "la" if level == 0 else "ra" if level == len(LEVELS) - 1 else "ma"
        pen.text((at, y + 32), text, INK, _font(15), anchor=anchor)
    explained = (
        "Intensity, with FACS' levels. Rings: where the AU acts. L, R: the person's own sides."
    )
    if GAP + width + 30 + pen.textlength(explained, _font(15)) < panel.width:
        pen.text((GAP + width + 30, y + 12), explained, FAINT, _font(15))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
