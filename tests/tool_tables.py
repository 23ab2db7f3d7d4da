"""Tables in the layouts of other tools, from given values."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

Box = tuple[float, float, float, float]  # x0 y0 x1 y1 px
BOX: Box = (10.0, 20.0, 110.0, 140.0)
OPENFACE3_AUS = (1, 2, 4, 6, 9, 12, 25, 26)


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]], sep=",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [sep.join(header), *(sep.join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def _values(levels: Mapping[str, Sequence[float]]) -> np.ndarray:
    """(N, A)"""
    return np.array([*levels.values()], float).T


def write_openface(
    path: Path,
    levels: Mapping[str, Sequence[float]],
    fps: float = 10.0,
    frames: Sequence[int] | None = None,
    face_ids: Sequence[int] | None = None,
    boxes: Sequence[Box] | None = None,
) -> Path:
    """OpenFace 2.2: frames from 1, zeros and success 0 where a value is NaN. frames: from 0, of
    each row. boxes: of each row, as landmarks on their edges; without, there are no landmarks."""
    values = _values(levels)
    count = len(values)
    index = range(count) if frames is None else frames
    ids = [0] * count if face_ids is None else face_ids
    names = ["frame", "face_id", "timestamp", "confidence", "success"]
    marks = [f"{axis}_{i}" for axis in "xy" for i in range(68)] if boxes else []
    header = [*names, *marks, *(f"{au}_r" for au in levels)]
    rows = []
    for row, (frame, face) in enumerate(zip(index, ids, strict=True)):
        known = bool(np.isfinite(values[row]).all())
        own = [frame + 1, face, f"{frame / fps:.3f}", 0.98 if known else 0.02, int(known)]
        if boxes:
            x0, y0, x1, y1 = boxes[row]
            own += [x0 if i % 2 else x1 for i in range(68)]
            own += [y0 if i % 3 else y1 for i in range(68)]
        rows.append([*own, *np.nan_to_num(values[row]).tolist()])
    return _write(path, header, rows)


def write_py_feat(
    path: Path,
    levels: Mapping[str, Sequence[float]],
    frames: Sequence[int] | None = None,
    boxes: Sequence[Box] | None = None,
) -> Path:
    """py-feat: frames from 0, probabilities, empty cells where a value is NaN."""
    values = _values(levels)
    header = ["frame", "FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight", "FaceScore",
              *levels, "input"]  # fmt: skip
    rows = []
    for row in range(len(values)):
        known = bool(np.isfinite(values[row]).all())
        x0, y0, x1, y1 = boxes[row] if boxes else BOX
        box = [x0, y0, x1 - x0, y1 - y0, 0.99] if known else [""] * 5
        cells = values[row].tolist() if known else [""] * len(levels)
        frame = row if frames is None else frames[row]
        rows.append([frame, *box, *cells, f"/data/{path.stem}.mp4"])
    return _write(path, header, rows)


def write_libreface(path: Path, levels: Mapping[str, Sequence[float]], fps: float = 10.0) -> Path:
    """LibreFace: frames from 0, seconds under the name of milliseconds, no row without a face."""
    values = _values(levels)
    header = ["frame_idx", "frame_time_in_ms"]
    header += [f"au_{int(au[2:])}_intensity" for au in levels]
    rows = [
        [row, row / fps, *values[row].tolist()]
        for row in range(len(values))
        if np.isfinite(values[row]).all()
    ]
    return _write(path, header, rows)


def write_openface3(
    path: Path, levels: Mapping[str, Sequence[float]], box: Box | None = BOX
) -> Path:
    """What a script writes of OpenFace 3: a list of eight values and one of the box, as text. AUs
    that are not given are 0."""
    count = len(next(iter(levels.values())))
    rows = []
    for row in range(count):
        eight = [float(levels.get(f"AU{au:02d}", [0.0] * count)[row]) for au in OPENFACE3_AUS]
        place = [*box, 0.99] if box else []
        rows.append([row, f"{1.7e9 + row}", 0, place, [eight]])
    header = ["frame_index", "timestamp", "face_id", "face_detection", "action_units"]
    return _write(path, header, rows, "\t")
