"""Where weights lie: the embedded folder, the user's cache, and the two files of each name.

Every name has ``<name>.safetensors`` and ``<name>.json`` (its card); see :mod:`.cards`.
Nothing here needs torch, so that listing and verifying answer at once.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import platformdirs

from aucli.errors import WeightsError

PACKAGE = Path(__file__).resolve().parents[1]  # aucli/
MAX_FILE_BYTES = 2 << 30  # that is read from elsewhere; the largest published file has 0.2 GB
CACHE_VARIABLE = "AUCLI_WEIGHTS"  # of the environment: a folder that takes the cache's place


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


def card_file(path: Path) -> Path:
    """``<stem>.json`` for ``<stem>.safetensors`` or a stem."""
    return path.parent / (path.name.removesuffix(".safetensors") + ".json")


def read_card_file(path: Path) -> dict[str, Any]:
    """A card that names its tensors' sha256 and bytes. Raises WeightsError."""
    try:
        card = json.loads(path.read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise WeightsError(f"card {path} is not valid JSON; restore it") from error
    if not isinstance(card, dict):
        raise WeightsError(f"card {path} is not a JSON object; restore it")
    missing = [key for key in ("kind", "config", "sha256", "bytes") if key not in card]
    if missing:
        raise WeightsError(f"card {path} lacks {', '.join(missing)}; restore it")
    return card


def read_checked(path: Path, card: dict[str, Any]) -> bytes:
    """The bytes of a tensors file that is the one its card describes. Raises WeightsError."""
    blob = path.read_bytes()
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


def check(stem: Path) -> None:
    """Raise a WeightsError unless the two files of a name are whole and belong together."""
    read_checked(tensors_file(stem), read_card_file(card_file(stem)))
