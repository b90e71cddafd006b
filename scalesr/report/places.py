"""Where a report looks closely: by the structure of an overview, which is our own choice and said on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.images import Image
    from scalesr.report.scene import Scene
    from scalesr.tiling import AxisLattice

EDGE = 256
"""Pixels of the output along an edge of a place."""
WIDE = 400
"""Pixels that the longer edge of an overview has at least, where the image has as many."""
MOST = 2048
"""Pixels that an edge of an overview has at most."""
WINDOWS = 128
"""Windows along an edge of an overview that are compared at most."""
BIN = 4
"""Pixels of a sample whose means are compared: what is left of noise in them is a quarter."""
WHOLE = "The whole section"
TITLES = ("Most structure", "Next most structure", "Typical structure")


@dataclass(frozen=True, kw_only=True)
class Overview:
    """A section through the whole output, coarse."""

    axes: tuple[int, int]
    """Axes that it shows, rows first."""
    at: tuple[int, ...]
    """Pixel of the output along each axis; of `axes` it does not count."""
    bands: tuple[int, ...]
    """Bands that are shown."""
    pixels: NDArray[Any]
    """Shape (bands, rows, columns)."""
    start: tuple[float, float]
    """First pixel of the output that it shows, along `axes`."""
    factors: tuple[float, float]
    """Pixels of the output for each of its own, along `axes`."""
    level: int
    """Level of the pyramid that it is of."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A part of the input and what became of it; more than is shown where the model mixes a third axis."""

    title: str
    """Why it was chosen."""
    axes: tuple[int, int]
    """Axes that are shown, rows first."""
    start: tuple[int, ...]
    """First pixel of the input along each axis; whole pixels of the output begin there."""
    size: tuple[int, ...]
    """Pixels of the input along each axis."""
    shown: tuple[int, ...]
    """Pixel of the output, from the place's first on, that is shown along each axis but `axes`."""
    bands: tuple[int, ...]
    """Bands that are shown."""

    def out(self, lattice: tuple[AxisLattice, ...]) -> tuple[tuple[int, int], ...]:
        """Return the pixels of the output that are shown, along each axis; of bands, all."""
        found = []
        for a, (axis, first, size) in enumerate(zip(lattice, self.start, self.size, strict=True)):
            begin = int(first * axis.scale)
            if a in self.axes:
                found.append((begin, min(int((first + size) * axis.scale), axis.out_size)))
            else:
                found.append((begin + self.shown[a], begin + self.shown[a] + 1))
        return tuple(found)

    def own(self, lattice: tuple[AxisLattice, ...]) -> tuple[tuple[int, int], ...]:
        """Return the pixels of the input that lie there, along each axis."""
        found = []
        for a, (axis, first, size) in enumerate(zip(lattice, self.start, self.size, strict=True)):
            if a in self.axes:
                found.append((first, first + size))
            else:
                pixel = min(first + int(self.shown[a] / axis.scale), axis.size - 1)
                found.append((pixel, pixel + 1))
        return tuple(found)


def overviews(scene: Scene) -> tuple[Overview, ...]:
    """Return the sections of a volume that matter most, or the plane of an image.

    Where a model adds planes, the section across them comes first.

    Raises
    ------
    StorageError
        A chunk cannot be read.
    """
    space = scene.space
    bands = _bands(scene)
    plane = (space[-2], space[-1])
    sections = [plane]
    if len(space) == 3 and scene.plan.mixed[space[0]] and scene.output.shape[space[0]] > 1:
        across = (space[0], space[-1])
        sections = [across, plane] if scene.plan.lattice.axes[space[0]].scale > 1 else [plane, across]
    at = [_strongest(scene, axis) for axis in range(scene.output.ndim)]
    return tuple(_overview(scene.output, axes, tuple(at), bands, scene.band) for axes in sections)


def places(scene: Scene, seen: tuple[Overview, ...], *, most: int) -> tuple[Place, ...]:
    """Return the places to look at closely: most structure first, then next, then the median of all.

    Parameters
    ----------
    scene
        The images.
    seen
        The sections that they are chosen from: most in the first, one in the second.
    most
        How many.
    """
    found: list[Place] = []
    for number, overview in enumerate(seen):
        wanted = most if len(seen) == 1 else max(1, most - 1) if number == 0 else min(1, most - len(found))
        found += _chosen(scene, overview, wanted)
    return tuple(found)


def structure(plane: NDArray[Any]) -> NDArray[np.float64]:
    """Return how strongly a plane changes from pixel to pixel; what is not finite does not change."""
    values = np.nan_to_num(plane.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    changes = [np.abs(np.gradient(values, axis=axis)) for axis in range(2) if values.shape[axis] > 1]
    total: NDArray[np.float64] = np.sqrt(sum(change**2 for change in changes)) if changes else np.zeros(values.shape)
    return total


def _bands(scene: Scene) -> tuple[int, ...]:
    if scene.band is None:
        return (0,)
    if scene.colours() is not None:
        return tuple(range(scene.output.shape[scene.band]))
    return (_strongest(scene, scene.band),)


def _strongest(scene: Scene, axis: int) -> int:
    """Return the entry of an axis that differs most from place to place, by means over a few pixels."""
    pixels = scene.sample.pixels
    if pixels.shape[axis] == 1:
        return min(scene.sample.place(axis, 0), scene.output.shape[axis] - 1)
    values = np.nan_to_num(pixels.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    for other in scene.space[-2:]:
        size = values.shape[other] // BIN * BIN
        if other != axis and size:
            shape = (*values.shape[:other], size // BIN, BIN, *values.shape[other + 1 :])
            values = np.take(values, range(size), axis=other).reshape(shape).mean(axis=other + 1)
    others = tuple(other for other in range(values.ndim) if other != axis)
    entry = int(np.argmax(values.std(axis=others)))
    return min(scene.sample.place(axis, entry), scene.output.shape[axis] - 1)


def _overview(
    image: Image, axes: tuple[int, int], at: tuple[int, ...], bands: tuple[int, ...], band: int | None
) -> Overview:
    wide = [max(level.shape[a] for a in axes) for level in image.levels]
    number = max((n for n, size in enumerate(wide) if size >= WIDE), default=0)
    level = image.levels[number]
    factors = [coarse / fine for coarse, fine in zip(level.scale, image.levels[0].scale, strict=True)]
    region = []
    for a, size in enumerate(level.shape):
        if a in axes:
            cut = max(0, size - MOST) // 2
            region.append(slice(cut, min(cut + MOST, size)))
        else:
            entry = min(int(at[a] / factors[a]), size - 1)
            region.append(slice(entry, entry + 1))
    planes = []
    for number_of_band in bands:
        if band is not None:
            region[band] = slice(number_of_band, number_of_band + 1)
        found = image.read(tuple(region), level=number)
        planes.append(found.reshape([found.shape[a] for a in axes]))
    first, second = axes
    return Overview(
        axes=axes,
        at=at,
        bands=bands,
        pixels=np.stack(planes),
        start=(region[first].start * factors[first], region[second].start * factors[second]),
        factors=(factors[first], factors[second]),
        level=number,
    )


def _chosen(scene: Scene, overview: Overview, most: int) -> list[Place]:
    """Return the places of one section, at most so many."""
    lattice = scene.plan.lattice.axes
    sizes = [_size(lattice[a]) for a in overview.axes]
    change = sum(structure(plane) / (high - low) for plane, (low, high) in _spanned(scene, overview))
    assert not isinstance(change, int)
    steps = [
        max(1, round(size * float(lattice[a].scale) / factor), -(-n // WINDOWS))
        for a, size, factor, n in zip(overview.axes, sizes, overview.factors, change.shape, strict=True)
    ]
    rows, columns = (
        sorted({*range(0, max(n - step, 0) + 1, max(step // 4, -(-n // WINDOWS))), max(n - step, 0)})
        for n, step in zip(change.shape, steps, strict=True)
    )
    sums = np.pad(change.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    windows = [
        (
            float(
                sums[min(y + steps[0], change.shape[0]), min(x + steps[1], change.shape[1])]
                - sums[y, min(x + steps[1], change.shape[1])]
                - sums[min(y + steps[0], change.shape[0]), x]
                + sums[y, x]
            ),
            y,
            x,
        )
        for y in rows
        for x in columns
    ]
    windows.sort(key=lambda window: -window[0])
    ordered = [windows[0]]
    ordered += next(([w] for w in windows if all(_apart(w, o, steps) for o in ordered)), [])
    middle = windows[len(windows) // 2 :]
    ordered += next(([w] for w in middle if all(_apart(w, o, steps) for o in ordered)), [])
    titles = TITLES if len(ordered) == 3 else TITLES[: len(ordered)]
    picked = list(zip(ordered, titles, strict=True))
    if most == 2 and len(picked) == 3:
        picked = [picked[0], picked[2]]
    if len(windows) == 1:
        picked = [(ordered[0], WHOLE)]
    return [_place(scene, overview, title, (y, x), sizes) for (_, y, x), title in picked[:most]]


def _spanned(scene: Scene, overview: Overview) -> list[tuple[NDArray[Any], tuple[float, float]]]:
    return [(plane, scene.span(band)) for plane, band in zip(overview.pixels, overview.bands, strict=True)]


def _apart(window: tuple[float, int, int], other: tuple[float, int, int], steps: list[int]) -> bool:
    return abs(window[1] - other[1]) >= steps[0] or abs(window[2] - other[2]) >= steps[1]


def _size(axis: AxisLattice) -> int:
    """Return the pixels of the input along an edge of a place: whole pixels of the output, and some 256 of them."""
    unit = axis.scale.denominator
    return min(max(unit, round(EDGE / float(axis.scale) / unit) * unit), axis.size)


def _place(scene: Scene, overview: Overview, title: str, corner: tuple[int, int], sizes: list[int]) -> Place:
    lattice = scene.plan.lattice.axes
    start, size, shown = [], [], []
    for a, axis in enumerate(lattice):
        unit, many = axis.scale.denominator, axis.scale.numerator
        if a in overview.axes:
            k = overview.axes.index(a)
            first = int((overview.start[k] + corner[k] * overview.factors[k]) / axis.scale)
            first = max(0, min(first, axis.size - sizes[k])) // unit * unit
            start.append(first)
            size.append(min(sizes[k], axis.size - first))
            shown.append(0)
        else:
            first = min(int(overview.at[a] / axis.scale), axis.size - 1) // unit * unit
            start.append(first)
            size.append(min(unit, axis.size - first))
            # Where planes are added, one that lies between those that were measured.
            shown.append(min(many // 2 if unit < many else 0, axis.out_size - 1 - int(first * axis.scale)))
    return Place(
        title=title,
        axes=overview.axes,
        start=tuple(start),
        size=tuple(size),
        shown=tuple(shown),
        bands=overview.bands,
    )
