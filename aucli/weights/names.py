"""Names of networks to files: one door for every kind of weights. Nothing here needs torch."""

import os
from pathlib import Path

from aucli.errors import WeightsError
from aucli.weights.manifest import Published, UnknownNetwork, read_manifest
from aucli.weights.store import (
    card_file,
    find,
    list_cached,
    list_embedded,
    read_card_file,
    tensors_file,
)

KINDS = {"au": "AU network", "detector": "face detector", "landmarks": "landmark network"}
# What the name 'builtin' means.
BUILTIN = {"au": "scc-joint", "detector": "builtin-detector", "landmarks": "builtin-landmarks"}


class AbsentNetwork(WeightsError):
    """Published weights that are not on this machine yet; ``entry`` says how to get them."""

    def __init__(self, entry: Published) -> None:
        super().__init__(f"{entry.name} is not on this machine yet; {entry.how}")
        self.entry = entry


def resolve(name_or_path: str | os.PathLike[str], kind: str | None = None) -> Path:
    """Path of the tensors for an embedded or cached name, or a path with or without its suffix.

    kind: of :data:`KINDS`; with it 'builtin' is a name, too. Raises UnknownNetwork, which names
    the networks of the kind, AbsentNetwork, or WeightsError for a file that is missing.
    """
    text = os.fspath(name_or_path)
    if os.sep in text or Path(text).suffix in (".safetensors", ".json"):
        stem = Path(text)
        if stem.suffix in (".safetensors", ".json"):
            stem = stem.with_suffix("")
    else:
        name = BUILTIN[kind] if kind and text == "builtin" else text
        found = find(name)
        if found is None:
            raise why_absent(name, kind)
        stem = found
    for path in (tensors_file(stem), card_file(stem)):
        if not path.is_file():
            raise WeightsError(
                f"weights file {path} is missing; the .safetensors and the .json belong together"
            )
    return tensors_file(stem)


def why_absent(name: str, kind: str | None = None) -> WeightsError:
    """The error for a name that is neither embedded nor in the cache. kind: that was wanted."""
    entry = read_manifest().get(name)
    if entry is not None and kind in (None, entry.kind):
        return AbsentNetwork(entry)
    known = (["builtin"] if kind else []) + known_names(kind)
    return UnknownNetwork(
        f"no {KINDS[kind] if kind else 'network'} is named {name!r}; "
        f"known are: {', '.join(known)}; "
        "give one of these or the path of a .safetensors file"
    )


def known_names(kind: str | None = None) -> list[str]:
    """Names of all networks, or of those of a kind: embedded, cached or published; sorted."""
    kinds = {name: entry.kind for name, entry in read_manifest().items()}
    kinds |= {name: _kind_here(name) for name in (*list_embedded(), *list_cached())}
    return sorted(name for name, own in kinds.items() if kind in (None, own))


def _kind_here(name: str) -> str:
    stem = find(name)
    assert stem is not None
    try:
        return read_card_file(card_file(stem))["kind"]
    except WeightsError:
        return ""  # whoever loads it hears what is wrong
