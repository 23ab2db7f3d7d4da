"""BP4D: 41 people in 8 tasks, pictures at 25 fps, about 500 frames a task coded 0-5 for 5 AUs.

    BP4D-training/F001/T1/2440.jpg  or  Sequences_2D+3D/F001/T1/2440.jpg
    AUCoding/AU_INT/AU06/F001_T1_AU06.csv  or  AU Intensity Codes3.0/AU06/F001_T1_AU06.csv

The first of each pair is the release of the FERA 2015 challenge or of the dataset; both are read in
any combination. Lines are ``frame,intensity`` without a header; the frame is the picture's name as
a number, whatever zeros are in front; 9 stands for "could not be seen".
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from aucli.aus import BP4D_AUS
from aucli.datasets.footage import Footage
from aucli.datasets.labels import Labels, join_values, read_values
from aucli.datasets.recordings import (
    Recording,
    child,
    needed_child,
    numbered_pictures,
    pictures_of,
    subfolders,
)

TITLE = "BP4D"
AUS = BP4D_AUS
CAMERAS = ()
SUBJECTS = (*(f"F{n:03d}" for n in range(1, 24)), *(f"M{n:03d}" for n in range(1, 19)))
PICTURES = ("BP4D-training", "Sequences_2D+3D", "2D+3D")

Task = tuple[str, str]  # subject, task: ("F001", "T1")


def recordings(root: Path, camera: str) -> Iterator[Recording]:
    """Every task that has labels or pictures. Raises DataError where the folder is another's."""
    label_root = intensity_root(root, TITLE)
    pictures = child(root, *PICTURES)
    tasks = {
        (subject, task): path
        for subject, folder in subfolders(pictures).items()
        for task, path in subfolders(folder).items()
        if re.fullmatch(r"[FM]\d{3}", subject) and re.fullmatch(r"T\d+", task)
    }
    expected = pictures or root / PICTURES[0]
    for subject, task in sorted({*labelled_tasks(label_root), *tasks}, key=_in_order):
        problems: list[str] = []
        folder = tasks.get((subject, task))
        frames = pictures_of(folder, expected / subject / task, problems)
        yield task_recording(label_root, (subject, task), frames, problems)


def intensity_root(root: Path, dataset: str) -> Path:
    """The folder with a folder for each AU. Raises DataError."""
    coding = child(root, "AUCoding")
    inside = child(coding, "AU_INT", "AU Intensity Codes3.0") if coding else None
    beside = child(root, "AU Intensity Codes3.0")
    return inside or beside or needed_child(root, dataset, "AUCoding/AU_INT")


def labelled_tasks(label_root: Path) -> set[Task]:
    """Every task that has a file for at least one AU."""
    pattern = re.compile(r"([FM]\d{3})_(T\d+)_AU\d\d\.csv", re.IGNORECASE)
    found = set()
    for au in AUS:
        folder = child(label_root, au)
        for path in folder.iterdir() if folder else ():
            if match := pattern.fullmatch(path.name):
                found.add((match[1].upper(), match[2].upper()))
    return found


def task_recording(
    label_root: Path, task: Task, frames: Footage | None, problems: list[str]
) -> Recording:
    """The labels of a task, placed among its pictures."""
    name = "_".join(task)
    files: Mapping[str, Path] = {au: label_root / au / f"{name}_{au}.csv" for au in AUS}
    labels: Labels = join_values(files, problems, partial(read_values, unscorable=True))
    return Recording(
        subject=task[0],
        video=name,
        frames=frames,
        labels=numbered_pictures(frames, labels, problems),
        label_problems=tuple(problems),
    )


def _in_order(task: Task) -> tuple[str, int]:
    """T2 before T10."""
    return task[0], int(task[1][1:])
