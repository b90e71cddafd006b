"""An imzML pair opened and checked: where each spectrum lies, which pixel it is of, and what the file says of itself.

Only the XML is read here. pyimzML parses it; its own reading of spectra is not used, because its reader shares one
file handle between threads, takes compressed arrays for raw ones, and knows no end of the file.
"""

from __future__ import annotations

import uuid
import warnings
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError

import numpy as np

from scalesr.errors import InputError
from scalesr.images.importing.imzml_settings import compression, precisions, read_pixel_size

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Literal

    from numpy.typing import NDArray

_COPY = "Copy both files again, or export them again from the instrument's program."
_LISTED = 3


@dataclass(frozen=True, eq=False, kw_only=True)
class ImzMLFile:
    """Where the spectra of an imzML file lie, in the order of their pixels: by z, then y, then x."""

    path: Path
    """The ``.imzML``."""
    ibd: Path
    """The ``.ibd`` that belongs to it."""
    size: tuple[int, int, int]
    """Pixels along z, y, x of the box around all positions."""
    origin: tuple[int, int, int]
    """Position z, y, x that the file gives to the first pixel of the box: 1, or 0, or anything."""
    pixels: NDArray[np.int64]
    """Flat index in the box of each spectrum, ascending and without repetition."""
    mz_offsets: NDArray[np.int64]
    """First byte of the m/z array of each spectrum."""
    intensity_offsets: NDArray[np.int64]
    """First byte of the intensities of each spectrum."""
    lengths: NDArray[np.int64]
    """Points of each spectrum."""
    mz_dtype: np.dtype[Any]
    """Number format of m/z, little-endian as the file is."""
    intensity_dtype: np.dtype[Any]
    """Number format of intensities, little-endian as the file is."""
    sizes: Mapping[str, float]
    """Size of a pixel by axis; empty where the file does not say, or not in a known unit."""
    unit: str | None
    """Unit of `sizes`."""
    attributes: Mapping[str, Any]
    """Polarity, representation and UUID, where known."""


def open_imzml(path: Path, *, pixel_size: Literal["file", "given"] = "file") -> ImzMLFile:
    """Return what an imzML file says, after checking that its two files are whole and belong together.

    Memory is some 0.5 kB for each spectrum while the XML is parsed and 32 bytes after it.

    Parameters
    ----------
    path
        The ``.imzML``.
    pixel_size
        ``given``: the user says how large pixels are, so that what the file says of them is not asked for.

    Raises
    ------
    InputError
        pyimzML is not installed; the ``.ibd`` is absent, cut short or of another file; arrays are compressed or
        overlap; a pixel has two spectra; the XML is damaged; scan settings differ in their pixel size.
    """
    ibd = _find_ibd(path)
    parser = _parse(path)
    order, pixels, size, origin = _box(np.array(parser.coordinates, dtype=np.int64), path)
    mz_lengths = np.array(parser.mzLengths, dtype=np.int64)
    lengths = np.array(parser.intensityLengths, dtype=np.int64)
    if (mz_lengths != lengths).any():
        bad = int(np.flatnonzero(mz_lengths != lengths)[0])
        raise InputError(
            f"{path}: spectrum {bad + 1} has {mz_lengths[bad]} m/z values and {lengths[bad]} intensities.",
            remedy=_COPY,
        )
    if (lengths < 0).any():
        raise InputError(f"{path}: a spectrum has a negative length.", remedy=_COPY)
    mz_offsets = np.array(parser.mzOffsets, dtype=np.int64)
    intensity_offsets = np.array(parser.intensityOffsets, dtype=np.int64)
    groups = parser.metadata.referenceable_param_groups
    for group in (groups.get(parser.mzGroupId), groups.get(parser.intGroupId)):
        packed = compression(group)
        if packed is not None:
            raise InputError(
                f"{path} holds arrays with {packed}, which cannot be read in parts.",
                remedy="Export it again without compression.",
            )
    mz_dtype, intensity_dtype = _formats(
        precisions(groups.get(parser.mzGroupId)),
        precisions(groups.get(parser.intGroupId)),
        (mz_offsets, intensity_offsets, lengths),
        path=path,
        ibd=ibd,
    )
    attributes = {"polarity": parser.polarity, "representation": parser.spectrum_mode, "uuid": _check_uuid(parser, ibd)}
    sizes, unit = ({}, None) if pixel_size == "given" else read_pixel_size(parser.metadata.scan_settings, path)
    return ImzMLFile(
        path=path,
        ibd=ibd,
        size=size,
        origin=origin,
        pixels=pixels,
        mz_offsets=mz_offsets[order],
        intensity_offsets=intensity_offsets[order],
        lengths=lengths[order],
        mz_dtype=mz_dtype,
        intensity_dtype=intensity_dtype,
        sizes=sizes,
        unit=unit,
        attributes={key: value for key, value in attributes.items() if value is not None},
    )


def _find_ibd(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path} does not exist.", remedy="Check the path.")
    try:
        # Programs write .ibd, .IBD and .Ibd, and only some file systems take them for the same.
        found = sorted(p for p in path.parent.iterdir() if p.stem == path.stem and p.suffix.lower() == ".ibd")
    except OSError as error:
        raise InputError(f"{path.parent} cannot be read: {error}.", remedy="Check the permissions.") from error
    if not found:
        raise InputError(
            f"{path} has no {path.stem}.ibd beside it, which holds its spectra.",
            remedy="Copy both files into one folder, under the same name.",
        )
    return found[0]


def _parse(path: Path) -> Any:
    try:
        from pyimzml.ImzMLParser import ImzMLParser  # noqa: PLC0415 an optional dependency
    except ImportError as error:
        raise InputError(
            f"{path} is imzML, and the package that reads it is not installed.",
            remedy='Run: pip install "scalesr[imzml]"',
        ) from error
    try:
        # It warns of every term that a vendor spells differently, of which the pixels do not depend.
        with warnings.catch_warnings(), path.open("rb") as xml:
            warnings.simplefilter("ignore")
            parser = ImzMLParser(xml, parse_lib="ElementTree", ibd_file=None)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}.", remedy="Check the disk and the permissions.") from error
    except (ParseError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is not whole imzML, or has no spectra: {type(error).__name__}: {error}.", remedy=_COPY
        ) from error
    return parser


def _box(
    coordinates: NDArray[np.int64], path: Path
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[int, int, int], tuple[int, int, int]]:
    """Return order, pixels, size and origin; positions start at 1 by the standard and at 0 or 200 in some files."""
    places = coordinates[:, ::-1]
    first = places.min(axis=0)
    size = tuple(int(n) for n in places.max(axis=0) - first + 1)
    flat = ((places[:, 0] - first[0]) * size[1] + places[:, 1] - first[1]) * size[2] + places[:, 2] - first[2]
    order = np.argsort(flat, kind="stable")
    pixels = flat[order]
    twice = order[1:][np.diff(pixels) == 0]
    if twice.size:
        named = ", ".join(str(tuple(int(n) for n in coordinates[spectrum])) for spectrum in twice[:_LISTED])
        raise InputError(
            f"{path}: {twice.size} spectra are at a position (x, y, z) that already has one, such as {named}.",
            remedy="Export each region of the slide to a file of its own, with one spectrum for each pixel.",
        )
    return order, pixels, (size[0], size[1], size[2]), (int(first[0]), int(first[1]), int(first[2]))


def _formats(
    mz: tuple[str, ...],
    intensity: tuple[str, ...],
    arrays: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    *,
    path: Path,
    ibd: Path,
) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """Return the number formats; where the file names several, those with which its arrays neither gap nor overlap."""
    if not mz or not intensity:
        raise InputError(f"{path} does not say which number format its spectra have.", remedy=_COPY)
    length = ibd.stat().st_size
    fits: dict[tuple[str, str], int] = {}
    for pair in product(mz, intensity):
        starts, ends = _spans(arrays, np.dtype(pair[0]).itemsize, np.dtype(pair[1]).itemsize)
        if starts.size == 0 or (ends[-1] <= length and (ends[:-1] <= starts[1:]).all()):
            # Bytes that no array accounts for: what is between them, and after the last.
            fits[pair] = int(length - (ends - starts).sum())
    if not fits:
        _, ends = _spans(arrays, np.dtype(mz[0]).itemsize, np.dtype(intensity[0]).itemsize)
        if ends.max() > length:
            raise InputError(
                f"{ibd} is cut short: it has {length} bytes, its spectra end at {int(ends.max())}.", remedy=_COPY
            )
        raise InputError(
            f"{path}: the arrays of its spectra overlap in {ibd.name}; they are compressed or of another format.",
            remedy="Export it again without compression.",
        )
    least = min(fits.values())
    best = [pair for pair, rest in fits.items() if rest == least]
    if len(best) > 1:
        raise InputError(
            f"{path} names several number formats for its spectra, and more than one fits.",
            remedy="Export it again with one.",
        )
    return np.dtype(best[0][0]), np.dtype(best[0][1])


def _spans(
    arrays: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], mz_bytes: int, intensity_bytes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    mz_offsets, intensity_offsets, lengths = arrays
    starts = np.concatenate([mz_offsets, intensity_offsets])
    ends = starts + np.concatenate([lengths * mz_bytes, lengths * intensity_bytes])
    # Spectra may share one array; empty ones may lie anywhere.
    spans = np.unique(np.stack([starts, ends], axis=1)[ends > starts], axis=0)
    return spans[:, 0], spans[:, 1]


def _check_uuid(parser: Any, ibd: Path) -> str | None:
    content = parser.metadata.file_description
    text = str(content["IMS:1000080"]) if "IMS:1000080" in content else ""
    try:
        said = uuid.UUID(text.strip().strip("{}"))
    except ValueError:
        return None
    with ibd.open("rb") as file:
        found = file.read(16)
    # Programs that keep the UUID as a Windows GUID write its first three fields the other way round.
    if found not in (said.bytes, said.bytes_le):
        raise InputError(
            f"{ibd} belongs to another file: it begins with {found.hex()}, its .imzML says {said.hex}.",
            remedy="Find the .ibd that was written with it.",
        )
    return said.hex
