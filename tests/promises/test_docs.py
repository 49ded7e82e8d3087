"""Promise: what the documentation says can be typed, and where it points there is something."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.conftest import SAMPLES
from tests.support import judge
from vsr.cli import main
from vsr.cli.main import cli

ROOT = Path(__file__).parents[2]
PAGES = sorted({ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")})
GUIDES = sorted((ROOT / "docs" / "guide").glob("*.md"))

# What a guide's line needs that the lines above it do not make.
FILMS = {
    "mkv": ("film", "episode", "dvd", "old", "hdr", "sharp", "theirs"),
    "mp4": ("film", "phone", "stream"),
    "avi": ("old", "tape"),
}


def _lines(page: Path) -> list[str]:
    """The commands in its blocks, without remarks."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]


def _inline(page: Path) -> Iterator[str]:
    """The commands in its running text."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for code in re.findall(r"`([^`]+)`", text):
        if code.startswith("vsr "):
            yield " ".join(code.split())


def _anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub links to them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_leads_nowhere(page: Path) -> None:
    for name in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in name:
            continue
        path, _, anchor = name.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {name}"
        assert not anchor or anchor in _anchors(target), f"{page.name}: {name}"


def test_every_page_can_be_found_from_the_index() -> None:
    seen, waiting = set[Path](), [ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        names = re.findall(r"\]\(([^)#:\s]+)", page.read_text(encoding="utf-8"))
        waiting += [(page.parent / name).resolve() for name in names]
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} <= seen


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_option_is_unknown(page: Path) -> None:
    for line in [*_lines(page), *_inline(page)]:
        if not line.startswith("vsr ") or "..." in line:
            continue
        words = shlex.split(line.split(" | ")[0])[1:]
        command: click.Command = cli
        while words and isinstance(command, click.Group) and not words[0].startswith("-"):
            context = click.Context(command)
            found = command.get_command(context, words[0])
            if found is None and not re.fullmatch("[a-z]+", words[0]):  # `vsr film.mp4`
                found, words = command.get_command(context, "upscale"), ["", *words]
            assert found is not None, f"{page.name}: {line}"
            command, words = found, words[1:]
        known = {flag for one in command.params for flag in (*one.opts, *one.secondary_opts)}
        known |= {"--help", "-h", "--version", "--help-all"}
        for word in words:
            if re.match("--?[a-z]", word):
                assert word.split("=")[0] in known, f"{page.name}: {line}"


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with films of the names that guides use, each of a second, and 64x48."""
    film = tmp_path / "film.mkv"
    judge.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=1", "-f", "lavfi", "-i", "sine=d=1",
        "-g", "5", "-c:v", "libx264", "-c:a", "aac", "-pix_fmt", "yuv420p", str(film),
    )  # fmt: skip
    for suffix, names in FILMS.items():
        first = tmp_path / f"{names[0]}.{suffix}"
        if first != film:
            codec = "mpeg4" if suffix == "avi" else "copy"
            judge.ffmpeg("-i", str(film), "-c:v", codec, "-c:a", "copy", str(first))
        for name in names[1:]:
            shutil.copy(first, tmp_path / f"{name}.{suffix}")
    shutil.copy(SAMPLES / "glider.gif", tmp_path / "dance.gif")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VSR_MODEL", "bicubic")
    return tmp_path


def _quick(line: str) -> list[str]:
    """The words of a command, with a resizer in place of each network, and little to look at."""
    words = shlex.split(line)[1:]
    for flag in ("-m", "--model"):
        if flag in words:
            words[words.index(flag) + 1] = "bicubic"
    if "--for" in words:
        words += ["-m", "bicubic"]
    if "bicubic" in words and "--denoise" in words:  # which a network alone understands
        at = words.index("--denoise")
        del words[at : at + 2]
    if words[0] == "preview":
        words = [word.replace("denoise=0,0.5,1", "crf=10,20") for word in words]
        words = [word.replace("denoise=0.5,1", "crf=10,20") for word in words]
        words += ["--seconds", "0.1", "--overwrite"]
    if words[0] in ("upscale", "report"):
        words += [] if "--json" in words else ["--overwrite"]
    return words


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_each_command_of_a_guide_works(
    page: Path, films: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = [line for line in _lines(page) if line]
    assert all(line.startswith("vsr ") for line in lines)
    done = set[tuple[str, ...]]()
    for line in lines:
        words = _quick(line)
        if words[0] == "doctor" or tuple(words) in done:  # has tests of its own, and is slow
            continue
        done.add(tuple(words))
        code = main(words)
        said = capfd.readouterr().err
        expected = 2 if words[:2] == ["jobs", "status"] else 0  # of a job that is done
        assert code == expected, f"{line}\n{said}"
