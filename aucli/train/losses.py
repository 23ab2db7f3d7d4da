"""Training losses of the face and AU networks. Each returns (loss, parts to log)."""

import torch
from torch.nn import functional as F

from aucli.aus import MAX_INTENSITY
from aucli.datasets.joint import JointBatch
from aucli.heatmaps import STRIDE, cells_to_px, render_heatmaps
from aucli.models.network import Sight

LANDMARK_SIGMA_PX = 5.0
AU_SIGMA_CELLS = 1.5


def _axes(points: torch.Tensor, cells: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Gaussian profiles (N, K, cells) along x and y around points (N, K, 2) px, each of sum 1."""
    centres = cells_to_px(torch.arange(cells, device=points.device, dtype=points.dtype))
    x, y = (
        torch.softmax(-((points[..., axis, None] - centres) ** 2) / (2 * LANDMARK_SIGMA_PX**2), 2)
        for axis in (0, 1)
    )
    return x, y


def _landmark_terms(
    logits: torch.Tensor, points: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy to a Gaussian, mean over weighted landmarks, and the error of the soft-argmax.

    The error is the mean distance in per cent of each face's extent, so that small faces count as
    large ones do; hidden landmarks, which are scored like all others, count for at least half.

    The Gaussian is a product of its axes and sums to 1, so that the cross-entropy is
    logsumexp(z) - y' z x: neither the target nor the log-probabilities are ever written out.
    """
    z = logits.float()  # (N, 68, h, w)
    cells = z.shape[-1]
    span = STRIDE * cells
    weights = weights * ((points > -2) & (points < span + 1)).all(2)
    x, y = _axes(points.clamp(0, span - 1), cells)
    along = torch.matmul(z, x[..., None])[..., 0]  # (N, 68, h)
    entropy = torch.logsumexp(z.flatten(2), 2) - (along * y).sum(2)
    p = torch.softmax(z.flatten(2), 2).view_as(z)
    centres = cells_to_px(torch.arange(cells, device=p.device, dtype=p.dtype))
    found = torch.stack([p.sum(2) @ centres, p.sum(3) @ centres], 2)  # (N, 68, 2)
    total = weights.sum() + 1
    extent = (points.amax(1) - points.amin(1)).amax(1).clamp(min=1)  # (N,) px
    distance = (found - points).square().sum(2).add(1e-6).sqrt() / extent[:, None]
    counted = 0.5 * (weights + (weights > 0))
    error = 100 * (distance * counted).sum() / (counted.sum() + 1)
    return (entropy * weights).sum() / total, error


def landmark_loss(
    logits: torch.Tensor,
    face_logit: torch.Tensor,
    points: torch.Tensor,
    weights: torch.Tensor,
    is_face: torch.Tensor,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Place of the 68 landmarks on faces, and face or not on every crop.

    logits: (N, 68, h, w). face_logit: (N,). points: (N, 68, 2) crop px. weights: (N, 68) >= 0.
    is_face: (N,) 0 or 1; crops without a face teach nothing about landmarks.
    """
    entropy, error = _landmark_terms(logits, points, weights * is_face[:, None])
    face = F.binary_cross_entropy_with_logits(face_logit.float(), is_face)
    right = ((face_logit > 0) == (is_face > 0.5)).float().mean()
    loss = entropy + 0.6 * error + 0.5 * face
    return loss, {"entropy": entropy, "error": error, "face": face, "face_right": right}


def au_loss(
    heatmaps: torch.Tensor,
    points: torch.Tensor,
    intensities: torch.Tensor,
    weights: torch.Tensor,
    sigma_cells: float = AU_SIGMA_CELLS,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Maps whose peaks are AU intensities.

    heatmaps: (N, K, h, w) in units of intensity. points: (N, K, 2) crop px. intensities, weights:
    (N, K), 0-5 and >= 0; a weight of 0 leaves a map out.

    Squares, not absolute values: labels are sparse (their median is 0), and the least absolute
    error is reached by answering 0 for ever. The amplitude under the Gaussian gives a slope
    everywhere near the point, where the peak gives one in a single cell.
    """
    maps = heatmaps.float()
    with torch.no_grad():
        shape = render_heatmaps(points, torch.ones_like(intensities), maps.shape[-1], sigma_cells)
        share = weights / weights.mean().clamp(min=1e-6) / MAX_INTENSITY**2
        target = shape * intensities[..., None, None]
        root = (1 + 8 * shape).mul_(share[..., None, None]).sqrt_()
        energy = shape.square().sum((2, 3))
    residual = ((maps - target) * root).flatten()
    on_map = residual.dot(residual) / residual.numel()
    peak = maps.flatten(2).amax(2)
    on_peak = ((peak - intensities) ** 2 * share).mean()
    # Least-squares amplitude under the Gaussian.
    amplitude = (maps * shape).sum((2, 3)) / energy
    on_amplitude = ((amplitude - intensities) ** 2 * share).mean()
    loss = 60 * on_map + 10 * on_peak + 10 * on_amplitude
    return loss, {"maps": on_map, "peak": on_peak} | _answers(peak, intensities, weights)


def squares_loss(
    heatmaps: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, scale: float = 1.0
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Mean squared error over all pixels, as both papers train.

    heatmaps, targets: (N, K, h, w). weights: (N, K), 0 leaves a map out. scale: map value of
    intensity 1.
    """
    maps = heatmaps.float()
    each = (maps - targets).square().mean((2, 3))  # (N, K)
    loss = (each * weights).sum() / weights.sum().clamp(min=1)
    peak, true = (x.flatten(2).amax(2) / scale for x in (maps, targets))
    return loss, _answers(peak, true, weights)


@torch.no_grad()
def _answers(
    peak: torch.Tensor, true: torch.Tensor, weights: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Mean error of the peaks (N, K), and their spread against the labels': 0 is "all zero"."""
    known = (weights > 0).float()
    error = ((peak - true).abs() * known).sum() / known.sum().clamp(min=1)
    spread = peak.std(0).mean() / true.std(0).mean().clamp(min=1e-6)
    return {"mae": error, "spread": spread}


def auxiliary_landmark_loss(
    logits: torch.Tensor, points: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Where the face is, a second task for AU networks: see :func:`landmark_loss`."""
    return 0.15 * _landmark_terms(logits, points, weights)[0]


def joint_loss(
    sight: Sight, batch: JointBatch, sigma_cells: float = AU_SIGMA_CELLS
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """AUs as :func:`au_loss`, landmarks and face as :func:`landmark_loss`, the gaze of both eyes,
    and agreement of the maps of a crop with those of its mirror image, the batch's second half.
    """
    of_aus, parts = au_loss(
        sight.heatmaps, batch.points, batch.intensities, batch.weights, sigma_cells
    )
    entropy, error = _landmark_terms(sight.landmarks, batch.landmarks, batch.landmark_weights)
    face = F.binary_cross_entropy_with_logits(sight.face_logit.float(), batch.is_face)
    # About the angle, rad; its slope does not vanish where the angle is small.
    angle = (sight.gaze.float() - batch.gaze).square().sum(2).add(1e-4).sqrt()
    gaze = (angle * batch.gaze_weights).sum() / (batch.gaze_weights.sum() + 1)
    twins = _twin_loss(sight.heatmaps.float(), batch.is_face)
    loss = of_aus + 0.15 * entropy + 0.15 * error + 0.15 * face + 0.5 * gaze + twins
    told = {"aus": of_aus, "entropy": entropy, "error": error, "face": face, "gaze": gaze}
    return loss, parts | told | {"twins": twins}


def _twin_loss(maps: torch.Tensor, is_face: torch.Tensor) -> torch.Tensor:
    """How far maps (N, 2A, h, w), L then R of each AU, change when the crop is mirrored.

    Scaled as the terms of :func:`au_loss` are.
    """
    one, other = maps.unflatten(1, (-1, 2)).chunk(2)  # (N/2, A, 2, h, w) each
    other = other.flip(2)
    share = is_face[: len(one)] / is_face.mean().clamp(min=1e-6) / MAX_INTENSITY**2
    on_map = (one - other.flip(4)).square().mean((1, 2, 3, 4))
    on_peak = (one.amax((3, 4)) - other.amax((3, 4))).square().mean((1, 2))
    return ((60 * on_map + 10 * on_peak) * share).mean()


def detector_loss(
    output: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Penalty-reduced focal loss on face centres (CenterNet, arXiv 1904.07850), smooth L1 on boxes.

    output: (N, 5, h, w), see ``FaceDetectorNet``. targets: (N, 7, h, w) from
    :func:`aucli.synth.scenes.scene_targets`: score, score weight, 4 box values, box weight.
    """
    output = output.float()
    score, weight, box, box_weight = targets[:, 0], targets[:, 1], targets[:, 2:6], targets[:, 6:]
    p = output[:, 0].sigmoid().clamp(1e-4, 1 - 1e-4)
    positive = (score >= 0.999).float() * weight
    hit = positive * (1 - p) ** 2 * p.log()
    miss = (1 - positive) * weight * (1 - score) ** 4 * p**2 * (1 - p).log()
    centre = -(hit + miss).sum() / (positive.sum() + 1)
    scale = torch.tensor([1.0, 1.0, 3.0, 3.0], device=output.device)[:, None, None]
    off = F.smooth_l1_loss(output[:, 1:], box, beta=0.1, reduction="none") * scale * box_weight
    size = off.sum() / (box_weight.sum() + 1)
    with torch.no_grad():
        seen = (p * positive).sum() / (positive.sum() + 1e-6)
    return centre + size, {"centre": centre, "box": size, "score_at_faces": seen}
