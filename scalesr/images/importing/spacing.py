"""Planes that do not lie at equal distances: refused, or filled up to equal distances with planes that are missing.

OME-Zarr has one distance between planes for the whole image. Positions with gaps of whole numbers of planes can be kept
all the same: each gap is filled with planes of zeros, and the image's attributes name these, so that a run leaves
them out of its figures and has a model make them up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scalesr.images.importing.source import Facts, Source

TOLERANCE = 0.01
"""By how much, in distances of planes, a plane may lie off its place: stages are less exact than their drivers say."""
MOST = 10
"""A gap of more planes for each that is there is taken for a mistake in the positions."""
_SHOWN = 6

MissingPlanes = Literal["refuse", "keep"]
"""What to do with gaps between planes: refuse them, or keep them as planes that are missing."""


@dataclass(frozen=True)
class Spacing:
    """Where planes lie, in whole distances from the first."""

    step: float
    """The distance, in the unit of the positions; negative where they fall."""
    places: tuple[int, ...]
    """Place of each plane; gaps are what is left out."""

    @property
    def missing(self) -> tuple[int, ...]:
        """Places without a plane."""
        there = set(self.places)
        return tuple(place for place in range(self.places[-1] + 1) if place not in there)


def spacing(positions: Sequence[float]) -> Spacing | None:
    """Return at which multiples of one distance planes lie, to 1 % of it; ``None`` where there is no such distance.

    Parameters
    ----------
    positions
        Of all planes in the order of the file, at least two; rising or falling.
    """
    found = np.asarray(positions, dtype=np.float64)
    steps = np.diff(found)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        return None
    # The smallest distance is that of neighbours, unless every gap lacks a plane, which nobody can see.
    least = steps[np.argmin(np.abs(steps))]
    counts = np.concatenate([[0], np.cumsum(np.rint(steps / least))])
    if counts[-1] > MOST * len(found):
        return None
    # Over the whole stack, as the distance of two neighbours is rounded more coarsely than that of many.
    step = (found[-1] - found[0]) / counts[-1]
    if np.any(np.abs((found - found[0]) / step - counts) > TOLERANCE):
        return None
    return Spacing(float(step), tuple(int(count) for count in counts))


def evened(
    source: Source, axes: str | None, *, missing: MissingPlanes, pixel_size: float | Mapping[str, float] | None
) -> Source:
    """Return a source whose planes lie at equal distances.

    Parameters
    ----------
    source
        What is imported; its facts say where its planes lie, or nothing.
    axes
        One letter for each dimension, if the user named them.
    missing
        What to do with gaps.
    pixel_size
        What the user gave; a distance of planes stands over the positions in the file, unless gaps are to be kept.

    Raises
    ------
    InputError
        The planes lie at unequal distances, or with gaps that are to be refused.
    """
    facts = source.facts
    names = [letter.lower() for letter in axes or facts.letters]
    given = isinstance(pixel_size, int | float) or "z" in (pixel_size or ())
    if len(facts.positions) < 2 or "z" not in names or (given and missing == "refuse"):
        return source
    found = spacing(facts.positions)
    if found is None:
        steps = np.abs(np.diff(np.asarray(facts.positions)))
        raise InputError(
            f"{facts.where}: the planes lie at unequal distances, from {steps.min():.4g} to {steps.max():.4g}, and not "
            "at multiples of one.",
            remedy="Resample them to equal distances, or give the distance if the positions in the file are wrong, "
            "with --pixel-size z=...",
        )
    if not found.missing:
        return source
    if missing == "refuse":
        shown = ", ".join(map(str, found.missing[:_SHOWN])) + (" ..." if len(found.missing) > _SHOWN else "")
        raise InputError(
            f"{facts.where}: {len(found.missing)} plane(s) are missing by their positions, counted from 0: {shown}.",
            remedy="Add the missing planes, keep them as planes that a model makes up with --missing-planes keep, or "
            "give the distance if the positions are wrong, with --pixel-size z=...",
        )
    return Gapped(source, found, axis=names.index("z"))


def noted(facts: Facts) -> dict[str, Any] | None:
    """Return what an image's attributes are to say of its planes; ``None`` where none is missing."""
    return {"missing_planes": list(facts.missing_planes)} if facts.missing_planes else None


class Gapped:
    """A source with planes of zeros where none was measured.

    Parameters
    ----------
    source
        Where the others come from.
    spacing
        Where they lie.
    axis
        The dimension that the planes are counted along.
    """

    def __init__(self, source: Source, spacing: Spacing, *, axis: int) -> None:
        self._source = source
        self._axis = axis
        self._plane_at = {place: plane for plane, place in enumerate(spacing.places)}
        facts = source.facts
        shape = list(facts.shape)
        shape[axis] = spacing.places[-1] + 1
        self.facts: Facts = replace(facts, shape=tuple(shape), positions=(), missing_planes=spacing.missing)

    def read(self, region: tuple[slice, ...]) -> NDArray[Any]:
        """Return the pixels of a region, zeros where there is no plane."""
        wanted = region[self._axis]
        out = np.zeros([piece.stop - piece.start for piece in region], self.facts.dtype)
        there = [place for place in range(wanted.start, wanted.stop) if place in self._plane_at]
        # Planes that follow one another in the source are read at once, over the gaps between them.
        if there:
            planes = slice(self._plane_at[there[0]], self._plane_at[there[-1]] + 1)
            pixels = self._source.read((*region[: self._axis], planes, *region[self._axis + 1 :]))
            places = [place - wanted.start for place in there]
            out[(slice(None),) * self._axis + (places,)] = pixels
        return out

    def close(self) -> None:
        """Close the source."""
        self._source.close()
