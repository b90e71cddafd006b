"""Features of objects by well, and how far two conditions lie apart."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from scalesr.analysis.tabular import Tabular
from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from scalesr.analysis.tables.object_table import ObjectTable

NOT_FINITE = "objects whose figure is not finite"


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """How far the values of one condition lie above those of another; NaN where too few values say it."""

    n: tuple[int, int]
    """Values of the first and of the second."""
    difference: float
    """Mean of the first less that of the second."""
    cohen_d: float
    """The difference over the pooled standard deviation (Cohen, Statistical Power Analysis, 2nd ed., 1988, 2.5.1)."""
    ssmd: float
    """Strictly standardised mean difference: over the root of the sum of both variances, for independent values (Zhang,
    Genomics 89, 552, 2007)."""
    z_prime: float
    """1 less three times the sum of both standard deviations over the distance of the means (Zhang, Chung and
    Oldenburg, Journal of Biomolecular Screening 4, 67, 1999); 0.5 and more is an excellent assay, for wells."""
    auc: float
    """Chance that a value of the first is higher than one of the second, where ties count one half."""

    @classmethod
    def of(cls, first: ArrayLike, second: ArrayLike) -> Self:
        """Return the contrast of two sets of finite values; variances are over n - 1."""
        one, two = (np.asarray(values, np.float64) for values in (first, second))
        n = len(one), len(two)
        means = [float(np.mean(values)) if len(values) else math.nan for values in (one, two)]
        variances = [float(np.var(values, ddof=1)) if len(values) > 1 else math.nan for values in (one, two)]
        gap = means[0] - means[1]
        pooled = ((n[0] - 1) * variances[0] + (n[1] - 1) * variances[1]) / max(n[0] + n[1] - 2, 1)
        spread = math.sqrt(variances[0]) + math.sqrt(variances[1])
        return cls(
            n=n,
            difference=gap,
            cohen_d=_over(gap, math.sqrt(pooled)),
            ssmd=_over(gap, math.sqrt(variances[0] + variances[1])),
            z_prime=1 - 3 * spread / abs(gap) if gap else (math.nan if math.isnan(spread) else -math.inf),
            auc=_auc(one, two),
        )

    def row(self) -> dict[str, Any]:
        """Return the figures by name."""
        names = ("difference", "cohen_d", "ssmd", "z_prime", "auc")
        return {"n first": self.n[0], "n second": self.n[1], **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True, kw_only=True, eq=False)
class Wells(Tabular):
    """Features of objects by well."""

    wells: tuple[str, ...]
    """Names of the wells, in the order of rows and columns of the plate."""
    features: tuple[str, ...]
    """Names of the features."""
    counts: NDArray[np.int64]
    """Objects that count, shape (wells, features)."""
    means: NDArray[np.float64]
    """Their means; NaN where there is none. Same shape, as the following."""
    medians: NDArray[np.float64]
    """Their medians."""
    deviations: NDArray[np.float64]
    """Their standard deviations, over n - 1."""
    contrasts: Mapping[tuple[str, str], Contrast] = field(default_factory=dict)
    """By well and feature, its objects against those of all control wells together; empty without controls."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Objects that do not count in some feature, by reason."""

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each well and feature."""
        rows = []
        for w, well in enumerate(self.wells):
            for f, feature in enumerate(self.features):
                contrast = self.contrasts.get((well, feature))
                facts = {
                    "well": well,
                    "feature": feature,
                    "objects": int(self.counts[w, f]),
                    "mean": float(self.means[w, f]),
                    "median": float(self.medians[w, f]),
                    "std": float(self.deviations[w, f]),
                }
                rows.append(facts | ({} if contrast is None else contrast.row()))
        return rows

    def contrast(self, feature: str, first: Sequence[str], second: Sequence[str]) -> Contrast:
        """Return the contrast of two sets of wells, where each well counts once, by its mean.

        Screens judge an assay by its wells: objects of one well are no independent repetitions.

        Raises
        ------
        InputError
            There is no such well or feature, or a well is in both sets.
        """
        unknown = [well for well in (*first, *second) if well not in self.wells]
        both = sorted(set(first) & set(second))
        if unknown or both or feature not in self.features:
            raise InputError(
                f"Wells {', '.join(unknown) or 'none'} are unknown, {', '.join(both) or 'none'} are in both sets, and "
                f"the features are {', '.join(self.features)}.",
                remedy=f"Name one of these and wells among {', '.join(self.wells[:8])} ..., each once.",
            )
        of = self.means[:, self.features.index(feature)]
        sets = ([of[self.wells.index(well)] for well in wells] for wells in (first, second))
        one, two = (np.array([value for value in values if math.isfinite(value)]) for values in sets)
        return Contrast.of(one, two)


def by_well(
    table: ObjectTable,
    *,
    features: Sequence[str] | None = None,
    well: str = "well",
    controls: Sequence[str] = (),
) -> Wells:
    """Return mean, median and spread of features in each well, and its contrast to the control wells.

    Parameters
    ----------
    table
        Objects with a column that says which well each is in.
    features
        Names of columns; all numbers but places when not given.
    well
        Name of that column.
    controls
        Names of wells whose objects, all together, each well is compared with. A control well is compared with the
        other ones.

    Raises
    ------
    InputError
        There is no such column or control, or no object.
    """
    names = np.asarray(table[well]).astype(str)
    chosen = tuple(features) if features is not None else default_features(table, well)
    found = tuple(sorted(set(names.tolist()), key=_plate_order))
    lost = [name for name in controls if name not in found]
    if lost or not len(table):
        raise InputError(
            f"The table has {len(table)} objects, and none in the control wells {', '.join(lost) or '-'}.",
            remedy="Name control wells that have objects.",
        )
    shape = len(found), len(chosen)
    counts = np.zeros(shape, np.int64)
    means, medians, deviations = (np.full(shape, np.nan) for _ in range(3))
    contrasts, left = {}, 0
    order = np.argsort(names, kind="stable")
    ends = np.searchsorted(names[order], [*found], side="left"), np.searchsorted(names[order], [*found], side="right")
    inside = {name: order[a:b] for name, a, b in zip(found, *ends, strict=True)}
    for f, feature in enumerate(chosen):
        values = np.asarray(table[feature], np.float64)
        finite = np.isfinite(values)
        left += int(np.count_nonzero(~finite))
        own = {name: values[rows][finite[rows]] for name, rows in inside.items()}
        for w, name in enumerate(found):
            some = own[name]
            counts[w, f] = len(some)
            if len(some):
                means[w, f], medians[w, f] = some.mean(), np.median(some)
            if len(some) > 1:
                deviations[w, f] = some.std(ddof=1)
            others = [own[control] for control in controls if control != name]
            if others:
                contrasts[name, feature] = Contrast.of(some, np.concatenate(others))
    return Wells(
        wells=found,
        features=chosen,
        counts=counts,
        means=means,
        medians=medians,
        deviations=deviations,
        contrasts=contrasts,
        left_out={NOT_FINITE: left} if left else {},
    )


def default_features(table: ObjectTable, *without: str) -> tuple[str, ...]:
    """Return the features of a table that say what an object is, not where it lies."""
    places = ("centroid-", "bbox-", "corner-", "label")
    return tuple(name for name in table.features if not name.startswith(places) and name not in without)


def _plate_order(well: str) -> tuple[int, str, int, str]:
    """Return a key that puts A2 before A10, and Z before AA."""
    letters = well.rstrip("0123456789")
    number = well[len(letters) :]
    return len(letters), letters, int(number or 0), well


def _over(gap: float, spread: float) -> float:
    if spread:
        return gap / spread
    return math.copysign(math.inf, gap) if gap else 0.0


def _auc(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    if not len(one) or not len(two):
        return math.nan
    other = np.sort(two)
    # Twice the pairs in which the first is higher, in whole numbers.
    below = int(np.searchsorted(other, one, side="left").sum()) + int(np.searchsorted(other, one, side="right").sum())
    return below / (2 * len(one) * len(two))
