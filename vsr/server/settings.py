"""What a server is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vsr.server.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much is taken on. Bytes and seconds."""

    body: int = 1 << 20  # of a request in JSON
    form: int = 100 << 20  # of a file that comes in one request
    upload: int = 1 << 40  # of one that comes in pieces
    uploads: int = 32  # that are not complete
    queue: int = 1000  # jobs that wait
    free_disk: int = 2 << 30  # what is always left
    keep: float = 7 * 86400.0  # results, after they are complete
    keep_uploads: float = 86400.0  # ... that no job waits for, after their last byte
    patience: float = 60.0  # with a client that sends or takes nothing
    header: float = 10.0  # until the head of a request is here
    connections: int = 512
    wait: float = 60.0  # that a request may wait for its job


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """All of it. `data`: the folder that everything of the server lies in."""

    data: Path
    roots: tuple[Path, ...] = ()  # folders that sources may lie in, resolved
    devices: tuple[str, ...] = ("auto",)  # one job at a time on each
    tokens: Tokens = field(default_factory=Tokens)
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")  # names that it answers to
    urls: bool = False  # whether sources may be addresses
    near: tuple[str, ...] = ()  # hosts that webhooks, and addresses, may lead to, public or not
    limits: Limits = field(default_factory=Limits)
