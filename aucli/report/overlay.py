"""A video with what its table says drawn into it: a film, or a picture for each picture."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from aucli.errors import DataError, InputError, OptionError, OutputError
from aucli.files import refuse_existing, shown, write_whole
from aucli.records import FrameBatch, VideoInfo
from aucli.report.drawing import Overlay, Style, strongest
from aucli.report.film import Film, Sound, require_encoder
from aucli.report.hiding import Hiding, fitted, hide
from aucli.report.readings import Moments, Readings, to_readings
from aucli.report.sources import rows_of
from aucli.table.reading import read_table
from aucli.video.source import FrameSource, open_video
from aucli.video.stills import FILM_SUFFIX, PICTURE_SUFFIX, overlay_files
from aucli.words import counted

if TYPE_CHECKING:
    pass

MOST_OVERLAYS = 32  # prepared
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


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of the video that becomes a film of its own.

    start_seconds, end_seconds: of the video. face: the id whose bars are shown; None for that of
    the options.
    """

    file: Path
    start_seconds: float = -np.inf
    end_seconds: float = np.inf
    face: int | None = None


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
    target: Path | None,
    options: OverlayOptions,
    *,
    clips: Sequence[Cut] = (),
    is_file: bool = False,
    size_wh: tuple[int, int] | None = None,
    overwrite: bool = False,
    on_frames: OnFrames = lambda done, declared: None,
    on_batch: Callable[[], None] = lambda: None,
) -> Made:
    """Draw readings into their video.

    target: folder and start of the names: ``out/clip`` gives ``out/clip.overlay.mp4``, of a picture
    ``out/clip.overlay.png``, of a folder of pictures ``out/clip_frame000001.overlay.png`` ..., the
    number as in the table; None for clips alone. clips: parts of a video that become films of their
    own. is_file: target is the name itself, which ends in .mp4 or .png. size_wh: px of the video
    that the table was made of, where that is another copy. on_frames: called with the progress;
    on_batch: for each batch of frames.

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
        if source.unrelated and clips:
            raise OptionError(f"clips: {shown(video)} holds pictures, which have no times.")
        if source.unrelated and is_file and source.info.declared_frames != 1:
            raise OptionError(
                f"out: {shown(video)} holds several pictures; name a folder, and end it in /."
            )
        cuts = list(clips)
        if target is not None:
            suffix = PICTURE_SUFFIX if source.unrelated else FILM_SUFFIX
            file = target if is_file else _named(target, suffix)
            if file.suffix.lower() != Path(suffix).suffix:
                what = "picture" if source.unrelated else "film"
                raise OptionError(
                    f"out: {shown(file)} would be a {what}; end its name in {Path(suffix).suffix}."
                )
            cuts = [Cut(file), *cuts]
        try:
            if source.unrelated:
                assert target is not None
                return work.pictures(target, cuts[0].file, overwrite)
            return work.films(cuts, overwrite)
        except OSError as error:
            where = cuts[0].file if target is not None else cuts[0].file.parent
            raise OutputError(
                f"Cannot write {shown(where)}: {error.strerror or error}; choose another place "
                "or free some space."
            ) from error


def shown_aus(readings: Readings, options: OverlayOptions) -> tuple[str, ...]:
    """The AUs that have bars. Raises OptionError as :func:`write_overlay`."""
    return tuple(readings.aus[a] for a in _bars(readings, options))


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


class _Reel:
    """One film while it is written; a context manager that takes it back where the work fails.

    end_seconds: when the sound ends at the latest, in seconds of the video.
    """

    def __init__(
        self, cut: Cut, end_seconds: float, info: VideoInfo, options: OverlayOptions
    ) -> None:
        self.cut = cut
        self.has_sound = False
        self.damage = ""
        self._end = min(end_seconds, cut.end_seconds)
        self._info = info
        self._options = options
        self._open = ExitStack()
        self._sound: Sound | None = None
        self._first = 0.0
        self._film: Film

    def __enter__(self) -> "_Reel":
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def start(self, size_wh: tuple[int, int], pts_seconds: float, overwrite: bool) -> None:
        """Begin with a frame of this size and time."""
        info, self._first = self._info, pts_seconds
        stream = self._open.enter_context(write_whole(self.cut.file, overwrite))
        if self._options.sound:
            until = None if np.isinf(self._end) else self._end - pts_seconds
            self._sound = Sound.of(info.path, info.start_seconds + pts_seconds, until)
        self.has_sound = self._sound is not None
        film = Film(stream, size_wh, info.time_base, info.fps, self._sound)
        self._film = self._open.enter_context(film)

    def add(self, canvas: np.ndarray, pts_seconds: float) -> None:
        """The next frame, (H, W, 3) uint8."""
        self._film.add(canvas, round((pts_seconds - self._first) / self._info.time_base))

    def finish(self) -> None:
        """Give the film its name."""
        self._open.close()
        self.damage = self._sound.damage if self._sound is not None else ""


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
        source.on_wait = on_batch
        self._info: VideoInfo = source.info
        self._moments = moments
        self._style = style
        self._options = options
        self._table_size = size_wh if options.by_time else None
        self._on_frames = on_frames
        self._on_batch = on_batch
        self._overlays: dict[tuple[int, int, int | None], Overlay] = {}
        self._hiding: Hiding | None = None
        self._sizes: list[tuple[float, tuple[int, int]]] = []  # of the frames, each since when
        self._reels: list[_Reel] = []
        self._hidden = self._done = 0
        self._last = -1
        self._stopped = False  # before the end, after the last clip
        self._notes: dict[str, None] = {}

    def films(self, cuts: Sequence[Cut], overwrite: bool) -> Made:
        require_encoder()
        for cut in cuts:
            refuse_existing(cut.file, overwrite)
        waiting = deque(sorted(cuts, key=lambda cut: cut.start_seconds))
        size: tuple[int, int] | None = None
        with ExitStack() as on_error:
            running: list[_Reel] = []
            for frame, index, pts in self._chosen():
                size = size or (frame.shape[1], frame.shape[0])
                for reel in [reel for reel in running if pts >= reel.cut.end_seconds]:
                    running.remove(reel)
                    reel.finish()
                while waiting and waiting[0].start_seconds <= pts:
                    cut = waiting.popleft()
                    if cut.end_seconds <= pts:  # it lies before the part that is asked for
                        continue
                    reel = _Reel(cut, self._sound_end, self._info, self._options)
                    on_error.push(reel)
                    reel.start(size, pts, overwrite)
                    running.append(reel)
                    self._reels.append(reel)
                if running:
                    faces = {reel.cut.face for reel in running}
                    canvases = {face: self._drawn(frame, index, pts, size, face) for face in faces}
                    for reel in running:
                        reel.add(canvases[reel.cut.face], pts)
                elif not waiting:
                    self._stopped = True
                    break
            self._check_end()
            for reel in running:
                reel.finish()
        if not self._reels:
            raise self._nothing()
        return self._made(tuple(reel.cut.file for reel in self._reels))

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
        damage = [self._source.report.damage, *(reel.damage for reel in self._reels)]
        notes = [self._source.report.clock, *self._notes]
        return Made(
            files=files,
            frames=self._done,
            hidden_whole=self._hidden,
            sound=any(reel.has_sound for reel in self._reels),
            damage=", ".join(dict.fromkeys(filter(None, damage))),
            notes=tuple(filter(None, notes)),
        )

    @property
    def _sound_end(self) -> float:
        """When the sound ends, in seconds of the video."""
        last = float(self._moments.pts_seconds[-1]) + 1.5 * self._moments.step_seconds
        duration = self._info.duration_seconds
        whole = not duration or last >= duration - 0.5
        end = np.inf if self._options.end is None else self._options.end
        return end if whole else min(last, end)

    def _chosen(self) -> Iterator[tuple[np.ndarray, int, float]]:
        """Frames of the part that the table has and the options ask for, with number and time."""
        options, moments = self._options, self._moments
        start = -np.inf if options.start is None else options.start
        end = np.inf if options.end is None else options.end
        for batch in self._source:
            self._on_batch()
            for frame, index, pts in _each(batch):
                moments.check(index, pts, self._info.path)
                if not np.isnan(pts):
                    self._note_size(pts, (frame.shape[1], frame.shape[0]))
                if moments.is_before(index, pts) or pts < start:
                    continue
                if moments.is_behind(index, pts) or pts >= end:
                    return
                yield frame, index, pts
            self._on_frames(int(batch.frame_index[-1]) + 1, self._info.declared_frames)

    def _note_size(self, pts: float, own: tuple[int, int]) -> None:
        """Of the pixels in which the boxes lie; what was thought of others is thought anew."""
        own = self._table_size or own
        if not self._sizes or self._sizes[-1][1] != own:
            self._sizes.append((pts, own))
            self._hiding = None

    def _check_end(self) -> None:
        if self._stopped:
            return
        if self._done:
            moments = self._moments
            missing = int((moments.frame_index >= self._source.report.decoded_frames).sum())
            whole = self._options.by_time or self._options.end is not None
            if not missing or whole or self._source.report.damaged:
                return
            raise DataError(
                f"The table has {counted(missing, 'frame')} more than {shown(self._info.path)}: "
                "it was made of another video."
            )
        raise self._nothing()

    def _nothing(self) -> InputError:
        return InputError(
            f"{shown(self._info.path)} has no frame in the part that is asked for and in the table."
        )

    def _drawn(
        self,
        frame: np.ndarray,
        index: int,
        pts: float,
        size: tuple[int, int],
        face: int | None = None,
    ) -> np.ndarray:
        """The frame, of the size of the film, with everything on it."""
        again = index == self._last  # with another face's bars
        self._done += not again
        self._last = index
        own = frame.shape[1], frame.shape[0]
        scale, shift = fitted(own, size)
        if own == size:
            canvas = frame.copy()
        else:  # a call that changed its resolution
            inner = round(own[0] * scale), round(own[1] * scale)
            canvas = np.zeros((size[1], size[0], 3), np.uint8)
            canvas[shift[1] : shift[1] + inner[1], shift[0] : shift[0] + inner[0]] = np.asarray(
                Image.fromarray(frame).resize(inner, Image.Resampling.BICUBIC)
            )
        if self._table_size is not None:
            scale *= min(own[0] / self._table_size[0], own[1] / self._table_size[1])
        moment = self._moments.at(index, pts)
        if self._options.anonymise:
            self._hidden += self._hide(canvas, moment, pts, size) and not again
        overlay = self._overlay(size, scale, face)
        if overlay.bars is None:
            width, height = size
            self._notes[f"Frames of {width} x {height} pixels have no room for the bars."] = None
        still = np.isnan(pts) or self._source.unrelated
        words = f"frame {index + 1}" if still else f"frame {index + 1}  {pts:.2f} s"
        overlay.draw(canvas, moment, pts, words, (scale, shift[0], shift[1]))
        return canvas

    def _overlay(self, size: tuple[int, int], scale: float, face: int | None) -> Overlay:
        key = (*size, face)
        if key not in self._overlays:
            if len(self._overlays) == MOST_OVERLAYS:  # of pictures of many sizes
                self._overlays.clear()
            style = self._style if face is None else replace(self._style, face=face)
            self._overlays[key] = Overlay(self._moments, style, size, scale)
        return self._overlays[key]

    def _hide(
        self,
        canvas: np.ndarray,
        moment: int | None,
        pts: float,
        size: tuple[int, int],
    ) -> bool:
        """Hide the faces; whether the whole frame is."""
        if self._hiding is None:
            self._hiding = Hiding(self._moments, size, self._sizes)
        areas = self._hiding.areas(moment, pts)
        hide(canvas, areas)
        return areas is None


def _each(batch: FrameBatch) -> Iterator[tuple[np.ndarray, int, float]]:
    for i in range(len(batch)):
        yield batch.frames[i], int(batch.frame_index[i]), float(batch.pts_seconds[i])
