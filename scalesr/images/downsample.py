"""Halving by the mean of two, exact for integers and the same for any way of cutting the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def downsample(block: NDArray[Any], axes_to_halve: Sequence[int]) -> NDArray[Any]:
    """Return the block with each given axis halved; a block at even offsets gives a part of what the whole gives.

    Each output pixel is the mean of up to two pixels along each axis; the last one of an odd axis is the mean of those
    that exist. Integers are rounded half up and never pass through floats. Floats are halved before they are added, in
    the order of the axes, so that the result is the same bits however the image is cut, and nothing overflows.

    Parameters
    ----------
    block
        Integers or floats of any shape.
    axes_to_halve
        Different axes of the block; none returns a copy.

    Returns
    -------
    ndarray
        Same number format; ceil(n / 2) pixels along each of the axes.
    """
    axes = sorted(axis % block.ndim for axis in axes_to_halve)
    if not axes:
        return block.copy()
    dtype = block.dtype
    if dtype.kind == "f":
        wide = np.dtype(np.float32) if dtype.itemsize == 2 else dtype
        for axis in axes:
            block = _halve_mean(block, axis, wide)
        return block.astype(dtype, copy=False)
    if dtype.itemsize == 8:
        return _halve_long(block, axes)
    # Up to 2^16 pixels of 16 bit fit 32 bit; 32-bit pixels need 64.
    small = dtype.itemsize <= 2
    wide = np.dtype((np.uint32 if small else np.uint64) if dtype.kind == "u" else (np.int32 if small else np.int64))
    for axis in axes:
        block = _halve_sum(block, axis, wide)
    block += wide.type(1 << (len(axes) - 1))
    block >>= wide.type(len(axes))
    return block.astype(dtype)


def _halve_sum(block: NDArray[Any], axis: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    pairs, odd, out = _split(block, axis, dtype)
    np.add(block[pairs[0]], block[pairs[1]], out=out[pairs[2]], dtype=dtype)
    if odd is not None:
        np.multiply(block[odd[0]], dtype.type(2), out=out[odd[1]], dtype=dtype)
    return out


def _halve_mean(block: NDArray[Any], axis: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    pairs, odd, out = _split(block, axis, dtype)
    half = dtype.type(0.5)
    np.multiply(block[pairs[0]], half, out=out[pairs[2]], dtype=dtype)
    out[pairs[2]] += np.multiply(block[pairs[1]], half, dtype=dtype)
    if odd is not None:
        out[odd[1]] = block[odd[0]]
    return out


def _split(block: NDArray[Any], axis: int, dtype: np.dtype[Any]) -> tuple[Any, Any, NDArray[Any]]:
    size = block.shape[axis]
    even = size // 2 * 2
    lead = (slice(None),) * axis
    shape = list(block.shape)
    shape[axis] = -(-size // 2)
    pairs = ((*lead, slice(0, even, 2)), (*lead, slice(1, even, 2)), (*lead, slice(0, even // 2)))
    odd = ((*lead, slice(even, size)), (*lead, slice(even // 2, None))) if size % 2 else None
    return pairs, odd, np.empty(shape, dtype)


def _halve_long(block: NDArray[Any], axes: Sequence[int]) -> NDArray[Any]:
    # No wider integer exists: add the high and the low bits apart. Sums of x >> k over 2^k pixels cannot overflow.
    bits = block.dtype.type(len(axes))
    high: NDArray[Any] = block >> bits
    low = block & block.dtype.type((1 << len(axes)) - 1)
    for axis in axes:
        high = _halve_sum(high, axis, block.dtype)
        low = _halve_sum(low, axis, block.dtype)
    low += block.dtype.type(1 << (len(axes) - 1))
    low >>= bits
    high += low
    return high
