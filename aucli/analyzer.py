"""``aucli.Analyzer``: options checked and networks loaded once, then used for any number of inputs.

analyzer = aucli.Analyzer(faces="all", sides=True)
table = analyzer.frame("clip.mp4")              # a pandas DataFrame
table = analyzer.frames(array, pts_seconds)     # frames that are in memory
for batch in analyzer.open("long.mp4"): ...     # Arrow batches as they come
analyzer.tables(["study/"], out="tables/")      # many inputs into files
live = analyzer.live()                          # a webcam: live.push(rgb, seconds)
"""

import os
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np
from numpy.typing import ArrayLike

from aucli.errors import AucliError, InputError, OptionError
from aucli.files import refuse_inputs, shown
from aucli.pipeline.analysis import (
    FRAMES_PER_BATCH,
    Analysis,
    OnBatch,
    OnRows,
    calibrator_of,
    recipe,
    torch_threads,
)
from aucli.pipeline.batch import (
    InProcess,
    Job,
    Outcome,
    RowStream,
    TableSettings,
    run_batch,
    with_names,
)
from aucli.pipeline.calibration import Baseline, Calibrator, Readings, parse_calibration
from aucli.pipeline.film import PartEnd, Whole
from aucli.pipeline.inputs import Input, find_inputs, one_table, plan_targets, table_format
from aucli.pipeline.loading import load_networks
from aucli.pipeline.maps import FaceChoice, write_panels
from aucli.pipeline.options import SWITCHES, AnalyzeOptions, Group, OptionWords
from aucli.pipeline.original import Original
from aucli.pipeline.outputs import Outputs
from aucli.pipeline.resume import Resume
from aucli.pipeline.rows import rows_in_order
from aucli.pipeline.segments import Cut, count_all_parts, plan
from aucli.pipeline.selection import Selection
from aucli.pipeline.summary import OnFrames
from aucli.pipeline.urls import Place, Url, place
from aucli.pipeline.workers import MOST_WORKERS, Workers, count_jobs
from aucli.records import FrameBatch
from aucli.table.schema import Rows, to_data_frame, to_record_batch
from aucli.table.writer import TableFormat, provenance_file
from aucli.video.arrays import ArraySource, as_frames, check_times
from aucli.video.source import VideoSource, open_video
from aucli.words import counted

if TYPE_CHECKING:
    import pandas as pd


class Analyzer:
    """Measures AU intensities with the options of ``aucli analyze`` as keywords.

    The options are those of :class:`aucli.pipeline.options.AnalyzeOptions`, with the command line's
    defaults: profile, model, detector, landmarks, faces, every, device, precision, batch_size,
    threads, decoder, calibrate, sides, places, presence, gaze, landmarks_xy, openface. All are
    checked at once; then the networks are loaded, and the video of a
    ``calibrate="neutral=rest.mp4"`` is measured.

    Tables have one row for every face and frame, and one for a frame without a face; the columns
    are those of :mod:`aucli.table.schema`. One Analyzer serves one thread at a time.

    Raises:
        OptionError: an option has an impossible value; one sentence for each.
        WeightsError: weights are missing or altered. LibraryError: an optional library is missing.
        InputError: the neutral video cannot be read or shows no face.
    """

    def __init__(self, **options: Unpack[OptionWords]) -> None:
        self.options = AnalyzeOptions.of(options)
        self.networks = load_networks(self.options)
        self.columns = self.networks.columns(self.options)
        self._neutral: Baseline | None = None
        self._neutral = self._measure_neutral()

    def open(
        self,
        path: str | os.PathLike[str] | Url,
        *,
        label: str | None = None,
        on_frames: OnFrames | None = None,
        on_rows: OnRows | None = None,
        on_batch: OnBatch = lambda: None,
    ) -> Analysis:
        """A video, a picture or a folder of pictures; iterate for its rows as Arrow batches.

        path: of a file or folder, or a URL (s3, gs, memory), which is fetched and kept until the
        end. label: what the column ``video`` says, by default the file's name. on_frames, on_rows,
        on_batch: see :class:`aucli.pipeline.analysis.Analysis`. Close it, or use it as a context
        manager. Raises InputError where the file is missing or nothing in it can be decoded.
        """
        if not isinstance(path, str | os.PathLike | Url) or not str(path):
            raise InputError(f"An input must be a path, got {path!r}.")
        return self._open(place(path), self.options, label, on_frames, on_rows, on_batch)

    def rows(
        self,
        job: Job,
        on_frames: OnFrames | None = None,
        on_batch: OnBatch = lambda: None,
    ) -> RowStream:
        """The rows of one job of a batch, and its pictures; see
        :class:`aucli.pipeline.batch.Rows`."""
        choice = FaceChoice(job.picture_frames)
        with self.open(
            job.input.path,
            label=job.input.label,
            on_frames=on_frames,
            on_rows=choice.add if job.pictures is not None else None,
            on_batch=on_batch,
        ) as analysis:
            yield from analysis
            provenance = analysis.provenance()
            outcome = Outcome(job, summary=analysis.summary)
            if analysis.calibrator is not None:
                outcome = outcome.calibrated(analysis.calibrator, provenance)
            if job.pictures is None:
                return outcome, provenance
            outcome = replace(outcome, without_face=tuple(choice.without_face()))
            try:
                drawn = write_panels(analysis, choice.faces(), job.pictures, on_batch)
            except AucliError as error:  # the rows are good nevertheless
                return replace(outcome, error=error), provenance
            return replace(outcome, pictures=tuple(drawn)), provenance

    def cut(self, job: Job, on_batch: OnBatch = lambda: None) -> Cut | None:
        """Where to cut the video of a job by the option ``segments``; None where it stays whole.

        A video by a URL does: each part would fetch all of it.
        """
        path = job.input.path
        if not self.options.segments or isinstance(path, Url):
            return None
        with Original(path) as original:
            return plan(path, self.options, FRAMES_PER_BATCH, original.stamp(), on_batch)

    def part(
        self,
        job: Job,
        on_frames: OnFrames | None = None,
        on_batch: OnBatch = lambda: None,
    ) -> Generator[Rows, None, PartEnd]:
        """The rows of ``job.part``, as they are read: with ids of their own, from before the join
        on, and not calibrated. At the end what came of it."""
        assert job.part is not None
        path, label = job.input.path, job.input.label
        passed: list[Rows] = []
        read = replace(self.options, calibrate=None)
        with ExitStack() as stack:
            original = stack.enter_context(Original(path, on_batch))
            source = open_video(original.path, "pyav", FRAMES_PER_BATCH, max_pixels=read.max_pixels)
            assert isinstance(source, VideoSource)
            source.take(job.part.span)
            analysis = Analysis(
                source,
                label,
                self.networks,
                read,
                on_frames,
                passed.append,
                self._neutral,
                original,
                on_batch,
            )
            for _ in stack.enter_context(analysis):
                yield passed.pop()
            assert analysis.summary is not None
            whole = None
            if not job.part.number:
                whole = Whole(
                    analysis.provenance() | {"options": asdict(self.options)},
                    calibrator_of(self.options, label, self.networks, self._neutral),
                    Selection(read).usual_step_seconds(analysis.info.fps),
                )
            return PartEnd(original.stamp(), source.sums, analysis.summary, whole)

    @property
    def recipe(self) -> dict[str, Any]:
        """What rows are made with: networks and options, as in a table's provenance."""
        return recipe(self.networks, self.options, self._neutral)

    def frame(self, path: str | os.PathLike[str]) -> "pd.DataFrame":
        """The whole table of a video, a picture or a folder of pictures.

        ``face_id`` and ``AU12_c`` are nullable integers. ``attrs["provenance"]`` says how the rows
        came to be, ``attrs["damage"]`` what is missing of a damaged file ('' for a sound one).
        Warns where a folder holds more inputs than its pictures, which :meth:`tables` would read.
        Raises InputError as :meth:`open`, or for neutral frames without a face.
        """
        table = _data_frame(self.open(path))
        _warn_of_others(Input(place(path), shown(path)))
        return table

    def frames(
        self,
        array: ArrayLike,
        pts_seconds: ArrayLike | None = None,
        *,
        label: str = "array",
    ) -> "pd.DataFrame":
        """The table of frames in memory. Each call is one film; nothing carries over to the next.

        array: (N, H, W, 3) uint8 RGB. pts_seconds: (N,) seconds, rising; None where the frames are
        unrelated pictures, which the built-in network looks at twice. label: as in
        :meth:`open`. Raises InputError for other arrays and for times that do not rise.
        """
        source = ArraySource(array, pts_seconds, label, FRAMES_PER_BATCH)
        neutral = self._neutral
        return _data_frame(Analysis(source, label, self.networks, self.options, neutral=neutral))

    def live(self) -> "Live":
        """Frames one after the other, from a camera or another decoder; ids stay with the faces.

        Raises OptionError for a calibration by frames of the film itself, which are not there yet.
        """
        return Live(self, self._neutral)

    def tables(
        self,
        inputs: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
        out: str | os.PathLike[str] = ".",
        *,
        format: TableFormat | Literal["dataset"] | None = None,
        overwrite: bool = False,
        resume: bool = False,
        retry_failed: bool = False,
        jobs: int = 1,
        on_outcome: Callable[[Outcome], None] | None = None,
    ) -> list[Outcome]:
        """Write a table for each input, as ``aucli analyze`` does; a failure does not stop it.

        inputs: videos, pictures, folders, glob patterns and URLs. out: a folder, or one table of
        all inputs, which cannot be resumed. format: 'parquet', 'csv', 'jsonl', 'openface', or
        'dataset' for a folder that other programs read as one table, see
        :mod:`aucli.table.dataset`; by default what ``out`` ends in.
        jobs: inputs to analyse at the same time, each in a process of its own that loads the
        networks; 0 takes one for every two CPU cores. 1 works in this process.
        resume: leave out inputs that an earlier call has done or could not read, see
        :class:`aucli.pipeline.resume.Resume`; with retry_failed the latter are tried again. A
        folder gets the journal ``_aucli-run.jsonl``. on_outcome: called after each input.

        Returns what came of each; see :class:`aucli.pipeline.batch.Outcome`. Where ``out`` is a
        URL, a target is a :class:`aucli.pipeline.urls.Url`. Raises OptionError
        where inputs and ``out`` do not fit, or where tables to resume from were made with other
        settings, and InputError where there is no input at all.
        """
        if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 0:
            raise OptionError(f"jobs: {jobs!r} is not a whole number of 0 or more.")
        if not isinstance(out, str | os.PathLike):
            raise OptionError(f"out: {out!r} is no path.")
        given = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
        if strange := [name for name in given if not isinstance(name, str | os.PathLike)]:
            raise InputError(f"An input must be a path, got {strange[0]!r}.")
        found, problems, _ = find_inputs(os.fspath(name) for name in given)
        if not found and not problems:
            raise InputError("There is no input; name a video, a picture or a folder.")
        if format == "openface" and not (self.columns.presence and self.columns.landmarks):
            raise OptionError("format: openface needs an Analyzer with openface=True.")
        out = os.fspath(out)
        outputs = Outputs(out, overwrite or resume)
        out = str(outputs.out)
        journal = outputs.journal()
        with outputs.named():
            targets = plan_targets(found, out, format, journal.given())
        if resume and one_table(targets):
            raise OptionError(
                f"resume: {outputs.words(shown(out))} is one table of {len(found)} inputs; name a "
                "folder."
            )
        refuse_inputs((path for path in targets if path), self.options.reads(), "table")
        planned = [Job(item, target) for item, target in zip(found, targets, strict=True)]
        settings = TableSettings(table_format(format, out), overwrite or resume)
        if set(targets) == {Path(out)}:
            journal = None
        outcomes = [
            Outcome(Job(Input(Path(name), name), None), InputError(sentence))
            for name, sentence in problems.items()
        ]
        for outcome in outcomes:
            if on_outcome is not None:
                on_outcome(outcome)
        read = [job.input.path for job in planned]
        count = count_jobs(jobs, count_all_parts(read, self.options, MOST_WORKERS))
        with outputs, ExitStack() as stack:
            tables = [target for target in targets if target is not None]
            outputs.load(map(provenance_file, tables))
            earlier = None
            if resume:
                outputs.load(tables)
                earlier = Resume(self.recipe, journal, retry_failed)
                if not overwrite:
                    earlier.check(tables)
            outputs.check_parts(tables, with_names(self.columns, planned).schema())
            engines = [InProcess(self.rows, cut=self.cut, part=self.part)]
            if count > 1:
                words: Any = asdict(self.options)
                engines = stack.enter_context(Workers(words, count))
            for outcome in run_batch(
                engines,
                planned,
                self.columns,
                settings,
                journal=journal,
                resume=earlier,
                deliver=outputs.deliver,
                in_parts=bool(self.options.segments),
            ):
                outcome = outputs.told(outcome)
                outcomes.append(outcome)
                if on_outcome is not None:
                    on_outcome(outcome)
        return outcomes

    def _measure_neutral(self) -> Baseline | None:
        """The median of the largest face over the neutral video; None for other calibrations."""
        if self.options.calibrate is None:
            return None
        video = parse_calibration(self.options.calibrate, self.options.faces).video
        if video is None:
            return None
        readings = Readings()
        # The whole of it, whatever part of the other videos is analysed.
        plain = replace(self.options, calibrate=None, start=None, end=None)
        with self._open(video, plain, on_rows=readings.add) as analysis:
            for _ in analysis:
                pass
            sha256 = analysis.provenance()["input"]["sha256"]
        baseline = readings.pooled()
        if baseline is None:
            raise InputError(f"{video} shows no face to take as neutral; name another video.")
        return replace(baseline, sha256=sha256)

    def _open(
        self,
        path: Place,
        options: AnalyzeOptions,
        label: str | None = None,
        on_frames: OnFrames | None = None,
        on_rows: OnRows | None = None,
        on_batch: OnBatch = lambda: None,
    ) -> Analysis:
        with ExitStack() as on_error:
            # First, so that what the source reads is what is summed.
            original = Original(path, on_batch)
            on_error.callback(original.close)
            with original.named():
                source = open_video(
                    original.path, options.decoder, FRAMES_PER_BATCH, max_pixels=options.max_pixels
                )
            analysis = Analysis(
                source,
                label or shown(path.name),
                self.networks,
                options,
                on_frames,
                on_rows,
                self._neutral,
                original,
                on_batch,
            )
            on_error.pop_all()
        return analysis


class Live:
    """Frames that arrive one after the other; see :meth:`Analyzer.live`."""

    def __init__(self, analyzer: Analyzer, neutral: Baseline | None) -> None:
        options = analyzer.options
        if options.calibrate is not None and neutral is None:
            raise OptionError(
                f"calibrate: '{options.calibrate}' needs frames that a live film does not have "
                "yet; name a neutral video."
            )
        self._analyzer = analyzer
        self._finder = analyzer.networks.faces.finder()
        self._selection = Selection(options)
        self._calibrator: Calibrator | None = None
        if options.calibrate is not None:
            calibration = parse_calibration(options.calibrate, options.faces)
            self._calibrator = Calibrator(calibration, "live", neutral)
        self._pushed = 0
        self._seen_at = -np.inf

    def push(self, rgb: ArrayLike, pts_seconds: ArrayLike) -> "pd.DataFrame":
        """The rows of the next frame or frames.

        rgb: (H, W, 3) uint8 with one time, or (N, H, W, 3) with (N,) of them. pts_seconds: later
        than every frame before. Frames that ``every``, ``fps``, ``start``
        and ``end`` leave out give no row. A face is followed
        in up to four frames of one push at once, so the size of the pushes can change values by a
        few hundredths. Raises InputError; the frames then do not count.
        """
        analyzer = self._analyzer
        frames = as_frames(rgb, one=True)
        times = check_times(pts_seconds, len(frames), self._seen_at)
        index = self._pushed + np.arange(len(frames), dtype=np.int64)
        self._pushed += len(frames)
        self._seen_at = float(times[-1]) if len(times) else self._seen_at
        due = self._selection.keep(index, times)
        batch = FrameBatch(frames[due], index[due], times[due])
        with torch_threads(analyzer.options.threads):
            faces = self._finder.push(batch.frames, batch.pts_seconds)
            found = rows_in_order(
                [(batch, faces)], analyzer.networks.au, analyzer.options.batch_size
            )
            if self._calibrator is not None:
                found = self._calibrator.rows(found)
            rows = [to_record_batch(analyzer.columns, "live", part) for part in found]
        return to_data_frame(rows, analyzer.columns.schema())


def analyze(
    path: str | os.PathLike[str], *, groups: Sequence[Group] = (), **options: Unpack[OptionWords]
) -> "pd.DataFrame":
    """The table of one video, a picture or a folder of pictures, in one line.

    groups: further columns, any of 'sides', 'places', 'presence', 'gaze', 'landmarks_xy',
    'openface'. The options are those of :class:`Analyzer`, which is the way to analyse more than
    one input: it loads the networks once. Returns and raises as :meth:`Analyzer.frame`.
    """
    wanted: list[str] = [groups] if isinstance(groups, str) else list(groups)
    if strange := [repr(word) for word in wanted if word not in SWITCHES]:
        verb = "is" if len(strange) == 1 else "are"
        raise OptionError(f"groups: {', '.join(strange)} {verb} not among {', '.join(SWITCHES)}.")
    switches: OptionWords = dict.fromkeys(wanted, True)  # pyright: ignore[reportAssignmentType]
    return Analyzer(**{**options, **switches}).frame(path)


def _warn_of_others(read: Input) -> None:
    """Warn of what a folder holds beside its own pictures, which alone are read as one input."""
    if not read.is_folder:
        return
    others = [item for item in find_inputs([str(read.path)]).inputs if item.path != read.path]
    if others:
        first = f"{others[0].label}{', ...' if others[1:] else ''}"
        warnings.warn(
            f"{read.label} is read as its pictures; it holds {counted(len(others), 'more input')} "
            f"({first}) that `Analyzer.tables` would read.",
            stacklevel=3,
        )


def _data_frame(analysis: Analysis) -> "pd.DataFrame":
    with analysis:
        frame = to_data_frame(list(analysis), analysis.columns.schema())
        frame.attrs["provenance"] = analysis.provenance()
    assert analysis.summary is not None
    frame.attrs["damage"] = analysis.summary.damage
    return frame
