"""A model's predictions for a dataset: on prepared faces, or on the raw videos as ``analyze`` does.

Both end in ``predict_crops``, so that the number reported is the number shipped. Raw videos also
try the face networks, and are scored on every labelled frame; prepared faces are quicker and the
same for every model.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from aucli.datasets.adapters import find_recordings, load_labels
from aucli.datasets.crops import predict_faces
from aucli.datasets.folds import Fold
from aucli.datasets.frames import Film, Frames
from aucli.datasets.prepared import MANIFEST, PreparedFaces, read_manifest, shard_facts, shards
from aucli.errors import DataError
from aucli.models.predict import AUModel
from aucli.pipeline.analysis import AnalyzeOptions, Models, analyze_video
from aucli.predictions import Predictions

FOLD = "{fold}"  # in the name of a model: each fold has its own
NO_FACE = ("no face", "no landmarks", "unreadable")  # reasons for which prepare leaves frames out

OnProgress = Callable[[str, int, int], None]  # video, frames done, frames in all (0: unknown)


@dataclass(frozen=True, slots=True)
class Run:
    """Labels as of ``load_labels`` and what was predicted for them. left_out: labelled frames that
    a prepared set does not hold, for want of a face."""

    labels: pd.DataFrame
    predictions: Predictions
    left_out: int = 0


def is_prepared(root: Path) -> bool:
    """Whether a folder is a set that ``aucli prepare`` made."""
    return (root / MANIFEST).exists()


def tested(folds: dict[str, Fold], model: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each model with the subjects it is tested on: one for all, or one for each fold."""
    if FOLD in model:
        for name, fold in folds.items():
            yield model.replace(FOLD, name), fold.test
    else:
        yield model, tuple(dict.fromkeys(s for fold in folds.values() for s in fold.test))


def run_prepared(
    root: Path,
    model: AUModel,
    dataset: str,
    subjects: Collection[str] | None,
    on_progress: OnProgress = lambda video, done, total: None,
) -> Run:
    """Predict the faces of a prepared set, one subject after the other.

    subjects: None for all; those that the set lacks are passed over. Raises DataError where it is
    of another dataset or holds none of them.
    """
    made_of = read_manifest(root)["settings"]["dataset"]
    if made_of != dataset:
        raise DataError(f"{root} was prepared from {made_of}; use --dataset {made_of}.")
    facts = [shard_facts(path) for path in shards(root)]
    facts = [fact for fact in facts if subjects is None or fact["subject"] in subjects]
    there = list(dict.fromkeys(fact["subject"] for fact in facts if fact["faces"]))
    if not there:
        raise DataError(f"{root} holds no face of the subjects to test; prepare them first.")
    labels, tables = [], []
    for done, subject in enumerate(there):
        on_progress(subject, done, len(there))
        faces = PreparedFaces(root, (subject,))
        values = predict_faces(model, faces, np.arange(len(faces)))
        labels.append(faces.labels)
        where = faces.labels.loc[:, ["video", "frame_index"]]
        tables.append(_table(where, values, model.aus, np.ones(len(faces), bool)))
    on_progress(there[-1], len(there), len(there))
    left_out = sum(run.frames for fact in facts for run in fact["dropped"] if run.reason in NO_FACE)
    predictions = Predictions(pd.concat(tables, ignore_index=True), "aucli", "intensity")
    return Run(pd.concat(labels, ignore_index=True), predictions, left_out)


def run_videos(
    root: Path,
    models: Models,
    options: AnalyzeOptions,
    dataset: str,
    subjects: Collection[str] | None,
    camera: str | None = None,
    on_progress: OnProgress = lambda video, done, total: None,
) -> Run:
    """Analyze the videos of a licensee's folder; the largest face of each frame is taken.

    Raises DataError where a video or a label is missing, or pictures are still in an archive.
    """
    labels = load_labels(dataset, root, camera)
    if subjects is not None:
        labels = labels.loc[labels["subject"].isin(list(subjects))].reset_index(drop=True)
        if labels.empty:
            raise DataError(f"{root} has none of the subjects to test; check the folder.")
    wanted = set(labels["subject"])
    tables = []
    for recording in find_recordings(dataset, root, camera):
        if recording.subject not in wanted:
            continue
        if recording.frames is None:
            raise DataError(recording.frame_problems[0])
        video = recording.video
        with analyze_video(
            _path(recording.frames),
            models,
            options,
            lambda done, total, video=video: on_progress(video, done, total),
        ) as analysis:
            rows = pa.Table.from_batches(list(analysis), analysis.columns.schema()).to_pandas()
            assert analysis.summary is not None
            if analysis.summary.damage:
                raise DataError(
                    f"{recording.frames} is damaged ({analysis.summary.damage}); copy it again."
                )
        if short := recording.too_short(analysis.summary.frames):
            raise DataError(short)
        aus = models.au.aus
        where = pd.DataFrame({"video": video, "frame_index": rows["frame"] - 1})
        values = rows[[f"{au}_r" for au in aus]].to_numpy(np.float32)
        tables.append(_table(where, values, aus, rows["success"].to_numpy(bool)))
    predictions = Predictions(pd.concat(tables, ignore_index=True), "aucli", "intensity")
    return Run(labels, predictions)


def joined(runs: list[Run]) -> Run:
    """Runs over different subjects as one. Raises DataError where their models know other AUs."""
    known = {run.predictions.aus for run in runs}
    if len(known) > 1:
        raise DataError("The models of the folds predict different AUs; give models of one kind.")
    table = pd.concat([run.predictions.table for run in runs], ignore_index=True)
    return Run(
        pd.concat([run.labels for run in runs], ignore_index=True),
        Predictions(table, "aucli", "intensity"),
        sum(run.left_out for run in runs),
    )


def _path(frames: Frames) -> Path:
    if isinstance(frames, Film):
        return frames.path
    if frames.archive is not None:
        raise DataError(f"{frames} is in an archive; prepare the dataset and give that folder.")
    return Path(frames.folder)


def _table(
    where: pd.DataFrame, values: np.ndarray, aus: tuple[str, ...], face: np.ndarray
) -> pd.DataFrame:
    """Rows of the kind of :mod:`aucli.predictions`. values: (N, A)."""
    head = where.reset_index(drop=True).assign(pts_seconds=np.nan, success=face)
    return pd.concat([head, pd.DataFrame(values, columns=list(aus)).astype(float)], axis=1)
