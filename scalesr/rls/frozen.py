"""A generator and a prior that nothing but latents goes through: what does not depend on these is worked out once.

A search asks both for the same images and densities some hundred times, with weights that stay as they are, and wants
no gradients but those of the latents. So weights are scaled, masked and squared beforehand; noise and biases are added
as one; images go to twice the resolution by products of matrices; and features are last in memory, those of all x of a
row one after the other, so that what is done entry by entry has long runs. The outcome is that of `StyleGAN2.synthesis`
and of `Prior`, but for the last bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import torch
from torch.nn import functional

from scalesr.errors import ModelError
from scalesr.rls.flow import LEAST, MADE, BatchNormFlow, MaskedLinear, log_density
from scalesr.rls.layers import FIR, GAIN, SLOPE, TINY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.rls.generator import Noise, StyledConv, StyleGAN2, ToImage
    from scalesr.rls.layers import EqualLinear
    from scalesr.rls.prior import Prior


class FrozenGenerator:
    """Images of latents by weights as they were when this was made; gradients reach latents and noise maps alone.

    Parameters
    ----------
    generator
        Whose weights are taken.
    arithmetic
        Number format of features and of the weights of convolutions: the generator's ``own``, or ``bf16``; latents,
        styles and images have the generator's own.
    """

    def __init__(self, generator: StyleGAN2, *, arithmetic: Literal["own", "bf16"] = "own") -> None:
        self.settings, self.noise_shapes = generator.settings, generator.noise_shapes
        with torch.no_grad():
            self._start = generator.start.permute(0, 2, 3, 1).flatten(2)
            dtype = self._start.dtype if arithmetic == "own" else torch.bfloat16
            self._convs = [_Styled(cast("StyledConv", each), dtype) for each in generator.convs]
            self._images = [_ToImage(cast("ToImage", each)) for each in generator.images]
            self._own = [getattr(generator, f"noise_{place}").clone() for place in range(len(self._convs))]
            self._finer = [_enlarging(edge, self._start) for edge in (4 << level for level in range(len(self._images)))]

    @property
    def layers(self) -> int:
        """Rows of w that `synthesis` takes."""
        return self.settings.layers

    def lifted(self, noise: Sequence[torch.Tensor] | Noise = "fixed") -> list[torch.Tensor]:
        """Return what noise maps and biases add to features, for `synthesis`: the same at all steps of a search.

        Raises
        ------
        ModelError
            The noise maps are of another number.
        """
        maps = [None] * len(self._convs) if noise == "none" else self._own if noise == "fixed" else noise
        if len(maps) != len(self._convs):
            raise ModelError(
                f"{len(maps)} noise maps were given to a generator of {self.settings.size} px.",
                remedy=f"Give {len(self._convs)}.",
            )
        widths = (width for _, width in self.noise_shapes)
        return [conv.lifted(*each) for conv, *each in zip(self._convs, maps, widths, strict=True)]

    def synthesis(self, w: torch.Tensor, lifted: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return images of about -1 to 1, shape (n, channels, size, size); see `StyleGAN2.synthesis`.

        Parameters
        ----------
        w
            Shape (n, layers, latent).
        lifted
            Of `lifted`.

        Raises
        ------
        ModelError
            The latents are of another number.
        """
        if w.shape[1:] != (self.layers, self.settings.latent):
            raise ModelError(
                f"Latents of shape {tuple(w.shape)} were given to a generator of {self.settings.size} px.",
                remedy=f"Give shape (n, {self.layers}, {self.settings.latent}).",
            )
        x = self._start.expand(len(w), -1, -1)
        image = torch.zeros((), dtype=w.dtype, device=w.device)
        for level, to_image in enumerate(self._images):
            for place in (2 * level - 1, 2 * level) if level else (0,):
                x = self._convs[place](x, w[:, place], lifted[place])
            if level:
                finer = self._finer[level - 1]
                image = finer @ image @ finer.t()
            image = image + to_image(x, w[:, 2 * level + 1])
        return image


class FrozenPrior:
    """Norms and densities of latents by weights as they were when this was made; see `Prior`.

    Parameters
    ----------
    prior
        Whose weights are taken; that evaluates.
    """

    def __init__(self, prior: Prior) -> None:
        self.mean, self.std = prior.mean.clone(), prior.std.clone()
        with torch.no_grad():
            self._blocks = [
                _Block(cast("MADE", made), cast("BatchNormFlow", norm))
                for made, norm in zip(prior.flow.mades, prior.flow.norms, strict=True)
            ]
            self._constant = sum((block.constant for block in self._blocks), self.mean.new_zeros(()))

    def __call__(self, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the norms of u = F(w) and the log-densities, both of shape (n, layers), for (n, layers, latent)."""
        u = ((w - self.mean) / self.std).flatten(0, 1)
        total = self._constant
        for block in self._blocks:
            u, logarithm = block(u)
            total = total + logarithm
        return u.norm(dim=1).view(w.shape[:2]), log_density(u, total).view(w.shape[:2])


class _Styled:
    """A modulated convolution, noise and the leaky rectifier, of features that are last in memory.

    Factors of features are repeated along x: rows of x and features are long enough for vector instructions.
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
        weight = weight.transpose(0, 1) if self._up else weight
        self._weight, self._fir = (
            each.to(dtype).contiguous(memory_format=torch.channels_last) for each in (weight, fir)
        )

    def lifted(self, noise: torch.Tensor | None, width: int) -> torch.Tensor:
        """Return what is added before the rectifier, shape (n or 1, y or 1, x features)."""
        if noise is None:
            return self._bias.to(self._dtype).repeat(width).view(1, 1, -1)
        return ((self._strength * noise).movedim(1, 3) + self._bias).to(self._dtype).flatten(2)

    def __call__(self, x: torch.Tensor, w: torch.Tensor, lift: torch.Tensor) -> torch.Tensor:
        """Return features (n, up y, up x outer) of (n, y, x inner)."""
        style = functional.linear(w, *self._style)
        x = x.to(self._dtype)
        rows = x * _along(style, x)
        images = rows.view(*x.shape[:2], -1, style.shape[1]).permute(0, 3, 1, 2)
        if self._up:
            found = functional.conv_transpose2d(images, self._weight, stride=2)
            found = functional.conv2d(found, self._fir, padding=1, groups=len(self._fir))
        else:
            found = functional.conv2d(images, self._weight, padding=self._pad)
        found = found.permute(0, 2, 3, 1).flatten(2)
        scale = torch.rsqrt(style.square() @ self._power + TINY / GAIN**2)
        return functional.leaky_relu_((found * _along(scale, found)).add_(lift), SLOPE)


class _ToImage:
    """The image of features, as a product of matrices for each object."""

    def __init__(self, layer: ToImage) -> None:
        conv = layer.conv
        self._weight = (conv.weight * conv.gain).flatten(1)
        self._style, self._bias = _linear(conv.style), layer.bias.detach().clone()[:, None, None]

    def __call__(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Return images (n, channels, y, x) of features (n, y, x inner)."""
        weights = self._weight * functional.linear(w, *self._style)[:, None]
        edge, inner = x.shape[1], weights.shape[2]
        pixels = (x.view(len(x), -1, inner) @ weights.transpose(1, 2).to(x.dtype)).to(w.dtype)
        return pixels.transpose(1, 2).reshape(len(x), -1, edge, edge) + self._bias


class _Block:
    """A masked network, a normalisation and a reversal."""

    def __init__(self, made: MADE, norm: BatchNormFlow) -> None:
        layers = [each for each in made.layers if isinstance(each, MaskedLinear)]
        self._layers = [((each.weight * each.mask).detach(), each.bias.detach().clone()) for each in layers]
        variance = norm.variance + LEAST
        self._scale = torch.rsqrt(variance) * torch.exp(norm.log_scale)
        self._shift = norm.shift - norm.mean * self._scale
        self.constant = (norm.log_scale - 0.5 * torch.log(variance)).sum()

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = x
        for place, (weight, bias) in enumerate(self._layers):
            found = functional.linear(torch.relu(found) if place else found, weight, bias)
        shift, log_scale = found.chunk(2, dim=1)
        u = torch.addcmul(self._shift, (x - shift) * torch.exp(-log_scale), self._scale)
        return u.flip(1), -log_scale.sum(dim=1)


def _along(factors: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return factors (n, features) for features (n, y, x features), shape (n, 1, x features), in their format."""
    count, features = factors.shape
    along = factors.to(like.dtype)[:, None].expand(-1, like.shape[2] // features, -1)
    return along.reshape(count, 1, -1)


def _linear(layer: EqualLinear) -> tuple[torch.Tensor, torch.Tensor]:
    return (layer.weight * layer.gain).detach(), (layer.bias * layer.rate).detach()


def _enlarging(edge: int, like: torch.Tensor) -> torch.Tensor:
    """Return the matrix, shape (2 edge, edge), of what `scalesr.rls.layers.enlarged` does along an axis."""
    found = like.new_zeros(2 * edge, edge)
    for pixel in range(edge):
        for tap, weight in enumerate(FIR):
            if 0 <= 2 * pixel - 1 + tap < 2 * edge:
                found[2 * pixel - 1 + tap, pixel] = 2 * weight / sum(FIR)
    return found
