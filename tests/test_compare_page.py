"""The page of a comparison: moments that differ, faces from the video, nothing from elsewhere."""

import base64
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from made_tables import made_rows, write_table
from tool_tables import write_openface, write_py_feat
from typer.testing import CliRunner
from video_clips import write_clip

from aucli.cli import app
from aucli.comparison.comparing import CompareOptions, compare
from aucli.comparison.moments import NEAR_SECONDS, choose
from aucli.comparison.page import _line
from aucli.comparison.sides import open_sides

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

N = 60
T = np.arange(N) / 10
A4_PX = 703  # between the margins
WIDER = "() => [...document.querySelectorAll('.frame table')].filter(table => " \
    "table.getBoundingClientRect().right > innerWidth).map(table => table.outerHTML)"  # fmt: skip
SMILE = (2 + 1.5 * np.sin(T * 2)).clip(0, 5).round(3)


def study(folder: Path, spikes: dict[int, float], names: str = "x") -> list[str]:
    """Tables of aucli and OpenFace that differ in some frames of AU12."""
    other = SMILE.copy()
    for row, size in spikes.items():
        other[row] = SMILE[row] - size
    for name in names:
        rows = made_rows({"AU12": SMILE.tolist(), "AU06": SMILE.tolist()})
        write_table(folder / "a" / f"{name}.parquet", rows, aus=("AU12", "AU06"))
        own = {"AU12": other.tolist(), "AU06": (SMILE + 0.1).tolist()}
        write_openface(folder / "b" / f"{name}.csv", own)
    return [str(folder / "a"), str(folder / "b")]


def pairs_of(arguments: list[str]):
    (found,), _ = compare(open_sides(arguments), CompareOptions())
    return found.pairs


def test_the_largest_differences_come_first_and_apart(tmp_path: Path) -> None:
    given = study(tmp_path, {10: 1.0, 12: 0.9, 30: 1.2, 50: 0.3})
    moments = choose(pairs_of(given), 10)
    assert [moment.row for moment in moments] == [30, 10]  # 12 is near 10, 50 is small
    assert NEAR_SECONDS > 0.2
    first = moments[0]
    assert [*first.values] == ["AU12", "AU06"]
    assert first.values["AU12"] == (
        pytest.approx(SMILE[30]), pytest.approx(SMILE[30] - 1.2, abs=1e-3)
    )  # fmt: skip
    assert first.difference == pytest.approx(1.2, abs=1e-3)
    assert len(choose(pairs_of(given), 1)) == 1


def test_one_video_does_not_hide_the_others(tmp_path: Path) -> None:
    study(tmp_path, {row: 2.0 for row in range(5, 60, 6)}, "x")
    (tmp_path / "b" / "x.csv").rename(tmp_path / "x.csv")
    given = study(tmp_path, {20: 1.0}, "y")
    (tmp_path / "x.csv").rename(tmp_path / "b" / "x.csv")
    moments = choose(pairs_of(given), 6)
    assert [moment.number for moment in moments] == [0, 0, 1]


def test_a_probability_against_an_intensity(tmp_path: Path) -> None:
    levels = np.array([0.0, 0.0, 1.0, 2.0, 5.0, 5.0])
    chances = np.array([0.0, 0.9, 0.5, 1.0, 1.0, 0.1])
    rows = made_rows({"AU12": levels.tolist()}, fps=1)
    write_table(tmp_path / "a" / "x.parquet", rows)
    write_py_feat(tmp_path / "b" / "x.csv", {"AU12": chances.tolist()})
    moments = choose(pairs_of([str(tmp_path / "a"), str(tmp_path / "b")]), 9)
    found = [(moment.row, round(moment.difference, 4)) for moment in moments]
    assert found == [(1, 0.9), (5, 0.9)]


def test_a_curve_breaks_only_where_the_face_was_away() -> None:
    x = np.arange(12.0)
    y = np.where(x % 2 == 0, x, np.nan)  # every second frame
    drawn, levels = _line(x, y)
    assert drawn.tolist() == levels.tolist() == [0, 2, 4, 6, 8, 10]
    lost = np.where((x > 3) & (x < 8), np.nan, x)
    assert np.isnan(_line(x, lost)[0]).tolist() == [False] * 4 + [True] + [False] * 4
    assert len(_line(x, np.full(12, np.nan))[0]) == 0


def test_the_tools_are_told_apart_in_grey_print(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    run(*study(tmp_path, {10: 2.0}), "--report", page)
    text = page.read_text("utf-8")
    svg = base64.b64decode(text.partition("data:image/svg+xml;base64,")[2].partition('"')[0])
    assert svg.count(b"stroke-dasharray") == 1
    assert "a solid with a dot, b dashed with a square." in text


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["compare", *map(str, arguments)])
    return result.exit_code, " ".join(result.stderr.split())


def test_a_page_with_faces_and_without(tmp_path: Path) -> None:
    given = study(tmp_path, {10: 2.0, 30: 1.0})
    page = tmp_path / "page.html"
    code, err = run(*given, "--report", page)
    assert code == 0 and "no pictures of x: x was not found beside the table" in err
    assert "webp" not in page.read_text("utf-8")
    (tmp_path / "videos").mkdir()
    write_clip(tmp_path / "videos" / "x.mp4", ticks=range(N))
    code, err = run(*given, "--report", page, "--videos", tmp_path / "videos", "--overwrite")
    text = page.read_text("utf-8")
    assert code == 0 and "2 moments" in err and "biometric" in err
    assert text.count("data:image/webp") == 2 and text.count("data:image/svg") == 2
    assert "The page shows faces, which are biometric data." in text
    code, err = run(*given, "--report", page, "--videos", tmp_path / "videos", "--overwrite",
                    "--blur")  # fmt: skip
    blurred = page.read_text("utf-8")
    assert "biometric" not in err and blurred.count("data:image/webp") == 2 and blurred != text
    code, err = run(*given, "--report", page, "--no-pictures", "--overwrite")
    assert code == 0 and "webp" not in page.read_text("utf-8") and "pictures" not in err
    code, err = run(*given, "--report", page)
    assert code == 1 and "exists already; --overwrite" in err


def test_tools_that_agree_have_no_moments(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    code, err = run(*study(tmp_path, {}), "--report", page)
    assert code == 0 and "0 moments" in err
    assert "There is none. Moments with a difference below 0.5 of intensity are not shown." in (
        page.read_text("utf-8")
    )


def test_names_are_text_in_the_page(tmp_path: Path) -> None:
    given = study(tmp_path, {10: 2.0})
    page = tmp_path / "page.html"
    code, _ = run(f"<b>old</b>={given[0]}", given[1], "--report", page)
    text = page.read_text("utf-8")
    assert code == 0 and "<b>old</b>" not in text and "&lt;b&gt;old&lt;/b&gt;" in text
    assert "<script" not in text and "http" not in text.partition("</style>")[2].replace(
        "http-equiv", ""
    )


def test_a_page_needs_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    code, err = run(*study(tmp_path, {10: 2.0}), "--report", tmp_path / "page.html")
    assert code == 1 and "A page needs the extra 'report': pip install 'aucli[report]'." in err
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_in_a_browser(tmp_path: Path, width: int, scheme: str) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    page = tmp_path / "page.html"
    run(*study(tmp_path, {10: 2.0, 30: 1.0}, "xy"), "--report", page)
    complaints: list[str] = []
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
        )
        seen = context.new_page()
        seen.on("console", lambda message: complaints.append(message.text))
        seen.on("pageerror", lambda error: complaints.append(str(error)))
        seen.goto(page.as_uri())
        assert seen.locator(".moments li").count() == 4
        widths = "[...document.querySelectorAll('.curve')].map(image => image.naturalWidth)"
        assert min(seen.evaluate(widths)) > 0
        assert seen.evaluate("document.documentElement.scrollWidth") == width
        ground = seen.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == {"light": "rgb(244, 245, 247)", "dark": "rgb(15, 17, 21)"}[scheme]
        seen.emulate_media(media="print")
        seen.set_viewport_size({"width": A4_PX, "height": 800})
        assert seen.locator(".frame").count() == 2
        assert seen.evaluate(f"({WIDER})()") == []
        browser.close()
    assert complaints == []
