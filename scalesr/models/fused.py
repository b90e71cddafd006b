"""A convolution with what follows it point by point, in one pass over memory where the device's library offers it.

On a CPU that is oneDNN, by the operators that torch's own compiler calls for frozen graphs. They are used directly: a
compiled graph depends on the compiler of each machine, and then so would the last bits of a result.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

_pointwise: Any = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
_pointwise_over: Any = getattr(torch.ops.mkldnn, "_convolution_pointwise_", None)

Convolution = nn.Conv2d | nn.Conv3d
Rectifier = Literal["none", "relu", "leaky_relu"]


class FusedConvolution(nn.Module):
    """A convolution, then perhaps a rectifier, or a tensor that is added.

    Parameters
    ----------
    convolution
        Its weights are taken over; padded by zeros, in numbers.
    rectifier, slope
        What its values go through; the slope is that of `leaky_relu` below zero.
    dtype
        Number format of its weights, its input and its result; what comes in another is cast.
    """

    def __init__(
        self,
        convolution: Convolution,
        *,
        rectifier: Rectifier = "none",
        slope: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(convolution.weight.detach().to(dtype), requires_grad=False)
        bias = convolution.bias
        self.bias = None if bias is None else nn.Parameter(bias.detach().to(dtype), requires_grad=False)
        self.stride, self.dilation = list(convolution.stride), list(convolution.dilation)
        assert not isinstance(convolution.padding, str)
        self.padding = list(convolution.padding)
        self.groups = convolution.groups
        self.rectifier: Rectifier = rectifier
        self.slope = slope

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the weights, the input and the result."""
        return self.weight.dtype

    def forward(
        self, tiles: torch.Tensor, other: torch.Tensor | None = None, *, where: Literal["new", "other"] = "new"
    ) -> torch.Tensor:
        """Return the convolution of the tiles, rectified, or added to another tensor.

        Parameters
        ----------
        tiles
            ``(n, channels, *axes)``.
        other
            Of the result's shape; no rectifier then. A longer number format than the convolution's stays.
        where
            Whether the sum is a new tensor or overwrites the other.
        """
        # Formats are chosen here, layer by layer.
        with torch.autocast(tiles.device.type, enabled=False):
            tiles = tiles.to(self.dtype)
            if other is not None and (other.dtype != self.dtype or not self._library_of(tiles)):
                plain = self._plain(tiles)
                return other.add_(plain) if where == "other" else other + plain
            if not self._library_of(tiles):
                return self._rectified(self._plain(tiles))
            geometry: tuple[Any, ...] = (self.padding, self.stride, self.dilation, self.groups)
            if other is None:
                slopes = [self.slope] if self.rectifier == "leaky_relu" else []
                rectified: torch.Tensor = _pointwise(
                    tiles, self.weight, self.bias, *geometry, self.rectifier, slopes, ""
                )
                return rectified
            add = _pointwise_over if where == "other" else _pointwise
            first, then = (other, tiles) if where == "other" else (tiles, other)
            total: torch.Tensor = add.binary(first, then, self.weight, self.bias, *geometry, "add", 1.0, None, [], None)
            return total

    def _library_of(self, tiles: torch.Tensor) -> bool:
        there = _pointwise is not None and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        return there and tiles.device.type == "cpu" and tiles.numel() > 0

    def _plain(self, tiles: torch.Tensor) -> torch.Tensor:
        convolve = functional.conv2d if tiles.ndim == 4 else functional.conv3d
        return convolve(tiles, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def _rectified(self, values: torch.Tensor) -> torch.Tensor:
        if self.rectifier == "none":
            return values
        return functional.relu_(values) if self.rectifier == "relu" else functional.leaky_relu_(values, self.slope)


class EnlargingConvolution(FusedConvolution):
    """A convolution by 3 x 3 of an image enlarged by nearest neighbours, on the pixels before they were repeated.

    Of the three pixels under a kernel along an axis at least two are copies of one, so each of the ``step**2`` phases
    of an output pixel is a convolution by 2 x 2 of the small image: 4 multiplications in place of 9, and the enlarged
    image is never made.

    Parameters
    ----------
    convolution
        By 3 x 3, padded by 1.
    step
        Times that each pixel is repeated along each axis, at least 2.
    rectifier, slope, dtype
        As of `FusedConvolution`.
    """

    def __init__(
        self,
        convolution: nn.Conv2d,
        *,
        step: int,
        rectifier: Rectifier = "none",
        slope: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.step = step
        fan = torch.zeros(step, 2, 3, dtype=torch.float64)
        for phase in range(step):
            for tap in range(3):
                # Phase 0 reaches one pixel back; all others begin at their own.
                fan[phase, (phase + tap - 1) // step + (phase == 0), tap] = 1
        weight = torch.einsum("ocyx,pay,qbx->pqocab", convolution.weight.detach().double(), fan, fan)
        inner = nn.Conv2d(
            convolution.in_channels, step**2 * convolution.out_channels, 2, padding=1, bias=convolution.bias is not None
        )
        with torch.no_grad():
            inner.weight.copy_(weight.flatten(0, 2))
            if convolution.bias is not None and inner.bias is not None:
                inner.bias.copy_(convolution.bias.repeat(step**2))
        super().__init__(inner, rectifier=rectifier, slope=slope, dtype=dtype)

    def forward(  # type: ignore[override]
        self, tiles: torch.Tensor
    ) -> torch.Tensor:
        """Return the convolution of the enlarged tiles ``(n, channels, y, x)``, rectified."""
        phases = super().forward(tiles)
        count, channels = phases.shape[0], phases.shape[1] // self.step**2
        height, width = tiles.shape[2:]
        last = phases.is_contiguous(memory_format=torch.channels_last)
        result = torch.empty(
            (count, channels, height * self.step, width * self.step),
            dtype=phases.dtype,
            device=phases.device,
            memory_format=torch.channels_last if last else torch.contiguous_format,
        )
        for place in range(self.step**2):
            row, column = divmod(place, self.step)
            part = phases[:, place * channels : (place + 1) * channels]
            top, left = int(row > 0), int(column > 0)
            result[:, :, row :: self.step, column :: self.step] = part[:, :, top : top + height, left : left + width]
        return result
