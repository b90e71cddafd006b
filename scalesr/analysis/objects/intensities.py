"""Intensities of objects, channel by channel: sums that are exact, smallest and largest values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.analysis.objects.sums import mean_and_deviation, parts_of, squares_of
from scalesr.analysis.objects.tally import Grouping, Part, column, sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.analysis.objects.tally import Kind

LARGEST = 2.0**500
"""Values of at least this size count as not finite."""


def intensities(labels: NDArray[np.int64], values: NDArray[Any], *, name: str, rows: Grouping | None = None) -> Part:
    """Return what some pixels add to the figures of their objects in a channel; those that are not finite are counted.

    Parameters
    ----------
    labels
        Of the pixels, none of them 0, shape (n,).
    values
        Of the same pixels.
    name
        Of the channel.
    rows
        `Grouping` of the labels, where the caller has it.
    """
    # The square of what lies beyond has no finite value.
    bad = ~(np.abs(values.astype(np.float64)) < LARGEST)
    if bad.any():
        odd = Grouping(labels[bad])
        rest = intensities(labels[~bad], values[~bad], name=name)
        # Objects of which nothing is finite have rows too.
        every = np.union1d(rest.labels, odd.labels)
        columns = {key: _spread(column, rest.labels, every, key[0]) for key, column in rest.columns.items()}
        columns["sum", f"bad {name}", 0] = _spread(odd.counts, odd.labels, every, "sum")
        return Part(labels=every, columns=columns)
    if not len(labels):
        return Part(labels=labels, columns={})
    rows = rows or Grouping(labels)
    found: dict[tuple[Kind, str, int], NDArray[Any]] = {
        ("sum", f"count {name}", 0): rows.counts,
        ("low", f"least {name}", 0): rows.reduce("low", values.astype(np.float64)),
        ("high", f"most {name}", 0): rows.reduce("high", values.astype(np.float64)),
    }
    for power, part in parts_of(values).items():
        found["sum", f"sum {name}", power] = rows.reduce("sum", part)
    for power, part in squares_of(values).items():
        found["sum", f"squares {name}", power] = rows.reduce("sum", part)
    return Part(labels=rows.labels, columns=found)


def intensity_features(part: Part, *, name: str) -> dict[str, NDArray[Any]]:
    """Return sum, mean, standard deviation, smallest and largest value of each object; NaN where none is finite."""
    count = column(part, "sum", f"count {name}")
    total, mean, deviation = mean_and_deviation(count, sums(part, f"sum {name}"), sums(part, f"squares {name}"))
    least, most = column(part, "low", f"least {name}"), column(part, "high", f"most {name}")
    found = {
        f"intensity_sum-{name}": total,
        f"intensity_mean-{name}": mean,
        f"intensity_std-{name}": deviation,
        f"intensity_min-{name}": np.where(count > 0, least, np.nan),
        f"intensity_max-{name}": np.where(count > 0, most, np.nan),
    }
    bad = column(part, "sum", f"bad {name}")
    return found | ({f"not_finite-{name}": bad} if bad.any() else {})


def _spread(values: NDArray[Any], of: NDArray[np.int64], every: NDArray[np.int64], kind: Kind) -> NDArray[Any]:
    nothing = {"sum": 0, "low": np.inf, "high": -np.inf}[kind]
    out = np.full(len(every), nothing, values.dtype)
    out[np.searchsorted(every, of)] = values
    return out
