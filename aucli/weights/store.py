"""Where weights lie: the embedded folder, the user's cache, and the two files of each name.

Every name has ``<name>.safetensors`` and ``<name>.json`` (its card), and may have ``<name>.onnx``,
the same network exported, and ``<name>.int8.onnx``, the same in int8; see :mod:`.cards`.
Nothing here needs torch, so that listing and verifying answer at once.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs

from aucli.errors import WeightsError
from aucli.models.device import Precision

PACKAGE = Path(__file__).resolve().parents[1]  # aucli/
MAX_FILE_BYTES = 2 << 30  # that is read from elsewhere; the largest published file has 0.2 GB
MAX_CARD_BYTES = 1 << 20
LARGEST = 4096  # of the numbers in a config: widths, maps, sizes in px
CACHE_VARIABLE = "AUCLI_WEIGHTS"  # of the environment: a folder that takes the cache's place


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _count(value: Any, largest: int = LARGEST) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest


def _setting(value: Any) -> bool:
    """Whether a value may stand in a config: numbers that no machine could build are refused."""
    if isinstance(value, list):
        return len(value) <= 16 and all(map(_setting, value))
    return value is None or isinstance(value, bool | str) or _count(value)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e9  # NaN is not


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_finite, value))


# Where a card tells the checksum of an exported form, and how the form's file ends.
EXPORTS: dict[Precision, tuple[str, str]] = {
    "fp32": ("onnx", ".onnx"),
    "int8": ("int8", ".int8.onnx"),
}


def _file(told: Any) -> bool:
    return (
        isinstance(told, dict)
        and _text(told.get("sha256"))
        and _count(told.get("bytes"), MAX_FILE_BYTES)
    )


# What the values of a card must be, and how a message says it.
_NEEDED = ("kind", "config", "sha256", "bytes")
_KEYS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "kind": (_text, "a text"),
    "config": (
        lambda told: isinstance(told, dict) and all(map(_setting, told.values())),
        f"an object of texts and of whole numbers up to {LARGEST}",
    ),
    "sha256": (_text, "a text"),
    "bytes": (lambda told: _count(told, MAX_FILE_BYTES), "a number of bytes"),
    "architecture": (_text, "a text"),
    "template": (_text, "a text"),
    "normalisation": (_text, "a text"),
    "aus": (_texts, "a list of AUs"),
    "maps": (_texts, "a list of names"),
    "sides": (lambda told: isinstance(told, bool), "true or false"),
    "crop_size": (_count, f"a whole number up to {LARGEST}"),
    "mean": (lambda told: _numbers(told) and len(told) == 3, "3 numbers"),
    "std": (lambda told: _numbers(told) and len(told) == 3 and 0 not in told, "3 numbers but 0"),
    "scale": (_numbers, "a list of numbers"),
    "offset": (_numbers, "a list of numbers"),
    "rest": (_numbers, "a list of numbers"),
    "heatmap_scale": (lambda told: _finite(told) and told > 0, "a number above 0"),
    "threshold": (_finite, "a number"),
    "readout": (lambda told: isinstance(told, dict), "an object"),
    "gaze": (lambda told: isinstance(told, bool), "true or false"),
    **{key: (_file, "the sha256 and the bytes of a file") for key, _ in EXPORTS.values()},
}


def weights_dir() -> Path:
    """Folder of the embedded weights: ``weights/`` of a checkout, else inside the package."""
    root = PACKAGE.parent
    return root / "weights" if (root / "pyproject.toml").is_file() else PACKAGE / "_weights"


def cache_dir() -> Path:
    """Folder of pulled and imported weights; it need not exist."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    return platformdirs.user_cache_path("aucli", appauthor=False) / "weights"


def list_embedded() -> list[str]:
    """Names of the weights that travel with the package, sorted."""
    return _names(weights_dir())


def list_cached() -> list[str]:
    """Names of the pulled and imported weights, sorted."""
    return _names(cache_dir())


def _names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.safetensors") if card_file(path).is_file())


def find(name: str) -> Path | None:
    """Path without suffix of an embedded or else a cached name; None where it is neither."""
    if name in list_embedded():
        return weights_dir() / name
    return cache_dir() / name if name in list_cached() else None


def tensors_file(stem: Path) -> Path:
    """``<stem>.safetensors``; a stem may have dots of its own."""
    return stem.parent / (stem.name + ".safetensors")


def exported_file(path: Path, precision: Precision = "fp32") -> Path:
    """``<stem>.onnx`` or ``<stem>.int8.onnx`` for ``<stem>.safetensors`` or a stem."""
    return path.parent / (path.name.removesuffix(".safetensors") + EXPORTS[precision][1])


def card_file(path: Path) -> Path:
    """``<stem>.json`` for ``<stem>.safetensors`` or a stem."""
    return path.parent / (path.name.removesuffix(".safetensors") + ".json")


def read_card_file(path: Path) -> dict[str, Any]:
    """A card that names its tensors' sha256 and bytes. Raises WeightsError."""
    try:
        if path.stat().st_size > MAX_CARD_BYTES:
            raise WeightsError(f"card {path} is too large for a card; restore it")
        card = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise WeightsError(
            f"card {path} cannot be read ({error.strerror or error}); restore it"
        ) from error
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"card {path} is not valid JSON; restore it") from error
    if not isinstance(card, dict):
        raise WeightsError(f"card {path} is not a JSON object; restore it")
    missing = [key for key in _KEYS if key not in card and key in _NEEDED]
    if missing:
        raise WeightsError(f"card {path} lacks {', '.join(missing)}; restore it")
    for key, (is_right, what) in _KEYS.items():
        if key in card and not is_right(card[key]):
            raise WeightsError(f"card {path}: {key} is not {what}; restore it")
    return card


def read_checked(path: Path, card: dict[str, Any]) -> bytes:
    """The bytes of a weights file that is the one its card describes. Raises WeightsError.

    card: with the file's ``sha256`` and ``bytes``.
    """
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"weights file {path} cannot be read ({error.strerror or error}); copy it again"
        ) from error
    if len(blob) < card["bytes"]:
        raise WeightsError(
            f"weights file {path} is truncated: {len(blob)} of {card['bytes']} bytes; copy it again"
        )
    sha256 = hashlib.sha256(blob).hexdigest()
    if sha256 != card["sha256"]:
        raise WeightsError(
            f"weights file {path} is not the one its card describes (sha256 {sha256[:12]}..., "
            f"expected {card['sha256'][:12]}...); copy both files again"
        )
    return blob


def read_exported(path: Path, card: dict[str, Any], precision: Precision = "fp32") -> bytes:
    """The bytes of an exported form of weights, which their card names. Raises WeightsError."""
    key, _ = EXPORTS.get(precision, EXPORTS["fp32"])
    try:
        return read_checked(exported_file(path, precision), card[key])
    except WeightsError as error:
        if path.parent == weights_dir():  # nobody exports what came with aucli
            raise
        what = str(error).rpartition("; ")[0]
        command = (
            f"`aucli weights export {path} --precision int8 --faces FACES`"
            if precision == "int8"
            else f"`aucli weights export {path}`"
        )
        raise WeightsError(f"{what}; run {command}, which writes it") from error


# Stands in ``train_subjects`` for the people of weights that a run began with and that do not say
# on whom they were trained; its names are those of the weights.
UNKNOWN_PEOPLE = "unknown"


def checked_people(told: Any, where: object) -> dict[str, tuple[str, ...]]:
    """``train_subjects`` of a card or checkpoint: dataset -> subjects. Raises WeightsError."""
    sound = isinstance(told, dict) and all(
        isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
        for names in told.values()
    )
    if not sound:
        raise WeightsError(
            f"{where} does not say in a readable way on whom the network was trained; restore it"
        )
    return {str(dataset): tuple(names) for dataset, names in told.items()}


def people_of(card: dict[str, Any], where: object) -> dict[str, tuple[str, ...]] | None:
    """On whom a network was trained, as its card tells: dataset -> subjects.

    None where the card does not say. where: what a message calls the card. Raises WeightsError.
    """
    provenance = card.get("provenance")
    if not isinstance(provenance, dict) or "train_subjects" not in provenance:
        return None
    return checked_people(provenance["train_subjects"], where)


def check(stem: Path) -> None:
    """Raise a WeightsError unless the files of a name are whole and belong together."""
    card = read_card_file(card_file(stem))
    read_checked(tensors_file(stem), card)
    for precision, (key, _) in EXPORTS.items():
        if key in card:
            read_exported(tensors_file(stem), card, precision)
