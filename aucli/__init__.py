"""Facial Action Unit intensities, 0-5, frame by frame, with their place on the face.

    import aucli

    table = aucli.analyze("clip.mp4")             # one video as a pandas DataFrame
    analyzer = aucli.Analyzer(faces="all")        # loaded once, for many

Importing the package loads nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aucli.errors import AucliError, InputError, OptionError, WeightsError

if TYPE_CHECKING:
    from aucli.analyzer import Analyzer, analyze

__version__ = "0.2.0"
__all__ = [
    "Analyzer",
    "AucliError",
    "InputError",
    "OptionError",
    "WeightsError",
    "__version__",
    "analyze",
]


def __getattr__(name: str) -> Any:
    if name in ("Analyzer", "analyze"):
        return getattr(import_module("aucli.analyzer"), name)
    raise AttributeError(f"module 'aucli' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
