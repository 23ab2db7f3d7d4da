"""Rendered faces: reading the shards, and endless batches for the three embedded networks.

Faces are decoded once into flat files beside the shards (``decoded/``) and memory-mapped from
there, so that several loader processes share one copy. Batch number n depends on the seed and on n
alone: any number of loader processes gives the same batches, and a resumed run sees what an
undisturbed one would have seen. Of several training processes, each takes its share of the series.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from aucli import augment
from aucli.align import LANDMARK_CROP_SCALE, align_matrices, apply_matrices, face_boxes
from aucli.aus import MAX_INTENSITY, SYNTHETIC_AUS, synthetic_points
from aucli.datasets.pixels import decode
from aucli.datasets.prepared import digest
from aucli.datasets.series import AUBatch, Batch, Series, inexact_matrices
from aucli.errors import DataError, OutputError
from aucli.files import shown, write_whole
from aucli.synth.backgrounds import BackgroundPool
from aucli.synth.families import GAZE_COLUMNS
from aucli.synth.negatives import hide_face, nothing, shuffle_parts
from aucli.synth.scenes import draw_scene, scene_targets
from aucli.synth.sprites import SPRITE, sprite_pool
from aucli.synth.things import thing_pool
from aucli.words import counted

RESOLUTION = 192
RENDERED_CROP = 128
TEMPLATE = "eyes-nose"
SCENE_SIZE = 256
SHARDS = "shard-*.parquet"
TEST_EVERY = 20
WORN = ("beard", "glasses")
LATER_COLUMNS = (*GAZE_COLUMNS, "family", "age", *WORN)  # that older sets lack
# Where a landmark is hidden, its place can be guessed but not seen.
HIDDEN_WEIGHT = 0.3
BELOW = 96
SMILE_WITHOUT_CHEEKS = 0.2


class LandmarkBatch(NamedTuple):
    """images (N, 3, 128, 128) uint8; landmarks (N, 68, 2) crop px; weights (N, 68); is_face (N,)
    0 or 1."""

    images: torch.Tensor
    landmarks: torch.Tensor
    weights: torch.Tensor
    is_face: torch.Tensor


class SceneBatch(NamedTuple):
    """images (N, 3, 256, 256) uint8; targets (N, 7, 32, 32) of ``scene_targets``; boxes (N, 8, 4)
    xyxy px, rows of NaN where a scene has fewer faces."""

    images: torch.Tensor
    targets: torch.Tensor
    boxes: torch.Tensor


def _decode(jpeg: bytes, matte: bytes, where: str) -> np.ndarray:
    """One face, (192, 192, 4) uint8 premultiplied RGBA. Raises DataError."""
    rgb = decode(jpeg, "RGB", RESOLUTION, where)
    alpha = decode(matte, "L", RESOLUTION, where)[..., None]
    # JPEG rings across the edge of the face; premultiplied colours never exceed their alpha.
    return np.concatenate([np.minimum(rgb, alpha), alpha], 2)


def _decoded(shard: Path, count: int) -> np.ndarray:
    """All ``count`` faces of a shard, memory-mapped (n, 192, 192, 4) uint8; decoded where not done
    yet. Raises DataError where a picture is damaged, and OutputError."""
    flat = shard.parent / "decoded" / f"{shard.stem}.rgba"
    size = count * RESOLUTION * RESOLUTION * 4
    stale = not flat.exists() or flat.stat().st_mtime < shard.stat().st_mtime
    if stale or flat.stat().st_size != size:
        table = _read(shard, ["rgb", "matte"])
        try:
            with write_whole(flat) as stream:
                for row, (rgb, matte) in enumerate(zip(table["rgb"], table["matte"], strict=True)):
                    where = f"picture {row} in {shown(shard)}"
                    stream.write(_decode(rgb.as_py(), matte.as_py(), where).tobytes())
        except OSError as error:
            raise OutputError(
                f"{flat.parent} cannot be written ({error.strerror or error}); faces are decoded "
                "into it, so make room there or copy the set to a folder of yours."
            ) from error
    return np.memmap(flat, np.uint8, "r", shape=(count, RESOLUTION, RESOLUTION, 4))


def _read(shard: Path, columns: list[str], if_there: tuple[str, ...] = ()) -> pa.Table:
    """Some columns of a shard, its checksums compared. Raises DataError."""
    try:
        names = pq.read_schema(shard).names
        missing = sorted({*columns} - {*names})
        if not missing:
            wanted = [*columns, *(name for name in if_there if name in names)]
            return pq.read_table(shard, columns=wanted, page_checksum_verification=True)
    except Exception as error:  # what a damaged file raises is open-ended
        raise _damaged(shard) from error
    raise DataError(f"{shown(shard)} lacks the columns {', '.join(missing[:4])}; render it again.")


def _damaged(shard: Path) -> DataError:
    return DataError(f"{shown(shard)} is damaged; delete it and render it again.")


def _check_resolution(root: Path) -> None:
    """Raise DataError where a set has faces of another size."""
    manifest = root / "manifest.json"
    try:
        resolution = json.loads(manifest.read_text("utf-8")).get("resolution", RESOLUTION)
    except FileNotFoundError:
        return
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"{shown(manifest)} cannot be read; render the set anew.") from error
    if resolution != RESOLUTION:
        raise DataError(
            f"{shown(manifest)} says {resolution} px faces; training reads {RESOLUTION} px."
        )


def absent_faces(root: Path) -> str:
    """A sentence on a set that lacks faces which its manifest counts; empty for others."""
    try:
        count = int(json.loads((root / "manifest.json").read_text("utf-8"))["count"])
        there = sum(pq.read_metadata(shard).num_rows for shard in root.glob(SHARDS))
    except (OSError, ArithmeticError, ValueError, KeyError, TypeError, pa.ArrowException):
        return ""  # whoever reads the faces tells what is damaged
    if there >= count:
        return ""
    return (
        f"{shown(root)} holds {there} of its {counted(count, 'face')}; `aucli synth` with the same "
        "settings renders the others."
    )


class FaceStore:
    """The faces of one split. ``landmarks`` (N, 68, 2) px, ``visible`` (N, 68), ``sides``
    (N, A, 2) intensities 0-5 [L, R], ``pose`` (N, 3) rad (pitch, yaw, roll), ``identity`` (N,),
    ``gaze`` (N, 2, 3) unit vectors along which the eyes look (the person's right eye first; x
    right, y down, z away from the camera), ``family`` and ``age`` (N,) words, ``worn`` (N, 2) 0 or
    1, whether there are a beard and glasses. Older sets have NaN and "" for what they do not tell.

    root: folder of the shards. split: 'train', 'test' (every 20th identity) or 'all'. limit: at
    most so many faces. Raises :class:`DataError` where there are no shards or a column is missing.
    """

    def __init__(self, root: Path, split: str = "train", limit: int | None = None) -> None:
        shards = sorted(Path(root).glob(SHARDS))
        if not shards:
            raise DataError(f"No {SHARDS} in {root}; render faces with `aucli synth` first.")
        _check_resolution(Path(root))
        sides = [f"{au}_{side}" for au in SYNTHETIC_AUS for side in "LR"]
        columns = ["identity", "landmarks", "visible", "pose_Rx", "pose_Ry", "pose_Rz", *sides]
        parts: list[tuple[np.ndarray, ...]] = []
        self._images: list[np.ndarray] = []
        self._rows: list[tuple[int, int]] = []
        for shard in shards:
            labelled = _read_labels(shard, columns, sides)
            identity = labelled[0]
            count = len(identity)
            test = identity % TEST_EVERY == 0
            keep = {"train": ~test, "test": test, "all": np.ones(count, bool)}[split]
            parts.append(tuple(values[keep] for values in labelled))
            self._rows += [(len(self._images), int(row)) for row in np.flatnonzero(keep)]
            self._images.append(_decoded(shard, count))
        (self.identity, self.landmarks, self.visible, self.sides, self.pose, self.gaze,
         self.family, self.age, self.worn) = (
            np.concatenate([p[k] for p in parts])[:limit] for k in range(9)
        )  # fmt: skip
        if not len(self):
            raise DataError(f"{root} holds no face of the split {split!r}; render more identities.")

    @property
    def fingerprint(self) -> str:
        """Equal for equal faces in the same order: sha256 of who they are and of their labels."""
        told = [self.identity, self.landmarks, self.visible, self.sides, self.pose]
        return digest([*told, self.gaze] if self.knows_gaze else told)

    @property
    def knows_gaze(self) -> bool:
        """Whether some of the faces say where they look."""
        return bool(np.isfinite(self.gaze).any())

    def __len__(self) -> int:
        return len(self.identity)

    def face(self, index: int) -> np.ndarray:
        """(192, 192, 4) uint8 premultiplied RGBA, read-only memory."""
        shard, row = self._rows[index]
        return self._images[shard][row]

    def usual_places(self, crop_size: int = RENDERED_CROP) -> np.ndarray:
        """(A, 2, 2) mean place of every AU [L, R] in aligned crops, crop px."""
        matrices = align_matrices(self.landmarks, TEMPLATE, crop_size)
        return synthetic_points(apply_matrices(self.landmarks, matrices)).mean(0)

    def au_weights(self) -> np.ndarray:
        """(N,) sampling weights: active faces more often, rare AUs more often still; sum 1.

        Broad smiles without AU06 come less often than they were rendered. That they are rare in
        people is an assumption, under which more of a real smile's cheeks is read.
        """
        mean = self.sides.mean(2)  # (N, A)
        active = mean > 1
        rarity = 0.02 / (active.mean(0) + 0.01)
        weight = 0.25 + np.minimum(2, mean.sum(1) / 5) + np.minimum(1, (active * rarity).sum(1))
        smile, cheeks = (mean[:, SYNTHETIC_AUS.index(au)] for au in ("AU12", "AU06"))
        weight[(smile > 2.5) & (cheeks < 0.5)] *= SMILE_WITHOUT_CHEEKS
        return weight / weight.sum()


def _read_labels(shard: Path, columns: list[str], sides: list[str]) -> tuple[np.ndarray, ...]:
    """Who n faces are, their landmarks, their visible landmarks, their intensities, their pose,
    their gaze, their family, their age and what they wear, as of :class:`FaceStore`. Raises
    DataError."""
    table = _read(shard, columns, LATER_COLUMNS)
    count = len(table)
    known = {*table.column_names}

    def flat(name: str) -> np.ndarray:
        return table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)

    if not count:
        raise _damaged(shard)
    try:
        identity = table["identity"].to_numpy().astype(np.int64)
        landmarks = flat("landmarks").astype(np.float32).reshape(count, 68, 2)
        visible = flat("visible").astype(bool).reshape(count, 68)
        values = np.stack([table[name].to_numpy() for name in sides], 1).astype(np.float32)
        pose = np.stack([table[f"pose_R{axis}"].to_numpy() for axis in "xyz"], 1)
        gaze = np.full((count, 6), np.nan, np.float32)
        if known >= {*GAZE_COLUMNS}:
            gaze = np.stack([table[name].to_numpy() for name in GAZE_COLUMNS], 1)
        words = [
            table[name].to_numpy().astype(str) if name in known else np.full(count, "")
            for name in ("family", "age")
        ]
        worn = np.full((count, len(WORN)), np.nan, np.float32)
        if known >= {*WORN}:
            worn = np.stack([table[name].to_numpy() for name in WORN], 1).astype(np.float32)
        gaze = gaze.astype(np.float32).reshape(count, 2, 3)
        length = np.linalg.norm(gaze, axis=2)
    except Exception as error:  # columns of other types or lengths
        raise _damaged(shard) from error
    if not np.isfinite(landmarks).all() or not ((values >= 0) & (values <= MAX_INTENSITY)).all():
        raise _damaged(shard)
    if (np.abs(length - 1) > 0.01).any():  # NaN, which is unknown, passes
        raise _damaged(shard)
    sides_of = values.reshape(count, -1, 2)
    return identity, landmarks, visible, sides_of, pose.astype(np.float32), gaze, *words, worn


def composite(
    store: FaceStore,
    index: np.ndarray,
    matrices: np.ndarray,
    rng: np.random.Generator,
    backgrounds: BackgroundPool,
    size: int = RENDERED_CROP,
) -> np.ndarray:
    """Warped faces over random backgrounds: (N, size, size, 3) uint8. matrices: face px -> crop."""
    out = np.empty((len(index), size, size, 3), np.uint8)
    for row, (i, matrix) in enumerate(zip(index, matrices, strict=True)):
        face = store.face(i)
        if rng.random() < 0.7:
            # Neck and clothes go on below the rendered frame.
            face = np.concatenate([face, np.repeat(face[-1:], BELOW, 0)])
        front = augment.warp_rgba(face, matrix, (size, size))
        out[row] = over(front, backgrounds.cut(rng, size), face_light(rng))
    return out


def face_light(rng: np.random.Generator) -> np.ndarray:
    """(3,) gain of the face against its background."""
    return np.exp(rng.normal(0, 0.18) + rng.normal(0, 0.05, 3)).astype(np.float32)


def over(front: np.ndarray, ground: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Premultiplied (h, w, 4) uint8 over (h, w, 3) uint8, the front's colours times ``light``."""
    alpha = front[..., 3:].astype(np.float32)
    lit = np.minimum(front[..., :3] * light, alpha)
    return (lit + ground * (1 - alpha / 255)).astype(np.uint8)


class Batches(Series[Batch]):
    """Batches of rendered faces.

    occluded: share of the images with something in front of the face. cut: share that leaves the
    video's frame.
    """

    occluded = 0.15
    cut = 0.06

    def __init__(
        self,
        store: FaceStore,
        batch_size: int,
        seed: int,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(batch_size, seed, start, rank, world)
        self.store = store
        self.backgrounds = BackgroundPool(seed=seed)
        self.sprites = sprite_pool(seed=seed)

    @cached_property
    def things(self) -> np.ndarray:
        """See ``thing_pool``; made where a kind of crop asks for them."""
        return thing_pool(seed=self.seed)

    @property
    def fingerprint(self) -> str:
        """See :class:`Series`."""
        return self.store.fingerprint

    def make(self, rng: np.random.Generator) -> Batch:
        raise NotImplementedError

    def batch(self, number: int) -> Batch:
        """See :class:`Series`."""
        return self.make(np.random.default_rng([self.seed, number]))

    def _finish(
        self, rng: np.random.Generator, images: torch.Tensor, landmarks: torch.Tensor, visible
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Shadows, things in front, photometric changes, frame edges: (uint8 images, visible)."""
        images = augment.cast_shadows(rng, images.float())
        images, visible = augment.occlude(
            rng, images, landmarks, visible, self.sprites, self.occluded
        )
        images = augment.photometric(rng, images)
        return augment.cut_by_frame(rng, images, landmarks, visible, self.cut)


def _landmark_matrix(rng: np.random.Generator, landmarks: np.ndarray, kind: str) -> np.ndarray:
    """(2, 3) face px -> crop px. kind: 'face', 'followed', 'off', 'far' or 'near'.

    A followed face is cropped as its landmarks of a moment ago say.
    """
    low, high = landmarks.min(0), landmarks.max(0)
    extent, centre = float((high - low).max()), (low + high) / 2
    # Crops are centred by a face box or by landmarks: learn both and what lies between.
    box = face_boxes(landmarks[None])[0]
    middle = (box[:2] + box[2:]) / 2
    if kind == "followed":
        side = LANDMARK_CROP_SCALE * float((box[2:] - box[:2]).max())
        zoom = float(np.exp(rng.normal(0, 0.06)))
        return _turned(middle + rng.normal(0, 0.03, 2) * side, zoom * side, rng.normal(0, 0.08))
    centre = centre + rng.random() * (middle - centre)
    zoom = float(np.exp(rng.uniform(np.log(1.05), np.log(1.6))))
    angle = rng.uniform(-0.9, 0.9) if rng.random() < 0.1 else rng.normal(0, 0.22)
    if kind == "off":
        zoom = float(rng.uniform(0.7, 1.5))
        direction = rng.uniform(0, 2 * np.pi)
        move = rng.uniform(0.62, 1.1) * extent * max(1.0, zoom * 0.9)
        centre = centre + move * np.array([np.cos(direction), np.sin(direction)])
    elif kind == "far":
        zoom = float(rng.uniform(3.2, 6.5))
        centre = centre + rng.normal(0, 0.2, 2) * extent * zoom
    elif kind == "near":
        zoom = float(rng.uniform(0.22, 0.5))
        centre = centre + rng.normal(0, 0.3, 2) * extent
    else:
        centre = centre + rng.normal(0, 0.08, 2) * extent * zoom
    return _turned(centre, extent * zoom, angle)


def _turned(centre: np.ndarray, side: float, angle: float) -> np.ndarray:
    """(2, 3) face px -> crop px of a square around a centre (2,) px, turned by an angle (rad)."""
    s = RENDERED_CROP / side
    turn = s * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn, (RENDERED_CROP - 1) / 2 - turn @ centre])


class LandmarkBatches(Batches[LandmarkBatch]):
    """Cropped faces, and some crops that are none.

    followed: share of the faces that are cropped as a video's are from the frame before.
    """

    negatives = 0.28
    followed = 0.6
    # Hands alone are negatives: many faces with one in front teach that a hand says nothing.
    occluded = 0.35
    cut = 0.15
    kinds = (
        "off", "far", "near", "background", "close", "thing", "hand", "shuffled", "faceless",
        "nothing",
    )  # fmt: skip
    shares = (0.16, 0.05, 0.07, 0.1, 0.22, 0.18, 0.06, 0.07, 0.06, 0.03)

    def make(self, rng: np.random.Generator) -> LandmarkBatch:
        count = self.batch_size
        index = rng.integers(len(self.store), size=count)
        is_face = rng.random(count) >= self.negatives
        # Most faces of a video are followed; a newly found one is cropped less exactly.
        looked_at = np.where(rng.random(count) < self.followed, "followed", "face")
        kinds = np.where(is_face, looked_at, rng.choice(self.kinds, count, p=self.shares))
        corners = self.store.landmarks[index]
        matrices = np.stack(
            [_landmark_matrix(rng, p, k) for p, k in zip(corners, kinds, strict=True)]
        )
        crops = composite(self.store, index, matrices, rng, self.backgrounds)
        landmarks = apply_matrices(corners, matrices).astype(np.float32)
        for i in np.flatnonzero(~is_face):
            if kinds[i] in ("background", "hand", "thing"):
                crops[i] = self.backgrounds.cut(rng, RENDERED_CROP)
            if kinds[i] == "close":
                crops[i] = self.backgrounds.cut_close(rng, RENDERED_CROP)
            elif kinds[i] == "nothing":
                crops[i] = nothing(rng, RENDERED_CROP)
            elif kinds[i] == "thing":
                crops[i] = draw_things(rng, crops[i], self.things)
            elif kinds[i] == "hand":
                crops[i] = draw_hand(rng, crops[i], self.sprites)
            elif kinds[i] == "shuffled":
                crops[i] = shuffle_parts(rng, crops[i], landmarks[i])
            elif kinds[i] == "faceless":
                crops[i] = hide_face(rng, crops[i], landmarks[i])
        images, points, visible = augment.mirror(
            rng.random(count) < 0.5,
            torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous(),
            torch.from_numpy(landmarks),
            torch.from_numpy(self.store.visible[index]),
        )
        images, visible = self._finish(rng, images, points, visible)
        weights = torch.where(visible, 1.0, HIDDEN_WEIGHT)
        return LandmarkBatch(images, points, weights, torch.from_numpy(is_face).float())


def draw_hand(rng: np.random.Generator, crop: np.ndarray, sprites: np.ndarray) -> np.ndarray:
    """A hand over a crop (S, S, 3) uint8. sprites: hands first, as ``sprite_pool`` has them."""
    sprite = sprites[rng.integers(int(augment.HANDS * len(sprites)))]
    return _put(rng, crop, sprite, rng.uniform(0.8, 2.0), rng.normal(0, 12, 2))


def draw_things(rng: np.random.Generator, crop: np.ndarray, things: np.ndarray) -> np.ndarray:
    """A thing where a face would be in a crop (S, S, 3) uint8, some with others around it.

    things: as of ``thing_pool``.
    """
    for _ in range(rng.choice([0, 0, 0, 1, 3, 6])):
        thing = things[rng.integers(len(things))]
        crop = _put(rng, crop, thing, rng.uniform(0.3, 0.9), rng.uniform(-64, 64, 2))
    thing = things[rng.integers(len(things))]
    scale = np.exp(rng.uniform(np.log(0.4), np.log(1.3)))
    return _put(rng, crop, thing, scale, rng.normal(0, 7, 2))


def _put(
    rng: np.random.Generator,
    crop: np.ndarray,
    sprite: np.ndarray,
    scale: float,
    off: np.ndarray,
) -> np.ndarray:
    """A sprite (128, 128, 4), turned anyhow and lit as a face would be, over a crop (S, S, 3).

    scale and off (2,) px, from the middle: in a crop of RENDERED_CROP px.
    """
    size = len(crop)
    part = size / RENDERED_CROP
    angle, s = rng.uniform(0, 2 * np.pi), part * scale
    turn = s * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    move = (size - 1) / 2 + part * off - turn @ np.full(2, (SPRITE - 1) / 2)
    front = augment.warp_rgba(sprite, np.column_stack([turn, move]), (size, size))
    return over(front, crop, face_light(rng))


class AUBatches(Batches[AUBatch]):
    """Aligned faces with AU intensities; alignment as imprecise as predicted landmarks make it.

    crop_size: px. spoilt: with shadows, things in front, photometric changes and frame edges.
    template: of ``align.TEMPLATES``.
    """

    def __init__(
        self,
        store: FaceStore,
        batch_size: int,
        seed: int,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        crop_size: int = RENDERED_CROP,
        spoilt: bool = True,
        template: str = TEMPLATE,
    ) -> None:
        super().__init__(store, batch_size, seed, start, rank, world)
        self.crop_size, self.spoilt, self.template = crop_size, spoilt, template

    @cached_property
    def _cumulative(self) -> np.ndarray:
        # Inverse transform sampling: ``choice`` with weights would sum them anew for every batch.
        return np.cumsum(self.store.au_weights())

    def make(self, rng: np.random.Generator) -> AUBatch:
        count, store = self.batch_size, self.store
        index = np.searchsorted(self._cumulative, rng.random(count) * self._cumulative[-1])
        true = store.landmarks[index]
        matrices = inexact_matrices(rng, true, self.template, self.crop_size)
        crops = composite(store, index, matrices, rng, self.backgrounds, self.crop_size)
        landmarks = apply_matrices(true, matrices).astype(np.float32)
        images, points, visible, sides = augment.mirror(
            rng.random(count) < 0.5,
            torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous(),
            torch.from_numpy(landmarks),
            torch.from_numpy(store.visible[index]),
            sides=(torch.from_numpy(store.sides[index]),),
        )
        before = visible
        if self.spoilt:
            images, visible = self._finish(rng, images, points, visible)
        places = torch.from_numpy(synthetic_points(points.numpy()))
        weights = self._au_weights(places, points, before & ~visible)
        landmark_weights = torch.where(visible, 1.0, HIDDEN_WEIGHT)
        return AUBatch(
            images,
            places.flatten(1, 2),
            sides.flatten(1),
            weights.flatten(1),
            points,
            landmark_weights,
        )

    @staticmethod
    def _au_weights(
        places: torch.Tensor, points: torch.Tensor, covered: torch.Tensor
    ) -> torch.Tensor:
        """(N, A, 2): .1 where the landmark nearest to an AU's place was covered, 1 elsewhere."""
        weights = torch.ones(places.shape[:3])
        rows = torch.nonzero(covered.any(1))[:, 0]
        if len(rows):
            flat = places[rows].flatten(1, 2)  # (R, 2A, 2)
            nearest = torch.cdist(flat, points[rows]).argmin(2)
            hidden = covered[rows].gather(1, nearest).unflatten(1, (-1, 2))
            weights[rows] = torch.where(hidden, 0.1, 1.0)
        return weights


class SceneBatches(Batches[SceneBatch]):
    """Scenes for the detector. Each drawn scene is used ``views`` times in a row of batches,
    mirrored and with other light: drawing costs more than the network's own step."""

    views = 2

    def make(self, rng: np.random.Generator) -> SceneBatch:
        drawn = -(-self.batch_size // self.views)
        scenes = [
            draw_scene(rng, self.store, self.backgrounds, self.sprites, SCENE_SIZE)
            for _ in range(drawn)
        ]
        images, targets = [], []
        boxes = np.full((self.batch_size, 8, 4), np.nan, np.float32)
        for n in range(self.batch_size):
            image, found = scenes[n // self.views]
            if n % self.views:
                image = image[:, ::-1]
                found = (SCENE_SIZE - 1 - found)[:, [2, 1, 0, 3]] * [1, 0, 1, 0] + found * [
                    0, 1, 0, 1
                ]  # fmt: skip
            images.append(np.ascontiguousarray(image))
            targets.append(scene_targets(found, SCENE_SIZE))
            boxes[n, : len(found)] = found[:8]
        stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().contiguous()
        return SceneBatch(
            augment.photometric(rng, stacked),
            torch.from_numpy(np.stack(targets)),
            torch.from_numpy(boxes),
        )
