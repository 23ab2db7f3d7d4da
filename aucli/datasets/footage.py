"""Where the frames of a recording are: a film, a folder of pictures, or pictures inside a zip."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aucli.errors import DataError, InputError
from aucli.records import FrameBatch
from aucli.video.source import open_video
from aucli.video.stills import decode_image, image_files, natural_key, read_image
from aucli.words import counted

BATCH_FRAMES = 16


@dataclass(frozen=True, slots=True)
class Film:
    """A video file; ``frame_index`` counts its decoded frames."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures in natural order; ``frame_index`` is the position, as in ``aucli analyze FOLDER``.

    archive: the zip that holds them, None for files of their own. files: paths, inside the archive
    if there is one.
    """

    folder: str
    files: tuple[Path, ...]
    archive: Path | None = None

    def __str__(self) -> str:
        return self.folder

    def numbers(self) -> list[int]:
        """The pictures' names as numbers, zeros in front or not. Raises DataError."""
        for file in self.files:
            if not file.stem.isdecimal():
                raise DataError(
                    f"{self.folder} holds the picture {file.name}, whose name is no frame number; "
                    "take it away."
                )
        return [int(file.stem) for file in self.files]


Footage = Film | Pictures


def picture_folder(folder: Path) -> Pictures:
    """The pictures of a folder. Raises InputError where there are none."""
    return Pictures(str(folder), tuple(image_files(folder)))


def zipped_folders(archive: Path) -> dict[str, Pictures]:
    """The folders of JPEG pictures inside a zip, by their last name. Raises DataError."""
    folders: dict[str, list[Path]] = {}
    try:
        with zipfile.ZipFile(archive) as container:
            names = container.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{archive} cannot be read as a zip; copy it again.") from error
    for name in names:
        path = Path(name)
        if path.suffix.lower() in (".jpg", ".jpeg") and not path.name.startswith("."):
            folders.setdefault(path.parent.name, []).append(path)
    return {
        name: Pictures(f"{archive}/{name}", tuple(sorted(files, key=natural_key)), archive)
        for name, files in folders.items()
    }


def declared_frames(frames: Footage) -> int:
    """How many frames there should be, read without decoding; 0 where a film does not say."""
    if isinstance(frames, Pictures):
        return len(frames.files)
    with open_video(frames.path, "pyav") as source:
        return source.info.declared_frames


class FrameReader:
    """The wanted frames of a recording: iterate once, then read what was there.

    total: frames of the whole recording. unreadable: frame indices of pictures that are damaged.
    A damaged film raises DataError: behind the damage its frames cannot be told from each other.
    """

    def __init__(self, frames: Footage, wanted: np.ndarray) -> None:
        self.frames = frames
        self.wanted = np.asarray(wanted, np.int64)
        self.total = len(frames.files) if isinstance(frames, Pictures) else 0
        self.unreadable: list[int] = []

    def __iter__(self) -> Iterator[FrameBatch]:
        if isinstance(self.frames, Film):
            yield from self._film(self.frames)
        elif self.frames.archive is None:
            yield from self._pictures(self.frames, None)
        else:
            with zipfile.ZipFile(self.frames.archive) as archive:
                yield from self._pictures(self.frames, archive)

    def _film(self, film: Film) -> Iterator[FrameBatch]:
        with open_video(film.path, batch_size=BATCH_FRAMES) as source:
            for batch in source:
                self.total += len(batch)
                keep = np.isin(batch.frame_index, self.wanted)
                if keep.any():
                    yield FrameBatch(
                        batch.frames[keep], batch.frame_index[keep], batch.pts_seconds[keep]
                    )
            if source.report.damaged:
                raise DataError(
                    f"{film} is damaged (decoded {counted(source.report.decoded_frames, 'frame')}, "
                    f"{counted(source.report.corrupt_packets, 'corrupt packet')}), so its labels "
                    "cannot be matched; copy it again."
                )

    def _pictures(
        self, pictures: Pictures, archive: zipfile.ZipFile | None
    ) -> Iterator[FrameBatch]:
        """A batch ends early where the size of the pictures changes."""
        images: list[np.ndarray] = []
        indices: list[int] = []
        for index in self.wanted.tolist():
            try:
                image = _read_picture(pictures.files[index], archive)
            except InputError:
                self.unreadable.append(index)
                continue
            if images and (len(images) == BATCH_FRAMES or image.shape != images[0].shape):
                yield _picture_batch(images, indices)
                images, indices = [], []
            images.append(image)
            indices.append(index)
        if images:
            yield _picture_batch(images, indices)


def _read_picture(path: Path, archive: zipfile.ZipFile | None) -> np.ndarray:
    """(H, W, 3) uint8 RGB. Raises InputError."""
    if archive is None:
        return read_image(path)
    name = f"{path} in {archive.filename}"
    try:
        return decode_image(io.BytesIO(archive.read(path.as_posix())), name)
    except zipfile.BadZipFile as error:
        raise InputError(f"{name} cannot be read; copy the archive again.") from error


def _picture_batch(images: list[np.ndarray], indices: list[int]) -> FrameBatch:
    """Pictures carry no time."""
    return FrameBatch(np.stack(images), np.array(indices, np.int64), np.full(len(images), np.nan))
