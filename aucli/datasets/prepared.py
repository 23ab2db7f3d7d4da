"""Prepared faces: what ``aucli prepare`` writes and training reads.

A folder holds manifest.json (how it was made, and what is in it), dropped.csv (every frame that was
left out, and why) and faces/, one Parquet file for each recording, a row for each face:

    subject, video, frame_index, confidence (0-1, null for the dataset's own landmarks),
    image (JPEG, a square of CROP_SCALE times the face's extent), landmarks (68 x and y in turn,
    crop px), AU01 ... (0-5, null where unscorable or not coded)

The crop is upright as in the frame and wider than any template needs, so that training aligns it by
the landmarks with a jitter of its own.
"""

import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from aucli.aus import MAX_INTENSITY
from aucli.datasets.pixels import decode
from aucli.errors import DataError
from aucli.files import shown, write_whole

FORMAT_VERSION = 2  # 1 called the column confidence face_score; it is read like 2
PREPARED_CROP = 320  # the face is as large as in a 256 px crop of template bmvc2018
CROP_SCALE = 1.6  # side of the crop over the longer side of the face box
JPEG_QUALITY = 95
MAX_CROP = 4096  # px
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
    labels: str = "",
) -> None:
    """Write the file of one recording, whole or not at all. columns: without subject and video.
    labels: their sha256, by which a later run sees that they are others.

    Raises OSError.
    """
    told = {
        "subject": subject,
        "video": video,
        "pictures": digest(columns["image"]),
        "labels": labels,
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
        pq.write_table(table, stream, compression="none", write_page_checksum=True)


def digest(parts: Iterable[bytes | np.ndarray]) -> str:
    """sha256 of some bytes and arrays, one after the other."""
    told = hashlib.sha256()
    for part in parts:
        told.update(part.tobytes() if isinstance(part, np.ndarray) else part)
    return told.hexdigest()


def shards(root: Path) -> list[Path]:
    """The finished files of a prepared set, sorted."""
    return sorted((root / "faces").glob("*.parquet"))


def shard_facts(path: Path) -> dict[str, Any]:
    """What a file says about itself: subject, video, faces, pictures and labels (their sha256; ''
    where it is not told) and dropped (as of :class:`Dropped`).

    Raises DataError for a damaged one.
    """
    try:
        metadata = pq.read_metadata(path)
        told = json.loads((metadata.metadata or {})[METADATA_KEY])
        return {
            "subject": str(told["subject"]),
            "video": str(told["video"]),
            "faces": metadata.num_rows,
            "pictures": str(told.get("pictures", "")),
            "labels": str(told.get("labels", "")),
            "dropped": [Dropped(str(row[0]), *map(int, row[1:])) for row in told["dropped"]],
        }
    except Exception as error:  # what a damaged file raises is open-ended
        raise _damaged(path) from error


def _damaged(path: Path) -> DataError:
    return DataError(f"{shown(path)} is damaged; delete it and run `aucli prepare` again.")


def read_manifest(root: Path) -> dict[str, Any]:
    """How a set was made and what it holds. Raises DataError where there is none."""
    path = root / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} is missing; make the set with `aucli prepare`.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read; make the set anew.") from error
    settings = manifest.get("settings") if isinstance(manifest, dict) else None
    if not isinstance(settings, dict) or "dataset" not in settings:  # that of rendered faces
        raise DataError(f"{root} is no prepared set; give a folder that `aucli prepare` made.")
    version = settings.get("version", FORMAT_VERSION)
    if not isinstance(version, int) or not isinstance(settings["dataset"], str):
        raise DataError(f"{path} cannot be read; make the set anew.")
    if version > FORMAT_VERSION:
        raise DataError(f"{root} was made by a newer aucli; update this one.")
    return manifest


def count_faces(root: Path, dataset: str) -> dict[str, int]:
    """How many faces of each subject a set of a dataset holds; those without any are left out.

    Raises DataError for a set of another dataset, for one that is not finished, and where two
    subjects are shown by the same pictures: one of them would be trained on and tested.
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
    shown_in: dict[str, tuple[str, Path]] = {}  # pictures -> whom they show, and where
    for path in shards(root):
        fact = shard_facts(path)
        counts[fact["subject"]] += fact["faces"]
        if not fact["pictures"] or not fact["faces"]:
            continue
        subject, other = shown_in.setdefault(fact["pictures"], (fact["subject"], path))
        if subject != fact["subject"]:
            raise DataError(
                f"{shown(other)} and {shown(path)} hold the same pictures as of the subjects "
                f"{subject} and {fact['subject']}; find out whom they show, and prepare them anew."
            )
    return dict(+counts)


class PreparedFaces:
    """The faces of a prepared set in memory, their images as JPEG (about 25 kB each).

    labels: columns subject, video, frame_index and the AUs (float32, 0-5, NaN where not coded), one
    row a face. landmarks: (N, 68, 2) float32 px of the crop. size: of the crops, px.
    """

    def __init__(self, root: Path, subjects: Collection[str] | None = None) -> None:
        """Read a whole set or some of its subjects. Raises DataError where it holds no face."""
        settings = read_manifest(root)["settings"]
        self.root = root
        self.dataset: str = settings["dataset"]
        self.aus, self.size = _layout(root, settings)
        schema = shard_schema(self.aus)
        tables = []
        for path in shards(root):
            if subjects is None:
                tables.append(_read_shard(path, schema))
            elif (subject := shard_facts(path)["subject"]) in subjects:
                tables.append(_read_shard(path, schema, subject))
        table = pa.concat_tables(tables) if tables else schema.empty_table()
        if not len(table):
            raise DataError(f"{root} holds no face of these subjects; prepare them first.")
        self._images = table["image"]
        flat = table["landmarks"].combine_chunks().flatten().to_numpy()
        self.landmarks: np.ndarray = flat.reshape(-1, 68, 2)  # (N, 68, 2)
        columns = ["subject", "video", "frame_index", *self.aus]
        self.labels: pd.DataFrame = table.select(columns).to_pandas()

    def __len__(self) -> int:
        return len(self._images)

    @property
    def fingerprint(self) -> str:
        """Equal for equal faces in the same order: sha256 of whom and what they show, of their
        landmarks and of the sizes of their pictures."""
        names = self.labels[["subject", "video"]].to_csv(index=False).encode()
        numbers = self.labels[["frame_index", *self.aus]].to_numpy(np.float64)
        sizes = pc.call_function("binary_length", [self._images]).to_numpy()
        return digest([names, numbers, self.landmarks, sizes])

    def image(self, index: int) -> np.ndarray:
        """(S, S, 3) uint8 RGB. Raises DataError for a damaged picture."""
        where = f"the picture of face {index} in {shown(self.root)}"
        return decode(self._images[index].as_py(), "RGB", self.size, where)


def _layout(root: Path, settings: Mapping[str, Any]) -> tuple[tuple[str, ...], int]:
    """The AUs and the side of the crops, px, that a manifest tells. Raises DataError."""
    aus, size = settings.get("aus"), settings.get("size")
    known = isinstance(aus, list) and all(re.fullmatch(r"AU\d\d", str(au)) for au in aus)
    if not known or not aus or not isinstance(size, int) or not 0 < size <= MAX_CROP:
        raise DataError(f"{shown(root / MANIFEST)} cannot be read; make the set anew.")
    return tuple(aus), size


def _read_shard(path: Path, schema: pa.Schema, subject: str | None = None) -> pa.Table:
    """The rows of one file, its checksums compared. subject: whom all rows must show.

    Raises DataError.
    """
    try:
        table = pq.read_table(path, schema=schema, page_checksum_verification=True)
    except Exception as error:  # what a damaged file raises is open-ended
        raise _damaged(path) from error
    landmarks = table["landmarks"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    intensities = table.select(schema.names[6:]).to_pandas().to_numpy(np.float64)
    sound = (
        len(landmarks) == 136 * len(table)
        and np.isfinite(landmarks).all()
        and not ((intensities < 0) | (intensities > MAX_INTENSITY)).any()
        and not table["image"].null_count
        and (subject is None or {*table["subject"].to_pylist()} <= {subject})
    )
    if not sound:
        raise _damaged(path)
    return table
