"""Bare arrays: NumPy files and Zarr arrays that say nothing of their axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.errors import InputError
from scalesr.images.importing.rows import read_rows
from scalesr.images.importing.source import UNKNOWN, Facts
from scalesr.images.inflating import bounded
from scalesr.images.limits import check_sizes
from scalesr.images.reading import read_region

if TYPE_CHECKING:
    from pathlib import Path

    import zarr
    from numpy.typing import NDArray


class NumpySource:
    """A ``.npy`` file, read a region at a time.

    Raises
    ------
    InputError
        Not a NumPy file, cut short, or it holds Python objects.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        array = _mapped(path)
        self._rows_first = bool(array.flags.c_contiguous)
        self._shape, self._dtype, self._offset = array.shape, array.dtype, int(array.offset)
        self.facts = Facts(
            where=str(path),
            name=path.stem,
            letters=_letters(array.ndim, None),
            shape=array.shape,
            dtype=array.dtype.newbyteorder("="),
        )

    def read(self, region: tuple[slice, ...]) -> NDArray[Any]:
        """Return the pixels of a region."""
        if self._rows_first:
            return read_rows(self._path, region, shape=self._shape, dtype=self._dtype, offset=self._offset)
        # Fortran order is C order with the axes reversed.
        turned = read_rows(self._path, region[::-1], shape=self._shape[::-1], dtype=self._dtype, offset=self._offset)
        return turned.transpose()

    def close(self) -> None:
        """Nothing is open between reads."""


class ZarrSource:
    """A Zarr array without OME-Zarr metadata; names of its dimensions are believed if it has any.

    Raises
    ------
    InputError
        Its metadata declare more than can be held in memory.
    """

    def __init__(self, array: zarr.Array[Any], *, where: str) -> None:
        check_sizes(array, where=where)
        self._array = bounded(array)
        names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
        self.facts = Facts(
            where=where,
            name=where.rstrip("/").rsplit("/", 1)[-1].split(".")[0],
            letters=_letters(array.ndim, names),
            shape=array.shape,
            dtype=np.dtype(array.dtype).newbyteorder("="),
        )

    def read(self, region: tuple[slice, ...]) -> NDArray[Any]:
        """Return the pixels of a region; raises StorageError where a chunk cannot be read."""
        return read_region(self._array, region, name=self.facts.where, on_bad="raise")[0]

    def close(self) -> None:
        """Nothing is open between reads."""


def _mapped(path: Path) -> np.memmap[Any, Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(
            f"{path} is not a readable NumPy file: {error}.", remedy="Save it again with numpy.save."
        ) from error
    if not isinstance(array, np.memmap):
        raise InputError(f"{path} holds several arrays or none.", remedy="Save one array with numpy.save.")
    return array


def _letters(ndim: int, names: Any) -> tuple[str, ...]:
    if isinstance(names, list | tuple) and len(names) == ndim:
        return tuple(str(name) if name else UNKNOWN for name in names)
    # Two dimensions can only be a picture; more than that is a guess that nobody should make.
    return ("y", "x") if ndim == 2 else (UNKNOWN,) * ndim
