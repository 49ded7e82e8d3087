"""uvicorn, told to end slow heads and large ones, and to write no request into a log."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from vsr.errors import UsageError, cause
from vsr.jobs.store import lock
from vsr.jobs.store.registry import register
from vsr.server.settings import ServerSettings
from vsr.server.web.app import application
from vsr.server.web.state import Serving

_HEAD = 32 << 10  # bytes of a request's head
_IDLE = 15  # seconds that a connection is kept open for another request
_GRACE = 3  # seconds for requests that are under way at the end
Ready = Callable[[Mapping[str, str]], None]  # hears of the jobs that cannot be read, and why


def _protocol(seconds: float) -> type[H11Protocol]:
    """Return uvicorn's protocol, in which the head of a request comes within so many seconds."""

    class Impatient(H11Protocol):
        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._waiting = self.loop.call_later(seconds, self._give_up)

        def data_received(self, data: bytes) -> None:
            is_idle = self.cycle is None or self.cycle.response_complete
            if is_idle and self._waiting is None:
                self._waiting = self.loop.call_later(seconds, self._give_up)
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._forget()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def _forget(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

        def _give_up(self) -> None:
            self._waiting = None
            if self.cycle is None or self.cycle.response_complete:
                self.transport.close()

    return Impatient


class _Server(uvicorn.Server):
    """Ends when it is told to, without raising the signal again; `closing` hears of it first."""

    def __init__(self, config: uvicorn.Config, closing: Callable[[], None]) -> None:
        super().__init__(config)
        self._closing = closing

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, self._told)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _told(self) -> None:
        self._closing()
        self.force_exit = self.should_exit
        self.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """Return the socket that a server listens on. Raises UsageError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    number = socket.socket(family, socket.SOCK_STREAM)
    number.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        number.bind((host, port))
        number.listen(256)
    except OSError as error:
        number.close()
        raise UsageError(
            f"--host {host} --port {port}: cannot be listened on ({cause(error)})"
        ) from error
    return number


def run(settings: ServerSettings, line: socket.socket, ready: Ready) -> None:
    """Serve until a signal comes. `ready` is called once requests are answered.

    Raises UsageError where another server has the same folder.
    """
    with _alone(settings):
        register(settings.data, "servers")
        _run(settings, line, ready)


@contextlib.contextmanager
def _alone(settings: ServerSettings) -> Iterator[None]:
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    number = os.open(settings.data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        held = lock.take(number)
        if held is None:
            raise UsageError(f"{settings.data}: another server works there; name one with --data")
        yield
        held.close()
    finally:
        os.close(number)


def _run(settings: ServerSettings, line: socket.socket, ready: Ready) -> None:
    app = application(settings)
    here: Serving = app.state.serving

    def closing() -> None:
        here.is_closing = True

    config = uvicorn.Config(
        app,
        http=_protocol(settings.limits.header),
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=_HEAD,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=_GRACE,
        limit_concurrency=settings.limits.connections,
    )
    server = _Server(config, closing)

    async def serve() -> None:
        serving = asyncio.create_task(server.serve(sockets=[line]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.02)
        if server.started:
            ready(here.jobs.unreadable)
        await serving

    try:
        asyncio.run(serve())
    finally:
        here.stop()
