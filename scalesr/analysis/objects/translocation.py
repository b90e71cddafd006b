"""Where a protein is: in the nucleus or around it, by the ratios of mean intensities."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.analysis.objects.blocks import Blocks
from scalesr.analysis.objects.field import Field, check_grid, no_object, open_label_field
from scalesr.analysis.objects.intensities import intensities, intensity_features
from scalesr.analysis.objects.rings import grown_labels, outline
from scalesr.analysis.objects.tally import Tally, column
from scalesr.analysis.objects.telling import steps
from scalesr.analysis.tables.object_table import ObjectTable
from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Source
    from scalesr.analysis.objects.blocks import Block
    from scalesr.engine import Callback

PLACES = ("nucleus", "cell", "cytoplasm")


def translocation(
    nuclei: Source,
    image: Source,
    *,
    channel: int | str = 0,
    cells: Source | None = None,
    ring: float = 8.0,
    offset: float = 0.0,
    block: int | tuple[int, ...] | None = None,
    callbacks: Sequence[Callback] = (),
    storage_options: Mapping[str, Any] | None = None,
) -> ObjectTable:
    """Measure how a protein is shared between nucleus and cytoplasm, of every cell of an image of any size.

    As CellProfiler's pipeline ExampleVitra does for the assays BBBC013 and BBBC014: cells are nuclei that have grown by
    8 pixels, a pixel going to the nearest; cytoplasm is cell without nucleus, where the nucleus is shrunk by its
    outline first, so that the outline belongs to both. One pass, exact sums: the same figures for all blocks.

    - ``ratio_nucleus_cell`` (Ratio1): mean in the nucleus over mean in the cell.
    - ``ratio_cytoplasm_cell`` (Ratio2): mean in the cytoplasm over mean in the cell.
    - ``ratio_nucleus_cytoplasm``: the first over the second.

    Correct uneven illumination before.

    Parameters
    ----------
    nuclei
        OME-Zarr image of integers.
    image
        Image on the same grid.
    channel
        Number or name of the protein's channel.
    cells
        Labels of cells with the numbers of their nuclei; nuclei that have grown when not given.
    ring
        Pixels that nuclei grow by.
    offset
        What the camera shows without light; it is taken off the means. Without that a ratio tends to 1.
    block
        Edge of the blocks in pixels.
    callbacks
        Told of each block that is done.
    storage_options
        Handed to fsspec, for all images.

    Returns
    -------
    ObjectTable
        One row for each nucleus, with ``area`` and ``mean`` of the three places and the ratios; NaN where a place has
        no pixel, or the mean below is not positive.

    Raises
    ------
    InputError
        The images do not fit or hold no object, or nuclei cannot grow by so much.
    """
    names = open_label_field(nuclei, storage_options=storage_options)
    field = Field.open(image, storage_options=storage_options)
    check_grid(names, field)
    whole = None if cells is None else open_label_field(cells, storage_options=storage_options)
    if whole is not None:
        check_grid(names, whole)
    if not 1 <= ring < math.inf:
        raise InputError(f"Nuclei were to grow by {ring:g} pixels.", remedy="Give 1 pixel or more.")
    number = field.numbers([channel])[0]
    tally = Tally()
    blocks = Blocks.of(names.shape, edge=block, margin=int(ring) + 1)
    for each in steps(blocks, name="measuring translocation", callbacks=callbacks):
        values = field.read(each.core, number)
        for place, labels in _places(names, whole, each, ring=ring):
            inside = labels > 0
            tally.add(intensities(labels[inside], values[inside], name=place))
    part = tally.result()
    means = {place: intensity_features(part, name=place)[f"intensity_mean-{place}"] - offset for place in PLACES}
    areas = {place: column(part, "sum", f"count {place}") for place in PLACES}
    columns: dict[str, NDArray[Any]] = {"label": part.labels}
    for place in PLACES:
        columns |= {f"{place}_area": areas[place], f"{place}_mean": means[place]}
    columns["ratio_nucleus_cell"] = _ratio(means["nucleus"], means["cell"])
    columns["ratio_cytoplasm_cell"] = _ratio(means["cytoplasm"], means["cell"])
    columns["ratio_nucleus_cytoplasm"] = _ratio(columns["ratio_nucleus_cell"], columns["ratio_cytoplasm_cell"])
    table = ObjectTable(columns=columns).where(areas["nucleus"] > 0, reason="cells without a nucleus")
    if not len(table):
        raise no_object(names)
    return table


def _places(
    nuclei: Field, cells: Field | None, block: Block, *, ring: float
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield the labels of nuclei, of cells and of cytoplasm in a block's core."""
    outer = nuclei.read_labels(block.outer)
    own = outer[block.inner]
    whole = grown_labels(outer, distance=ring)[block.inner] if cells is None else cells.read_labels(block.core)
    # The outer part has a pixel more than the ring, so that what borders on it is no outline of the core.
    shrunk = (own > 0) & ~outline(outer)[block.inner]
    yield "nucleus", own
    yield "cell", whole
    yield "cytoplasm", np.where(shrunk, 0, whole)


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0))
