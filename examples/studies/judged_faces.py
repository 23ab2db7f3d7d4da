"""Faces in pictures whose AUs were judged by eye: a folder with labels.csv and pictures/.

labels.csv has a line for each face and AU that was judged: picture, source (the person or the
film), x, y, w, h (the face's box, px), au, label (present or absent).
"""

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

MARGIN = 0.3  # of the box on each side of a crop


@dataclass(frozen=True)
class JudgedFace:
    """One face. box_xyxy_px: (4,). present, absent: AUs that were judged so."""

    picture: Path
    source: str
    box_xyxy_px: np.ndarray
    present: frozenset[str]
    absent: frozenset[str]

    @cached_property
    def pixels(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB, the whole picture."""
        with Image.open(self.picture) as image:
            return np.asarray(image.convert("RGB"))

    @property
    def size_px(self) -> float:
        """The longer side of the box."""
        return float((self.box_xyxy_px[2:] - self.box_xyxy_px[:2]).max())

    def square(self, size: int) -> np.ndarray:
        """(2, 3) matrix, frame px -> px of a crop (size, size) around the box, with a margin."""
        side = (1 + 2 * MARGIN) * self.size_px
        corner = (self.box_xyxy_px[:2] + self.box_xyxy_px[2:] - side) / 2
        scale = size / side
        return np.column_stack([np.eye(2) * scale, -scale * corner])


def judged_faces(folder: Path) -> list[JudgedFace]:
    """All faces of a folder, in the order of the labels. Ends the program where there are none."""
    found: dict[tuple[str, ...], list[dict[str, str]]] = {}
    try:
        with (folder / "labels.csv").open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                found.setdefault(tuple(row[key] for key in ("picture", *"xywh")), []).append(row)
        return [_face(folder, rows) for rows in found.values()]
    except FileNotFoundError:
        raise SystemExit(f"{folder} has no labels.csv; name a folder of judged faces.") from None
    except (KeyError, ValueError) as error:
        raise SystemExit(f"{folder}/labels.csv cannot be read ({error}); name another.") from None


def _face(folder: Path, rows: list[dict[str, str]]) -> JudgedFace:
    first = rows[0]
    x, y, w, h = (float(first[key]) for key in "xywh")
    present, absent = (
        frozenset(row["au"] for row in rows if row["label"] == label)
        for label in ("present", "absent")
    )
    box = np.array([x, y, x + w, y + h])
    return JudgedFace(folder / "pictures" / first["picture"], first["source"], box, present, absent)


def folder_outside(path: Path) -> Path:
    """A folder for pictures of people, made where it is not there; never within the repository."""
    repository = Path(__file__).resolve().parents[2]
    if path.resolve().is_relative_to(repository):
        raise SystemExit(f"{path} is in the repository; photographs of people never go there.")
    path.mkdir(parents=True, exist_ok=True)
    return path
