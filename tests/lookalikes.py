"""Tiny folders in the layout of each dataset as a licensee receives it, with every known quirk.

Each function writes three subjects or more and returns the root. Pictures and labels come from
functions, so that a test may put rendered faces there; the plain ones say which frame they are.
"""

import zipfile
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path

import av
import numpy as np
from bright_faces import HEIGHT, ONE, WIDTH
from PIL import Image

from aucli.aus import BP4D_AUS, DISFA_AUS
from aucli.datasets import fera2017, unbc
from aucli.mean_shape import MEAN_SHAPE

Picture = Callable[[str, int], np.ndarray]  # subject, frame_index -> (H, W, 3) uint8
Intensity = Callable[[str, str, int], int]  # subject, AU, frame_index -> 0-5

DISFA_SUBJECTS = ("SN001", "SN010", "SN031")
DISFA_PLUS_SUBJECTS = ("SN001", "SN003", "SN027")
BP4D_SUBJECTS = ("F001", "F002", "M010")
UNBC_SUBJECTS = ("042-ll042", "043-jh043", "124-dn124")
# Pictures of BP4D are numbered by the time in their task; only the middle is coded.
FIRST_PICTURE, UNCODED = 9, 2


def gray(subject: str, frame_index: int) -> np.ndarray:
    """One gray of each person, at which the stand-in of ``bright_faces`` sees one face."""
    return np.full((HEIGHT, WIDTH, 3), ONE + int(subject[-2:] or 0) % 11, np.uint8)


def counting(subject: str, au: str, frame_index: int) -> int:
    """A label that depends on all it is asked for."""
    digits = int("".join(c for c in subject if c.isdecimal()))
    return (digits + int(au[2:]) + frame_index) % 6


def landmarks66(frame_index: int) -> np.ndarray:
    """(66, 2) px of a face about 30 px wide that moves a pixel to the right each frame."""
    points = MEAN_SHAPE[:, :2] * [2, -2] + [40 + frame_index, 30]
    return np.delete(points, [60, 64], axis=0)


def write_film(path: Path, pictures: Iterable[np.ndarray], fps: int = 20) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = None
        for pixels in pictures:
            if stream is None:
                stream = container.add_stream("mpeg4", rate=fps)
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))
        assert stream is not None
        container.mux(stream.encode())
    return path


def write_text(path: Path, lines: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\r\n" for line in lines))
    return path


def write_picture(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def disfa_labels(root: Path, subject: str, frames: int, intensity: Intensity = counting) -> None:
    for au in DISFA_AUS:
        path = root / "ActionUnit_Labels" / subject / f"{subject}_au{int(au[2:])}.txt"
        write_text(path, (f"{i + 1},{intensity(subject, au, i)}" for i in range(frames)))


def disfa(
    root: Path, frames: int = 6, picture: Picture = gray, intensity: Intensity = counting
) -> Path:
    """SN010 has a label less than frames; SN031's landmark files count from 1, SN010's have an
    extra one first; the right camera's names differ in case."""
    from scipy.io import savemat

    for subject in DISFA_SUBJECTS:
        pictures = [picture(subject, i) for i in range(frames)]
        write_film(root / f"Videos_LeftCamera/LeftVideo{subject}_comp.avi", pictures)
        ending = "_Comp.avi" if subject == "SN001" else "_comp.avi"
        write_film(root / f"Video_RightCamera/RightVideo{subject}{ending}", pictures)
        disfa_labels(root, subject, frames - (subject == "SN010"), intensity)
        inner = "frame_lm" if subject == "SN001" else "tmp_frame_lm"
        folder = root / "Landmark_Points/Landmark_Points" / subject / inner
        folder.mkdir(parents=True)
        for i in range(frames):
            name = f"l0{i + 1:04d}_lm.mat" if subject == "SN031" else f"{subject}_{i:04d}_lm.mat"
            first_is_extra = subject == "SN010"
            savemat(folder / name, {"pts": landmarks66(i - first_is_extra)})
    return root


def disfa_plus(
    root: Path, frames: int = 4, picture: Picture = gray, intensity: Intensity = counting
) -> Path:
    for subject in DISFA_PLUS_SUBJECTS:
        for trial in ("A1_AU1_TrailNo_1", "Y2_Happy_TrailNo_2"):
            for i in range(frames):
                write_picture(root / f"Images/{subject}/{trial}/{i:03d}.jpg", picture(subject, i))
            for au in DISFA_AUS:
                head = ["# trial", "# frame intensity"]
                rows = [f"{i:03d}.jpg     {intensity(subject, au, i)}" for i in range(frames)]
                write_text(root / f"Labels/{subject}/{trial}/AU{int(au[2:])}.txt", head + rows)
    return root


def _bp4d_numbers(frames: int) -> range:
    return range(FIRST_PICTURE, FIRST_PICTURE + frames)


def bp4d_labels(
    folder: Path, task: str, frames: int, intensity: Intensity, unscorable: int | None
) -> None:
    """The first and last pictures are not coded; AU17 of one frame may be unscorable."""
    subject = task.partition("_")[0]
    for au in BP4D_AUS:
        rows = []
        for i in range(UNCODED, frames - UNCODED):
            value = 9 if (i, au) == (unscorable, "AU17") else intensity(subject, au, i)
            rows.append(f"{FIRST_PICTURE + i},{value}")
        write_text(folder / au / f"{task}_{au}.csv", rows)


def bp4d(
    root: Path,
    frames: int = 8,
    picture: Picture = gray,
    intensity: Intensity = counting,
    fera2015: bool = False,
) -> Path:
    """Numbers pass from 9 to 10; F002's pictures have zeros in front."""
    pictures = root / ("BP4D-training" if fera2015 else "Sequences_2D+3D")
    labels = root / ("AU Intensity Codes3.0" if fera2015 else "AUCoding/AU_INT")
    for subject in BP4D_SUBJECTS:
        for task in ("T1", "T2"):
            for i, number in enumerate(_bp4d_numbers(frames)):
                name = f"{number:04d}.jpg" if subject == "F002" else f"{number}.jpg"
                write_picture(pictures / subject / task / name, picture(subject, i))
            bp4d_labels(labels, f"{subject}_{task}", frames, intensity, UNCODED)
    return root


def bp4d_plus(
    root: Path, frames: int = 8, picture: Picture = gray, intensity: Intensity = counting
) -> Path:
    """Zips with a coded task and one that nobody coded; M010 is unpacked."""
    for subject in BP4D_SUBJECTS:
        for task in ("T1", "T8"):
            bp4d_labels(root / "AUCoding/AU_INT", f"{subject}_{task}", frames, intensity, UNCODED)
        folder = root / "2D+3D"
        folder.mkdir(parents=True, exist_ok=True)
        archive = None if subject == "M010" else zipfile.ZipFile(folder / f"{subject}.zip", "w")
        for task in ("T1", "T2", "T8"):
            for i, number in enumerate(_bp4d_numbers(frames)):
                pixels = picture(subject, i)
                if archive is None:
                    write_picture(folder / subject / task / f"{number:04d}.jpg", pixels)
                    continue
                buffer = BytesIO()
                Image.fromarray(pixels).save(buffer, "JPEG")
                archive.writestr(f"{subject}/{task}/{number}.jpg", buffer.getvalue())
        if archive is not None:
            archive.close()
    return root


def fera(
    root: Path, frames: int = 5, picture: Picture = gray, intensity: Intensity = counting
) -> Path:
    """Labels with a header and from 1; F001 is somebody else in each part, VA_F001 counts from
    0 and has no header."""
    for person in ("TR_F001", "TR_M010", "VA_F001"):
        name = f"FERA17_{person}_T1"
        subject = person.partition("_")[2]
        for view in (5, 6):
            film = root / "ims" / f"{name}_{view}.mp4"
            write_film(film, [picture(subject, i) for i in range(frames)], fps=25)
        first = 0 if person == "VA_F001" else 1
        for au in fera2017.AUS:
            rows = [f"{i + first},{intensity(subject, au, i)}" for i in range(frames)]
            head = ["frame,int"] if first else []
            write_text(root / "int" / f"{name}_{au}_Int.csv", head + rows)
    return root


def unbc_archive(
    root: Path, frames: int = 4, picture: Picture = gray, intensity: Intensity = counting
) -> Path:
    """Numbers in scientific notation, files that are empty, and AUs outside the usual ten."""
    for subject in UNBC_SUBJECTS:
        sequence = f"{subject[4:]}t1aaaff"
        for i in range(frames):
            frame = f"{sequence}{i + 1:03d}"
            write_picture(root / f"Images/{subject}/{sequence}/{frame}.png", picture(subject, i))
            rows = [
                f"   {int(au[2:]):.7e}   {intensity(subject, au, i):.7e}   0.0000000e+00   2.0e+00"
                for au in unbc.AUS
                if i and intensity(subject, au, i)
            ]
            rows += ["   5.0000000e+01   3.0000000e+00   1.0000000e+00   2.0e+00"] if i else []
            write_text(root / f"Frame_Labels/FACS/{subject}/{sequence}/{frame}_facs.txt", rows)
            points = [f"   {x:.7e}   {y:.7e}" for x, y in landmarks66(i)]
            write_text(root / f"AAM_landmarks/{subject}/{sequence}/{frame}_aam.txt", points)
    return root


WRITERS: dict[str, Callable[..., Path]] = {
    "disfa": disfa,
    "disfa-plus": disfa_plus,
    "bp4d": bp4d,
    "bp4d-plus": bp4d_plus,
    "fera2017": fera,
    "unbc": unbc_archive,
}
