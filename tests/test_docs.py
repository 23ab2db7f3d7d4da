"""The documentation is about this program: its commands, options, scripts and files exist."""

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from test_floors import FLOORS

from aucli.cli import app

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "examples").rglob("*.py"))
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    ROOT / "weights" / "README.md",
]
OTHERS = [ROOT / "Makefile", *SCRIPTS, *sorted((ROOT / "examples").rglob("*.sh")),
          ROOT / "tests" / "lookalike_run.py"]  # fmt: skip
FENCE = re.compile(r"^( *)(```|~~~)[^\n]*\n(.*?)^\1\2", re.M | re.S)


@pytest.fixture(scope="module")
def writer() -> Any:
    """The script that makes docs/commands.md."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "examples" / "maintenance")
        return importlib.import_module("write_reference")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_reference_is_what_the_code_makes(writer) -> None:
    page = writer.PAGE.read_text("utf-8")
    assert page == writer.reference(), f"{name_of(writer.PAGE)} is old: run {writer.HOW}"


def leaves(command: Any, name: str = "aucli") -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", {})
    if not below:
        yield name, command
    for part, each in below.items():
        yield from leaves(each, f"{name} {part}")


def test_every_command_and_option_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "commands.md").read_text("utf-8")
    sections = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", page, re.M | re.S))
    found = list(leaves(typer.main.get_command(app)))
    assert len(found) > 8
    missing = [
        f"{name} {option}"
        for name, command in found
        for parameter in command.params
        for option in (parameter.opts if parameter.param_type_name == "option" else ())
        if f"`{option}`" not in sections.get(name, "")
    ]
    assert [name for name, _ in found if name not in sections] == [] and missing == []


def shown(path: Path) -> str:
    """The parts of a file that show commands: code of a page, the docstring of a script."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        return ast.get_docstring(ast.parse(text)) or ""
    if path.suffix != ".md":
        # The recipe names the program by a variable, and calls train through a function.
        text = re.sub(r"stage \S+ train ", "aucli train ", text)
        return re.sub(r'"\$AUCLI"|\$\(BIN\)/aucli', "aucli", text)
    fenced = [match[3] for match in FENCE.finditer(text)]
    prose = FENCE.sub("", text)
    indented = re.findall(r"^(?: {4}|\t)(.*)$", prose, re.M)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^(?: {4}|\t).*$", "", prose, flags=re.M))
    return "\n".join([*fenced, "\n".join(indented), *inline])


def command_lines(text: str, program: str) -> Iterator[list[str]]:
    """The words behind each call of a program, up to a pipe, a comment or the end of the line."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        for match in re.finditer(rf"(?:^|[\s`(|])({program})(?=\s|$)", line):
            rest = re.split(r"(?:\s#|\s\||`|\s&&|;)", line[match.end() :])[0]
            try:
                words = shlex.split(rest)
            except ValueError:  # an apostrophe of prose
                words = rest.split()
            yield [match[1], *words]


def options_of(words: list[str]) -> list[str]:
    return [word.partition("=")[0].rstrip(".,:)]") for word in words
            if re.match(r"--?[a-z]", word)]  # fmt: skip


def complaint(words: list[str]) -> str | None:
    """What is wrong with ``aucli ...`` as a page shows it."""
    command: Any = typer.main.get_command(app)
    name = "aucli"
    for word in words[1:]:
        below = getattr(command, "commands", None)
        if below is None or word.startswith("-"):
            break
        word = word.rstrip(".,:)")
        if word not in below:
            # "aucli" in a sentence, or a place for any command; a word like a command is meant.
            plain = name == "aucli" and not re.fullmatch(r"[a-z]+", word)
            return None if plain or word in ("COMMAND",) else f"{name} has no command {word}"
        command, name = below[word], f"{name} {word}"
    known = {option for parameter in command.params for option in parameter.opts}
    known |= {"-h", "--help"}
    for option in options_of([word.lstrip("[(") for word in words]):
        if option not in known:
            return f"{name} has no option {option}"
    return None


@pytest.mark.parametrize("path", [*PAGES, *OTHERS], ids=name_of)
def test_the_commands_that_are_shown_exist(path: Path) -> None:
    lines = list(command_lines(shown(path), "aucli"))
    found = [wrong for line in lines if (wrong := complaint(line))]
    assert found == []


def test_a_command_that_does_not_exist_is_seen() -> None:
    text = "aucli analyse a.mp4\n$ aucli analyze a.mp4 --no-such \\\n  --sides | head -3  # --x\n"
    text += "aucli weights get x\naucli eval --model 'a-{fold}/b'\naucli --version\n"
    lines = list(command_lines(text, "aucli"))
    assert lines[1] == ["aucli", "analyze", "a.mp4", "--no-such", "--sides"]
    assert [complaint(line) for line in lines] == [
        "aucli has no command analyse", "aucli analyze has no option --no-such",
        "aucli weights has no command get", None, None,
    ]  # fmt: skip


def test_readme_shows_commands_that_are_checked() -> None:
    lines = list(command_lines(shown(ROOT / "README.md"), "aucli"))
    assert {"analyze", "train", "eval", "prepare", "weights"} <= {
        line[1] for line in lines if line[1:]
    }


@pytest.mark.parametrize("path", [*PAGES, *OTHERS], ids=name_of)
def test_the_scripts_that_are_shown_exist_and_have_these_options(path: Path) -> None:
    text = shown(path).replace('"$PYTHON" "$HERE/', "python examples/maintenance/").replace('"', "")
    for words in command_lines(text, r"python3? (?:examples|tests)/\S+\.py"):
        script = ROOT / words[0].split()[1]
        assert script.is_file(), f"{name_of(path)} shows {name_of(script)}, which is not there"
        source = script.read_text("utf-8")
        for option in options_of(words[1:]):
            assert f'"{option}"' in source, f"{name_of(path)}: {name_of(script)} has no {option}"


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_the_files_that_are_linked_or_named_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    linked = [path.parent / name for name in re.findall(r"\]\(([^)#:\s]+)\)", text)]
    places = r"`((?:aucli|examples|tests|docs|weights)/[\w./-]*)`"
    named = [ROOT / name for name in re.findall(places, text)]
    assert [str(found) for found in (*linked, *named) if not found.exists()] == []


def test_the_contributors_page_has_the_rooms_on_their_floors() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    told = {name: int(floor) for floor, name in re.findall(r"^\| (\d+) \| `(\w+)` \|", page, re.M)}
    assert told == {name: floor for floor, rooms in enumerate(FLOORS) for name in rooms}


def test_python_that_is_shown_is_python() -> None:
    for path in PAGES:
        for match in re.finditer(r"^```python\n(.*?)^```", path.read_text("utf-8"), re.M | re.S):
            compile(match[1], name_of(path), "exec")
