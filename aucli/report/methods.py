"""A methods section out of the provenance of tables: what was done, its limits, whom to cite."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aucli.errors import DataError, WeightsError
from aucli.files import shown
from aucli.pipeline.calibration import AUTO, parse_segment
from aucli.report import references
from aucli.report.flags import has_baseline
from aucli.report.study import FaceSeries
from aucli.weights import store
from aucli.weights.manifest import read_manifest
from aucli.words import counted, were

_KINDS = ("detector", "landmarks", "model")
_SHORT = 12  # digits of a checksum, which tell networks apart
_BITS = {"int8": 8, "bf16": 16}  # of other precisions than the usual one


@dataclass(frozen=True, slots=True)
class Methods:
    """paragraphs: one for each way in which tables were made. limits: sentences. bibtex: entries,
    each once."""

    paragraphs: tuple[str, ...]
    limits: tuple[str, ...]
    bibtex: tuple[str, ...]


def describe(faces: Sequence[FaceSeries]) -> Methods:
    """The methods section of the tables of these faces; those without provenance must not be among
    them.

    Raises DataError where the provenance lacks what it has to say.
    """
    ways: dict[tuple[str, ...], list[FaceSeries]] = {}  # what is said alike is said once
    limits: dict[str, None] = {}
    entries = {references.FACS: None}
    for face in faces:
        try:
            own = ways.setdefault(_sentences(face), [])
            own.append(face)
            if len(own) > 1:
                continue
            for sentence, cited in _networks(face.provenance):
                limits.setdefault(sentence)
                entries |= dict.fromkeys(cited)
            entries.setdefault(references.AUCLI.format(version=face.provenance["aucli"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{shown(face.table)} does not tell enough of how it was made ({error} is "
                "missing); analyze the video again."
            ) from error
    limits.setdefault(
        "AU intensities measure movement of the face; they do not measure emotion, intent or "
        "identity. They are least sure in profile, behind hands and masks, and in hard light."
    )
    paragraphs = [" ".join([*said, *_counts(own)]) for said, own in ways.items()]
    return Methods(tuple(paragraphs), tuple(limits), tuple(entries))


def _sentences(face: FaceSeries) -> tuple[str, ...]:
    """How the table of a face was made, without counts."""
    told = face.provenance
    options = told["options"]
    what = "picture" if face.unrelated else "frame"
    sentences = [
        f"The intensities of {counted(len(face.aus), 'facial Action Unit')} "
        f"({', '.join(_number(au) for au in face.aus)}) of the Facial Action Coding System "
        f"were measured with aucli {told['aucli']}, on a scale from 0 (absent) to 5.",
        _networks_used(told, what),
    ]
    if bits := _BITS.get(options.get("precision", "")):
        sentences.append(f"The AU network ran in numbers of {bits} bits.")
    if _input(face).get("looks") == 2:
        sentences.append(
            "The AU network looked at each face twice, once mirrored, and the mean was taken."
        )
    sentences += [_frames_taken(options, what), _faces_kept(options, what)]
    if baseline := _baseline(options, what):
        sentences.append(baseline)
    return tuple(sentences)


def _counts(faces: Sequence[FaceSeries]) -> list[str]:
    """What the tables of faces hold that were made in the same way."""
    what = "picture" if faces[0].unrelated else "frame"
    videos = {(face.table, face.video): face for face in faces}
    frames = sum(len(face) for face in videos.values())
    found: dict[Any, Any] = {}
    for face in faces:
        key, there = (face.table, face.video), face.face_ids >= 0
        found[key] = found[key] | there if key in found else there
    with_face = sum(int(face.sum()) for face in found.values())
    share = f"{100 * with_face / frames:.1f} %" if frames else "none"
    inputs = counted(len(videos), "input")
    decoders = sorted({_input(face).get("decoder", "") for face in videos.values()} - {""})
    by = f", decoded with {', '.join(decoders)}" if decoders else ""
    sentences = [
        *_without_baseline(faces),
        f"The tables hold {counted(frames, what)} of {inputs}{by}; "
        f"a face was found in {share} of them.",
    ]
    damaged = sum(bool(_input(face).get("damage")) for face in videos.values())
    if damaged:
        whose = were(damaged, "input")
        sentences.append(f"{whose} damaged; the {what}s that could be decoded were kept.")
    return sentences


def _networks_used(told: Mapping[str, Any], what: str) -> str:
    """Which network did what in each picture or frame, and when."""
    detector, landmarks, model = (_named(told[kind]) for kind in _KINDS)
    if what == "picture" or told.get("device", "cpu") != "cpu":  # a GPU searches every frame
        return (
            f"In each {what}, faces were found with {detector}, landmarks with {landmarks}, and "
            f"intensities with {model}."
        )
    follower = told.get("follower") or told["landmarks"]
    by = "it" if follower == told["landmarks"] else _named(follower)
    return (
        f"Faces were found with {detector}, which searched a frame in each quarter of a second, or "
        "in each second while all wanted faces were followed without doubt, and every frame in "
        f"which one was lost. Landmarks were put on new faces with {landmarks}; {by} followed them "
        f"from frame to frame. Intensities were read in every analysed frame with {model}."
    )


def _named(network: Mapping[str, Any]) -> str:
    return str(network["name"]) + _checksum(network)


def _checksum(network: Mapping[str, Any]) -> str:
    digits = str(network.get("sha256") or "")[:_SHORT]
    return f" (SHA-256 {digits}...)" if digits else ""


def _number(au: str) -> str:
    return str(int(au.removeprefix("AU")))


def _frames_taken(options: Mapping[str, Any], what: str) -> str:
    if options.get("fps"):
        taken = f"{were(options['fps'], what)} analysed in each second"
    elif options.get("every", 1) > 1:
        taken = f"One {what} in {options['every']} was analysed"
    else:
        taken = f"Every {what} was analysed"
    start, end = options.get("start"), options.get("end")
    if start is not None or end is not None:
        first = f"from {start:g} s" if start is not None else "from the start"
        taken += f", {first}" + (f" to {end:g} s" if end is not None else " to the end")
    return taken + "."


def _faces_kept(options: Mapping[str, Any], what: str) -> str:
    kept = str(options["faces"])
    if kept == "all":
        return f"All faces of a {what} were kept."
    if kept in ("largest", "1"):
        return f"The largest face of a {what} was kept."
    return f"The {kept} largest faces of a {what} were kept."


def _baseline(options: Mapping[str, Any], what: str) -> str:
    told = options.get("calibrate")
    if not told:
        return ""
    source = str(told).removeprefix("neutral=")
    if segment := parse_segment(source):
        first, last, seconds = segment
        where = f"in {what}s {first:g} to {last:g}" if last > first else f"in {what} {first:g}"
        where = f"from {first:g} s to {last:g} s" if seconds else where
    elif source == "median":
        where = "over all of its pictures" if what == "picture" else "over the whole video"
    elif source == "auto":
        where = f"over the {what}s in which the face was at rest"
    else:
        where = f"over the neutral face ({shown(source.replace(chr(92), '/').rpartition('/')[2])})"
    return (
        f"A person's baseline is the median reading {where}. It was subtracted from each AU, and "
        "the result kept within 0-5."
    )


def _without_baseline(faces: Sequence[FaceSeries]) -> list[str]:
    """A sentence on the faces from which nothing was subtracted, where there are some."""
    if not faces[0].provenance["options"].get("calibrate"):
        return []
    seen = [face for face in faces if face.face_id is not None]
    lacking = sum(not has_baseline(face) for face in seen)
    if not lacking:
        return []
    of = f"{lacking} of {counted(len(seen), 'face')}"
    if faces[0].provenance["options"]["calibrate"] == AUTO:
        return [f"{of} had no baseline, as no frames at rest were found; nothing was subtracted."]
    return [f"{of} had no baseline, and therefore no intensities."]


def _input(face: FaceSeries) -> Mapping[str, Any]:
    told = face.provenance.get("input")
    return told if isinstance(told, dict) else {}


def _networks(told: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """For each network: a sentence on its limits, and whom to cite."""
    known = read_manifest()
    embedded = store.list_embedded()  # all of these are the project's own
    found: dict[str, list[str]] = {}
    for kind in _KINDS:
        network = told[kind]
        name = str(network["name"])
        if name in known:
            entry = known[name]
            sentence = f"{name} has its authors' published weights ({entry.paper}); "
            sentence += "this project could not measure it." if kind == "model" else "cite them."
            found[sentence] = [*filter(None, [references.of_paper(entry.paper)])]
            continue
        card = _card(name, network.get("sha256"))
        training = (card.get("provenance") or {}).get("training") or {}
        rendered = training.get("dataset") == "synthetic" or (card and name in embedded)
        if not training:
            found[f"How {name} was trained is not known on this computer."] = []
        elif rendered:
            if kind == "model":
                found[
                    f"{name} was trained only on rendered faces and was never measured on faces "
                    "that were coded by people: read its values as a scale of movement in "
                    "arbitrary units near the levels A-E, compare them within a person, and "
                    "validate them on your own material."
                ] = [references.ICT_FACEKIT, references.MAKEHUMAN, references.SCC,
                     references.HEATMAPS]  # fmt: skip
            else:
                found[f"{name} was trained only on rendered faces."] = [references.ICT_FACEKIT]
        else:
            found[f"{name} was trained on {training.get('dataset')}."] = []
    return [*found.items()]


def _card(name: str, sha256: object) -> dict[str, Any]:
    """The card of a network on this computer, where it is the one that made the table."""
    try:
        stem = store.find(name)
        card = store.read_card_file(store.card_file(stem)) if stem is not None else {}
    except WeightsError:
        return {}
    return card if card.get("sha256") == sha256 else {}
