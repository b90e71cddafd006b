"""Philox is Philox, the noise is normal, and it depends on the place alone."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scalesr.errors import ModelError
from scalesr.models import noise

WORD = (1 << 32) - 1
KNOWN_ANSWERS = [
    # From the file kat_vectors of Random123: counter, key, answer.
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([WORD] * 4, [WORD] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


def reference(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 in Python's own integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(second >> 32) ^ c[1] ^ k[0], second & WORD, (first >> 32) ^ c[3] ^ k[1], first & WORD]
        k = [(k[0] + 0x9E3779B9) & WORD, (k[1] + 0xBB67AE85) & WORD]
    return c


def of_voxel(row: int, y: int, x: int, stream: int, seed: int) -> float:
    """The noise of one voxel from its definition."""
    words = reference([x & WORD, y & WORD, (row // 4) & WORD, stream & WORD], [seed & WORD, seed >> 32])
    pair = row % 4 // 2 * 2
    radius = np.sqrt(-2 * np.log((words[pair] + 0.5) / 2**32))
    angle = 2 * np.pi * words[pair + 1] / 2**32
    return float(np.float32(radius * (np.sin(angle) if row % 2 else np.cos(angle))))


def volume(first: int, rows: int, ys: range, xs: range, *, stream: int = 0, seed: int = 0) -> torch.Tensor:
    """Noise of shape (y, x, rows)."""
    y, x = torch.tensor(list(ys))[:, None], torch.tensor(list(xs))
    return noise.normal(first=torch.tensor(first), rows=rows, y=y, x=x, streams=torch.tensor(stream), seed=seed)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_known_answers(counter: list[int], key: list[int], answer: list[int]) -> None:
    found = noise.philox([torch.tensor([word]) for word in counter], (key[0], key[1]))
    assert [int(word) for word in found] == answer
    assert reference(counter, key) == answer


@given(st.lists(st.integers(0, WORD), min_size=4, max_size=4), st.lists(st.integers(0, WORD), min_size=2, max_size=2))
def test_equals_the_definition(counter: list[int], key: list[int]) -> None:
    found = noise.philox([torch.tensor([word]) for word in counter], (key[0], key[1]))
    assert [int(word) for word in found] == reference(counter, key)


@given(
    row=st.integers(-(2**20), 2**20),
    y=st.integers(-(2**31), 2**31),
    x=st.integers(-(2**31), 2**31),
    stream=st.integers(0, 2**31 - 1),
    seed=st.integers(0, 2**64 - 1),
)
def test_a_voxel_has_its_own_noise(row: int, y: int, x: int, stream: int, seed: int) -> None:
    found = volume(row, 6, range(y, y + 1), range(x, x + 1), stream=stream, seed=seed)
    # numpy and torch may differ in the last bit of a logarithm in float64.
    np.testing.assert_allclose(found[0, 0], [of_voxel(row + k, y, x, stream, seed) for k in range(6)], rtol=2e-7)


def test_overlapping_tiles_see_the_same_noise() -> None:
    whole = volume(-8, 40, range(-5, 20), range(-3, 30), stream=7, seed=3)
    for z, y, x in product((-7, 0, 5), (-4, 3), (0, 11)):
        part = volume(z, 13, range(y, y + 9), range(x, x + 10), stream=7, seed=3)
        assert torch.equal(part, whole[y + 5 : y + 14, x + 3 : x + 13, z + 8 : z + 21])


def test_columns_may_begin_at_different_rows() -> None:
    firsts, columns = torch.tensor([-3, 0, 6, 9]), torch.arange(4)
    zero = torch.zeros((), dtype=torch.int64)
    found = noise.normal(first=firsts, rows=7, y=zero, x=columns, streams=zero, seed=5)
    for column, first in enumerate(firsts.tolist()):
        alone = volume(first, 7, range(1), range(column, column + 1), seed=5)
        assert torch.equal(found[column], alone[0, 0])


def test_coordinates_wrap_around() -> None:
    assert torch.equal(
        volume(0, 4, range(-1, 0), range(-2, -1)),
        volume(0, 4, range(WORD, WORD + 1), range(WORD - 1, WORD)),
    )


def test_it_is_normal_and_white() -> None:
    sample = volume(0, 64, range(64), range(64), seed=11).double()
    assert stats.kstest(sample.flatten().numpy(), "norm").pvalue > 0.01
    error = 1 / sample.numel() ** 0.5
    assert abs(sample.mean()) < 4 * error
    assert abs(sample.var() - 1) < 4 * error * 2**0.5
    assert abs((sample**4).mean() - 3) < 4 * error * 96**0.5
    for axis, lag in product(range(3), (1, 2, 4)):
        kept = sample.shape[axis] - lag
        product_ = sample.narrow(axis, 0, kept) * sample.narrow(axis, lag, kept)
        assert abs(product_.mean()) < 4.5 * error, (axis, lag)


def test_streams_and_seeds_are_independent() -> None:
    draws = [{"stream": 0}, {"stream": 1}, {"stream": 1 << 30}, {"seed": 1}, {"seed": 1 << 32}]
    samples = torch.stack([volume(0, 32, range(32), range(32), **draw).flatten() for draw in draws])
    off = torch.corrcoef(samples) - torch.eye(len(draws))
    assert off.abs().max() < 4.5 / samples.shape[1] ** 0.5


@given(
    draw=st.integers(0, noise.DRAWS - 1),
    sample=st.integers(0, noise.SAMPLES - 1),
    channel=st.integers(0, noise.CHANNELS - 1),
    orientation=st.integers(0, 1),
)
def test_streams_are_told_apart(draw: int, sample: int, channel: int, orientation: int) -> None:
    packed = noise.stream(draw=draw, sample=sample, channel=channel, orientation=orientation)
    assert packed == orientation << 30 | channel << 18 | sample << 10 | draw
    assert packed < 2**31


@pytest.mark.parametrize(
    "wrong", [{"draw": 1024}, {"sample": 256}, {"channel": 4096}, {"orientation": 2}, {"draw": -1}]
)
def test_streams_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    fine = {"draw": 0, "sample": 0, "channel": 0, "orientation": 0}
    with pytest.raises(ModelError, match=next(iter(wrong))):
        noise.stream(**{**fine, **wrong})


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_out_of_range_are_refused(seed: int) -> None:
    with pytest.raises(ModelError, match="seed"):
        volume(0, 1, range(1), range(1), seed=seed)
