"""People of rendered sets with a picture at rest each, for ``reference.py``."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from aucli.datasets.synthetic import TEST_EVERY, FaceStore
from aucli.files import write_whole
from aucli.synth.face import FaceMaker, sample_camera
from aucli.synth.facs import TONIC_SPREAD, neutral_expression
from aucli.synth.generate import FACES_PER_PERSON, MANIFEST
from aucli.synth.loading import load_family
from aucli.synth.mesh import FaceMesh
from aucli.synth.people import Person, sample_light
from aucli.synth.renderer import Renderer

SEED = 41
CHUNK = 32  # people in a file of pictures at rest
ODD = ("folds", "low brows", "heavy lids", "beard")
ODD_SHARE = 1 / 6  # of the people of a family have what counts as odd; beards are counted
BEARD = 0.5  # opacity from which it is more than stubble


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Pictures of P people, three of each in turn: two expressions, then one at rest.

    pictures: (3P,) functions that give (192, 192, 4) uint8 premultiplied RGBA. landmarks:
    (3P, 68, 2) px. sides: (3P, A, 2), 0-5. odd: (P, 4) bool, by ODD. same_light: (P,) bool.
    """

    pictures: list[Callable[[], np.ndarray]]
    landmarks: np.ndarray
    sides: np.ndarray
    odd: np.ndarray
    same_light: np.ndarray

    def face(self, index: int) -> np.ndarray:
        """As of ``FaceStore``."""
        return self.pictures[index]()


def oddness(person: Person) -> list[float]:
    """How far a person's face at rest is off, by ODD."""
    rest = {name: person.resting_shapes.get(name, 0.0) for name in TONIC_SPREAD}
    brows = rest["browDown"] - (rest["browInnerUp"] + rest["browOuterUp"]) / 2
    lids = person.resting_shapes.get("eyeBlink", 0.0) + (rest["eyeSquint"] - rest["eyeWide"]) / 2
    return [float(person.resting_folds.mean()), brows, lids, float(person.uniforms["beard"][0])]


def has_same_light(identity: int | np.ndarray) -> bool | np.ndarray:
    """Whether the picture at rest has the light of the first one: half of the people."""
    return identity // TEST_EVERY % 2 == 1


def at_rest(maker: FaceMaker, seed: int, identity: int) -> tuple[np.ndarray, np.ndarray, list]:
    """A person of a set at rest: RGBA (192, 192, 4), landmarks (68, 2), and the oddness."""
    rng = np.random.default_rng((SEED, seed, identity))
    # As FaceMaker.sample and the shards have it: who it is, and the light of the first picture.
    person = maker.model.sample_person(np.random.default_rng((7, seed * 10_000_000 + identity)))
    first = np.random.default_rng((seed, identity * FACES_PER_PERSON))
    lamp = first if has_same_light(identity) else rng
    person.uniforms.update(sample_light(lamp, person.uniforms["skin"]))
    expression = neutral_expression()
    expression.shapes = {name: spread * rng.normal() for name, spread in TONIC_SPREAD.items()}
    expression.gaze_radians = rng.normal(size=2) * (0.1, 0.06)
    camera = replace(sample_camera(rng), pose_radians=rng.normal(size=3) * (0.1, 0.14, 0.08))
    sample = maker.render(person, expression, camera, rng)
    return sample.rgba, sample.landmarks, oddness(person)


def render_rest(
    store: FaceStore, root: Path, sources: dict[str, Path], out: Path, identities: np.ndarray
) -> dict[str, np.ndarray]:
    """Pictures at rest of people of a set, (P, ...) arrays by name; rendered where not kept."""
    seed = int(json.loads((root / MANIFEST).read_text("utf-8"))["seed"])
    family = dict(zip(store.identity.tolist(), store.family.tolist(), strict=True))
    makers: dict[str, FaceMaker] = {}
    parts = []
    for start in range(0, len(identities), CHUNK):
        chosen = identities[start : start + CHUNK].tolist()
        path = out / "rest" / f"{seed}-{chosen[0]}-{chosen[-1]}-{len(chosen)}.npz"
        if not path.exists():
            rows = []
            for identity in chosen:
                name = family[identity] or "ict"  # sets made before there was another
                if name not in makers:
                    makers[name] = FaceMaker(Renderer(FaceMesh(load_family(name, sources[name]))))
                rows.append(at_rest(makers[name], seed, identity))
            rgba, landmarks, odd = (np.stack(column) for column in zip(*rows, strict=True))
            path.parent.mkdir(parents=True, exist_ok=True)
            with write_whole(path) as stream:
                np.savez_compressed(stream, rgba=rgba, landmarks=landmarks, odd=odd)
            print(f"rendered {start + len(chosen)} of {len(identities)} people", flush=True)
        with np.load(path) as kept:
            parts.append({name: kept[name] for name in kept})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def collect(
    shards: Path, more: list[Path], sources: dict[str, Path], out: Path, limit: int | None = None
) -> Faces:
    """People held out in ``shards`` and all of ``more``, at most so many, in a random order that is
    always the same. sources: of the families. out: where pictures at rest are kept."""
    sets = [(shards, "test"), *((root, "all") for root in more)]
    people, landmarks, sides, odd, light = [], [], [], [], []
    for root, split in sets:
        store = FaceStore(root, split)
        who, count = np.unique(store.identity, return_counts=True)
        who = who[count == FACES_PER_PERSON]
        who = who[: limit and limit - len(people)]
        if not len(who):
            continue
        rest = render_rest(store, root, sources, out, who)
        rows = np.stack([np.flatnonzero(store.identity == identity) for identity in who])
        for pair, picture in zip(rows, rest["rgba"], strict=True):
            drawn = [lambda store=store, row=row: store.face(row) for row in pair.tolist()]
            people.append([*drawn, lambda picture=picture: picture])
        landmarks.append(np.concatenate([store.landmarks[rows], rest["landmarks"][:, None]], 1))
        sides.append(np.pad(store.sides[rows], ((0, 0), (0, 1), (0, 0), (0, 0))))
        family = store.family[rows[:, 0]]
        strange = rest["odd"][:, :3]
        limits = {f: np.quantile(strange[family == f], 1 - ODD_SHARE, axis=0) for f in {*family}}
        strange = strange > np.stack([limits[f] for f in family])
        odd.append(np.column_stack([strange, rest["odd"][:, 3] >= BEARD]))
        light.append(has_same_light(who))
    order = np.random.default_rng(SEED).permutation(len(people))
    return Faces(
        [picture for p in order for picture in people[p]],
        np.concatenate(landmarks)[order].reshape(-1, 68, 2),
        np.concatenate(sides)[order].reshape(3 * len(order), -1, 2),
        np.concatenate(odd)[order],
        np.concatenate(light)[order],
    )
