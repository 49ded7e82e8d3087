"""A page as a parser sees it, and what every page of ours promises."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

_VOID = {"meta", "img", "input", "br", "link", "hr"}


class Page(HTMLParser):
    """A page's elements, texts and data; fails the test for one that is not closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.commands: list[str] = []
        self._scripts: list[str] = []
        self._open: list[str] = []
        self._told: dict[str, Any] | None = None
        self.labelled: set[str] = set()
        self.words: dict[int, str] = {}  # what is written in an element, by its number
        self._numbers: list[int] = []
        self.feed(self.text)
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.elements.append((tag, known))
        if tag == "label":
            self.labelled.add(known["for"] or "")
        if tag not in _VOID:
            self._open.append(tag)
            self._numbers.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes another"
        self._numbers.pop()

    def handle_data(self, data: str) -> None:
        for number in self._numbers:
            self.words[number] = self.words.get(number, "") + data
        if not self._open:
            return
        kind = self.elements[self._numbers[-1]][1]
        if self._open[-1] == "pre" and kind.get("class") == "line":
            self.commands.append(data)

    def data(self) -> Any:
        """The JSON that its scripts read."""
        for number, (tag, known) in enumerate(self.elements):
            if tag == "script" and known.get("id") == "data":
                return json.loads(self.words[number])
        raise AssertionError("has no data")


def check_page(path: Path, *, most: int = 15_000_000) -> Page:
    """Check what holds for every page: small, whole, without an address, every control named."""
    assert path.stat().st_size <= most
    page = Page(path)
    for tag, known in page.elements:
        for name in ("src", "href", "srcset", "poster", "action", "data", "style"):
            value = known.get(name) or ""
            assert value == "" or value.startswith("data:") or name == "style", f"{tag} {name}"
        assert not [name for name in known if name.startswith("on")], tag
        assert tag not in ("link", "iframe", "object", "embed", "base"), tag
    shown = re.sub(r"data:[a-z/]+;base64,[A-Za-z0-9+/=]+", "", page.text)
    shown = re.sub(r'"data":"[A-Za-z0-9+/=]+"', "", shown)
    assert not re.search(r"[a-z]://|[\"'`(]//", shown.replace("http://www.w3.org/2000/svg", ""))
    assert "url(" not in shown
    assert "@import" not in shown
    assert any(known.get("http-equiv") == "Content-Security-Policy" for _, known in page.elements)
    ids = [known["id"] for _, known in page.elements if known.get("id")]
    assert len(ids) == len(set(ids))
    for number, (tag, known) in enumerate(page.elements):
        named = known.get("aria-label") or known.get("id") in page.labelled
        if tag in ("select", "input"):
            assert named, f"{tag} {known}"
        if tag in ("button", "summary", "th"):
            assert named or page.words.get(number, "").strip(), f"{tag} {known}"
        if tag in ("canvas", "svg"):
            assert known.get("role") == "img", tag
            assert named, tag
        if tag == "img":
            assert known.get("alt"), known
    assert page.elements[0] == ("html", {"lang": "en"})
    assert sum(tag == "h1" for tag, _ in page.elements) == 1
    return page
