"""DISFA+: posed and spontaneous trials of 9 of DISFA's people; 12 AUs coded 0-5 in every frame.

Images/SN001/<trial>/000.jpg
Labels/SN001/<trial>/AU1.txt     two lines of comment, then "000.jpg     3"
"""

from collections.abc import Iterator
from pathlib import Path

from aucli.aus import DISFA_AUS
from aucli.datasets.labels import join_values, no_labels, read_values
from aucli.datasets.recordings import (
    Recording,
    child,
    needed_child,
    numbered_pictures,
    pictures_of,
    subfolders,
)

TITLE = "DISFA+"
AUS = DISFA_AUS
CAMERAS = ()
SUBJECTS = tuple(f"SN{n:03d}" for n in (1, 3, 4, 7, 9, 10, 13, 25, 27))


def recordings(root: Path, camera: str) -> Iterator[Recording]:
    """Every trial that has labels or pictures. Raises DataError for a wrong folder."""
    label_root = needed_child(root, TITLE, "Labels")
    image_root = child(root, "Images")
    for subject in sorted({*subfolders(label_root), *subfolders(image_root)}):
        trials = subfolders(label_root / subject)
        images = subfolders(image_root / subject if image_root else None)
        for trial in sorted({*trials, *images}):
            problems: list[str] = []
            folder = label_root / subject / trial
            if folder.is_dir():
                files = {au: folder / f"AU{int(au[2:])}.txt" for au in AUS}
                labels = join_values(files, problems, read_values)
            else:
                problems.append(f"{folder} is missing; copy it from the dataset.")
                labels = no_labels(AUS)
            expected = (image_root or root / "Images") / subject / trial
            frames = pictures_of(images.get(trial), expected, problems)
            labels = numbered_pictures(frames, labels, problems)
            yield Recording(
                subject=subject,
                video=f"{subject}_{trial}",
                frames=frames,
                labels=labels,
                label_problems=tuple(problems),
            )
