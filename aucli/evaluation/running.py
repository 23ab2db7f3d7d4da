"""A model's predictions for a dataset: on prepared faces, or on the raw videos as ``analyze`` does.

Both end in ``predict_crops``, so that the number reported is the number shipped: of prepared faces
with one look, as a film has, of raw pictures with two. Raw videos also try the face networks, and
are scored on every labelled frame; prepared faces are quicker and the same for every model.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aucli.analyzer import Analyzer
from aucli.datasets.adapters import find_recordings, load_labels
from aucli.datasets.crops import predict_faces
from aucli.datasets.footage import Film, Footage
from aucli.datasets.prepared import MANIFEST, PreparedFaces, count_faces, shard_facts, shards
from aucli.errors import DataError
from aucli.evaluation.tables import Predictions
from aucli.models.predict import AUModel
from aucli.table.schema import to_data_frame

FOLD = "{fold}"  # in the name of a model: the number of the fold that it is tested on
NO_FACE = ("no face", "no landmarks", "unreadable")  # reasons for which prepare leaves frames out

OnVideo = Callable[[str, int, int], None]  # video, frames done, frames in all (0: unknown)


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


def plan(
    model: str, test: dict[int, tuple[str, ...]], there: Collection[str]
) -> Iterator[tuple[str, list[str]]]:
    """Each model with the subjects it is tested on: one for all, or one for each fold.

    test: number of the fold -> its test subjects; empty for everybody. there: the subjects that can
    be tested; a fold that has none of them is passed over.
    """
    if FOLD in model:
        for number, subjects in test.items():
            if present := [subject for subject in subjects if subject in there]:
                yield model.replace(FOLD, str(number)), present
        return
    everybody = [subject for subjects in test.values() for subject in subjects] or there
    yield model, [subject for subject in everybody if subject in there]


def subjects_there(dataset: str, root: Path, camera: str | None) -> list[str]:
    """Subjects of a prepared set, or with labels in a licensee's folder. Raises DataError."""
    if is_prepared(root):
        return list(count_faces(root, dataset))
    found = find_recordings(dataset, root, camera)
    return list(dict.fromkeys(recording.subject for recording in found if len(recording.labels)))


def run_prepared(root: Path, model: AUModel, subjects: Collection[str], on_video: OnVideo) -> Run:
    """Predict the faces of some subjects of a prepared set, one subject after the other."""
    facts = [shard_facts(path) for path in shards(root)]
    facts = [fact for fact in facts if fact["subject"] in subjects]
    labels, tables = [], []
    for done, subject in enumerate(subjects):
        on_video(subject, done, len(subjects))
        faces = PreparedFaces(root, (subject,))
        values = predict_faces(model, faces, np.arange(len(faces)))
        labels.append(faces.labels)
        where = faces.labels.loc[:, ["video", "frame_index"]]
        tables.append(prediction_rows(where, values, model.aus, np.ones(len(faces), bool)))
    on_video("done", len(subjects), len(subjects))
    left_out = sum(run.frames for fact in facts for run in fact["dropped"] if run.reason in NO_FACE)
    predictions = Predictions(pd.concat(tables, ignore_index=True), "aucli", "intensity")
    return Run(pd.concat(labels, ignore_index=True), predictions, left_out)


def run_videos(
    root: Path,
    analyzer: Analyzer,
    dataset: str,
    subjects: Collection[str],
    camera: str | None,
    on_video: OnVideo,
) -> Run:
    """Analyze the videos of some subjects of a licensee's folder; the largest face is taken.

    Raises DataError where a video or a label is missing, or pictures are still in an archive.
    """
    labels = load_labels(dataset, root, camera)
    labels = labels.loc[labels["subject"].isin(list(subjects))].reset_index(drop=True)
    tables = []
    for recording in find_recordings(dataset, root, camera, subjects):
        if recording.frames is None:
            raise DataError(recording.frame_problems[0])
        video = recording.video
        with analyzer.open(
            _path(recording.frames),
            on_frames=lambda done, total, video=video: on_video(video, done, total),
        ) as analysis:
            rows = to_data_frame(list(analysis), analysis.columns.schema())
            assert analysis.summary is not None
            if analysis.summary.damage:
                raise DataError(
                    f"{recording.frames} is damaged ({analysis.summary.damage}); copy it again."
                )
        if short := recording.too_short(analysis.summary.frames):
            raise DataError(short)
        aus = analyzer.networks.au.aus
        where = pd.DataFrame({"video": video, "frame_index": rows["frame"] - 1})
        values = rows[[f"{au}_r" for au in aus]].to_numpy(np.float32)
        tables.append(prediction_rows(where, values, aus, rows["success"].to_numpy(bool)))
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


def _path(frames: Footage) -> Path:
    if isinstance(frames, Film):
        return frames.path
    if frames.archive is not None:
        raise DataError(f"{frames} is in an archive; prepare the dataset and give that folder.")
    return Path(frames.folder)


def prediction_rows(
    where: pd.DataFrame, values: np.ndarray, aus: tuple[str, ...], face: np.ndarray
) -> pd.DataFrame:
    """Rows of the kind of :mod:`aucli.evaluation.tables`. values: (N, A)."""
    head = where.reset_index(drop=True).assign(pts_seconds=np.nan, success=face)
    return pd.concat([head, pd.DataFrame(values, columns=list(aus)).astype(float)], axis=1)
