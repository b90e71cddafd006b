"""Which m/z become the bands of a cube: a list that the user gives, or the highest peaks of the mean spectrum."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LOWEST, _HIGHEST = 1.0, 1e5
_FINEST = 1.0  # ppm; bounds the grid to 11.5 million bins
_HEADERS = {"mz", "m/z", "m.z", "mass", "moverz", "observed m/z", "theoretical m/z"}


def given_peaks(peaks: str | os.PathLike[str] | Sequence[float]) -> NDArray[np.float64]:
    """Return the m/z that a user gave, in their order.

    Parameters
    ----------
    peaks
        Numbers; or a text or CSV file with one m/z in each line. Of several columns (comma, semicolon, tab, space) the
        one with a heading such as ``mz`` or ``m/z`` counts, else the first. Empty lines, and what follows ``#``, are
        not read.

    Raises
    ------
    InputError
        The file cannot be read, or there are none, or they are not positive and different.
    """
    if isinstance(peaks, str | os.PathLike):
        where = os.fspath(peaks)
        values = np.array(_read(Path(where).expanduser()), dtype=np.float64)
    else:
        where = "the list of peaks"
        values = np.asarray(list(peaks), dtype=np.float64)
    if values.size == 0:
        raise InputError(f"{where} has no m/z.", remedy="Name at least one.")
    bad = values[~(np.isfinite(values) & (values > 0))]
    if bad.size:
        raise InputError(f"{where} has the m/z {bad[0]:g}.", remedy="Give positive numbers.")
    unique, counts = np.unique(values, return_counts=True)
    if unique.size < values.size:
        raise InputError(f"{where} names m/z {unique[counts > 1][0]:g} more than once.", remedy="Name each once.")
    return values


def _read(path: Path) -> list[float]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"the list of peaks {path} cannot be read: {error}.",
            remedy="Give numbers such as 700.5,864.6 or a text file with one m/z in each line.",
        ) from error
    values: list[float] = []
    column: int | None = None
    for number, line in enumerate(lines, start=1):
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        parts = [
            part.strip().strip('"') for part in re.split(r"[,;\t]" if re.search(r"[,;\t]", text) else r"\s+", text)
        ]
        if column is None:
            heads = [i for i, part in enumerate(parts) if part.lower() in _HEADERS]
            column = heads[0] if heads else 0
            if heads or not _is_number(parts[0]):
                continue
        if column >= len(parts) or not _is_number(parts[column]):
            raise InputError(
                f"{path}, line {number}: {text!r} has no m/z in column {column + 1}.",
                remedy="Put one number there, with a point and not a comma.",
            )
        values.append(float(parts[column]))
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class MeanSpectrum:
    """The summed spectrum on a grid of equal steps in log m/z from 1 to 100,000, so that memory is bounded.

    A step is the `ppm` of the window, but at least 1 ppm: at most 11.5 million bins of 17 bytes.

    Parameters
    ----------
    ppm
        Half the width of the window around each peak.
    points
        ``profile``: m/z are samples of a curve, and the next sample tells whether one is a peak, however far it is.
    """

    def __init__(self, *, ppm: float, points: Literal["centroid", "profile"]) -> None:
        self._ppm = ppm
        self._points = points
        self._step = np.log1p(max(ppm, _FINEST) * 1e-6)
        bins = int(np.log(_HIGHEST / _LOWEST) / self._step) + 1
        self._intensity = np.zeros(bins)
        self._moment = np.zeros(bins)
        self._seen = np.zeros(bins, bool)

    def add(self, mz: NDArray[np.float64], intensities: NDArray[np.float64]) -> None:
        """Add a spectrum of finite values; what lies outside the grid, and negative intensities, are left out."""
        used = (intensities >= 0) & (mz >= _LOWEST) & (mz < _HIGHEST)
        if not used.all():
            mz, intensities = mz[used], intensities[used]
        places = (np.log(mz / _LOWEST) / self._step).astype(np.int64)
        np.add.at(self._intensity, places, intensities)
        np.add.at(self._moment, places, intensities * mz)
        self._seen[places] = True

    def highest(self, most: int) -> NDArray[np.float64]:
        """Return at most `most` peaks in ascending order of m/z; the same spectra give the same peaks.

        A peak is a bin that is higher than the one before it and not lower than the one after; in profile data, bins
        that no sample fell into are passed over. Its m/z is the mean of the bin and the two beside it, weighted by
        intensity. Peaks are taken from the highest down (of equal ones the lower m/z first), leaving out those whose
        window would overlap that of one taken before.
        """
        height = np.pad(self._intensity, 1)
        kept = 1 + np.flatnonzero(self._seen) if self._points == "profile" else np.arange(1, height.size - 1)
        curve = np.pad(height[kept], 1)
        tops = kept[(curve[1:-1] > curve[:-2]) & (curve[1:-1] >= curve[2:])]
        around = tops[:, None] + np.arange(-1, 2)
        centres = np.pad(self._moment, 1)[around].sum(axis=1) / height[around].sum(axis=1)
        taken: list[float] = []
        apart = 2 * self._ppm * 1e-6
        for place in np.argsort(-height[tops], kind="stable"):
            mz = float(centres[place])
            if all(abs(mz - other) > apart * max(mz, other) for other in taken):
                taken.append(mz)
                if len(taken) == most:
                    break
        return np.array(sorted(taken))
