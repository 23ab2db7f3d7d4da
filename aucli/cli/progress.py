"""What ``aucli analyze`` shows while it works and when it is done; all of it on stderr."""

import statistics
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack

from rich import box
from rich.table import Table
from rich.text import Text

from aucli.cli import stopping
from aucli.cli.console import Bar, console, log, note, progress_bar, warn
from aucli.pipeline.batch import Bug, Job, Outcome, Watch
from aucli.pipeline.summary import OnFrames, Summary
from aucli.words import counted

PLAIN_SECONDS = 60.0  # between two lines where stderr is no terminal
SAID_SHARE = 0.1  # of the rows with a face, from which a word of their quality is said
SHOWN_INPUTS = 40  # of a batch; of a larger one only those with something to say


class _Doing:
    """An input that is in work: its bar, and how far it is."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar
        self.share = 0.0
        self.words = ""


class Reporter:
    """Counts what went well and what did not, with bars where stderr is a terminal: one for the
    batch, and one for each input that is in work.

    A context manager around the work. total: inputs. quiet: errors only.
    """

    def __init__(self, total: int, quiet: bool = False) -> None:
        self.total = total
        self.quiet = quiet
        self.failures = 0
        self._told: list[tuple[str, str]] = []  # label, reason of inputs that were never begun
        self._outcomes: list[Outcome] = []
        self._said_at = 0.0
        self._seconds = 0.0  # of the whole work
        self._doing: dict[str, _Doing] = {}  # label -> what is in work
        self._free: list[Bar] = []
        self._bar: Bar
        self._batch: Bar | None = None
        self._open = ExitStack()

    @property
    def exit_code(self) -> int:
        """0 where all went well, 1 where an input failed or is damaged."""
        return 1 if self.failures else 0

    def __enter__(self) -> "Reporter":
        self._bar = self._open.enter_context(progress_bar(quiet=self.quiet))
        if self.total > 1:
            self._batch = self._bar
            self._batch.begin(f"{self.total} inputs", self.total)
        else:
            self._free = [self._bar]
        self._said_at = self._began_at = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._seconds = time.monotonic() - self._began_at
        self._open.close()

    @property
    def watch(self) -> Watch:
        """What tells us how the batch goes."""
        return Watch(self.begin, self.begin_overlay, warn)

    def begin(self, job: Job) -> OnFrames:
        """Start the bar of the next input; returns what moves it."""
        label = job.input.label
        number = self._count + len(self._doing.keys() | {label})
        count = f"[{number}/{self.total}] " if self.total > 1 else ""
        doing = self._begin(label, count + label)
        start = time.perf_counter()

        def on_frames(done: int, declared: int) -> None:
            stopping.check()
            fps = done / max(time.perf_counter() - start, 1e-9)
            doing.share = min(done / declared, 1) if declared else 0.0
            words = f"{doing.share:.0%} {fps:.1f} fps" if declared else f"{fps:.1f} fps"
            doing.bar.move(done, declared or None, words)
            doing.words = f"{count}{label}: frame {done}, {words}"
            self._move_batch()
            self._say_plainly()

        return on_frames

    def begin_overlay(self, job: Job) -> OnFrames:
        """Start the bar of an overlay; returns what moves it."""
        label = job.input.label
        doing = self._begin(label, f"{label}: overlay")

        def on_frames(done: int, declared: int) -> None:
            stopping.check()
            doing.bar.move(done, declared or None, f"frame {done}")
            doing.words = f"{label}: overlay, frame {done}"
            self._say_plainly()

        return on_frames

    def _begin(self, label: str, what: str) -> _Doing:
        stopping.check()
        doing = self._doing.pop(label, None)
        bar = (
            doing.bar if doing else self._free.pop() if self._free else self._bar.beside(what, None)
        )
        bar.begin(what)
        self._doing[label] = _Doing(bar)
        return self._doing[label]

    def failed(self, label: str, sentence: str) -> None:
        """Tell why an input was not begun."""
        self._told.append((label, sentence))
        self._failed(sentence)

    def failed_together(self, labels: list[str], sentence: str) -> None:
        """Tell once why several inputs were not begun."""
        self._told += [(label, sentence) for label in labels]
        self.failures += len(labels)
        note(f"aucli: {sentence}")

    def show(self, outcome: Outcome) -> None:
        """Say what came of an input; a damaged one counts as failed."""
        label = outcome.job.input.label
        self._outcomes.append(outcome)
        if doing := self._doing.pop(label, None):
            doing.bar.end()
            self._free.append(doing.bar)
        self._move_batch()
        if outcome.earlier is not None and outcome.error is None:
            if not outcome.ok:
                self._failed(f"{label}: {outcome.state} in an earlier run: {outcome.reason}")
            elif self.total == 1 and not self.quiet:
                note(f"{label}: done by an earlier run -> {outcome.job.target}")
            self._overlay(label, outcome)
            return
        if outcome.summary is not None:
            self._done(label, str(outcome.job.target or "stdout"), outcome.summary)
            self._calibrated(label, outcome)
            self._overlay(label, outcome)
        if outcome.error is None:
            if outcome.job.pictures is not None:
                self._drawn(label, outcome)
        elif outcome.is_bug:
            error = outcome.error
            lines = error.args[0] if isinstance(error, Bug) else traceback.format_exception(error)
            note("".join(lines).rstrip())
            self._failed(f"{label}: failed by a bug in aucli, see above.")
        else:
            self._failed(str(outcome.error))

    @property
    def _count(self) -> int:
        return len(self._told) + len(self._outcomes)

    def _failed(self, sentence: str) -> None:
        self.failures += 1
        note(f"aucli: {sentence}")

    def _move_batch(self) -> None:
        if self._batch is not None:
            done = self._count
            share = sum(doing.share for doing in self._doing.values())
            self._batch.move(done + share, self.total, f"{done} of {self.total}")

    def _say_plainly(self) -> None:
        """Now and then a line for each input in work, where there is no bar to look at."""
        now = time.monotonic()
        if now - self._said_at < PLAIN_SECONDS:
            return
        self._said_at = now
        for line in filter(None, [doing.words for doing in self._doing.values()]):
            if console.is_terminal:
                log(line)
            elif not self.quiet:
                note(line)

    def _done(self, label: str, where: str, summary: Summary) -> None:
        if summary.damage:
            self.failures += 1
            warn(f"{label}: {summary.damage}; the rows that could be decoded are in {where}.")
        for words in summary.notes:
            warn(f"{label}: {words}")
        if not self.quiet:
            note(
                f"{label}: {counted(summary.frames, 'frame')}, {summary.face_frames} with a face, "
                f"{summary.fps:.1f} fps -> {where}"
            )
            poor = [f"{q:.0%} {word}" for word, q in summary.quality.items() if q >= SAID_SHARE]
            if poor:
                note(f"{label}: quality of the rows with a face: {', '.join(poor)}")

    def _calibrated(self, label: str, outcome: Outcome) -> None:
        if outcome.from_itself:
            warn(
                f"{label}: the neutral frames are all that show a face, so nothing is left to "
                "measure; name other frames or a video."
            )
        if outcome.expression:
            told = ", ".join(f"{au} {level:.1f}" for au, level in outcome.expression[:3])
            warn(
                f"{label}: the baseline looks like an expression ({told}), and it was subtracted; "
                "name frames or a video in which the face is at rest."
            )
        if not outcome.uncalibrated:
            return
        faces = ", ".join(map(str, outcome.uncalibrated))
        rows = counted(sum(outcome.uncalibrated.values()), "row")
        if outcome.kept_readings:
            warn(
                f"{label}: face {faces} is never at rest for long ({rows}); nothing "
                "was subtracted from it."
            )
        else:
            warn(
                f"{label}: no baseline for face {faces} ({rows}); only their raw "
                "values are in the table."
            )

    def _drawn(self, label: str, outcome: Outcome) -> None:
        if outcome.without_face:
            numbers = ", ".join(str(frame + 1) for frame in outcome.without_face)
            warn(f"{label}: no face was analysed in frame {numbers}, so no map is drawn of it.")
        elif not outcome.pictures:
            warn(f"{label}: there is no face, so no map is drawn.")
        if outcome.pictures and not self.quiet:
            count = len(outcome.pictures)
            pictures = counted(count, "picture")
            note(f"{label}: {pictures} of the maps -> {outcome.pictures[0].parent}")

    def _overlay(self, label: str, outcome: Outcome) -> None:
        if outcome.overlay and not self.quiet:
            count = len(outcome.overlay)
            first = outcome.overlay[0]
            note(f"{label}: overlay -> {first if count == 1 else f'{count} pictures, {first} ...'}")

    def close_with_summary(self, jobs: Sequence[Job]) -> None:
        """Print the AUs, a row for each input of a batch, the speed and the count of failures.

        jobs: in the order in which the rows stand.
        """
        if self.quiet:
            return
        turn = {job.input.label: number for number, job in enumerate(jobs)}
        self._outcomes.sort(key=lambda outcome: turn.get(outcome.job.input.label, -1))
        summaries = [o.summary for o in self._outcomes if o.summary is not None]
        if any(summary.levels for summary in summaries):
            console.print(_intensities(summaries))
        if self.total > 1:
            console.print(self._inputs())
        if summaries:
            note(_work(summaries, self._seconds))
        if self.total > 1:
            skipped = sum(o.earlier is not None and o.ok for o in self._outcomes)
            earlier = f", {skipped} of them by an earlier run" if skipped else ""
            note(f"{self.total - self.failures} of {self.total} inputs done{earlier}.")

    def _inputs(self) -> Table:
        """A row for each input of the batch; of a large batch, for those with something to say."""
        rows = [(label, "failed", "", "", reason) for label, reason in self._told]
        rows += [_input_row(outcome) for outcome in self._outcomes]
        shown = rows
        title = None
        if len(rows) > SHOWN_INPUTS:
            shown = [row for row in rows if row[1] not in ("done", "skipped") or row[3] == "0 %"]
            title = f"{len(shown)} of {len(rows)} inputs, those with something to say"
        table = Table("input", "state", box=box.SIMPLE_HEAD, title=title)
        table.add_column("frames", justify="right")
        table.add_column("face", justify="right")
        table.add_column("strongest AUs (95th percentile), or the reason", overflow="fold")
        for row in shown:
            table.add_row(*map(Text, row))
        return table


def _input_row(outcome: Outcome) -> tuple[str, str, str, str, str]:
    """Label, state, frames, share of them with a face, and what is to say."""
    done = outcome.earlier or outcome.summary
    frames = str(done.frames) if done else ""
    face = f"{100 * done.face_frames / done.frames:.0f} %" if done and done.frames else ""
    state = "skipped" if outcome.earlier is not None and outcome.ok else outcome.state
    words = outcome.reason
    if not words and done and not done.face_frames:
        words = "no face at all"
    elif not words and outcome.summary is not None and outcome.summary.levels:
        levels = outcome.summary.levels
        strongest = sorted(levels, key=lambda au: -levels[au].p95)[:3]
        words = ", ".join(f"{au} {levels[au].p95:.1f}" for au in strongest)
    return outcome.job.input.label, state, frames, face, words


def _intensities(summaries: list[Summary]) -> Table:
    """Median and 95th percentile of each AU, and its seconds at 2 or more; over several videos, the
    medians of theirs and the sum of the seconds."""
    found = [summary.levels for summary in summaries if summary.levels]
    table = Table("AU", box=box.SIMPLE_HEAD)
    for name in ("median", "95 %", "s at 2+"):
        table.add_column(name, justify="right")
    for au in found[0]:
        own = [levels[au] for levels in found]
        seconds = [level.strong_seconds for level in own if level.strong_seconds is not None]
        table.add_row(
            au,
            f"{statistics.median(level.median for level in own):.2f}",
            f"{statistics.median(level.p95 for level in own):.2f}",
            f"{sum(seconds):.1f}" if seconds else "",
        )
    return table


def _work(summaries: list[Summary], passed_seconds: float) -> str:
    """Frames, speed and each stage's share of the work. passed_seconds: less than the sum, where
    several inputs were in work at the same time."""
    frames = sum(s.frames for s in summaries)
    seconds = min(sum(s.seconds for s in summaries), passed_seconds)
    spent = {
        name: sum(s.stage_seconds[name] for s in summaries) for name in ("decode", "faces", "aus")
    }
    whole = sum(spent.values()) or 1.0
    shares = ", ".join(f"{name} {100 * value / whole:.0f}%" for name, value in spent.items())
    return (
        f"{counted(frames, 'frame')} in {seconds:.1f} s, {frames / max(seconds, 1e-9):.1f} fps; "
        f"work: {shares}"
    )
