"""TIFF, BigTIFF, OME-TIFF, ImageJ and SVS files, read by region through tifffile."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr

from scalesr.errors import InputError, ScalesrError
from scalesr.images.importing.rows import read_rows
from scalesr.images.importing.tiff_facts import tiff_facts
from scalesr.images.limits import check_sizes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from scalesr.images.importing.source import Facts

SUFFIXES = {".tif", ".tiff"}
"""Ends of the names of files that are planes of a stack."""
_REMEDY = "Copy the file again; compare its size with the original's."


class TiffSource:
    """One series of a TIFF file; strips and tiles are decoded as they are asked for, and nothing is kept.

    Parameters
    ----------
    path
        The file.
    series
        Which series: position, label image and overview of a slide are series of their own. Of a pyramid, the finest
        level is read.

    Raises
    ------
    InputError
        Not a TIFF, cut short, planes missing, or no such series.
    """

    def __init__(self, path: Path, *, series: int = 0) -> None:
        self._path = path
        with _complaints() as complaints:
            try:
                self._file = tifffile.TiffFile(path)
            except Exception as error:
                raise InputError(f"{path} is not a readable TIFF: {error}.", remedy=_REMEDY) from error
            try:
                self._open(series, complaints)
            except BaseException as error:
                self._file.close()
                if isinstance(error, ScalesrError) or not isinstance(error, Exception):
                    raise
                # A damaged directory of pages shows in as many ways as there are fields in it.
                raise InputError(f"{path} is damaged: {type(error).__name__}: {error}.", remedy=_REMEDY) from error

    def _open(self, series: int, complaints: list[str]) -> None:
        path = self._path
        try:
            found = list(self._file.series)
        except Exception as error:
            raise InputError(f"{path} has no readable series: {error}.", remedy=_REMEDY) from error
        if not 0 <= series < len(found):
            raise InputError(
                f"{path} has {len(found)} series; there is no {series}.",
                remedy=f"Choose one with --series 0 to {max(len(found) - 1, 0)}.",
            )
        self._series = found[series].levels[0]
        self._check_whole(complaints)
        dtype = np.dtype(self._series.dtype)
        self._stored = dtype.newbyteorder(self._file.byteorder)
        self.facts: Facts = tiff_facts(self._file, found[series], number=series, path=path)
        self._offset: int | None = self._series.dataoffset
        self._view: Any = None
        if self._offset is None:
            self._view = zarr.open_array(self._series.aszarr(level=0), mode="r", zarr_format=2)
            check_sizes(self._view, where=str(path))

    def read(self, region: tuple[slice, ...]) -> NDArray[Any]:
        """Return the pixels of a region; raises InputError where a strip or tile cannot be decoded."""
        if self._offset is not None:
            return read_rows(self._path, region, shape=self._series.shape, dtype=self._stored, offset=self._offset)
        try:
            return np.asarray(self._view[region])
        except Exception as error:
            spans = ", ".join(f"{piece.start}:{piece.stop}" for piece in region)
            raise InputError(
                f"{self._path} cannot be decoded at [{spans}]: {error}.",
                remedy=f"{_REMEDY} Compressed files need: pip install scalesr[tiff].",
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _check_whole(self, complaints: list[str]) -> None:
        size = self._file.filehandle.size
        series = self._series
        if series.dataoffset is not None:
            end = series.dataoffset + series.nbytes
        else:
            end = 0
            for number, page in enumerate(series.pages):
                if page is None:
                    raise InputError(f"{self._path}: plane {number} is missing.", remedy=_REMEDY)
                if page.parent is self._file:
                    ends = (a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=True))
                    end = max(end, *ends, 0)
        if end > size:
            raise InputError(
                f"{self._path} is cut short: it has {size} bytes, its pixels end at {end}.", remedy=_REMEDY
            )
        if complaints:
            raise InputError(f"{self._path} is damaged: {complaints[0]}.", remedy=_REMEDY)


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Collect the errors that tifffile only logs, such as a chain of pages that ends outside the file."""
    found: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage().rstrip("."))

    collector = Collector(logging.ERROR)
    logger = logging.getLogger("tifffile")
    propagate = logger.propagate
    logger.addHandler(collector)
    logger.propagate = False
    try:
        yield found
    finally:
        logger.removeHandler(collector)
        logger.propagate = propagate
