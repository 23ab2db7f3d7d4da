"""``aucli analyze --report``: the page beside the tables, with tiny networks."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from bright_faces import NONE, ONE, tiny_networks, write_clip
from typer.testing import CliRunner, Result

from aucli import analyzer
from aucli.cli import app
from aucli.pipeline import workers
from aucli.table.reading import read_table


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with ``clips/face.mp4``, ``clips/none.mp4`` and ``clips/broken.mp4``, and
    tiny networks for the trained ones."""
    (tmp_path / "clips").mkdir()
    write_clip(tmp_path / "clips" / "face.mp4", [ONE] * 12)
    write_clip(tmp_path / "clips" / "none.mp4", [NONE] * 3)
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"not a video")
    monkeypatch.chdir(tmp_path)
    models = tiny_networks()
    monkeypatch.setattr(analyzer, "load_networks", lambda options: models)
    monkeypatch.setattr(workers, "MODULE", "bright_worker")
    return tmp_path


def analyze(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["analyze", "--threads", "1", *map(str, arguments)])


def study_of(html: Path) -> dict[str, Any]:
    found = re.search(r'id="study">(.*?)</script>', html.read_text("utf-8"), re.S)
    assert found
    return json.loads(found[1])


def test_one_video_has_its_page_beside_its_table(here: Path) -> None:
    result = analyze("clips/face.mp4", "--report")
    assert result.exit_code == 0, result.output
    assert "1 row -> face.html" in result.stderr
    table = read_table(here / "face.parquet")
    assert [name for name in table.columns if re.fullmatch(r"AU\d\d_L_x", name)]
    study = study_of(here / "face.html")
    assert (study["rows"][0]["found"], study["placed"], study["pictured"]) == (100.0, True, True)


def test_a_batch_has_one_page_with_its_failures(here: Path) -> None:
    result = analyze("clips", "-o", "out", "--report")
    assert result.exit_code == 1  # broken.mp4
    rows = {row["video"]: row for row in study_of(here / "out" / "report.html")["rows"]}
    assert {name: row["state"] for name, row in rows.items()} == {
        "face.mp4": "done", "none.mp4": "done", "broken.mp4": "failed",
    }  # fmt: skip
    assert rows["none.mp4"]["flags"] == [["no face", "stop", "no face in any frame"]]
    assert rows["broken.mp4"]["flags"][0][2].startswith("clips/broken.mp4 cannot be opened")
    # Going on renews the page.
    before = (here / "out" / "report.html").read_bytes()
    write_clip(here / "clips" / "more.mp4", [ONE] * 12)
    assert analyze("clips", "-o", "out", "--report", "--resume").exit_code == 1
    assert len(study_of(here / "out" / "report.html")["rows"]) == 4
    assert (here / "out" / "report.html").read_bytes() != before


def test_a_page_that_is_not_ours_stays(here: Path) -> None:
    (here / "face.html").write_text("mine")
    result = analyze("clips/face.mp4", "--report", "--overwrite")
    assert (result.exit_code, (here / "face.html").read_text()) == (1, "mine")
    assert result.stderr == (
        "aucli: face.html is there and is no page of aucli; rename it, or name another place for "
        "the tables with --out.\n"
    )
    assert not (here / "face.parquet").exists()


def test_the_standard_output_has_no_page() -> None:
    result = analyze("clips/face.mp4", "-o", "-", "--report")
    assert result.exit_code == 2
    assert "Invalid value for --report: the standard output keeps no tables." in result.stderr
