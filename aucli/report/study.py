"""Tables read back as people: for each face of each video, what was measured over time.

Where a run kept one face a frame, the video shows one person, whatever the ``face_id``: it changes
when the face is lost for more than half a second. The provenance says how many faces were kept; a
table without it counts as such where no frame has two faces.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import pyarrow.parquet as pq

from aucli.aus import SIDES
from aucli.errors import DataError, OptionError
from aucli.faces.wanted import parse_faces
from aucli.files import PART, shown
from aucli.pipeline.journal import JOURNAL
from aucli.table.delimited import read_text, split_header
from aucli.table.reading import SUFFIXES, au_names, read_table
from aucli.table.schema import LANDMARKS, POSE
from aucli.table.writer import read_provenance

if TYPE_CHECKING:
    import pandas as pd

_BOX = ("face_x", "face_y", "face_w", "face_h")


@dataclass(frozen=True, slots=True, eq=False)
class FaceSeries:
    """One face of one video, on all N analysed frames of the video, in their order.

    video: as the table calls it. face_id: of the face, its first one where it has several; None
    where the video shows no face. aus: names of the A AUs. provenance: how the table came to be,
    see docs/provenance.md; empty where nobody noted it. notes: sentences about the table that a
    user should know. one_person: the table keeps one face a frame.

    frames: (N,) int64, from 1. seconds: (N,) float64, all NaN for pictures. success: (N,) bool,
    whether this face has intensities there. pictures: (N,) names of files, of a folder of
    pictures. face_ids: (N,) int32, -1 without this face.
    confidence: (N,) 0-1. quality: (N,) words, '' where nothing is wrong or there is no face.
    boxes: (N, 4) px, x y width height. pose: (N, 3) rad. intensities: (N, A), 0-5. raw: the same
    before a baseline was subtracted; None where there was none. sides: (N, A, 2) [L, R].
    raw_sides: as raw. places: (N, A, 2) frame px. side_places: (N, A, 2, 2), of L and R. landmarks:
    (N, 68, 2) frame px. Floats are float32, NaN where there is nothing; arrays that the table lacks
    are None.
    """

    table: Path
    video: str
    face_id: int | None
    one_person: bool
    aus: tuple[str, ...]
    frames: np.ndarray
    seconds: np.ndarray
    success: np.ndarray
    face_ids: np.ndarray
    confidence: np.ndarray
    quality: np.ndarray
    boxes: np.ndarray
    pose: np.ndarray
    intensities: np.ndarray
    raw: np.ndarray | None
    sides: np.ndarray | None
    raw_sides: np.ndarray | None
    places: np.ndarray | None
    side_places: np.ndarray | None
    landmarks: np.ndarray | None
    pictures: np.ndarray | None
    provenance: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def timed(self) -> bool:
        """Whether the frames have times that rise; pictures have none."""
        return len(self) > 1 and bool(self.seconds[-1] > self.seconds[0])

    @property
    def unrelated(self) -> bool:
        """Whether these are pictures that have nothing to do with each other, or a single one."""
        told = self.provenance.get("input")
        image = isinstance(told, Mapping) and told.get("codec") == "image"
        return not self.timed and (image or bool(np.isnan(self.seconds).all()))

    def of(self, au: str) -> np.ndarray:
        """(N,) intensities of one AU."""
        return self.intensities[:, self.aus.index(au)]


class FoundTables(NamedTuple):
    """tables: each once, in order. problems: argument -> sentence. passed_over: other CSV, Parquet
    and JSON-lines files of the folders."""

    tables: list[Path]
    problems: dict[str, str]
    passed_over: list[Path]


def find_tables(arguments: Iterable[Path | str]) -> FoundTables:
    """Tables among files and folders; folders are searched with their subfolders.

    A file that is named is taken as it is. Of a folder, the journal, hidden files, the .json files
    beside tables and files without the columns of a table are none.
    """
    found = FoundTables([], {}, [])
    for argument in arguments:
        path = Path(argument)
        if not path.is_dir():
            found.tables.append(path)
            continue
        inside = [file for file in _files(path) if file.suffix.lower() in SUFFIXES]
        tables = [file for file in inside if _may_be_table(file)]
        found.passed_over.extend(file for file in inside if file not in set(tables))
        found.tables.extend(tables)
        if not tables:
            found.problems[shown(path)] = (
                f"{shown(path)} holds no table; name the folder that aucli analyze wrote into."
            )
    once: dict[str, Path] = {}
    for path in found.tables:
        once.setdefault(os.path.realpath(path), path)
    return found._replace(tables=[*once.values()])


def read_faces(path: Path | str) -> list[FaceSeries]:
    """The faces of one table, in its order; a video without a face gives one without intensities.

    The table may have any format of :func:`aucli.table.reading.read_table`. An empty table gives an
    empty list. Raises DataError, one sentence, where the file is no table of aucli or OpenFace, has
    a row twice, or times that fall or lack in some rows.
    """
    file = Path(path)
    rows = read_table(file)
    provenance, notes = provenance_of(file, rows)
    rows.attrs = {}  # pandas copies it for every column that is taken out
    faces = []
    for video, own in rows.groupby("video", sort=False):
        faces += _faces(file, str(video), own, _of_video(provenance, str(video)), notes)
    return faces


def one_face_kept(provenance: Mapping[str, Any]) -> bool | None:
    """Whether the run kept one face a frame; None where the provenance does not say."""
    try:
        return parse_faces(str(provenance["options"]["faces"])) == 1
    except (KeyError, TypeError, OptionError):
        return None


def _files(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name != JOURNAL and not name.startswith(".") and not name.endswith(PART):
                yield Path(where, name)


def _may_be_table(file: Path) -> bool:
    """Whether a file has the columns of a table; a damaged one may be."""
    try:
        if file.suffix.lower() == ".parquet":
            names = pq.read_schema(file).names
        elif file.suffix.lower() == ".jsonl":
            with file.open("rb") as stream:
                line = stream.readline(1 << 20)
            return not line or (b'"success"' in line and b'_r"' in line)
        else:
            separator, text = split_header(read_text(file))
            names = [name.strip(' "') for name in text.partition("\n")[0].split(separator)]
    except Exception:  # the reader says in a sentence what is wrong
        return True
    return not names or ("success" in names and bool(au_names(names)))


def provenance_of(file: Path, rows: "pd.DataFrame") -> tuple[dict[str, Any], tuple[str, ...]]:
    """How a table of ``read_table`` came to be, and sentences on why that is not known."""
    if provenance := rows.attrs.get("provenance"):
        return provenance, ()
    try:
        return read_provenance(file), ()
    except (OSError, ValueError) as error:
        why = "it was changed after it was written" if "changed" in str(error) else "it is damaged"
        return {}, (f"The file beside {shown(file)} does not tell how it was made: {why}.",)


def _of_video(provenance: dict[str, Any], video: str) -> dict[str, Any]:
    """What the provenance of a table of several videos says of one of them."""
    told = provenance.get("inputs")
    if not isinstance(told, list):
        return provenance
    own = (entry for entry in told if isinstance(entry, dict) and entry.get("video") == video)
    return next(own, {})


def _faces(
    file: Path, video: str, rows: "pd.DataFrame", provenance: dict[str, Any], notes: tuple[str, ...]
) -> Iterator[FaceSeries]:
    """The faces of one video of a table."""
    rows = rows.sort_values("frame", kind="stable")
    ids = rows["face_id"].fillna(-1).to_numpy(np.int32)
    at = rows["frame"].to_numpy(np.int64)
    frames, first, row_frame = np.unique(at, return_index=True, return_inverse=True)
    seconds = rows["timestamp"].to_numpy(np.float64)
    _check(file, video, at, ids, seconds)
    there = ids >= 0
    alone = len(np.unique(at[there])) == int(there.sum())
    kept = one_face_kept(provenance)
    one_person = alone and (kept if kept is not None else True)
    present = list(dict.fromkeys(ids[there].tolist()))
    groups: Sequence[tuple[int | None, np.ndarray]]
    if one_person or not present:
        groups = [(present[0] if present else None, there)]
    else:
        groups = [(face_id, ids == face_id) for face_id in sorted(present)]
    names = None
    if "picture" in rows and bool(rows["picture"].notna().to_numpy().any()):
        names = rows["picture"].fillna("").to_numpy(str)[first]
    aus = au_names(rows.columns)
    made = _Arrays(rows, aus)
    for face_id, chosen in groups:
        source = np.full(len(frames), -1)
        source[row_frame[chosen]] = np.flatnonzero(chosen)
        here = source >= 0
        take = np.where(here, source, 0)

        def spread(values: np.ndarray | None, empty: Any = np.nan, take=take, here=here) -> Any:
            if values is None:
                return None
            out = values[take]
            out[~here] = empty
            return out

        yield FaceSeries(
            table=file,
            video=video,
            face_id=face_id,
            one_person=one_person,
            aus=aus,
            frames=frames,
            seconds=seconds[first],
            success=spread(rows["success"].to_numpy(bool), False),
            face_ids=spread(ids, -1),
            confidence=spread(made.one("confidence")),
            quality=spread(made.words("quality"), ""),
            boxes=spread(made.group(_BOX)),
            pose=spread(made.group(POSE)),
            intensities=spread(made.levels("{}_r")),
            raw=spread(made.levels("{}_raw")),
            sides=spread(made.both("{}_{}")),
            raw_sides=spread(made.both("{}_{}_raw")),
            places=spread(made.points("{}_{}")),
            side_places=spread(made.side_points()),
            landmarks=spread(made.landmarks()),
            pictures=names,
            provenance=provenance,
            notes=notes,
        )


def _check(file: Path, video: str, at: np.ndarray, ids: np.ndarray, seconds: np.ndarray) -> None:
    """Raise DataError for rows that no single video has."""
    name = shown(file)
    if len(np.unique(np.stack([at, ids]), axis=1).T) < len(at):
        raise DataError(
            f"{name} has a frame of {shown(video)} twice; two videos of the same name need a "
            "table each."
        )
    lacking = np.isnan(seconds)
    if lacking.any() and not lacking.all():
        raise DataError(f"{name} lacks the timestamp in some rows of {shown(video)}; fill it in.")
    if (np.diff(seconds) < 0).any():
        raise DataError(
            f"{name} has timestamps that fall although the frames rise ({shown(video)}); correct "
            "them."
        )


class _Arrays:
    """Columns of a table as arrays of float32; None where one is missing."""

    def __init__(self, rows: "pd.DataFrame", aus: tuple[str, ...]) -> None:
        self._rows = rows
        self._names = set(rows.columns)
        self._aus = aus

    def one(self, name: str) -> np.ndarray:
        if name not in self._names:
            return np.full(len(self._rows), np.nan, np.float32)
        return self._rows[name].to_numpy(np.float32, na_value=np.nan)

    def words(self, name: str) -> np.ndarray:
        if name not in self._names:
            return np.full(len(self._rows), "", object)
        return self._rows[name].astype(object).where(self._rows[name].notna(), "").to_numpy()

    def group(self, names: Sequence[str]) -> np.ndarray:
        if not self._names >= {*names}:
            return np.stack([self.one(name) for name in names], 1)
        return self._rows[list(names)].to_numpy(np.float32, na_value=np.nan)

    def levels(self, pattern: str) -> np.ndarray | None:
        return self._if_all([pattern.format(au) for au in self._aus])

    def both(self, pattern: str) -> np.ndarray | None:
        found = self._if_all([pattern.format(au, side) for au in self._aus for side in SIDES])
        return None if found is None else found.reshape(len(found), -1, 2)

    def points(self, pattern: str) -> np.ndarray | None:
        found = self._if_all([pattern.format(au, axis) for au in self._aus for axis in "xy"])
        return None if found is None else found.reshape(len(found), -1, 2)

    def side_points(self) -> np.ndarray | None:
        names = [f"{au}_{side}_{axis}" for au in self._aus for side in SIDES for axis in "xy"]
        found = self._if_all(names)
        return None if found is None else found.reshape(len(found), -1, 2, 2)

    def landmarks(self) -> np.ndarray | None:
        found = self._if_all(LANDMARKS)  # every x, then every y
        return None if found is None else found.reshape(-1, 2, 68).transpose(0, 2, 1).copy()

    def _if_all(self, names: Sequence[str]) -> np.ndarray | None:
        return cast(np.ndarray, self.group(names)) if self._names >= {*names} else None


class Repeats:
    """Tables one after the other, of which some hold the same rows of a video. by_columns: one that
    tells sides or places and one that does not are two."""

    def __init__(self, by_columns: bool = False) -> None:
        self._by_columns = by_columns
        self._seen: dict[str, Path] = {}  # recipe -> first table

    def without(self, faces: Sequence[FaceSeries]) -> tuple[list[FaceSeries], list[str]]:
        """The faces of one table without the videos that an earlier table holds, and a sentence on
        each of these."""
        again: dict[str, Path] = {}  # video -> first table
        for face in faces:
            recipe = _recipe(face)
            if recipe and self._by_columns:
                recipe += f" {face.sides is not None} {face.places is not None}"
            first = self._seen.setdefault(recipe, face.table) if recipe else face.table
            if first != face.table:
                again[face.video] = first
        kept = [face for face in faces if face.video not in again]
        table = shown(faces[0].table) if faces else ""
        what = {f"{shown(video)} in {table} is the same as in": own for video, own in again.items()}
        if not kept and len(set(again.values())) == 1:
            what = {f"{table} holds the same as": next(iter(again.values()))}
        return kept, [
            f"{words} {shown(first)}, made from the same file with the same options, and is left "
            "out."
            for words, first in what.items()
        ]


def _recipe(face: FaceSeries) -> str:
    """The same text for tables of the same rows; empty where the provenance does not tell."""
    told = face.provenance
    names = ("faces", "every", "start", "end", "fps", "calibrate")
    try:
        options = {name: told["options"][name] for name in names}
        options["precision"] = told["options"].get("precision", "fp32")
        options["neutral"] = told.get("neutral_sha256")
        networks = [told[name]["sha256"] for name in ("model", "detector", "landmarks")]
        sha256 = told["input"]["sha256"]
    except (KeyError, TypeError):
        return ""
    return json.dumps([sha256, networks, options]) if sha256 else ""
