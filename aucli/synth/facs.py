"""FACS to face shapes: which shapes draw which Action Unit, and natural mixtures.

``SHAPES`` is the table of ICT-FaceKit; other families bring their own. Weights are those at
intensity 5 and scale linearly below it. They were judged by eye, one AU at a time, on contact
sheets; the model's authors name AU10 and AU11 differently, but what raises the upper lip here is
``mouthUpperUp``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from aucli.aus import SYNTHETIC_AUS

# Shapes without sides in the model (pucker, funnel, rolls, jaw) take the mean of both sides.
SHAPES = {
    "AU01": {"browInnerUp": 2.2},
    "AU02": {"browOuterUp": 1.6},
    "AU04": {"browLower": 2.3, "browKnit": 1.6},
    "AU05": {"eyeWide": 1.7},
    "AU06": {"cheekSquint": 1.1, "cheekRaiser": 0.6, "eyeSquint": 0.35},
    "AU07": {"eyeSquint": 1.8, "eyeBlink": 0.25},
    "AU09": {"noseSneer": 1.0},
    "AU10": {"mouthUpperUp": 1.0},
    "AU12": {"mouthSmile": 1.0},
    "AU14": {"mouthDimple": 1.6},
    "AU15": {"mouthFrown": 1.7},
    "AU17": {"mouthShrugLower": 1.2, "mouthShrugUpper": 0.35},
    "AU18": {"mouthPucker": 1.5},
    "AU20": {"mouthStretch": 1.25},
    "AU22": {"mouthFunnel": 1.0},
    "AU24": {"mouthPress": 1.8, "mouthRollLower": 0.25, "mouthRollUpper": 0.25},
    "AU26": {"jawOpen": 0.75},
    "AU28": {"mouthRollLower": 1.0, "mouthRollUpper": 0.7},
    "AU45": {"eyeBlink": 1.0},
}
# In AU01 + AU04 (worry, grief) the inner brow rises all the same: the raiser wins there, and the
# lowerer draws the brows together. Adding both shapes whole would cancel them.
LOWERER_YIELDS = 0.85
LOOK = 0.5  # radians that the looking shapes of the lids belong to at weight 1
INDEX = {name: i for i, name in enumerate(SYNTHETIC_AUS)}

# No two pictures of a face at rest are alike; what a person looks like at rest is wider
# (``people.REST_SPREAD``).
TONIC_SPREAD = {
    "browInnerUp": 0.08, "browOuterUp": 0.08, "browDown": 0.07, "eyeWide": 0.08, "eyeSquint": 0.08,
    "mouthSmile": 0.06, "mouthFrown": 0.06, "mouthUpperUp": 0.06, "noseSneer": 0.04,
    "cheekSquint": 0.06, "mouthPress": 0.06, "mouthDimple": 0.06, "mouthShrugLower": 0.06,
    "mouthStretch": 0.05, "cheekPuff": 0.05,
}  # fmt: skip
# Lids meet at eyeBlink 1, whatever they are like at rest; more would push one through the other.
# Tight lids that are shut have less way to go.
SQUINT_OF_SHUT_EYES = 0.7

# Inner lip gap, in model units, at which lips count as parted and at which AU25 reaches 5.
LIP_GAP_CLOSED = 0.15
LIP_GAP_FULL = 1.65
# mouthClose that shuts the lips which mouthFunnel opens.
LIPS_SHUT_IN_FUNNEL = 0.35

Shapes = Mapping[str, Mapping[str, float]]


@dataclass(slots=True, eq=False)
class Expression:
    """intensities: (A, 2) float 0-5 in the order of SYNTHETIC_AUS, sides L and R.

    shapes: weights of single shapes that belong to no AU (tonic offsets, jaw shifts).
    gaze_radians: (2,) where the eyes look, to the person's left and up, against the head.
    vergence_radians: by how much the eyes' directions meet; each eye turns inwards by half of it.
    """

    intensities: np.ndarray
    shapes: dict[str, float]
    gaze_radians: np.ndarray
    vergence_radians: float = 0.0

    def __getitem__(self, au: str) -> float:
        """Mean intensity of both sides, 0-5."""
        return float(self.intensities[INDEX[au]].mean())


def neutral_expression() -> Expression:
    return Expression(np.zeros((len(SYNTHETIC_AUS), 2)), {}, np.zeros(2))


def shape_weights(
    expression: Expression,
    names: tuple[str, ...],
    resting_shapes: dict[str, float] | None = None,
    table: Shapes = SHAPES,
) -> np.ndarray:
    """Blend weights (E,) float32 for the model's expression shapes, on top of those at rest."""
    index = {name: i for i, name in enumerate(names)}
    weights = np.zeros(len(names), np.float32)

    def add(shape: str, left: float, right: float) -> None:
        if shape in index:
            weights[index[shape]] += (left + right) / 2
        else:
            weights[index[shape + "_L"]] += left
            weights[index[shape + "_R"]] += right

    for au, shapes in table.items():
        level = expression.intensities[INDEX[au]] / 5  # (2,)
        for shape, weight in shapes.items() if level.any() else ():
            share = 1.0
            if shape == "browLower":
                share = 1 - LOWERER_YIELDS * expression.intensities[INDEX["AU01"]] / 5
            left, right = weight * level * share
            add(shape, left, right)
    for shapes in (expression.shapes, resting_shapes or {}, _lids(expression.gaze_radians)):
        for shape, weight in shapes.items():
            add(shape, weight, weight)
    for side in "LR":
        blink, wide, squint = (index.get(f"eye{s}_{side}") for s in ("Blink", "Wide", "Squint"))
        if blink is None or wide is None or squint is None:
            continue
        weights[blink] = np.clip(weights[blink], -0.2, 1)
        open_share = 1 - max(weights[blink], 0)
        weights[wide] *= open_share
        kept = SQUINT_OF_SHUT_EYES if weights[squint] > 0 else 0.0
        weights[squint] *= open_share + (1 - open_share) * kept
    return weights


def _lids(gaze_radians: np.ndarray) -> dict[str, float]:
    """Weights of the looking shapes, by which the lids follow the eyes."""
    if not gaze_radians.any():
        return {}
    left, up = gaze_radians / LOOK
    return {
        "eyeLookOut_L" if left > 0 else "eyeLookIn_L": abs(left),
        "eyeLookIn_R" if left > 0 else "eyeLookOut_R": abs(left),
        "eyeLookUp" if up > 0 else "eyeLookDown": abs(up),
    }


def lips_part(gap: float, press: float) -> float:
    """AU25 intensity 0-5 from the mean inner lip gap (model units); pressing closes the lips."""
    opening = (gap - 0.1 * press - LIP_GAP_CLOSED) / (LIP_GAP_FULL - LIP_GAP_CLOSED)
    return float(5 * np.clip(opening, 0, 1))


# Mixtures seen in life: AU -> probability, and relative strength.
PROTOTYPES: tuple[tuple[float, dict[str, tuple[float, float]]], ...] = (
    # broad smile
    (4.0, {"AU12": (1, 1), "AU06": (0.85, 0.95), "AU07": (0.3, 0.6), "AU26": (0.3, 0.5)}),
    # closed, social smile
    (0.9, {"AU12": (1, 0.7), "AU06": (0.3, 0.5), "AU14": (0.25, 0.5)}),
    # surprise
    (1.1, {"AU01": (0.95, 1), "AU02": (0.95, 1), "AU05": (0.7, 1), "AU26": (0.7, 1)}),
    # raised brows alone, worry
    (1.2, {"AU01": (0.95, 1), "AU02": (0.5, 0.9), "AU04": (0.4, 0.7)}),
    # sadness
    (1.0, {"AU01": (0.9, 1), "AU04": (0.8, 0.8), "AU15": (0.8, 1), "AU17": (0.6, 0.9)}),
    # anger
    (1.1, {"AU04": (1, 1), "AU05": (0.3, 0.8), "AU07": (0.6, 1), "AU17": (0.3, 0.7),
           "AU24": (0.5, 1)}),
    # disgust
    (1.0, {"AU09": (0.85, 1), "AU10": (0.7, 1), "AU04": (0.6, 0.8), "AU17": (0.3, 0.7),
           "AU06": (0.3, 0.6), "AU07": (0.4, 0.8)}),
    # fear
    (0.9, {"AU01": (0.9, 1), "AU02": (0.8, 1), "AU04": (0.7, 0.8), "AU05": (0.7, 1),
           "AU20": (0.8, 1), "AU26": (0.5, 0.8)}),
    # crying
    (0.9, {"AU04": (0.9, 1), "AU01": (0.6, 0.8), "AU06": (0.4, 0.6), "AU07": (0.7, 1),
           "AU20": (0.7, 1), "AU10": (0.4, 0.6), "AU15": (0.4, 0.8), "AU17": (0.5, 0.8),
           "AU26": (0.3, 0.5)}),
    # speech
    (1.3, {"AU26": (0.8, 0.6), "AU18": (0.3, 0.7), "AU22": (0.3, 0.8), "AU12": (0.2, 0.5),
           "AU20": (0.15, 0.5), "AU24": (0.1, 0.6)}),
    # contempt, doubt
    (0.8, {"AU14": (0.8, 1), "AU12": (0.3, 0.5), "AU17": (0.3, 0.8), "AU24": (0.3, 0.8),
           "AU15": (0.3, 0.7)}),
    # lips sucked or pressed
    (0.7, {"AU28": (0.7, 1), "AU24": (0.5, 1), "AU17": (0.3, 0.6)}),
    # lips pushed forward: a kiss, a pout, doubt
    (0.8, {"AU18": (0.8, 1), "AU22": (0.35, 0.8), "AU17": (0.4, 0.7), "AU04": (0.2, 0.6)}),
    # eyes squeezed or screwed up: glare, pain, sneezing, laughing tears
    (1.0, {"AU07": (0.9, 1), "AU06": (0.7, 0.9), "AU04": (0.7, 0.9), "AU09": (0.4, 0.8),
           "AU10": (0.25, 0.6), "AU12": (0.3, 0.9), "AU20": (0.2, 0.7), "AU45": (0.5, 1)}),
    # a slight worry: the inner brows oblique, hardly more
    (0.6, {"AU01": (1, 0.45), "AU04": (0.85, 0.4), "AU15": (0.2, 0.4), "AU26": (0.2, 0.4)}),
)  # fmt: skip
WINKS = 0.25  # of shut eyes: one alone
FREE_AUS = tuple(au for au in SYNTHETIC_AUS if au not in ("AU25", "AU45"))


def sample_expression(rng: np.random.Generator) -> Expression:
    """A random expression: neutral (14 %), free mixtures (36 %) or one seen in life (50 %)."""
    strength = {au: 0.0 for au in SYNTHETIC_AUS}
    kind = rng.random()
    if kind < 0.14:
        pass
    elif kind < 0.5:
        count = rng.choice([1, 2, 3, 4, 5], p=[0.28, 0.27, 0.23, 0.14, 0.08])
        for au in rng.choice(FREE_AUS, count, replace=False):
            strength[au] = rng.beta(1.1, 1.1)
    else:
        share = np.array([weight for weight, _ in PROTOTYPES])
        chosen = PROTOTYPES[rng.choice(len(PROTOTYPES), p=share / share.sum())][1]
        overall = min(1.0, rng.beta(1.4, 1.2) * 1.1)
        for au, (probability, relative) in chosen.items():
            if rng.random() < probability:
                strength[au] = np.clip(overall * relative * rng.uniform(0.6, 1.2), 0, 1)
    for au in FREE_AUS:
        if rng.random() < 0.08:
            strength[au] = max(strength[au], 0.15 * rng.random())
    if max(strength["AU24"], strength["AU28"]) > 0.2:
        strength["AU26"] *= 0.2
    if rng.random() < 0.2 or strength["AU45"] > 0.3:
        strength["AU45"] = 1.0 if rng.random() < 0.6 else rng.random()
        if strength["AU45"] > 0.5 and rng.random() < 0.25:  # squeezed, not just shut
            for au in ("AU04", "AU06", "AU07", "AU09"):
                if rng.random() < 0.55:
                    strength[au] = max(strength[au], rng.beta(1.3, 1.3))
    # Shut eyes have no raised lids, but may be tightened; raised lids are not half closed.
    if strength["AU45"] > 0.5:
        strength["AU05"] = 0.0
    elif strength["AU05"] > 0.1:
        strength["AU45"] = 0.0

    intensities = np.zeros((len(SYNTHETIC_AUS), 2))
    for au, value in strength.items():
        if value > 0:
            spread = 0.10 if rng.random() < 0.85 else 0.5
            tilt = 0.0 if au == "AU45" else np.clip(rng.normal() * spread, -0.9, 0.9)
            intensities[INDEX[au]] = np.clip(5 * value * np.array([1 + tilt, 1 - tilt]), 0, 5)
    if strength["AU45"] > 0.5 and rng.random() < WINKS:
        _wink(rng, intensities)
    # Shapes without sides in the model cannot differ from left to right, nor can their labels.
    for au in ("AU18", "AU22", "AU26", "AU28"):
        intensities[INDEX[au]] = intensities[INDEX[au]].mean()
    shapes, gaze = _unlabelled(rng, strength)
    return Expression(intensities, shapes, gaze)


def _wink(rng: np.random.Generator, intensities: np.ndarray) -> None:
    """Open one of two shut eyes, in place, and most of what squeezes it; the cheek or the corner of
    the mouth may help the other one."""
    opened = int(rng.integers(2))
    shut = 1 - opened
    intensities[INDEX["AU45"], opened] = 0
    for au in ("AU06", "AU07", "AU09"):
        intensities[INDEX[au], opened] *= rng.random()
    for au in ("AU06", "AU07", "AU12"):
        if rng.random() < 0.3:
            intensities[INDEX[au], shut] = max(intensities[INDEX[au], shut], 4 * rng.random())


def _smile(rng: np.random.Generator, smile: float, shapes: dict[str, float]) -> None:
    """How this smile is smiled: no AU of its own tells a wide grin from a narrow one."""
    shapes["cheekSquint"] += 0.15 * smile
    shapes["mouthStretch"] += smile * rng.uniform(-0.05, 0.3)
    shapes["mouthSmile"] += smile * rng.normal() * 0.06
    kind = rng.random()
    if kind < 0.25:
        return  # lips shut, unless the jaw opens them
    # Upper teeth alone, or both rows; the smile itself lifts the upper lip, and the lips thin.
    opening = rng.uniform(0.25, 1.0) * smile
    shapes["mouthUpperUp"] += rng.uniform(0.4, 1.2) * opening
    if kind > 0.55:
        shapes["mouthLowerDown"] = rng.uniform(0.2, 1.2) * opening
    thin = rng.random() * smile
    shapes["mouthRollUpper"] = 0.22 * thin
    shapes["mouthRollLower"] = 0.25 * thin * rng.random()


def _unlabelled(
    rng: np.random.Generator, strength: dict[str, float]
) -> tuple[dict[str, float], np.ndarray]:
    shapes = {name: rng.normal() * spread for name, spread in TONIC_SPREAD.items()}
    smile = strength["AU12"]
    if smile > 0.3:
        _smile(rng, smile, shapes)
    elif rng.random() < 0.15:
        shapes["mouthLowerDown"] = 0.7 * rng.random() ** 2
    # Lips pushed forward may be parted, shut, or drawn back from shut teeth.
    if max(strength["AU22"], strength["AU18"]) > 0.15 and strength["AU26"] < 0.1:
        draw = rng.random()
        if draw < 0.45:
            shapes["mouthClose"] = rng.uniform(0.6, 1.05) * LIPS_SHUT_IN_FUNNEL * strength["AU22"]
        elif draw < 0.65:
            shapes["mouthLowerDown"] = shapes.get("mouthLowerDown", 0) + 0.5 * rng.random()
            shapes["mouthUpperUp"] += 0.4 * rng.random()
    if strength["AU26"] < 0.05 and rng.random() < 0.2:
        shapes["jawOpen"] = 0.06 * rng.random()
    if strength["AU45"] == 0 and rng.random() < 0.45:
        # Heavy lids are not a blink, and not raised.
        shapes["eyeBlink"] = 0.25 * rng.random() * max(0.0, 1 - 5 * strength["AU05"])
    gaze = rng.normal(size=2) * (0.2, 0.13)
    if rng.random() < 0.15:
        gaze[1] = -rng.uniform(0.15, 0.55)  # eyes cast down
    for pair in (("mouthLeft", "mouthRight"), ("jawLeft", "jawRight")):
        if rng.random() < 0.08:
            shapes[pair[rng.integers(2)]] = 0.5 * rng.random()
    if rng.random() < 0.05:
        shapes["cheekPuff"] = rng.random()
    if rng.random() < 0.15:
        shapes["jawForward"] = 0.5 * rng.random()
    return shapes, gaze
