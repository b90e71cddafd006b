"""Styled convolutions of weights that stay as they are, with their gradients written out: few passes over features.

A search does little but these layers, and half of its time went into multiplying features by factors. A layer is

    y = rectified(t conv(s x) + m)

with styles s of the features before it, noise and bias m, and t > 0, which brings features back to a variance of one
(demodulation). The leaky rectifier lets positive factors through, so that y = t z for

    z = rectified(conv(s x) + m / t)

and t joins the styles of what comes next: a layer multiplies its features once in place of twice. The gradient of a
convolution is asked for as a convolution by mirrored weights, which are worked out beforehand, too. Features are last
in memory, those of all x of a row one after the other, so that what is done entry by entry has long runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from scalesr.rls.layers import FIR, GAIN, SLOPE, TINY

if TYPE_CHECKING:
    from scalesr.rls.generator import StyledConv, ToImage
    from scalesr.rls.layers import EqualLinear

TAPS = len(FIR)


class Lift(NamedTuple):
    """What noise and biases add to features before the rectifier."""

    whole: torch.Tensor
    """Shape (n or 1, y or 1, x features)."""
    maps: torch.Tensor
    """What it is made of: noise and ones, or ones alone, shape (n or 1, 2 or 1, y x)."""
    shares: torch.Tensor
    """How much of each a feature gets, shape (2 or 1, features): a sum over the whole is one over the maps."""

    def repeated(self, times: int) -> Lift:
        """Return the same for a batch so many times over."""
        whole, maps = (each if len(each) == 1 else each.repeat(times, 1, 1) for each in (self.whole, self.maps))
        return self._replace(whole=whole, maps=maps)


class FrozenConv:
    """A modulated convolution, noise and the leaky rectifier.

    Parameters
    ----------
    layer
        Whose weights are taken.
    dtype
        Number format of features and of the weights of the convolution.
    """

    def __init__(self, layer: StyledConv, dtype: torch.dtype) -> None:
        conv = layer.conv
        weight = conv.weight * conv.gain
        self._style, self._up, self._pad, self._dtype = _linear(conv.style), conv.up == 2, conv.kernel // 2, dtype
        # The gain of the rectifier, which it lets through, is put into what stands before it.
        self._power = (weight.square().sum((2, 3)).t() / GAIN**2).contiguous()
        self._strength, self._bias = layer.strength * GAIN, layer.bias * GAIN
        line = weight.new_tensor(FIR) / sum(FIR)
        fir = (4.0 * line[:, None] * line[None]).expand(weight.shape[0], 1, -1, -1)
        swapped = weight.transpose(0, 1)
        forth, back = (swapped, swapped) if self._up else (weight, swapped.flip(2, 3))
        self._forth, self._back, self._fir = (
            each.to(dtype).contiguous(memory_format=torch.channels_last) for each in (forth, back, fir)
        )

    def lifted(self, noise: torch.Tensor | None, width: int) -> Lift:
        """Return what is added before the rectifier, for noise (n or 1, 1, y, x) of a width, or none."""
        ones = self._bias.new_ones(1, 1, width * width)
        if noise is None:
            whole, maps, shares = self._bias.repeat(width).view(1, 1, -1), ones, self._bias[None]
        else:
            whole = ((self._strength * noise).movedim(1, 3) + self._bias).flatten(2)
            maps = torch.cat([noise.detach().flatten(2), ones.expand(len(noise), -1, -1)], dim=1)
            shares = torch.stack([self._strength.expand_as(self._bias), self._bias])
        return Lift(whole.to(self._dtype), maps.to(self._dtype), shares)

    def __call__(
        self, x: torch.Tensor, scale: torch.Tensor, w: torch.Tensor, lift: Lift
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features z (n, up y, up x outer) and their scale t (n, outer): the layer's are their product.

        Parameters
        ----------
        x
            Features (n, y, x inner).
        scale
            What they are to be multiplied by, shape (n, inner) or ().
        w
            Latents, shape (n, latent).
        lift
            Of `lifted`.
        """
        style = functional.linear(w, *self._style)
        square = style.square() @ self._power + TINY / GAIN**2
        x = x.to(self._dtype)
        found: torch.Tensor = _Styled.apply(x, style * scale, lift.whole, square.sqrt(), lift, self)  # type: ignore[no-untyped-call]
        return found, square.rsqrt()

    def forth(self, x: torch.Tensor) -> torch.Tensor:
        """Return the convolution, shape (n, up y, up x outer), of features (n, y, x inner)."""
        images = _features_first(x, self._forth.shape[0 if self._up else 1])
        if self._up:
            found = functional.conv_transpose2d(images, self._forth, stride=2)
            found = functional.conv2d(found, self._fir, padding=1, groups=len(self._fir))
        else:
            found = functional.conv2d(images, self._forth, padding=self._pad)
        return _features_last(found)

    def back(self, slope: torch.Tensor) -> torch.Tensor:
        """Return the gradient of x for that of `forth`."""
        images = _features_first(slope, self._back.shape[1])
        if self._up:
            # The filter is its own mirror image.
            images = functional.conv2d(images, self._fir, padding=TAPS - 2, groups=len(self._fir))
            return _features_last(functional.conv2d(images, self._back, stride=2))
        return _features_last(functional.conv2d(images, self._back, padding=self._pad))


class FrozenToImage:
    """The image of features, as a product of matrices for each object.

    Parameters
    ----------
    layer
        Whose weights are taken.
    """

    def __init__(self, layer: ToImage) -> None:
        conv = layer.conv
        self._weight = (conv.weight * conv.gain).flatten(1)
        self._style, self._bias = _linear(conv.style), layer.bias.detach().clone()[:, None, None]

    def __call__(self, x: torch.Tensor, scale: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Return images (n, channels, y, x) of features (n, y, x inner) that a scale (n, inner) belongs to."""
        weights = self._weight * (functional.linear(w, *self._style) * scale)[:, None]
        pixels: torch.Tensor = _Mixed.apply(x, weights)  # type: ignore[no-untyped-call]
        return pixels.view(*pixels.shape[:2], x.shape[1], -1) + self._bias


class _Styled(torch.autograd.Function):
    """z = rectified(conv(s x) + reach m), for the whole m of a lift."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        factors: torch.Tensor,
        whole: torch.Tensor,
        reach: torch.Tensor,
        lift: Lift,
        conv: FrozenConv,
    ) -> torch.Tensor:
        found = conv.forth(x * _along(factors, x))
        found = functional.leaky_relu_(found.addcmul_(whole, _along(reach, found)), SLOPE)
        ctx.save_for_backward(x, factors, reach, found)
        ctx.lift, ctx.conv = lift, conv
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, factors, reach, found = ctx.saved_tensors
        lift: Lift = ctx.lift
        wanted = ctx.needs_input_grad
        slope = torch.ops.aten.leaky_relu_backward(slope, found, SLOPE, True)
        of_whole = (slope * _along(reach, slope)).sum_to_size(lift.whole.shape) if wanted[2] else None
        pixels = slope.view(len(slope), -1, reach.shape[1])
        of_reach = ((lift.maps @ pixels).to(reach.dtype) * lift.shares).sum(1)
        slope = ctx.conv.back(slope)
        of_factors = _summed(slope * x, factors)
        of_x = slope.mul_(_along(factors, slope)).sum_to_size(x.shape) if wanted[0] else None
        return of_x, of_factors, of_whole, of_reach, None, None


class _Mixed(torch.autograd.Function):
    """Pixels (n, channels, y x) of features (n, y, x inner) by weights (n, channels, inner), in the latter's format."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, weights)
        rows = x.view(len(x), -1, weights.shape[2])
        return (weights.to(x.dtype) @ rows.mT).to(weights.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weights = ctx.saved_tensors
        slope = slope.to(x.dtype)
        of_x = (slope.mT.contiguous() @ weights.to(x.dtype)).view_as(x) if ctx.needs_input_grad[0] else None
        rows = x.view(len(x), -1, weights.shape[2])
        of_weights = (slope @ rows).to(weights.dtype) if ctx.needs_input_grad[1] else None
        return of_x, of_weights


def _linear(layer: EqualLinear) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights and biases as they are used."""
    return (layer.weight * layer.gain).detach(), (layer.bias * layer.rate).detach()


def _features_first(x: torch.Tensor, features: int) -> torch.Tensor:
    """Return (n, features, y, x) for (n, y, x features), in the same memory."""
    return x.view(*x.shape[:2], -1, features).permute(0, 3, 1, 2)


def _features_last(x: torch.Tensor) -> torch.Tensor:
    """Return (n, y, x features) for (n, features, y, x)."""
    return x.permute(0, 2, 3, 1).flatten(2)


def _along(factors: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return factors (n, features) for features (n, y, x features), shape (n, 1, x features), in their format."""
    count, features = factors.shape
    along = factors.to(like.dtype)[:, None].expand(-1, like.shape[2] // features, -1)
    return along.reshape(count, 1, -1)


def _summed(products: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return sums (n, features) over the pixels of (n, y, x features), in another's format."""
    # Sums of bf16 are added up in fp32 inside; asking for fp32 would make a copy of all products.
    return products.sum(1).to(like.dtype).view(len(products), -1, like.shape[1]).sum(1)
