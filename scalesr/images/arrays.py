"""An image whose pixels lie in an array, of NumPy or of dask, in place of storage."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from scalesr.errors import InputError
from scalesr.images.image import Image, Level

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scalesr.images.axes import Axis, Channel
    from scalesr.images.showing import Picture

KINDS = "iuf"
"""Kinds of numbers that pixels can be: integers with and without sign, and floats."""


@dataclass(frozen=True, repr=False)
class ArrayImage(Image):
    """An image of one resolution whose pixels are those of an array; it can be read and measured like any other.

    A part of a larger image is one too: it has the shape of the whole, and `origin` says where its pixels begin.
    """

    pixels: Any = field(default=None, compare=False, repr=False)
    """What is indexed by slices and made an array by NumPy: of NumPy, of dask, or an array of Zarr."""
    origin: tuple[int, ...] = ()
    """First pixel of the array along each axis."""
    token: str = ""
    """What tells these pixels from others."""

    @classmethod
    def of(
        cls,
        pixels: Any,
        *,
        axes: Sequence[Axis],
        scale: Sequence[float] | None = None,
        translation: Sequence[float] | None = None,
        channels: Sequence[Channel] = (),
        name: str = "array",
        token: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> Self:
        """Return the image of a whole array.

        Parameters
        ----------
        pixels
            Anything with ``shape`` and ``dtype`` that is indexed by slices and made an array by NumPy.
        axes
            One for each dimension, slowest first.
        scale, translation
            Size of a pixel and centre of the first one, in the unit of each axis; 1 and 0 when not given.
        channels
            One for each channel, or none.
        name
            What messages call it.
        token
            What tells these pixels from others; results that are kept by it are found again by it.
        metadata
            Attributes as an image in storage would have them.

        Raises
        ------
        InputError
            There is not one axis for each dimension, no pixel, or the pixels are no numbers.
        """
        shape, dtype = tuple(map(int, pixels.shape)), np.dtype(pixels.dtype)
        if len(axes) != len(shape) or not all(shape):
            raise InputError(
                f"An array of shape {shape} does not fit the axes {', '.join(axis.name for axis in axes)}.",
                remedy="Give one axis for each dimension, and at least one pixel along each.",
            )
        if dtype.kind not in KINDS:
            raise InputError(
                f"The pixels of {name} are of type {dtype}.",
                remedy="Give integers or floats, for example .astype('uint8').",
            )
        steps = tuple(scale) if scale is not None else (1.0,) * len(shape)
        start = tuple(translation) if translation is not None else (0.0,) * len(shape)
        chunks = tuple(getattr(pixels, "chunksize", None) or getattr(pixels, "chunks", None) or shape)
        level = Level("0", shape, chunks, None, dtype.name, steps, start)
        return cls(
            url=f"{name}.memory",
            version="0.5",
            name=name,
            axes=tuple(axes),
            levels=(level,),
            channels=tuple(channels),
            metadata=dict(metadata or {}),
            pixels=pixels,
            origin=(0,) * len(shape),
            token=token,
        )

    def array(self, level: int = 0) -> Any:
        """Raise: there is no array in storage.

        Raises
        ------
        InputError
            Always.
        """
        del level
        raise InputError(f"{self.name} lies in memory.", remedy="Write it as OME-Zarr first.")

    def read(self, region: tuple[slice, ...], *, level: int = 0, on_bad: str = "raise") -> Any:
        """Return the pixels of a region; see `Image.read`. What fails raises its own error."""
        del level
        inner = tuple(
            slice(part.start - first, part.stop - first) for part, first in zip(region, self.origin, strict=True)
        )
        found = self.pixels[inner]
        if hasattr(found, "compute"):
            # Of dask: in threads of its own, since a task of a cluster that waits for others may wait for ever.
            found = found.compute(scheduler="threads")
        found = np.asarray(found)
        found = found.astype(found.dtype.newbyteorder("="), copy=False)
        return found if on_bad == "raise" else (found, ())

    def decode_into(self, region: tuple[slice, ...], out: Any, *, level: int = 0) -> bool:
        """Return false: there is nothing to decode."""
        del region, out, level
        return False

    def fingerprint(self) -> str:
        """Return the SHA-256 of the token and of what the pixels mean."""
        level = self.levels[0]
        facts = {
            "token": self.token,
            "shape": level.shape,
            "dtype": level.dtype,
            "axes": [[axis.name, axis.kind, axis.unit] for axis in self.axes],
            "scale": level.scale,
            "translation": level.translation,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _picture(self) -> Picture | None:
        """Return a picture of pixels that are there; those of dask would have to be computed."""
        return super()._picture() if isinstance(self.pixels, np.ndarray) else None
