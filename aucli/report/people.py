"""Who is who in a table: names for ids, and which face is the participant."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from io import StringIO
from pathlib import Path

import numpy as np

from aucli.errors import DataError, OptionError, first_line
from aucli.files import shown
from aucli.report.durations import frame_seconds
from aucli.report.study import FaceSeries
from aucli.table.delimited import read_text, split_header

PERSONS = ("longest", "largest")
# A face that is seen for less than both of these is passed over where a video has others.
LEAST_SECONDS = 1.0
LEAST_SHARE = 0.05  # of the frames

Names = Mapping[tuple[str | None, int], str]  # (video or None for every video, face_id) -> name


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """A face with the name that the user gave it; '' where none was given. ids: its face ids."""

    face: FaceSeries
    name: str
    ids: tuple[int, ...]


def read_names(path: Path | str) -> Names:
    """Names for ids from a CSV with the columns ``face_id`` and ``name``, and ``video`` where ids
    of several videos are named.

    Ids of one video that have the same name are one person. Raises DataError, one sentence.
    """
    file = shown(path)
    try:
        separator, text = split_header(read_text(Path(path)))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({first_line(error)}); check the file.") from error
    rows = csv.DictReader(StringIO(text), delimiter=separator, skipinitialspace=True)
    columns = {name.strip().lower(): name for name in rows.fieldnames or ()}
    if lacking := [name for name in ("face_id", "name") if name not in columns]:
        raise DataError(
            f"{file} has no column {' and no column '.join(lacking)}; it needs face_id and name, "
            "and video where ids of several videos are named."
        )
    names: dict[tuple[str | None, int], str] = {}
    for row in rows:
        number = (row[columns["face_id"]] or "").strip()
        name = (row[columns["name"]] or "").strip()
        video = (row[columns["video"]] or "").strip() if "video" in columns else ""
        if not number and not name:
            continue
        if not (number.isascii() and number.isdigit()):
            raise DataError(
                f"{file}, line {rows.line_num}: face_id is {shown(repr(number))}; write the number "
                "that the table has, such as 0."
            )
        names[video or None, int(number)] = name
    return names


def check_person(person: str | None) -> str | int | None:
    """``longest``, ``largest`` or the number of a face. Raises OptionError for anything else."""
    if person is None or person in PERSONS:
        return person
    if person.isascii() and person.isdigit():
        return int(person)
    raise OptionError(f"person: {person!r} is not {', '.join(PERSONS)} or the number of a face.")


def people_of(
    faces: Sequence[FaceSeries], names: Names, person: str | int | None = None
) -> tuple[list[Person], int]:
    """The people of one video, and how many faces were passed over.

    person: keep the one who is seen longest, whose face is largest (median of the box), or who has
    this id. Without it, everybody is kept who is seen for a second or in 5 % of the frames, or has
    a name.
    """
    people = _named(faces, names)
    if person is None:
        if len(people) == 1:
            return people, 0
        kept = [each for each in people if each.name or not _moment(each.face)]
        kept = kept or [max(people, key=lambda each: _seen(each.face))]
    elif isinstance(person, int):
        kept = [each for each in people if person in each.ids]
    else:
        measure = _seen if person == "longest" else _size
        kept = [max(people, key=lambda each: measure(each.face))]
    return kept, len(people) - len(kept)


def name_keys(face: FaceSeries) -> list[tuple[str | None, int]]:
    """The keys of :data:`Names` that are a face's, the most exact one first."""
    if face.face_id is None:
        return []
    places = (face.video, Path(face.video).name, Path(face.video).stem, None)
    return [(place, face.face_id) for place in places]


def _named(faces: Sequence[FaceSeries], names: Names) -> list[Person]:
    """Faces with their names; those of the same name as one."""
    found: dict[object, Person] = {}
    for face in faces:
        told = (names.get(key) for key in name_keys(face))
        name = next((name for name in told if name), "")
        ids = () if face.face_id is None else (face.face_id,)
        key = name or ids
        if key in found:
            before = found[key]
            found[key] = Person(_joined(before.face, face), name, before.ids + ids)
        else:
            found[key] = Person(face, name, ids)
    return list(found.values())


def _joined(one: FaceSeries, other: FaceSeries) -> FaceSeries:
    """Two faces of a video as one; where both are seen, the first."""
    take = (one.face_ids < 0) & (other.face_ids >= 0)  # (N,)

    def both(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.where(take.reshape(-1, *[1] * (first.ndim - 1)), second, first)

    changed = {}
    for field in fields(one):
        first, second = getattr(one, field.name), getattr(other, field.name)
        if isinstance(first, np.ndarray) and field.name not in ("frames", "seconds"):
            changed[field.name] = both(first, second)
    return replace(one, **changed)


def _seen(face: FaceSeries) -> float:
    """Seconds with this face; frames where there is no time."""
    there = face.face_ids >= 0
    return float(frame_seconds(face.seconds)[there].sum() if face.timed else there.sum())


def _size(face: FaceSeries) -> float:
    """Median of the longer side of the box, px."""
    there = face.face_ids >= 0
    sides = face.boxes[there, 2:].max(1)
    return float(np.median(sides)) if np.isfinite(sides).any() else 0.0


def _moment(face: FaceSeries) -> bool:
    there = face.face_ids >= 0
    short = not face.timed or _seen(face) < LEAST_SECONDS
    return short and float(there.mean()) < LEAST_SHARE
