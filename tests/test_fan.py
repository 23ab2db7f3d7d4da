"""FAN: crops and peaks against the library's own path, batches, and what is said when it lacks."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from aucli.align import face_boxes
from aucli.errors import LibraryError, WeightsError
from aucli.faces import library_detectors
from aucli.faces.fan import FanLandmarker, crop_squares, read_peaks
from aucli.faces.library_detectors import LibraryDetector
from aucli.mean_shape import MEAN_SHAPE
from aucli.models import library as library_module
from aucli.models.fan import fan
from aucli.models.library import face_alignment


def face_shape(x: float, y: float, size: float) -> np.ndarray:
    """(68, 2) float32 px: the mean face, `size` px high, centred on (x, y)."""
    flat = MEAN_SHAPE[:, :2] * (1, -1) / np.ptp(MEAN_SHAPE[:, 1])
    return (flat * size + (x, y)).astype(np.float32)


GRID = np.array([[column, row] for row in range(8) for column in range(9)][:68])


class Spots(torch.nn.Module):
    """Stands in for FAN: the map of landmark i shows how bright the crop is around grid place i."""

    def forward(self, x):
        assert x.shape[1:] == (3, 256, 256)
        bright = torch.nn.functional.avg_pool2d(x.mean(1), 4)  # (n, 64, 64)
        cells = torch.arange(64) + 0.5
        centre = torch.as_tensor(64 * (GRID + 1) / (10, 9))
        near = [(cells - centre[:, axis, None]).abs() < 2.9 for axis in (0, 1)]
        return [torch.zeros(0), bright[:, None] * (near[1][:, :, None] & near[0][:, None])]


def spotted(square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A frame with 68 soft spots near the grid of a square crop, and their places (68, 2) px."""
    side = square[2] - square[0]
    cell = side / 64
    jitter = np.random.default_rng(0).uniform(-1.4, 1.4, (68, 2)) * cell
    places = square[:2] + side * (GRID + 1) / (10, 9) + jitter
    y, x = np.mgrid[:400, :460]
    frame = np.zeros((400, 460))
    for px, py in places:
        frame += np.exp(-0.5 * ((x - px) ** 2 + (y - py) ** 2) / (1.2 * cell) ** 2)
    return (frame.clip(0, 1) * 255).round().astype(np.uint8)[..., None].repeat(3, 2), places


def test_crop_of_a_box():
    # w + h = 195: 200 px, lifted by .12 of the height.
    (square,) = crop_squares(np.array([[100.0, 50, 195, 150]]))
    np.testing.assert_allclose(square, [147.5 - 100, 88 - 100, 147.5 + 100, 88 + 100])
    (point,) = crop_squares(np.array([[10.0, 10, 10, 10]]))
    assert point[2] - point[0] == pytest.approx(8 * 200 / 195)


def test_peaks_move_a_quarter_towards_the_higher_neighbour():
    maps = torch.zeros(1, 3, 8, 10)
    maps[0, 0, 3, 5], maps[0, 0, 3, 6], maps[0, 0, 2, 5] = 1.0, 0.5, 0.2
    maps[0, 1, 0, 4], maps[0, 1, 0, 5] = 0.7, 0.3  # on the border: not moved
    maps[0, 2, 6, 1] = 0.4
    points, heights = read_peaks(maps)
    cells = [[5.25, 2.75], [4, 0], [1, 6]]
    np.testing.assert_allclose(points[0], np.array(cells) * 4 + 1.5)
    np.testing.assert_allclose(heights[0], [1.0, 0.7, 0.4])


@pytest.fixture
def library(monkeypatch):
    """The library's modules; what it compiles at the first call, which takes a minute, is plain."""
    pytest.importorskip("face_alignment", exc_type=ImportError)
    api = importlib.import_module("face_alignment.api")
    utils = importlib.import_module("face_alignment.utils")
    for name in ("transform_np", "_get_preds_fromhm"):
        monkeypatch.setattr(utils, name, getattr(utils, name).py_func)
    return SimpleNamespace(api=api, utils=utils)


def library_path(library, net, flip=False):
    """The library's class without its constructor, which would fetch weights."""
    found = object.__new__(library.api.FaceAlignment)
    found.device, found.dtype, found.max_batch_size = "cpu", torch.float32, 1
    found.flip_input, found.landmarks_type = flip, library.api.LandmarksType.TWO_D
    found.face_detector = SimpleNamespace(reference_scale=195)
    found.face_alignment_net = net
    return found


def test_peaks_equal_the_librarys(library):
    maps = torch.rand(2, 68, 64, 64, generator=torch.Generator().manual_seed(0))
    maps[0, 0, 0, 7] = maps[0, 1, 63, 63] = maps[1, 5, 20, 0] = 2.0
    theirs, _, heights = library.utils.get_preds_fromhm(maps.numpy())
    points, peaks = read_peaks(maps)
    # The library counts from the crop's edge, this project from the centre of its first pixel.
    np.testing.assert_allclose(points, 4 * theirs - 0.5, atol=1e-4)
    np.testing.assert_array_equal(peaks, heights)


@pytest.mark.parametrize("box", [[100.0, 100, 260, 250], [150.5, 91.25, 231, 200.75]])
def test_places_equal_the_librarys_own(library, box):
    square = crop_squares(np.array([box]))
    cell = (square[0, 2] - square[0, 0]) / 64  # px
    frame, places = spotted(square[0])
    [theirs] = library_path(library, Spots()).get_landmarks(frame, detected_faces=[box])
    ours, confidence = FanLandmarker(Spots())._run([frame], square)
    assert np.abs(ours[0] - places).max() < 0.36 * cell  # a quarter and what the crop blurs
    # Theirs are cut to whole px, and their crop begins up to 2 px off.
    difference = ours[0] - theirs
    assert np.abs(difference.mean(0)).max() < 0.5
    assert np.abs(difference).mean() < 0.25 * cell
    assert np.abs(ours[0] - places).mean() < np.abs(theirs - places).mean()
    assert 0.5 < confidence[0] <= 1


def fan_stand_in(modules=1):
    torch.manual_seed(0)
    return fan(modules).eval()


def test_network_of_the_library_in_batches(library):
    landmarker = FanLandmarker(fan_stand_in())
    frames = np.random.default_rng(0).integers(0, 255, (3, 120, 160, 3), np.uint8)
    boxes = [np.array([[20, 20, 80, 90]], np.float32), np.zeros((0, 4)),
             np.array([[10, 10, 10, 10]], np.float32)]  # fmt: skip
    found = landmarker.locate(frames, boxes)
    assert [(s.shape, c.shape) for s, c in found] == [
        ((1, 68, 2), (1,)), ((0, 68, 2), (0,)), ((1, 68, 2), (1,))
    ]  # fmt: skip
    assert all(((c >= 0) & (c <= 1)).all() and np.isfinite(s).all() for s, c in found)
    [(alone, _)] = landmarker.locate(frames[2:], boxes[2:])
    np.testing.assert_allclose(found[2][0], alone, atol=1e-2)


def test_flip_averages_what_the_library_adds(library):
    net, flip = Spots(), library.api.flip
    x = torch.rand(2, 3, 256, 256)
    theirs = net(x)[-1] + flip(net(flip(x))[-1], is_label=True)
    ours = FanLandmarker(net, flip=True)._heatmaps(x)
    assert (theirs != 2 * net(x)[-1]).any()
    torch.testing.assert_close(2 * ours, theirs)


def test_faces_off_the_crop_are_looked_at_again():
    passes = []

    class Still(FanLandmarker):
        """Whatever the crop, the face is at the same place."""

        def _run(self, faces, squares):
            passes.append(squares)
            return face_shape(100, 100, 80)[None].repeat(len(faces), 0), np.ones(len(faces))

    box = face_boxes(face_shape(100, 100, 80)[None])
    frame = np.zeros((200, 200, 3), np.uint8)
    Still(Spots()).locate([frame], [np.concatenate([box + 4, box + 40])])
    assert [len(p) for p in passes] == [2, 1]
    np.testing.assert_allclose(passes[1], crop_squares(box))
    Still(Spots()).follow([frame], [face_shape(101, 100, 80)[None]])
    assert len(passes) == 3


def test_missing_library_and_headless_opencv(monkeypatch):
    def fail(error):
        def load(name):
            raise error

        monkeypatch.setattr(library_module.importlib, "import_module", load)
        with pytest.raises(LibraryError) as caught:
            fan()
        return str(caught.value)

    absent = ModuleNotFoundError("No module named 'face_alignment'", name="face_alignment")
    assert fail(absent) == (
        "the library face-alignment is not installed; run `pip install 'aucli[accurate]'`"
    )
    assert fail(ImportError("libGL.so.1: cannot open shared object file")) == (
        "face-alignment cannot load OpenCV (libGL.so.1: cannot open shared object file); on a "
        "machine without a display run `pip uninstall -y opencv-python` and "
        "`pip install opencv-python-headless`"
    )
    assert fail(ModuleNotFoundError("No module named 'dlib'", name="dlib")).endswith(
        "needs the library dlib; run `pip install dlib-bin`"
    )


@pytest.fixture
def fake_library(monkeypatch, tmp_path):
    """Detectors that find one face; PyTorch's cache is an empty folder."""
    made = []

    class FaceDetector:
        def __init__(self, device, **paths):
            made.append((device, paths))

        def detect_from_image(self, image):
            return [] if image.max() == 0 else [[10, 20, 30, 60, 0.4], [50, 20, 70, 60, 0.8]]

    module = SimpleNamespace(FaceDetector=FaceDetector)
    monkeypatch.setattr(library_detectors, "face_alignment", lambda name: module)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return made


def test_library_detectors_never_fetch(fake_library, tmp_path):
    with pytest.raises(WeightsError) as caught:
        LibraryDetector("blazeface")
    folder = tmp_path / "hub" / "checkpoints"
    url = "https://github.com/hollance/BlazeFace-PyTorch/raw/master"
    assert str(caught.value) == (
        "the detector blazeface needs files that aucli does not fetch; run "
        f"`curl -L --create-dirs -o {folder}/blazeface.pth {url}/blazeface.pth && "
        f"curl -L --create-dirs -o {folder}/anchors.npy {url}/anchors.npy`"
    )
    assert fake_library == []
    folder.mkdir(parents=True)
    (folder / "s3fd-619a316812.pth").touch()
    LibraryDetector("sfd", "cuda:0")
    path = str(folder / "s3fd-619a316812.pth")
    assert fake_library == [("cuda:0", {"path_to_detector": path})]


def test_library_detectors_boxes(fake_library):
    detector = LibraryDetector("dlib", "cuda")
    assert fake_library == [("cpu", {})]
    frames = [np.zeros((90, 160, 3), np.uint8), np.full((720, 1280, 3), 9, np.uint8)]
    (none, _), (boxes, scores) = detector.detect(frames)
    assert none.shape == (0, 4)
    np.testing.assert_allclose(scores, [0.8, 0.4])
    # The network saw half the size; dlib's square lies below the forehead.
    left, top, width, height = 100.5, 40.5, 40, 80
    np.testing.assert_allclose(
        boxes[0],
        [left + 0.06 * width, top - 0.11 * height, 140.5 - 0.05 * width, 120.5 + 0.04 * height],
        atol=1e-3,
    )


def test_scrfd_names_the_library_it_needs(fake_library, monkeypatch):
    monkeypatch.setattr(library_detectors, "find_spec", lambda name: None)
    with pytest.raises(LibraryError, match=r"scrfd needs onnxruntime; run `pip install onnx"):
        LibraryDetector("scrfd")


def test_every_detector_is_one_of_the_library(library):
    for name in library_detectors.DETECTORS:
        if name not in ("dlib", "scrfd"):  # need libraries of their own
            assert face_alignment(f"detection.{name}").FaceDetector
