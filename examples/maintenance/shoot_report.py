"""Makes the pictures of docs/report.md: the report of the demo clip, in Debian's Chromium.

    python examples/maintenance/shoot_report.py [--chromium /usr/bin/chromium]

Needs the extra ``dev`` (playwright) and the package chromium.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from aucli.errors import run_script

ROOT = Path(__file__).resolve().parents[2]
SIZE = (1280, 1010)  # px: the face, the map of all AUs, and their curves


def main() -> None:
    """Analyze, open, take the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    chromium = parser.parse_args().chromium
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(
            [sys.executable, "-m", "aucli", "analyze", ROOT / "examples" / "demo.mp4",
             "-o", folder / "demo.parquet", "--report", "--quiet"],
            check=True,
        )  # fmt: skip
        with sync_playwright() as running:
            browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for scheme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme=scheme
                )
                page = context.new_page()
                page.goto((folder / "demo.html").as_uri())
                page.wait_for_selector("#detail[data-ready]", state="attached")
                page.wait_for_timeout(500)  # for the last frame to be drawn
                shot = ROOT / "docs" / f"report-{scheme}.png"
                page.screenshot(path=shot)
                with Image.open(shot) as picture:
                    picture.convert("RGB").save(shot, optimize=True)
                print(shot)
            browser.close()


if __name__ == "__main__":
    run_script(main)
