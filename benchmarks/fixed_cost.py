"""A model whose tiles cost a known processor time, so that what a run adds to it shows to a fraction of a percent.

It convolves, as networks do, until its thread has used the time that is asked for: a machine that is slower at one
moment than at another changes how many convolutions that are, and not what they cost.
"""

from __future__ import annotations

from fractions import Fraction
from threading import Lock
from time import thread_time
from typing import TYPE_CHECKING

import torch

from scalesr.models import ModelSpec

if TYPE_CHECKING:
    from scalesr.models import Precision

FACTOR = 2
"""Output pixels for each input pixel, along either axis."""
HALO = 18
"""Context of a tile, as of the EDSR of the other benchmarks."""
FEATURES, EDGE = 32, 48
"""Of one convolution of 3 x 3: some 21 million multiply-adds, so that the last one ends soon after the time is over."""


class Spent:
    """Processor seconds that all calls of this process have used; they end a little later than they were asked to."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Add those of one call."""
        with self._lock:
            self.seconds += seconds


SPENT = Spent()


class FixedCost:
    """Repeats each pixel along both axes; the same pixels come out whatever it costs.

    Parameters
    ----------
    seconds
        Processor seconds of each tile.
    """

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        generator = torch.Generator().manual_seed(0)
        self._pixels = torch.rand((1, FEATURES, EDGE, EDGE), generator=generator)
        self._pixels = self._pixels.contiguous(memory_format=torch.channels_last)
        self._weights = torch.rand((FEATURES, FEATURES, 3, 3), generator=generator)
        self._weights = self._weights.contiguous(memory_format=torch.channels_last)

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""
        return ModelSpec(
            name="fixed cost",
            axes="yx",
            scale=(Fraction(FACTOR), Fraction(FACTOR)),
            channels=1,
            out_channels=1,
            receptive=(HALO, HALO),
            activation_bytes=4.0 * (1 + 2 * FACTOR**2),
        )

    def to(self, *, device: str, precision: Precision) -> FixedCost:  # noqa: ARG002 the engine asks for fp32 alone
        """Return the model itself: it knows the processor only.

        Raises
        ------
        ValueError
            Another device is asked for.
        """
        if device != "cpu":
            raise ValueError(f"Processor time is not spent on {device}; give device='cpu'.")
        return self

    def __call__(self, tiles: torch.Tensor, origins: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 same everywhere
        """Enlarge one batch of shape (n, 1, y, x) to (n, 1, 2 y, 2 x), and spend its time."""
        began = thread_time()
        with torch.inference_mode():
            enlarged = tiles.repeat_interleave(FACTOR, -2).repeat_interleave(FACTOR, -1)
            while thread_time() - began < self._seconds * len(tiles):
                torch.nn.functional.conv2d(self._pixels, self._weights, padding=1)
        SPENT.add(thread_time() - began)
        return enlarged


def fixed_cost(*, seconds: float = 0.25) -> FixedCost:
    """Return the model; the name that a run is given is `benchmarks.fixed_cost:fixed_cost`."""
    return FixedCost(seconds=seconds)
