"""What ``aucli analyze`` shows while it works and when it is done; all of it on stderr."""

import time
import traceback
from contextlib import ExitStack

from rich import box
from rich.table import Table

from aucli.cli.console import Bar, console, note, progress_bar, warn
from aucli.pipeline.analysis import OnFrames, Summary
from aucli.pipeline.batch import Job, Outcome


class Reporter:
    """Counts what went well and what did not, with a bar where stderr is a terminal.

    A context manager around the work. quiet: errors only.
    """

    def __init__(self, total: int, quiet: bool = False) -> None:
        self.total = total
        self.quiet = quiet
        self.failures = 0
        self._summaries: list[Summary] = []
        self._begun = 0
        self._bar: Bar
        self._open = ExitStack()

    @property
    def exit_code(self) -> int:
        """0 where all went well, 1 where an input failed or is damaged."""
        return 1 if self.failures else 0

    def __enter__(self) -> "Reporter":
        self._bar = self._open.enter_context(progress_bar(quiet=self.quiet))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def begin(self, job: Job) -> OnFrames:
        """Start the bar of the next input; returns what moves it."""
        self._begun += 1
        count = f"[{self._begun}/{self.total}] " if self.total > 1 else ""
        self._bar.begin(count + job.input.label)
        start = time.perf_counter()

        def on_frames(done: int, declared: int) -> None:
            fps = done / max(time.perf_counter() - start, 1e-9)
            share = f"{min(done / declared, 1):.0%} " if declared else ""
            self._bar.move(done, declared or None, f"{share}{fps:.1f} fps")

        return on_frames

    def failed(self, sentence: str) -> None:
        """Tell why an input has no table."""
        self.failures += 1
        note(f"aucli: {sentence}")

    def show(self, outcome: Outcome) -> None:
        """Say what came of an input; a damaged one counts as failed."""
        label = outcome.job.input.label
        if outcome.summary is not None:
            self._done(label, str(outcome.job.target or "stdout"), outcome.summary)
            self._calibrated(label, outcome.uncalibrated)
        if outcome.error is None:
            if outcome.job.pictures is not None:
                self._drawn(label, outcome)
        elif outcome.is_bug:
            traceback.print_exception(outcome.error)
            self.failed(f"{label}: failed by a bug in aucli, see above.")
        else:
            self.failed(str(outcome.error))

    def _done(self, label: str, where: str, summary: Summary) -> None:
        self._summaries.append(summary)
        if summary.damage:
            self.failures += 1
            warn(f"{label}: {summary.damage}; the rows that could be decoded are in {where}.")
        if not self.quiet:
            note(
                f"{label}: {summary.frames} frames, {summary.face_frames} with a face, "
                f"{summary.fps:.1f} fps -> {where}"
            )

    def _calibrated(self, label: str, uncalibrated: dict[int, int]) -> None:
        if uncalibrated:
            faces = ", ".join(map(str, uncalibrated))
            warn(
                f"{label}: no baseline for face {faces} ({sum(uncalibrated.values())} rows); only "
                "their raw values are in the table."
            )

    def _drawn(self, label: str, outcome: Outcome) -> None:
        if outcome.without_face:
            numbers = ", ".join(str(frame + 1) for frame in outcome.without_face)
            warn(f"{label}: no face was analysed in frame {numbers}, so no map is drawn of it.")
        elif not outcome.pictures:
            warn(f"{label}: there is no face, so no map is drawn.")
        if outcome.pictures and not self.quiet:
            count = len(outcome.pictures)
            pictures = "1 picture" if count == 1 else f"{count} pictures"
            note(f"{label}: {pictures} of the maps -> {outcome.pictures[0].parent}")

    def close_with_summary(self) -> None:
        """Print the AUs over all inputs, the shares of the stages and the count of failures."""
        if self.quiet:
            return
        faces = sum(s.face_rows for s in self._summaries)
        if faces:
            console.print(_intensities(self._summaries, faces))
        if self._summaries:
            note(_work(self._summaries))
        if self.total > 1:
            note(f"{self.total - self.failures} of {self.total} inputs done.")


def _intensities(summaries: list[Summary], faces: int) -> Table:
    """Mean over all rows with a face and peak of each AU."""
    with_faces = [s for s in summaries if s.face_rows]
    table = Table("AU", box=box.SIMPLE_HEAD)
    table.add_column("mean", justify="right")
    table.add_column("peak", justify="right")
    for au in with_faces[0].mean:
        mean = sum((s.mean[au] or 0.0) * s.face_rows for s in with_faces) / faces
        peak = max(s.peak[au] or 0.0 for s in with_faces)
        table.add_row(au, f"{mean:.2f}", f"{peak:.2f}")
    return table


def _work(summaries: list[Summary]) -> str:
    """Frames, speed and each stage's share of the work."""
    frames = sum(s.frames for s in summaries)
    seconds = sum(s.seconds for s in summaries)
    spent = {
        name: sum(s.stage_seconds[name] for s in summaries) for name in ("decode", "faces", "aus")
    }
    whole = sum(spent.values()) or 1.0
    shares = ", ".join(f"{name} {100 * value / whole:.0f}%" for name, value in spent.items())
    return (
        f"{frames} frames in {seconds:.1f} s, {frames / max(seconds, 1e-9):.1f} fps; work: {shares}"
    )
