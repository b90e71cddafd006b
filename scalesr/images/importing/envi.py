"""ENVI cubes: raw pixels in one file, and a text header beside it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.errors import InputError
from scalesr.images.importing.bands import band_channels
from scalesr.images.importing.envi_header import read_header
from scalesr.images.importing.rows import read_rows
from scalesr.images.importing.source import Facts

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_HEADERS = (".hdr", ".HDR", ".Hdr")
_RAW = (".raw", ".img", ".dat", ".bil", ".bip", ".bsq", ".cube", ".bin")
_STRIP_BYTES = 4 << 20


class EnviSource:
    """An ENVI cube, read a region at a time.

    Axes have the order of the file, which is what ``--axes`` names: ``cyx`` for the interleave bsq, ``ycx`` for bil,
    ``yxc`` for bip. Pixels come as they are stored: bands that the header calls bad are among them, ignored values are
    not replaced, and no scale factor is applied; `read_header` says where these facts go.

    Parameters
    ----------
    path
        The header or the file of pixels. ``a.raw`` belongs to ``a.raw.hdr`` or ``a.hdr``.

    Raises
    ------
    InputError
        One of the two files is absent or ambiguous, the header is damaged, or the pixels do not have the size that it
        says.
    """

    def __init__(self, path: Path) -> None:
        header_path, self._path = _pair(path)
        header = read_header(header_path)
        self._shape, self._dtype, self._offset = header.shape, header.dtype, header.offset
        self._check_size(header_path)
        interleave = "".join(header.letters)
        self.facts = Facts(
            where=str(self._path),
            name=self._path.stem,
            letters=header.letters,
            shape=header.shape,
            dtype=header.dtype.newbyteorder("="),
            sizes=header.sizes,
            units=header.units,
            channels=band_channels(header.spectral, header.names),
            # In bil, what lies beside a part of a row is the next band; a page of the disk holds both.
            reads="rows" if interleave == "ycx" else "anywhere",
            colours="together" if interleave == "yxc" else "apart",
            spectral=header.spectral,
        )

    def read(self, region: tuple[slice, ...]) -> NDArray[Any]:
        """Return the pixels of a region, in the byte order of the file; raises InputError if they cannot be read."""
        bands = region[-1]
        if self.facts.letters[-1] != "c" or (bands.start, bands.stop) == (0, self._shape[-1]):
            return self._rows(region)
        # Each spectrum is one short run. Reading some bands of each would ask the disk once for every pixel.
        lines, samples = region[0], region[1]
        spectra = (samples.stop - samples.start) * self._shape[-1] * self._dtype.itemsize
        step = max(1, _STRIP_BYTES // max(1, spectra))
        out = np.empty([piece.stop - piece.start for piece in region], self._dtype)
        for start in range(lines.start, lines.stop, step):
            stop = min(start + step, lines.stop)
            strip = self._rows((slice(start, stop), samples, slice(0, self._shape[-1])))
            out[start - lines.start : stop - lines.start] = strip[..., bands]
        return out

    def close(self) -> None:
        """Nothing is open between reads."""

    def _rows(self, region: tuple[slice, ...]) -> NDArray[Any]:
        return read_rows(self._path, region, shape=self._shape, dtype=self._dtype, offset=self._offset)

    def _check_size(self, header: Path) -> None:
        try:
            size = self._path.stat().st_size
        except OSError as error:
            raise InputError(f"{self._path} cannot be read: {error}.", remedy="Check the permissions.") from error
        expected = self._offset + math.prod(self._shape) * self._dtype.itemsize
        if size < expected:
            raise InputError(
                f"{self._path} is cut short: it has {size} bytes, {header.name} says {expected}.",
                remedy="Copy the file again, or check samples, lines, bands and data type in the header.",
            )
        if size > expected:
            raise InputError(
                f"{self._path} is larger than its header says: it has {size} bytes, {header.name} says {expected}.",
                remedy=f"Check samples, lines, bands and data type; if the pixels begin {size - expected} bytes later, "
                f"set 'header offset = {self._offset + size - expected}'.",
            )


def is_envi(path: Path) -> bool:
    """Say whether a file is named as ENVI cubes are, or has a header beside it."""
    return path.suffix.lower() in (".hdr", *_RAW) or _header_of(path) is not None


def _pair(path: Path) -> tuple[Path, Path]:
    """Return the header and the file of pixels."""
    if path.suffix.lower() != ".hdr":
        header = _header_of(path)
        if header is None:
            raise InputError(
                f"{path} holds bare pixels, and there is no header {path.stem}.hdr or {path.name}.hdr beside it.",
                remedy="Copy the ENVI header (.hdr) into the same folder.",
            )
        return header, path
    bare = path.with_suffix("")
    if bare.is_file():
        return path, bare
    found = sorted(other for other in path.parent.iterdir() if other.stem == path.stem and other.suffix.lower() in _RAW)
    if len(found) == 1:
        return path, found[0]
    if found:
        raise InputError(
            f"{path} may belong to {', '.join(other.name for other in found)}.", remedy="Name the file of pixels."
        )
    raise InputError(
        f"{path} is a header without its pixels: there is no {bare.name} beside it, also not with one of the endings "
        f"{' '.join(_RAW)}.",
        remedy="Copy the file of pixels into the same folder, or name it if its name differs.",
    )


def _header_of(path: Path) -> Path | None:
    places = [path.with_name(path.name + ending) for ending in _HEADERS]
    places += [path.with_suffix(ending) for ending in _HEADERS]
    return next((place for place in places if place.is_file()), None)
