"""The published weights that aucli knows: what they are, whose, and where they are to be had.

``weights/manifest.json`` holds an object for each name. ``page`` is where a person finds the file,
``urls`` are mirrors of it that a program may read (none: by hand only), ``sha256`` its checksum
(null: none is published, the first download's is kept), ``member`` its name inside an archive.
``card`` is what the converted weights' card says of the config, the input and the readout.
"""

import json
from dataclasses import dataclass
from typing import Any

from aucli.errors import OptionError, WeightsError
from aucli.weights.store import weights_dir

MANIFEST = weights_dir() / "manifest.json"


class UnknownNetwork(WeightsError, OptionError):
    """A name that is no network's."""


@dataclass(frozen=True, slots=True)
class Published:
    """One entry of the manifest; the fields are described above."""

    name: str
    kind: str
    architecture: str
    licence: str
    paper: str
    page: str
    urls: tuple[str, ...]
    sha256: str | None
    member: str | None
    card: dict[str, Any]

    @property
    def how(self) -> str:
        """What to do to have these weights, as the end of a sentence."""
        if self.urls:
            return f"run `aucli weights pull {self.name}`"
        return f"download it from {self.page} and run `aucli weights import {self.name} FILE`"


def read_manifest() -> dict[str, Published]:
    """All published weights by name."""
    entries = json.loads(MANIFEST.read_text("utf-8"))
    return {
        name: Published(name, **{**entry, "urls": tuple(entry["urls"])})
        for name, entry in entries.items()
    }


def published(name: str) -> Published:
    """The entry of a name. Raises UnknownNetwork for one that the manifest does not have."""
    entries = read_manifest()
    if name not in entries:
        raise UnknownNetwork(
            f"no published weights are named {name!r}; known: {', '.join(entries)}"
        )
    return entries[name]
