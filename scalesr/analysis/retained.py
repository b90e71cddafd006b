"""What of a feature a restoration retains: agreement with the true figures, effects, and classes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.analysis.tables.object_table import positions
from scalesr.analysis.tabular import Tabular
from scalesr.analysis.wells import NOT_FINITE, Contrast, default_features
from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scalesr.analysis.tables.object_table import ObjectTable

LIMIT = 1.96
"""Standard deviations on either side within which 95 % of normal differences lie."""


@dataclass(frozen=True, kw_only=True)
class FeatureAgreement:
    """How far a feature of restored objects agrees with the true one, object by object."""

    feature: str
    """Name of the feature."""
    n: int
    """Objects with a finite figure in both."""
    bias: float
    """Mean of restored less true."""
    deviation: float
    """Standard deviation of these differences, over n - 1."""
    slope: float
    """Of the line through restored against true by least squares: below 1 where contrast between objects is lost. NaN
    where all true figures are equal."""
    intercept: float
    """Of that line."""
    correlation: float
    """Pearson's; NaN where all figures of either are equal."""
    true: Contrast | None = None
    """Between the two conditions, of the true figures."""
    restored: Contrast | None = None
    """The same of the restored ones."""

    @property
    def limits(self) -> tuple[float, float]:
        """Limits of agreement: bias less and plus 1.96 deviations (Bland and Altman, Lancet 327, 307, 1986)."""
        return self.bias - LIMIT * self.deviation, self.bias + LIMIT * self.deviation

    @property
    def standard_errors(self) -> tuple[float, float]:
        """Standard errors of the bias and of either limit, s / sqrt(n) and sqrt(3 / n) s, as in the same paper."""
        return self.deviation / math.sqrt(self.n), self.deviation * math.sqrt(3 / self.n)

    @property
    def retained_effect(self) -> float | None:
        """Cohen's d of the restored figures over that of the true ones; `None` without conditions or an effect.

        Above 1 where a restoration exaggerates, below 0 where it turns the effect round.
        """
        if self.true is None or self.restored is None or not self.true.cohen_d:
            return None
        return self.restored.cohen_d / self.true.cohen_d


@dataclass(frozen=True, kw_only=True, eq=False)
class Retained(Tabular):
    """What a restoration retains of some features."""

    features: tuple[FeatureAgreement, ...]
    """One for each feature."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Objects that could not be compared, by reason."""

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each feature."""
        return [
            {
                "feature": each.feature,
                "n": each.n,
                "bias": each.bias,
                "lower limit": each.limits[0],
                "upper limit": each.limits[1],
                "slope": each.slope,
                "intercept": each.intercept,
                "correlation": each.correlation,
                "effect true": None if each.true is None else each.true.cohen_d,
                "effect restored": None if each.restored is None else each.restored.cohen_d,
                "effect retained": each.retained_effect,
            }
            for each in self.features
        ]


def retained(
    true: ObjectTable,
    restored: ObjectTable,
    *,
    features: Sequence[str] | None = None,
    condition: str | None = None,
    conditions: tuple[str, str] | None = None,
) -> Retained:
    """Compare the features of restored objects with the true ones, object by object.

    Parameters
    ----------
    true, restored
        Figures of the same objects, matched by their labels: measured with one image of labels, or numbered alike.
    features
        Names of columns of both; all numbers but places when not given.
    condition
        Column of the true table that says which condition an object is of.
    conditions
        The two whose effect is compared, such as ``("treated", "control")``; needed where there are not exactly two.

    Raises
    ------
    InputError
        No object is in both, or there are no two conditions.
    """
    mine, theirs = positions(true, restored)
    if len(mine) < 2:
        raise InputError(
            f"{len(mine)} object(s) have the same label in both tables.",
            remedy="Measure both images with one image of labels.",
        )
    chosen = tuple(features) if features is not None else common_features(true, restored)
    groups = None if condition is None else _groups(true[condition][mine], conditions)
    agreements, bad = [], 0
    for feature in chosen:
        x, y = (np.asarray(t[feature], np.float64)[at] for t, at in ((true, mine), (restored, theirs)))
        good = np.isfinite(x) & np.isfinite(y)
        bad += int(np.count_nonzero(~good))
        if np.count_nonzero(good) < 2:
            raise InputError(
                f"Feature {feature!r} has fewer than two objects with finite figures in both tables.",
                remedy="Leave it out, or check how it was measured.",
            )
        agreements.append(_agreement(feature, x, y, good, groups))
    left = {"objects in the true table alone": len(true) - len(mine)}
    left |= {"objects in the restored table alone": len(restored) - len(mine), NOT_FINITE: bad}
    return Retained(features=tuple(agreements), left_out={reason: n for reason, n in left.items() if n})


def _agreement(
    feature: str,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    good: NDArray[np.bool_],
    groups: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None,
) -> FeatureAgreement:
    both = None
    if groups is not None:
        both = [Contrast.of(*(values[group & good] for group in groups)) for values in (x, y)]
    x, y = x[good], y[good]
    away, off = x - x.mean(), y - y.mean()
    square, other, product = (float(np.dot(a, b)) for a, b in ((away, away), (off, off), (away, off)))
    slope = product / square if square else math.nan
    return FeatureAgreement(
        feature=feature,
        n=len(x),
        bias=float((y - x).mean()),
        deviation=float((y - x).std(ddof=1)),
        slope=slope,
        intercept=float(y.mean() - slope * x.mean()),
        correlation=product / math.sqrt(square * other) if square and other else math.nan,
        true=both[0] if both else None,
        restored=both[1] if both else None,
    )


def _groups(names: NDArray[Any], conditions: tuple[str, str] | None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    texts = np.asarray(names).astype(str)
    known = sorted(set(texts.tolist()))
    pair = conditions if conditions is not None else tuple(known)
    if len(pair) != 2 or pair[0] == pair[1] or any(name not in known for name in pair):
        raise InputError(
            f"The objects in both tables are of the conditions {', '.join(known)}, and {', '.join(pair)} were to be "
            "compared.",
            remedy="Name two of them.",
        )
    return texts == pair[0], texts == pair[1]


def common_features(true: ObjectTable, restored: ObjectTable) -> tuple[str, ...]:
    """Return the features of both tables that say what an object is, not where it lies."""
    theirs = default_features(restored)
    return tuple(name for name in default_features(true) if name in theirs)
