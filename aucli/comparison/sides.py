"""What each tool says of each video: tables read as tracks, and names for the tools."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aucli.errors import DataError, OptionError
from aucli.evaluation.tables import BOX, au_names, columns_of, read_rows, tables_of
from aucli.evaluation.tools import TOOLS, Unit, guess_tool
from aucli.files import shown
from aucli.report.study import provenance_of


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One video as one tool has it: R rows, by frame, some frames with several faces.

    frame_index: (R,) int64, 0-based. pts_seconds: (R,) float64, NaN where unknown. found: (R,)
    bool, rows with a face. face_id: (R,) int64, -1 where unknown. score: (R,) how sure the tool is
    of the face, NaN where unknown. boxes: (R, 4) xyxy px, NaN where unknown. values: (R, A) of
    ``aus``, NaN without a face. provenance: how the table came to be, empty for other tools.
    """

    video: str
    table: Path
    aus: tuple[str, ...]
    frame_index: np.ndarray
    pts_seconds: np.ndarray
    found: np.ndarray
    face_id: np.ndarray
    score: np.ndarray
    boxes: np.ndarray
    values: np.ndarray
    provenance: Mapping[str, Any]

    def of(self, aus: Sequence[str]) -> np.ndarray:
        """(R, len(aus)) values of some AUs."""
        return self.values[:, [self.aus.index(au) for au in aus]]

    def keep(self, rows: np.ndarray) -> "Track":
        """Without the faces of other rows; their frames stay. rows: (R,) bool."""
        gone = ~rows
        return replace(
            self,
            found=self.found & rows,
            boxes=np.where(gone[:, None], np.nan, self.boxes),
            values=np.where(gone[:, None], np.float32(np.nan), self.values),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One tool with its videos. name: as the user sees it. tool: of TOOLS. tracks: video -> track.
    problems: table -> why it cannot be read. notes: sentences that the user should know."""

    name: str
    path: Path
    tool: str
    tracks: dict[str, Track]
    problems: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """A folder by its name, a file with that of its folder."""
        path = self.path.resolve()
        return shown(path.name if path.is_dir() else f"{path.parent.name}/{path.name}")

    @property
    def unit(self) -> Unit:
        """Of its values."""
        return TOOLS[self.tool].unit

    @property
    def aus(self) -> tuple[str, ...]:
        """AUs of any of its videos, in numerical order."""
        return tuple(sorted({au for track in self.tracks.values() for au in track.aus}))


def split_name(argument: str) -> tuple[str, Path]:
    """``NAME=PATH`` -> (NAME, PATH); without a name ('', PATH). A file that is called like that is
    a path."""
    name, mark, path = argument.partition("=")
    if not mark or Path(argument).exists():
        return "", Path(argument)
    if not name.strip() or not path:
        raise OptionError(f"{shown(argument)} is not NAME=TABLE; give both, or the table alone.")
    return name.strip(), Path(path)


def open_sides(arguments: Sequence[str]) -> list[Side]:
    """The tools that a user named, each with a name of its own.

    A name that is one of TOOLS also says how to read a table whose columns do not tell. Raises
    OptionError where there are fewer than two, or the same twice, and DataError where none of a
    tool's tables can be read.
    """
    named = [split_name(argument) for argument in arguments]
    if len(named) < 2:
        raise OptionError("compare needs two tables or folders, or more; name a second one.")
    for number, (_, path) in enumerate(named):
        for _, other in named[:number]:
            if path.exists() and other.exists() and path.samefile(other):
                raise OptionError(
                    f"{shown(other)} and {shown(path)} are the same; name two different ones."
                )
    given = [name for name, _ in named if name]
    if twice := [name for name in given if given.count(name) > 1]:
        raise OptionError(f"two inputs are named {shown(twice[0])}; give each a name of its own.")
    return _with_names([_read_side(*each) for each in named], [bool(name) for name, _ in named])


def _read_side(name: str, path: Path) -> Side:
    titles = {its.title.casefold(): tool for tool, its in TOOLS.items()}
    told = titles.get(name.casefold(), name if name in TOOLS else None)
    tracks: dict[str, Track] = {}
    problems: dict[str, str] = {}
    notes: dict[str, None] = {}
    tools: dict[str, Path] = {}
    passed_over: list[str] = []
    for file, video in tables_of(path):
        try:
            tool = guess_tool(columns_of(file)) or told
            if tool is None and path.is_dir():
                passed_over.append(shown(file.name))
                continue
            if tool is None:
                raise DataError(
                    f"{shown(file)} has no columns of a tool that aucli knows; write the tool in "
                    f"front, such as openface3={shown(file.name)}: {', '.join(TOOLS)}."
                )
            rows, _ = read_rows(file, video, tool, faces=True)
            provenance, sentences = provenance_of(file, pd.DataFrame())
            own = _tracks(file, rows, provenance)
        except DataError as error:
            problems[shown(file)] = str(error)
            continue
        tools.setdefault(tool, file)
        notes |= dict.fromkeys(sentences)
        if not own:
            notes.setdefault(f"{shown(file)} has no rows.")
        for track in own:
            if track.video in tracks:
                problems[shown(file)] = (
                    f"{shown(tracks[track.video].table)} and {shown(file)} both hold "
                    f"{shown(track.video)}; leave one of them."
                )
            else:
                tracks[track.video] = track
    if passed_over:
        more = " ..." if len(passed_over) > 3 else ""
        notes.setdefault(
            f"Without columns of a tool, passed over: {', '.join(passed_over[:3])}{more}."
        )
    if len(tools) > 1:
        (one, first), (other, second) = list(tools.items())[:2]
        raise DataError(
            f"{shown(path)} holds tables of {TOOLS[one].title} ({shown(first.name)}) and "
            f"{TOOLS[other].title} ({shown(second.name)}); keep each tool in a folder of its own."
        )
    if not tracks:
        raise DataError(
            next(iter(problems.values()), "")
            or next(iter(notes), "")
            or f"{shown(path)} holds no table with rows; check it."
        )
    (tool,) = tools
    return Side(name, path, tool, tracks, problems, tuple(notes))


def _tracks(file: Path, rows: pd.DataFrame, provenance: Mapping[str, Any]) -> list[Track]:
    """The videos of one table."""
    aus = au_names(rows)
    found = []
    for video, own in rows.groupby("video", sort=False):
        own = own.sort_values("frame_index", kind="stable")
        ids = own["face_id"].to_numpy(np.float64)
        found.append(
            Track(
                video=str(video),
                table=file,
                aus=aus,
                frame_index=own["frame_index"].to_numpy(np.int64),
                pts_seconds=own["pts_seconds"].to_numpy(np.float64),
                found=own["success"].to_numpy(bool),
                face_id=np.where(np.isfinite(ids), ids, -1).astype(np.int64),
                score=own["score"].to_numpy(np.float64),
                boxes=own[list(BOX)].to_numpy(np.float32),
                values=own[list(aus)].to_numpy(np.float32),
                provenance=_told_of(provenance, str(video)),
            )
        )
    return found


def _told_of(provenance: Mapping[str, Any], video: str) -> Mapping[str, Any]:
    """What a table of several inputs tells of one of them."""
    runs = provenance.get("inputs")
    if not isinstance(runs, list):
        return provenance
    for run in runs:
        name = (run.get("input") or {}).get("name") if isinstance(run, dict) else None
        if name and Path(str(name)).stem == Path(video).name:
            return run
    return next((run for run in runs if isinstance(run, dict)), {})


def _with_names(sides: list[Side], given: list[bool]) -> list[Side]:
    """Sides with names that differ: what the user said, else tool and version, else the path."""
    for words in (_title, _network_title, _path_title):
        names = [side.name if own else words(side) for side, own in zip(sides, given, strict=True)]
        if len(set(names)) == len(names):
            break
    else:
        names = [f"{name} {number}" for number, name in enumerate(names, 1)]
    return [replace(side, name=name) for side, name in zip(sides, names, strict=True)]


def _title(side: Side) -> str:
    versions = facts_of(side).get("version", ())
    if versions:  # also of a table that aucli wrote in the layout of OpenFace
        return " ".join(["aucli", *versions[:1]]) if len(versions) == 1 else "aucli"
    return TOOLS[side.tool].title


def _network_title(side: Side) -> str:
    networks = facts_of(side).get("AU network", ())
    return " ".join([_title(side), *(name.split(" ")[0] for name in networks[:1])])


def _path_title(side: Side) -> str:
    return f"{_title(side)} ({side.place})"


def facts_of(side: Side) -> dict[str, tuple[str, ...]]:
    """What decided the numbers of a side, as far as its tables tell: fact -> its values."""
    found: dict[str, dict[str, None]] = {}
    for track in side.tracks.values():
        for fact, value in _facts(track.provenance).items():
            found.setdefault(fact, {}).setdefault(value)
    return {fact: tuple(values) for fact, values in found.items()}


def _facts(told: Mapping[str, Any]) -> dict[str, str]:
    facts: dict[str, str] = {}
    if told.get("aucli"):
        facts["version"] = shown(told["aucli"])
    for key, what in (("model", "AU network"), ("detector", "face detector"),
                      ("landmarks", "landmark network")):  # fmt: skip
        network = told.get(key)
        if isinstance(network, Mapping) and network.get("name"):
            facts[what] = shown(f"{network['name']} ({str(network.get('sha256', ''))[:8]})")
    options = told.get("options")
    if isinstance(options, Mapping):
        for option in ("faces", "every", "start", "end", "fps", "calibrate", "precision"):
            if option in options:
                value = options[option]
                facts[option] = "none" if value is None else shown(value)
    return facts
