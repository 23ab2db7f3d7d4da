"""Who is in which video: a participants file, and each participant's neutral face.

A BIDS ``participants.tsv`` or any CSV with a column ``participant`` (or ``participant_id``). These
columns have a meaning; all others are groups, which come along as they are:

- ``video``: the video, picture or table of the row, with or without folder and suffix. Without it,
  a row is for every video whose name or folder holds the participant's id as a word: ``sub-01`` is
  in ``sub-01/smile.mp4`` and ``sub-01_smile.mp4``, not in ``sub-011.mp4``.
- ``face_id``: which face of the video, where several people are in it.
- ``neutral``: where the participant's face is at rest: a frame (``120``) or a segment (``10-40``,
  ``1.0-2.5s``) of the participant's video, another video or picture (``rest.jpg``), or a part of
  one (``talk.mp4 1.0-2.5s``). One for each participant, for all of the participant's videos.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path, PurePosixPath

from aucli.errors import DataError, OptionError, first_line
from aucli.files import shown
from aucli.pipeline.calibration import parse_segment
from aucli.table.delimited import read_text, split_header

_IDS = ("participant", "participant_id")
_OWN = (*_IDS, "video", "face_id", "neutral")
_MISSING = {"", "n/a", "na", "nan"}  # BIDS writes n/a


@dataclass(frozen=True, slots=True)
class Neutral:
    """Where a face is at rest. text: as the file has it. video: '' for the participant's own one.
    first, last: both included; frames from 1, or seconds."""

    text: str
    video: str
    first: float = float("-inf")
    last: float = float("inf")
    seconds: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """A row of the file; '' and None where a cell is empty. groups: column -> text or number."""

    participant: str
    video: str
    face_id: int | None
    groups: Mapping[str, str | float]


class Participants:
    """A participants file. groups: names of its other columns. neutrals: participant -> where the
    face is at rest.

    Raises DataError, one sentence, for a file that cannot be understood.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        name = shown(path)
        try:
            separator, text = split_header(read_text(path))
            rows = list(csv.reader(StringIO(text), delimiter=separator))
        except (OSError, ValueError, csv.Error) as error:
            raise DataError(f"{name} cannot be read ({first_line(error)}); check it.") from error
        header = [cell.strip() for cell in rows[0]] if rows else []
        own = {cell.casefold(): at for at, cell in enumerate(header) if cell.casefold() in _OWN}
        if (id_at := own.get(_IDS[0], own.get(_IDS[1]))) is None:
            raise DataError(f"{name} has no column participant or participant_id; add one.")
        if doubled := {cell for cell in header if header.count(cell) > 1}:
            raise DataError(f"{name} has the column {shown(min(doubled))} twice; keep one.")
        places = {cell: at for at, cell in enumerate(header) if cell and at not in own.values()}
        self.groups = tuple(places)
        self.neutrals: dict[str, Neutral] = {}
        self.people: list[Person] = []
        self._has_videos = "video" in own
        for line, row in enumerate(rows[1:], 2):
            cells = [_cell(text) for text in row] + [""] * (len(header) - len(row))
            if not any(cells):
                continue
            where = f"{name}, line {line}"
            if any(cells[len(header) :]):
                raise DataError(f"{where}, has more cells than the header; correct it.")
            if not (participant := cells[id_at]):
                raise DataError(f"{where}, names no participant; fill it in.")
            face = cells[own["face_id"]] if "face_id" in own else ""
            if face and not face.isdecimal():
                raise DataError(f"{where}: face_id is {shown(face)}, no number from 0; correct it.")
            if neutral := cells[own["neutral"]] if "neutral" in own else "":
                self._add_neutral(participant, neutral, where)
            groups = {group: cells[at] for group, at in places.items()}
            video = cells[own["video"]] if self._has_videos else ""
            face_id = int(face) if face else None
            self.people.append(Person(participant, video, face_id, groups))
        if not self.people:
            raise DataError(f"{name} names no participant; add a row for each.")
        self._as_numbers()

    def find(self, video: str, table: Path, face_id: int | None) -> Person | None:
        """The person that a face of a table is; None where nobody fits.

        Raises DataError where several participants fit.
        """
        fits = [person for person in self.people if self._fits(person, video, table)]
        # A row for one face goes before a row for the whole video.
        fits = [p for p in fits if p.face_id == face_id] if (
            any(p.face_id is not None for p in fits)
        ) else fits  # fmt: skip
        if len({person.participant for person in fits}) > 1:
            names = " and ".join(dict.fromkeys(person.participant for person in fits))
            raise DataError(
                f"{shown(video)} fits the participants {shown(names)} of {shown(self.path)}; name "
                "the video, with its folder, in a column video, or the face in face_id."
            )
        return fits[0] if fits else None

    def _fits(self, person: Person, video: str, table: Path) -> bool:
        if self._has_videos:
            return bool(person.video) and same_video(person.video, video, table)
        word = rf"(?<![^\W_]){re.escape(person.participant)}(?![^\W_])"
        return any(re.search(word, text, re.I) for text in (video, table.as_posix()))

    def _add_neutral(self, participant: str, text: str, where: str) -> None:
        try:
            found = _neutral(text)
        except OptionError as error:
            raise DataError(
                f"{where}: neutral '{shown(text)}' names no frame; frames count from 1, and a "
                "segment ends after it begins."
            ) from error
        if self.neutrals.setdefault(participant, found) != found:
            raise DataError(
                f"{where}: {shown(participant)} has another neutral '{shown(text)}'; give each "
                "participant one."
            )

    def _as_numbers(self) -> None:
        """Turn groups that hold only numbers, as an age, into numbers."""
        for group in self.groups:
            texts = [str(person.groups[group]) for person in self.people]
            # 007 is a name.
            number = re.compile(r"-?(0|[1-9]\d*)([.,]\d+)?")
            if any(texts) and all(not text or number.fullmatch(text) for text in texts):
                for at, person in enumerate(self.people):
                    text = str(person.groups[group]).replace(",", ".")
                    value = float(text) if text else float("nan")
                    groups = {**person.groups, group: value}
                    self.people[at] = Person(
                        person.participant, person.video, person.face_id, groups
                    )


def same_video(cell: str, video: str, table: Path) -> bool:
    """Whether a cell names a video or its table: by the last parts of its path, with or without
    the suffix, in any case."""
    wanted = _parts(cell)
    names = [video, table.as_posix()]
    names += [
        str(PurePosixPath(name).with_suffix("")) for name in names if PurePosixPath(name).name
    ]
    return any(_parts(name)[-len(wanted) :] == wanted for name in names)


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"[\\/]+", name.strip().casefold()) if part not in ("", ".")]


def _cell(text: str) -> str:
    text = text.strip()
    return "" if text.casefold() in _MISSING else text


def _neutral(text: str) -> Neutral:
    """Raises OptionError for a segment without a frame."""
    if segment := parse_segment(text):
        return Neutral(text, "", *segment)
    video, _, part = text.rpartition(" ")
    if video and (segment := parse_segment(part)):
        return Neutral(text, video.strip(), *segment)
    return Neutral(text, text)
