"""Measuring all objects of an image of any size in one pass over labels and channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.analysis.objects.blocks import Blocks
from scalesr.analysis.objects.contours import MARGIN, outlines, perimeters
from scalesr.analysis.objects.field import Field, check_grid, no_object, open_label_field
from scalesr.analysis.objects.intensities import intensities, intensity_features
from scalesr.analysis.objects.shapes import geometry, shape_features
from scalesr.analysis.objects.tally import Grouping, Tally
from scalesr.analysis.objects.telling import steps
from scalesr.analysis.tables.object_table import ObjectTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Source
    from scalesr.analysis.objects.blocks import Block
    from scalesr.analysis.objects.tally import Part
    from scalesr.engine import Callback

MEASURING = "measuring objects"
CHANNELS = 16
"""Channels that are measured in one pass over the labels, of which each object keeps some numbers until its end."""


def measure_objects(
    labels: Source,
    image: Source | None = None,
    *,
    channels: Sequence[int | str] | None = None,
    block: int | tuple[int, ...] | None = None,
    callbacks: Sequence[Callback] = (),
    storage_options: Mapping[str, Any] | None = None,
) -> ObjectTable:
    """Measure every object of an image of any size: size, place, shape, outline, and intensities in each channel.

    One pass; more than 16 channels take one pass for each 16 of them. What a block knows of an object are integers
    that are added, and extremes, so the figures are the same to the last bit for all blocks. Memory: a block, and some
    numbers for each object and channel, whatever the size of the image.

    Columns have the names and the meaning of ``skimage.measure.regionprops_table``, with the channel's name in place of
    its number: ``area``, ``centroid``, ``bbox``, ``extent``, ``equivalent_diameter_area``, ``axis_major_length``,
    ``axis_minor_length`` and, of planar objects, ``eccentricity``, ``orientation``, ``perimeter``,
    ``perimeter_crofton``, ``euler_number``; ``intensity_mean``, ``_std``, ``_min``, ``_max``, and also ``_sum``.
    ``touches_edge`` marks objects that the field's edge cuts, of which size and shape are those of what is seen. Not
    additive, and so not here: ``solidity``, ``area_convex``, ``area_filled``, ``feret_diameter_max``, medians and the
    like; `features_of_crops` takes them from one object at a time.

    Parameters
    ----------
    labels
        OME-Zarr image of integers, 0 where there is no object. Parts of a label need not touch.
    image
        Image on the same grid; only shapes are measured without.
    channels
        Numbers or names; all when not given.
    block
        Edge of the blocks in pixels.
    callbacks
        Told of each block that is done.
    storage_options
        Handed to fsspec, for both images.

    Returns
    -------
    ObjectTable
        One row for each label, ascending. Pixels that are not finite do not count in a channel and are counted in its
        column ``not_finite``.

    Raises
    ------
    InputError
        The labels are no integers or hold no object, or the images are not on one grid.
    """
    field = open_label_field(labels, storage_options=storage_options)
    image_field = None if image is None else Field.open(image, storage_options=storage_options)
    if image_field is not None:
        check_grid(field, image_field)
    numbers = () if image_field is None else image_field.numbers(channels)
    planar = len(field.shape) == 2
    blocks = Blocks.of(field.shape, edge=block, margin=MARGIN if planar else 0)
    columns: dict[str, NDArray[Any]] = {}
    for start in range(0, max(len(numbers), 1), CHANNELS):
        some = numbers[start : start + CHANNELS]
        walk = steps(blocks, name=MEASURING, callbacks=callbacks)
        part = _pass(field, walk, image_field, some, shapes=start == 0)
        if start == 0:
            columns = {"label": part.labels, **shape_features(part, shape=field.shape)}
            columns |= perimeters(part) if planar else {}
        for number in some:
            assert image_field is not None
            columns |= intensity_features(part, name=image_field.channel_names[number])
    return ObjectTable(columns=columns)


def _pass(field: Field, blocks: Iterable[Block], image: Field | None, channels: Sequence[int], *, shapes: bool) -> Part:
    tally = Tally()
    for block in blocks:
        outer = field.read_labels(block.outer)
        labels = outer[block.inner]
        places = np.nonzero(labels)
        if shapes and len(field.shape) == 2:
            last = tuple(core.stop == n for core, n in zip(block.core, field.shape, strict=True))
            for part in outlines(_padded(outer, block), last=(last[0], last[1])):
                tally.add(part)
        if not len(places[0]):
            continue
        names = labels[places]
        rows = Grouping(names)
        if shapes:
            start = tuple(part.start for part in block.core)
            tally.add(geometry(rows, places, start))
        for number in channels:
            assert image is not None
            values = image.read(block.core, number)[places]
            tally.add(intensities(names, values, name=image.channel_names[number], rows=rows))
    result = tally.result()
    if not len(result.labels):
        raise no_object(field)
    return result


def _padded(outer: NDArray[np.int64], block: Block) -> NDArray[np.int64]:
    """Return the outer part with zeros where the field ends, so that the margin is whole."""
    lacking = [
        (MARGIN - (core.start - out.start), MARGIN - (out.stop - core.stop))
        for core, out in zip(block.core, block.outer, strict=True)
    ]
    return np.pad(outer, lacking) if any(map(any, lacking)) else outer
