"""Pictures of the AU maps: which faces, the map over the right pixels, the command."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from bright_faces import NONE, ONE, TWO, face, tiny_networks, write_clip
from PIL import Image
from torch import nn
from typer.testing import CliRunner, Result

from aucli import analyzer
from aucli.align import align_matrices, apply_matrices, face_boxes, square_matrices
from aucli.aus import MAX_INTENSITY
from aucli.cli import app
from aucli.heatmaps import render_heatmaps, sample_heatmaps
from aucli.models.predict import AUModel, map_names
from aucli.pipeline.maps import STRONGEST, FaceChoice, read_maps
from aucli.pipeline.panels import FACE_SCALE, GAP, HEADER, LABEL, OUTSIDE, TILE, draw_panel
from aucli.table.schema import Rows

AUS = ("AU06", "AU12")


class Fixed(nn.Module):
    """The same maps (K, h, w) for every crop."""

    def __init__(self, maps: torch.Tensor) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, x):
        return self.maps.expand(len(x), *self.maps.shape)


def fixed_model(maps: torch.Tensor, names: tuple[str, ...], **changes) -> AUModel:
    values = {
        "net": Fixed(maps).eval(), "aus": AUS, "maps": names, "crop_size": 128,
        "template": "eyes-nose", "mean": (127.5,) * 3, "std": (64.0,) * 3,
        "scale": np.ones(2, np.float32), "offset": np.zeros(2, np.float32), "name": "fixed",
    }  # fmt: skip
    return AUModel(**{**values, **changes})


def rows(strength: list[float], fps: float = 25.0, start: int = 0) -> Rows:
    """One face in every frame, with the given sum of intensities; NaN where there is none."""
    total = np.array(strength, np.float32)
    count = len(total)
    seen = np.isfinite(total)
    return Rows(
        frame_index=np.arange(start, start + count),
        pts_seconds=np.arange(start, start + count) / fps,
        face_id=np.where(seen, 0, -1).astype(np.int32),
        success=seen,
        confidence=np.ones(count, np.float32),
        bbox_xyxy_px=np.zeros((count, 4), np.float32),
        pose_radians=np.zeros((count, 3), np.float32),
        landmarks=np.zeros((count, 68, 2), np.float32),
        intensities=np.stack([total / 2, total / 2], 1),
        sides=np.zeros((count, 2, 2), np.float32),
        places=np.zeros((count, 2, 2, 2), np.float32),
    )


def chosen(choice: FaceChoice) -> list[int]:
    return [seen.frame_index for seen in choice.faces()]


def test_the_strongest_moments_are_a_second_apart():
    strength = [0.1] * 200
    # A peak with neighbours on both sides of a full second, then two others, then a weaker one.
    strength[23:27] = [7.0, 8.0, 9.0, 8.5]
    strength[60], strength[100], strength[150] = 5.0, 6.0, 4.0
    choice = FaceChoice()
    for start in range(0, 200, 16):
        choice.add(rows(strength[start : start + 16], start=start))
    assert chosen(choice) == [25, 60, 100]
    assert choice.without_face() == []


def test_pictures_of_a_folder_have_no_time_and_count_each():
    some = rows([1.0, 3.0, 2.5, np.nan, 2.0])
    some.pts_seconds[:] = np.nan
    choice = FaceChoice()
    choice.add(some)
    assert len(choice.faces()) == STRONGEST
    assert chosen(choice) == [1, 2, 4]


def test_frames_that_were_asked_for():
    choice = FaceChoice((2, 3, 90))
    choice.add(rows([1.0, 1.0, 0.2, np.nan]))
    assert chosen(choice) == [2]
    assert choice.without_face() == [3, 90]


def test_maps_are_sampled_between_cells():
    maps = render_heatmaps(torch.tensor([[[41.5, 61.5]]]), torch.tensor([[4.0]]), 32)[0]
    points = torch.tensor([[[41.5, 61.5], [43.5, 61.5], [500.0, 61.5]]])
    value = sample_heatmaps(maps, points)
    assert value.shape == (1, 1, 3)
    expected = torch.tensor([4.0, 4.0 * math.exp(-0.5 * 0.25**2), 0.0])
    torch.testing.assert_close(value[0, 0], expected, atol=0.04, rtol=0)  # 1 % of the peak


@pytest.mark.parametrize("sides", [True, False])
def test_the_map_lies_over_its_place(sides):
    """AU12's map peaks at a known frame pixel of a tilted face: the tile shows it there."""
    there = face(48.0, 0).landmarks * 4  # a face about 120 px wide
    tilt = np.array([[0.94, -0.34], [0.34, 0.94]])
    landmarks = (there @ tilt.T + [120, -10]).astype(np.float32)
    frame = np.full((400, 400, 3), 128, np.uint8)
    matrix = align_matrices(landmarks[None], "eyes-nose", 128)
    corners = landmarks[[54, 48]]  # the person's left corner of the mouth, then the right
    crop = torch.from_numpy(apply_matrices(corners[None], matrix)[0]).float()
    points = torch.stack([torch.full((2,), 64.0), torch.full((2,), 20.0), crop[0], crop[1]])
    levels = torch.tensor([0.0, 0.0, 5.0, 5.0])
    maps = render_heatmaps(points[None], levels[None], 32)[0]
    if not sides:
        maps = torch.stack([maps[0], maps[2].maximum(maps[3])])
    found = read_maps(frame, landmarks, fixed_model(maps, map_names(AUS, sides)))
    assert found.maps.shape == (2, 32, 32)
    assert found.intensities.tolist() == pytest.approx([0.0, 5.0], abs=1e-4)
    if sides:
        np.testing.assert_allclose(found.places[1], corners, atol=0.3)

    panel = np.asarray(draw_panel(found, "clip.mp4 · frame 1", "fixed")).astype(int)
    tile = panel[HEADER : HEADER + TILE, GAP + 2 * (TILE + GAP) :][:, :TILE]
    to_tile = square_matrices(face_boxes(landmarks[None]), TILE, FACE_SCALE)
    for x, y in apply_matrices(corners[None], to_tile)[0]:
        # Yellow, the top of the scale, stands at the corner; the rings begin 4 px off.
        red, green, blue = tile[round(float(y)), round(float(x))]
        assert red > 180 and green > 180 and blue < 90
    blank = panel[HEADER : HEADER + TILE, GAP + TILE + GAP :][:, :TILE]
    assert (np.ptp(blank, axis=2) == 0).all()  # AU06 is absent: a gray face


def test_maps_are_in_units_of_intensity():
    points = torch.tensor([[[60.0, 60.0], [70.0, 70.0]]])
    maps = render_heatmaps(points, torch.tensor([[2.0, 4.0]]), 32, scale=255.0)[0]
    model = fixed_model(
        maps, map_names(AUS, False), heatmap_scale=255.0, offset=np.array([0.5, 3.0], np.float32)
    )
    found = read_maps(np.zeros((64, 96, 3), np.uint8), face(24.0, 0).landmarks, model)
    assert found.maps.max((1, 2)).tolist() == pytest.approx([2.5, MAX_INTENSITY])
    assert found.maps[0].max() == pytest.approx(found.intensities[0])


def test_nothing_is_invented_beyond_the_frame():
    """A face whose chin the frame cuts off: the tile is gray below, the frame itself is kept."""
    landmarks = face(48.0, 0).landmarks
    frame = np.full((int(landmarks[8, 1]), 96, 3), [200, 60, 60], np.uint8)
    found = read_maps(frame, landmarks, fixed_model(torch.zeros(2, 32, 32), AUS))
    tile = np.asarray(draw_panel(found, "cut"))[HEADER : HEADER + TILE, GAP : GAP + TILE]
    assert tile[TILE // 2, TILE // 2].tolist() == [200, 60, 60]
    assert tile[-1, TILE // 2].tolist() == [OUTSIDE] * 3


@pytest.mark.parametrize("count", [1, 5, 12, 20])
def test_tiles_fill_a_grid(count):
    names = tuple(f"AU{i:02d}" for i in range(1, count + 1))
    maps = torch.zeros(count, 32, 32)
    model = fixed_model(
        maps, names, aus=names, scale=np.ones(count), offset=np.full(count, 0.5, np.float32)
    )
    found = read_maps(np.zeros((64, 96, 3), np.uint8), face(24.0, 0).landmarks, model)
    panel = draw_panel(found, "a picture")
    lines = -(-(count + 1) // 7)
    columns = -(-(count + 1) // lines)
    assert panel.width == GAP + columns * (TILE + GAP)
    assert panel.height >= HEADER + lines * (TILE + LABEL + GAP)


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Frames with 1, 1, 0, 2 and 1 faces; tiny networks stand in for the trained ones."""
    models = tiny_networks()
    monkeypatch.setattr(analyzer, "load_networks", lambda options: models)
    monkeypatch.chdir(tmp_path)
    return write_clip(tmp_path / "clip.mp4", [ONE, ONE, NONE, TWO, ONE])


def analyze(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["analyze", "--threads", "1", *map(str, arguments)])


def test_the_command_draws_the_strongest_moment(clip):
    result = analyze(clip, "--heatmaps", "maps")
    assert result.exit_code == 0, result.stderr
    (picture,) = Path("maps").iterdir()
    assert picture.name.startswith("clip_frame00000") and picture.name.endswith("_face0.png")
    assert "clip.mp4: 1 picture of the maps -> maps" in result.stderr
    with Image.open(picture) as opened:
        assert opened.width == GAP + 4 * (TILE + GAP)  # the face and three AUs


def test_the_command_draws_the_frames_asked_for(clip):
    result = analyze(clip, "-o", "-", "--heatmaps", "maps", "--heatmap-frames", "4,3,1,99", "-q")
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in Path("maps").iterdir()) == [
        "clip_frame000001_face0.png", "clip_frame000004_face0.png", "clip_frame000004_face1.png",
    ]  # fmt: skip
    assert result.stderr == (
        "warning: clip.mp4: no face was analysed in frame 3, 99, so no map is drawn of it.\n"
    )


def test_pictures_are_replaced_only_when_asked(clip):
    command = [clip, "--heatmaps", "maps", "--heatmap-frames", "1", "-q"]
    assert analyze(*command).exit_code == 0
    Path("clip.parquet").unlink()
    result = analyze(*command)
    name = Path("maps") / "clip_frame000001_face0.png"
    sentence = f"aucli: {name} exists already; --overwrite (overwrite=True) replaces it.\n"
    assert (result.exit_code, result.stderr) == (1, sentence)
    assert analyze(*command, "--overwrite").exit_code == 0


def test_a_folder_that_is_a_file_is_one_sentence(clip):
    Path("maps").touch()
    result = analyze(clip, "--heatmaps", "maps", "-q")
    assert result.exit_code == 1
    assert result.stderr.startswith("aucli: Cannot write maps/clip_frame00000")
    assert result.stderr.endswith("; name another folder.\n")
    assert Path("clip.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--heatmap-frames", "4"], "name the folder with --heatmaps."),
        (["--heatmaps", "m", "--heatmap-frames", "4,x"], "'4,x' are no frame numbers"),
        (["--heatmaps", "m", "--heatmap-frames", "0"], "'0' are no frame numbers"),
    ],
)
def test_wrong_usage_is_2(clip, arguments, message):
    result = analyze(clip, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
