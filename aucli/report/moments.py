"""Moments of a video that a report shows, and pictures of the face in them.

Moments are spread over the video, and the strongest events get one at their apex. A picture is a
square around the face box; a place of an AU is told in thousandths of that square.
"""

import base64
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageFilter

from aucli.pipeline.journal import JOURNAL, Journal
from aucli.pipeline.original import checksum
from aucli.report.events import Event
from aucli.report.study import FaceSeries
from aucli.video.source import open_video

ROOM = 1.35  # side of the square over the longer side of the face box
SCALE = 1000  # of places in the square
NEAR_SECONDS = 0.3  # two moments nearer than this show the same
APEX_SHARE = 1 / 3  # of the moments, at most, are apexes
OUTSIDE = 128  # gray beyond the frame
BLURRED_CELLS = 7  # a blurred face keeps so many patches a side
WEBP_QUALITY = 58


@dataclass(frozen=True, slots=True)
class Square:
    """A square of a frame, px: its left upper corner and its side."""

    x: float
    y: float
    side: float


def choose_moments(face: FaceSeries, events: Sequence[tuple[str, Event]], count: int) -> list[int]:
    """Rows of the face that are shown, in order; at most ``count``, fewer in a short video."""
    there = np.flatnonzero((face.face_ids >= 0) & np.isfinite(face.boxes).all(1))
    if not len(there):
        return []
    near = NEAR_SECONDS if face.timed else 0.0
    taken: list[int] = []
    for _, event in sorted(events, key=lambda found: -found[1].peak):
        if len(taken) >= max(1, int(count * APEX_SHARE)):
            break
        if np.isfinite(face.boxes[event.apex]).all() and not _close(face, taken, event.apex, near):
            taken.append(event.apex)
    spread = there[np.linspace(0, len(there) - 1, count - len(taken)).round().astype(int)]
    return sorted({*taken, *spread.tolist()})


def _close(face: FaceSeries, taken: list[int], row: int, near: float) -> bool:
    return any(abs(face.seconds[row] - face.seconds[other]) < near for other in taken)


def square_of(box_xywh: np.ndarray) -> Square:
    """The square that a picture of this face shows."""
    x, y, w, h = (float(value) for value in box_xywh)
    side = ROOM * max(w, h, 1.0)
    return Square(x + w / 2 - side / 2, y + h / 2 - side / 2, side)


def in_square(points: np.ndarray, square: Square) -> np.ndarray:
    """Places (..., 2) frame px in thousandths of the square, int; -1 where there is none."""
    told = (points - (square.x, square.y)) / square.side * SCALE
    inside = np.isfinite(told).all(-1, keepdims=True)
    return np.where(inside, np.nan_to_num(told).round().clip(0, SCALE), -1).astype(int)


class FromVideo(Protocol):
    """What was measured in a video: its table, the video's name, and how the table came to be."""

    @property
    def table(self) -> Path: ...
    @property
    def video(self) -> str: ...
    @property
    def provenance(self) -> Mapping[str, Any]: ...


class Videos:
    """Finds the video of a table: by the journal of its folder, or beside it.

    folder: searched first, where the user named one. known: absolute path of a table -> its video.
    """

    def __init__(self, folder: Path | None, known: Mapping[str, Path]) -> None:
        self._folder = folder
        self._known = known
        self._inputs: dict[Path, dict[str, str]] = {}  # folder of a journal -> table -> input

    def find(self, face: FromVideo) -> tuple[Path | None, str]:
        """The video, or None and why there is none, as the rest of a sentence."""
        told = face.provenance.get("input") or {}
        name = str(told.get("name") or Path(face.video).name)
        expected = told.get("sha256")
        other = False
        for place in dict.fromkeys(self._places(face, name)):
            if not place.exists():
                continue
            if expected and checksum(place) != expected:
                other = True
                continue
            return place, ""
        if other:
            return None, f"{name} is not the file any more that was measured"
        return None, f"{name} was not found beside the table"

    def _places(self, face: FromVideo, name: str) -> list[Path]:
        table = face.table
        here = os.path.abspath(table)
        places = [self._known[here]] if here in self._known else []
        if self._folder is not None:
            places += [self._folder / face.video, self._folder / name]
        for folder in Path(here).parents:
            if found := self._noted(folder).get(here):
                places.append(Path(found))
                break
        return [*places, table.parent / name, Path(face.video)]

    def _noted(self, folder: Path) -> dict[str, str]:
        if folder not in self._inputs:
            given = Journal(folder).given() if (folder / JOURNAL).is_file() else {}
            self._inputs[folder] = {os.path.abspath(table): path for path, table in given.items()}
        return self._inputs[folder]


def read_pictures(
    video: Path, wanted: dict[int, list[Square]], size: int, blur: bool
) -> dict[tuple[int, int], Image.Image]:
    """Pictures of squares of a video.

    wanted: frame (from 1) -> squares. size: px of a picture's side. Returns (frame, number of the
    square) -> picture; frames that the video does not have are left out. Raises InputError where
    the video cannot be read.
    """
    found: dict[tuple[int, int], Image.Image] = {}
    last = max(wanted, default=0)
    with open_video(video, decoder="pyav", batch_size=8) as source:
        for batch in source:
            for index, rgb in zip(batch.frame_index.tolist(), batch.frames, strict=True):
                for number, square in enumerate(wanted.get(index + 1, ())):
                    found[index + 1, number] = _picture(rgb, square, size, blur)
            if int(batch.frame_index[-1]) + 1 >= last:
                break
    return found


def _picture(rgb: np.ndarray, square: Square, size: int, blur: bool) -> Image.Image:
    """The square of a frame (H, W, 3) uint8 as a picture of size x size."""
    x0, y0 = round(square.x), round(square.y)
    x1, y1 = x0 + max(round(square.side), 1), y0 + max(round(square.side), 1)
    height, width = rgb.shape[:2]
    whole = np.full((y1 - y0, x1 - x0, 3), OUTSIDE, np.uint8)
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if right > left and bottom > top:
        whole[top - y0 : bottom - y0, left - x0 : right - x0] = rgb[top:bottom, left:right]
    picture = Image.fromarray(whole)
    if blur:
        # Patches keep a mean each, so no sharpening brings the face back.
        patches = picture.resize((BLURRED_CELLS, BLURRED_CELLS), Image.Resampling.BOX)
        picture = patches.resize((size, size), Image.Resampling.BICUBIC)
        return picture.filter(ImageFilter.GaussianBlur(size / BLURRED_CELLS / 2))
    return picture.resize((size, size), Image.Resampling.LANCZOS, reducing_gap=3.0)


def as_sprite(pictures: Sequence[Image.Image]) -> str:
    """Pictures of one size side by side, as the data URI of one WebP."""
    size = pictures[0].width
    sheet = Image.new("RGB", (size * len(pictures), size))
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (size * number, 0))
    stream = io.BytesIO()
    sheet.save(stream, "WEBP", quality=WEBP_QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()
