"""Exit codes, and what goes to stdout and stderr."""

import hashlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

import aucli
from aucli.cli import app, info
from aucli.errors import InputError
from aucli.models.landmark import LandmarkNet
from aucli.weights import cards, store


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"aucli {aucli.__version__}\n")


def test_info_names_decoders_device_and_weights() -> None:
    result = CliRunner().invoke(app, ["info"])
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == f"aucli         {aucli.__version__}"
    assert sum(line.startswith("decoder ") for line in lines) == 2
    assert sum(line.startswith("device ") for line in lines) == 1
    assert any(line.startswith("weights ") for line in lines)


def test_info_tells_altered_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = LandmarkNet()
    path = cards.save_weights(tmp_path / "mine", net, {"provenance": "a test", "metrics": {}})
    monkeypatch.setattr(store, "weights_dir", lambda: tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    line = CliRunner().invoke(app, ["info"]).stdout.splitlines()[-1]
    assert line.startswith("weights       mine: landmarks, ")
    assert line.endswith(f" MB, sha256 {digest}, a test")
    path.write_bytes(path.read_bytes() + b" ")
    line = CliRunner().invoke(app, ["info"]).stdout.splitlines()[-1]
    assert line.endswith(" (NOT the file that its card describes), a test")


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
