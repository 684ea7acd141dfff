"""Makes the PNGs of the SVGs beside this file: ``python docs/hugging-face/logo/render.py``.

Needs Chromium, which draws SVG as browsers do and leaves the background transparent.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def render(source: Path, browser: str) -> None:
    """Write ``source`` as a PNG of the size that it states."""
    text = source.read_text(encoding="utf-8")
    sizes = re.search(r'width="(\d+)" height="(\d+)"', text)
    assert sizes is not None, source
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(f"<style>body{{margin:0}}svg{{display:block}}</style>{text}", "utf-8")
        command = [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--default-background-color=00000000", f"--user-data-dir={folder}/profile"),
            f"--window-size={sizes[1]},{sizes[2]}",
            f"--screenshot={source.with_suffix('.png')}",
            page.as_uri(),
        ]
        subprocess.run(command, check=True, timeout=120, capture_output=True)  # noqa: S603


def main() -> None:
    """Render every SVG of the folder."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit("Chromium is needed: apt-get install chromium")
    for source in sorted(FOLDER.glob("*.svg")):
        render(source, browser)
        print(source.with_suffix(".png"))  # noqa: T201 - a command of its own


if __name__ == "__main__":
    main()
