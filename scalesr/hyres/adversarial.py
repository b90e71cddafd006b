"""What generator and discriminator gain from deceiving and from seeing through each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


def generator_loss(logits_of_fakes: Tensor) -> Tensor:
    """Return the mean over pixels of ``-log(sigmoid(logit))``: what the generator pays where its images look made.

    The form of Goodfellow et al. (2014) that does not saturate, binary cross-entropy with logits, which Real-ESRGAN
    calls "vanilla". What HyReS uses is not published.

    Parameters
    ----------
    logits_of_fakes
        What the discriminator says of made images, any shape.

    Returns
    -------
    Tensor
        One number, at least in float32; log 2 where the discriminator cannot tell.

    References
    ----------
    Goodfellow et al., "Generative Adversarial Nets", NeurIPS (2014).
    """
    return _surprise(logits_of_fakes, said=1)


def discriminator_loss(logits_of_reals: Tensor, logits_of_fakes: Tensor) -> Tensor:
    """Return what the discriminator pays: for reals that it takes for made, and for fakes that it takes for real.

    The sum of both means, without a factor of 1/2, as in Real-ESRGAN; 2 log 2 where it cannot tell.

    Parameters
    ----------
    logits_of_reals, logits_of_fakes
        What the discriminator says of real and of made images, any shapes. The fakes must be detached from the
        generator, or its gradients take part.

    Returns
    -------
    Tensor
        One number, at least in float32.
    """
    return _surprise(logits_of_reals, said=1) + _surprise(logits_of_fakes, said=0)


def _surprise(logits: Tensor, *, said: int) -> Tensor:
    # Half floats run out of digits in the logarithm of a probability close to 1.
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return functional.binary_cross_entropy_with_logits(wide, torch.full_like(wide, float(said)))
