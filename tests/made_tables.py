"""Small tables of given intensities, written as ``aucli analyze`` writes them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aucli.table.schema import Columns, Rows, to_record_batch
from aucli.table.writer import TableWriter


def made_rows(
    levels: Mapping[str, Sequence[float]],
    fps: float = 10.0,
    times: Sequence[float] | None = None,
    face_id: int | Sequence[int] = 0,
    sides: Sequence[Sequence[float]] | None = None,
    frames: Sequence[int] | None = None,
) -> Rows:
    """levels: AU -> (N,) intensities, NaN in a frame without a face. times: seconds, instead of
    fps. face_id: of all rows, or (N,). sides: (N, 2) of every AU. frames: (N,), from 0."""
    values = np.array(list(levels.values()), np.float32).T  # (N, A)
    count, aus = values.shape
    known = np.asarray(np.isfinite(values).all(1))
    index = np.arange(count) if frames is None else np.array(frames)
    seconds = index / fps if times is None else np.array(times, float)
    both = np.array(sides, np.float32)[:, None] if sides is not None else values[..., None]
    return Rows(
        frame_index=index.astype(np.int64),
        pts_seconds=seconds.astype(np.float64),
        face_id=np.where(known, face_id, -1).astype(np.int32),
        success=known,
        confidence=np.where(known, 0.9, np.nan).astype(np.float32),
        bbox_xyxy_px=np.where(known[:, None], [10, 20, 110, 140], np.nan).astype(np.float32),
        pose_radians=np.where(known[:, None], [0.1, 0.2, 0.3], np.nan).astype(np.float32),
        landmarks=np.full((count, 68, 2), 5, np.float32),
        intensities=values,
        sides=np.broadcast_to(both, (count, aus, 2)).astype(np.float32),
        places=np.full((count, aus, 2, 2), 7, np.float32),
        raw_intensities=values,
        raw_sides=np.broadcast_to(both, (count, aus, 2)).astype(np.float32),
        quality=np.zeros((count, 6), bool),
    )


def write_table(
    target: Path,
    rows: Rows | Sequence[tuple[str, Rows]],
    aus: Sequence[str] = ("AU12",),
    table_format: str | None = None,
    provenance: Mapping[str, Any] | None = None,
    pictures: Mapping[int, str] | None = None,
    **groups: bool,
) -> Path:
    """A table of one video, called like the file with .mp4, or of several (name, rows). pictures:
    names of files, of a folder of pictures."""
    columns = Columns(tuple(aus), picture=pictures is not None, **groups)
    kind = table_format or target.suffix.removeprefix(".")
    parts = [(f"{target.stem}.mp4", rows)] if isinstance(rows, Rows) else rows
    target.parent.mkdir(parents=True, exist_ok=True)
    with TableWriter(target, columns.schema(), kind, overwrite=True) as writer:
        for video, own in parts:
            writer.write(to_record_batch(columns, video, own, pictures))
        writer.provenance = {"aucli": "0"} if provenance is None else provenance
    return target
