"""Scores that others published, to stand beside ours: each with its protocol, never as a ranking.

Protocols differ in subjects, frames, alignment and training data, so that no two rows measure the
same thing. Only numbers that were read in a source are here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aucli.aus import DISFA_AUS

CAVEAT = "Published by others, each under its own protocol: not a ranking."


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """Mean scores over a dataset's AUs, None where the source gives none; icc31_per_au in full."""

    dataset: str
    method: str
    protocol: str
    source: str
    icc31: float | None = None
    pcc: float | None = None
    mae: float | None = None
    icc31_per_au: Mapping[str, float] = field(default_factory=dict)


_IR50 = (0.53, 0.45, 0.75, 0.62, 0.55, 0.57, 0.84, 0.42, 0.47, 0.24, 0.93, 0.65)
_ONE_FRAME = "Feng and de Sa 2024, arXiv 2409.00240"
_OWN = "as in the source"

PUBLISHED = (
    PublishedRow(
        "disfa", "IR50", "3 folds, no calibration", _ONE_FRAME, icc31=0.59, mae=0.31,
        icc31_per_au=dict(zip(DISFA_AUS, _IR50, strict=True)),
    ),
    PublishedRow(
        "disfa", "IR50, neutral output subtracted", "3 folds, one neutral frame of each person",
        _ONE_FRAME, icc31=0.59, icc31_per_au={"AU01": 0.62, "AU05": 0.56},
    ),
    PublishedRow(
        "disfa", "CSN-IR50", "3 folds, learned calibration by one neutral frame of each person",
        _ONE_FRAME, icc31=0.67, pcc=0.70, mae=0.22,
    ),
    PublishedRow("disfa", "SCC-Heatmap", _OWN, "Fan et al. 2020, arXiv 2004.09681", icc31=0.47),
    PublishedRow("disfa", "2DC", _OWN, "Tran et al., ICCV 2017", icc31=0.50),
    PublishedRow("disfa", "G2RL", _OWN, "Fan and Lin, IJCAI 2020", icc31=0.52),
    PublishedRow("disfa", "DPG", _OWN, "Song et al., CVPR 2021", icc31=0.56),
    PublishedRow(
        "disfa", "HR", "3 folds with a validation part",
        "Ntinou et al. 2021, arXiv 2004.06657", icc31=0.57,
    ),
    PublishedRow(
        "disfa", "Norface", _OWN, "Liu et al. 2024, arXiv 2407.15617", icc31=0.67, mae=0.17
    ),
    PublishedRow("disfa", "LibreFace", _OWN, "Chang et al. 2024, arXiv 2308.10713", pcc=0.63),
    PublishedRow("bp4d", "SCC-Heatmap", _OWN, "Fan et al. 2020, arXiv 2004.09681", icc31=0.72),
    PublishedRow("bp4d", "DPG", _OWN, "Song et al., CVPR 2021", icc31=0.72),
    PublishedRow("bp4d", "G2RL", _OWN, "Fan and Lin, IJCAI 2020", icc31=0.69),
    PublishedRow(
        "bp4d", "joint localisation and intensity", _OWN,
        "Sanchez-Lozano et al. 2018, arXiv 1805.03487", icc31=0.68,
    ),
    PublishedRow(
        "bp4d", "KBSS", "trained with about 2 % of the labels", "Zhang et al., CVPR 2018",
        icc31=0.67,
    ),
    PublishedRow("bp4d", "2DC", _OWN, "Tran et al., ICCV 2017", icc31=0.66),
)  # fmt: skip


def published_rows(dataset: str) -> tuple[PublishedRow, ...]:
    """The rows of a dataset; none for most."""
    return tuple(row for row in PUBLISHED if row.dataset == dataset)
