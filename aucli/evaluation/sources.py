"""What is scored, and on whom: a tool's table or a model that is run, all subjects or folds."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from aucli.analyzer import Analyzer
from aucli.datasets.adapters import load_labels
from aucli.datasets.folds import fold_number, folds, refuse_shared_people
from aucli.datasets.synthetic import FaceStore, absent_faces
from aucli.errors import DataError, OptionError
from aucli.evaluation import rendered
from aucli.evaluation.running import (
    OnVideo,
    Run,
    is_prepared,
    joined,
    plan,
    prediction_rows,
    run_prepared,
    run_videos,
    subjects_there,
)
from aucli.evaluation.scores import Breakdown, Extra
from aucli.evaluation.strata import SMALL_PX, Measured, stratum_scores
from aucli.evaluation.tables import Predictions, listed, read_labels, read_predictions
from aucli.evaluation.tools import TOOLS
from aucli.evaluation.writing import Origin
from aucli.faces.library_detectors import DETECTORS
from aucli.faces.loading import load_landmarker
from aucli.models.detector import FaceDetectorNet
from aucli.models.device import resolve_device
from aucli.models.predict import AUModel
from aucli.pipeline.loading import check_options
from aucli.pipeline.options import AnalyzeOptions, choose_networks
from aucli.pipeline.stages import threads_of_exported
from aucli.weights.cards import load_au_model, load_weights, read_card
from aucli.weights.store import UNKNOWN_PEOPLE, people_of
from aucli.words import counted

SHOWN = 9  # names of subjects in a sentence
STEPS = 5  # of scoring rendered faces
SCENES = 400  # drawn scenes for the detector, at most


@dataclass(frozen=True, slots=True)
class Split:
    """Whose frames are scored. test: number of the fold, as ``aucli train --fold`` counts them, ->
    its test subjects; empty for everybody."""

    name: str
    test: dict[int, tuple[str, ...]]

    def of(self, there: Collection[str]) -> list[str]:
        """Those of some subjects that are scored."""
        chosen = [subject for test in self.test.values() for subject in test]
        return [subject for subject in chosen if subject in there] if chosen else list(there)

    def notes(self, there: Collection[str]) -> tuple[str, ...]:
        """A sentence on the test subjects that are not there, if any."""
        chosen = [subject for test in self.test.values() for subject in test]
        missing = [subject for subject in chosen if subject not in there]
        some = ", ".join(missing[:SHOWN]) + (" ..." if missing[SHOWN:] else "")
        count = f" ({len(missing)})" if missing[SHOWN:] else ""
        return (f"Test subjects that are not there{count}: {some}.",) if missing else ()


EVERYBODY = Split("all subjects", {})


def fold_split(dataset: str, protocol: str, wanted: str | None) -> Split:
    """The test subjects of a dataset's folds, or of one by its name or number.

    Raises DataError for what is not there.
    """
    named = folds(dataset, protocol)
    number = None if wanted is None else fold_number(dataset, protocol, wanted)
    test = {n: fold.test for n, fold in enumerate(named.values()) if number in (None, n)}
    which = "all folds" if number is None else f"fold {list(named)[number]}"
    return Split(f"test subjects of {protocol}, {which}", test)


def read_source(
    path: Path,
    tool: str | None,
    labels: Path,
    dataset: str | None,
    camera: str | None,
    split: Split,
    allow_seen: bool = False,
) -> tuple[Run, Origin]:
    """A tool's table, and the labels of a dataset or of a table.

    allow_seen: as in :func:`run_source`, of networks whose people the tables tell. Raises
    DataError.
    """
    predictions = read_predictions(path, tool)
    table = load_labels(dataset, labels, camera) if dataset else read_labels(labels)
    labels_unused = table.attrs.get("unused", ())
    there = list(table["subject"].unique())
    table = table.loc[table["subject"].isin(split.of(there))]
    if table.empty:
        raise DataError(f"{labels} has none of the {split.name}; give others.")
    seen = ()
    if dataset:
        tested = {dataset: table["subject"].unique().tolist()}
        seen = refuse_shared_people(predictions.people, tested, allow_seen)
    unused = {"labels": labels_unused, "predictions": predictions.unused}
    origin = Origin(
        predictions=str(path),
        tool=TOOLS[predictions.tool].title,
        labels=f"{dataset}, {labels}" if dataset else str(labels),
        split=split.name,
        frames=_frames(dataset),
        notes=(
            *split.notes(there),
            *_seen(seen),
            *([_SILENT.format(path)] if UNKNOWN_PEOPLE in predictions.people else []),
            *(
                f"Columns of the {what} that are not used: {listed(names)}."
                for what, names in unused.items()
                if names
            ),
        ),
    )
    return Run(table, predictions), origin


_SILENT = (
    "{} does not name everybody on whom the model was trained; the scores hold only if nobody who "
    "is tested here was among them."
)


def _seen(people: Collection[str]) -> tuple[str, ...]:
    """A sentence on people of the training who are tested, if there are any."""
    if not people:
        return ()
    return (f"The model was trained on people who are tested here: {', '.join(people)}.",)


def run_source(
    dataset: str,
    root: Path,
    options: AnalyzeOptions,
    camera: str | None,
    split: Split,
    allow_seen: bool,
    on_video: OnVideo,
) -> tuple[Run, Origin]:
    """Run the model that the options name, or each fold's, on a prepared set or on videos.

    allow_seen: also on people of its training, whom the notes name. Raises DataError.
    """
    there = subjects_there(dataset, root, camera)
    if not split.of(there):
        raise DataError(f"{root} has none of the {split.name}; give another folder.")
    prepared = is_prepared(root)
    runs, used = [], []
    seen: dict[str, None] = {}
    silent: dict[str, None] = {}
    name = choose_networks(options).model
    threads = threads_of_exported(options.threads)
    for path, subjects in plan(name, split.test, there):
        known = people_of(read_card(path, "au")[1], f"the card of {path}")
        silent |= {path: None} if known is None or UNKNOWN_PEOPLE in known else {}
        tested = {dataset: subjects}
        seen |= dict.fromkeys(refuse_shared_people(known or {}, tested, allow_seen))
        if prepared:
            au = load_au_model(path, resolve_device(options.device), threads, options.precision)
            runs.append(run_prepared(root, au, subjects, on_video))
        else:
            analyzer = Analyzer(**asdict(replace(options, model=path)))
            au = analyzer.networks.au
            runs.append(run_videos(root, analyzer, dataset, subjects, camera, on_video))
        used.append(_named(au))
    notes = (*split.notes(there), *_seen(seen))
    if silent:
        notes += (_SILENT.format(f"The card of {', '.join(silent)}"),)
    origin = Origin(
        predictions="; ".join(used),
        tool="prepared faces" if prepared else "whole videos, as by analyze",
        labels=f"{dataset}, {root}",
        split=split.name,
        frames=_frames(dataset),
        notes=notes,
    )
    return joined(runs), origin


def rendered_source(
    root: Path, options: AnalyzeOptions, faces: int, on_video: OnVideo = lambda *_: None
) -> tuple[Run, Origin, tuple[Extra | Breakdown, ...]]:
    """Run the networks that the options name on rendered people held out of training.

    root: what ``aucli synth`` wrote. faces: at most so many. The extras are the places of the AUs,
    the scores of the landmark network and of the detector, what an AU network that follows
    faces sees besides, and the scores of some people and views. Raises DataError where there is no
    such person, or the model knows AUs that rendered faces do not show, and OptionError for a
    detector of another kind than the built-in one.
    """
    names, device = check_options(options), resolve_device(options.device)
    threads = threads_of_exported(options.threads)
    au = load_au_model(names.model, device, threads, options.precision)
    landmarker, landmarks_told = load_landmarker(names.landmarks, device, threads)
    detector = None if names.detector in DETECTORS else load_weights(names.detector, "detector")
    if detector is None or not isinstance(detector.net, FaceDetectorNet):
        raise OptionError(
            "detector: rendered scenes score networks of the built-in kind only; name one, such as "
            "builtin."
        )
    store = FaceStore(root, "test")
    on_video("rendered faces", 0, STEPS)
    held_out = rendered.held_out_frames(store, faces)
    true = rendered.true_intensities(held_out, au.aus)
    scenes = rendered.held_out_scenes(store, min(SCENES, faces))
    on_video("landmarks", 1, STEPS)
    landmarks = rendered.find_landmarks(landmarker, held_out)
    on_video("AUs", 2, STEPS)
    predicted, places = rendered.predict_held_out(au, held_out, landmarks)
    where = pd.DataFrame({"video": str(root), "frame_index": np.arange(len(true))})
    labels = pd.concat(
        [
            pd.Series(held_out.identity, name="subject").astype(str),
            where,
            pd.DataFrame(true, columns=list(au.aus)),
        ],
        axis=1,
    )
    on_video("scores", 3, STEPS)
    table = prediction_rows(where, predicted, au.aus, np.ones(len(true), bool))
    look = rendered.follow_held_out(au, held_out) if au.follows else None
    measured = Measured.of(held_out, au, predicted, landmarks, look)
    on_video("small faces", 4, STEPS)
    small = rendered.shrunk(held_out, SMALL_PX)
    found = rendered.find_landmarks(landmarker, small)
    small_look = rendered.follow_held_out(au, small) if au.follows else None
    read = rendered.predict_held_out(au, small, found)[0]
    small_measured = Measured.of(small, au, read, found, small_look)
    extras: tuple[Extra | Breakdown, ...] = (
        Extra(
            "places",
            "Median distance of the AUs of intensity 2 or more from their true places, over the "
            "distance between the outer eye corners.",
            rendered.place_scores(places, held_out, au.aus),
        ),
        Extra(
            "landmarks",
            f"{landmarks_told['name']}: distance of the landmarks from the true ones, over the "
            "distance between the outer eye corners.",
            rendered.landmark_scores(landmarker, held_out),
        ),
        Extra(
            "detector",
            f"{detector.name} on {len(scenes.images)} drawn scenes, before the landmark network "
            "checks what it found.",
            rendered.detector_scores(detector.net.to(device), scenes),
        ),
    )
    if look is not None:
        seen = rendered.following_scores(au, held_out, look)
        extras += (
            Extra(
                "following",
                f"{au.name}, one look at crops as a face on its way is cut: distance of the "
                "landmarks as above (nme), change of a reading by mirroring (0-5), degrees between "
                "the gaze and the true one.",
                seen,
            ),
        )
    extras += (
        Breakdown(
            "strata",
            "Some people and views: mean ICC(3,1) and MAE of the AUs, distance of a new face's "
            "landmarks (nme) and of a followed one's, degrees between the gaze and the true one. "
            f"Small: the same faces {SMALL_PX[0]}-{SMALL_PX[1]} px high.",
            stratum_scores(held_out, measured, small_measured),
        ),
    )
    on_video("done", STEPS, STEPS)
    origin = Origin(
        predictions=_named(au),
        tool="rendered faces, aligned by predicted landmarks",
        labels=f"synthetic, {root}",
        split="people held out of training",
        frames=f"{counted(len(true), 'face')}, one a frame",
        notes=tuple(filter(None, [absent_faces(root)])),
    )
    return Run(labels, Predictions(table, "aucli", "intensity")), origin, extras


def _named(au: AUModel) -> str:
    """Which network made predictions, and in which numbers unless in fp32."""
    numbers = "" if au.precision == "fp32" else f", {au.precision}"
    return f"{au.name}, sha256 {au.sha256[:12]}{numbers}"


def _frames(dataset: str | None) -> str:
    bad = ", without those its authors declare bad" if dataset == "disfa" else ""
    return f"every labelled frame{bad}"
