"""The project's own landmark network: 68 points and a face confidence from a 128 px crop."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aucli.heatmaps import STRIDE, decode_landmarks
from aucli.models.blocks import Encoder, Up

CROP_SIZE = 128
LANDMARKS = 68
REFINE_UNITS = 256


class Landmarks(NamedTuple):
    """What a LandmarkNet says of N crops.

    points: (N, 68, 2) float32 crop px (x, y). spread: (N, 68), 0-1, how unsure each heatmap is.
    face_logit: (N,), whose sigmoid is the face confidence 0-1. logits: (N, 68, 32, 32), the
    heatmaps. guesses: the points that came before ``points``, the first of them read from the
    heatmaps alone.
    """

    points: Tensor
    spread: Tensor
    face_logit: Tensor
    logits: Tensor
    guesses: tuple[Tensor, ...]


class Refinement(nn.Module):
    """Moves all points at once by what the features around each of them say.

    A learned descent step (Xiong, De la Torre: Supervised descent method, CVPR 2013): 3x3 cells
    around every point become a few numbers by weights of the point's own, and all points' numbers
    together the 68 moves. It begins as a step of length 0.

    forward: points (N, 68, 2) crop px, spread (N, 68), features (N, c, h, w) at stride 4, pooled
    (N, p) -> points (N, 68, 2).
    """

    def __init__(self, channels: int, pooled: int, units: int) -> None:
        super().__init__()
        around = 9 * channels
        self.look = nn.Parameter(torch.randn(LANDMARKS, around, 8) / around**0.5)
        self.inner = nn.Linear(LANDMARKS * (8 + 2 + 1) + pooled, units)
        self.deep = nn.Linear(units, units)
        self.move = nn.Linear(units, 2 * LANDMARKS)
        nn.init.zeros_(self.move.weight)
        nn.init.zeros_(self.move.bias)

    def forward(self, points: Tensor, spread: Tensor, features: Tensor, pooled: Tensor) -> Tensor:
        count, side = len(points), STRIDE * features.shape[-1]
        place = points.detach()
        steps = torch.arange(-1, 2, device=points.device, dtype=points.dtype) * STRIDE
        cells = torch.cartesian_prod(steps, steps)  # (9, 2)
        grid = (2 * (place[:, :, None] + cells) + 1) / side - 1  # (N, 68, 9, 2)
        seen = F.grid_sample(
            features.float(), grid, padding_mode="border", align_corners=False
        )  # (N, c, 68, 9)
        seen = seen.permute(2, 0, 1, 3).flatten(2)  # (68, N, 9 c)
        seen = torch.relu(torch.bmm(seen, self.look)).transpose(0, 1)  # (N, 68, 8)
        known = [seen.flatten(1), (place / side - 0.5).flatten(1) * 4, spread.detach(), pooled]
        x = torch.relu(self.inner(torch.cat([k.float() for k in known], 1)))
        x = x + torch.relu(self.deep(x))
        return points + self.move(x).view(count, LANDMARKS, 2)


class LandmarkNet(nn.Module):
    """One heatmap per iBUG landmark at stride 4, points read from them and then moved together, and
    whether the crop shows a face.

    widths: channels of the encoder. refine: hidden units of each of the two refinements; 0 leaves
    these out.

    forward: x (N, 3, 128, 128) float, pixels normalised (x - 127.5) / 64 -> :class:`Landmarks`.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (16, 32, 64, 96),
        refine: int = REFINE_UNITS,
    ) -> None:
        super().__init__()
        self.widths, self.refine = tuple(widths), refine
        _, w1, w2, w3 = widths
        self.encoder = Encoder(widths)
        self.up8 = Up(w3, w2)
        self.up4 = Up(w2, w1)
        self.landmark_head = nn.Conv2d(w1, LANDMARKS, 1)
        self.face_head = nn.Sequential(nn.Linear(2 * w3, 32), nn.ReLU(), nn.Linear(32, 1))
        steps = range(2 if refine else 0)
        self.refinements = nn.ModuleList(Refinement(w1, 2 * w3, refine) for _ in steps)

    def forward(self, x: Tensor) -> Landmarks:
        at4, at8, at16 = self.encoder(x)
        features = self.up4(self.up8(at16, at8), at4)
        logits = self.landmark_head(features)
        pooled = torch.cat([at16.mean((2, 3)), at16.amax((2, 3))], 1)  # (N, 2 * w3)
        points, spread = decode_landmarks(logits)
        guesses = []
        for refinement in self.refinements:
            guesses.append(points)
            points = refinement(points, spread, features, pooled)
        return Landmarks(points, spread, self.face_head(pooled)[:, 0], logits, tuple(guesses))
