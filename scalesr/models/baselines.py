"""Nearest, linear and cubic interpolation and the identity, as models: what every network is compared with."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch

from scalesr.errors import ModelError
from scalesr.models import kernels, memory
from scalesr.models.spec import ModelSpec

if TYPE_CHECKING:
    from fractions import Fraction

    from scalesr.models.spec import Precision, Sampling

Baseline = Literal["nearest", "linear", "cubic", "identity"]

BASELINES: tuple[Baseline, ...] = get_args(Baseline)


class Interpolation:
    """Constants come out bit for bit as they went in, and a pixel does not depend on where its tile begins.

    The geometry is that of half-pixel centres, output j lying at ``(j + 1/2)/s - 1/2``, or, where pixels stand for
    points, at ``j/s``. Positions and weights are rational numbers, rounded once. Beyond the tile its edge pixels are
    repeated, which the halo keeps out of the result.

    Parameters
    ----------
    kernel
        Which interpolation; ``identity`` copies and wants a scale of 1.
    axes
        ``"yx"`` or ``"zyx"``.
    scale
        Output pixels for each input pixel, for each of `axes`.
    sampling
        What pixels along each of `axes` stand for; areas along all when not given.
    device
        Where the tiles are.

    Raises
    ------
    ModelError
        If the identity is asked for another scale than 1.
    """

    def __init__(
        self,
        kernel: Baseline,
        *,
        axes: str,
        scale: tuple[Fraction, ...],
        sampling: tuple[Sampling, ...] | None = None,
        device: str = "cpu",
    ) -> None:
        if kernel == "identity" and any(factor != 1 for factor in scale):
            raise ModelError(
                f"The model 'identity' copies pixels, and a scale of {' x '.join(map(str, scale))} was asked for.",
                remedy="Ask for a scale of 1, or for 'nearest', 'linear' or 'cubic'.",
            )
        self._kernel = kernel
        self._device = device
        self._sampling: tuple[Sampling, ...] = sampling or tuple("area" for _ in scale)
        self._spec = ModelSpec(
            name=kernel,
            axes=axes,
            scale=scale,
            channels=1,
            out_channels=1,
            multiple=math.lcm(*(factor.denominator for factor in scale)),
            receptive=tuple(
                0 if kernel == "identity" or factor == 1 else kernels.receptive(kernel, factor, sampling=kind)
                for factor, kind in zip(scale, self._sampling, strict=True)
            ),
            sampling=sampling,
            values="any",
            activation_bytes=0.0,
        )
        counted = memory.activation_bytes(self._interpolate, spec=self._spec)
        self._spec = replace(self._spec, activation_bytes=counted)

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""
        return self._spec

    def to(self, *, device: str, precision: Precision) -> Interpolation:
        """Return the same interpolation for tiles on a device; only fp32 exists."""
        if precision != "fp32":
            raise ModelError(
                f"The model '{self._kernel}' computes in fp32, and {precision} was asked for.",
                remedy="Leave out the precision: interpolation gains nothing from a shorter number format.",
            )
        spec = self._spec
        return Interpolation(self._kernel, axes=spec.axes, scale=spec.scale, sampling=spec.sampling, device=device)

    def __call__(self, tiles: torch.Tensor, origins: torch.Tensor) -> torch.Tensor:  # noqa: ARG002  # same everywhere
        """Interpolate one batch; see `Model`."""
        with torch.inference_mode():
            return self._interpolate(tiles.to(device=self._device, dtype=torch.float32))

    def _interpolate(self, tiles: torch.Tensor) -> torch.Tensor:
        if self._kernel == "identity" or all(factor == 1 for factor in self._spec.scale):
            return tiles.clone()
        # The fastest axis comes first, while there is least to transpose: strided sums are quick along rows only.
        steps = zip(self._spec.scale, self._sampling, strict=True)
        for axis, (factor, sampling) in reversed(list(enumerate(steps, start=2))):
            if factor == 1:
                continue
            if axis == tiles.ndim - 1:
                upright = tiles.transpose(-1, -2).contiguous()
                scaled = _along(upright, axis=axis - 1, scale=factor, kernel=self._kernel, sampling=sampling)
                tiles = scaled.transpose(-1, -2).contiguous()
            else:
                tiles = _along(tiles, axis=axis, scale=factor, kernel=self._kernel, sampling=sampling)
        return tiles


def _along(
    tiles: torch.Tensor, *, axis: int, scale: Fraction, kernel: kernels.Kernel, sampling: Sampling
) -> torch.Tensor:
    """Interpolate along one axis: each output is its nearest pixel plus weighted differences around it."""
    length = tiles.shape[axis]
    if length % scale.denominator:
        raise ModelError(
            f"A tile of {length} pixels cannot be scaled by {scale} to a whole number of pixels.",
            remedy=f"Use tiles whose edges are multiples of {scale.denominator}.",
        )
    base, terms = _plan(kernel, scale, length, sampling, str(tiles.device))
    out = tiles.index_select(axis, base)
    if terms:
        steps = tiles.diff(dim=axis)
        column = [-1 if other == axis else 1 for other in range(tiles.ndim)]
        for positions, weights in terms:
            out.addcmul_(steps.index_select(axis, positions), weights.view(column))
    return out


_Terms = tuple[tuple[torch.Tensor, torch.Tensor], ...]


@lru_cache(maxsize=256)
def _plan(
    kernel: kernels.Kernel, scale: Fraction, length: int, sampling: Sampling, device: str
) -> tuple[torch.Tensor, _Terms]:
    """Which pixel each output of an axis starts from, and the weights of the differences that it adds.

    With x the values and d[k] = x[k+1] - x[k], sum w[t] x[t] over weights that sum to 1 is
    x[b] + sum over k >= b of (w[k+1] + w[k+2] + ...) d[k] - sum over k < b of (... + w[k-1] + w[k]) d[k].
    All differences are 0 where the image is constant, which keeps constants bit for bit without float64. Beyond the
    edges pixels are repeated: their differences are 0, and the terms fall away.
    """
    period = kernels.taps(kernel, scale, sampling=sampling)
    width = max(len(tap.weights) for tap in period)
    phases, stride = scale.numerator, scale.denominator
    start = np.array([tap.start for tap in period])
    nearest = np.array([tap.start + tap.base for tap in period])
    weights = np.zeros((width - 1, phases))
    for phase, tap in enumerate(period):
        for k in range(len(tap.weights) - 1):
            weights[k, phase] = float(sum(tap.weights[k + 1 :]) if k >= tap.base else -sum(tap.weights[: k + 1]))
    origin = (np.arange(length // stride) * stride)[:, None]
    base = np.clip((origin + nearest).ravel(), 0, length - 1)
    terms = []
    for k in range(width - 1):
        positions = (origin + start + k).ravel()
        inside = (positions >= 0) & (positions < length - 1)
        weight = np.where(inside, np.tile(weights[k], length // stride), 0.0).astype(np.float32)
        if weight.any():
            index = torch.from_numpy(np.where(inside, positions, 0)).to(device)
            terms.append((index, torch.from_numpy(weight).to(device)))
    return torch.from_numpy(base).to(device), tuple(terms)
