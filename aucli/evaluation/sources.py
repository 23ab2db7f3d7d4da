"""What is scored, and on whom: a tool's table or a model that is run, all subjects or folds."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from aucli.analyzer import Analyzer
from aucli.datasets.adapters import load_labels
from aucli.datasets.folds import fold_number, folds
from aucli.errors import DataError
from aucli.evaluation.running import (
    OnProgress,
    Run,
    is_prepared,
    joined,
    plan,
    refuse_known_people,
    run_prepared,
    run_videos,
    subjects_there,
)
from aucli.evaluation.tables import TOOLS, read_labels, read_predictions
from aucli.evaluation.writing import Origin
from aucli.models.device import resolve_device
from aucli.pipeline.options import AnalyzeOptions, choose_networks
from aucli.weights.cards import load_au_model, read_card

SHOWN = 9  # names of subjects in a sentence


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
) -> tuple[Run, Origin]:
    """A tool's table, and the labels of a dataset or of a table. Raises DataError."""
    predictions = read_predictions(path, tool)
    table = load_labels(dataset, labels, camera) if dataset else read_labels(labels)
    there = list(table["subject"].unique())
    table = table.loc[table["subject"].isin(split.of(there))]
    if table.empty:
        raise DataError(f"{labels} has none of the {split.name}; give others.")
    origin = Origin(
        predictions=str(path),
        tool=TOOLS[predictions.tool].title,
        labels=f"{dataset}, {labels}" if dataset else str(labels),
        split=split.name,
        frames=_frames(dataset),
        notes=split.notes(there),
    )
    return Run(table, predictions), origin


def run_source(
    dataset: str,
    root: Path,
    options: AnalyzeOptions,
    camera: str | None,
    split: Split,
    allow_seen: bool,
    on_progress: OnProgress,
) -> tuple[Run, Origin]:
    """Run the model that the options name, or each fold's, on a prepared set or on videos.

    allow_seen: also on people that it was trained on, who are told. Raises DataError.
    """
    there = subjects_there(dataset, root, camera)
    if not split.of(there):
        raise DataError(f"{root} has none of the {split.name}; give another folder.")
    prepared = is_prepared(root)
    runs, used, seen = [], [], []
    name = choose_networks(options).model
    for path, subjects in plan(name, split.test, there):
        seen += refuse_known_people(read_card(path, "au")[1], dataset, subjects, allow_seen)
        if prepared:
            au = load_au_model(path).to(resolve_device(options.device))
            runs.append(run_prepared(root, au, subjects, on_progress))
        else:
            analyzer = Analyzer(**asdict(replace(options, model=path)))
            au = analyzer.networks.au
            runs.append(run_videos(root, analyzer, dataset, subjects, camera, on_progress))
        used.append(f"{au.name}, sha256 {au.sha256[:12]}")
    notes = split.notes(there)
    if seen:
        notes += (f"The model was trained on people who are tested here: {', '.join(seen)}.",)
    origin = Origin(
        predictions="; ".join(used),
        tool="prepared faces" if prepared else "whole videos, as by analyze",
        labels=f"{dataset}, {root}",
        split=split.name,
        frames=_frames(dataset),
        notes=notes,
    )
    return joined(runs), origin


def _frames(dataset: str | None) -> str:
    bad = ", without those its authors declare bad" if dataset == "disfa" else ""
    return f"every labelled frame{bad}"
