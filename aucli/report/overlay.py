"""A video with what its table says drawn into it: a film, or a picture for each picture."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from PIL import Image

from aucli.errors import DataError, InputError, OptionError, OutputError
from aucli.files import refuse_existing, shown, write_whole
from aucli.pipeline.original import checksum
from aucli.records import FrameBatch, VideoInfo
from aucli.report.drawing import Overlay, Style, strongest
from aucli.report.film import Film, Sound, require_encoder
from aucli.report.hiding import Hiding, hide
from aucli.report.readings import Moments, Readings, to_readings
from aucli.table.reading import read_table
from aucli.video.source import FrameSource, open_video
from aucli.video.stills import FILM_SUFFIX, PICTURE_SUFFIX, overlay_files

if TYPE_CHECKING:
    import pandas as pd

FRAMES_PER_BATCH = 8  # nothing gains by more, and they fill memory

OnFrames = Callable[[int, int], None]  # frames done, frames declared (0: unknown)


@dataclass(frozen=True, slots=True)
class OverlayOptions:
    """What is drawn and what is left out.

    bars: AUs whose bars are shown; empty for the strongest. face: the id whose bars they are; None
    for the one that most rows are of. landmarks: draw the 68 points. anonymise: hide the faces, see
    :mod:`aucli.report.hiding`. sound: keep it. start, end: seconds of the video; None for all that
    the table has. by_time: the table is of another copy of the video, so its rows are found by
    their times, and its places are scaled to these frames.
    """

    bars: tuple[str, ...] = ()
    face: int | None = None
    landmarks: bool = False
    anonymise: bool = False
    sound: bool = True
    start: float | None = None
    end: float | None = None
    by_time: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """What came of it. files: written. frames: drawn. hidden_whole: of these, hidden as a whole.
    sound: whether there is any. damage: what is missing of the video, in a few words; empty where
    nothing is. notes: what the user should know, a sentence each."""

    files: tuple[Path, ...]
    frames: int
    hidden_whole: int = 0
    sound: bool = False
    damage: str = ""
    notes: tuple[str, ...] = field(default=())


def rows_of(table: "pd.DataFrame", video: Path, file: Path) -> "pd.DataFrame":
    """The rows of a table that are of this video: all where it holds only one.

    Raises DataError where it holds several, and none or more than one is named as this one.
    """
    labels = list(dict.fromkeys(table["video"].tolist()))
    if len(labels) < 2:
        return table
    names = {shown(video.name), video.stem}
    own = [label for label in labels if Path(str(label)).name in names or label in names]
    if len(own) != 1:
        few = ", ".join(map(shown, labels[:5])) + (", ..." if len(labels) > 5 else "")
        which = "none of them is" if not own else f"{len(own)} are"
        raise DataError(
            f"{shown(file)} holds {len(labels)} videos ({few}), and {which} named "
            f"{shown(video.name)}; give a table of this video alone."
        )
    return cast("pd.DataFrame", table[table["video"] == own[0]])


def source_of(provenance: Mapping[str, Any], video: Path) -> dict[str, Any]:
    """What a table's provenance says of the video that it was made of; empty where nothing."""
    inputs = [entry.get("input", {}) for entry in provenance.get("inputs", [])]
    own = [entry for entry in inputs if entry.get("name") == shown(video.name)]
    told = provenance.get("input") or (own[0] if len(own) == 1 else {})
    return dict(told) if isinstance(told, Mapping) else {}


def is_source(told: Mapping[str, Any], video: Path) -> bool:
    """Whether a video may be the one that a table was made of, by its checksum.

    Raises InputError where the video cannot be read.
    """
    # Where nothing is known, the frames' times tell later.
    return not told.get("sha256") or checksum(video) == told["sha256"]


def overlay_of_table(
    video: Path,
    table: Path,
    stem: Path,
    *,
    overwrite: bool = False,
    on_frames: OnFrames = lambda done, declared: None,
    on_batch: Callable[[], None] = lambda: None,
) -> tuple[Path, ...]:
    """Draw a table that was just made of a video; returns the files. See :func:`write_overlay`,
    also for stem, its target, and for what is raised."""
    made = write_overlay(
        video,
        to_readings(rows_of(read_table(table), video, table)),
        stem,
        OverlayOptions(),
        overwrite=overwrite,
        on_frames=on_frames,
        on_batch=on_batch,
    )
    return made.files


def write_overlay(
    video: Path,
    readings: Readings,
    target: Path,
    options: OverlayOptions,
    *,
    is_file: bool = False,
    size_wh: tuple[int, int] | None = None,
    overwrite: bool = False,
    on_frames: OnFrames = lambda done, declared: None,
    on_batch: Callable[[], None] = lambda: None,
) -> Made:
    """Draw readings into their video.

    target: folder and start of the names: ``out/clip`` gives ``out/clip.overlay.mp4``, of a picture
    ``out/clip.overlay.png``, of a folder of pictures ``out/clip_frame000001.overlay.png`` ..., the
    number as in the table. is_file: target is the name itself, which ends in .mp4 or .png. size_wh:
    px of the video that the table was made of, where that is another copy. on_frames: called with
    the progress; on_batch: for each batch of frames.

    A damaged video gives a film of what can be decoded. Frames beyond what the table has are left
    out. Raises InputError for a video that cannot be read, DataError for a table of another video,
    OptionError for AUs and faces that it has not, OutputError where the film cannot be written.
    """
    bars = _bars(readings, options)
    if options.anonymise and not readings.found.any() and (readings.face_id >= 0).any():
        raise DataError("The table has no face boxes, so no face can be hidden by it.")
    with open_video(video, "pyav", FRAMES_PER_BATCH) as source:
        moments = Moments(readings, options.by_time)
        style = Style(bars, options.face, options.landmarks)
        work = _Work(source, moments, style, options, size_wh, on_frames, on_batch)
        if source.unrelated and is_file and source.info.declared_frames != 1:
            raise OptionError(
                f"out: {shown(video)} holds several pictures; name a folder, and end it in /."
            )
        suffix = PICTURE_SUFFIX if source.unrelated else FILM_SUFFIX
        file = target if is_file else _named(target, suffix)
        if file.suffix.lower() != Path(suffix).suffix:
            what = "picture" if source.unrelated else "film"
            raise OptionError(
                f"out: {shown(file)} would be a {what}; end its name in {Path(suffix).suffix}."
            )
        try:
            if source.unrelated:
                return work.pictures(target, file, overwrite)
            return work.film(file, overwrite)
        except OSError as error:
            raise OutputError(
                f"Cannot write {shown(file)}: {error.strerror or error}; choose another place "
                "or free some space."
            ) from error


def _bars(readings: Readings, options: OverlayOptions) -> tuple[int, ...]:
    ids = np.unique(readings.face_id[readings.face_id >= 0]).tolist()
    if options.face is not None and options.face not in ids:
        there = ", ".join(map(str, ids[:10])) or "none"
        raise OptionError(f"face: the table has no face {options.face}; it has {there}.")
    if not options.bars:
        return strongest(readings)
    return tuple(readings.aus.index(au) for au in options.bars)


def possible_files(target: Path, is_file: bool) -> list[Path]:
    """The film or pictures that :func:`write_overlay` could replace."""
    if is_file:
        return [target]
    return [*overlay_files(target)]


def _named(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)


class _Work:
    """Frames of one source, drawn one after the other."""

    def __init__(
        self,
        source: FrameSource,
        moments: Moments,
        style: Style,
        options: OverlayOptions,
        size_wh: tuple[int, int] | None,
        on_frames: OnFrames,
        on_batch: Callable[[], None],
    ) -> None:
        self._source = source
        self._info: VideoInfo = source.info
        self._moments = moments
        self._style = style
        self._options = options
        self._table_size = size_wh if options.by_time else None
        self._on_frames = on_frames
        self._on_batch = on_batch
        self._overlays: dict[tuple[int, int], Overlay] = {}
        self._hiding: Hiding | None = None
        self._sound: Sound | None = None
        self._hidden = self._done = 0
        self._notes: dict[str, None] = {}

    def film(self, target: Path, overwrite: bool) -> Made:
        require_encoder()
        refuse_existing(target, overwrite)
        with write_whole(target, overwrite) as stream, ExitStack() as stack:
            film: Film | None = None
            first = 0.0
            size = (self._info.width, self._info.height)
            for frame, index, pts in self._chosen():
                if film is None:
                    first = pts
                    size = frame.shape[1], frame.shape[0]
                    film = stack.enter_context(self._open_film(stream, size, first))
                tick = round((pts - first) / self._info.time_base)
                film.add(self._drawn(frame, index, pts, size), tick)
            self._check_end()
        return self._made((target,))

    def pictures(self, stem: Path, alone: Path, overwrite: bool) -> Made:
        """alone: the file of the only picture."""
        files = []
        for frame, index, pts in self._chosen():
            if self._info.declared_frames == 1:
                file = alone
            else:
                file = _named(stem, f"_frame{index + 1:06d}{PICTURE_SUFFIX}")
            refuse_existing(file, overwrite)
            picture = Image.fromarray(self._drawn(frame, index, pts, frame.shape[1::-1]))
            with write_whole(file, overwrite) as stream:
                picture.save(stream, "PNG")
            files.append(file)
        self._check_end()
        return self._made(tuple(files))

    def _made(self, files: tuple[Path, ...]) -> Made:
        damage = self._source.report.damage
        if self._sound is not None and self._sound.damage:
            damage = f"{damage}, {self._sound.damage}" if damage else self._sound.damage
        notes = [self._source.report.clock, *self._notes]
        told = tuple(note for note in notes if note)
        return Made(files, self._done, self._hidden, self._sound is not None, damage, told)

    def _open_film(self, stream: BinaryIO, size: tuple[int, int], first: float) -> Film:
        info = self._info
        if self._options.sound:
            end = self._end()
            until = None if end is None else end - first
            self._sound = Sound.of(info.path, info.start_seconds + first, until)
        return Film(stream, size, info.time_base, info.fps, self._sound)

    def _end(self) -> float | None:
        """When the part ends, in seconds; None for the end of the video."""
        last = float(self._moments.pts_seconds[-1]) + 1.5 * self._moments.step_seconds
        duration = self._info.duration_seconds
        whole = not duration or last >= duration - 0.5
        ends = [None if whole else last, self._options.end]
        return min((end for end in ends if end is not None), default=None)

    def _chosen(self) -> Iterator[tuple[np.ndarray, int, float]]:
        """Frames of the part that the table has and the options ask for, with number and time."""
        options, moments = self._options, self._moments
        start = -np.inf if options.start is None else options.start
        end = np.inf if options.end is None else options.end
        for batch in self._source:
            self._on_batch()
            for frame, index, pts in _each(batch):
                moments.check(index, pts, self._info.path)
                if moments.is_before(index, pts) or pts < start:
                    continue
                if moments.is_behind(index, pts) or pts >= end:
                    return
                yield frame, index, pts
                self._done += 1
            self._on_frames(int(batch.frame_index[-1]) + 1, self._info.declared_frames)

    def _check_end(self) -> None:
        if self._done:
            moments = self._moments
            missing = int((moments.frame_index >= self._source.report.decoded_frames).sum())
            whole = self._options.by_time or self._options.end is not None
            if not missing or whole or self._source.report.damaged:
                return
            raise DataError(
                f"The table has {missing} frames more than {shown(self._info.path)}: it was made "
                "of another video."
            )
        raise InputError(
            f"{shown(self._info.path)} has no frame in the part that is asked for and in the table."
        )

    def _drawn(
        self, frame: np.ndarray, index: int, pts: float, size: tuple[int, int]
    ) -> np.ndarray:
        """The frame, of the size of the film, with everything on it."""
        own = frame.shape[1], frame.shape[0]
        scale = min(size[0] / own[0], size[1] / own[1])
        shift = (0, 0)
        if own == size:
            canvas = frame.copy()
        else:  # a call that changed its resolution
            inner = round(own[0] * scale), round(own[1] * scale)
            shift = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
            canvas = np.zeros((size[1], size[0], 3), np.uint8)
            canvas[shift[1] : shift[1] + inner[1], shift[0] : shift[0] + inner[0]] = np.asarray(
                Image.fromarray(frame).resize(inner, Image.Resampling.BICUBIC)
            )
        if self._table_size is not None:
            scale *= min(own[0] / self._table_size[0], own[1] / self._table_size[1])
        moment = self._moments.at(index, pts)
        if self._options.anonymise:
            self._hide(canvas, moment, pts, scale, shift)
        overlay = self._overlay(size, scale)
        if overlay.bars is None:
            width, height = size
            self._notes[f"Frames of {width} x {height} pixels have no room for the bars."] = None
        still = np.isnan(pts) or self._source.unrelated
        words = f"frame {index + 1}" if still else f"frame {index + 1}  {pts:.2f} s"
        overlay.draw(canvas, moment, pts, words, (scale, shift[0], shift[1]))
        return canvas

    def _overlay(self, size: tuple[int, int], scale: float) -> Overlay:
        if size not in self._overlays:
            self._overlays.clear()
            self._overlays[size] = Overlay(self._moments, self._style, size, scale)
        return self._overlays[size]

    def _hide(
        self,
        canvas: np.ndarray,
        moment: int | None,
        pts: float,
        scale: float,
        shift: tuple[int, int],
    ) -> None:
        if self._hiding is None:
            size = self._table_size or (self._info.width, self._info.height)
            self._hiding = Hiding(self._moments, size)
        areas = self._hiding.areas(moment, pts)
        if areas is None:
            self._hidden += 1
        else:
            areas = [area * scale + np.tile(shift, 2) for area in areas]
        hide(canvas, areas)


def _each(batch: FrameBatch) -> Iterator[tuple[np.ndarray, int, float]]:
    for i in range(len(batch)):
        yield batch.frames[i], int(batch.frame_index[i]), float(batch.pts_seconds[i])
