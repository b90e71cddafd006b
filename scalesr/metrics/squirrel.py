"""SQUIRREL-style error map: the output, blurred and scaled to look like the measurement as far as it can.

After Culley et al. (2018), Nature Methods 15, 263: the output is blurred by a Gaussian of unknown width and scaled
linearly, so that it fits the image of lower resolution best; what remains is error. Two things are done otherwise, so
that it is one pass over an image of any size, and the figures must not be called by the original's name:

- The comparison is made on the measurement's grid, after area averaging, and not on the output's grid with the
  measurement interpolated up to it. Every measured pixel counts once and as it was measured; interpolated ones are
  neither data nor independent, and bring an error of their own. The width found here is therefore that of the blur
  without the pixel of the measurement, and may be 0.
- The width is not searched for by looking at the image again and again. The output is blurred by a fixed list of
  widths, and between two neighbours of the list by a mix of both: its best share follows from the same sums in closed
  form. The width is then the root of the mixed variances. On outputs that a Gaussian explains wholly, this leaves an
  error of up to some 2 % of the measurement's standard deviation where a search leaves none; the list alone leaves 13.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scalesr.metrics.blurs import TRUNCATE, Gaussian
from scalesr.metrics.consistency import FLAT, left_out
from scalesr.metrics.degradation import degrade, margin, refuse_unmeasured
from scalesr.metrics.exact import ExactSum
from scalesr.metrics.ground import ground_of, place
from scalesr.metrics.measure import Measure
from scalesr.metrics.state import Count, State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame, Settings
    from scalesr.metrics.patch import Patch

WIDTHS = 12
"""Widths in the list, with 0."""
WIDEST = 4 / 2.35482
"""Largest width of the original, in pixels of the measurement: a full width at half maximum of 4."""
NARROWEST = 0.4
"""Smallest width above 0 in pixels of the output: what is narrower lies between the pixels."""
SHARE = 6
"""A Gaussian reaches over a sixth of an axis at most, as the pixels that it lacks at the border are left out."""
ROUNDING = 2.0**-40
"""Two blurs that differ by less than so great a part of the mean square cannot be told apart."""


@dataclass(frozen=True)
class BlurredFits:
    """Sums for the regression of the measurement on the blurred output, for each band and each width of the blur."""

    blurs: tuple[Gaussian, ...]
    """The widest last."""
    ratio: tuple[Fraction, ...]

    @property
    def context(self) -> tuple[int, ...]:
        """Twice the reach of the widest blur."""
        return tuple(2 * n for n in margin(self.blurs[-1], self.ratio))

    def update(self, state: State, patch: Patch) -> State:
        """Add the measured pixels that a patch answers for, the same ones for each width."""
        ground = ground_of(patch, self.blurs[-1])
        bands = len(ground.measured)
        state.add("pixels", Count(ground.pixels)).add("n", Count(ground.size - ground.missing))
        state.add("missing", Count(ground.missing))
        if ground.size == 0:
            return state
        measured = ground.measured
        own = [[np.sum(band), np.sum(band**2)] for band in measured]
        fits = np.zeros((bands, len(self.blurs), 4))
        before: NDArray[np.float64] | None = None
        for number, blur in enumerate(self.blurs):
            blurred = ground.weighed(degrade(ground.output, blur, ratio=self.ratio, spans=ground.spans))
            for band, (b, m) in enumerate(zip(blurred, measured, strict=True)):
                fits[band, number, :3] = np.sum(b), np.sum(b**2), np.sum(b * m)
                if before is not None:
                    fits[band, number - 1, 3] = np.sum(before[band] * b)
            before = blurred
        state.add("measured", ExactSum((bands, 2)).add(own))
        return state.add("fits", ExactSum(fits.shape).add(fits))


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The best fit of the blurred output to the measurement in one band."""

    number: int
    """Of its width in the list."""
    share: float
    """Part of the next width in the mix."""
    sigma: float
    """Root of the mixed variances, in pixels of the output."""
    alpha: float
    beta: float
    error: float
    """Mean squared error."""
    correlation: float


def fit_of(n: int, measured: NDArray[np.float64], fits: NDArray[np.float64], blurs: Sequence[Gaussian]) -> Fit | str:
    """Return the best fit of one band from its sums, or why there is none."""
    if n == 0:
        return "no measured pixel has the whole reach of the blur inside the output and free of missing pixels"
    m, mm = measured
    spread = mm - m * m / n
    b, bb, bm, both = fits.T
    if spread <= FLAT * mm:
        return "the measurement is constant"
    if bb[0] - b[0] * b[0] / n <= FLAT * bb[0]:
        return "the output is constant"
    found: list[tuple[float, int, float, float]] = []
    for i in range(len(blurs)):
        own, common = bb[i] - b[i] * b[i] / n, bm[i] - b[i] * m / n
        if own <= FLAT * bb[i]:
            continue
        found.append((common**2 / own, i, 0.0, common / own))
        if i + 1 == len(blurs):
            continue
        next_own, next_common = bb[i + 1] - b[i + 1] ** 2 / n, bm[i + 1] - b[i + 1] * m / n
        cross = both[i] - b[i] * b[i + 1] / n
        area = own * next_own - cross**2
        if area > ROUNDING * bb[i] * next_own:
            first = (common * next_own - next_common * cross) / area
            second = (next_common * own - common * cross) / area
            if first * second > 0:  # a mix, and no sharpening by their difference
                explained = first * common + second * next_common
                found.append((explained, i, second / (first + second), first + second))
    explained, number, share, alpha = max(found)
    variances = [blur.sigma**2 for blur in blurs[number : number + 2]]
    mixed, total = (variances[0], b[number])
    if share:
        mixed, total = ((1 - share) * x[0] + share * x[1] for x in (variances, b[number : number + 2]))
    return Fit(
        number=number,
        share=float(share),
        sigma=math.sqrt(mixed),
        alpha=float(alpha),
        beta=float((m - alpha * total) / n),
        error=max(0.0, float((spread - explained) / n)),
        correlation=math.copysign(min(1.0, math.sqrt(explained / spread)), alpha),
    )


@dataclass(frozen=True)
class SquirrelError:
    """The error that no blur and no scale explains; the map is its absolute value on the measured grid."""

    statistic: BlurredFits
    name: str = "rse"

    @property
    def grid(self) -> Literal["measured"]:
        """The map has the pixels of the measurement."""
        return "measured"

    @property
    def lead(self) -> tuple[int, ...]:
        """Pixels of the output below a cell that its map needs."""
        return margin(self.statistic.blurs[-1], self.statistic.ratio)

    def pixels(self, patch: Patch, state: State, frame: Frame) -> NDArray[Any]:
        """Return the absolute error with the blur and the scale of each band; see `PixelMap`."""
        blurs, ratio = self.statistic.blurs, self.statistic.ratio
        ground = ground_of(patch, blurs[-1])
        error = np.full(ground.measured.shape, np.nan)
        for band, fit in enumerate(_fits(state, frame, blurs)):
            if isinstance(fit, Fit):
                one = ground.output[band : band + 1]
                blurred = degrade(one, blurs[fit.number], ratio=ratio, spans=ground.spans)[0]
                if fit.share:
                    wider = degrade(one, blurs[fit.number + 1], ratio=ratio, spans=ground.spans)[0]
                    blurred = (1 - fit.share) * blurred + fit.share * wider
                error[band] = np.abs(fit.alpha * blurred + fit.beta - ground.measured[band])
        return place(error, ground, patch, frame)

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return rse of all bands; then sigma, alpha and beta, and rse, of each band."""
        statistic, n = self.statistic, state.counts("n", (frame.bands,))
        fits = _fits(state, frame, statistic.blurs)
        found = [(fit, int(count)) for fit, count in zip(fits, n, strict=True) if isinstance(fit, Fit)]
        total = sum(count for _, count in found)
        mean = math.sqrt(sum(fit.error * count for fit, count in found) / total) if total else None
        note = "SQUIRREL-style; in intensities of the measurement"
        head = _measure(self.name, "rse", mean, state, frame, note=_join(note, _refusals(fits)))
        measures = [head]
        for band, fit in enumerate(fits):
            make = _Band(self.name, state, frame, band, "" if isinstance(fit, Fit) else fit)
            if frame.bands > 1:
                measures.append(make("rse", math.sqrt(fit.error) if isinstance(fit, Fit) else None, note))
            sigma, alpha, beta = (fit.sigma, fit.alpha, fit.beta) if isinstance(fit, Fit) else (None, None, None)
            measures.append(replace(make("sigma", sigma, _about(fit, statistic.blurs)), unit="pixel"))
            measures.append(make("alpha", alpha, "slope of the measurement over the blurred output"))
            measures.append(make("beta", beta, "offset of the measurement by the regression"))
        return measures


@dataclass(frozen=True)
class SquirrelCorrelation:
    """Pearson's correlation of the measurement with the output, blurred as fits it best."""

    statistic: BlurredFits
    name: str = "rsp"

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return rsp, the mean of bands where there are more, and then that of each."""
        fits = _fits(state, frame, self.statistic.blurs)
        found = [fit.correlation for fit in fits if isinstance(fit, Fit)]
        mean = math.fsum(found) / len(found) if found else None
        kind, note = ("mean of bands" if frame.bands > 1 else "rsp"), "SQUIRREL-style; blind to brightness and contrast"
        if any(r < 0 for r in found):
            note += "; negative: the output is dark where the measurement is bright"
        measures = [_measure(self.name, kind, mean, state, frame, note=_join(note, _refusals(fits)))]
        if frame.bands > 1:
            for band, fit in enumerate(fits):
                make = _Band(self.name, state, frame, band, "" if isinstance(fit, Fit) else fit)
                measures.append(make("rsp", fit.correlation if isinstance(fit, Fit) else None, ""))
        return measures


@dataclass(frozen=True)
class _Band:
    """Makes the figures of one band, with the reason where it has none."""

    metric: str
    state: State
    frame: Frame
    band: int
    refusal: str

    def __call__(self, kind: str, value: float | None, note: str) -> Measure:
        said = _join(note, self.refusal)
        return _measure(self.metric, kind, value, self.state, self.frame, note=said, band=self.band)


def _measure(
    metric: str, kind: str, value: float | None, state: State, frame: Frame, *, note: str, band: int | None = None
) -> Measure:
    some = slice(None) if band is None else slice(band, band + 1)
    n, missing = (state.counts(name, (frame.bands,))[some] for name in ("n", "missing"))
    return Measure(
        metric=metric,
        kind=kind,
        value=value,
        n=int(n.sum()),
        left_out=left_out(int(state.counts("pixels")) * len(n), int(n.sum()), int(missing.sum())),
        band=None if band is None or frame.bands == 1 else frame.band_names[band],
        note=note,
    )


def _fits(state: State, frame: Frame, blurs: Sequence[Gaussian]) -> list[Fit | str]:
    n = state.counts("n", (frame.bands,))
    measured = state.sums("measured", (frame.bands, 2))
    fits = state.sums("fits", (frame.bands, len(blurs), 4))
    return [fit_of(int(n[band]), measured[band], fits[band], blurs) for band in range(frame.bands)]


def _refusals(fits: Sequence[Fit | str]) -> str:
    reasons = [fit for fit in fits if isinstance(fit, str)]
    if not reasons:
        return ""
    return reasons[0] if len(fits) == 1 else f"{len(reasons)} of {len(fits)} bands have no figure: {reasons[0]}"


def _about(fit: Fit | str, blurs: Sequence[Gaussian]) -> str:
    note = "width of the blur in pixels of the output, without the measurement's own pixel"
    if isinstance(fit, str):
        return note
    if fit.number == len(blurs) - 1 > 0:
        return f"{note}; the widest that was tried: the best may be wider"
    return note


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def blurs_of(frame: Frame) -> tuple[Gaussian, ...]:
    """Return the list of blurs: none, and widths that grow by a constant factor up to the widest.

    They blur the axes along which the measurement is coarser, or all where none is. The widest is that of the original
    unless its reach would leave less than two thirds of an axis.
    """
    coarser = tuple(axis for axis, ratio in enumerate(frame.ratio) if ratio > 1)
    along = coarser or tuple(range(frame.ndim))
    reach = min(frame.shape[axis] for axis in along) / SHARE
    widest = min(WIDEST * float(max(frame.ratio)), reach / TRUNCATE)
    if widest <= NARROWEST:
        return (Gaussian(0.0, along),)
    widths = np.geomspace(NARROWEST, widest, WIDTHS - 1)
    return (Gaussian(0.0, along), *(Gaussian(float(width), along) for width in widths))


def _statistic(name: str, frame: Frame) -> BlurredFits:
    refuse_unmeasured(name, frame)
    return BlurredFits(blurs_of(frame), frame.ratio)


def make_rse(frame: Frame, settings: Settings) -> SquirrelError:
    """Return the metric.

    Raises
    ------
    InputError
        No measurement, or a finer one than the output.
    """
    del settings
    return SquirrelError(_statistic("rse", frame))


def make_rsp(frame: Frame, settings: Settings) -> SquirrelCorrelation:
    """Return the metric.

    Raises
    ------
    InputError
        No measurement, or a finer one than the output.
    """
    del settings
    return SquirrelCorrelation(_statistic("rsp", frame))
