"""What an importer needs of a file format: facts first, then pixels by region."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from scalesr.errors import InputError
from scalesr.images.axes import KINDS, Axis, axis_named, canonical_unit
from scalesr.images.metadata import check_axes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scalesr.images.axes import Channel
    from scalesr.images.spectral import SpectralAxis

UNKNOWN = "?"
"""Letter of an axis that the file does not name."""

_ORDER = {"time": 0, "channel": 1, "other": 2, "space": 3}
_FOREIGN = {"S": "c", "Q": UNKNOWN, "I": UNKNOWN}  # samples of a colour; what tifffile calls other and series


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a source says of itself before any pixel is read."""

    where: str
    """The file, for messages."""
    name: str
    """Name for the image."""
    letters: tuple[str, ...]
    """One name for each dimension, as the file calls it; `UNKNOWN` where it does not."""
    shape: tuple[int, ...]
    """Size of each dimension."""
    dtype: np.dtype[Any]
    """Number format in native byte order."""
    sizes: Mapping[str, float] = field(default_factory=dict)
    """Size of a pixel by name of the axis, where known."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Unit by name of the axis, where known."""
    channels: tuple[Channel, ...] = ()
    """What is known of the channels."""
    reads: Literal["anywhere", "rows"] = "anywhere"
    """``rows``: a region costs as much as its full rows."""
    colours: Literal["apart", "together"] = "apart"
    """``together``: the channels of a pixel lie side by side, and one costs as much as all."""
    spectral: SpectralAxis | None = None
    """What the channels are, where they are the bands of a spectrum."""
    positions: tuple[float, ...] = ()
    """Where each plane lies along z, in whatever unit, where the source says so plane by plane."""
    missing_planes: tuple[int, ...] = ()
    """Planes along z that were not measured, and are zeros."""


class Source(Protocol):
    """A file, or several, that can be read by region without holding it in memory."""

    @property
    def facts(self) -> Facts:
        """What the source says of itself."""

    def read(self, region: tuple[slice, ...]) -> NDArray[Any]:
        """Return the pixels of a region, in the order of `Facts.letters`."""

    def close(self) -> None:
        """Release the file."""


@dataclass(frozen=True)
class Oriented:
    """A source with its dimensions named and put in the order of OME-Zarr: time, channel, other, space."""

    source: Source
    """Where pixels come from."""
    axes: tuple[Axis, ...]
    """Axes in the new order."""
    places: tuple[int, ...]
    """For each axis, its dimension in the source."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return tuple(self.source.facts.shape[place] for place in self.places)

    def read(self, region: tuple[slice, ...]) -> NDArray[Any]:
        """Return the pixels of a region in the new order, contiguous and in native byte order."""
        facts = self.source.facts
        within = [slice(0, 1)] * len(facts.shape)
        for place, piece in zip(self.places, region, strict=True):
            within[place] = piece
        pixels = self.source.read(tuple(within))
        dropped = tuple(i for i in range(pixels.ndim) if i not in self.places)
        kept = [place for place in range(pixels.ndim) if place not in dropped]
        order = [kept.index(place) for place in self.places]
        return np.ascontiguousarray(np.squeeze(pixels, axis=dropped).transpose(order), dtype=facts.dtype)


def orient(source: Source, axes: str | None, *, unit: str | None) -> Oriented:
    """Return a source with its dimensions named by the user, or else by the file.

    Dimensions of one pixel that nobody names are dropped.

    Parameters
    ----------
    source
        What is imported.
    axes
        One letter for each dimension, such as ``zcyx``; ``None`` believes the file.
    unit
        Unit of the spatial axes, over what the file says.

    Raises
    ------
    InputError
        Dimensions are ambiguous, or the letters do not fit them, or the pixels are no intensities.
    """
    facts = source.facts
    if facts.dtype.kind not in "uif":
        raise InputError(
            f"{facts.where} holds {facts.dtype}, which is not an intensity.",
            remedy="Convert it to integers or floats first.",
        )
    names = _given(facts, axes) if axes is not None else _believed(facts)
    found = [
        (_ORDER[made.kind], _depth(name), place, made)
        for place, name in enumerate(names)
        if name is not None
        for made in [axis_named(name, unit=_unit(name, facts, unit))]
    ]
    found.sort(key=lambda entry: entry[:3])
    ordered = tuple(entry[3] for entry in found)
    check_axes(ordered, where=facts.where)
    if sum(axis.kind == "space" for axis in ordered) < 2:
        raise InputError(f"{facts.where} has fewer than two spatial axes.", remedy="Name them with --axes.")
    return Oriented(source, ordered, tuple(entry[2] for entry in found))


def _given(facts: Facts, axes: str) -> list[str | None]:
    letters = axes.lower()
    if len(letters) != len(facts.shape) or len(set(letters)) != len(letters) or not letters.isalpha():
        raise InputError(
            f"--axes {axes!r} does not name the {len(facts.shape)} dimensions {facts.shape} of {facts.where}.",
            remedy="Give one different letter of t, c, z, y, x for each dimension, in the order of the file.",
        )
    return list(letters)


def _believed(facts: Facts) -> list[str | None]:
    names: list[str | None] = []
    unknown = []
    for letter, size in zip(facts.letters, facts.shape, strict=True):
        name = _FOREIGN.get(letter, letter.lower())
        if name in KINDS or (len(name) > 1 and name not in names):
            names.append(name)
        elif size == 1:
            names.append(None)
        else:
            names.append(UNKNOWN)
            unknown.append(size)
    if unknown:
        raise InputError(
            f"{facts.where} does not say what its dimension(s) of size {', '.join(map(str, unknown))} are: "
            f"shape {facts.shape}, axes {''.join(facts.letters)}.",
            remedy=f"Name all {len(facts.shape)} with --axes, such as --axes {_example(len(facts.shape))}.",
        )
    for place, known in enumerate(names):
        # Grey images are at times written as one colour with a channel axis beside it, or the other way round.
        if known is not None and names.count(known) > 1 and facts.shape[place] == 1:
            names[place] = None
    return names


def _unit(name: str, facts: Facts, unit: str | None) -> str | None:
    if unit is not None and KINDS.get(name) == "space":
        return canonical_unit(unit)
    return canonical_unit(facts.units.get(name))


def _depth(name: str) -> int:
    return "zyx".find(name)


def _example(ndim: int) -> str:
    return "tczyx"[-ndim:] if ndim != 4 else "zcyx"
