"""What the network makes of pictures, and heads that add to it, for ``reference.py``."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from reference_people import SEED, Faces
from torch import Tensor, nn

from aucli import augment
from aucli.align import align_matrices, apply_matrices
from aucli.aus import synthetic_points
from aucli.datasets.joint import followed_matrices
from aucli.datasets.synthetic import composite
from aucli.evaluation.rendered import held_out_pool
from aucli.files import write_whole
from aucli.heatmaps import decode_landmarks, match_gaussian, read_intensities
from aucli.models.predict import AUModel
from aucli.models.reading import normalise
from aucli.synth.backgrounds import BackgroundPool
from aucli.train.losses import au_loss

BATCH = 32
BACKGROUNDS = 300


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a head learns. more: times --steps; numbers cost little. lr, decay: of AdamW."""

    more: int
    lr: float
    decay: float


# Of numbers, what served the people best to whom the scales are fitted, with and without.
HEADS = {"numbers": Recipe(4, 1e-3, 0.3), "maps": Recipe(1, 2e-3, 0.01)}


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """What the network makes of N crops. maps: (N, C, h, w) float16 features. readings: (N, K).
    numbers: (N, K + 136) readings and aligned landmarks. points: (N, K, 2) crop px, true places."""

    maps: Tensor
    readings: Tensor
    numbers: Tensor
    points: Tensor


def read_maps(model: AUModel, maps: Tensor) -> Tensor:
    """(N, K) readings of maps, as ``reading.read_aus`` has them."""
    matched = match_gaussian(maps, model.match_sigma).masked_fill(~model.windows, -torch.inf)
    return read_intensities(matched, model.heatmap_scale)


@torch.inference_mode()
def look(model: AUModel, crops: np.ndarray, points: np.ndarray | None = None) -> Looks:
    """crops: (N, S, S, 3) uint8. points: (N, K, 2) crop px, where they are known."""
    parts = []
    for start in range(0, len(crops), BATCH):
        x = normalise(torch.from_numpy(crops[start : start + BATCH]), model)
        features, _ = model.net._features(x)
        readings = read_maps(model, model.net.head(features))
        found = decode_landmarks(model.net.landmark_head(features))[0].numpy()
        # Where they lie in the crop tells how it was cut; in the template, what the face does.
        aligned = apply_matrices(found, align_matrices(found, model.template, model.crop_size))
        numbers = torch.cat([readings, torch.from_numpy(aligned).flatten(1)], 1)
        parts.append((features.half(), readings, numbers))
    maps, readings, numbers = (torch.cat(column) for column in zip(*parts, strict=True))
    if points is None:
        points = np.zeros((*readings.shape, 2))
    return Looks(maps, readings, numbers, torch.from_numpy(points).float())


def view(
    model: AUModel, faces: Faces, people: np.ndarray, number: int, spoilt: bool, path: Path
) -> Looks:
    """All pictures of some people once, 3 in turn, cropped as a followed face is.

    spoilt: with shadows, light, blur, noise and compression, as in training; else over backgrounds
    that are kept for scores. path: of the file in which it is kept.
    """
    if path.exists():
        return Looks(**torch.load(path))
    rng = np.random.default_rng((SEED, 1 + number))
    pool = BackgroundPool(BACKGROUNDS, seed=SEED) if spoilt else held_out_pool()
    index = (3 * people[:, None] + np.arange(3)).ravel()
    parts = []
    for some in np.split(index, range(BATCH, len(index), BATCH)):
        matrices = followed_matrices(rng, faces.landmarks[some], model.crop_size)
        crops = composite(faces, some, matrices, rng, pool, model.crop_size)  # type: ignore
        if spoilt:
            images = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
            images = augment.photometric(rng, augment.cast_shadows(rng, images))
            crops = images.permute(0, 2, 3, 1).contiguous().numpy()
        points = synthetic_points(apply_matrices(faces.landmarks[some], matrices))
        parts.append(look(model, crops, points.reshape(len(some), -1, 2)))
    names = ("maps", "readings", "numbers", "points")
    told = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
    with write_whole(path) as stream:
        torch.save(told, stream)
    return Looks(**told)


class MapsHead(nn.Module):
    """What to add to the maps (N, K, h, w), from the features (N, C, h, w) of both pictures."""

    def __init__(self, c: int, k: int, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2 * c + 1, width, 1), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, k, 1),
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # fmt: skip
        _start_at_nothing(self.layers[-1])

    def forward(self, own: Tensor, rest: Tensor, given: Tensor) -> Tensor:
        given = given[:, None, None, None]
        flag = given.expand(-1, 1, *own.shape[2:])
        both = torch.cat([own, rest * given, flag], 1)
        return self.layers(both.contiguous(memory_format=torch.channels_last))


class NumbersHead(nn.Module):
    """What to add to the readings (N, K), from the standardised numbers (N, D) of both pictures."""

    def __init__(self, d: int, k: int, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * d + 1, width), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, k),
        )  # fmt: skip
        self.dropout = nn.Dropout(0.2)
        self.line = nn.Linear(2 * d + 1, k)  # to subtract must not be hard to learn
        _start_at_nothing(self.layers[-1])
        _start_at_nothing(self.line)

    def forward(self, own: Tensor, rest: Tensor, given: Tensor) -> Tensor:
        given = given[:, None]
        both = torch.cat([own, rest * given, given], 1)
        fewer = torch.cat([self.dropout(own), self.dropout(rest) * given, given], 1)
        return self.line(fewer) + self.layers(both)


def _start_at_nothing(layer: nn.Module) -> None:
    for values in layer.parameters():
        nn.init.zeros_(values)


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """A trained head. kind: of HEADS. middle, spread: (D,), which standardise its numbers."""

    kind: str
    head: nn.Module
    middle: Tensor
    spread: Tensor

    def added(self, own: Looks, o: Tensor, rest: Looks, r: Tensor, given: Tensor) -> Tensor:
        """For crops ``o`` of own beside crops ``r`` of rest; given: (N,) 0 or 1."""
        if self.kind == "maps":
            return self.head(own.maps[o].float(), rest.maps[r].float(), given)
        a, b = ((x.numbers[i] - self.middle) / self.spread for x, i in ((own, o), (rest, r)))
        return self.head(a, b, given)

    @torch.inference_mode()
    def read(
        self, model: AUModel, own: Looks, o: Tensor, rest: Looks, r: Tensor, given: Tensor
    ) -> np.ndarray:
        """(N, A) readings before scale and offset."""
        told = []
        for i in torch.arange(len(o)).split(128):
            added = self.added(own, o[i], rest, r[i], given[i])
            if self.kind == "maps":
                added = read_maps(model, model.net.head(own.maps[o[i]].float()) + added)
            else:
                added = own.readings[o[i]] + added
            told.append(added)
        return torch.cat(told).numpy() @ model.layout.share


def train(
    kind: str, referred: bool, seed: int, steps: int, model: AUModel, views: list[Looks],
    sides: np.ndarray, path: Path,
) -> Arm:  # fmt: skip
    """A head after so many batches. referred: whether it is given pictures at rest, half of the
    time. views: of the same people. sides: (3P, K), 0-5. path: where the head is kept."""
    torch.manual_seed(seed)
    rng = np.random.default_rng((SEED, 2, seed))
    first = views[0]
    k, d = first.readings.shape[1], first.numbers.shape[1]
    head = MapsHead(first.maps.shape[1], k) if kind == "maps" else NumbersHead(d, k)
    numbers = torch.cat([looks.numbers for looks in views])
    arm = Arm(kind, head, numbers.mean(0), numbers.std(0).clamp(min=1e-3))
    if path.exists():
        head.load_state_dict(torch.load(path))
        head.eval()
        return arm
    own_way = HEADS[kind]
    optimizer = torch.optim.AdamW(head.parameters(), own_way.lr, weight_decay=own_way.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, own_way.lr, total_steps=steps)
    true = torch.from_numpy(sides).float()
    for _ in range(steps):
        person = rng.integers(len(true) // 3, size=BATCH)
        o, r = (torch.from_numpy(3 * person + n) for n in (rng.integers(2, size=BATCH), 2))
        own, rest = (views[n] for n in rng.integers(len(views), size=2))
        given = torch.from_numpy((rng.random(BATCH) < 0.5) & referred).float()
        added = arm.added(own, o, rest, r, given)
        if kind == "maps":
            with torch.no_grad():
                maps = model.net.head(own.maps[o].float())
            loss, _ = au_loss(maps + added, own.points[o], true[o], torch.ones_like(true[o]))
        else:
            loss = ((own.readings[o] + added - true[o]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    head.eval()
    with write_whole(path) as stream:
        torch.save(head.state_dict(), stream)
    return arm
