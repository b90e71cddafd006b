"""The samples: phantoms, and what a four times coarser measurement sees of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scalesr.images import Axis
from scalesr.phantoms import degrade, spectral_cube, volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.phantoms import Phantom

FACTOR = 4
"""Pixels along y and along x that the measurement takes together."""
SEED = 4


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A sample whose truth is known. All arrays are float32 and have a first axis of planes, then y and x."""

    name: str
    """Short name, also of its files."""
    title: str
    """What a person calls it."""
    first: Axis
    """The axis that the planes lie along: channels or z."""
    pixel: float
    """Edge of a pixel of the truth in micrometres."""
    truth: NDArray[np.float32]
    """What is there."""
    measured: NDArray[np.float32]
    """What the measurement sees: means of 4 x 4 pixels, with a little shot noise."""
    colours: str
    """Colour map to show it in, even to the eye."""

    @property
    def depth(self) -> float:
        """From plane to plane, in micrometres along z; the measurement takes nothing together there."""
        return 1.0 if self.first.kind == "channel" else self.pixel

    @property
    def plane(self) -> int:
        """Which plane to look at: the one with the most contrast."""
        return int(np.argmax(self.truth.std(axis=(1, 2))))

    @property
    def range(self) -> float:
        """Brightest less darkest value of the truth, which errors are related to."""
        return float(self.truth.max() - self.truth.min())


def make_samples(*, edge: int = 384) -> tuple[Sample, ...]:
    """Return a spectral cube and a volume, the same ones every time.

    Parameters
    ----------
    edge
        Pixels of the truth along y and x, a multiple of 4.
    """
    cube = spectral_cube((12, edge, edge), seed=SEED, pitch=edge / 5)
    tissue = volume((8, edge, edge), seed=SEED, pitch=edge / 7)
    return (
        _sample(cube, name="cube", title="Spectral cube", photons=100.0, pixel=5.0, colours="inferno"),
        _sample(tissue, name="volume", title="Volume", photons=3000.0, pixel=0.1, colours="gray"),
    )


def _sample(phantom: Phantom, *, name: str, title: str, photons: float, pixel: float, colours: str) -> Sample:
    truth = phantom.region([slice(0, size) for size in phantom.shape])
    spectral = phantom.axes[0] == "c"
    return Sample(
        name=name,
        title=title,
        first=Axis("c", "channel") if spectral else Axis("z", "space", "micrometer"),
        pixel=pixel,
        truth=truth,
        measured=degrade(truth, factor=(1, FACTOR, FACTOR), photons=photons, seed=SEED),
        colours=colours,
    )
