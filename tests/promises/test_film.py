"""A real film of ten minutes, from end to end; the network is tiny, the film is not."""

from __future__ import annotations

from pathlib import Path

import pytest

import vsr
from tests.conftest import SAMPLES, tiny_weights
from tests.support import judge

FILM = SAMPLES / "film" / "big_buck_bunny.mp4"


@pytest.mark.slow
@pytest.mark.timeout(5400)
@pytest.mark.skipif(not FILM.exists(), reason="fetch it with `python samples/fetch_film.py`")
def test_a_film_keeps_every_timestamp_and_every_packet_of_sound(tmp_path: Path) -> None:
    weights = tiny_weights(tmp_path, num_feat=4, upscale=1)
    output = tmp_path / "film.mp4"
    result = vsr.upscale(
        FILM,
        output,
        vsr.UpscaleOptions(
            model=vsr.ModelOptions(name=str(weights)),
            encode=vsr.EncodeOptions(preset="ultrafast", crf=30),
        ),
    )
    source, written = judge.packets(FILM, "v:0"), judge.packets(output, "v:0")
    assert result.frames == len(source) == len(written) > 14_000
    assert [p.pts for p in written] == [p.pts for p in source]
    sound = judge.packets(FILM, "a:0")
    assert judge.packets(output, "a:0") == sound
    assert len(sound) > 25_000
