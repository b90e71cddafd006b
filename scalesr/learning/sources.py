"""Where training takes its truth from: images in storage, read by region, and arrays."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from scalesr.errors import InputError
from scalesr.images import apart, image_statistics
from scalesr.images.importing.companions import open_companion
from scalesr.tiling.reflect import reflect, reflected_span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from scalesr.images import Image, Statistics

LOW, HIGH = 0.1, 99.9
"""Percentiles that become 0 and 1, the same as in a run."""
ENOUGH_PIXELS = 2**24
"""Pixels of a band that its percentiles are taken of at least, if the image has a level of so many."""
HELD_BYTES = 2**28
"""Images of at most so many bytes are kept in memory once they are read."""
MASK = "mask"
"""Zarr array beside the levels that is 0 where nothing was measured."""


class Source(Protocol):
    """Planes of one size that patches are cut from."""

    @property
    def name(self) -> str:
        """Short name for messages."""

    @property
    def weight(self) -> float:
        """Share of the patches, relative to other sources."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, and pixels along y and x."""

    @property
    def identity(self) -> str:
        """Text that is equal for the same pixels only; training goes on with the same sources alone."""

    def read(self, plane: int, y: slice, x: slice) -> NDArray[np.float32]:
        """Return some pixels of a plane, normalised to about 0 to 1; NaN where nothing was measured."""


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Planes in memory.

    Parameters
    ----------
    pixels
        Real numbers of shape (bands, y, x) or (y, x); NaN where nothing was measured.
    name
        Short name for messages.
    weight
        Share of the patches, relative to other sources.
    normalise
        ``percentile``: the 0.1 and 99.9 percentiles of each band become 0 and 1, nothing is clipped. ``none``: the
        pixels are taken as they are.

    Raises
    ------
    InputError
        The array has another number of axes, or holds no number at all.
    """

    pixels: NDArray[np.float32]
    name: str
    weight: float
    identity: str

    def __init__(
        self,
        pixels: ArrayLike,
        *,
        name: str = "array",
        weight: float = 1.0,
        normalise: Literal["percentile", "none"] = "percentile",
    ) -> None:
        values = np.asarray(pixels)
        values = values[None] if values.ndim == 2 else values
        if values.ndim != 3 or not values.size:
            raise InputError(f"{name} has the shape {values.shape}.", remedy="Give (bands, y, x) or (y, x).")
        values = np.where(np.isfinite(values), values, np.nan).astype(np.float32)
        if normalise == "percentile":
            bounds = np.array([_percentiles(band, name) for band in values], np.float32)
            values = (values - bounds[:, :1, None]) / (bounds[:, 1:, None] - bounds[:, :1, None])
        object.__setattr__(self, "pixels", np.ascontiguousarray(values))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "weight", weight)
        digest = hashlib.sha256(self.pixels.tobytes()).hexdigest()
        object.__setattr__(self, "identity", f"array {self.pixels.shape} {weight:g} {digest}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Bands, and pixels along y and x."""
        bands, y, x = self.pixels.shape
        return bands, y, x

    def read(self, plane: int, y: slice, x: slice) -> NDArray[np.float32]:
        """Return some pixels of a band."""
        return self.pixels[plane, y, x]


def _percentiles(band: NDArray[np.float32], name: str) -> tuple[float, float]:
    there = band[np.isfinite(band)]
    if not there.size:
        raise InputError(f"A band of {name} holds no number.", remedy="Leave out bands that were not measured.")
    low, high = np.percentile(there, (LOW, HIGH))
    return apart(float(low), float(high), least=float(there.min()), most=float(there.max()))


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageSource:
    """The planes (y, x) of an OME-Zarr image of any size: those of all channels, then of the next z, the next time.

    Pixels are read by region, when a patch is cut. The figures of a band, its 0.1 and 99.9 percentiles, are read in one
    pass when the band is first drawn, of the coarsest level that still has 2^24 pixels to a band. Pixels that are not
    finite, and those where the array ``mask`` beside the levels is 0, are missing.
    """

    image: Image
    """From `scalesr.images.open_image`."""
    weight: float = 1.0
    """Share of the patches, relative to other sources."""
    _bounds: dict[int, tuple[float, float]] = field(default_factory=dict, init=False, repr=False)
    _held: dict[int, NDArray[np.float32]] = field(default_factory=dict, init=False, repr=False)
    _mask: list[Any] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if set("yx") - set(self.image.axis_names):
            raise InputError(
                f"{self.image.url} has the axes '{''.join(self.image.axis_names)}'.",
                remedy="Give an image of planes, with y and x.",
            )

    @property
    def name(self) -> str:
        """Address of the image."""
        return self.image.url

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, and pixels along y and x."""
        size = dict(zip(self.image.axis_names, self.image.shape, strict=True))
        return math.prod(n for a, n in size.items() if a not in "yx"), size["y"], size["x"]

    @property
    def identity(self) -> str:
        """The image's address and the hash of its metadata; pixels are not read for it."""
        return f"image {self.image.url} {self.weight:g} {self.image.fingerprint()}"

    def read(self, plane: int, y: slice, x: slice) -> NDArray[np.float32]:
        """Return some pixels of a plane.

        Raises
        ------
        StorageError
            A chunk cannot be read; the message names it.
        """
        if self.image.nbytes > HELD_BYTES:
            return self._normalised(plane, y, x)
        if plane not in self._held:
            self._held[plane] = self._normalised(plane, slice(0, self.shape[1]), slice(0, self.shape[2]))
        return self._held[plane][y, x]

    def _normalised(self, plane: int, y: slice, x: slice) -> NDArray[np.float32]:
        names = self.image.axis_names
        size = dict(zip(names, self.image.shape, strict=True))
        # The channels of a place are neighbours, so that a network of several finds them together.
        order = sorted((a for a in names if a not in "yx"), key="c".__eq__)
        found = np.unravel_index(plane, [size[a] for a in order]) if order else ()
        others = {a: slice(int(k), int(k) + 1) for a, k in zip(order, found, strict=True)}
        index = {a: {"y": y, "x": x, **others}[a] for a in names}
        low, high = self._range(index["c"].start if "c" in index else 0)
        values = (self.image.read(tuple(index.values())).astype(np.float32) - np.float32(low)) / np.float32(high - low)
        values[~np.isfinite(values)] = np.nan
        mask = self._mask_array()
        if mask is not None:
            there = np.asarray(mask[tuple(index[a] for a in names if a in "zyx")])
            values[there.reshape(values.shape) == 0] = np.nan
        # All axes other than y and x have one entry.
        rows, columns = names.index("y"), names.index("x")
        flat = values.reshape(values.shape[min(rows, columns)], values.shape[max(rows, columns)])
        return flat if rows < columns else flat.T

    def _range(self, channel: int) -> tuple[float, float]:
        if channel not in self._bounds:
            self._bounds[channel] = self._figures(channel).span(LOW, HIGH)
        return self._bounds[channel]

    def _figures(self, channel: int) -> Statistics:
        names, levels = self.image.axis_names, self.image.levels
        bands = self.image.shape[names.index("c")] if "c" in names else 1
        level = 0
        while level + 1 < len(levels) and math.prod(levels[level + 1].shape) // bands >= ENOUGH_PIXELS:
            level += 1
        region = tuple(
            slice(channel, channel + 1) if a == "c" else slice(0, n)
            for a, n in zip(names, levels[level].shape, strict=True)
        )
        return image_statistics(self.image, level=level, region=region)

    def _mask_array(self) -> Any:
        if not self._mask:
            self._mask.append(open_companion(self.image, MASK))
        return self._mask[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class Strip:
    """Some rows of a source, as a source of its own."""

    source: Source
    """What it is a part of."""
    start: int
    """First row."""
    stop: int
    """Row after the last."""

    @property
    def name(self) -> str:
        """Name of the whole, and the rows."""
        return f"{self.source.name}[{self.start}:{self.stop}]"

    @property
    def weight(self) -> float:
        """That of the whole."""
        return self.source.weight

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, rows and columns."""
        planes, _, x = self.source.shape
        return planes, self.stop - self.start, x

    @property
    def identity(self) -> str:
        """That of the whole, and the rows."""
        return f"rows {self.start}:{self.stop} of {self.source.identity}"

    def read(self, plane: int, y: slice, x: slice) -> NDArray[np.float32]:
        """Return some pixels of a plane; rows are counted from the first of the strip."""
        return self.source.read(plane, slice(y.start + self.start, y.stop + self.start), x)


def hold_out(sources: Sequence[Source], *, share: int = 8, rows: int = 64) -> tuple[list[Source], list[Source]]:
    """Part each source in what is trained on, above, and a strip for validation, below.

    The choice is ours: one strip costs least of the image at borders, and neighbouring patches share no pixel with it.

    Parameters
    ----------
    sources
        What there is.
    share
        The strip has one row in so many,
    rows
        but at least so many. A source of less than three times as many is trained on as a whole.

    Returns
    -------
    tuple
        What to train on, one part of each source, and the strips, which may be none.
    """
    train: list[Source] = []
    strips: list[Source] = []
    for source in sources:
        height = source.shape[1]
        strip = max(rows, height // share)
        if height < 3 * rows:
            train.append(source)
            continue
        train.append(Strip(source=source, start=0, stop=height - strip))
        strips.append(Strip(source=source, start=height - strip, stop=height))
    return train, strips


def cut(source: Source, plane: int, *, y: int, x: int, edge: tuple[int, int]) -> NDArray[np.float32]:
    """Return a patch that may reach past the plane, which is mirrored there about its outermost pixels' centres."""
    _, height, width = source.shape
    (top, bottom), (left, right) = reflected_span(y, y + edge[0], height), reflected_span(x, x + edge[1], width)
    found = source.read(plane, slice(top, bottom), slice(left, right))
    rows = [reflect(row, height) - top for row in range(y, y + edge[0])]
    columns = [reflect(column, width) - left for column in range(x, x + edge[1])]
    return found[np.ix_(rows, columns)]
