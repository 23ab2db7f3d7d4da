"""Put trained networks into weights/: half the size, with a card of how they were made and score.

    python examples/maintenance/embed_weights.py --shards FOLDER \\
        [--detector RUN] [--landmarks RUN] [--au RUN]

A RUN is the --out folder of `aucli train`. The held-out scores of all three networks are computed
anew and written into the cards, since the AU network's depend on the landmark network. Without a
RUN, only the scores of the cards are renewed.

A network's tensors, its exported forms and its card change together or not at all. A card that was
just put there has no scores until the end: when the script is stopped before, run it again without
a RUN.
"""

import argparse
import json
import math
import os
import tempfile
from pathlib import Path

from aucli.datasets.typical import typical_crops
from aucli.errors import run_script
from aucli.evaluation.matching import match
from aucli.evaluation.scores import Extra, validation_scores
from aucli.evaluation.sources import rendered_source
from aucli.files import write_text, write_whole
from aucli.pipeline.options import AnalyzeOptions
from aucli.weights.cards import (
    DEFAULT_AU_MODEL,
    DEFAULT_DETECTOR,
    DEFAULT_LANDMARKS,
    LoadedWeights,
    load_weights,
    save_weights,
)
from aucli.weights.export import export
from aucli.weights.store import card_file, exported_file, tensors_file, weights_dir

NAMES = {"detector": DEFAULT_DETECTOR, "landmarks": DEFAULT_LANDMARKS, "au": DEFAULT_AU_MODEL}
# What a card keeps of the run's own, and settings that only concern the machine it ran on.
KEPT = ("aus", "maps", "readout", "gaze")
LOCAL = ("root", "out", "init", "device", "threads", "workers", "faces")


def embed(loaded: LoadedWeights, stem: Path, shards: Path | None = None) -> None:
    """Write the weights of a run as ``stem.safetensors`` and ``stem.json``, and exported.

    shards: rendered faces, for an AU network's form in int8.
    """
    provenance = loaded.card["provenance"]
    training = {k: v for k, v in provenance["training"].items() if k not in LOCAL}
    card = {key: loaded.card[key] for key in KEPT if key in loaded.card}
    card |= {"provenance": provenance | {"training": training}, "metrics": {}}
    with tempfile.TemporaryDirectory(dir=stem.parent, prefix=".embed-") as folder:
        made = Path(folder) / stem.name
        path = save_weights(made, loaded.net, card)
        export(path)
        if shards is not None and loaded.card["kind"] == "au":
            export(path, typical_crops(shards, loaded.card["template"], loaded.card["crop_size"]))
        replace_all(made, stem)


def in_int8(stem: Path) -> Path:
    """The file of an AU network's form in int8."""
    return exported_file(stem, "int8")


def replace_all(made: Path, stem: Path) -> None:
    """Move the files of ``made`` over those of ``stem``; where one fails, none is changed."""
    pairs = [(file(made), file(stem)) for file in (tensors_file, exported_file, in_int8, card_file)]
    before = {target: target.read_bytes() for _, target in pairs if target.exists()}
    try:
        for source, target in pairs:
            if source.exists():
                os.replace(source, target)
            else:
                target.unlink(missing_ok=True)  # of the old tensors
    except BaseException:
        for _, target in pairs:
            if target in before:
                with write_whole(target) as stream:
                    stream.write(before[target])
            else:
                target.unlink(missing_ok=True)
        raise


def score(shards: Path, faces: int) -> dict:
    """Scores of the three networks in weights/ on held-out rendered people, by name."""
    found, _, extras = rendered_source(shards, AnalyzeOptions(), faces)
    pairs = match(found.labels, found.predictions)
    tables = {extra.name: extra.values for extra in extras if isinstance(extra, Extra)}
    places = {f"place.{au}": value for au, value in tables["places"].items()}
    following = tables.get("following", {})
    return {
        "faces": len(pairs.labelled),
        DEFAULT_DETECTOR: tables["detector"],
        DEFAULT_LANDMARKS: tables["landmarks"],
        DEFAULT_AU_MODEL: validation_scores(pairs.predicted, pairs.labelled, pairs.aus)
        | places
        | following,
    }


def write_scores(folder: Path, report: dict) -> None:
    """The scores of all networks into their cards, each whole or not at all."""
    texts = {}
    for name in NAMES.values():
        path = card_file(folder / name)
        card = json.loads(path.read_text("utf-8"))
        found = report[name] | {"held_out_faces": report["faces"]}
        card["metrics"] = {k: round(v, 4) for k, v in found.items() if math.isfinite(v)}
        texts[path] = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    for path, text in texts.items():
        write_text(path, text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=Path, required=True, help="what `aucli synth` wrote")
    parser.add_argument("--detector", type=Path, metavar="RUN")
    parser.add_argument("--landmarks", type=Path, metavar="RUN")
    parser.add_argument("--au", type=Path, metavar="RUN")
    parser.add_argument("--faces", type=int, default=1200, help="held-out faces to score on")
    arguments = parser.parse_args()
    runs = {name: getattr(arguments, kind) for kind, name in NAMES.items()}
    # All runs are read and checked before anything changes.
    loaded = {name: load_weights(run / "weights") for name, run in runs.items() if run is not None}
    for name, weights in loaded.items():
        embed(weights, weights_dir() / name, arguments.shards)
    write_scores(weights_dir(), score(arguments.shards, arguments.faces))


if __name__ == "__main__":
    run_script(main)
