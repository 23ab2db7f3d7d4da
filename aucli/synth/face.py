"""One labelled face: expression, person and camera to pixels and labels."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from aucli.aus import SYNTHETIC_AUS
from aucli.synth.facs import (
    INDEX,
    Expression,
    lips_part,
    sample_expression,
    shape_weights,
)
from aucli.synth.families import BROW_TO_CHIN, GUMS, HEAD_CENTRE, TEETH, turn_eyes
from aucli.synth.glasses import fit_glasses
from aucli.synth.people import Person, sample_light
from aucli.synth.renderer import Renderer

# A landmark counts as seen when no surface is more than this in front of it (model units).
VISIBLE_DEPTH = 0.6
INNER_LIPS_ABOVE, INNER_LIPS_BELOW = (61, 62, 63), (67, 66, 65)
MOUTH_OPEN_GAP = 0.03
# From the view's axes (y up, z towards the camera) to the camera's.
CAMERA_AXES = np.array([1, -1, -1])
# Eyes turn at most so far against the head (radians to a side, and up or down).
FARTHEST_GAZE = np.array([0.6, 0.45])
BETWEEN_PUPILS = 6.3
INCISORS_UNDER_LIP = 0.2
SMILE_CURVE = 0.35
LIP_THICKNESS = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """pose_radians: (pitch, yaw, roll); chin down, towards the person's left, and about the view.

    distance: camera to head, model units. scale: brow-to-chin height over the image's height.
    offset: (2,) of the head's centre, in image heights.
    """

    pose_radians: np.ndarray
    distance: float = 90.0
    scale: float = 0.52
    offset: tuple[float, float] = (0.0, -0.05)

    def view_from_model(self) -> np.ndarray:
        pitch, yaw, roll = self.pose_radians
        (cp, sp), (cy, sy), (cr, sr) = ((np.cos(a), np.sin(a)) for a in (pitch, yaw, roll))
        turn = (
            np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
            @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
            @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        )
        view = np.eye(4)
        view[:3, :3] = turn
        view[:3, 3] = -turn @ HEAD_CENTRE + (0, 0, -self.distance)
        return view

    def seen_from_head(self) -> np.ndarray:
        """(2,) radians to the person's left and up, in which the head sees the camera."""
        x, y, z = self.view_from_model()[2, :3]
        return np.array([np.arctan2(x, z), np.arcsin(np.clip(y, -1, 1))])

    def planes(self) -> tuple[float, float]:
        return max(3.0, self.distance - 25), self.distance + 45

    def clip_from_view(self) -> np.ndarray:
        near, far = self.planes()
        focal = self.scale * 2 * self.distance / BROW_TO_CHIN
        x, y = self.offset
        return np.array(
            [
                [focal, 0, -2 * x, 0],
                [0, focal, -2 * y, 0],
                [0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)],
                [0, 0, -1, 0],
            ]
        )


@dataclass(frozen=True, slots=True, eq=False)
class FaceSample:
    """rgba: (R, R, 4) uint8 premultiplied. landmarks: (68, 2) float32 px, centres at integers.

    visible: (68,) bool. intensities: (A, 2) float32 0-5 in the order of SYNTHETIC_AUS, L and R.
    pose_radians: (3,) of :class:`Camera`. gaze_radians: (2,) of :class:`Expression`.
    gaze: (2, 3) float32 unit vectors along which the eyes look, in the camera's axes: x right, y
    down, z away from the camera; the person's right eye first. family, age: of the person. beard,
    glasses: whether there are some.
    """

    rgba: np.ndarray
    landmarks: np.ndarray
    visible: np.ndarray
    intensities: np.ndarray
    pose_radians: np.ndarray
    gaze_radians: np.ndarray
    gaze: np.ndarray
    family: str
    age: str
    beard: bool
    glasses: bool


def sample_camera(rng: np.random.Generator) -> Camera:
    """Mostly near-frontal heads; a fifth turn anywhere up to full profile."""
    yaw = np.clip(rng.normal() * 0.33, -1.0, 1.0)
    if rng.random() < 0.2:
        yaw = rng.uniform(-1.5, 1.5)
    pitch = np.clip(rng.normal() * 0.22, -0.65, 0.65)
    return Camera(
        pose_radians=np.array([pitch, yaw, rng.normal() * 0.15]),
        distance=rng.uniform(35, 140),
        scale=rng.uniform(0.42, 0.62),
        offset=(rng.normal() * 0.05, rng.normal() * 0.05 - 0.05),
    )


class FaceMaker:
    """Renders faces with exact labels; the same seed gives the same face."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.model = renderer.mesh.model
        self.names = self.model.expression_names
        # The lower row hangs on the jaw, the upper one does not.
        inside = np.isin(self.model.part, (GUMS, TEETH))
        drop = np.abs(self.model.expressions[self.names.index("jawOpen")]).max(1)
        hanging = drop > 0.3 * max(drop[inside].max(initial=0), 1e-3)
        self._teeth = (np.flatnonzero(inside & ~hanging), np.flatnonzero(inside & hanging))
        at = self.model.vertices
        front = (self.model.part == TEETH) & ~hanging & (np.abs(at[:, 0]) < 1)
        self._incisors = np.flatnonzero(front & (at[:, 2] > at[front, 2].max(initial=0) - 1.5))
        # AU25 is measured on the mouth as the jaw and lips open it, before they roll inwards.
        self._rolls = [i for i, n in enumerate(self.names) if n.startswith("mouthRoll")]

    def sample(self, identity: int, rng: np.random.Generator) -> FaceSample:
        """A random face of one person: light, expression, camera and hair vary with ``rng``."""
        person = self.model.sample_person(np.random.default_rng((7, identity)))
        person.uniforms.update(sample_light(rng, person.uniforms["skin"]))
        expression, camera = sample_expression(rng), sample_camera(rng)
        if rng.random() < 0.4:  # people who turn their head often keep looking at the camera
            gaze = camera.seen_from_head() + 0.06 * rng.normal(size=2)
            expression.gaze_radians = np.clip(gaze, -FARTHEST_GAZE, FARTHEST_GAZE)
        expression.vergence_radians = BETWEEN_PUPILS / rng.uniform(35, 300)
        return self.render(person, expression, camera, rng)

    def render(
        self,
        person: Person,
        expression: Expression,
        camera: Camera,
        rng: np.random.Generator,
    ) -> FaceSample:
        model = self.model
        weights = shape_weights(expression, self.names, person.resting_shapes, model.shapes)
        vertices = model.posed(person, weights)
        looking = turn_eyes(model, vertices, expression.gaze_radians, expression.vergence_radians)
        self._set_teeth(vertices, weights, person)
        intensities = expression.intensities.astype(np.float32).copy()
        gap = self._lip_gap(vertices, weights)
        press = float(intensities[INDEX["AU24"]].mean() / 5)
        intensities[INDEX["AU25"]] = lips_part(gap, press)

        view, clip = camera.view_from_model(), camera.clip_from_view()
        glasses = fit_glasses(vertices[model.landmarks], rng) if person.glasses else None
        rgba, depth = self.renderer.draw(
            vertices,
            person,
            person.fold_uniforms(expression),
            view,
            clip,
            glasses,
            mouth_open=gap > MOUTH_OPEN_GAP,
        )
        mesh = self.renderer.mesh
        points = mesh.landmark_points(vertices, person.brow_rise(mesh.brow_uv[:, 0]))
        landmarks, eye_depth = self._project(points, view, clip)
        visible = self._visible(landmarks, eye_depth, depth, camera)
        self._outline_jaw(landmarks, visible, vertices, view, clip)
        if person.long_hair:
            rgba = _under(rgba, _hair_behind(person, landmarks, rgba.shape[0], rng))
        return FaceSample(
            rgba=rgba,
            landmarks=landmarks.astype(np.float32),
            visible=visible,
            intensities=intensities,
            pose_radians=camera.pose_radians.astype(np.float32),
            gaze_radians=expression.gaze_radians.astype(np.float32),
            gaze=(looking @ view[:3, :3].T * CAMERA_AXES).astype(np.float32),
            family=model.family,
            age=person.age,
            beard=person.bearded,
            glasses=person.glasses,
        )

    def _set_teeth(self, vertices: np.ndarray, weights: np.ndarray, person: Person) -> None:
        """Move both rows of teeth in place: to the lips of this person at rest, behind them always.

        At rest the edge of the upper incisors lies just below the edge of the upper lip.
        """
        upper, lower = self._teeth
        if not len(upper):
            return
        lip = self.model.landmarks[INNER_LIPS_ABOVE[1]]
        resting = vertices[lip, 1] - weights @ self.model.expressions[:, lip, 1]
        incisors = vertices[self._incisors]
        rise = resting - INCISORS_UNDER_LIP - incisors[:, 1].min()
        lips = vertices[self.model.landmarks[[INNER_LIPS_ABOVE[1], INNER_LIPS_BELOW[1]]]]
        room = lips[:, 2].min() - LIP_THICKNESS - incisors[:, 2].max()
        forward = min(person.teeth[1], room)
        # The lower lip follows the edges of the upper teeth, and the row's curve the smile's.
        edge = incisors[:, 1].min() + rise + person.teeth[0]
        above = max(0.0, lips[1, 1] - INCISORS_UNDER_LIP - edge)
        corners = self.model.landmarks[[48, 54]]
        bent = float(np.clip((weights @ self.model.expressions[:, corners, 1]).mean(), 0, 1.2))
        curve = bent * SMILE_CURVE * np.minimum((vertices[upper, 0] / 2) ** 2, 1.5)
        vertices[lower] += (0, rise + person.teeth[2], forward)
        vertices[upper] += (0, rise + person.teeth[0] + above, forward)
        vertices[upper, 1] += curve

    def _lip_gap(self, vertices: np.ndarray, weights: np.ndarray) -> float:
        above = self.model.landmarks[list(INNER_LIPS_ABOVE)]
        below = self.model.landmarks[list(INNER_LIPS_BELOW)]
        gap = vertices[above, 1] - vertices[below, 1]  # (3,)
        for i in self._rolls:
            if weights[i]:
                shape = self.model.expressions[i]
                gap = gap - weights[i] * (shape[above, 1] - shape[below, 1])
        return float(gap.mean())

    def _project(
        self, points: np.ndarray, view: np.ndarray, clip: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Model points (N, 3) to pixels (N, 2) and distance along the view axis (N,)."""
        seen = np.c_[points, np.ones(len(points))] @ view.T
        projected = seen @ clip.T
        ndc = projected[:, :2] / projected[:, 3:]
        size = self.renderer.resolution
        pixels = np.stack([(ndc[:, 0] + 1) / 2 * size, (1 - ndc[:, 1]) / 2 * size], 1) - 0.5
        return pixels, -seen[:, 2]

    def _visible(
        self, landmarks: np.ndarray, eye_depth: np.ndarray, depth: np.ndarray, camera: Camera
    ) -> np.ndarray:
        near, far = camera.planes()
        surface = 2 * near * far / (far + near - (2 * depth - 1) * (far - near))
        scale = depth.shape[0] / self.renderer.resolution
        column, row = np.round((landmarks + 0.5) * scale - 0.5).astype(int).T
        inside = (column >= 0) & (row >= 0) & (column < len(depth)) & (row < len(depth))
        last = len(depth) - 1
        front = surface[np.clip(row, 0, last), np.clip(column, 0, last)]
        return inside & (eye_depth <= front + VISIBLE_DEPTH)

    def _outline_jaw(
        self,
        landmarks: np.ndarray,
        visible: np.ndarray,
        vertices: np.ndarray,
        view: np.ndarray,
        clip: np.ndarray,
    ) -> None:
        """Move hidden jaw landmarks of the far side to the face's visible outline."""
        for point, row in self.renderer.mesh.jaw_rows.items():
            if visible[point]:
                continue
            outline, _ = self._project(vertices[row], view, clip)
            outward = -1 if point < 8 else 1
            landmarks[point] = outline[np.argmax(outward * outline[:, 0])]


def _hair_behind(
    person: Person, landmarks: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Long hair as a flat shape behind the head: premultiplied RGBA (size, size, 4) uint8."""
    centre = landmarks[[0, 16]].mean(0)
    width = max(np.linalg.norm(landmarks[8] - landmarks[27]) * 0.72 * rng.uniform(0.9, 1.25), 5)
    length = width * rng.uniform(1.2, 2.8)
    mask = Image.new("L", (size, size))
    draw = ImageDraw.Draw(mask)
    x, y = centre
    draw.ellipse([x - width, y - 1.45 * width, x + width, y + 0.75 * width], fill=255)
    left, right = rng.uniform(0.8, 1.2, 2)
    draw.polygon(
        [
            (x - width, y - 0.3 * width),
            (x + width, y - 0.3 * width),
            (x + width * right, y + length),
            (x - width * left, y + length),
        ],
        fill=255,
    )
    alpha = np.asarray(mask.filter(ImageFilter.GaussianBlur(2)), np.float32)[..., None] / 255
    strands = Image.fromarray(rng.normal(size=(6, size // 3)).astype(np.float32))
    shade = 1 + 0.12 * np.asarray(strands.resize((size, size), Image.Resampling.BICUBIC))
    light = person.uniforms["sky_colour"] + 0.5 * np.asarray(person.uniforms["key_colour"])
    hair = np.clip(person.uniforms["hair_colour"] * light * 0.6, 0, 1) ** (1 / 2.2)
    colour = np.clip(hair * shade[..., None], 0, 1)
    return (np.concatenate([colour * alpha, alpha], -1) * 255).astype(np.uint8)


def _under(front: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Premultiplied ``front`` over premultiplied ``back``."""
    hidden = front[..., 3:].astype(np.float32) / 255
    return (front + back * (1 - hidden)).clip(0, 255).astype(np.uint8)


def intensity_columns(intensities: np.ndarray) -> dict[str, float]:
    """(A, 2) intensities as the columns AU01_L, AU01_R, ... of a shard."""
    return {
        f"{au}_{side}": float(intensities[a, s])
        for a, au in enumerate(SYNTHETIC_AUS)
        for s, side in enumerate("LR")
    }
