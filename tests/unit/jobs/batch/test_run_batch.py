"""Promises of several files in one run: none takes another's place, and none is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import vsr
from tests.support import judge
from vsr.errors import OutputError, UsageError
from vsr.jobs.batch.run_batch import Outcome
from vsr.jobs.run.upscale import upscale_one


def options(**encode: Any) -> vsr.UpscaleOptions:
    return vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"),
        size=vsr.SizeOptions(scale=Fraction(1)),
        encode=vsr.EncodeOptions(**encode),
    )


def picture(path: Path, colour: str = "red") -> Path:
    path.parent.mkdir(exist_ok=True)
    return judge.make(path, f"color={colour}:s=16x16:d=0.1", "-frames:v", "1", "-update", "1")


def outcomes(*sources: Path | str, output: Path | None = None, **encode: Any) -> list[Outcome]:
    return list(vsr.Batch(sources, output, options(**encode)).run())


def failing(error: Callable[[Path], Exception]) -> Callable[..., vsr.Result]:
    """`upscale_one`, but it fails where the source's name has `bad` in it."""

    def run(source: Path | str, *arguments: Any, **named: Any) -> vsr.Result:
        if "bad" in Path(source).name:
            raise error(Path(source))
        return upscale_one(source, *arguments, **named)

    return run


def full(source: Path) -> Exception:
    error = OutputError(f"{source}: writing failed (No space left on device)")
    error.__cause__ = OSError(28, "No space left on device")
    return error


def test_a_folder_that_is_full_ends_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/1.png", "a/2bad.png", "a/3.png", "a/4.png", "b/1.png", "c.png"):
        picture(tmp_path / name)
    judge.make(tmp_path / "a" / "film.gif", "color=red:s=16x16:d=0.2")
    (tmp_path / "out").mkdir()
    monkeypatch.setattr("vsr.jobs.batch.run_batch.upscale_one", failing(full))
    found = outcomes(*(tmp_path / n for n in ("a", "b", "c.png")), output=tmp_path / "out")
    assert [o.result.output.name for o in found if o.result] == ["1.png", "1.png", "c_1x.png"]
    (failed,) = (o for o in found if o.error)
    assert failed.untried == ("3.png", "4.png", "film.gif")


def test_one_result_that_cannot_be_written_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/1bad.png", "a/2.png"):
        picture(tmp_path / name)
    wrong = failing(lambda path: OutputError(f"{path}: what was written is not right"))
    monkeypatch.setattr("vsr.jobs.batch.run_batch.upscale_one", wrong)
    found = outcomes(tmp_path / "a")
    assert [bool(o.error) for o in found] == [True, False]
    assert found[0].untried == ()


def test_a_folder_that_cannot_be_made_stops_no_other(tmp_path: Path) -> None:
    a, b = picture(tmp_path / "a" / "1.png"), picture(tmp_path / "b" / "1.png")
    batch = vsr.Batch([a.parent, b.parent], None, options())
    (tmp_path / "a_1x").touch()  # meanwhile
    first, second = batch.run()
    assert isinstance(first.error, OutputError)
    assert first.untried == ("1.png",)
    assert second.result is not None


@pytest.mark.parametrize(
    ("names", "into"),
    [(("a/x.png", "b/x.png"), "out"), (("x.png", "x.bmp"), None), (("x.png", "x.png"), None)],
)
def test_no_result_takes_the_place_of_another(
    tmp_path: Path, names: tuple[str, ...], into: str | None
) -> None:
    for name, colour in zip(names, ("red", "blue"), strict=True):
        picture(tmp_path / name, colour)
    output = tmp_path / into if into else None
    if output is not None:
        output.mkdir()
    first, second = outcomes(*(tmp_path / n for n in names), output=output, overwrite=True)
    assert first.result is not None
    assert isinstance(second.error, UsageError)
    assert str(tmp_path / names[1]) in str(second.error)
    assert judge.rgb(first.result.output, size=(16, 16)).shape[0] == 1


def test_no_result_takes_the_place_of_another_source(tmp_path: Path) -> None:
    a, b = picture(tmp_path / "x.png"), picture(tmp_path / "x_1x.png", "blue")
    before = b.read_bytes()
    first, second = outcomes(a, b, overwrite=True)
    assert isinstance(first.error, UsageError)
    assert second.result is not None
    assert b.read_bytes() == before


def test_folders_of_one_name_are_not_mixed(tmp_path: Path) -> None:
    for side in ("l", "r"):
        (tmp_path / side).mkdir()
        picture(tmp_path / side / "shots" / "1.png")
    (tmp_path / "out").mkdir()
    sources = [tmp_path / side / "shots" for side in ("l", "r")]
    with pytest.raises(UsageError, match="one by one"):
        vsr.Batch(sources, tmp_path / "out", options(overwrite=True))
    assert not list((tmp_path / "out").iterdir())


def test_an_address_that_is_named_twice_is_asked_once_and_its_login_not_shown(
    tmp_path: Path,
) -> None:
    address = "http://me:secret@127.0.0.1:9/x.mkv"
    first, second = outcomes(address, address, output=tmp_path)
    assert "refused" in str(first.error)
    assert "named twice" in str(second.error)
    assert "secret" not in f"{first.error}{second.error}"
