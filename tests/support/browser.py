"""A real browser, driven over a pipe by the DevTools protocol: no driver, no port, no package.

Chromium is looked for on the PATH; `VSR_BROWSER` names another. Where there is none, tests skip.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FLAGS = (
    "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--no-first-run",
    "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--mute-audio",
    "--autoplay-policy=no-user-gesture-required", "--hide-scrollbars",
)  # fmt: skip
_PATIENCE = 60.0  # seconds


def browser_program() -> str:
    """Return the browser's program, or skip the test."""
    found = os.environ.get("VSR_BROWSER") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("no Chromium on the PATH, and VSR_BROWSER names none")
    return found


class Browser:
    """One tab; a context. Its profile lies in `folder`."""

    def __init__(self, program: str, folder: Path) -> None:
        self.errors: list[str] = []  # of the console, exceptions and policies
        self.fetched: list[str] = []  # addresses that were asked for
        ours = os.pipe(), os.pipe()
        # Out of the way of 3 and 4, which the browser reads and writes.
        theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (ours[0][0], ours[1][1])]
        os.close(ours[0][0])
        os.close(ours[1][1])
        self._to, self._from = ours[0][1], ours[1][0]
        silent = os.open(os.devnull, os.O_RDWR)
        actions = [
            (os.POSIX_SPAWN_DUP2, silent, 0),
            (os.POSIX_SPAWN_DUP2, silent, 1),
            (os.POSIX_SPAWN_DUP2, silent, 2),
            (os.POSIX_SPAWN_DUP2, theirs[0], 3),
            (os.POSIX_SPAWN_DUP2, theirs[1], 4),
        ]
        arguments = [program, *_FLAGS, f"--user-data-dir={folder}", "about:blank"]
        self._process = os.posix_spawn(
            program, arguments, os.environ, file_actions=actions, setpgroup=0
        )
        for fd in (*theirs, silent):
            os.close(fd)
        self._read = b""
        self._number = 0
        self._session: str | None = None

    def __enter__(self) -> Self:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        told = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = told["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._to)
        os.close(self._from)
        os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)

    def call(self, method: str, **parameters: Any) -> Any:
        """Do something; returns what the browser answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            told = self._next()
            if told.get("id") == self._number:
                assert "error" not in told, f"{method}: {told['error']}"
                return told["result"]
            self._hear(told)
        raise AssertionError(f"{method}: no answer")

    def _next(self) -> Any:
        while b"\0" not in self._read:
            more = os.read(self._from, 1 << 20)
            assert more, "the browser has ended"
            self._read += more
        message, self._read = self._read.split(b"\0", 1)
        return json.loads(message)

    def _hear(self, told: Any) -> None:
        method, what = told.get("method"), told.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(what["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and what["type"] == "error":
            self.errors.append(str(what["args"]))
        elif method == "Log.entryAdded" and what["entry"]["level"] == "error":
            self.errors.append(what["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.fetched.append(what["request"]["url"][:100])

    # --- what a person does ---

    def open(self, page: Path) -> None:
        """Open a file, with the network off, and wait for it."""
        self.call("Network.emulateNetworkConditions", offline=True, latency=0,
                  downloadThroughput=0, uploadThroughput=0)  # fmt: skip
        self.call("Page.navigate", url=page.absolute().as_uri())
        self.wait("document.readyState === 'complete'")

    def visit(self, address: str) -> None:
        """Open an address of a server, and wait for it."""
        self.call("Page.navigate", url=address)
        self.wait(f"location.href.startsWith({address!r}) && document.readyState === 'complete'")

    def drop(self, place: tuple[float, float], *files: Path) -> None:
        """Drop files there."""
        x, y = place
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def give(self, selector: str, *files: Path) -> None:
        """Choose files in a file input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def run(self, script: str) -> Any:
        """Return what an expression comes to."""
        told = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + _PATIENCE
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < deadline, f"never came true: {condition}"
            time.sleep(0.02)

    def key(self, key: str) -> None:
        """Press and let go of a key, named as JavaScript names it."""
        typed = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **typed)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag with the left button."""
        for kind, (x, y) in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1,
                      clickCount=1)  # fmt: skip

    def wheel(self, place: tuple[float, float], by: float) -> None:
        """Turn the wheel; up is negative."""
        x, y = place
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=by)

    def touch(self, *steps: list[tuple[float, float]]) -> None:
        """Put fingers down, move them from step to step, and lift them."""
        for number, fingers in enumerate(steps):
            points = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(fingers)]
            kind = "touchMove" if number else "touchStart"
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def look(
        self,
        width: int,
        height: int,
        *,
        dark: bool = False,
        density: float = 1,
        phone: bool = False,
    ) -> None:
        """Be a screen of that size."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=density, mobile=phone)  # fmt: skip
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone, maxTouchPoints=2)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write what is seen as a PNG; `whole`: also what would have to be scrolled to."""
        told = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(told["data"]))
