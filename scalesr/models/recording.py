"""Work that is done many times on tensors that stay where they are: on a CUDA device it is recorded and played back.

A step of a search, or a pass of a network for a small group, is some hundred kernels of a few microseconds each, which
a device does faster than Python can ask for them. A CUDA graph asks for all of them at once; what it needs is that
nothing is allocated from outside, that shapes stay, and that the host looks at nothing in between. Elsewhere, on a CPU
above all, the work is simply done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

WARM = 3
"""Times that work is done before it is recorded, as libraries choose algorithms and make workspaces the first times."""


class Recorder(Protocol):
    """What a device has for recording."""

    def warm(self, work: Callable[[], None]) -> None:
        """Do the work as it will be recorded."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return what does the work as one; nothing is done yet."""


class CudaRecorder:
    """CUDA graphs, one for each piece of work."""

    def warm(self, work: Callable[[], None]) -> None:
        """Do the work on a stream of its own, as torch asks for before a capture."""
        beside: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            work()
        torch.cuda.current_stream().wait_stream(beside)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return the replay of a graph."""
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the device meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            work()
        return graph.replay


class Repeated:
    """Work that is done once for each call; it reads and writes the same tensors each time.

    Parameters
    ----------
    work
        Neither asks for values of tensors nor depends on anything that is not a tensor.
    device
        Where it is done.
    recorder
        How it is recorded; None: by what the device has for it, if anything.
    """

    def __init__(self, work: Callable[[], None], *, device: torch.device, recorder: Recorder | None = None) -> None:
        self._work, self._done = work, 0
        self._recorder = CudaRecorder() if recorder is None and device.type == "cuda" else recorder
        self._replay: Callable[[], None] | None = None

    def __call__(self) -> None:
        """Do the work once."""
        if self._recorder is None:
            self._work()
        elif self._done < WARM:
            self._recorder.warm(self._work)
        else:
            if self._replay is None:
                self._replay = self._recorder.record(self._work)
            self._replay()
        self._done += 1
