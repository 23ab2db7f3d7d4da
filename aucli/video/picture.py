"""One decoded frame to upright RGB with square pixels; all that decides is read from the frame."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

# Pixels more stretched than this are a damaged header, not a recording (anamorphic film has 2:1).
MAX_PIXEL_ASPECT = 4


@dataclass(frozen=True, slots=True)
class Turn:
    """How stored frames become upright: mirrored left to right first, then turned.

    quarter_turns: clockwise, 0-3.
    """

    quarter_turns: int = 0
    mirrored: bool = False

    def apply(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) -> the same, upright; (W, H, 3) after a quarter turn."""
        return np.rot90(image[:, ::-1] if self.mirrored else image, -self.quarter_turns)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) after the turn."""
        return (height, width) if self.quarter_turns % 2 else (width, height)


def turn_of(frame: VideoFrame) -> Turn:
    """The turn nearest to the frame's display matrix; none where it has no matrix.

    A matrix (a b u; c d v; x y w) shows the pixel (p, q) at (a p + c q + x, b p + d q + y);
    FFmpeg's libavutil/display.h. Its eight turns are those of EXIF.
    """
    stored = frame.side_data.get(Type.DISPLAYMATRIX)  # pyright: ignore[reportCallIssue, reportArgumentType]
    if stored is None:
        return Turn()
    matrix = np.frombuffer(bytes(stored), np.int32).reshape(3, 3)[:2, :2].astype(float)
    # Rows of an upright picture's axes under each turn, in the same layout.
    best, turn = 0.0, Turn()
    for mirrored in (False, True):
        for quarters in range(4):
            own = _MIRROR @ _QUARTER[quarters] if mirrored else _QUARTER[quarters]
            if (fit := float((own * matrix).sum())) > best:
                best, turn = fit, Turn(quarters, mirrored)
    return turn


_MIRROR = np.array([[-1, 0], [0, 1]])
# Clockwise with y down: what points right points down afterwards.
_QUARTER = [np.linalg.matrix_power(np.array([[0, 1], [-1, 0]]), n) for n in range(4)]


def square_pixels(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """(width, height) px with square pixels, none of them lost: one side grows, none shrinks.

    aspect: width of a stored pixel over its height, as DV tapes and anamorphic lenses need it; None
    and impossible ones count as square.
    """
    if not aspect or not Fraction(1, MAX_PIXEL_ASPECT) <= aspect <= MAX_PIXEL_ASPECT:
        return width, height
    return round(width * max(aspect, 1)), round(height / min(aspect, 1))


class Upright:
    """Turns the frames of one stream into RGB, in their order."""

    def __init__(self, stream: VideoStream) -> None:
        self._context = stream.codec_context
        self._stated = stream.sample_aspect_ratio
        self._first = self._context.sample_aspect_ratio
        self._form: tuple[int, int, int] | None = None
        self._turn = Turn()
        self._seen: VideoFrame | None = None

    def see(self, frame: VideoFrame) -> None:
        """Look at the next frame, also at one whose pixels nobody wants."""
        form = (frame.width, frame.height, frame.rotation)
        if form != self._form:
            # Not of each frame: PyAV then keeps it until Python's garbage is collected. So do we,
            # as what a damaged picture lacks may be from memory that an earlier one has given back.
            self._form, self._turn, self._seen = form, turn_of(frame), frame

    def rgb(self, frame: VideoFrame, aspect: Fraction | None) -> np.ndarray:
        """(H, W, 3) uint8 RGB, upright, with square pixels. aspect: of the frame's pixels."""
        self.see(frame)
        width, height = square_pixels(frame.width, frame.height, aspect)
        # Bicubic as in decord; formats at half the chroma resolution in both directions need
        # neither.
        rgb = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="BICUBIC")
        return self._turn.apply(rgb)

    def aspect(self) -> Fraction | None:
        """Width over height of the pixels of the frame that was decoded last: the container's,
        until the decoder's own changes."""
        own = self._context.sample_aspect_ratio
        return own if own and self._first and own != self._first else self._stated
