"""The project's own landmark network: 68 points and a face confidence from a 128 px crop."""

import torch
from torch import Tensor, nn

from aucli.models.blocks import Encoder, Residual, Up
from aucli.models.network import Network

LANDMARKS = 68


class LandmarkNet(Network):
    """One heatmap per iBUG landmark at stride 4, and whether the crop shows a face.

    forward: x (N, 3, 128, 128) float, normalised as its card says. Returns
    logits (N, 68, 32, 32), to be read by ``heatmaps.decode_landmarks``, and face_logit (N,):
    its sigmoid is the face confidence 0-1.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (16, 32, 64, 96)) -> None:
        super().__init__()
        self.config = {"widths": list(widths)}
        _, w1, w2, w3 = widths
        self.encoder = Encoder(widths)
        self.up8 = Up(w3, w2)
        self.up4 = Up(w2, w1)
        self.refine = nn.Sequential(Residual(w1), Residual(w1))
        # 68 maps need more than w1 directions to tell points apart.
        self.landmark_head = nn.Sequential(
            nn.Conv2d(w1, 3 * w1, 1), nn.ReLU(inplace=True), nn.Conv2d(3 * w1, LANDMARKS, 1)
        )
        self.face_head = nn.Sequential(nn.Linear(2 * w3, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        at4, at8, at16 = self.encoder(x)
        logits = self.landmark_head(self.refine(self.up4(self.up8(at16, at8), at4)))
        pooled = torch.cat([at16.mean((2, 3)), at16.amax((2, 3))], 1)  # (N, 2 * w3)
        return logits, self.face_head(pooled)[:, 0]
