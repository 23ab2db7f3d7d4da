"""Where networks run."""

import ctypes
from contextlib import suppress

from aucli.errors import OptionError

# What the drivers of NVIDIA's and AMD's GPUs bring, on Linux and Windows.
_DRIVERS = ("libcuda.so.1", "nvcuda.dll", "libamdhip64.so")


def resolve_device(name: str) -> str:
    """'auto' -> 'cuda' where there is one, else 'cpu'; other names are checked and kept.

    Raises OptionError for a device that is unknown or not there.
    """
    if name == "cpu" or (name == "auto" and not _has_driver()):
        return "cpu"
    import torch  # takes seconds, which a machine without a GPU saves

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise OptionError(f"device: '{name}' is not there; name auto, cpu or cuda.") from error
    return name


def _has_driver() -> bool:
    for library in _DRIVERS:
        with suppress(OSError):
            ctypes.CDLL(library)
            return True
    return False
