"""The measurements as small tables, for the screen and for a page in Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aucli.bench.speed import Speed
from aucli.pipeline.options import AnalyzeOptions
from aucli.words import counted

if TYPE_CHECKING:
    from aucli.bench.plain import FormSpeed

STAGES = {"decode": "decoding", "faces": "faces", "aus": "AUs and rows"}
INDENT = "  "


@dataclass(frozen=True, slots=True)
class Table:
    """heads: of the columns; the first one holds names, the others numbers."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """In columns, indented by two."""
        lines = [self.heads, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.heads))]
        return "\n".join(
            "  "
            + "  ".join(
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )

    def markdown(self) -> str:
        """As a table of a page."""
        rule = ["---", *["---:"] * (len(self.heads) - 1)]
        lines = [[cell.replace(INDENT, "&nbsp; ") for cell in line] for line in self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in (self.heads, rule, *lines))


def stage_table(speed: Speed) -> Table:
    """How busy the stages were, and where the CPU time of a frame went."""
    rows = [
        (STAGES[name], f"{stage.busy:.0%}", f"{stage.waiting:.0%}", f"{stage.cpu_ms:.2f}")
        for name, stage in speed.stages.items()
    ]
    rows += [
        ("threads of libraries", "", "", f"{speed.library_cpu_ms:.2f}"),
        ("together", "", "", f"{speed.cpu_ms:.2f}"),
        (f"{INDENT}of it in networks", "", "", f"{speed.network_cpu_ms:.2f}"),
        (f"{INDENT}neither network nor decoding", "", "", f"{speed.other_cpu_ms:.2f}"),
    ]
    return Table(("stage", "busy", "waiting", "CPU ms per frame"), rows)


def network_table(speed: Speed) -> Table:
    """What each network does for a frame, and how near it is to the limit."""

    def number(value: float | None, digits: int) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    rows = [
        (
            one.name,
            number(one.per_frame, 2),
            number(one.per_call, 1),
            number(one.cpu_ms, 2),
            number(one.gflop, 3),
            number(one.rate, 0),
            number(one.alone_rate, 0),
            number(one.best_rate, 0),
            f"{one.rate / one.best_rate:.0%}" if one.rate and one.best_rate else "",
        )
        for one in speed.networks
    ]
    heads = ("network", "crops", "a call", "ms", "GFLOP", "GFLOP/s", "alone", "limit", "share")
    return Table(heads, rows)


def form_table(forms: "Sequence[FormSpeed]") -> Table:
    """Today's form and the plain ones, each against today's; an indented one against that above."""
    rows = [
        (
            f"{INDENT if one.beside not in (one.name, forms[0].name) else ''}{one.name}",
            f"{one.fps:.1f}",
            f"{one.cpu_ms:.2f}",
            f"{one.times:.2f}",
            f"{one.cpu_times:.2f}",
        )
        for one in forms
    ]
    heads = ("form", "fps", "CPU ms", "times as long", "times the CPU")
    return Table(heads, rows)


def as_text(speed: Speed, forms: "Sequence[FormSpeed]" = ()) -> str:
    """All that was measured of a video, for the screen."""
    tables = [stage_table(speed), network_table(speed)]
    tables += [form_table(forms)] if forms else []
    return "\n\n".join(["\n".join(headline(speed)), *(table.text() for table in tables)])


def headline(speed: Speed) -> list[str]:
    """What comes first, a line each."""
    spread = f"median of {len(speed.fps)}, {min(speed.fps):.1f}-{max(speed.fps):.1f}"
    size = f"{counted(speed.frames, 'frame')} of {speed.width}x{speed.height}"
    usual = AnalyzeOptions().precision
    how = f", {speed.precision}" if speed.precision != usual else ""
    lines = [
        f"{speed.video}: {size}, {counted(speed.faces, 'face')}{how}",
        f"  first run      {speed.first_fps:.1f} fps",
        f"  warm           {speed.median_fps:.1f} fps ({spread})",
        f"  faces          {speed.faces_per_second:.1f} per second",
        f"  decoding only  {speed.decode_fps:.0f} fps, {speed.decode_cpu_ms:.2f} CPU ms per frame",
    ]
    if speed.gflop_per_face is not None:
        lines.append(f"  networks       {speed.gflop_per_face:.3f} GFLOP per face")
    if speed.peak_mb is not None:
        lines.append(f"  peak memory    {speed.peak_mb:.0f} MB")
    return lines
