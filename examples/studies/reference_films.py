"""Labelled films and their pictures at rest, for ``reference.py``."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from reference_heads import Looks, look

from aucli.align import align_face
from aucli.analyzer import Analyzer
from aucli.models.predict import AUModel
from aucli.pipeline.calibration import QUIET_ROWS
from aucli.video.source import open_video


@dataclass(frozen=True, slots=True, eq=False)
class Films:
    """Labelled cells of films, and the pictures that they are in.

    cells: columns film, row (of looks), au (number), present. looks: of the N labelled frames.
    shipped: (N, A), 0-5, as the table of the film has them. rest: of F films. quiet: (F,) bool,
    whether the film has a picture at rest. baseline: (F, A), what ``auto`` subtracts. film: (N,).
    """

    cells: pd.DataFrame
    looks: Looks
    shipped: np.ndarray
    rest: Looks
    quiet: np.ndarray
    baseline: np.ndarray
    film: np.ndarray


def read_films(model: AUModel, folder: Path) -> Films:
    """Films as ``aucli analyze`` reads them, and crops of the frames that count."""
    labels = pd.read_csv(folder / "labels.csv", keep_default_na=False)
    labels = labels[labels["clip"] != ""]
    analyzer = Analyzer(landmarks_xy=True)
    order = [f"{au}_r" for au in model.aus]
    assert model.rest is not None
    cells, crops, shipped, rest_crops, quiet, baselines, film = [], [], [], [], [], [], []
    for number, (clip, own) in enumerate(labels.groupby("clip")):
        path = folder / "clips" / str(clip)
        table = analyzer.frame(path).drop_duplicates("frame")
        table = table[table["success"]].set_index("frame")
        readings = table[order].to_numpy()
        calm = ~table["quality"].str.contains("turned|cut").to_numpy()
        chosen = np.flatnonzero((readings <= model.rest).all(1) & calm)
        quiet.append(len(chosen) >= QUIET_ROWS)
        middle = np.median(readings[chosen], 0) if quiet[-1] else np.zeros(len(order))
        baselines.append(middle)
        nearest = np.abs(readings[chosen] - middle).sum(1).argmin() if quiet[-1] else None
        reference = int(table.index[chosen[nearest] if nearest is not None else 0])
        print(f"{clip}: {len(chosen)} quiet frames of {len(table)}", flush=True)
        wanted = [f for f in sorted({*(own["frame_index"].astype(int) + 1)}) if f in table.index]
        found = dict(_crops(model, path, table, {*wanted, reference}))
        rest_crops.append(found[reference])
        rows = {frame: len(crops) + n for n, frame in enumerate(wanted)}
        crops += [found[frame] for frame in wanted]
        shipped.append(table.loc[wanted, order].to_numpy())
        film += [number] * len(wanted)
        for frame, au, label in zip(
            own["frame_index"].astype(int) + 1, own["au"], own["label"], strict=True
        ):
            if frame in rows and au in model.aus:
                cells.append((rows[frame], model.aus.index(au), label == "present"))
    return Films(
        pd.DataFrame(cells, columns=["row", "au", "present"]),
        look(model, np.stack(crops)),
        np.concatenate(shipped),
        look(model, np.stack(rest_crops)),
        np.array(quiet),
        np.stack(baselines),
        np.array(film),
    )


def _crops(
    model: AUModel, path: Path, table: pd.DataFrame, wanted: set[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Frame numbers and crops (S, S, 3), by the table's landmarks. table: indexed by frame."""
    axes = [[f"{axis}_{n}" for n in range(68)] for axis in "xy"]
    with open_video(path) as source:
        for batch in source:
            for pixels, index in zip(batch.frames, batch.frame_index.tolist(), strict=True):
                if index + 1 in wanted:
                    row = table.loc[index + 1]
                    points = np.stack([row[names].to_numpy(np.float64) for names in axes], 1)
                    crops, _ = align_face(pixels, points[None], model.template, model.crop_size)
                    yield index + 1, crops[0]
