"""Promises of the tables that CUDA kernels find their way by; judged pixel by pixel."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from vsr.engine.cuda.engine import pieces_of
from vsr.engine.cuda.tile_tables import SubImage, sources_of, tiles_of, together


def pieces(count: int, most: int) -> list[SubImage]:
    rng = random.Random(count)
    return [
        SubImage(
            height=rng.randint(1, most), width=rng.randint(1, most),
            offset=rng.randint(-(2**40), 2**40), strides=(7000, -90, 3),
        )
        for _ in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize(("tall", "wide", "times"), [(16, 32, 1), (8, 16, 4), (8, 32, 2)])
def test_every_pixel_is_in_one_tile_and_every_tile_knows_its_edges(
    tall: int, wide: int, times: int
) -> None:
    given = pieces(12, 40)
    words, count = tiles_of(given, tall, wide, times=times, blocks=3)
    assert words.dtype == np.int32
    assert (words[count:] == 0).all()
    assert len(words) - count == 6
    seen = np.zeros(sum(one.pixels for one in given) * times**2, int)
    starts = np.cumsum([0, *(one.pixels * times**2 for one in given)])
    for at, width, edges, place in words[:count].tolist():
        one = given[place & 0xFFFF]
        height = one.height * times
        assert width == one.width * times
        y, x = divmod(at - int(starts[place & 0xFFFF]), width)
        assert x == (place >> 16) * 16
        assert (y % tall, x % wide) == (0, 0)
        top, bottom, left, right = ((edges & 0xFFFFFFFF) >> n & 255 for n in (0, 8, 16, 24))
        for row in range(tall + 2):
            assert (top <= row < bottom) == (0 <= y + row - 1 < height)
        for column in range(wide + 2):
            assert (left <= column < right) == (0 <= x + column - 1 < width)
        for row in range(tall):
            if y + row < height:
                seen[at + row * width : at + row * width + min(wide, width - x)] += 1
    assert (seen == 1).all()


def test_places_are_told_in_64_bits_and_pixels_counted_before_each() -> None:
    given = pieces(9, 30)
    words, count = sources_of(given, times=2)
    assert count == 9
    before = 0
    for one, own in zip(given, words, strict=True):
        assert int(own[:2].copy().view(np.int64)[0]) == one.offset
        assert own[2:7].tolist() == [*one.strides, before, 4 * one.pixels]
        before += 4 * one.pixels
    empty, _ = sources_of(given, times=2, empty=True)
    assert (empty[:, :5] == 0).all()
    assert (empty[:, 5:] == words[:, 5:]).all()


def test_tables_lie_one_behind_the_other_on_16_bytes() -> None:
    given = pieces(5, 60)
    found = {"tiles": tiles_of(given, 8, 16, blocks=2), "sources": sources_of(given)}
    tables = together(found)
    at = tables.at(4096)
    assert at["tiles"].at == 4096
    assert at["sources"].at == 4096 + 4 * found["tiles"][0].size
    assert at["sources"].at % 16 == 0
    assert (at["tiles"].count, at["sources"].count) == (found["tiles"][1], 5)
    assert tables.words.tobytes() == b"".join(words.tobytes() for words, _ in found.values())


def test_views_of_one_tensor_and_others_are_found_where_they_lie() -> None:
    whole, other = torch.rand(2, 3, 20, 30), torch.rand(3, 4, 5)
    given = [whole[1:, :, 3:9, 4:], whole[:1, :, :2, :1], other]
    for one, picture in zip(pieces_of(given), given, strict=True):
        assert (one.height, one.width) == tuple(picture.shape[-2:])
        assert given[0].data_ptr() + 4 * one.offset == picture.data_ptr()
        assert one.strides == picture.stride()[-3:]
