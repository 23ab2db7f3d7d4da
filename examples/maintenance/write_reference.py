"""Write docs/commands.md: every command and option, made from the code.

    python examples/maintenance/write_reference.py

Run it after a change of the command line; tests/test_docs.py fails until the page is right again.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from aucli.cli import app
from aucli.cli.command import Command, Takes
from aucli.errors import run_script
from aucli.files import write_text

PAGE = Path(__file__).resolve().parents[2] / "docs" / "commands.md"
HOW = "python examples/maintenance/write_reference.py"
HEAD = f"""\
# Commands and options

<!-- Made from the code by `{HOW}`; do not edit. -->

`aucli COMMAND -h`, or `--help`, shows the same on the screen. Results go to the standard output,
all else to the standard error.

| exit code | |
| --- | --- |
| 0 | all done |
| 1 | some input failed |
| 2 | wrong usage: an unknown option, an impossible value |
| 130 | interrupted |
"""


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that does something: ``aucli analyze``, ``aucli weights list`` ..."""
    yield from _commands("aucli", typer.main.get_command(app))


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", {})
    if not below or name == "aucli":
        yield name, command
    for part, each in below.items():
        if not each.hidden:
            yield from _commands(f"{name} {part}", each)


def options(command: Any) -> list[Any]:
    """The options of a command that it shows, in the order of its help; ``--help`` is left out."""
    return [p for p in command.params if p.param_type_name == "option" and not p.hidden]


def arguments(command: Any) -> list[Any]:
    return [p for p in command.params if p.param_type_name == "argument"]


def reference() -> str:
    """The page."""
    found = list(commands())
    rows = [
        f"| [`{name}`](#{name.replace(' ', '-')}) | {_cell(_paragraphs(command.help)[0])} |"
        for name, command in found
        if name != "aucli"
    ]
    parts = [HEAD, "\n".join(["| command | |", "| --- | --- |", *rows]) + "\n"]
    parts += [_section(name, command) for name, command in found]
    return "\n".join(parts)


def _section(name: str, command: Any) -> str:
    inputs = [command.value(argument) for argument in arguments(command)]
    usage = " ".join([name, *inputs, "[OPTIONS]" if options(command) else ""]).strip()
    usage += " COMMAND" if name == "aucli" else ""
    lines = [f"## {name}", "", f"    {usage}", ""]
    for paragraph in _paragraphs(command.help):
        lines += [paragraph, ""]
    rows = [
        f"| `{command.value(argument)}` | {_needed(argument)} | {_cell(argument.help)} |"
        for argument in arguments(command)
    ]
    takes = command.takes if isinstance(command, Command) else {}
    for option in options(command):
        names = ", ".join(f"`{text}`" for text in sorted(option.opts, key=len))
        value = "" if option.is_flag else f" `{_cell(_value(option, command))}`"
        meaning = _cell(_meaning(option, takes.get(option.name)))
        rows.append(f"| {names}{value} | {_needed(option)} | {meaning} |")
    if rows:
        lines += ["| option | default | meaning |", "| --- | --- | --- |", *rows, ""]
    shown = (command.epilog or "").splitlines()[2:]  # below the mark and the title
    lines += ["Examples:", "", *(f"  {line}" for line in shown), ""]
    return "\n".join(lines)


def _value(option: Any, command: Any) -> str:
    """``N``, ``PATH``, ``auto|decord|pyav``: what is to be written after the option's name."""
    value = command.value(option) if isinstance(command, Command) else option.metavar
    return value.strip("<>")


def _needed(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    if default is None or default is False or parameter.param_type_name == "argument":
        return ""
    return f"`{default}`"


def _meaning(option: Any, takes: Takes | None) -> str:
    text = " ".join((option.help or "").split())
    if takes is not None and (takes.least, takes.most) != (None, None):
        text = f"{text.removesuffix('.')} ({takes.words})."
    if option.envvar:
        text += f" The variable {option.envvar} of the environment does the same."
    return text


def _paragraphs(text: str | None) -> list[str]:
    return [" ".join(part.split()) for part in (text or "").split("\n\n") if part.strip()]


def _cell(text: str | None) -> str:
    """Text for a cell of a table: one line; ``|`` would end the cell."""
    return " ".join((text or "").split()).replace("|", "\\|")


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    write_text(PAGE, reference())
    print(PAGE)


if __name__ == "__main__":
    run_script(main)
