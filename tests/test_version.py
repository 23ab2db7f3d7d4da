"""The version that results name."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import aucli
from aucli import version as named


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the checkout; the number of another process is forgotten."""
    monkeypatch.setattr(named, "CHECKOUT", tmp_path)
    return tmp_path


def version() -> str:
    return named.version.__wrapped__()


@pytest.fixture
def git(checkout: Path) -> Callable[..., str]:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")

    def run(*words: str) -> str:
        who = ["-c", "user.name=A", "-c", "user.email=a@b"]
        done = subprocess.run(
            ["git", "-C", str(checkout), *who, *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    (checkout / "a.py").write_text("1\n")
    run("init", "-q")
    run("add", "a.py")
    run("commit", "-q", "-m", "one")
    return run


def test_a_checkout_names_its_commit_and_changes(
    checkout: Path, git: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    git("tag", "v9")  # tags do not matter
    commit = git("rev-parse", "HEAD")[:12]
    assert version() == f"{aucli.__version__}+g{commit}"
    (checkout / "table.parquet").write_text("")  # a result is no change
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as in a hook of another repository
    assert version() == f"{aucli.__version__}+g{commit}"
    (checkout / "a.py").write_text("2\n")
    assert version() == f"{aucli.__version__}+g{commit}.dirty"


def test_a_worktree_is_a_checkout(
    checkout: Path, git: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    git("worktree", "add", "-q", str(checkout / "other"))
    monkeypatch.setattr(named, "CHECKOUT", checkout / "other")
    assert version() == f"{aucli.__version__}+g{git('rev-parse', 'HEAD')[:12]}"


def test_a_repository_around_the_package_is_not_ours(
    checkout: Path, git: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = checkout / "lib" / "site-packages"
    inner.mkdir(parents=True)
    monkeypatch.setattr(named, "CHECKOUT", inner)
    assert version() == aucli.__version__


def test_without_git_or_commit_the_number_stands_alone(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert version() == aucli.__version__
    (checkout / ".git").mkdir()  # of no repository
    assert version() == aucli.__version__
    monkeypatch.setenv("PATH", "")
    assert version() == aucli.__version__


def test_it_is_a_version() -> None:
    assert re.fullmatch(r"[\d.]+(\+g[0-9a-f]{12}(\.dirty)?)?", named.version())
