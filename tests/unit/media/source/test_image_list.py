"""Promises for folders and numbered names: all files, once each, in the order of a person."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from vsr.errors import InputError, UsageError
from vsr.media.source.image_list import ImageList, is_many, list_files, numbered


def names(folder: Path, *files: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in files:
        (folder / name).touch()


def test_numbers_in_names_count_as_numbers(tmp_path: Path) -> None:
    names(tmp_path, "10.png", "2.png", "b1.PNG", "a10c2.jpg", "a10c11.jpg", "a9.webp", "01.png")
    wanted = ("01.png", "2.png", "10.png", "a9.webp", "a10c2.jpg", "a10c11.jpg", "b1.PNG")
    assert list_files(tmp_path).pictures == wanted


def test_films_are_apart_and_the_rest_is_named(tmp_path: Path) -> None:
    names(tmp_path, "a.png", "b.mkv", "c.gif", "notes.txt", ".hidden.png", "dangling.png")
    (tmp_path / "inner.png").mkdir()
    (tmp_path / "dangling.png").unlink()
    (tmp_path / "dangling.png").symlink_to("nowhere")
    listing = list_files(tmp_path)
    assert (listing.pictures, listing.films) == (("a.png",), ("b.mkv", "c.gif"))
    assert listing.passed_over == ".hidden.png, dangling.png, inner.png, notes.txt"


def test_of_much_else_the_first_are_named(tmp_path: Path) -> None:
    names(tmp_path, "a.png", "vsr.toml", *(f"{n}.txt" for n in range(12)))
    assert list_files(tmp_path).passed_over == "0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 7 more"


@pytest.mark.parametrize(
    ("pattern", "wanted", "missing"),
    [
        ("%d.png", ("7.png", "12.png", "100000.png"), 99991),
        ("%03d.png", ("007.png", "012.png", "100000.png"), 99991),
        ("%04d.png", ("0003.png", "100000.png"), 99996),
        ("x%%%d.png", ("x%1.png", "x%2.png"), 0),
    ],
)
def test_a_pattern_takes_what_printf_would_write(
    tmp_path: Path, pattern: str, wanted: tuple[str, ...], missing: int
) -> None:
    names(tmp_path, "7.png", "12.png", "007.png", "012.png", "100000.png", "0003.png", "x.png",
          "x%1.png", "x%2.png", "x%01.png", "7.jpg", "-1.png",
          os.fsdecode("٣.png".encode()))  # fmt: skip
    listing = list_files(tmp_path / pattern)
    assert (listing.pictures, listing.missing) == (wanted, missing)


def test_a_file_of_that_very_name_is_a_file(tmp_path: Path) -> None:
    names(tmp_path, "%05d.png", "00001.png", "50%.png", "100%done.png")
    assert not is_many(tmp_path / "%05d.png")
    assert not is_many(tmp_path / "50%.png")
    assert is_many(tmp_path / "%04d.png")
    with pytest.raises(UsageError, match="two numbers"):
        numbered(tmp_path / "%d_%d.png")


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("%5d.png", "pads with blanks"),
        ("%99d.png", "pads with blanks"),
        ("%010d.png", "9 digits"),
        ("%0300d.png", "9 digits"),
        (f"%0{'9' * 40}d.png", "9 digits"),
        (f"%{'9' * 200}d.png", "pads with blanks"),
        ("%000d.png", "pads with blanks"),
    ],
)
def test_a_number_that_is_not_written_so_is_refused(tmp_path: Path, name: str, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        numbered(tmp_path / name)


@pytest.mark.parametrize("name", ["", "%05d.png", "gone/%05d.png"])
def test_nothing_there(tmp_path: Path, name: str) -> None:
    names(tmp_path, "readme.txt")
    with pytest.raises(InputError, match=r"holds no|no file has|no such folder"):
        list_files(tmp_path / name)


def test_the_present_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names(tmp_path / "shots", "a.png")
    monkeypatch.chdir(tmp_path / "shots")
    assert list_files(Path()).path.name == "shots"


def test_a_huge_folder_is_listed_quickly(tmp_path: Path) -> None:
    names(tmp_path, *(f"{n}.png" for n in range(20_000)))

    def listed(path: Path) -> tuple[ImageList, float]:
        began = time.perf_counter()
        return list_files(path), time.perf_counter() - began

    for path in (tmp_path, tmp_path / "%d.png"):
        listing, seconds = listed(path)
        assert listing.pictures == tuple(f"{n}.png" for n in range(20_000))
        assert seconds < 2
