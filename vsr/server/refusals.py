"""What a server answers that does not do what was asked."""

from __future__ import annotations

from vsr.errors import VsrError


class Refused(VsrError):
    """A request that is refused, with the HTTP status and the headers that say why."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers or {}


def not_found(what: str) -> Refused:
    """Return the answer for what is not there, or is somebody else's: nobody learns which."""
    return Refused(404, f"there is no such {what}")
