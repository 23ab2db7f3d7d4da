"""Pictures inside the shards of rendered and of prepared faces."""

import io
import warnings
from typing import Literal

import numpy as np
from PIL import Image

from aucli.errors import DataError


def decode(encoded: bytes, mode: Literal["RGB", "L"], size: int, where: str) -> np.ndarray:
    """(size, size, 3) or, for mode L, (size, size) uint8.

    where: what a message calls the picture. Raises DataError where it is damaged or has another
    size.
    """
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(encoded)) as picture:
            warnings.simplefilter("error")  # of sizes that no face has
            if picture.size == (size, size):
                return np.asarray(picture.convert(mode))
    except Exception as error:  # what a damaged picture raises is open-ended
        raise DataError(f"{where} is damaged; make the set anew.") from error
    raise DataError(f"{where} has not {size} px; make the set anew.")
