"""Normal noise as a function of seed and place: what seeded models draw instead of using a generator with a state.

The random bits are those of Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as
1, 2, 3"), a block cipher of a counter: the same anywhere, in any order, on any device. The counter is (x, y, row // 4,
stream), and the four words of a block become the noise of four neighbouring rows, by the transform of Box and Muller in
float64. Coordinates may be negative; they wrap around at 2^32.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from scalesr.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORD = 0xFFFFFFFF
_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
"""What is added to the two halves of the key from round to round."""

LANES = 4
"""Rows that one block of the cipher makes noise for."""
_BLOCKS = {"cpu": 2**14, "cuda": 2**22}
"""Blocks that are worked on at a time: what fits into the cache of a core, or takes 1 GiB of a GPU's memory."""

DRAWS, SAMPLES, CHANNELS = 2**10, 2**8, 2**12
"""How many draws, samples and channels a stream tells apart, in so many of its lower 31 bits."""


def stream(*, draw: int, sample: int, channel: int, orientation: int) -> int:
    """Return the number of a stream: 10 bits of `draw`, 8 of `sample`, 12 of `channel` and 1 of `orientation`.

    Raises
    ------
    ModelError
        One of them is out of its range.
    """
    packed = 0
    for name, value, limit in (
        ("orientation", orientation, 2),
        ("channel", channel, CHANNELS),
        ("sample", sample, SAMPLES),
        ("draw", draw, DRAWS),
    ):
        if not 0 <= value < limit:
            raise ModelError(
                f"Noise for {name} {value} was asked for.", remedy=f"Use at most {limit} of them, counted from 0."
            )
        packed = packed * limit + value
    return packed


def philox(counter: Sequence[torch.Tensor], key: tuple[int, int]) -> tuple[torch.Tensor, ...]:
    """Return four words of 32 random bits for each counter.

    Parameters
    ----------
    counter
        Four int64 tensors of one shape, each word between 0 and 2^32 - 1.
    key
        Two words.

    Returns
    -------
    tuple of torch.Tensor
        Four int64 tensors of that shape, between 0 and 2^32 - 1.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        # A product of two words fills 64 bits: int64 holds all of them, and shifting brings copies of the sign along.
        first, second = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0 = (second >> 32).bitwise_and_(_WORD).bitwise_xor_(c1).bitwise_xor_(k0)
        c2 = (first >> 32).bitwise_and_(_WORD).bitwise_xor_(c3).bitwise_xor_(k1)
        c1, c3 = second.bitwise_and_(_WORD), first.bitwise_and_(_WORD)
        k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
    return c0, c1, c2, c3


def normal(
    *,
    first: torch.Tensor,
    rows: int,
    y: torch.Tensor,
    x: torch.Tensor,
    streams: torch.Tensor,
    seed: int,
    lane: int | Literal["unlike", "unknown"] = "unknown",
) -> torch.Tensor:
    """Return standard normal noise for columns of rows; what a voxel gets depends on its own place, stream and seed.

    Parameters
    ----------
    first
        First row of each column: int64, on the device that the noise is wanted on.
    rows
        How many rows each column has.
    y, x, streams
        Coordinates of the columns and their streams: int64, to be broadcast with each other and with `first`.
    seed
        Between 0 and 2^64 - 1.
    lane
        What is left of all first rows divided by `LANES`, if it is one number; or that it is ``unlike``. Where it is
        ``unknown``, the device is asked, and has to be waited for; the outcome is the same.

    Returns
    -------
    torch.Tensor
        float32, of the shape of the columns and then `rows`. The random bits are the same on every device; their
        logarithm and cosine are taken in float64, so that the float32 differs in its last bit about once in 10^8 values
        where two devices differ there.

    Raises
    ------
    ModelError
        The seed is out of its range.
    """
    if not 0 <= seed < 2**64:
        raise ModelError(f"The seed is {seed}.", remedy="Give a whole number from 0 to 2^64 - 1.")
    if lane == "unknown":
        lane = lane_of(first)
    own = first % LANES
    blocks = (rows + LANES - 2) // LANES + 1
    levels = (first - own)[..., None] // LANES + torch.arange(blocks, device=first.device)
    words = (x[..., None], y[..., None], levels, streams[..., None])
    shape = np.broadcast_shapes(*(word.shape for word in words))
    flat = [word.expand(shape).reshape(-1).bitwise_and(_WORD) for word in words]
    key = (seed & _WORD, seed >> 32)
    values = torch.empty(len(flat[0]), LANES, device=first.device)
    step = _BLOCKS[first.device.type]
    for start in range(0, len(values), step):
        part = slice(start, start + step)
        _box_muller(philox([word[part] for word in flat], key), out=values[part])
    values = values.reshape(*shape[:-1], LANES * blocks)
    if isinstance(lane, int):
        return values[..., lane : lane + rows]
    index = own[..., None] + torch.arange(rows, device=first.device)
    return values.gather(-1, index.expand(*shape[:-1], rows))


def lane_of(first: torch.Tensor) -> int | Literal["unlike"]:
    """Return what is left of all first rows divided by `LANES`, if it is one number; this waits for the device."""
    own = set((first % LANES).flatten().tolist())
    return int(own.pop()) if len(own) == 1 else "unlike"


def _box_muller(words: Sequence[torch.Tensor], *, out: torch.Tensor) -> None:
    """Make two normal numbers of each two words, and write them into ``out`` of shape (n, 4)."""
    for pair in (0, 2):
        # Half a step above zero: the logarithm is finite, and the largest number is 6.7.
        radius = words[pair].double().add_(0.5).mul_(2.0**-32).log_().mul_(-2).sqrt_()
        angle = words[pair + 1].double().mul_(2 * math.pi * 2.0**-32)
        out[:, pair] = angle.cos().mul_(radius)
        out[:, pair + 1] = angle.sin_().mul_(radius)
