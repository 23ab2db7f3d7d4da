"""Random people: face, skin, hair, glasses, light. What they look like never tells their AUs."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aucli.synth.facs import Expression

IDENTITY_COUNT = 100
# The brows on the map of ``masks``: distance of their middle from the face's, and half a length.
BROW_MIDDLE, BROW_REACH = 0.15, 0.11
# How much people differ at rest, in weights of face shapes.
REST_SPREAD = {
    "browInnerUp": 0.14, "browOuterUp": 0.12, "browDown": 0.12, "eyeWide": 0.16, "eyeSquint": 0.18,
    "mouthSmile": 0.08, "mouthFrown": 0.13, "mouthUpperUp": 0.06, "noseSneer": 0.07,
    "cheekSquint": 0.10, "mouthPress": 0.08, "mouthDimple": 0.11, "mouthShrugLower": 0.10,
    "mouthStretch": 0.06, "cheekPuff": 0.07,
}  # fmt: skip
STUBBLE_UP_TO = 0.5  # opacity of a beard
AGES = ("baby", "child", "adult", "old")


def _srgb(*channels: int) -> np.ndarray:
    return (np.array(channels) / 255) ** 2.2


# From pale to dark; linear light.
SKIN = [_srgb(*c) for c in ((255, 224, 205), (244, 208, 177), (231, 190, 160), (222, 171, 127),
                            (206, 150, 112), (180, 125, 90), (150, 98, 68), (120, 76, 52),
                            (92, 58, 42), (70, 44, 34))]  # fmt: skip
HAIR = [_srgb(*c) for c in ((18, 15, 13), (35, 25, 20), (59, 42, 30), (90, 62, 40), (130, 94, 60),
                            (180, 145, 95), (215, 185, 130), (150, 75, 40), (150, 148, 145),
                            (215, 212, 208))]  # fmt: skip
IRIS = [_srgb(*c) for c in ((60, 38, 22), (85, 55, 30), (45, 30, 20), (110, 90, 50), (95, 115, 85),
                            (90, 125, 150), (120, 140, 155))]  # fmt: skip


@dataclass(slots=True, eq=False)
class Person:
    """One person in one light.

    identity: (100,) numbers about 0 that a family makes the face's shape of. uniforms: shader
    inputs by name. hair_shells: heights of the hair layers above the scalp, outermost last.
    beard_length: of hair beyond stubble, model units. teeth: (3,) how much higher the upper row
    is, how much farther forward both are, how much higher the lower row is, model units.
    wrinkling: 0-1, how much expressions crease the skin. resting_folds: (8,) strength of each fold
    without an expression. resting_shapes: weights of face shapes at rest, such as high brows. age:
    one of AGES.
    """

    identity: np.ndarray
    uniforms: dict[str, Any]
    hair_shells: tuple[float, ...] = ()
    beard_length: float = 0.0
    long_hair: bool = False
    glasses: bool = False
    wrinkling: float = 0.0
    resting_folds: np.ndarray = field(default_factory=lambda: np.zeros(8))
    resting_shapes: dict[str, float] = field(default_factory=dict)
    teeth: np.ndarray = field(default_factory=lambda: np.zeros(3))
    age: str = "adult"

    @property
    def bearded(self) -> bool:
        """Whether hair covers a part of the face about the mouth; stubble does not."""
        return bool(self.uniforms["beard"][0] >= STUBBLE_UP_TO)

    def brow_rise(self, u: np.ndarray) -> np.ndarray:
        """How much higher the brow is drawn at ``u`` of the map than on the mean face, in v."""
        away = np.abs(u - 0.5) - BROW_MIDDLE
        tilt, arch = self.uniforms["brow_form"][:2]
        return self.uniforms["brow"][0] + tilt * away + arch * (1 - (away / BROW_REACH) ** 2)

    def fold_uniforms(self, expression: Expression) -> dict[str, np.ndarray]:
        """Strength of each fold for an expression: resting folds plus what the AUs crease."""
        level = {au: expression[au] / 5 for au in
                 ("AU01", "AU02", "AU04", "AU06", "AU09", "AU10", "AU12", "AU14", "AU15", "AU17",
                  "AU20")}  # fmt: skip
        brows = min(level["AU01"], level["AU02"])
        made = np.array(
            [
                0.9 * brows + 0.6 * level["AU02"],
                level["AU04"],
                level["AU06"] + 0.3 * level["AU12"],
                level["AU09"],
                0.7 * level["AU12"] + 0.6 * level["AU10"] + 0.4 * level["AU09"],
                level["AU17"],
                max(0.9 * level["AU14"], 0.6 * level["AU15"], 0.4 * level["AU20"]),
                level["AU01"] * (1 - 0.3 * level["AU02"]),
            ]
        )
        folds = np.clip(self.resting_folds + self.wrinkling * made, 0, 1.3)
        return {"folds_upper": folds[:4], "folds_lower": folds[4:]}


def _between(rng: np.random.Generator, palette: list[np.ndarray]) -> np.ndarray:
    i = rng.integers(len(palette))
    j = min(i + 1, len(palette) - 1)
    t = rng.random()
    return palette[i] * (1 - t) + palette[j] * t


def sample_person(rng: np.random.Generator, feminine: bool | None = None) -> Person:
    """A person drawn from wide priors; every number below is a range that was looked at.

    feminine: who wears no beard and more make-up; drawn where it is None.
    """
    u = rng.random
    identity = np.clip(rng.normal(size=IDENTITY_COUNT), -2.6, 2.6).astype(np.float32)
    drawn = u() < 0.5
    feminine = drawn if feminine is None else feminine
    skin = _between(rng, SKIN[:6] if u() < 0.66 else SKIN)
    skin = skin * rng.uniform(0.85, 1.1) * (1 + 0.05 * rng.normal(size=3))
    dark = skin.mean() < 0.2
    hair = _between(rng, HAIR[:4] if (dark and u() < 0.9) or u() < 0.55 else HAIR)
    hat = u() < 0.07

    if u() < 0.75:
        lip_colour = skin * (0.95, 0.55, 0.55) * rng.uniform(0.75, 1.15)
    else:  # painted, or by nature another colour than the skin
        lip_colour = np.array([rng.uniform(0.15, 0.7), rng.uniform(0.06, 0.16),
                               rng.uniform(0.08, 0.23)])  # fmt: skip
        if not feminine:
            lip_colour = 0.25 * lip_colour + 0.75 * skin * (0.95, 0.6, 0.58)
    beard, beard_length = _beard(rng, hair, feminine)
    # Thin, faint and absent brows force the net to read the skin around them too.
    brow_opacity = np.clip(0.75 + 0.3 * rng.normal(), 0.12, 1) if u() < 0.9 else 0.12 * u()
    uniforms: dict[str, Any] = {
        "skin": skin,
        "lip_colour": lip_colour,
        "hair_colour": hair,
        "brow_colour": hair * rng.uniform(0.4, 0.9),
        "cloth_colour": rng.random(3) ** 2 * rng.uniform(0.1, 1.0),
        "iris_colour": _between(rng, IRIS),
        "sclera_colour": _srgb(235, 230, 225) * rng.uniform(0.75, 1.05)
        * (1 - np.array([0, 1, 1]) * 0.12 * u()),
        "blush_colour": np.array([1.0, 0.72, 0.70]),
        "shadow_colour": rng.random(3) * 0.4,
        "tooth_colour": _srgb(240, *rng.uniform((222, 190), (238, 234))) * rng.uniform(0.65, 1.15),
        "gum_colour": np.array([0.55, 0.2, 0.2]) * rng.uniform(0.6, 1.2),
        "glasses_colour": rng.random(3) ** 3 * 0.4 if u() < 0.7 else _srgb(190, 160, 100),
        "lips": np.array([rng.uniform(0.5, 1) if feminine else rng.uniform(0.25, 0.9),
                          rng.uniform(0.12, 0.32), 0.3 * u() * feminine]),
        "brow": np.array([rng.normal() * 0.009, 0.44 + 0.12 * rng.normal(),
                          rng.uniform(0.08, 0.26), brow_opacity]),
        "brow_form": np.array([rng.normal() * 0.055, rng.normal() * 0.005,
                               rng.uniform(0.08, 0.3), rng.uniform(0.4, 1.0)]),
        "makeup": np.array([u() * 0.9, (u() < 0.25 * feminine) * u() * 0.8, 0.45 * u(),
                            0.5 * u() if feminine and u() < 0.6 else 0.2 * u()]),
        "blotches": np.array([rng.uniform(0.02, 0.1), rng.uniform(0.01, 0.07),
                              0.005 + 0.06 * u() ** 2, (u() < 0.3) * u() * 0.7]),
        "seed": rng.random(4),
        "pores": 0.02 + 0.1 * u() ** 2,
        "pupil": rng.uniform(0.17, 0.34),
        "cloth_height": -11.0 - 4 * u(),
        "hat": float(hat),
        "gloss": np.array([0.03 + 0.32 * u() ** 1.5, rng.uniform(8, 38), rng.uniform(0.1, 0.45),
                           rng.uniform(0.5, 1.0)]),
    }  # fmt: skip

    uniforms.update(beard)
    front = rng.normal(9.3, 1.0) if u() < 0.8 else rng.normal(6.6, 0.7)  # the rest are fringes
    fringe = front < 7.6
    parted = not fringe and u() < (0.6 if feminine else 0.25)
    uniforms["hair_shape"] = np.array([
        0.3 * u() if fringe else rng.uniform(0.2, 1.6), rng.normal() * (1.5 if parted else 0.2),
        rng.uniform(1.5, 5.0) if parted else rng.normal() * 0.4, rng.uniform(0.05, 1.2),
    ])  # fmt: skip
    nape = rng.uniform(-3, 2) if u() < 0.7 else -14.0
    uniforms["hairline"] = np.array([front, nape, rng.uniform(0.25, 0.85), rng.uniform(-0.5, 5.5)])
    uniforms["hair_form"] = np.array([rng.uniform(3, 4.5), rng.uniform(2, 10),
                                      (u() < 0.5) * u(), rng.uniform(0.5, 3)])  # fmt: skip
    shells: tuple[float, ...] = ()
    if hat:
        uniforms["hairline"] = np.array([rng.normal(8.2, 0.6), rng.uniform(5, 7), 0.05, 6.0])
        shells = (0.8,)
    elif u() < (0.97 if feminine else 0.86):
        thickness = rng.uniform(0.25, 1.45)
        shells = (thickness * 0.5, thickness) if thickness > 0.6 else (thickness,)

    # A third of the people hardly crease, so that the net must read the shape and not a drawn line;
    # folds at rest, which look like AU06, 9, 14 or 17 and are not, belong to neutral faces too.
    wrinkling = 0.0 if u() < 0.35 else rng.uniform(0.2, 1.4)
    # Most of all in old faces, whose hair may be grey.
    at_rest = rng.beta(1.0, 2.2, 8) * (rng.random(8) < 0.55)
    old = u() < 0.2
    if old:
        at_rest = np.maximum(at_rest, rng.beta(1.6, 1.6, 8) * (rng.random(8) < 0.85))
        wrinkling = max(wrinkling, rng.uniform(0.3, 1.4))
        if u() < 0.6:
            grey = _between(rng, HAIR[-2:])
            for name in ("hair_colour", "brow_colour", "beard_colour"):
                uniforms[name] = uniforms[name] + u() * (grey - uniforms[name])
    at_rest *= (
        (0.7, 0.6, 0.8, 0.45, 1.0, 0.5, 0.8, 0.5)
        if old
        else (0.5, 0.45, 0.55, 0.4, 1.0, 0.5, 0.8, 0.4)
    )
    uniforms["fold_look"] = np.array(
        [rng.uniform(0.08, 0.45), rng.uniform(0.0, 0.12), rng.uniform(0.0, 2.2), 0.0]
    )
    uniforms["fold_shift"] = rng.normal(size=2) * 0.008
    uniforms.update(sample_light(rng, skin))
    return Person(
        identity=identity,
        uniforms=uniforms,
        hair_shells=shells,
        beard_length=beard_length,
        teeth=rng.normal(size=3) * (0.18, 0.12, 0.12),
        long_hair=feminine and bool(shells) and not hat and u() < 0.75,
        glasses=u() < 0.22,
        wrinkling=wrinkling,
        resting_folds=at_rest,
        resting_shapes=_at_rest(rng),
    )


def _beard(
    rng: np.random.Generator, hair: np.ndarray, feminine: bool
) -> tuple[dict[str, Any], float]:
    """Shader inputs of the beard, and its length: none, stubble, a moustache, a goatee, or full.

    hair: (3,) linear colour of the head's. Expressions never depend on it.
    """
    u = rng.random
    draw = 1.0 if feminine else u()
    colour = hair * rng.uniform(0.55, 1.15)
    if u() < 0.2:
        colour = _between(rng, HAIR)
    grey = rng.uniform(0.3, 0.75) if u() < 0.3 else 0.0
    opacity, length, width, moustache = 0.0, 0.0, 0.5, 1.0
    if draw < 0.2:  # stubble
        opacity = rng.uniform(0.08, STUBBLE_UP_TO)
    elif draw < 0.52:
        opacity = rng.uniform(STUBBLE_UP_TO, 1.0)
        # From a close crop to a full beard; half of the long ones are short.
        length = rng.uniform(0.12, 1.0) ** (1.0 if u() < 0.5 else 2.0)
        moustache = float(u() < 0.93)
        if draw < 0.28:
            width, length, moustache = -1.0, min(length, 0.35), 1.0
        elif draw < 0.36:
            width = rng.uniform(0.06, 0.14)
    uniforms = {
        "beard": np.array([opacity, rng.uniform(4, 14), rng.uniform(0.3, 0.6), grey]),
        "beard_form": np.array([width, moustache, rng.uniform(0.46, 0.6), rng.uniform(0, 0.03)]),
        "beard_colour": colour,
        "beard_drop": rng.uniform(0.2, 1.3),
    }  # fmt: skip
    return uniforms, length


def _at_rest(rng: np.random.Generator) -> dict[str, float]:
    """Brows high, low or oblique, heavy or wide lids, corners of the mouth up or down, all life
    long: none of it is an AU."""
    amount = 1.0 if rng.random() < 0.7 else 1.8
    rest = {name: rng.normal() * spread * amount for name, spread in REST_SPREAD.items()}
    height = rng.normal() * 0.16 * amount
    rest["browInnerUp"] += height
    rest["browOuterUp"] += height
    if rng.random() < 0.35:
        rest["browDown"] += 0.45 * rng.random()
    if rng.random() < 0.35:
        rest["eyeBlink"] = 0.3 * rng.random()
    return rest


def sample_light(rng: np.random.Generator, skin: np.ndarray) -> dict[str, Any]:
    """A key light with a shadow, a fill light, and sky and ground.

    skin: (3,) linear colour. Cameras expose for faces, so dark skin is taken with more light.
    """

    def direction(azimuth_spread: float, elevation_spread: float) -> np.ndarray:
        azimuth = rng.normal() * azimuth_spread
        elevation = np.clip(0.55 + rng.normal() * elevation_spread, -0.5, 1.3)
        flat = np.cos(elevation)
        return np.array([np.sin(azimuth) * flat, np.sin(elevation), np.cos(azimuth) * flat])

    def tint(spread: float) -> np.ndarray:
        return np.clip([1 + spread * rng.normal(), 1, 1 + spread * rng.normal()], 0.6, 1.5)

    exposure = max(1.0, (0.3 / skin.mean()) ** 0.4)
    key = rng.uniform(0.35, 1.15)
    ambient = exposure * rng.uniform(0.25, 0.85) * (1.35 - key * 0.5)
    key *= exposure
    light = {
        "key_direction": direction(0.8, 0.4),
        "key_colour": tint(0.08) * key * 1.15,
        "fill_direction": direction(1.6, 0.6),
        "fill_colour": tint(0.15) * rng.uniform(0, 0.5),
        "sky_colour": tint(0.08) * ambient,
        "ground_colour": tint(0.1) * ambient * rng.uniform(0.35, 0.85),
        "shadow": (rng.random() < 0.75) * rng.uniform(0.35, 0.95),
    }
    kind = rng.random()
    if kind < 0.12:  # hard, from a side or from above, most of the face in the dark
        azimuth, elevation = rng.choice([-1, 1]) * rng.uniform(0.7, 1.6), rng.uniform(-0.1, 1.2)
        flat = np.cos(elevation)
        light["key_direction"] = np.array(
            [np.sin(azimuth) * flat, np.sin(elevation), np.cos(azimuth) * flat]
        )
        light["key_colour"] = tint(0.15) * exposure * rng.uniform(1.1, 2.4)
        dim = rng.uniform(0.12, 0.5)
        for name in ("sky_colour", "ground_colour", "fill_colour"):
            light[name] = light[name] * dim
        light["shadow"] = rng.uniform(0.85, 1.0)
    elif kind < 0.2:  # from behind: a bright edge, the face lit by what is around it
        azimuth = rng.choice([-1, 1]) * rng.uniform(1.8, 2.8)
        light["fill_direction"] = np.array([np.sin(azimuth), rng.uniform(0, 0.8), np.cos(azimuth)])
        light["fill_colour"] = tint(0.15) * exposure * rng.uniform(1.0, 3.0)
        light["key_colour"] = light["key_colour"] * rng.uniform(0.1, 0.6)
    elif kind < 0.3:  # a flash, or the sun: blown highlights
        light["key_direction"] = direction(0.35, 0.3)
        light["key_colour"] = tint(0.06) * exposure * rng.uniform(1.3, 2.2)
    elif kind < 0.36:  # coloured lamps
        light["key_colour"] = light["key_colour"] * rng.uniform(0.4, 1.4, 3)
        light["fill_colour"] = rng.uniform(0, 1.2, 3) * exposure
    return light
