"""Consistency: whether the output, degraded as the instrument would have, gives the measurement it was made from.

What fails here contradicts the data. What passes need not be true: everything that the degradation removes is free.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scalesr.errors import InputError
from scalesr.metrics.degradation import degrade, margin, read_degradation, refuse_unmeasured
from scalesr.metrics.exact import ExactSum
from scalesr.metrics.ground import ground_of, place
from scalesr.metrics.measure import Measure
from scalesr.metrics.state import Count, Extremes, State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from numpy.typing import NDArray

    from scalesr.metrics.degradation import Degradation
    from scalesr.metrics.frame import Frame, Settings
    from scalesr.metrics.patch import Patch

FLAT = 1e-12
"""A variance below so much of the mean square is rounding."""


@dataclass(frozen=True)
class Residuals:
    """Sums of the degraded output, of the measurement and of their difference over measured pixels, for each band."""

    degradation: Degradation
    ratio: tuple[Fraction, ...]

    @property
    def context(self) -> tuple[int, ...]:
        """Twice the reach of the degradation."""
        return tuple(2 * n for n in margin(self.degradation, self.ratio))

    def update(self, state: State, patch: Patch) -> State:
        """Add the measured pixels that a patch answers for."""
        ground = ground_of(patch, self.degradation)
        bands = len(ground.measured)
        state.add("pixels", Count(ground.pixels)).add("n", Count(ground.size - ground.missing))
        state.add("missing", Count(ground.missing))
        if ground.size == 0:
            return state
        degraded = ground.weighed(degrade(ground.output, self.degradation, ratio=self.ratio, spans=ground.spans))
        measured, error = ground.measured, degraded - ground.measured
        terms = (error, error**2, degraded, measured, degraded**2, measured**2, degraded * measured)
        rows = [[np.sum(term[band]) for term in terms] for band in range(bands)]
        state.add("sums", ExactSum((bands, len(terms))).add(rows))
        # Where a pixel does not count both are zero, and so is the error: it widens the extremes by nothing that shows.
        flat = error.reshape(bands, -1)
        return state.add("error", Extremes(flat.min(1), flat.max(1)))


@dataclass(frozen=True)
class Consistency:
    """How far the degraded output is from the measurement. The map is the signed difference on the measured grid."""

    statistic: Residuals
    name: str = "consistency"

    @property
    def grid(self) -> Literal["measured"]:
        """The map has the pixels of the measurement."""
        return "measured"

    @property
    def lead(self) -> tuple[int, ...]:
        """Pixels of the output below a cell that its map needs."""
        return margin(self.statistic.degradation, self.statistic.ratio)

    def pixels(self, patch: Patch, state: State, frame: Frame) -> NDArray[Any]:
        """Return degraded output minus measurement; see `PixelMap`."""
        del state
        degradation = self.statistic.degradation
        ground = ground_of(patch, degradation)
        degraded = degrade(ground.output, degradation, ratio=patch.ratio, spans=ground.spans)
        return place(degraded - ground.measured, ground, patch, frame)

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return rmse, relative rmse, pearson, bias, gain, offset and max difference: of all bands, then of each."""
        every = self._figures(state, frame, None)
        if frame.bands > 1:
            for band in range(frame.bands):
                every += self._figures(state, frame, band)
        return every

    def _figures(self, state: State, frame: Frame, band: int | None) -> list[Measure]:
        some = slice(None) if band is None else slice(band, band + 1)
        pooled = band is None and frame.bands > 1
        n = state.counts("n", (frame.bands,))[some]
        missing = state.counts("missing", (frame.bands,))[some]
        left = left_out(int(state.counts("pixels")) * len(n), int(n.sum()), int(missing.sum()))
        extremes = state.extremes("error", (frame.bands,))
        sums = state.sums("sums", (frame.bands, 7))[some]
        found = _figures_of(sums, n, max(-float(extremes.low[some].min()), float(extremes.high[some].max())))
        ratio = " x ".join(map(str, frame.ratio))
        does = self.statistic.degradation.text
        assumed = f"assumed degradation: {does}; {ratio} pixels of the output for each measured one"
        said = {
            "relative rmse": "in standard deviations of the measurement",
            "bias": "degraded output minus measurement",
            "gain": "slope of the degraded output over the measurement",
            "offset": "degraded output where the measurement is 0, by the regression",
            "max difference": "largest absolute difference of a measured pixel",
        }
        about = dict.fromkeys(("relative rmse", "pearson", "gain"), "bands pooled, each around its own mean")
        measures = []
        for kind, value in found.items():
            if kind == "offset" and pooled:
                continue
            notes = [assumed, said.get(kind, ""), about.get(kind, "") if pooled else ""]
            if value is None:
                notes.append(_why(int(n.sum()), kind))
            measures.append(
                Measure(
                    metric=self.name,
                    kind=kind,
                    value=value,
                    n=int(n.sum()),
                    left_out=left,
                    band=None if band is None else frame.band_names[band],
                    note="; ".join(note for note in notes if note),
                )
            )
        return measures


def _figures_of(sums: NDArray[np.float64], n: NDArray[np.int64], most: float) -> Mapping[str, float | None]:
    """Return the figures of bands from their sums, shape (bands, 7); spreads are around the mean of each band."""
    total = int(n.sum())
    if total == 0:
        kinds = ("rmse", "relative rmse", "pearson", "bias", "gain", "offset", "max difference")
        return dict.fromkeys(kinds)
    error, squares, d, m, dd, mm, dm = (sums[:, k] for k in range(7))
    each = np.maximum(n, 1)
    spread_d, spread_m = float(np.sum(dd - d * d / each)), float(np.sum(mm - m * m / each))
    common = float(np.sum(dm - d * m / each))
    rmse = math.sqrt(float(squares.sum()) / total)
    flat_d, flat_m = spread_d <= FLAT * float(dd.sum()), spread_m <= FLAT * float(mm.sum())
    gain = None if flat_m else common / spread_m
    return {
        "rmse": rmse,
        "relative rmse": None if flat_m else rmse / math.sqrt(spread_m / total),
        "pearson": None if flat_m or flat_d else common / math.sqrt(spread_d * spread_m),
        "bias": float(error.sum()) / total,
        "gain": gain,
        "offset": None if gain is None else float(d.sum() - gain * m.sum()) / total,
        "max difference": abs(most),
    }


def _why(n: int, kind: str) -> str:
    if n == 0:
        return "no measured pixel lies wholly inside the output"
    return "output or measurement is constant" if kind == "pearson" else "the measurement is constant"


def left_out(pixels: int, n: int, missing: int) -> dict[str, int]:
    """Return how many of all measured pixels were not counted, by reason."""
    reasons = {"not finite or masked": missing, "border": pixels - n - missing}
    return {reason: count for reason, count in reasons.items() if count}


def make_consistency(frame: Frame, settings: Settings) -> Consistency:
    """Return the metric.

    Raises
    ------
    InputError
        No measurement, a finer one than the output, an unknown degradation, one that reaches too far or is for
        another number of bands.
    """
    refuse_unmeasured("consistency", frame)
    degradation = read_degradation(settings.degradation)
    if 2 * degradation.reach >= min(frame.shape):
        raise InputError(
            f"The degradation {settings.degradation!r} reaches {degradation.reach} pixels far, too far for "
            f"an image of {' x '.join(map(str, frame.shape))} pixels.",
            remedy="Give smaller lengths: they are in pixels of the output.",
        )
    if degradation.bands not in (None, frame.bands):
        raise InputError(
            f"The degradation {settings.degradation!r} is for {degradation.bands} bands, and the image has "
            f"{frame.bands}.",
            remedy="Give one wavelength for each band.",
        )
    return Consistency(Residuals(degradation, frame.ratio))
