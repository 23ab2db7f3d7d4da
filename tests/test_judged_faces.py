"""The studies of judged faces: what is read of a folder, and distances between markups."""

import importlib
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image
from synthetic_faces import mean_face

from aucli.align import face_boxes
from aucli.aus import MIRROR_68
from aucli.faces.finder import FaceFinder, FinderConfig
from aucli.faces.loading import load_faces
from aucli.faces.markup import to_ibug

STUDIES = Path(__file__).resolve().parents[1] / "examples" / "studies"
LABELS = """picture,source,clip,frame_index,x,y,w,h,au,label,tags
a.png,1,,,10,20,40,50,AU04,present,
a.png,1,,,10,20,40,50,AU12,absent,beard
a.png,2,,,100,20,40,40,AU12,present,
"""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(STUDIES)
    return importlib.import_module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    Image.new("L", (200, 100), 7).save(tmp_path / "pictures" / "a.png")
    (tmp_path / "labels.csv").write_text(LABELS)
    return tmp_path


def test_faces_of_a_folder(script, folder: Path) -> None:
    first, second = script("judged_faces").judged_faces(folder)
    assert (first.present, first.absent, first.source) == ({"AU04"}, {"AU12"}, "1")
    assert first.box_xyxy_px.tolist() == [10, 20, 50, 70] and first.size_px == 50
    assert second.present == {"AU12"} and second.pixels.shape == (100, 200, 3)
    matrix = first.square(80)  # 80 px of frame, centred at (30, 45)
    assert matrix @ [30, 45, 1] == pytest.approx([40, 40])
    assert matrix[0, 0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "{} has no labels.csv; name a folder of judged faces."),
        ("picture,x\na.png,1\n", "{}/labels.csv cannot be read ('y'); name another."),
    ],
)
def test_another_folder_ends_with_a_sentence(script, tmp_path: Path, text, sentence) -> None:
    if text is not None:
        (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(SystemExit) as end:
        script("judged_faces").judged_faces(tmp_path)
    assert end.value.code == sentence.format(tmp_path)


def test_photographs_never_go_into_the_repository(script, tmp_path: Path) -> None:
    outside = script("judged_faces").folder_outside
    assert outside(tmp_path / "new").is_dir()
    with pytest.raises(SystemExit, match="is in the repository"):
        outside(STUDIES / "sheets")
    assert not (STUDIES / "sheets").exists()


def test_offsets_and_distances_from_a_line(script) -> None:
    study = script("landmarks_beside_mesh")
    mesh = mean_face()[None].astype(np.float64)
    unit = study.eye_distance(mesh)[0]
    lower = mesh + np.array([0.0, 0.1 * unit])
    assert study.differences(lower, mesh) == pytest.approx(np.full((1, 68, 2), [0, 0.1]), abs=1e-6)
    wider = mesh + np.stack([0.1 * unit * study.SIDE, np.zeros(68)], 1)
    away = study.differences(wider, mesh)[0]
    assert away[study.SIDE != 0] == pytest.approx(np.full((58, 2), [0.1, 0]), abs=1e-6)
    assert away[study.SIDE == 0] == pytest.approx(np.zeros((10, 2)), abs=1e-6)
    # A point half way to the next one is far from its own place, and on the line.
    along = mesh.copy()
    along[0, 18] = mesh[0, 18:20].mean(0)
    face, line = study.distances(along, mesh, "brows")
    apart = np.linalg.norm(mesh[0, 18] - mesh[0, 19]) / unit
    assert face == pytest.approx([apart / 2 / 10]) and line == pytest.approx([0], abs=1e-9)
    turned = mesh[..., ::-1] * [1, -1]  # the head lies on its side
    assert study.differences(turned + np.array([0.1 * unit, 0]), turned)[0, :, 1] == pytest.approx(
        0.1
    )


def test_the_table_has_the_faces_that_all_found(script) -> None:
    study = script("landmarks_beside_mesh")
    mesh = np.tile(mean_face()[None].astype(np.float64), (4, 1, 1))
    unit = study.eye_distance(mesh)[0]
    found = {"one": mesh + np.array([0.0, 0.1 * unit]), "two": mesh.copy()}
    found["two"][3] = np.nan
    lines = list(study.report(found, mesh, {"AU04": np.array([1, 0, 0, 1], bool)}))
    assert lines[0] == "4 faces; found by the mesh: 4, of these by one: 4, two: 3.\n"
    assert "all 3: median" in lines[1] and "AU04, 1: median" in lines[1]
    brows = next(line for line in lines if line.startswith("| brows | one |"))
    cells = brows.strip("| ").split(" | ")[2:]
    assert cells[0] == cells[1] == ".100" and cells[3:6] == ["+.000", "+.100", ".100"]
    assert len({line.count("|") for line in lines[1:]}) == 1


def test_lip_points_slide_along_their_lip() -> None:
    points = mean_face()[None].repeat(2, 0)
    moved = to_ibug(points)
    same = [*range(49), 50, 51, 52, 54, 57, 60, 62, 64, 66]
    assert (moved[:, same] == points[:, same]).all()
    assert moved[0, 61] == pytest.approx(0.54 * points[0, 61] + 0.46 * points[0, 62])
    assert moved[1, 55] == pytest.approx(0.36 * points[1, 55] + 0.64 * points[1, 56])
    mirrored = to_ibug((points * [-1, 1])[:, MIRROR_68])[:, MIRROR_68] * [-1, 1]
    assert mirrored == pytest.approx(moved, abs=1e-4)


def test_faces_of_our_networks_have_the_points_of_ibug() -> None:
    """Those of other landmark networks, and all that follows and aligns, stay as they are."""
    shape = mean_face()[None].repeat(2, 0)
    chosen = (shape, np.ones(2, np.float32), np.full(2, None, object), np.arange(2))
    for ours, expected in ((True, to_ibug(shape)), (False, shape)):
        scene = cast(Any, None)
        finder = FaceFinder(scene, scene, FinderConfig(None, rendered_markup=ours))
        faces = finder._faces([chosen])[0]
        assert np.stack([face.landmarks for face in faces]) == pytest.approx(expected)
        assert faces[0].bbox_xyxy_px == pytest.approx(face_boxes(shape)[0])
    assert load_faces().config.rendered_markup
