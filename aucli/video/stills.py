"""Still images: which files are images, in which order, and as which pixels."""

import re
from pathlib import Path

import numpy as np

from aucli.errors import InputError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


def natural_key(path: Path) -> list[tuple[bool, int, str]]:
    """Sort key that puts ``frame2.png`` before ``frame10.png``."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts]


def image_files(folder: Path) -> list[Path]:
    """The images directly inside a folder, in natural order.

    Raises InputError where there are none.
    """
    files = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
    # Copies made by some systems leave "._name.jpg" companions that are no images.
    files = [p for p in files if not p.name.startswith(".")]
    if not files:
        known = ", ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(
            f"{folder} is a folder without images ({known}); "
            "give a video file or a folder of images."
        )
    return sorted(files, key=natural_key)


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned upright as its EXIF data says.

    16-bit images keep their high byte; transparency is dropped. Raises InputError.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I"):
                gray = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
                return np.repeat(gray[..., None], 3, axis=2)  # (H, W, 3)
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{path} cannot be read as an image; open it in a viewer and save it again."
        ) from error
