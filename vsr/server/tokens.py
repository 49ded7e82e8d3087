"""Who may do what: tokens, and the sessions of browsers that have shown one."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from vsr.errors import UsageError, cause
from vsr.jobs.store import atomic_write

LOCAL = "local"  # whose the jobs are of a server without tokens
_ALL = "all"
_SHORTEST = 16  # characters of a token
_SESSION = 12 * 3600  # seconds
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Whose jobs and uploads somebody sees: those of his name, or all."""

    name: str
    all: bool = False

    def sees(self, owner: str) -> bool:
        """Return whether what belongs to `owner` may be read and changed."""
        return self.all or owner == self.name


@dataclass(frozen=True)
class Tokens:
    """The tokens by which a server knows its users; kept as hashes. None: everybody is local."""

    known: tuple[tuple[bytes, Scope], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.known)

    def scope_of(self, token: str) -> Scope | None:
        """Return whose token it is; the time that takes tells nothing of the tokens."""
        digest, found = _digest(token), None
        for known, scope in self.known:
            if hmac.compare_digest(known, digest):
                found = scope
        return found

    def named(self, name: str) -> Scope | None:
        """Return the scope of that name."""
        return next((scope for _, scope in self.known if scope.name == name), None)


def one_token(token: str) -> Tokens:
    """Return tokens of which there is one, that sees all. Raises UsageError for a short one."""
    return Tokens(((_checked(token, "VSR_SERVER_TOKEN"), Scope(name=LOCAL, all=True)),))


def read_tokens(path: Path) -> Tokens:
    """Read a file with `NAME TOKEN` in each line, or `NAME TOKEN all` for who sees all jobs.

    Raises UsageError.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = cause(error) if isinstance(error, OSError) else "is no text"
        raise UsageError(f"{path}: cannot be read ({reason})") from error
    known: list[tuple[bytes, Scope]] = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{path}, line {number}"
        if len(words) not in (2, 3) or words[2:] not in ([], [_ALL]):
            raise UsageError(f"{where}: is not NAME TOKEN, or NAME TOKEN all")
        if _NAME.fullmatch(words[0]) is None or any(s.name == words[0] for _, s in known):
            raise UsageError(f"{where}: a name has small letters and digits, and stands once")
        known.append((_checked(words[1], where), Scope(name=words[0], all=len(words) == 3)))
    if not known:
        raise UsageError(f"{path}: holds no token")
    return Tokens(tuple(known))


def _checked(token: str, where: str) -> bytes:
    if len(token) < _SHORTEST:
        raise UsageError(f"{where}: a token has at least {_SHORTEST} characters")
    return _digest(token)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


@dataclass(frozen=True)
class Secret:
    """What this server alone knows: signs the cookies of browsers, and webhooks."""

    key: bytes

    @classmethod
    def of(cls, folder: Path) -> Secret:
        """Return the secret that lies in `folder`, made if there is none."""
        path = folder / "secret"
        if not path.is_file():
            part = path.with_name("secret.new")
            part.touch(mode=0o600)
            part.write_text(secrets.token_hex(32))
            atomic_write.rename(part, path)
        return cls(bytes.fromhex(path.read_text()))

    def signed(self, *words: str) -> bytes:
        """Return a signature of words, which nobody else can make."""
        return hmac.digest(self.key, "\n".join(words).encode(), "sha256")

    def session(self, scope: Scope) -> str:
        """Return the value of a cookie that stands for a token for half a day."""
        ends = str(int(time.time()) + _SESSION)
        return f"{scope.name}.{ends}.{self.signed('session', scope.name, ends).hex()}"

    def scope_of(self, session: str, tokens: Tokens) -> Scope | None:
        """Return whose session it is; None for one that is over, or forged."""
        name, _, rest = session.partition(".")
        ends, _, sign = rest.partition(".")
        right = self.signed("session", name, ends).hex()
        if not hmac.compare_digest(right.encode(), sign.encode("utf-8", "replace")):
            return None
        return tokens.named(name) if int(ends) > time.time() else None
