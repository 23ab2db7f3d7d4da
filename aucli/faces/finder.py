"""Faces through a video: detect now and then, follow in between, keep ids.

A detection every quarter of a second finds newcomers, once a second while as many faces as wanted
are followed beyond doubt; a followed face's crop comes from its own landmarks shortly before. When
these lose the face (a cut, a hand, a fast turn), detection runs again in that very frame. Where
nothing is found, faces that fill the picture or lie sideways are looked for, once a second. After a
cut a face keeps its id only if it looks the same. Only numbers, timestamps and pixels of frames
decide, never the clock or the way the video was cut into batches, so two runs give the same rows.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from aucli.align import face_boxes
from aucli.faces.boxes import suppress
from aucli.faces.confirm import Doubts
from aucli.faces.cuts import Scenes, are_alike, looks
from aucli.faces.detect import MIN_CONFIDENCE, TURNED_CONFIDENCE, Search
from aucli.faces.follow import GROUP_FRAMES, Follower, landmarks_of
from aucli.faces.markup import to_ibug
from aucli.faces.overlap import overlaps
from aucli.faces.protocols import Detector, Followed, Frames, Landmarker, Shapes, Watcher
from aucli.faces.track import Tracker, TrackerConfig
from aucli.pose import head_pose
from aucli.records import Face, FrameBatch

SAME_FACE_IOU = 0.5
# Seconds from one search in other views to the next, where nothing is found, and where a face was
# there a moment ago.
HIDDEN_EVERY_SECONDS, MISSING_EVERY_SECONDS = 1.0, 0.25
# Another face must be this much larger before "largest" lets go of the one it has.
LARGER_BY = 1.3

# Landmarks (n, 68, 2) px, confidences (n,), readings (n,) and ids (n,) of one frame.
Chosen = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

_EMPTY: Shapes = (np.zeros((0, 68, 2), np.float32), np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True)
class FinderConfig:
    """How faces are found.

    faces: how many to keep, the largest ones; None keeps all. detect_every_seconds: 0 detects in
    every frame (the fastest on a GPU, where whole batches are detected at once). group_frames: in
    which a face is followed at once, see :class:`~aucli.faces.follow.Follower`. min_confidence: a
    new face needs it. turned_confidence: one that lies sideways or upside down needs it, see
    :class:`~aucli.faces.detect.Search`. keep_confidence: a followed face needs it.
    redetect_confidence: below it a followed face calls for a detection in the same frame.
    sure_confidence: below it a followed face must be seen by the detector now and then, see
    :class:`Doubts`. rendered_markup: the networks learned from our renders, so that faces are given
    out as :mod:`aucli.faces.markup` makes them. independent: frames are unrelated pictures, each
    gets its own ids by size.
    """

    faces: int | None = 1
    detect_every_seconds: float = 0.25
    relaxed_every_seconds: float = 1.0
    group_frames: int = GROUP_FRAMES
    min_confidence: float = MIN_CONFIDENCE
    turned_confidence: float | None = TURNED_CONFIDENCE
    keep_confidence: float = 0.35
    redetect_confidence: float = MIN_CONFIDENCE
    sure_confidence: float = 0.0
    rendered_markup: bool = False
    independent: bool = False
    tracker: TrackerConfig = field(default_factory=TrackerConfig)

    def __post_init__(self) -> None:
        if self.faces is not None and self.faces < 1:
            raise ValueError(f"faces must be at least 1 or None, got {self.faces}")
        if self.group_frames < 1:
            raise ValueError(f"group_frames must be at least 1, got {self.group_frames}")
        if self.relaxed_every_seconds <= 0:
            raise ValueError(
                f"relaxed_every_seconds must be above 0, got {self.relaxed_every_seconds}"
            )


@dataclass(slots=True)
class _Slots:
    """Picks the first frame of each slot of time that asks; a fixed grid needs no regular
    timestamps."""

    last: float | None = None  # seconds, of the frame that was picked last

    def is_due(self, pts_seconds: float, every_seconds: float) -> bool:
        last = self.last
        due = last is None or int(pts_seconds / every_seconds + 1e-6) != int(
            last / every_seconds + 1e-6
        )
        if due:
            self.last = pts_seconds
        return due


class FaceFinder:
    """Finds and follows the faces of one video at a time; :meth:`reset` before the next.

    watcher: follows instead of the landmark network, where there is one.
    """

    def __init__(
        self,
        detector: Detector,
        landmarker: Landmarker,
        config: FinderConfig | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        self.detector = detector
        self.landmarker = landmarker
        self.config = config or FinderConfig()
        self._search = Search(
            detector, landmarker, self.config.min_confidence, self.config.turned_confidence
        )
        self._tracker = Tracker(self.config.tracker)
        # Where every frame is searched, only what was not found there is followed.
        group_frames = self.config.group_frames if self.config.detect_every_seconds > 0 else 1
        self._follower = Follower(
            landmarker, self.config.redetect_confidence, group_frames, watcher
        )
        self._doubts = Doubts(detector, self.config.sure_confidence)
        self._scenes = Scenes()
        self.reset()

    def reset(self) -> None:
        """Forget the video so far: ids start at 0 again."""
        self._tracker.reset()
        self._follower.reset()
        self._doubts.reset()
        self._scenes.reset()
        self._last_frame: np.ndarray | None = None
        self._number = 0  # of the next frame
        self._chosen: set[int] = set()  # tracks of the faces given out last
        self._public_ids: dict[int, int] = {}
        self._detections, self._retries = _Slots(), _Slots()

    def find(self, batches: Iterable[FrameBatch]) -> Iterator[tuple[FrameBatch, list[list[Face]]]]:
        """Each batch of one video with its faces; resets first."""
        self.reset()
        for batch in batches:
            yield batch, self.push(batch.frames, batch.pts_seconds)

    def push(self, frames: Frames, pts_seconds: np.ndarray) -> list[list[Face]]:
        """Faces of the video's next frames.

        frames: N of (H, W, 3) uint8 RGB, which may change their size. pts_seconds: (N,)
        seconds, rising over the calls. Returns a list of faces for each frame, largest first.
        """
        if not len(frames):
            return []
        if self.config.independent:
            largest_first = map(_sort, self._search.detect_all(frames))
            return self._faces([(*_unread(s), np.arange(len(s[0]))) for s in largest_first])
        found: list[Shapes | None] = [None] * len(frames)
        if self.config.detect_every_seconds <= 0:
            found = [*self._search.detect(frames)]
        return self._faces(
            [self._frame(frames[i:], pts_seconds[i:], detected) for i, detected in enumerate(found)]
        )

    def _frame(self, frames: Frames, pts_seconds: np.ndarray, detected: Shapes | None) -> Chosen:
        """Faces of the first of these frames; the others lie ahead."""
        pts, frame = float(pts_seconds[0]), frames[0]
        self._notice_size(frame, pts)
        if self._scenes.is_cut(frame):
            self._notice_cut()
        tracks = [t for t in self._tracker.tracks if t.track_id in self._chosen]
        live = [t for t in tracks if t.lost_at is None]
        if detected is not None and live and len(detected[0]):
            union, _ = overlaps(face_boxes(landmarks_of(live)), face_boxes(detected[0]))
            live = [t for t, iou in zip(live, union.max(1), strict=True) if iou < SAME_FACE_IOU]
        ids = [t.track_id for t in live]
        followed, sure = self._follower.follow(self._number, frames, pts_seconds, live)
        self._number += 1
        confirmed = self._doubts.confirmed(frame, ids, followed[0], followed[1])
        for track_id, other in self._others(frame, followed[0]).items():
            if track_id in ids:
                at = ids.index(track_id)
                confirmed[at] &= not other[at]
        sure &= confirmed
        if detected is None:
            lost = not tracks or any(t.lost_at is not None for t in tracks)
            lost = lost or sure.sum() < len(live)
            relaxed = not lost and len(live) == self.config.faces
            due = self._detections.is_due(
                pts,
                self.config.relaxed_every_seconds if relaxed else self.config.detect_every_seconds,
            )
            detected = _EMPTY
            if due or lost:
                known = [face_boxes(followed[0][sure])]
                detected = self._search.detect(frames[:1], due, known)[0]
        kept = confirmed & (followed[1] >= self.config.keep_confidence)
        if not kept.any() and not len(detected[0]):
            every = MISSING_EVERY_SECONDS if tracks else HIDDEN_EVERY_SECONDS
            if self._retries.is_due(pts, every):
                detected = self._search.detect_hidden(frames[:1])[0]
        both = zip((values[kept] for values in followed), _unread(detected), strict=True)
        landmarks, confidence, readings = map(np.concatenate, both)
        # One shape where several lie on the same face.
        best = suppress(face_boxes(landmarks), confidence)
        faces = landmarks[best], confidence[best], readings[best]
        found = self._tracker.update(pts, faces[0], self._others(frame, faces[0]))
        self._remember_looks()
        self._last_frame = frame
        return self._choose(faces, found)

    def _others(self, frame: np.ndarray, landmarks: np.ndarray) -> dict[int, np.ndarray]:
        """For each track from before a cut, which of the faces (n, 68, 2) px of this frame look
        like other people: (n,) bool."""
        earlier = {t.track_id: t.look for t in self._tracker.tracks if t.before_cut}
        faces = looks(frame, landmarks) if earlier else np.empty(0)
        return {i: ~are_alike(look, faces) for i, look in earlier.items() if look is not None}

    def _remember_looks(self, live: bool = False) -> None:
        """Keep how faces looked in the last frame: those missing now, or all that it showed."""
        for track in self._tracker.tracks:
            if track.look is None and (live or track.lost_at is not None):
                assert self._last_frame is not None
                track.look = looks(self._last_frame, track.landmarks[None])[0]

    def _notice_cut(self) -> None:
        """Search the new scene as thoroughly as the first one; who is in it is to be seen."""
        self._detections, self._retries = _Slots(), _Slots()
        self._remember_looks(live=True)
        for track in self._tracker.tracks:
            track.before_cut = True

    def _notice_size(self, frame: np.ndarray, pts_seconds: float) -> None:
        """Where frames have another size from here on, faces are looked for anew and keep their
        ids."""
        before = frame if self._last_frame is None else self._last_frame
        if before.shape != frame.shape:
            self._remember_looks(live=True)
            self._tracker.resize(before.shape[:2], frame.shape[:2], pts_seconds)
            self._follower.reset()
            self._detections, self._retries = _Slots(), _Slots()

    def _choose(self, found: Followed, ids: np.ndarray) -> Chosen:
        """Keep the wanted number of faces; ids count in the order of first appearance."""
        area = _areas(found[0])
        held = np.array([i in self._chosen for i in ids.tolist()], bool)
        order = np.argsort(-area * np.where(held, LARGER_BY, 1.0), kind="stable")
        order = order[: self.config.faces]
        order = order[np.argsort(-area[order], kind="stable")]
        chosen = {int(ids[i]) for i in order}
        # A face that is missing for a moment stays wanted while there is room for it.
        alive = {t.track_id for t in self._tracker.tracks if t.lost_at is not None}
        room = len(self._chosen | chosen) if self.config.faces is None else self.config.faces
        waiting = sorted(self._chosen & alive - chosen)[: max(room - len(chosen), 0)]
        self._chosen = chosen | set(waiting)
        for i in order:
            self._public_ids.setdefault(int(ids[i]), len(self._public_ids))
        public = np.array([self._public_ids[int(ids[i])] for i in order], np.int64)
        return found[0][order], found[1][order], found[2][order], public

    def _faces(self, chosen: Sequence[Chosen]) -> list[list[Face]]:
        """The faces of each frame, at most as many as wanted."""
        kept = [[part[: self.config.faces] for part in one] for one in chosen]
        # Of all frames together: fitting a single pose is mostly overhead.
        landmarks, confidence, readings, ids = map(np.concatenate, zip(*kept, strict=True))
        boxes, pose = face_boxes(landmarks), head_pose(landmarks)
        if self.config.rendered_markup:
            landmarks = to_ibug(landmarks)
        faces = [
            Face(
                bbox_xyxy_px=np.asarray(boxes[i], np.float32),
                confidence=float(confidence[i]),
                landmarks=np.asarray(landmarks[i], np.float32),
                face_id=int(ids[i]),
                pose_radians=pose[i],
                reading=readings[i],
            )
            for i in range(len(landmarks))
        ]
        ends = np.cumsum([len(own[0]) for own in kept])
        return [faces[end - len(one[0]) : end] for end, one in zip(ends, kept, strict=True)]


def _unread(shapes: Shapes) -> Followed:
    """Shapes of which nothing was read."""
    return (*shapes, np.full(len(shapes[0]), None, object))


def _areas(landmarks: np.ndarray) -> np.ndarray:
    """(n, 68, 2) px -> (n,) area of the face boxes, px squared."""
    boxes = face_boxes(landmarks)
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _sort(shapes: Shapes) -> Shapes:
    """Largest face first."""
    order = np.argsort(-_areas(shapes[0]), kind="stable")
    return shapes[0][order], shapes[1][order]
