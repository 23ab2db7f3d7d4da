"""Times of frames that always rise, whatever the file says.

Cameras and converters write times that jump back: recordings that were joined, a counter that
starts again at 0, reordered frames in formats that cannot say so.
"""

from av.video.frame import VideoFrame

from aucli.words import counted

# A clock that jumps back further than this has started again; less is a frame out of order.
RESTART_SECONDS = 0.5


class Clock:
    """Gives each frame a time in ticks of the stream, later than the one before.

    step: ticks between two frames, for frames without a time. second: ticks of a second.
    ``restarts`` counts jumps back, which are closed up; ``moved`` counts frames whose own time was
    not later than the one before; ``untimed`` counts frames without a time.
    """

    def __init__(self, step: int, second: float) -> None:
        self.step = step
        self.restarts = self.moved = self.untimed = self._frames = 0
        self._second = second
        self._restart = RESTART_SECONDS * second
        self._offset = 0
        self._last: int | None = None
        self._faulty_pts = self._faulty_dts = 0
        self._last_pts: int | None = None
        self._last_dts: int | None = None

    def tick(self, frame: VideoFrame) -> int:
        """The time of the next frame."""
        self._frames += 1
        said = self._said(frame)
        last = self._last
        if said is None:
            self.untimed += 1
            now = 0 if last is None else last + self.step
        elif last is None:
            now = said
        else:
            now = said + self._offset
            if now < last - self._restart:
                self.restarts += 1
                now = last + self.step
                self._offset = now - said
            elif now <= last:
                self.moved += 1
                now = last + max(1, self.step // 2)
        self._last = now
        return now

    def is_past(self, frame: VideoFrame) -> bool:
        """Whether the next frame says that it is shown before one that has passed, and not because
        the clock has started again."""
        pts, last = frame.pts, self._last_pts
        return pts is not None and last is not None and last - self._restart <= pts <= last

    def _said(self, frame: VideoFrame) -> int | None:
        """The presentation time, or the decoding time where that goes back less often.

        As libavcodec's best_effort_timestamp, which PyAV does not show.
        """
        pts, dts = frame.pts, frame.dts
        if pts is not None:
            self._faulty_pts += self._last_pts is not None and pts <= self._last_pts
            self._last_pts = pts
        if dts is not None:
            self._faulty_dts += self._last_dts is not None and dts <= self._last_dts
            self._last_dts = dts
        if pts is not None and (dts is None or self._faulty_pts <= self._faulty_dts):
            return pts
        return dts

    def note(self) -> str:
        """How the times were mended, in one sentence; empty where they were not."""
        if self.untimed and self.untimed == self._frames:
            rate = counted(float(self._second / self.step), "frame")
            return f"The file has no times, so they follow from {rate} a second."
        done = []
        if self.restarts:
            done.append(f"started again {_times(self.restarts)} and was continued")
        if self.moved:
            done.append(f"did not rise {_times(self.moved)} and was moved on there")
        return f"The clock of the file {' and '.join(done)}." if done else ""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
