"""The header of an ENVI cube: text of ``key = value`` beside the file that holds the pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.errors import InputError
from scalesr.images.importing.bands import band_unit, length_unit
from scalesr.images.spectral import SpectralAxis

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_REMEDY = "Correct the header with a text editor, or write it again with the program that made it."
_DTYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
_COMPLEX = {6, 9}
_ORDERS = {"bsq": ("c", "y", "x"), "bil": ("y", "c", "x"), "bip": ("y", "x", "c")}
_SIZES = {"y": "lines", "x": "samples", "c": "bands"}
_MAGIC = b"ENVI"
_MOST_DIGITS = 18  # all that a file's size can have


@dataclass(frozen=True, kw_only=True)
class EnviHeader:
    """What the header of an ENVI cube says."""

    letters: tuple[str, str, str]
    """Axes in the order of the file: c y x for bsq, y c x for bil, y x c for bip."""
    shape: tuple[int, ...]
    """Size along each of them."""
    dtype: np.dtype[Any]
    """Number format, in the byte order of the file."""
    offset: int
    """Bytes of the file before the first pixel."""
    sizes: Mapping[str, float]
    """Size of a pixel along x and y, where given."""
    units: Mapping[str, str]
    """Unit of that size, where it is a length."""
    spectral: SpectralAxis | None
    """Wavelengths or wavenumbers of the bands."""
    names: tuple[str, ...]
    """Names of the bands, where there is one for each."""


def read_header(path: Path) -> EnviHeader:
    """Read a header.

    Lists in braces may go over many lines, keys are taken in any case, and lines that begin with ``;`` are comments.
    The pixels mean what is stored: ``reflectance scale factor``, gains and offsets are not applied and ``data ignore
    value`` is not replaced. With wavelengths there is a `SpectralAxis`, and its attributes keep these fields, ``fwhm``,
    the names of the bands and, as numbers from 0, the bands that ``bbl`` calls bad. Wavelengths in a unit that is
    neither a length nor a wavenumber (``Index``, ``GHz``) are left out.

    Raises
    ------
    InputError
        Not an ENVI header, a field is absent or has no meaning, or the pixels are complex, compressed or not an image.
    """
    try:
        with path.open("rb") as file:
            # Other formats have headers of this name too, and some of them are large.
            content = file.read() if file.read(4) == _MAGIC else None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}.", remedy="Check the disk and the permissions.") from error
    if content is None:
        raise InputError(
            f"{path} is not an ENVI header: its first line is not 'ENVI'.",
            remedy="Name the header of an ENVI cube, or convert the file with the program that made it.",
        )
    return _Fields(path, content.decode("utf-8", errors="replace")).header()


class _Fields:
    """The fields of one header, with errors that name it."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._fields: dict[str, str] = {}
        lines = iter([line for line in text.splitlines()[1:] if not line.lstrip().startswith(";")])
        for line in lines:
            key, equals, value = line.partition("=")
            if not equals:
                continue
            key = " ".join(key.lower().split())
            if value.lstrip().startswith("{"):
                while "}" not in value:
                    try:
                        value = f"{value}\n{next(lines)}"
                    except StopIteration:
                        raise self._wrong(f"the list of {key!r} has no end") from None
                value = value[value.index("{") + 1 : value.rindex("}")]
            self._fields[key] = value.strip()

    def header(self) -> EnviHeader:
        self._refuse()
        interleave = self._text("interleave").lower()
        if interleave not in _ORDERS:
            raise self._wrong(f"interleave is {interleave!r}, not bsq, bil or bip")
        letters = _ORDERS[interleave]
        sizes, units = self._pixel_size()
        bands = self._whole("bands", least=1)
        names = tuple(name.strip() for name in self._fields.get("band names", "").split(","))
        if len(names) != bands or not any(names):
            names = ()  # a name with a comma in it cannot be told from two names
        return EnviHeader(
            letters=letters,
            shape=tuple(self._whole(_SIZES[letter], least=1) for letter in letters),
            dtype=self._dtype(),
            offset=self._whole("header offset", least=0, default=0),
            sizes=sizes,
            units=units,
            spectral=self._spectral(bands, names),
            names=names,
        )

    def _refuse(self) -> None:
        kind = self._fields.get("file type", "").lower()
        if "spectral library" in kind or "meta" in kind:
            raise InputError(
                f"{self._path} is an {self._fields['file type']}, not an image.", remedy="Name the header of a cube."
            )
        if self._fields.get("file compression", "0") not in ("", "0"):
            raise InputError(
                f"{self._path}: the pixels are compressed as a whole, so no part of them can be read.",
                remedy="Decompress the file with gunzip, and set 'file compression = 0' in the header.",
            )
        for key in ("major frame offsets", "minor frame offsets"):
            if any(self._numbers(key) or ()):
                raise InputError(
                    f"{self._path}: {key} other than 0 are not supported.", remedy="Save the cube without them."
                )

    def _dtype(self) -> np.dtype[Any]:
        code = self._whole("data type", least=1)
        if code in _COMPLEX:
            raise InputError(
                f"{self._path}: data type {code} is complex, which is not an intensity.",
                remedy="Save the magnitude of the numbers first.",
            )
        if code not in _DTYPES:
            raise self._wrong(f"data type is {code}, not one of {', '.join(map(str, _DTYPES))}")
        order = self._whole("byte order", least=0, default=0)
        if order > 1:
            raise self._wrong(f"byte order is {order}, not 0 or 1")
        return np.dtype(_DTYPES[code]).newbyteorder(">" if order else "<")

    def _spectral(self, bands: int, names: tuple[str, ...]) -> SpectralAxis | None:
        values = self._numbers("wavelength", bands)
        meaning = band_unit(self._fields.get("wavelength units", ""))
        if values is None or meaning is None:
            return None
        attributes: dict[str, Any] = {"band_names": list(names)} if names else {}
        for key in ("fwhm", "data gain values", "data offset values"):
            listed = self._numbers(key, bands)
            if listed is not None:
                attributes[key.replace(" ", "_")] = listed
        for key in ("data ignore value", "reflectance scale factor"):
            stated = self._fields.get(key)
            if stated is not None:
                number = self._number(key, stated)
                # JSON has no NaN.
                attributes[key.replace(" ", "_")] = number if math.isfinite(number) else str(number)
        usable = self._numbers("bbl", bands)
        if usable is not None:
            attributes["bad_bands"] = [band for band, good in enumerate(usable) if not good]
        return SpectralAxis(values=np.asarray(values), quantity=meaning[0], unit=meaning[1], attributes=attributes)

    def _pixel_size(self) -> tuple[dict[str, float], dict[str, str]]:
        """Return what ``pixel size``, else ``map info``, says; a size in degrees is none."""
        for key, first, default in (("pixel size", 0, "meter"), ("map info", 5, None)):
            words = [word.strip() for word in self._fields.get(key, "").split(",")]
            stated = [word.partition("=")[2] for word in words if word.lower().startswith("units")]
            numbers = words[first : first + 2]
            if len(numbers) < 2:
                continue
            # Projections are in metres unless they say otherwise; 'Arbitrary' is in pixels, geographic ones in degrees.
            projected = not words[0].lower().startswith(("arbitrary", "geographic"))
            unit = length_unit(stated[0]) if stated else (default or ("meter" if projected else None))
            size = {axis: self._number(key, number) for axis, number in zip("xy", numbers, strict=True)}
            if unit is not None and all(0 < value < math.inf for value in size.values()):
                return size, dict.fromkeys(size, unit)
        return {}, {}

    def _text(self, key: str) -> str:
        value = self._fields.get(key)
        if not value:
            raise self._wrong(f"{key!r} is absent")
        return value

    def _whole(self, key: str, *, least: int, default: int | None = None) -> int:
        if default is not None and key not in self._fields:
            return default
        text = self._text(key)
        if not (text.isascii() and text.isdigit()) or len(text) > _MOST_DIGITS or int(text) < least:
            raise self._wrong(f"{key} is {text!r}, not a whole number of at least {least}")
        return int(text)

    def _numbers(self, key: str, count: int | None = None) -> list[float] | None:
        text = self._fields.get(key, "").rstrip(", \n\t")
        if not text:
            return None
        numbers = [self._number(key, word) for word in text.split(",")]
        if count is not None and len(numbers) != count:
            raise self._wrong(f"{key} lists {len(numbers)} numbers for {count} bands")
        if count is not None and not all(map(math.isfinite, numbers)):
            raise self._wrong(f"{key} lists numbers that are not finite")
        return numbers

    def _number(self, key: str, text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise self._wrong(f"{key} holds {text.strip()!r}, which is not a number") from None

    def _wrong(self, what: str) -> InputError:
        return InputError(f"{self._path}: {what}.", remedy=_REMEDY)
