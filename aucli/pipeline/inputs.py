"""What a user names, as a list of inputs and the tables that they become."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aucli.errors import OptionError
from aucli.table.writer import FORMATS
from aucli.video.stills import IMAGE_SUFFIXES

VIDEO_SUFFIXES = {
    ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".gif", ".m2ts", ".m4v", ".mjpeg", ".mkv",
    ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
}  # fmt: skip
TABLE_SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl"}
OTHER_SUFFIXES = {".dta", ".feather", ".json", ".sav", ".tsv", ".txt", ".xls", ".xlsx"}
SUFFIX_OF = {name: suffix for suffix, name in TABLE_SUFFIXES.items()} | {"openface": ".csv"}


@dataclass(frozen=True, slots=True)
class Input:
    """A video, a picture or a folder of pictures; label names it in the table and the messages."""

    path: Path
    label: str


def find_inputs(
    arguments: Iterable[str], stdin: Iterable[str] = ()
) -> tuple[list[Input], dict[str, str]]:
    """Inputs in the order of the arguments, each once; and a sentence for each that holds nothing.

    An argument is a file, a folder (searched with its subfolders: each video is an input, and each
    folder with pictures in it is one), a glob pattern, or ``-`` for a list on stdin, one a line.
    What does not exist is kept: opening it tells so.
    """
    inputs: dict[Path, Input] = {}
    problems: dict[str, str] = {}
    for name in _with_stdin(arguments, stdin):
        if not name.strip():
            raise OptionError("An input has an empty name; name a video, a picture or a folder.")
        path = Path(name)
        if path.is_dir():
            found = [Input(p, _label(p, path)) for p in _in_folder(path)]
            if not found:
                problems[name] = f"{path} holds no video and no picture; check the folder."
        elif not path.exists() and glob.has_magic(name):
            matches = sorted(glob.glob(name, recursive=True))
            found = [Input(Path(match), Path(match).name) for match in matches]
            if not found:
                problems[name] = f"{name} matches no file; check the pattern."
        else:
            found = [Input(path, path.name)]
        for item in found:
            inputs.setdefault(item.path.resolve(), item)
    return list(inputs.values()), problems


def _with_stdin(arguments: Iterable[str], stdin: Iterable[str]) -> Iterator[str]:
    for argument in arguments:
        if argument == "-":
            yield from (line.rstrip("\r\n") for line in stdin if line.strip())
        else:
            yield argument


def _label(path: Path, folder: Path) -> str:
    """Path below the folder, which tells equal names apart; the folder's own name for itself."""
    return folder.resolve().name if path == folder else path.relative_to(folder).as_posix()


def _in_folder(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        visible = sorted(name for name in files if not name.startswith("."))
        suffixes = [Path(name).suffix.lower() for name in visible]
        if any(suffix in IMAGE_SUFFIXES for suffix in suffixes):
            yield Path(root)
        for name, suffix in zip(visible, suffixes, strict=True):
            if suffix in VIDEO_SUFFIXES:
                yield Path(root) / name


def table_format(chosen: str | None, out: str | None) -> str:
    """The format asked for, else the one of the table's suffix, else csv to stdout and parquet.

    Raises OptionError for an unknown one.
    """
    if chosen:
        if chosen not in FORMATS:
            raise OptionError(f"format: '{chosen}' is not one of {', '.join(FORMATS)}.")
        return chosen
    if out == "-":
        return "csv"
    return TABLE_SUFFIXES.get(Path(out).suffix.lower(), "parquet") if out else "parquet"


def plan_targets(
    inputs: list[Input], out: str | None, chosen: str | None
) -> list[Path] | list[None]:
    """The table of each input; None for the standard output.

    OUT is one table where it ends in a table's suffix (or in any other, with --format), else a
    folder. Without it the tables go to the current folder.

    Raises OptionError where several inputs would go into one file, or on the standard output
    into one OpenFace table, which does not tell them apart.
    """
    if out == "":
        raise OptionError("out: an empty name; name a table or a folder.")
    if out == "-":
        if chosen == "openface" and len(inputs) > 1:
            raise OptionError(
                f"out: an OpenFace table has no column for the {len(inputs)} inputs; name a folder."
            )
        return [None] * len(inputs)
    file = out is not None and _names_a_file(out, chosen)
    if file and len(inputs) > 1:
        raise OptionError(
            f"out: {len(inputs)} inputs cannot go into the one table {out}; name a folder."
        )
    if out and file:
        targets = [Path(out)]
    else:
        folder = Path(out or ".")
        suffix = SUFFIX_OF[table_format(chosen, out)]
        names = unique_names([item.path for item in inputs])
        targets = [folder / (name + suffix) for name in names]
    places = {item.path.resolve() for item in inputs}
    for target in targets:
        if target.resolve() in places:
            raise OptionError(f"out: {target} is an input; a table never takes its place.")
    return targets


def _names_a_file(out: str, chosen: str | None) -> bool:
    if out.endswith(("/", os.sep)) or Path(out).is_dir():
        return False
    suffix = Path(out).suffix.lower()
    if suffix in OTHER_SUFFIXES and not chosen:
        raise OptionError(
            f"out: aucli writes no {suffix}; name a table that ends in "
            f"{', '.join(TABLE_SUFFIXES)}, or a folder that ends in /."
        )
    own = TABLE_SUFFIXES.get(suffix)
    if chosen and own and chosen != own and SUFFIX_OF[chosen] != suffix:
        raise OptionError(f"out: {out} does not fit the format {chosen}; name another suffix.")
    return suffix in TABLE_SUFFIXES or bool(suffix and chosen)


def unique_names(paths: list[Path]) -> list[str]:
    """A different name for each path: its stem where that is enough, else more of the path.

    ``a/x.mp4 a/x.avi b/y.mp4`` -> ``x.mp4 x.avi y``; ``a/x.mp4 b/x.mp4`` -> ``a_x.mp4 b_x.mp4``.
    Only the paths decide, so that a second run finds the tables of the first.
    """
    full = [path.resolve() for path in paths]
    depth = [0] * len(paths)  # 0: the stem, 1: the name, 2: with one parent ...
    names = [_name(path, 0) for path in full]
    while True:
        # Case does not tell files apart everywhere.
        counts = Counter(name.lower() for name in names)
        clashing = [i for i, name in enumerate(names) if counts[name.lower()] > 1]
        growing = [i for i in clashing if depth[i] < len(full[i].parts)]
        if not growing:
            break
        for i in growing:
            depth[i] += 1
            names[i] = _name(full[i], depth[i])
    for number, i in enumerate(clashing[1:], 2):
        names[i] += f"-{number}"
    return names


def _name(path: Path, depth: int) -> str:
    if depth == 0:
        # A folder's name may hold a dot that starts no suffix.
        return path.name if path.is_dir() else path.stem
    parts = [part for part in path.parts if part != path.anchor]
    return "_".join(parts[-depth:])
