"""Addresses that a client names, and nothing of the network that this server stands in.

A name is resolved once, what it leads to is looked at before a byte is sent, and that is what is
connected to: a second answer of the name server could be another one.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress

from vsr.fetch import BadAddress, Lines
from vsr.server.refusals import Refused

_PORTS = frozenset({80, 443, 8000, 8080, 8443})


class NotPublic(BadAddress):
    """An address that leads to what is not public."""


def checked(url: str, near: Sequence[str], what: str) -> str:
    """Return an address that may be asked, as far as its text tells. Raises Refused.

    `near`: hosts that are allowed whatever they are.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if (
        not host
        or parts.scheme not in ("http", "https")
        or len(url) > 2000
        or not url.isprintable()
        or " " in host
    ):
        raise Refused(422, f"{what}: must be an address that begins with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise Refused(422, f"{what}: must have no login in it")
    if host in near:
        return url
    if port is not None and port not in _PORTS:
        raise Refused(422, f"{what}: port {port} is not asked")
    if not host_is_public(host):
        raise Refused(422, f"{what}: this server asks public addresses only")
    return url


def host_is_public(host: str) -> bool:
    """Return whether a name looks public; a number in any spelling is one address or none."""
    try:
        return _is_public(socket.inet_ntoa(socket.inet_aton(host)))  # 0x7f.1, 2130706433, ...
    except (OSError, ValueError):
        pass
    try:
        return _is_public(host)
    except ValueError:
        return "." in host.strip(".") and not host.rstrip(".").endswith(
            (".localhost", ".local", ".internal", ".home.arpa", ".lan")
        )


def _is_public(number: str) -> bool:
    address = ipaddress.ip_address(number.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        teredo = address.teredo
        inner = inner or (teredo[1] if teredo else None)
        nat64 = ipaddress.ip_network("64:ff9b::/96")
        if address in nat64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    return address.is_global and not address.is_multicast


def connect(host: str, port: int, near: Sequence[str], timeout: float) -> socket.socket:
    """Return a connection to a public address of `host`. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure = OSError(f"{host}: has no address")
    until = time.monotonic() + timeout
    for number_left, (family, kind, protocol, _, place) in zip(
        range(len(found), 0, -1), found, strict=True
    ):
        if host not in near and not _is_public(str(place[0])):
            raise NotPublic(f"{host}: leads to what is not public")
        number = socket.socket(family, kind, protocol)
        try:
            # All addresses together take no longer than that.
            number.settimeout(max((until - time.monotonic()) / number_left, 0.01))
            number.connect(place)
            number.settimeout(timeout)
        except OSError as error:
            number.close()
            failure = error
            continue
        return number
    raise failure


@contextmanager
def ended_after(line: socket.socket, seconds: float) -> Iterator[None]:
    """End a connection after `seconds`, also one that gives a byte now and then."""
    with closing(line.dup()) as held:  # TLS takes the first away

        def end() -> None:
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def lines(near: Sequence[str]) -> Lines:
    """Return how public addresses, and the hosts of `near`, are connected to."""
    return Lines(lambda host, port, timeout: connect(host, port, near, timeout))
