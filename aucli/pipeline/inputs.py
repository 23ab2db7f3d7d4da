"""What a user names, as a list of inputs and the tables that they become."""

import codecs
import glob
import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, NamedTuple

from aucli.errors import InputError, OptionError, PassingError
from aucli.files import PART, refuse_inputs, shown
from aucli.pipeline.journal import JOURNAL
from aucli.pipeline.original import Original
from aucli.pipeline.urls import NoAnswer, Place, Url, absolute, place
from aucli.table.dataset import (
    DATASET,
    check_folder,
    dataset_around,
    input_of,
    part_file,
    quoted,
    refuse_taken,
)
from aucli.table.writer import FORMATS
from aucli.video.stills import IMAGE_SUFFIXES, is_map_picture, is_overlay
from aucli.words import were

VIDEO_SUFFIXES = {
    ".264", ".265", ".3g2", ".3gp", ".3gpp", ".amv", ".asf", ".avi", ".divx", ".dv", ".f4v",
    ".flv", ".gif", ".gxf", ".h264", ".h265", ".hevc", ".ivf", ".lrv", ".m1v", ".m2p", ".m2t",
    ".m2ts", ".m2v", ".m4v", ".mj2", ".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mod", ".mov", ".mp4",
    ".mpe", ".mpeg", ".mpg", ".mpv", ".mts", ".mxf", ".nut", ".ogg", ".ogm", ".ogv", ".qt", ".rm",
    ".rmvb", ".tod", ".trp", ".ts", ".vob", ".webm", ".wmv", ".wtv", ".y4m",
}  # fmt: skip
# Also of sound, TypeScript, tracker music: a folder search looks inside.
UNSURE_SUFFIXES = {".3gp", ".3g2", ".asf", ".mod", ".mts", ".ogg", ".rm", ".ts"}
TABLE_SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl"}
# Formats of tables that only their own programs write.
OTHER_SUFFIXES = {".dta", ".feather", ".rds", ".sav", ".xls", ".xlsx"}
OWN_SUFFIXES = {*TABLE_SUFFIXES, ".json", PART}
SUFFIX_OF = {name: suffix for suffix, name in TABLE_SUFFIXES.items()} | {"openface": ".csv"}
# Of 255, which file systems allow: a table's name grows by suffixes, a picture's by its frame.
NAME_BYTES = 200


@dataclass(frozen=True, slots=True)
class Input:
    """A video, a picture or a folder of pictures; label names it in the table and the messages.

    path: on this computer, or a URL. The label is printable, see :func:`aucli.files.shown`, and
    relative: the path below the folder that was searched, else the name.
    """

    path: Place
    label: str

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of pictures."""
        return self.path.is_prefix if isinstance(self.path, Url) else self.path.is_dir()


class Found(NamedTuple):
    """What :func:`find_inputs` found.

    inputs: each once, in order. problems: name -> sentence, for each argument that holds nothing.
    passed_over: suffix -> files in the folders that are no input; hidden files and aucli's own
    tables do not count.
    """

    inputs: list[Input]
    problems: dict[str, str]
    passed_over: Counter[str]


def find_inputs(
    arguments: Iterable[str], stdin: IO[Any] | Iterable[str | bytes] | None = ()
) -> Found:
    """Inputs in the order of the arguments, each once; what holds nothing; what is passed over.

    An argument is a file, a folder (searched with its subfolders: each video is an input, and each
    folder with pictures in it is one), a glob pattern, or ``-`` for a list on stdin: one a line, or
    with a NUL behind each; in UTF-8 or UTF-16. What does not exist is kept: opening it tells so.
    Links are inputs under their own names. URLs are the same things elsewhere, see
    :func:`aucli.pipeline.urls.place`.

    Raises OptionError for an argument with an empty name, LibraryError where the library for a URL
    is missing, and NoAnswer where its server does not answer. A line of the list that is wrong is a
    problem of its own.
    """
    found = Found([], {}, Counter())
    for name in arguments:
        if name == "-":
            for line in _lines(stdin):
                _add(line, found)
        elif not name.strip():
            raise OptionError("An input has an empty name; name a video, a picture or a folder.")
        else:
            _add(name, found)
    once = {absolute(item.path): item for item in reversed(found.inputs)}
    inputs = [item for item in reversed(once.values())]
    return found._replace(inputs=_told_apart(inputs))


def passed_over_words(passed_over: Counter[str]) -> str:
    """``12 other files were passed over (.txt 9, .docx 3).``; empty where there are none."""
    total = passed_over.total()
    if not total:
        return ""
    ordered = sorted(passed_over.items(), key=lambda item: (-item[1], item[0]))
    kinds = ", ".join(f"{shown(kind)} {count}" for kind, count in ordered[:8])
    more = ", ..." if len(passed_over) > 8 else ""
    return f"{were(total, 'other file')} passed over ({kinds}{more})."


def _add(name: str, found: Found) -> None:
    """Add what a name stands for: inputs, or a problem."""
    inputs, problems, _ = found
    try:
        path = place(name)
        if not name.strip():
            problems["''"] = "A line of the list is an empty name; take it away."
        elif isinstance(path, Url):
            _add_url(path, found)
        elif path.is_dir():
            items = [Input(p, _label(p, path)) for p in _search(path, found)]
            inputs += items
            if not items:
                problems.setdefault(
                    shown(name), f"{shown(path)} holds no video and no picture; check the folder."
                )
        elif not os.path.lexists(path) and glob.has_magic(name):
            pattern = name if path == Path(name) else str(path)  # of file://
            matches = sorted(glob.glob(pattern, recursive=True))
            inputs += [Input(Path(match), shown(Path(match).name)) for match in matches]
            if not matches:
                problems[shown(name)] = f"{shown(name)} matches no file; check the pattern."
        else:
            inputs.append(Input(path, shown(path.name)))
    except OptionError as error:  # a URL of which we know nothing
        problems[shown(name)] = str(error)
    except (OSError, ValueError) as error:  # too long, or not to be looked at
        reason = getattr(error, "strerror", None) or error
        problems[shown(name)] = f"{shown(name)} cannot be looked at ({reason}); check the name."


def _add_url(url: Url, found: Found) -> None:
    """Add what a URL stands for; one that names a single object is not looked at yet."""
    suffix = Path(url.name).suffix.lower()
    single = suffix in IMAGE_SUFFIXES or suffix in VIDEO_SUFFIXES
    try:
        if glob.has_magic(url.text) and not url.is_prefix:
            matches = url.matches()
            found.inputs.extend(Input(match, shown(match.name)) for match in matches)
            if not matches:
                found.problems[shown(url)] = f"{shown(url)} matches no object; check the pattern."
        elif not url.is_prefix and (single or not url.is_folder()):
            found.inputs.append(Input(url, shown(url.name)))
        else:
            items = [*_search_url(url, found)]
            found.inputs.extend(items)
            if not items:
                found.problems[shown(url)] = (
                    f"{shown(url)} holds no video and no picture; check the name."
                )
    except NoAnswer:
        raise
    except InputError as error:
        found.problems[shown(url)] = str(error)


def _lines(stdin: IO[Any] | Iterable[str | bytes] | None) -> Iterator[str]:
    """Names of a list, as they are or without the quotes and blanks around them."""
    if stdin is None:  # closed
        return
    try:
        read = getattr(getattr(stdin, "buffer", stdin), "read", None)
        whole = read() if read is not None else "".join(stdin)  # pyright: ignore[reportArgumentType, reportCallIssue]
    except (OSError, ValueError):  # closed by now
        return
    text = _decoded(whole) if isinstance(whole, bytes) else str(whole)
    if "\0" in text:
        yield from (name for name in text.split("\0") if name.strip("\r\n"))
        return
    for line in text.split("\n"):
        line = line.rstrip("\r")
        if line.strip():
            yield _unquoted(line)


def _decoded(data: bytes) -> str:
    """UTF-16 where a byte order mark or a zero beside most letters tells so, else as a path."""
    for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        if data.startswith(mark):
            return data.decode("utf-16", "replace")
    if data[:2] and data[1:200:2].count(0) > len(data[1:200:2]) / 2:
        return data.decode("utf-16-le", "replace")
    return os.fsdecode(data.removeprefix(codecs.BOM_UTF8))


def _unquoted(line: str) -> str:
    if os.path.lexists(line):
        return line
    line = line.strip()
    if len(line) > 1 and line[0] == line[-1] and line[0] in "'\"" and not os.path.lexists(line):
        return line[1:-1]
    return line


def _label(path: Path, folder: Path) -> str:
    """Path below the folder, which tells equal names apart; the folder's own name for itself."""
    if path == folder:
        return shown(Path(os.path.abspath(folder)).name or "root")
    return shown(path.relative_to(folder).as_posix())


def _told_apart(inputs: list[Input]) -> list[Input]:
    """The same inputs; equal labels get as many parents in front as tell them apart."""
    depth = [len(Path(item.label).parts) for item in inputs]
    labels = [item.label for item in inputs]
    parts = [_parts(item.path) for item in inputs]
    while True:
        counts = Counter(labels)
        growing = [
            i for i in range(len(inputs)) if counts[labels[i]] > 1 and depth[i] < len(parts[i])
        ]
        if not growing:
            break
        for i in growing:
            depth[i] += 1
            labels[i] = shown("/".join(parts[i][-depth[i] :]))
    return [replace(item, label=label) for item, label in zip(inputs, labels, strict=True)]


def _parts(path: Place) -> tuple[str, ...]:
    return path.parts if isinstance(path, Url) else Path(os.path.abspath(path)).parts[1:]


def _search(
    folder: Path, found: Found, above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[Path]:
    """Videos and folders of pictures in a folder, sorted; links are followed, but not in circles.

    above: (device, inode) of the folders on the way.
    """
    try:
        stat = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        found.problems[shown(folder)] = (
            f"{shown(folder)} cannot be searched ({error.strerror}); check its permissions."
        )
        return
    here = stat.st_dev, stat.st_ino
    if here in above:
        return
    folders: list[Path] = []
    videos: list[Path] = []
    pictures = False
    for entry in entries:
        path = folder / entry.name
        suffix = path.suffix.lower()
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            folders.append(path)
        # A link to nothing is kept: it names a recording that is not there.
        elif not entry.is_file() and not (entry.is_symlink() and not path.exists()):
            found.passed_over[suffix or "no suffix"] += 1
        elif (kind := _kind(path.name, path, found)) == "picture":
            pictures = True
        elif kind == "video":
            videos.append(path)
    if pictures:
        yield folder
    yield from videos
    for below in folders:
        yield from _search(below, found, above | {here})


def _search_url(url: Url, found: Found) -> Iterator[Input]:
    """The same of what lies below a prefix, in the same order."""
    folders: dict[tuple[str, ...], list[str]] = {}
    for name in url.below():
        *above, last = name.split("/")
        if not any(part.startswith(".") for part in (*above, last)):
            folders.setdefault(tuple(above), []).append(last)
    for above, names in sorted(folders.items()):
        start = "".join(f"{part}/" for part in above)
        label = "".join(f"{part}/" for part in above if part)
        kinds = {name: _kind(name, url / (start + name), found) for name in sorted(names)}
        if "picture" in kinds.values():
            yield Input(url / start, shown(label.rstrip("/") or url.name))
        for name, kind in kinds.items():
            if kind == "video":
                yield Input(url / (start + name), shown(label + name))


def _kind(name: str, path: Place, found: Found) -> str:
    """'picture', 'video', or '' for what is passed over. name: the last part of the path."""
    suffix = Path(name).suffix.lower()
    if is_map_picture(Path(name)) or is_overlay(Path(name)):
        found.passed_over[suffix] += 1
    elif suffix in IMAGE_SUFFIXES:
        return "picture"
    elif suffix in VIDEO_SUFFIXES and (suffix not in UNSURE_SUFFIXES or _shows(path)):
        return "video"
    elif suffix not in OWN_SUFFIXES:
        found.passed_over[suffix or "no suffix"] += 1
    return ""


def _shows(path: Place) -> bool:
    """Whether a file holds pictures, or cannot be looked at."""
    from aucli.video import demux

    if isinstance(path, Path) and not path.exists():
        return True
    try:
        with Original(path) as original, demux.open_container(original.path) as container:
            demux.video_stream(container, original.path, demux.MAX_PIXELS)
    except PassingError:
        return True
    except InputError:
        return False
    return True


def table_format(chosen: str | None, out: str | None) -> str:
    """The format of the files: the one asked for, else that of the table's suffix, else csv to
    stdout and parquet, of which a dataset is made.

    Raises OptionError for an unknown one.
    """
    if chosen == DATASET:
        return "parquet"
    if chosen:
        if chosen not in FORMATS:
            raise OptionError(f"format: '{chosen}' is not one of {', '.join((*FORMATS, DATASET))}.")
        return chosen
    if out == "-":
        return "csv"
    return TABLE_SUFFIXES.get(Path(out).suffix.lower(), "parquet") if out else "parquet"


def plan_targets(
    inputs: list[Input],
    out: str | None,
    chosen: str | None,
    given: Mapping[str, Path] | None = None,
) -> list[Path] | list[None]:
    """The table of each input; None for the standard output.

    OUT is one table where it ends in a table's suffix (or in any other, with a format), of all
    inputs, else a folder: one that is there, ends in /, or has no suffix. Without it the tables go
    to the current folder. In a folder the tables lie as the inputs' labels say, in a dataset as
    :mod:`aucli.table.dataset` says. given: absolute path of an input -> the table that it was given
    by an earlier run, which stays.

    Raises OptionError where several inputs would go into one OpenFace table, which does not tell
    them apart, where a dataset has no folder of its own, or where a table would be an input or
    spoil a dataset.
    """
    if chosen == DATASET and out in (None, "-"):
        raise OptionError("format: a dataset is a folder of its own; name it with --out (out=).")
    if out == "":
        raise OptionError("out: an empty name; name a table or a folder.")
    file = out is not None and out != "-" and _names_a_file(out, chosen)
    if (file or out == "-") and chosen == "openface" and len(inputs) > 1:
        raise OptionError(
            f"out: an OpenFace table has no column for the {len(inputs)} inputs; name a folder."
        )
    if out == "-":
        return [None] * len(inputs)
    if out and file:
        targets = [Path(out)] * len(inputs)
    else:
        folder = Path(out or ".")
        if chosen == DATASET:
            check_folder(folder)
        suffix = SUFFIX_OF[table_format(chosen, out)]
        # Not with_suffix(): a name may hold dots.
        targets = [
            part_file(folder, name) if chosen == DATASET else folder / (name + suffix)
            for name in _names(inputs, out, chosen, given)
        ]
    refuse_inputs(targets, local_paths(inputs), "table")
    if chosen != DATASET and (found := dataset_around(targets)):
        raise OptionError(
            f"out: {shown(found[1])} is a dataset; say --format dataset (format='dataset'), or "
            "name another folder."
        )
    return targets


def local_paths(inputs: Iterable[Input]) -> Iterator[Path]:
    """The paths of the inputs that lie on this computer."""
    return (item.path for item in inputs if isinstance(item.path, Path))


def is_no_log(path: Path) -> bool:
    """Whether a file is there that, by its name, is a table, a video or a picture."""
    kinds = {*TABLE_SUFFIXES, *OTHER_SUFFIXES, *VIDEO_SUFFIXES, *IMAGE_SUFFIXES}
    return path.suffix.lower() in kinds and path.exists()


def one_table(targets: Iterable[Path | None]) -> Path | None:
    """The table that several inputs share; None where each has its own."""
    planned = list(targets)
    return planned[0] if len(planned) > 1 and len(set(planned)) == 1 else None


def plan_pictures(
    inputs: list[Input],
    folder: Path,
    out: str | None = None,
    given: Mapping[str, Path] | None = None,
    chosen: str | None = None,
) -> list[Path]:
    """Folder and start of the names of each input's pictures of maps: named as the tables are.

    out, given, chosen: as for :func:`plan_targets`. Raises OptionError where a picture that is
    there, and could be replaced, is an input, and where pictures would lie in a dataset.
    """
    stems = [folder / name for name in _names(inputs, out, chosen, given)]
    pictures = (picture for stem in stems for picture in map_pictures(stem))
    refuse_taken([*stems, *pictures], local_paths(inputs), "picture")
    return stems


def overlay_stem(table: Path) -> Path:
    """Folder and start of the name of an overlay: beside the table, and named as it is."""
    return table.with_name(table.stem)


def map_pictures(stem: Path) -> Iterator[Path]:
    """The pictures of maps that are there. stem: their folder and the start of their names."""
    for path in stem.parent.glob(f"{glob.escape(stem.name)}_*.png"):
        if is_map_picture(path):
            yield path


def _names_a_file(out: str, chosen: str | None) -> bool:
    path = Path(out)
    if out.endswith(("/", os.sep)) or path.is_dir():
        return False
    if chosen == DATASET:
        if path.suffix.lower() in TABLE_SUFFIXES or path.exists():
            raise OptionError(f"out: {shown(out)} is one table; name a folder for a dataset.")
        return False
    suffix = path.suffix.lower()
    own = TABLE_SUFFIXES.get(suffix)
    # Of a date or a version, .28 is no suffix.
    letters = any(letter.isalpha() for letter in suffix)
    if suffix in OTHER_SUFFIXES or (letters and own is None and not chosen):
        raise OptionError(
            f"out: aucli writes no {shown(suffix)}; name a table that ends in "
            f"{', '.join(TABLE_SUFFIXES)}, or end it in / for a folder."
        )
    if chosen and own and chosen != own and SUFFIX_OF.get(chosen) != suffix:
        raise OptionError(
            f"out: {shown(out)} does not fit the format {chosen}; name another suffix."
        )
    if own is None and not (letters and chosen):
        if path.exists():
            raise OptionError(f"out: {shown(out)} is a file; name a folder or a new table.")
        return False
    return True


def _names(
    inputs: list[Input], out: str | None, chosen: str | None, given: Mapping[str, Path] | None
) -> list[str]:
    """A name for the files of each input. In a dataset it is the label, so that the column
    ``input`` holds texts also where the files are numbered."""
    return unique_names(inputs, _names_given(given or {}, out), whole=chosen == DATASET)


def _names_given(given: Mapping[str, Path], out: str | None) -> dict[str, str]:
    """Absolute path of an input -> name of its table below the folder OUT, without the suffix."""
    folder = Path(os.path.abspath(out or "."))
    names = {}
    for path, table in given.items():
        target = Path(os.path.abspath(table))
        if target.suffix in TABLE_SUFFIXES and target.is_relative_to(folder):
            name = target.relative_to(folder).as_posix().removesuffix(target.suffix)
            names[absolute(path)] = input_of(target) or name
    return names


def unique_names(
    inputs: list[Input], given: Mapping[str, str] | None = None, whole: bool = False
) -> list[str]:
    """A different name for each input: its label without the suffix where that is enough.

    ``x.mp4 x.avi p/x.mp4`` -> ``x x.avi p/x``: the first one keeps the short name. Case does not
    tell names apart, nor how an accent is written: they do not everywhere. Long names end in a
    hash. given: absolute path of an input -> the name that it has from an earlier run; nobody else
    gets it. whole: with its suffix, short enough for a single part of a path.
    """
    given = given or {}
    taken = {_folded(name) for name in (*given.values(), Path(JOURNAL).stem)}
    names = []
    for item in inputs:
        name = given.get(absolute(item.path))
        if name is None:
            name = next(n for n in _candidates(item, whole) if _folded(n) not in taken)
            taken.add(_folded(name))
        names.append(name)
    return names


def _candidates(item: Input, whole: bool) -> Iterator[str]:
    label = Path(item.label)
    short = _short_whole(item.label) if whole else _short(label)
    # A folder's name may hold a dot that starts no suffix.
    if not item.is_folder and not whole:
        yield _short(label.with_suffix(""))
    yield short
    number = 2
    while True:
        yield f"{short}-{number}"
        number += 1


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _short(path: Path) -> str:
    """The path with parts that leave room for suffixes."""
    return "/".join(_short_part(part) for part in path.parts)


def _short_part(name: str) -> str:
    data = name.encode()
    if len(data) <= NAME_BYTES:
        return name
    return f"{data[: NAME_BYTES - 9].decode(errors='ignore')}-{_mark(data)}"


def _short_whole(name: str) -> str:
    """The name, short enough for a single part of a path once it is quoted."""
    kept = name
    while len(quoted(kept).encode()) > NAME_BYTES - 9 * (kept != name):
        kept = kept[:-1]
    return name if kept == name else f"{kept}-{_mark(name.encode())}"


def _mark(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:8]
