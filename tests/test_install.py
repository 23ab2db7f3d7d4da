"""What is installed: make's first answer, the wheel and its page, the citation."""

import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

import aucli
from aucli.version import RECORD

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def built(tmp_path: Path) -> tuple[str, zipfile.ZipFile, Message]:
    """A commit with the address of its remote, the wheel of it, and the wheel's metadata. The
    weights are left out."""
    pytest.importorskip("hatchling")
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "aucli", checkout / "aucli",
                    ignore=shutil.ignore_patterns("__pycache__", RECORD.name))  # fmt: skip
    for name in ("hatch_build.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, checkout)
    (checkout / "weights").mkdir()
    (checkout / "weights" / "README.md").write_text("none\n")

    def run(*words: str) -> str:
        return subprocess.run(
            words, cwd=checkout, check=True, capture_output=True, text=True
        ).stdout.strip()

    run("git", "init", "-q")
    run("git", "add", ".")
    run("git", "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "-m", "one")
    run("git", "remote", "add", "origin", "https://secret@example.org/lab/aucli.git")
    commit = run("git", "rev-parse", "HEAD")[:12]
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist"))
    assert run("git", "status", "--short") == ""
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    return commit, archive, message_from_bytes(archive.read(metadata))


@pytest.mark.slow
def test_a_wheel_knows_its_commit_and_its_page_has_whole_links(built: Any, tmp_path: Path) -> None:
    commit, archive, metadata = built
    archive.extractall(tmp_path / "installed")
    code = "from aucli.version import version; print(version())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "installed", check=True, capture_output=True,
        text=True, env={"PATH": "", "PYTHONPATH": str(tmp_path / "installed")},
    )  # fmt: skip
    assert done.stdout.strip() == f"{aucli.__version__}+g{commit}"
    home = "https://example.org/lab/aucli"
    assert metadata["Version"] == aucli.__version__
    assert f"Source, {home}" in metadata.get_all("Project-URL", [])
    page = str(metadata.get_payload())
    assert "secret" not in page + str(metadata.items())
    links = re.findall(r'\]\(([^)]+)\)|<img src="([^"]+)"', page)
    assert len(links) > 10
    relative = [link for pair in links for link in pair if link and not link.startswith("https://")]
    assert relative == []
    assert f"{home}/raw/HEAD/docs/report-light.png" in page
    for path in re.findall(rf"{home}/(?:raw|blob)/HEAD/([^)#\"]+)", page):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://example.org/lab/aucli.git", "https://example.org/lab/aucli"),
        ("https://me:secret@example.org/a/b/aucli/", "https://example.org/a/b/aucli"),
        ("git@example.org:lab/aucli.git", "https://example.org/lab/aucli"),
        ("ssh://git@example.org:2222/lab/aucli", "https://example.org/lab/aucli"),
        ("/home/me/aucli", ""),
        ("../aucli.git", ""),
        ("my.folder/aucli", ""),
        ("file:///home/me/aucli", ""),
        ("", ""),
    ],
)
def test_the_home_of_a_remote(remote: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hatchling")
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    from hatch_build import home

    assert home(remote) == address


def make(tmp_path: Path, python: str) -> tuple[int, list[str]]:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run(
        ["make", "-s", "demo", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert not (tmp_path / "venv").exists() and done.stdout == ""
    return done.returncode, done.stderr.splitlines()


def test_make_says_that_python_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c"
        " 'import sys; sys.version_info = (3, 9, 2); exec(sys.argv[1])' \"$2\"\n"
    )
    old.chmod(0o755)
    code, lines = make(tmp_path, str(old))
    assert code != 0
    assert lines[0] == (f"Python 3.11 or newer is needed, and {old} is 3.9; name another: "
                        "make PYTHON=python3.12 demo")  # fmt: skip


def test_make_says_that_there_is_no_python(tmp_path: Path) -> None:
    code, lines = make(tmp_path, "no-python")
    assert code != 0
    assert lines[0] == ("Python 3.11 or newer is needed, and there is no no-python; name another:"
                        " make PYTHON=python3.12 demo")  # fmt: skip


def test_every_page_says_the_same_python() -> None:
    told = (ROOT / "pyproject.toml").read_text("utf-8")
    assert 'requires-python = ">=3.11"' in told
    assert "Python 3.11 or newer" in (ROOT / "README.md").read_text("utf-8")


def test_the_citation_is_valid_and_of_this_version() -> None:
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    yaml = pytest.importorskip("yaml")
    told = yaml.safe_load(text)
    needed = {"cff-version", "message", "title", "authors"}
    allowed = needed | {"abstract", "type", "version", "license", "keywords"}
    assert needed <= set(told) <= allowed
    assert (told["cff-version"], told["type"], told["license"]) == ("1.2.0", "software", "MIT")
    assert told["authors"] == [{"name": "The aucli authors"}]
    assert str(told["version"]) == aucli.__version__
