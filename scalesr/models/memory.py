"""How much memory a forward pass needs: the peak of live tensors, counted operation by operation."""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from scalesr.models.spec import ModelSpec

Forward = Callable[[torch.Tensor], torch.Tensor]

_PIXELS_META = 1 << 14
"""Counting without data costs the same for any size, and a large tile makes what is constant negligible."""
_PIXELS_REAL = 1 << 10


def activation_bytes(forward: Forward, *, spec: ModelSpec) -> float:
    """Count the peak bytes of live tensors, input and output included, for each input pixel of a tile.

    Parameters
    ----------
    forward
        The network, or a function of one batch of tiles ``(1, channels, *axes)``.
    spec
        Says what a tile looks like; its own `activation_bytes` is not looked at.

    Returns
    -------
    float
        Bytes in fp32 without the weights. Counted on shapes alone where the network allows it; otherwise on two small
        tiles, whose difference leaves out what does not grow with the tile. Workspaces inside an operation (of a
        convolution, say) are not tensors and not counted.
    """
    try:
        shaped = copy.deepcopy(forward).to("meta") if isinstance(forward, torch.nn.Module) else forward
        tile = torch.empty(_shape(spec, _PIXELS_META), device="meta")
        return peak_bytes(shaped, tile) / _pixels(tile)
    except (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError):
        # Networks that build masks from data, or tensors on a fixed device, cannot run on shapes alone.
        small, large = (torch.zeros(_shape(spec, pixels)) for pixels in (_PIXELS_REAL, 4 * _PIXELS_REAL))
        grown = _pixels(large) - _pixels(small)
        return (peak_bytes(forward, large) - peak_bytes(forward, small)) / grown


def peak_bytes(forward: Forward, tiles: torch.Tensor) -> int:
    """Run once and return the largest sum of bytes of tensors alive at one time, `tiles` included."""
    ledger = _Ledger(tiles)
    with torch.no_grad(), ledger:
        forward(tiles)
    return ledger.peak


def _shape(spec: ModelSpec, pixels: int) -> list[int]:
    """Shape of a nearly cubic tile of at least so many pixels that the model accepts."""
    edge = spec.edge(math.ceil(pixels ** (1 / len(spec.axes))))
    return [1, spec.channels, *[edge] * len(spec.axes)]


def _pixels(tile: torch.Tensor) -> int:
    return math.prod(tile.shape[2:])


class _Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows every storage that an operation makes, until Python lets go of it."""

    def __init__(self, tiles: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._live: dict[int, weakref.finalize[..., Any]] = {}
        self._bytes = 0
        self.peak = 0
        self._enter(tiles)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        known = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and id(leaf.untyped_storage()) not in known:
                self._enter(leaf)
        return result

    def _enter(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = id(storage)
        if key in self._live:
            return
        size = storage.nbytes()
        self._bytes += size
        self.peak = max(self.peak, self._bytes)
        self._live[key] = weakref.finalize(storage, self._leave, key, size)

    def _leave(self, key: int, size: int) -> None:
        self._live.pop(key, None)
        self._bytes -= size
