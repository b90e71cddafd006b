"""Labels for the objects of an image of any size, the same whatever blocks it is looked at in."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from scipy import ndimage

from scalesr.analysis.objects.basins import Relief, summits
from scalesr.analysis.objects.blocks import Block, Blocks, grown
from scalesr.analysis.objects.field import Field
from scalesr.analysis.objects.foreground import STEPS, Ground, capped_distance, otsu, smoothed, smoothing_radius
from scalesr.analysis.objects.label_image import check_number, finished, label_layout, publish_labels
from scalesr.analysis.objects.merging import Pieces
from scalesr.analysis.objects.sites import check_apart
from scalesr.analysis.objects.telling import steps
from scalesr.errors import InputError, ScalesrError
from scalesr.images import create_image, open_image, remove_image
from scalesr.images.reading import read_region

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Source
    from scalesr.analysis.objects.field import Region
    from scalesr.engine import Callback
    from scalesr.images import Image, ImageWriter

Split: TypeAlias = Literal["distance", "none"]
"""``distance``: what touches is parted where it is narrow, by a watershed on the distance to the ground. ``none``: what
touches, diagonally too, is one object."""
Cut: TypeAlias = Literal["keep", "leave out"]
"""What becomes of objects that touch the field's edge."""
Mode: TypeAlias = Literal["create", "overwrite"]
"""What happens to an image that is there: ``create`` refuses, ``overwrite`` replaces it."""
Going: TypeAlias = Literal["create", "overwrite", "resume"]
"""The same; ``resume`` keeps labels that are whole and were made in the same way, and begins unfinished ones anew."""
TOO_SMALL, TOO_LARGE, CUT = "objects that are too small", "objects that are too large", "objects cut by the edge"


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelled:
    """An image of labels, and how it came about."""

    labels: Image
    """One label for each pixel: 1 to `number` in the order of the objects' first pixels, and 0 for the ground."""
    number: int
    """Objects."""
    threshold: float
    """Smoothed values above it are object."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Objects that were found and have no label, by reason."""


def label_objects(
    image: Source,
    out: str | os.PathLike[str],
    *,
    channel: int | str = 0,
    sigma: float = 2.0,
    threshold: float | Literal["otsu"] = "otsu",
    split: Split = "distance",
    depth: float = 1.0,
    reach: float = 48.0,
    smallest: int = 1,
    largest: int | None = None,
    cut: Cut = "keep",
    block: int | tuple[int, ...] | None = None,
    mode: Going = "create",
    callbacks: Sequence[Callback] = (),
    storage_options: Mapping[str, Any] | None = None,
) -> Labelled:
    """Find the objects of an image of any size, in two or three dimensions, and write a label for each pixel.

    Smoothed values above a threshold are object. With ``split="distance"`` touching objects are parted by a watershed
    on the distance to the ground (see `scalesr.analysis.objects.basins`), and basins are joined where the smaller one
    is hardly wider than the neck between them. Every step looks at a pixel's surroundings of fixed size or merges
    facts in any order, so the labels are the same for all blocks, and those of ``split="none"`` are those of
    ``skimage.measure.label``. Memory: a block with its margin, and some numbers for each object.

    Parameters
    ----------
    image
        OME-Zarr image.
    out
        Where the labels are written: OME-Zarr, ``uint32``. Below the folder ``labels`` of the image they are listed
        there.
    channel
        Number or name of the channel of the nuclei.
    sigma
        Standard deviation of the smoothing in pixels; 0 for none.
    threshold
        A value of the image, or ``otsu``: from a histogram of the whole smoothed image. That is refused where nothing
        stands out, since it would find objects in noise.
    split
        See `Split`.
    depth
        Half-width in pixels by which the narrower of two touching objects must exceed the neck between them to be
        parted. Our own choice of 1; more parts fewer.
    reach
        Half-widths in pixels are told apart up to this; wider necks part nothing. It is the margin of the blocks.
    smallest, largest
        Pixels of an object; others get no label and are counted.
    cut
        See `Cut`.
    block
        Edge of the blocks in pixels.
    mode
        See `Going`. What ties the blocks of one image together is in memory alone until its end: who is killed begins
        that image again.
    callbacks
        Told of each block that is done, of each of up to four passes.
    storage_options
        Handed to fsspec, for both images.

    Raises
    ------
    InputError
        The image is no single field, holds pixels that are not finite, or seems empty and has no threshold.
    OutputError
        The labels exist, were made in another way, or cannot be written.
    """
    source = Field.open(image, storage_options=storage_options)
    check_apart(out, source.image)
    number = source.numbers([channel])[0]
    way = {
        "image": source.image.url, "channel": source.channel_names[number], "sigma": sigma, "threshold": threshold,
        "split": split, "depth": depth, "reach": reach, "smallest": smallest, "largest": largest, "cut": cut,
    }  # fmt: skip
    _check(sigma=sigma, depth=depth, reach=reach, threshold=threshold)
    radius = smoothing_radius(sigma)
    spread = tuple(math.ceil(reach / edge) + 2 if split == "distance" else 1 for edge in source.aspect)
    blocks = Blocks.of(source.shape, edge=block, margin=tuple(radius + n for n in spread))
    if mode == "resume":
        facts = finished(out, way=way, storage_options=storage_options)
        if facts is not None:
            return _labelled(out, facts, storage_options)
        mode = "overwrite"
    writer = create_image(out, label_layout(source, blocks), mode=mode, storage_options=storage_options)
    try:
        ground = Ground(field=source, blocks=blocks, channel=number)
        level = threshold if not isinstance(threshold, str) else otsu([ground], sigma=sigma, callbacks=callbacks)
        naming = _Naming(
            source=source, writer=writer, channel=number, sigma=sigma, threshold=level, split=split, reach=reach,
            spread=spread,
        )  # fmt: skip
        for each in steps(blocks, name="finding objects", callbacks=callbacks):
            naming.name(each)
        table, found, left = _numbers(naming.pieces, depth=depth * STEPS, smallest=smallest, largest=largest, cut=cut)
        for each in steps(blocks, name="numbering objects", callbacks=callbacks):
            names = naming.stored(each.core)
            if names.any():
                writer.write(0, each.core, table[names])
        facts = {"threshold": level, "objects": found, "left_out": left, "way": way}
        publish_labels(writer, source.image, facts=facts)
    except BaseException:
        with contextlib.suppress(ScalesrError, OSError):
            remove_image(out, storage_options=storage_options)
        raise
    return _labelled(out, facts, storage_options)


def _labelled(
    out: str | os.PathLike[str], facts: Mapping[str, Any], storage_options: Mapping[str, Any] | None
) -> Labelled:
    labels = open_image(out, storage_options=storage_options)
    return Labelled(
        labels=labels, number=facts["objects"], threshold=facts["threshold"], left_out=dict(facts["left_out"])
    )


@dataclass(frozen=True, kw_only=True)
class _Naming:
    """The first pass: every piece of an object in a block gets a name of its own, and is tied to its neighbours'."""

    source: Field
    writer: ImageWriter
    channel: int
    sigma: float
    threshold: float
    split: Split
    reach: float
    spread: tuple[int, ...]
    pieces: Pieces = field(default_factory=Pieces)

    def name(self, block: Block) -> None:
        """Name the pieces of a block; the blocks before it in the field's order that touch it are named."""
        shape = self.source.shape
        near = grown(block.core, self.spread, shape)
        values = smoothed(self.source, block, channel=self.channel, sigma=self.sigma)
        inside = values[_within(near, block.outer)] > self.threshold
        if not inside[_within(block.core, near)].any():
            return
        # One pixel around the core has pointers, for which two must have heights.
        rim, two = (grown(block.core, (n,) * len(shape), shape) for n in (1, 2))
        pointers: NDArray[np.int64] | None = None
        leads = np.zeros(0, np.bool_)
        if self.split == "distance":
            height = capped_distance(inside, reach=self.reach, aspect=self.source.aspect)[_within(two, near)]
            relief = Relief(height=height, group=height > 0)
            pointers = relief.pointers()
            at = np.unravel_index(pointers, height.shape)
            core = _within(block.core, two)
            leads = np.all([(a >= c.start) & (a < c.stop) for a, c in zip(at, core, strict=True)], axis=0)
            local = np.arange(height.size).reshape(height.shape)
            stop = np.ones(height.shape, np.bool_)
            stop[core] = False
            ends = summits(np.where(stop, local, pointers))[core]
        else:
            relief = Relief(height=inside[_within(rim, near)].astype(np.int64), group=inside[_within(rim, near)])
            ends = ndimage.label(inside[_within(block.core, near)], np.ones((3,) * len(shape)))[0]
            two = rim
        core, around = _within(block.core, two), _within(rim, two)
        height, mine = relief.height, relief.group[core].astype(np.bool_)
        names = np.zeros(height.shape, np.int64)
        names[around] = self.stored(rim)
        names[core] = 0
        exits, place = np.unique(ends[mine], return_inverse=True)
        base = self.pieces.number
        check_number(base + len(exits), where=self.writer.url)
        names[core][mine] = base + 1 + place
        self._count(block, mine, place, height[core][mine], len(exits))
        if pointers is not None:
            # Trees that leave the core, and trees of named neighbours that enter it.
            out = names.ravel()[exits]
            leaves = np.flatnonzero((out > 0) & (out <= base))
            self.pieces.join(base + 1 + leaves, out[leaves])
            enters = leads & (names > 0) & (names <= base)
            self.pieces.join(names[enters], names.ravel()[pointers[enters]])
        for one, other, passed in Relief(height=height[around], group=relief.group[around]).passes(names[around]):
            self.pieces.border(one, other, passed)
        self.writer.write(0, block.core, names[core].astype(np.uint32))

    def stored(self, region: Region) -> NDArray[np.int64]:
        """Return the names that were written in a region, 0 where none was yet."""
        pixels, _ = read_region(self.writer.array(), region, name=self.writer.url, on_bad="raise")
        return np.asarray(pixels, np.int64)

    def _count(
        self, block: Block, mine: NDArray[np.bool_], place: NDArray[np.int64], height: NDArray[Any], count: int
    ) -> None:
        shape = self.source.shape
        at = [axis + part.start for axis, part in zip(np.nonzero(mine), block.core, strict=True)]
        first = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(first, place, np.ravel_multi_index(at, shape))
        peak = np.zeros(count, np.int64)
        np.maximum.at(peak, place, height)
        edge = np.any([(a == 0) | (a == n - 1) for a, n in zip(at, shape, strict=True)], axis=0)
        cut = np.bincount(place[edge], minlength=count) > 0
        self.pieces.add(sizes=np.bincount(place, minlength=count), firsts=first, peaks=peak, cut=cut)


def _numbers(
    pieces: Pieces, *, depth: float, smallest: int, largest: int | None, cut: Cut
) -> tuple[NDArray[np.uint32], int, dict[str, int]]:
    """Return the label of each name, how many objects there are, and what was left out."""
    basins = pieces.basins()
    tops, of = np.unique(basins.objects(depth=depth), return_inverse=True)
    size, edge = np.zeros(len(tops), np.int64), np.zeros(len(tops), np.bool_)
    first = np.full(len(tops), np.iinfo(np.int64).max)
    np.add.at(size, of, basins.size)
    np.minimum.at(first, of, basins.first)
    np.logical_or.at(edge, of, basins.cut)
    small = size < smallest
    large = ~small & (size > (largest if largest is not None else size.max(initial=0)))
    gone = ~small & ~large & edge if cut == "leave out" else np.zeros(len(tops), np.bool_)
    kept = ~(small | large | gone)
    numbers = np.zeros(len(tops), np.uint32)
    order = np.flatnonzero(kept)[np.argsort(first[kept], kind="stable")]
    numbers[order] = np.arange(1, len(order) + 1)
    table = np.zeros(pieces.number + 1, np.uint32)
    table[1:] = numbers[of][basins.of]
    left = {TOO_SMALL: small, TOO_LARGE: large, CUT: gone}
    return table, len(order), {reason: int(lost.sum()) for reason, lost in left.items() if lost.any()}


def _within(part: Region, of: Region) -> Region:
    return tuple(slice(p.start - o.start, p.stop - o.start) for p, o in zip(part, of, strict=True))


def _check(*, sigma: float, depth: float, reach: float, threshold: float | str) -> None:
    finite = not isinstance(threshold, str) and math.isfinite(threshold)
    if not 0 <= sigma < math.inf or not 0 <= depth < math.inf or not 1 <= reach < math.inf:
        raise InputError(
            f"Smoothing by {sigma:g}, a depth of {depth:g} and a reach of {reach:g} pixels were asked for.",
            remedy="Give a smoothing and a depth of 0 or more, and a reach of 1 or more.",
        )
    if not finite and threshold != "otsu":
        raise InputError(f"The threshold is {threshold!r}.", remedy="Give a number, or 'otsu'.")
