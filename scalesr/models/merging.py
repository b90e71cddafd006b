"""Linear layers multiplied out into one convolution."""

from __future__ import annotations

import copy
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from scalesr.models.fused import Convolution

WORTH = 0.8
"""Share of the multiplications of two layers that the layer in their place may need at most."""


def scaled(layer: Convolution, factor: float) -> Convolution:
    """Return a convolution whose result is another's times a factor."""
    result = copy.deepcopy(layer)
    with torch.no_grad():
        result.weight.copy_(layer.weight.double() * factor)
        if layer.bias is not None and result.bias is not None:
            result.bias.copy_(layer.bias.double() * factor)
    return result


def merged(first: Convolution, step: int, second: Convolution) -> nn.Conv2d | None:
    """Return the convolution that, before a pixel shuffle, does what one before and one after it do together.

    With a shuffle by `step` between them, a kernel of radius a before and one of radius b after reach ``a + ceil(b /
    step)`` pixels, and each of the ``step**2`` phases of an output pixel has weights of its own: the composite is found
    by sending an impulse through each channel, in float64. For EDSR x2 of 32 features it has 25 x 32 x 4 weights in
    place of 9 x 32 x 128 and 9 x 32 at four times as many pixels (Shi et al. 2016 put no rectifier between the two).

    Returns
    -------
    nn.Conv2d or None
        None where a layer is no plain convolution of odd kernels padded to keep the size, or nothing would be saved.
    """
    if not (_keeps_size(first) and _keeps_size(second)):
        return None
    reach = [a // 2 + -(-(b // 2) // step) for a, b in zip(first.kernel_size, second.kernel_size, strict=True)]
    kernel = (2 * reach[0] + 1, 2 * reach[1] + 1)
    inputs, outputs = first.in_channels, second.out_channels * step**2
    work = prod(first.kernel_size) * inputs * first.out_channels
    work += prod(second.kernel_size) * second.in_channels * second.out_channels * step**2
    if prod(kernel) * inputs * outputs > WORTH * work:
        return None
    height, width = (2 * k - 1 for k in kernel)
    impulses = torch.zeros(inputs, inputs, height, width, dtype=torch.float64)
    impulses[range(inputs), range(inputs), reach[0] * 2, reach[1] * 2] = 1
    responses = _through(impulses, first, step, second, biased=False)
    window = (slice(reach[0], reach[0] + kernel[0]), slice(reach[1], reach[1] + kernel[1]))
    constant = _through(torch.zeros_like(impulses[:1]), first, step, second, biased=True)
    result = nn.Conv2d(inputs, outputs, kernel, padding=(reach[0], reach[1]))
    with torch.no_grad():
        # A convolution of torch correlates: its kernel is the response, turned round.
        result.weight.copy_(responses[(slice(None), slice(None), *window)].flip(-1, -2).transpose(0, 1))
        assert result.bias is not None
        result.bias.copy_(constant[0, :, reach[0] * 2, reach[1] * 2])
    return result.requires_grad_(requires_grad=False)


def _keeps_size(layer: Convolution) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and layer.groups == 1
        and set(layer.stride) == {1}
        and set(layer.dilation) == {1}
        and all(k % 2 == 1 and p == k // 2 for k, p in zip(layer.kernel_size, layer.padding, strict=True))
    )


def _through(images: torch.Tensor, first: Convolution, step: int, second: Convolution, *, biased: bool) -> torch.Tensor:
    def apply(values: torch.Tensor, layer: Convolution) -> torch.Tensor:
        bias = layer.bias.double() if biased and layer.bias is not None else None
        return functional.conv2d(values, layer.weight.double(), bias, padding=[int(p) for p in layer.padding])

    enlarged = apply(functional.pixel_shuffle(apply(images, first), step), second)
    return functional.pixel_unshuffle(enlarged, step)
