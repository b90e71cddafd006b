"""The Frechet distance between the features of an image and those of a reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg

from scalesr.metrics.cutting import Cut
from scalesr.metrics.feature_sums import FeatureSums
from scalesr.metrics.measure import Measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame, Settings
    from scalesr.metrics.state import State


@dataclass(frozen=True, kw_only=True)
class Frechet:
    """Frechet distance between two normal distributions with the moments of the features (Heusel et al., NIPS 2017).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), with unbiased covariances. It is named ``fid`` after the formula; every
    figure names the features in its kind, and only with those of Inception-v3, with the weights and the resizing of the
    publication compared with, is it a Frechet Inception distance. It falls with the number of patches, so figures
    compare at equal numbers only. The sums it is made of are exact; its own last digits are those of the linear algebra
    library where it is finalised, as are those of the kernel distance.
    """

    statistic: FeatureSums
    name: str = "fid"

    def finalize(self, state: State, frame: Frame) -> list[Measure]:  # noqa: ARG002 part of the Protocol
        """Return one figure, for all bands."""
        kind = f"Frechet distance, {self.statistic.label}"
        return [frechet_measure(self.statistic, state, metric=self.name, kind=kind, output="output", real="reference")]


def make_fid(frame: Frame, settings: Settings) -> Frechet:
    """Return the Frechet distance; of a volume, between its planes of the last two axes."""
    return Frechet(statistic=FeatureSums.of(frame, settings, plane_cuts(frame, settings), look="plain"))


def plane_cuts(frame: Frame, settings: Settings) -> tuple[Cut, Cut]:
    """Return how `fid` and `kid` cut both images: in patches along the last two axes."""
    axes = (frame.ndim - 2, frame.ndim - 1)
    return (
        Cut(name="output", image="output", axes=axes, edge=settings.patch),
        Cut(name="reference", image="reference", axes=axes, edge=settings.patch),
    )


def frechet_measure(statistic: FeatureSums, state: State, *, metric: str, kind: str, output: str, real: str) -> Measure:
    """Return the Frechet distance between two cuts; `n` is the smaller of their numbers of patches."""
    value: float | None = None
    counts = [statistic.count(state, cut, "taken") for cut in (output, real)]
    least = min(counts)
    if least >= 2:
        value = frechet_distance(*statistic.moments(state, output), *statistic.moments(state, real))
    notes = [] if least >= 2 else ["fewer than two patches"]
    if 2 <= least < 2 * statistic.dimension:
        notes.append(
            f"too few samples: {least} patches for {statistic.dimension} features, covariance is rank-deficient "
            "or nearly so"
        )
    return Measure(
        metric=metric,
        kind=kind,
        value=value,
        n=least,
        left_out=statistic.left_out(state, output, real),
        note="; ".join([*notes, *shared_notes(statistic, state, output, real)]),
    )


def shared_notes(statistic: FeatureSums, state: State, output: str, real: str) -> list[str]:
    """Return what a reader must know of any distance between the features of two cuts."""
    notes = [f"{statistic.dimension} features '{statistic.label}': compare with figures of the same features only"]
    if statistic.features == "small":
        notes.append("not an Inception distance")
    counts = [statistic.count(state, cut, "taken") for cut in (output, real)]
    if counts[0] != counts[1]:
        notes.append(f"{counts[0]} patches of the output, {counts[1]} of the reference")
    if statistic.bands == "apart":
        notes.append("every band as grey patches of one distribution")
    if statistic.scale is not None:
        low, high = statistic.scale.low, statistic.scale.low + statistic.scale.span
        notes.append(f"intensities from {low:g} to {high:g}")
        if clipped := sum(statistic.count(state, cut, "clipped pixels") for cut in (output, real)):
            notes.append(f"{clipped} pixels beyond were clipped")
    return notes


def frechet_distance(
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    other_mean: NDArray[np.float64],
    other_covariance: NDArray[np.float64],
) -> float:
    """Return the squared Frechet distance between two normal distributions.

    The trace of (C1 C2)^(1/2) is the sum of the singular values of R1^T R2, where C = R R^T: unlike a square root of
    the product, this loses nothing where the covariances are rank-deficient. What is below the rounding of the traces
    is given as 0.
    """
    root, other_root = _root(covariance), _root(other_covariance)
    apart = mean - other_mean
    traces = float(np.trace(covariance) + np.trace(other_covariance))
    distance = float(apart @ apart) + traces - 2 * float(linalg.svdvals(root.T @ other_root).sum())
    return distance if distance > 1e-12 * traces else 0.0


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return R of C = R R^T with as many columns as C has ranks, by Cholesky with pivots: faster than eigenvectors."""
    factor, pivots, rank, _ = linalg.lapack.dpstrf(covariance, lower=1)
    root = np.zeros((len(covariance), rank))
    root[pivots - 1] = np.tril(factor)[:, :rank]
    return root
