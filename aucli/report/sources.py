"""Whether a table and a video belong together."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aucli.errors import DataError
from aucli.files import shown
from aucli.pipeline.original import checksum

if TYPE_CHECKING:
    import pandas as pd


def rows_of(table: "pd.DataFrame", video: Path, file: Path) -> "pd.DataFrame":
    """The rows of a table that are of this video: all where it holds only one.

    Raises DataError where it holds several, and none or more than one is named as this one.
    """
    labels = list(dict.fromkeys(table["video"].tolist()))
    if len(labels) < 2:
        return table
    names = {shown(video.name), video.stem}
    own = [label for label in labels if Path(str(label)).name in names or label in names]
    if len(own) != 1:
        few = ", ".join(map(shown, labels[:5])) + (", ..." if len(labels) > 5 else "")
        which = "none of them is" if not own else f"{len(own)} are"
        raise DataError(
            f"{shown(file)} holds {len(labels)} videos ({few}), and {which} named "
            f"{shown(video.name)}; give a table of this video alone."
        )
    return cast("pd.DataFrame", table[table["video"] == own[0]])


def source_of(provenance: Mapping[str, Any], video: Path) -> dict[str, Any]:
    """What a table's provenance says of the video that it was made of; empty where nothing."""
    inputs = [entry.get("input", {}) for entry in provenance.get("inputs", [])]
    own = [entry for entry in inputs if entry.get("name") == shown(video.name)]
    told = provenance.get("input") or (own[0] if len(own) == 1 else {})
    return dict(told) if isinstance(told, Mapping) else {}


def is_source(told: Mapping[str, Any], video: Path) -> bool:
    """Whether a video may be the one that a table was made of, by its checksum.

    Raises InputError where the video cannot be read.
    """
    # Where nothing is known, the frames' times tell later.
    return not told.get("sha256") or checksum(video) == told["sha256"]
