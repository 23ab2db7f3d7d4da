"""DISFA: 27 people watching a film, 20 fps from two cameras, 12 AUs coded 0-5 in every frame.

    Videos_LeftCamera/LeftVideoSN001_comp.avi   Video_RightCamera/RightVideoSN001_comp.avi
    ActionUnit_Labels/SN001/SN001_au1.txt       lines "frame,intensity", frames from 1
    Landmark_Points/SN001/frame_lm/SN001_0000_lm.mat

Releases differ in upper and lower case, in ``Video_`` or ``Videos_``, and in whether the landmarks
lie one folder deeper. The recording is called like its subject, whichever camera it is from.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from aucli.aus import DISFA_AUS
from aucli.datasets.footage import Film
from aucli.datasets.labels import Labels, from_one, join_values, no_labels, read_values
from aucli.datasets.landmarks66 import read_mat
from aucli.datasets.recordings import Recording, child, needed_child, subfolders

TITLE = "DISFA"
AUS = DISFA_AUS
CAMERAS = ("left", "right")
SUBJECTS = tuple(f"SN{n:03d}" for n in (*range(1, 14), 16, 17, 18, 21, *range(23, 33)))

# Frames whose video or labels are unusable: numbers from 1, both ends included.
BAD_RANGES: dict[str, tuple[tuple[int, int], ...]] = {
    "SN001": ((398, 420), (3190, 3243)),
    "SN002": ((800, 826),),
    "SN004": ((4541, 4555),),
    "SN006": ((1349, 1405),),
    "SN009": ((1736, 1808), (1851, 1885)),
    "SN011": ((4529, 4533), (4830, 4845)),
    "SN021": ((574, 616), (985, 1164), (1190, 1205), (1305, 1338), (1665, 1710), (1862, 2477),
              (2554, 4657), (4710, 4722)),
    "SN023": ((1021, 1049), (3378, 3557), (3584, 3668), (4547, 4621), (4741, 4772), (4825, 4845)),
    "SN025": ((4596, 4662), (4816, 4835)),
    "SN027": ((3461, 3494), (4738, 4785)),
    "SN028": ((1875, 1885), (4571, 4690)),
    "SN029": ((4090, 4543),),
    "SN030": ((939, 962), (1406, 1422), (2100, 2132), (2893, 2955)),
}  # fmt: skip


def recordings(root: Path, camera: str) -> Iterator[Recording]:
    """Every subject that has labels or a video. Raises DataError where the folder is another's."""
    label_root = needed_child(root, TITLE, "ActionUnit_Labels")
    side = camera.capitalize()
    videos = child(root, f"Videos_{side}Camera", f"Video_{side}Camera")
    expected = videos or root / f"Videos_{side}Camera"
    label_folders = {n: p for n, p in subfolders(label_root).items() if n.startswith("SN")}
    films = _films(videos, side)
    landmarks = _landmark_folders(root)
    for subject in sorted({*label_folders, *films}):
        label_problems: list[str] = []
        frame_problems: list[str] = []
        labels = _labels(label_root / subject, subject, label_problems)
        if subject not in films:
            frame_problems.append(
                f"{expected} holds no {side}Video{subject}_comp.avi; copy it from the dataset."
            )
        bad = _bad_frames(subject)
        is_bad = np.isin(labels.frame_index, bad)
        # The authors supply landmarks of the left camera's pictures.
        folder = landmarks.get(subject) if camera == "left" else None
        yield Recording(
            subject=subject,
            video=subject,
            frames=Film(films[subject]) if subject in films else None,
            labels=labels.taken(~is_bad),
            bad=labels.frame_index[is_bad],
            landmarks=_landmark_reader(folder, len(labels)) if folder else None,
            label_problems=tuple(label_problems),
            frame_problems=tuple(frame_problems),
        )


def _labels(folder: Path, subject: str, problems: list[str]) -> Labels:
    if not folder.is_dir():
        problems.append(f"{folder} is missing; copy it from the dataset.")
        return no_labels(AUS)
    files = {au: folder / f"{subject}_au{int(au[2:])}.txt" for au in AUS}
    return from_one(join_values(files, problems, read_values), problems)


def _films(folder: Path | None, side: str) -> dict[str, Path]:
    """Subject -> video; the names differ in case between subjects."""
    pattern = re.compile(rf"{side}Video(SN\d+)_comp\.avi", re.IGNORECASE)
    files = sorted(folder.iterdir()) if folder else []
    return {m[1].upper(): path for path in files if (m := pattern.fullmatch(path.name))}


def _bad_frames(subject: str) -> np.ndarray:
    """0-based frame indices."""
    ranges = BAD_RANGES.get(subject, ())
    frames = [np.arange(first - 1, last) for first, last in ranges]
    return np.concatenate(frames) if frames else np.zeros(0, np.int64)


def _landmark_folders(root: Path) -> dict[str, Path]:
    """Subject -> folder of its .mat files."""
    top = child(root, "Landmark_Points")
    if top is None:
        return {}
    nested = child(top, "Landmark_Points")
    found = {}
    for subject, folder in subfolders(nested or top).items():
        files = child(folder, "frame_lm", "tmp_frame_lm")
        if files is not None:
            found[subject] = files
    return found


def _landmark_reader(folder: Path, frames: int) -> Callable[[int], np.ndarray | None]:
    """Files are numbered from 0, those called l0####_lm.mat from 1.

    Where a subject has one file more than labelled frames, the extra one comes first.
    """
    from_zero, from_one = re.compile(r"SN\d+_(\d+)_lm\.mat"), re.compile(r"l0(\d{4})_lm\.mat")
    files: dict[int, Path] = {}
    for path in folder.iterdir():
        if match := from_zero.fullmatch(path.name):
            files[int(match[1])] = path
        elif match := from_one.fullmatch(path.name):
            files[int(match[1]) - 1] = path
    extra = 1 if frames and max(files, default=0) == frames else 0
    return partial(_read_landmarks, {number - extra: path for number, path in files.items()})


def _read_landmarks(files: dict[int, Path], frame_index: int) -> np.ndarray | None:
    path = files.get(frame_index)
    return None if path is None else read_mat(path)
