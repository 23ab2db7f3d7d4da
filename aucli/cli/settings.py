"""``aucli.toml``: options of the commands, a table for each, as if they were typed.

A value of the file stands where Typer would else take the default. The command line and variables
of the environment come first.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aucli.errors import OptionError, first_line
from aucli.files import shown

if TYPE_CHECKING:
    from aucli.cli.command import Takes

NAME = "aucli.toml"


def find_file(named: Path | None, ignored: bool) -> Path | None:
    """The file of settings: the one that is named, else that of the current folder.

    Raises OptionError where the named one is not there, or is to be ignored, too, and where that of
    the folder is a pipe, which would be waited for.
    """
    if named is not None and ignored:
        raise OptionError("--config and --no-config do not go together; give one of the two.")
    if named is not None and not named.exists():
        raise OptionError(f"{shown(named)} does not exist; check the name behind --config.")
    if named is not None or ignored:
        return named
    if Path(NAME).is_fifo():
        raise OptionError(f"{NAME} is a named pipe; give a file, or --no-config.")
    return Path(NAME) if os.path.lexists(NAME) else None


def read_settings(file: Path, program: Any) -> dict[str, Any]:
    """The options that a file sets: command -> name in Python -> value, Click's ``default_map``.

    program: the group of commands that the tables are for. The whole file is checked. Raises
    OptionError for a damaged file, an unknown table or option, and a value of a wrong type.
    """
    try:
        tables = tomllib.loads(file.read_text("utf-8-sig"))  # Windows' editor writes the mark
    except OSError as error:
        raise OptionError(f"{shown(file)} cannot be read: {first_line(error)}.") from error
    except UnicodeDecodeError as error:
        raise OptionError(f"{shown(file)} is no text in UTF-8; save it as such.") from error
    except tomllib.TOMLDecodeError as error:
        raise OptionError(
            f"{shown(file)} is no valid TOML: {first_line(error)}; a line looks like sides = true "
            'or faces = "all".'
        ) from error
    except RecursionError as error:
        raise OptionError(f"{shown(file)} is no file of settings.") from error
    return _tables(f"{shown(file)}:", program.commands, tables)


def _tables(
    place: str, commands: Mapping[str, Any], tables: Mapping[str, Any], above: str = ""
) -> dict[str, Any]:
    """Check the tables of a group of commands. place: begins each complaint."""
    allowed = ", ".join(f"[{name}]" for name in _table_names(commands, above))
    found = {}
    for name, table in tables.items():
        where = f"{above}{shown(name)}"
        if name not in commands and isinstance(table, dict):
            raise OptionError(f"{place} [{where}] is no command's table; there are {allowed}.")
        if not isinstance(table, dict):
            raise OptionError(f"{place} {where} stands in no command's table; there are {allowed}.")
        below = getattr(commands[name], "commands", None)
        if below is not None:
            found[name] = _tables(place, below, table, f"{name}.")
        else:
            found[name] = _options(f"{place} [{where}]", commands[name], table)
    return found


def _table_names(commands: Mapping[str, Any], above: str) -> Iterator[str]:
    """``analyze``, ``weights.pull`` ...: the commands that have options."""
    for name, command in commands.items():
        if below := getattr(command, "commands", None):
            yield from _table_names(below, f"{above}{name}.")
        elif any(option.param_type_name == "option" for option in command.params):
            yield f"{above}{name}"


def _options(place: str, command: Any, table: Mapping[str, Any]) -> dict[str, Any]:
    """Check the options of one command."""
    names = {
        text.removeprefix("--"): option.name
        for option in command.params
        if option.param_type_name == "option"
        for text in option.opts
        if text.startswith("--")
    }
    found = {}
    for key, value in table.items():
        name = names.get(key.replace("_", "-"))
        if name is None:
            allowed = f"there are {', '.join(names)}" if names else "it has none"
            raise OptionError(f"{place} has no option {shown(key)}; {allowed}.")
        if name in found:
            raise OptionError(f"{place} has {shown(key)} twice; take one line away.")
        found[name] = _value(f"{place} {shown(key)}:", command.takes[name], value)
    return found


def _value(place: str, takes: "Takes", value: Any) -> Any:
    """What the command line would have given. Limits are checked, files and parsers are not."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if takes.kind in (int, float):
        good = number and (takes.kind is float or isinstance(value, int))
        good = good and (takes.least is None or value >= takes.least)
        good = good and (takes.most is None or value <= takes.most)
    elif takes.kind is bool:
        good = isinstance(value, bool)
    else:
        good = isinstance(value, str) or number  # faces = 2, start = 90
        value = str(value)
        good = good and "\0" not in value  # a command line cannot hold it, nor a path
        value = os.path.expanduser(value) if value.startswith("~/") else value
        good = good and (not takes.names or value in takes.names)
    if not good:
        raise OptionError(f"{place} give {takes.words}.")
    return value
