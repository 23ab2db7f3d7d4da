"""Datasets by name: their labelled recordings, their labels as one table, and what is missing."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from aucli.datasets import bp4d, bp4d_plus, disfa, disfa_plus, fera2017, unbc
from aucli.datasets.footage import declared_frames
from aucli.datasets.names import DATASETS, UnknownName
from aucli.datasets.recordings import Recording, missing_subjects
from aucli.errors import AucliError, DataError


@dataclass(frozen=True, slots=True)
class Adapter:
    """What a dataset is called, codes and holds.

    title: as its authors write it. aus: in the order of ``Labels.intensities``. subjects: all that
    a complete copy has, as far as that is known. cameras: the first is the default; empty where
    there is one only. find: (root, camera) -> its recordings.
    """

    title: str
    aus: tuple[str, ...]
    subjects: tuple[str, ...]
    cameras: tuple[str, ...]
    find: Callable[[Path, str], Iterator[Recording]]

    def camera(self, wanted: str | None) -> str:
        """The camera to read; '' where the dataset has one only. Raises DataError."""
        if wanted is not None and wanted not in self.cameras:
            there = f"are {', '.join(self.cameras)}" if self.cameras else "is only one"
            raise UnknownName(f"{self.title} has no camera {wanted!r}; there {there}.")
        return wanted or (self.cameras[0] if self.cameras else "")


ADAPTERS = {
    name: Adapter(room.TITLE, room.AUS, room.SUBJECTS, room.CAMERAS, room.recordings)
    for name, room in zip(
        DATASETS, (disfa, disfa_plus, bp4d, bp4d_plus, fera2017, unbc), strict=True
    )
}


def adapter(dataset: str) -> Adapter:
    """The adapter of a name. Raises DataError for an unknown one."""
    if dataset not in ADAPTERS:
        raise UnknownName(f"There is no dataset {dataset!r}; there are {', '.join(ADAPTERS)}.")
    return ADAPTERS[dataset]


def find_recordings(
    dataset: str,
    root: Path,
    camera: str | None = None,
    subjects: Collection[str] | None = None,
) -> list[Recording]:
    """The recordings of a dataset with their labels, also those with problems.

    root: the folder as a licensee receives it. camera: see :class:`Adapter`. subjects: only these.
    Raises DataError where the folder is not that of the dataset, or lacks one of ``subjects``.
    """
    data = adapter(dataset)
    found = list(data.find(root, data.camera(camera)))
    if subjects is not None:
        absent = sorted(set(subjects) - {recording.subject for recording in found})
        if absent:
            raise UnknownName(f"{root} has no subject {', '.join(absent)}; give others.")
        found = [recording for recording in found if recording.subject in subjects]
    if not found:
        raise DataError(f"{root} holds no recording of {data.title}; give its folder.")
    return found


def load_labels(dataset: str, root: Path, camera: str | None = None) -> pd.DataFrame:
    """All labels of a dataset: one row for every labelled frame.

    Returns the columns subject, video, frame_index (0-based) and AU01 ... (float32, 0-5, NaN where
    unscorable or not coded). Frames that the authors declare bad have no row. Videos need not be
    there where the labels alone say which frame is meant.
    Raises DataError at the first label file that is missing or wrong.
    """
    aus = adapter(dataset).aus
    parts = []
    for recording in find_recordings(dataset, root, camera):
        if recording.label_problems:
            raise DataError(recording.label_problems[0])
        labels = recording.labels
        part = pd.DataFrame(labels.intensities, columns=list(aus))
        part.insert(0, "frame_index", labels.frame_index)
        part.insert(0, "video", recording.video)
        part.insert(0, "subject", recording.subject)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def problems_of(recording: Recording) -> list[str]:
    """Everything that keeps a recording from being prepared, one sentence each."""
    found = [*recording.label_problems, *recording.frame_problems]
    if recording.frames is not None:
        try:
            declared = declared_frames(recording.frames)
        except AucliError as error:
            return [*found, str(error)]
        short = recording.too_short(declared) if declared else None
        found += [short] if short else []
    return found


def check(dataset: str, root: Path, camera: str | None = None) -> list[str]:
    """Everything that is missing or wrong in a licensee's folder, one sentence each.

    Films are opened but not decoded. Raises DataError where the folder is another dataset's.
    """
    found = find_recordings(dataset, root, camera)
    missing = missing_subjects(
        adapter(dataset).subjects, (recording.subject for recording in found), root
    )
    return missing + [problem for recording in found for problem in problems_of(recording)]
