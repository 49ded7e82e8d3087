"""The page for people: its files, which load each other and nothing else."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from vsr.server.refusals import not_found

_FOLDER = Path(__file__).parents[1] / "page"
_SHARED = ("style.css", "view.js")  # with the pages of `vsr preview` and `vsr report`
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# No script may make HTML or a script of a text, whatever a file is called.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


def routes() -> list[Route]:
    """Return the addresses of the page: / and what it loads, /page/NAME."""
    return [Route("/", _index), Route("/page/{name}", _file)]


def _index(request: Request) -> Response:
    return _sent(_FOLDER / "index.html")


def _file(request: Request) -> Response:
    name = request.path_params["name"]
    if name in _SHARED:
        return _sent(Path(str(resources.files("vsr.report").joinpath(name))))
    own = {path.name: path for path in _FOLDER.iterdir() if path.suffix in _KINDS}
    if name not in own:
        raise not_found("page")
    return _sent(own[name])


def _sent(path: Path) -> Response:
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}
    return FileResponse(path, media_type=_KINDS[path.suffix], headers=headers)
