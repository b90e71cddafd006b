from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalesr.images import downsample

if TYPE_CHECKING:
    from numpy.typing import NDArray

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]


def by_definition(block: NDArray[Any], axes: list[int]) -> NDArray[Any]:
    """Python's own integers: the mean of the pixels that exist, rounded half up."""
    shape = [-(-n // 2) if axis in axes else n for axis, n in enumerate(block.shape)]
    out = np.empty(shape, block.dtype)
    for index in np.ndindex(*shape):
        piece = block[tuple(slice(2 * i, 2 * i + 2) if axis in axes else i for axis, i in enumerate(index))]
        values = [int(value) for value in piece.ravel()]
        out[index] = (2 * sum(values) + len(values)) // (2 * len(values))
    return out


@given(data=st.data(), dtype=st.sampled_from(INTEGERS))
def test_integers_are_exact(data: st.DataObject, dtype: str) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=5))
    block = data.draw(hnp.arrays(dtype, shape))
    axes = data.draw(st.lists(st.sampled_from(range(len(shape))), unique=True))
    before = block.copy()
    found = downsample(block, axes)
    assert found.dtype == block.dtype
    np.testing.assert_array_equal(found, by_definition(block, axes))
    np.testing.assert_array_equal(block, before)


@given(data=st.data(), dtype=st.sampled_from(["uint8", "uint16", "int64", "float16", "float32", "float64"]))
def test_a_block_at_even_offsets_gives_its_part_of_the_whole(data: st.DataObject, dtype: str) -> None:
    shape = data.draw(st.tuples(*[st.integers(1, 17)] * 3))
    axes = data.draw(st.lists(st.sampled_from(range(3)), unique=True))
    seed = data.draw(st.integers(0, 2**32 - 1))
    whole = (np.random.default_rng(seed).random(shape) * 200).astype(dtype)
    coarse = downsample(whole, axes)
    starts = [data.draw(st.integers(0, (n - 1) // 2)) * (2 if i in axes else 1) for i, n in enumerate(shape)]
    # A part ends at an even offset or where the image does.
    stops = [
        data.draw(st.sampled_from([*range(start + 2, n, 2), n])) if i in axes else n
        for i, (start, n) in enumerate(zip(starts, shape, strict=True))
    ]
    part = downsample(whole[tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))], axes)
    expected = coarse[
        tuple(
            slice(a // 2, -(-b // 2)) if i in axes else slice(a, b)
            for i, (a, b) in enumerate(zip(starts, stops, strict=True))
        )
    ]
    assert part.tobytes() == np.ascontiguousarray(expected).tobytes()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_do_not_overflow_and_keep_nan(dtype: str) -> None:
    largest = np.finfo(dtype).max
    block = np.array([[largest, largest, np.nan], [largest, largest, 1]], dtype)
    found = downsample(block, [0, 1])
    assert found.dtype == np.dtype(dtype)
    assert found[0, 0] == largest
    assert np.isnan(found[0, 1])


def test_float_mean_is_the_mean() -> None:
    block = np.random.default_rng(0).random((6, 7, 8), np.float32)
    expected = block.reshape(3, 2, 7, 4, 2).mean(axis=(1, 4))
    np.testing.assert_allclose(downsample(block, [0, 2]), expected, rtol=1e-6)


def test_no_axes_is_a_copy() -> None:
    block = np.arange(4).reshape(2, 2)
    found = downsample(block, [])
    found[0, 0] = 9
    assert block[0, 0] == 0
