"""The kernel distance between the features of an image and those of a reference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scalesr.metrics.feature_sums import FeatureSums
from scalesr.metrics.frechet import plane_cuts, shared_notes
from scalesr.metrics.measure import Measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame, Settings
    from scalesr.metrics.state import State

SUBSETS = 10
"""Disjoint parts of the sample from whose spread the standard error is taken."""
_BLOCK = 1024


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / D + 1)^3 (Binkowski et al., ICLR 2018).

    Over all patches up to `scalesr.metrics.feature_sums.KEEP` of each image, and beyond over so many, chosen by their
    place. Unlike the Frechet distance it does not depend on the number of patches but for its error, and may be
    negative: identical images are slightly so, since patches of the same place are not independent. It is named ``kid``
    after the formula; see `scalesr.metrics.frechet.Frechet` on what that means.
    """

    statistic: FeatureSums
    name: str = "kid"

    def finalize(self, state: State, frame: Frame) -> list[Measure]:  # noqa: ARG002 part of the Protocol
        """Return the distance for all bands, and its standard error."""
        kind = f"kernel distance, {self.statistic.label}"
        return kernel_measures(self.statistic, state, metric=self.name, kind=kind, output="output", real="reference")


def make_kid(frame: Frame, settings: Settings) -> Kernel:
    """Return the kernel distance; of a volume, between its planes of the last two axes."""
    return Kernel(statistic=FeatureSums.of(frame, settings, plane_cuts(frame, settings), look="plain"))


def kernel_measures(
    statistic: FeatureSums, state: State, *, metric: str, kind: str, output: str, real: str
) -> list[Measure]:
    """Return the kernel distance between two cuts, and its standard error; `n` is the smaller number of patches."""
    one, two = statistic.sample(state, output), statistic.sample(state, real)
    n = min(len(one), len(two))
    left_out = statistic.left_out(state, output, real)
    for cut, sample in ((output, one), (real, two)):
        if beyond := statistic.count(state, cut, "taken") - len(sample):
            left_out[f"not drawn, {cut}"] = beyond
    notes = [*shared_notes(statistic, state, output, real), "unbiased, so it may be negative"]
    value = error = None
    if n >= 2:
        value = kernel_distance(one, two)
        if n >= 2 * SUBSETS:
            parts = [
                kernel_distance(a, b)
                for a, b in zip(np.array_split(_mixed(one), SUBSETS), np.array_split(_mixed(two), SUBSETS), strict=True)
            ]
            error = float(np.std(parts, ddof=1) / math.sqrt(SUBSETS))
    else:
        notes.insert(0, "fewer than two patches")
    spread = (
        f"from {SUBSETS} disjoint parts, as if patches were independent; neighbours are not"
        if error is not None
        else f"not defined for fewer than {2 * SUBSETS} patches"
    )
    return [
        Measure(metric=metric, kind=kind, value=value, n=n, left_out=left_out, note="; ".join(notes)),
        Measure(metric=metric, kind=f"standard error of {kind}", value=error, n=n, left_out=left_out, note=spread),
    ]


def kernel_distance(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """Return the unbiased squared discrepancy between two samples, shape (n, D) and (m, D), of at least two each."""
    within = [_within(sample) / (len(sample) * (len(sample) - 1)) for sample in (one, two)]
    across = math.fsum(
        _kernel(one[i : i + _BLOCK], two[j : j + _BLOCK]).sum()
        for i in range(0, len(one), _BLOCK)
        for j in range(0, len(two), _BLOCK)
    )
    return math.fsum([*within, -2 * across / (len(one) * len(two))])


def _within(sample: NDArray[np.float64]) -> float:
    """Return the sum of the kernel over all pairs of different rows of a sample."""
    sums = []
    for i in range(0, len(sample), _BLOCK):
        block = _kernel(sample[i : i + _BLOCK], sample[i : i + _BLOCK])
        np.fill_diagonal(block, 0)
        sums.append(block.sum())
        sums += [
            2 * _kernel(sample[i : i + _BLOCK], sample[j : j + _BLOCK]).sum()
            for j in range(i + _BLOCK, len(sample), _BLOCK)
        ]
    return math.fsum(sums)


def _kernel(one: NDArray[np.float64], two: NDArray[np.float64]) -> NDArray[np.float64]:
    inner: NDArray[np.float64] = one @ two.T / one.shape[1] + 1
    return inner * inner * inner


def _mixed(sample: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows in an order without rule that is always the same (the mixing of SplitMix64, Steele 2014)."""
    number = (np.arange(len(sample), dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return sample[np.argsort(number ^ (number >> np.uint64(31)), kind="stable")]
