"""Facial Action Unit intensities, 0-5, frame by frame, with their place on the face.

``aucli.analyze(path)`` gives the table of a video as a pandas DataFrame; see
:func:`aucli.pipeline.frame.analyze`. Importing the package loads nothing heavy.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "analyze":
        return import_module("aucli.pipeline.frame").analyze
    raise AttributeError(f"module 'aucli' has no attribute {name!r}")
