"""FERA 2017: renderings of BP4D and BP4D+ from nine directions, 7 AUs coded 0-5.

    ims/FERA17_TR_F001_T1_6.mp4      the last number is the direction; 6 is frontal
    int/FERA17_TR_F001_T1_AU01_Int.csv   lines "frame,intensity", with or without a header

TR is the training part, VA the validation part. The same name in both parts is not the same person,
so subjects are called TR_F001 and VA_F001. Where a file labels a frame 0 its frames are numbered
from 0, otherwise from 1.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from aucli.datasets import bp4d
from aucli.datasets.footage import Film
from aucli.datasets.labels import from_one, join_values, read_values
from aucli.datasets.recordings import Recording, child, needed_child

TITLE = "FERA 2017"
AUS = ("AU01", "AU04", "AU06", "AU10", "AU12", "AU14", "AU17")
CAMERAS = ("6", "1", "2", "3", "4", "5", "7", "8", "9")
# Who is in the validation part is not known beforehand.
SUBJECTS = tuple(f"TR_{subject}" for subject in bp4d.SUBJECTS)

_LABELS = re.compile(r"FERA17_((?:TR|VA)_[FM]\d{3})_(T\d+)_(AU\d\d)_Int\.csv", re.IGNORECASE)
_FILM = re.compile(r"FERA17_((?:TR|VA)_[FM]\d{3})_(T\d+)_(\d)\.mp4", re.IGNORECASE)


def recordings(root: Path, camera: str) -> Iterator[Recording]:
    """Every task of a direction that has labels or a video. Raises DataError for a wrong folder."""
    label_root = needed_child(root, TITLE, "int")
    videos = child(root, "ims")
    labelled: dict[tuple[str, str], dict[str, Path]] = {}
    for path in sorted(label_root.iterdir()):
        if match := _LABELS.fullmatch(path.name):
            task = match[1].upper(), match[2].upper()
            labelled.setdefault(task, {})[match[3].upper()] = path
    films = {
        (match[1].upper(), match[2].upper()): path
        for path in (sorted(videos.iterdir()) if videos else ())
        if (match := _FILM.fullmatch(path.name)) and match[3] == camera
    }
    read = partial(read_values, unscorable=True, header=True)
    for subject, task in sorted({*labelled, *films}):
        label_problems: list[str] = []
        frame_problems: list[str] = []
        name = f"FERA17_{subject}_{task}"
        there = labelled.get((subject, task), {})
        files = {au: there.get(au, label_root / f"{name}_{au}_Int.csv") for au in AUS}
        labels = join_values(files, label_problems, read)
        if not (len(labels) and labels.numbers[0] == 0):
            labels = from_one(labels, label_problems)
        film = films.get((subject, task))
        if film is None:
            frame_problems.append(
                f"{videos or root / 'ims'} holds no {name}_{camera}.mp4; copy it from the dataset."
            )
        yield Recording(
            subject=subject,
            video=f"{name}_{camera}",
            frames=None if film is None else Film(film),
            labels=labels,
            label_problems=tuple(label_problems),
            frame_problems=tuple(frame_problems),
        )
