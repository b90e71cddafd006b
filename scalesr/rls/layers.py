"""The layers of StyleGAN2 in operations that torch has on every device (Karras et al. 2020, arXiv 1912.04958)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

SLOPE, GAIN = 0.2, math.sqrt(2.0)
"""Of the leaky rectifier, and what restores the variance after it."""
FIR = (1.0, 3.0, 3.0, 1.0)
"""Filter of all changes of resolution, along either axis; its sum is 8."""
TINY = 1e-8


def rectified(x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return the leaky rectifier of features with their bias, shape (n, features, ...), times the root of two."""
    if bias is not None:
        x = x + bias.view(1, -1, *[1] * (x.ndim - 2))
    return functional.leaky_relu(x, SLOPE) * GAIN


class EqualLinear(nn.Module):
    """A linear layer whose weights are stored with unit variance and scaled when used (equalised learning rate).

    Parameters
    ----------
    inner, outer
        Features before and after.
    rate
        What weights and biases are multiplied by beside 1/sqrt(inner), and stored divided by: 0.01 in the mapping.
    bias
        What the biases begin with.
    rectify
        Whether the leaky rectifier follows.
    """

    def __init__(
        self,
        inner: int,
        outer: int,
        *,
        rate: float = 1.0,
        bias: float = 0.0,
        rectify: Literal["yes", "no"] = "no",
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outer, inner) / rate)
        self.bias = nn.Parameter(torch.full((outer,), bias))
        self.gain, self.rate, self.rectify = rate / math.sqrt(inner), rate, rectify

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return shape (..., outer) for shape (..., inner)."""
        found = functional.linear(x, self.weight * self.gain, self.bias * self.rate)
        return functional.leaky_relu(found, SLOPE) * GAIN if self.rectify == "yes" else found


class EqualConv(nn.Module):
    """A convolution with equalised learning rate, with half the resolution after it if asked for, then rectified.

    Parameters
    ----------
    inner, outer
        Features before and after.
    kernel
        Edge of the kernel, odd.
    down
        2: smoothed by the `FIR`, and every second pixel is kept.
    rectify
        ``no``: neither bias nor rectifier, as on the residual paths.
    """

    def __init__(
        self, inner: int, outer: int, kernel: int, *, down: Literal[1, 2] = 1, rectify: Literal["yes", "no"] = "yes"
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outer, inner, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outer)) if rectify == "yes" else None
        self.gain, self.kernel, self.down = 1 / math.sqrt(inner * kernel * kernel), kernel, down

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return shape (n, outer, y / down, x / down)."""
        weight = self.weight * self.gain
        if self.down == 1:
            found = functional.conv2d(x, weight, padding=self.kernel // 2)
        else:
            around = self.kernel + 1
            x = smoothed(x, before=(around + 1) // 2, after=around // 2)
            found = functional.conv2d(x, weight, stride=2)
        return found if self.bias is None else rectified(found, self.bias)


class ModulatedConv(nn.Module):
    """A convolution whose input features are scaled by a style, and whose output features have unit variance again.

    The published form convolves each image with weights of its own, as a grouped convolution. Here the features are
    scaled before and after a convolution that all images share, which is the same in exact arithmetic (their appendix
    B.3), and spares the search for latents the gradients of the weights.

    Parameters
    ----------
    inner, outer, kernel
        Features before and after, and edge of the kernel.
    latent
        Entries of a style's w.
    up
        2: to twice the resolution, by a transposed convolution and the `FIR`.
    demodulate
        ``no`` for layers that make images.
    """

    def __init__(
        self,
        inner: int,
        outer: int,
        kernel: int,
        *,
        latent: int,
        up: Literal[1, 2] = 1,
        demodulate: Literal["yes", "no"] = "yes",
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outer, inner, kernel, kernel))
        self.style = EqualLinear(latent, inner, bias=1.0)
        self.gain, self.kernel, self.up, self.demodulate = (
            1 / math.sqrt(inner * kernel * kernel),
            kernel,
            up,
            demodulate,
        )

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Return shape (n, outer, up y, up x) for features of shape (n, inner, y, x) and w of shape (n, latent)."""
        weight, style = self.weight * self.gain, self.style(w)
        x = x * style[:, :, None, None]
        if self.up == 2:
            found = functional.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            found = smoothed(found, before=1, after=1, gain=4.0)
        else:
            found = functional.conv2d(x, weight, padding=self.kernel // 2)
        if self.demodulate == "yes":
            power = style.square() @ weight.square().sum((2, 3)).t()
            found = found * torch.rsqrt(power + TINY)[:, :, None, None]
        return found


def smoothed(x: torch.Tensor, *, before: int, after: int, gain: float = 1.0) -> torch.Tensor:
    """Return images, zeros around them, correlated with the `FIR` of sum `gain` along both axes.

    Parameters
    ----------
    x
        Shape (n, features, y, x).
    before, after
        Rows and columns of zeros at either end of the axes; the result has `before` + `after` - 3 more than the image.
    gain
        Sum of the filter in both axes together.
    """
    x = functional.pad(x, (before, after, before, after))
    return functional.conv2d(x, _filter(x, gain), groups=x.shape[1])


def enlarged(x: torch.Tensor) -> torch.Tensor:
    """Return images of twice the resolution, by the `FIR`; shape (n, channels, 2 y, 2 x)."""
    return functional.conv_transpose2d(x, _filter(x, 4.0), stride=2, padding=1, groups=x.shape[1])


def _filter(x: torch.Tensor, gain: float) -> torch.Tensor:
    line = torch.tensor(FIR, dtype=x.dtype, device=x.device) / sum(FIR)
    plane: torch.Tensor = gain * line[:, None] * line[None]
    return plane.expand(x.shape[1], 1, len(FIR), len(FIR))
