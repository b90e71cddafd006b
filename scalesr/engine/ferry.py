"""Arrays carried between the machine's memory and a device's, through a little page-locked memory.

Pageable memory is copied by the driver piece by piece while the caller waits for all that was asked of the device
before; page-locked memory is read by the device itself, beside what it computes. It is scarce, and torch may round what
it locks up to a power of two, so that the sums of a block could lock twice their size. Here all goes through two
buffers by turns: while one is on its way, the other is filled or emptied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

BUFFER_BYTES = 2**24
"""Bytes of one buffer: a third of a millisecond on the bus of a GPU of the data centre, long beside what it takes to
wait for an event, and a power of two."""
BUFFERS = 2
"""Buffers of one ferry."""


class Mark(Protocol):
    """A point in what a device was asked to do."""

    def synchronize(self) -> object:
        """Wait until the device has come to it."""


class Port(Protocol):
    """The device's side: everything that is asked of it is done in that order, and later."""

    def staging(self, count: int) -> torch.Tensor:
        """Return so many bytes of the machine's memory that the device can read and write by itself."""

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Return memory of the device."""

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """Copy between the two, later."""

    def mark(self) -> Mark:
        """Return the point after all that was asked so far."""


class CudaPort:
    """A CUDA device, as its current stream."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def staging(self, count: int) -> torch.Tensor:
        """Return page-locked bytes."""
        return torch.empty(count, dtype=torch.uint8, pin_memory=True)

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Return memory of the device, to be used on the current stream only."""
        return torch.empty(shape, dtype=dtype, device=self._device)

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """Enqueue a copy."""
        target.copy_(source, non_blocking=True)

    def mark(self) -> Mark:
        """Record an event; who waits for it sleeps, and leaves the core to those who encode."""
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record()
        return event


class Ferry:
    """Carries arrays to a device and back, for one thread at a time.

    Parameters
    ----------
    port
        The device.
    size
        Bytes of one buffer, a multiple of 8.
    """

    def __init__(self, port: Port, *, size: int = BUFFER_BYTES) -> None:
        self._port = port
        self._buffers = [port.staging(size) for _ in range(BUFFERS)]
        self._marks: list[Mark | None] = [None] * BUFFERS
        self._turn = 0

    def over(self, values: NDArray[Any]) -> torch.Tensor:
        """Return an array on the device, without waiting for it to arrive.

        What takes eight bytes a value arrives as float32, rounded as NumPy does; all else as it is.
        """
        kind = values.dtype.newbyteorder("=") if values.itemsize <= 4 else np.dtype(np.float32)
        dtype = torch.from_numpy(np.empty(0, kind)).dtype
        there = self._port.empty(values.shape, dtype)
        flat, source = there.view(-1), np.ascontiguousarray(values).reshape(-1)
        for part in self._parts(source.size, dtype):
            turn, here = self._next(part.stop - part.start, dtype)
            np.copyto(here.numpy(), source[part], casting="unsafe")
            self._port.copy(flat[part], here)
            self._marks[turn] = self._port.mark()
        return there

    def back(self, values: torch.Tensor) -> NDArray[Any]:
        """Return a tensor of the device as an array, once all that it waits for is done."""
        flat = values.reshape(-1)
        found: NDArray[Any] = np.empty(flat.numel(), torch.empty(0, dtype=values.dtype).numpy().dtype)
        under_way: list[tuple[int, slice, torch.Tensor]] = []
        for part in self._parts(found.size, values.dtype):
            if len(under_way) == BUFFERS:
                self._land(found, *under_way.pop(0))
            turn, here = self._next(part.stop - part.start, values.dtype)
            self._port.copy(here, flat[part])
            self._marks[turn] = self._port.mark()
            under_way.append((turn, part, here))
        for each in under_way:
            self._land(found, *each)
        return found.reshape(values.shape)

    def _parts(self, count: int, dtype: torch.dtype) -> list[slice]:
        step = self._buffers[0].numel() // dtype.itemsize
        return [slice(start, min(start + step, count)) for start in range(0, count, step)]

    def _next(self, count: int, dtype: torch.dtype) -> tuple[int, torch.Tensor]:
        """Return the buffer whose turn it is, once nobody reads or writes it any longer."""
        turn, self._turn = self._turn, (self._turn + 1) % BUFFERS
        self._wait(turn)
        return turn, self._buffers[turn][: count * dtype.itemsize].view(dtype)

    def _land(self, found: NDArray[Any], turn: int, part: slice, here: torch.Tensor) -> None:
        self._wait(turn)
        found[part] = here.numpy()

    def _wait(self, turn: int) -> None:
        mark = self._marks[turn]
        if mark is not None:
            mark.synchronize()
            self._marks[turn] = None
