"""The networks that a run's options name, loaded once.

A profile names three networks; an option of its own replaces any of them. ``builtin`` comes with
the package. ``accurate`` takes the published RetinaFace, FAN and FANAU; of RetinaFace the small one
(MobileNet-0.25), which found every face of the clips it was tried on. Nothing is replaced by
something else when it is missing.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from aucli.errors import OptionError, WeightsError
from aucli.faces.finder import parse_faces
from aucli.faces.library_detectors import DETECTORS
from aucli.faces.loading import FaceNetworks, load_faces
from aucli.models.device import resolve_device
from aucli.models.fan import HOW_TO_INSTALL
from aucli.models.predict import AUModel
from aucli.pipeline.options import AnalyzeOptions, NetworkNames, choose_networks
from aucli.weights.cards import is_path, load_au_model
from aucli.weights.manifest import KINDS, known_names, read_manifest
from aucli.weights.store import find

OPTION_OF_KIND = {"au": "model", "detector": "detector", "landmarks": "landmarks"}


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks of a run. told: names and checksums for the table's metadata."""

    au: AUModel
    faces: FaceNetworks
    told: dict[str, Any]


def check_options(options: AnalyzeOptions) -> None:
    """Raise OptionError with a sentence for each option that cannot be, before anything loads."""
    found = options.problems()
    if not found:
        found = _unknown_names(choose_networks(options))
    try:
        resolve_device(options.device)
    except OptionError as error:
        found.append(str(error))
    if found:
        raise OptionError(" ".join(dict.fromkeys(found)))


def _unknown_names(names: NetworkNames) -> list[str]:
    problems = []
    for kind, option in OPTION_OF_KIND.items():
        name, known = getattr(names, option), ["builtin", *known_names(kind)]
        if kind == "detector":
            known += DETECTORS
        if not is_path(name) and name not in known:
            what = f"'{name}' is no {KINDS[kind]}"
            problems.append(f"{option}: {what}; name {', '.join(known)}, or a .safetensors file.")
    return problems


def load_networks(options: AnalyzeOptions) -> Networks:
    """Load the networks of checked options onto their device.

    Raises:
        OptionError: an option has an impossible value.
        WeightsError: weights are missing, altered or do not fit; all that are still to be pulled
            are named at once.
        LibraryError: an optional library is missing.
    """
    check_options(options)
    device = resolve_device(options.device)
    names = choose_networks(options)
    refuse_absent(names)
    au = load_au_model(names.model).to(device)
    faces = load_faces(names.detector, names.landmarks, device, parse_faces(options.faces))
    told = {
        "profile": options.profile,
        "model": {"name": au.name, "sha256": au.sha256, "template": au.template},
        **faces.told,
        "device": device,
    }
    return Networks(au, faces, told)


def refuse_absent(names: NetworkNames) -> None:
    """Raise WeightsError that names all published weights still to be fetched, and the commands."""
    entries = read_manifest()
    wanted = (names.model, names.detector, names.landmarks)
    absent = [entries[name] for name in wanted if name in entries and find(name) is None]
    if not absent:
        return
    pulled = [entry.name for entry in absent if entry.urls]
    how = [f"run `aucli weights pull {' '.join(pulled)}`"] if pulled else []
    how += [entry.how for entry in absent if not entry.urls]
    if "fan-2d" in wanted and find_spec("face_alignment") is None:
        how.insert(0, f"run `{HOW_TO_INSTALL}`")
    are = "is" if len(absent) == 1 else "are"
    listed = " and ".join(filter(None, (", ".join(e.name for e in absent[:-1]), absent[-1].name)))
    raise WeightsError(f"{listed} {are} not on this machine yet; {', then '.join(how)}")
