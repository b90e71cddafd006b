"""Devices that do late what they are asked, and jobs that need no storage, for tests of what runs on devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from scalesr.engine import Options, empty_subject, prepare
from scalesr.engine.job import Job
from scalesr.engine.normalisation import Normalisation
from scalesr.engine.reading import Context

if TYPE_CHECKING:
    from numpy.typing import NDArray


class LatePort:
    """A device that does nothing before somebody waits for it, and then all that was asked until that mark."""

    def __init__(self) -> None:
        self.asked: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.done = 0
        self.locked: list[int] = []

    def staging(self, count: int) -> torch.Tensor:
        self.locked.append(count)
        return torch.full((count,), 0xA5, dtype=torch.uint8)

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.zeros(shape, dtype=torch.float32).to(dtype)

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        assert target.dtype == source.dtype
        assert target.is_contiguous()
        assert source.is_contiguous()
        self.asked.append((target, source))

    def mark(self) -> LateMark:
        return LateMark(self, len(self.asked))

    def work(self, until: int) -> None:
        for target, source in self.asked[self.done : until]:
            target.copy_(source)
        self.done = max(self.done, until)


class LateMark:
    """A point in what a late device was asked to do."""

    def __init__(self, port: LatePort, count: int) -> None:
        self.port, self.count = port, count

    def synchronize(self) -> None:
        self.port.work(self.count)


class PromptPort(LatePort):
    """A device that does at once what it is asked: what a stream looks like to what comes after on the same stream."""

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        super().copy(target, source)
        self.work(len(self.asked))


def bare_job(shape: tuple[int, ...], axes: str, dtype: str, /, *, device: str = "cpu", **options: Any) -> Job:
    """Return what inferences are told whose image is in no storage; intensities of 0..5000 become 0..1."""
    wanted = Options(**{"scheduler": "serial", "device": device, "normalise": (0.0, 5000.0), **options})
    prepared = prepare(empty_subject(shape, axes, dtype), wanted)
    return Job(
        source="",
        output=cast("Any", None),
        plan=prepared.plan,
        model=prepared.ref,
        device=prepared.device,
        normalisation=Normalisation(offset=(0.0,), gain=(5000.0,), axis=None, origin="the test"),
        channel_axis=prepared.mixing.channel,
        spatial_axes=prepared.mixing.spatial,
    )


def context_of(job: Job, block: int) -> Context:
    """Return what a block would read of an image of noise."""
    lattice = job.plan.lattice
    spans = [axis.span(some) for axis, some in zip(lattice.axes, lattice.cells(lattice.index(block)), strict=True)]
    noise: NDArray[Any] = np.random.default_rng(block).integers(0, 5000, [stop - start for start, stop in spans])
    pixels = noise.astype(job.plan.out_dtype)
    return Context(pixels=pixels, missing=None, outside=None, bad_chunks=(), seconds=0.0)
