"""Spectra of an imzML file, some at a time: read in one piece where they lie so, mended, and summed over windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np

from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scalesr.images.importing.imzml_file import ImzMLFile

POINTS = 1 << 16
"""Points that are held at once; their two rows of numbers fit the cache of a core."""

FAULTS = ("negative", "non_finite", "unsorted")
"""What is counted: points, points, and spectra."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """Spectra end to end: ascending in m/z, and without points that are no numbers."""

    numbers: NDArray[np.int64]
    """Which spectra."""
    mz: NDArray[np.float64]
    """Of all of them."""
    intensities: NDArray[np.float64]
    """One for each m/z."""
    bounds: NDArray[np.int64]
    """Where each spectrum begins, and the end of the last."""
    repeats: NDArray[np.bool_]
    """Whether a spectrum has the m/z of the one before it."""
    faults: dict[str, NDArray[np.int64]]
    """What was counted in each spectrum, by `FAULTS`."""

    def totals(self) -> NDArray[np.float64]:
        """Return the sum of each spectrum."""
        return _sums(self.intensities, np.stack([self.bounds[:-1], self.bounds[1:]], axis=1))

    def windows(self, edges: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the sums of each spectrum (row) in each window (column), and how many spectra have a point in each.

        Parameters
        ----------
        edges
            Lowest and highest m/z of each window, both included; of shape (C, 2).
        """
        ends = np.empty((self.numbers.size, len(edges), 2), np.int64)
        low, high = np.ascontiguousarray(edges[:, 0]), np.ascontiguousarray(edges[:, 1])
        bounds = self.bounds.tolist()
        for i, repeats in enumerate(self.repeats.tolist()):
            if repeats:
                ends[i] = ends[i - 1] + (bounds[i] - bounds[i - 1])
                continue
            mz = self.mz[bounds[i] : bounds[i + 1]]
            ends[i, :, 0] = mz.searchsorted(low, side="left")
            ends[i, :, 1] = mz.searchsorted(high, side="right")
            ends[i] += bounds[i]
        sums = _sums(self.intensities, ends.reshape(-1, 2)).reshape(ends.shape[:2])
        return sums, (ends[:, :, 1] > ends[:, :, 0]).sum(axis=0)


def read_batches(file: ImzMLFile, chosen: NDArray[np.int64], *, most: int) -> Iterator[Batch]:
    """Give the spectra of ascending numbers, in batches, through a file handle of this call's own.

    Parameters
    ----------
    file
        Where they lie.
    chosen
        Their numbers.
    most
        Spectra in a batch; a batch also ends at some `POINTS` points, and where numbers are left out.

    Raises
    ------
    InputError
        The file cannot be read, or ends too early.
    """
    ends = np.cumsum(file.lengths[chosen])
    runs = np.append(np.flatnonzero(np.diff(chosen) != 1) + 1, chosen.size).tolist()
    start = 0
    try:
        with file.ibd.open("rb", buffering=0) as handle:
            for stop in runs:
                while start < stop:
                    filled = int(ends[start - 1]) if start else 0
                    fits = int(np.searchsorted(ends, filled + POINTS, side="right"))
                    last = min(stop, start + most, max(fits, start + 1))
                    yield _batch(handle, file, chosen[start:last])
                    start = last
    except OSError as error:
        raise InputError(
            f"{file.ibd} cannot be read: {error}.", remedy="Check the disk and the permissions."
        ) from error


def _batch(handle: IO[bytes], file: ImzMLFile, numbers: NDArray[np.int64]) -> Batch:
    lengths, mz_at = file.lengths[numbers], file.mz_offsets[numbers]
    repeats = np.zeros(numbers.size, bool)
    repeats[1:] = (mz_at[1:] == mz_at[:-1]) & (lengths[1:] == lengths[:-1])
    own = ~repeats
    mz_sizes, sizes = lengths[own] * file.mz_dtype.itemsize, lengths * file.intensity_dtype.itemsize
    starts = file.intensity_offsets[numbers]
    if own.all():
        # Processed files put the intensities of a spectrum behind its m/z.
        content = _read(handle, file, np.concatenate([mz_at, starts]), np.concatenate([mz_sizes, sizes]))
    else:
        content = [*_read(handle, file, mz_at[own], mz_sizes), *_read(handle, file, starts, sizes)]
    distinct = [np.frombuffer(part, file.mz_dtype) for part in content[: int(own.sum())]]
    mz = [distinct[i] for i in (np.cumsum(own) - 1).tolist()]
    intensities = [np.frombuffer(part, file.intensity_dtype) for part in content[len(distinct) :]]
    return _mended(numbers, mz, intensities, repeats)


def _read(handle: IO[bytes], file: ImzMLFile, starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> list[memoryview]:
    """Return the bytes of each array; in one piece if there is little between them."""
    used = sizes > 0
    first = int(starts[used].min()) if used.any() else 0
    length = int((starts + sizes)[used].max()) - first if used.any() else 0
    if length <= 1.25 * sizes.sum():
        whole = memoryview(_exactly(handle, file, first, length))
        return [
            whole[start - first : start - first + size] if size else whole[:0]
            for start, size in zip(starts.tolist(), sizes.tolist(), strict=True)
        ]
    return [
        memoryview(_exactly(handle, file, start, size))
        for start, size in zip(starts.tolist(), sizes.tolist(), strict=True)
    ]


def _exactly(handle: IO[bytes], file: ImzMLFile, start: int, size: int) -> bytes:
    handle.seek(start)
    content = handle.read(size)
    if len(content) < size:
        raise InputError(f"{file.ibd} is cut short at {start + len(content)}.", remedy="Copy the file again.")
    return content


def _mended(
    numbers: NDArray[np.int64],
    mz: list[NDArray[np.float64]],
    values: list[NDArray[np.float64]],
    repeats: NDArray[np.bool_],
) -> Batch:
    faults = {name: np.zeros(numbers.size, np.int64) for name in FAULTS}
    batch = _joined(numbers, mz, values, repeats, faults)
    # One number tells of all: a sum is finite only if every term is.
    finite = bool(np.isfinite(batch.intensities.sum()) and np.isfinite(batch.mz.sum()))
    if finite and not _falls(batch) and (not batch.intensities.size or batch.intensities.min() >= 0):
        return batch
    mended_mz, mended = [], []
    for i, (row, column) in enumerate(zip(mz, values, strict=True)):
        fine = np.isfinite(row) & np.isfinite(column)
        kept_mz, kept = row[fine], column[fine]
        order = np.argsort(kept_mz, kind="stable")
        faults["non_finite"][i] = fine.size - int(fine.sum())
        faults["unsorted"][i] = bool((kept_mz[1:] < kept_mz[:-1]).any())
        faults["negative"][i] = int((kept < 0).sum())
        mended_mz.append(kept_mz[order])
        mended.append(kept[order])
    # Points may have been left out of one spectrum and not of the next, which then differ in their m/z.
    return _joined(numbers, mended_mz, mended, np.zeros_like(repeats), faults)


def _joined(
    numbers: NDArray[np.int64],
    mz: list[NDArray[np.float64]],
    values: list[NDArray[np.float64]],
    repeats: NDArray[np.bool_],
    faults: dict[str, NDArray[np.int64]],
) -> Batch:
    return Batch(
        numbers=numbers,
        mz=np.concatenate(mz, dtype=np.float64),
        intensities=np.concatenate(values, dtype=np.float64),
        bounds=np.concatenate([[0], np.cumsum([row.size for row in mz])]),
        repeats=repeats,
        faults=faults,
    )


def _falls(batch: Batch) -> bool:
    """Return whether m/z fall within any spectrum; they may from one to the next."""
    falls = batch.mz[1:] < batch.mz[:-1]
    if falls.any():
        inner = batch.bounds[1:-1]
        falls[inner[(inner > 0) & (inner < batch.mz.size)] - 1] = False
    return bool(falls.any())


def _sums(values: NDArray[np.float64], ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sum of the values from each start to each stop.

    Each window is added by itself. Differences of cumulative sums would take a faint peak's last digits from the
    strong ones before it.
    """
    # reduceat gives the value at the start for a window of none, and knows no start behind the last value.
    sums = np.add.reduceat(np.append(values, 0.0), ends.reshape(-1))[::2]
    sums[ends[:, 0] >= ends[:, 1]] = 0.0
    return sums
