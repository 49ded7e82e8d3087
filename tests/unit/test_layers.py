"""Promise: imports point only down the layers of docs/architecture.md."""

from __future__ import annotations

import ast
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "vsr"

# Room -> layer. A room may import itself and what lies lower; rooms beside it only where named.
LAYERS = {
    "errors": 0, "timing": 0, "frame": 0, "options": 0, "events": 0, "fetch": 0, "version": 0,
    "machine": 0, "children": 0, "presets": 0,
    "flow": 1, "objects": 1, "object_copies": 1, "config": 1, "media": 1, "nets": 1, "engine": 1,
    "stages": 2,
    "pipeline": 3,
    "jobs": 4, "quality": 4, "train": 4,
    "arrays": 4,
    "runners": 5, "report": 5, "bench": 5, "doctor": 5,
    "server": 6,
    "cli": 7,
}  # fmt: skip
BESIDE = {
    ("engine", "nets"),
    ("object_copies", "objects"),
    ("errors", "errors"),
    ("options", "errors"),
    ("events", "errors"),
    ("doctor", "runners"),
    ("events", "timing"),
}
# Inside a room, lowest first: a sub-room imports itself and those before it.
FLOORS = {
    "media": ("ffmpeg", "format", "source", "read", "write"),
    "stages": ("resize", "consistency", "colour", "temporal", "device"),
    "jobs": ("store", "outputs", "plan", "run", "batch"),
    "server": (
        "refusals", "tokens", "settings", "store", "inputs", "schema", "work", "web", "client",
    ),
    "cli": ("commands", "main"),
}  # fmt: skip
ONLY_HERE = {
    "av": "media",
    "ffmpeg": "media",
    "imageio_ffmpeg": "media",
    "PIL": "media",
    "cv2": "quality",
    "ray": "runners",
    "obstore": "objects",
    "click": "cli",
    "tqdm": "cli",
    "starlette": "server",
    "uvicorn": "server",
}
# Rooms within a room that no other room knows.
PRIVATE = {"vsr.engine.cuda", "vsr.engine.vulkan"}


def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _room(parts: tuple[str, ...]) -> str:
    return parts[0] if parts else "__init__"


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", _modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    room = _room(parts)
    for name in _imports(path):
        top, *rest = name.split(".")
        if top in ONLY_HERE:
            assert room == ONLY_HERE[top], f"{room} imports {name}"
        if top != "vsr" or room == "__init__":
            continue
        private = [one for one in PRIVATE if f"{name}.".startswith(f"{one}.")]
        assert all(one.split(".")[1] == room for one in private), f"{room} imports {name}"
        if not rest:
            assert room == "cli", f"{path} imports the whole package"
            continue
        target = rest[0]
        allowed = target == room or LAYERS[target] < LAYERS[room] or (room, target) in BESIDE
        assert allowed, f"{room} (layer {LAYERS[room]}) imports {target} (layer {LAYERS[target]})"


@pytest.mark.parametrize("room", FLOORS)
def test_imports_inside_a_room_point_down(room: str) -> None:
    floors = FLOORS[room]
    for path in sorted((PACKAGE / room).rglob("*.py")):
        here = path.relative_to(PACKAGE / room).with_suffix("").parts[0]
        for name in _imports(path):
            parts = name.split(".")
            if here in floors and parts[:2] == ["vsr", room] and parts[2] in floors:
                assert floors.index(parts[2]) <= floors.index(here), f"{path} imports {name}"


@pytest.mark.parametrize("root", ["vsr", "tests"])
def test_folders_stay_small(root: str) -> None:
    """So that their names show the way."""
    folders = {path.parent for path in (PACKAGE.parent / root).rglob("*.py")}
    for folder in folders:
        files = [path for path in folder.iterdir() if path.suffix in {".py", ".cu"}]
        assert len([path for path in files if path.name[0] != "_"]) <= 15, folder


def test_every_room_has_a_layer() -> None:
    rooms = {p.stem if p.is_file() else p.name for p in PACKAGE.iterdir() if p.name[0] not in "_."}
    assert rooms - {"py"} <= set(LAYERS)


def test_files_stay_readable() -> None:
    assert max(len(p.read_text(encoding="utf-8").splitlines()) for p in _modules()) <= 400


def test_functions_stay_readable() -> None:
    """At most 60 lines and 8 parameters; what belongs together comes as one object."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, (path, node.name)
                taken = [a.arg for a in (*node.args.args, *node.args.kwonlyargs)]
                if path.parent.name != "commands":  # whose parameters are the user's options
                    few = [name for name in taken if name != "self"]
                    assert len(few) <= 8, (path, node.name)


def test_no_script_hides_a_package() -> None:
    """A script's own folder comes first where Python looks: `cuda.py` there hid NVIDIA's `cuda`."""
    taken = set(packages_distributions()) | set(sys.stdlib_module_names) | {"cuda"}
    scripts = {path.stem for path in (PACKAGE.parent / "benchmarks").glob("*.py")} - {"__init__"}
    assert not scripts & taken
