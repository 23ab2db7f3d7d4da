"""BP4D+: 140 people, 4 of 10 tasks coded 0-5 for 5 AUs; the pictures of a person are one zip.

    2D+3D/F001.zip                           inside: .../T1/0001.jpg
    AUCoding/AU_INT/AU06/F001_T1_AU06.csv    as in BP4D

A zip that was unpacked into ``2D+3D/F001/`` is read as well.
"""

from collections.abc import Iterator
from pathlib import Path

from aucli.aus import BP4D_AUS
from aucli.datasets import bp4d
from aucli.datasets.footage import Footage, zipped_folders
from aucli.datasets.recordings import Recording, child, pictures_of, subfolders
from aucli.errors import DataError

TITLE = "BP4D+"
AUS = BP4D_AUS
CAMERAS = ()
SUBJECTS = (*(f"F{n:03d}" for n in range(1, 83)), *(f"M{n:03d}" for n in range(1, 59)))
CODED_TASKS = ("T1", "T6", "T7", "T8")


def recordings(root: Path, camera: str) -> Iterator[Recording]:
    """Every coded task that has labels. Raises DataError where the folder is another dataset's."""
    label_root = bp4d.intensity_root(root, TITLE)
    pictures = child(root, "2D+3D")
    labelled = bp4d.labelled_tasks(label_root)
    for subject in sorted({subject for subject, _ in labelled} | _people(pictures)):
        opened: dict[str, Footage] | str = _tasks(pictures or root / "2D+3D", subject)
        for task in CODED_TASKS:
            here = isinstance(opened, dict) and task in opened
            if not here and (subject, task) not in labelled:
                continue
            problems: list[str] = []
            frames = opened.get(task) if isinstance(opened, dict) else None
            if isinstance(opened, str):
                problems.append(opened)
            elif frames is None:
                problems.append(
                    f"{pictures}/{subject} holds no pictures of {task}; copy it from the dataset."
                )
            yield bp4d.task_recording(label_root, (subject, task), frames, problems)


def _people(folder: Path | None) -> set[str]:
    """Subjects that have a zip or a folder."""
    zips = {path.stem for path in folder.glob("*.zip")} if folder else set()
    return {name for name in {*zips, *subfolders(folder)} if name in SUBJECTS}


def _tasks(folder: Path, subject: str) -> dict[str, Footage] | str:
    """Task -> its pictures, or the sentence that says why there are none."""
    unpacked = child(folder, subject)
    if unpacked is not None:
        found: dict[str, Footage] = {}
        for task, path in subfolders(unpacked).items():
            frames = pictures_of(path, path, [])
            if frames is not None:
                found[task] = frames
        return found
    archive = child(folder, f"{subject}.zip")
    if archive is None:
        return f"{folder / subject}.zip is missing; copy it from the dataset."
    try:
        return {**zipped_folders(archive)}
    except DataError as error:
        return str(error)
