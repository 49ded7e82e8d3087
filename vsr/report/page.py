"""The parts that all pages are made of: a file in one piece, which fetches nothing."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from torch import Tensor

from vsr.errors import OutputError, UsageError, cause
from vsr.media.format.contact_sheet import webp
from vsr.media.source.image_list import is_too_long
from vsr.version import __version__

# Whatever a page says, a browser will not fetch anything for it.
_POLICY = (
    "default-src 'none'; img-src data:; media-src blob:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'"
)
_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="$policy">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="vsr $version">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<header><h1>$heading</h1></header>
<main>
$body
</main>
<footer><p>Made by vsr $version. All of this page is in this file; it fetches nothing.</p></footer>
$scripts
</body>
</html>
""")


def packaged(name: str) -> str:
    """Return a file that lies beside this one."""
    return resources.files("vsr.report").joinpath(name).read_text(encoding="utf-8")


def document(
    title: str, heading: str, body: Iterable[str], *, scripts: Sequence[str], data: Any = None
) -> str:
    """Return a page. `heading` and `body` are HTML; `scripts`: names of packaged files; `data`:
    JSON that they read.
    """
    tags = [f"<script>\n{packaged(name)}</script>" for name in scripts]
    if data is not None:
        told = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
        tags.insert(0, f'<script type="application/json" id="data">{told}</script>')
    return _PAGE.substitute(
        policy=_POLICY,
        version=__version__,
        title=escape(printable(title)),
        style=packaged("style.css"),
        heading=heading,
        body="\n".join(body),
        scripts="\n".join(tags),
    )


def printable(text: str) -> str:
    """Return text that can be written as UTF-8: a file's name may hold what is none."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def text(value: object) -> str:
    """Return a value as HTML."""
    return escape(printable(str(value)))


def command_block(line: str) -> str:
    """Return a command line with a button that copies it."""
    return (
        f'<div class="command"><pre class="line">{text(line)}</pre>'
        f'<button type="button" class="copy">Copy</button></div>'
    )


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "", name: str = ""
) -> str:
    """Return a table; cells are HTML, the first of each row its heading. `caption` is HTML."""
    named = f' id="{name}"' if name else ""
    lines = [
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption or name)}">'
    ]
    lines.append(f"<table{named}>" + (f"<caption>{caption}</caption>" if caption else ""))
    lines.append(
        "<thead><tr>" + "".join(f'<th scope="col">{cell}</th>' for cell in head) + "</tr></thead>"
    )
    lines.append("<tbody>")
    for first, *rest in rows:
        cells = "".join(
            f'<td data-head="{name}">{cell}</td>' for name, cell in zip(head[1:], rest, strict=True)
        )
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    lines.append("</tbody></table></div>")
    return "\n".join(lines)


def picture_data(picture: Tensor, quality: int) -> str:
    """Return (H, W, 3) or (H, W, 4) uint8 as an address that holds the picture itself."""
    return "data:image/webp;base64," + base64.b64encode(webp(picture.numpy(), quality)).decode()


def time_in_words(seconds: Fraction | float) -> str:
    """Format a place in a film to the millisecond: `1:02:03.500`."""
    thousandths = round(max(seconds, 0) * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    shown = f"{minutes:02}" if hours else f"{minutes}"
    return (f"{hours}:" if hours else "") + f"{shown}:{rest // 1000:02}.{rest % 1000:03}"


def bytes_in_words(count: float) -> str:
    """Format a number of bytes: `12.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def check_page(path: Path, source: Path | None, *, overwrite: bool) -> None:
    """Refuse a page that cannot be written, before the work. Raises UsageError, OutputError."""
    if is_too_long(path.name):
        raise UsageError(f"{path}: the name is too long")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"{path.absolute().parent}: there is no such folder")
    if source is not None and source.exists() and path.exists() and path.samefile(source):
        raise UsageError(f"{path}: the page may not take the place of its source")
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{path}: is a page, whose name ends in .html")
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: is there already; --overwrite replaces it")


def write_page(path: Path, page: str) -> None:
    """Write a page, whole or not at all. Raises OutputError."""
    part = path.with_name(f".{path.name[:200]}.{os.getpid()}")
    try:
        part.write_text(page, encoding="utf-8", errors="surrogateescape")
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({cause(error)})") from error
    finally:
        part.unlink(missing_ok=True)
