"""Following: the faces of the frame before are found again, a few frames at a time.

A network takes far longer over a lone crop than over one of several. So the crops of a group of
frames are all cut before the first of them was seen: where a face was just before it, or, of a face
that moves, where its speed takes it. They go through the network together; a face that this leaves
in doubt gets a look of its own, where it was one frame earlier.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from aucli.align import face_boxes
from aucli.faces import views
from aucli.faces.protocols import Followed, Frames, Landmarker, Watcher
from aucli.faces.track import Track, coasted_seconds

# Frames of a group at most, and seconds between its first and its last: enough for a face to move
# within its crop, not to leave it.
GROUP_FRAMES = 4
GROUP_SECONDS = 0.25
# A face that will have moved less than this share of its size is looked for where it was: a speed
# that is only the landmarks' own noise would shake its crop.
STILL_SHARE = 0.02

# A face that moved this share of its size, or grew by this ratio, from one frame to the next has
# more likely been replaced by another one at a cut.
JUMP_SHIFT = 0.3
JUMP_RESIZE = 1.35


@dataclass(slots=True, eq=False)
class _Group:
    """Frames whose crops are cut by the same knowledge.

    landmarks: (n, 68, 2) px of the tracks `track_ids` before the first frame, whose number and
    timestamp are `number` and `pts_seconds`; velocity: (n, 2) px per second, and seen_at: (n,)
    seconds. looks: what is known so far, by number of the frame.
    """

    track_ids: list[int]
    landmarks: np.ndarray
    velocity: np.ndarray
    seen_at: np.ndarray
    number: int
    pts_seconds: float
    looks: dict[int, Followed] = field(default_factory=dict)

    @classmethod
    def of(cls, tracks: Sequence[Track], number: int, pts_seconds: float) -> "_Group":
        return cls(
            [track.track_id for track in tracks],
            landmarks_of(tracks),
            np.array([track.velocity for track in tracks]).reshape(-1, 2),
            np.array([track.seen_at for track in tracks]),
            number,
            pts_seconds,
        )

    def expected(self, pts_seconds: np.ndarray) -> list[np.ndarray]:
        """(n, 68, 2) px for each of these timestamps: where the faces will be."""
        sizes = np.ptp(self.landmarks, axis=1).max(1)
        gaps = coasted_seconds(pts_seconds[:, None] - self.seen_at)  # (frames, n)
        moves = self.velocity * gaps[..., None]  # (frames, n, 2)
        moves[np.linalg.norm(moves, axis=2) < STILL_SHARE * sizes] = 0
        return [(self.landmarks + move[:, None]).astype(np.float32) for move in moves]


class Follower:
    """Follows the faces of one video at a time; :meth:`reset` before the next.

    watcher: follows instead of the landmark network, where there is one. group_frames: 1 looks at
    every frame by itself. sure_confidence: below it a face is in doubt. Groups end at multiples of
    `group_frames` of the frame's number, however the video is cut into batches.
    """

    def __init__(
        self,
        landmarker: Landmarker,
        sure_confidence: float,
        group_frames: int = GROUP_FRAMES,
        watcher: Watcher | None = None,
    ) -> None:
        self.landmarker, self.watcher = landmarker, watcher
        self.sure_confidence = sure_confidence
        self.group_frames = group_frames
        self.reset()

    def reset(self) -> None:
        """Forget the video so far."""
        self._group: _Group | None = None

    def follow(
        self, number: int, frames: Frames, pts_seconds: np.ndarray, tracks: Sequence[Track]
    ) -> tuple[Followed, np.ndarray]:
        """Find the faces of these tracks, seen one frame earlier, in the frame `number`.

        frames, pts_seconds: this frame and those at hand after it. Returns the n faces, and (n,)
        bool: beyond doubt.
        """
        before = landmarks_of(tracks)
        if not tracks:
            return (before, np.zeros(0, np.float32), np.zeros(0, object)), np.zeros(0, bool)
        track_ids = [track.track_id for track in tracks]
        group = self._group_of(number, float(pts_seconds[0]), tracks)
        if number not in group.looks:
            end = number // self.group_frames * self.group_frames + self.group_frames
            in_time = np.searchsorted(pts_seconds, group.pts_seconds + GROUP_SECONDS, "right")
            count = max(min(end - number, int(in_time), len(frames)), 1)
            # What lies ahead may have another size, in which the faces lie elsewhere.
            sizes = [frame.shape == frames[0].shape for frame in frames[:count]]
            count = sizes.index(False) if False in sizes else count
            looks = self._look(frames[:count], group.expected(pts_seconds[:count]))
            group.looks = dict(enumerate(looks, number))
        rows = [group.track_ids.index(track_id) for track_id in track_ids]
        landmarks, confidence, readings = (of_all[rows] for of_all in group.looks[number])
        sure = self._are_sure(before, landmarks, confidence)
        if number > group.number and not sure.all():
            doubtful = ~sure
            again = self._look(frames[:1], [before[doubtful]])[0]
            landmarks[doubtful], confidence[doubtful], readings[doubtful] = again
            sure = self._are_sure(before, landmarks, confidence)
        return (landmarks, confidence, readings), sure

    def _look(self, frames: Frames, landmarks: list[np.ndarray]) -> list[Followed]:
        if self.watcher is not None:
            return self.watcher.follow(frames, landmarks)
        looks = views.follow(self.landmarker, frames, landmarks)
        return [(*shapes, np.full(len(shapes[0]), None, object)) for shapes in looks]

    def _group_of(self, number: int, pts_seconds: float, tracks: Sequence[Track]) -> _Group:
        """The present group if it holds this frame and these tracks, or else a new one."""
        group = self._group
        if (
            group is None
            or group.number // self.group_frames != number // self.group_frames
            or pts_seconds > group.pts_seconds + GROUP_SECONDS
            or not {track.track_id for track in tracks} <= set(group.track_ids)
        ):
            group = self._group = _Group.of(tracks, number, pts_seconds)
        return group

    def _are_sure(
        self, before: np.ndarray, landmarks: np.ndarray, confidence: np.ndarray
    ) -> np.ndarray:
        """(n,) bool: certainly a face, and near enough to be the one that was there before."""
        old, new = face_boxes(before), face_boxes(landmarks)
        old_size, new_size = np.ptp(old.reshape(-1, 2, 2), axis=1), np.ptp(new.reshape(-1, 2, 2), 1)
        shift = np.abs(new.reshape(-1, 2, 2).mean(1) - old.reshape(-1, 2, 2).mean(1)).max(1)
        resize = np.abs(np.log(np.maximum(new_size, 1) / np.maximum(old_size, 1))).max(1)
        jumped = (shift > JUMP_SHIFT * old_size.max(1)) | (resize > np.log(JUMP_RESIZE))
        return ~jumped & (confidence >= self.sure_confidence)


def landmarks_of(tracks: Sequence[Track]) -> np.ndarray:
    """(n, 68, 2) float32 px, where they were last seen."""
    return np.array([track.landmarks for track in tracks], np.float32).reshape(-1, 68, 2)
