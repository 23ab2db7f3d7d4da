"""Going on where an earlier run stopped: which inputs have their table already.

A table tells what it was made of: the checksum of its input, the networks and the options. It is
done where all of these are what this run would take. The journal saves the checksum where size and
time of the input have not changed since, and remembers inputs that gave no table.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aucli.errors import OptionError, OutputError
from aucli.files import OutputExists
from aucli.pipeline.inputs import map_pictures
from aucli.pipeline.journal import Entry, Journal
from aucli.pipeline.options import AnalyzeOptions
from aucli.pipeline.original import checksum, stamp
from aucli.pipeline.urls import Place
from aucli.table.dataset import table_name
from aucli.table.writer import read_provenance
from aucli.words import were

# Options that name networks, which are compared by their checksums, or that change no row.
NOT_COMPARED = frozenset(
    {"profile", "model", "detector", "landmarks", "device", "threads", "max_pixels"}
)


def settings_of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal in two runs for equal rows, out of a recipe or a table's provenance."""
    plain = json.loads(json.dumps(recipe))  # tuples become lists, as in the file
    # An option that an earlier version did not have was at its default.
    options = {**asdict(AnalyzeOptions()), **plain.get("options", {})}
    options = {name: value for name, value in options.items() if name not in NOT_COMPARED}
    networks = {
        kind: (plain.get(kind) or {}).get("sha256") or (plain.get(kind) or {}).get("name")
        for kind in ("model", "detector", "landmarks")
    }
    neutral = {"neutral video": plain["neutral_sha256"]} if plain.get("neutral_sha256") else {}
    # Last, because a sentence names the first difference, and most often that is the precision.
    int8 = (plain.get("model") or {}).get("int8")
    return {**networks, **neutral, **options, **({"int8 form": int8} if int8 else {})}


# Columns that other options ask for, too: who resumes may never have named them.
ADDED_BY_OTHERS = ("sides", "places")


class Resume:
    """What an earlier run of the same batch has done.

    recipe: of this run, as in a table's provenance. journal: None where the tables have no folder
    of their own. retry_failed: read failed and damaged inputs again.
    """

    def __init__(
        self, recipe: Mapping[str, Any], journal: Journal | None, retry_failed: bool = False
    ) -> None:
        self._settings = settings_of(recipe)
        self._journal = journal
        self._retry_failed = retry_failed

    def check(self, targets: Iterable[Path]) -> None:
        """Raise OptionError where tables were made with other networks or options than this
        run's. A table that cannot be read, or is not ours, fails with its own input."""
        others: dict[Path, str] = {}
        for target in targets:
            try:
                told = _told(target)
            except OutputError:
                continue
            if told is None:
                continue
            if difference := self._difference(told):
                others[target] = difference
        if others:
            first = next(iter(others))
            raise OptionError(
                f"resume: {were(len(others), 'table')} made with other settings "
                f"({table_name(first)}: {others[first]}); "
                "take the same settings, or name another folder."
            )

    def done_before(
        self, path: Place, target: Path | None, pictures: Path | None = None
    ) -> Entry | None:
        """What an earlier run made of an input, where this run need not read it again.

        pictures: folder and start of the names of the pictures of maps that are to be there, too.
        Raises InputError where the input cannot be read, and OutputError for a table that is
        not ours or was changed.
        """
        if target is None:
            return None
        noted = self._journal.latest(target) if self._journal is not None else None
        if noted is not None and noted.input != str(path.absolute()):
            noted = None
        now = stamp(path)
        same_file = (
            noted is not None
            and now is not None
            and (noted.size, noted.mtime_ns) == (now.size, now.mtime_ns)
        )
        told = _told(target)
        if told is None:
            failed = noted is not None and noted.state == "failed" and same_file
            return noted if failed and not self._retry_failed else None
        made_of = told.get("input", {})
        if self._difference(told) or now is None:
            return None
        if pictures is not None and told.get("face_frames") and not any(map_pictures(pictures)):
            return None
        known = noted.sha256 if noted is not None and same_file else None
        known = known or checksum(path)
        if known != made_of.get("sha256"):
            return None
        damage = str(made_of.get("damage", ""))
        if damage and self._retry_failed:
            return None
        if noted is not None and noted.sha256 == known:
            return noted
        return Entry(
            input=str(path.absolute()),
            label=path.name,
            table=target.name,
            state="damaged" if damage else "done",
            reason=damage,
            frames=int(told.get("frames", 0)),
            face_frames=int(told.get("face_frames", 0)),
        )

    def _difference(self, told: Mapping[str, Any]) -> str:
        """The first setting that differs, in words; empty where none does."""
        theirs = settings_of(told)
        for name, ours in self._settings.items():
            if theirs.get(name) != ours:
                words = f"{name} {_word(theirs.get(name))}, now {_word(ours)}"
                added = name in ADDED_BY_OTHERS and not ours
                return f"{words}; `--report` and `--overlay` add it, too" if added else words
        return ""


def _told(target: Path) -> dict[str, Any] | None:
    """Provenance of a table that is there, None where there is none.

    Raises OutputExists where it is not ours.
    """
    if not target.exists():
        return None
    try:
        told = read_provenance(target)
    except (OSError, ValueError) as error:
        raise OutputError(f"{target} cannot be read ({error}); move it away.") from error
    if "input" not in told:
        raise OutputExists(f"{target} tells nothing of how it was made; move it away.")
    return told


def _word(value: object) -> str:
    text = "none" if value is None else str(value)
    return f"{text[:12]}..." if len(text) == 64 else text
