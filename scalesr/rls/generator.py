"""The generator of StyleGAN2: from noise to styles, from styles to images (Karras et al. 2020, arXiv 1912.04958)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from scalesr.errors import ModelError
from scalesr.rls.layers import TINY, EqualLinear, ModulatedConv, enlarged, rectified

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.rls.settings import GeneratorSettings

Noise = Literal["fixed", "none"]
"""Noise maps of the generator itself, the same for all images; or none at all."""
RATE = 0.01
"""Learning rate of the mapping, relative to the rest."""


class Mapping(nn.Module):
    """From z to w: z is brought to a mean square of one, and goes through some layers."""

    def __init__(self, latent: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(EqualLinear(latent, latent, rate=RATE, rectify="yes") for _ in range(depth)))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Return w for z, both of shape (n, latent)."""
        found: torch.Tensor = self.layers(z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + TINY))
        return found


class StyledConv(nn.Module):
    """A modulated convolution, noise of a learned strength, and the leaky rectifier."""

    def __init__(self, inner: int, outer: int, *, latent: int, up: Literal[1, 2] = 1) -> None:
        super().__init__()
        self.conv = ModulatedConv(inner, outer, 3, latent=latent, up=up)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outer))

    def forward(self, x: torch.Tensor, w: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """Return features; noise has the shape (n or 1, 1, y, x) of the result."""
        found = self.conv(x, w)
        if noise is not None:
            found = found + self.strength * noise
        return rectified(found, self.bias)


class ToImage(nn.Module):
    """From features to an image that is added to those of coarser levels."""

    def __init__(self, inner: int, channels: int, *, latent: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(inner, channels, 1, latent=latent, demodulate="no")
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor, w: torch.Tensor, below: torch.Tensor | None) -> torch.Tensor:
        """Return the image; `below` is that of half the resolution."""
        found: torch.Tensor = self.conv(x, w) + self.bias[:, None, None]
        return found if below is None else found + enlarged(below)


class StyleGAN2(nn.Module):
    """The same latents and noise give the same image, whatever else is in the batch, but for the last bits.

    Parameters
    ----------
    settings
        Its sizes.
    """

    mean: torch.Tensor
    """The mean of w over z, shape (latent,); zeros until somebody sets it."""
    known: torch.Tensor
    """Latents w of real objects, shape (n, latent), as an encoder tells them; none where there was no encoder."""

    def __init__(self, settings: GeneratorSettings) -> None:
        super().__init__()
        self.settings = settings
        latent, widths = settings.latent, settings.widths
        self.mapping = Mapping(latent, settings.depth)
        self.start = nn.Parameter(torch.randn(1, widths[0], 4, 4))
        inner = [
            widths[0],
            *(width for before, after in pairwise(widths) for width in (before, after)),
        ]
        outer = [widths[0], *(width for width in widths[1:] for _ in range(2))]
        self.convs = nn.ModuleList(
            StyledConv(a, b, latent=latent, up=2 if place % 2 else 1)
            for place, (a, b) in enumerate(zip(inner, outer, strict=True))
        )
        self.images = nn.ModuleList(ToImage(width, settings.channels, latent=latent) for width in widths)
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("known", torch.zeros(0, latent), persistent=False)
        for place, shape in enumerate(self.noise_shapes):
            self.register_buffer(f"noise_{place}", torch.randn(1, 1, *shape))

    @property
    def layers(self) -> int:
        """Rows of w that `synthesis` takes."""
        return self.settings.layers

    @property
    def noise_shapes(self) -> tuple[tuple[int, int], ...]:
        """Shapes (y, x) of the noise maps, one for each convolution: 4, 8, 8, 16, 16, ... pixels."""
        edges = [4 << ((place + 1) // 2) for place in range(2 * self.settings.levels - 1)]
        return tuple((edge, edge) for edge in edges)

    def synthesis(self, w: torch.Tensor, noise: Sequence[torch.Tensor] | Noise = "fixed") -> torch.Tensor:
        """Return images of about -1 to 1.

        Parameters
        ----------
        w
            Shape (n, layers, latent), or (n, latent) for the same w in all layers.
        noise
            One map for each convolution, of shape (n or 1, 1, y, x); see also `noise_shapes`.

        Returns
        -------
        torch.Tensor
            Shape (n, channels, size, size).

        Raises
        ------
        ModelError
            The latents or the noise maps are of another number.
        """
        if w.ndim == 2:
            w = w[:, None].expand(-1, self.layers, -1)
        maps = self._maps(noise)
        if w.shape[1:] != (self.layers, self.settings.latent) or len(maps) != len(self.convs):
            raise ModelError(
                f"Latents of shape {tuple(w.shape)} and {len(maps)} noise maps were given to a generator of "
                f"{self.settings.size} px.",
                remedy=f"Give shape (n, {self.layers}, {self.settings.latent}) and {len(self.convs)} maps.",
            )
        x: torch.Tensor = self.convs[0](self.start.expand(len(w), -1, -1, -1), w[:, 0], maps[0])
        image: torch.Tensor = self.images[0](x, w[:, 1], None)
        for level in range(1, self.settings.levels):
            for place in (2 * level - 1, 2 * level):
                x = self.convs[place](x, w[:, place], maps[place])
            image = self.images[level](x, w[:, 2 * level + 1], image)
        return image

    def forward(self, z: torch.Tensor, noise: Sequence[torch.Tensor] | Noise = "fixed") -> torch.Tensor:
        """Return images of noise, shape (n, latent)."""
        return self.synthesis(self.mapping(z), noise)

    def truncated(self, w: torch.Tensor, *, share: float) -> torch.Tensor:
        """Return latents moved towards their mean: a `share` of the way from it is left (the truncation trick)."""
        return self.mean + share * (w - self.mean)

    def drawn_noise(self, random: torch.Generator, count: int) -> list[torch.Tensor]:
        """Return noise maps of their own for so many images, drawn on the CPU."""
        device = self.mean.device
        return [torch.randn(count, 1, *shape, generator=random).to(device) for shape in self.noise_shapes]

    def _maps(self, noise: Sequence[torch.Tensor] | Noise) -> list[torch.Tensor | None]:
        if not isinstance(noise, str):
            return list(noise)
        places = range(len(self.convs))
        return [getattr(self, f"noise_{place}") if noise == "fixed" else None for place in places]


def unit(images: torch.Tensor) -> torch.Tensor:
    """Return intensities of 0..1 for those of a generator, -1..1."""
    return (images + 1) / 2
