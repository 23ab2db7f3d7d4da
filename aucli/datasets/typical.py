"""Typical faces for a network's form in int8: rendered, prepared, or those of videos."""

from collections.abc import Callable, Iterator, Sequence
from itertools import count as endless
from pathlib import Path

import numpy as np

from aucli.align import align_matrices, warp_crops
from aucli.datasets.crops import aligned_crops
from aucli.datasets.prepared import MANIFEST, PreparedFaces
from aucli.datasets.synthetic import SHARDS, AUBatches, FaceStore
from aucli.errors import DataError
from aucli.faces.loading import load_faces
from aucli.files import shown
from aucli.records import FrameBatch
from aucli.video.source import open_video

TYPICAL = 256  # crops
BATCH = 16


def typical_crops(
    source: Path,
    template: str,
    px: int,
    count: int = TYPICAL,
    on_crops: Callable[[int], None] = lambda _: None,
) -> np.ndarray:
    """Crops (N, px, px, 3) uint8 RGB by a template of ``align.TEMPLATES``; N is at most ``count``.

    source: a folder that ``aucli synth`` or ``aucli prepare`` made, a video, a picture or a folder
    of pictures. Rendered faces are those of training, spoilt as there. on_crops: called with the
    number of crops so far. Raises DataError where there is no face, and InputError for a video that
    cannot be read.
    """
    if source.is_dir() and any(source.glob(SHARDS)):
        batches = AUBatches(FaceStore(source), BATCH, 0, crop_size=px, template=template)
        parts = (batches.batch(number).images for number in endless())
        found = (x.clip(0, 255).byte().permute(0, 2, 3, 1).numpy() for x in parts)
    elif (source / MANIFEST).exists():
        faces = PreparedFaces(source)
        index = np.linspace(0, len(faces) - 1, min(count, len(faces))).astype(int)
        chosen = np.array_split(index, -(-len(index) // BATCH))
        found = (aligned_crops(faces, part, template, px) for part in chosen)
    else:
        found = iter([_spread(_of_video(source, template, px, count), count)])
    crops: list[np.ndarray] = []
    for part in found:
        crops.extend(part)
        on_crops(len(crops))
        if len(crops) >= count:
            break
    if not crops:
        raise DataError(f"{shown(source)} shows no face; name another folder or video.")
    return np.stack(crops[:count])


def _of_video(source: Path, template: str, px: int, count: int) -> Iterator[np.ndarray]:
    """All faces of about ``count`` frames, where the video says how many it has, else of all."""
    with open_video(source) as frames:
        step = max(1, frames.info.declared_frames // count)
        batches = (_every(batch, step) for batch in frames)
        finder = load_faces(faces=None).finder(frames.unrelated)
        for batch, found in finder.find(batch for batch in batches if len(batch)):
            for frame, faces in zip(batch.frames, found, strict=True):
                for face in faces:
                    matrices = align_matrices(face.landmarks[None], template, px)
                    yield warp_crops([frame], matrices, px)[0]


def _every(batch: FrameBatch, step: int) -> FrameBatch:
    keep = batch.frame_index % step == 0
    return FrameBatch(batch.frames[keep], batch.frame_index[keep], batch.pts_seconds[keep])


def _spread(every: Iterator[np.ndarray], count: int) -> Sequence[np.ndarray]:
    """At most ``count`` of a series of unknown length, evenly spread over it."""
    kept: list[np.ndarray] = []
    step = 1
    for number, one in enumerate(every):
        if number % step == 0:
            kept.append(one)
        if len(kept) == 2 * count:
            kept, step = kept[::2], 2 * step
    chosen = np.linspace(0, len(kept) - 1, min(count, len(kept))).astype(int)
    return [kept[i] for i in chosen]
