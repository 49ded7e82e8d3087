"""Make the pictures of the page of `vsr serve` in docs/: `python -m tests.page_pictures docs`."""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.conftest import SAMPLES
from tests.support import judge
from tests.support.browser import Browser, browser_program
from tests.support.server import Server, serving

_QUALITY = 70
_KINDS: dict[str, dict[str, Any]] = {
    "light": {"width": 1200, "height": 900},
    "dark": {"width": 1200, "height": 900, "dark": True},
    "phone": {"width": 390, "height": 844, "phone": True, "density": 2},
}


def main(folder: Path) -> None:
    """Write page_KIND.webp and page_compare_KIND.webp for each kind of screen."""
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
                    _picture(browser, server, kind, folder, short)


def _jobs(server: Server, film: Path) -> None:
    (server.roots / "old film.mkv").write_bytes(b"is no film")
    (server.roots / "bunny.mp4").write_bytes(film.read_bytes())
    (server.roots / "holiday.mp4").write_bytes((SAMPLES / "bunny.mp4").read_bytes())
    server.ended(server.job({"source": "old film.mkv"})["id"])
    preview = {"source": "bunny.mp4", "height": 720, "compare": ["model=bicubic"], "at": ["0f"]}
    server.ended(server.job(preview, task="preview")["id"])
    server.ended(server.job({"source": "bunny.mp4", "for": "anime"})["id"])


def _picture(browser: Browser, server: Server, kind: str, folder: Path, film: Path) -> None:
    job = server.job({"source": "holiday.mp4", "model": "bicubic", "scale": 8})
    browser.visit(f"{server.base}/")
    browser.wait("!work.hidden && document.querySelectorAll('#jobs li').length >= 4")
    browser.give("#files", film)
    browser.wait("document.querySelector('#sources .state')?.textContent.startsWith('On the')")
    browser.wait("/ left/.test(document.querySelector('#jobs .state').textContent)")
    _shot(browser, folder / f"page_{kind}.webp", whole=True)
    server.ask("POST", f"/v1/jobs/{job['id']}/cancel", {})
    server.ended(job["id"])
    server.ask("DELETE", f"/v1/jobs/{job['id']}")
    press = (
        "[...document.querySelectorAll('#jobs button')].find(e => e.textContent === {!r}).click()"
    )
    browser.run(press.format("Compare"))
    browser.wait("vsr.scene() && vsr.shown().source")
    browser.run("stage.blur(); new Promise(done => setTimeout(done, 500))")
    _shot(browser, folder / f"page_compare_{kind}.webp")
    browser.run("compare.close()")
    browser.run(press.format("Look at it"))
    browser.run("new Promise(done => setTimeout(done, 3000))")
    _shot(browser, folder / f"page_preview_{kind}.webp")
    assert not browser.errors, browser.errors


def _shot(browser: Browser, path: Path, *, whole: bool = False) -> None:
    told = browser.call("Page.captureScreenshot", format="webp", quality=_QUALITY,
                        captureBeyondViewport=whole)  # fmt: skip
    path.write_bytes(base64.b64decode(told["data"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
