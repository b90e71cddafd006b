"""Cells of the table that do not hold today, each with the reason; their tests must fail, until somebody mends it."""

from __future__ import annotations

from interoperability.exchanged import SAMPLES

_UNNAMED = "Zarr 2, of OME-Zarr 0.4, has no names for the axes of an array, and xarray alone looks nowhere else"
TROUBLE: dict[tuple[str, str, str], str] = {("xarray", name, "0.4"): _UNNAMED for name in SAMPLES}
"""By reader or writer, sample, and version of OME-Zarr."""
