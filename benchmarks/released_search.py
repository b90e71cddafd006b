"""Latent search as the released code of RLS does it, for one object: what `latent_speed` compares with.

From the facts of that code (github.com/mgheisar/RLS_PLUS at f8df15d, whose generator is rosinality's StyleGAN2), on the
weights of a `StyleGAN2` of this package: each image is convolved with weights of its own in a grouped convolution; the
filters of changes of resolution are a convolution of images with one channel, into which zeros are put first; the
generator's weights take gradients as well, which nothing uses; the flow is asked twice at each step; the operator is
two convolutions with 4 x factor taps, the image mirrored; and losses are looked at on the host at each step.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.nn import functional

from scalesr.rls.descent import linear1cycledrop
from scalesr.rls.layers import FIR, GAIN, SLOPE, TINY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.rls.checkpoints import Pair
    from scalesr.rls.generator import StyledConv, ToImage
    from scalesr.rls.layers import ModulatedConv
    from scalesr.rls.search import SearchSettings


@dataclass(frozen=True, eq=False)
class Released:
    """What was found for one object."""

    image: torch.Tensor
    """Intensities of about 0..1, shape (channels, size, size)."""
    loss: float
    """The objective."""


class ReleasedSearch:
    """The released way to search.

    Parameters
    ----------
    pair
        Generator and prior.
    factor
        Of the operator.
    weights
        Whether those of the generator take gradients: ``learning``, as released, or ``fixed``.
    """

    def __init__(self, pair: Pair, *, factor: int, weights: Literal["learning", "fixed"] = "learning") -> None:
        assert pair.prior is not None, "the model has a flow"
        self.generator: Any = copy.deepcopy(pair.generator).requires_grad_(weights == "learning")
        self.prior, self.factor = pair.prior, factor
        line = torch.tensor(FIR)
        self.filter = 4 * line[:, None] * line[None] / line.sum() ** 2
        place = (torch.arange(4 * factor) - 2 * factor + 0.5).abs() / factor
        near, far = 1.5 * place**3 - 2.5 * place**2 + 1, -0.5 * place**3 + 2.5 * place**2 - 4 * place + 2
        taps = torch.where(place <= 1, near, far)
        self.taps = (taps / taps.sum()).view(1, 1, -1, 1).repeat(pair.generator.settings.channels, 1, 1, 1)

    def __call__(self, measured: torch.Tensor, maps: Sequence[torch.Tensor], settings: SearchSettings) -> Released:
        """Search for one object, (1, channels, y, x), with its noise maps, from the mean latent in W+."""
        weights, latent = settings.objective, self.prior.mean.numel()
        w = self.prior.mean.repeat(1, self.generator.layers, 1).requires_grad_()
        optimiser = torch.optim.Adam([w], lr=settings.rate)
        pace = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: linear1cycledrop(step, settings.steps))
        lowest, best = math.inf, torch.empty(0)
        for _ in range(settings.steps):
            optimiser.zero_grad()
            image = (self.synthesis(w, maps) + 1) / 2
            apart = functional.l1_loss(self.measure(image), measured)
            u, log_det = self.prior.flow(self.prior.standardised(w.view(-1, latent)))
            likely = ((-0.5 * u.pow(2) - 0.5 * math.log(2 * math.pi)).sum(-1) + log_det).mean()
            u = self.prior.flow(self.prior.standardised(w.view(-1, latent)))[0]
            ring = (u.norm(dim=-1) - math.sqrt(latent)).pow(2).mean()
            rows = w.shape[1]
            cross = torch.triu(torch.cdist(w, w), diagonal=1).sum() / (rows * (rows - 1) / 2)
            loss = weights.data * apart - weights.density * likely + weights.ring * ring + weights.cross * cross
            if loss < lowest:
                lowest, best = loss.item(), image.detach().clone()
            if torch.isnan(loss):
                break
            loss.backward()
            optimiser.step()
            pace.step()
            _ = apart.item(), likely.item(), cross.item(), ring.item()  # shown beside the bar
        return Released(best[0], lowest)

    def synthesis(self, w: torch.Tensor, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return images of -1..1."""
        generator = self.generator
        x = self._styled(generator.convs[0], generator.start.repeat(len(w), 1, 1, 1), w[:, 0], maps[0])
        image = self._image(generator.images[0], x, w[:, 1], None)
        for level in range(1, generator.settings.levels):
            for place in (2 * level - 1, 2 * level):
                x = self._styled(generator.convs[place], x, w[:, place], maps[place])
            image = self._image(generator.images[level], x, w[:, 2 * level + 1], image)
        return image

    def measure(self, images: torch.Tensor) -> torch.Tensor:
        """Return what is measured of images."""
        beyond, channels = 3 * self.factor // 2, images.shape[1]
        images = functional.pad(images, (0, 0, beyond, beyond), "reflect")
        images = functional.conv2d(images, self.taps, stride=(self.factor, 1), groups=channels)
        images = functional.pad(images, (beyond, beyond, 0, 0), "reflect")
        return functional.conv2d(images, self.taps.transpose(2, 3), stride=(1, self.factor), groups=channels)

    def _styled(self, layer: StyledConv, x: torch.Tensor, w: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        found = self._convolved(layer.conv, x, w) + layer.strength * noise
        return functional.leaky_relu(found + layer.bias.view(1, -1, 1, 1), SLOPE) * GAIN

    def _image(self, layer: ToImage, x: torch.Tensor, w: torch.Tensor, below: torch.Tensor | None) -> torch.Tensor:
        found = self._convolved(layer.conv, x, w) + layer.bias.view(1, -1, 1, 1)
        return found if below is None else found + self._filtered(below, up=2, before=2, after=1)

    def _convolved(self, layer: ModulatedConv, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        count, inner, height, width = x.shape
        weight = layer.gain * layer.weight[None] * layer.style(w).view(count, 1, inner, 1, 1)
        if layer.demodulate == "yes":
            weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + TINY)
        whole = x.view(1, count * inner, height, width)
        if layer.up == 2:
            own = weight.transpose(1, 2).flatten(0, 1)
            found = functional.conv_transpose2d(whole, own, stride=2, groups=count)
        else:
            found = functional.conv2d(whole, weight.flatten(0, 1), padding=layer.kernel // 2, groups=count)
        found = found.view(count, -1, *found.shape[2:])
        return self._filtered(found, up=1, before=1, after=1) if layer.up == 2 else found

    def _filtered(self, x: torch.Tensor, *, up: int, before: int, after: int) -> torch.Tensor:
        height, width = x.shape[2:]
        wide = functional.pad(x.reshape(-1, height, 1, width, 1), (0, up - 1, 0, 0, 0, up - 1))
        wide = functional.pad(wide.view(-1, 1, height * up, width * up), (before, after, before, after))
        found = functional.conv2d(wide, self.filter.flip(0, 1)[None, None])
        return found.view(*x.shape[:2], *found.shape[2:])
