"""How each tool names the columns of its tables."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Unit = Literal["intensity", "probability"]

SHARED = ("subject", "video", "frame", "frame_index", "timestamp", "pts_seconds")
AU_LIST = "action_units"  # OpenFace 3's values as one text, [[0.1, 0.0, ...]]
BOX_LIST = "face_detection"  # its box as one text, [x0, y0, x1, y1, score, ...]
LANDMARK = r"[xy]_(?:\d|[1-5]\d|6[0-7])"


@dataclass(frozen=True, slots=True)
class Tool:
    """How one tool names its columns.

    au: matches the column of an AU; its group ``au`` is the AU's number, and ``place`` its place in
    ``order``. frame: column of the frame, whose first one has the number ``first``. time: column of
    the seconds. success: 1 in rows with a face; without such a column, a row with AUs has one.
    score: decides between several faces in a frame. video: column that names the input. unit:
    ``intensity`` is 0-5, ``probability`` 0-1. face: column of the face's number. box: columns of
    its box, left, top, width, height in px. has_landmarks: whether x_0 ... y_67 are the 68
    landmarks in px. also: other names of columns -> their name here.
    """

    title: str
    au: str
    frame: str
    first: int
    time: str = ""
    success: str = ""
    score: str = ""
    video: str = ""
    unit: Unit = "intensity"
    face: str = ""
    box: tuple[str, ...] = ()
    has_landmarks: bool = False
    order: tuple[int, ...] = ()
    also: Mapping[str, str] = field(default_factory=dict)

    def au_columns(self, names: Iterable[str]) -> dict[str, list[str]]:
        """AU -> its columns, in numerical order; ``AU12_r`` goes before ``AU12``."""
        found: dict[str, list[str]] = {}
        for name in names:
            if match := re.fullmatch(self.au, name):
                place = match.groupdict().get("place")
                number = self.order[int(place)] if place else int(match["au"])
                found.setdefault(f"AU{number:02d}", []).append(name)
        for au, columns in found.items():
            found[au] = [name for name in columns if name.endswith("_r")] or columns
        return dict(sorted(found.items()))

    def own(self, name: object) -> str:
        """A column's name as this tool spells it; that of another column without the spaces."""
        stripped = str(name).strip()
        known = (self.frame, self.time, self.success, self.score, self.video, *SHARED)
        spelled = {k.casefold(): k for k in known if k} | dict(self.also)
        return spelled.get(stripped.casefold(), stripped)

    def reads(self, name: str, faces: bool = False) -> bool:
        """Whether a column is of any use: py-feat writes more than a thousand others.

        faces: also whose face it is, and where.
        """
        others = (self.frame, self.time, self.success, self.score, self.video)
        own = self.own(name)
        listed = bool(self.order) and own in (AU_LIST, BOX_LIST)
        return (
            own in others
            or own in SHARED
            or listed
            or bool(re.fullmatch(self.au, own))
            or (faces and (own == self.face or own in self.box or self._is_landmark(own)))
        )

    def _is_landmark(self, name: str) -> bool:
        return self.has_landmarks and re.fullmatch(LANDMARK, name) is not None


# The case of _r is kept: AU12_R is the right side of the face.
OURS = r"(?i:AU)(?P<au>\d{1,2})(?:_r)?"
TOOLS = {
    "aucli": Tool(
        "aucli", OURS, "frame", 1, "timestamp", "success", "confidence", "video",
        face="face_id", box=("face_x", "face_y", "face_w", "face_h"), has_landmarks=True,
    ),
    "openface": Tool(
        "OpenFace", r"(?i:AU)(?P<au>\d{1,2})_r", "frame", 1, "timestamp", "success", "confidence",
        face="face_id", has_landmarks=True,
    ),
    # It writes no file itself: scripts write what its predictor returns, a list or AU_00 ... AU_07.
    # Its values say how sure it is that an AU is there, 0-1. It names none of them. Its training
    # code takes places 0 4 8 10 11 1 6 7 of DISFA's twelve labels; sorted by the files' names (au1,
    # au12 ...) these are the eight below. Times are those of the computer's clock: of no use.
    "openface3": Tool(
        "OpenFace 3", r"(?i:AU)(?:_(?P<place>0[0-7])|(?P<au>\d{1,2}))", "frame_index", 0,
        unit="probability", score="confidence", video="video", face="face_id",
        box=("face_x", "face_y", "face_w", "face_h"), order=(1, 2, 4, 6, 9, 12, 25, 26),
        also={"frame_idx": "frame_index", "frame": "frame_index"},
    ),
    # Its approx_time is whole seconds as text: of no use for matching.
    "py-feat": Tool(
        "py-feat", r"(?i:AU)(?P<au>\d{1,2})", "frame", 0, "", "", "FaceScore", "input",
        "probability", box=("FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight"),
    ),
    "libreface": Tool(
        "LibreFace", r"(?i:au)_(?P<au>\d{1,2})_intensity", "frame_idx", 0, "frame_time_in_ms"
    ),
}  # fmt: skip


def guess_tool(names: Iterable[str]) -> str | None:
    """The tool whose columns these are; None where they may be several tools' or nobody's."""
    have = [str(name).strip() for name in names]
    small = {name.casefold() for name in have}
    if TOOLS["libreface"].au_columns(have):
        return "libreface"
    if AU_LIST in small or {f"au_{place:02d}" for place in range(8)} <= small:
        return "openface3"
    if {"facescore", "facerectx"} & small and TOOLS["py-feat"].au_columns(have):
        return "py-feat"
    if TOOLS["openface"].au_columns(have):
        return "aucli" if "video" in small else "openface"
    return None
