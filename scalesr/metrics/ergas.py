"""ERGAS: the error of all bands relative to their means, as it is used for spectral images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scalesr.errors import InputError
from scalesr.metrics.measure import Measure
from scalesr.metrics.moments import PIXELS, SUMS, Moments
from scalesr.metrics.windows import require_reference

if TYPE_CHECKING:
    from scalesr.metrics.frame import Frame, Settings
    from scalesr.metrics.state import State


@dataclass(frozen=True)
class Ergas:
    """Relative dimensionless global error in synthesis (Wald 2000, "Quality of high resolution synthesised images").

    100 (h/l) sqrt(mean over the bands of (RMSE / mean of the reference)^2), with h/l the size of a pixel of the output
    over that of the measurement along one axis: 1/4 for an output of four times as many pixels along y and along x.
    Bands whose reference has a mean of zero, or of which no pixel counts, are left out and counted.
    """

    statistic: Moments
    ratio: float
    """l/h: pixels of the output for one of the measurement, along one axis."""
    source: str
    """Where the ratio is from."""
    name: str = "ergas"

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return the figure of all bands and, where there are several, the same formula for each alone."""
        sums = state.sums(SUMS, (frame.bands, 6))
        counts = state.counts(PIXELS, (frame.bands, 2))
        note = f"h/l = 1/{self.ratio:g}, {self.source}"
        squares: list[float | None] = []
        each = []
        empty = zero = used = 0
        for band, (n, missing) in enumerate(counts.tolist()):
            mean = float(sums[band, Moments.Y]) / n if n else 0.0
            square = float(sums[band, Moments.DD]) / n / mean**2 if mean else None
            squares.append(square)
            why = "" if mean else "the mean of the reference is zero" if n else "no pixel to compare"
            empty, zero, used = empty + (not n), zero + bool(n and not mean), used + (n if mean else 0)
            each.append(
                Measure(
                    metric=self.name,
                    kind="band",
                    value=None if square is None else 100 / self.ratio * math.sqrt(square),
                    n=n,
                    left_out={"not finite or masked": missing} if missing else {},
                    band=frame.band_names[band],
                    note="; ".join(filter(None, [why, note])),
                )
            )
        there = [square for square in squares if square is not None]
        lost = {
            "not finite or masked": int(counts[:, 1].sum()),
            "bands with a mean of zero": zero,
            "bands without a pixel": empty,
        }
        whole = Measure(
            metric=self.name,
            kind="all bands",
            value=100 / self.ratio * math.sqrt(math.fsum(there) / len(there)) if there else None,
            n=used,
            left_out={reason: count for reason, count in lost.items() if count},
            note=note if there else f"no band with pixels and a mean other than zero; {note}",
        )
        return [whole, *each] if frame.bands > 1 else [whole]


def make_ergas(frame: Frame, settings: Settings) -> Ergas:
    """Return the metric, with the ratio that the user gave or else that of output and measurement.

    Raises
    ------
    InputError
        There is no reference, or no one ratio: neither is it given, nor is there a measurement with as many times fewer
        pixels along all the axes that were refined.
    """
    require_reference(frame, "ergas")
    statistic = Moments(frame.ndim)
    given = settings.ergas_ratio
    if given is not None:
        if not 0 < given < math.inf:
            raise InputError(f"{given:g} is no ratio of pixel sizes.", remedy="Give a positive number.")
        return Ergas(statistic, float(given), "as given")
    if not frame.has_measured:
        raise InputError(
            "ergas needs to know how many times larger the pixels of the measurement were.",
            remedy="Give the measurement with --input, or the number with --ergas-ratio.",
        )
    ratios = {float(ratio) for ratio in frame.ratio if ratio != 1} or {1.0}
    if len(ratios) > 1:
        several = ", ".join(map(str, frame.ratio))
        raise InputError(
            f"ergas is defined for one ratio of pixel sizes, and along the axes there are {several}.",
            remedy="Choose one with --ergas-ratio.",
        )
    return Ergas(statistic, ratios.pop(), "the output's pixels over the measurement's")
