"""Makes the pictures of the page of `vsr serve` in docs/guide; needs a Chromium.

Run it as `python -m docs.make_server_screenshots`.
"""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any

from tests.conftest import SAMPLES
from tests.support import judge
from tests.support.browser import Browser, browser_program
from tests.support.server import Server, serving

_QUALITY = 75
_FOLDER = Path(__file__).parent / "guide"
_KINDS: dict[str, dict[str, Any]] = {
    "light": {"width": 1200, "height": 900},
    "dark": {"width": 1200, "height": 900, "dark": True},
    "phone": {"width": 390, "height": 844, "phone": True, "density": 2},
}


def main() -> None:
    """Write serve_KIND.jpg for each kind of screen, and serve_compare_KIND.jpg."""
    with tempfile.TemporaryDirectory(prefix="vsr-pictures-") as name:
        there = Path(name)
        short = there / "bunny.mp4"
        judge.ffmpeg("-i", str(SAMPLES / "bunny.mp4"), "-t", "0.5", "-c:v", "libx264", "-crf", "14",
                     "-c:a", "copy", str(short))  # fmt: skip
        with serving(there / "server", "--device", "cpu") as server:
            _jobs(server, short)
            for kind, screen in _KINDS.items():
                with Browser(browser_program(), there / kind) as browser:
                    browser.look(**screen)
                    _picture(browser, server, kind, short)


def _jobs(server: Server, film: Path) -> None:
    (server.roots / "old film.mkv").write_bytes(b"is no film")
    (server.roots / "bunny.mp4").write_bytes(film.read_bytes())
    (server.roots / "holiday.mp4").write_bytes((SAMPLES / "bunny.mp4").read_bytes())
    server.ended(server.job({"source": "old film.mkv"})["id"])
    preview = {"source": "bunny.mp4", "height": 720, "compare": ["model=bicubic"], "at": ["0f"]}
    server.ended(server.job(preview, task="preview")["id"])
    server.ended(server.job({"source": "bunny.mp4", "for": "anime"})["id"])


def _picture(browser: Browser, server: Server, kind: str, film: Path) -> None:
    job = server.job({"source": "holiday.mp4", "model": "bicubic", "scale": 8})
    browser.visit(f"{server.base}/")
    browser.wait("!work.hidden && document.querySelectorAll('#jobs li').length >= 4")
    browser.give("#files", film)
    browser.wait("document.querySelector('#sources .state')?.textContent.startsWith('On the')")
    browser.wait("/ left/.test(document.querySelector('#jobs .state').textContent)")
    _shot(browser, f"serve_{kind}.jpg", whole=kind != "phone")
    server.ask("POST", f"/v1/jobs/{job['id']}/cancel", {})
    server.ended(job["id"])
    server.ask("DELETE", f"/v1/jobs/{job['id']}")
    if kind != "light":
        buttons = "[...document.querySelectorAll('#jobs button')]"
        browser.run(f"{buttons}.find(e => e.textContent === 'Compare').click()")
        browser.wait("vsr.scene() && vsr.shown().source")
        browser.run("stage.blur(); new Promise(done => setTimeout(done, 500))")
        _shot(browser, f"serve_compare_{kind}.jpg")
    assert not browser.errors, browser.errors


def _shot(browser: Browser, name: str, *, whole: bool = False) -> None:
    told = browser.call("Page.captureScreenshot", format="jpeg", quality=_QUALITY,
                        captureBeyondViewport=whole)  # fmt: skip
    (_FOLDER / name).write_bytes(base64.b64decode(told["data"]))


if __name__ == "__main__":
    main()
