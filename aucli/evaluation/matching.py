"""Predictions and labels of the same frames, side by side; whatever has no partner is counted."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from aucli.errors import DataError
from aucli.evaluation.tables import Predictions, au_names
from aucli.evaluation.tools import Unit

MatchBy = Literal["auto", "frame", "time"]
Missing = Literal["leave", "zero"]


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the labels.

    videos: that have labels and predictions. labelled: frames of theirs with a label of a scored
    AU. no_row: of these, frames that the predictions do not hold. no_face: frames that they hold
    without a face. several_faces: frames of the predictions in which one of several faces was
    taken. videos_without: labelled videos without predictions. not_predicted: labelled AUs that the
    tool does not give. unread: AU -> labelled frames with a face for which the tool gives no value.
    """

    videos: int
    labelled: int
    no_row: int
    no_face: int
    several_faces: int
    videos_without: tuple[str, ...]
    not_predicted: tuple[str, ...]
    unread: Mapping[str, int] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """Labelled frames for which there is no prediction."""
        return self.no_row + self.no_face


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """N labelled frames and what was predicted for them.

    aus: A names. subjects: (N,) str. labelled, predicted: (N, A) float64, NaN where there is none;
    labels are 0-5, predictions in ``unit``. filled: whether missing predictions were set to 0.
    """

    aus: tuple[str, ...]
    subjects: np.ndarray
    labelled: np.ndarray
    predicted: np.ndarray
    unit: Unit
    filled: bool
    counts: Counts


def match(
    labels: pd.DataFrame,
    predictions: Predictions,
    by: MatchBy = "auto",
    missing: Missing = "leave",
    left_out: int = 0,
) -> Pairs:
    """Put each labelled frame beside its prediction.

    labels: subject, video, frame_index, AUs, and pts_seconds to match by time; as of
    ``predictions.read_labels`` or ``datasets.adapters.load_labels``. by: ``auto`` takes frame
    numbers where the labels have them. missing: frames without a prediction stay NaN, or become 0
    as OpenFace writes them. left_out: frames without a face that ``labels`` no longer hold.

    Raises DataError where no video or no AU is in both, a video fits several tables, or times are
    asked for that one side lacks.
    """
    labelled_aus, predicted_aus = au_names(labels), predictions.aus
    aus = tuple(au for au in labelled_aus if au in predicted_aus)
    if not aus:
        raise DataError(
            f"The labels code {', '.join(labelled_aus)} and the predictions "
            f"{', '.join(predicted_aus)}, so there is nothing to score; give others."
        )
    partner = match_videos(labels["video"].unique(), predictions.table["video"].unique())
    left = labels.dropna(subset=list(aus), how="all")
    left = left.assign(video=[partner.get(video) for video in left["video"]])
    left = left.dropna(subset="video").reset_index(drop=True)
    if left.empty:
        raise DataError("No frame of the predicted videos has a label; give other labels.")
    numbered = bool((left["frame_index"].to_numpy() >= 0).all())
    if by == "auto":
        by = "frame" if numbered else "time"
    if by == "frame" and not numbered:
        raise DataError("The labels have no frame numbers; match them by time.")
    right = predictions.table.rename(columns={au: f"{au} predicted" for au in aus})
    both = _by_frame(left, right) if by == "frame" else _by_time(left, right)
    has_row = both["success"].notna().to_numpy()
    face = both["success"].eq(True).to_numpy()
    predicted = np.array(both[[f"{au} predicted" for au in aus]], np.float64)  # (N, A)
    labelled = np.array(both[list(aus)], np.float64)
    unread = (face[:, None] & np.isnan(predicted) & ~np.isnan(labelled)).sum(0)
    if missing == "zero":
        predicted[~face] = 0.0
    counts = Counts(
        videos=len(partner),
        labelled=len(both) + left_out,
        no_row=int((~has_row).sum()),
        no_face=int((has_row & ~face).sum()) + left_out,
        several_faces=predictions.several_faces,
        videos_without=tuple(v for v in labels["video"].unique() if v not in partner),
        not_predicted=tuple(au for au in labelled_aus if au not in predicted_aus),
        unread={au: n for au, n in zip(aus, unread.tolist(), strict=True) if n},
    )
    return Pairs(
        aus=aus,
        subjects=both["subject"].to_numpy(str),
        labelled=labelled,
        predicted=predicted,
        unit=predictions.unit,
        filled=missing == "zero",
        counts=counts,
    )


def match_videos(labelled: Iterable[str], predicted: Iterable[str]) -> dict[str, str]:
    """Labelled video -> predicted video; without those that have no partner.

    Names are equal but for case, spaces and slashes; or the predicted one contains the labelled one
    (``LeftVideoSN001_comp`` is ``SN001``, and not ``SN0011``). A single video on each side is a
    pair whatever the names. Raises DataError where several fit, or none at all.
    """
    labelled, predicted = list(labelled), list(predicted)
    if len(labelled) == len(predicted) == 1:
        return {labelled[0]: predicted[0]}
    plain = {name: re.sub(r"[\\/\s]+", "_", name).casefold() for name in {*labelled, *predicted}}
    names = {plain[video] for video in labelled}
    others = [name for name in predicted if plain[name] not in names]
    pairs = {}
    for video in labelled:
        fits = [name for name in predicted if plain[name] == plain[video]]
        if not fits:
            inside = re.compile(rf"(?<!\d){re.escape(plain[video])}(?!\d)")
            fits = [name for name in others if inside.search(plain[name])]
        if len(fits) > 1:
            raise DataError(
                f"The predictions {', '.join(fits)} all fit the labelled video {video}; "
                "leave one of them."
            )
        if fits:
            pairs[video] = fits[0]
    if not pairs:
        raise DataError(
            f"No labelled video ({_some(labelled)}) is among the predicted ones "
            f"({_some(predicted)}); name the tables like the videos."
        )
    return pairs


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")


def _by_frame(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    return left.merge(
        right.drop(columns="pts_seconds"), "left", ["video", "frame_index"], validate="many_to_one"
    )


def _by_time(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    """The nearest prediction within half a step of the labels."""
    if "pts_seconds" not in left or bool(left["pts_seconds"].isna().to_numpy().any()):
        raise DataError("Not every label has a time; match them by frame.")
    right = right.drop(columns="frame_index").dropna(subset="pts_seconds")
    if right.empty:
        raise DataError("The predictions have no times; match them by frame.")
    right = right.sort_values("pts_seconds")
    parts = []
    for video, rows in left.groupby("video", sort=False):
        times = rows["pts_seconds"].to_numpy(np.float64)
        steps = np.diff(np.unique(times))
        half_a_step = float(np.median(steps)) / 2 if len(steps) else 0.02
        parts.append(
            pd.merge_asof(
                rows.sort_values("pts_seconds"),
                right[right["video"] == video].drop(columns="video"),
                on="pts_seconds",
                direction="nearest",
                tolerance=half_a_step,  # pyright: ignore[reportArgumentType] - as floats are
            )
        )
    return pd.concat(parts, ignore_index=True)
