"""Publishing a finished image into a repository of Icechunk, as one commit: whoever reads sees all of it or nothing.

Every object is copied as it is, shard by shard, so nothing is decoded and the pixels are the same bytes. What was
copied counts only by the commit at the end; before it, and if it never comes, the repository is what it was. Memory is
a few shards and, for each shard, some hundred bytes that Icechunk keeps until the commit.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from math import ceil, prod
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from scalesr.errors import InputError, OutputError, StorageError
from scalesr.images.icechunk_repository import icechunk, open_repository, refused
from scalesr.images.locations import Location
from scalesr.images.opening import open_image
from scalesr.images.provenance import provenance_of
from scalesr.images.writer import OWN
from scalesr.secrecy import without_secrets

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Mapping

    from zarr.abc.store import Store

    from scalesr.images.image import Image

AT_ONCE = 8
"""Objects that are copied at the same time."""
LARGEST = 2**28
"""Bytes of a manifest at most."""
Existing = Literal["refuse", "replace"]
"""What to do with an image that the repository holds at that place; what was committed before stays in its history."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """What was published."""

    repository: str
    """Where."""
    path: str
    """Group of the image in the repository; "" where it is the root."""
    branch: str
    """Branch that was committed to."""
    snapshot: str
    """Name of the commit."""
    objects: int
    """Objects copied: shards and metadata."""
    bytes: int
    """Their bytes."""
    seconds: float
    """Wall time."""


def publish_image(
    source: str | os.PathLike[str],
    repository: str | os.PathLike[str],
    *,
    path: str = "",
    branch: str = "main",
    message: str | None = None,
    existing: Existing = "refuse",
    progress: Callable[[int, int], None] | None = None,
    storage_options: Mapping[str, Any] | None = None,
    repository_options: Mapping[str, Any] | None = None,
) -> Published:
    """Publish an image into a repository of Icechunk as one commit, which says how the image was made.

    All levels go with it and what lies beside them, such as masks and standard deviations; the ledger of the run does
    not, but what it says of the run's making is kept with the commit.

    Parameters
    ----------
    source
        A finished OME-Zarr image of version 0.5.
    repository
        A local folder or an address in ``s3://``; made if there is none.
    path
        Group that the image becomes in the repository; the root when not given.
    branch
        Which branch is committed to.
    message
        Of the commit; name and origin of the image when not given.
    existing
        What to do with an image that is there.
    progress
        Called with shards copied and shards at most.
    storage_options, repository_options
        Handed to fsspec, or what says the same to Icechunk: endpoint, key, secret, profile.

    Raises
    ------
    InputError
        The image is not finished or of version 0.4, or Icechunk is not installed.
    OutputError
        The repository cannot be written to, or holds something at that place.
    StorageError
        The image cannot be read.
    """
    began = perf_counter()
    image = open_image(source, storage_options=storage_options)
    if image.version != "0.5":
        raise InputError(
            f"{image.url} is OME-Zarr {image.version}, which Icechunk cannot hold.",
            remedy="Import it as OME-Zarr 0.5: scalesr import.",
        )
    place = Location.parse(repository, repository_options)
    path = path.strip("/")
    package = icechunk()
    try:
        session = _session(open_repository(place), branch, place=str(place))
        _make_room(session.store, path, existing=existing, place=str(place))
        objects, size = _copy(image, session.store, path, progress)
        snapshot = session.commit(message or _message(image), metadata={OWN: _provenance(image)})
    except package.ConflictError as error:
        raise OutputError(
            f"Somebody else has committed to the branch {branch} of {place} meanwhile; nothing was published.",
            remedy="Run the same command again.",
        ) from error
    except package.IcechunkError as error:
        raise refused(place, error) from error
    return Published(
        repository=place.url,
        path=path,
        branch=branch,
        snapshot=snapshot,
        objects=objects,
        bytes=size,
        seconds=perf_counter() - began,
    )


def _session(found: Any, branch: str, *, place: str) -> Any:
    if branch not in found.list_branches():
        raise OutputError(
            f"{place} has no branch {branch!r}.", remedy=f"Give one of {', '.join(sorted(found.list_branches()))}."
        )
    return found.writable_session(branch)


def _make_room(store: Store, path: str, *, existing: Existing, place: str) -> None:
    """Remove an image that is replaced, in the session alone, and make the groups above."""
    where = f"{place}, group {path}" if path else place
    found = sync(store.get(f"{path}/zarr.json".lstrip("/"), default_buffer_prototype()))
    if found is not None:
        attributes = json.loads(found.to_bytes()).get("attributes", {})
        if "multiscales" not in attributes.get("ome", {}):
            raise OutputError(f"{where} is no image; it will not be replaced.", remedy="Choose another --path.")
        if existing == "refuse":
            raise OutputError(
                f"{where} holds an image already.",
                remedy="Choose another --path, or pass --replace; the one that is there stays in the history.",
            )
        sync(store.delete_dir(path))
    parents = path.split("/")[:-1]
    for depth in range(len(parents) + 1 if path else 0):
        zarr.open_group(store, path="/".join(parents[:depth]), mode="a", zarr_format=3)


def _copy(image: Image, target: Store, path: str, progress: Callable[[int, int], None] | None) -> tuple[int, int]:
    """Copy all objects of an image but its ledger; return how many, and their bytes."""
    store = Location(image.url, image.storage_options).store("read")
    whole = sum(
        prod(ceil(n / unit) for n, unit in zip(level.shape, level.shards or level.chunks, strict=True))
        for level in image.levels
    )
    shards = tuple(f"{level.path}/c/" for level in image.levels)
    prototype = default_buffer_prototype()
    objects, size, copied = 0, 0, 0

    async def copy(key: str) -> int:
        content = await store.get(key, prototype)
        if content is None:
            raise StorageError(f"{image.url}/{key} is gone.", remedy="Do not change an image while it is published.")
        await target.set(f"{path}/{key}".lstrip("/"), content)
        return len(content)

    async def copy_some(some: list[str]) -> int:
        return sum(await asyncio.gather(*map(copy, some)))

    # Icechunk takes chunks of arrays that it knows.
    words = sorted(sync(_metadata(store)), key=lambda key: (key.count("/"), key))
    for key in words:
        size += sync(copy(key))
    objects += len(words)
    keys = _keys(store)
    while some := sync(_next(keys)):
        size += sync(copy_some(some))
        objects += len(some)
        copied += sum(key.startswith(shards) for key in some)
        if progress is not None:
            progress(copied, whole)
    if progress is not None:
        # Shards of zeros are not stored.
        progress(whole, whole)
    return objects, size


async def _next(keys: AsyncIterator[str]) -> list[str]:
    """Return the next few keys; none at the end."""
    found: list[str] = []
    async for key in keys:
        found.append(key)
        if len(found) == AT_ONCE:
            break
    return found


async def _metadata(store: Store) -> list[str]:
    return [key async for key in store.list_prefix("") if _is_metadata(key) and _belongs(key)]


async def _keys(store: Store) -> AsyncIterator[str]:
    async for key in store.list_prefix(""):
        if not _is_metadata(key) and _belongs(key):
            yield key


def _is_metadata(key: str) -> bool:
    return key.rpartition("/")[2] == "zarr.json"


def _belongs(key: str) -> bool:
    return not key.startswith(f"{OWN}/") and not key.endswith(".partial")


def _provenance(image: Image) -> dict[str, Any]:
    """Return what the ledger says of how an image was made, and what names the ledger's manifest."""
    made = provenance_of(image)
    digest = {} if made.sha256 is None else {"manifest sha256": made.sha256}
    return {"from": without_secrets(image.url), **digest, **made.facts}


def _message(image: Image) -> str:
    made = _provenance(image)
    words = f" of {made['source']} by {made['model']}" if {"source", "model"} <= made.keys() else ""
    return f"{image.name}{words}"
