"""Profiles of intensity along a line, of several images of the same ground on one axis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.analysis.cube import Cube
from scalesr.analysis.tabular import Tabular
from scalesr.errors import InputError
from scalesr.tiling.reflect import reflect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Source

RUN = 256
"""Places along the line whose pixels are read at once: a square of so many of the finest pixels, at most."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Linescan(Tabular):
    """Profiles along one line. All have the same places, so that they can be subtracted and divided."""

    distance: NDArray[np.float64]
    """From the line's start, in `unit`, shape (places,)."""
    unit: str | None
    """Unit of the distances: that of the first image."""
    profiles: Mapping[str, NDArray[np.float64]]
    """Intensity of each image by its name, shape (places,)."""
    start: tuple[float, float]
    """Where the line begins, y and x."""
    stop: tuple[float, float]
    """Where it ends."""
    width: float
    """Over what width, across the line, each place is a mean."""

    def snr(self, *, signal: tuple[float, float], ground: tuple[float, float]) -> dict[str, float]:
        """Return for each image (mean over the signal - mean over the ground) / standard deviation over the ground.

        This is scalesr's own definition. Smoothing alone raises it, since it takes noise out of the ground: it says
        nothing of resolution, and an interpolated image belongs beside a restored one. Infinite for a ground without
        any noise, NaN where the signal does not differ from it either.

        Parameters
        ----------
        signal, ground
            Distances from the start between which the line runs over the structure, and over what surrounds it.

        Raises
        ------
        InputError
            Fewer than three places lie in either.
        """
        inside = [self._between(*ends) for ends in (signal, ground)]
        found = {}
        for name, profile in self.profiles.items():
            high, low = (profile[part] for part in inside)
            contrast, noise = float(high.mean() - low.mean()), float(low.std(ddof=1))
            found[name] = contrast / noise if noise else math.nan if not contrast else math.copysign(math.inf, contrast)
        return found

    def relative_snr(self, *, to: str, signal: tuple[float, float], ground: tuple[float, float]) -> dict[str, float]:
        """Return the `snr` of each image over that of one of them; scalesr's own definition.

        Parameters
        ----------
        to
            Name of the image that is 1.
        signal, ground
            See `snr`.

        Raises
        ------
        InputError
            There is no such image, or fewer than three places lie in a stretch.
        """
        if to not in self.profiles:
            raise InputError(
                f"There is no profile {to!r}; there are {', '.join(self.profiles)}.", remedy="Choose one of these."
            )
        found = self.snr(signal=signal, ground=ground)
        base = found[to]
        return {name: value / base if base else math.nan for name, value in found.items()}

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each place: its distance, and the intensity of each image."""
        return [
            {"distance": float(distance), **{name: float(profile[k]) for name, profile in self.profiles.items()}}
            for k, distance in enumerate(self.distance)
        ]

    def plot(self, ax: Any) -> None:
        """Draw all profiles into axes of matplotlib."""
        for name, profile in self.profiles.items():
            ax.plot(self.distance, profile, label=name)
        ax.set(xlabel=f"distance ({self.unit})" if self.unit else "distance", ylabel="intensity")
        ax.legend()

    def _between(self, low: float, high: float) -> NDArray[np.bool_]:
        inside = (self.distance >= low) & (self.distance <= high)
        if np.count_nonzero(inside) < 3:
            raise InputError(
                f"Fewer than three places lie between {low:g} and {high:g} {self.unit or 'units'} of a line of "
                f"{self.distance[-1]:g}.",
                remedy="Give a longer stretch.",
            )
        return inside


def linescan(
    images: Mapping[str, Source],
    *,
    start: tuple[float, float],
    stop: tuple[float, float],
    band: int | str = 0,
    width: float = 0.0,
    step: float | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Linescan:
    """Return the profiles of images along a line, by linear interpolation between the centres of their pixels.

    Places are physical, by the metadata of each image, so that a measurement and what was restored from it lie on one
    axis. Between the outermost centres and the edge the image is mirrored about these centres. Only pixels near the
    line are read. A place next to a pixel that is not finite is NaN.

    Parameters
    ----------
    images
        OME-Zarr images by the names that the profiles shall have. Units may differ, if they are known lengths.
    start, stop
        Ends of the line, (y, x) in the unit of the first image.
    band
        By number or by name; the same for all.
    width
        Each place is the mean over so much across the line, in the same unit; 0 takes the line alone.
    step
        From place to place; half the finest pixel when not given.
    storage_options
        Handed to fsspec.

    Raises
    ------
    InputError
        No image, no line, a line that leaves an image, or no such band.
    """
    cubes = {name: Cube.open(source, storage_options=storage_options) for name, source in images.items()}
    length = math.hypot(stop[0] - start[0], stop[1] - start[1])
    if not cubes or not 0 < length < math.inf or not 0 <= width < math.inf:
        raise InputError(
            f"{len(cubes)} images and a line from {start} to {stop} of width {width:g} have no profile.",
            remedy="Give one image or more, two different ends, and a width that is not negative.",
        )
    first = next(iter(cubes.values()))
    finest = min(min(cube.pixel_size) * cube.in_units_of(first) for cube in cubes.values())
    step = finest / 2 if step is None else step
    if not 0 < step <= length:
        raise InputError(f"Steps of {step:g} along a line of {length:g}.", remedy="Give a shorter one, above zero.")
    distance = np.arange(math.floor(length / step + 1e-9) + 1, dtype=np.float64) * step
    lines = max(1, math.ceil(width / step - 1e-9)) if width else 1
    # Centres of equal parts of the width.
    across = (np.arange(lines) + 0.5) / lines * width - width / 2
    along = (stop[0] - start[0]) / length, (stop[1] - start[1]) / length
    places = tuple(start[k] + distance[:, None] * along[k] + across * (along[1], -along[0])[k] for k in range(2))
    profiles = {
        name: _profile(cube, cube.band_number(band), places, factor=first.in_units_of(cube))
        for name, cube in cubes.items()
    }
    return Linescan(distance=distance, unit=first.unit, profiles=profiles, start=start, stop=stop, width=width)


def _profile(cube: Cube, band: int, places: tuple[NDArray[np.float64], ...], *, factor: float) -> NDArray[np.float64]:
    """Return the means over the lines at each place, shape (places,)."""
    pixels = [
        (position * factor - edge) / size - 0.5
        for position, edge, size in zip(places, cube.edge, cube.pixel_size, strict=True)
    ]
    for name, position, n in zip("yx", pixels, cube.shape, strict=True):
        low, high = float(position.min()), float(position.max())
        if low < -0.5 - 1e-6 or high > n - 0.5 + 1e-6:
            k = "yx".index(name)
            edge, size = cube.edge[k] / factor, cube.pixel_size[k] / factor
            raise InputError(
                f"The line runs from {edge + (low + 0.5) * size:g} to {edge + (high + 0.5) * size:g} along {name}, "
                f"and {cube.image.url} from {edge:g} to {edge + n * size:g}.",
                remedy="Choose a line inside all images, with its width.",
            )
    values = [
        _interpolate(cube, band, pixels[0][begin : begin + RUN], pixels[1][begin : begin + RUN])
        for begin in range(0, len(pixels[0]), RUN)
    ]
    return np.asarray(np.concatenate(values).mean(axis=1))


def _interpolate(cube: Cube, band: int, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the image between its pixels, at places in pixels from the centre of the first."""
    low = [np.floor(position).astype(np.int64) for position in (y, x)]
    share = [position - below for position, below in zip((y, x), low, strict=True)]
    # Places lie less than a pixel beyond the outermost centres.
    mirrors = [np.array([reflect(index, n) for index in range(-1, n + 1)]) for n in cube.shape]
    near = [[mirror[below + k + 1] for k in (0, 1)] for below, mirror in zip(low, mirrors, strict=True)]
    (top, bottom), (left, right) = (
        (int(min(part.min() for part in pair)), int(max(part.max() for part in pair)) + 1) for pair in near
    )
    pixels = cube.read((top, bottom), (left, right), bands=(band, band + 1))[0].astype(np.float64)
    total = np.zeros(y.shape)
    for k in (0, 1):
        for j in (0, 1):
            weight = (share[0] if k else 1 - share[0]) * (share[1] if j else 1 - share[1])
            value = pixels[near[0][k] - top, near[1][j] - left]
            # A pixel without weight has no say, even where it is not finite.
            total += np.where(weight > 0, weight * value, 0.0)
    return total
