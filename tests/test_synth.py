"""Rendering, on a stand-in face model made by the tests; skips without EGL.

Tests of the real model's arrays and shapes skip where it does not lie beside the checkout.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from aucli import aus
from aucli.cli import app
from aucli.datasets.synthetic import absent_faces
from aucli.errors import AucliError, DataError, OutputError

pytest.importorskip("moderngl", reason="the extra 'synth' is not installed")

from toy_face_model import write_toy_model

from aucli.synth import facs
from aucli.synth.face import Camera, FaceMaker
from aucli.synth.families import GAZE_COLUMNS, turn_eyes
from aucli.synth.generate import SynthConfig, generate, shard_path
from aucli.synth.ict import (
    LANDMARK_VERTICES,
    SKIPPED_MATERIALS,
    load_ict,
    read_obj,
    read_obj_folder,
)
from aucli.synth.mesh import FaceMesh
from aucli.synth.people import sample_person
from aucli.synth.renderer import Renderer
from aucli.synth.sheets import draw_au_sheet


@pytest.fixture(scope="module")
def ict_folder(shared_dir: Path) -> Path:
    return shared_dir / "ict"


@pytest.fixture(scope="module")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_model(tmp_path_factory.mktemp("toy"))


def open_maker(folder: Path) -> FaceMaker:
    mesh = FaceMesh(load_ict(folder))
    try:
        return FaceMaker(Renderer(mesh))
    except AucliError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def maker(toy_folder: Path) -> FaceMaker:
    return open_maker(toy_folder)


def rendered(maker: FaceMaker, yaw: float = 0.0, **intensities: float | np.ndarray):
    person = sample_person(np.random.default_rng(3))
    person.glasses = person.long_hair = False
    person.hair_shells = ()
    expression = facs.neutral_expression()
    for au, value in intensities.items():
        expression.intensities[facs.INDEX[au]] = value
    camera = Camera(np.array([0.0, yaw, 0.0]))
    return maker.render(person, expression, camera, np.random.default_rng(0))


def write_obj(path: Path, vertices: np.ndarray) -> None:
    lines = [f"v {x} {y} {z}" for x, y, z in vertices]
    lines += ["vt 0 0", "vt 1 0", "vt 0 1", "vt 1 1", "usemtl M_Face"]
    lines += ["f 1/1 2/2 4/4 3/3", "usemtl M_Teeth", "f 1/1 2/2 3/3"]
    path.write_text("\n".join(lines) + "\n")


def test_obj_importer_reads_polygons_uvs_and_materials(tmp_path: Path) -> None:
    square = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], float)
    write_obj(tmp_path / "generic_neutral_mesh.obj", square)
    write_obj(tmp_path / "identity000.obj", square + 0.5)
    for name in ("jawOpen", *("PupilDilate_L", "PupilDilate_R", "cheekRaiser_L", "cheekRaiser_R")):
        write_obj(tmp_path / f"{name}.obj", square - [0, 0.25, 0])
    (tmp_path / "vertex_indices.json").write_text(json.dumps({"expressions": ["jawOpen"]}))
    arrays = read_obj_folder(tmp_path, identity_count=1)
    assert arrays["F"].tolist() == [[0, 1, 3, 2], [0, 1, 2, 2]]
    assert arrays["nsides"].tolist() == [4, 3]
    assert arrays["mats"][arrays["FM"]].tolist() == ["M_Face", "M_Teeth"]
    assert (arrays["ids"] == 0.5).all()
    assert arrays["names"][0] == "jawOpen" and (arrays["ex"][0, :, 1] == -0.25).all()


def test_a_missing_shape_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No ICT-FaceKit model in"):
        load_ict(tmp_path)
    (tmp_path / "vertex_indices.json").write_text('{"expressions": []}')
    with pytest.raises(DataError, match=r"lacks generic_neutral_mesh\.obj"):
        load_ict(tmp_path)


def test_obj_files_of_the_public_model_give_the_arrays_of_its_cache(ict_folder: Path) -> None:
    model = load_ict(ict_folder)
    raw = ict_folder / "raw"
    neutral = read_obj(raw / "generic_neutral_mesh.obj")
    assert np.array_equal(neutral["V"], model.vertices)
    assert np.array_equal(neutral["VT"], model.uv)
    drawn = ~np.isin(neutral["mats"][neutral["FM"]], SKIPPED_MATERIALS)
    assert np.array_equal(neutral["F"][drawn], model.polygons)
    assert np.array_equal(neutral["FU"][drawn], model.polygon_uvs)
    assert np.array_equal(neutral["FM"][drawn], model.materials)
    smile = read_obj(raw / "mouthSmile_R.obj")["V"] - neutral["V"]
    stored = model.expressions[model.expression_names.index("mouthSmile_R")]
    assert np.abs(smile - stored).max() < 1e-3
    published = json.loads((raw / "vertex_indices.json").read_text())["idx_to_landmark_verts"]
    assert LANDMARK_VERTICES.tolist() == published


def test_every_au_has_shapes_and_scales_linearly() -> None:
    assert set(facs.SHAPES) | {"AU25"} == set(aus.SYNTHETIC_AUS)
    names = ("browLower_L", "browLower_R", "browKnit_L", "browKnit_R", "jawOpen")
    expression = facs.neutral_expression()
    expression.intensities[facs.INDEX["AU04"]] = (5.0, 2.5)
    expression.intensities[facs.INDEX["AU26"]] = 2.0
    lower, knit = facs.SHAPES["AU04"]["browLower"], facs.SHAPES["AU04"]["browKnit"]
    jaw = 0.4 * facs.SHAPES["AU26"]["jawOpen"]
    weights = facs.shape_weights(expression, names)
    assert weights == pytest.approx([lower, lower / 2, knit, knit / 2, jaw])


def test_raised_inner_brows_are_knit_but_not_lowered() -> None:
    names = ("browInnerUp_L", "browInnerUp_R", "browLower_L", "browLower_R", "browKnit_L",
             "browKnit_R")  # fmt: skip
    expression = facs.neutral_expression()
    expression.intensities[facs.INDEX["AU01"]] = expression.intensities[facs.INDEX["AU04"]] = 5
    up, _, lower, _, knit, _ = facs.shape_weights(expression, names)
    assert up == pytest.approx(facs.SHAPES["AU01"]["browInnerUp"])
    assert knit == pytest.approx(facs.SHAPES["AU04"]["browKnit"])
    assert lower == pytest.approx(0.15 * facs.SHAPES["AU04"]["browLower"])


def test_brow_down_is_knit_and_lowered(maker: FaceMaker) -> None:
    shapes = dict(zip(maker.names, maker.model.expressions, strict=True))
    for side in "LR":
        parts = shapes[f"browKnit_{side}"] + shapes[f"browLower_{side}"]
        assert np.allclose(parts, shapes[f"browDown_{side}"])
        assert not shapes[f"browKnit_{side}"][:, 1:].any()


def test_sampled_expressions_stay_in_range_and_reach_every_au() -> None:
    rng = np.random.default_rng(0)
    seen = np.stack([facs.sample_expression(rng).intensities for _ in range(600)])
    assert seen.min() == 0 and seen.max() <= 5
    strong = (seen.mean(2) > 2).mean(0)
    for au in facs.FREE_AUS:
        assert strong[facs.INDEX[au]] > 0.02, au
    smiling = seen[:, facs.INDEX["AU12"]].mean(1) > 2
    assert (seen[smiling][:, facs.INDEX["AU06"]].mean(1) > 0.5).mean() > 0.45


def test_closed_eyes_have_no_raised_lids_but_may_be_squeezed() -> None:
    rng = np.random.default_rng(4)
    drawn = [facs.sample_expression(rng) for _ in range(1000)]
    closed = [e for e in drawn if e["AU45"] > 2.6]
    raised = [e for e in drawn if e["AU05"] > 1.2]
    assert len(closed) > 50 and all(e["AU05"] == 0 for e in closed)
    for au in ("AU04", "AU06", "AU07", "AU09"):
        assert sum(e[au] > 2 for e in closed) > 0.03 * len(closed), au
    assert len(raised) > 50
    assert all(e["AU45"] == 0 == e.shapes.get("eyeBlink", 0) for e in raised)


def test_some_shut_eyes_are_winks() -> None:
    rng = np.random.default_rng(4)
    drawn = np.stack([facs.sample_expression(rng).intensities for _ in range(1500)])
    blink = drawn[:, facs.INDEX["AU45"]]  # (N, 2), left and right
    shut = blink.max(1) > 2.5
    winks = shut & (blink.min(1) == 0)
    assert 0.15 < winks.sum() / shut.sum() < 0.35
    assert (blink[winks, 0] > 0).any() and (blink[winks, 1] > 0).any()


def test_shut_lids_meet_whatever_they_are_like_at_rest() -> None:
    names = ("eyeBlink_L", "eyeBlink_R", "eyeWide_L", "eyeWide_R", "eyeSquint_L", "eyeSquint_R")
    expression = facs.neutral_expression()
    expression.intensities[facs.INDEX["AU45"]] = 5
    for rest in ({"eyeWide": 0.4}, {"eyeBlink": 0.3}, {"eyeSquint": -0.3}):
        assert facs.shape_weights(expression, names, rest).tolist() == [1, 1, 0, 0, 0, 0]
    expression.intensities[facs.INDEX["AU07"]] = 5
    squint = facs.SQUINT_OF_SHUT_EYES * facs.SHAPES["AU07"]["eyeSquint"]
    assert facs.shape_weights(expression, names)[4:] == pytest.approx([squint, squint])


def test_lips_pushed_forward_may_be_shut(ict_folder: Path) -> None:
    real = open_maker(ict_folder)
    person = sample_person(np.random.default_rng(3))
    person.resting_shapes = {}
    labels = []
    for close in (0.0, facs.LIPS_SHUT_IN_FUNNEL):
        expression = facs.neutral_expression()
        expression.intensities[facs.INDEX["AU22"]] = 5
        expression.shapes = {"mouthClose": close}
        face = real.render(person, expression, Camera(np.zeros(3)), np.random.default_rng(0))
        labels.append(face.intensities[facs.INDEX["AU25"]].mean())
        assert face.intensities[facs.INDEX["AU22"]].tolist() == [5, 5]
    assert labels[0] > 2.5 and labels[1] == 0


def test_landmarks_stay_at_the_lips_under_a_moustache(ict_folder: Path) -> None:
    maker, faces = open_maker(ict_folder), []
    for length in (0.0, 0.5):
        person = sample_person(np.random.default_rng(3))
        person.glasses = person.long_hair = False
        person.beard_length = length
        person.uniforms |= {"beard": np.array([1.0, 8, 0.4, 0]), "beard_colour": np.zeros(3),
                            "beard_form": np.array([0.5, 1, 0.6, 0.03])}  # fmt: skip
        faces.append(maker.render(person, facs.neutral_expression(), Camera(np.zeros(3)),
                                  np.random.default_rng(0)))  # fmt: skip
    shaved, bearded = faces
    assert np.array_equal(shaved.landmarks, bearded.landmarks)
    assert np.array_equal(shaved.visible, bearded.visible)
    mouth = shaved.landmarks[48:60].round().astype(int)
    rows = slice(mouth[:, 1].min() - 4, mouth[:, 1].max())
    columns = slice(mouth[:, 0].min(), mouth[:, 0].max())
    before, after = (f.rgba[rows, columns, :3].astype(int) for f in faces)
    assert (np.abs(before - after).max(-1) > 10).mean() > 0.1  # hair is over the lip


def test_brow_landmarks_follow_the_drawn_brow(maker: FaceMaker) -> None:
    person = sample_person(np.random.default_rng(3))
    points = []
    for form in ((-0.01, 0.0), (0.02, 0.0), (-0.01, 0.2)):
        person.uniforms["brow"][0], person.uniforms["brow_form"][:2] = form[0], (form[1], 0)
        face = maker.render(
            person, facs.neutral_expression(), Camera(np.zeros(3)), np.random.default_rng(0)
        )
        points.append(face.landmarks)
    low, high, tilted = points
    assert (low[17:27, 1] - high[17:27, 1] > 1).all()
    assert np.array_equal(np.delete(low, range(17, 27), 0), np.delete(high, range(17, 27), 0))
    assert tilted[17, 1] < low[17, 1] and tilted[21, 1] > low[21, 1]


def test_a_face_is_drawn_where_its_landmarks_are(maker: FaceMaker) -> None:
    face = rendered(maker)
    assert face.rgba.shape == (192, 192, 4) and face.visible[17:].mean() > 0.85
    column, row = np.round(face.landmarks[17:]).astype(int).T
    assert (face.rgba[row, column, 3] == 255).all()
    assert face.landmarks[48, 0] < face.landmarks[54, 0]  # the person's right is at smaller x
    assert (face.rgba[..., :3].max(-1) <= face.rgba[..., 3]).all()  # premultiplied


def test_each_side_moves_its_own_half(maker: FaceMaker) -> None:
    neutral = rendered(maker)
    wink = rendered(maker, AU12=np.array([4.0, 0.0]))
    moved = np.abs(wink.landmarks - neutral.landmarks).sum(1)
    assert moved[54] > 3 and moved[48] == 0  # L alone pulls the person's left corner
    assert wink.intensities[facs.INDEX["AU12"]].tolist() == [4, 0]
    gape = rendered(maker, AU26=5.0)
    assert gape.intensities[facs.INDEX["AU25"]].min() > 3 > neutral.intensities.max()


def test_labels_follow_the_shapes_of_the_real_model(ict_folder: Path) -> None:
    real = open_maker(ict_folder)
    neutral, smile, gape = (rendered(real, **a) for a in ({}, {"AU12": 5.0}, {"AU26": 5.0}))
    width = [np.ptp(face.landmarks[[48, 54], 0]) for face in (neutral, smile)]
    assert width[1] > 1.1 * width[0]
    assert neutral.intensities[facs.INDEX["AU25"]].max() < 0.5
    assert gape.intensities[facs.INDEX["AU25"]].min() > 3
    turned = rendered(real, yaw=1.2)
    assert not turned.visible[11:16].any() and turned.visible[3:6].all()


def test_renderers_of_one_process_do_not_disturb_each_other(
    maker: FaceMaker,
) -> None:
    alone = rendered(maker)
    other = FaceMaker(Renderer(maker.renderer.mesh, resolution=96))
    assert rendered(other).rgba.shape == (96, 96, 4)
    assert np.array_equal(rendered(maker).rgba, alone.rgba)


def test_turning_hides_the_far_side(maker: FaceMaker) -> None:
    left = rendered(maker, yaw=1.2)  # towards the person's left: image right
    assert left.landmarks[30, 0] > left.landmarks[[36, 45], 0].mean()
    assert not left.visible[42:48].all() and left.visible[36:42].all()


@pytest.mark.parametrize("yaw", [0.0, 0.5])
def test_eyes_turn_and_the_label_says_where(maker: FaceMaker, yaw: float) -> None:
    person = sample_person(np.random.default_rng(3))
    expression = facs.neutral_expression()
    expression.gaze_radians, expression.vergence_radians = np.array([0.3, -0.2]), 0.1
    camera = Camera(np.array([0.0, yaw, 0.0]))
    face = maker.render(person, expression, camera, np.random.default_rng(0))
    assert np.linalg.norm(face.gaze, axis=1) == pytest.approx([1, 1], abs=1e-6)
    # Ahead of the camera is z = -1; the person's left is the image's right; up is -y.
    sideways = np.arctan2(face.gaze[:, 0], -face.gaze[:, 2])
    assert sideways == pytest.approx([yaw + 0.35, yaw + 0.25], abs=1e-6)
    assert face.gaze[:, 1] == pytest.approx([np.sin(0.2)] * 2)

    model = maker.model
    vertices = model.posed(person, np.zeros(len(maker.names), np.float32))
    ahead = vertices.copy()
    directions = turn_eyes(model, vertices, np.array([0.3, -0.2]), 0.1)
    for eye, direction in zip(model.eyes, directions, strict=True):
        foremost = eye[model.vertices[eye, 2].argmax()]
        moved = vertices[foremost] - ahead[foremost]
        assert moved @ direction < 0.1 < np.linalg.norm(moved)
        pole = vertices[foremost] - (vertices[eye].min(0) + vertices[eye].max(0)) / 2
        assert pole / np.linalg.norm(pole) == pytest.approx(direction, abs=0.1)


def test_eyes_on_the_camera_look_at_it(maker: FaceMaker) -> None:
    expression = facs.neutral_expression()
    camera = Camera(np.array([0.2, -0.4, 0.1]))
    expression.gaze_radians = camera.seen_from_head()
    person = sample_person(np.random.default_rng(3))
    face = maker.render(person, expression, camera, np.random.default_rng(0))
    assert face.gaze == pytest.approx(np.array([[0, 0, -1], [0, 0, -1]]), abs=1e-6)


def test_shards_are_deterministic_resumable_and_guarded(
    maker: FaceMaker, toy_folder: Path, tmp_path: Path
) -> None:
    config = SynthConfig(count=5, seed=4, shard_size=2)
    assert generate({"ict": toy_folder}, tmp_path / "a", config, processes=1) == 5
    generate({"ict": toy_folder}, tmp_path / "b", SynthConfig(3, 4, 2), processes=1)
    seen: list[int] = []
    assert generate({"ict": toy_folder}, tmp_path / "b", config, 1, seen.append) == 3
    assert sum(seen) == 5
    for shard in range(3):
        a, b = (pq.read_table(shard_path(tmp_path / folder, shard)) for folder in "ab")
        assert a.equals(b)
    assert a["landmarks"][0].as_py().__len__() == 136
    assert {f"{au}_{side}" for au in aus.SYNTHETIC_AUS for side in "LR"} <= set(a.column_names)
    gaze = np.stack([a[name].to_numpy() for name in GAZE_COLUMNS], 1).reshape(-1, 2, 3)
    assert np.linalg.norm(gaze, axis=2) == pytest.approx(np.ones((len(a), 2)), abs=1e-5)
    assert a["family"].to_pylist() == ["ict"] and a["age"].to_pylist() == ["adult"]
    person = maker.model.sample_person(np.random.default_rng((7, 4 * 10_000_000 + 2)))
    assert a["glasses"].to_pylist() == [person.glasses]
    assert a["beard"].to_pylist() == [person.uniforms["beard"][0] >= 0.5]
    with pytest.raises(DataError, match="holds a set made with other settings"):
        generate({"ict": toy_folder}, tmp_path / "a", SynthConfig(5, 9, 2), processes=1)


def test_after_a_smaller_count_no_face_is_lost(
    maker: FaceMaker, toy_folder: Path, tmp_path: Path
) -> None:
    sources, out = {"ict": toy_folder}, tmp_path / "faces"

    def indices() -> list[int]:
        shards = sorted(out.glob("shard-*.parquet"))
        return [n for shard in shards for n in pq.read_table(shard)["index"].to_pylist()]

    assert generate(sources, out, SynthConfig(3, 4, 2), 1) == 3
    assert generate(sources, out, SynthConfig(1, 4, 2), 1) == 0
    assert indices() == [0, 1, 2] and json.loads((out / "manifest.json").read_text())["count"] == 3
    assert generate(sources, out, SynthConfig(5, 4, 2), 1) == 3  # the cut one and a new one
    assert indices() == [0, 1, 2, 3, 4]
    shard_path(out, 0).write_bytes(b"damaged")
    shard_path(out, 1).unlink()  # as if a run for five was killed
    # Each shard gets all the faces that it had, also those beyond this count.
    assert generate(sources, out, SynthConfig(3, 4, 2), 1) == 4
    assert indices() == [0, 1, 2, 3, 4]
    assert generate(sources, out, SynthConfig(5, 4, 2), 1) == 0


def test_a_set_that_lacks_faces_says_so(toy_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces"
    command = ["synth", f"--ict={toy_folder}", f"--out={out}", "--processes=1"]
    first = CliRunner().invoke(app, [*command, "--count=3"]).stderr
    assert first == f"{out} holds 3 faces; 3 faces were rendered now\n"
    again = CliRunner().invoke(app, [*command, "--count=1"]).stderr
    assert again == f"{out} holds 3 faces; 0 faces were rendered now\n"
    assert absent_faces(out) == ""
    told = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps(told | {"count": 9}))
    assert absent_faces(out) == (
        f"{out} holds 3 of its 9 faces; `aucli synth` with the same settings renders the others."
    )
    (out / "manifest.json").write_text("{")
    assert absent_faces(out) == absent_faces(tmp_path / "nowhere") == ""


def test_a_mistake_leaves_no_folder(tmp_path: Path) -> None:
    out = tmp_path / "faces"
    with pytest.raises(DataError, match="No ICT-FaceKit model in"):
        generate({"ict": tmp_path / "nowhere"}, out, SynthConfig(2), 1)
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sheet.jpg", "sheet.jpg is no sheet; end it in .png."),
        (".", ". is no sheet; end it in .png."),
        ("folder.png", "folder.png is a folder; name a file."),
        ("there.png", "there.png exists already; --overwrite (overwrite=True) replaces it."),
    ],
)
def test_a_sheet_that_cannot_be_is_refused_before_the_rendering(
    name: str, told: str, toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "there.png").write_text("mine")
    made = CliRunner().invoke(app, ["synth", f"--ict={toy_folder}", "--out=out", f"--sheet={name}"])
    assert made.exit_code == (2 if "no sheet" in told else 1)
    assert told in made.stderr and not (tmp_path / "out").exists()


def test_a_sheet_below_a_file_is_one_sentence(
    maker: FaceMaker, toy_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"^Cannot write .*s.png: .*; choose another place\.$"):
        draw_au_sheet({"ict": toy_folder}, tmp_path / "file" / "s.png")


class Elsewhere:
    """An engine that renders backwards, and stops after some shards."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, render, shards):
        for shard in reversed(shards[-self.most :]):
            yield shard, render(shard)


def test_an_engine_renders_the_same_shards(maker: FaceMaker, toy_folder: Path, tmp_path: Path):
    config = SynthConfig(count=5, seed=4, shard_size=2)
    generate({"ict": toy_folder}, tmp_path / "a", config, processes=1)
    sources, seen = {"ict": toy_folder}, []
    assert generate(sources, tmp_path / "b", config, engine=Elsewhere(2)) == 3
    assert not shard_path(tmp_path / "b", 0).exists()
    assert generate(sources, tmp_path / "b", config, None, seen.append, Elsewhere(9)) == 2
    assert sorted(seen) == [1, 2, 2]
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def fail(*_: object) -> bytes:
    raise OSError(28, "No space left on device")


def test_a_full_disk_and_a_damaged_manifest(
    toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aucli.synth.generate._render_shard", fail)
    out = tmp_path / "faces"
    with pytest.raises(OutputError) as caught:
        generate({"ict": toy_folder}, out, SynthConfig(2), 1)
    assert str(caught.value) == (
        f"{out} cannot be written (No space left on device); make room, or name another folder."
    )
    for text in ("{", "[]", "[" * 9999, '{"count": "x", "shard_size": 3}'):
        (out / "manifest.json").write_text(text)
        with pytest.raises(DataError, match=r"manifest.json cannot be read; use another out fold"):
            generate({"ict": toy_folder}, out, SynthConfig(2), 1)


def start_rendering(folder: Path, out: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """A command that renders for long, and its rendering processes."""
    args = ["synth", "--ict", folder, "--out", out, "--count", 9999, "--processes", 1]
    command = [sys.executable, "-m", "aucli", *map(str, args)]
    process = subprocess.Popen(command, stdout=-1, stderr=-1, text=True, start_new_session=True)
    give_up = time.monotonic() + 300
    while not list(out.glob(".shard-*.part")):  # until it renders
        assert process.poll() is None and time.monotonic() < give_up
        time.sleep(0.1)
    return process, members(process.pid, "spawn_main")


def members(session: int, of: str = "") -> list[int]:
    """Processes of a session that still run, with some word in their command."""
    asked = ["ps", "-ww", "-o", "pid=,stat=,args=", "-s", str(session)]
    lines = subprocess.run(asked, stdout=-1, text=True, check=False).stdout.splitlines()
    parts = [line.split(None, 2) for line in lines]
    return [int(pid) for pid, state, args in parts if "Z" not in state and of in args]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_does_not_wait_for_the_rendering(
    maker: FaceMaker, toy_folder: Path, tmp_path: Path, stop: signal.Signals
) -> None:
    process, _ = start_rendering(toy_folder, tmp_path / "faces")
    os.kill(process.pid, stop)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 130, told
    assert "aucli: interrupted" in told and "Traceback" not in told
    assert members(process.pid) == []
    assert [path.name for path in (tmp_path / "faces").iterdir()] == ["manifest.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_rendering_process_that_is_killed(
    maker: FaceMaker, toy_folder: Path, tmp_path: Path
) -> None:
    process, children = start_rendering(toy_folder, tmp_path / "faces")
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1, told
    assert "a process that renders was stopped" in told and "Traceback" not in told
    assert [path.name for path in (tmp_path / "faces").iterdir()] == ["manifest.json"]
