"""FAN landmarks behind the landmarker protocol, batched over frames."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from aucli.align import apply_matrices, face_boxes, invert_matrices, square_matrices, warp_crops
from aucli.aus import MIRROR_68
from aucli.faces.confirm import MAX_HIDDEN, hidden_shares
from aucli.faces.feeding import flatten, join, split
from aucli.faces.protocols import Frames, Shapes
from aucli.heatmaps import cells_to_px
from aucli.models.catalogue import NETWORKS
from aucli.models.pixels import PixelScale

# The library's crop of a box of width w and height h: a square of side 200/195 * (w + h), centred
# .12 h above the box's centre.
CROP_SIDE = 200 / 195
CROP_LIFT = 0.12
BATCH = 8  # more is no faster on a CPU, and a crop needs 80 MB on its way through the network

FAN_CROP = NETWORKS["fan-2d"].crop_size
MIN_BOX_PX = 4.0
# A face whose crop lies off by more than this share of its side is looked at once more.
RECENTRE_SHIFT = 0.10

# FAN draws its Gaussians 1 high where it sees a landmark, and low blurs where it does not. These
# bounds on their mean height are lower than those of the built-in network's probability: points
# hidden by a turned head lower the mean of a real face.
MIN_CONFIDENCE = 0.4
KEEP_CONFIDENCE = 0.3
# Peaks of this height all over are never reached: the detector decides, now and then.
SURE_CONFIDENCE = 1.01


class FanLandmarker:
    """FAN on square crops of 256 px.

    net: normalised crops (N, 3, 256, 256) to a list of (N, 68, 64, 64) maps, as
    :func:`aucli.models.fan.fan`. flip: average with the mirrored crop, at twice the time. pixels:
    as the weights were trained with.

    The confidence is the mean height of the 68 peaks, 0-1: FAN was never trained to tell faces from
    other things, so it only ranks; leave the decision to a strict detector.
    """

    def __init__(
        self,
        net: nn.Module,
        device: str = "cpu",
        flip: bool = False,
        pixels: PixelScale = NETWORKS["fan-2d"].pixels,
    ) -> None:
        self.device = torch.device(device)
        self.net = net.eval().to(self.device)
        self.flip, self.pixels = flip, pixels
        self._mirror = torch.as_tensor(MIRROR_68, device=self.device)

    def locate(self, frames: Frames, boxes: Sequence[np.ndarray]) -> list[Shapes]:
        """One pass on the candidate's box, a second one for the faces that lie off its centre."""
        faces, counts = flatten(frames, boxes)
        return split(*self._centred(faces, join(boxes, (4,))), counts)

    def follow(self, frames: Frames, landmarks: Sequence[np.ndarray]) -> list[Shapes]:
        """One pass on the old landmarks' crop, a second one for the faces that moved much."""
        faces, counts = flatten(frames, landmarks)
        return split(*self._centred(faces, face_boxes(join(landmarks, (68, 2)))), counts)

    def _centred(self, faces: list[np.ndarray], boxes: np.ndarray) -> Shapes:
        """Landmarks and confidence of a crop centred on the face: a frame, (n, 4) px for each."""
        crops = crop_squares(boxes)
        landmarks, confidence = self._run(faces, crops)
        again = crop_squares(face_boxes(landmarks))
        off = np.abs(again - crops).max(1) > RECENTRE_SHIFT * (crops[:, 2] - crops[:, 0])
        if off.any():
            where = np.flatnonzero(off)
            found = self._run([faces[i] for i in where], again[where])
            landmarks[where], confidence[where] = found
        return landmarks, confidence

    @torch.inference_mode()
    def _run(self, faces: list[np.ndarray], squares: np.ndarray) -> Shapes:
        """One pass: a frame and a square crop (n, 4) px for each face."""
        landmarks = np.zeros((len(faces), 68, 2), np.float32)
        confidence = np.zeros(len(faces), np.float32)
        for start in range(0, len(faces), BATCH):
            part = slice(start, start + BATCH)
            matrices = square_matrices(squares[part], FAN_CROP, 1.0)
            crops = warp_crops(faces[part], matrices, FAN_CROP)
            # (n, 3, 256, 256)
            x = self.pixels.normalise(torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2))
            points, peaks = read_peaks(self._heatmaps(x))
            points = points.cpu().numpy()
            landmarks[part] = apply_matrices(points, invert_matrices(matrices))
            hidden = hidden_shares(crops, points) > MAX_HIDDEN
            confidence[part] = np.where(hidden, 0.0, peaks.clamp(0, 1).mean(1).cpu().numpy())
        return landmarks, confidence

    def _heatmaps(self, x: Tensor) -> Tensor:
        """Maps (n, 68, 64, 64) of the last hourglass for normalised crops (n, 3, 256, 256)."""
        maps = self.net(x)[-1].float()
        if self.flip:
            mirrored = self.net(x.flip(3))[-1].float()
            maps = (maps + mirrored[:, self._mirror].flip(3)) / 2
        return maps


def crop_squares(boxes: np.ndarray) -> np.ndarray:
    """The library's square crops of boxes like ``align.face_boxes``; (n, 4) -> (n, 4) xyxy px."""
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], MIN_BOX_PX)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 - np.array([0, CROP_LIFT]) * size
    half = CROP_SIDE * size.sum(1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], 1)


def read_peaks(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Each map's highest cell, moved a quarter of a cell towards its higher neighbour.

    maps: (N, P, h, w). Returns points (N, P, 2) float32 crop px (x, y) and heights (N, P). Along an
    axis on whose border the cell lies, and in both axes then, it is not moved, as in the library.
    """
    h, w = maps.shape[2:]
    flat = maps.flatten(2)
    height, index = flat.max(2)  # (N, P)
    cell = torch.stack([index % w, index // w], 2)  # (N, P, 2)
    inside = ((cell > 0) & (cell < torch.tensor([w - 1, h - 1], device=maps.device))).all(2)
    slopes = []
    for step in (1, w):
        offset = torch.where(inside, step, 0)
        after, before = (
            flat.gather(2, (index + sign * offset).unsqueeze(2))[..., 0] for sign in (1, -1)
        )
        slopes.append((after - before).sign())
    return cells_to_px(cell + 0.25 * torch.stack(slopes, 2)), height
