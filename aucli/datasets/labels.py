"""Label files of licensed datasets: a frame number and an intensity a line.

Every mistake in a file is told as one sentence with the file and the line.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from aucli.aus import MAX_INTENSITY
from aucli.errors import DataError
from aucli.words import counted

MAX_FRAME = 2**31
UNSCORABLE = 9.0  # the coders' mark for an AU that could not be seen

# Number of the frame as the file writes it -> its intensity (NaN: unscorable) and its line.
Values = dict[int, tuple[float, int]]


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The N labelled frames of one recording, in rising order.

    frame_index: (N,) int64, 0-based. intensities: (N, A) float32, 0-5, NaN where unscorable or not
    coded. numbers: (N,) int64, the frames as the label files number them. origins: N times the file
    and the line (1-based) where the frame is first labelled. gaps: sentences on files that lack
    frames which others of the recording have.
    """

    frame_index: np.ndarray
    intensities: np.ndarray
    numbers: np.ndarray
    origins: tuple[tuple[Path, int], ...]
    gaps: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frame_index)

    def where(self, row: int) -> str:
        """File and line of a row, for messages."""
        path, line = self.origins[row]
        return f"{path}, line {line}"

    def taken(self, rows: np.ndarray) -> "Labels":
        """The rows of a (N,) bool mask."""
        origins = tuple(self.origins[i] for i in np.flatnonzero(rows))
        return replace(
            self,
            frame_index=self.frame_index[rows],
            intensities=self.intensities[rows],
            numbers=self.numbers[rows],
            origins=origins,
        )


def checked_intensity(path: Path, line: int, value: float, unscorable: bool) -> float:
    """The intensity, or NaN for the mark 9 where the dataset uses it. Raises DataError."""
    if unscorable and value == UNSCORABLE:
        return float("nan")
    if not 0 <= value <= MAX_INTENSITY:
        also = " or 9 (unscorable)" if unscorable else ""
        raise DataError(
            f"{path}, line {line}: the intensity {value:g} is not 0-5{also}; restore the file."
        )
    return value


def numbered_lines(path: Path) -> Iterable[tuple[int, str]]:
    """The lines of a text file with their numbers from 1. Raises DataError."""
    try:
        return enumerate(path.read_text("utf-8-sig", errors="replace").splitlines(), 1)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; copy it from the dataset.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); copy it again.") from error


def read_values(path: Path, unscorable: bool = False, header: bool = False) -> Values:
    """One label file: lines ``frame,intensity`` or ``000.jpg   3``.

    Empty lines and lines that begin with # are left out. unscorable: whether 9 stands for "could
    not be seen". header: whether the first line may be column names. Raises DataError at the first
    line that cannot be right.
    """
    values: Values = {}
    for line, text in numbered_lines(path):
        fields = text.replace(",", " ").split()
        if not fields or text.startswith("#"):
            continue
        try:
            frame, intensity = fields
            number, value = int(frame.partition(".")[0]), float(intensity)
            if not 0 <= number < MAX_FRAME:
                raise ValueError(number)
        except ValueError:
            if header and line == 1:
                continue
            raise DataError(
                f"{path}, line {line}: {text.strip()[:40]!r} is not a frame and its intensity; "
                "restore the file."
            ) from None
        if number in values:
            raise DataError(
                f"{path}, line {line}: frame {number} was already labelled in line "
                f"{values[number][1]}; restore the file."
            )
        values[number] = checked_intensity(path, line, value, unscorable), line
    if not values:
        raise DataError(f"{path} holds no label; copy it from the dataset.")
    return values


def join_values(
    files: Mapping[str, Path], problems: list[str], read: Callable[[Path], Values]
) -> Labels:
    """One file for each AU, joined by frame number; ``frame_index`` is the number itself.

    A file that is missing or wrong adds a sentence to ``problems`` and leaves its AU at NaN.
    """
    columns: list[Values] = []
    origins: dict[int, tuple[Path, int]] = {}
    for path in files.values():
        try:
            values = read(path)
        except DataError as error:
            problems.append(str(error))
            values = {}
        columns.append(values)
        for number, (_, line) in values.items():
            origins.setdefault(number, (path, line))
    numbers = np.array(sorted(origins), np.int64)
    missing = (float("nan"), 0)
    intensities = np.array(
        [[values.get(n, missing)[0] for values in columns] for n in numbers.tolist()], np.float32
    ).reshape(len(numbers), len(columns))
    gaps = tuple(
        f"{path} lacks {counted(len(origins) - len(values), 'frame')} that other AUs of the "
        f"recording have, so these have no {au}; copy it again if that is wrong."
        for (au, path), values in zip(files.items(), columns, strict=True)
        if 0 < len(values) < len(origins)
    )
    told = tuple(origins[n] for n in numbers.tolist())
    return Labels(numbers, intensities, numbers, told, gaps)


def no_labels(aus: tuple[str, ...]) -> Labels:
    """Labels of no frame."""
    none = np.zeros(0, np.int64)
    return Labels(none, np.zeros((0, len(aus)), np.float32), none, ())


def from_one(labels: Labels, problems: list[str]) -> Labels:
    """Labels numbered from 1 as labels of 0-based frames; frame 0 is a problem."""
    if len(labels) and labels.numbers[0] < 1:
        problems.append(
            f"{labels.where(0)}: frames are numbered from 1, not {labels.numbers[0]}; "
            "restore the file."
        )
        labels = labels.taken(labels.numbers >= 1)
    return replace(labels, frame_index=labels.numbers - 1)
