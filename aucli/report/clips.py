"""A clip of every event: the event with a moment before and after it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from aucli.report.events import Rule, find_events
from aucli.report.overlay import Cut
from aucli.report.study import FaceSeries
from aucli.video.stills import FILM_SUFFIX

AROUND_SECONDS = 1.0
_TINY = 1e-4  # times in a text are rounded


def clips_of_events(
    faces: Iterable[FaceSeries],
    aus: Iterable[str],
    folder: Path,
    stem: str,
    rule: Rule | None = None,
) -> Iterator[Cut]:
    """A clip for each event of some AUs, in the order of faces and AUs.

    The events are those of ``aucli events``, see :func:`aucli.report.events.find_events`. The names
    tell AU, number and level: ``clip_AU12_003_D.overlay.mp4``; where there are several faces, also
    the id: ``clip_face1_AU12_003_D.overlay.mp4``.
    """
    faces = list(faces)
    names = tuple(aus)
    for face in faces:
        who = f"_face{face.face_id}" if len(faces) > 1 else ""
        for au in names:
            for number, event in enumerate(find_events(face.seconds, face.of(au), rule), 1):
                name = f"{stem}{who}_{au}_{number:03d}_{event.level}{FILM_SUFFIX}"
                start = event.onset_seconds - AROUND_SECONDS - _TINY
                end = event.offset_seconds + AROUND_SECONDS - _TINY
                yield Cut(folder / name, start, end, None if face.one_person else face.face_id)
