"""Promises: a preview is one page, small, that fetches nothing, works by hand, key and finger."""

from __future__ import annotations

import base64
import io
import os
import shlex
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from tests.conftest import SAMPLES, random_frames, tiny_weights
from tests.support import judge
from tests.support.browser import Browser, browser_program
from tests.support.pages import Page, check_page
from vsr.cli.main import cli
from vsr.frame import Colour, Layout, Matrix, Range
from vsr.jobs.run.short_run import Estimate, ShortRun
from vsr.media.source.probe import probe
from vsr.options import UpscaleOptions
from vsr.report import preview as preview_module
from vsr.report import preview_page as page_module
from vsr.report.moments import Box, TellingMoment
from vsr.report.preview import Preview, Scene
from vsr.report.preview_page import preview_page
from vsr.report.settings import Setting
from vsr.report.trial import Trial, whole_plan

BUNNY = SAMPLES / "bunny.mp4"


def run(*arguments: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    found = getattr(result.exception, "exit_code", result.exit_code)
    assert found == code, (result.output, result.exception)
    return result.output + str(result.exception or "")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preview")
    film = folder / "a <film> & 'more'.mp4"  # a name that is neither HTML nor a word for a shell
    film.write_bytes(BUNNY.read_bytes())
    page = folder / "page.html"
    run("preview", film, "-o", page, "-m", "bicubic", "--scale", "2", "--at", "0.5", "--at", "93f",
        "--compare", "model=nearest", "--compare", "height=270", "-q",
        "--seconds", "86400")  # fmt: skip
    return page


@pytest.fixture(scope="module")
def page(path: Path) -> Page:
    return check_page(path)


def picture(address: str) -> Any:
    head, data = address.split(",", 1)
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(float)


def test_each_setting_has_a_command_that_does_what_the_page_shows(page: Page) -> None:
    folder = Path(page.commands[0] and shlex.split(page.commands[0])[2]).parent
    assert len(page.commands) == 3
    assert [shlex.split(line)[3:] for line in page.commands] == [
        ["--model", "bicubic", "--scale", "2"],
        ["--model", "nearest", "--scale", "2"],
        ["--model", "bicubic", "--height", "270"],
    ]
    made = folder / "made.mkv"
    program, *words = shlex.split(page.commands[1])
    assert program == "vsr"
    run(*words, "-o", made, "--codec", "ffv1", "--duration", "13f", "-q")
    shown = picture(page.data()["moments"][0]["pictures"][2])
    frame = judge.rgb(made, size=(640, 360))[12].astype(float)
    assert np.abs(frame - shown).mean() < 3  # both encoders lose a little


def test_the_source_is_beside_the_results_in_their_size(page: Page) -> None:
    moments = page.data()["moments"]
    assert [moment["time"] for moment in moments] == ["0:00.500", "0:03.875"]
    for moment in moments:
        pictures = [picture(one) for one in moment["pictures"]]
        assert {one.shape for one in pictures} == {(360, 640, 3)}
        assert np.abs(pictures[0] - pictures[1]).mean() < 2  # bicubic is what the source shows
        nearest = np.abs(pictures[0] - pictures[2]).mean()
        assert 2 < nearest < 20
        shares = moment["shares"]
        assert shares[0] is None
        assert 0 <= shares[1] < shares[2] < 1  # steps are invented, smoothness is not


def test_where_a_network_is_unsure_is_shown_if_there_is_time(tmp_path: Path) -> None:
    """A resizer guesses nowhere; `--seconds` is for this, too."""
    weights = tiny_weights(tmp_path)
    still = tmp_path / "still.png"
    judge.ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x48:d=1:r=1", "-frames:v", "1", str(still))
    run("preview", still, "-m", weights, "--compare", "model=bicubic", "-q")
    page = tmp_path / "still_preview.html"
    doubts = check_page(page).data()["moments"][0]["doubts"]
    assert [one is None for one in doubts] == [True, False, True]
    head, coded = doubts[1].split(",", 1)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(coded))))
    assert (head, shown.shape) == ("data:image/webp;base64", (24, 32, 4))
    run("preview", still, "-m", weights, "--seconds", "0", "-q", "--overwrite")
    assert check_page(page).data()["moments"][0]["doubts"] == [None, None]


def test_a_loop_holds_all_pictures_above_each_other(page: Page, tmp_path: Path) -> None:
    moment = page.data()["moments"][0]
    loop, film = moment["loop"], tmp_path / "loop.mp4"
    film.write_bytes(base64.b64decode(loop["data"]))
    width, height = loop["width"], loop["height"]
    assert judge.size_of(film) == (width, height * 4)
    frames = judge.rgb(film, size=(width, height * 4)).astype(float)
    assert len(frames) == 24
    first = frames[0].reshape(4, height, width, 3)
    shown = picture(moment["pictures"][2])
    top, left = loop["top"], loop["left"]
    shown = shown[top : top + height, left : left + width]
    assert np.abs(first[2] - shown).mean() < 4
    assert np.abs(frames[0] - frames[23]).mean() > 1  # it moves


def test_times_and_sizes_are_said(page: Page) -> None:
    rows = [words for n, words in page.words.items() if page.elements[n][0] == "tr"]
    assert len(rows) == 4
    for row in rows[1:]:
        assert "s a frame" in row
        assert "about " in row
        assert "kB" in row or "MB" in row


def test_a_page_that_is_there_is_not_replaced(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    said = run("preview", BUNNY, "-o", path, "-m", "bicubic", code=2)
    assert "--overwrite" in said
    assert path.read_bytes() == before
    assert "take the place of its source" in run("preview", path, "-o", path, code=2)
    run("preview", BUNNY, "-o", tmp_path / "no" / "page.html", code=1)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["/nowhere.mkv"], 3, "nowhere.mkv"),
        (["https://host/a.mkv", "-o", "x.html"], 2, "fetch it first"),
        ([str(BUNNY), "--clip", "1-2"], 2, "--at"),
        ([str(BUNNY), "--at", "9:00"], 2, "behind the film's last frame"),
        ([str(BUNNY), "--compare", "modle=x"], 2, "did you mean model"),
        ([str(SAMPLES)], 2, "many files"),
    ],
)
def test_what_cannot_be_previewed_is_told(arguments: list[str], code: int, said: str) -> None:
    assert said in run("preview", "-m", "bicubic", "-q", *arguments, code=code)


def test_a_single_picture_is_previewed(tmp_path: Path) -> None:
    still = tmp_path / "still.png"
    judge.ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x48:d=1:r=1", "-frames:v", "1", str(still))
    run("preview", still, "-m", "bicubic", "--scale", "2", "-q")
    data = check_page(tmp_path / "still_preview.html").data()
    assert [moment["loop"] for moment in data["moments"]] == [None]


def test_what_is_cut_off_is_not_shown(tmp_path: Path) -> None:
    """Bars around a film; source and result are cropped alike."""
    film = tmp_path / "bars.mkv"
    judge.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=96x64:r=10:d=1,pad=96:96:0:16:red", "-c:v",
                 "libx264", "-qp", "0", "-pix_fmt", "yuv420p", str(film))  # fmt: skip
    run("preview", film, "-m", "bicubic", "--scale", "2", "--crop", "96:64:0:16", "-q", "--at", "0")
    moment = check_page(tmp_path / "bars_preview.html").data()["moments"][0]
    shown = [picture(one) for one in moment["pictures"]]
    assert {one.shape for one in shown} == {(128, 192, 3)}
    assert np.abs(shown[0] - shown[1]).mean() < 3


def noise(*size: int) -> torch.Tensor:
    return torch.randint(0, 256, size, generator=torch.Generator().manual_seed(0)).byte()


def test_pictures_lose_quality_before_the_page_grows_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = probe(BUNNY)
    options = UpscaleOptions()
    made = ShortRun(output=BUNNY, frames=1, clips=1, share=1.0, start=0.0, seconds=1.0, key=1.0,
                    inner=None, warnings=())  # fmt: skip
    trial = Trial(
        setting=Setting(label="one", options=options), plan=whole_plan(source, None, options),
        run=made, expected=Estimate(seconds=1.0, bytes=1), is_size_measured=True,
    )  # fmt: skip
    box = Box(left=0, top=0, width=128, height=128)
    moment = TellingMoment(frame=0, seconds=Fraction(0), reason="any")
    scene = Scene(moment=moment, box=box, loop_box=box, pictures=[noise(128, 128, 3)] * 2,
                  heats=[None, None], shares=[None, None])  # fmt: skip
    found = Preview(source=source, size=(128, 128), trials=(trial,), scenes=(scene,), notes=())
    large = len(preview_page(found))
    monkeypatch.setattr(page_module, "MOST_BYTES", large - 20_000)
    assert len(preview_page(found)) <= large - 20_000


def test_a_loop_of_noise_stays_small() -> None:
    layout = Layout(family="yuv", sub_x=1, sub_y=1)
    colour = Colour(matrix=Matrix.BT709, range=Range.LIMITED)
    frames = random_frames(24, 480, 270, layout, colour)
    loop = preview_module._loop(
        [[frame, frame] for frame in frames], (480, 270), (1.0, 1.0),
        Box(left=0, top=0, width=480, height=270), Fraction(25),
    )  # fmt: skip
    assert len(loop) <= 1_000_000


# --- in a browser ---


@pytest.fixture(scope="module")
def _program() -> str:
    return browser_program()


@pytest.fixture
def browser(
    _program: str, path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """The page, open; afterwards nothing may have gone wrong or have been fetched."""
    with Browser(_program, tmp_path_factory.mktemp("profile")) as found:
        found.look(1200, 900)
        found.open(path)
        found.wait("window.vsr && vsr.ready()")
        yield found
        assert not found.errors
        asked = {address.split(":")[0] for address in found.fetched}
        assert asked <= {"file", "data", "blob", "about", "null"}


def place(browser: Browser, across: float, down: float) -> tuple[float, float]:
    """A place on the stage, as shares of its sides, in pixels of the window."""
    box = browser.run("(() => { const b = stage.getBoundingClientRect();"
                      " return [b.left, b.top, b.width, b.height]; })()")  # fmt: skip
    return box[0] + across * box[2], box[1] + down * box[3]


def state(browser: Browser, name: str) -> Any:
    return browser.run(f"vsr.state.{name}")


def under(browser: Browser, across: float, down: float) -> list[float]:
    """Which pixel of the picture is seen there, in the left pane."""
    found: list[float] = browser.run(
        f"(() => {{ const c = corner(0), zoom = vsr.state.zoom; return [({across} * stage.width"
        f" - c.left) / zoom, ({down} * stage.height - c.top) / zoom]; }})()"
    )
    return found


def seen(browser: Browser, across: float, down: float) -> list[int]:
    """The colour on the stage there."""
    browser.wait("vsr.ready()")
    found: list[int] = browser.run(
        f"[...pen.getImageData({across} * stage.width, {down} * stage.height, 1, 1).data]"
    )
    return found


def test_the_split_is_dragged_and_zoom_stays_under_the_pointer(browser: Browser) -> None:
    browser.drag(place(browser, 0.5, 0.5), place(browser, 0.25, 0.5))
    assert abs(state(browser, "split") - 0.25) < 0.01
    assert browser.run("document.getElementById('split').value") == "25"
    before = under(browser, 0.7, 0.3)
    browser.wheel(place(browser, 0.7, 0.3), -100)
    browser.wait(f"vsr.state.zoom > {browser.run('fitting()')} * 1.1")
    after = under(browser, 0.7, 0.3)
    assert np.allclose(before, after, atol=1.0)
    browser.drag(place(browser, 0.8, 0.5), place(browser, 0.6, 0.5))  # away from the split: pans
    assert abs(state(browser, "split") - 0.25) < 0.01
    assert under(browser, 0.6, 0.3)[0] > before[0] - 1


def test_panes_beside_each_other_show_the_same_place(browser: Browser) -> None:
    browser.key("b")
    browser.wheel(place(browser, 0.6, 0.4), -100)
    browser.drag(place(browser, 0.6, 0.4), place(browser, 0.65, 0.45))
    one, other = browser.run("[corner(0), corner(1)]")
    assert abs(other["left"] - one["left"] - browser.run("stage.width") / 2) < 1e-6
    assert one["top"] == other["top"]


def test_keys_do_what_the_buttons_do(browser: Browser) -> None:
    for key, mode in (("d", "difference"), ("h", "heat"), ("u", "doubt"), ("b", "side"),
                      ("s", "split")):  # fmt: skip
        browser.key(key)
        assert state(browser, "mode") == mode
        pressed = f"document.getElementById('mode-{mode}').getAttribute('aria-pressed')"
        assert browser.run(pressed) == "true"
    browser.key(" ")
    assert (state(browser, "mode"), state(browser, "flipped")) == ("flip", True)
    source = seen(browser, 0.5, 0.4)
    browser.key("r")
    browser.key(" ")
    assert not state(browser, "flipped")
    assert state(browser, "right") == 2
    assert seen(browser, 0.5, 0.4)[3] == source[3] == 255
    zoom = state(browser, "zoom")
    browser.key("+")
    browser.key("ArrowLeft")
    assert state(browser, "zoom") > zoom
    browser.key("n")
    assert state(browser, "moment") == 1
    browser.key("0")
    assert state(browser, "zoom") == pytest.approx(browser.run("fitting()"))


def test_the_difference_of_a_picture_and_itself_is_black(browser: Browser) -> None:
    browser.key("d")
    places = [(x / 10, y / 10) for x in (4, 5, 6) for y in (3, 5, 7)]
    assert any(max(seen(browser, *spot)[:3]) > 8 for spot in places)
    browser.run("vsr.state.left = vsr.state.right; dirty = true; 0")
    assert all(max(seen(browser, *spot)[:3]) == 0 for spot in places)


def test_the_loop_plays_all_pictures_from_one_film(browser: Browser) -> None:
    browser.run("document.getElementById('play').click()")
    browser.wait("vsr.scene().video.currentTime > 0.1")
    told = browser.run("[vsr.scene().video.videoHeight, vsr.scene().told.loop.height,"
                       " document.querySelectorAll('video').length]")  # fmt: skip
    assert told[0] == 4 * told[1]
    browser.key("l")
    assert browser.run("vsr.scene().video.paused")


def test_fingers_pan_and_zoom(browser: Browser) -> None:
    browser.look(390, 844, phone=True, density=2)
    browser.wait("vsr.ready() && stage.width === Math.round(stage.clientWidth * 2)")
    x, y = place(browser, 0.25, 0.5)
    was = state(browser, "x")
    browser.touch([(x, y)], [(x + 40, y)])
    assert state(browser, "x") == pytest.approx(was + 80, abs=2)
    zoom = state(browser, "zoom")
    x, y = place(browser, 0.5, 0.5)
    browser.touch(
        [(x - 20, y), (x + 20, y)], [(x - 40, y), (x + 40, y)], [(x - 80, y), (x + 80, y)]
    )
    assert state(browser, "zoom") > 1.5 * zoom
    assert browser.run("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_keeps_anybody_out(browser: Browser, dark: bool) -> None:
    """By axe-core, which `VSR_AXE` names: npm's axe-core/axe.min.js (MPL-2.0)."""
    axe = os.environ.get("VSR_AXE")
    if axe is None:
        pytest.skip("VSR_AXE names no axe.min.js")
    browser.look(1200, 900, dark=dark)
    browser.wait(f"matchMedia('(prefers-color-scheme: dark)').matches === {str(dark).lower()}")
    browser.run(Path(axe).read_text(encoding="utf-8") + ";0")
    found = browser.run("axe.run().then(r => r.violations.map(v => [v.id, v.nodes.length]))")
    assert found == []
