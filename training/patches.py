"""What the network is trained on: pairs of small patches cut from the images at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from enlarging import SCALE, shrink

if TYPE_CHECKING:
    from samples import Plane

PATCH, BATCH = 24, 4
"""Edge of a patch in input pixels, and patches for each step."""


class Patches:
    """Random pairs of a degraded patch and the true one, a function of the images and the generator alone.

    Each patch is turned, mirrored, and given another gain and offset; a fifth also another gamma, and one in twenty is
    inverted. A quarter is blurred and a quarter (of all) gets noise before the network sees it, so that it neither
    relies on perfect block means nor sharpens noise.
    """

    def __init__(self, sources: list[Plane]) -> None:
        edge = PATCH * SCALE
        self.images = [
            np.pad(s.pixels, [(0, max(0, edge - n)) for n in s.pixels.shape], mode="symmetric") for s in sources
        ]
        weights = np.array([s.weight for s in sources])
        self.shares = weights / weights.sum()

    def batch(self, random: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return low (BATCH, 1, PATCH, PATCH) and high (BATCH, 1, 4 PATCH, 4 PATCH)."""
        pairs = [self._pair(random) for _ in range(BATCH)]
        low, high = (torch.from_numpy(np.stack(side))[:, None] for side in zip(*pairs, strict=True))
        return low, high

    def _pair(self, random: np.random.Generator) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        high = self._crop(random)
        high = np.rot90(high, int(random.integers(4)))
        if random.random() < 0.5:
            high = high[::-1]
        if random.random() < 0.2:
            high = np.sign(high) * np.abs(high) ** random.uniform(0.6, 1.6)
        if random.random() < 0.05:
            high = 1 - high
        high = np.ascontiguousarray(high * random.uniform(0.6, 1.2) + random.uniform(-0.05, 0.05), dtype=np.float32)
        seen = _blur(high, random.uniform(0.2, 1.2)) if random.random() < 0.25 else high
        low = shrink(seen)
        if random.random() < 0.25:
            sigma = random.uniform(0.0, 0.02) * np.sqrt(np.maximum(low, 0.0) if random.random() < 0.5 else 1.0)
            low = low + (sigma * random.standard_normal(low.shape)).astype(np.float32)
        return low.astype(np.float32), high

    def _crop(self, random: np.random.Generator) -> np.ndarray[Any, Any]:
        edge = PATCH * SCALE
        crop: np.ndarray[Any, Any] = np.zeros((edge, edge), np.float32)
        for _ in range(4):  # flat background teaches nothing; some of it stays in
            image = self.images[random.choice(len(self.images), p=self.shares)]
            y, x = (random.integers(n - edge + 1) for n in image.shape)
            crop = image[y : y + edge, x : x + edge]
            if crop.std() > 0.03:
                break
        return crop


def _blur(image: np.ndarray[Any, Any], sigma: float) -> np.ndarray[Any, Any]:
    x = np.arange(-4, 5)
    kernel = np.exp(-0.5 * (x / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        padded = np.pad(image, [(4, 4) if a == axis else (0, 0) for a in (0, 1)], mode="reflect")
        image = np.lib.stride_tricks.sliding_window_view(padded, 9, axis) @ kernel
    return image
