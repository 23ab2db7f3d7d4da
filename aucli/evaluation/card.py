"""The card of the embedded networks: their scores on rendered people held out of training."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from aucli.aus import SYNTHETIC_AUS
from aucli.datasets.synthetic import FaceStore
from aucli.errors import DataError
from aucli.evaluation.rendered import au_scores, held_out_frames, landmark_scores, place_scores
from aucli.weights.cards import DEFAULT_LANDMARKS, load_au_model, load_weights

FACES = 1200


@dataclass(frozen=True, slots=True)
class Card:
    """Scores of an AU network, as of ``heldout.au_scores`` and ``place_scores``, and of the
    embedded landmark network that aligned its crops, as of ``heldout.landmark_scores``."""

    faces: int
    model: str
    aus: tuple[str, ...]
    au_scores: dict[str, float]
    landmarks: str
    landmark_scores: dict[str, float]

    def plain(self) -> dict[str, object]:
        """Values that JSON knows: n/a is None."""
        nets = {self.model: self.au_scores, self.landmarks: self.landmark_scores}
        known = {
            name: {k: v if math.isfinite(v) else None for k, v in scores.items()}
            for name, scores in nets.items()
        }
        return {"faces": self.faces, **known}


def synthetic_card(root: Path, model: str, device: str | torch.device) -> Card:
    """Score an AU network on the held-out people of what ``aucli synth`` wrote.

    Raises DataError where it predicts other AUs than the faces show.
    """
    au = load_au_model(model).to(device)
    if au.aus != SYNTHETIC_AUS:
        raise DataError(f"{au.name} predicts other AUs than the rendered faces show.")
    net = load_weights(DEFAULT_LANDMARKS).net.to(device)
    held_out = held_out_frames(FaceStore(root, "test"), FACES)
    return Card(
        faces=len(held_out.frames),
        model=au.name,
        aus=au.aus,
        au_scores=au_scores(au, held_out, net) | place_scores(au, held_out, net),
        landmarks=DEFAULT_LANDMARKS,
        landmark_scores=landmark_scores(net, held_out),
    )
