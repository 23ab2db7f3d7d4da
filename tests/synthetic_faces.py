"""Drawn faces in the layout of rendered shards: enough to train on for a few steps in tests."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from aucli.aus import SYNTHETIC_AUS

SIZE = 192


def mean_face() -> np.ndarray:
    """(68, 2) px of a plain frontal face in a 192 px image."""
    jaw = np.linspace(np.pi, 0, 17)
    points = [np.stack([96 + 50 * np.cos(jaw), 92 + 58 * np.sin(jaw)], 1)]
    for x0, x1 in ((54, 86), (106, 138)):
        x = np.linspace(x0, x1, 5)
        points.append(np.stack([x, 70 - 5 * np.sin(np.linspace(0, np.pi, 5))], 1))
    points.append(np.stack([np.full(4, 96), np.linspace(82, 106, 4)], 1))
    points.append(np.stack([np.linspace(86, 106, 5), np.array([111, 113, 114, 113, 111])], 1))
    for x in (70, 122):
        dx, dy = np.array([-12, -5, 5, 12, 5, -5]), np.array([0, -5, -5, 0, 4, 4])
        points.append(np.stack([x + dx, 82 + dy], 1))
    outer = np.linspace(np.pi, -np.pi, 13)[:12]
    points.append(np.stack([96 + 20 * np.cos(outer), 128 - 9 * np.sin(outer)], 1))
    inner = np.linspace(np.pi, -np.pi, 9)[:8]
    points.append(np.stack([96 + 14 * np.cos(inner), 128 - 4 * np.sin(inner)], 1))
    return np.concatenate(points).astype(np.float32)


def draw_face(rng: np.random.Generator, smile: float) -> tuple[np.ndarray, np.ndarray]:
    """(192, 192, 4) RGBA, not premultiplied, and (68, 2) landmarks. smile: 0-5, mouth's height."""
    points = mean_face() * rng.uniform(0.85, 1.05) + rng.uniform(-4, 10, 2)
    points[48:, 1] += (points[48:, 1] - points[48:, 1].mean()) * smile / 5
    picture = Image.new("RGBA", (SIZE, SIZE))
    draw = ImageDraw.Draw(picture)
    low, high = points.min(0), points.max(0)
    skin = (*rng.integers(120, 230, 3).tolist(), 255)
    draw.ellipse((low[0] - 4, low[1] - 34, high[0] + 4, high[1] + 4), skin)
    for start, stop, ink in ((36, 42, "white"), (42, 48, "white"), (48, 60, "darkred")):
        draw.polygon([tuple(p) for p in points[start:stop].tolist()], ink)
    for start, stop in ((17, 22), (22, 27), (27, 31)):
        draw.line([tuple(p) for p in points[start:stop].tolist()], "black", 3)
    return np.asarray(picture), points.astype(np.float32)


def write_shards(root: Path, shards: int = 2, faces: int = 12, seed: int = 0) -> Path:
    """Shards of drawn faces; AU12 and AU25 follow the mouth, AU12_L is larger than AU12_R."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        rows = []
        for n in range(faces):
            index = shard * faces + n
            smile = float(rng.choice([0.0, 0.0, 4.0]))
            rgba, points = draw_face(rng, smile)
            alpha = rgba[..., 3]
            rgb = (rgba[..., :3] * (alpha[..., None] / 255)).astype(np.uint8)
            jpeg, png = io.BytesIO(), io.BytesIO()
            Image.fromarray(rgb).save(jpeg, "JPEG", quality=92)
            Image.fromarray(alpha).save(png, "PNG")
            row = {
                "index": index, "identity": index // 2, "rgb": jpeg.getvalue(),
                "matte": png.getvalue(), "landmarks": points.reshape(-1).tolist(),
                "visible": [True] * 68, "pose_Rx": 0.0, "pose_Ry": 0.0, "pose_Rz": 0.0,
                "gaze_x": 0.0, "gaze_y": 0.0, "blink": 0.0,
            }  # fmt: skip
            for au in SYNTHETIC_AUS:
                value = smile if au in ("AU12", "AU25") else 0.0
                row[f"{au}_L"], row[f"{au}_R"] = value, value * (0.5 if au == "AU12" else 1)
            rows.append(row)
        table = pa.Table.from_pylist(rows)
        for name in table.column_names:
            kind = table.schema.field(name).type
            if pa.types.is_floating(kind):
                place = table.column_names.index(name)
                table = table.set_column(place, name, table[name].cast(pa.float32()))
        place = table.column_names.index("landmarks")
        table = table.set_column(
            place, "landmarks", table["landmarks"].cast(pa.list_(pa.float32()))
        )
        pq.write_table(table, root / f"shard-{shard:05d}.parquet")
    manifest = {"version": 1, "resolution": SIZE, "aus": list(SYNTHETIC_AUS), "seed": seed}
    (root / "manifest.json").write_text(json.dumps(manifest))
    return root
