"""An image in storage: what it is, and its pixels by region."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import zarr

from scalesr.errors import InputError, ScalesrError
from scalesr.images.inflating import bounded
from scalesr.images.locations import Location
from scalesr.images.reading import BadChunk, decode_into, read_region
from scalesr.images.shards import ShardReader
from scalesr.images.showing import Section, Sheet, Shown, few
from scalesr.images.thumbnail import thumbnail
from scalesr.secrecy import without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scalesr.images.axes import Axis, Channel
    from scalesr.images.showing import Picture

Version = Literal["0.4", "0.5"]
"""Versions of OME-Zarr: 0.4 lies in Zarr 2, 0.5 in Zarr 3."""


@dataclass(frozen=True)
class Level:
    """One resolution of an image."""

    path: str
    """Path of the array below the image."""
    shape: tuple[int, ...]
    """Pixels along each axis."""
    chunks: tuple[int, ...]
    """What can be read on its own."""
    shards: tuple[int, ...] | None
    """What must be written as a whole; ``None`` where the array has no shards."""
    dtype: str
    """Name of the number format, such as ``uint16``."""
    scale: tuple[float, ...]
    """Size of a pixel in the unit of each axis."""
    translation: tuple[float, ...]
    """Centre of the first pixel in the unit of each axis."""


@dataclass(frozen=True, repr=False)
class Image(Shown):
    """An OME-Zarr image: what it says of itself, without any open handle, so that it travels cheaply to a worker.

    Pixels are read from storage each time they are asked for; nothing is kept. In a notebook it shows itself with a
    small picture, for which no more is read than a plane of the coarsest level.
    """

    url: str
    """Absolute local path or URL of the image's group."""
    version: Version
    """Version of OME-Zarr."""
    name: str
    """The image's own name, or the last part of its address."""
    axes: tuple[Axis, ...]
    """One for each dimension, slowest first."""
    levels: tuple[Level, ...]
    """Resolutions, finest first; at least one."""
    channels: tuple[Channel, ...] = ()
    """One for each channel if the image says anything of them, else empty."""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    """All attributes of the group as they were stored, also those that scalesr does not know."""
    storage_options: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    """What fsspec needs to open `url`."""
    _arrays: dict[int, Any] = field(default_factory=dict, compare=False, repr=False, init=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_arrays": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis at full resolution."""
        return self.levels[0].shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Number format at full resolution."""
        return np.dtype(self.levels[0].dtype)

    @property
    def axis_names(self) -> tuple[str, ...]:
        """Names of the axes, slowest first."""
        return tuple(axis.name for axis in self.axes)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.axes)

    @property
    def nbytes(self) -> int:
        """Bytes of the full resolution in memory."""
        return int(np.prod([int(size) for size in self.shape], dtype=object)) * self.dtype.itemsize

    @property
    def pixel_sizes(self) -> tuple[float, ...]:
        """Size of a pixel at full resolution in the unit of each axis."""
        return self.levels[0].scale

    def level(self, number: int) -> Level:
        """Return one of the levels.

        Raises
        ------
        InputError
            The image has no such level.
        """
        if not 0 <= number < len(self.levels):
            raise InputError(f"{self.url} has no level {number}.", remedy=f"Give level 0 to {len(self.levels) - 1}.")
        return self.levels[number]

    def array(self, level: int = 0) -> zarr.Array[Any]:
        """Return the Zarr array of a resolution, read-only."""
        return self._opened(level)[0]

    def _opened(self, level: int) -> tuple[zarr.Array[Any], ShardReader | None]:
        if level not in self._arrays:
            location = Location(self.url, self.storage_options)
            path = self.levels[level].path
            try:
                array = zarr.open_array(
                    location.store("read"), path=path, mode="r", zarr_format=3 if self.version == "0.5" else 2
                )
            except (ScalesrError, OSError):
                raise
            except Exception as error:
                raise InputError(
                    f"{location / path} cannot be opened: {type(error).__name__}: {error}.",
                    remedy="Check that all of the image was copied, and that its metadata are whole.",
                ) from error
            in_files = location.path is not None and location.path.is_dir()
            folder = location.path / path if in_files and location.path is not None else None
            self._arrays[level] = bounded(array), ShardReader.of(array, folder)
        found: tuple[zarr.Array[Any], ShardReader | None] = self._arrays[level]
        return found

    @overload
    def read(
        self, region: tuple[slice, ...], *, level: int = 0, on_bad: Literal["raise"] = "raise"
    ) -> NDArray[Any]: ...

    @overload
    def read(
        self, region: tuple[slice, ...], *, level: int = 0, on_bad: Literal["fill"]
    ) -> tuple[NDArray[Any], tuple[BadChunk, ...]]: ...

    def read(
        self, region: tuple[slice, ...], *, level: int = 0, on_bad: Literal["raise", "fill"] = "raise"
    ) -> NDArray[Any] | tuple[NDArray[Any], tuple[BadChunk, ...]]:
        """Return the pixels of a region in native byte order; a chunk that is not stored reads as the fill value.

        Parameters
        ----------
        region
            One slice for each axis, within the image, without a step.
        level
            Which resolution.
        on_bad
            ``raise``: a chunk that cannot be read or decoded is an error that names it. ``fill``: it is filled with the
            array's fill value, and the bad chunks come back beside the pixels.

        Raises
        ------
        StorageError
            Chunks of the region are corrupt or cannot be read; the message names their keys and indices.
        """
        array, shards = self._opened(level)
        pixels, bad = read_region(
            array, region, shards=shards, name=f"{self.url}/{self.levels[level].path}", on_bad=on_bad
        )
        return pixels if on_bad == "raise" else (pixels, bad)

    def decode_into(self, region: tuple[slice, ...], out: NDArray[Any], *, level: int = 0) -> bool:
        """Decode a region straight into an array of its shape; false where `read` must be used instead.

        It must be where `out` has another number format, and where a chunk is bad: `read` tells which. What `out` holds
        is then of no use.
        """
        array, shards = self._opened(level)
        return decode_into(array, region, out, shards=shards)

    def fingerprint(self) -> str:
        """Return the SHA-256 of what the pixels at full resolution mean: array metadata, axes, scale, translation.

        The pixels themselves are not read. Attributes beside the image, and coarser levels, do not change it.
        """
        level = self.levels[0]
        try:
            array: Any = self.array(0).metadata.to_dict()
        except OSError as error:
            raise InputError(f"{self.url} cannot be read: {error}.", remedy="Check that it still exists.") from error
        array.pop("attributes", None)
        facts = {
            "array": array,
            "axes": [[axis.name, axis.kind, axis.unit] for axis in self.axes],
            "scale": level.scale,
            "translation": level.translation,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._title()}; {without_secrets(self.url)})"

    def _repr_html_(self) -> str:
        return self._sheet().html(self._picture())

    def _title(self) -> str:
        sizes = ", ".join(f"{axis.name} {size:,}" for axis, size in zip(self.axes, self.shape, strict=True))
        return f"{self.name}: {sizes}; {self.dtype}"

    def _sheet(self) -> Sheet:
        facts = [("address", without_secrets(self.url)), ("format", f"OME-Zarr {self.version}")]
        labels = [channel.label or str(number) for number, channel in enumerate(self.channels)]
        if labels:
            facts.append(("channels", few(labels, most=_SHOWN)))
        rows = [
            (
                str(number),
                *(f"{size:,}" for size in level.shape),
                ", ".join(
                    f"{axis.name} {step:.4g}" + (f" {axis.unit}" if axis.unit else "")
                    for axis, step in zip(self.axes, level.scale, strict=True)
                    if axis.kind in ("space", "time")
                ),
                " x ".join(map(str, level.chunks)),
            )
            for number, level in enumerate(self.levels)
        ]
        headers = ("level", *self.axis_names, "pixel size", "chunks")
        return Sheet(title=self._title(), sections=(Section(rows=facts), Section(headers=headers, rows=rows)))

    def _picture(self) -> Picture | None:
        return thumbnail(self)


_SHOWN = 6
