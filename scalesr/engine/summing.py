"""The results of tiles, windowed and added up in fixed point, in the memory that the model runs in."""

from __future__ import annotations

from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Protocol

import torch

from scalesr.errors import ModelError
from scalesr.tiling import UNIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.engine.ferry import Ferry
    from scalesr.engine.job import Job
    from scalesr.tiling import Index


class Watch(Protocol):
    """Sees to it that values fit the integers that they become; NaN and infinity fit none."""

    def hold(self, part: torch.Tensor, cell: Index) -> None:
        """Set what lies beyond the limits to them; or raise, if `settle` does not."""

    def settle(self) -> None:
        """Raise for the first tile that was not finite, if `hold` did not.

        Raises
        ------
        ModelError
            It names the tile's cell.
        """


class PromptWatch:
    """Looks at once, which costs nothing where the values are computed by whoever looks.

    Parameters
    ----------
    limit
        Largest value that fits.
    source
        Names the model in an error.
    """

    def __init__(self, *, limit: float, source: str) -> None:
        self._limit = limit
        self._source = source

    def hold(self, part: torch.Tensor, cell: Index) -> None:
        """Look, and clamp only what needs it."""
        low, high = (value.item() for value in torch.aminmax(part))
        if not -self._limit < low <= high < self._limit:
            _insist_finite(low, high, cell, self._source)
            part.clamp_(-self._limit, self._limit)

    def settle(self) -> None:
        """Nothing is left to be said."""


class LateWatch:
    """Looks at all tiles of a block in the end, so that a device never waits in between.

    Parameters
    ----------
    ferry
        Brings over what is looked at.
    limit, source
        As of `PromptWatch`.
    """

    def __init__(self, ferry: Ferry, *, limit: float, source: str) -> None:
        self._ferry = ferry
        self._limit = limit
        self._source = source
        self._cells: list[Index] = []
        self._bounds: list[torch.Tensor] = []

    def hold(self, part: torch.Tensor, cell: Index) -> None:
        """Remember the least and the largest value, on the device, and clamp in any case."""
        self._cells.append(cell)
        # NaN wherever one of the values is.
        self._bounds += torch.aminmax(part)
        part.clamp_(-self._limit, self._limit)

    def settle(self) -> None:
        """Wait for the device, and look."""
        bounds = self._ferry.back(torch.stack(self._bounds)).reshape(-1, 2).tolist()
        for cell, (low, high) in zip(self._cells, bounds, strict=True):
            _insist_finite(low, high, cell, self._source)


def _insist_finite(low: float, high: float, cell: Index, source: str) -> None:
    if not isfinite(low) or not isfinite(high):
        raise ModelError(
            f"The model {source} returned NaN or infinity for the tile at cell {cell}.",
            remedy="Use --precision fp32, or another --normalise.",
        )


class Windows:
    """Windows of tiles in the memory of a device, made once and kept while they are in use.

    Parameters
    ----------
    device
        Where they are used.
    kept
        Windows that are kept.
    """

    def __init__(self, device: torch.device, *, kept: int) -> None:
        self._device = device
        self._ramp = lru_cache(maxsize=256)(self._made_ramp)
        self.of = lru_cache(maxsize=kept)(self._made)
        """Returns the product of one ramp for each axis, exact in float32; the ramps are those of `AxisLattice`."""

    def _made_ramp(self, weights: tuple[int, ...]) -> torch.Tensor:
        return torch.tensor(weights, dtype=torch.float32, device=self._device) / UNIT

    def _made(self, weights: tuple[tuple[int, ...], ...]) -> torch.Tensor:
        window, *rest = (self._ramp(each) for each in weights)
        for ramp in rest:
            window = window.unsqueeze(-1) * ramp
        return window


def largest(bits: int) -> float:
    """Return the largest value that fits the integers of so many bits behind the point: 32 of them, or 64."""
    return 2.0 ** (31 if bits <= 24 else 62) * 0.99


class Summing:
    """The sums of some cells: integers, so that neither the order of tiles nor the cut of the image changes them.

    Parameters
    ----------
    job
        What is done.
    cells
        The cells: a range for each axis of the image.
    windows
        Where windows come from.
    watch
        Sees to it that values fit.
    device
        Where the model runs.
    """

    def __init__(
        self, job: Job, cells: tuple[range, ...], *, windows: Windows, watch: Watch, device: torch.device
    ) -> None:
        self._job = job
        self._windows = windows
        self._watch = watch
        axes = job.plan.summed.axes
        shape = [axis.strip + len(some) * axis.out_cell for axis, some in zip(axes, cells, strict=True)]
        self._slots = tuple(some.start * axis.out_cell for axis, some in zip(axes, cells, strict=True))
        self._sums = torch.zeros((job.plan.kinds, *shape), dtype=getattr(torch, job.plan.sum_dtype), device=device)

    def add(self, cells: Sequence[Index], results: torch.Tensor, *, kinds: int) -> None:
        """Add the results of some tiles.

        Parameters
        ----------
        cells
            Whose tiles they are.
        results
            One for each of them, and perhaps more that fill the batch up: shape ``(batch, kinds * channels, *axes)``.
        kinds
            Kinds of channels that the model returns, of which the plan may keep fewer.
        """
        each = results.shape[1] // kinds
        for cell, result in zip(cells, results, strict=False):
            for kind in range(self._job.plan.kinds):
                self._add(cell, result[kind * each : (kind + 1) * each], self._sums[kind])

    def values(self) -> torch.Tensor:
        """Return the sums: kinds first, then the image's axes in its order.

        Raises
        ------
        ModelError
            A result was not finite.
        """
        self._watch.settle()
        return self._sums

    def _add(self, cell: Index, result: torch.Tensor, sums: torch.Tensor) -> None:
        job, axes = self._job, self._job.plan.summed.axes
        spatial = [axes[a] for a in job.spatial_axes]
        starts = [axis.out_halo - axis.out_ramp for axis in spatial]
        inner = [slice(start, start + axis.out_cell + axis.strip) for start, axis in zip(starts, spatial, strict=True)]
        part = result[(slice(None), *inner)]
        bits = job.plan.fraction_bits
        if bits > 24:
            part = part.double()
        part = part * 2.0**bits
        # Before the window: two halves of a value that an integer cannot hold would add up to it.
        self._watch.hold(part, cell)
        if job.plan.lattice.offsets:
            part *= self._windows.of(
                tuple(axis.window(cell[a]) for axis, a in zip(spatial, job.spatial_axes, strict=True))
            )
        whole = part.round_().to(sums.dtype)
        starts = [i * axis.out_cell - slot for axis, i, slot in zip(axes, cell, self._slots, strict=True)]
        region = (slice(at, at + axis.out_cell + axis.strip) for at, axis in zip(starts, axes, strict=True))
        # Only axes of one pixel come and go, so that this is a view and never a copy.
        view = sums[tuple(region)].permute(job.tile_order).view(whole.shape)
        view += whole
