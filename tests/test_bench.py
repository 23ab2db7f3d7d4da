"""``aucli bench``: what it reports, and what it says where there is nothing to time."""

import json
import statistics
from pathlib import Path

import pytest
from bright_faces import ONE, tiny_analyzer, tiny_networks, write_clip
from typer.testing import CliRunner, Result

from aucli import analyzer
from aucli.bench import measure_speed
from aucli.cli import app


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    models = tiny_networks()
    monkeypatch.setattr(analyzer, "load_networks", lambda options: models)
    monkeypatch.chdir(tmp_path)
    return write_clip(tmp_path / "face.mp4", [ONE] * 20)


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bench", "--threads", "1", *map(str, arguments)])


def test_every_run_is_told_as_json(clip: Path) -> None:
    result = bench(clip, clip, "--runs", 3, "--json")
    assert result.exit_code == 0, result.output
    first, second = json.loads(result.stdout)
    for told in (first, second):
        assert (told["video"], told["frames"]) == ("face.mp4", 20)
        assert (told["width"], told["height"]) == (96, 64)
        assert len(told["fps"]) == 3
        assert min(told["fps"]) > 0 and told["first_fps"] > 0
        assert told["median_fps"] == statistics.median(told["fps"])
        assert set(told["stages"]) == {"decode", "faces", "aus"}
        assert sum(told["stages"].values()) == pytest.approx(1)
        assert told["decode_fps"] > 0
        assert 20 < told["peak_mb"] < 100_000
    assert second["peak_mb"] >= first["peak_mb"]


def test_the_report_names_the_warm_median_and_writes_no_table(clip: Path) -> None:
    result = bench(clip, "--runs", 2)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "face.mp4: 20 frames of 96x64"
    names = ["first run", "warm", "decoding only", "work", "peak memory"]
    assert all(line.startswith(f"  {name}") for line, name in zip(lines[1:], names, strict=True))
    assert "(median of 2, " in lines[2]
    assert [path.name for path in clip.parent.iterdir()] == ["face.mp4"]


def test_a_missing_video_is_told_before_anything_is_timed(clip: Path) -> None:
    result = bench(clip, "gone.mp4")
    assert result.exit_code == 1
    assert "aucli: gone.mp4 does not exist; check the name." in result.stderr
    assert result.stdout == ""


def test_what_is_no_video_and_no_run_at_all(clip: Path) -> None:
    text = clip.with_name("notes.mp4")
    text.write_text("not a video")
    result = bench(text)
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("aucli: ") and "notes.mp4" in last
    assert bench(clip, "--runs", 0).exit_code == 2
    with pytest.raises(ValueError, match="runs: 0 is not 1 or more"):
        measure_speed(clip, tiny_analyzer(), runs=0)
