"""Features that no sum gives, taken from one whole object at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.analysis.objects.field import open_label_field
from scalesr.analysis.objects.gathering import Extents, scattered
from scalesr.analysis.objects.telling import steps
from scalesr.analysis.packages import need
from scalesr.analysis.tables.object_table import ObjectTable
from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Source
    from scalesr.engine import Callback

FEATURES = ("solidity", "area_convex", "area_filled", "feret_diameter_max")
"""What is measured when nothing is named."""


def features_of_crops(
    labels: Source,
    *,
    features: Sequence[str] = FEATURES,
    callbacks: Sequence[Callback] = (),
    storage_options: Mapping[str, Any] | None = None,
) -> ObjectTable:
    """Return features of scikit-image that are not additive, of every object as a whole.

    A tile of the field is read at a time and ``skimage.measure.regionprops`` asked of it, so the figures are those of
    the whole image. An object that is longer than 2048 pixels (192 in three dimensions) has NaN and is counted in the
    table's notes.

    Parameters
    ----------
    labels
        OME-Zarr image of integers.
    features
        Names of properties of one number, of the shape alone.
    callbacks
        Told of each part of the field that is done.
    storage_options
        Handed to fsspec.

    Raises
    ------
    InputError
        The labels are no integers or hold no object, or a feature is unknown or no single number.
    PlanError
        scikit-image is not installed.
    """
    measure = need("skimage.measure", extra="objects", purpose="Features of whole objects")
    field = open_label_field(labels, storage_options=storage_options)
    found = Extents.of(field, callbacks=callbacks)
    tiles = []
    for tile in steps(tuple(found.tiles()), name="measuring whole objects", callbacks=callbacks):
        figures: dict[str, NDArray[Any]] = {name: np.full(len(tile.labels), np.nan) for name in features}
        for each in measure.regionprops(tile.read(field)):
            for name in features:
                figures[name][each.label - 1] = _number(each, name)
        tiles.append((tile.members, figures))
    notes = tuple(f"{count} {reason} have no figures" for reason, count in found.left_out.items())
    return ObjectTable(columns={"label": found.labels, **scattered(len(found.labels), tiles)}, notes=notes)


def _number(properties: Any, name: str) -> float:
    value = getattr(properties, name, None)
    if value is None or np.ndim(value):
        raise InputError(
            f"scikit-image has no feature {name!r} of the shape that is one number.",
            remedy=f"Name some of its properties, such as {', '.join(FEATURES)}.",
        )
    return float(value)
