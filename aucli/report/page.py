"""The report of a study: one page for the eye, from tables, without a network.

A page holds everything where the study is small. Of a large one, the details of each row lie in
files beside it, and the page loads them when a row is opened. Everything heavy, plotly.js and the
details, is gzip in base64, which every current browser unpacks. The page comes from Jinja2, which
escapes the names of files and people, and its scripts carry a nonce: nothing else runs, and nothing
is loaded from elsewhere.
"""

import base64
import gzip
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from aucli.aus import NAMES
from aucli.errors import AucliError, DataError, InputError, LibraryError, OutputError
from aucli.files import OutputExists, refuse_existing, shown, write_text
from aucli.pipeline.journal import JOURNAL, Journal
from aucli.report.details import detail, level
from aucli.report.flags import Flag, find_flags, has_baseline
from aucli.report.moments import (
    Square,
    Videos,
    as_sprite,
    choose_moments,
    read_pictures,
    square_of,
)
from aucli.report.origins import calibration_words, limits
from aucli.report.people import Names, Person, name_keys, people_of
from aucli.report.statistics import FaceStatistics, face_statistics
from aucli.report.study import FaceSeries, Repeats, read_faces
from aucli.table.dataset import table_name
from aucli.table.schema import QUALITY
from aucli.version import version
from aucli.words import counted

MOST_IN_ONE_FILE = 100  # rows
SOME = 5  # names in a sentence
FEW = 12  # rows of which more is shown
BESIDE = "-files"  # ends the name of the folder of details
MARK = "aucli report"  # by which our own page is known
ICON_PX = 44
_OURS = re.compile(r"(plotly|d\d+)\.js")

OnTable = Callable[[int], None]  # tables read so far


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """title: of the page. pictures: whether faces are shown, where their videos are found. blur:
    whether they are made unrecognisable. videos: a folder that is searched for the videos first.
    inputs: absolute path of a table -> its video, where the caller knows. names, person: see
    :mod:`aucli.report.people`."""

    title: str = "Facial movement"
    pictures: bool = True
    blur: bool = False
    videos: Path | None = None
    inputs: Mapping[str, Path] = field(default_factory=dict)
    names: Names = field(default_factory=dict)
    person: str | int | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What was written. beside: the folder of the details; None where the page holds them.
    problems: table -> why it could not be read. rows: of the overview. without_pictures: why there
    are none, for each video without. pictured: whether the page shows faces. notes: what of the
    tables and names was left out, a sentence each."""

    page: Path
    beside: Path | None
    rows: int
    problems: Mapping[str, str]
    without_pictures: Mapping[str, str]
    pictured: bool
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Scale:
    """How much is shown of each row. steps: in which time is cut. moments: of a video. picture_px:
    side of a picture."""

    steps: int
    moments: int
    picture_px: int


def _scale(rows: int) -> _Scale:
    if rows <= FEW:
        return _Scale(2000, 48, 160)
    if rows <= MOST_IN_ONE_FILE:
        return _Scale(300, 16, 80)
    return _Scale(1000, 32, 112)


def write_report(
    tables: Sequence[Path],
    page: Path,
    options: ReportOptions,
    folders: Iterable[Path] = (),
    overwrite: bool = False,
    on_table: OnTable = lambda done: None,
) -> Written:
    """Write the report of tables; see the module.

    folders: of tables, whose journals tell of inputs without a table. Such an input, and a table
    that cannot be read, get a row that says so.

    Raises LibraryError without the extra, OutputError where the page cannot be written, DataError
    where no table can be read.
    """
    template, plotly = _libraries()
    beside = page.with_name(page.stem + BESIDE)
    refuse_existing(page, overwrite)
    _refuse_strange(beside, overwrite)
    study = _Study(options, _scale(len(tables)))
    for done, table in enumerate(tables):
        study.add(table)
        on_table(done + 1)
    study.add_failed(folders, tables)
    if not study.details:
        if tables and not study.problems:
            raise DataError(
                f"No table has a face {options.person}; take longest, largest or an id of the "
                "column face_id."
            )
        raise DataError(
            next(iter(study.problems.values()), "There is no table; name what aucli analyze wrote.")
        )
    large = len(study.rows) > MOST_IN_ONE_FILE
    parts = {"plotly": _packed(plotly)} | {
        f"d{number}": text for number, text in study.details.items()
    }
    told = study.told() | {"files": beside.name if large else None}
    context = {
        "title": options.title,
        "mark": f"{MARK} {version()}",
        "study": told,
        "parts": {} if large else parts,
        "css": _part("page.css"),
        "js": _part("page.js"),
        "nonce": hashlib.sha256(json.dumps(told).encode()).hexdigest()[:24],
    }
    try:
        if large:
            _write_beside(beside, parts)
        elif beside.exists():
            shutil.rmtree(beside)
        write_text(page, template.render(context))
    except OSError as error:
        raise OutputError(
            f"Cannot write {shown(page)}: {error.strerror}; choose another place."
        ) from error
    return Written(
        page,
        beside if large else None,
        len(study.rows),
        study.problems,
        study.without_pictures,
        study.pictured,
        [*study.notes, *study.unused_names()],
    )


class _Study:
    """Gathers the rows of the overview and the packed details behind them."""

    def __init__(self, options: ReportOptions, scale: _Scale) -> None:
        self.options = options
        self.scale = scale
        self.rows: list[dict[str, Any]] = []
        self.details: dict[int, str] = {}  # row -> packed
        self.problems: dict[str, str] = {}
        self.notes: list[str] = []
        self._repeats = Repeats(by_columns=True)
        self._keys: set[tuple[str | None, int]] = set()  # of names that may be of these tables
        self.without_pictures: dict[str, str] = {}
        self.provenances: dict[str, Mapping[str, Any]] = {}  # AU network -> one that names it
        self.aus: list[str] = []
        self.placed = self.pictured = self.sided = False
        self.seconds = 0.0
        self.passed_over = 0
        self._videos = Videos(options.videos, options.inputs)

    def add(self, table: Path) -> None:
        """Take in a table."""
        try:
            faces = read_faces(table)
            if not faces:
                raise DataError(f"{shown(table)} has no rows.")
        except AucliError as error:
            self.problems[shown(table)] = str(error)
            self.rows.append(_failed_row(table_name(table), str(error), "unreadable"))
            return
        faces, sentences = self._repeats.without(faces)
        self.notes += sentences
        videos: dict[str, list[FaceSeries]] = {}
        for face in faces:
            self._keys.update(name_keys(face))
            videos.setdefault(face.video, []).append(face)
        for own in videos.values():
            self._add_video(own)

    def add_failed(self, folders: Iterable[Path], tables: Iterable[Path]) -> None:
        """Take in what the journals of folders tell of inputs without a table."""
        here = {os.path.abspath(table) for table in tables}
        for folder in folders:
            for journal in sorted(folder.rglob(JOURNAL)):
                for entry in Journal(journal.parent).entries():
                    table = os.path.abspath(journal.parent / entry.table)
                    if table not in here and entry.state != "done":
                        self.rows.append(_failed_row(entry.label, entry.reason, "failed"))

    def unused_names(self) -> list[str]:
        """A sentence on names of faces that no table has."""
        unused = [name for key, name in self.options.names.items() if key not in self._keys]
        if not unused:
            return []
        some = ", ".join(map(shown, unused[:SOME])) + (" ..." if len(unused) > SOME else "")
        return [f"No table has the faces of {counted(len(unused), 'name')}: {some}."]

    def _add_video(self, faces: list[FaceSeries]) -> None:
        people, passed_over = people_of(faces, self.options.names, self.options.person)
        self.passed_over += passed_over
        if not people:  # --person names a face that this video lacks
            text = f"there is no face {self.options.person}"
            self.rows.append(_failed_row(shown(faces[0].video), text, "no face"))
            return
        face = faces[0]
        if face.timed:
            self.seconds += float(face.seconds[-1] - face.seconds[0])
        measured = [face_statistics(person.face) for person in people]
        moments = [
            choose_moments(
                person.face,
                [(au, event) for au in own.aus for event in own.aus[au].events or ()],
                self.scale.moments,
            )
            for person, own in zip(people, measured, strict=True)
        ]
        pictures = self._pictures(face, people, moments)
        for person, own, rows, found in zip(people, measured, moments, pictures, strict=True):
            self._add_person(person, own, rows, found, several=len(people) > 1)

    def _pictures(
        self, face: FaceSeries, people: list[Person], moments: list[list[int]]
    ) -> list[list[Any]]:
        """A picture or None for each moment of each person."""
        nothing = [[None] * len(rows) for rows in moments]
        if not self.options.pictures or not any(moments):
            return nothing
        try:
            video, why = self._videos.find(face)
            if video is None:
                self.without_pictures[shown(face.video)] = why
                return nothing
            wanted: dict[int, list[Square]] = {}
            keys: list[list[tuple[int, int]]] = []
            for person, rows in zip(people, moments, strict=True):
                keys.append([])
                for row in rows:
                    squares = wanted.setdefault(int(face.frames[row]), [])
                    keys[-1].append((int(face.frames[row]), len(squares)))
                    squares.append(square_of(person.face.boxes[row]))
            found = read_pictures(video, wanted, self.scale.picture_px, self.options.blur)
        except InputError as error:
            self.without_pictures[shown(face.video)] = str(error)
            return nothing
        return [[found.get(key) for key in own] for own in keys]

    def _add_person(
        self,
        person: Person,
        statistics: FaceStatistics,
        moments: list[int],
        pictures: list[Any],
        several: bool,
    ) -> None:
        face = person.face
        flags = find_flags(person)
        self.aus += [au for au in face.aus if au not in self.aus]
        self.provenances.setdefault(str((face.provenance.get("model") or {}).get("name")),
                                    face.provenance)  # fmt: skip
        self.placed |= face.places is not None
        self.sided |= face.sides is not None
        found = [picture for picture in pictures if picture is not None]
        self.pictured |= bool(found)
        told = detail(person, statistics, flags, moments, pictures, self.scale.steps)
        self.details[len(self.rows)] = _packed(json.dumps(told, separators=(",", ":")))
        row = _row(person, statistics, flags, several)
        if found:
            best = max(
                (index for index, picture in enumerate(pictures) if picture is not None),
                key=lambda index: _plainness(face, moments[index]),
            )
            row["icon"] = as_sprite([pictures[best].resize((ICON_PX, ICON_PX))])
        self.rows.append(row)

    def told(self) -> dict[str, Any]:
        """What the page knows before a row is opened."""
        return {
            "title": self.options.title,
            "version": version(),
            "aus": sorted(self.aus),
            "names": {au: NAMES.get(au, au) for au in sorted(self.aus)},
            "rows": self.rows,
            "seconds": round(self.seconds),
            "placed": self.placed,
            "sided": self.sided,
            "pictured": self.pictured,
            "blurred": self.options.blur,
            "wanted_pictures": self.options.pictures,
            "passed_over": self.passed_over,
            "limits": limits([*self.provenances.values()]),
        }


def _row(
    person: Person, statistics: FaceStatistics, flags: list[Flag], several: bool
) -> dict[str, Any]:
    """One row of the overview. AU values are in fiftieths and tenths of a second."""
    face = person.face
    there = int((face.face_ids >= 0).sum())
    good = int(((face.face_ids >= 0) & (face.quality == "")).sum())
    poor = {
        word: round(100 * int(np.char.find(face.quality.astype(str), word).__ge__(0).sum()) / there)
        for word in QUALITY
        if there
    }
    who = person.name
    if not who and several:
        who = f"face {', '.join(map(str, person.ids))}"
    subtracted = has_baseline(face, person.ids)
    return {
        "video": shown(face.video),
        "person": shown(who),
        "state": "done",
        "frames": len(face),
        "seconds": round(statistics.seconds, 1) if face.timed else None,
        "unrelated": face.unrelated,
        "found": round(100 * there / max(len(face), 1), 1),
        "good": round(100 * good / there) if there else None,
        "poor": {word: share for word, share in poor.items() if share},
        "baseline": calibration_words(face.provenance, subtracted),
        "calibrated": subtracted,
        "flags": [[flag.kind, flag.weight, flag.text] for flag in flags],
        "p95": {au: level(own.p95) for au, own in statistics.aus.items()},
        "strong": {
            au: [round(own.seconds[1], 1) if face.timed else None, round(100 * own.shares[1])]
            for au, own in statistics.aus.items()
            if np.isfinite(own.shares[1])
        },
    }


def _failed_row(name: str, reason: str, kind: str) -> dict[str, Any]:
    return {"video": shown(name), "person": "", "state": "failed",
            "flags": [[kind, "stop", shown(reason)]]}  # fmt: skip


def _plainness(face: FaceSeries, row: int) -> tuple[bool, float]:
    """How well a moment shows who it is: nothing wrong, looking ahead."""
    turn = float(np.nan_to_num(np.abs(face.pose[row, :2]), nan=9.0).max())
    return face.quality[row] == "", -turn


def check_libraries() -> None:
    """Raise LibraryError where the extra is not installed."""
    _libraries()


def is_report(page: Path) -> bool:
    """Whether a file is a page that was written here."""
    try:
        with page.open("rb") as stream:
            return f'content="{MARK}'.encode() in stream.read(2000)
    except OSError:
        return False


def _libraries() -> tuple[Any, str]:
    """The page's template, and plotly.js."""
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise LibraryError(
            "A report needs the extra 'report': pip install 'aucli[report]'."
        ) from error
    environment = Environment(
        loader=FunctionLoader(_part), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html"), get_plotlyjs()


def _part(name: str) -> str:
    """A file of the template."""
    return (files("aucli.report") / "template" / name).read_text("utf-8")


def _packed(text: str) -> str:
    """gzip in base64; the same text always gives the same bytes."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _refuse_strange(beside: Path, overwrite: bool) -> None:
    """Raise OutputError where the folder of the details is not ours, or must not be replaced."""
    if not beside.exists():
        return
    if not beside.is_dir() or any(not _OURS.fullmatch(file.name) for file in beside.iterdir()):
        raise OutputError(
            f"{shown(beside)} is there and is not of a report; name another place for the page."
        )
    if not overwrite:
        raise OutputExists(
            f"{shown(beside)} exists already; --overwrite (overwrite=True) replaces it."
        )


def _write_beside(beside: Path, parts: Mapping[str, str]) -> None:
    """A script for each part, which hands it to the page."""
    beside.mkdir(parents=True, exist_ok=True)
    for file in beside.iterdir():
        if file.stem not in parts:
            file.unlink()
    for name, text in parts.items():
        write_text(beside / f"{name}.js", f'aucliTake("{name}","{text}")\n')
