"""Chance of an object: noise maps and starting points that follow from its number, not from its batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from scalesr.models.noise import DRAWS, normal, stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.rls.generator import Noise, StyleGAN2

MapChoice = Literal["object", "fixed", "none"]
"""Noise maps of a search. ``object``: drawn for each object from seed and number; ``fixed``: the generator's own, the
same for all; ``none``: none. The released code draws them once for a run, of one object."""
_START = DRAWS - 1
"""Draw that starting points take; noise maps have those from 0."""


def noise_maps(
    generator: StyleGAN2, ids: torch.Tensor, *, choice: MapChoice = "object", seed: int = 0
) -> Sequence[torch.Tensor] | Noise:
    """Return the noise maps of some objects, as `StyleGAN2.synthesis` takes them.

    Parameters
    ----------
    generator
        Whose shapes they have.
    ids
        Numbers of the objects in the whole stack, int64 of shape (n,); they wrap around at 2^32.
    choice
        Which.
    seed
        Between 0 and 2^64 - 1.
    """
    if choice != "object":
        return choice
    device = generator.mean.device
    where = ids.to(device)[:, None]
    found = []
    for place, (height, width) in enumerate(generator.noise_shapes):
        across = torch.arange(width, device=device)[None]
        values = _normal(
            rows=height, y=where, x=across, number=stream(draw=place, sample=0, channel=0, orientation=0), seed=seed
        )
        found.append(values.transpose(1, 2)[:, None].contiguous().to(generator.mean.dtype))
    return found


def starts(ids: torch.Tensor, *, latent: int, sample: int, seed: int, device: torch.device) -> torch.Tensor:
    """Return normal z of some objects and one of their samples, shape (n, latent)."""
    number = stream(draw=_START, sample=sample, channel=0, orientation=0)
    return _normal(rows=latent, y=ids.to(device), x=torch.zeros_like(ids, device=device), number=number, seed=seed)


def deviates(
    ids: torch.Tensor, *, shape: tuple[int, int], draws: int, step: int, seed: int, device: torch.device
) -> torch.Tensor:
    """Return normal numbers of some objects at a step, shape (draws, n, *shape)."""
    layers, latent = shape
    channel, draw = divmod(step, DRAWS)
    across = torch.arange(layers, device=device)[None]
    found = [
        _normal(
            rows=latent,
            y=ids.to(device)[:, None],
            x=across,
            number=stream(draw=draw, sample=sample, channel=channel, orientation=1),
            seed=seed,
        )
        for sample in range(draws)
    ]
    return torch.stack(found)


def _normal(*, rows: int, y: torch.Tensor, x: torch.Tensor, number: int, seed: int) -> torch.Tensor:
    first = torch.zeros_like(y + x)
    return normal(first=first, rows=rows, y=y, x=x, streams=torch.full_like(first, number), seed=seed, lane=0)
