"""What a block reads where the image lies in an array: the pieces of it that are needed, by the graph's own keys."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    import dask.array as da
    from numpy.typing import NDArray

    from scalesr.images import ArrayImage

Region = tuple[slice, ...]


@dataclass(frozen=True, kw_only=True)
class Part:
    """The part of an image that a block sees, and where in the image its pieces lie."""

    whole: ArrayImage
    """The image, without its pixels."""
    region: Region
    """What is seen of it."""
    places: tuple[Region, ...]
    """Where the pieces lie; together they cover the region."""

    def image(self, pieces: list[NDArray[Any]]) -> ArrayImage:
        """Return the image of which this part can be read."""
        origin = tuple(part.start for part in self.region)
        pixels = np.empty([part.stop - part.start for part in self.region], self.whole.dtype)
        for piece, place in zip(pieces, self.places, strict=True):
            both = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(self.region, place, strict=True)]
            pixels[_within(both, self.region)] = np.asarray(piece)[_within(both, place)]
        return replace(self.whole, pixels=pixels, origin=origin)


@dataclass(frozen=True, kw_only=True)
class ArraySource:
    """An image in an array, as the tasks of a graph get at it."""

    image: ArrayImage
    """The image, whose pixels are of NumPy or of dask."""
    bounds: tuple[tuple[int, ...], ...]
    """Along each axis where chunks begin, and the end."""

    @classmethod
    def of(cls, image: ArrayImage) -> Self:
        """Return how an image is got at; an array of another kind is taken to dask."""
        import dask.array as da  # noqa: PLC0415 it takes most of a second, and a run needs none of it

        pixels = image.pixels
        if not isinstance(pixels, (np.ndarray, da.Array)):
            pixels = da.from_array(pixels)  # type: ignore[no-untyped-call]
        sizes = pixels.chunks if isinstance(pixels, da.Array) else tuple((size,) for size in pixels.shape)
        bounds = tuple((0, *np.cumsum(some).tolist()) for some in sizes)
        return cls(image=replace(image, pixels=pixels), bounds=bounds)

    @property
    def collections(self) -> list[da.Array]:
        """What the tasks depend on."""
        return [] if isinstance(self.image.pixels, np.ndarray) else [self.image.pixels]

    def part(self, region: Region) -> Part:
        """Return what a block is told that sees a region."""
        whole = replace(self.image, pixels=None)
        if not self.collections:
            return Part(whole=whole, region=region, places=(region,))
        places = tuple(
            tuple(slice(edges[i], edges[i + 1]) for edges, i in zip(self.bounds, index, strict=True))
            for index in self._chunks(region)
        )
        return Part(whole=whole, region=region, places=places)

    def pieces(self, region: Region) -> list[Any]:
        """Return the pieces that cover a region: pixels of NumPy, or the keys of chunks of dask."""
        if not self.collections:
            return [self.image.pixels[region]]
        return [(self.image.pixels.name, *index) for index in self._chunks(region)]

    def _chunks(self, region: Region) -> list[tuple[int, ...]]:
        found = [
            range(int(np.searchsorted(edges, part.start, "right")) - 1, int(np.searchsorted(edges, part.stop, "left")))
            for edges, part in zip(self.bounds, region, strict=True)
        ]
        return list(product(*found))


def _within(region: list[slice] | Region, outer: Region) -> Region:
    return tuple(
        slice(part.start - start.start, part.stop - start.start) for part, start in zip(region, outer, strict=True)
    )
