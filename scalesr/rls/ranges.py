"""Which intensities coarse objects have where those of fine ones are 0..1.

A run brings the 0.1 and the 99.9 percentile of each channel of a stack to two values. For a coarse stack these are not
0 and 1, as pixels that are means over 16 x 16 fine ones are never as bright as the brightest of those; they are what
the same percentiles are of coarse objects whose fine ones are known. The published code has images of eight bits,
coarse and fine ones on the same scale; this is our own choice for images of any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from scalesr.learning.sources import HIGH, LOW
from scalesr.rls.generator import unit

if TYPE_CHECKING:
    from scalesr.models import Percentiles
    from scalesr.rls.degradation import Degradation
    from scalesr.rls.generator import StyleGAN2

FEW, MANY = 256, 4096
"""Images that a generator makes to be measured: while it is loaded, and once for its file; fewer of more than 64 px.
The outermost thousandths of the pixels are those of a few images, so that of 256 they vary by a tenth and more."""
_EDGE, _LEAST_IMAGES = 64, 8
_LEAST = 1e-3
_PART = 16


def percentiles_of(coarse: torch.Tensor) -> Percentiles:
    """Return the 0.1 and the 99.9 percentile of each channel of coarse objects, shape (n, channels, y, x)."""
    values = coarse.detach().cpu().movedim(1, 0).flatten(1).double().numpy()
    lows, highs = np.percentile(values, (LOW, HIGH), axis=1)
    return tuple((float(low), float(max(high, low + _LEAST))) for low, high in zip(lows, highs, strict=True))


def measured_range(generator: StyleGAN2, degradation: Degradation, *, images: int = FEW, seed: int = 0) -> Percentiles:
    """Return the percentiles of what is measured, with its noise, of images that a generator makes.

    Parameters
    ----------
    generator
        Whose images they are.
    degradation
        What a measurement sees of them.
    images
        How many there are, see `FEW` and `MANY`; 8 at least.
    seed
        What images and noise follow from.
    """
    count = max(_LEAST_IMAGES, images * _EDGE**2 // max(generator.settings.size, _EDGE) ** 2)
    z = torch.randn(count, generator.settings.latent, generator=torch.Generator().manual_seed(seed))
    random = np.random.default_rng(seed)
    with torch.inference_mode():
        parts = [
            degradation.measure(unit(generator(part.to(generator.mean.device))), random)
            for part in torch.split(z, _PART)
        ]
    return percentiles_of(torch.cat(parts))
