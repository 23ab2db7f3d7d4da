"""UNBC-McMaster shoulder pain archive: 25 patients, pictures, 10 AUs coded in every frame.

    Images/042-ll042/ll042t1aaaff/ll042t1aaaff001.png
    Frame_Labels/FACS/042-ll042/ll042t1aaaff/ll042t1aaaff001_facs.txt
    AAM_landmarks/042-ll042/ll042t1aaaff/ll042t1aaaff001_aam.txt

A label file has a line ``AU intensity onset offset`` in scientific notation for each active AU; an
empty file says that none is active.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from aucli.datasets.footage import Footage, Pictures
from aucli.datasets.labels import Labels, checked_intensity, numbered_lines
from aucli.datasets.landmarks66 import read_text
from aucli.datasets.recordings import (
    Recording,
    at_pictures,
    child,
    needed_child,
    pictures_of,
    subfolders,
)
from aucli.errors import DataError

TITLE = "UNBC-McMaster"
AUS = ("AU04", "AU06", "AU07", "AU09", "AU10", "AU12", "AU20", "AU25", "AU26", "AU43")
CAMERAS = ()
SUBJECTS = (
    "042-ll042", "043-jh043", "047-jl047", "048-aa048", "049-bm049", "052-dr052", "059-fn059",
    "064-ak064", "066-mg066", "080-bn080", "092-ch092", "095-tv095", "096-bg096", "097-gf097",
    "101-mg101", "103-jk103", "106-nm106", "107-hs107", "108-th108", "109-ib109", "115-jy115",
    "120-kz120", "121-vw121", "123-jh123", "124-dn124",
)  # fmt: skip

_SUFFIX = "_facs"


def recordings(root: Path, camera: str) -> Iterator[Recording]:
    """Every sequence that has labels or pictures. Raises DataError for a wrong folder."""
    label_root = needed_child(needed_child(root, TITLE, "Frame_Labels"), TITLE, "FACS")
    image_root = child(root, "Images")
    landmark_root = child(root, "AAM_landmarks")
    for subject in sorted({*subfolders(label_root), *subfolders(image_root)}):
        labelled = subfolders(label_root / subject)
        images = subfolders(image_root / subject if image_root else None)
        for sequence in sorted({*labelled, *images}):
            problems: list[str] = []
            expected = (image_root or root / "Images") / subject / sequence
            frames = pictures_of(images.get(sequence), expected, problems)
            folder = label_root / subject / sequence
            points = landmark_root / subject / sequence if landmark_root else None
            yield Recording(
                subject=subject,
                video=sequence,
                frames=frames,
                labels=_labels(folder, frames, problems),
                landmarks=_landmark_reader(points, frames),
                label_problems=tuple(problems),
            )


def _labels(folder: Path, frames: Footage | None, problems: list[str]) -> Labels:
    files = sorted(folder.glob(f"*{_SUFFIX}.txt")) if folder.is_dir() else []
    if not files:
        problems.append(f"{folder} holds no *{_SUFFIX}.txt; copy it from the dataset.")
    rows, read = [], []
    for path in files:
        try:
            rows.append(_read_facs(path))
            read.append(path)
        except DataError as error:
            problems.append(str(error))
    # Pictures and label files share their names; their number is the last part of both.
    numbers = np.array([_number(p.stem.removesuffix(_SUFFIX)) for p in read], np.int64)
    values = np.array(rows, np.float32).reshape(len(rows), len(AUS))
    order = np.argsort(numbers, kind="stable")
    origins = tuple((read[i], 1) for i in order)
    labels = Labels(numbers[order], values[order], numbers[order], origins)
    if not isinstance(frames, Pictures):
        return labels
    return at_pictures(labels, [_number(file.stem) for file in frames.files], frames, problems)


def _number(stem: str) -> int:
    """ll042t1aaaff001 -> 1; -1 where no digits are at the end."""
    digits = stem[len(stem.rstrip("0123456789")) :]
    return int(digits) if digits else -1


def _read_facs(path: Path) -> list[float]:
    """Intensities in the order of :data:`AUS`; AUs that are not listed are 0. Raises DataError."""
    found = dict.fromkeys(AUS, 0.0)
    for line, text in numbered_lines(path):
        if not text.strip():
            continue
        try:
            au, intensity, _, _ = (float(field) for field in text.split())
            name = f"AU{int(au):02d}"
        except ValueError:
            raise DataError(
                f"{path}, line {line}: {text.strip()[:40]!r} is not an AU, its intensity, onset "
                "and offset; restore the file."
            ) from None
        if name in found:
            found[name] = checked_intensity(path, line, intensity, unscorable=False)
    return list(found.values())


def _landmark_reader(
    folder: Path | None, frames: Footage | None
) -> Callable[[int], np.ndarray | None] | None:
    if folder is None or not folder.is_dir() or not isinstance(frames, Pictures):
        return None
    return partial(_read_landmarks, folder, frames)


def _read_landmarks(folder: Path, frames: Pictures, frame_index: int) -> np.ndarray | None:
    path = folder / f"{frames.files[frame_index].stem}_aam.txt"
    return read_text(path) if path.exists() else None
