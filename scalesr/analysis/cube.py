"""A spectral image as analyses see it: bands first, then y and x, a cell at a time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from scalesr.engine.pairing import OBJECTS, SAME_PLACE, SAME_SIZE
from scalesr.errors import InputError
from scalesr.images import Image, SpectralAxis, open_image, read_spectral
from scalesr.images.axes import metres
from scalesr.images.importing.companions import open_companion
from scalesr.metrics.walk import choose_cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

Source: TypeAlias = str | os.PathLike[str] | Image
"""An OME-Zarr image by path or URL, or an opened one."""
Span: TypeAlias = tuple[int, int]
"""First pixel along an axis, and the one after the last."""

STRETCH_BYTES = 2**28
"""Bytes that are read at a time, in the image's own number format, where a single cell does not have more."""


@dataclass(frozen=True, kw_only=True)
class Cube:
    """A spectral image: one axis of bands or none, y and x. All other axes are one pixel long.

    Pixels are read from storage each time they are asked for. Use `Cube.open`.
    """

    image: Image
    """The image."""
    band: int | None
    """Which of its axes holds the bands; `None` where it has a single one."""
    space: tuple[int, int]
    """Which of its axes are y and x."""
    companion: Any = None
    """The array ``mask`` beside the image's levels, not zero where a pixel was measured; `None` where there is none."""

    @classmethod
    def open(cls, source: Source, *, storage_options: Mapping[str, Any] | None = None) -> Cube:
        """Open an image as a cube; only metadata is read.

        Parameters
        ----------
        source
            OME-Zarr image.
        storage_options
            Handed to fsspec.

        Raises
        ------
        InputError
            There is no image, or it is no plane with bands: it has depth, time points, or objects.
        """
        image = source if isinstance(source, Image) else open_image(source, storage_options=storage_options)
        long = [axis for axis in range(image.ndim) if image.shape[axis] > 1]
        spatial = [axis for axis in range(image.ndim) if image.axes[axis].kind == "space"]
        space, deep = spatial[-2:], [axis for axis in spatial[:-2] if axis in long]
        apart = [axis for axis in long if image.axes[axis].kind == "time" or image.axis_names[axis] == OBJECTS]
        bands = [axis for axis in long if axis not in apart and image.axes[axis].kind in ("channel", "other")]
        if len(space) < 2 or deep or apart or len(bands) > 1:
            what = ", ".join(f"{image.axis_names[axis]} ({image.shape[axis]})" for axis in long)
            raise InputError(
                f"{image.url} is no plane with bands: its axes are {what or 'all of one pixel'}.",
                remedy="Give an image of the axes y and x and at most one of bands.",
            )
        return cls(
            image=image,
            band=bands[0] if bands else None,
            space=(space[0], space[1]),
            companion=open_companion(image, "mask"),
        )

    @property
    def bands(self) -> int:
        """How many bands there are; 1 where no axis holds them."""
        return 1 if self.band is None else self.image.shape[self.band]

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels along y and x."""
        return self.image.shape[self.space[0]], self.image.shape[self.space[1]]

    @property
    def unit(self) -> str | None:
        """Unit of y and x; `None` where the image names none."""
        return self.image.axes[self.space[0]].unit

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Size of a pixel along y and x, in the unit of y."""
        scale = self.image.levels[0].scale
        return scale[self.space[0]], scale[self.space[1]] * self._x_in_y

    @property
    def edge(self) -> tuple[float, float]:
        """Outer edge of the first pixel along y and x, in the unit of y."""
        first = self.image.levels[0].translation
        y, x = first[self.space[0]], first[self.space[1]] * self._x_in_y
        return y - self.pixel_size[0] / 2, x - self.pixel_size[1] / 2

    @property
    def band_names(self) -> tuple[str, ...]:
        """One for each band: its label, or its number."""
        labels = [channel.label for channel in self.image.channels]
        known = len(labels) == self.bands and all(labels) and len(set(labels)) == len(labels)
        return tuple(str(label) for label in labels) if known else tuple(map(str, range(self.bands)))

    @property
    def spectral(self) -> SpectralAxis | None:
        """What the bands are by number; `None` where nothing beside the image says so."""
        return read_spectral(self.image)

    @property
    def cell(self) -> tuple[int, int]:
        """Pixels of a cell along y and x: they follow from the shape and never from how the image is stored."""
        y, x = choose_cell(self.shape, bands=self.bands, itemsize=self.image.dtype.itemsize)
        return y, x

    def in_units_of(self, other: Cube) -> float:
        """Return the factor from this cube's unit to another's; 1 where either names none."""
        mine, theirs = metres(self.unit), metres(other.unit)
        return mine / theirs if mine and theirs else 1.0

    def band_number(self, band: int | str) -> int:
        """Return the number of a band that is given by number or by name.

        Raises
        ------
        InputError
            There is no such band.
        """
        number = band if isinstance(band, int) else dict(zip(self.band_names, range(self.bands), strict=True)).get(band)
        if number is None or not 0 <= number < self.bands:
            some = ", ".join(self.band_names[:5])
            raise InputError(
                f"{self.image.url} has {self.bands} band(s) ({some} ...) and none {band!r}.",
                remedy=f"Give a number from 0 to {self.bands - 1}, or a name.",
            )
        return number

    def read(self, rows: Span, columns: Span, *, bands: Span | None = None) -> NDArray[Any]:
        """Return a region as (bands, y, x), C-contiguous, in the image's number format.

        Raises
        ------
        StorageError
            A chunk cannot be read.
        """
        region = [slice(0, 1)] * self.image.ndim
        region[self.space[0]], region[self.space[1]] = slice(*rows), slice(*columns)
        if self.band is not None:
            region[self.band] = slice(*(bands or (0, self.bands)))
        order = (() if self.band is None else (self.band,)) + self.space
        rest = tuple(axis for axis in range(self.image.ndim) if axis not in order)
        moved = self.image.read(tuple(region)).transpose(rest + order)
        return np.ascontiguousarray(moved.reshape(-1, *moved.shape[-2:]))

    def measured(self, rows: Span, columns: Span) -> NDArray[np.bool_]:
        """Return where the mask beside the image counts a pixel as measured, shape (y, x); everywhere without one."""
        if self.companion is None:
            return np.ones((rows[1] - rows[0], columns[1] - columns[0]), np.bool_)
        found = np.asarray(self.companion[self._companion_region(rows, columns)])
        return np.asarray(found.reshape(found.shape[-2:]) != 0)

    def cells(
        self, *, rows: Span | None = None, columns: Span | None = None
    ) -> Iterator[tuple[Span, Span, NDArray[Any]]]:
        """Yield rows, columns and pixels (bands, y, x) of each cell; each stretch of storage is read once.

        A cell has the same pixels in the same order in memory, whatever the chunks are, and so whatever is computed
        from it alone has the same bits.

        Parameters
        ----------
        rows, columns
            Of which part of the image, beginning at a cell; all of it when not given.
        """
        for high, wide in self._stretches(rows or (0, self.shape[0]), columns or (0, self.shape[1])):
            pixels = self.read(high, wide)
            for y in _steps(high, self.cell[0]):
                for x in _steps(wide, self.cell[1]):
                    part = pixels[:, y[0] - high[0] : y[1] - high[0], x[0] - wide[0] : x[1] - wide[0]]
                    yield y, x, np.ascontiguousarray(part)

    def _stretches(self, rows: Span, columns: Span) -> Iterator[tuple[Span, Span]]:
        """Yield rows and columns of what is read at a time: whole cells, and whole chunks where the memory allows."""
        level = self.image.levels[0]
        size = list(self.cell)
        grown = True
        while grown:
            grown = False
            for k in (1, 0):
                short = size[k] < min(level.chunks[self.space[k]], self.shape[k])
                if short and 2 * size[0] * size[1] * self.bands * self.image.dtype.itemsize <= STRETCH_BYTES:
                    size[k] *= 2
                    grown = True
        for high in _steps(rows, size[0]):
            for wide in _steps(columns, size[1]):
                yield high, wide

    @property
    def _x_in_y(self) -> float:
        """Factor from the unit of x to that of y."""
        y, x = (metres(self.image.axes[axis].unit) for axis in self.space)
        return x / y if x and y else 1.0

    def _companion_region(self, rows: Span, columns: Span) -> tuple[slice, ...]:
        spatial = [axis for axis in range(self.image.ndim) if self.image.axes[axis].kind == "space"]
        spans = {self.space[0]: slice(*rows), self.space[1]: slice(*columns)}
        return tuple(spans.get(axis, slice(0, 1)) for axis in spatial)


def ratio_of(coarse: Cube, fine: Cube) -> tuple[int, int]:
    """Return how many pixels of a finer image lie in each pixel of a coarser one along y and x, 1 on the same grid.

    Pixels of the finer one that lie past the end of the coarser one, fewer than fill one of its pixels, are allowed.

    Raises
    ------
    InputError
        The pixel sizes are no whole multiples, or the images do not cover the same ground; told in physical units.
    """
    factor, ratio = fine.in_units_of(coarse), []
    for k, name in enumerate("yx"):
        pixel, small = coarse.pixel_size[k], fine.pixel_size[k] * factor
        unit, times = coarse.unit or "units", max(1, round(pixel / small))
        if abs(pixel / small / times - 1) > SAME_SIZE:
            raise InputError(
                f"Along {name} a pixel of {coarse.image.url} is {pixel:g} {unit} and one of {fine.image.url} is "
                f"{small:g} {unit}: not a whole multiple.",
                remedy="Give images of the same grid, or one that divides the other's pixels evenly.",
            )
        gap = coarse.edge[k] - fine.edge[k] * factor
        if abs(gap) > SAME_PLACE * pixel or not 0 <= fine.shape[k] - coarse.shape[k] * times < times:
            raise InputError(
                f"Along {name} {coarse.image.url} begins at {coarse.edge[k]:g} {unit} and has {coarse.shape[k]} pixels "
                f"of {pixel:g}; {fine.image.url} begins at {fine.edge[k] * factor:g} and has {fine.shape[k]} of "
                f"{small:g}: they do not cover the same ground.",
                remedy="Correct the translation of one, or resample one to the other's grid.",
            )
        ratio.append(times)
    return ratio[0], ratio[1]


def _steps(span: Span, step: int) -> Iterator[Span]:
    for start in range(span[0], span[1], step):
        yield start, min(start + step, span[1])
