"""Where one inference at a time goes from a block's pixels to its sums: on the CPU, or on a stream of a GPU.

On a GPU nobody waits between the first tile of a block and the last: the pixels are carried over once as they are
stored, tiles are cut, normalised, checked, windowed and added there, and the sums are carried back. What one lane waits
for at the ends of a block, reading memory and having strips and sums carried back, goes on beside the computations of
another, so that a GPU wants two.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import torch

from scalesr.engine.feeding import Cutting, DeviceFeed, HostFeed
from scalesr.engine.ferry import CudaPort, Ferry
from scalesr.engine.summing import LateWatch, PromptWatch, Summing, Windows, largest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scalesr.engine.feeding import Feed
    from scalesr.engine.job import Job

HOST_WINDOWS = 64
"""Windows that the CPU's lanes keep, all together."""
DEVICE_WINDOWS = 8
"""Windows that a lane of a GPU keeps: those of a block in a corner of a volume. More are made anew, in less time than
a tile takes to be read once."""


class Lane(Protocol):
    """Takes a block through the model's device."""

    def feed(self, job: Job, cells: tuple[range, ...], pixels: NDArray[Any], *, batch: int) -> Feed:
        """Return what hands out the tiles of some cells, in batches; `pixels` is all that they see."""

    def summing(self, job: Job, cells: tuple[range, ...]) -> Summing:
        """Return sums of some cells, all zero."""

    def collect(self, summing: Summing) -> NDArray[Any]:
        """Return sums as an array.

        Raises
        ------
        ModelError
            A result was not finite.
        """


class HostLane:
    """The CPU, for any number of threads at the same time."""

    def __init__(self) -> None:
        self._device = torch.device("cpu")
        self._windows = Windows(self._device, kept=HOST_WINDOWS)

    def feed(self, job: Job, cells: tuple[range, ...], pixels: NDArray[Any], *, batch: int) -> Feed:
        """Cut tiles where they are."""
        return HostFeed(Cutting(job, cells), pixels, batch=batch)

    def summing(self, job: Job, cells: tuple[range, ...]) -> Summing:
        """Return sums whose values are looked at as they come."""
        watch = PromptWatch(limit=largest(job.plan.fraction_bits), source=job.model.source)
        return Summing(job, cells, windows=self._windows, watch=watch, device=self._device)

    def collect(self, summing: Summing) -> NDArray[Any]:
        """Return the sums where they are."""
        found: NDArray[Any] = summing.values().numpy()
        return found


class DeviceLane:
    """A device that does what it is asked later, and in order, for one thread at a time.

    Parameters
    ----------
    device
        The device.
    ferry
        Carries pixels over and sums back.
    """

    def __init__(self, device: torch.device, ferry: Ferry) -> None:
        self._device = device
        self._ferry = ferry
        # Of this lane alone: another could use a window before it is made, or after its memory is given away.
        self._windows = Windows(device, kept=DEVICE_WINDOWS)

    def feed(self, job: Job, cells: tuple[range, ...], pixels: NDArray[Any], *, batch: int) -> Feed:
        """Carry the pixels over and cut there."""
        cutting = Cutting(job, cells)
        there, offset, factor = map(self._ferry.over, (pixels, cutting.offset, cutting.factor))
        return DeviceFeed(cutting, there, offset, factor, batch=batch)

    def summing(self, job: Job, cells: tuple[range, ...]) -> Summing:
        """Return sums whose values are looked at when the block is through."""
        watch = LateWatch(self._ferry, limit=largest(job.plan.fraction_bits), source=job.model.source)
        return Summing(job, cells, windows=self._windows, watch=watch, device=self._device)

    def collect(self, summing: Summing) -> NDArray[Any]:
        """Wait for the device and carry the sums back."""
        return self._ferry.back(summing.values())


class CudaLanes:
    """The lanes of one GPU: a stream each, and as many as there were ever inferences at the same time.

    Memory that torch frees on a stream serves that stream again, so that streams are used again and not made anew.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._lock = Lock()
        self._idle: list[tuple[torch.cuda.Stream, DeviceLane]] = []

    @contextmanager
    def one(self) -> Iterator[Lane]:
        """Yield a lane that nobody else uses, on its stream, after all that the device was asked on the default stream.

        That is where models are loaded.
        """
        with self._lock:
            stream, lane = self._idle.pop() if self._idle else self._made()
        try:
            stream.wait_stream(torch.cuda.default_stream(stream.device))
            with torch.cuda.stream(stream):
                yield lane
        finally:
            with self._lock:
                self._idle.append((stream, lane))

    def _made(self) -> tuple[torch.cuda.Stream, DeviceLane]:
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        return stream, DeviceLane(self._device, Ferry(CudaPort(self._device)))


_host = HostLane()
_cuda: dict[torch.device, CudaLanes] = {}


@contextmanager
def lane(device: str) -> Iterator[Lane]:
    """Yield a lane on a device: ``cpu``, ``cuda`` or ``cuda:N``. Models for it are to be loaded before."""
    where = torch.device(device)
    if where.type == "cpu":
        yield _host
        return
    with _cuda.setdefault(where, CudaLanes(where)).one() as found:
        yield found
