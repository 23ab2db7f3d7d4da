"""RetinaFace against a straightforward pass written out here, and on clips with faces counted."""

from itertools import product
from math import ceil

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from aucli.align import face_boxes
from aucli.faces.loading import load_landmarker
from aucli.faces.retinaface import RetinaFaceDetector, decode_faces
from aucli.models.retinaface import Backbone, RetinaFace, decode_boxes, decode_points, priors
from aucli.video.source import open_video
from aucli.weights.checkpoints import read_checkpoint
from aucli.weights.manifest import published

CARDS = {name: published(name).card for name in ("retinaface-mobilenet", "retinaface-resnet50")}


def random_net(backbone: Backbone):
    torch.manual_seed(0)
    net = RetinaFace(backbone).eval()
    for name, parameter in net.named_parameters():
        if "Head" in name:  # so that scores spread from 0 to 1
            torch.nn.init.normal_(parameter, std=0.5)
    for name, buffer in net.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.1)
    return net


@pytest.fixture(scope="module")
def published_net(shared_dir):
    file = shared_dir / "face-weights" / "mobilenet0.25_Final.pth"
    if not file.is_file():
        pytest.skip("no published weights")
    net = RetinaFace()
    net.load_state_dict(read_checkpoint(file, file.name))
    return net.eval()


@pytest.fixture(scope="module")
def clips(shared_dir):
    folder = shared_dir / "clips"
    if not folder.is_dir():
        pytest.skip("no shared/clips folder")
    return folder


class Plain:
    """The network layer by layer from its tensors, as its papers draw it; one image at a time."""

    def __init__(self, net):
        self.state = net.state_dict()
        self.leak = 0.1 if net.config["backbone"] == "mobilenet-0.25" else 0.0

    def conv(self, x, conv, norm, stride=1, leak=None):
        s, weight = self.state, self.state[conv + ".weight"]
        groups = weight.shape[0] if weight.shape[1] == 1 else 1
        x = F.conv2d(x, weight, None, stride, weight.shape[2] // 2, groups=groups)
        names = ("running_mean", "running_var", "weight", "bias")
        x = F.batch_norm(x, *(s[f"{norm}.{name}"] for name in names))
        return x if leak is None else F.leaky_relu(x, leak)

    def block(self, x, name, stride=1, leak=None):
        return self.conv(x, f"{name}.0", f"{name}.1", stride, leak)

    def mobilenet(self, x):
        strides = {"stage1": (2, 1, 2, 1, 2, 1), "stage2": (2, 1, 1, 1, 1, 1), "stage3": (2, 1)}
        maps = []
        for stage, steps in strides.items():
            for i, stride in enumerate(steps):
                name = f"body.{stage}.{i}"
                x = self.block(x, name, stride, 0.1)
                if (stage, i) != ("stage1", 0):
                    x = self.conv(x, f"{name}.3", f"{name}.4", 1, 0.1)
            maps.append(x)
        return maps

    def resnet50(self, x):
        x = F.max_pool2d(self.conv(x, "body.conv1", "body.bn1", 2, 0.0), 3, 2, 1)
        maps = []
        for layer, depth in enumerate((3, 4, 6, 3), 1):
            for i in range(depth):
                name = f"body.layer{layer}.{i}"
                stride = 2 if layer > 1 and i == 0 else 1
                y = self.conv(x, f"{name}.conv1", f"{name}.bn1", 1, 0.0)
                y = self.conv(y, f"{name}.conv2", f"{name}.bn2", stride, 0.0)
                y = self.conv(y, f"{name}.conv3", f"{name}.bn3")
                if i == 0:
                    x = self.conv(x, f"{name}.downsample.0", f"{name}.downsample.1", stride)
                x = F.relu(x + y)
            maps.append(x)
        return maps[1:]

    def __call__(self, x):
        leak = self.leak
        maps = self.mobilenet(x) if leak else self.resnet50(x)
        low, middle, high = (
            self.block(m, f"fpn.output{i}", 1, leak) for i, m in enumerate(maps, 1)
        )
        middle = self.block(middle + F.interpolate(high, middle.shape[2:]), "fpn.merge2", 1, leak)
        low = self.block(low + F.interpolate(middle, low.shape[2:]), "fpn.merge1", 1, leak)
        outputs = {"ClassHead": [], "BboxHead": [], "LandmarkHead": []}
        for i, x in enumerate((low, middle, high)):
            ssh = f"ssh{i + 1}"
            five = self.block(x, f"{ssh}.conv5X5_1", 1, leak)
            seven = self.block(five, f"{ssh}.conv7X7_2", 1, leak)
            parts = [self.block(x, f"{ssh}.conv3X3"), self.block(five, f"{ssh}.conv5X5_2")]
            parts.append(self.block(seven, f"{ssh}.conv7x7_3"))
            feature = F.relu(torch.cat(parts, 1))
            for head, found in outputs.items():
                name = f"{head}.{i}.conv1x1"
                y = F.conv2d(feature, self.state[f"{name}.weight"], self.state[f"{name}.bias"])
                found.append(y[0].permute(1, 2, 0).reshape(-1, len(y[0]) // 2))
        return [torch.cat(found).double().numpy() for found in outputs.values()]


def plain_faces(net, frame, card, threshold):
    """Boxes, scores and points of one frame without any of the code under test."""
    pixels = (frame.astype(np.float32) - np.float32(card["mean"])) / np.float32(card["std"])
    if card["channel_order"] == "bgr":
        pixels = pixels[:, :, ::-1]
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
    logits, offsets, points = Plain(net)(x)
    height, width = frame.shape[:2]
    found, at = [], 0
    for step, sides in zip((8, 16, 32), ((16, 32), (64, 128), (256, 512)), strict=True):
        for row, column, side in product(
            range(ceil(height / step)), range(ceil(width / step)), sides
        ):
            no, yes = np.exp(logits[at] - logits[at].max())
            if yes / (no + yes) >= threshold:
                x0, y0 = (column + 0.5) * step, (row + 0.5) * step
                dx, dy, dw, dh = offsets[at]
                cx, cy = x0 + 0.1 * dx * side, y0 + 0.1 * dy * side
                w, h = side * np.exp(0.2 * dw), side * np.exp(0.2 * dh)
                box = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
                five = np.array([x0, y0]) + 0.1 * side * points[at].reshape(5, 2)
                found.append((yes / (no + yes), np.array(box) - 0.5, five - 0.5))
            at += 1
    assert at == len(logits)
    kept = []
    for face in sorted(found, key=lambda face: -face[0]):
        if all(iou(face[1], other[1]) <= 0.4 for other in kept):
            kept.append(face)
    return kept


def iou(a, b):
    shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared)


def assert_equal_to_plain(net, frames, card, threshold=0.5):
    detector = RetinaFaceDetector(net, {**card, "threshold": threshold})
    counts = []
    for frame, (boxes, scores, points) in zip(frames, detector.detect_points(frames), strict=True):
        expected = plain_faces(net, frame, card, threshold)
        counts.append(len(expected))
        assert len(boxes) == len(expected)
        for i, (score, box, five) in enumerate(expected):
            assert scores[i] == pytest.approx(score, abs=1e-4)
            np.testing.assert_allclose(boxes[i], box, atol=0.01)
            np.testing.assert_allclose(points[i], five, atol=0.01)
    return counts


@pytest.mark.parametrize("name", CARDS)
def test_batched_equals_a_plain_pass_with_random_weights(name):
    net = random_net(CARDS[name]["config"]["backbone"])
    frames = np.random.default_rng(0).integers(0, 255, (3, 75, 101, 3), np.uint8)
    counts = assert_equal_to_plain(net, frames, CARDS[name], 0.6)
    assert min(counts) > 3


@pytest.mark.slow
def test_batched_equals_a_plain_pass_with_the_published_weights(published_net, clips):
    frames = [next(iter(open_video(clips / name))).frames[0] for name in ("smile.mp4",)]
    crowd = next(iter(open_video(clips / "five_faces.jpg"))).frames[0, :, ::-1][:360, :640]
    frames += [np.ascontiguousarray(crowd), frames[0][:, ::-1]]
    counts = assert_equal_to_plain(published_net, frames, CARDS["retinaface-mobilenet"])
    assert counts[0] == counts[2] == 1
    assert counts[1] >= 2


def test_names_and_shapes_of_the_resnet():
    net = RetinaFace("resnet50")
    shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    assert shapes["body.layer4.2.conv3.weight"] == (2048, 512, 1, 1)
    assert shapes["fpn.output3.0.weight"] == (256, 2048, 1, 1)
    assert shapes["fpn.merge1.0.weight"] == (256, 256, 3, 3)
    assert shapes["ssh2.conv7x7_3.0.weight"] == (64, 64, 3, 3)
    assert shapes["LandmarkHead.2.conv1x1.bias"] == (20,)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 1) == 27.3
    with pytest.raises(
        ValueError, match=r"backbone must be one of mobilenet-0\.25, resnet50, got 'vgg'"
    ):
        RetinaFace("vgg")  # pyright: ignore[reportArgumentType]


def test_priors_are_made_once_and_decoded_by_hand():
    cpu = torch.device("cpu")
    at = priors(20, 33, cpu)
    assert at is priors(20, 33, cpu)
    # 3 x 5 cells of 8 px, 2 x 3 of 16 and 1 x 2 of 32, two priors each.
    assert at.shape == (2 * (15 + 6 + 2), 4)
    assert at[0].tolist() == [4, 4, 16, 16]
    assert at[3].tolist() == [12, 4, 32, 32]
    assert at[10].tolist() == [4, 12, 16, 16]
    assert at[-1].tolist() == [48, 16, 512, 512]
    box = decode_boxes(torch.tensor([1.0, -2.0, 0.0, 5 * np.log(2)]), at[0])
    # Centre (4 + 1.6, 4 - 3.2), 16 wide, twice as high.
    np.testing.assert_allclose(box, [-2.4, -15.2, 13.6, 16.8], atol=1e-5)
    points = decode_points(torch.arange(10.0), at[3])
    np.testing.assert_allclose(points[1], [12 + 3.2 * 2, 4 + 3.2 * 3], atol=1e-5)


def test_faces_are_read_per_image_best_first_without_doubles():
    at = priors(64, 64, torch.device("cpu"))
    logits = torch.zeros(2, len(at), 2)
    logits[..., 0] = 9.0
    logits[0, 0, 1] = 10.0  # sigmoid(1)
    logits[0, 2, 1] = 11.0  # the next cell, overlap 1/3
    logits[0, 4, 1] = 12.0
    offsets = torch.zeros(2, len(at), 4)
    offsets[0, 4, 0] = -5.0  # back by half a side onto the same place as prior 2
    (boxes, scores, points), (none, _, _) = decode_faces(
        logits, offsets, torch.zeros(2, len(at), 10), (64, 64)
    )
    np.testing.assert_allclose(boxes, [[4, -4, 20, 12], [-4, -4, 12, 12]], atol=1e-4)
    np.testing.assert_allclose(scores, torch.tensor([3.0, 1.0]).sigmoid(), atol=1e-6)
    np.testing.assert_allclose(points[0], [[20, 4]] * 5)
    assert none.shape == (0, 4)


@pytest.mark.parametrize(("order", "first"), [("bgr", 30 - 104.0), ("rgb", 10 - 123.0)])
def test_pixels_enter_as_the_card_says(order, first):
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, x):
            seen.append(x)
            count = len(priors(*x.shape[2:], x.device))
            return (x.new_zeros(len(x), count, n) for n in (2, 4, 10))

    card = {"mean": [123.0, 117.0, 104.0], "std": [1.0] * 3, "channel_order": order}
    detector = RetinaFaceDetector(RetinaFace(), card)
    detector.net = Spy()  # pyright: ignore[reportAttributeAccessIssue]
    detector.threshold = 0.9
    frames = np.full((10, 720, 1280, 3), (10, 20, 30), np.uint8)
    assert [len(boxes) for boxes, _ in detector.detect(frames)] == [0] * 10
    assert [x.shape for x in seen] == [(8, 3, 360, 640), (2, 3, 360, 640)]
    assert seen[0][0, 0, 0, 0] == first
    detector.detect(frames[:1, :80, :90], fine=True)
    assert seen[-1].shape == (1, 3, 80, 90)  # small frames are not enlarged


@pytest.mark.slow
def test_every_face_of_the_clips_and_no_other(published_net, clips):
    detector = RetinaFaceDetector(published_net, CARDS["retinaface-mobilenet"])

    def counts(name, every):
        batches = open_video(clips / name)
        return [len(b) for batch in batches for b, _ in detector.detect(batch.frames[::every])]

    assert counts("five_faces.jpg", 1) == [5]
    assert counts("smile.mp4", 1) == [1] * 72
    assert set(counts("no_face.mp4", 8)) == {0}


def test_boxes_are_like_those_of_landmarks(published_net, clips):
    frames = next(iter(open_video(clips / "smile.mp4"))).frames[:3]
    found = RetinaFaceDetector(published_net, CARDS["retinaface-mobilenet"]).detect(frames)
    landmarker, _ = load_landmarker("builtin")
    shapes = np.concatenate([s for s, _ in landmarker.locate(frames, [b for b, _ in found])])
    expected, boxes = face_boxes(shapes), np.concatenate([b for b, _ in found])
    side = (expected[:, 2:] - expected[:, :2]).max()
    assert np.abs(boxes - expected).max() < 0.08 * side
    large = np.ascontiguousarray(frames[:1].repeat(2, 1).repeat(2, 2))
    ((twice, _),) = RetinaFaceDetector(published_net, CARDS["retinaface-mobilenet"]).detect(large)
    np.testing.assert_allclose(twice, 2 * boxes[:1] + 0.5, atol=1.0)
