"""Sums over the spectra of an image, exact, so that no way of cutting or ordering the image can show in them.

Each band is normalised, and its values are rounded to whole multiples of 2^-12. From there on all is integers: the
spectra, their sums and the sums of products of two bands (the Gram matrix). Products of 2,000 bands fit into no budget
as Python numbers, so they are made by matrix products in float64, of so few spectra at a time that every one of
their sums is an integer that float64 holds.

Percentiles of linear combinations cannot be had from sums, so a sample of spectra is kept: those whose values have the
least hashes. It does not depend on any order either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

FRACTION = 12
"""Bits behind the point of a normalised value: 1/4096 of the range of a band, finer than images are measured."""
RANGE = 8
"""Normalised values up to 2^8 either way are summed: 256 times the range that the normalisation takes for full."""
_EXACT = 53
"""Bits of an integer that float64 holds."""
SPECTRA = 2 ** (_EXACT - 2 * (FRACTION + RANGE))
"""So many products of two values add up without rounding, in any order: 8192."""
_VALUES = 2**22
"""Values worked on at a time: 32 MiB of float64."""
_PIECE = 2 * (FRACTION + RANGE)
"""Bits of the lower piece of a total."""
_ROOM = 2 ** (62 - _PIECE)
"""So many spectra fit the lower piece, an int64, before its carry must move on."""
SAMPLE = 4096
"""Most spectra of the sample: four beyond a percentile of 0.1."""


class SpectralSums:
    """Numbers of spectra, sums of bands and of products of two bands, exact, and a sample; merging is associative.

    A spectrum counts as a whole or not at all: one that lacks a band, or is outside of a mask, is left out and counted
    in `missing`; one with a value beyond 2^8 of the normalised scale is left out and counted in `beyond`.

    Parameters
    ----------
    offset, gain
        Normalisation of each band, ``normalised = (value - offset) / gain``; as many as there are bands.

    Raises
    ------
    ValueError
        The figures of the normalisation are not finite, a gain is 0, or their numbers differ.
    """

    def __init__(self, *, offset: ArrayLike, gain: ArrayLike) -> None:
        self._offset = np.array(offset, np.float64)
        self._gain = np.array(gain, np.float64)
        if self._offset.ndim != 1 or self._offset.shape != self._gain.shape or not self._offset.size:
            raise ValueError(f"one offset and one gain per band, not {self._offset.shape} and {self._gain.shape}")
        if not (np.isfinite(self._offset).all() and np.isfinite(self._gain).all() and self._gain.all()):
            raise ValueError("offsets and gains are finite, and no gain is 0")
        bands = len(self._offset)
        self.spectra = 0
        """Spectra that were summed."""
        self.missing = 0
        """Spectra left out for a band that is not finite, or by a mask."""
        self.beyond = 0
        """Spectra left out for a value beyond 2^8 of the normalised scale."""
        self._sums = np.zeros(bands, np.int64)
        self._low = np.zeros((bands, bands), np.int64)
        self._high: NDArray[np.int64] | None = None
        self._held = 0
        self._keys = np.empty(0, np.uint64)
        self._sample = np.empty((bands, 0), np.int32)

    @property
    def bands(self) -> int:
        """Number of bands."""
        return len(self._offset)

    def add(self, values: NDArray[Any], *, missing: NDArray[np.bool_] | None = None) -> Self:
        """Add a block of an image, and return these sums.

        Parameters
        ----------
        values
            Shape ``(bands, *pixels)``, as the image holds them, not normalised.
        missing
            Shape ``(*pixels)``: pixels to leave out.

        Raises
        ------
        ValueError
            The shapes do not go together.
        """
        if len(values) != self.bands or (missing is not None and missing.shape != values.shape[1:]):
            mask = "" if missing is None else f" and a mask of shape {missing.shape}"
            raise ValueError(f"{self.bands} bands do not take values of shape {values.shape}{mask}")
        flat = values.reshape(self.bands, -1)
        lost = None if missing is None else missing.reshape(-1)
        step = max(1, min(SPECTRA, _VALUES // self.bands))
        for start in range(0, flat.shape[1], step):
            part = slice(start, start + step)
            self._add(flat[:, part], None if lost is None else lost[part])
        return self

    def merge(self, other: SpectralSums) -> Self:
        """Add what other sums of the same normalisation hold, and return these.

        Raises
        ------
        ValueError
            The other sums are of another normalisation.
        """
        if not (np.array_equal(self._offset, other._offset) and np.array_equal(self._gain, other._gain)):
            raise ValueError("sums of differently normalised bands do not merge")
        if other._high is not None:
            self._high = other._high.copy() if self._high is None else self._high + other._high
        self._hold(other._low, other._held)
        self._keep(other._keys, other._sample)
        self._sums += other._sums
        self.spectra += other.spectra
        self.missing += other.missing
        self.beyond += other.beyond
        return self

    def sample(self) -> NDArray[np.float64]:
        """Return up to 4096 distinct spectra on the normalised scale, shape ``(bands, n)``, all if there are no more.

        Raises
        ------
        InputError
            No spectrum was summed.
        """
        self._insist()
        return np.ldexp(self._sample.astype(np.float64), -FRACTION)

    def mean(self) -> NDArray[np.float64]:
        """Return the mean spectrum on the normalised scale, shape ``(bands,)``, each number rounded once.

        Raises
        ------
        InputError
            No spectrum was summed.
        """
        self._insist()
        divisor = self.spectra << FRACTION
        return np.array([total / divisor for total in self._sums.tolist()])

    def covariance(self) -> NDArray[np.float64]:
        """Return the covariance of the bands about their means, shape ``(bands, bands)``, each number rounded once.

        The divisor is the number of spectra. The difference of large numbers that the formula asks for is taken in
        integers, where nothing cancels.

        Raises
        ------
        InputError
            No spectrum was summed.
        """
        self._insist()
        n, sums = self.spectra, self._sums.tolist()
        divisor = n * n << 2 * FRACTION
        result = np.empty((self.bands, self.bands))
        for i, products in enumerate(self._products()):
            # Division of integers rounds correctly, whatever their size.
            row = [(n * total - sums[i] * other) / divisor for total, other in zip(products, sums[i:], strict=True)]
            result[i, i:] = row
            result[i:, i] = row
        return result

    def _add(self, values: NDArray[Any], missing: NDArray[np.bool_] | None) -> None:
        finite = np.isfinite(values).all(axis=0)
        if missing is not None:
            finite &= ~missing
        with np.errstate(over="ignore", invalid="ignore"):
            numbers = (values - self._offset[:, None]) / self._gain[:, None]
            near = (np.abs(numbers) <= 2.0**RANGE).all(axis=0)
        used = finite & near
        count = int(np.count_nonzero(used))
        self.missing += used.size - int(np.count_nonzero(finite))
        self.beyond += int(np.count_nonzero(finite & ~near))
        if count == 0:
            return
        if count < used.size:
            numbers = numbers[:, used]
        numbers *= 2.0**FRACTION
        np.rint(numbers, out=numbers)
        self._hold((numbers @ numbers.T).astype(np.int64), count)
        self._sums += numbers.sum(axis=1).astype(np.int64)
        self.spectra += count
        whole = numbers.astype(np.int64)
        self._keep(_hashes(whole), whole)

    def _hold(self, products: NDArray[np.int64], spectra: int) -> None:
        """Add products of two bands, summed over so many spectra, to the totals."""
        if self._held + spectra > _ROOM:
            carry = self._low >> _PIECE
            self._low -= carry << _PIECE
            self._high = carry if self._high is None else self._high + carry
            # What is left is smaller than the products of one spectrum can be.
            self._held = 1
        self._low += products
        self._held += spectra

    def _keep(self, keys: NDArray[np.uint64], spectra: NDArray[Any]) -> None:
        """Take the spectra into the sample whose keys are among the least."""
        if len(self._keys) == SAMPLE:
            less = np.flatnonzero(keys < self._keys[-1])
            keys, spectra = keys[less], spectra[:, less]
        together = np.concatenate([self._keys, keys])
        # Sorted, and equal spectra once: a background of zeros would fill the sample or be missing from it.
        distinct, places = np.unique(together, return_index=True)
        self._keys, places = distinct[:SAMPLE], places[:SAMPLE]
        kept, new = places < self._sample.shape[1], places - self._sample.shape[1]
        sample = np.empty((self.bands, len(places)), np.int32)
        sample[:, kept], sample[:, ~kept] = self._sample[:, places[kept]], spectra[:, new[~kept]]
        self._sample = sample

    def _products(self) -> list[list[int]]:
        """Return the upper triangle of the totals, row by row, from the diagonal on."""
        rows: list[list[int]] = [row[i:].tolist() for i, row in enumerate(self._low)]
        if self._high is None:
            return rows
        carried: list[list[int]] = [row[i:].tolist() for i, row in enumerate(self._high)]
        return [_joined(low, high) for low, high in zip(rows, carried, strict=True)]

    def _insist(self) -> None:
        if self.spectra == 0:
            raise InputError(
                f"No spectrum of the image can be summed: {self.missing} lack a band or lie outside of the mask, "
                f"{self.beyond} have a value more than {2**RANGE} times the range of its band.",
                remedy="Drop bands that are empty, choose another normalisation, or use the strategy 'single'.",
            )


def _joined(low: Sequence[int], high: Sequence[int]) -> list[int]:
    return [(above << _PIECE) + below for below, above in zip(low, high, strict=True)]


def _hashes(spectra: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a number for each spectrum that is as good as random, and the same for the same values."""
    factors = _scrambled(np.arange(1, len(spectra) + 1, dtype=np.uint64)) | np.uint64(1)
    return _scrambled(factors @ spectra.view(np.uint64))


def _scrambled(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits of each number (the finaliser of SplitMix64: Steele, Lea and Flood 2014); multiplications wrap."""
    numbers = numbers * np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
