"""Make a film of five moving faces from the face of the demo clip, to measure speed with.

    python examples/maintenance/make_five_faces.py five_faces.mp4

300 frames of 1280x720. Each face has a column of its own, moves up and down in it, and is at
another moment of the demo clip; two of them are mirrored. --frames: another number of frames.
"""

import argparse
from pathlib import Path

import av
import numpy as np
from PIL import Image

from aucli.errors import run_script
from aucli.video.source import open_video

DEMO = Path(__file__).resolve().parents[1] / "demo.mp4"
FPS = 25
FRAMES = 300
WIDTH, HEIGHT = 1280, 720
COLUMN = WIDTH // 5
FACE_SIZE = 216  # px, of the square with the head
HEAD = (slice(20, 360), slice(150, 490))  # where it lies in the demo clip, rows and columns
# Up and down, in px and in seconds for once; another pace for each face.
SWING_PX, SWING_SECONDS = 200, (5.0, 6.1, 7.3, 5.6, 6.7)
SWAY_PX, SWAY_SECONDS = 16, 3.1


def faces_of(video: Path) -> list[np.ndarray]:
    """The head in each frame of the demo clip, (FACE_SIZE, FACE_SIZE, 3) uint8."""
    with open_video(video) as source:
        return [
            np.asarray(Image.fromarray(frame[HEAD]).resize((FACE_SIZE, FACE_SIZE)))
            for batch in source
            for frame in batch.frames
        ]


def soft_edge() -> np.ndarray:
    """(FACE_SIZE, FACE_SIZE, 1), 1 on the head and 0 at the border of the square."""
    y, x = np.mgrid[-1 : 1 : FACE_SIZE * 1j, -1 : 1 : FACE_SIZE * 1j]
    return np.clip((1 - np.hypot(x, y)) / 0.15, 0, 1)[..., None].astype(np.float32)


def write_five_faces(video: Path, target: Path, frames: int = FRAMES) -> None:
    """Write the film of five of the faces of a video that lie where the demo clip's does."""
    faces, alpha = faces_of(video), soft_edge()
    slope = np.linspace(150, 90, HEIGHT, dtype=np.float32)[:, None, None]
    backdrop = np.broadcast_to(slope + np.array([0, 6, 14], np.float32), (HEIGHT, WIDTH, 3))
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(frames):
            seconds = index / FPS
            picture = backdrop.copy()
            for i, swing in enumerate(SWING_SECONDS):
                face = faces[(index + i * len(faces) // 5) % len(faces)]
                if i % 2:
                    face = face[:, ::-1]
                up = SWING_PX * np.sin(2 * np.pi * seconds / swing + i)
                along = SWAY_PX * np.sin(2 * np.pi * seconds / SWAY_SECONDS + 2 * i)
                top = round((HEIGHT - FACE_SIZE) / 2 + up)
                left = round(i * COLUMN + (COLUMN - FACE_SIZE) / 2 + along)
                region = picture[top : top + FACE_SIZE, left : left + FACE_SIZE]
                region += alpha * (face - region)
            frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("target", type=Path, metavar="OUT")
    parser.add_argument("--frames", type=int, default=FRAMES)
    args = parser.parse_args()
    write_five_faces(DEMO, args.target, args.frames)
    print(f"wrote {args.target}: {args.frames} frames")


if __name__ == "__main__":
    run_script(main)
