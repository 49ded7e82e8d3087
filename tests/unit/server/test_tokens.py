"""Promise: a token is what it was, a session ends, and neither can be made by somebody else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from vsr.errors import UsageError
from vsr.server.tokens import Scope, Secret, Tokens, one_token, read_tokens

_ME = "my-token-of-some-length"


def _tokens(folder: Path, text: str) -> Tokens:
    path = folder / "tokens"
    path.write_text(text)
    return read_tokens(path)


def test_each_token_has_its_scope(tmp_path: Path) -> None:
    tokens = _tokens(tmp_path, f"# ours\nme {_ME}\n\nboss the-boss-has-this-one all\n")
    assert tokens.scope_of(_ME) == Scope(name="me")
    assert tokens.scope_of("the-boss-has-this-one") == Scope(name="boss", all=True)
    for wrong in ("", _ME[:-1], _ME + "x", _ME.upper(), "\udcff" * 20):
        assert tokens.scope_of(wrong) is None
    assert _ME not in repr(tokens)
    single = one_token(_ME).scope_of(_ME)
    assert single is not None
    assert single.all


@pytest.mark.parametrize(
    "text", ["", "me\n", "me short\n", f"me {_ME} none\n", f"a {_ME}\na {_ME}x\n", f"M e {_ME}\n"]
)
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="tokens"):
        _tokens(tmp_path, text)


def test_a_session_ends_and_belongs_to_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = _tokens(tmp_path, f"me {_ME}\n")
    secret = Secret.of(tmp_path)
    assert Secret.of(tmp_path) == secret  # also after a restart
    session = secret.session(Scope(name="me"))
    assert secret.scope_of(session, tokens) == Scope(name="me")
    assert secret.scope_of(session, _tokens(tmp_path, f"other {_ME}\n")) is None
    assert Secret(b"another").scope_of(session, tokens) is None
    name, ends, sign = session.split(".")
    for forged in (f"{name}.{int(ends) + 1}.{sign}", f"{name}.{ends}.", f"..{sign}", name, ""):
        assert secret.scope_of(forged, tokens) is None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 13 * 3600)
    assert secret.scope_of(session, tokens) is None
