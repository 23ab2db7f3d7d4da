"""The optional library face-alignment, of which FAN and some detectors are; no torch is needed."""

import importlib
from types import ModuleType

from aucli.errors import LibraryError

HOW_TO_INSTALL = "pip install 'aucli[accurate]'"


def face_alignment(module: str) -> ModuleType:
    """A module of the library, such as ``models``; it is loaded at the first call.

    Raises LibraryError where it is not installed, or OpenCV, which it needs, cannot be loaded.
    """
    try:
        return importlib.import_module(f"face_alignment.{module}")
    except ImportError as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing == "face_alignment":
            raise LibraryError(
                f"the library face-alignment is not installed; run `{HOW_TO_INSTALL}`"
            ) from error
        if missing and missing != "cv2":
            raise LibraryError(
                f"face-alignment's {module} needs the library {missing}; run `pip install "
                f"{PACKAGES.get(missing, missing)}`"
            ) from error
        # The usual wheel of OpenCV opens windows and needs libGL; servers have none.
        raise LibraryError(
            f"face-alignment cannot load OpenCV ({error}); on a machine without a display run "
            "`pip uninstall -y opencv-python` and `pip install opencv-python-headless`"
        ) from error


# Wheels whose name is not that of their module.
PACKAGES = {"dlib": "dlib-bin", "skimage": "scikit-image"}
