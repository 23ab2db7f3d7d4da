"""aucli.toml: settings of a folder, which the command line overrules."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from bright_faces import ONE, TWO, tiny_networks, write_clip
from typer.testing import CliRunner, Result

from aucli import analyzer
from aucli.cli import app
from aucli.cli.command import Command
from aucli.table.writer import read_provenance

ROOT = Path(__file__).resolve().parents[1]
TABLES = ("[analyze], [summarize], [events], [convert], [plot], [methods], [report], [compare], "
          "[overlay], [prepare], [train], [eval], [synth], [bench], [weights.pull], "
          "[weights.export]")  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What commands would run with; none runs."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(Command, "invoke", lambda self, ctx: found.append(ctx.params))
    return found


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [*map(str, words)])


def test_a_table_for_each_command(here: Path, taken: list[dict[str, Any]]) -> None:
    Path("aucli.toml").write_text(
        '[analyze]\nsides = true\nfaces = 2\nlandmarks-xy = true\nbatch_size = 4\nstart = "1:30"\n'
        'end = 100\nfps = 5\nformat = "csv"\nheatmaps = "maps"\n'
        '[train]\nroot = "."\nout = "run"\nmodel = "landmarks"\nlr = 1e-3\n[eval]\njson = "a.json"'
    )
    run("analyze", "a.mp4")
    run("analyze", "a.mp4", "--faces", "all", "--batch-size", "8", "--format", "jsonl")
    run("train", "--lr", "0.5")
    run("eval")
    run("bench", "a.mp4")
    names = ("sides", "faces", "landmarks_xy", "batch_size", "start", "end", "fps", "format_",
             "heatmaps", "places")  # fmt: skip
    assert [taken[0][name] for name in names] == [True, "2", True, 4, 90.0, 100.0, 5.0, "csv",
                                                  Path("maps"), False]  # fmt: skip
    assert [taken[1][name] for name in names[:4]] == [True, "all", True, 8]
    assert taken[1]["format_"] == "jsonl"
    assert (taken[2]["root"], taken[2]["model"], taken[2]["lr"]) == (Path("."), "landmarks", 0.5)
    assert taken[3]["json_"] == Path("a.json")
    assert taken[4]["batch_size"] == 16


def test_another_file_or_none(here: Path, taken: list[dict[str, Any]]) -> None:
    Path("aucli.toml").write_text("[analyze]\nevery = 2")
    Path("study.toml").write_bytes(
        b"\xef\xbb\xbf[analyze]\r\nevery = 3\r\n[weights.pull]\r\nyes = true"
    )
    run("analyze", "a.mp4")
    run("--config", "study.toml", "analyze", "a.mp4")
    run("--no-config", "analyze", "a.mp4")
    run("--config", "study.toml", "weights", "pull", "fan-2d")
    assert [each["every"] for each in taken[:3]] == [2, 3, 1]
    assert (taken[3]["yes"], taken[3]["offline"]) == (True, False)


def test_the_environment_comes_before_the_file(
    here: Path, taken: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("aucli.toml").write_text("[weights.pull]\noffline = false")
    monkeypatch.setenv("AUCLI_OFFLINE", "1")
    run("weights", "pull", "fan-2d")
    assert taken[0]["offline"] is True


def test_the_home_folder(
    here: Path, taken: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    Path("aucli.toml").write_text('[report]\nvideos = "~/films"\ntitle = "a ~ b"')
    run("report", "tables")
    assert (str(taken[0]["videos"]), taken[0]["title"]) == ("/home/somebody/films", "a ~ b")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("sides = true", f"sides stands in no command's table; there are {TABLES}."),
        ("analyze = true", f"analyze stands in no command's table; there are {TABLES}."),
        ("[analyse]\nsides = true", f"[analyse] is no command's table; there are {TABLES}."),
        ("[weights]\nyes = true", "weights.yes stands in no command's table; there are"
         " [weights.pull], [weights.export]."),
        ("[report]\nblurr = true", "[report] has no option blurr; there are out, title, names,"
         " person, videos, no-pictures, blur, overwrite, quiet."),
        ("[analyze]\nhelp = true\n", None),
        ("[analyze]\ninputs = 'a.mp4'", None),
        ("[info]\nx = 1", "[info] has no option x; it has none."),
        ("[analyze]\nbatch-size = 1\nbatch_size = 2", "[analyze] has batch_size twice; take one"
         " line away."),
        ("[analyze]\nsides = 'true'", "[analyze] sides: give true or false."),
        ("[analyze]\nsides = 1", "[analyze] sides: give true or false."),
        ("[analyze]\nevery = 0", "[analyze] every: give a whole number, 1 or more."),
        ("[analyze]\nevery = 2.0", "[analyze] every: give a whole number, 1 or more."),
        ("[analyze]\nevery = true", "[analyze] every: give a whole number, 1 or more."),
        ("[convert]\npresence = nan", "[convert] presence: give a number from 0 to 5."),
        ("[analyze]\nfps = '5'", "[analyze] fps: give a number."),
        ("[analyze]\nmodel = ['a']", "[analyze] model: give a text."),
        ("[analyze]\nfaces = false", "[analyze] faces: give a text."),
        ("[analyze]\nheatmaps = 1979-05-27", "[analyze] heatmaps: give a path."),
        ("[analyze]\ndecoder = 'x'", "[analyze] decoder: give one of auto, decord, pyav."),
        ('[analyze]\nout = "a\\u0000"', "[analyze] out: give a text."),
        ("[train]\nsteps = 'x'", "[train] steps: give a whole number."),
        ('[analyze]\n"a\\u001b[2J" = 1', None),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(here: Path, text: str, complaint: str | None) -> None:
    Path("aucli.toml").write_text(text)
    result = run("analyze", "a.mp4")
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: Invalid value: aucli.toml: ") and line.isprintable()
    if complaint is not None:
        assert line == f"Error: Invalid value: aucli.toml: {complaint}"
    assert run("analyze", "-h").exit_code == run("--help").exit_code == 0
    assert run("--no-config", "info").exit_code == 0


def test_a_value_that_only_the_command_can_check(here: Path) -> None:
    Path("aucli.toml").write_text(
        '[analyze]\nstart = "x"\n[train]\nmodel = "x"\nroot = "."\nout = "x"'
    )
    last = [run(*words).stderr.splitlines()[-1] for words in (["analyze", "a.mp4"], ["train"])]
    assert last[0] == ("Error: Invalid value for '--start': aucli.toml: 'x' is no time; write 90, "
                       "1:30 or 0:01:30.5.")  # fmt: skip
    assert last[1].startswith("Error: Invalid value for '--model': aucli.toml: 'x' is not one of ")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"[analyze]\nout = tables", "aucli.toml is no valid TOML: Invalid value (at line 2, column"
         " 7); a line looks like sides = true or faces = \"all\"."),
        (b"[analyze\n", None),
        (b"\xff\xfe\x00", "aucli.toml is no text in UTF-8; save it as such."),
        (b"\x00" * 20, None),
        (b"x = " + b"[" * 50_000, "aucli.toml is no file of settings."),
        (None, "aucli.toml cannot be read: Is a directory."),
    ],
)  # fmt: skip
def test_a_damaged_file(here: Path, content: bytes | None, complaint: str | None) -> None:
    if content is None:
        Path("aucli.toml").mkdir()
    else:
        Path("aucli.toml").write_bytes(content)
    result = run("info")
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: Invalid value: aucli.toml ")
    assert complaint is None or line == f"Error: Invalid value: {complaint}"


def test_a_pipe_is_not_waited_for(here: Path) -> None:
    os.mkfifo("aucli.toml")
    result = run("info")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "Error: Invalid value: aucli.toml is a named pipe; give a file, or --no-config.\n"
    )


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--config", "none.toml", "info"], "Invalid value: none.toml does not exist; check the "
         "name behind --config."),
        (["--config", "aucli.toml", "--no-config", "info"], "Invalid value: --config and "
         "--no-config do not go together; give one of the two."),
        (["analyze", "a.mp4", "--config", "a.toml"], "Invalid value for --config: it stands before "
         "the command: aucli --config ... analyze"),
    ],
)  # fmt: skip
def test_a_wrong_call(here: Path, words: list[str], complaint: str) -> None:
    Path("aucli.toml").write_text("")
    result = run(*words)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, f"Error: {complaint}")


@pytest.fixture
def clips(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(analyzer, "load_networks", lambda options: tiny_networks())
    write_clip(here / "one.mp4", [ONE] * 2)
    return write_clip(here / "clip.mp4", [TWO] * 3)


def test_one_line_says_that_the_file_is_used(clips: Path) -> None:
    Path("aucli.toml").write_text("[analyze]\nfaces = 'all'\nsides = true\nplaces = false\n[plot]")
    said = "aucli.toml sets --faces all, --sides, no --places."
    assert run("analyze", clips).stderr.splitlines()[0] == said
    assert run("analyze", clips, "--overwrite", "--quiet").stderr == ""
    words = ["analyze", clips, "--overwrite", "--faces", "1", "--sides", "--places"]
    assert "aucli.toml" not in run(*words).stderr  # nothing is left of it
    assert "aucli.toml" not in run("info").stderr
    Path("aucli.toml").write_text("[analyze]\nquiet = true\nfaces = 1")
    assert run("analyze", clips, "--overwrite").stderr == ""


def test_results_and_resume_know_options_not_where_they_stand(clips: Path) -> None:
    typed = ["--faces", "all", "--sides", "--threads", "1"]
    assert run("analyze", clips, "-o", "typed", *typed, "--resume").exit_code == 0
    Path("aucli.toml").write_text("[analyze]\nfaces = 'all'\nsides = true\nthreads = 1")
    assert run("analyze", clips, "-o", "set", "--resume").exit_code == 0
    told, other = (read_provenance(Path(f"{name}/clip.parquet")) for name in ("set", "typed"))
    assert told.pop("settings") == {
        "file": "aucli.toml",
        "options": ["faces", "threads", "sides"],
    }
    assert told == other
    options = told["options"]
    assert (options["faces"], options["sides"], options["places"]) == ("all", True, False)
    result = run("analyze", clips, "-o", "typed", "--resume")
    assert result.exit_code == 0 and "done by an earlier run" in result.stderr
    assert run("--no-config", "analyze", clips, "-o", "set", *typed, "--resume").exit_code == 0
    Path("aucli.toml").write_text("[analyze]\nfaces = 'all'\nsides = false\nthreads = 1")
    result = run("analyze", clips, "-o", "typed", "--resume")
    assert result.exit_code == 2
    assert (
        "made with other settings (clip.parquet: sides True, now False; `--report`" in result.stderr
    )


def test_the_provenance_names_the_file_and_what_came_of_it(clips: Path) -> None:
    study = clips.parent / "Anna Smith" / "study.toml"
    study.parent.mkdir()
    study.write_text("[analyze]\nsides = true\nfps = 5\nquiet = true\nformat = 'csv'")
    config = ["--config", study]
    assert run(*config, "analyze", clips, "-o", "two").exit_code == 0
    told = read_provenance(Path("two/clip.csv"))
    assert told["settings"] == {"file": "study.toml", "options": ["fps", "sides"]}
    assert (told["options"]["fps"], told["options"]["sides"]) == (5.0, True)
    assert run(*config, "analyze", clips, "one.mp4", "-o", "all.csv", "--fps", "2").exit_code == 0
    told = read_provenance(Path("all.csv"))
    assert [each["settings"]["options"] for each in told["inputs"]] == [["sides"]] * 2
    study.write_text("[analyze]\nquiet = true")  # which decides no row
    assert run(*config, "analyze", clips, "-o", "plain").exit_code == 0
    assert "settings" not in read_provenance(Path("plain/clip.parquet"))


def test_a_process_reads_it(here: Path) -> None:
    """The real entry point, from the current folder."""
    Path("aucli.toml").write_text("[summarize]\nenter = 2")
    done = subprocess.run(
        [sys.executable, "-m", "aucli", "summarize", "none/"],
        capture_output=True, text=True, env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    assert done.stderr.splitlines()[0] == "aucli.toml sets --enter 2."


def every_option(command: Any, name: str) -> Iterator[str]:
    """A table for each command with a possible value for each of its options."""
    below = getattr(command, "commands", {})
    for part, each in below.items():
        yield from every_option(each, f"{name}.{part}".lstrip("."))
    if below:
        return
    yield f"[{name}]"
    for option in (each for each in command.params if each.param_type_name == "option"):
        takes = command.takes[option.name]
        value = {bool: "true", int: "100", float: "5"}.get(takes.kind)
        long = next(text for text in option.opts if text.startswith("--"))
        yield f"{long[2:]} = {value or repr((*takes.names, 'x')[0])}"


def test_every_option_of_every_command_can_be_set(here: Path) -> None:
    lines = [*every_option(typer.main.get_command(app), "")]
    assert len(lines) > 150
    Path("aucli.toml").write_text("\n".join(lines))
    result = run("info")
    assert result.exit_code == 0, result.stderr


def test_the_page_of_settings_shows_files_that_work(here: Path) -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    shown = re.findall(r"^```toml\n(.*?)^```", page, re.M | re.S)
    assert shown
    for text in shown:
        Path("aucli.toml").write_text(text)
        assert run("info").exit_code == 0, text
