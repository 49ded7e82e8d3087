"""Promises about weights: fetched whole or not at all, checked before use, never run as code."""

from __future__ import annotations

import hashlib
import http.server
import os
import pickle
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from vsr.errors import BrokenWeights, DownloadError, ModelError, UnknownModel, UsageError
from vsr.events import Downloading, Event
from vsr.nets import store
from vsr.nets.catalogue import Model, catalogue, find
from vsr.nets.download import download
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.reading import said_scale
from vsr.nets.weight_files import packaged
from vsr.options import ModelOptions


@dataclass
class Server:
    """A web server on loopback that can break off and can refuse ranges."""

    files: dict[str, bytes] = field(default_factory=dict)
    break_after: list[int] = field(default_factory=list)  # bytes, one entry a request
    ranges: bool = True
    requests: list[str | None] = field(default_factory=list)  # Range headers
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.requests.append(asked)
            body = state.files.get(self.path)
            if body is None:
                self.send_error(404)
                return
            if asked and state.ranges:
                body = body[int(asked.removeprefix("bytes=").rstrip("-")) :]
                self.send_response(206)
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.break_after.pop(0)] if state.break_after else body)

        def log_message(self, *arguments: object) -> None:
            pass

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    state.url = f"http://127.0.0.1:{listener.server_port}"
    yield state
    listener.shutdown()
    thread.join()
    listener.server_close()


BODY = os.urandom(700_000)
DIGEST = hashlib.sha256(BODY).hexdigest()


def _get(server: Server, target: Path, digest: str = DIGEST) -> list[Event]:
    events: list[Event] = []
    download(
        f"{server.url}/f", target, size=len(BODY), digest=digest, sink=events.append,
        advice="name a mirror",
    )  # fmt: skip
    return events


def test_a_download_goes_on_after_breaks_and_is_said(server: Server, tmp_path: Path) -> None:
    server.files["/f"] = BODY
    server.break_after = [300_000, 200_000]
    events = _get(server, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == BODY
    assert server.requests[0] is None
    assert server.requests[1] is not None
    assert len(server.requests) == 3
    assert isinstance(events[-1], Downloading)
    assert events[-1].done == events[-1].total == len(BODY)
    assert not (tmp_path / "f.part").exists()


def test_a_second_run_continues_the_part_of_the_first(server: Server, tmp_path: Path) -> None:
    server.files["/f"] = BODY
    (tmp_path / "f.part").write_bytes(BODY[:123_456])
    _get(server, tmp_path / "f")
    assert server.requests == ["bytes=123456-"]
    assert (tmp_path / "f").read_bytes() == BODY


def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.files["/f"], server.ranges = BODY, False
    (tmp_path / "f.part").write_bytes(b"x" * 99)
    _get(server, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == BODY


@pytest.mark.parametrize("body", [BODY[::-1], BODY + b"more"])
def test_a_wrong_file_is_never_kept(server: Server, tmp_path: Path, body: bytes) -> None:
    server.files["/f"] = body
    with pytest.raises(DownloadError):
        _get(server, tmp_path / "f")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_reached_says_what_to_do(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="mirror"):
        _get(server, tmp_path / "f")  # 404
    assert len(server.requests) == 1  # the server's word is final
    with pytest.raises(DownloadError, match="mirror"):
        download(
            "http://127.0.0.1:9/f", tmp_path / "f", size=1, digest="", sink=lambda e: None,
            advice="name a mirror",
        )  # fmt: skip


# --- the catalogue ---


@pytest.fixture
def general(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """realesr-general-x4v3 and its twin, as tiny networks with hashes of their own."""
    files: dict[str, bytes] = {}
    models = []
    for model in catalogue():
        if model.name.startswith("realesr-general"):
            torch.manual_seed(len(files))
            network = SRVGGNetCompact(num_feat=8, num_conv=1)
            path = Path(os.environ["XDG_CACHE_HOME"]) / "made.pth"
            path.parent.mkdir(exist_ok=True)
            torch.save({"params": network.state_dict()}, path)
            data = path.read_bytes()
            assert model.url is not None
            files["/" + "/".join(model.url.split("/")[-2:])] = data
            model = replace(model, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())  # noqa: PLW2901
        models.append(model)
    monkeypatch.setattr("vsr.nets.catalogue.catalogue", lambda: tuple(models))
    monkeypatch.setattr("vsr.nets.store.catalogue", lambda: tuple(models))
    return files


def test_a_model_is_fetched_from_a_mirror_once_and_blended(
    server: Server, general: dict[str, bytes], tmp_path: Path
) -> None:
    server.files = {f"/base{name}": data for name, data in general.items()}
    options = ModelOptions(
        name="general", folder=tmp_path, mirror=f"{server.url}/base/", denoise=0.5
    )
    blended = store.load(options).network
    assert len(server.requests) == 2
    assert blended is not None
    ends = []
    for denoise in (1.0, 0.0):
        end = store.load(replace(options, denoise=denoise)).network
        assert end is not None
        ends.append(end.state_dict())
    assert len(server.requests) == 2  # nothing is fetched twice
    for name, tensor in blended.state_dict().items():
        assert torch.allclose(tensor, (ends[0][name] + ends[1][name]) / 2)


def test_a_file_put_into_the_folder_is_used_and_checked(
    general: dict[str, bytes], tmp_path: Path
) -> None:
    data = next(iter(general.values()))
    options = ModelOptions(name="realesr-general-x4v3", folder=tmp_path, offline=True)
    with pytest.raises(ModelError, match="offline"):
        store.load(options)
    path = tmp_path / "realesr-general-x4v3.pth"
    path.write_bytes(data)
    assert store.load(options).scale == 4
    path.write_bytes(data[:-1] + b"?")
    with pytest.raises(BrokenWeights, match="sha256"):
        store.load(options)


def test_the_installed_weights_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = find("animevideov3")
    files = packaged(model)
    assert files is not None
    copies = []
    for file in files:
        copies.append(tmp_path / file.name)
        copies[-1].write_bytes(file.read_bytes())
    copies[1].write_bytes(copies[1].read_bytes()[:-2] + b"xx")
    monkeypatch.setattr(store, "packaged", lambda model: tuple(copies))
    with pytest.raises(BrokenWeights, match="sha256"):
        store.load(ModelOptions())


# --- files of the user's own ---


class Evil:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    for name, write in (("a.pth", torch.save), ("b.pth", _plain_pickle)):
        path = tmp_path / name
        write({"params": Evil(trap)}, path)
        with pytest.raises(BrokenWeights, match=name):
            store.load(ModelOptions(name=str(path)))
        assert not trap.exists()


def _plain_pickle(value: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_own_weights_work_by_path_and_by_name(tmp_path: Path, suffix: str) -> None:
    network = SRVGGNetCompact(num_feat=8, num_conv=1, upscale=2).eval()
    path = tmp_path / f"my_x2{suffix}"
    if suffix == ".pth":
        torch.save(network.state_dict(), path)
    else:
        save_file(network.state_dict(), path)
    x = torch.rand(1, 3, 9, 7)
    for options in (ModelOptions(name=str(path)), ModelOptions(name="my_x2", folder=tmp_path)):
        loaded = store.load(options)
        assert loaded.scale == 2
        assert loaded.network is not None
        assert torch.equal(loaded.network(x), network(x))


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("3x_Film", 3), ("3xFilm", 3), ("film_x3", 3), ("Film-3X-b", 3), ("film", None),
        ("linux36", None), ("4x3", None), ("16x_a_2x", 16), ("RealESRGAN_x4plus", None),
    ],
)  # fmt: skip
def test_what_a_name_says_of_the_scale(name: str, scale: int | None) -> None:
    assert said_scale(name) == scale


def test_a_threefold_network_is_known_by_its_files_name(tmp_path: Path) -> None:
    network = RRDBNet(num_feat=8, num_block=1, num_grow_ch=4, scale=3).eval()
    for name in ("3x_mine.safetensors", "mine.safetensors"):
        save_file(network.state_dict(), tmp_path / name, metadata={"author": "somebody"})
    assert store.load(ModelOptions(name=str(tmp_path / "3x_mine.safetensors"))).scale == 3
    assert store.load(ModelOptions(name=str(tmp_path / "mine.safetensors"))).scale == 2


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt"])
@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04" + bytes(200), bytes(1000)])
def test_a_broken_file_is_one_clear_error(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(BrokenWeights, match="broken"):
        store.load(ModelOptions(name=str(path)))


def test_weights_of_an_extra_that_is_not_here_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsr.nets.weight_files.packaged", lambda model: None)
    with pytest.raises(ModelError, match=r"vsr-upscale\[cugan\]"):
        store.load(ModelOptions(name="cugan2x"))


def test_unknown_names() -> None:
    with pytest.raises(UnknownModel, match="realesr-animevideov3"):
        find("animevideo3")
    with pytest.raises(UnknownModel, match="no such weight file"):
        store.load(ModelOptions(name="missing.pth"))
    with pytest.raises(UsageError, match="denoise"):
        store.load(ModelOptions(denoise=0.5))


def test_names_and_aliases_are_unique() -> None:
    names = [n.casefold() for m in catalogue() for n in (m.name, *m.aliases)]
    assert len(names) == len(set(names))
    models: list[Model] = [find(name) for name in names]
    assert set(models) == set(catalogue())
