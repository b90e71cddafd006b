"""Which pixels of an image were measured: regions that are not rectangles, and pixels that gave nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from scalesr.engine.events import StageAdvanced, StageStarted
from scalesr.errors import InputError, StorageError
from scalesr.images import Location, open_image
from scalesr.images.importing.companions import open_companion
from scalesr.images.inflating import bounded
from scalesr.images.stores import StoreOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from numpy.typing import NDArray

    from scalesr.engine.events import Callback
    from scalesr.images import Image
    from scalesr.images.image import Version
    from scalesr.models import Sampling

NAME = "mask"
"""What the array beside an image is called: not zero where there is a measurement."""
STAGE = "reading the mask"
STEP_VOXELS = 2**24
"""Voxels of a mask that are read at a time."""


@dataclass(frozen=True, kw_only=True)
class Mask:
    """Which pixels of an image were measured; it holds no pixels, so that it travels cheaply to every worker."""

    url: str
    """The group that the array lies in."""
    options: StoreOptions = field(default_factory=StoreOptions, repr=False)
    """Options of its storage."""
    path: str
    """Path of the array below the group."""
    version: Version
    """Version of OME-Zarr."""
    axes: tuple[int | None, ...]
    """Which axis of the image each axis of the array is; ``None`` where it has one entry that serves all."""
    ndim: int
    """Axes of the image."""
    sha256: str = ""
    """Hash of where it is zero and where not."""
    measured: int = 0
    """Pixels that were measured."""
    pixels: int = 0
    """All pixels."""

    def read(self, region: tuple[slice, ...]) -> NDArray[np.bool_]:
        """Return where a region of the image was measured; axes that the mask does not have are of size 1.

        Raises
        ------
        StorageError
            A chunk cannot be read.
        """
        own = tuple(slice(0, 1) if a is None else region[a] for a in self.axes)
        array = _opened(self.url, self.options, self.path, self.version)
        try:
            values = np.asarray(array[own])
        except Exception as error:
            raise StorageError(
                f"{self.url}/{self.path} cannot be read: {error}.",
                remedy="Mend that array, or use --mask none.",
            ) from error
        there = [a for a in self.axes if a is not None]
        shape = [1] * self.ndim
        for a in there:
            shape[a] = region[a].stop - region[a].start
        kept = values.reshape([values.shape[k] for k, a in enumerate(self.axes) if a is not None]) != 0
        ordered: NDArray[np.bool_] = kept.transpose(np.argsort(there)).reshape(shape)
        return ordered

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(_opened(self.url, self.options, self.path, self.version).shape)


@lru_cache(maxsize=8)
def _opened(url: str, options: StoreOptions, path: str, version: Version) -> zarr.Array[Any]:
    store = Location(url, options).store("read")
    return bounded(zarr.open_array(store, path=path, mode="r", zarr_format=3 if version == "0.5" else 2))


def nearest(places: range, scale: Fraction, *, sampling: Sampling = "area") -> NDArray[np.intp]:
    """Return which input pixel each output pixel belongs to, along one axis.

    Where pixels are areas it is the one that it lies in. Where they are points it is the last at or below it, counted
    by `row_of`, so that no block must know its neighbours.
    """
    where = np.arange(places.start, places.stop, dtype=np.intp)
    if sampling == "point":
        return ((2 * where + 1) * scale.denominator - 1) // (2 * scale.numerator)
    return where * scale.denominator // scale.numerator


def find_mask(image: Image, *, level: int, how: str, tell: Callback) -> Mask | None:
    """Return which pixels of an image were measured, or None where all were.

    The mask is read once, so that a run is not resumed with another.

    Parameters
    ----------
    image, level
        What is processed.
    how
        ``auto``, ``none``, or the path or URL of an OME-Zarr image; see `Options`.
    tell
        Called with each event.

    Raises
    ------
    InputError
        The mask has another shape, leaves nothing, or belongs to another level.
    StorageError
        A chunk of it cannot be read.
    """
    if how == "none":
        return None
    found = _beside(image) if how == "auto" else _named(image, how, level=level)
    if found is None:
        return None
    if how == "auto" and level:
        raise InputError(
            f"The mask beside {image.url} belongs to its level 0, and level {level} is to be processed.",
            remedy="Use --level 0, --mask none, or give a mask of that level with --mask.",
        )
    return _examined(found, image, tell=tell)


def _beside(image: Image) -> Mask | None:
    if open_companion(image, NAME) is None:
        return None
    return Mask(
        url=image.url,
        options=StoreOptions.of(image.storage_options),
        path=NAME,
        version=image.version,
        axes=tuple(a for a, axis in enumerate(image.axes) if axis.kind == "space"),
        ndim=image.ndim,
    )


def _named(image: Image, how: str, *, level: int) -> Mask:
    mask = open_image(how)
    shape = image.levels[level].shape
    axes: list[int | None] = []
    for axis, size in zip(mask.axes, mask.shape, strict=True):
        own = next((a for a, other in enumerate(image.axes) if other.name == axis.name and other.kind == "space"), None)
        if own is None and size != 1:
            raise InputError(
                f"The mask {mask.url} has {size} entries along {axis.name!r}; a mask says for each place whether it "
                "was measured, for all bands and times.",
                remedy="Give a mask with the spatial axes of the image.",
            )
        if own is not None and size != shape[own]:
            raise InputError(
                f"The mask {mask.url} has {size} pixels along {axis.name!r}; {image.url} has {shape[own]}.",
                remedy="Give a mask of the same pixels, or --mask none.",
            )
        axes.append(own)
    lacking = [
        axis.name for a, axis in enumerate(image.axes) if axis.kind == "space" and shape[a] > 1 and a not in axes
    ]
    if lacking:
        raise InputError(
            f"The mask {mask.url} has no axis {' and '.join(map(repr, lacking))}.",
            remedy="Give a mask with the spatial axes of the image.",
        )
    return Mask(
        url=mask.url,
        options=StoreOptions.of(mask.storage_options),
        path=mask.levels[0].path,
        version=mask.version,
        axes=tuple(axes),
        ndim=image.ndim,
    )


def _examined(mask: Mask, image: Image, *, tell: Callback) -> Mask:
    """Return the mask with its hash and count."""
    shape = [1] * image.ndim
    for a, size in zip(mask.axes, mask.shape, strict=True):
        if a is not None:
            shape[a] = size
    regions = list(_regions(tuple(shape)))
    tell(StageStarted(name=STAGE, total=len(regions)))
    digest, measured = hashlib.sha256(repr(shape).encode()), 0
    for region in regions:
        kept = mask.read(region)
        digest.update(np.packbits(kept).tobytes())
        measured += int(np.count_nonzero(kept))
        tell(StageAdvanced(name=STAGE))
    if not measured:
        raise InputError(f"The mask {mask.url} is zero everywhere.", remedy="Give another with --mask, or --mask none.")
    return Mask(**{**vars(mask), "sha256": digest.hexdigest(), "measured": measured, "pixels": prod(shape)})


def _regions(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Yield regions that cover an image and hold some `STEP_VOXELS` each, in a fixed order."""
    step = [1] * len(shape)
    for a in reversed(range(len(shape))):
        step[a] = max(1, min(shape[a], STEP_VOXELS // prod(step)))
        if step[a] > 512:
            step[a] -= step[a] % 512 if step[a] < shape[a] else 0
    spans = ([slice(i, min(i + k, n)) for i in range(0, n, k)] for n, k in zip(shape, step, strict=True))
    yield from product(*spans)
