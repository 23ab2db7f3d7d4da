"""From a licensee's folder to prepared faces: decode, find the face, crop, write with its labels.

One recording is one file that appears whole or not at all, and nothing carries over from one
recording to the next: a run that was killed continues with the recordings that are missing, and
ends with the same files as one that was not.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aucli.align import apply_matrices, face_boxes, square_matrices, warp_crops
from aucli.datasets import prepared
from aucli.datasets.adapters import Adapter, adapter, find_recordings, problems_of
from aucli.datasets.footage import Film, FrameReader
from aucli.datasets.labels import Labels
from aucli.datasets.prepared import Dropped
from aucli.datasets.recordings import Recording
from aucli.errors import AucliError, DataError, OutputError
from aucli.faces.loading import FaceNetworks
from aucli.files import PART, write_text
from aucli.records import FrameBatch

# Shape of the face in one frame, None where there is none, and how sure the network is of it.
Found = tuple[np.ndarray | None, float | None]


@dataclass(frozen=True, slots=True)
class PrepareConfig:
    """What to prepare, and how.

    dataset: a name of :data:`aucli.datasets.adapters.ADAPTERS`. camera: None for the first one.
    subjects: None for all. every: each Nth frame, from the first. size: of the crops, px.
    """

    dataset: str
    root: Path
    out: Path
    camera: str | None = None
    subjects: tuple[str, ...] | None = None
    every: int = 1
    size: int = prepared.PREPARED_CROP

    def __post_init__(self) -> None:
        for name, least in (("every", 1), ("size", 32)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class PreparedSummary:
    """What a prepared set holds. dropped: frames by reason. problems: why recordings are missing.

    absent: subjects of a complete copy of the dataset that are not in the folder.
    """

    recordings: int
    faces: int
    dropped: dict[str, int]
    problems: tuple[str, ...]
    absent: tuple[str, ...]


def prepare(
    config: PrepareConfig,
    networks: FaceNetworks | None,
    on_start: Callable[[int], None] = lambda frames: None,
    on_progress: Callable[[int], None] = lambda frames: None,
    on_problem: Callable[[str], None] = lambda sentence: None,
    on_gap: Callable[[str], None] = lambda sentence: None,
) -> PreparedSummary:
    """Write the recordings that ``config.out`` lacks, then the manifest and the dropped frames.

    networks: that find the faces; None takes those that the dataset brings. on_start:
    called once with the number of labelled frames; on_progress: with the number of those just done
    or found. on_problem: called with a sentence for each recording that is left out. on_gap: with
    one for each label file that lacks frames which others of its recording have.

    Raises:
        DataError: the folder is not that of the dataset, or ``out`` was made with other settings.
        OutputError: ``out`` holds something else, or cannot be written.
    """
    data = adapter(config.dataset)
    found = find_recordings(config.dataset, config.root, config.camera, config.subjects)
    if networks is None and not any(recording.landmarks for recording in found):
        raise DataError(
            f"{config.root} holds no landmarks for this camera; let a network find them."
        )
    _claim(config.out, _settings(config, data, networks))
    on_start(sum(len(recording.labels) for recording in found))
    problems: list[str] = []
    for recording in found:
        for sentence in recording.labels.gaps:
            on_gap(sentence)
        path = prepared.shard_path(config.out, recording.video)
        sentences: list[str] = []
        if not path.exists():
            sentences = problems_of(recording)
            if not sentences:
                try:
                    _prepare_one(recording, path, data.aus, config, networks)
                except AucliError as error:
                    if isinstance(error, OutputError):
                        raise
                    sentences = [str(error)]
        elif prepared.shard_facts(path)["labels"] not in ("", _digest(recording.labels)):
            sentences = [
                f"{path} was made with other labels than those of {config.root} now; delete it and "
                "run this again."
            ]
        for sentence in sentences:
            on_problem(sentence)
        problems += sentences
        on_progress(len(recording.labels))
    there = {recording.subject for recording in found}
    absent = () if config.subjects else tuple(s for s in data.subjects if s not in there)
    return _finish(config.out, _settings(config, data, networks), problems, absent)


def _settings(
    config: PrepareConfig, data: Adapter, networks: FaceNetworks | None
) -> dict[str, Any]:
    """All that decides the files; a set is continued only with the same."""
    told = networks and networks.provenance
    return {
        "version": prepared.FORMAT_VERSION,
        "dataset": config.dataset,
        "camera": data.camera(config.camera),
        "aus": list(data.aus),
        "landmarks": told or "dataset",
        "every": config.every,
        "size": config.size,
        "scale": prepared.CROP_SCALE,
        "jpeg_quality": prepared.JPEG_QUALITY,
    }


def _digest(labels: Labels) -> str:
    return prepared.digest([labels.frame_index, labels.intensities])


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Begin a set in an empty folder, or continue one of the same settings."""
    manifest = out / prepared.MANIFEST
    if manifest.exists():
        before = prepared.read_manifest(out)["settings"]
        other = sorted(
            k for k in settings.keys() | before.keys() if settings.get(k) != before.get(k)
        )
        if other:
            raise DataError(
                f"{out} holds a set that was prepared with another {' and '.join(other)}; "
                "use another out folder."
            )
        return
    # All that a run which was killed at its very start may leave.
    begun = f".{prepared.MANIFEST}*{PART}"
    if out.exists() and (not out.is_dir() or set(out.iterdir()) - set(out.glob(begun))):
        raise OutputError(f"{out} exists and is not a prepared set; use another out folder.")
    try:
        write_text(manifest, json.dumps({"settings": settings}, indent=1) + "\n")
    except OSError as error:
        raise OutputError(f"{out} cannot be written ({error.strerror}).") from error


def _prepare_one(
    recording: Recording,
    path: Path,
    aus: tuple[str, ...],
    config: PrepareConfig,
    networks: FaceNetworks | None,
) -> None:
    """Write the file of one recording. Raises AucliError where its frames do not fit its labels."""
    labels = recording.labels
    due = labels.frame_index % config.every == 0
    scorable = np.isfinite(labels.intensities).any(1)
    rows = {int(labels.frame_index[i]): int(i) for i in np.flatnonzero(due & scorable)}
    assert recording.frames is not None
    reader = FrameReader(recording.frames, np.array(list(rows), np.int64))
    reasons: dict[int, str] = {}
    columns: dict[str, list[Any]] = {name: [] for name in prepared.shard_schema(aus).names[2:]}
    for batch, found in _find(recording, reader, networks):
        shown = [i for i, (shape, _) in enumerate(found) if shape is not None]
        for i in sorted(set(range(len(batch))) - set(shown)):
            reasons[int(batch.frame_index[i])] = "no face" if networks else "no landmarks"
        if not shown:
            continue
        shapes = np.stack([np.asarray(found[i][0], np.float64) for i in shown])  # (n, 68, 2)
        matrices = square_matrices(face_boxes(shapes), config.size, prepared.CROP_SCALE)
        crops = warp_crops([batch.frames[i] for i in shown], matrices, config.size)
        shapes = apply_matrices(shapes, matrices).astype(np.float32)
        for i, crop, shape in zip(shown, crops, shapes, strict=True):
            index = int(batch.frame_index[i])
            intensities = labels.intensities[rows[index]].tolist()
            columns["frame_index"].append(index)
            columns["confidence"].append(found[i][1])
            columns["image"].append(prepared.to_jpeg(crop))
            columns["landmarks"].append(shape.reshape(-1))
            for au, value in zip(aus, intensities, strict=True):
                columns[au].append(None if np.isnan(value) else value)
    if short := recording.too_short(reader.total):
        raise DataError(short)
    reasons |= dict.fromkeys(reader.unreadable, "unreadable")
    reasons |= dict.fromkeys(labels.frame_index[due & ~scorable].tolist(), "unscorable")
    reasons |= dict.fromkeys(recording.bad[recording.bad % config.every == 0].tolist(), "bad range")
    labelled = {*labels.frame_index.tolist(), *recording.bad.tolist()}
    for index in range(0, reader.total, config.every):
        if index not in labelled:
            reasons[index] = "not coded"
    dropped = _runs(reasons, config.every)
    try:
        told = _digest(labels)
        prepared.write_shard(path, aus, recording.subject, recording.video, columns, dropped, told)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}); make room.") from error


def _find(
    recording: Recording, reader: FrameReader, networks: FaceNetworks | None
) -> Iterator[tuple[FrameBatch, list[Found]]]:
    """The largest face of each frame, or the dataset's own landmarks."""
    if networks is None:
        landmarks = recording.landmarks
        if landmarks is None:
            raise DataError(
                f"The dataset brings no landmarks for {recording.video}; use the networks instead."
            )
        for batch in reader:
            yield batch, [(landmarks(int(index)), None) for index in batch.frame_index]
        return
    # Pictures carry no time to follow a face through.
    film = isinstance(recording.frames, Film)
    finder = networks.finder(unrelated=not film)
    for batch, frames in finder.find(reader):
        yield (
            batch,
            [(f[0].landmarks, float(f[0].confidence)) if f else (None, None) for f in frames],
        )


def _runs(reasons: dict[int, str], every: int) -> list[Dropped]:
    """Frames with the same reason, one step from each other, as runs; sorted by their start."""
    runs: list[Dropped] = []
    for index, reason in sorted(reasons.items()):
        last = runs[-1] if runs else None
        if last and last.reason == reason and index == last.last + every:
            runs[-1] = Dropped(reason, last.first, index, last.frames + 1)
        else:
            runs.append(Dropped(reason, index, index, 1))
    return runs


def _finish(
    out: Path, settings: dict[str, Any], problems: Collection[str], absent: tuple[str, ...]
) -> PreparedSummary:
    """Write the manifest and the dropped frames from what the files say about themselves."""
    facts = [prepared.shard_facts(path) for path in prepared.shards(out)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["subject", "video", "reason", "first", "last", "frames"])
    dropped: Counter[str] = Counter()
    listed = []
    for fact in facts:
        own: Counter[str] = Counter()
        for run in fact["dropped"]:
            own[run.reason] += run.frames
            writer.writerow([fact["subject"], fact["video"], *asdict(run).values()])
        dropped += own
        listed.append({**fact, "dropped": dict(sorted(own.items()))})
    faces = sum(fact["faces"] for fact in facts)
    left_out = dict(sorted(dropped.items()))
    summary = PreparedSummary(len(facts), faces, left_out, tuple(problems), absent)
    manifest = {
        "settings": settings,
        "faces": faces,
        "dropped": left_out,
        "problems": list(problems),
        "recordings": listed,
    }
    try:
        write_text(out / prepared.DROPPED, text.getvalue())
        write_text(out / prepared.MANIFEST, json.dumps(manifest, indent=1) + "\n")
    except OSError as error:
        raise OutputError(f"{out} cannot be written ({error.strerror}).") from error
    return summary
