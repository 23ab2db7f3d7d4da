"""Exit codes, and what goes to stdout and stderr."""

import functools
import hashlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from aucli.cli import app, info
from aucli.cli.command import Command
from aucli.errors import InputError
from aucli.models.landmark import LandmarkNet
from aucli.version import version
from aucli.weights import cards, store


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"aucli {version()}\n")


def test_info_names_decoders_device_and_weights() -> None:
    result = CliRunner().invoke(app, ["info"])
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == f"aucli         {version()}"
    assert sum(line.startswith("decoder ") for line in lines) == 2
    assert sum(line.startswith("device ") for line in lines) == 1
    assert any(line.startswith("weights ") for line in lines)


def test_info_fits_a_terminal() -> None:
    lines = CliRunner().invoke(app, ["info"]).stdout.splitlines()
    assert len(lines) > 20 and max(map(len, lines)) <= 80


def test_info_tells_altered_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = LandmarkNet()
    path = cards.save_weights(tmp_path / "mine", net, {"provenance": "a test", "metrics": {}})
    monkeypatch.setattr(store, "weights_dir", lambda: tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    line = CliRunner().invoke(app, ["info"]).stdout.splitlines()[-1]
    assert line.startswith("weights       mine: landmarks, ")
    assert line.endswith(f" MB, sha256 {digest[:12]}..., a test")
    path.write_bytes(path.read_bytes() + b" ")
    words = CliRunner().invoke(app, ["info"]).stdout.split()
    assert " ".join(words).endswith("... (NOT the file that its card describes), a test")


def test_wrong_usage_is_2() -> None:
    result = CliRunner().invoke(app, ["info", "--no-such-option"])
    assert result.exit_code == 2
    assert "--no-such-option" in result.stderr


@pytest.mark.parametrize(
    ("error", "code", "stderr"),
    [
        (
            InputError("a.mp4 is empty; record it again."),
            1,
            "aucli: a.mp4 is empty; record it again.\n",
        ),
        (KeyboardInterrupt(), 130, "aucli: interrupted\n"),
    ],
)
def test_errors_become_one_line_and_a_code(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, stderr: str
) -> None:
    def fail() -> str:
        raise error

    monkeypatch.setattr(info, "_device", fail)
    result = CliRunner().invoke(app, ["info"])
    assert (result.exit_code, result.stderr) == (code, stderr)


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise ZeroDivisionError("bug")

    monkeypatch.setattr(info, "_device", fail)
    result = CliRunner().invoke(app, ["info"])
    assert isinstance(result.exception, ZeroDivisionError)


def every_command(command: Any, *name: str) -> Iterator[tuple[str, ...]]:
    yield name
    for part, below in getattr(command, "commands", {}).items():
        yield from every_command(below, *name, part)


COMMANDS = [*every_command(typer.main.get_command(app))]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_is_in_words_and_ends_in_examples(command: tuple[str, ...]) -> None:
    ask = functools.partial(CliRunner().invoke, app, env={"COLUMNS": "80"})
    long, short = ask([*command, "--help"]), ask([*command, "-h"])
    assert (long.exit_code, long.stdout) == (0, short.stdout)
    text = long.stdout
    assert "  -h, --help " in text
    assert re.findall(r"<(?:int|float|str|path|list|bool)\b|\bx[<>]=", text) == []
    assert max(map(len, text.splitlines())) <= 80
    lines = text.partition("  Examples:\n")[2].rstrip().splitlines()
    first = " ".join(["    aucli", *command])
    assert lines and all(line.startswith(("    aucli ", "        --")) for line in lines)
    assert all(line.startswith(("    aucli analyze", first, "     ")) for line in lines)


def example_lines() -> list[list[str]]:
    found = []
    for command in COMMANDS:
        text = CliRunner().invoke(app, [*command, "-h"]).stdout.partition("  Examples:\n")[2]
        found += [shlex.split(line.partition(">")[0])[1:]
                  for line in text.replace("\\\n", "").strip().splitlines()]  # fmt: skip
    return found


@pytest.mark.parametrize("words", example_lines(), ids=" ".join)
def test_examples_are_taken(words: list[str], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("faces", "disfa-faces"):
        (tmp_path / name).mkdir()
    taken = []
    monkeypatch.setattr(Command, "invoke", lambda self, ctx: taken.append(ctx.params))
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert len(taken) == ("--help" not in words)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["analyze", "a.mp4", "--every", "0"], "'--every': give a whole number, 1 or more."),
        (["analyze", "a.mp4", "--every", "x"], "'--every': give a whole number, 1 or more."),
        (["analyze", "a.mp4", "--fps", "x"], "'--fps': give a number."),
        (["analyze", "a.mp4", "--stall-timeout", "-1"], "'--stall-timeout': give a number, 0 or"
         " more."),
        (["convert", "a.csv", "-o", "b.csv", "--presence", "7"], "'--presence': give a number from"
         " 0 to 5."),
        (["analyze", "a.mp4", "--decoder", "x"], "'--decoder': give one of auto, decord, pyav."),
        (["analyze", "a.mp4", "--start", "x"], "'--start': 'x' is no time; write 90, 1:30 or"
         " 0:01:30.5."),
        (["prepare", "--dataset", "x", "--root", "y"], "'--dataset': 'x' is not one of disfa,"
         " disfa-plus, bp4d, bp4d-plus, fera2017, unbc."),
    ],
)  # fmt: skip
def test_a_wrong_value_is_answered_in_words(words: list[str], complaint: str) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == f"Error: Invalid value for {complaint}"


def completed(words: str) -> list[str]:
    """What bash offers behind these words."""
    environment = {"_AUCLI_COMPLETE": "complete_bash", "COMP_WORDS": words,
                   "COMP_CWORD": str(words.count(" "))}  # fmt: skip
    return CliRunner().invoke(app, [], prog_name="aucli", env=environment).stdout.split()


def test_the_shell_completes_commands_options_and_choices() -> None:
    assert completed("aucli an") == ["analyze"]
    assert completed("aucli analyze --si") == ["--sides"]
    assert completed("aucli analyze --decoder p") == ["pyav"]
    assert completed("aucli prepare --dataset bp") == ["bp4d", "bp4d-plus"]


@pytest.mark.parametrize(
    "command",
    ["analyze a.mp4", "bench a.mp4", "eval --dataset disfa", "prepare --dataset disfa --root x"],
)
def test_threads_have_one_limit(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--threads", "1025"])
    assert result.exit_code == 2
    said = "Invalid value for '--threads': give a whole number from 0 to 1024."
    assert said in " ".join(result.stderr.split())
