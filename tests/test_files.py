"""Files appear whole or not at all, also where runs are killed or meet."""

import fcntl
import os
from pathlib import Path

import pytest

from aucli import files
from aucli.errors import OutputError
from aucli.files import sweep_part, sweep_parts, write_text, write_whole


def test_what_a_killed_run_left_is_taken_over(tmp_path):
    (tmp_path / ".t.csv.part").write_bytes(b"much longer than what follows")
    write_text(tmp_path / "t.csv", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
    assert (tmp_path / "t.csv").read_text() == "new"


def test_two_runs_do_not_write_the_same_file(tmp_path):
    path = tmp_path / "t.csv"
    with write_whole(path) as first:
        first.write(b"first")
        with pytest.raises(OutputError, match=r"t.csv is being written by another run"):
            write_text(path, "second")
        sweep_part(path)  # a live run's is left alone
        assert (tmp_path / ".t.csv.part").exists()
    assert path.read_text() == "first"
    write_text(path, "third")
    assert path.read_text() == "third"


def test_leftovers_are_swept(tmp_path):
    part = tmp_path / ".t.csv.part"
    part.touch()
    sweep_part(tmp_path / "t.csv")
    assert not part.exists()
    sweep_part(tmp_path / "t.csv")
    for name in (".t[1].png.part", ".t[1].mp4.part", ".t1.png.part", "t[1].part"):
        (tmp_path / name).touch()
    with write_whole(tmp_path / "t[1].gif"):
        sweep_parts(tmp_path, "t[1]")
        left = {path.name for path in tmp_path.iterdir()}
    assert left == {".t1.png.part", "t[1].part", ".t[1].gif.part"}  # the last is being written
    sweep_parts(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"t[1].part", "t[1].gif"}


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "t.csv", "old")
    with pytest.raises(ZeroDivisionError), write_whole(tmp_path / "t.csv") as stream:
        stream.write(b"new")
        raise ZeroDivisionError
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("lack", ["no locks here", "no fcntl"])
def test_file_systems_without_locks(tmp_path, monkeypatch, lack):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    if lack == "no fcntl":
        monkeypatch.setattr(files, "fcntl", None)
    else:
        monkeypatch.setattr(fcntl, "flock", refuse)
    write_text(tmp_path / "t.csv", "new")
    sweep_part(tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "new"


def test_files_have_the_permissions_of_the_umask(tmp_path: Path):
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "t.csv", "x")
    finally:
        os.umask(old)
    assert (tmp_path / "t.csv").stat().st_mode & 0o777 == 0o640


def test_a_folder_is_refused_whatever_it_is_called(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name in (".", "..", "/", "folder"):
        with (
            pytest.raises(OutputError, match=r"is a folder; name a file\.$"),
            write_whole(Path(name)),
        ):
            pytest.fail("nothing is to be written")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
