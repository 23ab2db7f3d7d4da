"""A labelled video of any dataset, and how its folders are found."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from aucli.datasets.footage import Footage, Pictures, picture_folder
from aucli.datasets.labels import Labels
from aucli.errors import DataError, InputError
from aucli.words import counted


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One video of one subject with its labels.

    video: unique within the dataset, fit for a file name. frames: None where they are missing.
    bad: frame indices that the dataset's authors say to leave out; ``labels`` do not hold them.
    landmarks: frame_index -> (68, 2) float32 frame px, or None where that frame has none; for
    datasets that bring landmarks. label_problems: what is wrong with the labels, or with pictures
    that say which frame is meant. frame_problems: a film that is missing. One sentence each.
    """

    subject: str
    video: str
    frames: Footage | None
    labels: Labels
    bad: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    landmarks: Callable[[int], np.ndarray | None] | None = None
    label_problems: tuple[str, ...] = ()
    frame_problems: tuple[str, ...] = ()

    def too_short(self, total: int) -> str | None:
        """The sentence for labels behind the last of ``total`` frames; None where all fit."""
        beyond = np.flatnonzero(self.labels.frame_index >= total)
        if not len(beyond):
            return None
        row = int(beyond[0])
        return (
            f"{self.labels.where(row)}: frame {self.labels.numbers[row]} is labelled, but "
            f"{self.frames} ends after {counted(total, 'frame')}; copy the video again."
        )


def child(folder: Path, *names: str) -> Path | None:
    """The first of some names in a folder, whatever their case; None where there is none."""
    if not folder.is_dir():
        return None
    found = {path.name.lower(): path for path in sorted(folder.iterdir())}
    return next((found[n.lower()] for n in names if n.lower() in found), None)


def needed_child(folder: Path, dataset: str, *names: str) -> Path:
    """As :func:`child`, for a folder that a dataset must have. Raises DataError."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give the folder that holds {dataset}.")
    path = child(folder, *names)
    if path is None or not path.is_dir():
        raise DataError(
            f"{folder} holds no folder {' or '.join(names)}; give the folder that holds {dataset}."
        )
    return path


def subfolders(folder: Path | None) -> dict[str, Path]:
    """Name -> path of the folders inside a folder, sorted; none for None."""
    if folder is None or not folder.is_dir():
        return {}
    return {p.name: p for p in sorted(folder.iterdir()) if p.is_dir() and p.name[0] != "."}


def pictures_of(folder: Path | None, expected: Path, problems: list[str]) -> Footage | None:
    """The pictures of a folder, or a sentence in ``problems``."""
    try:
        if folder is None:
            raise InputError(f"{expected} is missing; copy it from the dataset.")
        return picture_folder(folder)
    except InputError as error:
        problems.append(str(error))
        return None


def at_pictures(labels: Labels, numbers: list[int], folder: Footage, problems: list[str]) -> Labels:
    """Labels numbered like pictures, as labels of positions among the pictures.

    numbers: of the pictures, in their order. A label without a picture adds to ``problems``.
    """
    places = {number: place for place, number in enumerate(numbers)}
    found = np.array([number in places for number in labels.numbers.tolist()], bool)
    if not found.all():
        row = int(np.flatnonzero(~found)[0])
        more = int((~found).sum()) - 1
        others = f", nor have {more} more" if more else ""
        problems.append(
            f"{labels.where(row)}: frame {labels.numbers[row]} has no picture in {folder}{others}; "
            "copy the pictures again."
        )
        labels = labels.taken(found)
    frame_index = np.array([places[n] for n in labels.numbers.tolist()], np.int64)
    return replace(labels, frame_index=frame_index)


def numbered_pictures(frames: Footage | None, labels: Labels, problems: list[str]) -> Labels:
    """As :func:`at_pictures` for pictures called by their number, like ``0012.jpg``."""
    if not isinstance(frames, Pictures):
        return labels
    try:
        return at_pictures(labels, frames.numbers(), frames, problems)
    except DataError as error:
        problems.append(str(error))
        return labels


def missing_subjects(expected: Iterable[str], found: Iterable[str], root: Path) -> list[str]:
    """A sentence for each subject that is not there."""
    there = set(found)
    return [
        f"{subject} is missing in {root}; copy it from the dataset."
        for subject in expected
        if subject not in there
    ]
