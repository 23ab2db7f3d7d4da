"""Following: the faces of the frame before are found again, a few frames at a time.

A network takes far longer over a lone crop than over one of several. So the crops of a group of
frames are all cut where the faces were before its first frame, and go through the network together;
a face that this leaves in doubt gets a look of its own, where it was just before.
"""

from dataclasses import dataclass, field

import numpy as np

from aucli.align import face_boxes
from aucli.faces import views
from aucli.faces.protocols import Followed, Frames, Landmarker, Watcher

# Frames of a group at most, and seconds between its first and its last: enough for a face to move
# within its crop, not to leave it.
GROUP_FRAMES = 4
GROUP_SECONDS = 0.25

# A face that moved this share of its size, or grew by this ratio, from one frame to the next has
# more likely been replaced by another one at a cut.
JUMP_SHIFT = 0.3
JUMP_RESIZE = 1.35


@dataclass(slots=True, eq=False)
class _Group:
    """Frames with the same crops.

    landmarks: (n, 68, 2) px of the tracks `track_ids` before the first frame, whose number and
    timestamp are `number` and `pts_seconds`. looks: what is known so far, by number of the frame.
    """

    track_ids: list[int]
    landmarks: np.ndarray
    number: int
    pts_seconds: float
    looks: dict[int, Followed] = field(default_factory=dict)


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
        self,
        number: int,
        frames: Frames,
        pts_seconds: np.ndarray,
        track_ids: list[int],
        before: np.ndarray,
    ) -> tuple[Followed, np.ndarray]:
        """Find faces in the frame `number` that were at `before` (n, 68, 2) px one frame earlier.

        frames, pts_seconds: this frame and those at hand after it. track_ids: n of them. Returns
        the n faces and (n,) bool: beyond doubt.
        """
        if not track_ids:
            return (before, np.zeros(0, np.float32), np.zeros(0, object)), np.zeros(0, bool)
        group = self._group_of(number, float(pts_seconds[0]), track_ids, before)
        if number not in group.looks:
            end = number // self.group_frames * self.group_frames + self.group_frames
            in_time = np.searchsorted(pts_seconds, group.pts_seconds + GROUP_SECONDS, "right")
            count = max(min(end - number, int(in_time), len(frames)), 1)
            # What lies ahead may have another size, in which the faces lie elsewhere.
            sizes = [frame.shape == frames[0].shape for frame in frames[:count]]
            count = sizes.index(False) if False in sizes else count
            looks = self._look(frames[:count], [group.landmarks] * count)
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

    def _group_of(
        self, number: int, pts_seconds: float, track_ids: list[int], before: np.ndarray
    ) -> _Group:
        """The present group if it holds this frame and these tracks, or else a new one."""
        group = self._group
        if (
            group is None
            or group.number // self.group_frames != number // self.group_frames
            or pts_seconds > group.pts_seconds + GROUP_SECONDS
            or not set(track_ids) <= set(group.track_ids)
        ):
            group = self._group = _Group(track_ids, before, number, pts_seconds)
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
