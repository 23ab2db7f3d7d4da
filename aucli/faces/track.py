"""Identities over time: which face of this frame is which face of the frames before.

Faces are matched by where constant velocity predicts them and by the form of their 68 landmarks,
with an exact assignment, so two people who cross keep their ids. Time is the frame's timestamp:
the same gap in seconds at any frame rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class TrackerConfig:
    """Limits of the matching; distances are in units of the face's size.

    max_gap_seconds: how long a face may be missing and still get its id back. reach: how far from
    its prediction a face may appear in consecutive frames. reach_per_second: how much further for
    each second since it was seen. max_resize: largest ratio of sizes, widened by the same time.
    """

    max_gap_seconds: float = 0.5
    reach: float = 0.5
    reach_per_second: float = 1.0
    max_resize: float = 1.6


SIZE_COST = 0.5
SHAPE_COST = 2.0
# A prediction coasts for about this long: people who turn behind something rarely keep going.
COAST_SECONDS = 0.4
VELOCITY_SHARE = 0.5  # weight of the newest measurement in the smoothed velocity
_FORBIDDEN = 1e4
_TIME_SLACK = 1e-6


@dataclass(slots=True, eq=False)
class Track:
    """One identity. landmarks: (68, 2) px where last seen; velocity: (2,) px per second.

    lost_at: timestamp of the first frame in which it was missing, None while it is seen. look: of
    a face that is missing, how it looked when it was last seen, see :mod:`aucli.faces.cuts`.
    before_cut: it was not seen since the last cut.
    """

    track_id: int
    landmarks: np.ndarray
    seen_at: float
    lost_at: float | None = None
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    sightings: int = 1
    look: np.ndarray | None = None
    before_cut: bool = False

    def predict(self, pts_seconds: float) -> np.ndarray:
        """(68, 2) px: the landmarks moved on by the damped velocity."""
        return self.landmarks + self.velocity * coasted_seconds(pts_seconds - self.seen_at)


def coasted_seconds(gap: Any) -> Any:
    """How far a velocity takes a face in some seconds, in seconds of it: it dies away."""
    return COAST_SECONDS * -np.expm1(-np.maximum(gap, 0.0) / COAST_SECONDS)


class Tracker:
    """Gives ids to the faces of consecutive frames.

    Ids count up from 0 in the order of first sight and are never reused until :meth:`reset`.
    """

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self.config = config or TrackerConfig()
        self.reset()

    def reset(self) -> None:
        """Forget everyone, as for a new video."""
        self.tracks: list[Track] = []
        self._next_id = 0

    def resize(
        self, before_hw: tuple[int, ...], after_hw: tuple[int, ...], pts_seconds: float
    ) -> None:
        """Follow a change of the frames' size in px: faces stay where they are from the middle.

        A picture that is only scaled keeps its faces exactly; one that is cut nearly. None has been
        found in the new frames yet.
        """
        before, after = np.array(before_hw[::-1]), np.array(after_hw[::-1])  # (x, y)
        scale = float(np.sqrt(after.prod() / before.prod()))
        for track in self.tracks:
            moved = (track.landmarks - before / 2) * scale + after / 2
            track.landmarks = moved.astype(track.landmarks.dtype)
            track.velocity = track.velocity * scale
            if track.lost_at is None:
                track.lost_at = pts_seconds

    def update(
        self,
        pts_seconds: float,
        landmarks: np.ndarray,
        others: Mapping[int, np.ndarray] | None = None,
    ) -> np.ndarray:
        """Match the faces of one frame.

        pts_seconds: not before the last call's. landmarks: (n, 68, 2) px, n may be 0. others: for
        each ``track_id`` (n,) bool, which of the faces are other people's. Returns (n,) int64 ids.
        """
        limit = self.config.max_gap_seconds + _TIME_SLACK
        self.tracks = [
            t for t in self.tracks if t.lost_at is None or pts_seconds - t.lost_at <= limit
        ]
        ids = np.full(len(landmarks), -1, np.int64)
        cost = self._costs(pts_seconds, landmarks)
        for row, track in enumerate(self.tracks):
            if others is not None and track.track_id in others:
                cost[row, others[track.track_id]] = _FORBIDDEN
        matched = set()
        for row, column in assign(cost):
            if cost[row, column] < _FORBIDDEN:
                self._move(self.tracks[row], pts_seconds, landmarks[column])
                ids[column] = self.tracks[row].track_id
                matched.add(row)
        for row, track in enumerate(self.tracks):
            if row not in matched and track.lost_at is None:
                track.lost_at = pts_seconds
        for column in np.flatnonzero(ids < 0):
            ids[column] = self._next_id
            self.tracks.append(Track(self._next_id, landmarks[column].copy(), pts_seconds))
            self._next_id += 1
        return ids

    def _costs(self, pts_seconds: float, landmarks: np.ndarray) -> np.ndarray:
        """(tracks, n) cost of every pairing; _FORBIDDEN where the face is out of reach."""
        cost = np.full((len(self.tracks), len(landmarks)), _FORBIDDEN)
        if not cost.size:
            return cost
        centres, sizes, forms = _measure(landmarks)
        for row, track in enumerate(self.tracks):
            gap = pts_seconds - track.seen_at
            own = np.stack([track.predict(pts_seconds), track.landmarks])
            own_centres, own_sizes, own_forms = _measure(own)
            mean_size = np.sqrt(sizes * own_sizes[0])
            # A face that stopped behind something is where it was, not where it was heading.
            distance = np.linalg.norm(centres - own_centres[0], axis=1)
            if track.lost_at is not None:
                stayed = np.linalg.norm(centres - own_centres[1], axis=1)
                distance = np.minimum(distance, stayed + 0.25 * mean_size)
            distance = distance / mean_size
            resize = np.abs(np.log(sizes / own_sizes[0]))
            form = np.linalg.norm(forms - own_forms[0], axis=2).mean(1)
            allowed = (distance <= self.config.reach + self.config.reach_per_second * gap) & (
                resize <= np.log(self.config.max_resize) + gap
            )
            total = distance + SIZE_COST * resize + SHAPE_COST * form
            cost[row, allowed] = total[allowed]
        return cost

    def _move(self, track: Track, pts_seconds: float, landmarks: np.ndarray) -> None:
        gap = pts_seconds - track.seen_at
        if gap > 0:
            measured = (landmarks.mean(0) - track.landmarks.mean(0)) / gap
            share = VELOCITY_SHARE if track.sightings > 1 else 1.0
            track.velocity = share * measured + (1 - share) * track.velocity
        track.landmarks = landmarks.copy()
        track.seen_at = pts_seconds
        track.lost_at = track.look = None
        track.before_cut = False
        track.sightings += 1


def _measure(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, 68, 2) -> centres (n, 2) px, sizes (n,) px, forms (n, 68, 2) without place and size."""
    centres = landmarks.mean(1)
    sizes = np.maximum(np.ptp(landmarks, axis=1).max(1), 1e-6)
    return centres, sizes, (landmarks - centres[:, None]) / sizes[:, None, None]


def assign(cost: np.ndarray) -> list[tuple[int, int]]:
    """The pairing of rows and columns with the least total cost (Hungarian method, O(n^3)).

    cost: (rows, columns) finite floats. Returns min(rows, columns) pairs, sorted by row.
    """
    if cost.size < 2:
        return [(0, 0)] * cost.size
    if cost.shape[0] > cost.shape[1]:
        return sorted((row, column) for column, row in assign(cost.T))
    rows, columns = cost.shape
    # Potentials u, v and augmenting paths, 1-based; row 0 and column 0 are the path's start.
    u, v = np.zeros(rows + 1), np.zeros(columns + 1)
    owner = np.zeros(columns + 1, np.int64)
    for row in range(1, rows + 1):
        owner[0] = row
        slack = np.full(columns + 1, np.inf)
        back = np.zeros(columns + 1, np.int64)
        used = np.zeros(columns + 1, bool)
        at = 0
        while owner[at]:
            used[at] = True
            reduced = cost[owner[at] - 1] - u[owner[at]] - v[1:]
            better = ~used[1:] & (reduced < slack[1:])
            slack[1:][better] = reduced[better]
            back[1:][better] = at
            step_to = int(np.argmin(np.where(used, np.inf, np.append(np.inf, slack[1:]))))
            step = slack[step_to]
            u[owner[used]] += step
            v[used] -= step
            slack[~used] -= step
            at = step_to
        while at:
            owner[at] = owner[back[at]]
            at = int(back[at])
    return sorted((int(owner[c]) - 1, c - 1) for c in range(1, columns + 1) if owner[c])
