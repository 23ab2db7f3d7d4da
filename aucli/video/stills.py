"""Still images: which files are images, in which order, and as which pixels."""

import contextlib
import errno
import glob
import io
import re
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from aucli.errors import InputError, LibraryError, PassingError
from aucli.files import shown
from aucli.video.demux import MAX_PIXELS, check_pixels

IMAGE_SUFFIXES = frozenset({
    ".apng", ".avif", ".avifs", ".bmp", ".dib", ".heic", ".heif", ".hif", ".j2k", ".jfif", ".jp2",
    ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".qoi",
    ".tga", ".tif", ".tiff", ".webp",
})  # fmt: skip

# End the names of what aucli draws of a video and of a picture.
FILM_SUFFIX, PICTURE_SUFFIX = ".overlay.mp4", ".overlay.png"

# In Pillow's names: formats whose files hold several pictures of equal rank. The others in a
# photo (JPEG, HEIC) are previews, depths and brightness gains.
_PAGES, _FILMS = {"TIFF"}, {"PNG", "WEBP", "AVIF"}
# What begins an HEIC file, from its 5th byte on.
_HEIC = re.compile(rb"ftyp(heic|heix|hevc|hevx|heim|heis|mif1|msf1)")
_SUBFILE_TYPE = 254  # TIFF tag: 0 of a page, else of a smaller copy or a mask
# Animations leave out the time of frames that should pass at once; browsers show them so long.
_UNTIMED_SECONDS = 0.1
# Pillow's names of modes of deep pixels begin so: I, I;16, I;16B, F.
_DEEP = ("I", "F")


def is_map_picture(path: Path) -> bool:
    """Whether a file is named as aucli names the pictures of AU maps: no input of a search."""
    return re.search(r"_frame\d{6,}_face-?\d+\.png$", path.name) is not None


def is_overlay(path: Path) -> bool:
    """Whether a file is named as aucli names overlays: no input of a search."""
    return path.name.lower().endswith((FILM_SUFFIX, PICTURE_SUFFIX))


def overlay_files(stem: Path) -> Iterator[Path]:
    """The overlays that are there. stem: their folder and the start of their names."""
    for suffix in (FILM_SUFFIX, PICTURE_SUFFIX):
        if (file := stem.with_name(stem.name + suffix)).exists():
            yield file
    for path in stem.parent.glob(f"{glob.escape(stem.name)}_frame*{PICTURE_SUFFIX}"):
        if re.fullmatch(r"_frame\d{6,}", path.name[len(stem.name) : -len(PICTURE_SUFFIX)]):
            yield path


def natural_key(path: Path) -> list[tuple[bool, int, str]]:
    """Sort key that puts ``frame2.png`` before ``frame10.png``."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in parts]


def image_files(folder: Path) -> list[Path]:
    """The images directly inside a folder, in natural order, without those that aucli drew.

    Raises InputError where there are none.
    """
    files = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
    # Copies made by some systems leave "._name.jpg" companions that are no images.
    files = [
        p
        for p in files
        if not p.name.startswith(".") and not is_map_picture(p) and not is_overlay(p)
    ]
    if not files:
        raise InputError(
            f"{shown(folder)} is a folder without images (.jpg, .png, .tif and others); "
            "give a video file or a folder of images."
        )
    return sorted(files, key=natural_key)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture of a file.

    rgb: (H, W, 3) uint8. pts_seconds: of a film from its start, else NaN. note: how deep pixels
    became 8-bit, a sentence; empty for 8-bit pixels.
    """

    rgb: np.ndarray
    pts_seconds: float = np.nan
    note: str = ""


def read_image(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """(H, W, 3) uint8 RGB of the first picture of a file; see :func:`read_pictures`."""
    with contextlib.closing(read_pictures(path, max_pixels)) as pictures:
        return next(pictures).rgb


def read_pictures(path: Path, max_pixels: int = MAX_PIXELS) -> Generator[Picture, None, None]:
    """The pictures of a file: pages of a TIFF, frames of an animation, else one.

    Turned upright as the EXIF data say; what is transparent becomes white; colours become sRGB.
    Deep pixels become 8-bit by :func:`to_eight_bits`. Raises InputError, also in the middle where
    a file is damaged, and LibraryError for an HEIC photo without pillow-heif.
    """
    with _sentences(path), _open(path, path, max_pixels) as image:
        numbers = _pictures_in(image)
        film = image.format in _FILMS and len(numbers) > 1
    if not numbers:
        raise InputError(f"{shown(path)} holds no picture; save it again.")
    seconds = 0.0
    with _sentences(path), _open(path, path, max_pixels) as image:
        for number in numbers:
            with _undisturbed():
                if number:
                    image.seek(number)
                check_pixels(path, image.width, image.height, max_pixels)
                image.load()
                # Of a WebP it is known only now.
                lasts = float(image.info.get("duration") or 0) / 1000 or _UNTIMED_SECONDS
                rgb, note = _rgb(image)
            yield Picture(rgb, seconds if film else np.nan, note)
            seconds += lasts


def decode_image(stream: IO[bytes], name: object, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """(H, W, 3) uint8 RGB of the first picture of an open file; see :func:`read_pictures`."""
    with _sentences(name), _open(stream, name, max_pixels) as image, _undisturbed():
        return _rgb(image)[0]


@dataclass(frozen=True, slots=True)
class Header:
    """What an image file declares. frames: pictures in it. film: they follow each other in time."""

    frames: int
    film: bool


def read_header(path: Path, max_pixels: int = MAX_PIXELS) -> Header:
    """How many pictures a file holds, without decoding them. Raises as :func:`read_pictures`."""
    with _sentences(path), _open(path, path, max_pixels) as image:
        count = len(_pictures_in(image))
        return Header(count, image.format in _FILMS and count > 1)


def to_eight_bits(values: np.ndarray) -> tuple[np.ndarray, str]:
    """Deep grey values as uint8, and a sentence: which of them became 0 to 255.

    values: integers or floats of any shape; what is no number counts as 0. The range is that of
    the smallest even number of bits, from 8 on, that holds the largest value, so that 10-bit and
    12-bit pictures in 16-bit files are neither black nor stretched: 0 to 255, 1023, 4095 ... Floats
    up to 1 have the range 0 to 1. With negative values it reaches from the smallest to the largest.
    """
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = values.min().item(), values.max().item()
    if low < 0:
        top = high
    elif values.dtype.kind == "f" and high <= 1:
        low, top = 0, 1
    else:
        bits = max(8, int(np.ceil(high)).bit_length())
        low, top = 0, 2 ** (bits + bits % 2) - 1
        if values.dtype.kind != "f":
            shift = bits + bits % 2 - 8
            return (values >> shift).astype(np.uint8), f"grey values 0 to {top} became 0 to 255."
    scaled = (values.astype(np.float64) - low) * 255 / (top - low or 1)
    note = f"grey values {low:g} to {top:g} became 0 to 255."
    return scaled.round().clip(0, 255).astype(np.uint8), note


def _pictures_in(image: Any) -> list[int]:
    """The numbers of the pictures in a file that are to be read."""
    count = getattr(image, "n_frames", 1)
    if image.format in _FILMS:
        # The picture that an APNG shows where nothing moves is no part of the film.
        return list(range(int(count > 1 and image.info.get("default_image", False)), count))
    if image.format not in _PAGES or count == 1:
        return [image.tell()]
    numbers = []
    with _undisturbed():
        for number in range(count):
            image.seek(number)
            if not image.tag_v2.get(_SUBFILE_TYPE, 0) & 0b101:  # a smaller copy, a mask
                numbers.append(number)
    return numbers or [0]


def _rgb(image: Any) -> tuple[np.ndarray, str]:
    """(H, W, 3) uint8 of a Pillow image, and how its pixels became 8-bit."""
    from PIL import Image, ImageOps

    # Damaged EXIF data say nothing of the pixels.
    with contextlib.suppress(Exception):
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith(_DEEP):
        grey, note = to_eight_bits(np.asarray(image))
        return np.repeat(grey[..., None], 3, axis=2), note  # (H, W, 3)
    profile = image.info.get("icc_profile")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    return np.array(_srgb(image, profile)), ""


def _srgb(image: Any, profile: bytes | None) -> Any:
    """The image in sRGB, by its colour profile where it has one that fits."""
    from PIL import ImageCms

    space: Any = None
    if image.mode == "LAB":
        space = ImageCms.createProfile("LAB")
    elif profile and image.mode in ("RGB", "CMYK", "L"):
        # A damaged profile, or one of other colours than the picture has, says nothing.
        with contextlib.suppress(OSError, ValueError, TypeError, ImageCms.PyCMSError):
            space = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "srgb" in ImageCms.getProfileDescription(space).lower():
                space = None
    if space is not None:
        try:
            made = ImageCms.profileToProfile(image, space, _srgb_profile(), outputMode="RGB")
        except ImageCms.PyCMSError:
            if image.mode == "LAB":
                raise
        else:
            return made
    return image.convert("RGB")


@cache
def _srgb_profile() -> Any:
    from PIL import ImageCms

    return ImageCms.createProfile("sRGB")


@contextlib.contextmanager
def _open(file: Path | IO[bytes], name: object, max_pixels: int) -> Iterator[Any]:
    from PIL import Image

    _with_heic()
    with _undisturbed():
        image = Image.open(file)
    with image:
        check_pixels(name, image.width, image.height, max_pixels)
        yield image


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Pillow's limit of the size gives way to ours, and its warnings to our sentences."""
    from PIL import Image

    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


@cache
def _with_heic() -> bool:
    """Whether Pillow reads HEIC, which pillow-heif teaches it."""
    try:
        import pillow_heif  # pyright: ignore[reportMissingImports]
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False)
    return True


@contextlib.contextmanager
def _sentences(name: object) -> Iterator[None]:
    """What Pillow raises for a damaged file becomes one sentence."""
    from PIL import UnidentifiedImageError

    try:
        yield
    except UnidentifiedImageError as error:
        if isinstance(name, Path) and not _with_heic() and _is_heic(name):
            raise LibraryError(
                f"{shown(name)} is an HEIC photo, which needs pillow-heif; run "
                "`pip install 'aucli[heic]'`, or save the photo as JPEG."
            ) from error
        raise InputError(
            f"{shown(name)} cannot be read as an image; open it in a viewer and save it again."
        ) from error
    except (EOFError, OSError, SyntaxError, ValueError, TypeError, KeyError) as error:
        # Pillow's own errors have no number; a damaged file may lead it to before its start.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise PassingError(
                f"{shown(name)} cannot be read ({error.strerror}); check the file."
            ) from error
        if "truncated" in str(error).lower():
            raise InputError(
                f"{shown(name)} is damaged, its picture ends too early; copy it again."
            ) from error
        raise InputError(
            f"{shown(name)} cannot be read as an image; open it in a viewer and save it again."
        ) from error


def _is_heic(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _HEIC.match(file.read(12), 4) is not None
    except OSError:
        return False
