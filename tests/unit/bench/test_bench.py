"""Promises: `vsr bench` measures every stage of a run, and its floors are the arithmetic's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import tiny_weights
from vsr.bench.stages import count_operations
from vsr.cli.main import cli, main
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.srvgg import SRVGGNetCompact

STAGES = [
    "decode", "upload", "to RGB", "network", "network, plainly", "correct drift", "resize",
    "to YUV", "download", "encode",
]  # fmt: skip


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return tiny_weights(tmp_path)


def test_every_stage_is_measured_alone_and_all_together(bunny: Path, weights: Path) -> None:
    command = ["bench", str(bunny), "--model", str(weights), "--frames", "6", "--rounds", "2"]
    before = sorted(bunny.parent.iterdir())
    result = CliRunner().invoke(cli, [*command, "--preset", "ultrafast", "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert [stage["name"] for stage in report["stages"]] == STAGES
    for timing in (*report["stages"], report["whole"]):
        assert 0 < timing["least"] <= timing["median"] <= timing["most"]
    floors = {s["name"]: s["floor"] for s in report["stages"] if s["floor"] is not None}
    assert set(floors) == {"to RGB", "network", "correct drift", "resize", "to YUV"}
    assert report["frames"] == 6
    assert "320x180 -> 640x360" in report["description"]
    assert report["machine"]["matrix"]["float32"] > 1e9
    assert report["start"] > 0
    assert report["end"] > 0
    assert sorted(bunny.parent.iterdir()) == before


def test_a_resizer_has_no_network_to_measure(bunny: Path) -> None:
    command = ["bench", str(bunny), "--model", "bicubic", "-s", "2", "--frames", "4"]
    result = CliRunner().invoke(cli, [*command, "--rounds", "1", "--start", "2"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert not any(line.startswith("network") for line in lines)
    assert any(line.startswith("all together") for line in lines)
    assert lines[-1].startswith("overlap: ")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["missing.mp4"], 3, "missing.mp4"),
        (["{bunny}", "--frames", "2"], 2, "3 frames"),
        (["{bunny}", "--clip", "0-1", "--clip", "2-3"], 2, "--clip"),
    ],
)
def test_mistakes_are_one_line(
    bunny: Path, arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *(a.format(bunny=bunny) for a in arguments)]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_operations_are_counted_right() -> None:
    """By hand: 2 x 9 x inputs x outputs of each convolution, at the size where it works."""
    compact = SRVGGNetCompact(num_feat=64, num_conv=16, upscale=4)
    assert count_operations(compact) == 18 * (3 * 64 + 16 * 64 * 64 + 64 * 48)
    f, g = 16, 8
    dense = sum(18 * (f + i * g) * (g if i < 4 else f) for i in range(5))
    tail = 4 * 18 * f * f + 16 * 18 * (2 * f * f + 3 * f)
    assert count_operations(RRDBNet(num_feat=f, num_block=1, num_grow_ch=g)) == (
        18 * 3 * f + 3 * dense + 18 * f * f + tail
    )
