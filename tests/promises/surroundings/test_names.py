"""What a script may put where a file's name belongs: nothing, a pipe, a device, a new folder."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.promises.surroundings.conftest import QUICK, Vsr, names, said, whole
from tests.support import judge


def test_an_empty_name_is_no_folder(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    """A variable that is not set would stand for all that lies around."""
    for command in (["upscale", ""], ["upscale", film, ""], ["upscale", film, "-o", ""],
                    ["probe", ""], ["probe", film, "-o", ""], ["metrics", "", film],
                    ["metrics", film, ""]):  # fmt: skip
        ended = vsr(*command, cwd=tmp_path)
        assert (ended.code, "is empty" in said(ended)) == (2, True), command
    assert names(tmp_path) == ["in.mkv"]
    assert not [name for name in names(tmp_path.parent) if name.startswith(f"{tmp_path.name}_")]


def sent(film: Path, pipe: Path) -> threading.Thread:
    thread = threading.Thread(target=lambda: pipe.write_bytes(film.read_bytes()))
    thread.start()
    return thread


def test_named_pipes_are_read_like_standard_input(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    pipe = tmp_path / "pipe.mkv"
    os.mkfifo(pipe)
    thread = sent(film, pipe)
    ended = vsr("upscale", pipe, "-o", tmp_path / "o.mkv", *QUICK)
    thread.join()
    assert ended.code == 0, ended
    assert whole(tmp_path / "o.mkv")
    for command, word in (
        (["upscale", pipe], "name the result with -o"),
        (["upscale", pipe, "-o", "o.xyz"], "must end in"),
        (["upscale", pipe, "-o", "x.mkv", "--separate", "--clip", "0-1"], "comes only once"),
        (["probe", pipe], "save it to a file"),
        (["metrics", film, pipe], "save it to one"),
        (["upscale", film, "-o", pipe], f"-o - > {pipe}"),
    ):
        ended = vsr(*command)
        assert (ended.code, word in said(ended)) == (2, True), command


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="there is no /dev/fd here")
@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/0", "/dev/fd/9"])
@pytest.mark.parametrize("kind", ["pipe", "socket", "file", "nameless"])
def test_open_files_are_read(film: Path, tmp_path: Path, vsr: Vsr, name: str, kind: str) -> None:
    """As `<(...)`, `< file`, what a service gets as its standard input, and a here-document."""
    source = tmp_path / "source.mkv"
    source.write_bytes(film.read_bytes())
    feed = f"""
import socket, threading
data = open({str(source)!r}, "rb").read()
kind, target = {kind!r}, int({name!r}[-1]) if {name!r}[-1].isdigit() else 0
if kind in ("file", "nameless"):
    number = os.open({str(source)!r}, os.O_RDONLY)
    if kind == "nameless":
        os.unlink({str(source)!r})
else:
    if kind == "pipe":
        number, end = os.pipe()
        end = os.fdopen(end, "wb")
    else:
        a, b = socket.socketpair()
        number, end = a.detach(), b.makefile("wb")
        b.close()
    def send():
        end.write(data)
        end.close()
    threading.Thread(target=send, daemon=True).start()
os.dup2(number, target)
if number != target:
    os.close(number)
"""
    ended = vsr("upscale", name, "-o", tmp_path / "o.mkv", *QUICK, first=feed)
    assert ended.code == 0, ended
    assert whole(tmp_path / "o.mkv")


def test_results_for_pipes_and_devices(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    ended = vsr("upscale", film, "-o", "/dev/stdout", *QUICK[:4])
    assert ended.code == 0, ended
    (tmp_path / "o.nut").write_bytes(ended.out)
    assert len(judge.frames(tmp_path / "o.nut")) == 25
    (tmp_path / "loop.mkv").symlink_to("loop.mkv")
    for output, code, word in (
        ("/dev/null", 2, "-o - > /dev/null"), ("/dev/fd/3", 2, "-o - >&3"),
        ("/dev/stderr", 2, "-o - >&2"), (tmp_path / "loop.mkv", 1, "symbolic links"),
        (film / "o.mkv", 1, "no such folder"),
    ):  # fmt: skip
        ended = vsr("upscale", film, "-o", output, *QUICK)
        assert (ended.code, word in said(ended)) == (code, True), ended
    assert names(tmp_path) == ["in.mkv", "loop.mkv", "o.nut"]


def test_a_folder_that_is_not_there_yet_is_made(film: Path, tmp_path: Path, vsr: Vsr) -> None:
    (tmp_path / "b.mkv").write_bytes(film.read_bytes())
    for output, sources in (("one/", ["in.mkv"]), ("two/", ["in.mkv", "b.mkv"]),
                            ("three", ["in.mkv", "b.mkv"]), ("v1.0/", ["in.mkv"])):  # fmt: skip
        ended = vsr("upscale", *sources, "-o", output, *QUICK, cwd=tmp_path)
        assert ended.code == 0, ended
        made = [f"{Path(source).stem}_1x.mkv" for source in sources]
        assert names(tmp_path / output) == sorted(made)
    there = names(tmp_path)
    for command, code, word in (
        (["none.mkv", "-o", "four/"], 3, "no such file"),  # nothing is left of it
        (["in.mkv", "-o", "four/five/"], 1, "cannot be made"),
        (["in.mkv", "-o", "in.mkv/"], 2, "place of its source"),
        (["in.mkv", "b.mkv", "-o", "six.mkv"], 2, "need a folder"),
        (["in.mkv", "-o", "seven"], 2, "must end in"),
    ):
        ended = vsr("upscale", *command, *QUICK, cwd=tmp_path)
        assert (ended.code, word in said(ended)) == (code, True), ended
    assert names(tmp_path) == there
    ended = vsr("probe", "in.mkv", "-o", "four/", *QUICK[:4], cwd=tmp_path)
    assert b"-> four/in_1x.mkv: " in ended.out
    assert names(tmp_path) == there
