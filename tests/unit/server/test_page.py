"""Promise: people who use no shell get the whole of a job in a browser, and lose nothing by it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.conftest import SAMPLES
from tests.support import judge
from tests.support.browser import Browser, browser_program
from tests.support.server import Server, events, serving

_TOKENS = "me 0123456789abcdef\n"
_HTML = "<img src=x onerror=alert(1)> & <b>.mp4"
_UNREACHED = "net::ERR_"  # what a browser says of a line that the test has broken


@pytest.fixture(scope="module")
def _program() -> str:
    return browser_program()


@pytest.fixture(scope="module")
def server(_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("page")) as found:
        shutil.copy(SAMPLES / "bunny.mp4", found.roots)
        yield found


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "short.mp4"
    judge.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=96x64:r=10:d=1", "-c:v", "libx264", "-pix_fmt",
                 "yuv420p", str(path))  # fmt: skip
    return path


@pytest.fixture
def browser(_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser; afterwards nothing may have gone wrong, or been fetched from elsewhere."""
    with Browser(_program, tmp_path_factory.mktemp("profile")) as found:
        found.look(1200, 900)
        yield found
        assert not found.errors
        assert {address.split("/")[2].split(":")[0] for address in found.fetched} <= {"127.0.0.1"}


def enter(browser: Browser, server: Server) -> None:
    """Open the page and wait until it is filled in, with the jobs that there are."""
    browser.visit(f"{server.base}/")
    jobs = len(server.ask("GET", "/v1/jobs").json["results"])
    browser.wait(
        "!work.hidden && document.querySelector('#first option') && "
        f"document.querySelectorAll('#jobs > li').length >= {jobs}"
    )


def choose(browser: Browser, **values: str) -> None:
    """Set fields, by their ids."""
    for name, value in values.items():
        field = f"document.getElementById({name.replace('_', '-', 1)!r})"
        browser.run(f"{field}.value = {value!r}; {field}.dispatchEvent(new Event('input', "
                    "{bubbles: true}))")  # fmt: skip


def click(browser: Browser, words: str, inside: str = "body") -> None:
    """Press the first button, or link, that has these words."""
    which = f"[...document.querySelectorAll({inside + ' *'!r})].find(e => e.matches('button, a')"
    browser.run(f"{which} && e.textContent === {words!r} && !e.disabled).click()")


def said(browser: Browser, which: str = "#jobs") -> str:
    """Return how the first card of a list stands."""
    text: str = browser.run(f"document.querySelector('{which} .state')?.textContent || ''")
    return text


def comes(browser: Browser, begin: str, which: str = "#jobs") -> None:
    """Wait until the first card of a list says so."""
    browser.wait(f"document.querySelector('{which} .state')?.textContent.startsWith({begin!r})")


def start(browser: Browser, words: str) -> None:
    """Press a button that makes a job, and wait until that is first in the list."""
    count = "document.querySelectorAll('#jobs > li').length"
    before = browser.run(count)
    click(browser, words)
    browser.wait(f"{count} === {before + 1}")


def dropped(browser: Browser, *films: Path) -> None:
    x, y = browser.run("(() => { const b = document.getElementById('drop').getBoundingClientRect();"
                       " return [b.left + b.width / 2, b.top + 20]; })()")  # fmt: skip
    browser.drop((x, y), *films)


def sent(browser: Browser, *films: Path) -> None:
    """Drop films, and wait until they are on the server."""
    dropped(browser, *films)
    browser.wait(f"[...document.querySelectorAll('#sources .state')].filter(e => "
                 f"e.textContent.startsWith('On the server')).length === {len(films)}")  # fmt: skip


def newest(server: Server) -> Any:
    return server.ask("GET", "/v1/jobs").json["results"][0]


def large(film: Path, folder: Path) -> Path:
    """Return the film with three million bytes behind it that players pass over."""
    folder.mkdir(exist_ok=True)
    path = folder / f"large_{folder.name[-3:]}.mp4"
    rest = Random(0).randbytes(3_000_000)
    path.write_bytes(film.read_bytes() + (len(rest) + 8).to_bytes(4, "big") + b"free" + rest)
    return path


def slowly(browser: Browser, upload: int) -> None:
    """Have a line of so many bytes a second; 0: as fast as it is."""
    browser.call("Network.emulateNetworkConditions", offline=False, latency=0,
                 downloadThroughput=-1, uploadThroughput=upload or -1)  # fmt: skip


def test_a_film_is_dropped_upscaled_compared_and_downloaded(
    browser: Browser, server: Server, film: Path, tmp_path: Path
) -> None:
    enter(browser, server)
    assert browser.run("none.offsetHeight > 0 && upscale.disabled")
    sent(browser, film)
    choose(browser, o_model="bicubic", size="2x")
    start(browser, "Upscale")
    comes(browser, "Done: short_2x.mp4")
    assert browser.run("document.querySelectorAll('#sources li').length") == 0
    click(browser, "Compare")
    browser.wait("vsr.scene() && vsr.shown().source")
    found = browser.run("[vsr.scene().width, vsr.scene().height, vsr.shown().source.videoWidth]")
    assert found == [192, 128, 96]
    browser.run("play.click()")
    browser.wait("vsr.shown()?.result.currentTime > 0.3")
    browser.wait("vsr.shown().result.ended && !vsr.shown().playing")
    browser.run("seek.value = 0.5; seek.dispatchEvent(new Event('input'))")
    browser.wait("!vsr.shown().result.seeking && !vsr.shown().source.seeking")
    assert browser.run("vsr.shown().result.currentTime === vsr.shown().source.currentTime")
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    click(browser, "Download", "#compare")
    expected = server.ask("GET", newest(server)["output"]).body
    target = tmp_path / "short_2x.mp4"
    end = time.monotonic() + 60
    while not (target.exists() and target.stat().st_size == len(expected)):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert target.read_bytes() == expected
    browser.key("Escape")


def test_a_job_tells_how_far_it_is_and_is_canceled_and_deleted(
    browser: Browser, server: Server
) -> None:
    enter(browser, server)
    browser.run("path.closest('details').open = true; path.value = 'bunny.mp4'")
    click(browser, "Add")
    choose(browser, o_model="bicubic", size="4x")
    start(browser, "Upscale")
    browser.wait("/frames, .* left/.test(document.querySelector('#jobs .state')?.textContent)")
    assert any("/events" in address for address in browser.fetched)
    assert browser.run("document.querySelector('#jobs progress').value > 0")
    click(browser, "Cancel", "#jobs")
    browser.wait("ask.open")
    click(browser, "Cancel it", "#ask")
    comes(browser, "Canceled")
    job = newest(server)
    assert job["status"] == "canceled"
    click(browser, "Delete", "#jobs")
    browser.wait("!document.querySelector('#jobs')?.textContent.includes('bunny.mp4')")
    assert server.ask("GET", f"/v1/jobs/{job['id']}").status == 404


def test_an_upload_goes_on_after_a_break_and_a_reload(
    browser: Browser, server: Server, film: Path, tmp_path: Path
) -> None:
    path = large(film, tmp_path)
    before = len(server.ask("GET", "/v1/files").json["results"])
    enter(browser, server)
    choose(browser, o_model="bicubic", size="3x")
    slowly(browser, 400_000)
    dropped(browser, path)
    click(browser, "Upscale")  # its job begins when it is there
    browser.wait("document.querySelector('#sources progress')?.value > 10")
    server.kill()
    browser.wait("/Trying again/.test(document.querySelector('#sources .state').textContent)")
    server.start()
    browser.wait("document.querySelector('#sources progress')?.value > 40")
    browser.call("Page.reload")
    browser.wait("/Choose or drop/.test(document.querySelector('#sources .state')?.textContent)")
    share = int(re.match(r"(\d+) %", said(browser, "#sources"))[1])  # type: ignore[index]
    assert 10 <= share < 100
    slowly(browser, 0)
    browser.give("#files", path)
    browser.wait(f"document.querySelector('#jobs h3')?.textContent === '{path.name}'")
    comes(browser, "Done")
    assert len(server.ask("GET", "/v1/files").json["results"]) == before + 1
    job = newest(server)
    assert (job["input"]["model"], job["input"]["scale"]) == ("bicubic", 3)
    there = server.ask("GET", job["urls"]["source"]).body
    assert hashlib.sha256(there).digest() == hashlib.sha256(path.read_bytes()).digest()
    assert browser.run("document.getElementById('size').value") == "3x"
    browser.errors = [error for error in browser.errors if _UNREACHED not in error]


def test_a_files_name_is_a_text(
    browser: Browser, server: Server, film: Path, tmp_path: Path
) -> None:
    path = tmp_path / _HTML
    path.write_bytes(film.read_bytes()[:900])
    enter(browser, server)
    sent(browser, path)
    choose(browser, o_model="bicubic")
    start(browser, "Upscale")
    comes(browser, "Failed: ")
    shown = browser.run("document.querySelector('#jobs h3').textContent")
    assert shown == _HTML
    assert browser.run("document.querySelectorAll('#work img, #work b').length") == 0
    assert server.ask("GET", newest(server)["urls"]["source"]).status == 404  # it is no film


def test_what_is_refused_is_said_at_its_field(browser: Browser, server: Server, film: Path) -> None:
    enter(browser, server)
    sent(browser, film)
    choose(browser, o_model="bicubic", size="other")
    choose(browser, size_other="70000p")
    click(browser, "Upscale")
    browser.wait("document.querySelector('#wrong').textContent.includes('height 70000: ')")
    assert browser.run("document.activeElement.id") == "size-other"
    assert browser.run("document.activeElement.getAttribute('aria-invalid')") == "true"
    browser.errors = [error for error in browser.errors if "422" not in error]


def test_a_result_that_no_browser_plays_is_named(
    browser: Browser, server: Server, film: Path
) -> None:
    enter(browser, server)
    sent(browser, film)
    choose(browser, o_model="bicubic", size="2x", o_output="large.mkv")
    choose(browser, o_codec='"ffv1"')
    start(browser, "Upscale")
    comes(browser, "Done: large.mkv")
    click(browser, "Compare")
    browser.wait("cannot.textContent.includes('cannot show large.mkv')")
    assert browser.run("viewer.hidden")
    click(browser, "Make a preview")  # what is offered in its stead
    browser.wait("document.querySelector('#jobs h3').textContent === 'Preview of short.mp4'")
    assert newest(server)["input"]["codec"] == "ffv1"
    server.ask("POST", newest(server)["urls"]["cancel"], {})


def test_a_preview_is_shown_in_a_frame_that_can_do_nothing(
    browser: Browser, server: Server, film: Path
) -> None:
    enter(browser, server)
    sent(browser, film)
    choose(browser, o_model="bicubic", size="2x", o_at="0")
    start(browser, "Preview first")
    comes(browser, "Done: ")
    click(browser, "Look at it")
    browser.wait("look.open && frame.src.endsWith('/preview')")
    assert browser.run("frame.getAttribute('sandbox')") == "allow-scripts"
    assert browser.run("frame.contentDocument") is None  # of another origin
    assert browser.run("document.querySelectorAll('#sources li').length") == 1  # to be upscaled yet


def sign_in(browser: Browser, token: str) -> None:
    browser.wait("document.activeElement?.id === 'token'")
    browser.run(f"token.value = {token!r}")
    click(browser, "Sign in")


def test_a_token_is_sent_once_and_kept_out_of_addresses(
    browser: Browser, tmp_path: Path, film: Path
) -> None:
    (tmp_path / "tokens").write_text(_TOKENS)
    token = _TOKENS.split()[1]
    with serving(tmp_path / "server", "--tokens", str(tmp_path / "tokens")) as server:
        browser.visit(f"{server.base}/")
        sign_in(browser, "nobodys-token")
        browser.wait("wrong.textContent.includes('none of this')")
        assert browser.run("work.hidden")
        sign_in(browser, token)
        browser.wait("!work.hidden && document.querySelector('#first option')")
        sent(browser, film)
        browser.call("Page.reload")
        browser.wait("!window.work?.hidden && document.querySelector('#sources .state')")
        kept = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
        assert token not in browser.run(kept) + str(browser.fetched)
        click(browser, "Sign out")
        browser.wait("document.activeElement?.id === 'token'")
        assert browser.run("localStorage.getItem('vsr.sources')") == "[]"
    browser.errors = [error for error in browser.errors if "401" not in error]


def test_an_upload_waits_for_who_has_to_sign_in_again(
    browser: Browser, tmp_path: Path, film: Path
) -> None:
    (tmp_path / "tokens").write_text(_TOKENS)
    with serving(tmp_path / "server", "--tokens", str(tmp_path / "tokens")) as server:
        browser.visit(f"{server.base}/")
        sign_in(browser, _TOKENS.split()[1])
        browser.wait("!work.hidden && document.querySelector('#first option')")
        slowly(browser, 1_000_000)
        files = [large(film, tmp_path / name) for name in ("one", "two")]
        dropped(browser, *files)
        browser.wait("document.querySelector('#sources progress')?.value > 10")
        browser.call("Network.clearBrowserCookies")
        browser.wait("work.hidden && wrong.textContent.includes('signed out')")
        slowly(browser, 0)
        sign_in(browser, _TOKENS.split()[1])
        browser.wait("[...document.querySelectorAll('#sources .state')].filter(e => "
                     "e.textContent.startsWith('On the server')).length === 2")  # fmt: skip
        headers = {"Authorization": f"Bearer {_TOKENS.split()[1]}"}
        there = server.ask("GET", "/v1/files", headers=headers).json["results"]
        assert [file["offset"] for file in there] == [path.stat().st_size for path in files]
    browser.errors = [error for error in browser.errors if "401" not in error]


def press(browser: Browser, key: str, code: int) -> None:
    """Press a key that does something in the browser itself."""
    text = {"text": "\r"} if key == "Enter" else {}
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                     windowsVirtualKeyCode=code, **text)  # fmt: skip


def test_all_of_it_is_reached_by_keys(browser: Browser, server: Server, film: Path) -> None:
    server.ended(server.job({"source": "bunny.mp4", "model": "bicubic", "clip": ["0f-3f"]})["id"])
    enter(browser, server)
    sent(browser, film)
    comes(browser, "Done")
    reached = []
    for _ in range(40):
        press(browser, "Tab", 9)
        reached.append(browser.run("(document.activeElement.id || document.activeElement.ariaLabel"
                                   " || document.activeElement.textContent).trim()"))  # fmt: skip
    wanted = ["choose", "Remove short.mp4", "o-for", "o-model", "size", "More options", "preview",
              "upscale", "Compare bunny.mp4 with its result"]  # fmt: skip
    places = [reached.index(one) for one in wanted]
    assert places == sorted(places)
    browser.run("document.querySelector('#jobs button').focus()")
    press(browser, "Enter", 13)
    browser.wait("compare.open && vsr.scene()")
    assert "because of clip" in browser.run("cannot.textContent")
    press(browser, "Escape", 27)
    browser.wait("!compare.open")
    assert browser.run("document.activeElement.textContent") == "Compare"


def test_who_has_the_job_need_not_hear_again_how_it_came_so_far(server: Server) -> None:
    job = server.ended(
        server.job({"source": "bunny.mp4", "model": "bicubic", "clip": ["0f-3f"]})["id"]
    )
    path = job["urls"]["events"]
    told = events(server.ask("GET", path).body)
    assert len(told) > 4
    assert events(server.ask("GET", f"{path}?from=end").body) == []
    last = {"Last-Event-ID": told[-3][0]}
    assert events(server.ask("GET", f"{path}?from=end", headers=last).body) == told[-2:]


def test_the_page_loads_nothing_but_its_own_files(server: Server) -> None:
    page = server.ask("GET", "/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    names = re.findall(r"(?:src|href)=\"([^\"]+)\"", page.body.decode())
    assert names
    for name in names:
        answer = server.ask("GET", name)
        assert answer.status == 200, name
        assert not re.search(
            r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(", answer.body.decode()
        )
    for name in ("__init__.py", "page.py", "..%2fweb%2fapp.py", "viewer.js", "%2e%2e/schema.py"):
        assert server.ask("GET", f"/page/{name}").status == 404


@pytest.mark.parametrize("kind", ["light", "dark", "phone"])
def test_nothing_keeps_anybody_out(browser: Browser, server: Server, film: Path, kind: str) -> None:
    """By axe-core, which `VSR_AXE` names: npm's axe-core/axe.min.js (MPL-2.0)."""
    axe = os.environ.get("VSR_AXE")
    if axe is None:
        pytest.skip("VSR_AXE names no axe.min.js")
    job = server.job({"source": "bunny.mp4", "model": "bicubic", "clip": ["0f-3f"]})
    server.ended(job["id"])
    phone = kind == "phone"
    browser.look(390 if phone else 1200, 844 if phone else 900, dark=kind == "dark", phone=phone)
    browser.call("Page.setBypassCSP", enabled=True)  # axe-core makes styles
    enter(browser, server)
    sent(browser, film)
    comes(browser, "Done")
    browser.run(Path(axe).read_text(encoding="utf-8") + ";0")
    check = "axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))"
    assert browser.run(check) == []
    browser.run("for (const one of document.querySelectorAll('#work details')) one.open = true")
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    assert browser.run(check) == []
    click(browser, "Compare")
    browser.wait("vsr.scene()")
    assert browser.run(check) == []
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    browser.run("compare.close()")
    click(browser, "Delete", "#jobs")
    browser.wait("ask.open")
    assert browser.run(check) == []
