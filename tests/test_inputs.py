"""Which inputs a user's words stand for, what their tables are called, and that no output is one
of them."""

import io
import os
import sys
from pathlib import Path

import pandas as pd
import pytest
from bright_faces import ONE, tiny_networks, write_clip
from test_video import write_sound
from typer.testing import CliRunner, Result
from video_clips import write_clip as write_hazard

from aucli import analyzer
from aucli.cli import app
from aucli.errors import OptionError
from aucli.files import refuse_inputs, shown
from aucli.pipeline.inputs import (
    VIDEO_SUFFIXES,
    Input,
    find_inputs,
    passed_over_words,
    plan_pictures,
    plan_targets,
    unique_names,
)

BAD = os.fsdecode(b"caf\xe9.mp4")  # Latin-1, no UTF-8
linux = pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and tiny networks for the trained ones."""
    (folder := tmp_path / "here").mkdir()
    monkeypatch.chdir(folder)
    models = tiny_networks()
    monkeypatch.setattr(analyzer, "load_networks", lambda options: models)
    return folder


def analyze(*arguments: object, stdin: bytes = b"") -> Result:
    command = ["analyze", "--threads", "1", *map(str, arguments)]
    return CliRunner().invoke(app, command, input=stdin)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def targets(folder: Path, **given: Path) -> list[str]:
    found = find_inputs([str(folder)]).inputs
    return [str(path) for path in plan_targets(found, "out", None, given)]


# Names in tables and on the screen.


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Zoë 李.mp4", "Zoë 李.mp4"),
        ("می‌شود.mp4", "می‌شود.mp4"),
        ("Shot 3.05\u202fPM.jpg", "Shot 3.05\u202fPM.jpg"),
        ("a\u2028b.mp4", r"a\u2028b.mp4"),
        ("a\nb.mp4", r"a\nb.mp4"),
        ("\x1b[31mred\x9b", r"\x1b[31mred\x9b"),
        ("gpj\u202e.mp4", r"gpj\u202e.mp4"),
        (BAD, r"caf\xe9.mp4"),
    ],
)
def test_names_are_shown_on_one_line_without_control(name, text):
    assert shown(name) == text
    shown(name).encode()


@linux
@pytest.mark.parametrize("name", [BAD, "a\nb.mp4", "\x1b[31mred.mp4"])
@pytest.mark.parametrize("table_format", ["parquet", "csv", "jsonl"])
def test_names_of_any_bytes_get_rows(here, name, table_format):
    write_clip(here / "v.mp4", [ONE] * 2).rename(here / name)
    result = analyze(here, "-o", "out", "--format", table_format)
    assert result.exit_code == 0, result.stderr
    assert "\x1b" not in result.stderr
    table = here / "out" / f"{shown(name).removesuffix('.mp4')}.{table_format}"
    read = {"parquet": pd.read_parquet, "csv": pd.read_csv}.get(
        table_format, lambda path: pd.read_json(path, lines=True)
    )
    assert read(table)["video"].tolist() == [shown(name)] * 2


# What the tables are called.


def test_tables_lie_as_the_inputs_below_their_folder(tmp_path):
    study = tmp_path / "study"
    touch(study, "p01/clip.mp4", "p02/clip.mp4", "p02/x.avi", "p02/x.mp4", "shots.2/1.png")
    assert targets(study) == [
        f"out/{name}.parquet" for name in ("p01/clip", "p02/clip", "p02/x", "p02/x.mp4", "shots.2")
    ]


def test_links_are_inputs_under_their_own_names(tmp_path):
    touch(tmp_path, "objects/MD5E-s1--ab.mp4")
    study = tmp_path / "study"
    study.mkdir()
    for name in ("sub-01.mp4", "sub-02.mp4", "sub-03.mp4"):
        (study / name).symlink_to(tmp_path / "objects/MD5E-s1--ab.mp4")
    (study / "more").symlink_to(tmp_path / "objects")
    (study / "round").symlink_to(study)
    (study / "gone.mp4").symlink_to(tmp_path / "nothing.mp4")
    names = ["gone", "sub-01", "sub-02", "sub-03", "more/MD5E-s1--ab"]
    assert targets(study) == [f"out/{name}.parquet" for name in names]
    once = find_inputs([str(study / "sub-01.mp4"), str(study / "more" / ".." / "sub-01.mp4")])
    assert [item.label for item in once.inputs] == ["sub-01.mp4"]


def test_equal_names_of_several_folders_get_their_folders(tmp_path):
    touch(tmp_path, "a/x.mp4", "b/x.mp4", "b/y.mp4", "c/a/x.mp4")
    named = [str(tmp_path / name) for name in ("a/x.mp4", "b/x.mp4", "b/y.mp4")]
    assert [item.label for item in find_inputs(named).inputs] == ["a/x.mp4", "b/x.mp4", "y.mp4"]
    named.append(str(tmp_path / "c/a/x.mp4"))
    labels = [item.label for item in find_inputs(named).inputs]
    assert labels == [f"{tmp_path.name}/a/x.mp4", "b/x.mp4", "y.mp4", "c/a/x.mp4"]


def names(*labels: str, **given: str) -> list[str]:
    known = {os.path.abspath(f"/data/{key}.mp4"): name for key, name in given.items()}
    return unique_names([Input(Path("/data") / label, label) for label in labels], known)


def test_the_first_of_twins_keeps_the_short_name():
    assert names("x.mp4", "x.avi", "p/x.mp4") == ["x", "x.avi", "p/x"]
    assert names("X.mp4", "x.avi", "x.AVI") == ["X", "x.avi", "x.AVI-2"]
    assert names("e\u0301.mp4", "\xe9.avi") == ["e\u0301", "\xe9.avi"]


def test_long_names_are_cut_and_marked():
    long = "ä" * 125
    (name, other) = names(f"{long}.mp4", f"{long}b.mp4")
    assert len(name.encode()) <= 200 and name != other
    Path(f".{name}.parquet.12345678.part").touch()


def test_names_once_given_stay():
    assert names("x.avi", "x.mp4", x="x") == ["x.avi", "x"]
    inputs = [Input(Path("x.avi"), "x.avi"), Input(Path("x.mp4"), "x.mp4")]
    given = {str(Path("x.mp4").absolute()): Path("out/x.parquet")}
    wanted = [Path("out/x.avi.csv"), Path("out/x.csv")]
    assert plan_targets(inputs, "out", "csv", given) == wanted
    assert plan_pictures(inputs, Path("maps"), "out", given) == [
        Path("maps/x.avi"), Path("maps/x"),
    ]  # fmt: skip


# Where the tables go.


@pytest.mark.parametrize("out", ["t.xlsx", "t.sav", "t.tsv", "result.parqet", "results.v2"])
def test_an_unknown_suffix_is_no_folder(out):
    suffix = Path(out).suffix
    with pytest.raises(OptionError) as error:
        plan_targets([Input(Path("a.mp4"), "a.mp4")], out, None)
    assert str(error.value) == (
        f"out: aucli writes no {suffix}; name a table that ends in .parquet, .csv, .jsonl, or end "
        "it in / for a folder."
    )


@pytest.mark.parametrize("out", ["results", "results.v2/", "2026.11.28", "there.v2", ".hidden"])
def test_what_is_a_folder(here, out):
    (here / "there.v2").mkdir()
    planned = plan_targets([Input(Path("a.mp4"), "a.mp4")], out, None)
    assert planned == [Path(out) / "a.parquet"]


@pytest.mark.parametrize(
    ("out", "chosen", "sentence"),
    [
        ("t.csv", "parquet", "out: t.csv does not fit the format parquet; name another suffix."),
        ("notes", None, "out: notes is a file; name a folder or a new table."),
    ],
)
def test_places_that_do_not_fit(here, out, chosen, sentence):
    (here / "notes").touch()
    with pytest.raises(OptionError) as error:
        plan_targets([Input(Path("a.mp4"), "a.mp4")], out, chosen)
    assert str(error.value) == sentence


# What a folder search finds.


def test_nothing_is_passed_over_in_silence(tmp_path):
    touch(
        tmp_path, "a.txt", "b.txt", "c.DOCX", "README", "old.parquet", "old.json", ".hidden.mp4",
        "maps/clip_frame000041_face0.png",
    )  # fmt: skip
    write_clip(tmp_path / "x.mp4", [ONE])
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.mp4")
    found = find_inputs([str(tmp_path)])
    assert [item.label for item in found.inputs] == ["x.mp4"]
    assert found.passed_over == {".txt": 2, ".docx": 1, "no suffix": 1, ".mp4": 1, ".png": 1}
    assert passed_over_words(found.passed_over) == (
        "6 other files were passed over (.txt 2, .docx 1, .mp4 1, .png 1, no suffix 1)."
    )
    result = analyze(tmp_path, "-o", "out")
    assert "6 other files were passed over (.txt 2, .docx 1" in result.stderr


def test_files_of_an_unsure_kind_without_pictures_are_passed_over(tmp_path):
    (tmp_path / "types.ts").write_text("export const answer: number = 42;\n" * 40)
    write_sound(tmp_path / "sound.mp4").rename(tmp_path / "speech.ogg")
    write_clip(tmp_path / "camera.ts", [ONE] * 2)
    found = find_inputs([str(tmp_path)])
    assert [item.label for item in found.inputs] == ["camera.ts"]
    assert found.passed_over == {".ts": 1, ".ogg": 1}
    named = find_inputs([str(tmp_path / "types.ts")])
    assert [item.label for item in named.inputs] == ["types.ts"]


def test_a_file_of_an_unsure_kind_that_is_refused_is_an_input(tmp_path, monkeypatch):
    write_clip(tmp_path / "camera.ts", [ONE] * 2)

    def refuse(path: object, *rest: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("aucli.pipeline.original.os.open", refuse)
    found = find_inputs([str(tmp_path)])
    assert [item.label for item in found.inputs] == ["camera.ts"] and not found.passed_over


@pytest.mark.parametrize("suffix", [".3g2", ".m2t", ".nut", ".mod", ".qt", ".m2v", ".h264", ".ogg"])
def test_rarer_kinds_are_found_and_read(tmp_path, suffix):
    known = {".m2t": ".ts", ".mod": ".mpg", ".qt": ".mov", ".ogg": ".mkv"}
    codec = "mpeg2video" if suffix in (".m2v", ".mod") else "libx264"
    clip = write_hazard(tmp_path / f"x{known.get(suffix, suffix)}", codec)
    study = tmp_path / "study"
    study.mkdir()
    clip.rename(study / f"x{suffix}")
    assert suffix in VIDEO_SUFFIXES
    result = analyze(study, "-o", "out")
    assert result.exit_code == 0, result.stderr
    assert set(pd.read_parquet("out/x.parquet")["frame"]) == set(range(1, 21))


def test_a_folder_that_cannot_be_searched_is_told(tmp_path, monkeypatch):
    touch(tmp_path, "a/x.mp4", "b/x.mp4")
    real = os.scandir

    def scandir(folder):
        if Path(folder).name == "a":
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    found = find_inputs([str(tmp_path)])
    assert [item.label for item in found.inputs] == ["b/x.mp4"]
    sentence = f"{tmp_path / 'a'} cannot be searched (Permission denied); check its permissions."
    assert list(found.problems.values()) == [sentence]
    found = find_inputs([str(tmp_path / "a")])
    assert list(found.problems.values()) == [sentence]  # not that it is empty


# Lists on stdin.


@pytest.mark.parametrize(
    "data",
    [
        b"a.mp4\nb c.mp4\n",
        "\ufeffa.mp4\r\n\r\nb c.mp4".encode(),
        "a.mp4\r\nb c.mp4\r\n".encode("utf-16"),
        "\ufeffa.mp4\r\nb c.mp4\r\n".encode("utf-16-be"),
        "a.mp4\r\nb c.mp4\r\n".encode("utf-16-le"),
        b"a.mp4\0b c.mp4\0",
        b"'a.mp4'\n \"b c.mp4\" \n",
    ],
)
def test_lists_of_other_programs(data):
    found = find_inputs(["-"], io.TextIOWrapper(io.BytesIO(data)))
    assert ([item.label for item in found.inputs], found.problems) == (["a.mp4", "b c.mp4"], {})


@linux
def test_a_list_of_names_of_any_bytes(here):
    (here / "a\nb.mp4").touch()
    (here / '"q".mp4').touch()
    for data, labels in (
        (os.fsencode(BAD) + b"\n", [r"caf\xe9.mp4"]),
        (b"a\nb.mp4\0", [r"a\nb.mp4"]),
        (b'"q".mp4\n', ['"q".mp4']),
    ):
        found = find_inputs(["-"], io.TextIOWrapper(io.BytesIO(data)))
        assert [item.label for item in found.inputs] == labels


def test_a_closed_stdin_is_an_empty_list():
    closed = io.TextIOWrapper(io.BytesIO())
    closed.close()
    for stdin in (None, closed):
        assert find_inputs(["-"], stdin) == ([], {}, {})


def test_a_bad_line_costs_that_line_alone(here):
    write_clip(here / "x.mp4", [ONE])
    long = "y" * 300 + ".mp4"
    result = analyze("-", stdin=f'""\n{long}\nx.mp4\n'.encode())
    assert result.exit_code == 1
    assert "aucli: A line of the list is an empty name; take it away.\n" in result.stderr
    assert f"aucli: {long} cannot be looked at (File name too long); check the name." in (
        result.stderr
    )
    assert len(pd.read_parquet("x.parquet")) == 1


def test_an_empty_argument_is_a_sentence():
    result = analyze("")
    assert result.exit_code == 2
    assert "An input has an empty name; name a video, a picture or a folder." in result.stderr


# The output is never an input.


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_a_table_never_takes_the_place_of_an_input(here, link):
    clip = write_clip(here / "in.mp4", [ONE])
    before = clip.read_bytes()
    if link is None:
        out = "in.mp4"
    else:
        link(clip, out := "out.csv")
    result = analyze("in.mp4", "-o", out, "--format", "csv", "--overwrite")
    assert result.exit_code == 2
    sentence = f"{out} is an input; a table never takes its place, so name another place."
    assert sentence in " ".join(result.stderr.split())
    assert clip.read_bytes() == before == Path(out).read_bytes()


def test_a_table_never_takes_the_place_of_the_neutral_video(here):
    write_clip(here / "in.mp4", [ONE])
    rest = write_clip(here / "rest.mp4", [ONE])
    before = rest.read_bytes()
    os.link(rest, "in.csv")
    result = analyze("in.mp4", "--format", "csv", "--overwrite", "--calibrate", "neutral=rest.mp4")
    assert result.exit_code == 2
    assert "in.csv is an input; a table never takes its place" in result.stderr
    assert rest.read_bytes() == before == Path("in.csv").read_bytes()


def test_a_picture_never_takes_the_place_of_an_input(here):
    touch(here, "x_frame000001_face0.png")
    inputs = [Input(Path(name), name) for name in ("x.mp4", "x_frame000001_face0.png")]
    with pytest.raises(OptionError, match=r"x_frame000001_face0.png is an input; a picture never"):
        plan_pictures(inputs, here)


def test_inputs_are_known_by_any_name(here):
    touch(here, "a.csv", "b.csv")
    os.symlink("a.csv", "link.csv")
    refuse_inputs([Path("b.csv"), Path("new.csv")], [Path("link.csv"), Path("gone")], "table")
    with pytest.raises(OptionError, match=r"a.csv is an input; a report never"):
        refuse_inputs([Path("a.csv")], [Path("link.csv")], "report")
