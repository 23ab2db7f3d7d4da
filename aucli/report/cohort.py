"""A study: many tables read one after the other, each face with its participant and baseline.

A participant's neutral face is the median of the readings in the neutral frames. It is subtracted
from the readings of all of the participant's videos, and the result kept within 0-5: what
``aucli analyze --calibrate`` does, without a new analysis, and also across videos. Where a table
has a baseline already, its readings before that (``AU12_raw``) are taken, so none is subtracted
twice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from aucli.aus import MAX_INTENSITY
from aucli.errors import DataError
from aucli.files import shown
from aucli.report.participants import Neutral, Participants, Person, same_video
from aucli.report.study import FaceSeries, Repeats, read_faces

_NAMED = 5  # names in a sentence


@dataclass(frozen=True, slots=True)
class Member:
    """A face of the study. person: None without a participants file, and where nobody fits.
    baseline: what was subtracted, in words; '' where nothing was."""

    face: FaceSeries
    person: Person | None
    baseline: str


@dataclass(slots=True)
class Cohort:
    """The faces of many tables. tables: files. problems: table -> sentence, of those that cannot be
    read; notes: sentences that the user should know. Both are filled while the faces are read."""

    tables: Sequence[Path]
    participants: Participants | None = None
    problems: dict[str, str] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def members(self) -> Iterator[Member]:
        """Every face, in the order of the tables.

        A table that cannot be read is a problem, and the others go on. Raises DataError where the
        participants file does not fit the tables.
        """
        baselines = self._baselines()
        unknown: dict[str, None] = {}  # videos of nobody
        without: dict[str, None] = {}  # participants
        found: set[str] = set()
        videos: dict[tuple[str, int | None], tuple[str, str]] = {}
        for face in self._read():
            person = self._person(face)
            if person is not None and person.video:
                this = face.video, str(face.provenance.get("input"))
                if videos.setdefault((person.video, person.face_id), this) != this:
                    raise DataError(
                        f"{shown(person.video)} of the participants file fits several videos; "
                        "write it with its folder."
                    )
            if self.participants is not None and person is None:
                unknown.setdefault(shown(face.video))
            told = _told_baseline(face)
            if person is not None:
                found.add(person.participant)
                if baseline := baselines.get(person.participant):
                    face, told = baseline.subtracted(face), f"neutral {baseline.text}"
                elif baselines:
                    without.setdefault(shown(person.participant))
            yield Member(face, person, told)
        if self.participants is not None:
            used = [name for name in unknown if not self._is_neutral(name)]
            self._note_some("Of no participant of the file", used)
            people = dict.fromkeys(person.participant for person in self.participants.people)
            absent = [shown(name) for name in people if name not in found]
            self._note_some("Participants without a video among the tables", absent)
        self._note_some(
            "Participants without a neutral, whose intensities stay as they are in the tables",
            [*without],
        )

    def _is_neutral(self, video: str) -> bool:
        neutrals = self.participants.neutrals.values() if self.participants else ()
        return any(same_video(n.video, video, Path(video)) for n in neutrals if n.video)

    def _note_some(self, what: str, names: Sequence[str]) -> None:
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            self._note(f"{what}: {', '.join(names[:_NAMED])}{more}.")

    def _person(self, face: FaceSeries) -> Person | None:
        if self.participants is None:
            return None
        return self.participants.find(face.video, face.table, face.face_id)

    def _note(self, sentence: str) -> None:
        self.notes.setdefault(sentence)

    def _read(self) -> Iterator[FaceSeries]:
        repeats = Repeats()
        for table in self.tables:
            try:
                faces = read_faces(table)
            except DataError as error:
                self.problems[shown(table)] = str(error)
                continue
            if not faces:
                self._note(f"{shown(table)} has no rows.")
                continue
            for sentence in faces[0].notes:
                self._note(sentence)
            kept, sentences = repeats.without(faces)
            for sentence in sentences:
                self._note(sentence)
            yield from kept

    def _baselines(self) -> "dict[str, _Baseline]":
        """Participant -> the baseline of its neutral face."""
        neutrals = self.participants.neutrals if self.participants else {}
        if not neutrals:
            return {}
        sources: dict[str, list[FaceSeries]] = {name: [] for name in neutrals}
        for face in self._read():
            person = self._person(face)
            for name, neutral in neutrals.items():
                mine = person is not None and person.participant == name
                if neutral.video:
                    if same_video(neutral.video, face.video, face.table) and (
                        mine or person is None or person.face_id is None
                    ):
                        sources[name].append(_cut(face, neutral))
                elif mine:
                    sources[name].append(_cut(face, neutral))
        self.problems.clear()  # the second reading tells them, too
        return {name: _baseline(name, neutrals[name], faces) for name, faces in sources.items()}


@dataclass(frozen=True, slots=True, eq=False)
class _Baseline:
    """text: of the neutral. aus: A names. intensities: (A,). sides: (A, 2), or None."""

    text: str
    aus: tuple[str, ...]
    intensities: np.ndarray
    sides: np.ndarray | None

    def subtracted(self, face: FaceSeries) -> FaceSeries:
        """The face with this baseline instead of the one of its table."""
        if lacking := [au for au in face.aus if au not in self.aus]:
            raise DataError(
                f"The neutral '{shown(self.text)}' has no {lacking[0]}, which {shown(face.table)} "
                "has; analyze both with the same network."
            )
        order = [self.aus.index(au) for au in face.aus]
        raw = _readings(face)
        sides = face.sides if face.raw_sides is None else face.raw_sides
        intensities = (raw - self.intensities[order]).clip(0, MAX_INTENSITY)
        if sides is None or self.sides is None:
            own_sides = None  # a side with a baseline beside one without would mislead
        else:
            own_sides = (sides - self.sides[order]).clip(0, MAX_INTENSITY)
        return replace(
            face,
            success=np.isfinite(intensities).all(1) if face.aus else face.success,
            intensities=intensities,
            raw=raw,
            sides=own_sides,
            raw_sides=sides if own_sides is not None else None,
        )


def _readings(face: FaceSeries) -> np.ndarray:
    """(N, A) what the network read, before any baseline."""
    return face.intensities if face.raw is None else face.raw


def _cut(face: FaceSeries, neutral: Neutral) -> FaceSeries:
    """Only the neutral frames, and of the arrays only what a baseline needs."""
    where = face.seconds if neutral.seconds else face.frames
    whole = np.isinf(neutral.last)
    chosen = (where >= neutral.first) & (where <= neutral.last) | whole
    sides = face.sides if face.raw_sides is None else face.raw_sides
    nothing = np.zeros((0, 0), np.float32)
    return replace(
        face,
        frames=face.frames[chosen], seconds=face.seconds[chosen], success=face.success[chosen],
        face_ids=face.face_ids[chosen], confidence=nothing, quality=nothing, boxes=nothing,
        pose=nothing, intensities=_readings(face)[chosen], raw=None,
        sides=None if sides is None else sides[chosen], raw_sides=None, places=None,
        side_places=None, landmarks=None, pictures=None,
    )  # fmt: skip


def _baseline(name: str, neutral: Neutral, sources: list[FaceSeries]) -> _Baseline:
    """Raises DataError where the neutral is not one face of one video."""
    told = f"The neutral '{shown(neutral.text)}' of {shown(name)}"
    if not sources:
        if neutral.video:
            raise DataError(
                f"{told} is in no table; analyze it and name its table, too. Name it as the column "
                "video does."
            )
        raise DataError(f"{told} has no video: no table belongs to the participant.")
    videos = list(dict.fromkeys(f"{face.table}: {face.video}" for face in sources))
    if len(videos) > 1:
        raise DataError(
            f"{told} fits {len(videos)} videos ({shown(videos[0])}, {shown(videos[1])} ...); name "
            "one before it, with its folder where names are the same."
        )
    known = [face for face in sources if np.isfinite(face.intensities).any()]
    if not known:
        raise DataError(f"{told} shows no face there; name frames with a face.")
    if len(known) > 1:
        raise DataError(f"{told} shows {len(known)} faces; name a picture of one person.")
    (face,) = known
    rows = np.isfinite(face.intensities).all(1)
    return _Baseline(
        neutral.text if neutral.video else f"{face.video} {neutral.text}",
        face.aus,
        np.median(face.intensities[rows], 0),
        None if face.sides is None else np.median(face.sides[rows], 0),
    )


def _told_baseline(face: FaceSeries) -> str:
    """What the table itself subtracted."""
    options = face.provenance.get("options")
    told = options.get("calibrate") if isinstance(options, dict) else None
    return str(told) if told else ("in the table" if face.raw is not None else "")
