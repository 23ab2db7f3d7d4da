"""The networks that a run's options name, loaded once.

A profile names three networks; an option of its own replaces any of them. ``builtin`` comes with
the package. ``accurate`` takes the published RetinaFace, FAN and FANAU; of RetinaFace the small one
(MobileNet-0.25), which found every face of the clips it was tried on. Nothing is replaced by
something else when it is missing.
"""

from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aucli.errors import OptionError, WeightsError
from aucli.faces.library_detectors import DETECTORS
from aucli.faces.loading import FaceNetworks, load_faces
from aucli.faces.wanted import parse_faces
from aucli.models.device import resolve_device
from aucli.models.library import HOW_TO_INSTALL
from aucli.models.onnx import ENGINE, OnnxNetwork
from aucli.models.predict import AUModel
from aucli.pipeline.calibration import AUTO
from aucli.pipeline.options import AnalyzeOptions, NetworkNames, choose_networks
from aucli.pipeline.stages import threads_of_exported
from aucli.table.schema import Columns
from aucli.weights.cards import load_au_model, read_card
from aucli.weights.manifest import Published
from aucli.weights.names import AbsentNetwork, UnknownNetwork, resolve
from aucli.weights.store import EXPORTS, UNKNOWN_PEOPLE, people_of


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks of a run. provenance: names and checksums for the table's metadata."""

    au: AUModel
    faces: FaceNetworks
    provenance: dict[str, Any]

    def columns(self, options: AnalyzeOptions) -> Columns:
        """Columns of the tables that these networks make."""
        return options.columns(self.au.aus, self.au.sides, self.au.knows_gaze)


def check_options(options: AnalyzeOptions) -> NetworkNames:
    """The networks of the options, as paths where they are weights; nothing is loaded.

    Raises OptionError with a sentence for each option that has an impossible value, or WeightsError
    that names all published weights still to be pulled, and the commands.
    """
    problems = options.problems()
    wrong = {problem.partition(":")[0] for problem in problems}
    found, absent = {}, []
    usable = not wrong & {"profile", "model", "detector", "landmarks"}
    names = asdict(choose_networks(options)) if usable else {}
    for kind, (option, name) in zip(("au", "detector", "landmarks"), names.items(), strict=False):
        try:
            library = kind == "detector" and name in DETECTORS
            found[option] = name if library else str(resolve(name, kind))
        except AbsentNetwork as error:
            absent.append(error.entry)
        except UnknownNetwork as error:
            also = f" The library face-alignment has {', '.join(DETECTORS)}."
            problems.append(f"{option}: {error}.{also if kind == 'detector' else ''}")
    if problems:
        raise OptionError(" ".join(problems))
    if absent:
        raise WeightsError(_how_to_get(absent))
    return NetworkNames(**found)


def load_networks(options: AnalyzeOptions) -> Networks:
    """Load the networks of the options onto their device.

    Raises as :func:`check_options`, also for what the AU network does not know: gaze, or how faces
    at rest read (for ``calibrate="auto"``); WeightsError where weights are altered or do not fit,
    and LibraryError where an optional library is missing.
    """
    names = check_options(options)
    device = resolve_device(options.device)
    threads = threads_of_exported(options.threads)
    au = load_au_model(names.model, device, threads, options.precision)
    if options.gaze and not au.knows_gaze:
        raise OptionError(f"gaze: the network {au.name} does not tell where the eyes look.")
    if options.calibrate == AUTO and au.rest is None:
        raise OptionError(
            f"calibrate: the network {au.name} does not say how faces at rest read, so '{AUTO}' "
            "cannot find them; name a neutral frame, such as neutral=120."
        )
    keep = parse_faces(options.faces)
    faces = load_faces(
        names.detector, names.landmarks, device, keep, au, threads, options.precision
    )
    told = {
        "profile": options.profile,
        "model": {"name": au.name, "sha256": au.sha256, "template": au.template}
        | _int8(names, options)
        | _seen(names),
        **faces.provenance,
        "device": device,
        "engine": _engine(au),
    }
    return Networks(au, faces, told)


def _engine(au: AUModel) -> str:
    """What runs the AU network, with its version."""
    engine = ENGINE if isinstance(au.net, OnnxNetwork) else "torch"
    return f"{engine} {version(engine)}"


def _int8(names: NetworkNames, options: AnalyzeOptions) -> dict[str, Any]:
    """The checksum of the AU network's form in int8, where that runs: it depends on the faces that
    it was made with."""
    if options.precision != "int8":
        return {}
    return {"int8": read_card(names.model, "au")[1][EXPORTS["int8"][0]]["sha256"]}


def _seen(names: NetworkNames) -> dict[str, Any]:
    """People of licensed datasets on whom the AU network was trained, for ``aucli eval``; "unknown"
    ones where its card does not say."""
    people = people_of(read_card(names.model, "au")[1], f"the card of {names.model}")
    if people is None:
        people = {UNKNOWN_PEOPLE: (Path(names.model).name,)}
    return {"train_subjects": people} if people else {}


def _how_to_get(absent: list[Published]) -> str:
    pulled = [entry.name for entry in absent if entry.urls]
    how = [f"run `aucli weights pull {' '.join(pulled)}`"] if pulled else []
    how += [entry.how for entry in absent if not entry.urls]
    names = [entry.name for entry in absent]
    if "fan-2d" in names and find_spec("face_alignment") is None:
        how.insert(0, f"run `{HOW_TO_INSTALL}`")
    are = "is" if len(names) == 1 else "are"
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"{listed} {are} not on this machine yet; {', then '.join(how)}"
