"""Writing an OME-Zarr image shard by shard, so that an unfinished one is never taken for whole."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.group import GroupMetadata

from scalesr.errors import OutputError
from scalesr.images.faults import writing
from scalesr.images.files import Files
from scalesr.images.locations import Location
from scalesr.images.metadata import check_axes, image_attributes
from scalesr.images.removing import remove_all, sweep_folder
from scalesr.images.stores import BlindStore

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scalesr.images.axes import Channel
    from scalesr.images.image import Version
    from scalesr.images.layout import ImageLayout, LevelLayout

Mode = Literal["create", "overwrite", "resume"]
"""``create`` refuses what exists, ``overwrite`` removes it, ``resume`` goes on with it if the layout is the same."""

OWN = "scalesr"
"""Attribute and folder of an image in which scalesr keeps what is its own: the state of a run, and its ledger."""


@dataclass(frozen=True)
class ImageWriter:
    """The way to write one image. It holds no handle, so that it travels cheaply to every worker.

    Each shard must have one writer. Shards are put whole; writing one twice leaves the same bytes.
    """

    url: str
    """Absolute local path or URL of the image's group."""
    layout: ImageLayout
    """What is written."""
    version: Version = "0.5"
    """Version of OME-Zarr."""
    storage_options: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    """What fsspec needs to open `url`."""
    _arrays: dict[int, Any] = field(default_factory=dict, compare=False, repr=False, init=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_arrays": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def array(self, level: int = 0) -> zarr.Array[Any]:
        """Return the Zarr array of a resolution, writable."""
        if level not in self._arrays:
            store = Location(self.url, self.storage_options).store("write")
            self._arrays[level] = zarr.open_array(
                store, path=self.layout.levels[level].path, mode="r+", zarr_format=_format(self.version)
            )
        found: zarr.Array[Any] = self._arrays[level]
        return found

    def _unread(self, level: int) -> zarr.Array[Any]:
        """Return the array of a resolution, for whole shards: what they replace is not read."""
        if -1 - level not in self._arrays:
            store = BlindStore(Location(self.url, self.storage_options).store("write"))
            self._arrays[-1 - level] = zarr.open_array(
                store, path=self.layout.levels[level].path, mode="r+", zarr_format=_format(self.version)
            )
        found: zarr.Array[Any] = self._arrays[-1 - level]
        return found

    def write(self, level: int, region: tuple[slice, ...], data: NDArray[Any]) -> None:
        """Write whole shards; a shard whose pixels are all zero is not stored, which reads as zero.

        Parameters
        ----------
        level
            Which resolution.
        region
            One slice for each axis; starts are multiples of the shard, stops too or the image's end.
        data
            Pixels of the region in the layout's number format.

        Raises
        ------
        OutputError
            No space, no permission, no connection.
        ValueError
            The region cuts a shard, or the data do not fit it.
        """
        plan = self.layout.levels[level]
        _check_region(plan, region, data, dtype=self.layout.dtype)
        with writing(f"{self.url}/{plan.path}"):
            self._unread(level)[region] = data

    def files(self) -> Files:
        """Return the place for plain files beside the pixels, the group ``scalesr`` below the image, made if need be.

        It is a group because readers that list an image warn of a folder that is none.
        """
        location = Location(self.url, self.storage_options)
        with writing(f"{location}/{OWN}"), contextlib.suppress(zarr.errors.ContainsGroupError):
            zarr.create_group(location.store("write"), path=OWN, zarr_format=_format(self.version))
        return Files((location / OWN).url, self.storage_options)

    def publish(self, *, channels: tuple[Channel, ...] | None = None, facts: Mapping[str, Any] | None = None) -> None:
        """Write the image's metadata, after which it counts as whole; until then nothing takes it for an image.

        Parameters
        ----------
        channels
            In place of the layout's, now that the range of the values is known.
        facts
            What the attribute ``scalesr`` tells beside the state, in JSON values.

        Raises
        ------
        OutputError
            No space, no permission, no connection.
        """
        layout = self.layout if channels is None else replace(self.layout, channels=channels)
        ome = image_attributes(layout, version=self.version)
        attributes = {"ome": ome} if self.version == "0.5" else ome
        with writing(self.url):
            group = zarr.open_group(
                Location(self.url, self.storage_options).store("write"), mode="r+", zarr_format=_format(self.version)
            )
            group.attrs.put({**attributes, OWN: {**(facts or {}), "state": "done"}})


def create_image(
    url: str | os.PathLike[str],
    layout: ImageLayout,
    *,
    mode: Mode = "create",
    version: Version = "0.5",
    storage_options: Mapping[str, Any] | None = None,
    sweep: Literal["partial files", "nothing"] = "partial files",
) -> ImageWriter:
    """Make the arrays of an image, empty and unpublished: its group says only that a scalesr run is at work.

    Parameters
    ----------
    url
        Local path or fsspec URL.
    layout
        What will be written. In 0.4 each chunk is an object: shards are not known to it, and are left out.
    mode
        What to do if something is there; ``resume`` also creates what is missing.
    version
        Version of OME-Zarr to write.
    storage_options
        Handed to fsspec.
    sweep
        ``nothing``: when an image is resumed, half-written files may be those of others who are at work.

    Raises
    ------
    OutputError
        Something is there that `mode` does not allow, or storage refuses.
    """
    location = Location.parse(url, storage_options)
    check_axes(layout.axes, where=str(location))
    if version == "0.4":
        layout = _without_shards(layout)
    with writing(str(location)):
        store = location.store("write")
        found = _found(store)
        _check_place(location, found, mode=mode)
        writer = ImageWriter(location.url, layout, version, location.options)
        if mode == "overwrite":
            remove_all(location)
        if mode == "resume" and found is not None:
            _check_same(writer, store)
            if sweep == "partial files":
                sweep_folder(location.path)
        else:
            _begin(location, store, version=version)
        for level in layout.levels:
            _create_array(store, layout, level, version=version, existing=mode == "resume")
    return writer


def begin_image(url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> bool:
    """Make the group of an image that is about to be written, if there is none; return whether that was done.

    Of several who do so at the same moment one succeeds, where the store can tell them apart.

    Raises
    ------
    OutputError
        No space, no permission, no connection.
    """
    location = Location.parse(url, storage_options)
    # On a disk one of all who try creates it. A store's answer may be lost, and then the token tells whose it is.
    token = {} if location.path is not None else {"begun": token_hex(8)}
    group = GroupMetadata(attributes={OWN: {"state": "running", **token}}, zarr_format=3)
    content = group.to_buffer_dict(default_buffer_prototype())["zarr.json"].to_bytes()
    return Files(location.url, location.options).create("zarr.json", content)


def _begin(location: Location, store: Any, *, version: Version) -> None:
    if version == "0.4":
        zarr.create_group(store, zarr_format=2, attributes={OWN: {"state": "running"}})
    elif not begin_image(location.url, storage_options=location.options):
        raise _just_begun(location)


def _just_begun(location: Location) -> OutputError:
    remedy = "Choose another place, or wait for it to end; to work at one output together, give --share to all."
    return OutputError(f"Somebody else has just begun to write {location}.", remedy=remedy)


def _create_array(store: Any, layout: ImageLayout, level: LevelLayout, *, version: Version, existing: bool) -> None:
    if existing:
        with contextlib.suppress(zarr.errors.ArrayNotFoundError):
            zarr.open_array(store, path=level.path, mode="r", zarr_format=_format(version))
            return
    dtype = np.dtype(layout.dtype)
    options: dict[str, Any] = {}
    if version == "0.5":
        # Measured on 16-bit microscopy: zstd 1 with bitshuffle packs 10 % better than lz4 at some 80 % of its speed,
        # and a checksum of each chunk costs a few percent; without it a flipped bit could pass as data.
        codec = BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", typesize=dtype.itemsize)
        options = {
            "compressors": [codec, Crc32cCodec()],
            "shards": level.shards,
            "dimension_names": [axis.name for axis in layout.axes],
        }
    else:
        options = {"chunk_key_encoding": {"name": "v2", "configuration": {"separator": "/"}}}
    try:
        zarr.create_array(
            store,
            name=level.path,
            shape=level.shape,
            chunks=level.chunks,
            dtype=dtype,
            fill_value=0,
            zarr_format=_format(version),
            **options,
        )
    except zarr.errors.ContainsArrayError as error:
        if existing:
            # Somebody else resumes it at this moment; whose run it is the ledger decides.
            return
        raise OutputError(
            f"{store} holds an array {level.path} that belongs to no image.",
            remedy="Remove it, or choose another place.",
        ) from error


def _check_region(level: LevelLayout, region: tuple[slice, ...], data: NDArray[Any], *, dtype: str) -> None:
    if len(region) != len(level.shape):
        raise ValueError(f"a region of {len(region)} slices does not fit {len(level.shape)} axes")
    for piece, unit, size in zip(region, level.unit, level.shape, strict=True):
        whole = piece.start % unit == 0 and (piece.stop % unit == 0 or piece.stop == size)
        if not whole or not 0 <= piece.start < piece.stop <= size:
            raise ValueError(f"the region {region} does not consist of whole shards {level.unit} of {level.shape}")
    shape = tuple(piece.stop - piece.start for piece in region)
    if data.shape != shape or data.dtype != np.dtype(dtype):
        raise ValueError(f"data {data.shape} {data.dtype} do not fit a region of {shape} {dtype}")


def _found(store: Any) -> zarr.Group | None:
    for zarr_format in (3, 2):
        try:
            return zarr.open_group(store, mode="r", zarr_format=zarr_format, use_consolidated=False)
        except (FileNotFoundError, zarr.errors.GroupNotFoundError, zarr.errors.ContainsArrayError):
            continue
    return None


def _check_place(location: Location, found: zarr.Group | None, *, mode: Mode) -> None:
    path = location.path
    if mode == "create" and found is not None:
        raise OutputError(
            f"{location} already exists.", remedy="Choose another place, or pass --overwrite or --resume."
        )
    if found is not None:
        _check_ours(location, found, mode=mode)
        return
    if path is None:
        return
    if path.is_file() or (path.is_dir() and any(one.suffix != ".partial" for one in path.iterdir())):
        if _found(location.store("read")) is not None:
            raise _just_begun(location)
        # Nobody who mistypes a path shall lose a folder of other data.
        raise OutputError(
            f"{location} exists and is not an OME-Zarr image; scalesr will not write into it or remove it.",
            remedy="Choose another place, or remove it yourself.",
        )


def _check_ours(location: Location, found: zarr.Group, *, mode: Mode) -> None:
    attributes = dict(found.attrs)
    ours = OWN in attributes
    if mode == "resume" and not ours:
        raise OutputError(
            f"{location} was not written by scalesr, so there is nothing to resume.", remedy="Choose another place."
        )
    ome = attributes.get("ome", attributes)
    image = isinstance(ome, dict) and "multiscales" in ome
    if not ours and not image:
        # A plate or a container holds more than the one image that the user means to replace.
        raise OutputError(
            f"{location} is a Zarr group, but not an image; scalesr will not remove it.",
            remedy="Choose another place, or remove it yourself.",
        )


def _check_same(writer: ImageWriter, store: Any) -> None:
    for number, level in enumerate(writer.layout.levels):
        try:
            array = zarr.open_array(store, path=level.path, mode="r", zarr_format=_format(writer.version))
        except (FileNotFoundError, zarr.errors.ArrayNotFoundError):
            continue
        facts = {
            "shape": (array.shape, level.shape),
            "chunks": (array.chunks, level.chunks),
            "shards": (array.shards, level.shards),
            "dtype": (array.dtype.name, writer.layout.dtype),
        }
        for fact, (old, new) in facts.items():
            if old != new:
                raise OutputError(
                    f"{writer.url} cannot be resumed: {fact} of level {number} is {old}, this run would write {new}.",
                    remedy="Repeat the command that began it, or pass --overwrite.",
                )


def _without_shards(layout: ImageLayout) -> ImageLayout:
    return replace(layout, levels=tuple(replace(level, shards=None) for level in layout.levels))


def _format(version: Version) -> Literal[2, 3]:
    return 3 if version == "0.5" else 2
