"""Figures that compare pixel with pixel: absolute and squared differences, and linear correlation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from scalesr.metrics.exact import ExactSum
from scalesr.metrics.measure import Measure
from scalesr.metrics.moments import EXTREMES, PIXELS, SUMS, Differences, Moments
from scalesr.metrics.ssim import range_of
from scalesr.metrics.windows import require_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scalesr.metrics.frame import Frame, Settings
    from scalesr.metrics.state import State

NOTHING = "no pixel to compare"
IDENTICAL = "identical"
MISSING = "not finite or masked"
Figure = tuple[float | None, str]
"""A value and what to say of it."""


@dataclass(frozen=True)
class Mae:
    """Mean absolute difference, in units of intensity: of the whole cube, then of each band."""

    statistic: Differences
    name: str = "mae"

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return the figures."""
        sums = state.sums(SUMS, (frame.bands, 2))[:, Differences.ABSOLUTE]

        def figure(bands: Sequence[int], n: int) -> Figure:
            return (math.fsum(sums[bands]) / n, "") if n else (None, NOTHING)

        return _Table(self.name, state, frame).whole_and_bands(figure)


@dataclass(frozen=True)
class Rmse:
    """Root of the mean squared difference, in units of intensity: of the whole cube, then of each band."""

    statistic: Differences
    name: str = "rmse"

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return the figures."""
        sums = state.sums(SUMS, (frame.bands, 2))[:, Differences.SQUARED]

        def figure(bands: Sequence[int], n: int) -> Figure:
            return (math.sqrt(math.fsum(sums[bands]) / n), "") if n else (None, NOTHING)

        return _Table(self.name, state, frame).whole_and_bands(figure)


@dataclass(frozen=True)
class Psnr:
    """Peak signal-to-noise ratio: 20 log10(data range) - 10 log10(mean squared difference), in dB.

    The ratio of the whole cube comes first, then the mean of those of the bands (often called MPSNR), then those of
    the bands. The first two differ: a band that is far off weighs more in the first.
    """

    statistic: Differences
    data_range: float
    note: str
    name: str = "psnr"

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return the figures; infinite where the images are identical."""
        sums = state.sums(SUMS, (frame.bands, 2))[:, Differences.SQUARED]

        def figure(bands: Sequence[int], n: int) -> Figure:
            if not n:
                return None, NOTHING
            error = math.fsum(sums[bands]) / n
            if error == 0:
                return math.inf, IDENTICAL
            return 20 * math.log10(self.data_range) - 10 * math.log10(error), ""

        return _Table(self.name, state, frame, unit="dB", note=self.note).whole_and_bands(figure, mean="after")


@dataclass(frozen=True)
class Nrmse:
    """Root mean squared difference over a size of the reference, in the three ways of scikit-image.

    ``range``: over its largest minus its smallest value; ``mean``: over the magnitude of its mean; ``euclidean``: over
    the root of its mean square. Each of the whole cube, then of each band.
    """

    statistic: Moments
    name: str = "nrmse"

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return the figures."""
        sums = state.sums(SUMS, (frame.bands, 6))
        extremes = state.extremes(EXTREMES, (frame.bands, 2))
        low, high = extremes.low[:, 1], extremes.high[:, 1]

        def size(kind: str, bands: Sequence[int], n: int) -> float:
            if kind == "range":
                return float(high[bands].max() - low[bands].min())
            if kind == "mean":
                return abs(math.fsum(sums[bands, Moments.Y])) / n
            return math.sqrt(math.fsum(sums[bands, Moments.YY]) / n)

        def of(kind: str, bands: Sequence[int], n: int) -> Figure:
            if not n:
                return None, NOTHING
            below = size(kind, bands, n)
            error = math.sqrt(math.fsum(sums[bands, Moments.DD]) / n)
            return (error / below, "") if below else (None, f"the {NORMS[kind]} is zero")

        def figures(kind: str) -> list[Measure]:
            table = _Table(self.name, state, frame)
            return table.whole_and_bands(lambda bands, n: of(kind, bands, n), whole=kind, band=kind)

        return [measure for kind in NORMS for measure in figures(kind)]


NORMS = {
    "range": "range of the reference",
    "mean": "mean of the reference",
    "euclidean": "root mean square of the reference",
}
"""What `Nrmse` divides by, by kind."""


@dataclass(frozen=True)
class Pearson:
    """Pearson's coefficient of linear correlation.

    With several bands the mean of those of the bands comes first: that of the whole cube also counts how far the bands
    are apart, which both images have from the sample, and is often near 1 for that reason alone.
    """

    statistic: Moments
    name: str = "pearson"

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return the figures; none where an image is constant."""
        part = state.parts.get(SUMS)
        flat = part.fractions() if isinstance(part, ExactSum) else [Fraction(0)] * (6 * frame.bands)
        extremes = state.extremes(EXTREMES, (frame.bands, 2))

        def figure(bands: Sequence[int], n: int) -> Figure:
            if not n:
                return None, NOTHING
            constant = extremes.low[bands].min(axis=0) == extremes.high[bands].max(axis=0)
            x, y, xx, yy, xy = (sum((flat[6 * band + i] for band in bands), Fraction(0)) for i in range(5))
            # As fractions, for the differences may be many orders below the products.
            over_x, over_y, both = n * xx - x * x, n * yy - y * y, n * xy - x * y
            if constant[0] or over_x <= 0:
                return None, "the output is constant"
            if constant[1] or over_y <= 0:
                return None, "the reference is constant"
            return math.copysign(math.sqrt(min(float(both * both / (over_x * over_y)), 1.0)), both), ""

        return _Table(self.name, state, frame).whole_and_bands(figure, mean="before")


@dataclass(frozen=True)
class _Table:
    """Makes the figures of a metric for the whole cube and for each band."""

    metric: str
    state: State
    frame: Frame
    unit: str = ""
    note: str = ""
    """What to say of all figures."""

    def whole_and_bands(
        self,
        figure: Callable[[Sequence[int], int], Figure],
        *,
        whole: str = "whole cube",
        band: str = "band",
        mean: Literal["before", "after"] | None = None,
    ) -> list[Measure]:
        """Return the figure of all bands together and, where there are several, that of each.

        Parameters
        ----------
        figure
            Gives it for some bands that have so many counted pixels.
        whole, band
            Kinds of the two.
        mean
            Whether the mean of the bands comes ``before`` or ``after`` that of all together; `None`: not at all.
        """
        every = list(range(self.frame.bands))
        figures = [self._measure(figure, every, kind=whole, name=None)]
        if len(every) == 1:
            return figures
        names = self.frame.band_names
        each = [self._measure(figure, [place], kind=band, name=names[place]) for place in every]
        if mean is not None:
            figures.insert(0 if mean == "before" else 1, self._mean(each))
        return figures + each

    def _measure(
        self, figure: Callable[[Sequence[int], int], Figure], bands: Sequence[int], *, kind: str, name: str | None
    ) -> Measure:
        n, missing = map(int, self.state.counts(PIXELS, (self.frame.bands, 2))[bands].sum(axis=0))
        value, note = figure(bands, n)
        return Measure(
            metric=self.metric,
            kind=kind,
            value=value,
            unit=self.unit,
            n=n,
            left_out={MISSING: missing} if missing else {},
            band=name,
            note="; ".join(filter(None, [note, self.note])),
        )

    def _mean(self, each: Sequence[Measure]) -> Measure:
        """Return the mean of the figures of the bands; those without a figure are left out and counted."""
        there = [measure.value for measure in each if measure.value is not None]
        infinite = sum(math.isinf(value) for value in there)
        left_out = {
            MISSING: sum(measure.left_out.get(MISSING, 0) for measure in each),
            "bands without a figure": len(each) - len(there),
        }
        notes = [f"{infinite} of {len(each)} bands are {IDENTICAL}"] if infinite else []
        notes += sorted({f"{measure.note.split('; ')[0]}" for measure in each if measure.value is None})
        return Measure(
            metric=self.metric,
            kind="mean of bands",
            value=math.fsum(there) / len(there) if there else None,
            unit=self.unit,
            n=sum(measure.n for measure in each if measure.value is not None),
            left_out={reason: count for reason, count in left_out.items() if count},
            note="; ".join(filter(None, [*notes, self.note])),
        )


def make_mae(frame: Frame, settings: Settings) -> Mae:
    """Return the metric, or refuse with an `InputError` where there is no reference."""
    del settings
    require_reference(frame, "mae")
    return Mae(Differences(frame.ndim))


def make_rmse(frame: Frame, settings: Settings) -> Rmse:
    """Return the metric, or refuse with an `InputError` where there is no reference."""
    del settings
    require_reference(frame, "rmse")
    return Rmse(Differences(frame.ndim))


def make_nrmse(frame: Frame, settings: Settings) -> Nrmse:
    """Return the metric, or refuse with an `InputError` where there is no reference."""
    del settings
    require_reference(frame, "nrmse")
    return Nrmse(Moments(frame.ndim))


def make_pearson(frame: Frame, settings: Settings) -> Pearson:
    """Return the metric, or refuse with an `InputError` where there is no reference."""
    del settings
    require_reference(frame, "pearson")
    return Pearson(Moments(frame.ndim))


def make_psnr(frame: Frame, settings: Settings) -> Psnr:
    """Return the metric, or refuse with an `InputError` where there is no reference or, for floats, no data range."""
    require_reference(frame, "psnr")
    data_range, note = range_of(frame, settings, "psnr")
    return Psnr(Differences(frame.ndim), data_range, note)
