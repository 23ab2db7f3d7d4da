"""Events in the files of other programs: rows for a spreadsheet, ELAN, BORIS and BIDS."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from aucli.aus import NAMES
from aucli.errors import DataError
from aucli.files import shown, write_whole, writing
from aucli.report.cohort import Member
from aucli.report.durations import frame_seconds
from aucli.report.events import LEVELS, Event, Rule, find_events
from aucli.report.summary import who
from aucli.version import version

# column -> what it holds, its unit
COLUMNS = {
    "onset": ("Begin of the event", "s"),
    "duration": ("Length of the event", "s"),
    "offset": ("End of the event", "s"),
    "apex": ("Begin of the first frame with the highest intensity", "s"),
    "peak": ("Highest intensity, 0-5", ""),
    "mean": ("Mean intensity over the event, 0-5", ""),
    "level": ("Level of FACS nearest to the peak", ""),
    "complete": ("1 where onset and offset were both seen; 0 where the video or the face begins or "
                 "ends there", ""),
    "onset_frame": ("First frame of the event, from 1", ""),
    "apex_frame": ("Frame of the apex, from 1", ""),
    "offset_frame": ("Last frame of the event, from 1", ""),
    "onset_clock": ("Time of day of the onset, ISO 8601", ""),
    "offset_clock": ("Time of day of the offset, ISO 8601", ""),
}  # fmt: skip
LABELS = {name: f"{text}, {unit}" if unit else text for name, (text, unit) in COLUMNS.items()}
LABELS |= {
    "participant": "Participant", "video": "Video", "au": "Action Unit",
    "face_id": "Number of the face in the video, from 0", "table": "File of the table",
}  # fmt: skip
_DECIMALS = 6

BORIS_COLUMNS = (
    "Observation id", "Observation date", "Description", "Observation duration",
    "Observation type", "Source", "Time offset (s)", "Media duration (s)", "FPS", "Subject",
    "Behavior", "Behavioral category", "Modifier #1", "Behavior type", "Time", "Media file name",
    "Image index", "Image file path", "Comment",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """The events of one face. events: AU -> its events, in order. begin: time of day at which the
    table's clock is 0; None where it is not known."""

    member: Member
    events: dict[str, list[Event]]
    begin: datetime | None = None

    @property
    def video(self) -> str:
        """As the table calls it."""
        return self.member.face.video


def events_of(
    member: Member, aus: Sequence[str], rule: Rule, begin: datetime | None = None
) -> Found:
    """The events of each of the chosen AUs (all where none is named) of a face."""
    face = member.face
    chosen = [au for au in face.aus if not aus or au in aus]
    found = {au: find_events(face.seconds, face.of(au), rule) for au in chosen}
    return Found(member, found, begin)


def event_rows(
    found: Found, offset_seconds: float = 0.0, groups: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """A row for each event of a face, by onset; the keys are those of LABELS and the groups."""
    rows = [
        who(found.member, groups)
        | {"au": au}
        | _values(found, event, offset_seconds)
        | {"table": shown(found.member.face.table)}
        for au, events in found.events.items()
        for event in events
    ]
    return sorted(rows, key=lambda row: (row["onset"], row["au"]))


def _values(found: Found, event: Event, offset: float) -> dict[str, Any]:
    frames = found.member.face.frames
    values: dict[str, Any] = {
        "onset": round(event.onset_seconds + offset, _DECIMALS),
        "duration": round(event.duration_seconds, _DECIMALS),
        "offset": round(event.offset_seconds + offset, _DECIMALS),
        "apex": round(event.apex_seconds + offset, _DECIMALS),
        "peak": round(event.peak, 3),
        "mean": round(event.mean, 3),
        "level": event.level,
        "complete": int(event.complete),
        "onset_frame": int(frames[event.first]),
        "apex_frame": int(frames[event.apex]),
        "offset_frame": int(frames[event.last]),
    }
    if found.begin is not None:
        values["onset_clock"] = _clock(found.begin, event.onset_seconds)
        values["offset_clock"] = _clock(found.begin, event.offset_seconds)
    return values


def _clock(begin: datetime, seconds: float) -> str:
    return (begin + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def bids_rows(found: Sequence[Found], offset_seconds: float = 0.0) -> list[dict[str, Any]]:
    """The rows of a BIDS ``events.tsv``: onset and duration first, then trial_type, the AU."""
    rows = []
    for face in found:
        for row in event_rows(face, offset_seconds):
            kept = {name: row[name] for name in COLUMNS if name in row}
            first = {"onset": kept.pop("onset"), "duration": kept.pop("duration")}
            rows.append(first | {"trial_type": row["au"], "face_id": row["face_id"]} | kept)
    return sorted(rows, key=lambda row: (row["onset"], row["trial_type"]))


def bids_columns(clock: bool) -> list[str]:
    """The columns of a BIDS ``events.tsv`` in their order."""
    rest = [name for name in COLUMNS if name not in ("onset", "duration")]
    rest = [name for name in rest if clock or not name.endswith("_clock")]
    return ["onset", "duration", "trial_type", "face_id", *rest]


def bids_sidecar(aus: Sequence[str], rule: Rule, columns: Sequence[str]) -> dict[str, Any]:
    """The JSON beside a BIDS ``events.tsv``: what each column holds."""
    told: dict[str, Any] = {}
    for name in columns:
        if name == "trial_type":
            told[name] = {
                "LongName": "Facial Action Unit",
                "Description": f"An event begins at an intensity of {rule.enter:g} or more and "
                f"ends below {rule.leave:g}. Events with less than {rule.close_gap_seconds:g} s "
                f"between them are one; those shorter than {rule.min_seconds:g} s are left out.",
                "Levels": {au: NAMES.get(au, au) for au in aus},
            }
        elif name == "face_id":
            told[name] = {"Description": LABELS[name]}
        else:
            text, unit = COLUMNS[name]
            told[name] = {"Description": text} | ({"Units": unit} if unit else {})
    if "level" in told:
        told["level"]["Levels"] = LEVELS
    return told | {"EventRule": asdict(rule), "SoftwareName": "aucli",
                   "SoftwareVersion": version()}  # fmt: skip


def boris_rows(found: Sequence[Found], offset_seconds: float = 0.0) -> list[dict[str, Any]]:
    """Rows as BORIS exports tabular events: one for the start and one for the stop of each.

    The subject is the participant, or the face; the modifier is the level.
    """
    rows = []
    for face in found:
        series = face.member.face
        told = series.provenance.get("input")
        known = told if isinstance(told, dict) else {}
        # To the end of the last frame, so that no event ends after the observation.
        length = float(series.seconds[-1] - series.seconds[0] + frame_seconds(series.seconds)[-1])
        person = face.member.person
        common = dict.fromkeys(BORIS_COLUMNS, "NA") | {
            "Observation id": series.video,
            "Observation date": face.begin.strftime("%Y-%m-%d %H:%M:%S") if face.begin else "NA",
            "Description": "",
            "Observation duration": f"{length:.3f}",
            "Observation type": "Media file(s)",
            "Source": f"player #1:{series.video}",
            "Time offset (s)": f"{offset_seconds:g}",
            "Media duration (s)": f"{length:.3f}",
            "FPS": f"{known['fps']:.3f}" if known.get("fps") else "NA",
            "Subject": person.participant if person else f"face {series.face_id}",
            "Behavioral category": "Action Unit",
            "Media file name": series.video,
            "Comment": "",
        }
        own = []
        for row in event_rows(face, offset_seconds):
            event = common | {
                "Behavior": row["au"],
                "Modifier #1": row["level"],
            }
            for kind, time, frame in (
                ("START", row["onset"], row["onset_frame"]),
                ("STOP", row["offset"], row["offset_frame"]),
            ):
                own.append(
                    event | {"Behavior type": kind, "Time": f"{time:.3f}", "Image index": frame}
                )
        rows += sorted(own, key=lambda row: float(row["Time"]))
    return rows


def write_eaf(
    target: Path,
    found: Sequence[Found],
    video: Path | None,
    offset_seconds: float = 0.0,
    overwrite: bool = False,
) -> None:
    """Write an ELAN file of one video: a tier for each AU and face, "B 2.3" for level and peak.

    video: where it lies, for ELAN's link; None leaves its name, which ELAN looks for beside the
    file. Raises DataError where an event would begin before 0, OutputError where the file cannot be
    written.
    """
    several = len(found) > 1
    name = found[0].video
    tiers: list[tuple[str, str, list[Event]]] = []
    for face in found:
        person = face.member.person
        subject = person.participant if person else f"face {face.member.face.face_id}"
        for au, events in face.events.items():
            tiers.append((f"face {face.member.face.face_id} {au}" if several else au,
                          subject, events))  # fmt: skip
    document = _document(name, video)
    order = document.find("TIME_ORDER")
    assert order is not None
    slot = 0
    times: list[tuple[int, str]] = []
    for number, (tier_id, subject, events) in enumerate(tiers):
        tier = ElementTree.Element(
            "TIER", LINGUISTIC_TYPE_REF="event", PARTICIPANT=_xml(subject), TIER_ID=_xml(tier_id)
        )
        document.insert(2 + number, tier)
        for event in events:
            begin = round(1000 * (event.onset_seconds + offset_seconds))
            end = max(round(1000 * (event.offset_seconds + offset_seconds)), begin + 1)
            if begin < 0:
                raise DataError(
                    f"{shown(target)}: an event would begin {-begin} ms before 0, which ELAN does "
                    "not know; give a larger offset (--offset, offset=)."
                )
            times += [(begin, f"ts{slot}"), (end, f"ts{slot + 1}")]
            annotation = ElementTree.SubElement(
                ElementTree.SubElement(tier, "ANNOTATION"), "ALIGNABLE_ANNOTATION",
                ANNOTATION_ID=f"a{slot // 2}", TIME_SLOT_REF1=f"ts{slot}",
                TIME_SLOT_REF2=f"ts{slot + 1}",
            )  # fmt: skip
            value = ElementTree.SubElement(annotation, "ANNOTATION_VALUE")
            value.text = f"{event.level} {event.peak:.1f}".strip()
            slot += 2
    for milliseconds, name_of in sorted(times):
        ElementTree.SubElement(
            order, "TIME_SLOT", TIME_SLOT_ID=name_of, TIME_VALUE=str(milliseconds)
        )
    ElementTree.indent(document)
    with writing(target), write_whole(target, overwrite) as stream:
        ElementTree.ElementTree(document).write(stream, "UTF-8", xml_declaration=True)


def _document(name: str, video: Path | None) -> ElementTree.Element:
    """An ELAN document without tiers."""
    document = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": f"aucli {version()}",
            "DATE": datetime.now().astimezone().isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    header = ElementTree.SubElement(document, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    file = quote(name.rpartition("/")[2])
    kind = "x-m4v" if name.casefold().endswith(".m4v") else "mp4"
    mime = f"video/{kind}" if name.casefold().endswith((".mp4", ".m4v")) else "unknown"
    ElementTree.SubElement(
        header, "MEDIA_DESCRIPTOR", MIME_TYPE=mime,
        MEDIA_URL=video.resolve().as_uri() if video else f"file:///{file}",
        RELATIVE_MEDIA_URL=f"./{file}",
    )  # fmt: skip
    ElementTree.SubElement(document, "TIME_ORDER")
    ElementTree.SubElement(
        document, "LINGUISTIC_TYPE", GRAPHIC_REFERENCES="false", LINGUISTIC_TYPE_ID="event",
        TIME_ALIGNABLE="true",
    )  # fmt: skip
    return document


def _xml(text: str) -> str:
    """Text that XML may hold."""
    return shown(text)


def write_bids(
    target: Path, found: Sequence[Found], rule: Rule, offset_seconds: float, overwrite: bool
) -> None:
    """Write a BIDS ``events.tsv`` of one video and the JSON beside it."""
    from aucli.report.sheets import write_sheet
    from aucli.report.summary import as_frame

    columns = bids_columns(any(face.begin is not None for face in found))
    aus = list(dict.fromkeys(au for face in found for au in face.events))
    beside = sidecar_of(target)
    text = json.dumps(bids_sidecar(aus, rule, columns), indent=1) + "\n"
    with writing(beside), write_whole(beside, overwrite) as stream:
        stream.write(text.encode())
    write_sheet(as_frame(bids_rows(found, offset_seconds), columns), target, {}, overwrite)


def sidecar_of(events: Path) -> Path:
    """``sub-01_events.tsv`` -> ``sub-01_events.json``."""
    return events.with_suffix(".json")
