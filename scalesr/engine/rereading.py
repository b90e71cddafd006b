"""The tasks of a verification: what a run wrote is read again, and compared with what its ledger says of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import product
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Literal

import google_crc32c
import numpy as np

from scalesr.engine.ledger import LARGEST, record_key
from scalesr.errors import InputError, ScalesrError, StorageError
from scalesr.images import OWN, Files, Image, ImageLayout, ImageWriter, Level, LevelLayout, coarse_region
from scalesr.images.limits import check_sizes
from scalesr.images.stores import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scalesr.tiling import LevelPlan, Plan

FaultKind = Literal["missing", "unreadable", "changed", "unrecorded", "unlike", "metadata", "superfluous"]
"""A shard that should be there is not; it cannot be read or decoded; its voxels are others than were recorded; a block
has no record, or a damaged one; a shard of a level that is made at the end is not what the level below gives; what
says how an array is stored is damaged; something lies there that nobody wrote."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that is not as the run left it."""

    kind: FaultKind
    """What is wrong."""
    image: Literal["output", "deviation"] = "output"
    """Which image of the run."""
    level: int | None = None
    """Which of its levels."""
    block: int | None = None
    """Which block wrote it; ``None`` where none did."""
    keys: tuple[str, ...] = ()
    """Objects below the image that it is about; one of them at least."""
    words: str = ""
    """What was found."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One image of a run, with its plan: what every task is told. It travels cheaply."""

    image: Image
    """Where it lies, by what the plan says of it: nothing that lies there is believed."""
    name: Literal["output", "deviation"]
    """Which one it is."""
    plan: Plan
    """What was done."""
    ledger: Files
    """The records."""
    grouped: bool
    """Whether the bands of a block were written in groups."""
    session: str = field(default_factory=partial(token_hex, 8))
    """Tells this verification from others of the same image."""

    @classmethod
    def of(
        cls,
        url: str,
        options: Mapping[str, Any],
        plan: Plan,
        *,
        name: Literal["output", "deviation"],
        ledger: Files,
        measured: bool,
    ) -> Kept:
        """Return an image of a run; `measured` says whether it was measured on the way."""
        dtype = plan.out_dtype if name == "output" else "float32"
        levels = tuple(
            Level(str(n), level.shape, level.chunk, level.shard, dtype, _steps(level), (0.0,) * len(level.shape))
            for n, level in enumerate(plan.levels)
        )
        image = Image(url=url, version="0.5", name=name, axes=(), levels=levels, storage_options=options)
        grouped = name == "output" and plan.components is not None and not measured
        return cls(image=image, name=name, plan=plan, ledger=ledger, grouped=grouped)

    @property
    def layout(self) -> ImageLayout:
        """Shapes, shards and halvings of the levels; of their sizes only that each is twice the one below."""
        levels = (
            LevelLayout(
                path=level.path,
                shape=level.shape,
                chunks=level.chunks,
                shards=level.shards,
                scale=level.scale,
                translation=level.translation,
            )
            for level in self.image.levels
        )
        return ImageLayout(axes=(), dtype=self.image.levels[0].dtype, levels=tuple(levels))

    @property
    def files(self) -> Files:
        """Plain objects below the image."""
        return Files(self.image.url, self.image.storage_options)

    @property
    def levels(self) -> Iterator[tuple[int, LevelPlan]]:
        """The levels that the blocks wrote, finest first."""
        return ((n, level) for n, level in enumerate(self.plan.levels) if level.made == "in pass")

    @property
    def last(self) -> Iterator[tuple[int, LevelPlan]]:
        """The levels that were made at the end."""
        return ((n, level) for n, level in enumerate(self.plan.levels) if level.made == "at end")


def root_state(kept: Kept) -> Literal["done", "running", "damaged"]:
    """Return what the group of an image says of the run that made it."""
    try:
        state = json.loads(kept.files.get("zarr.json", at_most=LARGEST) or b"")["attributes"][OWN]["state"]
    except StoreError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError, StorageError):
        return "damaged"
    return state if state in ("done", "running") else "damaged"


def check_metadata(kept: Kept, level: int) -> Fault | None:
    """Compare what an array says of itself with the plan."""
    planned = kept.plan.levels[level]
    where = f"{kept.image.url}/{level}"
    try:
        array = _opened(kept.image, kept.session).array(level)
        check_sizes(array, where=where)
    except StoreError:
        raise
    except (InputError, OSError) as error:
        words = error.problem if isinstance(error, ScalesrError) else str(error)
        return Fault(kind="metadata", image=kept.name, level=level, keys=(f"{level}/zarr.json",), words=words)
    for what, found, wanted in (
        ("shape", array.shape, planned.shape),
        ("chunks", array.chunks, planned.chunk),
        ("shards", array.shards, planned.shard),
        ("number format", array.dtype.newbyteorder("=").name, kept.image.levels[level].dtype),
    ):
        if found != wanted:
            words = f"its {what} is {found}; the run wrote {wanted}"
            return Fault(kind="metadata", image=kept.name, level=level, keys=(f"{level}/zarr.json",), words=words)
    return None


def check_block(kept: tuple[Kept, ...], block: int, skipped: frozenset[tuple[str, int]]) -> tuple[Fault, ...]:
    """Read what a block wrote again, and return what is wrong with it.

    Parameters
    ----------
    kept
        The images of the run.
    block
        Number of the block.
    skipped
        Images and levels that cannot be read at all.

    Raises
    ------
    StoreError
        The store refuses, or does not answer, which says nothing of what it holds.
    """
    found = _record(kept[0].ledger, block, kept)
    if isinstance(found, Fault):
        return (found,)
    faults = []
    for one in kept:
        index = one.plan.lattice.index(block)
        for (level, planned), recorded in zip(one.levels, found[one.name], strict=True):
            if (one.name, level) in skipped:
                continue
            regions = list(_regions(one, index, planned))
            checksum: int | None = 0
            try:
                for region in regions:
                    pixels = _opened(one.image, one.session).read(region, level=level)
                    checksum = google_crc32c.extend(checksum, np.ascontiguousarray(pixels))
            except StoreError:
                raise
            except StorageError:
                checksum = None
            if checksum is None or f"{checksum:08x}" != recorded:
                faults.append(_blame(one, level, block, regions))
    return tuple(faults)


def check_last(kept: Kept, level: int, region: tuple[slice, ...]) -> Fault | None:
    """Make a shard of a level that was made at the end again, from the stored level below, and compare.

    Raises
    ------
    StoreError
        The store refuses, or does not answer.
    """
    keys = tuple(_keys(kept, level, region))
    try:
        found = _opened(kept.image, kept.session).read(region, level=level)
    except StoreError:
        raise
    except StorageError as error:
        return Fault(kind="unreadable", image=kept.name, level=level, keys=keys, words=error.problem)
    try:
        wanted = coarse_region(_writer(kept), level, region)
    except StoreError:
        raise
    except StorageError:
        words = f"level {level - 1}, which it is made of, cannot be read here"
        return Fault(kind="unlike", image=kept.name, level=level, keys=keys, words=words)
    # By bytes: NaN is not equal to itself.
    if found.tobytes() == wanted.tobytes():
        return None
    there = [key for key in keys if kept.files.exists(key)]
    if not there:
        return Fault(kind="missing", image=kept.name, level=level, keys=keys, words="it is not stored")
    words = f"it is not what level {level - 1} gives: one of both was changed"
    return Fault(kind="unlike", image=kept.name, level=level, keys=keys, words=words)


def _record(ledger: Files, block: int, kept: tuple[Kept, ...]) -> dict[str, list[str]] | Fault:
    """Return the checksums of a block for each image."""
    try:
        values = json.loads(ledger.get(record_key(block), at_most=LARGEST) or b"")
        found = {"output": values["checksums"], "deviation": values["deviations"]}
        whole = values["block"] == block and all(
            len(found[one.name]) == len(list(one.levels)) and all(isinstance(text, str) for text in found[one.name])
            for one in kept
        )
    except StoreError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError, StorageError):
        whole = False
    if not whole:
        return Fault(kind="unrecorded", block=block, keys=(record_key(block),), words="its record is damaged")
    return found


def _blame(kept: Kept, level: int, block: int, regions: list[tuple[slice, ...]]) -> Fault:
    """Return which of the shards of a block is to blame, as far as that can be told."""
    keys = dict.fromkeys(key for region in regions for key in _keys(kept, level, region))
    place: dict[str, Any] = {"image": kept.name, "level": level, "block": block}
    absent = tuple(key for key in keys if not kept.files.exists(key))
    reasons: dict[str, str] = {}
    for region in regions:
        for part in _shards(kept, level, region):
            try:
                _opened(kept.image, kept.session).read(part, level=level)
            except StoreError:
                raise
            except StorageError as error:
                words = error.problem.removeprefix(f"{kept.image.url}/{level}: ")
                reasons |= dict.fromkeys(_keys(kept, level, part), words)
    if reasons:
        return Fault(kind="unreadable", keys=tuple(reasons), words=next(iter(reasons.values())), **place)
    if absent:
        return Fault(kind="missing", keys=absent, words="not stored, though not all of it is zero", **place)
    return Fault(kind="changed", keys=tuple(keys), words="other voxels than were recorded", **place)


def _regions(kept: Kept, index: tuple[int, ...], level: LevelPlan) -> Iterator[tuple[slice, ...]]:
    """Yield the regions of a level that a block wrote, in the order in which their checksum was taken."""
    owned = kept.plan.lattice.owned(index)
    region = [
        slice(part.start >> times, size if part.stop == whole else part.stop >> times)
        for part, times, size, whole in zip(owned, level.halved, level.shape, kept.plan.lattice.out_shape, strict=True)
    ]
    if not kept.grouped:
        yield tuple(region)
        return
    assert kept.plan.components is not None
    axis, _ = kept.plan.components
    bands, together = kept.plan.lattice.axes[axis].size, kept.plan.bands_together
    for first in range(0, bands, together):
        region[axis] = slice(first, min(first + together, bands))
        yield tuple(region)


def _shards(kept: Kept, level: int, region: tuple[slice, ...]) -> Iterator[tuple[slice, ...]]:
    """Yield the region of each shard in a region of whole shards."""
    unit = kept.plan.levels[level].shard
    spans = [
        [slice(i, min(i + size, part.stop)) for i in range(part.start // size * size, part.stop, size)]
        for part, size in zip(region, unit, strict=True)
    ]
    yield from product(*spans)


def _keys(kept: Kept, level: int, region: tuple[slice, ...]) -> Iterator[str]:
    """Yield the keys, below the image, of the shards of a region."""
    unit = kept.plan.levels[level].shard
    for part in _shards(kept, level, region):
        yield "/".join([str(level), "c", *(str(p.start // size) for p, size in zip(part, unit, strict=True))])


def _steps(level: LevelPlan) -> tuple[float, ...]:
    return tuple(2.0**halved for halved in level.halved)


@lru_cache(maxsize=64)
def _opened(image: Image, session: str) -> Image:  # noqa: ARG001 what was opened before may have changed since
    """Return an image whose arrays are opened once in each process, and once for each verification."""
    return image


@lru_cache(maxsize=64)
def _cached(writer: ImageWriter, session: str) -> ImageWriter:  # noqa: ARG001 see above
    return writer


def _writer(kept: Kept) -> ImageWriter:
    writer = ImageWriter(kept.image.url, kept.layout, storage_options=kept.image.storage_options)
    return _cached(writer, kept.session)
