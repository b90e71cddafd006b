"""What files of spectra call their bands: units as people write them, vectors of wavelengths, labels for viewers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scalesr.images.axes import Channel, canonical_unit, metres
from scalesr.images.spectral import SpectralAxis

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scalesr.images.spectral import Quantity

MOST_LABELS = 1000
"""Labels are text in the image's metadata, which everybody who opens it reads; more of them are left out."""

_WAVENUMBERS = {"wavenumber", "wavenumbers", "raman shift", "cm-1", "cm^-1", "cm^{-1}", "cm\u207b\u00b9", "1/cm"}
_UNKNOWN = {"", "unknown"}
_SYMBOLS = {"nanometer": "nm", "micrometer": "\u00b5m", "millimeter": "mm", "angstrom": "\u00c5", "1/cm": "cm-1"}
_WORDS: tuple[tuple[str, Quantity], ...] = (
    ("wavelength", "wavelength"),
    ("wavenumber", "wavenumber"),
    ("lambda", "wavelength"),
    ("bands", "wavelength"),
)


def length_unit(text: str) -> str | None:
    """Return the UDUNITS-2 name of a unit of length, in any case, also in the plural; ``None`` for anything else."""
    name = text.strip().lower()
    for spelling in (name, name.removesuffix("s")):
        unit = canonical_unit(spelling)
        if metres(unit) is not None:
            return unit
    return None


def band_unit(text: str) -> tuple[Quantity, str | None] | None:
    """Return what the numbers of the bands are, and their unit, from the unit that a file states.

    A length makes them wavelengths; ``Wavenumber`` and ``cm-1`` make them wavenumbers in ``1/cm``; ``Unknown`` leaves
    wavelengths without a unit. Anything else, such as ``Index`` or ``GHz``, is neither: ``None``.
    """
    name = " ".join(text.lower().split())
    if name in _UNKNOWN:
        return "wavelength", None
    if name in _WAVENUMBERS:
        return "wavenumber", "1/cm"
    unit = length_unit(name)
    return None if unit is None else ("wavelength", unit)


def band_vector(vectors: Mapping[str, NDArray[np.float64]]) -> SpectralAxis | None:
    """Return the bands that one of several named vectors gives, or ``None``.

    The name decides: one with ``wavelength`` in it, else ``wavenumber``, else ``lambda``, else ``bands``, in any case;
    of several the first in the alphabet. A wavenumber is in ``1/cm``. A wavelength has a unit only where the name ends
    with one (``wavelengths_nm``), because numbers alone do not tell nanometres from micrometres. Vectors that only
    count (0, 1, 2, ... or 1, 2, 3, ...) or hold numbers that are not finite are passed over.
    """
    for word, quantity in _WORDS:
        for name, values in sorted(vectors.items()):
            if word in name.lower() and np.isfinite(values).all() and not _counts(values):
                unit = "1/cm" if quantity == "wavenumber" else length_unit(name.rpartition("_")[2])
                return SpectralAxis(values=values, quantity=quantity, unit=unit, attributes={"variable": name})
    return None


def band_channels(axis: SpectralAxis | None, names: tuple[str, ...] = ()) -> tuple[Channel, ...]:
    """Return channels labelled such as ``550.2 nm``, else by the names of the bands; none beyond `MOST_LABELS`."""
    if axis is None:
        return tuple(Channel(name) for name in names) if len(names) <= MOST_LABELS else ()
    if axis.values.size > MOST_LABELS:
        return ()
    unit = _SYMBOLS.get(axis.unit, axis.unit) if axis.unit else axis.quantity
    return tuple(Channel(f"{value:.6g} {unit}") for value in axis.values)


def _counts(values: NDArray[np.float64]) -> bool:
    return bool(np.array_equal(values - values[0], np.arange(values.size))) and values[0] in (0, 1)
