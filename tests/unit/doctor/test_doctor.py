"""Promise: `vsr doctor` finds what is broken on a machine, and says what to do about it."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from vsr.cli import main
from vsr.doctor import Finding, machine, programs, trials
from vsr.doctor.examinations import _EXAMINATIONS
from vsr.doctor.finding import without_names
from vsr.errors import UsageError


@pytest.fixture(autouse=True)
def _no_settings_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what whoever runs the tests has set, such as VSR_MATRIX_FFMPEG."""
    for name in [name for name in os.environ if name.startswith("VSR_")]:
        monkeypatch.delenv(name)


def _bad(found: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.state != "good"]


def test_a_healthy_machine_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With all engines and encoders that are here; and nothing stays."""
    folder = tmp_path / "a folder of Miller"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    monkeypatch.setenv("VSR_CONFIG", str(folder / "config"))
    assert main(["doctor", "--json"]) == 0
    said = capsys.readouterr()
    page = json.loads(said.out)
    assert (page["schema"], page["broken"]) == (1, 0)
    areas = [finding["area"] for finding in page["findings"]]
    assert list(dict.fromkeys(areas)) == [area for area, _ in _EXAMINATIONS]
    encoders = next(one for one in page["findings"] if one["area"] == "encoders")
    assert {"h264", "h265", "av1", "ffv1", "gif", "png"} <= set(encoders["facts"]["works"])
    engines = [one["text"] for one in page["findings"] if one["area"] == "engines"]
    assert any("PyTorch on the processor: right" in text for text in engines)
    assert "8 frames" in page["findings"][-1]["text"]
    assert "Miller" not in said.out
    assert str(Path.home()) not in said.out or len(str(Path.home())) < 2
    assert not [path for path in folder.rglob("*") if path.is_file()]


def test_what_is_broken_is_exit_code_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fall() -> Finding:
        raise ZeroDivisionError("unforeseen")

    monkeypatch.setattr(
        "vsr.doctor.examinations._EXAMINATIONS", (("a", fall), ("b", machine.system))
    )
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "BROKEN" in said
    assert "ZeroDivisionError: unforeseen" in said
    assert said.endswith("1 things are broken\n")


# --- no GPU, no driver, the wrong build ---


def _without_gpu(monkeypatch: pytest.MonkeyPatch, driver: Path, cuda: str | None) -> Finding:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(machine, "_DRIVER", driver)
    monkeypatch.setattr(machine, "vulkan_gpus", list)
    (found,) = machine.gpus()
    return found


def test_no_gpu_is_no_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = _without_gpu(monkeypatch, tmp_path / "none", None)
    assert found.state == "good"
    assert "no NVIDIA GPU" in found.text


@pytest.mark.parametrize(
    ("cuda", "state", "advice"),
    [(None, "advice", "PyTorch's build for NVIDIA"), ("13.0", "broken", "--gpus all")],
)
def test_a_gpu_that_pytorch_does_not_see(
    cuda: str | None, state: str, advice: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver = tmp_path / "version"
    driver.touch()
    found = _without_gpu(monkeypatch, driver, cuda)
    assert found.state == state
    assert advice in (found.advice or "")


def test_gpus_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    about = SimpleNamespace(name="GeForce", total_memory=8_000_000_000, major=8, minor=9)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: about)
    software = {"index": 0, "name": "llvmpipe", "driver": "1", "software": True}
    monkeypatch.setattr(machine, "vulkan_gpus", lambda: [software])
    first, second = machine.gpus()
    assert "cuda:0 GeForce, 8.0 GB, capability 8.9" in first.text
    assert "llvmpipe (software" in second.text


def test_a_vulkan_driver_in_software_is_told_to_be_of_no_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As `auto` has it; see test_auto_never_takes_software."""
    software = {"index": 0, "name": "llvmpipe", "driver": "1", "software": True}
    real = software | {"index": 1, "name": "Radeon", "software": False}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for seen, wanted in (([software], True), ([software, real], False)):
        monkeypatch.setattr(machine, "vulkan_gpus", lambda seen=seen: seen)
        found = [one for one in machine.gpus() if one.text.startswith("vulkan:")]
        assert "auto never takes" in (found[0].advice or "")
        assert ("own Vulkan driver" in (found[0].advice or "")) == wanted
        assert all(one.advice is None for one in found[1:])


# --- no disk, a read-only cache ---


@pytest.mark.parametrize(("free", "state"), [(10**8, "broken"), (10**9, "advice")])
def test_no_disk(free: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(total=10**12, used=10**12 - free, free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    found = list(machine.disks())
    assert [finding.state for finding in found] == [state] * 4
    assert all(finding.advice for finding in found)


def test_a_cache_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()  # root writes to any folder, but to none in a file
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    (found,) = _bad(machine.disks())
    assert found.state == "advice"  # runs work without
    assert found.text.startswith("cache: ")
    assert "XDG_CACHE_HOME" in (found.advice or "")


def test_no_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_temporary_folder", lambda: None)
    (found,) = _bad(machine.disks())
    assert (found.state, found.advice) == (
        "broken",
        "set TMPDIR to a folder that can be written to",
    )


def test_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "free_host_memory", lambda: 10**9)
    monkeypatch.setattr(machine, "memory", lambda: 2 * 10**9)
    (found,) = _bad(machine.memories())
    assert "1.0 GB free of 2.0" in found.text
    assert "raise the container's limit" in (found.advice or "")


# --- a broken weight file, a broken ffmpeg, wrong settings ---


def test_broken_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSR_MODELS_DIR", str(tmp_path))
    (tmp_path / "realesr-general-x4v3.pth").write_bytes(b"torn")
    (tmp_path / "mine.safetensors").write_bytes(b"torn")
    (tmp_path / "notes.txt").write_text("no weights")
    official, own = _bad(programs.weights())
    assert {official.state, own.state} == {"broken"}
    assert "delete realesr-general-x4v3.pth, then vsr models fetch" in (official.advice or "")
    assert "mine.safetensors" in own.text
    assert str(tmp_path) not in json.dumps([official.as_dict(), own.as_dict()])


@pytest.mark.parametrize(
    ("program", "said"),
    [(sys.executable, "lacks all: it is no ffmpeg"), ("/nowhere/ffmpeg", "no such program")],
)
def test_a_broken_ffmpeg(program: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert programs.ffmpeg().state == "good"
    monkeypatch.setenv("VSR_FFMPEG", program)
    found = programs.ffmpeg()
    assert found.state == "broken"
    assert said in found.text
    assert "unset VSR_FFMPEG" in (found.advice or "")


def test_wrong_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSR_CONFIG", str(tmp_path))
    monkeypatch.setenv("VSR_MODLE", "x4plus")
    (tmp_path / "config.toml").write_text("heigth = 2")
    file, variable = _bad(programs.settings())
    assert (file.state, variable.state) == ("broken", "advice")
    assert "did you mean height?" in file.text
    assert variable.advice == "did you mean VSR_MODEL?"


# --- engines and encoders ---


def test_an_encoder_that_does_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    write = trials._write

    def writing(path: Path, codec: str, count: int = 2) -> None:
        if codec == "h265":
            raise UsageError("<encode.codec> h265: refuses")
        write(path, codec, count)  # type: ignore[arg-type]

    monkeypatch.setattr(trials, "_write", writing)
    found = list(trials.encoders())
    assert "h265" not in found[0].facts["works"]
    assert [(one.state, one.text) for one in _bad(found)] == [
        ("broken", "h265: encode.codec h265: refuses".replace("encode.", "")),
    ]


def test_an_engine_that_computes_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    run = trials._run

    def running(*arguments: object) -> object:
        result, seconds, engine = run(*arguments)  # type: ignore[arg-type]
        return (result + 0.1 if arguments[3] == "auto" else result), seconds, engine

    monkeypatch.setattr(trials, "_run", running)
    candidate = ("PyTorch on the processor", "cpu", "torch", "auto")
    monkeypatch.setattr(trials, "_candidates", lambda: [candidate])
    (found,) = trials.engines()
    assert found.state == "broken"
    assert "something else (20 dB)" in found.text


# --- names ---


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/jane/films/x.mkv: torn", "…/x.mkv: torn"),
        ("VSR_FFMPEG=/opt/my tools/ffmpeg: lacks", "VSR_FFMPEG=…/my tools/ffmpeg: lacks"),
        (r"C:\Users\jane\x.mkv", r"…\x.mkv"),
        ("1.5 GB free of 2/3", "1.5 GB free of 2/3"),
        ("pytorch.org/get-started/locally", "pytorch.org/get-started/locally"),
    ],
)
def test_folders_are_not_shown(text: str, shown: str) -> None:
    assert without_names(text) == shown


def test_people_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "miller")
    monkeypatch.setenv("VSR_FFMPEG", "/opt/Anna Miller/bin/ffmpeg")
    assert without_names("miller: /opt/Anna Miller/bin/ffmpeg") == "…: …/ffmpeg"
    assert os.environ["VSR_FFMPEG"]
