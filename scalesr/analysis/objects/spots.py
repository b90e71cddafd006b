"""Spots inside objects: maxima that stand out, and particles above a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from scalesr.analysis.objects.basins import Relief, summits
from scalesr.analysis.objects.field import Field, check_grid, open_label_field
from scalesr.analysis.objects.foreground import TRUNCATE, smoothing_radius
from scalesr.analysis.objects.gathering import Extents, scattered
from scalesr.analysis.objects.merging import Pieces
from scalesr.analysis.objects.telling import steps
from scalesr.analysis.tables.object_table import ObjectTable
from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Source
    from scalesr.analysis.objects.gathering import Tile
    from scalesr.engine import Callback


def count_spots(
    labels: Source,
    image: Source,
    *,
    channel: int | str = 0,
    sigma: float = 0.0,
    tolerance: float | None = None,
    threshold: float | None = None,
    smallest: int = 1,
    callbacks: Sequence[Callback] = (),
    storage_options: Mapping[str, Any] | None = None,
) -> ObjectTable:
    """Count the spots of every object: maxima by a tolerance, particles by a threshold, or both.

    - ``spots``: maxima that no path inside the object leads from to a higher place without falling by more than
      `tolerance`. They must also exceed the object's lowest value by more than that. This is ImageJ's Find Maxima with
      its prominence, strict, with each object taken alone.
    - ``particles``, ``particle_area_mean``, ``particle_area_sum``: connected parts of the object, diagonally too, whose
      values exceed `threshold`, and their pixels. Mean spot area is ImageJ's Average Size: total area over count, NaN
      where there is none. Nothing is left out at the object's border.

    Choose tolerance and threshold on high-resolution controls and keep them for all images that are compared.

    Parameters
    ----------
    labels
        OME-Zarr image of integers.
    image
        Image on the same grid.
    channel
        Number or name of the channel with the spots.
    sigma
        Standard deviation in pixels of a smoothing before, which sees what is around an object; 0 for none.
    tolerance, threshold
        In the units of the image.
    smallest
        Pixels of a particle; smaller ones do not count.
    callbacks
        Told of each part of the field that is done.
    storage_options
        Handed to fsspec, for both images.

    Returns
    -------
    ObjectTable
        One row for each object. One that is too long to be read as a whole, or holds pixels that are not finite, has
        NaN and is counted in the notes.

    Raises
    ------
    InputError
        Neither tolerance nor threshold is given, or the images do not fit or hold no object.
    """
    if (tolerance is None and threshold is None) or sigma < 0 or (tolerance is not None and tolerance < 0):
        raise InputError(
            f"Spots of tolerance {tolerance} and threshold {threshold}, smoothed by {sigma:g}, were asked for.",
            remedy="Give a tolerance of 0 or more, a threshold, or both, and a smoothing of 0 or more.",
        )
    names = open_label_field(labels, storage_options=storage_options)
    field = Field.open(image, storage_options=storage_options)
    check_grid(names, field)
    number = field.numbers([channel])[0]
    found = Extents.of(names, callbacks=callbacks)
    tiles, bad = [], 0
    parts = tuple(found.tiles(margin=smoothing_radius(sigma)))
    for tile in steps(parts, name="counting spots", callbacks=callbacks):
        values = field.read(tile.outer, number).astype(np.float64)
        odd = ~np.isfinite(values)
        if sigma:
            values = ndimage.gaussian_filter(np.where(odd, 0.0, values), sigma, truncate=TRUNCATE)
        spots = Spots(group=tile.read(names), values=np.where(odd, 0.0, values)[tile.inner], objects=len(tile.labels))
        figures = spots.figures(tolerance=tolerance, threshold=threshold, smallest=smallest)
        unknown = _objects_with(odd, tile, spots.group)
        bad += len(unknown)
        for column in figures.values():
            column[unknown - 1] = np.nan
        tiles.append((tile.members, figures))
    left = found.left_out | ({"objects with pixels that are not finite": bad} if bad else {})
    return ObjectTable(
        columns={"label": found.labels, **scattered(len(found.labels), tiles)},
        notes=tuple(f"{count} {reason} have no figures" for reason, count in left.items()),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Spots:
    """Objects in memory, each whole, and the values in them."""

    group: NDArray[np.int64]
    """1 to `objects`, 0 where there is none."""
    values: NDArray[np.float64]
    """Finite, on the same grid."""
    objects: int
    """How many objects there are."""

    def figures(self, *, tolerance: float | None, threshold: float | None, smallest: int) -> dict[str, Any]:
        """Return the columns of `count_spots` for each object, as floats."""
        found: dict[str, Any] = {}
        if tolerance is not None:
            found["spots"] = self.maxima(tolerance)
        if threshold is not None:
            count, area = self.particles(threshold, smallest=smallest)
            found["particles"] = count
            found["particle_area_sum"] = area
            found["particle_area_mean"] = np.divide(area, count, out=np.full(len(count), np.nan), where=count > 0)
        return found

    def maxima(self, tolerance: float) -> NDArray[np.float64]:
        """Return how many maxima of each object stand out by more than the tolerance."""
        owner, _, peak = _parts(self.values, self.group, depth=tolerance)
        # The highest of a connected part has no higher place to lead to: it is measured from the object's lowest.
        low = np.asarray(ndimage.minimum(self.values, self.group, np.arange(1, self.objects + 1)))
        counts = np.bincount(owner[peak - low[owner - 1] > tolerance], minlength=self.objects + 1)[1:]
        return counts.astype(np.float64)

    def particles(self, threshold: float, *, smallest: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return number and total area of the parts of each object above a threshold."""
        above = np.where(self.values > threshold, self.group, 0)
        owner, size, _ = _parts(np.zeros(self.values.shape), above, depth=0.0)
        owner, size = owner[size >= smallest], size[size >= smallest]
        count = np.bincount(owner, minlength=self.objects + 1)[1:]
        area = np.bincount(owner, size, minlength=self.objects + 1)[1:]
        return count.astype(np.float64), area.astype(np.float64)


def _parts(
    values: NDArray[np.float64], group: NDArray[np.int64], *, depth: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the basins that stand out by more than a depth: the group each is in, its pixels, its highest value."""
    relief, inside = Relief(height=values, group=group), group > 0
    ends, place = np.unique(summits(relief.pointers())[inside], return_inverse=True)
    names = np.zeros(group.shape, np.int64)
    names[inside] = place + 1
    pieces, sizes = Pieces(), np.bincount(place, minlength=len(ends))
    peaks = values.ravel()[ends]
    pieces.add(sizes=sizes, firsts=ends, peaks=peaks, cut=np.zeros(len(ends), np.bool_))
    for one, other, height in relief.passes(names):
        pieces.border(one, other, height)
    basins = pieces.basins()
    kept, where = np.unique(basins.objects(depth=depth)[basins.of], return_inverse=True)
    owner, size, peak = np.zeros(len(kept), np.int64), np.zeros(len(kept), np.int64), np.full(len(kept), -np.inf)
    owner[where] = group.ravel()[ends]
    np.add.at(size, where, sizes)
    np.maximum.at(peak, where, peaks)
    return owner, size, peak


def _objects_with(odd: NDArray[np.bool_], tile: Tile, group: NDArray[np.int64]) -> NDArray[np.int64]:
    found = np.unique(group[odd[tile.inner]])
    return found[found > 0]
