"""Where networks run, and with which numbers."""

import ctypes
from contextlib import suppress
from typing import Literal, get_args

from aucli.errors import OptionError

Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

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


def precision_problem(precision: str, device: str) -> str:
    """A sentence where an AU network cannot run in a precision on a resolved device, else ''."""
    if precision == "bf16" and device == "cpu":
        return (
            "precision: bf16 is for GPUs; on a CPU take int8, which takes less time, or fp32 (see "
            "docs/speed.md)."
        )
    if precision == "int8" and device != "cpu":
        return (
            f"precision: int8 is for CPUs; take bf16 or fp32 on {device}, or give the device cpu."
        )
    return ""


def _has_driver() -> bool:
    for library in _DRIVERS:
        with suppress(OSError):
            ctypes.CDLL(library)
            return True
    return False
