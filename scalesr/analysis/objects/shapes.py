"""Size, place and shape of objects from sums over their pixels: exact integers until the last step."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.analysis.objects.sums import split, total
from scalesr.analysis.objects.tally import Part, column, sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.analysis.objects.tally import Grouping, Kind


def geometry(rows: Grouping, places: tuple[NDArray[np.int64], ...], start: tuple[int, ...]) -> Part:
    """Return count, extent and first and second moments of the objects in a block, about the field's first pixel.

    Parameters
    ----------
    rows
        The block's labelled pixels.
    places
        Where they lie in the block, one array for each axis.
    start
        First pixel of the block.
    """
    n = rows.counts
    columns: dict[tuple[Kind, str, int], NDArray[Any]] = {("sum", "area", 0): n}
    local = [rows.reduce("sum", place) for place in places]
    for a, place in enumerate(places):
        columns["low", f"first-{a}", 0] = rows.reduce("low", place) + start[a]
        columns["high", f"last-{a}", 0] = rows.reduce("high", place) + start[a]
        columns["sum", f"moment-{a}", 0] = local[a] + n * start[a]
    for a, b in _pairs(len(places)):
        product = rows.reduce("sum", places[a] * places[b])
        moved = product + start[a] * local[b] + start[b] * local[a] + n * (start[a] * start[b])
        for power, part in split(moved).items():
            columns["sum", f"moment-{a}{b}", power] = part
    return Part(labels=rows.labels, columns=columns)


def shape_features(part: Part, *, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
    """Return size, place and shape of each object, as ``skimage.measure.regionprops`` defines and names them.

    Lengths are in pixels, also where these are longer along one axis: as there without ``spacing``. Eccentricity and
    orientation are of planar objects.

    Parameters
    ----------
    part
        What `geometry` gathered.
    shape
        Of the field.
    """
    axes = len(shape)
    n = column(part, "sum", "area")
    found: dict[str, NDArray[Any]] = {"area": n}
    first = [total(sums(part, f"moment-{a}"), unit=0) for a in range(axes)]
    for a in range(axes):
        found[f"centroid-{a}"] = np.asarray(first[a] / n, np.float64)
    low = [column(part, "low", f"first-{a}") for a in range(axes)]
    high = [column(part, "high", f"last-{a}") + 1 for a in range(axes)]
    found |= {f"bbox-{k}": values for k, values in enumerate(low + high)}
    found["touches_edge"] = np.any(
        [(a == 0) | (b == size) for a, b, size in zip(low, high, shape, strict=True)], axis=0
    )
    found["extent"] = n / np.prod([b - a for a, b in zip(low, high, strict=True)], axis=0)
    found["equivalent_diameter_area"] = (2 * axes * n / math.pi) ** (1 / axes)
    big = n.astype(object)
    spread = {
        (a, b): np.asarray(
            (big * total(sums(part, f"moment-{a}{b}"), unit=0) - first[a] * first[b]) / (big * big), np.float64
        )
        for a, b in _pairs(axes)
    }
    return found | (_planar(spread) if axes == 2 else _solid(spread))


def _planar(spread: dict[tuple[int, int], NDArray[np.float64]]) -> dict[str, NDArray[Any]]:
    a, b, c = spread[1, 1], -spread[0, 1], spread[0, 0]
    # Eigenvalues of the inertia tensor [[a, b], [b, c]].
    middle, half = (a + c) / 2, np.hypot((a - c) / 2, b)
    large = middle + half
    # The product of both is the determinant; their difference would cancel for a line.
    small = np.divide(np.maximum(a * c - b * b, 0), large, out=np.zeros_like(large), where=large > 0)
    ratio = np.divide(small, large, out=np.ones_like(large), where=large > 0)
    turned = 0.5 * np.arctan2(-2 * b, c - a)
    return {
        "axis_major_length": 4 * np.sqrt(large),
        "axis_minor_length": 4 * np.sqrt(small),
        "eccentricity": np.sqrt(1 - ratio),
        "orientation": np.where(a == c, np.where(b < 0, math.pi / 4, -math.pi / 4), turned),
    }


def _solid(spread: dict[tuple[int, int], NDArray[np.float64]]) -> dict[str, NDArray[Any]]:
    trace = sum(spread[a, a] for a in range(3))
    tensor = np.empty((len(spread[0, 0]), 3, 3))
    for a, b in _pairs(3):
        tensor[:, a, b] = tensor[:, b, a] = (trace - spread[a, a]) if a == b else -spread[a, b]
    small, middle, large = np.maximum(np.linalg.eigvalsh(tensor), 0).T
    return {
        "axis_major_length": np.sqrt(np.maximum(10 * (large + middle - small), 0)),
        "axis_minor_length": np.sqrt(np.maximum(10 * (small + middle - large), 0)),
    }


def _pairs(axes: int) -> list[tuple[int, int]]:
    return list(itertools.combinations_with_replacement(range(axes), 2))
