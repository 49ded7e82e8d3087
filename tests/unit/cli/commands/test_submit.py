"""What `vsr submit` sends, and where it writes; the client is a fake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result

from vsr.cli.commands.submit import submit
from vsr.server import client


class Fake:
    """A client whose server has done everything."""

    asked: ClassVar[dict[str, Mapping[str, Any]]] = {}
    name: ClassVar[object] = "film_2x.mkv"

    def __init__(self, *_: object) -> None:
        pass

    def find(self, id: str) -> dict[str, Any] | None:
        if id not in self.asked:
            return None
        return {"id": id, "status": "succeeded", "output_name": self.name, "metrics": {}}

    def upload(self, *_: object) -> str:
        return "there"

    def put(self, id: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        self.asked[id] = asked
        return {"id": id, "status": "starting"}

    def events(self, _: str) -> Iterator[dict[str, Any]]:
        return iter(())

    def fetch(self, _: str, target: Path, __: object) -> None:
        target.write_bytes(b"result")


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A film; the user's settings are beside it."""
    monkeypatch.setattr(client, "Client", Fake)
    monkeypatch.setattr(Fake, "asked", {})
    monkeypatch.setenv("VSR_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "config").mkdir()
    path = tmp_path / "films" / "film.mkv"
    path.parent.mkdir()
    path.write_bytes(b"film")
    return path


def run(film: Path, *options: str, token: str = "somebody's token") -> Result:
    return CliRunner().invoke(
        submit, [str(film), "--server", "http://nas", *options], env={"VSR_SERVER_TOKEN": token}
    )


def test_settings_of_this_machine_are_not_sent_and_that_is_said(film: Path) -> None:
    config = film.parents[1] / "config" / "config.toml"
    config.write_text("device = 'cpu'\nthreads = 2\ncrf = 20\n")
    done = run(film, "--scale", "2")
    assert done.exit_code == 0, done.output
    ((_, asked),) = Fake.asked.items()
    assert asked["input"] == {"crf": 20, "scale": "2", "source": "upload:there"}
    assert "left out, as the server has its own: --device" in done.stderr
    assert "--threads" in done.stderr
    Fake.asked.clear()
    run(film, "--device", "cuda")  # given with the command: the server refuses it
    ((_, asked),) = Fake.asked.items()
    assert asked["input"]["device"] == "cuda"


def test_each_user_has_jobs_of_their_own(film: Path) -> None:
    for token in ("one user's token", "another's token", "one user's token"):
        assert run(film, "--overwrite", token=token).exit_code == 0
    assert len(Fake.asked) == 2


@pytest.mark.parametrize("name", ["../film.mkv", "/film.mkv", "a/b.mkv", "..", "", "a\0b", None])
def test_a_result_lies_where_it_was_asked_for_whatever_the_server_says(
    film: Path, monkeypatch: pytest.MonkeyPatch, name: object
) -> None:
    monkeypatch.setattr(Fake, "name", name)
    refused = run(film)
    assert isinstance(refused.exception, Exception)
    assert "which is no file's name" in str(refused.exception)
    assert [path.name for path in film.parent.iterdir()] == ["film.mkv"]
