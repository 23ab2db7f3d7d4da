"""The page of ``aucli report`` in Debian's Chromium, without a screen; skipped where it is not."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bright_faces import ONE, write_clip
from made_tables import made_rows, write_table
from typer.testing import CliRunner

from aucli.cli import app
from aucli.pipeline.journal import Entry, Journal
from aucli.pipeline.original import checksum
from aucli.report import page as writing

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("there is no chromium", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api")

FRAMES = 250
A4_PX = 703  # between the margins
EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """Opens a page; at the end it must have had nothing to complain of and asked for nothing."""
    complaints: list[str] = []
    contexts = []

    def see(html: Path, fragment: str = "", width: int = 1280, scheme: str = "light") -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on(
            "request",
            lambda request: complaints.extend(
                [] if request.url.startswith(("file:", "data:", "blob:")) else [request.url]
            ),
        )
        page.goto(f"{html.as_uri()}#{fragment}")
        if fragment:
            ready(page, fragment)
        return page

    yield see
    for context in contexts:
        context.close()
    assert complaints == []


def ready(page: Any, fragment: str) -> None:
    row = fragment.removeprefix("v")
    page.wait_for_selector(f'#detail[data-ready="{row}"]', state="attached", timeout=60_000)


def until(page: Any, condition: str) -> None:
    """Wait until JavaScript says yes. The page itself forbids scripts that are not its own."""
    end = time.monotonic() + 30
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(20)


def levels(peak: float, at: float) -> list[float]:
    return (peak * np.exp(-(((np.arange(FRAMES) / 25 - at) / 0.5) ** 2))).tolist()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four tables, an input that failed, and a video for one of them."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "a").mkdir()
    clip = write_clip(folder / "a" / "one.mp4", [ONE] * FRAMES)
    told = {"aucli": "0", "input": {"name": "one.mp4", "sha256": checksum(clip)}}
    aus = ("AU04", "AU06", "AU12")

    def table(where: str, video: str, peaks: tuple[float, ...], lost: int = 0, **told: Any) -> None:
        made = {
            au: levels(peak, 2.0 * k)
            for k, (au, peak) in enumerate(zip(aus, peaks, strict=True), 1)
        }
        for own in made.values():
            own[:lost] = [np.nan] * lost
        rows = made_rows(made, fps=25, sides=[[2.0, 1.0]] * FRAMES)
        write_table(folder / where, [(video, rows)], aus, sides=True, places=True, **told)

    table("a/one.parquet", "a/one.mp4", (1, 2, 4.6), provenance=told)
    table("a/two.parquet", "a/two.mp4", (4, 0, 1))
    table("b/three.parquet", "b/three.mp4", (0, 0, 0), lost=100)
    table("b/evil.parquet", f"b/{EVIL}.mp4", (0, 3, 0))
    Journal(folder).add(Entry("/v/four.mp4", "b/four.mp4", "b/four.parquet", "failed", "It ended."))
    return folder


@pytest.fixture(scope="module")
def html(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("page") / "a study.html"
    result = CliRunner().invoke(app, ["report", str(study), "-o", str(target), "-q"])
    assert result.exit_code == 0, result.output
    return target


def names(page: Any) -> list[str]:
    return page.locator("#rows tbody .id a, #rows tbody .id strong").all_inner_texts()


def test_the_overview_sorts(opened: Any, html: Path) -> None:
    page = opened(html)
    assert len(names(page)) == 5 and page.inner_text("#count") == "5 rows"
    page.click('#rows th[data-key="AU12"] button')
    assert names(page)[0] == "one.mp4" and names(page)[-1] == "four.mp4"
    head = page.locator('#rows th[data-key="AU12"]')
    assert head.get_attribute("aria-sort") == "descending"
    page.click('#rows th[data-key="AU12"] button')
    assert head.get_attribute("aria-sort") == "ascending" and names(page)[-2] == "one.mp4"
    page.select_option("#sort", "found")
    page.check("#turn")
    assert names(page)[0] == "three.mp4"


def test_the_overview_filters(opened: Any, html: Path) -> None:
    page = opened(html)
    page.fill("#search", "no face in")
    assert names(page) == ["three.mp4"] and page.inner_text("#count") == "1 of 5 rows"
    assert page.inner_text("#rows tbody .flags li") == "no face in 40 % of the frames"
    page.fill("#search", "")
    page.select_option("#kind", "=failed")
    assert names(page) == ["four.mp4"] and "It ended." in page.inner_text("#rows tbody")
    page.select_option("#kind", "")
    page.select_option("#folder", "a")
    assert names(page) == ["one.mp4", "two.mp4"]
    page.fill("#search", "nothing of the kind")
    assert names(page) == [] and page.inner_text("#more") == "No row fits."


def test_names_are_text(opened: Any, html: Path) -> None:
    page = opened(html)
    assert f"{EVIL[EVIL.rindex('/') + 1 :]}.mp4" in names(page)
    row = page.locator("#rows tbody tr", has_text="onerror")
    row.locator("a").click()
    ready(page, page.evaluate("location.hash.slice(1)"))
    assert page.inner_text("#who") == f"b/{EVIL}.mp4"
    assert page.locator("main img[src=x]").count() == 0


def test_the_details_answer_to_the_pointer(opened: Any, html: Path) -> None:
    page = opened(html)
    page.click("text=one.mp4")
    ready(page, "v0")
    # It opens at the strongest apex, AU12 at 6 s.
    assert page.inner_text("#moment").startswith("0:06.0, frame 151\nAU12 4.6")
    assert page.locator("#dots circle.dot").count() >= 2
    box = page.locator("#curves .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 2 / 9.96, box["y"] + 5)
    until(page, "document.querySelector('#moment').innerText.startsWith('0:02.0')")
    assert "no AU at 1 or more" not in page.inner_text("#moment")
    cursor = page.locator("#line").bounding_box()["x"]
    assert abs(cursor - (box["x"] + box["width"] * 2 / 9.96)) < 3
    assert page.locator("#strip button.now").count() == 1
    bars = "document.querySelector('#sides').data.slice(0, 2).map((bar) => bar.x[0])"
    assert page.evaluate(bars) == [-1, 2]  # right, left


def test_the_details_zoom_and_the_strip_follows(opened: Any, html: Path) -> None:
    page = opened(html, "v0")
    span = "document.querySelector('#curves')._fullLayout.xaxis.range"
    assert page.evaluate(span) == pytest.approx([0, 9.96])
    before = page.locator("#strip button").all()
    labels = [button.get_attribute("aria-label") for button in before]
    box = page.locator("#curves .nsewdrag").nth(1).bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.4, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, y, steps=5)
    page.mouse.up()
    until(page, f"{span}[0] > 1")
    assert page.evaluate(span) == pytest.approx([3.98, 7.97], abs=0.1)
    zoomed = [each.get_attribute("aria-label") for each in page.locator("#strip button").all()]
    assert zoomed != labels and all("0:0" in label for label in zoomed)
    page.click('[data-zoom="all"]')
    until(page, f"{span}[0] === 0")


def test_the_details_answer_to_the_keyboard(opened: Any, html: Path) -> None:
    page = opened(html)
    page.locator("#rows tbody a").first.focus()
    page.keyboard.press("Enter")
    ready(page, "v0")
    page.locator("#cursor").focus()
    page.keyboard.press("Home")
    until(page, "document.querySelector('#moment').innerText.startsWith('0:00.0')")
    button = page.locator('#aus button[data-au="AU04"]')
    was = button.get_attribute("aria-pressed")
    button.focus()
    page.keyboard.press("Space")
    assert button.get_attribute("aria-pressed") != was
    assert page.evaluate("document.activeElement.dataset.au") == "AU04"
    page.keyboard.press("j")
    until(page, "location.hash !== '#v0'")
    page.keyboard.press("Escape")
    page.wait_for_selector("#overview", state="visible")


def test_an_event_is_gone_to(opened: Any, html: Path) -> None:
    page = opened(html, "v0")
    event = page.locator("#events tbody tr", has_text="Lip corner puller")
    assert "E maximum" in event.inner_text()
    event.locator("button").click()
    until(page, "document.querySelector('#moment').innerText.startsWith('0:06.0')")
    low, high = page.evaluate("document.querySelector('#curves')._fullLayout.xaxis.range")
    assert 2 < low < 6 < high <= 9.96


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_wider_than_the_screen(opened: Any, html: Path, width: int, scheme: str) -> None:
    for fragment in ("", "v0", "v2"):
        page = opened(html, fragment, width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.documentElement.dataset.theme") == scheme


def test_the_theme_is_chosen_and_print_is_light(opened: Any, html: Path) -> None:
    page = opened(html, "v0", scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.click("#theme")
    assert page.evaluate(ground) != dark
    page.click("#theme")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_details_beside_the_page_are_loaded(
    opened: Any, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MOST_IN_ONE_FILE", 2)
    target = tmp_path / "a study with ü & #.html"
    result = CliRunner().invoke(app, ["report", str(study), "-o", str(target), "-q"])
    assert result.exit_code == 0, result.output
    page = opened(target)
    page.click("text=two.mp4")
    page.wait_for_selector("#sheet", state="visible", timeout=60_000)
    assert page.inner_text("#moment").startswith("0:02.0, frame 51\nAU04 4.0")


def test_calibrated_and_other_tables_are_told_apart(opened: Any, tmp_path: Path) -> None:
    for name, calibrated in (("a", True), ("b", False), ("c", False)):
        rows = made_rows({"AU12": levels(3, 2)}, fps=25)
        write_table(tmp_path / f"{name}.parquet", rows, raw=calibrated)
    target = tmp_path / "a.html"
    assert CliRunner().invoke(app, ["report", str(tmp_path), "-o", str(target)]).exit_code == 0
    page = opened(target)
    assert "2 of 3 rows are not calibrated, the others are" in page.inner_text("#lead")
    page.fill("#search", "not calibrated")
    assert names(page) == ["b.mp4", "c.mp4"]


def test_tables_without_places_and_sides_say_so(opened: Any, tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet", made_rows({"AU12": levels(3, 2)}, fps=25))
    target = tmp_path / "a.html"
    assert CliRunner().invoke(app, ["report", str(tmp_path), "-o", str(target)]).exit_code == 0
    page = opened(target, "v0")
    assert page.locator(".map").is_hidden() and page.locator("#strip").is_hidden()
    assert "No map of the face: this table has no places." in page.inner_text("#sidesnote")
    assert "Left and right are not in this table" in page.inner_text("#curvesnote")
    assert page.locator("#privacy").is_hidden()


def test_what_is_printed_is_whole_and_can_be_read_in_grey(opened: Any, tmp_path: Path) -> None:
    aus = ("AU01", "AU02", "AU04", "AU06", "AU09", "AU12", "AU25", "AU26")
    pulses = [4.0 * (i % 20 < 10) for i in range(1000)]  # 50 events, the first at the start
    rows = made_rows({au: pulses if au == "AU12" else [0.4] * 1000 for au in aus}, fps=25)
    write_table(tmp_path / "a.parquet", rows, aus)
    target = tmp_path / "a.html"
    assert CliRunner().invoke(app, ["report", str(tmp_path), "-o", str(target)]).exit_code == 0
    page = opened(target, "v0", width=A4_PX)
    unchosen = page.locator('#aus button[aria-pressed="false"]')
    while unchosen.count():
        unchosen.first.click()
    dashes = page.evaluate(
        "[...document.querySelectorAll('#aus line')].map(line => line.style.strokeDasharray)"
    )
    drawn = page.evaluate(
        "document.querySelector('#curves').data.filter(curve => curve.name).map(c => c.line.dash)"
    )
    assert len(set(dashes)) == len(set(drawn)) == len(aus)
    page.locator('#aus button[data-au="AU04"]').click()
    assert page.locator("#events tbody tr").count() == 40
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#events tbody tr").count() == 50
    named = [button.inner_text() for button in page.locator("#aus button:visible").all()]
    assert named == [au for au in aus if au != "AU04"]
    right = "document.querySelector('#events').getBoundingClientRect().right"
    assert page.evaluate(right) < A4_PX
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#events tbody tr").count() == 40
