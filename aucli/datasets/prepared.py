"""Prepared faces: what ``aucli prepare`` writes and training reads.

A folder holds manifest.json (how it was made, and what is in it), dropped.csv (every frame that was
left out, and why) and faces/, one Parquet file for each recording, a row for each face:

    subject, video, frame_index, confidence (0-1, null for the dataset's own landmarks),
    image (JPEG, a square of CROP_SCALE times the face's extent), landmarks (68 x and y in turn,
    crop px), AU01 ... (0-5, null where unscorable or not coded)

The crop is upright as in the frame and wider than any template needs, so that training aligns it by
the landmarks with a jitter of its own.
"""

import io
import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from aucli.errors import DataError
from aucli.files import write_whole

FORMAT_VERSION = 2  # 1 called the column confidence face_score; it is read like 2
PREPARED_CROP = 320  # the face is as large as in a 256 px crop of template bmvc2018
CROP_SCALE = 1.6  # side of the crop over the longer side of the face box
JPEG_QUALITY = 95
MANIFEST = "manifest.json"
DROPPED = "dropped.csv"
METADATA_KEY = b"aucli"


@dataclass(frozen=True, slots=True)
class Dropped:
    """A run of frames that were left out: first to last, 0-based, both included."""

    reason: str
    first: int
    last: int
    frames: int


def shard_path(root: Path, video: str) -> Path:
    return root / "faces" / f"{video}.parquet"


def shard_schema(aus: Collection[str]) -> pa.Schema:
    """The columns of the module's description."""
    return pa.schema(
        [
            ("subject", pa.string()),
            ("video", pa.string()),
            ("frame_index", pa.int64()),
            ("confidence", pa.float32()),
            ("image", pa.binary()),
            ("landmarks", pa.list_(pa.float32(), 136)),
            *((au, pa.float32()) for au in aus),
        ]
    )


def to_jpeg(crop: np.ndarray) -> bytes:
    """(S, S, 3) uint8 RGB as JPEG at full colour resolution."""
    buffer = io.BytesIO()
    Image.fromarray(crop).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def write_shard(
    path: Path,
    aus: Collection[str],
    subject: str,
    video: str,
    columns: Mapping[str, list[Any]],
    dropped: list[Dropped],
) -> None:
    """Write the file of one recording, whole or not at all. columns: without subject and video.

    Raises OSError.
    """
    told = {
        "subject": subject,
        "video": video,
        "dropped": [[run.reason, run.first, run.last, run.frames] for run in dropped],
    }
    metadata = {METADATA_KEY: json.dumps(told).encode()}
    count = len(columns["frame_index"])
    table = pa.table(
        {"subject": [subject] * count, "video": [video] * count, **columns},
        shard_schema(aus).with_metadata(metadata),
    )
    with write_whole(path) as stream:
        # JPEG does not get smaller, and the rest is small beside it.
        pq.write_table(table, stream, compression="none")


def shards(root: Path) -> list[Path]:
    """The finished files of a prepared set, sorted."""
    return sorted((root / "faces").glob("*.parquet"))


def shard_facts(path: Path) -> dict[str, Any]:
    """What a file says about itself: subject, video, faces, dropped (as of :class:`Dropped`).

    Raises DataError for a damaged one.
    """
    try:
        metadata = pq.read_metadata(path)
        told = json.loads((metadata.metadata or {})[METADATA_KEY])
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} is damaged; delete it and run `aucli prepare` again.") from error
    return {
        "subject": told["subject"],
        "video": told["video"],
        "faces": metadata.num_rows,
        "dropped": [Dropped(*row) for row in told["dropped"]],
    }


def read_manifest(root: Path) -> dict[str, Any]:
    """How a set was made and what it holds. Raises DataError where there is none."""
    path = root / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} is missing; make the set with `aucli prepare`.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read; make the set anew.") from error
    settings = manifest.get("settings", {})
    if "dataset" not in settings:  # such as that of rendered faces
        raise DataError(f"{root} is no prepared set; give a folder that `aucli prepare` made.")
    if settings.get("version", FORMAT_VERSION) > FORMAT_VERSION:
        raise DataError(f"{root} was made by a newer aucli; update this one.")
    return manifest


def count_faces(root: Path, dataset: str) -> dict[str, int]:
    """How many faces of each subject a set of a dataset holds; those without any are left out.

    Raises DataError for a set of another dataset, and for one that is not finished.
    """
    manifest = read_manifest(root)
    made_of = manifest["settings"]["dataset"]
    if made_of != dataset:
        raise DataError(
            f"{root} was prepared from {made_of}; name that dataset (--dataset {made_of}, "
            f"dataset={made_of!r})."
        )
    if "recordings" not in manifest:
        raise DataError(f"{root} is not finished; run `aucli prepare` again, it goes on.")
    counts: Counter[str] = Counter()
    for path in shards(root):
        fact = shard_facts(path)
        counts[fact["subject"]] += fact["faces"]
    return dict(+counts)


class PreparedFaces:
    """The faces of a prepared set in memory, their images as JPEG (about 25 kB each).

    labels: columns subject, video, frame_index and the AUs (float32, 0-5, NaN where not coded), one
    row a face. landmarks: (N, 68, 2) float32 px of the crop. size: of the crops, px.
    """

    def __init__(self, root: Path, subjects: Collection[str] | None = None) -> None:
        """Read a whole set or some of its subjects. Raises DataError where it holds no face."""
        manifest = read_manifest(root)
        self.dataset: str = manifest["settings"]["dataset"]
        self.aus: tuple[str, ...] = tuple(manifest["settings"]["aus"])
        self.size: int = manifest["settings"]["size"]
        paths = [
            path
            for path in shards(root)
            if subjects is None or shard_facts(path)["subject"] in subjects
        ]
        tables = [pq.read_table(path, schema=shard_schema(self.aus)) for path in paths]
        table = pa.concat_tables(tables) if tables else shard_schema(self.aus).empty_table()
        if not len(table):
            raise DataError(f"{root} holds no face of these subjects; prepare them first.")
        self._images = table["image"]
        flat = table["landmarks"].combine_chunks().flatten().to_numpy()
        self.landmarks: np.ndarray = flat.reshape(-1, 68, 2)  # (N, 68, 2)
        columns = ["subject", "video", "frame_index", *self.aus]
        self.labels: pd.DataFrame = table.select(columns).to_pandas()

    def __len__(self) -> int:
        return len(self._images)

    def image(self, index: int) -> np.ndarray:
        """(S, S, 3) uint8 RGB."""
        return np.asarray(Image.open(io.BytesIO(self._images[index].as_py())).convert("RGB"))
