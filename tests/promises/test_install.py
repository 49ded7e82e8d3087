"""Promise: what one is told to install is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "text",
    ["README.md", "Containerfile", "Containerfile.cuda", ".ci/run", "vsr/engine/select.py",
     "vsr/engine/ncnn_engine.py"],
)  # fmt: skip
def test_extras_that_are_named_exist(text: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(
        r"(?:'\.|vsr-upscale)\[([a-z,]+)\]", (ROOT / text).read_text(encoding="utf-8")
    )
    assert set(",".join(named).split(",")) - {""} <= set(project["optional-dependencies"])


def test_the_same_folders_go_into_an_image_with_docker_and_podman() -> None:
    assert (ROOT / ".dockerignore").read_text(encoding="utf-8") == (
        ROOT / ".containerignore"
    ).read_text()
