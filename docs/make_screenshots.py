"""Makes the pictures of `vsr preview` in docs/guide: light, dark, on a phone; needs a Chromium.

Run it as `python -m docs.make_screenshots [PAGE]`, with a page that is there already, or it makes
one of the sample. It also prints how many bytes the page has, and how many times a second it is
drawn while it is zoomed, in each mode.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.support.browser import Browser, browser_program
from vsr.cli.main import main as vsr

HERE = Path(__file__).parent
SAMPLE = HERE.parent / "samples" / "bunny.mp4"
_SETTINGS = ("--compare", "model=bicubic", "--compare", "model=animevideov3", "--at", "3.5")
_SECONDS = 3.0  # of zooming
_ZOOMING = """new Promise(done => {
  const begun = performance.now(), before = vsr.painted();
  let n = 0;
  const step = () => {
    zoomBy(n++ % 40 < 20 ? 1.08 : 1 / 1.08);
    const took = (performance.now() - begun) / 1000;
    if (took < SECONDS) requestAnimationFrame(step); else done((vsr.painted() - before) / took);
  };
  requestAnimationFrame(step);
})"""


def shoot(page: Path, folder: Path) -> None:
    """Take the pictures, and print the figures."""
    with Browser(browser_program(), folder / "profile") as browser:
        for name, dark, phone in (
            ("light", False, False),
            ("dark", True, False),
            ("phone", False, True),
        ):
            size = (390, 844) if phone else (1200, 800)
            browser.look(*size, dark=dark, density=2 if phone else 1, phone=phone)
            browser.open(page)
            browser.wait("window.vsr && vsr.ready()")
            browser.run("setMode('heat')" if dark else "setSplit(0.45)")
            browser.wait("vsr.ready()")
            browser.run("new Promise(done => setTimeout(done, 300))")
            shot = folder / f"{name}.png"
            browser.screenshot(shot)
            with Image.open(shot) as picture:
                picture.convert("RGB").save(HERE / "guide" / f"preview_{name}.jpg", quality=75)
        browser.look(1400, 900)
        browser.open(page)
        browser.wait("window.vsr && vsr.ready()")
        zooming = _ZOOMING.replace("SECONDS", str(_SECONDS))
        for mode in ("split", "side", "difference", "heat", "doubt"):
            browser.run(f"setMode('{mode}')")
            times = browser.run(zooming)
            print(f"{mode}: drawn {times:.0f} times a second")


def main() -> None:
    """Make a page, unless one is named, and its pictures."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        page = Path(sys.argv[1]) if len(sys.argv) > 1 else folder / "preview.html"
        if not page.exists() and vsr(
            ["preview", str(SAMPLE), *_SETTINGS, "--seconds", "60", "-o", str(page)]
        ):
            sys.exit(1)
        print(f"{page.stat().st_size / 1e6:.2f} MB")
        shoot(page, folder)


if __name__ == "__main__":
    main()
