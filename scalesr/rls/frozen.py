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
from scalesr.rls.layers import FIR
from scalesr.rls.styled import FrozenConv, FrozenToImage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.rls.generator import Noise, StyledConv, StyleGAN2, ToImage
    from scalesr.rls.prior import Prior
    from scalesr.rls.styled import Lift


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
            self._convs = [FrozenConv(cast("StyledConv", each), dtype) for each in generator.convs]
            self._images = [FrozenToImage(cast("ToImage", each)) for each in generator.images]
            self._own = [getattr(generator, f"noise_{place}").clone() for place in range(len(self._convs))]
            self._finer = [_enlarging(edge, self._start) for edge in (4 << level for level in range(len(self._images)))]

    @property
    def layers(self) -> int:
        """Rows of w that `synthesis` takes."""
        return self.settings.layers

    def lifted(self, noise: Sequence[torch.Tensor] | Noise = "fixed") -> list[Lift]:
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

    def synthesis(self, w: torch.Tensor, lifted: Sequence[Lift]) -> torch.Tensor:
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
        scale, image = (torch.full((), value, dtype=w.dtype, device=w.device) for value in (1.0, 0.0))
        for level, to_image in enumerate(self._images):
            for place in (2 * level - 1, 2 * level) if level else (0,):
                x, scale = self._convs[place](x, scale, w[:, place], lifted[place])
            if level:
                finer = self._finer[level - 1]
                image = finer @ image @ finer.t()
            image = image + to_image(x, scale, w[:, 2 * level + 1])
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


def _enlarging(edge: int, like: torch.Tensor) -> torch.Tensor:
    """Return the matrix, shape (2 edge, edge), of what `scalesr.rls.layers.enlarged` does along an axis."""
    found = like.new_zeros(2 * edge, edge)
    for pixel in range(edge):
        for tap, weight in enumerate(FIR):
            if 0 <= 2 * pixel - 1 + tap < 2 * edge:
                found[2 * pixel - 1 + tap, pixel] = 2 * weight / sum(FIR)
    return found
