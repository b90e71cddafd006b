"""The degradation that the network is trained to undo, the network and its baselines, all in the same geometry."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch

from scalesr.models.baselines import Interpolation
from scalesr.phantoms import degrade

if TYPE_CHECKING:
    from scalesr.models.rrdb import RRDBNet

SCALE = 4
Image = np.ndarray[Any, np.dtype[np.float32]]
Kind = Literal["nearest", "linear", "cubic"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def fitting(image: Image) -> Image:
    """Return the image without what does not fill a block at its end."""
    y, x = (n - n % SCALE for n in image.shape)
    return image[:y, :x]


def shrink(image: Image) -> Image:
    """Return the means of blocks of 4 x 4 pixels."""
    return degrade(image, factor=(SCALE, SCALE))


def interpolate(low: Image, kind: Kind) -> Image:
    """Return the image four times larger; ``cubic`` is the kernel of Keys (1981) with a = -0.5."""
    model = Interpolation(kind, axes="yx", scale=(Fraction(SCALE), Fraction(SCALE)))
    return _through(low, lambda tiles: model(tiles, torch.zeros(1, 2, dtype=torch.int64)), halo=3)


def restore(network: RRDBNet, low: Image, *, halo: int) -> Image:
    """Return what the network makes of the image, reflected by ``halo`` pixels at its edges."""
    return _through(low, network, halo=halo)


def _through(low: Image, model: Any, *, halo: int) -> Image:
    tiles = torch.from_numpy(np.pad(low, halo, mode="reflect"))[None, None]
    with torch.inference_mode():
        out = model(tiles)[0, 0].numpy()
    edge = halo * SCALE
    return np.asarray(out[edge:-edge, edge:-edge])
