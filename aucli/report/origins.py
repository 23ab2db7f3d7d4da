"""How a table came to be and how far its numbers go, in sentences."""

from collections.abc import Iterator, Mapping
from typing import Any

from aucli.weights.names import BUILTIN
from aucli.words import counted

LIMITS = (
    "Read the values as a scale of facial movement from 0 (absent) to 5, in arbitrary units near "
    "the levels A to E of FACS.",
    "Compare them within a person rather than between people.",
    "They measure movement. They do not measure emotion, intent or identity.",
    "Expect more error in profile, behind hands and masks, in hard light, and for children and "
    "very old people.",
    "Validate them on your own material before a finding rests on them.",
)
OURS = {BUILTIN["au"], "scc-small"}  # scc-small: up to version 0.2.0
OUR_NETWORK = (
    "The AU network was trained only on faces that aucli's project renders itself. It was never "
    "measured on FACS-coded faces."
)
OTHER_NETWORK = "The AU network is {name}; what is known of its errors is in its authors' paper."
# Options of an analysis that change what is measured, and how they are said.
_SAID = {
    "profile": "profile {}", "faces": "faces {}", "every": "one frame in {}", "start": "from {} s",
    "end": "up to {} s", "fps": "frames of each second {}",
}  # fmt: skip
_DEFAULTS = {"profile": "builtin", "faces": "largest", "every": 1}


def limits(provenances: list[Mapping[str, Any]]) -> list[str]:
    """What the numbers of these tables are, and are not."""
    names = {str((told.get("model") or {}).get("name", "")) for told in provenances} - {""}
    found = [OTHER_NETWORK.format(name=name) for name in sorted(names - OURS)]
    if names & OURS:
        found.insert(0, OUR_NETWORK)
    return [*found, *LIMITS]


def calibration_words(provenance: Mapping[str, Any], subtracted: bool = True) -> str:
    """How the intensities were calibrated, in a few words. subtracted: whether there was a
    baseline."""
    if not provenance:
        return "unknown"
    told = (provenance.get("calibration") or {}).get("baseline")
    if not told:
        return "none"
    source = str(told).removeprefix("neutral=")
    words = {"median": "median of the video", "auto": "frames at rest"}
    found = words.get(source, f"neutral: {source}")
    return found if subtracted else f"none found ({found})"


def origin_words(provenance: Mapping[str, Any], subtracted: bool = True) -> list[str]:
    """Where the rows come from, a sentence each. subtracted: whether there was a baseline."""
    if not provenance:
        return ["Nobody noted how this table was made."]
    return list(_sentences(provenance, subtracted))


def _sentences(told: Mapping[str, Any], subtracted: bool) -> Iterator[str]:
    read = told.get("input") or {}
    if read.get("name"):
        size = f", {read['width']} x {read['height']}" if read.get("width") else ""
        rate = f", {counted(round(read['fps'], 2), 'frame')} a second" if read.get("fps") else ""
        by = f", read by {read['decoder']}" if read.get("decoder") else ""
        yield f"Input: {read['name']} ({read.get('codec', 'picture')}{size}{rate}{by})."
    if read.get("rotation_degrees") or read.get("mirrored"):
        turned = f"turned by {read.get('rotation_degrees', 0)} degrees"
        yield f"The picture was {turned}{' and mirrored' if read.get('mirrored') else ''}."
    for note in (read.get("clock"), *(read.get("notes") or ())):
        if note:
            yield str(note)
    if read.get("damage"):
        what = "Missing" if read.get("codec") == "image" else "The file is damaged"
        yield f"{what}: {read['damage']}."
    networks = [
        f"{what} {told[key]['name']} ({str(told[key].get('sha256', ''))[:8]})"
        for key, what in (("model", "AUs"), ("detector", "faces"), ("landmarks", "landmarks"))
        if isinstance(told.get(key), Mapping) and told[key].get("name")
    ]
    if networks:
        yield f"Networks: {', '.join(networks)}; the start of each checksum in brackets."
    options = told.get("options") or {}
    said = [
        words.format(options[name])
        for name, words in _SAID.items()
        if options.get(name, _DEFAULTS.get(name)) != _DEFAULTS.get(name)
    ]
    if said:
        yield f"Options: {', '.join(said)}."
    words = calibration_words(told)
    if words == "none":
        yield "Not calibrated: a face at rest may read above 0."
    elif not subtracted:
        yield f"Not calibrated: no baseline was found ({words}), and nothing was subtracted."
    else:
        yield f"Calibrated: what the face reads at rest was subtracted ({words})."
    if read.get("looks") == 2:
        yield "The AU network looked at each face twice, once mirrored; the mean was taken."
    if read.get("sha256"):
        yield f"Checksum of the input (SHA-256): {read['sha256']}."
    if told.get("aucli"):
        yield f"Measured by aucli {told['aucli']}."
