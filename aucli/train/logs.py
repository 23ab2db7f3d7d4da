"""What a run leaves to look at: log.jsonl, log.csv and curves.png."""

import csv
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from aucli.files import write_text, write_whole


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of the log. share: of the run, 0-1. values: losses or held-out scores."""

    step: int
    share: float
    seconds: float
    samples_per_second: float
    values: dict[str, float]
    event: Literal["train", "eval"] = "train"


OnLogEntry = Callable[[LogEntry], None]


class Log:
    """log.jsonl of a run, one LogEntry a line."""

    def __init__(self, folder: Path, step: int) -> None:
        """Lines after ``step`` are dropped: a resumed run writes them again. Raises OSError."""
        self.path = folder / "log.jsonl"
        before = self.path.read_text(errors="replace") if self.path.exists() and step else ""
        lines = before.splitlines()
        write_text(self.path, "".join(line + "\n" for line in lines if _step(line) <= step))

    def write(self, entry: LogEntry) -> None:
        with self.path.open("a") as stream:
            stream.write(json.dumps(asdict(entry)) + "\n")

    def rows(self) -> list[dict]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def finish(self) -> None:
        """Write log.csv and, with matplotlib, curves.png beside log.jsonl."""
        rows = self.rows()
        names = list(dict.fromkeys(name for row in rows for name in row["values"]))
        with self.path.with_suffix(".csv").open("w", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(["event", "step", "seconds", *names])
            for row in rows:
                values = [row["values"].get(name, "") for name in names]
                writer.writerow([row["event"], row["step"], row["seconds"], *values])
        draw_curves(rows, self.path.with_name("curves.png"))


def _step(line: str) -> float:
    """Of a line of log.jsonl; infinite for one that a kill cut short, or that is not ours."""
    try:
        return float(LogEntry(**json.loads(line)).step)
    except (ValueError, TypeError, RecursionError):
        return float("inf")


def draw_curves(rows: list[dict], path: Path) -> bool:
    """Loss and held-out score over steps as a PNG; False where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for event, axes in (("train", left), ("eval", right)):
        chosen = [row for row in rows if row["event"] == event]
        for name in chosen[0]["values"] if chosen else ():
            if "." not in name:  # of single AUs
                steps = [row["step"] for row in chosen]
                axes.plot(steps, [row["values"].get(name) for row in chosen], label=name)
        axes.set(xlabel="step", title={"train": "training", "eval": "held-out people"}[event])
        if chosen:
            axes.legend(fontsize=7)
    left.set_yscale("symlog")
    with write_whole(path) as stream:
        figure.savefig(stream, format="png", dpi=100)
    return True
