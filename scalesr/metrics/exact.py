"""Sums of floats without rounding, so that the order in which they are added cannot show.

Each number is cut into its bits, which are added as integers at their place: a long accumulator in pieces of 32 bits,
of which only those are kept that something was added to. Adding and merging are exact, hence associative and
commutative; rounding happens once, when the value is asked for (Kulisch's accumulator).
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

PIECE = 32
"""Bits of one piece of the accumulator."""
LOWEST = -1152
"""Power of two of the lowest bit: below that of the smallest subnormal float64, a multiple of `PIECE`."""
ROOM = 2**29
"""So many additions fit the int64 of a piece before its carry must move on."""
_MASK = np.uint64(2**PIECE - 1)


class ExactSum:
    """Sums of float64 numbers, one for each place of an array, exact over the whole range of float64.

    Parameters
    ----------
    shape
        Shape of what is added: ``()`` for one number.
    """

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self.shape = tuple(shape)
        self._pieces: dict[int, NDArray[np.int64]] = {}
        self._additions = 0

    def add(self, values: ArrayLike) -> Self:
        """Add an array of finite numbers, and return this sum.

        Raises
        ------
        ValueError
            A number is NaN or infinite, or the shape is another.
        """
        numbers = np.asarray(values, dtype=np.float64)
        if numbers.shape != self.shape:
            raise ValueError(f"an array of shape {numbers.shape} does not add to a sum of shape {self.shape}")
        flat = numbers.ravel()
        if not np.isfinite(flat).all():
            raise ValueError("only finite numbers can be added exactly; leave the others out and count them")
        fraction, exponent = np.frexp(flat)
        whole = np.ldexp(np.abs(fraction), 53).astype(np.uint64)
        sign = np.sign(flat).astype(np.int64)
        place = exponent.astype(np.int64) - 53 - LOWEST
        piece, shift = place // PIECE, (place % PIECE).astype(np.uint64)
        # 53 bits, shifted by up to 31, lie in three pieces.
        low, high = (whole & _MASK) << shift, (whole >> np.uint64(PIECE)) << shift
        middle = (low >> np.uint64(PIECE)) + (high & _MASK)
        parts = [(low & _MASK), middle, high >> np.uint64(PIECE)]
        for number in np.unique(piece[sign != 0]):
            here = np.where(piece == number, sign, 0)
            for step, part in enumerate(parts):
                self._place(int(number) + step)[...] += here * part.astype(np.int64)
        self._additions += 2
        if self._additions >= ROOM:
            self._carry()
        return self

    def merge(self, other: ExactSum) -> Self:
        """Add what another sum of the same shape holds, and return this one."""
        if other.shape != self.shape:
            raise ValueError(f"a sum of shape {other.shape} does not add to one of shape {self.shape}")
        if self._additions + other._additions >= ROOM:
            self._carry()
            other._carry()
        for number, piece in other._pieces.items():
            self._place(number)[...] += piece
        self._additions += other._additions
        return self

    def value(self) -> NDArray[np.float64]:
        """Return the sums, each rounded once, as an array of `shape`."""
        totals = self._integers()
        scale = 1 << -LOWEST
        # Division of integers rounds correctly, whatever their size; a sum beyond the floats is infinite.
        rounded = [_divide(total, scale) for total in totals]
        return np.array(rounded, np.float64).reshape(self.shape)

    def fractions(self) -> list[Fraction]:
        """Return the sums without any rounding, in C order, for differences of them that would cancel."""
        return [Fraction(total, 1 << -LOWEST) for total in self._integers()]

    def to_json(self) -> dict[str, Any]:
        """Return the sums as JSON can hold them; equal sums give equal JSON however they came about."""
        return {"shape": list(self.shape), "totals": [_text(total) for total in self._integers()]}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> ExactSum:
        """Return the sum that `to_json` described."""
        made = cls(tuple(facts["shape"]))
        for place, text in enumerate(facts["totals"]):
            digits, _, shift = text.partition("p")
            total = int(digits, 16) << int(shift)
            sign, rest, number = (-1 if total < 0 else 1), abs(total), 0
            while rest:
                if rest & (2**PIECE - 1):
                    made._place(number)[place] += sign * (rest & (2**PIECE - 1))
                rest >>= PIECE
                number += 1
        made._additions = 1
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExactSum) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def _place(self, number: int) -> NDArray[np.int64]:
        if number not in self._pieces:
            self._pieces[number] = np.zeros(int(np.prod(self.shape, dtype=np.int64)), np.int64)
        return self._pieces[number]

    def _carry(self) -> None:
        number = min(self._pieces, default=0)
        while number <= max(self._pieces, default=-1):
            piece = self._pieces.get(number)
            if piece is not None:
                carry = (piece + np.where(piece < 0, 2**PIECE - 1, 0)) >> PIECE  # towards zero, so that it ends
                if carry.any():
                    piece -= carry << PIECE
                    self._place(number + 1)[...] += carry
            number += 1
        self._additions = 1

    def _integers(self) -> list[int]:
        size = int(np.prod(self.shape, dtype=np.int64))
        totals = [0] * size
        for number, piece in self._pieces.items():
            for place in np.flatnonzero(piece):
                totals[place] += int(piece[place]) << (PIECE * number)
        return totals


def _divide(total: int, scale: int) -> float:
    try:
        return total / scale
    except OverflowError:
        return float("inf") if total > 0 else float("-inf")


def _text(total: int) -> str:
    """Return an integer as its bits down to the lowest that is set, and the place of that one."""
    shift = max(0, (total & -total).bit_length() - 1)
    return f"{total >> shift:x}p{shift}"
