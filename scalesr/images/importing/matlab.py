"""Cubes in MATLAB files: version 7.3 is HDF5 and read by region, older ones must be read as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from scalesr.errors import InputError, ScalesrError
from scalesr.images.importing.bands import band_channels, band_vector
from scalesr.images.importing.source import UNKNOWN, Facts

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from scalesr.images.spectral import SpectralAxis

_REMEDY = "Copy the file again, or save it again in MATLAB."
_HDF5 = b"\x89HDF\r\n\x1a\n"
_BLOCKS = (0, 512)  # MATLAB puts a header of 512 bytes before the HDF5 file, other programs none
_CACHE_BYTES = 16 << 20
_SHARE = 4
_NUMERIC = {
    "double": "f8", "single": "f4",
    "int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8",
    "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8",
}  # fmt: skip
_LETTERS = {2: ("y", "x"), 3: ("y", "x", "c")}


@dataclass(frozen=True)
class _Variable:
    """What a file says of one of its variables."""

    shape: tuple[int, ...]
    """As MATLAB shows it."""
    kind: str
    """MATLAB's class."""


class MatlabSource:
    """A numeric variable of a MATLAB file.

    A variable of three dimensions is taken to be y, x, bands, as spectral cubes are by custom; nothing in the file says
    so, and ``--axes`` is for the others. Dimensions are those that MATLAB shows, whatever their order in the file.

    Files up to version 7 cannot be read in parts. Their variable is held in memory until the source is closed, and
    refused where it is larger than a quarter of the memory that is free; reading it takes up to twice its size.

    A vector of the file that has a number for each band and a name like ``wavelengths``, ``wavenumber``, ``lambda`` or
    ``bands`` becomes the `SpectralAxis`; `band_vector` has the rule.

    Parameters
    ----------
    path
        The file.
    variable
        Name of the variable; ``None`` takes the only numeric one of three dimensions. A logical one must be named.
    axes
        One letter for each dimension, if the user gave them: they tell which one has the bands.

    Raises
    ------
    InputError
        Damaged, no such variable, several that fit, too large for memory, complex numbers, or h5py is absent.
    """

    def __init__(self, path: Path, *, variable: str | None = None, axes: str | None = None) -> None:
        self._path = path
        self._pixels: Any = None
        self._file = _hdf5(path)
        try:
            known = self._known()
            name = _choose(path, known, variable)
            found = known[name]
            letters = _LETTERS.get(len(found.shape), (UNKNOWN,) * len(found.shape))
            named = tuple(axes.lower()) if axes is not None and len(axes) == len(letters) else letters
            place = named.index("c") if "c" in named else None
            self._pixels = self._whole(name, found) if self._file is None else self._file[name]
            spectral = None if place is None else self._bands(known, found.shape[place])
            # MATLAB counts its dimensions from the fastest, HDF5 from the slowest.
            pieces = (getattr(self._pixels, "chunks", None) or ())[::-1]
            wide = "x" in named and pieces and pieces[named.index("x")] >= found.shape[named.index("x")] > 1
            self.facts = Facts(
                where=f"{path}, variable {name}",
                name=path.stem,
                letters=letters,
                shape=found.shape,
                dtype=np.dtype(_NUMERIC.get(found.kind, "u1")),
                channels=band_channels(spectral),
                reads="rows" if wide else "anywhere",
                colours="together" if place is not None and pieces and pieces[place] > 1 else "apart",
                spectral=spectral,
            )
        except BaseException as error:
            self.close()
            if isinstance(error, ScalesrError) or not isinstance(error, Exception):
                raise
            # Damage shows in as many ways as the two libraries have of reading a field.
            raise InputError(f"{path} is damaged: {type(error).__name__}: {error}.", remedy=_REMEDY) from error

    def read(self, region: tuple[slice, ...]) -> NDArray[Any]:
        """Return the pixels of a region; raises InputError where the file cannot be decoded."""
        if self._file is None:
            return np.asarray(self._pixels[region])
        try:
            return np.asarray(self._pixels[region[::-1]]).transpose()
        except OSError as error:
            spans = ", ".join(f"{piece.start}:{piece.stop}" for piece in region)
            raise InputError(f"{self._path} cannot be decoded at [{spans}]: {error}.", remedy=_REMEDY) from error

    def close(self) -> None:
        """Close the file, or let go of the pixels."""
        self._pixels = None
        if self._file is not None:
            self._file.close()

    def _known(self) -> dict[str, _Variable]:
        if self._file is None:
            from scipy.io import whosmat  # noqa: PLC0415 only for these files

            return {name: _Variable(tuple(map(int, shape)), kind) for name, shape, kind in whosmat(self._path)}
        return {
            name: _Variable(tuple(map(int, item.shape[::-1])), _kind(item))
            for name, item in self._file.items()
            if getattr(item, "shape", None) is not None  # groups are structures
        }

    def _whole(self, name: str, found: _Variable) -> NDArray[Any]:
        dtype = np.dtype(_NUMERIC.get(found.kind, "u1"))
        size = dtype.itemsize * int(np.prod(found.shape, dtype=object))
        most = psutil.virtual_memory().available // _SHARE
        if size > most:
            raise InputError(
                f"{self._path}: {name} takes {size} bytes of memory, more than a quarter of what is free "
                f"({most} bytes), and a file of this version cannot be read in parts.",
                remedy="Save it again in MATLAB with save(..., '-v7.3').",
            )
        pixels = self._load(name)
        if pixels.dtype.kind == "c":
            raise _complex(self._path, name)
        # MATLAB stores whole numbers in the smallest format that holds them, also where the class is double.
        return pixels.astype(dtype, copy=False)

    def _load(self, name: str) -> NDArray[Any]:
        from scipy.io import loadmat  # noqa: PLC0415

        # Not mat_dtype: it would drop the imaginary part of complex numbers.
        return np.asarray(loadmat(self._path, variable_names=[name])[name])

    def _bands(self, known: dict[str, _Variable], count: int) -> SpectralAxis | None:
        vectors = {}
        for name, item in known.items():
            if item.kind in _NUMERIC and sorted(item.shape)[-1:] == [count] and np.prod(item.shape) == count > 1:
                values = self._load(name) if self._file is None else self._file[name][...]
                if values.dtype.kind in "uif":
                    vectors[name] = values.ravel().astype(np.float64)
        return band_vector(vectors)


def _hdf5(path: Path) -> Any:
    """Return the open file if it is HDF5, which MATLAB writes since version 7.3, else ``None``."""
    try:
        with path.open("rb") as file:
            start = file.read(_BLOCKS[-1] + len(_HDF5))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}.", remedy="Check the disk and the permissions.") from error
    if not any(start[block:].startswith(_HDF5) for block in _BLOCKS):
        return None
    try:
        import h5py  # noqa: PLC0415 optional
    except ImportError as error:
        raise InputError(
            f"{path} is a MATLAB file of version 7.3, which needs h5py.",
            remedy="Install it: pip install 'scalesr[matlab]'.",
        ) from error
    try:
        return h5py.File(path, "r", rdcc_nbytes=_CACHE_BYTES)
    except OSError as error:
        raise InputError(f"{path} is damaged: {error}.", remedy=_REMEDY) from error


def _kind(item: Any) -> str:
    """Return MATLAB's class of an HDF5 dataset."""
    stated = item.attrs.get("MATLAB_class")
    if stated is not None:
        kind = stated.decode() if isinstance(stated, bytes) else str(stated)
        if kind in _NUMERIC and item.dtype.kind not in "uif":
            return "complex"
        return "empty" if "MATLAB_empty" in item.attrs else kind
    # Written by another program than MATLAB, which says only how numbers are stored.
    if item.dtype.kind in "cV":
        return "complex"
    return next((kind for kind, code in _NUMERIC.items() if code == item.dtype.str[1:]), str(item.dtype))


def _choose(path: Path, known: dict[str, _Variable], variable: str | None) -> str:
    """Return the name of the variable to import."""
    listed = ", ".join(
        f"{name} ({' x '.join(map(str, item.shape))} {item.kind})" for name, item in sorted(known.items())
    )
    if variable is None:
        cubes = [name for name, item in known.items() if item.kind in _NUMERIC and len(item.shape) == 3]
        if len(cubes) == 1:
            return cubes[0]
        raise InputError(
            f"{path} has {len(cubes) or 'no'} numeric variable(s) of three dimensions; it holds {listed or 'nothing'}.",
            remedy="Choose one with --variable NAME, and name its dimensions with --axes where they are not y, x, c.",
        )
    if variable not in known:
        raise InputError(
            f"{path} has no variable {variable!r}; it holds {listed or 'nothing'}.", remedy="Choose one of these."
        )
    item = known[variable]
    if item.kind == "complex":
        raise _complex(path, variable)
    if item.kind not in {*_NUMERIC, "logical"} or len(item.shape) < 2 or 0 in item.shape:
        raise InputError(
            f"{path}: {variable} is no image; the file holds {listed}.", remedy="Choose a numeric array, with pixels."
        )
    return variable


def _complex(path: Path, name: str) -> InputError:
    return InputError(
        f"{path}: {name} is complex, which is not an intensity.", remedy="Save its magnitude, abs(...), first."
    )
